/* sim_client.h - the ZooKeeper client library as the elector knows it: reconnects by itself, pings, notices
 * silence, re-arms its watches, keeps requests that were made while there was no connection. One to a host.
 */
#ifndef LIVY_HA_TEST_SIM_CLIENT_H
#define LIVY_HA_TEST_SIM_CLIENT_H

#include "sim_follower.h"

#define SIM_CALLS 32
#define SIM_CLIENT_WATCHES 8

struct sim_call {
    uint64_t op; /* 0: free */
    enum core_request request;
    bool beat;
};

/* What the loop of the elector will be told. */
struct sim_news {
    struct sim_item item;
    struct core_event event;
    struct sim_msg *msg; /* owns what the event points to */
    uint64_t handle;     /* of which ZooKeeper handle; 0: of none */
    int64_t asked_at;    /* CONNECTED: when its request was sent */
    int connection;
};

struct sim_client {
    bool open, connected;
    uint64_t handle; /* counts */
    int64_t session, zxid, heard, since, pinged;
    int server, connection;
    int64_t cut_until; /* the host's network is gone */
    struct sim_call calls[SIM_CALLS];
    struct sim_link deferred;
    struct {
        uint64_t tag;
        char node[CORE_NODE_SIZE];
    } watches[SIM_CLIENT_WATCHES];
};

static struct sim_client *sim_client(struct sim *s, int64_t host);
static bool sim_client_halted(struct sim *s, int64_t host); /* its process is stopped */
static void sim_elector_news(struct sim *s, int64_t host, struct sim_news *news);
/* Who has left otherwise than in order, as the tenures would say; NULL: nobody. */
static const struct core_victim *sim_victim(struct sim *s, int host);
static void sim_client_connect(struct sim *s, int64_t host, int64_t handle);

static struct sim_news *sim_news(enum core_event_type type)
{
    struct sim_news *n = calloc(1, sizeof(*n));
    if (n == NULL)
        abort();
    n->event.type = type;
    return n;
}

static void sim_tell(struct sim *s, int host, struct sim_news *news)
{
    news->handle = sim_client(s, host)->handle;
    sim_elector_news(s, host, news);
}

/* ---- the end of a connection ------------------------------------------------------------------------- */

static void sim_server_eof(struct sim *s, int64_t connection, int64_t unused)
{
    (void)unused;
    if (sim_zk(s)->connections[connection].up.head != NULL)
        sim_after(s, 50, sim_server_eof, connection, 0);
    else
        sim_hang_up(s, (int)connection);
}

/* What was sent arrives, perhaps late, perhaps only the first part of it. */
static void sim_client_abandon(struct sim *s, int connection)
{
    struct sim_connection *c = &sim_zk(s)->connections[connection];

    c->client_open = false;
    sim_cut(&c->down, 0);
    if (sim_chance(s, 300))
        sim_cut(&c->up, (int)sim_roll(s, c->up.n));
    /* With one server nothing is refused as moved: then lateness is worth more. */
    if (sim_chance(s, sim_zk(s)->reachable == 1 ? 500 : 150) && c->held_until < sim_now(s))
        c->held_until = sim_now(s) + sim_roll(s, 8000);
    sim_server_eof(s, connection, 0);
}

static void sim_client_break(struct sim *s, int host)
{
    struct sim_client *me = sim_client(s, host);

    if (me->connection < 0)
        return;
    int64_t wait = sim_roll(s, me->connected ? 20 : 300);
    sim_client_abandon(s, me->connection);
    me->connection = -1;
    if (me->connected)
        sim_tell(s, host, sim_news(CORE_EV_SUSPENDED));
    me->connected = false;
    for (int i = 0; i < SIM_CALLS; i++) {
        struct sim_call *call = &me->calls[i];
        if (call->op == 0)
            continue;
        struct sim_news *n = sim_news(call->beat ? CORE_EV_BEAT : CORE_EV_REPLY);
        n->event.op = call->op;
        n->event.request = call->request;
        n->event.rc = CORE_UNKNOWN;
        call->op = 0;
        sim_tell(s, host, n);
    }
    sim_cut(&me->deferred, 0);
    me->server = (me->server + 1) % sim_zk(s)->reachable;
    if (me->open)
        sim_after(s, wait, sim_client_connect, host, (int64_t)me->handle);
}

static void sim_client_hung_up(struct sim *s, int64_t connection, int64_t unused)
{
    int host = sim_zk(s)->connections[connection].client;

    (void)unused;
    if (sim_client_halted(s, host))
        sim_after(s, 10, sim_client_hung_up, connection, 0);
    else if (sim_client(s, host)->connection == connection)
        sim_client_break(s, host);
}

/* ---- connecting -------------------------------------------------------------------------------------- */

