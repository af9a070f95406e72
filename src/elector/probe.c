/* probe.c - one GET /version to the local Livy, and a verdict within an absolute time.
 *
 * It touches nothing but its own socket and timer, and knows nothing of what the verdict is used for. The
 * connection is made here and not by bufferevent_socket_connect: that one opens a descriptor without CLOEXEC.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROBE_LINE_MAX 4096 /* bytes read in search of the status line's end */

struct probe {
    struct event_base *base;
    struct probe_target target;
    probe_done *done;
    void *arg;
    struct event *limit;    /* the absolute time limit of the probe under way */
    struct event *connect;  /* waits for connect(2); NULL when connected */
    struct event *deferred; /* delivers what failed inside probe_start */
    struct bufferevent *bev;
    SSL_CTX *tls;
    struct probe_result result; /* of the deferred delivery */
    int64_t timeout;
    int64_t after_connect; /* what is left of it once the limit for connecting is over */
    int fd;                /* -1 once the bufferevent owns it */
    bool busy;
    bool secured; /* the TLS handshake is over */
};

static void probe_close(struct probe *probe)
{
    probe->busy = false;
    (void)event_del(probe->limit);
    (void)event_del(probe->deferred);
    if (probe->connect != NULL) {
        event_free(probe->connect);
        probe->connect = NULL;
    }
    if (probe->bev != NULL) {
        bufferevent_free(probe->bev);
        probe->bev = NULL;
    }
    if (probe->fd >= 0) {
        close(probe->fd);
        probe->fd = -1;
    }
}

/* The one way out of a probe. Nothing of `probe` is touched after the call-back: it may free it. */
static void probe_deliver(struct probe *probe, const struct probe_result *told)
{
    const struct probe_result result = *told; /* it may be in `probe` */

    probe_close(probe);
    probe->done(probe->arg, &result);
}

static void probe_finish(struct probe *probe, bool alive, int status, const char *reason)
{
    struct probe_result result = {.alive = alive, .status = status};

    (void)snprintf(result.reason, sizeof result.reason, "%s", reason);
    probe_deliver(probe, &result);
}

/* A healthy Livy must not be ended because the one who asks has no descriptor left to ask with. */
static void probe_finish_untold(struct probe *probe, int error)
{
    struct probe_result result = {.untold = true};

    (void)snprintf(result.reason, sizeof result.reason, "%s", strerror(error));
    probe_deliver(probe, &result);
}

bool probe_lacked(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static const char *probe_connect_error(int error)
{
    return error == ECONNREFUSED ? "connection refused" : strerror(error);
}

/* "HTTP/1.0 200 OK": the version exactly, three digits, then the end or a space and a phrase of printable
 * bytes. Returns the status, or 0 where the line is none of a final answer. */
static int probe_parse_status(const char *line, size_t length)
{
    static const char start[] = "HTTP/1.";
    const size_t at = sizeof start - 1;
    int status = 0;

    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length < at + 5 || memcmp(line, start, at) != 0)
        return 0;
    if ((line[at] != '0' && line[at] != '1') || line[at + 1] != ' ')
        return 0;
    for (size_t i = at + 2; i < at + 5; i++) {
        if (line[i] < '0' || line[i] > '9')
            return 0;
        status = status * 10 + (line[i] - '0');
    }
    if (length > at + 5 && line[at + 5] != ' ')
        return 0;
    for (size_t i = at + 5; i < length; i++) {
        const unsigned char c = (unsigned char)line[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return 0;
    }
    /* 1xx is no answer yet, and nobody asked for one of those; 6xx and more do not exist. */
    return status >= 200 && status <= 599 ? status : 0;
}

static void probe_on_read(struct bufferevent *bev, void *arg)
{
    struct probe *probe = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    const size_t length = evbuffer_get_length(input);
    const struct evbuffer_ptr end = evbuffer_search_eol(input, NULL, NULL, EVBUFFER_EOL_LF);
    char reason[32];
    char line[PROBE_LINE_MAX];
    int status;

    if (end.pos < 0 && length < PROBE_LINE_MAX)
        return;
    if (end.pos < 0 || end.pos >= PROBE_LINE_MAX) {
        probe_finish(probe, false, 0, "malformed answer: no end of the status line within 4096 bytes");
        return;
    }
    if (evbuffer_copyout(input, line, (size_t)end.pos) != end.pos) {
        probe_finish(probe, false, 0, "malformed answer");
        return;
    }
    status = probe_parse_status(line, (size_t)end.pos);
    if (status == 0) {
        probe_finish(probe, false, 0, "malformed answer: no HTTP/1.x status line");
        return;
    }
    (void)snprintf(reason, sizeof reason, "HTTP %d", status);
    probe_finish(probe, status < 500, status, reason);
}

/* What the handshake or the connection failed of, in words. OpenSSL's text where it has one. */
static void probe_on_error(struct probe *probe)
{
    const int error = EVUTIL_SOCKET_ERROR();
    const unsigned long tls = probe->target.tls ? bufferevent_get_openssl_error(probe->bev) : 0;
    const char *text = tls != 0 ? ERR_reason_error_string(tls) : NULL;
    /* Without TLS' own farewell, or without any. */
    const bool closed = text != NULL ? ERR_GET_REASON(tls) == SSL_R_UNEXPECTED_EOF_WHILE_READING
                                     : error == ECONNRESET || error == EPIPE || error == 0;
    char reason[sizeof probe->result.reason];

    if (text == NULL)
        text = error != 0 ? strerror(error) : "closed by Livy";
    if (probe->target.tls && !probe->secured)
        (void)snprintf(reason, sizeof reason, "TLS handshake failed: %s", text);
    else if (closed)
        (void)snprintf(reason, sizeof reason, "closed before an answer");
    else
        (void)snprintf(reason, sizeof reason, "connection failed: %s", text);
    probe_finish(probe, false, 0, reason);
}

static void probe_on_event(struct bufferevent *bev, short what, void *arg)
{
    struct probe *probe = arg;

    (void)bev;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        probe->secured = true;
        return;
    }
    if ((what & BEV_EVENT_EOF) != 0 && (!probe->target.tls || probe->secured)) {
        probe_finish(probe, false, 0, "closed before an answer");
        return;
    }
    probe_on_error(probe);
}

