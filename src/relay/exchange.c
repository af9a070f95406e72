/* exchange.c - a request runs: its bytes go to the Livy, the answer's come back, untouched, and the framing
 * of both is followed, so that it is known when both are over. What the other side does not take at once
 * waits in one buffer of at most RELAY_SCRATCH (and a head); nothing is read meanwhile.
 *
 * Plain reads and writes, not splice(2): the framing of chunked bodies has to see the bytes anyhow, a pipe
 * for each connection would cost two descriptors and 64 KiB of kernel memory, and Livy's answers are small.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conn.h"
#include "http_head.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "relay.h"

void exchange_begin(struct conn *conn)
{
    struct relay *relay = conn->relay;

    conn_set(conn, CONN_RUN);
    if (relay->view.route == FRONT_LOCAL)
        relay->stats.local++;
    else
        relay->stats.forwarded++;
}

/* ---- ends of a request that did not go well
 * ----------------------------------------------------------------
 */

/* Sends it again, to whatever Livy is active: nothing of its answer has come. */
static void again(struct conn *conn)
{
    struct exchange *x = &conn->x;

    upstream_close(conn, true);
    if (x->began)
        conn->came = clock_boot_ms(); /* it did not wait until now */
    x->sent = 0;
    x->began = x->deaf = x->request_done = false;
    hold_add(conn);
}

/* The Livy's side is gone, or must not be used any more, before the answer is complete. */
static void broke(struct conn *conn, const char *why)
{
    struct relay *relay = conn->relay;
    struct exchange *x = &conn->x;
    char text[512];

    if (!x->forwarded) {
        snprintf(text, sizeof(text),
                 "the connection to Livy at %.280s ended before it answered (%.100s); whether it has done "
                 "what was "
                 "asked is not known, so it is not asked again",
                 relay->view.livy_url[0] != '\0' ? relay->view.livy_url : "its address", why);
        request_bad_gateway(conn, text);
        return;
    }
    relay->stats.cut++;
    log_debug("an answer was cut short: %s", why);
    conn_end(conn, true);
}

void exchange_cut(struct conn *conn, const char *why)
{
    struct exchange *x = &conn->x;

    /* The Livy has said all that it had to say: what is left is between the client and us. */
    if (x->head_done && x->answer.done) {
        upstream_close(conn, !x->request_done);
        x->deaf = true;
        conn_turn(conn);
        return;
    }
    if (!x->began || (x->replayable && !x->answered))
        again(conn);
    else
        broke(conn, why);
}

/* ---- the request goes out
 * -----------------------------------------------------------------------------------
 */

static void drop_sent(struct conn *conn)
{
    struct exchange *x = &conn->x;

    if (x->sent > 0)
        buf_consume(&conn->in, x->sent);
    x->mine -= x->sent;
    x->sent = 0;
}

/* What is in `in` of it. True once it is all sent. */
static bool push_buffered(struct conn *conn)
{
    struct exchange *x = &conn->x;
    size_t n = sock_send(&conn->upstream, conn->in.data + x->sent, x->mine - x->sent);

    x->sent += n;
    conn->relay->stats.bytes_in += n;
    if (x->sent > 0)
        x->began = true;
    if (x->sent < x->mine)
        return false;
    if (!x->replayable)
        drop_sent(conn);
    return true;
}

/* More of its body from the client. True where something came and there may be more. */
static bool push_body(struct conn *conn, size_t *turn)
{
    struct relay *relay = conn->relay;
    struct exchange *x = &conn->x;
    /* What is behind the body waits in `in`: not much of it. */
    size_t most = x->request.body == HTTP_BODY_SIZED ? x->request.left : CONN_HEAD_STEP;
    ssize_t n = sock_read(&conn->client, relay->scratch, most < RELAY_SCRATCH ? most : RELAY_SCRATCH);

    if (n < 0)
        conn_end(conn,
                 true); /* the client has left in the middle of its request: the Livy must see that too */
    if (n <= 0)
        return false;
    size_t mine = http_framing_feed(&x->request, relay->scratch, (size_t)n);
    relay->stats.bytes_in += mine;
    *turn += mine;
    if (x->request.bad) {
        upstream_close(conn, true);
        if (x->forwarded)
            conn_end(conn, true);
        else
            request_refuse(conn, 400, "the request's body is not well-formed", STATS_BAD_REQUEST);
        return false;
    }
    if (!buf_append(&conn->in, relay->scratch + mine, (size_t)n - mine)) {
        conn_end(conn, true);
        return false;
    }
    if (!x->deaf && !sock_write(&conn->upstream, relay->scratch, mine))
        x->deaf = true;
    return true;
}

