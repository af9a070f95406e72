/* deaths.h - <root>/deaths: Livy's last deaths on any member, and who gave the latch up for them. What the
 * core's back-off is worked out from (core_backoff.c).
 *
 * A list of JSON objects, written with compare-and-set by whoever holds the latch and watched by all, so that
 * a standby knows it before it wins. An entry that is not written yet counts here already. Never blocks.
 *
 * How old an entry is: the hosts' clocks are not compared. An entry's time is the `mtime` that ZooKeeper gave
 * the version that brought it (`zk_ms`, filled in by whoever writes the next version), and ZooKeeper's time
 * now is that of a write of our own when we connected, carried on with CLOCK_BOOTTIME. Both are of
 * ZooKeeper's leader; after a change of leader they differ by as much as the servers' clocks do. Where an
 * entry came while we watched, its coming is what counts; where nothing is known it counts as young: a start
 * then waits for a minute at the most.
 */
#ifndef LIVY_HA_ELECTOR_DEATHS_H
#define LIVY_HA_ELECTOR_DEATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "zk.h"

#define DEATHS_MAX 64

struct deaths_entry {
    int64_t at; /* CLOCK_BOOTTIME ms */
    bool gave_up;
    const char *member; /* valid until the list changes */
};

struct deaths;

struct deaths_options {
    const char *root, *id, *host;
    uint32_t watch_kind;     /* what the owner's on_watch passes on to deaths_changed */
    void (*news)(void *arg); /* the list has changed; called from within deaths_add too */
    void *arg;
};

/* Strings are copied. NULL: out of memory. */
struct deaths *deaths_new(const struct deaths_options *options);
void deaths_free(struct deaths *deaths);

/* A handle that is connected and on which the node exists; NULL: there is none now. */
void deaths_connect(struct deaths *deaths, struct zk *zk);
void deaths_changed(struct deaths *deaths);

/* Livy has died here, or this member gives the latch up. Sent at once, so ahead of what is asked for next.
 * What is older than `window` is dropped on the way. */
void deaths_add(struct deaths *deaths, bool gave_up, const char *reason, int64_t window);

/* ZooKeeper's time less ours (CLOCK_BOOTTIME), ms, as last looked at; false: not known yet. */
bool deaths_clock(const struct deaths *deaths, int64_t *offset);

/* What is known, oldest first. */
size_t deaths_list(const struct deaths *deaths, struct deaths_entry list[static DEATHS_MAX]);

#endif