static int probe_request(struct probe *probe)
{
    const bool v6 = strchr(probe->target.address, ':') != NULL;

    return evbuffer_add_printf(bufferevent_get_output(probe->bev),
                               "GET /version HTTP/1.1\r\nHost: %s%s%s:%d\r\nUser-Agent: livy-ha\r\n"
                               "Accept: */*\r\nConnection: close\r\n\r\n",
                               v6 ? "[" : "", probe->target.address, v6 ? "]" : "", probe->target.port);
}

/* Wraps the connected descriptor, which the bufferevent owns from then on. */
static struct bufferevent *probe_wrap(struct probe *probe)
{
    SSL *ssl;
    struct bufferevent *bev;

    if (!probe->target.tls)
        return bufferevent_socket_new(probe->base, probe->fd, BEV_OPT_CLOSE_ON_FREE);
    ERR_clear_error(); /* an old entry of another connection must not be told as this one's */
    ssl = SSL_new(probe->tls);
    if (ssl == NULL)
        return NULL;
    bev = bufferevent_openssl_socket_new(probe->base, probe->fd, ssl, BUFFEREVENT_SSL_CONNECTING,
                                         BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        SSL_free(ssl);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

static void probe_on_connect(evutil_socket_t fd, short what, void *arg)
{
    struct probe *probe = arg;
    int error = 0;
    socklen_t size = sizeof error;

    (void)what;
    event_free(probe->connect);
    probe->connect = NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error != 0) {
        probe_finish(probe, false, 0, probe_connect_error(error));
        return;
    }
    probe->bev = probe_wrap(probe);
    if (probe->bev == NULL) {
        probe_finish_untold(probe, ENOMEM);
        return;
    }
    probe->fd = -1;
    bufferevent_setcb(probe->bev, probe_on_read, NULL, probe_on_event, probe);
    bufferevent_setwatermark(probe->bev, EV_READ, 0, PROBE_LINE_MAX);
    if (bufferevent_enable(probe->bev, EV_READ | EV_WRITE) != 0 || probe_request(probe) < 0)
        probe_finish_untold(probe, ENOMEM);
}

static void probe_on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct probe *probe = arg;
    char reason[64];

    (void)fd;
    (void)what;
    if (probe->bev != NULL && probe->after_connect > 0) {
        const struct timeval rest = {.tv_sec = probe->after_connect / 1000,
                                     .tv_usec = probe->after_connect % 1000 * 1000};
        probe->after_connect = 0;
        if (evtimer_add(probe->limit, &rest) == 0)
            return;
    }
    (void)snprintf(reason, sizeof reason, "no answer within %lld ms", (long long)probe->timeout);
    probe_finish(probe, false, 0, reason);
}

