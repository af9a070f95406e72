/* sim_follower.h - the modelled followers, which clients are connected to; then the passing of time in the
 * ensemble, and its faults. See sim_zk.h.
 */
#ifndef LIVY_HA_TEST_SIM_FOLLOWER_H
#define LIVY_HA_TEST_SIM_FOLLOWER_H

#include "sim_leader.h"

static void sim_server_leave(struct sim *s, int server)
{
    struct sim_zk *zk = sim_zk(s);
    struct sim_server *me = &zk->servers[server];

    me->joined = me->zombie = zk->leader.member[server] = false;
    sim_cut(&me->to_leader, 0);
    sim_cut(&me->from_leader, 0);
    me->touched = 0;
    for (int i = 0; i < zk->n_connections; i++)
        if (zk->connections[i].server == server)
            sim_hang_up(s, i);
}

/* Every tick/2: joins again where it can, leaves where the leader has been silent for too long. */
static void sim_server_tick(struct sim *s, int64_t server, int64_t unused)
{
    struct sim_zk *zk = sim_zk(s);
    struct sim_server *me = &zk->servers[server];
    bool reachable = me->cut_until <= sim_now(s) && zk->leader.frozen_until <= sim_now(s);

    (void)unused;
    sim_after(s, zk->tick / 4 + sim_roll(s, 20), sim_server_tick, server, 0);
    if (me->frozen_until > sim_now(s))
        return;
    if (me->joined &&
        (sim_now(s) - me->last_ping > SIM_SYNC_LIMIT * zk->tick || (!zk->leader.member[server] && reachable)))
        sim_server_leave(s, (int)server);
    if (!me->joined && reachable) {
        me->tree = zk->leader.tree;
        me->joined = zk->leader.member[server] = true;
        me->last_ping = zk->leader.last_reply[server] = sim_now(s);
    }
}

static void sim_apply(struct sim *s, int server, struct sim_msg *m)
{
    struct sim_tree *tree = &sim_zk(s)->servers[server].tree;
    bool mine = m->server == server && m->connection >= 0;

    if (m->zxid > tree->zxid)
        tree->zxid = m->zxid;
    if (m->czxid > 0) {
        sim_plant(s, tree, m->node, m->owner, m->czxid);
    } else if (m->czxid == 0) {
        sim_fell(tree, m->node);
        sim_fire_all(s, server, m->node);
    }
    if (!mine || m->xid == 0) {
        free(m);
        return;
    }
    if (m->rc == CORE_UNKNOWN) {
        sim_hang_up(s, m->connection);
        free(m);
        return;
    }
    m->op = (enum sim_op)m->tag;
    sim_answer(s, m->connection, m);
}

static void sim_answer_read(struct sim *s, int server, struct sim_msg *m)
{
    struct sim_tree *tree = &sim_zk(s)->servers[server].tree;
    int connection = m->connection;
    struct sim_msg *reply = m;

    m->rc = CORE_OK;
    m->zxid = tree->zxid;
    if (m->op == SIM_LIST) {
        reply = sim_msg(SIM_LIST, tree->n);
        reply->xid = m->xid;
        reply->zxid = m->zxid;
        for (size_t i = 0; i < tree->n; i++)
            memcpy(reply->names[i], tree->nodes[i].name, SIM_NAME);
        free(m);
    } else if (m->op == SIM_EXISTS) {
        const struct sim_node *node = sim_find(tree, m->node);
        m->rc = node != NULL ? CORE_OK : CORE_NONODE;
        m->owner = node != NULL ? node->owner : 0;
        m->czxid = node != NULL ? node->czxid : 0;
        if (m->watch && node != NULL)
            sim_watch_set(s, server, connection, m->node, m->tag);
    }
    sim_answer(s, connection, reply);
}

static void sim_attached(struct sim *s, int server, struct sim_msg *m)
{
    struct sim_connection *c = &sim_zk(s)->connections[m->connection];
    c->session = m->rc == CORE_OK ? m->session : 0;
    m->zxid = sim_zk(s)->servers[server].tree.zxid;
    sim_answer(s, m->connection, m);
}

