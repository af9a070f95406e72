/* httpd.c - see httpd.h: the connections and their deadlines, the requests and their answers. It never waits
 * and never looks at what an answer says. Heads are http_head.c's, bodies http_framing.c's, sockets
 * listen.c's.
 */
#include "httpd.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_framing.h"
#include "http_head.h"
#include "listen.h"
#include "livy-ha/log.h"
#include "peer.h"

#define HTTPD_HEAD_MAX 8192
#define HTTPD_BODY_MAX 65536
#define HTTPD_CONNECTIONS_MAX 1024
#define HTTPD_BACKLOG 128
#define HTTPD_WHERE_SIZE 192

/* A connection reads the head, reads and drops the body, waits for its answer, sends it, and then only drops
 * what still comes until the client closes: closing with unread bytes would be a reset, and could cost the
 * client its answer. */
enum phase { READ_HEAD, READ_BODY, PENDING, ANSWERED };

struct httpd_exchange {
    TAILQ_ENTRY(httpd_exchange) link;
    struct httpd *httpd;
    struct bufferevent *bev;
    struct event *deadline;
    enum phase phase;
    bool half_closed; /* the client has shut its side and waits for the answer */
    bool options;
    unsigned char peer[PEER_KEY];
    size_t searched; /* bytes of the head in which no end was found */
    size_t dropped;  /* of the body */
    struct http_framing framing;
    struct http_request head;
    char text[HTTPD_HEAD_MAX]; /* what `head` points into */
};

struct httpd {
    struct event_base *base;
    struct httpd_options options; /* its strings are the caller's, and not kept */
    char where[HTTPD_WHERE_SIZE]; /* for messages: name and address */
    char *path;                   /* of the socket file; NULL: TCP */
    struct listen_file file;
    int fd;
    struct event *listener;
    struct event *retry; /* takes up listening again after accept(2) lacked resources */
    bool short_of;       /* … which was logged, and has not ended yet */
    size_t n_exchanges;
    TAILQ_HEAD(, httpd_exchange) exchanges;
};

/* ---- one connection -------------------------------------------------------------------------------------
 */

static void httpd_listen(struct httpd *httpd)
{
    if (event_add(httpd->listener, NULL) != 0)
        log_error("%s: cannot wait for connections: out of memory", httpd->where);
}

static void exchange_close(struct httpd_exchange *exchange)
{
    struct httpd *httpd = exchange->httpd;

    TAILQ_REMOVE(&httpd->exchanges, exchange, link);
    bufferevent_free(exchange->bev);
    event_free(exchange->deadline);
    if (exchange->phase == PENDING && httpd->options.gone != NULL)
        httpd->options.gone(httpd->options.arg, exchange);
    free(exchange);
    if (httpd->n_exchanges-- == httpd->options.connections)
        httpd_listen(httpd);
}

/* An answer that cannot be sent for want of memory: closed from the loop, as the exchange is in use here. */
static void exchange_give_up(struct httpd_exchange *exchange)
{
    event_active(exchange->deadline, EV_TIMEOUT, 0);
}

static void exchange_limit(struct httpd_exchange *exchange)
{
    const struct timeval limit = {.tv_sec = exchange->httpd->options.seconds};

    if (evtimer_add(exchange->deadline, &limit) != 0)
        exchange_give_up(exchange);
}

/* Sends the answer. A HEAD has no body but the length of what it would be; OPTIONS has none at all. */
static void exchange_answer(struct httpd_exchange *exchange, const struct httpd_reply *reply)
{
    static const char *const allowed[] = {"Allow: GET, HEAD, OPTIONS\r\n",
                                          "Allow: GET, HEAD, OPTIONS, POST\r\n"};
    struct evbuffer *output = bufferevent_get_output(exchange->bev);
    const char *phrase = http_phrase(reply->status), *body = reply->body;
    size_t length = reply->length, newline = reply->type == NULL || body == NULL;
    char fallback[128] = "{}";
    int rc;

    exchange->phase = ANSWERED;
    exchange_limit(exchange);
    if (body == NULL) {
        if (reply->status >= 400)
            (void)snprintf(fallback, sizeof fallback, "{\"error\":\"%s\"}", phrase);
        body = fallback;
        length = strlen(fallback);
    }
    if (exchange->options)
        length = newline = 0;
    rc = evbuffer_add_printf(
        output,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
        "Cache-Control: no-store\r\n%s%sConnection: close\r\n\r\n",
        reply->status, phrase, reply->type != NULL && reply->body != NULL ? reply->type : "application/json",
        length + newline,
        exchange->options || reply->status == 405 ? allowed[exchange->httpd->options.posts] : "",
        reply->headers != NULL ? reply->headers : "");
    if (rc >= 0 && length > 0 && !exchange->head.is_head)
        rc = evbuffer_add(output, body, length);
    if (rc >= 0 && newline > 0 && !exchange->head.is_head)
        rc = evbuffer_add(output, "\n", newline);
    if (rc < 0)
        exchange_give_up(exchange);
}

