/* fault.c - the catalogue of faults. A process is struck right before one of its own steps, a message right
 * before it arrives, a server right before the leader hears of it: in between nothing would differ but the
 * times at which the faults end.
 *
 * Left out, being outside the assumptions: keeper and elector of one member out of order at once while Livy
 * runs; a session closed by a stranger. A latch node deleted by a stranger stands alone in its schedule.
 */
#include "fault.h"

#include <stdio.h>

#include "client.h"
#include "host.h"
#include "orders.h"
#include "zk.h"

#define KNOWN_AFTER 10       /* ms until all know of a pause */
#define LONGER_THAN_ALL 9000 /* ms: more than T + 1.5 tick and K */

struct list {
    struct fault *faults;
    int n;
};

static void add(struct list *l, enum fault_kind kind, int who, int32_t arg)
{
    if (l->n < FAULTS_MAX)
        l->faults[l->n++] = (struct fault){.kind = (uint8_t)kind, .who = (int16_t)who, .arg = arg};
}

/* Keeper and elector guard each other: one of them stays in order. */
static bool keeper_guards(const struct world *w, int host)
{
    const struct host *h = &w->hosts[host];
    return h->keeper && h->keeper_stopped <= w->now;
}

static bool elector_guards(const struct world *w, int host)
{
    const struct host *h = &w->hosts[host];
    return h->elector && h->welcomed && h->elector_stopped <= w->now;
}

/* The host whose elector `next` is a step of; -1: of none. */
static int elector_of(const struct world *w, const struct event *next)
{
    if (next->kind == EV_PACKET || next->kind == EV_ELECTOR_TIME || next->kind == EV_PROBED ||
        next->kind == EV_GUARD || next->kind == EV_LOOKED)
        return w->hosts[next->who].closing == 0 ? next->who : -1;
    if (next->kind == EV_DOWN || next->kind == EV_HUNG_UP)
        return w->zk.connections[next->m.conn].host;
    return -1;
}

static bool weighty(const struct zmsg *m)
{
    return m->op == OP_CREATE || m->op == OP_DELETE || m->op == OP_CLOSE;
}

static void of_message(const struct event *next, bool short_list, struct list *l)
{
    const struct zmsg *m = &next->m;

    if (m->op == OP_PING || m->rearm)
        return;
    if (!short_list || m->op == OP_CONNECT)
        add(l, FAULT_LATE, 0, 350); /* not long enough for the elector to lose patience */
    if (!short_list || !m->beat)
        add(l, FAULT_RESET, 0, 0);
    if (next->kind != EV_UP)
        return;
    if (weighty(m))
        add(l, FAULT_RESET_LATE, 0, 2500);
    if (!short_list)
        add(l, FAULT_LATE, 0, 3); /* another order */
    if (!short_list && !m->beat)
        add(l, FAULT_LATE, 0, 2500);
    if (m->op == OP_CLOSE)
        add(l, FAULT_LATE, 0, 2500);
}

/* The server's answer to a ping, with what it has touched, is lost, and its clients have no other server. */
static void of_touches(const struct world *w, int server, struct list *l)
{
    for (int i = 0; i < w->n_hosts; i++)
        if (w->hosts[i].client.connected && w->hosts[i].client.server == server)
            add(l, FAULT_ISLAND, i, LONGER_THAN_ALL);
}

static void of_server(const struct world *w, const struct event *next, bool short_list, struct list *l)
{
    if (next->m.op == OP_LIST)
        return;
    add(l, FAULT_CUT, next->who, 5000);
    add(l, FAULT_ZOMBIE, next->who, 5000);
    if (next->m.op != OP_PING)
        add(l, FAULT_ELECTION, 0, 0);
    if (short_list)
        return;
    if (next->m.op == OP_PING)
        of_touches(w, next->who, l);
    add(l, FAULT_CUT, next->who, 800);
    add(l, FAULT_CUT, next->who, 12000);
    add(l, FAULT_FREEZE, next->who, 800);
    add(l, FAULT_FREEZE, next->who, 5000);
    add(l, FAULT_FREEZE, next->who, 12000);
    add(l, FAULT_FREEZE_LEADER, 0, 1500);
    add(l, FAULT_FREEZE_LEADER, 0, 5000);
    add(l, FAULT_ELECTION, 0, 1);
    if (next->m.op == OP_PING)
        add(l, FAULT_OUTAGE, 0, 22000); /* long enough for members to give their sessions up */
}

