/* quota.h - who gets a connection when there are many. Pure but for the memory of its table.
 *
 * No more than `max` connections at a time. A load balancer is one address and may have them all; a crowd of
 * connections that never send a request may not. So an address's share (half of all) binds only once three
 * quarters are in use, and binds only those of its connections that have not sent a whole request head: a new
 * one of an address over its share takes the slot of the oldest such connection of that address, if that has
 * had QUOTA_GRACE for its head; where all slots are taken, any new one takes that of the oldest such
 * connection of all. Only where each connection has proved itself a new one is turned away.
 */
#ifndef LIVY_HA_RELAY_QUOTA_H
#define LIVY_HA_RELAY_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

struct quota_address;

struct quota_slot {                /* in the connection */
    struct quota_address *address; /* NULL: has no slot */
    bool proved;
    int64_t since;
    TAILQ_ENTRY(quota_slot) among_all, among_own;
};
TAILQ_HEAD(quota_slots, quota_slot);

#define QUOTA_BUCKETS 4096
#define QUOTA_GRACE 500 /* ms */

struct quota {
    size_t max, used;
    struct quota_address *buckets[QUOTA_BUCKETS];
    struct quota_slots unproved; /* the oldest first */
};

enum quota_verdict {
    QUOTA_ADMIT,
    QUOTA_EVICT, /* close `victim` first */
    QUOTA_REJECT,
};

void quota_init(struct quota *quota, size_t max);
/* `now`: ms of any clock that goes on evenly. Addresses count as peer.h has it. */
enum quota_verdict quota_ask(const struct quota *quota, const struct sockaddr *from, int64_t now,
                             struct quota_slot **victim);
bool quota_take(struct quota *quota, struct quota_slot *slot, const struct sockaddr *from, int64_t now);
void quota_prove(struct quota *quota, struct quota_slot *slot); /* it has sent a whole head */
void quota_give(struct quota *quota, struct quota_slot *slot);  /* its connection has ended */

#endif
