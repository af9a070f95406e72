/* orphans.h - what a dead Livy leaves behind. As a subreaper the keeper inherits every orphan of its descendants.
 *
 * spark-submit is never signalled while Livy lives (Livy would mark the session failed and drop it from the store), and
 * gets livy.orphan_grace afterwards: a batch that it submits is found again by its tag. Anything else of Livy's is
 * killed once Livy is dead. Reads /proc; a few milliseconds on a busy host; only called when Livy has died.
 */
#ifndef LIVY_HA_KEEPER_ORPHANS_H
#define LIVY_HA_KEEPER_ORPHANS_H

#include <stdbool.h>
#include <sys/types.h>

/* Kills what is left of the Livy that was `livy` but for spark-submit (with `all`: that too). `spare` is the elector.
 * As PID 1 of a container only processes of Livy's own session count: others are reaped when they end, no more.
 * Returns the number of spark-submit processes left. */
int orphans_sort(pid_t livy, pid_t spare, bool all);

#endif
