/* front.h - what elector and relay say to each other over a SOCK_SEQPACKET pair (packet_pair).
 *
 * The keeper makes the pair anew whenever it starts one of the two, and hands an end to each with IPC_PEER
 * (ipc.h), so that end-of-file means that the other one is gone. One message is one packet of one fixed
 * struct, dated, each field checked before it is used. Sending and receiving never block. A message that does
 * not fit into the socket's queue is dropped by the sender: what is said is always the whole state, said
 * again at least each FRONT_AGAIN ms.
 *
 * The elector says where requests go (VIEW) and what people may read (SNAPSHOT); the relay answers each VIEW
 * with COUNTS once it is in force, and says COUNTS again at each change of "a request runs" to "none does".
 * The relay decides nothing about the cluster; the elector knows nothing of connections.
 */
#ifndef LIVY_HA_FRONT_H
#define LIVY_HA_FRONT_H

#include <stdint.h>

#define FRONT_MAGIC 0x31464c48u /* "HLF1": the version is in it */
#define FRONT_AGAIN 500         /* ms */
#define FRONT_SNAPSHOT_MAX ((uint64_t)4 * 1024 * 1024)

enum front_type {
    /* elector -> relay */
    FRONT_VIEW = 1, /* view */
    FRONT_SNAPSHOT, /* + a memfd of `size` bytes: one JSON object {"status", "cluster", "history", "metrics"}
                     */
    /* relay -> elector */
    FRONT_COUNTS = 65, /* counts */
};

/* Where a request goes. */
enum front_route {
    FRONT_NOBODY, /* no active Livy is known: hold, for front.hold at most */
    FRONT_PAUSE,  /* a hand-over is on: what runs at livy_url may end, for front.drain at most; what is new is
                     held */
    FRONT_LOCAL,  /* this member's Livy serves, at livy_url */
    FRONT_REMOTE, /* another member's does: forward to livy_url, or redirect to front_url */
};

enum front_mode { FRONT_FORWARD, FRONT_REDIRECT };

enum front_ending {
    FRONT_STAYS,
    FRONT_ENDS, /* the daemon is to end: soon there are no new connections; who waits goes on waiting */
    FRONT_CUT,  /* it ends now: who waits is told so, what runs is cut */
};

struct front_view {
    uint64_t serial; /* grows by one with each view of one elector */
    uint32_t route;  /* enum front_route */
    uint32_t mode;   /* enum front_mode: on a standby; "auto" is decided by now */
    uint32_t tls;    /* 1: Livy speaks https, so clients do too: nothing can be looked into */
    uint32_t ending; /* enum front_ending */
    uint32_t yield;  /* 1: livy.port is the front's own port, and Livy needs it: do not listen */
    int64_t
        valid_until; /* CLOCK_BOOTTIME ms: from then on the route is FRONT_NOBODY, until a new view comes */
    int64_t epoch;   /* of the active member; 0 with FRONT_NOBODY */
    char id[136];    /* of the active member, "" with FRONT_NOBODY */
    char livy_url[280];  /* "http://127.0.0.1:18998": scheme, host (a name, or an IP literal), port */
    char front_url[280]; /* the active member's front.advertise */
};

struct front_counts {
    uint64_t serial; /* of the newest view that is in force */
    uint32_t
        running; /* requests (with TLS: connections) that have gone to a Livy and are not answered in full */
    uint32_t held;        /* requests that wait for an active Livy */
    uint32_t connections; /* of clients */
    uint32_t coming; /* 1: the daemon ends, and clients that connected before they could know may ask yet */
};

struct front_msg {
    uint32_t magic;
    uint32_t type;
    int64_t sent_at; /* CLOCK_BOOTTIME ms, set by front_send */
    uint64_t size;   /* SNAPSHOT */
    struct front_view view;
    struct front_counts counts;
};

/* Sends `msg` (dated now), with `fd` unless it is -1 (stays the caller's). 0, or -1 with errno: EAGAIN where
 * the other side does not read, EPIPE where it is gone. */
int front_send(int socket, struct front_msg *msg, int fd);

/* Receives one message. `fd` gets a descriptor that came along (the caller's, CLOEXEC) or -1. Returns 1; 0
 * where there is none now; -1 with errno: EPIPE at end of file, EBADMSG for a message that fails the checks.
 */
int front_recv(int socket, struct front_msg *msg, int *fd);

const char *front_route_name(uint32_t route); /* "nobody", "pause", "local", "remote" */

#endif
