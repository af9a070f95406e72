/* hold.c - requests that wait for a Livy: because none is active, because it refuses the connection, or for
 * their turn to connect. Two lists: `held` waits for news, `due` may go as soon as fewer than
 * RELAY_CONNECTING connections are under way. Where the Livy cannot be reached, only a few of the waiting try
 * again, each RELAY_RETRY_MS; the first that gets through lets the others go. The thrift port has lists of
 * its own: it may well be closed where Livy's other one is open.
 */
#include <inttypes.h>
#include <stdio.h>

#include "conn.h"
#include "livy-ha/clock.h"
#include "relay.h"

static struct hold *hold_of(const struct conn *conn)
{
    return conn->kind == CONN_THRIFT ? &conn->relay->thrifts : &conn->relay->plains;
}

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
        snprintf(text, sizeof(text),
                 "the active Livy was not reached within %" PRId64 " ms (front.hold): %.250s", held,
                 relay->target.why[0] != '\0' ? relay->target.why : hold_of(conn)->failure);
    else
        snprintf(text, sizeof(text), "no active Livy within %" PRId64 " ms (front.hold)", held);
    request_unavailable(conn, text);
}

static void retry_later(struct relay *relay)
{
    if (!evtimer_pending(relay->on_retry, NULL))
        event_add(relay->on_retry, &(struct timeval){.tv_usec = RELAY_RETRY_MS * 1000L});
}

/* It has to wait. A client that has shut its side by now has most likely given up: what it asked for must not
 * be done half a minute later; if it does still listen, it is told. */
static void await(struct conn *conn)
{
    struct relay *relay = conn->relay;

    if (conn->client.hup) {
        request_unavailable(conn, "no active Livy, and a request whose client has shut its side is not held");
        return;
    }
    enqueue(conn, &hold_of(conn)->held);
    if (!conn->x.counted_hold)
        relay->stats.holds++;
    conn->x.counted_hold = true;
    if (view_routes(relay_route(relay)))
        retry_later(relay);
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
    if (!view_routes(route) || hold_of(conn)->failing) {
        await(conn);
        return;
    }
    enqueue(conn, &hold_of(conn)->due);
    relay_soon(relay);
}

static void take_back(struct hold *hold)
{
    struct conn *conn;

    while ((conn = TAILQ_FIRST(&hold->due)) != NULL)
        await(conn);
}

void hold_take_back(struct relay *relay)
{
    take_back(&relay->plains);
    take_back(&relay->thrifts);
}

void hold_failed(struct conn *conn, const char *why)
{
    struct hold *hold = hold_of(conn);

    snprintf(hold->failure, sizeof(hold->failure), "%s", why);
    hold->failing = true;
    take_back(hold);
    conn->relay->stats.upstream_failures++;
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

static void run(struct hold *hold, struct relay *relay)
{
    struct conn *conn;

    while (relay->connecting < RELAY_CONNECTING && view_routes(relay_route(relay)) &&
           (conn = TAILQ_FIRST(&hold->due)) != NULL)
        go(conn);
}

void hold_run(struct relay *relay)
{
    run(&relay->plains, relay);
    run(&relay->thrifts, relay);
}

void hold_kick(struct relay *relay)
{
    if (!TAILQ_EMPTY(&relay->plains.due) || !TAILQ_EMPTY(&relay->thrifts.due))
        relay_soon(relay);
}

static void release(struct hold *hold)
{
    hold->failing = false;
    while (!TAILQ_EMPTY(&hold->held))
        enqueue(TAILQ_FIRST(&hold->held), &hold->due);
}

void hold_release(struct relay *relay)
{
    release(&relay->plains);
    release(&relay->thrifts);
    hold_kick(relay);
}

void hold_reached(struct conn *conn)
{
    if (hold_of(conn)->failing)
        release(hold_of(conn));
    hold_kick(conn->relay);
}

static void retry(struct hold *hold)
{
    struct conn *conn;

    for (int i = 0; i < RELAY_CANARIES && (conn = TAILQ_FIRST(&hold->held)) != NULL; i++)
        enqueue(conn, &hold->due);
}

void hold_retry(struct relay *relay)
{
    if (!view_routes(relay_route(relay)))
        return;
    retry(&relay->plains);
    retry(&relay->thrifts);
    if (!TAILQ_EMPTY(&relay->plains.held) || !TAILQ_EMPTY(&relay->thrifts.held))
        retry_later(relay);
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
    if (conn->client.hup && conn->queued == &hold_of(conn)->held)
        await(conn);
}
