/* client.c - see client.h. */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "names.h"
#include "zk.h"

#define KICK_SEEN 1 /* ms until the library sees that its connection was shut down */

static struct zmsg message(enum op op)
{
    struct zmsg m;
    memset(&m, 0, sizeof(m));
    m.op = (uint8_t)op;
    m.conn = -1;
    m.node = -1;
    m.victim = -1;
    return m;
}

static void tell(struct world *w, int host, enum core_event_type type)
{
    struct core_event event = {.type = type};
    host_elector_step(w, host, &event);
}

static void forget_watches(struct client *c)
{
    for (int i = 0; i < CLIENT_WATCHES; i++)
        c->watches[i].node = -1;
}

/* ---- connections ------------------------------------------------------------------------------------- */

static bool is_down(const struct world *w, const struct event *e, int conn)
{
    (void)w;
    return (e->kind == EV_DOWN || e->kind == EV_HUNG_UP) && e->m.conn == conn;
}

/* What was sent still arrives, perhaps late; then the server sees the end: at once where it is told, after T
 * of silence where the host is no more. */
static void abandon(struct world *w, int conn, bool told)
{
    struct connection *c = &w->zk.connections[conn];

    c->client_open = false;
    world_drop_events(w, is_down, conn);
    if (!c->server_open)
        return;
    struct zmsg end = message(OP_CLOSE);
    end.conn = (int16_t)conn;
    c->up_last = later(c->up_last, w->now + (told ? 1 : TIMEOUT));
    world_put_message(w, c->up_last, EV_SERVER_EOF, c->host, &end);
}

static void fail_calls(struct world *w, int host)
{
    struct client *c = &w->hosts[host].client;

    for (int i = 0; i < CALLS; i++) {
        struct call call = c->calls[i];
        if (call.xid == 0)
            continue;
        c->calls[i].xid = 0;
        struct core_event event = {.type = call.beat ? CORE_EV_BEAT : CORE_EV_REPLY,
                                   .op = call.xid,
                                   .request = (enum core_request)call.request,
                                   .rc = CORE_UNKNOWN};
        host_elector_step(w, host, &event);
    }
}

void client_break(struct world *w, int host)
{
    struct client *c = &w->hosts[host].client;

    if (c->conn < 0)
        return;
    bool was = c->connected;
    abandon(w, c->conn, true);
    c->conn = -1;
    c->connected = false;
    c->server = (c->server + 1) % SERVERS;
    if (c->open)
        world_put(w, w->now + (was ? 3 : 60), EV_CONNECT, host, c->handle);
    if (was) {
        world_say(w, "host %d    connection lost", host);
        tell(w, host, CORE_EV_SUSPENDED);
    }
    fail_calls(w, host);
}

void client_vanish(struct world *w, int host)
{
    struct client *c = &w->hosts[host].client;

    if (c->conn >= 0)
        abandon(w, c->conn, false);
    c->conn = -1;
    c->open = c->connected = false;
    memset(c->calls, 0, sizeof(c->calls));
}

bool client_kick(struct world *w, int host)
{
    struct client *c = &w->hosts[host].client;
    struct zmsg end = message(OP_CLOSE);

    if (c->conn < 0)
        return false;
    end.conn = c->conn;
    end.rearm = true; /* of its own making: no network holds it up */
    world_put_message(w, w->now + KICK_SEEN, EV_HUNG_UP, host, &end);
    return true;
}

static void send_up(struct world *w, struct client *c, const struct zmsg *m)
{
    c->sent = w->now;
    zk_send_up(w, c->conn, m);
}

static void connect_now(struct world *w, int host, int handle)
{
    struct host *h = &w->hosts[host];
    struct client *c = &h->client;
    struct zmsg m = message(OP_CONNECT);

    if (!h->elector || !c->open || c->conn >= 0 || c->handle != handle)
        return;
    if (h->elector_stopped > w->now) {
        world_put(w, h->elector_stopped, EV_CONNECT, host, handle);
        return;
    }
    c->conn = (int16_t)zk_new_connection(w, host, c->server);
    if (c->conn < 0)
        return;
    if (c->since == 0) /* of a new handle */
        tell(w, host, CORE_EV_OPENED);
    c->since = w->now;
    m.session = (int16_t)c->session;
    m.zxid = c->zxid;
    send_up(w, c, &m);
    c->look_at = w->now + 2 * c->timeout / 3;
}

