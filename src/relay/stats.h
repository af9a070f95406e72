/* stats.h - what the relay counts, for the admin port. Kept by the client path; read on the same thread. */
#ifndef LIVY_HA_RELAY_STATS_H
#define LIVY_HA_RELAY_STATS_H

#include <stdint.h>

/* Why a client's connection or request was turned away. */
enum stats_reject {
    STATS_FULL,         /* front.max_connections */
    STATS_EVICTED,      /* its slot was taken while it had not sent a whole head */
    STATS_BAD_REQUEST,  /* 400, 417, 501, 505 */
    STATS_HEAD_LARGE,   /* 431 */
    STATS_HEAD_TIMEOUT, /* 408 */
    STATS_DESCRIPTORS,  /* no descriptor or memory was left */
    STATS_REJECTS,
};

struct relay_stats {
    uint64_t accepted;                /* connections, ever */
    uint64_t open;                    /* connections, now */
    uint64_t rejected[STATS_REJECTS]; /* by enum stats_reject */
    uint64_t local;                   /* requests (opaque: connections) sent to this member's Livy */
    uint64_t forwarded;               /* … to another member's */
    uint64_t redirected;              /* answered 307 */
    uint64_t unavailable;             /* answered 503 */
    uint64_t bad_gateway;             /* answered 502 */
    uint64_t cut;                     /* answers that ended too early: the client's connection was reset */
    uint64_t repeated;                /* requests sent again because a kept connection was found closed */
    uint64_t bytes_in;                /* from clients to a Livy */
    uint64_t bytes_out;               /* from a Livy to clients */
    uint64_t holds;                   /* requests that had to wait for an active Livy */
    uint64_t hold_ms;                 /* how long all of these waited */
    uint64_t upstream_failures;       /* connections to a Livy that failed, or that broke before an answer */
    uint64_t running;                 /* as in struct front_counts */
    uint64_t held;
};

#endif
