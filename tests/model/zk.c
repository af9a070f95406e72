/* zk.c - the leader: sessions and their end, transactions in order. The servers are in server.c. */
#include "zk.h"

#include <string.h>

#include "host.h"
#include "server.h"

/* ms that a leader which goes on again needs for its overdue ping, while it answers already. A lease may
 * count on h/2 = T/40 at the most, from there to the follower's answer (core_lease.c). */
#define LATE_PING 90

bool zk_node_at(const struct world *w, int node, int32_t zxid)
{
    if (node < 0 || node >= w->zk.n_nodes)
        return false;
    const struct node *n = &w->zk.nodes[node];
    return n->made != 0 && n->made <= zxid && (n->gone == 0 || n->gone > zxid);
}

bool zk_session_at(const struct world *w, int session, int32_t zxid)
{
    if (session <= 0 || session >= SESSIONS)
        return false;
    const struct session *s = &w->zk.sessions[session];
    return s->made != 0 && s->made <= zxid && (s->gone == 0 || s->gone > zxid);
}

int zk_first_node(const struct world *w)
{
    for (int i = 0; i < w->zk.n_nodes; i++)
        if (zk_node_at(w, i, w->zk.zxid))
            return i;
    return -1;
}

static void reply(struct world *w, const struct zmsg *m)
{
    struct zmsg answer = *m;
    answer.zxid = w->zk.zxid;
    server_from_leader(w, m->server, &answer);
}

static void broadcast(struct world *w)
{
    struct zmsg m = {.op = OP_APPLY, .conn = -1, .zxid = w->zk.zxid};
    for (int i = 0; i < SERVERS; i++)
        server_from_leader(w, i, &m);
}

static void touch(struct world *w, struct session *s, int timeout)
{
    int64_t at = w->now + timeout;
    if (at < s->expires) /* a smaller T was granted meanwhile */
        world_put(w, at, EV_EXPIRE, 0, (int32_t)(s - w->zk.sessions));
    s->timeout = timeout;
    s->expires = at;
}

/* ---- transactions ------------------------------------------------------------------------------------ */

static void remove_node(struct world *w, int node, enum violation how, const char *why)
{
    struct node *n = &w->zk.nodes[node];

    n->gone = ++w->zk.zxid;
    world_say(w, "zk        node %d (epoch %d) is gone: %s", node, n->made, why);
    if (how != FINE)
        host_node_gone(w, n->made, how, why);
}

static void end_session(struct world *w, int id, enum violation how, const char *why)
{
    struct session *s = &w->zk.sessions[id];

    world_say(w, "zk        session %d of host %d: %s", id, s->host, why);
    s->alive = false;
    s->gone = ++w->zk.zxid;
    for (int i = 0; i < w->zk.n_nodes; i++)
        if (w->zk.nodes[i].owner == id && zk_node_at(w, i, w->zk.zxid))
            remove_node(w, i, how, why);
    broadcast(w);
}

static void new_session(struct world *w, struct zmsg *m)
{
    struct zk *zk = &w->zk;

    if (zk->n_sessions + 1 == SESSIONS) {
        world_violation(w, MODEL_FULL, "too many sessions");
        return;
    }
    m->session = (int16_t)++zk->n_sessions;
    struct session *s = &zk->sessions[m->session];
    *s = (struct session){.alive = true,
                          .host = (int16_t)(m->conn >= 0 ? zk->connections[m->conn].host : -1),
                          .server = m->server,
                          .timeout = m->timeout,
                          .made = ++zk->zxid,
                          .expires = w->now + m->timeout};
    world_put(w, s->expires, EV_EXPIRE, 0, m->session);
    m->rc = CORE_OK;
    broadcast(w);
    reply(w, m);
}

static void create(struct world *w, struct zmsg *m)
{
    struct zk *zk = &w->zk;

    if (zk->n_nodes == NODES) {
        world_violation(w, MODEL_FULL, "too many nodes");
        return;
    }
    m->node = (int16_t)zk->n_nodes++;
    zk->nodes[m->node] = (struct node){.uuid = m->uuid, .owner = m->session, .made = ++zk->zxid};
    world_say(w, "zk        node %d (epoch %d) is made by session %d of host %d", m->node, zk->zxid,
              m->session, zk->sessions[m->session].host);
    broadcast(w);
}

static void clear_tenure(struct world *w, int host)
{
    struct tenure *t = host >= 0 ? &w->zk.tenures[host] : NULL;

    if (t == NULL || t->made == 0 || t->gone != 0)
        return;
    t->gone = ++w->zk.zxid;
    broadcast(w);
}

static void transact(struct world *w, struct zmsg *m)
{
    struct zk *zk = &w->zk;
    struct session *s = &zk->sessions[m->session];

    if (m->op == OP_CONNECT) {
        new_session(w, m);
        return;
    }
    m->rc = CORE_OK;
    int own = s->host;
    if (!s->alive || s->server != m->server) {
        m->rc = CORE_UNKNOWN; /* expired, or moved: the server ends the connection */
    } else if (m->op == OP_CLOSE) {
        end_session(w, m->session, LATCH_GIVEN_UP, "closed");
    } else if (m->op == OP_CREATE) {
        create(w, m);
    } else if (m->op == OP_REGISTER) {
        s->registered = true;
    } else if (m->op == OP_CLEAR && m->node < 0) {
        clear_tenure(w, own);
    } else if (!zk_node_at(w, m->node, zk->zxid)) {
        m->rc = CORE_NONODE;
        if (m->tenured)
            clear_tenure(w, own);
    } else if (m->op == OP_CLEAR) {
        clear_tenure(w, m->victim);
    } else if (m->op == OP_TENURE) {
        zk->tenures[own] = (struct tenure){.made = ++zk->zxid, .epoch = (int32_t)m->mask};
        broadcast(w);
    } else if (m->op == OP_DELETE) {
        zk->nodes[m->node].in_order = m->in_order;
        remove_node(w, m->node, LATCH_GIVEN_UP, "deleted");
        if (m->tenured)
            clear_tenure(w, own);
        broadcast(w);
    }
    reply(w, m);
}