static void exchange_refuse(struct httpd_exchange *exchange, int status)
{
    exchange_answer(exchange, &(struct httpd_reply){.status = status});
}

void httpd_answer(struct httpd_exchange *exchange, const struct httpd_reply *reply)
{
    exchange_answer(exchange, reply);
}

static bool method_is(const struct http_request *head, const char *name)
{
    return head->method.length == strlen(name) && memcmp(head->method.at, name, head->method.length) == 0;
}

/* The request is there in full. */
static void exchange_handle(struct httpd_exchange *exchange)
{
    const struct httpd_options *options = &exchange->httpd->options;
    const struct http_span target = exchange->head.path;
    const char *mark = memchr(target.at, '?', target.length);
    struct httpd_request request = {.post = method_is(&exchange->head, "POST")};
    char path[HTTPD_HEAD_MAX], query[HTTPD_HEAD_MAX];

    if (!http_path_decode(target, path, sizeof path)) {
        exchange_refuse(exchange, 400);
        return;
    }
    if (mark != NULL) {
        const size_t length = target.length - (size_t)(mark + 1 - target.at);

        memcpy(query, mark + 1, length);
        query[length] = '\0';
        request.query = query;
    }
    request.path = path;
    exchange->phase = PENDING;
    (void)evtimer_del(exchange->deadline);
    options->handler(options->arg, exchange, &request);
}

/* What the head alone is refused for; 0: it is not. */
static int exchange_check(struct httpd_exchange *exchange)
{
    const struct http_request *head = &exchange->head;

    exchange->options = method_is(head, "OPTIONS");
    if (!exchange->options && !head->is_head && !method_is(head, "GET") &&
        !(exchange->httpd->options.posts && method_is(head, "POST")))
        return 405;
    return head->body == HTTP_BODY_SIZED && head->length > HTTPD_BODY_MAX ? 413 : 0;
}

/* Empty lines before a request are passed over (RFC 9112, 2.2). */
static void skip_empty_lines(struct evbuffer *input)
{
    char start[2];

    for (;;) {
        const ev_ssize_t n = evbuffer_copyout(input, start, sizeof start);

        if (n >= 1 && start[0] == '\n')
            (void)evbuffer_drain(input, 1);
        else if (n == 2 && start[0] == '\r' && start[1] == '\n')
            (void)evbuffer_drain(input, 2);
        else
            return;
    }
}

/* Takes the head out of `input` once it is all there. */
static void exchange_read_head(struct httpd_exchange *exchange, struct evbuffer *input)
{
    size_t length, end;
    int status;

    if (exchange->searched == 0)
        skip_empty_lines(input);
    length = evbuffer_get_length(input);
    if (length > HTTPD_HEAD_MAX)
        length = HTTPD_HEAD_MAX;
    if (evbuffer_copyout(input, exchange->text, length) != (ev_ssize_t)length)
        return;
    end = http_head_end(exchange->text, length, &exchange->searched);
    if (end == 0) {
        if (length == HTTPD_HEAD_MAX)
            exchange_refuse(exchange, 431);
        return;
    }
    (void)evbuffer_drain(input, end);
    status = http_request_parse(exchange->text, end, &exchange->head);
    if (status == 0)
        status = exchange_check(exchange);
    if (status != 0) {
        exchange_refuse(exchange, status);
        return;
    }
    http_framing_begin(&exchange->framing, exchange->head.body, exchange->head.length);
    exchange->phase = READ_BODY;
    if (exchange->head.expects_continue && !exchange->framing.done)
        (void)evbuffer_add_printf(bufferevent_get_output(exchange->bev), "HTTP/1.1 100 Continue\r\n\r\n");
}

