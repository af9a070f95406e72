/* ipc.h - what keeper and elector say to each other over a SOCK_SEQPACKET pair (packet.h); keeper and relay
 * too, as far as HELLO, READY, PONG and FATAL, and RELOAD, PING, PEER, HANDOVER and RETIRE go.
 *
 * One message is one packet of one fixed struct. Every message is dated (CLOCK_BOOTTIME ms), carries a
 * version, and every field is checked by the receiver before it is used. Sending and receiving never block. A
 * descriptor may travel with a message (SCM_RIGHTS): the pidfd with WELCOME and LIVY, the configuration with
 * RELOAD.
 */
#ifndef LIVY_HA_IPC_H
#define LIVY_HA_IPC_H

#include <stdbool.h>
#include <stdint.h>

#define IPC_MAGIC 0x33414c48u /* "HLA3": the version is in it */
#define IPC_TEXT_SIZE 256
#define IPC_NODE_SIZE 128

enum ipc_type {
    /* elector -> keeper */
    IPC_HELLO = 1, /* first message; text = the version of the program, run = FRONT_MAGIC as it knows it */
    IPC_READY,     /* the control socket answers: the daemon is up (sd_notify READY=1) */
    IPC_START,     /* run Livy: epoch, run, kill_at */
    IPC_LEASE,     /* the lease reaches further, or less far: epoch, kill_at */
    IPC_STOP,      /* end Livy: grace (0: SIGKILL at once), text = reason */
    IPC_SESSION,   /* keep this for a successor: session */
    IPC_RELEASING, /* I want to close the session: answer LEAVE once Livy is dead (docs/safety.md, rule 4) */
    IPC_STATUS,    /* one line for people: text (sd_notify STATUS=) */
    IPC_PONG,      /* answer to PING */
    IPC_FATAL,     /* the daemon must end: code = exit status, text = reason */
    IPC_FENCE, /* run failover.fence_command: fence (number, member), kill_at (too late from then on), text =
                  reason; answer FENCED */
    IPC_ASK,   /* how is Livy? run = a number that the answer, LIVY, carries back in its run */
    IPC_REQUEST, /* a person asks for it: code = enum ipc_request, run = a number, text = the command's id;
                    answer ANSWER */
    IPC_CHANGED, /* for failover.on_change: run = enum ipc_role, code = 1 where Livy serves as the active one,
                    epoch, text = reason. The whole state, said at each change of it */
    /* Of the Livy that is held, and only to a keeper that has told of one. */
    IPC_RENEW, /* what HELD says is to be renewed may be: another member's is ready meanwhile */
    IPC_LOOK,  /* a take-over by plan is near: what has changed since it was started has to be in it */
    /* keeper -> elector. WELCOME, and LIVY while it is alive, have in `text` where that Livy listens: "http"
     * or "https", a blank, livy.server.host or "*" (as livy.conf was when it was started, whatever it says by
     * now). */
    IPC_WELCOME = 65, /* answer to HELLO: livy (+ pidfd while it lives), session, quitting */
    IPC_LIVY, /* Livy's state changed, or a START was refused: livy (+ pidfd when it was started); text: why;
                 code: enum livyend_why of its end */
    IPC_LEASED, /* answer to LEASE: kill_at is the deadline that I enforce now; code: 1 where Livy says that
                   it waits for its ZooKeeper */
    IPC_QUIT,   /* orderly stop was requested */
    IPC_LEAVE,  /* Livy is dead and the session forgotten: close it */
    IPC_RELOAD, /* here is the new configuration (+ descriptor) */
    IPC_PING,
    IPC_FENCED, /* the fence command has ended, or was not run: fence (number, outcome, status); text: why not
                 */
    IPC_PEER, /* (+ descriptor) to elector and relay: your end of a new channel to the other one (front.h) */
    IPC_ANSWER,   /* to REQUEST: run = its number, code = enum ipc_answer, text: what was done, or why not */
    IPC_HANDOVER, /* (+ descriptor) to the relay in office and to the one that is to follow it: your end of a
                     channel to the other one, for listening sockets and connections (relay/handover.h) */
    IPC_RETIRE, /* to the relay in office: the new one has all it needs; hand over, end what runs, then go */
    IPC_HELD, /* code = enum ipc_held, text: why there is none, or why it is to be renewed; run = 1: it waits
                 for its turn to be renewed, or is being renewed. After WELCOME, and at each change of it */
};

enum ipc_answer {
    IPC_ANSWER_DONE,
    IPC_ANSWER_FAILED,
    IPC_ANSWER_GOES_ON, /* text: how far it is */
};

enum ipc_role {
    IPC_ROLE_JOINING,
    IPC_ROLE_STANDBY,
    IPC_ROLE_ACTIVE,
    IPC_ROLE_DRAINED,
    IPC_ROLE_STOPPED, /* the daemon ends; only the keeper says so, to the hook */
};

