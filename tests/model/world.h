/* world.h - the model's world as plain data: hosts, ensemble, what is on its way. A state is saved by copying
 * it. No pointers, no allocation; what is to happen lies in one sorted queue or in a timer field.
 *
 * `now` is the clock of ZooKeeper's leader, ms. A host's clock runs `drift` per mille fast or slow of it; the
 * bound on drift, rho of each of the two, is thus 2 % between them.
 */
#ifndef LIVY_HA_MODEL_WORLD_H
#define LIVY_HA_MODEL_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core.h"
#include "kcore.h"

#define HOSTS 3
#define SERVERS 2 /* that clients connect to; the leader is a third one */
#define SESSIONS 24
#define NODES 32
#define CONNECTIONS 24
#define EVENTS 112
#define CHANNEL 40 /* messages between keeper and elector */
#define CALLS 24
#define WATCHES 16
#define CLIENT_WATCHES 6
#define DEATHS 12

/* The tightest ensemble that ZooKeeper allows: T is twice the tick. */
#define TICK 2000
#define TIMEOUT 4000
#define TIMEOUT_LONG 8000 /* what server 0 grants where the opening says so */
#define KILL_MARGIN 500
#define SLACK 20         /* ms of K that are for the scheduler: SIGKILL takes K less this */
#define SYNC_LIMIT 10000 /* 5 ticks: then leader and follower have given each other up */

enum violation {
    FINE,
    TWO_LIVYS,
    LEASE_OUTLIVED,   /* a Livy lives beyond what its keeper was told, + K */
    SESSION_OUTLIVED, /* the session ends at the leader while its Livy lives */
    LATCH_GIVEN_UP,   /* the node is deleted, or the session closed, by the own hand while Livy lives */
    BAD_START,        /* a START without the first latch node, or under another epoch than that node's */
    STARTED_IN_PAUSE, /* a START while the member knows of a pause, and nobody has asked for it */
    RESTART_LOST,     /* what a restart in a pause has stopped nobody has started again */
    BEGUN_EARLY,      /* a switchover is begun, or called ready, before its successor stands next */
    NOBODY_SERVES,    /* in bounded time after the last fault */
    MODEL_FULL,       /* the model's own tables */
};

enum op {
    OP_CONNECT,
    OP_CLOSE,
    OP_CREATE,
    OP_DELETE,
    OP_CHECK,
    OP_REGISTER,
    OP_EXISTS,
    OP_HANDOVER,
    OP_TENURE,
    OP_CLEAR,
    OP_LIST,
    OP_PING,
    OP_FIRED, /* server to client: a watch */
    OP_APPLY, /* leader to server: what has been committed */
};

/* The digest of a state (state.c) takes the following structs byte for byte. Padding would bring in what lay
 * on the stack before, and states that are the same would be told apart: there is none. */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

struct zmsg {
    uint8_t op, request, left;
    bool beat, watch, in_order, rearm, tenured, more, sync;
    int16_t rc;
    int16_t conn, server; /* conn -1: nobody waits for it */
    int16_t session, node, uuid, owner;
    int32_t victim; /* HANDOVER, CLEAR: of which host is the tenure; -1: none */
    uint32_t xid, tag;
    uint32_t mask; /* nodes of a LIST, sessions of a PING, epoch of a TENURE */
    int32_t zxid, timeout;
};

enum event_kind {
    EV_UP,          /* arrives at the server of connection m.conn */
    EV_DOWN,        /* arrives at its client */
    EV_HUNG_UP,     /* the client of m.conn sees its end */
    EV_SERVER_EOF,  /* the server of m.conn sees its end */
    EV_TO_LEADER,   /* from server `who` */
    EV_FROM_LEADER, /* to server `who` */
    EV_EXPIRE,      /* look at session `arg` */
    EV_HEAL,        /* a fault of server `who` may be over */
    EV_LEAVE,       /* server `who` has been without its leader for too long */
    EV_ELECTED,
    EV_CONNECT, /* the client library of host `who` connects; arg: handle */
    EV_KEEPER_WAKE,
    EV_PACKET, /* for the elector */
    EV_HELLO,  /* arg: life */
    EV_KEEPER_GONE,
    EV_GUARD,
    EV_LIVY_DEAD,  /* arg: life */
    EV_LIVY_OPENS, /* arg: life; the gate that it stands at */
    EV_PROBED,     /* arg: run */
    EV_DEATHS,     /* the elector is told of <root>/deaths */
    EV_LOOKED,     /* at the one that was active before; arg: op */
    EV_KEEPER_BEGIN,
    EV_STAND, /* arg: may stand */
    EV_QUIET,
    EV_DOUBT, /* the elector finds its keeper stopped */
    EV_RESTART,
    EV_ORDERS,        /* the elector reads <root>/control */
    EV_MARKED,        /* m: a mark of who's is written there */
    EV_ORDERS_EXPIRE, /* arg: epoch; of a restart: -1 - epoch */
    EV_CLOSED,        /* arg: life; the elector has closed its session, as far as it can tell */
    /* never in the queue: timers */
    EV_KEEPER_TIME,
    EV_ELECTOR_TIME,
    EV_CLIENT_TIME,
    EV_LEADER_PING,
    EV_NEVER,
};

struct event {
    int64_t at;
    int16_t kind, who;
    int32_t arg;
    struct zmsg m;
};

/* ---- the ensemble ------------------------------------------------------------------------------------ */

struct session {
    int64_t expires;
    int32_t timeout, made, gone; /* zxids; gone 0: not yet */
    int16_t host, server;
    bool alive, registered;
    uint8_t gap[6];
};

struct node {           /* number: its sequence */
    int32_t made, gone; /* zxids; made is the czxid */
    int16_t uuid, owner;
    bool in_order;
    uint8_t gap[3];
};

