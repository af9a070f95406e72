/* metrics.h - what this elector has counted since it was started. Plain data inside of struct elector: the
 * core stays pure, the glue counts where things happen. No allocation but for the document, no clock of its
 * own.
 */
#ifndef LIVY_HA_ELECTOR_METRICS_H
#define LIVY_HA_ELECTOR_METRICS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core.h"

#define METRICS_BOUNDS 14 /* of the heartbeats' histogram */
#define METRICS_NAMES 32  /* at most that many phases, events, causes: further ones are not counted */

struct metrics {
    /* heartbeats through the quorum */
    uint64_t beat_counts[METRICS_BOUNDS + 1]; /* by the upper bound, the last one without; not cumulative */
    double beat_sum;                          /* s */
    uint64_t beats_sent, beats_acknowledged, beats_failed, beats_overdue;

    /* ZooKeeper */
    uint64_t kicks, connections, sessions_lost;

    /* Livy */
    uint64_t starts, exits[METRICS_NAMES]; /* by enum ipc_cause */
    uint32_t seen_run, ended_run;          /* the last run that was counted as started, as ended */
    uint64_t serves;
    double start_sum, start_last; /* s, from start to the first answer */

    /* the core's words */
    uint64_t failovers[METRICS_NAMES]; /* by enum core_left */
    uint64_t events[METRICS_NAMES];    /* by enum core_history */
    uint64_t phases[METRICS_NAMES];    /* how often each was entered */
    int64_t phase_ms[METRICS_NAMES];   /* how long in each, without the one that is */
    int64_t phase_since;
};

/* `livy` is how it was found at the start: not this elector's to count. */
void metrics_init(struct metrics *metrics, const struct ipc_livy *livy, int64_t now);

/* A heartbeat has got its answer after `took` us, or (not `acknowledged`) an error in its stead; `patience`
 * is the time in ms from which on it was overdue. */
void metrics_beat(struct metrics *metrics, int64_t took, int64_t patience, bool acknowledged);

/* The keeper's word of Livy. */
void metrics_livy(struct metrics *metrics, const struct ipc_livy *livy);

/* An action PHASE or HISTORY of the core, before it is carried out. */
void metrics_phase(struct metrics *metrics, enum core_phase old, enum core_phase phase, int64_t now);
void metrics_event(struct metrics *metrics, const struct core *core, const struct core_action *action);

/* All of it as an array of metric families, as Prometheus names and groups them:
 *   {"name", "type": "counter"|"gauge"|"summary"|"histogram", "help",
 *    "samples": [{"labels": {…}, "value": n}]}; in the place of "value" a summary has "sum" and "count", a
 *   histogram these two and "buckets": [[upper bound, cumulative count], …] without the last, infinite one.
 * A new reference; NULL without memory. */
json_t *metrics_document(const struct metrics *metrics, const struct core *core, int64_t now);

#endif
