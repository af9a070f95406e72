/* admin.h - admin.listen: health checks, JSON, metrics and the page, for reading alone (CONTRACT of the admin
 * port; docs/monitoring.md). Answers from the last snapshot, never asks anybody, never redirects.
 */
#ifndef LIVY_HA_RELAY_ADMIN_H
#define LIVY_HA_RELAY_ADMIN_H

#include <stddef.h>

#include "health.h"
#include "snapshot.h"
#include "stats.h"

#define ADMIN_CONNECTIONS 512 /* at a time; a load balancer's checks are a few a second */
#define ADMIN_PER_ADDRESS 256
#define ADMIN_SECONDS 5 /* for a request, and again for its answer */

struct event_base;
struct admin;

struct admin_options {
    const char *listen, *id, *root; /* admin.listen, not "off"; id; zookeeper.root */
    const struct snapshot *snapshot;
    const struct relay_stats *stats;                      /* NULL: there is no front */
    void (*front)(void *arg, struct health_front *front); /* how the front is now */
    void *arg;
};

/* The strings are copied; `snapshot` and `stats` must last as long as the admin port. NULL with errno and a
 * sentence in `why`, which names the address and what to do. */
struct admin *admin_open(struct event_base *base, const struct admin_options *options, char *why,
                         size_t size);
void admin_close(struct admin *admin); /* NULL is allowed */

#endif
