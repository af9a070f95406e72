/* relay.h - the relay's parts and how they hang together: relay.c (the loop, what a view changes), channels.c
 * (keeper and elector). One thread, one libevent loop; no ZooKeeper, no credentials, no policy.
 */
#ifndef LIVY_HA_RELAY_RELAY_H
#define LIVY_HA_RELAY_RELAY_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "handover.h"
#include "listener.h"
#include "livy-ha/conf.h"
#include "livy-ha/front.h"
#include "livy-ha/ipc.h"
#include "quota.h"
#include "stats.h"
#include "target.h"
#include "view.h"

#define RELAY_SCRATCH ((size_t)64 * 1024)
#define RELAY_CONNECTING 32 /* connections to a Livy under way at a time: its queue is short */
#define RELAY_REJECTING 64  /* connections that are one too many and get a 503 */
#define RELAY_LARGE 128     /* long heads at a time: with all connections they would be half a GB */
#define RELAY_RETRY_MS 50
#define RELAY_CANARIES 4 /* of the held requests, how many look whether Livy is there by now */

/* Where the front is on its way out (leave.c). */
enum relay_leave {
    RELAY_STAYS,
    RELAY_TELLS,  /* health says so, for balancers to see; all else is as before */
    RELAY_TAKES,  /* new connections are refused, those that were being made are taken; none is kept */
    RELAY_AWAITS, /* none comes any more; those that are there may still ask something */
    RELAY_LEFT,   /* idle ones are closed */
};

struct ssl_ctx_st;
struct admin;
struct snapshot;

struct relay {
    struct event_base *base;
    struct conf *conf;
    int channel, peer, timerfd; /* keeper; elector (-1: none); valid_until */
    struct event *on_channel, *on_peer, *on_valid, *on_drain, *on_retry, *on_turn, *on_leave;
    struct front_view view;
    struct target target;
    bool failed;   /* it cannot serve, and ends */
    bool draining; /* on_drain is armed, or has fired */
    enum relay_leave leaving;
    struct listener front, thrift;
    struct handover handover;
    struct quota quota;
    struct conn_list all, idle, turns, dead;
    struct hold plains, thrifts;
    unsigned connecting, rejecting, large;
    int64_t nobody_since; /* CLOCK_BOOTTIME ms: since when no request has somewhere to go; 0: it has */
    struct ssl_ctx_st *tls;
    struct relay_stats stats;
    struct admin *admin;       /* NULL: admin.listen is off */
    struct snapshot *snapshot; /* NULL likewise */
    char scratch[RELAY_SCRATCH];
};

/* relay.c. Takes over `conf`. */
int relay_run(struct conf *conf, int channel, bool wait); /* wait: opens no port before HANDOVER */
bool relay_open_ports(struct relay *relay);      /* those that are not open yet; says READY, or FATAL */
uint32_t relay_route(const struct relay *relay); /* now */
bool relay_closing(const struct relay *relay);   /* connections are not to be kept */
void relay_view(struct relay *relay, const struct front_view *fresh, const char *why);
void relay_running(struct relay *relay, int change); /* one more, or less, runs */
void relay_soon(struct relay *relay); /* those who have more to do, the dead and the waiting: next */
void relay_configure(struct relay *relay, struct conf *fresh);
/* Closes the connection that has been idle for longest, for its descriptors. False: there is none. */
bool relay_make_room(struct relay *relay);

/* A snapshot of the elector, of msg->size bytes in `fd`, which stays the caller's (-1: none came). */
void relay_snapshot(struct relay *relay, const struct front_msg *msg, int fd);

/* leave.c */
int leave_open(struct relay *relay);
void leave_follow(struct relay *relay);       /* a view has come */
bool leave_awaits(const struct relay *relay); /* there may be requests yet of those who could not know */

/* channels.c */
int channels_open(struct relay *relay);
void channels_peer(struct relay *relay, int fd);
void channels_counts(struct relay *relay);
void channels_hello(struct relay *relay);
void channels_say(struct relay *relay, uint32_t type);
void channels_fatal_port(struct relay *relay, int error, long port, const char *why); /* errno of it */
void channels_close(struct relay *relay);

#endif