/* What is answered to routine is left out of the short list: the same strikes at the timer before. */
static bool routine(const struct event *next)
{
    return next->kind == EV_DOWN && next->m.beat;
}

static void of_elector(const struct world *w, const struct event *next, int host, bool short_list,
                       struct list *l)
{
    if (!keeper_guards(w, host) || !elector_guards(w, host) || (short_list && routine(next)))
        return;
    add(l, FAULT_KILL_ELECTOR, host, 0);
    add(l, FAULT_STOP_ELECTOR, host, 1500);
    add(l, FAULT_STOP_ELECTOR, host, LONGER_THAN_ALL);
    if (short_list)
        return;
    for (int i = 1; i <= 3; i++)
        add(l, FAULT_KILL_ELECTOR, host, i);
    add(l, FAULT_UPGRADE, host, 0);
    add(l, FAULT_STOP_ELECTOR, host, 3);
    add(l, FAULT_STOP_ELECTOR, host, 400);
    add(l, FAULT_STOP_ELECTOR, host, 4000);
}

/* Commands, once a moment: asked on whichever member. */
static void of_people(const struct world *w, int host, bool short_list, struct list *l)
{
    const struct host *h = &w->hosts[host];

    if (!elector_guards(w, host) || !h->core.leading)
        return;
    add(l, FAULT_SWITCHOVER, 0, 0);
    if (short_list && w->n_hosts < 3)
        return;
    for (int i = 0; i < w->n_hosts; i++)
        if (i != host)
            add(l, FAULT_SWITCHOVER, 0, i + 1);
    if (short_list)
        return;
    add(l, FAULT_PAUSE, 0, 3000);
    add(l, FAULT_RESTART, host, 0);
}

static void of_host(const struct world *w, int host, bool short_list, struct list *l)
{
    const struct host *h = &w->hosts[host];

    add(l, FAULT_POWER, host, 0);
    add(l, FAULT_NETWORK, host, LONGER_THAN_ALL);
    add(l, FAULT_PARTITION, host, LONGER_THAN_ALL);
    add(l, FAULT_ISLAND, host, LONGER_THAN_ALL);
    if (keeper_guards(w, host))
        add(l, FAULT_QUIT, host, 0);
    if (elector_guards(w, host))
        add(l, FAULT_DRAIN, host, 3000);
    of_people(w, host, short_list, l);
    if (short_list)
        return;
    add(l, FAULT_NETWORK, host, 1500);
    add(l, FAULT_NETWORK, host, 24000);
    if (h->livy && !h->killed) {
        add(l, FAULT_LIVY_DIES, host, 0);
        add(l, FAULT_LIVY_HANGS, host, 0);
    }
}

static bool is_to_start(const struct host *h, int64_t now)
{
    for (int i = 0; i < h->to_keeper.n; i++)
        if (h->to_keeper.list[i].type == IPC_START && h->to_keeper.list[i].at <= now)
            return true;
    return false;
}

static void of_keeper(const struct world *w, const struct event *next, bool short_list, struct list *l)
{
    const struct host *h = &w->hosts[next->who];

    if (!h->keeper || h->keeper_stopped > w->now)
        return;
    add(l, FAULT_KILL_KEEPER, next->who, 0);
    if (elector_guards(w, next->who)) {
        add(l, FAULT_STOP_KEEPER, next->who, LONGER_THAN_ALL);
        if (!short_list) {
            add(l, FAULT_STOP_KEEPER, next->who, 3);
            add(l, FAULT_STOP_KEEPER, next->who, 1500);
            add(l, FAULT_STOP_KEEPER, next->who, 4000);
        }
    }
    if (is_to_start(h, next->at) && elector_guards(w, next->who)) {
        add(l, FAULT_HOLD_UP, next->who, LONGER_THAN_ALL);
        if (!short_list)
            add(l, FAULT_HOLD_UP, next->who, 400);
    }
    if ((h->livy_exited || h->elector_exited) && h->to_keeper.n > 0)
        add(l, FAULT_REAP_FIRST, next->who, 0);
}

int fault_list(const struct world *w, const struct event *next, bool short_list,
               struct fault faults[static FAULTS_MAX])
{
    struct list l = {.faults = faults};
    int elector = elector_of(w, next);

