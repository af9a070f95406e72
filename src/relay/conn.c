/* conn.c - see conn.h: the life of a connection, and the one place where its state changes. */
#include "conn.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "relay.h"

bool conn_opaque_kind(const struct conn *conn)
{
    return conn->kind == CONN_TLS || conn->kind == CONN_THRIFT;
}

void conn_timer(struct conn *conn, int64_t ms)
{
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    if (ms < 0)
        event_del(&conn->timer);
    else
        event_add(&conn->timer, &delay);
}

void conn_turn(struct conn *conn)
{
    struct relay *relay = conn->relay;

    if (conn->on_turn || conn->state == CONN_DEAD)
        return;
    conn->on_turn = true;
    relay_soon(relay);
    TAILQ_INSERT_TAIL(&relay->turns, conn, turn);
}

static bool runs(const struct conn *conn)
{
    return conn->state == CONN_RUN || conn->state == CONN_OPAQUE;
}

void conn_set(struct conn *conn, enum conn_state state)
{
    struct relay *relay = conn->relay;
    enum conn_state before = conn->state;

    if (before == CONN_DEAD)
        return;
    if (conn->queued != NULL)
        TAILQ_REMOVE(conn->queued, conn, queue);
    conn->queued = NULL; /* HELD has lists of hold.c's */
    conn_timer(conn, -1);
    conn->state = state;
    if (state == CONN_IDLE) {
        conn->touched = clock_boot_ms();
        conn->queued = &relay->idle;
        TAILQ_INSERT_TAIL(&relay->idle, conn, queue);
    }
    if (conn->large && (state == CONN_DEAD || conn->in.length <= CONN_HEAD_STEP)) {
        conn->large = false;
        relay->large--;
    }
    if (before == CONN_HELD && state != CONN_HELD)
        relay->stats.held--;
    if (before != CONN_HELD && state == CONN_HELD)
        relay->stats.held++;
    if (before == CONN_CONNECT && state != CONN_CONNECT)
        relay->connecting--;
    if (before != CONN_CONNECT && state == CONN_CONNECT)
        relay->connecting++;
    if (runs(conn) != conn->counted_running) {
        conn->counted_running = runs(conn);
        relay_running(relay, conn->counted_running ? 1 : -1);
    }
}

/* ---- events ----------------------------------------------------------------------------------------------
 */

static bool unread(const struct conn *conn)
{
    return conn->state == CONN_HELD || conn->state == CONN_CONNECT ||
           (conn->state == CONN_RUN && conn->x.request.done);
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;

    (void)fd;
    sock_note(&conn->client, what);
    /* A reset is told as both. Sides that are read find out by themselves, after what came before it. */
    if ((what & EV_READ) != 0 && (what & EV_WRITE) != 0 && unread(conn) && sock_gone(&conn->client)) {
        conn_end(conn, true);
        return;
    }
    if (conn->state == CONN_HELD)
        hold_look(conn);
    conn_step(conn);
}

void conn_on_upstream(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;

    (void)fd;
    sock_note(&conn->upstream, what);
    conn_step(conn);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;

    (void)fd;
    (void)what;
    switch (conn->state) {
    case CONN_IDLE:
        conn_end(conn, false);
        break;
    case CONN_HEAD:
        request_refuse(conn, 408, "the request's head was not complete within 10 s", STATS_HEAD_TIMEOUT);
        break;
    case CONN_HELD:
        hold_over(conn);
        break;
    case CONN_CONNECT:
        upstream_timeout(conn);
        break;
    case CONN_OPAQUE:
        opaque_timeout(conn);
        break;
    case CONN_SECURE:
    case CONN_LINGER:
        conn_end(conn, false);
        break;
    case CONN_RUN:
        exchange_stalled(conn);
        break;
    case CONN_DEAD:
        break;
    }
}

/* ---- the last answer, and what the client still sends -----------------------------------------------------
 */

void conn_linger(struct conn *conn)
{
    upstream_close(conn, true);
    buf_clear(&conn->in);
    buf_clear(&conn->back);
    conn->lingered = 0;
    conn_set(conn, CONN_LINGER);
    /* What is left of a Livy's answer may be much. */
    if (conn->x.forwarded && !sock_flush(&conn->client))
        conn_timer(conn, CONN_IDLE_MS);
    else
        conn_timer(conn, conn->kind == CONN_REJECTED ? CONN_REJECT_MS : CONN_REPLY_MS);
    conn_turn(conn);
}

/* Closing while bytes are still coming in makes a reset of it, which may overtake the answer: so our side is
 * shut, and what comes is dropped, within bounds, until the client shuts its own. */
