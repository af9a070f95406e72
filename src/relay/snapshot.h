/* snapshot.h - the last word of the elector about the cluster (front.h's SNAPSHOT), dated.
 *
 * The elector is trusted; bounds and shapes are checked all the same, so that a fault over there is a line in
 * the log here. What fails the checks is dropped, and the one before stays, with its date. Who shows anything
 * of it looks at its age first.
 */
#ifndef LIVY_HA_RELAY_SNAPSHOT_H
#define LIVY_HA_RELAY_SNAPSHOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNAPSHOT_FRESH 3000 /* ms: an older one says nothing about now */

struct snapshot;

struct snapshot *snapshot_new(void);
void snapshot_free(struct snapshot *snapshot);

/* Reads `size` bytes of `fd` (a memfd; stays the caller's), which were sent at `sent_at` (CLOCK_BOOTTIME ms).
 * 0, or -1 with a sentence in `why`; then all is as before. */
int snapshot_take(struct snapshot *snapshot, int fd, uint64_t size, int64_t sent_at, char *why, size_t n);

bool snapshot_there(const struct snapshot *snapshot); /* one has come since this process began */
/* ms since it was sent; since this process began where none has come yet. Never negative. */
int64_t snapshot_age(const struct snapshot *snapshot, int64_t now);
bool snapshot_fresh(const struct snapshot *snapshot,
                    int64_t now); /* there, and not older than SNAPSHOT_FRESH */

/* Borrowed until the next snapshot_take; NULL where none has come. */
const json_t *snapshot_status(const struct snapshot *snapshot);  /* an object, as in /status */
const json_t *snapshot_cluster(const struct snapshot *snapshot); /* an object, as in /cluster */
const json_t *snapshot_history(const struct snapshot *snapshot); /* an array, the oldest one first */
const json_t *snapshot_metrics(const struct snapshot *snapshot); /* an array of metric families */
int snapshot_elector(const struct snapshot *snapshot);           /* its pid, 0 where none has come */

/* The text of a field of one of these objects; "" where there is none. Borrowed like the object. */
const char *snapshot_text(const json_t *object, const char *key);
bool snapshot_is(const json_t *object, const char *key, const char *value); /* it is this one */

/* ms of this member's lease that are left now, by what was left then; -1: it had none. */
int64_t snapshot_lease_left(const struct snapshot *snapshot, int64_t now);

struct snapshot_counts {
    uint64_t taken, refused, bytes; /* bytes: of the last one */
    uint64_t left_out;              /* records and entries that the elector has cut, in the last one */
};
struct snapshot_counts snapshot_counts(const struct snapshot *snapshot);

#endif
