/* said.h - what Livy writes to stdout and stderr: it goes to the daemon's stderr, and its end is kept.
 *
 * Livy writes to a file in runtime_dir that has no name any more; the keeper, told by inotify, copies what is
 * new to stderr and gives the room behind it back. Why a file, and neither a pipe nor stderr itself:
 *   - why a Livy has ended stands in the last lines that it wrote, and out of a journal, a terminal or a
 *     container's pipe nobody can read those back;
 *   - a pipe whose reader is stopped or slow stops Livy, one whose reader is gone takes its output away. A
 *     file takes all that is written: Livy goes on while the keeper is stopped (and dies by its guards
 * alone), and while stderr's reader hangs, which has held it up before;
 *   - a process that copies for each Livy would have to be watched, replaced and ended in its turn.
 * What it costs: a keeper that is killed takes with it what it had not copied yet, which is what Livy wrote
 * in its own last instant (PDEATHSIG). Where stderr takes less than Livy writes, 4 MiB wait at the most;
 * beyond that the oldest part is left out, and the log says so.
 *
 * Where this cannot be (no inotify, a file system without holes, a limit of file sizes) Livy inherits stderr
 * as it is, and nothing is known of its last words. Nothing here blocks, as far as runtime_dir is no network
 * file system.
 */
#ifndef LIVY_HA_KEEPER_SAID_H
#define LIVY_HA_KEEPER_SAID_H

#include <stdbool.h>
#include <stdint.h>

#include "livy-ha/livyend.h"

struct said {
    int fd;           /* for Livy's 1 and 2; -1: it inherits ours */
    int watch;        /* to be polled; readable: something was written */
    int64_t begin;    /* where the output of the last Livy begins */
    int64_t copied;   /* stderr has got all before it */
    int64_t freed;    /* what takes no room any more */
    int64_t again_at; /* when said_copy is to be called, whatever is written; CLOCK_NEVER: not needed */
    int64_t waits_at; /* how much there was when `waits` was found out */
    bool waits, whole, told;
};

/* Logs why where it does not work; there is nothing to be done about it then. */
void said_open(struct said *said, const char *runtime_dir);
void said_close(struct said *said);

/* A Livy is about to be started. */
void said_begin(struct said *said);
/* `watch` is readable, or again_at has come. Copies so much that it takes some milliseconds at the most. */
void said_copy(struct said *said, int64_t now);
/* Livy is dead: copies the last line too, though it has no end, and tells what is to be made of it. */
void said_ended(struct said *said, int64_t now, struct livyend *end);
/* Does the Livy that lives say that it waits for its ZooKeeper? */
bool said_waits(struct said *said);

#endif