static void sim_send(struct sim *s, struct sim_client *me, struct sim_msg *m)
{
    sim_put(s, &sim_zk(s)->connections[me->connection].up, m, sim_roll(s, 3), sim_server_receive,
            me->connection);
}

static void sim_client_connect(struct sim *s, int64_t host, int64_t handle)
{
    struct sim_zk *zk = sim_zk(s);
    struct sim_client *me = sim_client(s, host);

    if (!me->open || me->connection >= 0 || (uint64_t)handle != me->handle)
        return;
    if (sim_client_halted(s, host)) {
        sim_after(s, 10, sim_client_connect, host, handle);
        return;
    }
    if (zk->n_connections == SIM_CONNECTIONS)
        sim_die(s, "too many connections");
    me->connection = zk->n_connections++;
    me->since = sim_now(s);
    zk->connections[me->connection] = (struct sim_connection){.client = (int)host,
                                                              .server = me->server,
                                                              .client_open = true,
                                                              .server_open = true,
                                                              .held_until = me->cut_until,
                                                              .asked_at = sim_now(s)};
    struct sim_msg *m = sim_msg(SIM_CONNECT, 0);
    m->session = me->session;
    m->zxid = me->zxid;
    sim_send(s, me, m);
}

static void sim_client_rearm(struct sim *s, struct sim_client *me)
{
    for (int i = 0; i < SIM_CLIENT_WATCHES; i++) {
        if (me->watches[i].node[0] == '\0')
            continue;
        struct sim_msg *m = sim_msg(SIM_EXISTS, 0);
        m->watch = true;
        m->tag = me->watches[i].tag;
        memcpy(m->node, me->watches[i].node, sizeof(m->node));
        sim_send(s, me, m); /* xid 0: setWatches */
    }
}

