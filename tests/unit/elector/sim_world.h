/* sim_world.h - a world in one thread for tests of the pure machines: a clock, a queue of what is to happen,
 * dice that a seed fixes, and links that keep their order. Nothing here knows of ZooKeeper or Livy. See
 * sim_zk.h, sim_client.h, sim_keeper.h and sim_elector.h for what lives in it.
 */
#ifndef LIVY_HA_TEST_SIM_WORLD_H
#define LIVY_HA_TEST_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIM_UNUSED __attribute__((unused))
#define SIM_HEAP 65536

struct sim;
typedef void sim_fn(struct sim *s, int64_t a, int64_t b);

struct sim_event {
    int64_t at;
    uint64_t number; /* what was planned first happens first */
    sim_fn *fn;
    int64_t a, b;
};

struct sim_world {
    int64_t now;
    uint64_t dice, number, steps;
    struct sim_event heap[SIM_HEAP];
    size_t n;
    bool trace;
};

/* Every struct sim begins with its world. */
static inline struct sim_world *sim_world(struct sim *s)
{
    return (struct sim_world *)(void *)s;
}

static inline int64_t sim_now(struct sim *s)
{
    return sim_world(s)->now;
}

static SIM_UNUSED void sim_die(struct sim *s, const char *what)
{
    fprintf(stderr, "at %lld ms: %s\n", (long long)sim_now(s), what);
    abort();
}

#define sim_trace(s, ...)                                                                                    \
    do {                                                                                                     \
        if (sim_world(s)->trace) {                                                                           \
            fprintf(stderr, "%9lld  ", (long long)sim_now(s));                                               \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
        }                                                                                                    \
    } while (0)

/* ---- dice (xorshift64*) ------------------------------------------------------------------------------ */

static SIM_UNUSED uint64_t sim_dice(struct sim *s)
{
    uint64_t x = sim_world(s)->dice;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    sim_world(s)->dice = x;
    return x * 2685821657736338717u;
}

/* From 0 to `most`, both included. */
static SIM_UNUSED int64_t sim_roll(struct sim *s, int64_t most)
{
    return most <= 0 ? 0 : (int64_t)((sim_dice(s) >> 16) % (uint64_t)(most + 1));
}

static SIM_UNUSED bool sim_chance(struct sim *s, int per_mille)
{
    return sim_roll(s, 999) < per_mille;
}

/* ---- the queue: a binary heap ------------------------------------------------------------------------ */

static SIM_UNUSED bool sim_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static SIM_UNUSED void sim_at(struct sim *s, int64_t at, sim_fn *fn, int64_t a, int64_t b)
{
    struct sim_world *w = sim_world(s);
    size_t i = w->n++;

    if (w->n > SIM_HEAP)
        sim_die(s, "too much is planned");
    struct sim_event event = {
        .at = at > w->now ? at : w->now, .number = ++w->number, .fn = fn, .a = a, .b = b};
    for (; i > 0 && sim_before(&event, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = event;
}

static SIM_UNUSED void sim_after(struct sim *s, int64_t delay, sim_fn *fn, int64_t a, int64_t b)
{
    sim_at(s, sim_now(s) + delay, fn, a, b);
}

static SIM_UNUSED struct sim_event sim_take(struct sim *s)
{
    struct sim_world *w = sim_world(s);
    struct sim_event first = w->heap[0], last = w->heap[--w->n];
    size_t i = 0, child;

    for (; (child = 2 * i + 1) < w->n; i = child) {
        if (child + 1 < w->n && sim_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!sim_before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return first;
}

/* Lets happen what is planned until `until`. */
static SIM_UNUSED void sim_run(struct sim *s, int64_t until)
{
    struct sim_world *w = sim_world(s);

    while (w->n > 0 && w->heap[0].at <= until) {
        struct sim_event event = sim_take(s);
        w->now = event.at;
        w->steps++;
        event.fn(s, event.a, event.b);
    }
    w->now = until;
}

/* ---- links: what is put in comes out later, in the same order ---------------------------------------- */

struct sim_item {
    struct sim_item *next;
};

struct sim_link {
    struct sim_item *head, *tail;
    int64_t last;
    int n;
};

/* Each item gets one call of `fn`, which takes the head: order is kept even where a call is put off. */
static SIM_UNUSED void sim_put(struct sim *s, struct sim_link *link, void *item, int64_t delay, sim_fn *fn,
                               int64_t a)
{
    struct sim_item *i = item;
    int64_t at = sim_now(s) + delay;

    i->next = NULL;
    if (link->tail != NULL)
        link->tail->next = i;
    else
        link->head = i;
    link->tail = i;
    link->n++;
    if (at < link->last)
        at = link->last;
    link->last = at;
    sim_at(s, at, fn, a, 0);
}

static SIM_UNUSED void *sim_pop(struct sim_link *link)
{
    struct sim_item *i = link->head;
    if (i == NULL)
        return NULL;
    link->head = i->next;
    if (link->head == NULL)
        link->tail = NULL;
    link->n--;
    return i;
}

/* Drops all but the first `keep`. Calls that find nothing do nothing. */
static SIM_UNUSED void sim_cut(struct sim_link *link, int keep)
{
    struct sim_item *kept[64];
    int n = 0;

    if (keep > 64)
        keep = 64;
    while (n < keep && link->head != NULL)
        kept[n++] = sim_pop(link);
    for (void *rest; (rest = sim_pop(link)) != NULL;)
        free(rest);
    for (int i = 0; i < n; i++) {
        kept[i]->next = NULL;
        if (link->tail != NULL)
            link->tail->next = kept[i];
        else
            link->head = kept[i];
        link->tail = kept[i];
        link->n++;
    }
}

#endif
