/* request.c - the heads of plain requests: read, parsed, sent on their way, or answered here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conn.h"
#include "http_head.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "relay.h"
#include "reply.h"

/* ---- answers of our own
 * ------------------------------------------------------------------------------------
 */

static void answer(struct conn *conn, int status, const char *sentence, bool retry)
{
    struct buf text = {0};
    bool fine = reply_error(&text, status, sentence, retry, conn->x.is_head) &&
                sock_write(&conn->client, text.data, text.length);

    buf_clear(&text);
    if (fine)
        conn_linger(conn);
    else
        conn_end(conn, true);
}

void request_refuse(struct conn *conn, int status, const char *sentence, enum stats_reject why)
{
    conn->relay->stats.rejected[why]++;
    conn->x.forwarded = false;
    answer(conn, status, sentence, status == 503);
}

void request_unavailable(struct conn *conn, const char *sentence)
{
    conn->relay->stats.unavailable++;
    if (conn_opaque_kind(conn))
        conn_end(conn, false); /* there is no way to say it */
    else
        answer(conn, 503, sentence, true);
}

void request_bad_gateway(struct conn *conn, const char *sentence)
{
    conn->relay->stats.bad_gateway++;
    answer(conn, 502, sentence, false);
}

static const char *head_sentence(int status)
{
    if (status == 417)
        return "the request expects what is not known here (Expect)";
    if (status == 501)
        return "the request has a transfer coding that is not known here";
    if (status == 505)
        return "only HTTP/1.0 and HTTP/1.1 are spoken here";
    return "the request's head is not HTTP/1.1 as RFC 9112 has it, or can be read in more than one way";
}

static bool redirect(const struct relay *relay, const struct http_request *request, struct buf *text)
{
    return reply_redirect(text, relay->view.front_url, relay->view.id, request->path.at, request->path.length,
                          request->is_head);
}

void request_redirect(struct conn *conn)
{
    struct relay *relay = conn->relay;
    struct http_request request;
    struct buf text = {0};

    if (http_request_parse(conn->in.data, conn->x.head, &request) != 0) {
        conn_end(conn, true); /* it was fine before */
        return;
    }
    bool fine = redirect(relay, &request, &text) && sock_write(&conn->client, text.data, text.length);
    buf_clear(&text);
    relay->stats.redirected++;
    if (fine)
        conn_linger(conn);
    else
        conn_end(conn, true);
}

bool request_answer_secure(struct conn *conn, size_t length, struct buf *text)
{
    struct relay *relay = conn->relay;
    struct http_request request;
    int status = http_request_parse(conn->in.data, length, &request);

    if (status != 0) {
        relay->stats.rejected[STATS_BAD_REQUEST]++;
        return reply_error(text, status, head_sentence(status), false, request.is_head);
    }
    quota_prove(&relay->quota, &conn->slot);
    if (view_redirects(&relay->view, relay_route(relay))) {
        relay->stats.redirected++;
        return redirect(relay, &request, text);
    }
    relay->stats.unavailable++;
    return reply_error(text, 503, "the active Livy has changed meanwhile: try again", true, request.is_head);
}

/* ---- heads
 * -------------------------------------------------------------------------------------------------
 */

static void refuse_head(struct conn *conn, int status)
{
    request_refuse(conn, status, head_sentence(status), STATS_BAD_REQUEST);
}

static bool is(struct http_span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.at, text, span.length) == 0;
}

/* The head is there in full: what is it, and what of the bytes behind it belongs to it? */
static void take_head(struct conn *conn, size_t length)
{
    struct exchange *x = &conn->x;
    struct http_request request;

    *x = (struct exchange){.head = length};
    int status = http_request_parse(conn->in.data, length, &request);
    x->is_head = request.is_head;
    if (status != 0) {
        refuse_head(conn, status);
        return;
    }
    quota_prove(&conn->relay->quota, &conn->slot);
    x->keep_alive = request.keep_alive;
    x->upgrade = request.upgrade;
    x->expects = request.expects_continue;
    x->safe = is(request.method, "GET") || is(request.method, "HEAD") || is(request.method, "OPTIONS");
    http_framing_begin(&x->request, request.body, request.length);
    x->mine = length + http_framing_feed(&x->request, conn->in.data + length, conn->in.length - length);
    if (x->request.bad) {
        refuse_head(conn, 400);
        return;
    }
    x->replayable = x->safe && x->request.done;
    conn->came = clock_boot_ms();
    request_dispatch(conn);
}