/* Drops what has come of the body. The bound is one of bytes on the wire, those that frame it included. */
static void exchange_read_body(struct httpd_exchange *exchange, struct evbuffer *input)
{
    while (!exchange->framing.done && !exchange->framing.bad && exchange->dropped <= HTTPD_BODY_MAX) {
        struct evbuffer_iovec chunk;
        size_t used;

        if (evbuffer_peek(input, -1, NULL, &chunk, 1) < 1 || chunk.iov_len == 0)
            return;
        used = http_framing_feed(&exchange->framing, chunk.iov_base, chunk.iov_len);
        (void)evbuffer_drain(input, used);
        exchange->dropped += used;
    }
    if (exchange->framing.bad)
        exchange_refuse(exchange, 400);
    else if (exchange->dropped > HTTPD_BODY_MAX)
        exchange_refuse(exchange, 413);
    else
        exchange_handle(exchange);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct httpd_exchange *exchange = arg;
    struct evbuffer *input = bufferevent_get_input(bev);

    if (exchange->phase == READ_HEAD)
        exchange_read_head(exchange, input);
    if (exchange->phase == READ_BODY)
        exchange_read_body(exchange, input);
    if (exchange->phase == PENDING || exchange->phase == ANSWERED) /* more than the one request */
        (void)evbuffer_drain(input, evbuffer_get_length(input));
}

/* All is written: tell the client so. It closes, and that ends the connection. */
static void on_write(struct bufferevent *bev, void *arg)
{
    struct httpd_exchange *exchange = arg;

    if (exchange->phase != ANSWERED)
        return;
    if (exchange->half_closed || shutdown(bufferevent_getfd(bev), SHUT_WR) != 0)
        exchange_close(exchange);
}

/* A client may shut its side once it has sent the request (nc -N does) and still read the answer. One that
 * has closed altogether looks the same, but on a Unix socket. */
static bool is_half_closed(struct httpd_exchange *exchange)
{
    struct pollfd poller = {.fd = bufferevent_getfd(exchange->bev)};

    if (exchange->phase == ANSWERED)
        return evbuffer_get_length(bufferevent_get_output(exchange->bev)) > 0;
    return exchange->phase == PENDING && poll(&poller, 1, 0) == 0;
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct httpd_exchange *exchange = arg;

    (void)bev;
    if ((what & BEV_EVENT_EOF) != 0 && is_half_closed(exchange))
        exchange->half_closed = true;
    else
        exchange_close(exchange);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    exchange_close(arg);
}

/* ---- the listener ---------------------------------------------------------------------------------------
 */

static bool too_many_of(const struct httpd *httpd, const unsigned char peer[static PEER_KEY])
{
    size_t n = 0;

    if (httpd->options.per_address == 0)
        return false;
    for (const struct httpd_exchange *exchange = TAILQ_FIRST(&httpd->exchanges); exchange != NULL;
         exchange = TAILQ_NEXT(exchange, link))
        n += memcmp(exchange->peer, peer, PEER_KEY) == 0;
    return n >= httpd->options.per_address;
}