static void sim_server_from_leader(struct sim *s, int64_t server, int64_t unused)
{
    struct sim_server *me = &sim_zk(s)->servers[server];
    int64_t wait = me->frozen_until > me->cut_until ? me->frozen_until : me->cut_until;

    (void)unused;
    if (wait > sim_now(s)) {
        sim_at(s, wait + sim_roll(s, 5), sim_server_from_leader, server, 0);
        return;
    }
    struct sim_msg *m = sim_pop(&me->from_leader);
    if (m == NULL)
        return;
    if (m->op == SIM_PING) {
        me->last_ping = sim_now(s);
        m->touched = me->touched;
        me->touched = 0;
        sim_to_leader(s, (int)server, m);
    } else if (m->op == SIM_CONNECT) {
        sim_attached(s, (int)server, m);
    } else if (m->op == SIM_LIST) {
        sim_answer_read(s, (int)server, m);
    } else {
        sim_apply(s, (int)server, m);
    }
}

/* What a leader that has lost its quorum still believes: sessions that lived when it was cut off. */
static bool sim_believed(struct sim *s, const struct sim_server *me, int64_t session)
{
    const struct sim_session *there = &sim_zk(s)->leader.sessions[session % SIM_SESSIONS];
    bool same = there->id == session || there->id == -session;
    return same && there->born < me->cut_at && (there->died == 0 || there->died > me->cut_at);
}

static void sim_connect_request(struct sim *s, int server, struct sim_msg *m)
{
    struct sim_server *me = &sim_zk(s)->servers[server];
    bool alone = me->zombie && me->cut_until > sim_now(s);

    if (!me->joined || m->zxid > me->tree.zxid) {
        sim_hang_up(s, m->connection); /* it has seen less than the client has */
        free(m);
    } else if (alone && m->session != 0) {
        m->rc = sim_believed(s, me, m->session) ? CORE_OK : CORE_NONODE;
        sim_attached(s, server, m);
    } else {
        sim_to_leader(s, server, m);
    }
}

static void sim_server_receive(struct sim *s, int64_t connection, int64_t unused)
{
    struct sim_connection *c = &sim_zk(s)->connections[connection];
    struct sim_server *me = &sim_zk(s)->servers[c->server];
    int64_t wait = me->frozen_until > c->held_until ? me->frozen_until : c->held_until;

    (void)unused;
    if (wait > sim_now(s)) {
        sim_at(s, wait + sim_roll(s, 5), sim_server_receive, connection, 0);
        return;
    }
    struct sim_msg *m = sim_pop(&c->up);
    if (m == NULL)
        return;
    m->connection = (int)connection;
    m->server = c->server;
    if (m->op == SIM_CONNECT) {
        sim_connect_request(s, c->server, m);
        return;
    }
    if (!c->server_open || c->session == 0) {
        free(m);
        return;
    }
    m->session = c->session;
    me->touched |= UINT64_C(1) << (c->session % SIM_SESSIONS);
    bool alone = me->zombie && me->cut_until > sim_now(s);
    if (m->op == SIM_PING || m->op == SIM_REGISTER || m->op == SIM_EXISTS || (m->op == SIM_LIST && alone))
        sim_answer_read(s, c->server, m);
    else
        sim_to_leader(s, c->server, m);
}

/* ---- time at the leader, and its faults -------------------------------------------------------------- */

static void sim_expire(struct sim *s, int64_t again, int64_t unused)
{
    struct sim_zk *zk = sim_zk(s);

    (void)unused;
    if (zk->leader.frozen_until > sim_now(s)) {
        sim_at(s, zk->leader.frozen_until + sim_roll(s, 5), sim_expire, again, 0);
        return;
    }
    for (int i = 0; i < SIM_SESSIONS; i++) {
        struct sim_session *session = &zk->leader.sessions[i];
        if (session->id <= 0 || session->expires > sim_now(s))
            continue;
        sim_trace(s, "zk       session %lld has expired", (long long)session->id);
        zk->expired(s, session->id);
        sim_end_session(s, session);
    }
    if (again != 0)
        sim_at(s, (sim_now(s) / zk->tick + 1) * zk->tick, sim_expire, 1, 0);
}

