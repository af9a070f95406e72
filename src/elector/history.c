/* history.c - see the header. */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "record.h"

#define KEEP 100
#define WAITING 32
#define TOGETHER 1000 /* ms within which entries of several members are put in the order of their times */

struct history {
    char *path;
    struct zk *zk;
    json_t *waiting[WAITING];
    size_t n_waiting;
    size_t in_flight; /* how many of them the set under way carries */
    bool busy;
};

struct history *history_new(const char *path)
{
    struct history *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    h->path = strdup(path);
    if (h->path != NULL)
        return h;
    free(h);
    return NULL;
}

void history_free(struct history *h)
{
    if (h == NULL)
        return;
    for (size_t i = 0; i < h->n_waiting; i++)
        json_decref(h->waiting[i]);
    free(h->path);
    free(h);
}

bool history_idle(const struct history *h)
{
    return h->n_waiting == 0;
}

/* The oldest ones. */
static void drop(struct history *h, size_t count)
{
    for (size_t i = 0; i < count; i++)
        json_decref(h->waiting[i]);
    for (size_t i = 0; i + count < h->n_waiting; i++)
        h->waiting[i] = h->waiting[i + count];
    h->n_waiting -= count;
}

static void next(struct history *h);

static void written(void *arg, const struct zk_reply *reply)
{
    struct history *h = arg;

    h->busy = false;
    if (reply->rc == ZOK)
        drop(h, h->in_flight);
    h->in_flight = 0;
    if (reply->rc == ZOK || reply->rc == ZBADVERSION)
        next(h);
    else
        log_debug("history: %s", zerror(reply->rc)); /* with the next connection, or the next flush */
}

static bool contains(const json_t *list, const json_t *entry)
{
    size_t i;
    json_t *other;
    json_array_foreach((json_t *)list, i, other) if (json_equal(other, entry)) return true;
    return false;
}

/* Milliseconds into its minute, -1 where that is no time. */
static int ms_of(const char *at)
{
    if (strlen(at) != CLOCK_UTC_SIZE - 1)
        return -1;
    return (int)strtol(at + 17, NULL, 10) * 1000 + (int)strtol(at + 20, NULL, 10);
}

/* By a moment, so that the difference says who was first, and not whose clock is wrong. */
static bool just_before(const char *a, const char *b)
{
    int apart = ms_of(b) - ms_of(a);
    return ms_of(a) >= 0 && ms_of(b) >= 0 && strncmp(a, b, 17) == 0 && apart > 0 && apart < TOGETHER;
}

/* Who took over writes as soon as who gave up: readers want what happened first first. */
static void put(json_t *list, json_t *entry)
{
    size_t at = json_array_size(list);

    while (at > 0 && just_before(record_text(entry, "at"), record_text(json_array_get(list, at - 1), "at")))
        at--;
    json_array_insert(list, at, entry);
}

static void loaded(void *arg, const struct zk_reply *reply)
{
    struct history *h = arg;

    if (reply->rc != ZOK) {
        h->busy = false;
        log_debug("history: %s", zerror(reply->rc));
        return;
    }
    json_t *list = record_list(reply, KEEP);
    for (size_t i = 0; i < h->n_waiting; i++)
        if (!contains(list, h->waiting[i]))
            put(list, h->waiting[i]);
    while (json_array_size(list) > KEEP)
        json_array_remove(list, 0);
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    h->in_flight = h->n_waiting;
    if (text == NULL ||
        zk_set(h->zk, h->path, text, (int)strlen(text), reply->stat->version, written, h) != ZOK) {
        h->busy = false;
        h->in_flight = 0;
    }
    free(text);
}

static void next(struct history *h)
{
    if (h->busy || h->zk == NULL || h->n_waiting == 0)
        return;
    h->busy = zk_get(h->zk, h->path, 0, 0, loaded, h) == ZOK;
}

void history_add(struct history *h, json_t *entry)
{
    if (entry == NULL)
        return;
    if (h->n_waiting == WAITING) { /* where a set carries the oldest already, it is written all the same */
        drop(h, 1);
        if (h->in_flight > 0)
            h->in_flight--;
    }
    h->waiting[h->n_waiting++] = entry;
}

void history_flush(struct history *h)
{
    next(h);
}

void history_connect(struct history *h, struct zk *zk)
{
    if (zk != h->zk) { /* a handle that is gone answers nothing any more; on the same one each request is
                          answered */
        h->busy = false;
        h->in_flight = 0;
    }
    h->zk = zk;
    next(h);
}
