/* keeper_internal.h - between the files that carry out: keeper.c (the loop, Livy, the core's actions),
 * helpers.c (the elector's process and its channel), relay.c (the relay's) and upgrade.c (other ones in their
 * place). */
#ifndef LIVY_HA_KEEPER_KEEPER_INTERNAL_H
#define LIVY_HA_KEEPER_KEEPER_INTERNAL_H

#include "cds.h"
#include "child.h"
#include "fence.h"
#include "held.h"
#include "hook.h"
#include "kcore.h"
#include "livy-ha/conf.h"
#include "livy-ha/livyconf.h"
#include "orphans.h"
#include "relay.h"
#include "said.h"
#include "upgrade.h"

struct keeper {
    struct conf *conf;
    struct livyconf *livyconf;
    struct kcore core;
    struct child elector, livy; /* pid 0: none */
    struct relay relay;
    struct fence fence;
    struct hook hook;
    struct child_program program[2]; /* what is run, by enum ucore_who; opened when it is first started */
    struct upgrade upgrade;
    struct guard guard; /* of the Livy that runs */
    struct held held;
    struct cds cds;
    struct said said;               /* what Livy writes */
    pid_t last_livy, last_held;     /* whose orphans are looked for; last_held 0: there are none of that */
    int channel;                    /* to the elector, -1 where there is none */
    unsigned reloads, elector_conf; /* how many there were, and up to which of them the elector knows */
    int lock, epoll, signals, timer;
    int64_t livy_since; /* its last change of state */
    int64_t armed_for, stepped_at,
        watchdog_at;             /* stepped_at: up to then everything that was due has been done */
    char livy_at[IPC_TEXT_SIZE]; /* where Livy listens, see ipc.h */
    uint32_t lock_told;          /* the run of which it was told that its lock is kept by another process */
    struct orphans_told orphans_told;
    bool hunting; /* something that Livy left was killed: its own children come to us next */
    bool stopping_told;
    bool pending_restart; /* a reload changed a key that takes effect with a restart only */
    bool elector_up;      /* it has said READY */
    bool ready_told;      /* READY=1 to systemd */
    bool paired;          /* elector and relay have been given the two ends of a channel */
    bool done;
    int exit_code;
};

/* keeper.c */
void keeper_step(struct keeper *k, const struct kcore_event *event);
void keeper_tell_ready(struct keeper *k); /* sd_notify READY=1, once both elector and relay are ready */
void keeper_describe_livy(struct keeper *k);
/* The processes that the keeper has started itself, but for Livy; 0: none. A child that is not among them is
 * one that a descendant has left. */
void keeper_children(const struct keeper *k, pid_t pids[static ORPHANS_SPARE]);

/* helpers.c */
void helpers_spawn_elector(struct keeper *k);
/* To the elector, where there is one; `fd` stays the caller's. One that does not take it is killed. */
void helpers_tell(struct keeper *k, struct ipc_msg *msg, int fd);
void helpers_send(struct keeper *k, const struct kcore_action *a);
/* All that is waiting is read before anything is obeyed: a stop that is already here overtakes a start.
 * `last_words`: the elector is dead, so it cannot close its session any more, and its successor wants it. */
void helpers_drain(struct keeper *k, bool last_words);
void helpers_elector_ended(struct keeper *k, int status); /* reaped; status as in KCORE_EV_ELECTOR_EXITED */
/* Makes a channel between elector and relay, where both are there and have none. */
void helpers_pair(struct keeper *k);
void helpers_reload(struct keeper *k);
void helpers_reload_relay(struct keeper *k);

#endif