static void sim_ping(struct sim *s, int64_t unused, int64_t unused2)
{
    struct sim_zk *zk = sim_zk(s);

    (void)unused;
    (void)unused2;
    if (zk->leader.frozen_until > sim_now(s)) {
        sim_at(s, zk->leader.frozen_until + sim_roll(s, 5), sim_ping, 0, 0);
        return;
    }
    for (int i = 0; i < SIM_SERVERS; i++) {
        if (zk->leader.member[i] && sim_now(s) - zk->leader.last_reply[i] > SIM_SYNC_LIMIT * zk->tick) {
            zk->leader.member[i] = false;
            sim_cut(&zk->servers[i].to_leader, 0);
            sim_cut(&zk->servers[i].from_leader, 0);
        }
        sim_to_server(s, i, sim_msg(SIM_PING, 0));
    }
    sim_after(s, zk->tick / 2, sim_ping, 0, 0);
}

static void sim_elected(struct sim *s, int64_t unused, int64_t unused2)
{
    struct sim_leader *leader = &sim_zk(s)->leader;

    (void)unused;
    (void)unused2;
    for (int i = 0; i < SIM_SESSIONS; i++)
        if (leader->sessions[i].id > 0)
            sim_touch(s, &leader->sessions[i]);
}

/* The leader is dead. What it had proposed is done by the next one, or not; every session begins anew. */
static SIM_UNUSED void sim_election(struct sim *s, int64_t takes)
{
    struct sim_leader *leader = &sim_zk(s)->leader;
    bool done = sim_chance(s, 500);

    sim_trace(s, "zk       the leader is dead");
    for (struct sim_msg *m; (m = sim_pop(&leader->pending)) != NULL;) {
        if (done && m->op != SIM_CONNECT) {
            m->connection = -1; /* nobody is told */
            sim_transact(s, m);
        } else {
            free(m);
        }
    }
    for (int i = 0; i < SIM_SERVERS; i++)
        if (sim_zk(s)->servers[i].frozen_until <= sim_now(s))
            sim_server_leave(s, i);
        else
            leader->member[i] = false;
    if (leader->frozen_until < sim_now(s) + takes)
        leader->frozen_until = sim_now(s) + takes;
    for (int i = 0; i < SIM_SESSIONS; i++)
        leader->sessions[i].expires =
            leader->frozen_until + sim_zk(s)->timeout; /* not before they are armed again */
    sim_at(s, leader->frozen_until, sim_elected, 0, 0);
}

static SIM_UNUSED void sim_zk_open(struct sim *s, int64_t tick, int64_t timeout)
{
    struct sim_zk *zk = sim_zk(s);

    zk->tick = tick;
    zk->timeout = timeout;
    zk->reachable = SIM_SERVERS;
    for (int i = 0; i < SIM_SERVERS; i++) {
        for (int w = 0; w < SIM_WATCHES; w++)
            zk->servers[i].watches[w].connection = -1;
        sim_server_tick(s, i, 0);
    }
    sim_ping(s, 0, 0);
    sim_expire(s, 1, 0);
}

static SIM_UNUSED void sim_zk_close(struct sim *s)
{
    struct sim_zk *zk = sim_zk(s);

    for (int i = 0; i < zk->n_connections; i++) {
        sim_cut(&zk->connections[i].up, 0);
        sim_cut(&zk->connections[i].down, 0);
    }
    for (int i = 0; i < SIM_SERVERS; i++) {
        sim_cut(&zk->servers[i].to_leader, 0);
        sim_cut(&zk->servers[i].from_leader, 0);
    }
    sim_cut(&zk->leader.pending, 0);
}

#endif
