/* orders.c - see orders.h. */
#include "orders.h"

#include <string.h>

#include "host.h"
#include "zk.h"

#define WRITE_TAKES 3      /* ms through the quorum */
#define WATCH_TAKES 5      /* ms until another member has read it */
#define EXPIRES 3000       /* ms after which a switchover is not begun any more */
#define RESTARTED_IN 36000 /* ms after which a Livy must be there again: an outage, elections, a start */

static void changed(struct world *w, int by)
{
    for (int i = 0; i < w->n_hosts; i++)
        world_put(w, w->now + (i == by ? 1 : WATCH_TAKES), EV_ORDERS, i, 0);
}

bool orders_switchover(struct world *w, int to)
{
    struct orders *o = &w->orders;

    if (o->epoch != 0 || to >= w->n_hosts)
        return false;
    for (int i = 0; i < w->n_hosts; i++) {
        const struct core *c = &w->hosts[i].core;
        if (!w->hosts[i].elector || !c->leading || c->epoch == 0 || i == to)
            continue;
        *o = (struct orders){.paused_until = o->paused_until,
                             .restart = o->restart,
                             .restarted = o->restarted,
                             .epoch = (int32_t)c->epoch,
                             .to = (int16_t)to,
                             .sequence = -1,
                             .expires = w->now + EXPIRES};
        world_say(w, "         a switchover of epoch %d is asked for, to %d", (int)o->epoch, to);
        world_put(w, o->expires, EV_ORDERS_EXPIRE, 0, o->epoch);
        changed(w, -1);
        return true;
    }
    return false;
}

bool orders_pause(struct world *w, int64_t until)
{
    if (w->orders.paused_until > w->now)
        return false;
    world_say(w, "         paused for %lld ms", (long long)(until - w->now));
    w->orders.paused_until = until;
    changed(w, -1);
    return true;
}

void orders_restart(struct world *w, int host)
{
    const struct core *c = &w->hosts[host].core;

    if (w->orders.paused_until <= w->now || !c->leading || c->epoch == 0)
        return;
    world_say(w, "         the restart of epoch %d is written down", (int)c->epoch);
    w->orders.restart = (int32_t)c->epoch;
    w->orders.restarted = false;
    world_put(w, w->now + RESTARTED_IN, EV_ORDERS_EXPIRE, 0, -1 - (int32_t)c->epoch);
    changed(w, host);
}

void orders_tell(struct world *w, int host)
{
    const struct orders *o = &w->orders;
    struct core_event event = {.type = CORE_EV_ORDERS, .text = "switchover"};

    if (!w->hosts[host].core.connected)
        return; /* it reads them once it is */
    event.orders.sequence = -1;
    if (o->paused_until > w->now) {
        event.orders.paused = true;
        event.orders.paused_until = world_local(w, host) + (o->paused_until - w->now);
    }
    event.orders.restart = o->restart;
    if (o->epoch != 0 && (o->begun || o->expires > w->now)) {
        event.orders.epoch = o->epoch;
        event.orders.named = o->to >= 0;
        event.orders.to_me = o->to == host;
        event.orders.sequence = o->sequence;
        event.orders.next = o->next;
        event.orders.begun = o->begun;
    }
    host_elector_step(w, host, &event);
}

void orders_mark(struct world *w, int host, const struct core_action *a)
{
    struct event e;

    memset(&e, 0, sizeof(e));
    e.m.conn = e.m.node = -1;
    e.m.tag = (uint32_t)a->mark;
    e.m.node = (int16_t)a->tag;
    e.m.zxid = (int32_t)a->epoch;
    world_put_message(w, w->now + WRITE_TAKES, EV_MARKED, host, &e.m);
}

/* Nobody stands between the node that is to go and the successor's. */
static bool stands_next(const struct world *w, int successor)
{
    int before = -1, goes = -1;

    for (int i = 0; i < successor; i++) {
        if (!zk_node_at(w, i, w->zk.zxid))
            continue;
        before = i;
        if (w->zk.nodes[i].made == w->orders.epoch)
            goes = i;
    }
    return goes < 0 || goes == before; /* it may have gone by itself */
}

static void marked(struct world *w, int host, const struct zmsg *m)
{
    struct orders *o = &w->orders;

    if (o->epoch != m->zxid || o->epoch == 0 || !w->hosts[host].client.connected) {
        world_put(w, w->now + 1, EV_ORDERS, host, 0); /* as it is */
        return;
    }
    if (m->tag == CORE_MARK_BEGUN) {
        world_say(w, "host %d    begins the switchover", host);
        if (o->to >= 0 && !o->next)
            world_violation(w, BEGUN_EARLY, "host %d hands over although %d has not come to stand next", host,
                            o->to);
        o->begun = true;
    } else {
        o->sequence = m->node;
        o->next = m->tag == CORE_MARK_NEXT;
        world_say(w, "host %d    stands with node %d%s", host, m->node, o->next ? ", next" : "");
        if (o->next && zk_node_at(w, m->node, w->zk.zxid) && !stands_next(w, m->node))
            world_violation(w, BEGUN_EARLY, "host %d says that it is next, and is not", host);
    }
    changed(w, host);
}

static void clear(struct world *w, int by)
{
    w->orders = (struct orders){.paused_until = w->orders.paused_until,
                                .restart = w->orders.restart,
                                .restarted = w->orders.restarted,
                                .to = -1,
                                .sequence = -1};
    changed(w, by);
}

void orders_stepped(struct world *w, int host)
{
    const struct host *h = &w->hosts[host];
    const struct core *c = &h->core;

    if (!h->elector || !c->connected || !c->leading || !c->serving)
        return;
    if (w->orders.restart != 0 && c->epoch >= w->orders.restart && !c->command.restarting) {
        world_say(w, "host %d    serves: the restart has ended", host);
        w->orders.restart = 0;
        changed(w, host);
    }
    if (w->orders.epoch == 0 || c->epoch <= w->orders.epoch)
        return;
    world_say(w, "host %d    serves: the switchover has ended", host);
    clear(w, host);
}

void orders_event(struct world *w, const struct event *e)
{
    if (e->kind == EV_MARKED) {
        marked(w, e->who, &e->m);
    } else if (e->arg < 0) {
        if (w->orders.restart == -1 - e->arg && !w->orders.restarted)
            world_violation(w, RESTART_LOST, "Livy of epoch %d was to be restarted", w->orders.restart);
    } else if (w->orders.epoch == e->arg && !w->orders.begun) {
        world_say(w, "         the switchover has expired");
        clear(w, -1);
    }
}

bool orders_none(const struct world *w)
{
    return w->orders.epoch == 0 && w->orders.restart == 0;
}
