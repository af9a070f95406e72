/* member.c - the elector: what comes in becomes events of the core, its actions become requests. */
#include "member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "host.h"
#include "livy-ha/clock.h"
#include "names.h"
#include "orders.h"
#include "zk.h"

#define UUIDS 1000       /* a host */
#define QUIET_AFTER 40   /* ms that the fronts' last requests take */
#define CLOSING_MAX 4500 /* ms that zookeeper_close() may wait for a hung server */

static const struct core_config core_config = {.tick = TICK,
                                               .kill_margin = KILL_MARGIN,
                                               .start_timeout = 8000,
                                               .stop_grace = 1000,
                                               .drain = 200,
                                               .probe_interval = 3000,
                                               .probe_timeout = 1000,
                                               .probe_failures = 2,
                                               .restarts = 3,
                                               .restart_window = 20000};

/* ---- packets ------------------------------------------------------------------------------------------ */

struct kept member_keep(const struct ipc_session *session)
{
    return (struct kept){.id = (int16_t)session->id,
                         .timeout = (int32_t)session->timeout,
                         .uuid = (int16_t)names_uuid_number(session->uuid),
                         .node = (int16_t)names_node_number(session->node)};
}

static void unkeep(const struct world *w, const struct kept *kept, struct ipc_session *session)
{
    if (kept->id == 0)
        return;
    session->id = kept->id;
    session->timeout = kept->timeout;
    if (kept->uuid != 0)
        names_uuid(kept->uuid, session->uuid);
    if (kept->node >= 0)
        names_node(w->zk.nodes[kept->node].uuid, kept->node, session->node);
}

void member_unpack(const struct world *w, const struct packet *p, struct ipc_msg *msg)
{
    memset(msg, 0, sizeof(*msg));
    msg->type = p->type;
    msg->sent_at = p->sent_at;
    msg->epoch = p->epoch;
    msg->kill_at = p->kill_at;
    msg->grace = p->grace;
    msg->run = p->run;
    msg->quitting = p->quitting;
    msg->livy = p->livy;
    unkeep(w, &p->session, &msg->session);
}

/* ---- to the keeper ----------------------------------------------------------------------------------- */

static void send_packet(struct world *w, int host, enum ipc_type type, const struct core_action *a)
{
    struct host *h = &w->hosts[host];
    struct channel *ch = &h->to_keeper;

    if (h->keeper_gone || !h->keeper || ch->n == CHANNEL)
        return; /* EPIPE, EAGAIN */
    struct packet *p = &ch->list[ch->n++];
    memset(p, 0, sizeof(*p));
    p->type = type;
    p->sent_at = world_local(w, host);
    if (a != NULL) {
        p->epoch = a->epoch;
        p->kill_at = a->kill_at;
        p->grace = a->grace;
        p->run = a->run;
    }
    if (type == IPC_SESSION) {
        struct ipc_session session = {.id = h->core.session, .timeout = h->core.timeout};
        memcpy(session.uuid, h->core.uuid, CORE_UUID_SIZE);
        memcpy(session.node, h->core.node, sizeof(session.node));
        p->session = member_keep(&session);
        if (!h->core.may_close && session.id != 0)
            h->file = p->session;
    }
    ch->last = p->at = later(ch->last, w->now + 1);
    world_put(w, p->at, EV_KEEPER_WAKE, host, 0);
}

/* ---- the guard --------------------------------------------------------------------------------------- */

static void take_leave(struct world *w, int host)
{
    struct host *h = &w->hosts[host];
    struct core_event quit = {.type = CORE_EV_QUIT, .text = "the keeper is gone"};
    struct core_event leave = {.type = CORE_EV_LEAVE};

    host_elector_step(w, host, &quit);
    struct core_event dead = {.type = CORE_EV_LIVY, .livy = h->core.livy};
    if (dead.livy.state != IPC_LIVY_NONE || h->core.start_run != 0) {
        dead.livy.state = IPC_LIVY_NONE;
        dead.livy.cause = IPC_CAUSE_ORPHANED;
        if (h->core.start_run != 0)
            dead.livy.run = h->core.start_run;
        host_elector_step(w, host, &dead);
    }
    host_elector_step(w, host, &leave);
}

static void look(struct world *w, int host)
{
    struct host *h = &w->hosts[host];
    struct core_event gone = {.type = CORE_EV_LIVY_GONE};

    if (!h->guarding)
        return;
    if (h->livy) {
        world_put(w, w->now + 5, EV_GUARD, host, h->life);
        return;
    }
    h->guarding = false;
    if (h->keeper_gone)
        take_leave(w, host);
    else
        host_elector_step(w, host, &gone);
}

