/* world.c - the queue, the clocks, and what is done with an event. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "host.h"
#include "livy-ha/clock.h"
#include "orders.h"
#include "zk.h"

#define CLOCK_START 1000000 /* what a host's clock shows at the leader's 0, and its number times that */

/* ---- clocks ------------------------------------------------------------------------------------------ */

int64_t world_local(const struct world *w, int host)
{
    return CLOCK_START * (int64_t)(host + 1) + w->now * (1000 + w->hosts[host].drift) / 1000;
}

int64_t world_when(const struct world *w, int host, int64_t local)
{
    int64_t rate = 1000 + w->hosts[host].drift, passed = local - CLOCK_START * (int64_t)(host + 1);
    if (local == CLOCK_NEVER)
        return CLOCK_NEVER;
    return passed <= 0 ? 0 : (passed * 1000 + rate - 1) / rate;
}

/* ---- what people read -------------------------------------------------------------------------------- */

void world_say(const struct world *w, const char *format, ...)
{
    va_list args;

    if (!w->trace)
        return;
    printf("%7lld  ", (long long)w->now);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void world_violation(struct world *w, enum violation violation, const char *format, ...)
{
    va_list args;

    if (w->violation != FINE)
        return; /* the first one counts */
    w->violation = violation;
    va_start(args, format);
    vsnprintf(w->detail, sizeof(w->detail), format, args);
    va_end(args);
    world_say(w, "VIOLATION %s: %s", world_violation_name(violation), w->detail);
}

const char *world_violation_name(enum violation violation)
{
    static const char *const names[] = {
        "none",           "two-livys",     "lease-outlived",   "session-outlived",
        "latch-given-up", "bad-start",     "started-in-pause", "restart-lost",
        "begun-early",    "nobody-serves", "model-full"};
    return (size_t)violation < sizeof(names) / sizeof(names[0]) ? names[violation] : "?";
}

void world_describe(const struct world *w)
{
    if (!w->trace)
        return;
    printf("%7s  ", "");
    for (int i = 0; i < w->n_hosts; i++) {
        const struct host *h = &w->hosts[i];
        const char *elector = !h->elector                   ? "elector dead"
                              : h->elector_stopped > w->now ? "elector stopped"
                              : !h->welcomed                ? "elector new"
                                                            : core_phase_name(h->core.phase);
        const char *keeper = !h->keeper                   ? ", keeper dead"
                             : h->keeper_stopped > w->now ? ", keeper stopped"
                                                          : "";
        long long left = (long long)(h->lease_end - world_local(w, i));
        printf("%s[%d: %s%s, Livy %s", i > 0 ? " " : "", i, elector, keeper, h->livy ? "alive" : "none");
        if (h->livy)
            printf(", lease %lld ms", left);
        printf("]");
    }
    putchar('\n');
}

/* ---- the queue --------------------------------------------------------------------------------------- */

static void insert(struct world *w, const struct event *e)
{
    int i = w->n_events;

    if (i == EVENTS) {
        world_violation(w, MODEL_FULL, "more than %d events are under way", EVENTS);
        return;
    }
    for (; i > 0 && w->events[i - 1].at <= e->at; i--) /* of those at one time it is the last */
        w->events[i] = w->events[i - 1];
    w->events[i] = *e;
    w->n_events++;
}

void world_put(struct world *w, int64_t at, enum event_kind kind, int who, int32_t arg)
{
    struct event e;

    memset(&e, 0, sizeof(e));
    e.at = later(at, w->now);
    e.kind = (int16_t)kind;
    e.who = (int16_t)who;
    e.arg = arg;
    e.m.conn = -1;
    insert(w, &e);
}

void world_put_message(struct world *w, int64_t at, enum event_kind kind, int who, const struct zmsg *m)
{
    struct event e;

    memset(&e, 0, sizeof(e));
    e.at = later(at, w->now);
    e.kind = (int16_t)kind;
    e.who = (int16_t)who;
    e.m = *m;
    insert(w, &e);
}

void world_put_back(struct world *w, const struct event *e, int64_t at)
{
    struct event again = *e;
    again.at = at;
    insert(w, &again);
}

void world_drop_events(struct world *w, world_drop *drop, int arg)
{
    int kept = 0;

    for (int i = 0; i < w->n_events; i++)
        if (!drop(w, &w->events[i], arg))
            w->events[kept++] = w->events[i];
    w->n_events = kept;
}

static void earlier(struct event *first, int64_t at, enum event_kind kind, int who)
{
    if (at >= first->at)
        return;
    memset(first, 0, sizeof(*first));
    first->at = at;
    first->kind = (int16_t)kind;
    first->who = (int16_t)who;
    first->m.conn = -1;
}

struct event world_next(const struct world *w)
{
    struct event first;

    memset(&first, 0, sizeof(first));
    if (w->n_events > 0) {
        first = w->events[w->n_events - 1];
    } else {
        first.at = CLOCK_NEVER;
        first.kind = EV_NEVER;
    }
    for (int i = 0; i < w->n_hosts; i++) {
        const struct host *h = &w->hosts[i];
        if (h->keeper)
            earlier(&first, later(h->keeper_alarm, h->keeper_stopped), EV_KEEPER_TIME, i);
        if (h->elector && h->welcomed && h->closing == 0)
            earlier(&first, later(h->elector_alarm, h->elector_stopped), EV_ELECTOR_TIME, i);
        if (h->elector && h->client.conn >= 0)
            earlier(&first, later(h->client.look_at, h->elector_stopped), EV_CLIENT_TIME, i);
    }
    earlier(&first, w->zk.ping_at, EV_LEADER_PING, 0);
    if (first.at < w->now)
        first.at = w->now;
    return first;
}

/* ---- what must hold at every instant ----------------------------------------------------------------- */

static void check_leases(struct world *w)
{
    for (int i = 0; i < w->n_hosts; i++) {
        const struct host *h = &w->hosts[i];
        if (h->livy && !h->shut && h->keeper && world_local(w, i) > h->lease_end + KILL_MARGIN)
            world_violation(w, LEASE_OUTLIVED, "host %d: Livy lives %lld ms beyond the deadline and K", i,
                            (long long)(world_local(w, i) - h->lease_end - KILL_MARGIN));
    }
}

void world_step(struct world *w, const struct event *next)
{
    const struct event e = *next;

    w->now = e.at;
    if (e.kind < EV_KEEPER_TIME)
        w->n_events--;
    switch ((enum event_kind)e.kind) {
    case EV_UP:
    case EV_SERVER_EOF:
    case EV_TO_LEADER:
    case EV_FROM_LEADER:
    case EV_EXPIRE:
    case EV_HEAL:
    case EV_LEAVE:
    case EV_ELECTED:
    case EV_LEADER_PING:
        zk_event(w, &e);
        break;
    case EV_DOWN:
    case EV_HUNG_UP:
    case EV_CONNECT:
    case EV_CLIENT_TIME:
        client_event(w, &e);
        break;
    case EV_KEEPER_WAKE:
    case EV_PACKET:
    case EV_HELLO:
    case EV_KEEPER_GONE:
    case EV_GUARD:
    case EV_LIVY_DEAD:
    case EV_LIVY_OPENS:
    case EV_PROBED:
    case EV_LOOKED:
    case EV_DEATHS:
    case EV_KEEPER_BEGIN:
    case EV_STAND:
    case EV_QUIET:
    case EV_DOUBT:
    case EV_RESTART:
    case EV_ORDERS:
    case EV_CLOSED:
    case EV_KEEPER_TIME:
    case EV_ELECTOR_TIME:
        host_event(w, &e);
        break;
    case EV_MARKED:
    case EV_ORDERS_EXPIRE:
        orders_event(w, &e);
        break;
    case EV_NEVER:
        abort();
    }
    check_leases(w);
}

void world_begin(struct world *w, int hosts, int drift)
{
    memset(w, 0, sizeof(*w));
    w->n_hosts = hosts;
    w->death = KILL_MARGIN - SLACK;
    w->orders.to = w->orders.sequence = -1;
    zk_begin(w);
    for (int i = 0; i < hosts; i++) {
        w->hosts[i].drift = drift;
        w->hosts[i].client.conn = -1;
        world_put(w, 10 + INT64_C(300) * i, EV_KEEPER_BEGIN, i, 0);
    }
}
