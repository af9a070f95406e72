/* sim_leader.h - the modelled leader: sessions and their expiry, transactions in order, what waits for the
 * quorum. See sim_zk.h.
 */
#ifndef LIVY_HA_TEST_SIM_LEADER_H
#define LIVY_HA_TEST_SIM_LEADER_H

#include "sim_zk.h"

static void sim_server_from_leader(struct sim *s, int64_t server, int64_t unused);

static struct sim_session *sim_session(struct sim *s, int64_t id)
{
    struct sim_session *session = &sim_zk(s)->leader.sessions[id % SIM_SESSIONS];
    return id != 0 && session->id == id ? session : NULL;
}

/* ExpiryQueue: rounded up to the next multiple of tick. */
static void sim_touch(struct sim *s, struct sim_session *session)
{
    int64_t tick = sim_zk(s)->tick;
    session->touched = sim_now(s);
    session->expires = ((sim_now(s) + sim_zk(s)->timeout) / tick + 1) * tick;
}

static void sim_to_server(struct sim *s, int server, struct sim_msg *m)
{
    struct sim_zk *zk = sim_zk(s);

    if (!zk->leader.member[server]) {
        free(m);
        return;
    }
    /* Now and then a follower lags. */
    int64_t delay = sim_chance(s, 3) ? sim_roll(s, 400) : sim_roll(s, 2);
    sim_put(s, &zk->servers[server].from_leader, m, delay, sim_server_from_leader, server);
}

static bool sim_quorum(struct sim *s)
{
    int count = 0;
    for (int i = 0; i < SIM_SERVERS; i++) {
        const struct sim_server *server = &sim_zk(s)->servers[i];
        count += sim_zk(s)->leader.member[i] && server->frozen_until <= sim_now(s) &&
                 server->cut_until <= sim_now(s);
    }
    return count >= 2;
}

static void sim_broadcast(struct sim *s, const struct sim_msg *m)
{
    for (int i = 0; i < SIM_SERVERS; i++) {
        struct sim_msg *copy = sim_msg(SIM_APPLY, 0);
        *copy = *m;
        copy->op = SIM_APPLY;
        sim_to_server(s, i, copy);
    }
}

static void sim_remove(struct sim *s, struct sim_msg *m, const char *node)
{
    struct sim_leader *leader = &sim_zk(s)->leader;
    snprintf(m->node, sizeof(m->node), "%s", node);
    m->czxid = 0; /* a removal */
    m->zxid = ++leader->tree.zxid;
    sim_trace(s, "zk       %s is gone", node);
    sim_fell(&leader->tree, node);
    sim_broadcast(s, m);
}

static void sim_end_session(struct sim *s, struct sim_session *session)
{
    struct sim_leader *leader = &sim_zk(s)->leader;
    struct sim_msg *m = sim_msg(SIM_APPLY, 0);
    int64_t id = session->id;

    m->server = -1;
    session->died = sim_now(s);
    session->id = -session->id; /* kept for what a cut-off server still believes */
    for (size_t i = leader->tree.n; i-- > 0;)
        if (leader->tree.nodes[i].owner == id) {
            char name[SIM_NAME];
            memcpy(name, leader->tree.nodes[i].name, sizeof(name));
            sim_remove(s, m, name);
        }
    free(m);
}

static void sim_new_session(struct sim *s, struct sim_msg *m)
{
    struct sim_leader *leader = &sim_zk(s)->leader;
    struct sim_session *session;

    do
        session = &leader->sessions[++leader->session_count % SIM_SESSIONS];
    while (session->id > 0);
    *session = (struct sim_session){.id = leader->session_count, .server = m->server, .born = sim_now(s)};
    sim_touch(s, session);
    m->session = session->id;
    m->rc = CORE_OK;
    sim_to_server(s, m->server, m);
}