static void guard(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    host_sigkill(w, host);
    if (!h->guarding)
        world_put(w, w->now + 1, EV_GUARD, host, h->life);
    h->guarding = true;
}

static void keeper_gone(struct world *w, const struct event *e)
{
    struct host *h = &w->hosts[e->who];

    if (h->to_elector.n > 0) { /* its last words first */
        world_put_back(w, e, w->now + 2);
        return;
    }
    h->keeper_gone = true;
    if (h->welcomed)
        guard(w, e->who);
    else
        member_end(w, e->who); /* no WELCOME will come */
}

/* ---- actions ----------------------------------------------------------------------------------------- */

static void check_start(struct world *w, int host, const struct core_action *a)
{
    const struct core *c = &w->hosts[host].core;
    int node = names_node_number(c->node), first = zk_first_node(w);

    if (c->command.orders.paused && !c->command.start &&
        world_local(w, host) < c->command.orders.paused_until)
        world_violation(w, STARTED_IN_PAUSE, "host %d starts in a pause, and nobody has asked for it", host);
    if (w->stranger)
        return;
    if (node < 0 || !zk_node_at(w, node, w->zk.zxid))
        world_violation(w, BAD_START, "host %d starts without its latch node", host);
    else if (w->zk.nodes[node].owner != c->session)
        world_violation(w, BAD_START, "host %d starts under a node of session %d, not of its own", host,
                        w->zk.nodes[node].owner);
    else if (first != node)
        world_violation(w, BAD_START, "host %d starts although node %d stands before its own", host, first);
    else if (a->epoch != w->zk.nodes[node].made)
        world_violation(w, BAD_START, "host %d starts under epoch %lld, its node's is %d", host,
                        (long long)a->epoch, (int)w->zk.nodes[node].made);
}

static void note_death(struct world *w, int host, bool gave_up)
{
    if (w->n_deaths == DEATHS)
        memmove(w->deaths, w->deaths + 1, (size_t)--w->n_deaths * sizeof(w->deaths[0]));
    w->deaths[w->n_deaths++] = (struct death){.at = w->now, .host = (int16_t)host, .gave_up = gave_up};
    for (int i = 0; i < w->n_hosts; i++)
        world_put(w, w->now + (i == host ? 1 : 5), EV_DEATHS, i, 0);
}

/* The host right behind this one in the queue, as members/ has it; -1: none. */
static int next_in_queue(const struct world *w, int host)
{
    int own = names_node_number(w->hosts[host].core.node), least = NODES, next = -1;

    for (int i = 0; i < w->n_hosts; i++) {
        const struct host *h = &w->hosts[i];
        int node = h->elector && h->core.phase == CORE_STANDBY ? names_node_number(h->core.node) : -1;
        if (i == host || node <= own || node >= least)
            continue;
        least = node;
        next = i;
    }
    return own >= 0 ? next : -1;
}

/* A record has changed. Who holds a Livy matters to the active member alone. */
static void read_records(struct world *w)
{
    bool due[HOSTS] = {false};

    for (int i = 0; i < w->n_events; i++)
        if (w->events[i].kind == EV_DEATHS)
            due[w->events[i].who] = true;
    for (int i = 0; i < w->n_hosts && w->hot; i++)
        if (w->hosts[i].core.leading && !due[i])
            world_put(w, w->now + 5, EV_DEATHS, i, 0);
}

static void tell_deaths(struct world *w, int host)
{
    static const char *const names[HOSTS] = {"0", "1", "2"};
    struct core_death list[DEATHS];
    struct core_event event = {.type = CORE_EV_DEATHS, .deaths = list, .n_deaths = (size_t)w->n_deaths};
    int64_t local = world_local(w, host);

    memset(list, 0, sizeof(list));
    for (int i = 0; i < w->n_deaths; i++) {
        list[i].at = local - (w->now - w->deaths[i].at);
        list[i].member = (uint8_t)(w->deaths[i].host == host ? 0 : w->deaths[i].host + 1);
        list[i].gave_up = w->deaths[i].gave_up;
    }
    for (int i = 0; i < w->n_hosts; i++)
        if (i != host && w->hosts[i].elector && w->hosts[i].core.phase == CORE_STANDBY)
            event.standing |= UINT64_C(1) << (i + 1);
    int heir = w->hot ? next_in_queue(w, host) : -1;
    event.heir = heir >= 0 ? names[heir] : NULL;
    if (w->hosts[host].core.connected)
        host_elector_step(w, host, &event);
}

