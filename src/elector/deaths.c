/* deaths.c - see the header. */
#include "deaths.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "paths.h"
#include "record.h"

#define WAITING 8
#define WATCH_TAG 1
#define KEY_SIZE 17
#define REASON_SIZE 256
#define CLOCK_LOOKS 5 /* on one connection, at the most */
#define CLOCK_TOOK 20 /* ms: a look at ZooKeeper's clock that takes no longer is good enough */

struct seen { /* when an entry came, on our clock: found out once */
    char key[KEY_SIZE];
    int64_t at;
};

struct deaths {
    struct deaths_options options;
    char *known; /* what known/<id> says */
    char id[160], path[PATH_SIZE], known_path[PATH_SIZE];
    struct zk *zk;
    int32_t version; /* of the node, counting what is on its way; -1: not known */
    unsigned sets;   /* on their way */
    bool reading, read_again, watched, clocked, ever_clocked;
    int64_t offset; /* ZooKeeper's time less ours */
    int64_t asked;  /* when the clock was asked for, and how long the best answer so far took */
    int64_t took;
    unsigned looks; /* on this connection */
    json_t *record, *waiting;
    struct seen seen[DEATHS_MAX];
    size_t n_seen;
};

struct deaths *deaths_new(const struct deaths_options *options)
{
    struct deaths *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return NULL;
    d->options = *options;
    d->version = -1;
    d->record = json_array();
    d->waiting = json_array();
    snprintf(d->id, sizeof(d->id), "%s", options->id);
    path_make(d->path, options->root, NULL, "deaths");
    path_make(d->known_path, options->root, "known", options->id);
    d->known = record_known(options->id, options->host);
    if (d->record == NULL || d->waiting == NULL || d->known == NULL) {
        deaths_free(d);
        return NULL;
    }
    d->options.root = d->options.id = d->options.host = NULL; /* the caller's */
    return d;
}

void deaths_free(struct deaths *d)
{
    if (d == NULL)
        return;
    json_decref(d->record);
    json_decref(d->waiting);
    free(d->known);
    free(d);
}

/* ---- entries ----------------------------------------------------------------------------------------- */

static bool holds(const json_t *list, const json_t *entry)
{
    size_t i;
    json_t *other;

    json_array_foreach((json_t *)list, i, other) if (strcmp(record_text(other, "key"),
                                                            record_text(entry, "key")) == 0) return true;
    return false;
}

/* How long ago by ZooKeeper's clock; -1: not known. */
static int64_t age(const struct deaths *d, const json_t *entry, int64_t now)
{
    int64_t stamp = json_integer_value(json_object_get(entry, "zk_ms"));
    int64_t found = now + d->offset - stamp;

    if (stamp <= 0 || !d->clocked)
        return -1;
    return found > 0 ? found : 0;
}

static const int64_t *find_seen(const struct deaths *d, const char *key)
{
    for (size_t i = 0; i < d->n_seen; i++)
        if (strcmp(d->seen[i].key, key) == 0)
            return &d->seen[i].at;
    return NULL;
}

