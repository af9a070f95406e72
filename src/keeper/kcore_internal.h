/* kcore_internal.h - between the files of the keeper's machine: kcore.c (Livy, the elector, the end) and
 * kcore_fence.c (the fence command). */
#ifndef LIVY_HA_KEEPER_KCORE_INTERNAL_H
#define LIVY_HA_KEEPER_KCORE_INTERNAL_H

#include "kcore.h"

#define KCORE_STALE 2000 /* ms after which an order is of another time */

/* One step in progress. */
struct kstep {
    struct kcore *k;
    int64_t now;
    struct kcore_actions *out;
};

struct kcore_action *kcore_act(struct kstep *s, enum kcore_action_type type);
void kcore_say(char text[static IPC_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void kcore_tell(struct kstep *s, uint32_t message); /* to an elector that has said HELLO */

/* kcore_fence.c */
void kcore_fence_order(struct kstep *s, const struct ipc_msg *msg);
void kcore_fence_forked(struct kstep *s, const struct kcore_event *event);
void kcore_fence_exited(struct kstep *s, const struct kcore_event *event);
void kcore_fence_hurry(struct kstep *s); /* a second signal to stop */
void kcore_fence_watch(struct kstep *s);
int64_t kcore_fence_next(const struct kcore *k);

#endif