    if (w->stranger)
        return 0;
    if (next->kind == EV_UP || (next->kind == EV_DOWN && next->m.op != OP_FIRED))
        of_message(next, short_list, &l);
    if (!short_list && (next->kind == EV_ELECTOR_TIME || next->kind == EV_UP || next->kind == EV_DOWN))
        add(&l, FAULT_STRANGER, 0, 0);
    if (next->kind == EV_TO_LEADER)
        of_server(w, next, short_list, &l);
    if (next->kind == EV_CLOSED && !w->hosts[next->who].livy)
        add(&l, FAULT_KILL_ELECTOR, next->who, 0);
    if (elector >= 0)
        of_elector(w, next, elector, short_list, &l);
    if (next->kind == EV_ELECTOR_TIME || next->kind == EV_PROBED)
        of_host(w, next->who, short_list, &l);
    if (next->kind == EV_KEEPER_WAKE || next->kind == EV_KEEPER_TIME)
        of_keeper(w, next, short_list, &l);
    if (next->kind == EV_EXPIRE && w->zk.sessions[next->arg].alive &&
        w->zk.sessions[next->arg].expires <= next->at) {
        add(&l, FAULT_LATE_EXPIRY, 0, TICK);
        add(&l, FAULT_LATE_EXPIRY, 0, 3 * TICK / 2);
    }
    return l.n;
}

/* ---- carrying one out -------------------------------------------------------------------------------- */

static bool be_late(struct world *w, const struct event *next, int32_t by)
{
    struct connection *c = &w->zk.connections[next->m.conn];
    int64_t *held = next->kind == EV_UP ? &c->up_held : &c->down_held;

    *held = later(*held, next->at + by);
    return true;
}

static bool is_this(const struct world *w, const struct event *e, int conn)
{
    (void)w;
    return e->m.conn == conn && (e->kind == EV_UP || e->kind == EV_DOWN);
}

static bool reset(struct world *w, const struct event *next, int32_t late)
{
    int conn = next->m.conn;
    struct connection *c = &w->zk.connections[conn];

    if (c->client_open && w->hosts[c->host].elector_stopped > next->at)
        return false;
    if (late > 0)
        c->up_held = next->at + late;
    else
        world_drop_events(w, is_this, conn);
    if (c->client_open)
        client_break(w, c->host);
    if (late == 0)
        zk_hang_up(w, conn);
    return true;
}

static bool off_the_network(struct world *w, int host, int32_t time, int except)
{
    if (w->hosts[host].cut_until[0] > w->now || w->hosts[host].cut_until[1] > w->now)
        return false; /* it is already */
    for (int i = 0; i < SERVERS; i++)
        if (i != except)
            w->hosts[host].cut_until[i] = later(w->hosts[host].cut_until[i], w->now + time);
    return true;
}

/* The leader keeps its quorum: one server in trouble at a time. All of them at once is an outage. */
static bool all_servers_well(const struct world *w)
{
    for (int i = 0; i < SERVERS; i++)
        if (!w->zk.servers[i].joined || w->zk.servers[i].cut_until > w->now ||
            w->zk.servers[i].frozen_until > w->now)
            return false;
    return true;
}

/* A part of the network with the host and one server in it: the one that it will try next, which takes itself
 * for the leader, or its own. */
static bool partition(struct world *w, int host, int32_t time, bool own)
{
    int server = (w->hosts[host].client.server + (own ? 0 : 1)) % SERVERS;

    if (!all_servers_well(w) || !off_the_network(w, host, time, server))
        return false;
    zk_cut(w, server, w->now + time, !own);
    return true;
}

static bool stranger(struct world *w)
{
    int node = zk_first_node(w);

    if (node < 0)
        return false;
    zk_stranger(w, node);
    return true;
}