static void perform(struct world *w, int host, const struct core_action *a)
{
    struct host *h = &w->hosts[host];
    struct core_event kicked = {.type = CORE_EV_KICKED};

    switch (a->type) {
    case CORE_ACT_CONNECT:
        client_close(w, host, false);
        client_open(w, host, 0);
        return;
    case CORE_ACT_KICK:
        if (client_kick(w, host))
            host_elector_step(w, host, &kicked);
        return;
    case CORE_ACT_REGISTER:
        client_request(w, host, OP_REGISTER, a);
        return;
    case CORE_ACT_CREATE:
        client_request(w, host, OP_CREATE, a);
        return;
    case CORE_ACT_LIST:
        client_request(w, host, OP_LIST, a);
        return;
    case CORE_ACT_OWN:
    case CORE_ACT_WATCH:
        client_request(w, host, OP_EXISTS, a);
        return;
    case CORE_ACT_HANDOVER:
        client_request(w, host, OP_HANDOVER, a);
        return;
    case CORE_ACT_DELETE:
        client_request(w, host, OP_DELETE, a);
        return;
    case CORE_ACT_BEAT:
        client_request(w, host, OP_CHECK, a);
        return;
    case CORE_ACT_TENURE:
        client_request(w, host, OP_TENURE, a);
        return;
    case CORE_ACT_CLEAR:
        client_request(w, host, OP_CLEAR, a);
        return;
    case CORE_ACT_PROBE_PREDECESSOR:
        world_put(w, w->now + 2, EV_LOOKED, host, (int32_t)a->op);
        return;
    case CORE_ACT_ASK:
        send_packet(w, host, IPC_ASK, a);
        return;
    case CORE_ACT_DEATH:
        note_death(w, host, a->gave_up);
        return;
    case CORE_ACT_FENCE:
        break; /* without a fence command nobody asks for one */
    case CORE_ACT_SESSION:
        send_packet(w, host, IPC_SESSION, a);
        return;
    case CORE_ACT_START:
        world_say(w, "host %d    START, epoch %lld, for %lld ms", host, (long long)a->epoch,
                  (long long)(a->kill_at - world_local(w, host)));
        check_start(w, host, a);
        send_packet(w, host, IPC_START, a);
        return;
    case CORE_ACT_LEASE:
        send_packet(w, host, IPC_LEASE, a);
        return;
    case CORE_ACT_QUIESCE:
        if (a->on)
            world_put(w, w->now + QUIET_AFTER, EV_QUIET, host, 0);
        return;
    case CORE_ACT_MARK:
        orders_mark(w, host, a);
        return;
    case CORE_ACT_STOP:
        world_say(w, "host %d    STOP, grace %lld ms: %s", host, (long long)a->grace, a->text);
        send_packet(w, host, IPC_STOP, a);
        return;
    case CORE_ACT_KILL:
        guard(w, host);
        return;
    case CORE_ACT_PROBE:
        world_put(w, w->now + 2, EV_PROBED, host, (int32_t)h->core.livy.run);
        return;
    case CORE_ACT_RELEASING:
        send_packet(w, host, IPC_RELEASING, a);
        return;
    case CORE_ACT_CLOSE:
        client_close(w, host, false);
        h->closing = w->now + CLOSING_MAX;
        world_put(w, w->now + 3, EV_CLOSED, host, h->life);
        return;
    case CORE_ACT_PHASE:
        world_say(w, "host %d    %s -> %s: %s", host, core_phase_name(a->old_phase),
                  core_phase_name(a->phase), a->text);
        return;
    case CORE_ACT_HISTORY:
        world_say(w, "host %d    %s: %s", host, core_history_name(a->history), a->text);
        return;
    case CORE_ACT_PUBLISH:
        read_records(w);
        return;
    case CORE_ACT_ALARM:
        return;
    case CORE_ACT_FATAL:
        world_violation(w, NOBODY_SERVES, "host %d gives up for good: %.100s", host, a->text);
        return;
    }
    fprintf(stderr, "the model does not know action %d of the elector\n", (int)a->type);
    abort();
}

static bool outward(const struct core_action *a)
{
    return a->type != CORE_ACT_PHASE && a->type != CORE_ACT_HISTORY && a->type != CORE_ACT_PUBLISH &&
           a->type != CORE_ACT_ALARM;
}

/* The fault that strikes between two actions of one step. */
static bool struck(struct world *w, int host, const struct core_action *a)
{
    struct host *h = &w->hosts[host];

    if (h->crash_after <= 0 || !outward(a))
        return false;
    if (--h->crash_after > 0)
        return false;
    host_kill_elector(w, host);
    return true;
}

