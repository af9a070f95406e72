/* sim_zk.h - a modelled ZooKeeper: one leader, three followers, sessions, ephemeral sequential nodes,
 * watches.
 *
 * What it has of the real one, because a lease can break on it (and each was seen on real servers):
 *   - a session expires between T and T + tick after its last touch at the *leader*; a request touches it at
 * the follower alone, which tells the leader with its next ping, once per tick/2; connecting touches it at
 * the leader;
 *   - followers lag, freeze and are cut off from their leader; a cut-off part may still take connections and
 * answer reads and syncs (a leader that has lost its quorum and does not know yet), but commits nothing;
 *   - a new leader gives every session a full T, and what was not committed yet may be done or not;
 *   - requests of a connection that is gone are still carried out, late, but never for a session that has
 * moved to another server.
 */
#ifndef LIVY_HA_TEST_SIM_ZK_H
#define LIVY_HA_TEST_SIM_ZK_H

#include "core.h"
#include "sim_world.h"

#define SIM_SERVERS 3
#define SIM_SESSIONS 64
#define SIM_NODES 48
#define SIM_NAME 64
#define SIM_CONNECTIONS 16384
#define SIM_WATCHES 64
#define SIM_SYNC_LIMIT 5 /* ticks that leader and follower wait for each other */

enum sim_op {
    SIM_CONNECT,
    SIM_CLOSE,
    SIM_CREATE,
    SIM_DELETE,
    SIM_CHECK,
    SIM_EXISTS,
    SIM_LIST,
    SIM_REGISTER,
    SIM_PING,
    SIM_EVENT, /* a watch that fired */
    SIM_APPLY, /* leader to follower: a transaction */
};

struct sim_msg {
    struct sim_item item;
    enum sim_op op;
    int server, connection;
    uint64_t xid, tag, touched;
    int64_t session, zxid, owner, czxid;
    enum core_rc rc;
    bool watch;
    char node[CORE_NODE_SIZE];
    size_t n_names;
    char names[][SIM_NAME];
};

struct sim_node {
    char name[SIM_NAME];
    int64_t owner, czxid;
};

struct sim_tree {
    struct sim_node nodes[SIM_NODES];
    size_t n;
    int64_t zxid;
};

struct sim_session {
    int64_t id; /* 0: free */
    int64_t touched, expires, born, died;
    int server;
};

struct sim_watch {
    int connection; /* -1: free */
    uint64_t tag;
    char node[SIM_NAME];
};

struct sim_connection {
    int client, server;
    bool client_open, server_open;
    int64_t session, asked_at /* when the client sent its connect request */;
    int64_t held_until; /* the network delivers nothing before this */
    struct sim_link up, down;
};

struct sim_server {
    struct sim_tree tree;
    int64_t frozen_until, cut_until, cut_at, last_ping;
    bool joined, zombie;
    uint64_t touched;
    struct sim_link to_leader, from_leader;
    struct sim_watch watches[SIM_WATCHES];
};

struct sim_leader {
    struct sim_tree tree;
    struct sim_session sessions[SIM_SESSIONS];
    int64_t frozen_until, last_reply[SIM_SERVERS];
    bool member[SIM_SERVERS], committing;
    int64_t session_count, sequence;
    struct sim_link pending; /* waits for the quorum */
};

struct sim_zk {
    struct sim_world *world;
    int reachable; /* how many servers the clients know of: with one, what is late is not refused as moved */
    int64_t tick, timeout;
    struct sim_leader leader;
    struct sim_server servers[SIM_SERVERS];
    struct sim_connection connections[SIM_CONNECTIONS];
    int n_connections;
    void (*expired)(struct sim *s, int64_t session); /* for the oracle; before the nodes go */
};

/* Given by whoever composes the world, and by sim_client.h. */
static struct sim_zk *sim_zk(struct sim *s);
static void sim_client_receive(struct sim *s, int64_t connection, int64_t unused);
static void sim_client_hung_up(struct sim *s, int64_t connection, int64_t unused);

