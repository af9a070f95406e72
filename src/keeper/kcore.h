/* kcore.h - the keeper's decisions: a pure machine, as core.h is for the elector. Events and the time go in,
 * actions come out; no input, no output, no clock, no allocation. The model checker composes it with the
 * elector's core.
 *
 * What it guarantees whatever the elector says: Livy is killed at the deadline; nothing is started without
 * one that lies ahead, nor while an earlier Livy may live; the session is handed on or let go only as
 * rules 4 and 5 of docs/safety.md allow. Times are CLOCK_BOOTTIME ms, durations ms.
 */
#ifndef LIVY_HA_KEEPER_KCORE_H
#define LIVY_HA_KEEPER_KCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/ipc.h"
#include "livy-ha/livyend.h"

#define KCORE_MAX_ACTIONS 16

struct kcore_config {
    int64_t stop_grace;   /* livy.stop_grace, where the keeper must stop Livy on its own */
    int64_t orphan_grace; /* livy.orphan_grace */
    int64_t drain;        /* front.drain: how long the elector may take before it orders the stop */
    int64_t fence_timeout;
};

enum kcore_livy {
    KCORE_NONE,
    KCORE_RUNNING,
    KCORE_TERMINATING, /* SIGTERM sent, SIGKILL at term_until */
    KCORE_KILLED,      /* SIGKILL sent, not reaped yet */
    KCORE_REAPED,      /* reaped, but the lock that it inherited is still held by something */
};

enum kcore_event_type {
    KCORE_EV_TIME,
    KCORE_EV_MESSAGE, /* msg; superseded: a later message of the same batch ends what this one begins */
    KCORE_EV_ELECTOR_EXITED,   /* status: its exit status, 256 + signal */
    KCORE_EV_ELECTOR_REPLACED, /* it is dead, and another one, which is about to say HELLO, is in its place */
    KCORE_EV_FORKED,           /* pid > 0, or text says why not */
    KCORE_EV_LIVY_EXITED, /* status: exit status, or 256 + signal; text: why exec failed, "" if it did not;
                             end: its last words, may be NULL */
    KCORE_EV_LOCK_FREE,
    KCORE_EV_QUIT,         /* TERM or INT */
    KCORE_EV_FATAL,        /* the daemon must end: status; what is not the elector's to tell (the relay) */
    KCORE_EV_ORPHANS,      /* count: spark-submit processes left over by a dead Livy */
    KCORE_EV_FENCE_FORKED, /* pid > 0, or text says why not */
    KCORE_EV_FENCE_EXITED, /* status: exit status, or 256 + signal */
};

struct kcore_event {
    enum kcore_event_type type;
    const struct ipc_msg *msg;
    bool superseded;
    int32_t pid;
    int status;
    int count;
    const char *text;
    const struct livyend *end;
};

enum kcore_action_type {
    KCORE_ACT_SPAWN_ELECTOR,
    KCORE_ACT_KILL_ELECTOR,
    KCORE_ACT_FORK_LIVY, /* answer FORKED */
    KCORE_ACT_TERM_LIVY,
    KCORE_ACT_KILL_LIVY,
    KCORE_ACT_FREE_LOCK, /* kill who holds the lock; answer LOCK_FREE once it is free (ask again on each TIME)
                          */
    KCORE_ACT_SEND,   /* message: its type; the glue fills the rest from the core's state, with the pidfd */
    KCORE_ACT_FORGET, /* unlink the session file */
    KCORE_ACT_KILL_ORPHANS,
    KCORE_ACT_RUN_FENCE,    /* fence.order; answer FENCE_FORKED */
    KCORE_ACT_KILL_FENCE,   /* all of its process group; that it has ended is told by FENCE_EXITED */
    KCORE_ACT_REFUSE_FENCE, /* send FENCED: order `number` is not run, text says why */
    KCORE_ACT_REQUEST,      /* do what a person asks for (code: enum ipc_request, text: the command's id);
                               answer ANSWER, `number` */
    KCORE_ACT_STATE,        /* old_livy -> livy: text; for the log */
    KCORE_ACT_ALARM,        /* text: an error for the log */
    KCORE_ACT_READY,        /* sd_notify READY=1 */
    KCORE_ACT_STATUS,       /* sd_notify STATUS=text */
    KCORE_ACT_EXIT,         /* code */
};

struct kcore_action {
    enum kcore_action_type type;
    uint32_t message;
    bool with_pidfd;
    uint32_t answer; /* SEND of LIVY: the number of the ASK that it answers, or 0 */
    int code;
    enum kcore_livy old_livy, livy;
    uint64_t number;
    char text[IPC_TEXT_SIZE];
};

struct kcore_actions {
    struct kcore_action list[KCORE_MAX_ACTIONS];
    size_t count;
};

struct kcore_fence {
    bool running, timed_out;
    int64_t kill_at;
    struct ipc_fence order;     /* the last one, with its outcome */
    char reason[IPC_TEXT_SIZE]; /* of the order */
    char text[IPC_TEXT_SIZE];   /* why it was not run */
};

struct kcore {
    struct kcore_config config;
    struct kcore_fence fence;

    enum kcore_livy livy;
    uint32_t run;
    int32_t pid;
    int64_t epoch, kill_at, term_until, started_at, killed_at, reaped_at;
    uint32_t cause; /* enum ipc_cause of the last end */
    int32_t status;
    uint32_t ending;          /* the cause that our signal will have had */
    enum livyend_why why;     /* of the last end, by Livy's own words */
    char text[IPC_TEXT_SIZE]; /* of the last end or refusal */

    bool elector_alive, elector_said_hello;
    int64_t elector_since, spawn_at; /* spawn_at CLOCK_NEVER: not wanted */
    unsigned elector_failures;
    unsigned elector_mute;    /* how many in a row have ended without a HELLO */
    int64_t ping_at, pong_by; /* pong_by CLOCK_NEVER: none is owed */

    bool has_session, releasing, left;
    struct ipc_session session;
    int64_t last_epoch; /* the highest that was started within this session */

    bool quitting, signalled, hurried; /* signalled: by a person, not by a FATAL */
    bool ready;                        /* READY was told once */
    int exit_code;
    int64_t order_by; /* the elector must have ordered Livy's stop by then */
    int64_t leave_by; /* the elector must be gone by then */
    int orphans;
    int64_t orphans_until;
    bool exited;
};

void kcore_init(struct kcore *k, const struct kcore_config *config, int64_t now);
void kcore_step(struct kcore *k, const struct kcore_event *event, int64_t now, struct kcore_actions *out);

/* After a step at `now`: when the next KCORE_EV_TIME is due; always later than `now`. */
int64_t kcore_next(const struct kcore *k, int64_t now);

/* Why the elector must not be replaced now; NULL: it may be. Of the lease see kcore_lease_left(). */
const char *kcore_not_replaceable(const struct kcore *k);
/* For how long the session may go without an elector at no cost, ms: Livy's lease; where Livy does not run,
 * T; CLOCK_NEVER: there is none. 0 also where no elector is there to be replaced (its death would be waited
 * for in vain), and where it must not be. */
int64_t kcore_lease_left(const struct kcore *k, int64_t now);

/* What WELCOME and LIVY carry. */
void kcore_livy(const struct kcore *k, struct ipc_livy *livy);

const char *kcore_livy_name(enum kcore_livy livy);

#endif