/* Takes over `fd`. */
static void exchange_open(struct httpd *httpd, int fd, const unsigned char peer[static PEER_KEY])
{
    struct httpd_exchange *exchange = calloc(1, sizeof *exchange);

    if (exchange == NULL) {
        close(fd);
        return;
    }
    exchange->httpd = httpd;
    memcpy(exchange->peer, peer, PEER_KEY);
    exchange->bev = bufferevent_socket_new(httpd->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (exchange->bev == NULL) {
        close(fd);
        free(exchange);
        return;
    }
    exchange->deadline = evtimer_new(httpd->base, on_deadline, exchange);
    if (exchange->deadline == NULL) {
        bufferevent_free(exchange->bev);
        free(exchange);
        return;
    }
    TAILQ_INSERT_TAIL(&httpd->exchanges, exchange, link);
    if (++httpd->n_exchanges == httpd->options.connections)
        (void)event_del(httpd->listener);
    exchange_limit(exchange);
    bufferevent_setcb(exchange->bev, on_read, on_write, on_event, exchange);
    bufferevent_setwatermark(exchange->bev, EV_READ, 0, (size_t)2 * HTTPD_HEAD_MAX);
    if (bufferevent_enable(exchange->bev, EV_READ | EV_WRITE) != 0)
        exchange_close(exchange);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    httpd_listen(arg);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval pause = {.tv_usec = 100000};
    struct httpd *httpd = arg;
    struct sockaddr_storage from = {0};
    socklen_t length = sizeof from;
    unsigned char peer[PEER_KEY];
    const int client = accept4(fd, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)what;
    if (client >= 0) {
        if (httpd->short_of)
            log_info("%s: connections are accepted again", httpd->where);
        httpd->short_of = false;
        peer_key((const struct sockaddr *)&from, peer);
        if (too_many_of(httpd, peer))
            close(client);
        else
            exchange_open(httpd, client, peer);
        return;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        /* The connection stays queued and the descriptor readable: without a pause this would spin. */
        if (!httpd->short_of)
            log_warn("%s: cannot accept a connection: %s; trying on", httpd->where, strerror(errno));
        httpd->short_of = true;
        (void)event_del(httpd->listener);
        (void)evtimer_add(httpd->retry, &pause);
    }
}

static int httpd_bind(struct httpd *httpd, char *why, size_t size)
{
    const struct httpd_options *options = &httpd->options;

    if (options->path == NULL) {
        httpd->fd = listen_tcp(options->name, options->listen, HTTPD_BACKLOG, why, size);
        return httpd->fd >= 0 ? 0 : -1;
    }
    httpd->fd = listen_unix(options->name, options->path, HTTPD_BACKLOG, &httpd->file, why, size);
    if (httpd->fd < 0)
        return -1;
    httpd->path = strdup(options->path);
    if (httpd->path != NULL)
        return 0;
    (void)snprintf(why, size, "%s: out of memory", httpd->where);
    listen_remove(options->path, &httpd->file);
    return -1;
}

struct httpd *httpd_open(struct event_base *base, const struct httpd_options *options, char *why, size_t size)
{
    struct httpd *httpd = calloc(1, sizeof *httpd);

    if (httpd == NULL) {
        (void)snprintf(why, size, "%s: out of memory", options->name);
        return NULL;
    }
    TAILQ_INIT(&httpd->exchanges);
    httpd->base = base;
    httpd->fd = -1;
    httpd->options = *options;
    if (httpd->options.connections == 0 || httpd->options.connections > HTTPD_CONNECTIONS_MAX)
        httpd->options.connections = HTTPD_CONNECTIONS_MAX;
    (void)snprintf(httpd->where, sizeof httpd->where, "%s %s", options->name,
                   options->path != NULL ? options->path : options->listen);
    if (httpd_bind(httpd, why, size) != 0) {
        httpd_close(httpd);
        return NULL;
    }
    httpd->listener = event_new(base, httpd->fd, EV_READ | EV_PERSIST, on_accept, httpd);
    httpd->retry = evtimer_new(base, on_retry, httpd);
    if (httpd->listener != NULL && httpd->retry != NULL && event_add(httpd->listener, NULL) == 0)
        return httpd;
    (void)snprintf(why, size, "%s: out of memory", httpd->where);
    httpd_close(httpd);
    return NULL;
}

void httpd_close(struct httpd *httpd)
{
    if (httpd == NULL)
        return;
    for (struct httpd_exchange *exchange = TAILQ_FIRST(&httpd->exchanges), *next; exchange != NULL;
         exchange = next) {
        next = TAILQ_NEXT(exchange, link);
        exchange_close(exchange);
    }
    if (httpd->listener != NULL)
        event_free(httpd->listener);
    if (httpd->retry != NULL)
        event_free(httpd->retry);
    if (httpd->path != NULL)
        listen_remove(httpd->path, &httpd->file);
    if (httpd->fd >= 0)
        close(httpd->fd);
    free(httpd->path);
    free(httpd);
}