bool fault_apply(struct world *w, const struct event *next, const struct fault *fault)
{
    int who = fault->who;

    w->now = next->at;
    switch ((enum fault_kind)fault->kind) {
    case FAULT_LATE:
        return be_late(w, next, fault->arg);
    case FAULT_RESET:
        return reset(w, next, 0);
    case FAULT_RESET_LATE:
        return reset(w, next, fault->arg);
    case FAULT_CUT:
        if (!all_servers_well(w))
            return false;
        zk_cut(w, who, w->now + fault->arg, false);
        return true;
    case FAULT_ZOMBIE:
        if (!all_servers_well(w))
            return false;
        zk_cut(w, who, w->now + fault->arg, true);
        return true;
    case FAULT_FREEZE:
        if (!all_servers_well(w))
            return false;
        zk_freeze(w, who, w->now + fault->arg);
        return true;
    case FAULT_FREEZE_LEADER:
        zk_freeze_leader(w, w->now + fault->arg);
        return true;
    case FAULT_HELD:
        w->zk.servers[who].from_held = w->now + fault->arg;
        return true;
    case FAULT_ELECTION:
        zk_election(w, 700, fault->arg != 0);
        return true;
    case FAULT_OUTAGE:
        zk_election(w, fault->arg, false);
        return true;
    case FAULT_LATE_EXPIRY:
        w->zk.sessions[next->arg].expires = w->now + fault->arg;
        return true;
    case FAULT_KILL_ELECTOR:
        if (fault->arg > 0)
            w->hosts[who].crash_after = fault->arg + 1;
        else
            host_kill_elector(w, who);
        return true;
    case FAULT_STOP_ELECTOR:
        host_stop_elector(w, who, w->now + fault->arg);
        return true;
    case FAULT_KILL_KEEPER:
        host_kill_keeper(w, who);
        return true;
    case FAULT_STOP_KEEPER:
        host_stop_keeper(w, who, w->now + fault->arg);
        return true;
    case FAULT_HOLD_UP:
        w->hosts[who].late = fault->arg;
        return true;
    case FAULT_REAP_FIRST:
        w->hosts[who].reap_first = true;
        return true;
    case FAULT_POWER:
        host_power_off(w, who);
        return true;
    case FAULT_NETWORK:
        return off_the_network(w, who, fault->arg, -1);
    case FAULT_PARTITION:
        return partition(w, who, fault->arg, false);
    case FAULT_ISLAND:
        return partition(w, who, fault->arg, true);
    case FAULT_QUIT:
        host_quit(w, who);
        return true;
    case FAULT_DRAIN:
        world_put(w, w->now, EV_STAND, who, 0);
        world_put(w, w->now + fault->arg, EV_STAND, who, 1);
        return true;
    case FAULT_LIVY_DIES:
        host_end_livy(w, who);
        return true;
    case FAULT_LIVY_HANGS:
        w->hosts[who].hung = true;
        return true;
    case FAULT_SWITCHOVER:
        return orders_switchover(w, fault->arg - 1);
    case FAULT_PAUSE:
        return orders_pause(w, w->now + fault->arg);
    case FAULT_RESTART:
        if (fault->arg > 0)
            (void)orders_pause(w, w->now + fault->arg);
        world_put(w, w->now + (fault->arg > 0 ? KNOWN_AFTER : 0), EV_RESTART, who, 0);
        return true;
    case FAULT_UPGRADE:
        return host_upgrade(w, who);
    case FAULT_STRANGER:
        return stranger(w);
    }
    return false;
}

bool fault_void(const struct world *w, const struct fault *fault)
{
    if (fault->kind == FAULT_HOLD_UP)
        return w->hosts[fault->who].late != 0;
    return fault->kind == FAULT_KILL_ELECTOR && fault->arg > 0 && w->hosts[fault->who].crash_after != 0;
}

void fault_text(const struct fault *fault, char *text, size_t size)
{
    static const char *const names[] = {"late message",
                                        "connection reset",
                                        "connection reset, message late",
                                        "server cut off",
                                        "server cut off, takes itself for the leader",
                                        "server frozen",
                                        "leader frozen",
                                        "held on its way from the leader",
                                        "new leader",
                                        "ensemble down",
                                        "late expiry",
                                        "elector killed",
                                        "elector stopped",
                                        "keeper killed",
                                        "keeper stopped",
                                        "host held up as it starts Livy",
                                        "children reaped first",
                                        "host power off",
                                        "host off the network",
                                        "host alone with an old leader",
                                        "host alone with its server",
                                        "SIGTERM to the daemon",
                                        "member drained",
                                        "Livy dies",
                                        "Livy hangs",
                                        "switchover",
                                        "pause",
                                        "restart by command",
                                        "upgrade",
                                        "a stranger deletes the node"};
    snprintf(text, size, "%s (who %d, arg %d)", names[fault->kind], fault->who, (int)fault->arg);
}
