/* orphans.h - what a dead Livy leaves behind. As a subreaper the keeper inherits every orphan of its
 * descendants.
 *
 * spark-submit is never signalled while Livy lives (Livy would mark the session failed and drop it from the
 * store), and gets livy.orphan_grace afterwards: a batch that it submits is found again by its tag. Anything
 * else of Livy's is killed once Livy is dead. Reads /proc; a few milliseconds on a busy host; only called
 * when Livy has died.
 */
#ifndef LIVY_HA_KEEPER_ORPHANS_H
#define LIVY_HA_KEEPER_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ORPHANS_SPARE 11
#define ORPHANS_SPARE_SESSIONS 4
#define ORPHANS_TOLD 32

/* Those that were killed and are not reaped yet: each is told of once. Of more at a time than fit, the oldest
 * are told of again. */
struct orphans_told {
    pid_t pids[ORPHANS_TOLD]; /* 0: free */
    size_t next;
};

struct orphans {
    pid_t livy; /* the dead Livy; or the one that runs again by now, whose own processes are let be */
    bool livy_alive;
    pid_t held; /* one that was held and has ended: what is of its session or carries the marker is ended,
                   even where a Livy runs by now, and nothing else is; 0: none */
    pid_t spare[ORPHANS_SPARE]; /* electors, relays; a fence command, a hook, a held Livy, those that look:
                                   they have no session of their own yet in their first moment; 0: none */
    pid_t spare_session[ORPHANS_SPARE_SESSIONS]; /* of the last fence command, of hooks, of a held Livy; 0:
                                                    none */
    struct orphans_told *told;
    const char *marker; /* "LIVY_CONF_DIR=<overlay>": an environment variable that all of Livy's descendants
                           inherit */
};

/* Kills what is left of a dead Livy but for spark-submit (with `all`: spark-submit as well). As PID 1 of a
 * container the keeper inherits strangers too (what an operator runs in it): only what is of Livy's session,
 * or carries its marker, counts. Returns the number of spark-submit processes left; `ended`: whether anything
 * was killed (its own children are ours once it is reaped, so look again then). */
int orphans_sort(const struct orphans *orphans, bool all, bool *ended);

/* A child of ours is reaped: its pid may be another one's from now on. */
void orphans_reaped(struct orphans_told *told, pid_t pid);

#endif