static struct sim_msg *sim_msg(enum sim_op op, size_t n_names)
{
    struct sim_msg *m = calloc(1, sizeof(*m) + n_names * SIM_NAME);
    if (m == NULL)
        abort();
    m->op = op;
    m->n_names = n_names;
    return m;
}

/* ---- trees
 * ---------------------------------------------------------------------------------------------------- */

static struct sim_node *sim_find(struct sim_tree *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->nodes[i].name, name) == 0)
            return &t->nodes[i];
    return NULL;
}

static void sim_plant(struct sim *s, struct sim_tree *t, const char *name, int64_t owner, int64_t czxid)
{
    if (t->n == SIM_NODES)
        sim_die(s, "too many nodes");
    struct sim_node *node = &t->nodes[t->n++];
    snprintf(node->name, sizeof(node->name), "%.63s", name);
    node->owner = owner;
    node->czxid = czxid;
}

static void sim_fell(struct sim_tree *t, const char *name)
{
    struct sim_node *node = sim_find(t, name);
    if (node != NULL)
        *node = t->nodes[--t->n];
}

/* ---- from server to client
 * ------------------------------------------------------------------------------------- */

static void sim_answer(struct sim *s, int connection, struct sim_msg *m)
{
    struct sim_connection *c = &sim_zk(s)->connections[connection];

    if (!c->server_open || !c->client_open) {
        free(m);
        return;
    }
    m->connection = connection;
    sim_put(s, &c->down, m, sim_roll(s, 3), sim_client_receive, connection);
}

/* The server ends a connection: some of what is on its way still arrives. */
static void sim_hang_up(struct sim *s, int connection)
{
    struct sim_connection *c = &sim_zk(s)->connections[connection];
    struct sim_server *server = &sim_zk(s)->servers[c->server];

    if (!c->server_open)
        return;
    c->server_open = false;
    sim_cut(&c->up, 0);
    sim_cut(&c->down, (int)sim_roll(s, c->down.n));
    for (int i = 0; i < SIM_WATCHES; i++)
        if (server->watches[i].connection == connection)
            server->watches[i].connection = -1;
    sim_at(s, c->down.last + sim_roll(s, 3), sim_client_hung_up, connection, 0);
}

static void sim_watch_set(struct sim *s, int server, int connection, const char *node, uint64_t tag)
{
    struct sim_watch *free_one = NULL;

    for (int i = 0; i < SIM_WATCHES; i++) {
        struct sim_watch *w = &sim_zk(s)->servers[server].watches[i];
        if (w->connection == connection && w->tag == tag && strcmp(w->node, node) == 0)
            return;
        if (w->connection < 0)
            free_one = w;
    }
    if (free_one == NULL)
        sim_die(s, "too many watches");
    free_one->connection = connection;
    free_one->tag = tag;
    snprintf(free_one->node, sizeof(free_one->node), "%.63s", node);
}

static void sim_fire(struct sim *s, int connection, const char *node, uint64_t tag)
{
    struct sim_msg *event = sim_msg(SIM_EVENT, 0);
    event->tag = tag;
    snprintf(event->node, sizeof(event->node), "%s", node);
    sim_answer(s, connection, event);
}

static void sim_fire_all(struct sim *s, int server, const char *node)
{
    for (int i = 0; i < SIM_WATCHES; i++) {
        struct sim_watch *w = &sim_zk(s)->servers[server].watches[i];
        if (w->connection < 0 || strcmp(w->node, node) != 0)
            continue;
        int connection = w->connection;
        w->connection = -1;
        sim_fire(s, connection, node, w->tag);
    }
}

/* ---- leader
 * ---------------------------------------------------------------------------------------------------- */

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

/* ---- followers
 * --------------------------------------------------------------------------------------------------- */

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

/* ---- time at the leader, and its faults
 * --------------------------------------------------------------------------- */

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