void host_elector_step(struct world *w, int host, struct core_event *event)
{
    struct host *h = &w->hosts[host];
    struct core_actions actions;
    char uuid[CORE_UUID_SIZE];
    int64_t now = world_local(w, host);

    if (!h->elector || !h->welcomed || h->closing != 0)
        return;
    if (h->core.spare_uuid[0] == '\0') {
        names_uuid(UUIDS * (host + 1) + ++h->uuids, uuid);
        event->uuid = uuid;
    }
    core_step(&h->core, event, now, &actions);
    event->uuid = NULL; /* the core has copied it */
    h->elector_alarm = world_when(w, host, core_next(&h->core, now));
    for (size_t i = 0; i < actions.count && h->elector && h->closing == 0; i++)
        if (!struck(w, host, &actions.list[i]))
            perform(w, host, &actions.list[i]);
    if (event->type == CORE_EV_CONNECTED)
        world_put(w, w->now + 3, EV_ORDERS, host, 0);
    orders_stepped(w, host);
}

void host_elector_reply(struct world *w, int host, const struct zmsg *m)
{
    char names[NODES][CORE_NODE_SIZE];
    const char *pointers[NODES];
    struct core_event event = {.type = m->beat ? CORE_EV_BEAT : CORE_EV_REPLY,
                               .request = (enum core_request)m->request,
                               .op = m->xid,
                               .rc = (enum core_rc)m->rc,
                               .left = (enum core_left)m->left,
                               .owner = m->owner,
                               .text = "another member"};

    for (int i = 0; i < w->zk.n_nodes && m->op == OP_LIST; i++) {
        if ((m->mask >> i & 1) == 0)
            continue;
        names_node(w->zk.nodes[i].uuid, i, names[event.n_names]);
        pointers[event.n_names] = names[event.n_names];
        event.n_names++;
    }
    event.names = pointers;
    if (m->op == OP_CREATE && m->rc == CORE_OK) {
        names_node(w->zk.nodes[m->node].uuid, m->node, names[0]);
        event.name = names[0];
    }
    struct core_victim victim;
    if (m->op == OP_HANDOVER && m->victim >= 0) {
        memset(&victim, 0, sizeof(victim));
        snprintf(victim.tenure, sizeof(victim.tenure), "%d", m->victim);
        snprintf(victim.member.id, sizeof(victim.member.id), "%d", m->victim);
        victim.member.epoch = w->zk.tenures[m->victim].epoch;
        event.victim = &victim;
        event.more = m->more;
    }
    if (m->op == OP_REGISTER && m->request == CORE_REQ_REGISTER && m->rc == CORE_OK)
        orders_tell(w, host); /* read before it stands */
    if (m->op == OP_EXISTS && m->rc == CORE_OK)
        event.czxid = w->zk.nodes[m->node].made;
    host_elector_step(w, host, &event);
}

/* ---- what comes in ----------------------------------------------------------------------------------- */

static void probed(struct world *w, int host, uint32_t run)
{
    struct host *h = &w->hosts[host];
    struct core_event event = {.type = CORE_EV_PROBE,
                               .alive =
                                   h->livy && !h->shut && !h->hung && !h->killed && w->now >= h->serves_at};

    if (h->core.livy.run == run && h->core.livy.state != IPC_LIVY_NONE)
        host_elector_step(w, host, &event);
}

static void welcome(struct world *w, int host, const struct ipc_msg *msg)
{
    struct host *h = &w->hosts[host];
    struct core_event event = {.type = msg->quitting != 0 ? CORE_EV_QUIT : CORE_EV_TIME};

    if (h->welcomed)
        return;
    core_init(&h->core, &core_config, &msg->session, &msg->livy, world_local(w, host));
    h->welcomed = true;
    client_open(w, host, (int)h->core.session);
    host_elector_step(w, host, &event);
}