/* Empty lines before a request are to be forgiven (RFC 9112, 2.2), but not for ever: somebody who sends
 * nothing else would be read without end. False where there were too many. */
static bool skip_empty_lines(struct conn *conn)
{
    struct buf *in = &conn->in;
    size_t n = 0;

    while (n < in->length &&
           (in->data[n] == '\n' || (in->data[n] == '\r' && n + 1 < in->length && in->data[n + 1] == '\n')))
        n += in->data[n] == '\n' ? 1 : 2;
    conn->skipped += n;
    if (n > 0)
        buf_consume(in, n);
    return conn->skipped <= CONN_EMPTY_MAX;
}

/* Whether `in` may have so many bytes: only some connections at a time may have more than a usual head. */
static bool may_have(struct conn *conn, size_t n)
{
    struct relay *relay = conn->relay;

    if (conn->large || n <= 2 * CONN_HEAD_STEP)
        return true;
    if (relay->large >= RELAY_LARGE)
        return false;
    relay->large++;
    conn->large = true;
    return true;
}

/* Reads more. True where something came. */
static bool read_more(struct conn *conn)
{
    struct relay *relay = conn->relay;
    size_t room = CONN_HEAD_MAX + 4 - conn->in.length;
    ssize_t n = sock_read(&conn->client, relay->scratch, room < CONN_HEAD_STEP ? room : CONN_HEAD_STEP);

    if (n > 0 && !may_have(conn, conn->in.length + (size_t)n))
        request_refuse(conn, 503, "there are too many long request heads at a time: try again",
                       STATS_HEAD_LARGE);
    else if (n > 0 && buf_append(&conn->in, relay->scratch, (size_t)n))
        return true;
    else if (n > 0)
        conn_end(conn, true); /* no memory */
    else if (n < 0 && (conn->in.length == 0 || errno != 0))
        conn_end(conn, false);
    else if (n < 0)
        request_refuse(conn, 400, "the request ended in the middle of its head", STATS_BAD_REQUEST);
    return false;
}

static void wait_for_more(struct conn *conn)
{
    enum conn_state state = conn->in.length > 0 ? CONN_HEAD : CONN_IDLE;

    if (conn->state == state)
        return;
    conn_set(conn, state);
    conn_timer(conn, state == CONN_HEAD ? CONN_HEAD_MS : CONN_IDLE_MS);
}

/* True where the connection's state has changed to one that has something to do. */
bool request_step(struct conn *conn)
{
    for (;;) {
        if (!skip_empty_lines(conn)) {
            request_refuse(conn, 400, "there is no request among all these empty lines", STATS_BAD_REQUEST);
            return true;
        }
        size_t length =
            conn->in.length > 0 ? http_head_end(conn->in.data, conn->in.length, &conn->searched) : 0;
        if (length > CONN_HEAD_MAX || (length == 0 && conn->in.length > CONN_HEAD_MAX)) {
            request_refuse(conn, 431, "the request's head is longer than 128 KiB", STATS_HEAD_LARGE);
            return true;
        }
        if (length > 0) {
            conn->searched = conn->skipped = 0;
            take_head(conn, length);
            return true;
        }
        if (conn->in.length == 0)
            conn->searched = 0;
        wait_for_more(conn);
        if (!read_more(conn))
            return conn->state == CONN_LINGER;
    }
}

void request_dispatch(struct conn *conn)
{
    struct relay *relay = conn->relay;
    uint32_t route = relay_route(relay);

    if (view_redirects(&relay->view, route)) {
        request_redirect(conn);
        return;
    }
    if (view_routes(route) && !handover_wants(conn) && upstream_usable(conn)) {
        exchange_begin(conn);
        return;
    }
    hold_add(conn);
}