static bool quorum(const struct world *w)
{
    for (int i = 0; i < SERVERS; i++)
        if (server_in_touch(w, i))
            return true;
    return false;
}

static void receive(struct world *w, const struct event *e)
{
    struct zk *zk = &w->zk;
    struct zmsg m = e->m;
    const struct server *from = &zk->servers[e->who];
    int64_t wait = later(zk->frozen_until, from->cut_until);
    bool transaction = m.op != OP_PING && m.op != OP_LIST && (m.op != OP_CONNECT || m.session == 0);

    if (wait > w->now) {
        world_put_back(w, e, wait);
    } else if (transaction && !quorum(w)) {
        world_put_back(w, e, w->now + 50);
    } else if (m.op == OP_PING) {
        for (int i = 1; i <= zk->n_sessions; i++)
            if ((m.mask >> i & 1) != 0 && zk->sessions[i].alive)
                touch(w, &zk->sessions[i], server_grants(w, e->who));
    } else if (m.op == OP_LIST) {
        reply(w, &m); /* sync: by the leader alone */
    } else if (transaction) {
        transact(w, &m);
    } else {
        struct session *s = &zk->sessions[m.session];
        m.rc = s->alive ? CORE_OK : CORE_NONODE;
        if (s->alive) {
            touch(w, s, m.timeout);
            s->server = e->who;
        }
        reply(w, &m);
    }
}

/* ---- time, and faults -------------------------------------------------------------------------------- */

static void expire(struct world *w, const struct event *e)
{
    struct session *s = &w->zk.sessions[e->arg];

    if (!s->alive)
        return;
    int64_t at = later(s->expires, w->zk.frozen_until);
    if (at > w->now)
        world_put_back(w, e, at);
    else
        end_session(w, e->arg, SESSION_OUTLIVED, "expired");
}

static void ping(struct world *w)
{
    struct zmsg m = {.op = OP_PING, .conn = -1};

    if (w->zk.frozen_until > w->now) {
        w->zk.ping_at = w->zk.frozen_until + LATE_PING;
        return;
    }
    w->zk.ping_at = w->now + TICK / 2;
    for (int i = 0; i < SERVERS; i++) {
        m.zxid = w->zk.zxid;
        server_from_leader(w, i, &m);
    }
}

static bool is_to_leader(const struct world *w, const struct event *e, int arg)
{
    (void)w;
    (void)arg;
    return e->kind == EV_TO_LEADER;
}

/* What has reached the leader that is dead is done by the next one; nobody is told. */
static void carry_over(struct world *w)
{
    struct zmsg list[EVENTS];
    int n = 0;

    for (int i = w->n_events - 1; i >= 0; i--) {
        const struct zmsg *m = &w->events[i].m;
        if (w->events[i].kind == EV_TO_LEADER && m->op != OP_PING && m->op != OP_CONNECT && m->op != OP_LIST)
            list[n++] = *m;
    }
    for (int i = 0; i < n; i++) {
        list[i].conn = -1;
        transact(w, &list[i]);
    }
}

/* The leader is dead. What had reached it is done by the next one, or not; every session begins anew. */
void zk_election(struct world *w, int64_t takes, bool done)
{
    world_say(w, "zk        the leader is dead; another one in %lld ms", (long long)takes);
    if (done)
        carry_over(w);
    world_drop_events(w, is_to_leader, 0);
    for (int i = 0; i < SERVERS; i++)
        server_leave(w, i);
    zk_freeze_leader(w, w->now + takes);
    w->zk.ping_at = w->zk.frozen_until + TICK / 2;
    for (int i = 1; i <= w->zk.n_sessions; i++)
        w->zk.sessions[i].expires = w->zk.frozen_until + w->zk.sessions[i].timeout;
}

void zk_freeze_leader(struct world *w, int64_t until)
{
    w->zk.frozen_until = later(w->zk.frozen_until, until);
    world_put(w, w->zk.frozen_until, EV_ELECTED, 0, 0);
}

void zk_stranger(struct world *w, int node)
{
    w->stranger = true;
    remove_node(w, node, FINE, "deleted by a stranger");
    broadcast(w);
}

bool zk_well(const struct world *w)
{
    for (int i = 0; i < SERVERS; i++)
        if (!server_in_touch(w, i))
            return false;
    for (int i = 0; i < w->n_events; i++)
        if (w->events[i].kind == EV_UP && !w->zk.connections[w->events[i].m.conn].client_open)
            return false; /* late, of a connection that is no more */
    return w->zk.frozen_until <= w->now;
}

void zk_begin(struct world *w)
{
    w->zk.ping_at = TICK / 2;
    w->zk.zxid = 1;
    for (int i = 0; i < SERVERS; i++) {
        struct server *s = &w->zk.servers[i];
        s->joined = true;
        s->applied = 1;
        for (int j = 0; j < WATCHES; j++)
            s->watches[j].conn = -1;
    }
}

void zk_event(struct world *w, const struct event *e)
{
    if (e->kind == EV_TO_LEADER)
        receive(w, e);
    else if (e->kind == EV_EXPIRE)
        expire(w, e);
    else if (e->kind == EV_LEADER_PING)
        ping(w);
    else
        server_event(w, e);
}