/* One transaction, in the order in which they came; answers travel with it. */
static void sim_transact(struct sim *s, struct sim_msg *m)
{
    struct sim_leader *leader = &sim_zk(s)->leader;
    struct sim_session *session = sim_session(s, m->session);

    if (m->op == SIM_CONNECT) {
        sim_new_session(s, m);
        return;
    }
    m->tag = (uint64_t)m->op;
    m->czxid = -1; /* nothing changes */
    if (session == NULL || session->server != m->server) {
        m->rc = CORE_UNKNOWN; /* expired, or moved */
        sim_broadcast(s, m);
    } else if (m->op == SIM_CLOSE) {
        sim_trace(s, "zk       session %lld is closed", (long long)m->session);
        sim_end_session(s, session);
    } else if (m->op == SIM_CREATE) {
        char name[CORE_NODE_SIZE];
        snprintf(name, sizeof(name), "_c_%.36s-latch-%010lld", m->node, (long long)++leader->sequence);
        memcpy(m->node, name, sizeof(m->node));
        m->owner = m->session;
        m->czxid = m->zxid = ++leader->tree.zxid;
        sim_plant(s, &leader->tree, name, m->owner, m->czxid);
        sim_trace(s, "zk       %s is made by session %lld", name, (long long)m->session);
        m->rc = CORE_OK;
        sim_broadcast(s, m);
    } else {
        bool there = sim_find(&leader->tree, m->node) != NULL;
        m->rc = there ? CORE_OK : CORE_NONODE;
        if (there && m->op == SIM_DELETE) {
            char name[CORE_NODE_SIZE];
            memcpy(name, m->node, sizeof(name));
            sim_remove(s, m, name);
        } else {
            m->zxid = ++leader->tree.zxid;
            sim_broadcast(s, m);
        }
    }
    free(m);
}

static void sim_commit(struct sim *s, int64_t unused, int64_t unused2)
{
    struct sim_leader *leader = &sim_zk(s)->leader;
    (void)unused;
    (void)unused2;

    leader->committing = false;
    if (leader->frozen_until <= sim_now(s) && sim_quorum(s))
        for (struct sim_msg *m; (m = sim_pop(&leader->pending)) != NULL;)
            sim_transact(s, m);
    if (leader->pending.head != NULL) {
        leader->committing = true;
        sim_after(s, 2 + sim_roll(s, 3), sim_commit, 0, 0);
    }
}

static void sim_propose(struct sim *s, struct sim_msg *m)
{
    struct sim_leader *leader = &sim_zk(s)->leader;

    m->item.next = NULL;
    if (leader->pending.tail != NULL)
        leader->pending.tail->next = &m->item;
    else
        leader->pending.head = &m->item;
    leader->pending.tail = &m->item;
    leader->pending.n++;
    if (!leader->committing)
        sim_after(s, sim_roll(s, 2), sim_commit, 0, 0);
    leader->committing = true;
}

static void sim_leader_receive(struct sim *s, int64_t server, int64_t unused)
{
    struct sim_zk *zk = sim_zk(s);
    struct sim_leader *leader = &zk->leader;
    struct sim_server *from = &zk->servers[server];
    int64_t wait = leader->frozen_until > from->cut_until ? leader->frozen_until : from->cut_until;
    struct sim_session *session;

    (void)unused;
    if (wait > sim_now(s)) {
        sim_at(s, wait + sim_roll(s, 5), sim_leader_receive, server, 0);
        return;
    }
    struct sim_msg *m = sim_pop(&from->to_leader);
    if (m == NULL)
        return;
    if (!leader->member[server]) {
        free(m); /* it was dropped, and does not know yet */
        return;
    }
    if (m->op == SIM_PING) {
        leader->last_reply[server] = sim_now(s);
        for (int i = 0; i < SIM_SESSIONS; i++)
            if ((m->touched >> i & 1) != 0 && leader->sessions[i].id > 0)
                sim_touch(s, &leader->sessions[i]);
        free(m);
    } else if (m->op == SIM_CONNECT && m->session != 0) {
        session = sim_session(s, m->session);
        m->rc = session != NULL ? CORE_OK : CORE_NONODE;
        if (session != NULL) {
            sim_touch(s, session);
            session->server = (int)server;
        }
        sim_to_server(s, (int)server, m);
    } else if (m->op == SIM_LIST) {
        sim_to_server(s, (int)server, m); /* sync: by the leader alone */
    } else {
        sim_propose(s, m);
    }
}

static void sim_to_leader(struct sim *s, int server, struct sim_msg *m)
{
    m->server = server;
    sim_put(s, &sim_zk(s)->servers[server].to_leader, m, sim_roll(s, 2), sim_leader_receive, server);
}

#endif
