/* metrics.h - /metrics: the elector's counters, what follows from its last snapshot, and the relay's own. */
#ifndef LIVY_HA_RELAY_METRICS_H
#define LIVY_HA_RELAY_METRICS_H

#include <stdint.h>
#include <stdio.h>

#include "health.h"
#include "snapshot.h"
#include "stats.h"

struct metrics_sources {
    const struct snapshot *snapshot;
    const struct health_front *front;
    const struct relay_stats *stats; /* of the client path; NULL: there is none (front.listen is off) */
    const char *id;                  /* this member */
    int64_t now;
};

/* Prometheus' text format (prom.h). What is told of the cluster's and this member's state is left out while
 * the snapshot is old: a gap in a graph is true, a last value is not. */
void metrics_write(FILE *out, const struct metrics_sources *sources);

#endif
