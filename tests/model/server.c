/* server.c - what clients are connected to. */
#include "server.h"

#include "zk.h"

int server_grants(const struct world *w, int server)
{
    return w->unequal && server == 0 ? TIMEOUT_LONG : TIMEOUT;
}

bool server_in_touch(const struct world *w, int server)
{
    const struct server *s = &w->zk.servers[server];
    return s->joined && s->cut_until <= w->now && s->frozen_until <= w->now;
}

void server_from_leader(struct world *w, int server, const struct zmsg *m)
{
    struct server *s = &w->zk.servers[server];

    if (!s->joined)
        return;
    s->from_last = later(s->from_last, w->now + 1);
    world_put_message(w, s->from_last, EV_FROM_LEADER, server, m);
}

static void to_leader(struct world *w, int server, const struct zmsg *m)
{
    struct server *s = &w->zk.servers[server];
    struct zmsg request = *m;

    request.server = (int16_t)server;
    s->to_last = later(s->to_last, w->now + 1);
    world_put_message(w, s->to_last, EV_TO_LEADER, server, &request);
}

/* ---- connections ------------------------------------------------------------------------------------- */

static bool refers_to(const struct world *w, const struct event *e, int conn)
{
    (void)w;
    return e->m.conn == conn && e->kind <= EV_FROM_LEADER;
}

int zk_new_connection(struct world *w, int host, int server)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &w->zk.connections[i];
        bool busy = c->client_open || c->server_open;
        for (int j = 0; j < w->n_events && !busy; j++)
            busy = refers_to(w, &w->events[j], i);
        if (busy)
            continue;
        *c = (struct connection){
            .client_open = true, .server_open = true, .host = (int16_t)host, .server = (int16_t)server};
        return i;
    }
    world_violation(w, MODEL_FULL, "too many connections");
    return -1;
}

void zk_send_up(struct world *w, int conn, const struct zmsg *m)
{
    struct connection *c = &w->zk.connections[conn];
    struct zmsg request = *m;

    request.conn = (int16_t)conn;
    request.server = c->server;
    c->up_last = later(later(c->up_last, c->up_held), w->now + 1);
    world_put_message(w, c->up_last, EV_UP, c->host, &request);
}

static void answer(struct world *w, int conn, const struct zmsg *m, enum event_kind kind)
{
    struct connection *c = conn >= 0 ? &w->zk.connections[conn] : NULL;

    if (c == NULL || !c->client_open || (!c->server_open && kind == EV_DOWN))
        return;
    struct zmsg reply = *m;
    reply.conn = (int16_t)conn;
    c->down_last = later(later(c->down_last, c->down_held), w->now + 1);
    world_put_message(w, c->down_last, kind, c->host, &reply);
}

static bool is_up(const struct world *w, const struct event *e, int conn)
{
    (void)w;
    return (e->kind == EV_UP || e->kind == EV_SERVER_EOF) && e->m.conn == conn;
}

void zk_hang_up(struct world *w, int conn)
{
    struct connection *c = &w->zk.connections[conn];
    struct zmsg end = {.op = OP_CLOSE};

    if (!c->server_open)
        return;
    c->server_open = false;
    world_drop_events(w, is_up, conn);
    for (int i = 0; i < WATCHES; i++)
        if (w->zk.servers[c->server].watches[i].conn == conn)
            w->zk.servers[c->server].watches[i].conn = -1;
    answer(w, conn, &end, EV_HUNG_UP);
}

/* ---- watches ----------------------------------------------------------------------------------------- */

static void fire(struct world *w, int conn, int node, uint32_t tag)
{
    struct zmsg m = {.op = OP_FIRED, .node = (int16_t)node, .tag = tag};
    m.zxid = w->zk.servers[w->zk.connections[conn].server].applied;
    answer(w, conn, &m, EV_DOWN);
}

static void watch(struct world *w, int server, const struct zmsg *m)
{
    struct watch *free_one = NULL;

    for (int i = 0; i < WATCHES; i++) {
        struct watch *one = &w->zk.servers[server].watches[i];
        if (one->conn == m->conn && one->tag == m->tag && one->node == m->node)
            return;
        if (one->conn < 0)
            free_one = one;
    }
    if (free_one == NULL)
        world_violation(w, MODEL_FULL, "too many watches");
    else
        *free_one = (struct watch){.conn = m->conn, .node = m->node, .tag = m->tag};
}

