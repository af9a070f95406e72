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

struct sim_death { /* an entry of <root>/deaths */
    int64_t at;
    int host;
    bool gave_up;
};

struct sim_zk {
    struct sim_world *world;
    int reachable; /* how many servers the clients know of: with one, what is late is not refused as moved */
    int64_t tick, timeout;
    struct sim_leader leader;
    struct sim_server servers[SIM_SERVERS];
    struct sim_connection connections[SIM_CONNECTIONS];
    int n_connections;
    struct sim_death deaths[CORE_DEATHS];
    size_t n_deaths;
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

/* ---- trees ------------------------------------------------------------------------------------------- */

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

/* ---- from server to client --------------------------------------------------------------------------- */

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

#endif