static void push(struct conn *conn, size_t *turn)
{
    struct exchange *x = &conn->x;

    if (!x->deaf && !push_buffered(conn)) {
        x->deaf = conn->upstream.broken;
        return;
    }
    while (!x->request.done && !x->deaf && *turn < CONN_TURN_BYTES) {
        if (!sock_flush(&conn->upstream)) {
            x->deaf = conn->upstream.broken;
            return;
        }
        if (!push_body(conn, turn))
            return;
    }
    if (x->request.done && !x->deaf)
        x->request_done = sock_flush(&conn->upstream);
    if (conn->upstream.broken)
        x->deaf = true;
}

/* ---- the answer comes back
 * ------------------------------------------------------------------------------------
 */

/* False: the connection has ended. */
static bool forward(struct conn *conn, const char *bytes, size_t n)
{
    if (n == 0)
        return true;
    conn->x.forwarded = true;
    conn->relay->stats.bytes_out += n;
    if (sock_write(&conn->client, bytes, n))
        return true;
    conn_end(conn, true); /* the client is gone */
    return false;
}

static void take_body(struct conn *conn, const char *bytes, size_t n)
{
    struct exchange *x = &conn->x;
    size_t mine = http_framing_feed(&x->answer, bytes, n);

    x->extra = x->extra || mine < n;
    if (forward(conn, bytes, mine) && x->answer.bad)
        broke(conn, "the body of its answer is not well-formed");
}

/* 101: from here on it is bytes both ways. */
static void upgrade(struct conn *conn, const char *bytes, size_t n)
{
    if (!conn->x.upgrade || !conn->x.request.done) {
        broke(conn, "it answered 101 to a request that did not ask for it");
        return;
    }
    if (!forward(conn, bytes, n))
        return;
    drop_sent(conn); /* what is left of it goes first */
    opaque_begin(conn);
}

/* One head, of `head` bytes, and what is behind it. How much was taken; 0 where the exchange has ended. */
static size_t take_head(struct conn *conn, const char *bytes, size_t head, size_t n)
{
    struct exchange *x = &conn->x;
    struct http_response response;

    if (head > CONN_HEAD_MAX) {
        broke(conn, "the head of its answer is longer than 128 KiB");
        return 0;
    }
    if (!http_response_parse(bytes, head, x->is_head, &response)) {
        broke(conn, "the head of its answer is not HTTP/1.1");
        return 0;
    }
    if (response.status == 101) {
        upgrade(conn, bytes, n);
        return 0;
    }
    x->continued = x->continued || response.status == 100;
    if (response.status < 200) {
        bool fine = forward(conn, bytes, head);
        x->forwarded = false; /* the client still waits for an answer, and can be given one of ours */
        return fine ? head : 0;
    }
    x->head_done = true;
    x->answer_keep = response.keep_alive;
    http_framing_begin(&x->answer, response.body, response.length);
    if (forward(conn, bytes, head))
        take_body(conn, bytes + head, n - head);
    return n;
}

/* Bytes of the Livy, as long as its answer's head is not complete. */
static void take_heads(struct conn *conn, const char *bytes, size_t n)
{
    struct exchange *x = &conn->x;

    while (n > 0 && !x->head_done) {
        size_t head = http_head_end(bytes, n, &x->searched);
        if (head == 0)
            break;
        x->searched = 0;
        size_t taken = take_head(conn, bytes, head, n);
        if (taken == 0)
            return;
        bytes += taken;
        n -= taken;
        if (conn->back.length > 0)
            buf_consume(&conn->back, taken);
    }
    if (n == 0 || x->head_done || conn->state != CONN_RUN)
        return;
    if (n > CONN_HEAD_MAX)
        broke(conn, "the head of its answer is longer than 128 KiB");
    else if (conn->back.length == 0 && !buf_append(&conn->back, bytes, n))
        conn_end(conn, true);
}

static void take(struct conn *conn, const char *bytes, size_t n)
{
    struct exchange *x = &conn->x;

    /* It will not be sent again: what went out need not be kept. The rest, where there is one, still has to.
     */
    if (!x->answered && x->replayable) {
        x->replayable = false;
        drop_sent(conn);
    }
    x->answered = true;
    if (x->head_done) {
        take_body(conn, bytes, n);
    } else if (conn->back.length == 0) {
        take_heads(conn, bytes, n);
    } else if (buf_append(&conn->back, bytes, n)) {
        take_heads(conn, conn->back.data, conn->back.length);
    } else {
        conn_end(conn, true);
    }
}