static void attached(struct world *w, int host, const struct zmsg *m)
{
    struct client *c = &w->hosts[host].client;

    if (m->rc != CORE_OK) {
        world_say(w, "host %d    is told that its session has expired", host);
        abandon(w, c->conn, true);
        c->conn = -1;
        c->open = c->connected = false;
        tell(w, host, CORE_EV_LOST);
        return;
    }
    c->connected = true;
    c->session = m->session;
    c->timeout = m->timeout;
    world_say(w, "host %d    connected to server %d, session %d", host, c->server, c->session);
    for (int i = 0; i < CLIENT_WATCHES; i++) {
        if (c->watches[i].node < 0)
            continue;
        struct zmsg again = message(OP_EXISTS);
        again.watch = again.rearm = true;
        again.node = (int16_t)c->watches[i].node;
        again.tag = c->watches[i].tag;
        send_up(w, c, &again);
    }
    struct core_event event = {.type = CORE_EV_CONNECTED, .session = m->session, .timeout = m->timeout};
    host_elector_step(w, host, &event);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

void client_request(struct world *w, int host, enum op op, const struct core_action *a)
{
    struct client *c = &w->hosts[host].client;
    struct zmsg m = message(op);

    if (!c->connected)
        return;
    m.xid = (uint32_t)a->op;
    m.beat = a->type == CORE_ACT_BEAT;
    m.request = (uint8_t)a->request;
    m.watch = a->type == CORE_ACT_OWN || a->type == CORE_ACT_WATCH;
    m.tag = a->type == CORE_ACT_OWN ? (uint32_t)a->tag + 1 : 0; /* 0: the predecessor's */
    m.in_order = a->in_order;
    m.tenured = a->tenured;
    m.sync = a->sync;
    m.mask = (uint32_t)a->epoch;
    if (a->type == CORE_ACT_HANDOVER)
        m.tag = a->text[0] != '\0';
    if (op == OP_CLEAR && a->text[0] != '\0')
        m.victim = (int16_t)strtol(a->text, NULL, 10);
    if (op == OP_CREATE)
        m.uuid = (int16_t)names_uuid_number(a->node);
    else if (a->node[0] != '\0')
        m.node = (int16_t)names_node_number(a->node);
    for (int i = 0; i < CALLS; i++) {
        if (c->calls[i].xid != 0)
            continue;
        c->calls[i] = (struct call){.xid = m.xid, .request = m.request, .beat = m.beat};
        send_up(w, c, &m);
        return;
    }
    world_violation(w, MODEL_FULL, "too many requests are outstanding");
}

static void keep_watch(struct client *c, const struct zmsg *m)
{
    int at = 0;

    for (int i = 0; i < CLIENT_WATCHES; i++) {
        if (c->watches[i].node == m->node && c->watches[i].tag == m->tag)
            return;
        if (c->watches[i].node < 0)
            at = i;
    }
    c->watches[at].node = m->node;
    c->watches[at].tag = m->tag;
}

static void answered(struct world *w, int host, const struct zmsg *m)
{
    struct client *c = &w->hosts[host].client;

    if (m->watch && m->rc == CORE_OK)
        keep_watch(c, m);
    for (int i = 0; i < CALLS; i++) {
        if (c->calls[i].xid != m->xid || m->xid == 0)
            continue;
        c->calls[i].xid = 0;
        host_elector_reply(w, host, m);
        return;
    }
}

static void fired(struct world *w, int host, const struct zmsg *m)
{
    struct client *c = &w->hosts[host].client;

    for (int i = 0; i < CLIENT_WATCHES; i++) {
        if (c->watches[i].tag != m->tag || c->watches[i].node != m->node)
            continue;
        c->watches[i].node = -1;
        struct core_event event = {.type = m->tag == 0 ? CORE_EV_PRED_CHANGED : CORE_EV_OWN_CHANGED,
                                   .op = m->tag == 0 ? 0 : m->tag - 1,
                                   .deleted = true};
        host_elector_step(w, host, &event);
        return;
    }
}

static void receive(struct world *w, const struct event *e)
{
    struct connection *conn = &w->zk.connections[e->m.conn];
    int host = conn->host;
    struct host *h = &w->hosts[host];
    struct client *c = &h->client;
    bool own = e->kind == EV_HUNG_UP && e->m.rearm;
    int64_t wait = own ? 0 : later(conn->down_held, h->cut_until[conn->server]);

    wait = later(wait, h->elector_stopped);
    if (!conn->client_open || c->conn != e->m.conn)
        return;
    if (wait > w->now) {
        conn->down_last = later(conn->down_last, wait);
        world_put_back(w, e, wait);
        return;
    }
    c->heard = w->now;
    if (e->kind == EV_HUNG_UP) {
        client_break(w, host);
        return;
    }
    if (e->m.zxid > c->zxid)
        c->zxid = e->m.zxid;
    if (e->m.op == OP_CONNECT)
        attached(w, host, &e->m);
    else if (e->m.op == OP_FIRED)
        fired(w, host, &e->m);
    else
        answered(w, host, &e->m);
}

/* ---- the handle -------------------------------------------------------------------------------------- */

/* Silence is noticed after 2T/3, a ping is sent where nothing else was for T/3. */
static void look(struct world *w, int host)
{
    struct client *c = &w->hosts[host].client;
    struct zmsg m = message(OP_PING);
    int64_t silent_at = (c->connected ? c->heard : c->since) + 2 * c->timeout / 3;

    if (w->now >= silent_at) {
        client_break(w, host);
        return;
    }
    if (c->connected && w->now - c->sent >= c->timeout / 3)
        send_up(w, c, &m);
    c->look_at = silent_at;
    if (c->connected && c->sent + c->timeout / 3 < silent_at)
        c->look_at = c->sent + c->timeout / 3;
}

void client_close(struct world *w, int host, bool keep_session)
{
    struct client *c = &w->hosts[host].client;
    struct zmsg m = message(OP_CLOSE);

    if (c->connected && !keep_session)
        send_up(w, c, &m);
    if (c->conn >= 0)
        abandon(w, c->conn, true);
    c->conn = -1;
    c->open = c->connected = false;
    memset(c->calls, 0, sizeof(c->calls));
    forget_watches(c);
}

void client_open(struct world *w, int host, int session)
{
    struct client *c = &w->hosts[host].client;
    int handle = c->handle;

    memset(c, 0, sizeof(*c));
    forget_watches(c);
    c->handle = handle + 1;
    c->open = true;
    c->conn = -1;
    c->session = session;
    c->timeout = TIMEOUT;
    c->server = host % SERVERS;
    world_put(w, w->now + 2, EV_CONNECT, host, c->handle);
}

void client_event(struct world *w, const struct event *e)
{
    if (e->kind == EV_CONNECT)
        connect_now(w, e->who, e->arg);
    else if (e->kind == EV_CLIENT_TIME)
        look(w, e->who);
    else
        receive(w, e);
}
