/* kcore_internal.h - between the files of the keeper's machine: kcore.c (Livy, and each step's order),
 * kcore_elector.c (the elector's messages and its life), kcore_stop.c (the daemon's end) and kcore_fence.c
 * (the fence command). */
#ifndef LIVY_HA_KEEPER_KCORE_INTERNAL_H
#define LIVY_HA_KEEPER_KCORE_INTERNAL_H

#include "kcore.h"

#define KCORE_STALE 2000  /* ms after which an order is of another time */
#define KCORE_REKILL 1000 /* ms after which what was killed and is still there is killed again */

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

/* kcore.c */
bool kcore_livy_running(const struct kcore *k); /* with or without a SIGTERM, but not killed */
void kcore_livy_start(struct kstep *s, const struct kcore_event *event);
void kcore_livy_lease(struct kstep *s, const struct ipc_msg *msg);
void kcore_livy_stop(struct kstep *s, int64_t grace, const char *why);
void kcore_livy_kill(struct kstep *s, uint32_t cause, const char *why);

/* kcore_elector.c */
void kcore_elector_message(struct kstep *s, const struct kcore_event *event);
void kcore_elector_exited(struct kstep *s);
void kcore_elector_replaced(struct kstep *s);
void kcore_elector_watch(struct kstep *s); /* spawns it, and looks for its signs of life */

/* kcore_stop.c */
void kcore_stop_signalled(struct kstep *s);
void kcore_stop_fatal(struct kstep *s, int code);
void kcore_stop_grant_leave(struct kstep *s); /* once Livy is dead; nothing where nobody has asked */
void kcore_stop_orphans(struct kstep *s, int count);
void kcore_stop_finish(struct kstep *s); /* last in every step */

/* kcore_fence.c */
void kcore_fence_order(struct kstep *s, const struct ipc_msg *msg);
void kcore_fence_forked(struct kstep *s, const struct kcore_event *event);
void kcore_fence_exited(struct kstep *s, const struct kcore_event *event);
void kcore_fence_hurry(struct kstep *s); /* a second signal to stop */
void kcore_fence_watch(struct kstep *s);
int64_t kcore_fence_next(const struct kcore *k);

#endif