/* Up to `zxid` all is known here: watches fire, clients whose session has ended are thrown out. */
static void apply(struct world *w, int server, int32_t zxid)
{
    struct server *s = &w->zk.servers[server];

    if (zxid <= s->applied)
        return;
    s->applied = zxid;
    for (int i = 0; i < WATCHES; i++) {
        struct watch *one = &s->watches[i];
        if (one->conn < 0 || zk_node_at(w, one->node, zxid))
            continue;
        int conn = one->conn;
        one->conn = -1;
        fire(w, conn, one->node, one->tag);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        const struct connection *c = &w->zk.connections[i];
        if (c->server_open && c->server == server && c->session != 0 && !zk_session_at(w, c->session, zxid))
            zk_hang_up(w, i);
    }
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static bool present(const struct world *w, int host, int32_t applied)
{
    for (int i = 1; i <= w->zk.n_sessions; i++) /* its members/<id> */
        if (w->zk.sessions[i].host == host && w->zk.sessions[i].registered && zk_session_at(w, i, applied))
            return true;
    return false;
}

/* Another's tenure stands: whoever is first in the queue is told of it. */
static int find_victim(const struct world *w, struct zmsg *reply, int own, int32_t applied)
{
    int found = -1;

    for (int i = 0; i < w->n_hosts; i++) {
        const struct tenure *t = &w->zk.tenures[i];
        if (i == own || t->made == 0 || t->made > applied || (t->gone != 0 && t->gone <= applied))
            continue;
        reply->more = found >= 0;
        if (found < 0)
            found = i;
    }
    return found;
}

/* Nobody was before the node of `own`, which asks. */
static enum core_left who_was_last(const struct world *w, int own, int last, int32_t applied)
{
    int next = last + 1;

    if (last >= 0 && next < w->zk.n_nodes && zk_node_at(w, next, applied) &&
        w->zk.sessions[w->zk.nodes[next].owner].host == own)
        return CORE_LEFT_IN_ORDER;
    for (int i = 0; i < w->n_hosts; i++)
        if (i != own && present(w, i, applied))
            return CORE_LEFT_UNSEEN;
    return CORE_LEFT_IN_ORDER;
}

static enum core_left how_it_went(const struct world *w, const struct zmsg *m, int own, int32_t applied)
{
    int last = -1;

    if (m->victim >= 0)
        return present(w, m->victim, applied) ? CORE_LEFT_NODE : CORE_LEFT_GONE;

    for (int i = 0; i < w->zk.n_nodes; i++) { /* the handover marker: the one given up last in order */
        const struct node *n = &w->zk.nodes[i];
        if (n->in_order && n->gone != 0 && n->gone <= applied &&
            (last < 0 || n->gone > w->zk.nodes[last].gone))
            last = i;
    }
    if (m->node < 0)
        return who_was_last(w, own, last, applied);
    if (last == m->node)
        return CORE_LEFT_IN_ORDER;
    if (m->tag == 0) /* the one before has never been seen: not known whose it was */
        return CORE_LEFT_NODE;
    int host = w->zk.sessions[w->zk.nodes[m->node].owner].host;
    return present(w, host, applied) ? CORE_LEFT_NODE : CORE_LEFT_GONE;
}

static void answer_read(struct world *w, int server, const struct zmsg *m)
{
    int32_t applied = w->zk.servers[server].applied;
    struct zmsg reply = *m;

    reply.rc = CORE_OK;
    reply.zxid = applied;
    if (m->op == OP_LIST) {
        reply.mask = 0;
        for (int i = 0; i < w->zk.n_nodes; i++)
            if (zk_node_at(w, i, applied))
                reply.mask |= UINT32_C(1) << i;
    } else if (m->op == OP_HANDOVER) {
        int own = w->zk.connections[m->conn].host;
        reply.victim = (int16_t)find_victim(w, &reply, own, applied);
        reply.left = (uint8_t)how_it_went(w, &reply, own, applied);
    } else if (m->op == OP_EXISTS) {
        bool there = zk_node_at(w, m->node, applied);
        reply.rc = there ? CORE_OK : CORE_NONODE;
        reply.owner = (int16_t)(there ? w->zk.nodes[m->node].owner : 0);
        if (m->watch && there)
            watch(w, server, m);
        if (m->rearm) { /* setWatches: what went meanwhile is told at once */
            if (!there)
                fire(w, m->conn, m->node, m->tag);
            return;
        }
    }
    answer(w, m->conn, &reply, EV_DOWN);
}

static void attached(struct world *w, int server, const struct zmsg *m)
{
    struct zmsg reply = *m;

    if (m->conn < 0)
        return;
    w->zk.connections[m->conn].session = (int16_t)(m->rc == CORE_OK ? m->session : 0);
    reply.zxid = w->zk.servers[server].applied;
    answer(w, m->conn, &reply, EV_DOWN);
}

static void connect_request(struct world *w, const struct event *e, int server)
{
    const struct server *s = &w->zk.servers[server];
    struct zmsg m = e->m;

    m.timeout = server_grants(w, server);
    if (m.zxid > s->applied) {
        zk_hang_up(w, m.conn); /* it has seen less than the client has */
    } else if (s->zombie && m.session != 0) {
        m.rc = zk_session_at(w, m.session, s->applied) ? CORE_OK : CORE_NONODE;
        attached(w, server, &m);
    } else {
        to_leader(w, server, &m);
    }
}

static void receive(struct world *w, const struct event *e)
{
    struct connection *c = &w->zk.connections[e->m.conn];
    struct server *s = &w->zk.servers[c->server];
    struct zmsg m = e->m;
    int64_t wait = later(later(s->frozen_until, c->up_held), w->hosts[c->host].cut_until[c->server]);

    if (wait > w->now) {
        c->up_last = later(c->up_last, wait);
        world_put_back(w, e, wait);
        return;
    }
    if (!s->joined) {
        zk_hang_up(w, m.conn);
        return;
    }
    if (m.op == OP_CONNECT) {
        connect_request(w, e, c->server);
        return;
    }
    if (!c->server_open || c->session == 0)
        return;
    m.session = c->session;
    s->touched |= UINT32_C(1) << c->session;
    bool read = m.op == OP_PING || m.op == OP_EXISTS || m.op == OP_HANDOVER ||
                (m.op == OP_LIST && (s->zombie || !m.sync));
    if (read)
        answer_read(w, c->server, &m);
    else
        to_leader(w, c->server, &m);
}

static void hear_leader(struct world *w, const struct event *e)
{
    struct server *s = &w->zk.servers[e->who];
    struct zmsg m = e->m;
    int64_t wait = later(later(s->frozen_until, s->cut_until), s->from_held);

    if (!s->joined)
        return;
    if (wait > w->now) {
        s->from_last = later(s->from_last, wait);
        world_put_back(w, e, wait);
        return;
    }
    apply(w, e->who, m.zxid);
    if (m.op == OP_PING) {
        m.mask = s->touched;
        s->touched = 0;
        to_leader(w, e->who, &m);
    } else if (m.op == OP_CONNECT) {
        attached(w, e->who, &m);
    } else if (m.op == OP_LIST) {
        answer_read(w, e->who, &m);
    } else if (m.op != OP_APPLY && m.conn >= 0) {
        if (m.rc == CORE_UNKNOWN)
            zk_hang_up(w, m.conn);
        else
            answer(w, m.conn, &m, EV_DOWN);
    }
}

/* ---- faults ------------------------------------------------------------------------------------------ */

static bool is_of_server(const struct world *w, const struct event *e, int server)
{
    (void)w;
    return (e->kind == EV_TO_LEADER || e->kind == EV_FROM_LEADER) && e->who == server;
}

void server_leave(struct world *w, int server)
{
    struct server *s = &w->zk.servers[server];

    s->joined = s->zombie = false;
    s->touched = 0;
    world_drop_events(w, is_of_server, server);
    for (int i = 0; i < CONNECTIONS; i++)
        if (w->zk.connections[i].server == server)
            zk_hang_up(w, i);
}

static void join(struct world *w, int server)
{
    struct server *s = &w->zk.servers[server];

    if (s->joined || s->cut_until > w->now || s->frozen_until > w->now || w->zk.frozen_until > w->now)
        return;
    s->joined = true;
    s->applied = w->zk.zxid;
    s->to_last = s->from_last = w->now;
}

static void trouble(struct world *w, int server, int64_t until)
{
    struct server *s = &w->zk.servers[server];

    world_put(w, until, EV_HEAL, server, 0);
    if (until - w->now > SYNC_LIMIT)
        world_put(w, w->now + SYNC_LIMIT, EV_LEAVE, server, 0);
    (void)s;
}

void zk_cut(struct world *w, int server, int64_t until, bool zombie)
{
    struct server *s = &w->zk.servers[server];
    s->cut_until = later(s->cut_until, until);
    s->zombie = s->zombie || zombie;
    trouble(w, server, until);
}

void zk_freeze(struct world *w, int server, int64_t until)
{
    struct server *s = &w->zk.servers[server];
    s->frozen_until = later(s->frozen_until, until);
    trouble(w, server, until);
}

static void heal(struct world *w, int server)
{
    struct server *s = &w->zk.servers[server];

    if (s->cut_until > w->now || s->frozen_until > w->now)
        return;
    if (s->zombie)
        server_leave(w, server); /* it learns that it leads no more */
    join(w, server);
}

void server_event(struct world *w, const struct event *e)
{
    if (e->kind == EV_UP) {
        receive(w, e);
    } else if (e->kind == EV_FROM_LEADER) {
        hear_leader(w, e);
    } else if (e->kind == EV_SERVER_EOF) {
        const struct connection *c = &w->zk.connections[e->m.conn];
        int64_t wait = later(w->zk.servers[c->server].frozen_until, c->up_held);
        wait = later(wait, w->hosts[c->host].cut_until[c->server]);
        if (wait > w->now)
            world_put_back(w, e, wait);
        else
            zk_hang_up(w, e->m.conn);
    } else if (e->kind == EV_LEAVE) {
        if (!server_in_touch(w, e->who))
            server_leave(w, e->who);
    } else if (e->kind == EV_HEAL) {
        heal(w, e->who);
    } else { /* elected */
        for (int i = 0; i < SERVERS; i++)
            join(w, i);
    }
}
