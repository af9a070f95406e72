/* snapshot.h - what people may read (front.h's SNAPSHOT), for the relay: one JSON object
 *   {"v": 1, "pid": the elector's, "status": …, "cluster": …, "history": […], "metrics": […], "left_out": n}
 * in a memfd, soon after each change (at most one each SNAPSHOT_GAP ms, the last change always) and at least
 * each FRONT_AGAIN ms while a relay is there. Bounded by FRONT_SNAPSHOT_MAX: a member's record or an entry of
 * the history that is too large is replaced by one that says so, and counted in "left_out".
 */
#ifndef LIVY_HA_ELECTOR_SNAPSHOT_H
#define LIVY_HA_ELECTOR_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_GAP 50     /* ms */
#define SNAPSHOT_ITEM 16384 /* bytes that one member, or one entry of the history, may have */

struct event_base;
struct snapshot;

/* What to send, a new reference or NULL; and how: 0, or -1 with errno where it is to be tried again. `fd`
 * stays the caller's. */
typedef json_t *snapshot_document(void *arg);
typedef int snapshot_send(void *arg, int fd, uint64_t size);

struct snapshot *snapshot_new(struct event_base *base, snapshot_document *document, snapshot_send *send,
                              void *arg);
void snapshot_free(struct snapshot *snapshot);

/* A relay is there: it gets one at once. Or it is gone: none is made. */
void snapshot_listen(struct snapshot *snapshot, bool listened);

/* Something in it has changed. Cheap; may be called often. */
void snapshot_changed(struct snapshot *snapshot);

/* Replaces in `cluster`'s "members" and in `history` what is larger than SNAPSHOT_ITEM; returns how many. */
size_t snapshot_bound(json_t *cluster, json_t *history);

#endif
