/* hook.h - failover.on_change: run at each change of this member's role, and when its Livy begins or ends to
 * serve as the active one. One at a time, in the order of the changes; killed with its process group after
 * failover.on_change_timeout. Nothing ever waits for it, but for the daemon's exit, and that not for long.
 */
#ifndef LIVY_HA_KEEPER_HOOK_H
#define LIVY_HA_KEEPER_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "livy-ha/conf.h"
#include "livy-ha/ipc.h"

#define HOOK_QUEUE 16  /* changes that wait; beyond them the oldest one is dropped */
#define HOOK_LAST 2000 /* ms for what still runs or waits when the daemon would exit */

struct hook_change {
    uint32_t role; /* enum ipc_role */
    bool serving;
    int64_t epoch;   /* 0: none */
    int64_t at;      /* time of day, ms */
    unsigned missed; /* changes before this one that were dropped */
    char reason[IPC_TEXT_SIZE];
};

/* The changes that wait. Pure. */
struct hook_queue {
    struct hook_change list[HOOK_QUEUE];
    size_t first, n;
    struct hook_change latest; /* the last one that was added */
    unsigned missed;           /* dropped since one was taken */
};

void hook_queue_init(struct hook_queue *queue);
/* False where it says what the one before it has said. *dropped: an older one had to make way. */
bool hook_queue_add(struct hook_queue *queue, const struct hook_change *change, bool *dropped);
bool hook_queue_take(struct hook_queue *queue, struct hook_change *change); /* false: none waits */
void hook_queue_clear(struct hook_queue *queue);

struct hook {
    struct hook_queue queue;
    pid_t pid;       /* 0: none runs */
    pid_t session;   /* of the last one */
    uint32_t told;   /* the role with which it was last run */
    int64_t kill_at; /* CLOCK_BOOTTIME ms */
    bool timed_out;
    int outcome;       /* of the last one that has ended: exit status, 256 + signal, HOOK_TIMED_OUT, … */
    unsigned failures; /* in a row, each like `outcome` */
};

struct keeper;

void hook_open(struct keeper *k);
void hook_changed(struct keeper *k, const struct ipc_msg *msg); /* CHANGED of the elector */
void hook_reaped(struct keeper *k, int status);                 /* exit status, or 256 + signal */
void hook_time(struct keeper *k, int64_t now);
int64_t hook_next(const struct keeper *k, int64_t now);
/* The daemon would exit: one more change is told ("stopped"). */
void hook_end_begins(struct keeper *k);
bool hook_busy(const struct keeper *k); /* something runs or waits */
void hook_kill(struct keeper *k);       /* at once, with all that waits */

#endif