/* An entry that comes while we watch came just now, whatever the clocks say. */
static void see(struct deaths *d, const json_t *entry, int64_t now, bool live)
{
    const char *key = record_text(entry, "key");
    int64_t old = live ? 0 : age(d, entry, now);

    if (strlen(key) >= KEY_SIZE || find_seen(d, key) != NULL)
        return;
    if (d->n_seen == DEATHS_MAX) {
        memmove(d->seen, d->seen + 1, (DEATHS_MAX - 1) * sizeof(d->seen[0]));
        d->n_seen--;
    }
    struct seen *seen = &d->seen[d->n_seen++];
    memcpy(seen->key, key, strlen(key) + 1);
    seen->at = old > 0 ? now - old : now;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void read_record(struct deaths *d);

static void written(void *arg, const struct zk_reply *reply)
{
    struct deaths *d = arg;

    d->sets--;
    if (reply->rc == ZOK)
        return; /* our own watch tells, and the entries are dropped from `waiting` when they are read */
    log_debug("deaths: %s", zerror(reply->rc));
    d->version = -1;
    if (reply->rc == ZBADVERSION && d->sets == 0)
        read_record(d);
}

/* The record with what waits. Several may be on their way: each builds upon the one before, and fails with
 * it.
 */
static void write_record(struct deaths *d, int64_t window)
{
    size_t i;
    json_t *entry;
    int64_t now = clock_boot_ms();

    if (d->zk == NULL || d->version < 0 || json_array_size(d->waiting) == 0)
        return;
    json_t *list = json_array();
    json_array_foreach(d->record, i, entry) if (age(d, entry, now) < window) json_array_append(list, entry);
    json_array_foreach(d->waiting, i, entry) if (!holds(list, entry)) json_array_append(list, entry);
    while (json_array_size(list) > DEATHS_MAX)
        json_array_remove(list, 0);
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    if (text != NULL && zk_set(d->zk, d->path, text, (int)strlen(text), d->version, written, d) == ZOK) {
        d->version++;
        d->sets++;
    }
    free(text);
}

/* A name cut in the middle of a character, say, is no text that JSON takes; the death counts all the same. */
static void plain_text(const char *reason, char *plain, size_t size)
{
    snprintf(plain, size, "%s", reason);
    for (char *c = plain; *c != '\0'; c++)
        if (*c < ' ' || *c >= 0x7f)
            *c = '?';
}

void deaths_add(struct deaths *d, bool gave_up, const char *reason, int64_t window)
{
    char at[CLOCK_UTC_SIZE], key[KEY_SIZE], plain[REASON_SIZE];
    uint64_t draw = 0;

    if (getrandom(&draw, sizeof(draw), 0) != (ssize_t)sizeof(draw))
        draw = (uint64_t)clock_boot_ms();
    snprintf(key, sizeof(key), "%016" PRIx64, draw);
    clock_format_utc(clock_wall_ms(), at);
    plain_text(reason, plain, sizeof(plain));
    json_t *entry = json_pack("{s:s, s:s, s:s, s:s, s:s}", "key", key, "member", d->id, "event",
                              gave_up ? "gave-up" : "died", "at", at, "reason", plain);
    if (entry == NULL) {
        log_warn("a death of Livy is not counted: out of memory");
        return;
    }
    if (json_array_size(d->waiting) == WAITING)
        json_array_remove(d->waiting, 0);
    see(d, entry, clock_boot_ms(), true);
    json_array_append_new(d->waiting, entry);
    write_record(d, window);
    d->options.news(d->options.arg);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static void take_record(struct deaths *d, json_t *list, const struct zk_reply *reply)
{
    size_t i;
    json_t *entry;

    json_array_foreach(list, i, entry)
    {
        if (json_object_get(entry, "zk_ms") == NULL) /* of this version, or of one just before it */
            json_object_set_new(entry, "zk_ms", json_integer(reply->stat->mtime));
        see(d, entry, reply->at, d->watched);
    }
    json_decref(d->record);
    d->record = list;
    for (i = json_array_size(d->waiting); i-- > 0;)
        if (holds(list, json_array_get(d->waiting, i)))
            json_array_remove(d->waiting, i);
    d->watched = true;
}

static void on_read(void *arg, const struct zk_reply *reply)
{
    struct deaths *d = arg;

    d->reading = false;
    if (reply->rc != ZOK) {
        log_debug("deaths: %s", zerror(reply->rc)); /* read anew with the next connection */
        if (d->read_again)
            read_record(d);
        return;
    }
    take_record(d, record_list(reply, DEATHS_MAX), reply);
    if (d->sets == 0) {
        d->version = reply->stat->version;
        write_record(d, INT64_MAX);
    }
    d->options.news(d->options.arg);
    if (d->read_again)
        read_record(d);
}

static void read_record(struct deaths *d)
{
    d->read_again = d->reading;
    if (d->zk == NULL || d->reading)
        return;
    d->reading = zk_get(d->zk, d->path, d->options.watch_kind, WATCH_TAG, on_read, d) == ZOK;
}

void deaths_changed(struct deaths *d)
{
    read_record(d);
}

static void on_clock(void *arg, const struct zk_reply *reply);

/* What ZooKeeper's clock says: a write of what known/<id> says anyway, which nobody watches. */
static void ask_clock(struct deaths *d)
{
    d->asked = clock_boot_ms();
    d->looks++;
    (void)zk_set(d->zk, d->known_path, d->known, (int)strlen(d->known), -1, on_clock, d);
}

/* It was read in the middle, give or take the half of how long that took: a long one is not the last word. */
static void on_clock(void *arg, const struct zk_reply *reply)
{
    struct deaths *d = arg;
    int64_t took = reply->at > d->asked ? reply->at - d->asked : 0;

    if (reply->rc != ZOK || reply->stat == NULL)
        return;
    if (!d->clocked || took < d->took) {
        d->took = took;
        d->offset = reply->stat->mtime - (d->asked + took / 2);
    }
    d->clocked = d->ever_clocked = true;
    if (d->took > CLOCK_TOOK && d->looks < CLOCK_LOOKS && d->zk != NULL)
        ask_clock(d);
}

bool deaths_clock(const struct deaths *d, int64_t *offset)
{
    *offset = d->offset;
    return d->ever_clocked;
}

void deaths_connect(struct deaths *d, struct zk *zk)
{
    if (zk != d->zk) { /* a handle that is gone answers nothing any more */
        d->reading = d->read_again = false;
        d->sets = 0;
    }
    d->zk = zk;
    d->version = -1;
    d->watched = d->clocked = false; /* what came meanwhile is dated by ZooKeeper's clock */
    if (zk == NULL)
        return;
    d->looks = 0;
    ask_clock(d);
    read_record(d);
}

/* ---- telling ----------------------------------------------------------------------------------------- */

static void tell(const struct deaths *d, const json_t *from, struct deaths_entry *list, size_t *n)
{
    size_t i;
    json_t *entry;

    json_array_foreach((json_t *)from, i, entry)
    {
        const int64_t *at = find_seen(d, record_text(entry, "key"));
        if (at == NULL || *n == DEATHS_MAX || (from == d->waiting && holds(d->record, entry)))
            continue;
        list[(*n)++] = (struct deaths_entry){.at = *at,
                                             .gave_up = strcmp(record_text(entry, "event"), "gave-up") == 0,
                                             .member = record_text(entry, "member")};
    }
}

size_t deaths_list(const struct deaths *d, struct deaths_entry list[static DEATHS_MAX])
{
    size_t n = 0;

    tell(d, d->record, list, &n);
    tell(d, d->waiting, list, &n);
    return n;
}
