/* explore.h - all schedules of an opening with up to so many deviations. */
#ifndef LIVY_HA_MODEL_EXPLORE_H
#define LIVY_HA_MODEL_EXPLORE_H

#include "fault.h"
#include "opening.h"

#define DEPTH_MAX 4

struct explore_bounds {
    int depth;       /* deviations */
    bool short_list; /* which faults */
    int64_t first;   /* ms in which the first one comes; 0: the opening's own span */
    int64_t next;    /* ms after one in which the next one comes */
};

struct deviation {
    uint32_t event; /* before the so-manieth event since the opening */
    struct fault fault;
};

struct explore_result {
    uint64_t steps;     /* events carried out */
    uint64_t states;    /* that differ, of those that were looked at (once a tick/2, and after each fault) */
    uint64_t schedules; /* to their end: the cluster is well again, or a state that was known */
    int64_t ms;
    bool complete; /* false: out of time */
    enum violation violation;
    char detail[160];
    int64_t at;
    int n_deviations;
    struct deviation deviations[DEPTH_MAX];
};

/* In `workers` processes, until done, a violation is found, or `until` (CLOCK_BOOTTIME ms) has passed. -1
 * where these cannot be started. */
int explore(const struct opening *o, const struct explore_bounds *bounds, int workers, int64_t until,
            struct explore_result *result);

/* Runs one schedule and tells it on stdout. */
enum violation explore_replay(const struct opening *o, const struct deviation *deviations, int n);

#endif
