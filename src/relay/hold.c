/* hold.c - requests that wait for a Livy: because none is active, because it refuses the connection, or for
 * their turn to connect. Two lists: `held` waits for news, `due` may go as soon as fewer than RELAY_CONNECTING
 * connections are under way. Where the Livy cannot be reached, only a few of the waiting try again, each
 * RELAY_RETRY_MS; the first that gets through lets the others go.
 */
#include <inttypes.h>
#include <stdio.h>

#include "conn.h"
#include "livy-ha/clock.h"
#include "relay.h"

static void enqueue(struct conn *conn, struct conn_list *list)
{
    if (conn->queued != NULL)
        TAILQ_REMOVE(conn->queued, conn, queue);
    conn->queued = list;
    TAILQ_INSERT_TAIL(list, conn, queue);
}

static bool redirects(const struct conn *conn, uint32_t route)
{
    const struct relay *relay = conn->relay;

    if (!view_redirects(&relay->view, route))
        return false;
    return conn->kind == CONN_PLAIN || (conn->kind == CONN_TLS && relay->tls != NULL);
}

static void give_up(struct conn *conn)
{
    char text[512];
    const struct relay *relay = conn->relay;
    int64_t held = clock_boot_ms() - conn->came;

    if (view_routes(relay_route(relay)))
        snprintf(text, sizeof(text), "the active Livy was not reached within %" PRId64 " ms (front.hold): %.250s",
                 held, relay->target.why[0] != '\0' ? relay->target.why : relay->failure);
    else
        snprintf(text, sizeof(text), "no active Livy within %" PRId64 " ms (front.hold)", held);
    request_unavailable(conn, text);
}

/* It has to wait. A client that has shut its side by now has most likely given up: what it asked for must not
 * be done half a minute later; if it does still listen, it is told. */
static void wait(struct conn *conn)
{
    struct relay *relay = conn->relay;

    if (conn->client.hup) {
        request_unavailable(conn, "no active Livy, and a request whose client has shut its side is not held");
        return;
    }
    enqueue(conn, &relay->held);
    if (!conn->x.counted_hold)
        relay->stats.holds++;
    conn->x.counted_hold = true;
    if (view_routes(relay_route(relay)) && !evtimer_pending(relay->on_retry, NULL))
        event_add(relay->on_retry, &(struct timeval){.tv_usec = RELAY_RETRY_MS * 1000L});
}

void hold_add(struct conn *conn)
{
    struct relay *relay = conn->relay;
    uint32_t route = relay_route(relay);
    int64_t left = conn->came + relay->conf->front.hold - clock_boot_ms();

    if (conn->state != CONN_HELD) {
        conn_set(conn, CONN_HELD);
        conn_timer(conn, left > 0 ? left : 0);
    }
    if (view_routes(route) && !relay->failing)
        enqueue(conn, &relay->due);
    else
        wait(conn);
}

void hold_failed(struct conn *conn, const char *why)
{
    struct relay *relay = conn->relay;

    snprintf(relay->failure, sizeof(relay->failure), "%s", why);
    relay->failing = true;
    relay->stats.upstream_failures++;
    hold_add(conn);
}

static void go(struct conn *conn)
{
    struct relay *relay = conn->relay;
    uint32_t route = relay_route(relay);

    if (conn->x.counted_hold)
        relay->stats.hold_ms += (uint64_t)(clock_boot_ms() - conn->came);
    conn->x.counted_hold = false;
    if (!redirects(conn, route))
        upstream_connect(conn);
    else if (conn->kind == CONN_TLS)
        tls_begin(conn);
    else
        request_redirect(conn);
    conn_step(conn);
}

void hold_kick(struct relay *relay)
{
    struct conn *conn;

    while (relay->connecting < RELAY_CONNECTING && view_routes(relay_route(relay)) &&
           (conn = TAILQ_FIRST(&relay->due)) != NULL)
        go(conn);
}

void hold_release(struct relay *relay)
{
    relay->failing = false;
    while (!TAILQ_EMPTY(&relay->held))
        enqueue(TAILQ_FIRST(&relay->held), &relay->due);
    hold_kick(relay);
}

void hold_take_back(struct relay *relay)
{
    struct conn *conn;

    while ((conn = TAILQ_FIRST(&relay->due)) != NULL)
        wait(conn);
}

/* relay.c's on_retry */
void hold_retry(struct relay *relay)
{
    struct conn *conn;

    for (int i = 0; i < RELAY_CANARIES && (conn = TAILQ_FIRST(&relay->held)) != NULL; i++)
        enqueue(conn, &relay->due);
    if (!TAILQ_EMPTY(&relay->held))
        event_add(relay->on_retry, &(struct timeval){.tv_usec = RELAY_RETRY_MS * 1000L});
    hold_kick(relay);
}

void hold_over(struct conn *conn)
{
    if (conn->x.counted_hold)
        conn->relay->stats.hold_ms += (uint64_t)(clock_boot_ms() - conn->came);
    conn->x.counted_hold = false;
    give_up(conn);
}

void hold_look(struct conn *conn)
{
    if (conn->client.hup && conn->queued == &conn->relay->held)
        wait(conn);
}