static void sim_client_attached(struct sim *s, int host, const struct sim_msg *m)
{
    struct sim_client *me = sim_client(s, host);

    if (m->rc != CORE_OK) {
        me->open = false;
        sim_tell(s, host, sim_news(CORE_EV_LOST));
        sim_client_break(s, host);
        return;
    }
    struct sim_news *n = sim_news(CORE_EV_CONNECTED);
    n->event.session = me->session = m->session;
    n->event.timeout = sim_zk(s)->timeout;
    n->asked_at = sim_zk(s)->connections[me->connection].asked_at;
    n->connection = me->connection;
    me->connected = true;
    sim_tell(s, host, n);
    sim_client_rearm(s, me);
    for (struct sim_msg *d; (d = sim_pop(&me->deferred)) != NULL;)
        sim_send(s, me, d);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static void sim_client_watch(struct sim_client *me, const char *node, uint64_t tag)
{
    int at = -1;

    for (int i = 0; i < SIM_CLIENT_WATCHES; i++) {
        if (me->watches[i].tag == tag && strcmp(me->watches[i].node, node) == 0)
            return;
        if (me->watches[i].node[0] == '\0')
            at = i;
    }
    if (at < 0)
        at = 0;
    me->watches[at].tag = tag;
    memcpy(me->watches[at].node, node, CORE_NODE_SIZE);
}

static void sim_client_request(struct sim *s, int host, enum sim_op op, const struct core_action *a,
                               bool watch, uint64_t tag)
{
    struct sim_client *me = sim_client(s, host);
    struct sim_call *call = NULL;

    if (!me->open)
        return;
    for (int i = 0; i < SIM_CALLS && call == NULL; i++)
        if (me->calls[i].op == 0)
            call = &me->calls[i];
    if (call == NULL)
        sim_die(s, "more requests are outstanding than the elector has room for");
    *call = (struct sim_call){.op = a->op, .request = a->request, .beat = a->type == CORE_ACT_BEAT};
    struct sim_msg *m = sim_msg(op, 0);
    m->xid = a->op;
    m->watch = watch;
    m->tag = tag;
    memcpy(m->node, a->node, sizeof(m->node));
    if (me->connected) {
        sim_send(s, me, m);
        return;
    }
    m->item.next = NULL;
    if (me->deferred.tail != NULL)
        me->deferred.tail->next = &m->item;
    else
        me->deferred.head = &m->item;
    me->deferred.tail = &m->item;
    me->deferred.n++;
}

static void sim_client_answered(struct sim *s, int host, struct sim_msg *m)
{
    struct sim_client *me = sim_client(s, host);
    static const char *pointers[SIM_NODES];

    if (m->watch && m->rc == CORE_OK)
        sim_client_watch(me, m->node, m->tag);
    for (int i = 0; i < SIM_CALLS; i++) {
        struct sim_call *call = &me->calls[i];
        if (call->op != m->xid || m->xid == 0)
            continue;
        struct sim_news *n = sim_news(call->beat ? CORE_EV_BEAT : CORE_EV_REPLY);
        n->event.op = call->op;
        n->event.request = call->request;
        n->event.rc = m->rc;
        if (call->request == CORE_REQ_HANDOVER && (m->rc == CORE_NONODE || m->rc == CORE_OK)) {
            /* What the marker would say; with a pause or without one, no two may live. */
            n->event.rc = CORE_OK;
            n->event.left = (enum core_left)sim_roll(s, CORE_LEFT_UNSEEN);
            n->event.victim = sim_victim(s, host);
            n->event.more = n->event.victim != NULL && sim_chance(s, 100);
        }
        n->event.owner = m->owner;
        n->event.czxid = m->czxid;
        n->event.name = m->node;
        n->event.n_names = m->n_names;
        n->event.names = pointers; /* filled in when it is delivered */
        n->msg = m;
        call->op = 0;
        sim_tell(s, host, n);
        return;
    }
    /* setWatches: a node that went meanwhile is told at once */
    if (m->op == SIM_EXISTS && m->xid == 0 && m->rc == CORE_NONODE)
        sim_fire(s, m->connection, m->node, m->tag);
    free(m);
}

static void sim_client_fired(struct sim *s, int host, struct sim_msg *m)
{
    struct sim_client *me = sim_client(s, host);

    for (int i = 0; i < SIM_CLIENT_WATCHES; i++) {
        if (me->watches[i].tag != m->tag || strcmp(me->watches[i].node, m->node) != 0)
            continue;
        me->watches[i].node[0] = '\0';
        struct sim_news *n = sim_news(m->tag == 0 ? CORE_EV_PRED_CHANGED : CORE_EV_OWN_CHANGED);
        n->event.op = m->tag == 0 ? 0 : m->tag - 1;
        n->event.deleted = true;
        sim_tell(s, host, n);
        break;
    }
    free(m);
}

static void sim_client_receive(struct sim *s, int64_t connection, int64_t unused)
{
    struct sim_connection *c = &sim_zk(s)->connections[connection];
    int host = c->client;
    struct sim_client *me = sim_client(s, host);

    (void)unused;
    if (c->held_until > sim_now(s) || sim_client_halted(s, host)) {
        int64_t at = c->held_until > sim_now(s) ? c->held_until : sim_now(s) + 10;
        sim_at(s, at + sim_roll(s, 5), sim_client_receive, connection, 0);
        return;
    }
    struct sim_msg *m = sim_pop(&c->down);
    if (m == NULL)
        return;
    if (me->connection != connection) {
        free(m);
        return;
    }
    me->heard = sim_now(s);
    if (m->zxid > me->zxid)
        me->zxid = m->zxid;
    if (m->op == SIM_CONNECT) {
        sim_client_attached(s, host, m);
        free(m);
    } else if (m->op == SIM_EVENT) {
        sim_client_fired(s, host, m);
    } else {
        sim_client_answered(s, host, m);
    }
}

/* ---- the handle -------------------------------------------------------------------------------------- */

static void sim_client_tick(struct sim *s, int64_t host, int64_t unused)
{
    struct sim_client *me = sim_client(s, host);
    int64_t timeout = sim_zk(s)->timeout;

    (void)unused;
    sim_after(s, 100, sim_client_tick, host, 0);
    if (sim_client_halted(s, host) || me->connection < 0)
        return;
    if (sim_now(s) - (me->connected ? me->heard : me->since) > 2 * timeout / 3) {
        sim_client_break(s, (int)host);
    } else if (me->connected && sim_now(s) - me->pinged > timeout / 3) {
        me->pinged = sim_now(s);
        sim_send(s, me, sim_msg(SIM_PING, 0));
    }
}

static bool sim_client_kick(struct sim *s, int host)
{
    struct sim_client *me = sim_client(s, host);
    if (me->connection < 0)
        return false;
    sim_client_break(s, host);
    return true;
}

/* Drops the handle; a connected one ends its session, as zookeeper_close() does. */
static void sim_client_close(struct sim *s, int host, bool keep_session)
{
    struct sim_client *me = sim_client(s, host);

    if (me->connected && !keep_session)
        sim_send(s, me, sim_msg(SIM_CLOSE, 0));
    me->open = me->connected = false;
    memset(me->calls, 0, sizeof(me->calls));
    sim_client_break(s, host);
    sim_cut(&me->deferred, 0);
    memset(me->watches, 0, sizeof(me->watches));
    me->handle++;
}

static void sim_client_open(struct sim *s, int host, int64_t session)
{
    struct sim_client *me = sim_client(s, host);

    me->open = true;
    me->handle++;
    me->session = session;
    me->zxid = 0;
    me->connection = -1;
    me->server = (int)sim_roll(s, sim_zk(s)->reachable - 1);
    sim_after(s, sim_roll(s, 3), sim_client_connect, host, (int64_t)me->handle);
}

#endif