static void packet(struct world *w, int host)
{
    struct host *h = &w->hosts[host];
    struct core_event event;
    struct ipc_msg msg;

    if (h->to_elector.n == 0 || h->to_elector.list[0].at > w->now)
        return;
    member_unpack(w, &h->to_elector.list[0], &msg);
    h->to_elector.n--;
    memmove(&h->to_elector.list[0], &h->to_elector.list[1],
            (size_t)h->to_elector.n * sizeof(h->to_elector.list[0]));
    event = (struct core_event){.op = msg.run, .livy = msg.livy, .kill_at = msg.kill_at};
    if (msg.type == IPC_WELCOME) {
        welcome(w, host, &msg);
    } else if (msg.type == IPC_PING) {
        send_packet(w, host, IPC_PONG, NULL);
    } else if (msg.type == IPC_LIVY || msg.type == IPC_LEASED || msg.type == IPC_QUIT ||
               msg.type == IPC_LEAVE) {
        event.type = msg.type == IPC_LIVY     ? CORE_EV_LIVY
                     : msg.type == IPC_LEASED ? CORE_EV_LEASED
                     : msg.type == IPC_QUIT   ? CORE_EV_QUIT
                                              : CORE_EV_LEAVE;
        if (msg.type == IPC_LIVY && msg.livy.state == IPC_LIVY_NONE)
            h->guarding = false; /* its next look would be at the next Livy */
        host_elector_step(w, host, &event);
    }
}

/* The library waits for the answer to closeSession, so the locks stay held meanwhile. */
static void closed(struct world *w, const struct event *e)
{
    for (int i = 0; i < w->n_events; i++) {
        const struct event *other = &w->events[i];
        bool request = other->kind == EV_UP || other->kind == EV_TO_LEADER;
        if (request && other->m.op == OP_CLOSE && other->m.conn >= 0 &&
            w->zk.connections[other->m.conn].host == e->who && w->now < w->hosts[e->who].closing) {
            world_put_back(w, e, w->now + 50);
            return;
        }
    }
    memset(&w->hosts[e->who].file, 0, sizeof(w->hosts[e->who].file));
    host_kill_elector(w, e->who);
}

static void forget_process(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    h->elector = h->welcomed = h->guarding = false;
    h->elector_stopped = 0;
    h->crash_after = 0;
    h->closing = 0;
    h->to_elector.n = 0;
    memset(&h->core, 0, sizeof(h->core));
}

void member_end(struct world *w, int host)
{
    client_close(w, host, true);
    forget_process(w, host);
}

void member_vanish(struct world *w, int host)
{
    client_vanish(w, host);
    forget_process(w, host);
}

/* What the core is told of as it is: an event without anything else to it. */
static void tell(struct world *w, const struct event *e)
{
    struct core_event event = {.type = CORE_EV_TIME};

    if (e->kind == EV_LOOKED) {
        /* It is out of reach, whether its Livy lives or not: the probe is no guard to lean on here. */
        event.type = CORE_EV_PREDECESSOR;
        event.op = (uint64_t)e->arg;
    } else if (e->kind == EV_STAND) {
        event.type = CORE_EV_STAND;
        event.bar = CORE_BAR_DRAINED;
        event.stand = e->arg != 0;
        event.text = "drained";
    } else if (e->kind == EV_RESTART) {
        event.type = CORE_EV_RESTART;
        event.text = "restart";
    } else if (e->kind == EV_QUIET) {
        event.type = CORE_EV_QUIET;
    } else if (e->kind == EV_DOUBT) {
        event.type = CORE_EV_DOUBT;
    }
    host_elector_step(w, e->who, &event);
}

void member_event(struct world *w, const struct event *e)
{
    const struct host *h = &w->hosts[e->who];
    bool of_life =
        e->kind == EV_HELLO || e->kind == EV_KEEPER_GONE || e->kind == EV_GUARD || e->kind == EV_CLOSED;

    if (!h->elector || (of_life && e->arg != h->life))
        return;
    if (h->elector_stopped > w->now) {
        if (e->kind != EV_ELECTOR_TIME)
            world_put_back(w, e, h->elector_stopped);
        return;
    }
    if (e->kind == EV_PACKET) {
        packet(w, e->who);
    } else if (e->kind == EV_HELLO) {
        send_packet(w, e->who, IPC_HELLO, NULL);
    } else if (e->kind == EV_PROBED) {
        probed(w, e->who, (uint32_t)e->arg);
    } else if (e->kind == EV_DEATHS) {
        tell_deaths(w, e->who);
    } else if (e->kind == EV_GUARD) {
        look(w, e->who);
    } else if (e->kind == EV_CLOSED) {
        closed(w, e);
    } else if (e->kind == EV_ORDERS) {
        orders_tell(w, e->who);
    } else if (e->kind == EV_DOUBT) {
        if (h->welcomed && h->keeper_stopped > w->now)
            tell(w, e);
    } else if (e->kind == EV_KEEPER_GONE) {
        keeper_gone(w, e);
    } else {
        if (e->kind == EV_RESTART)
            orders_restart(w, e->who);
        tell(w, e);
    }
}
