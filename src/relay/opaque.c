/* opaque.c - bytes both ways, with half-closes: TLS that is not ours to look into, thrift, and what follows
 * on an Upgrade. Whether a request runs cannot be told: a connection counts as running while it is open, and
 * in a hand-over until no byte has passed for CONN_QUIET_MS.
 */
#include <errno.h>

#include "conn.h"

#include "livy-ha/clock.h"
#include "relay.h"

void opaque_begin(struct conn *conn)
{
    struct relay *relay = conn->relay;
    bool fresh = conn->state == CONN_CONNECT;

    conn_set(conn, CONN_OPAQUE);
    conn->touched = clock_boot_ms();
    quota_prove(&relay->quota, &conn->slot); /* there is no head to wait for */
    if (fresh && relay->view.route == FRONT_LOCAL)
        relay->stats.local++;
    else if (fresh)
        relay->stats.forwarded++;
    /* What came in behind the Upgrade is the first that goes out. */
    if (conn->in.length > 0 && !sock_write(&conn->upstream, conn->in.data, conn->in.length))
        conn_end(conn, true);
    buf_clear(&conn->in);
    buf_clear(&conn->back);
    if (relay->view.route == FRONT_PAUSE)
        conn_timer(conn, CONN_QUIET_MS);
}

/* One direction. False: the connection has ended. */
static bool pump(struct conn *conn, struct sock *from, struct sock *to, uint64_t *count, size_t *turn)
{
    struct relay *relay = conn->relay;

    while (*turn < CONN_TURN_BYTES) {
        if (!sock_flush(to))
            break;
        if (from->eof) {
            sock_shut(to);
            break;
        }
        ssize_t n = sock_read(from, relay->scratch, RELAY_SCRATCH);
        if (n == 0)
            break;
        if (n < 0 && errno != 0) {
            conn_end(conn, true);
            return false;
        }
        if (n < 0)
            continue;
        conn->touched = clock_boot_ms();
        *turn += (size_t)n;
        *count += (uint64_t)n;
        if (!sock_write(to, relay->scratch, (size_t)n))
            break;
    }
    if (to->broken)
        conn_end(conn, true);
    return conn->state == CONN_OPAQUE;
}

bool opaque_step(struct conn *conn)
{
    struct relay_stats *stats = &conn->relay->stats;
    size_t in = 0, out = 0;

    if (!pump(conn, &conn->client, &conn->upstream, &stats->bytes_in, &in) ||
        !pump(conn, &conn->upstream, &conn->client, &stats->bytes_out, &out))
        return false;
    if (conn->client.shut && conn->upstream.shut)
        conn_end(conn, false);
    else if (in >= CONN_TURN_BYTES || out >= CONN_TURN_BYTES)
        conn_turn(conn);
    return false;
}

void opaque_pause(struct conn *conn)
{
    int64_t left = conn->touched + CONN_QUIET_MS - clock_boot_ms();

    if (left <= 0)
        conn_end(conn, false);
    else
        conn_timer(conn, left);
}

void opaque_timeout(struct conn *conn)
{
    /* The pause may be over by now, and nothing have changed. */
    if (conn->relay->view.route == FRONT_PAUSE)
        opaque_pause(conn);
}
