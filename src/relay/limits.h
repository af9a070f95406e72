/* limits.h - who gets a connection when there are many. Pure but for the memory of its table.
 *
 * No more than `max` connections at a time. A load balancer is one address and may have them all; a crowd of
 * connections that never send a request may not. So an address's share (half of all) binds only once three
 * quarters are in use, and binds only those of its connections that have not sent a whole request head: a new
 * one of an address over its share takes the slot of the oldest such connection of that address; where all
 * slots are taken, any new one takes that of the oldest such connection of all. Only where each connection
 * has proved itself a new one is turned away.
 */
#ifndef LIVY_HA_RELAY_LIMITS_H
#define LIVY_HA_RELAY_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct limits_address;

struct limits_slot {                /* in the connection */
    struct limits_address *address; /* NULL: has no slot */
    bool proved;
    TAILQ_ENTRY(limits_slot) among_all, among_own;
};
TAILQ_HEAD(limits_slots, limits_slot);

#define LIMITS_BUCKETS 4096

struct limits {
    size_t max, used;
    struct limits_address *buckets[LIMITS_BUCKETS];
    struct limits_slots unproved; /* the oldest first */
};

enum limits_verdict {
    LIMITS_ADMIT,
    LIMITS_EVICT, /* close `victim` first */
    LIMITS_REJECT,
};

void limits_init(struct limits *limits, size_t max);
/* An IPv6 address counts by its first 64 bits: a host has all of those that follow. */
enum limits_verdict limits_ask(const struct limits *limits, const struct sockaddr *from,
                               struct limits_slot **victim);
bool limits_take(struct limits *limits, struct limits_slot *slot, const struct sockaddr *from);
void limits_prove(struct limits *limits, struct limits_slot *slot); /* it has sent a whole head */
void limits_give(struct limits *limits, struct limits_slot *slot);  /* its connection has ended */

#endif
