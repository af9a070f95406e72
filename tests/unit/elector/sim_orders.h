/* sim_orders.h - what people ask for, as <root>/control has it: one object that all electors read a while
 * after it has changed, and that each changes in one instant, which it may not live to hear of. As command*.c
 * do it, without the checks that are for people. */
#ifndef LIVY_HA_TEST_SIM_ORDERS_H
#define LIVY_HA_TEST_SIM_ORDERS_H

#include "sim_host.h"

struct sim_orders {
    unsigned version, id; /* id: of the switchover */
    int64_t paused_until, restart, restart_until;
    int64_t epoch, sequence, expires;
    int to; /* -1: whoever is next */
    bool next, begun;
    struct {
        unsigned version, id;
        uint64_t life;
    } told[SIM_HOSTS];
};

static struct sim_orders *sim_orders(struct sim *s);

static bool sim_orders_hears(struct sim *s, const struct sim_host *h)
{
    return h->elector && h->welcomed && h->core.connected && h->elector_stopped <= sim_now(s);
}

static void sim_orders_tell(struct sim *s, int host)
{
    const struct sim_orders *o = sim_orders(s);
    struct core_event event = {.type = CORE_EV_ORDERS, .text = "asked on x"};

    event.orders.sequence = -1;
    event.orders.paused = o->paused_until > sim_now(s);
    event.orders.paused_until = event.orders.paused ? o->paused_until : 0;
    if (o->restart_until > sim_now(s))
        event.orders.restart = o->restart;
    if (o->epoch != 0 && (o->begun || o->expires > sim_now(s))) {
        event.orders.epoch = o->epoch;
        event.orders.named = o->to >= 0;
        event.orders.to_me = o->to == host;
        event.orders.sequence = o->sequence;
        event.orders.next = o->next;
        event.orders.begun = o->begun;
    }
    sim_orders(s)->told[host].version = o->version;
    sim_orders(s)->told[host].id = o->id;
    sim_orders(s)->told[host].life = sim_host(s, host)->life;
    sim_elector_event(s, host, &event);
}

/* What has ended is taken out by whoever knows it. */
static void sim_orders_end(struct sim *s, const struct core *c)
{
    struct sim_orders *o = sim_orders(s);
    bool serves = c->connected && c->leading && c->serving;

    if (o->epoch != 0 && ((serves && c->epoch > o->epoch) || (!o->begun && sim_now(s) >= o->expires))) {
        sim_trace(s, "         the switchover has ended");
        o->epoch = 0;
        o->version++;
    }
    if (o->restart != 0 &&
        ((serves && c->epoch >= o->restart && !c->command.restarting) || sim_now(s) >= o->restart_until)) {
        o->restart = o->restart_until = 0;
        o->version++;
    }
}

/* Each host's look at it, now and then. */
static void sim_orders_look(struct sim *s, int64_t host, int64_t unused)
{
    const struct sim_host *h = sim_host(s, host);
    const struct sim_orders *o = sim_orders(s);

    (void)unused;
    sim_after(s, 1 + sim_roll(s, sim_chance(s, 100) ? 1000 : 20), sim_orders_look, host, 0);
    if (!sim_orders_hears(s, h))
        return;
    sim_orders_end(s, &h->core);
    if (o->told[host].version != o->version || o->told[host].life != h->life)
        sim_orders_tell(s, (int)host);
}

/* A mark that is carried out: `what` | the sequence << 2, for the request that the host was told of. */
static void sim_orders_marked(struct sim *s, int64_t host_and_id, int64_t what)
{
    struct sim_orders *o = sim_orders(s);
    int host = (int)(host_and_id % SIM_HOSTS);
    enum core_mark mark = (enum core_mark)(what & 3);

    o->told[host].version = o->version - 1; /* told anew in any case, once it hears */
    if (o->epoch == 0 || o->id != (unsigned)(host_and_id / SIM_HOSTS))
        return;
    if (mark == CORE_MARK_BEGUN) {
        o->begun = true;
        sim_trace(s, "host %d   begins the switchover", host);
    } else {
        o->sequence = what >> 2;
        o->next = mark == CORE_MARK_NEXT;
    }
    o->version++;
}

static void sim_orders_mark(struct sim *s, int host, const struct core_action *a)
{
    if (sim_chance(s, 50)) { /* the request is lost; heard of with the next connection */
        sim_orders(s)->told[host].version--;
        return;
    }
    sim_after(s, 1 + sim_roll(s, sim_chance(s, 50) ? 2000 : 10), sim_orders_marked,
              host + (int64_t)SIM_HOSTS * sim_orders(s)->told[host].id,
              (int64_t)a->mark | (int64_t)a->tag << 2);
}

/* ---- people ---- */

static void sim_orders_restart(struct sim *s, int64_t host, int64_t unused)
{
    (void)unused;
    if (sim_orders_hears(s, sim_host(s, host)))
        sim_elector_event(s, (int)host, &(struct core_event){.type = CORE_EV_RESTART, .text = "restart"});
}

static void sim_orders_ask_restart(struct sim *s, int host)
{
    const struct core *c = &sim_host(s, host)->core;
    struct sim_orders *o = sim_orders(s);

    if (!sim_orders_hears(s, sim_host(s, host)) || !c->leading || c->epoch == 0)
        return;
    sim_trace(s, "people   restart on host %d", host);
    if (c->command.orders.paused) {
        o->restart = c->epoch;
        o->restart_until = sim_now(s) + 40000;
        o->version++;
    }
    sim_after(s, sim_roll(s, 5), sim_orders_restart, host, 0);
}

static void sim_orders_ask(struct sim *s, int host)
{
    const struct core *c = &sim_host(s, host)->core;
    struct sim_orders *o = sim_orders(s);

    if (sim_chance(s, 300)) {
        o->paused_until = o->paused_until > sim_now(s) ? 0 : sim_now(s) + sim_roll(s, 20000);
        sim_trace(s, "people   pause until %lld", (long long)o->paused_until);
    } else if (sim_chance(s, 300)) {
        sim_orders_ask_restart(s, host);
    } else if (o->epoch == 0 && c->leading && c->epoch != 0) {
        o->epoch = c->epoch;
        o->id++;
        o->to = sim_chance(s, 400) ? -1 : (int)sim_roll(s, SIM_HOSTS - 1);
        o->next = o->begun = false;
        o->sequence = -1;
        o->expires = sim_now(s) + sim_roll(s, 10000);
        sim_trace(s, "people   switchover of epoch %lld, to %d", (long long)o->epoch, o->to);
        if (o->to == host)
            o->epoch = 0;
    }
    o->version++;
}

#endif