struct tenure { /* a host's; its last change is what servers that lag are behind of */
    int32_t made, gone, epoch;
};

struct watch {
    int16_t conn; /* -1: free */
    int16_t node;
    uint32_t tag;
};

struct server {
    int64_t cut_until, frozen_until, to_last, from_last, from_held;
    int32_t applied;
    uint32_t touched;
    struct watch watches[WATCHES];
    bool joined, zombie; /* zombie: cut off, and takes itself for the leader */
    uint8_t gap[6];
};

struct connection {
    int64_t up_last, down_last, up_held, down_held;
    int16_t host, server;
    int16_t session; /* 0: not attached */
    bool client_open, server_open;
};

struct zk {
    int64_t frozen_until, ping_at;
    int32_t zxid, n_sessions, n_nodes;
    struct tenure tenures[HOSTS];
    struct session sessions[SESSIONS];
    struct node nodes[NODES];
    struct server servers[SERVERS];
    struct connection connections[CONNECTIONS];
};

/* ---- a host ------------------------------------------------------------------------------------------ */

struct call {
    uint32_t xid; /* 0: free */
    uint8_t request;
    bool beat;
    uint8_t gap[2];
};

struct client {
    int64_t heard, sent, since, look_at;
    int32_t handle, zxid, timeout, session, server;
    int16_t conn; /* -1: none */
    bool open, connected;
    struct call calls[CALLS];
    struct {
        uint32_t tag;
        int32_t node; /* -1: free */
    } watches[CLIENT_WATCHES];
};

struct kept { /* struct ipc_session in short */
    int32_t timeout;
    int16_t id, node, uuid;
    uint8_t gap[2];
};

struct packet {
    int64_t at, sent_at, epoch, kill_at, grace;
    uint32_t type, run, quitting;
    struct kept session;
    struct ipc_livy livy;
};

struct orders {           /* <root>/control */
    int64_t paused_until; /* leader's time; 0: not */
    int64_t expires;
    int32_t epoch;               /* of the node that a switchover is to give up; 0: none is asked for */
    int32_t restart;             /* the epoch whose Livy is being restarted in a pause; 0: none */
    int16_t to, sequence;        /* -1: nobody; not said yet */
    bool next, begun, restarted; /* restarted: a Livy was started since, whatever became of it */
    uint8_t gap;
};

#pragma GCC diagnostic pop

struct channel {
    int n;
    int64_t last;
    struct packet list[CHANNEL];
};

struct host {
    int drift;
    bool keeper, elector, welcomed, keeper_gone, guarding;
    bool elector_exited, livy_exited, reap_first;
    bool swapping;           /* the elector that dies was killed by its keeper, to be replaced (an upgrade) */
    bool livy, hung, killed; /* killed: SIGKILL is on its way */
    bool shut; /* it was started, or let go, and has not come to the look at the clock yet: it writes nothing
                */
    int late;  /* the next start comes to that so much later, ms */
    int32_t life, livy_life, livy_run, livy_status, uuids;
    int64_t closing; /* the elector waits for its session's end, until then at the most; 0: it does not */
    int crash_after; /* the elector dies after that many actions of this step; 0: it does not */
    int64_t livy_epoch, lease_end; /* of the host's clock: what the keeper was told */
    int64_t serves_at, keeper_stopped, elector_stopped, keeper_alarm, elector_alarm;
    int64_t cut_until[SERVERS]; /* the network between this host and that server */
    struct kept file;           /* the session file; for `--close-session`, never for adoption */
    struct client client;
    struct core core;
    struct kcore kcore;
    struct channel to_keeper, to_elector;
};

struct death {  /* of a Livy, or a giving up; <root>/deaths */
    int64_t at; /* leader's time */
    int16_t host;
    bool gave_up;
};

struct world {
    int64_t now;
    struct orders orders;
    bool trace;
    bool unequal;  /* server 0 grants TIMEOUT_LONG */
    bool hot;      /* each standby says that it holds a Livy that is ready, whether it does or not */
    bool stranger; /* somebody outside has deleted a latch node: the one fault that stands alone */
    int32_t death; /* ms that a SIGKILL takes */
    int n_hosts, n_events, n_deaths;
    struct death deaths[DEATHS];
    enum violation violation;
    char detail[160];
    struct zk zk;
    struct event events[EVENTS]; /* the next one is the last: most of what is put in is soon */
    struct host hosts[HOSTS];    /* the last: those that are not used are not copied */
};

/* What comes next, without taking it: an event of the queue or a timer's. EV_NEVER: nothing. */
struct event world_next(const struct world *w);
/* Takes `next` (as world_next said) and lets it happen. */
void world_step(struct world *w, const struct event *next);

void world_put(struct world *w, int64_t at, enum event_kind kind, int who, int32_t arg);
void world_put_message(struct world *w, int64_t at, enum event_kind kind, int who, const struct zmsg *m);
/* Puts an event that must wait back into the queue, behind those of the same time. */
void world_put_back(struct world *w, const struct event *e, int64_t at);
/* Drops the events for which `drop` says so. */
typedef bool world_drop(const struct world *w, const struct event *e, int arg);
void world_drop_events(struct world *w, world_drop *drop, int arg);

void world_violation(struct world *w, enum violation violation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
const char *world_violation_name(enum violation violation);

/* The host's clock, and the leader's time at which it shows `local`. */
int64_t world_local(const struct world *w, int host);
int64_t world_when(const struct world *w, int host, int64_t local);

void world_begin(struct world *w, int hosts, int drift);
void world_say(const struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_describe(const struct world *w); /* one line with each member's state */

static inline int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#endif