/* The Livy has ended the connection; `error` 0: in good order. */
static void over(struct conn *conn, int error)
{
    struct relay *relay = conn->relay;
    struct exchange *x = &conn->x;
    const char *why = error != 0 ? strerror(error) : "it closed the connection";

    if (x->head_done && x->answer.body == HTTP_BODY_UNTIL_CLOSE && error == 0)
        x->answer.done = true;
    if (x->head_done && x->answer.done) {
        x->deaf = true;
        return;
    }
    relay->stats.upstream_failures++;
    if (!x->began || (x->replayable && !x->answered && x->repeats++ < CONN_REPEATS)) {
        relay->stats.repeated++;
        again(conn);
        return;
    }
    broke(conn, why);
}

static void pull(struct conn *conn, size_t *turn)
{
    struct relay *relay = conn->relay;
    struct exchange *x = &conn->x;

    while (conn->state == CONN_RUN && *turn < CONN_TURN_BYTES) {
        if (!sock_flush(&conn->client)) {
            if (conn->client.broken)
                conn_end(conn, true);
            return;
        }
        if (x->head_done && x->answer.done)
            return;
        ssize_t n = sock_read(&conn->upstream, relay->scratch, RELAY_SCRATCH);
        if (n == 0)
            return;
        if (n < 0) {
            over(conn, errno);
            continue;
        }
        *turn += (size_t)n;
        take(conn, relay->scratch, (size_t)n);
    }
}

/* ---- the end
 * -----------------------------------------------------------------------------------------------
 */

static void finish(struct conn *conn)
{
    struct relay *relay = conn->relay;
    struct exchange *x = &conn->x;
    bool upstream = x->answer_keep && !x->extra && x->request_done && !conn->upstream.eof &&
                    view_routes(relay_route(relay)) && !relay_closing(relay);
    bool client = x->keep_alive && x->answer_keep && x->request_done &&
                  x->answer.body != HTTP_BODY_UNTIL_CLOSE && !relay_closing(relay);

    if (!upstream || !client)
        upstream_close(conn, false);
    if (client) {
        conn_set(conn, CONN_IDLE);
        conn_timer(conn, CONN_IDLE_MS);
    } else {
        conn_linger(conn);
    }
}

/* Answered before the body was there in full. It may still come, as long as the Livy takes it; a client that
 * waits for a "100 Continue" that it did not get need not send it at all, so that what it sends next cannot
 * be told. */
static bool early(struct conn *conn)
{
    struct exchange *x = &conn->x;
    char byte;

    if (x->expects && !x->continued)
        return true;
    return conn->upstream.readable && sock_read(&conn->upstream, &byte, 1) != 0;
}

/* Whether the next byte has to come from the client, or go to it. */
static bool waits_for_client(const struct conn *conn)
{
    const struct exchange *x = &conn->x;

    if (conn->client.out.length > 0)
        return true;
    return !x->request.done && !x->deaf && x->sent == x->mine && conn->upstream.out.length == 0 &&
           (!x->expects || x->continued);
}

/* Livy may take as long as it likes; a client that has stopped in the middle has its place for so long as an
 * idle one, or whoever does that with enough connections would have them all for ever. */
static void watch_client(struct conn *conn, bool moved)
{
    if (!waits_for_client(conn))
        conn_timer(conn, -1);
    else if (moved || !evtimer_pending(&conn->timer, NULL))
        conn_timer(conn, CONN_IDLE_MS);
}

void exchange_stalled(struct conn *conn)
{
    if (conn->x.forwarded)
        conn->relay->stats.cut++;
    conn_end(conn, true);
}

/* True where there may be more to do, in this state or the next. */
bool exchange_step(struct conn *conn)
{
    struct exchange *x = &conn->x;
    size_t turn = 0, waited = conn->client.out.length;

    push(conn, &turn);
    if (conn->state == CONN_RUN)
        pull(conn, &turn);
    if (conn->state != CONN_RUN)
        return conn->state != CONN_HELD;
    bool answered = x->head_done && x->answer.done && conn->client.out.length == 0;
    if (answered && (x->request_done || x->deaf)) {
        finish(conn);
        return true;
    }
    if (answered && early(conn)) {
        finish(conn);
        return true;
    }
    if (turn >= CONN_TURN_BYTES)
        conn_turn(conn);
    watch_client(conn, turn > 0 || conn->client.out.length < waited);
    return false;
}