enum ipc_request {
    IPC_REQUEST_RELOAD = 1, /* as HUP */
    IPC_REQUEST_UPGRADE,    /* as USR2 */
};

/* The Livy that a hot standby holds at the gate (livy.standby = "hot"). */
enum ipc_held {
    IPC_HELD_NONE,    /* this member holds none, now or at all */
    IPC_HELD_WARMING, /* one has been started and is on its way to the gate */
    IPC_HELD_READY,   /* it stands there, loaded: START lets it go */
};

enum ipc_livy_state { IPC_LIVY_NONE, IPC_LIVY_ALIVE, IPC_LIVY_STOPPING };

/* Why Livy is not there (any more). */
enum ipc_cause {
    IPC_CAUSE_NONE,        /* was never started */
    IPC_CAUSE_EXITED,      /* by itself: status is its exit status */
    IPC_CAUSE_SIGNALLED,   /* by a signal that we did not send: status is the signal */
    IPC_CAUSE_ORDERED,     /* stopped on command */
    IPC_CAUSE_DEADLINE,    /* killed at the lease's end */
    IPC_CAUSE_NOT_STARTED, /* could not be run: text says why */
    IPC_CAUSE_ORPHANED,    /* with its keeper; only the elector says so, of itself */
    IPC_CAUSE_REFUSED,     /* START was stale or out of place: text says why; nothing was run */
};

struct ipc_livy {
    uint32_t state; /* enum ipc_livy_state */
    uint32_t cause; /* enum ipc_cause */
    uint32_t run;   /* how many times this keeper has started Livy */
    int32_t pid;    /* 0 where there is none */
    int32_t status;
    uint32_t killed; /* 1: SIGKILL was sent, or it is dead but something holds its lock */
    int64_t epoch;   /* of the last start */
    int64_t kill_at; /* the deadline in force; with state NONE when SIGKILL was last sent, 0: never */
    int64_t started_at;
};

/* A ZooKeeper session as an elector leaves it to its successor. id 0: none. */
struct ipc_session {
    int64_t id;
    int64_t timeout; /* ms, as granted */
    char password[16];
    char uuid[40];            /* of the latch node, drawn before it is created */
    char node[IPC_NODE_SIZE]; /* name of the latch node, "" where not made yet */
};

/* A member that was active, as others know it. */
struct ipc_member {
    int64_t epoch;
    char id[136];
    char host[256];
    char url[280]; /* of its Livy; "": not known */
};

enum ipc_fence_outcome {
    IPC_FENCE_EXITED,    /* status: its exit status */
    IPC_FENCE_SIGNALLED, /* status: the signal */
    IPC_FENCE_TIMED_OUT, /* killed after failover.fence_timeout */
    IPC_FENCE_NOT_RUN,   /* text says why */
};

struct ipc_fence {
    uint64_t number;  /* the elector's; comes back with the answer */
    uint32_t outcome; /* enum ipc_fence_outcome */
    int32_t status;
    struct ipc_member member;
};

struct ipc_msg {
    uint32_t magic;
    uint32_t type;
    int64_t sent_at; /* set by ipc_send */
    int64_t epoch;
    int64_t kill_at;
    int64_t grace; /* ms */
    uint32_t run;
    int32_t code;
    uint32_t quitting;        /* WELCOME */
    uint32_t pending_restart; /* WELCOME, RELOAD: a key has changed that takes effect with a restart only */
    struct ipc_livy livy;
    struct ipc_session session;
    struct ipc_fence fence;
    char text[IPC_TEXT_SIZE];
};

/* Sends `msg` (dated now), with `fd` unless it is -1 (stays the caller's). 0, or -1 with errno: EAGAIN where
 * the other side does not read, EPIPE where it is gone. */
int ipc_send(int socket, struct ipc_msg *msg, int fd);

/* Receives one message. `fd` gets a descriptor that came along (the caller's, CLOEXEC) or -1. Returns 1; 0
 * where there is none now; -1 with errno: EPIPE at end of file, EBADMSG for a message that fails the checks.
 */
int ipc_recv(int socket, struct ipc_msg *msg, int *fd);

/* The same for a fence command that was run, or not. */
void ipc_fence_describe(const struct ipc_fence *fence, const char *text, char *out, unsigned long size);

const char *ipc_type_name(uint32_t type);
const char *ipc_role_name(uint32_t role); /* "joining", "standby", "active", "drained", "stopped" */

/* For the keeper's children: it tells them when to stop; a terminal's Ctrl-C, a service manager's signal to
 * the whole group must not. */
void ipc_ignore_signals(void);

/* "exit status 1: …", "killed by signal 9", "stopped on command", …: a cause in words. */
void ipc_livy_describe(const struct ipc_livy *livy, const char *text, char *out, unsigned long size);

#endif