static bool linger_step(struct conn *conn)
{
    struct relay *relay = conn->relay;
    size_t turn = 0;

    if (!sock_flush(&conn->client)) {
        if (conn->client.broken)
            conn_end(conn, true);
        return false;
    }
    if (!conn->client.shut) {
        sock_shut(&conn->client);
        conn_timer(conn, conn->kind == CONN_REJECTED ? CONN_REJECT_MS : CONN_LINGER_MS);
    }
    while (turn < CONN_TURN_BYTES) {
        ssize_t n = sock_read(&conn->client, relay->scratch, RELAY_SCRATCH);
        if (n == 0)
            return false;
        if (n < 0 || conn->lingered > CONN_LINGER_BYTES) {
            conn_end(conn, false);
            return false;
        }
        conn->lingered += (size_t)n;
        turn += (size_t)n;
    }
    conn_turn(conn);
    return false;
}

/* ---- steps
 * -------------------------------------------------------------------------------------------------
 */

/* The host may have slept since this round of the loop began, and the view have run out: no byte moves until
 * its timer, which comes next, has cut what runs, or a new view let it go on. */
static bool in_force(struct conn *conn)
{
    if (conn->upstream.fd < 0 || clock_boot_ms() < conn->relay->view.valid_until)
        return true;
    conn_turn(conn);
    return false;
}

/* True where there may be more to do. */
static bool step(struct conn *conn)
{
    switch (conn->state) {
    case CONN_IDLE:
    case CONN_HEAD:
        /* A kept connection to a Livy says nothing between requests but that it ends. */
        if (conn->upstream.readable && upstream_usable(conn))
            conn->upstream.readable = false;
        return request_step(conn);
    case CONN_CONNECT:
        return upstream_step(conn);
    case CONN_RUN:
        return in_force(conn) && exchange_step(conn);
    case CONN_OPAQUE:
        return in_force(conn) && opaque_step(conn);
    case CONN_LINGER:
        return linger_step(conn);
    case CONN_HELD:   /* hold.c moves it */
    case CONN_SECURE: /* libevent's bufferevent does */
    case CONN_DEAD:
        return false;
    }
    return false;
}

void conn_step(struct conn *conn)
{
    while (step(conn))
        continue;
}

/* ---- life -------------------------------------------------------------------------------------------------
 */

static void set_options(int fd)
{
    const int on = 1, idle = 60, interval = 20, count = 3;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

struct conn *conn_new(struct relay *relay, int fd, enum conn_kind kind)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    set_options(fd);
    conn->relay = relay;
    conn->kind = kind;
    conn->upstream.fd = -1;
    if (evtimer_assign(&conn->timer, relay->base, on_timer, conn) != 0 ||
        !sock_open(&conn->client, relay->base, fd, true, on_client, conn)) {
        close(fd);
        free(conn);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&relay->all, conn, all);
    relay->stats.accepted++;
    relay->stats.open++;
    return conn;
}

void conn_begin(struct conn *conn)
{
    struct relay *relay = conn->relay;

    switch (conn->kind) {
    case CONN_PLAIN:
        conn_set(conn, CONN_IDLE);
        conn_timer(conn, CONN_IDLE_MS);
        break;
    case CONN_TLS:
    case CONN_THRIFT:
        conn->came = clock_boot_ms();
        hold_add(conn);
        break;
    case CONN_REJECTED:
        relay->rejecting++;
        request_refuse(conn, 503, "too many connections (front.max_connections): try again", STATS_FULL);
        break;
    }
}

void conn_end(struct conn *conn, bool reset)
{
    struct relay *relay = conn->relay;

    if (conn->state == CONN_DEAD)
        return;
    conn_set(conn, CONN_DEAD);
    tls_end(conn);
    sock_close(&conn->client, reset);
    sock_close(&conn->upstream, reset);
    buf_clear(&conn->in);
    buf_clear(&conn->back);
    quota_give(&relay->quota, &conn->slot);
    if (conn->kind == CONN_REJECTED)
        relay->rejecting--;
    if (conn->on_turn)
        TAILQ_REMOVE(&relay->turns, conn, turn);
    conn->on_turn = false;
    relay->stats.open--;
    TAILQ_INSERT_TAIL(&relay->dead, conn, queue);
    relay_soon(relay);
    listener_room(&relay->front);
    listener_room(&relay->thrift);
}

void conn_free(struct conn *conn)
{
    TAILQ_REMOVE(&conn->relay->all, conn, all);
    TAILQ_REMOVE(&conn->relay->dead, conn, queue);
    free(conn);
}
