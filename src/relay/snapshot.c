/* snapshot.c - see the header. */
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/front.h"

struct snapshot {
    json_t *document; /* NULL: none has come yet */
    int64_t sent_at;
    int64_t began; /* this process, more or less */
    struct snapshot_counts counts;
};

struct snapshot *snapshot_new(void)
{
    struct snapshot *s = calloc(1, sizeof(*s));

    if (s != NULL)
        s->began = clock_boot_ms();
    return s;
}

void snapshot_free(struct snapshot *s)
{
    if (s == NULL)
        return;
    json_decref(s->document);
    free(s);
}

/* ---- taking one
 * -------------------------------------------------------------------------------------------------- */

static int read_all(int fd, char *text, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = pread(fd, text + have, size - have, (off_t)have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        have += (size_t)n;
    }
    return 0;
}

static bool well_formed(const json_t *document)
{
    const json_t *member, *cluster = json_object_get(document, "cluster");
    const json_t *members = json_object_get(cluster, "members");
    size_t i;

    if (!json_is_object(json_object_get(document, "status")) || !json_is_object(cluster) ||
        !json_is_array(members) || !json_is_array(json_object_get(document, "history")) ||
        !json_is_array(json_object_get(document, "metrics")))
        return false;
    json_array_foreach(members, i, member)
    {
        if (!json_is_string(json_object_get(member, "id")))
            return false;
    }
    return true;
}

static json_t *load(int fd, size_t size, char *why, size_t n)
{
    char *text = malloc(size);
    json_t *document = NULL;
    json_error_t error;

    if (text == NULL || read_all(fd, text, size) != 0) {
        snprintf(why, n, "the elector's snapshot of %zu bytes cannot be read: %s", size,
                 text == NULL ? "out of memory" : "it is shorter than that");
        free(text);
        return NULL;
    }
    document = json_loadb(text, size, 0, &error);
    free(text);
    if (document == NULL) {
        snprintf(why, n, "the elector's snapshot is no JSON: %s", error.text);
    } else if (!well_formed(document)) {
        snprintf(why, n, "the elector's snapshot lacks a part: are elector and relay of one version?");
        json_decref(document);
        document = NULL;
    }
    return document;
}

int snapshot_take(struct snapshot *s, int fd, uint64_t size, int64_t sent_at, char *why, size_t n)
{
    json_t *document = NULL;

    if (fd < 0 || size == 0 || size > FRONT_SNAPSHOT_MAX)
        snprintf(why, n, "the elector's snapshot has %llu bytes, expected 1 to %llu",
                 fd < 0 ? 0ULL : (unsigned long long)size, (unsigned long long)FRONT_SNAPSHOT_MAX);
    else
        document = load(fd, (size_t)size, why, n);
    if (document == NULL) {
        s->counts.refused++;
        return -1;
    }
    json_decref(s->document);
    s->document = document;
    s->sent_at = sent_at;
    s->counts.taken++;
    s->counts.bytes = size;
    json_int_t left_out = json_integer_value(json_object_get(document, "left_out"));
    s->counts.left_out = left_out > 0 ? (uint64_t)left_out : 0;
    return 0;
}

/* ---- looking at it
 * ------------------------------------------------------------------------------------------------ */

bool snapshot_there(const struct snapshot *s)
{
    return s->document != NULL;
}

int64_t snapshot_age(const struct snapshot *s, int64_t now)
{
    int64_t age = now - (s->document != NULL ? s->sent_at : s->began);

    return age > 0 ? age : 0;
}

bool snapshot_fresh(const struct snapshot *s, int64_t now)
{
    return s->document != NULL && snapshot_age(s, now) <= SNAPSHOT_FRESH;
}

const json_t *snapshot_status(const struct snapshot *s)
{
    return json_object_get(s->document, "status");
}

const json_t *snapshot_cluster(const struct snapshot *s)
{
    return json_object_get(s->document, "cluster");
}

const json_t *snapshot_history(const struct snapshot *s)
{
    return json_object_get(s->document, "history");
}

const json_t *snapshot_metrics(const struct snapshot *s)
{
    return json_object_get(s->document, "metrics");
}

int snapshot_elector(const struct snapshot *s)
{
    return (int)json_integer_value(json_object_get(s->document, "pid"));
}

const char *snapshot_text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value != NULL ? value : "";
}

bool snapshot_is(const json_t *object, const char *key, const char *value)
{
    return strcmp(snapshot_text(object, key), value) == 0;
}

int64_t snapshot_lease_left(const struct snapshot *s, int64_t now)
{
    const json_t *left = json_object_get(snapshot_status(s), "lease_left_ms");

    if (!json_is_integer(left))
        return -1;
    int64_t ms = json_integer_value(left) - snapshot_age(s, now);
    return ms > 0 ? ms : 0;
}

struct snapshot_counts snapshot_counts(const struct snapshot *s)
{
    return s->counts;
}
