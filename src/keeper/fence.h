/* fence.h - the fence command as a process: see kcore_fence.c for when, child.h for how it is run. */
#ifndef LIVY_HA_KEEPER_FENCE_H
#define LIVY_HA_KEEPER_FENCE_H

#include <stdbool.h>
#include <sys/types.h>

#include "kcore.h"
#include "livy-ha/conf.h"

struct fence {
    pid_t pid;     /* 0: none runs */
    pid_t session; /* of the last one, whose left-overs are none of Livy's; 0: there was none */
};

/* Runs the command for `order`; fills `event` (FENCE_FORKED), whose text, if any, is put into `why`. */
void fence_run(struct fence *fence, const struct conf *conf, const struct kcore_fence *order,
               struct kcore_event *event, char *why, size_t size);

/* SIGKILL to all of its process group. */
void fence_kill(const struct fence *fence);

/* It was reaped. */
void fence_ended(struct fence *fence, int status);

/* What FENCED carries. */
void fence_message(const struct kcore *core, const struct kcore_action *action, struct ipc_msg *msg);

#endif