static void probe_on_deferred(evutil_socket_t fd, short what, void *arg)
{
    struct probe *probe = arg;

    (void)fd;
    (void)what;
    probe_deliver(probe, &probe->result);
}

/* An IP literal and a port to a socket address; 0 where it is no literal. */
static socklen_t probe_sockaddr(const struct probe_target *target, struct sockaddr_storage *address)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, target->address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)target->port);
        return sizeof *v4;
    }
    if (inet_pton(AF_INET6, target->address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)target->port);
        return sizeof *v6;
    }
    return 0;
}

static SSL_CTX *probe_tls(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls == NULL)
        return NULL;
    /* The question is whether it answers, not whether it is safe: nothing secret is sent, so whatever
     * certificate and version Livy was set up with will do. */
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_security_level(tls, 0);
    if (SSL_CTX_set_min_proto_version(tls, TLS1_VERSION) != 1) {
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

struct probe *probe_new(struct event_base *base, const struct probe_target *target, probe_done *done,
                        void *arg)
{
    struct sockaddr_storage address;
    struct probe *probe;

    if (target->port < 1 || target->port > 65535 || probe_sockaddr(target, &address) == 0) {
        errno = EINVAL;
        return NULL;
    }
    probe = calloc(1, sizeof *probe);
    if (probe == NULL)
        return NULL;
    probe->base = base;
    probe->target = *target;
    probe->done = done;
    probe->arg = arg;
    probe->fd = -1;
    probe->limit = evtimer_new(base, probe_on_limit, probe);
    probe->deferred = evtimer_new(base, probe_on_deferred, probe);
    if (target->tls)
        probe->tls = probe_tls();
    if (probe->limit == NULL || probe->deferred == NULL || (target->tls && probe->tls == NULL)) {
        probe_free(probe);
        errno = ENOMEM;
        return NULL;
    }
    return probe;
}

void probe_free(struct probe *probe)
{
    if (probe == NULL)
        return;
    if (probe->limit != NULL && probe->deferred != NULL)
        probe_close(probe);
    if (probe->limit != NULL)
        event_free(probe->limit);
    if (probe->deferred != NULL)
        event_free(probe->deferred);
    SSL_CTX_free(probe->tls);
    free(probe);
}

/* A failure inside probe_start waits for the loop's next turn, so that `done` never runs within it. */
static void probe_defer(struct probe *probe, int error)
{
    const struct timeval now = {0, 0};

    probe->result = (struct probe_result){.untold = probe_lacked(error)};
    (void)snprintf(probe->result.reason, sizeof probe->result.reason, "%s", probe_connect_error(error));
    (void)evtimer_add(probe->deferred, &now);
}

/* Returns 0, or the errno of why the connection could not even be begun. */
static int probe_connect(struct probe *probe)
{
    struct sockaddr_storage address;
    const socklen_t size = probe_sockaddr(&probe->target, &address);

    probe->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe->fd < 0)
        return errno;
    if (connect(probe->fd, (struct sockaddr *)&address, size) != 0 && errno != EINPROGRESS)
        return errno;
    probe->connect = event_new(probe->base, probe->fd, EV_WRITE, probe_on_connect, probe);
    if (probe->connect == NULL || event_add(probe->connect, NULL) != 0)
        return ENOMEM;
    return 0;
}

void probe_start_within(struct probe *probe, int64_t connect, int64_t timeout)
{
    const int64_t first = connect < timeout ? connect : timeout;
    const struct timeval limit = {.tv_sec = first / 1000, .tv_usec = first % 1000 * 1000};
    int failed;

    if (probe->busy)
        return;
    probe->busy = true;
    probe->secured = false;
    probe->timeout = timeout;
    probe->after_connect = timeout - first;
    failed = probe_connect(probe);
    if (failed == 0 && evtimer_add(probe->limit, &limit) != 0)
        failed = ENOMEM;
    if (failed != 0)
        probe_defer(probe, failed);
}

void probe_start(struct probe *probe, int64_t timeout)
{
    probe_start_within(probe, timeout, timeout);
}

void probe_cancel(struct probe *probe)
{
    probe_close(probe);
}
