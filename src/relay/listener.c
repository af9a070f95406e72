/* listener.c - see listener.h. */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "relay.h"

#define BACKLOG 4096
#define TURN 64 /* connections that are taken before others have their turn */
#define STARVED_MS 100
#define STARVED_OVER_MS 3000 /* without lack since: it is over, and the next one is told again */
#define RETRY_MS 200

static void on_again(evutil_socket_t fd, short what, void *arg);

static struct timeval after(long ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

void listener_init(struct listener *listener, struct relay *relay, const char *key, const char *address,
                   bool thrift)
{
    *listener = (struct listener){
        .relay = relay, .key = key, .address = address, .thrift = thrift, .fd = -1, .spare = -1};
}

static void pause_for(struct listener *listener, long ms)
{
    struct timeval delay = after(ms);

    event_del(listener->event);
    event_add(listener->again, &delay);
}

/* ---- descriptors have run out
 * ------------------------------------------------------------------------------------------ */

static void spare(struct listener *listener)
{
    if (listener->spare < 0)
        listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* There is no descriptor for one more. An idle connection makes way; where there is none, the newest is told
 * so and closed, by way of the spare descriptor, and the others wait in the kernel's queue for a while. True
 * where accepting may go on at once. */
static bool starved(struct listener *listener, int error)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                                 "Connection: close\r\n\r\n";
    struct relay *relay = listener->relay;

    if (listener->starved_at == 0)
        log_warn(
            "%s: no connection can be accepted: %s; the longest idle ones are closed, new ones wait (raise "
            "LimitNOFILE, or lower front.max_connections)",
            listener->key, strerror(error));
    listener->starved_at = clock_boot_ms();
    if (relay_make_room(relay))
        return true;
    if (listener->spare >= 0)
        close(listener->spare);
    listener->spare = -1;
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        relay->stats.rejected[STATS_DESCRIPTORS]++;
        if (!listener->thrift && relay->view.tls == 0)
            (void)send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        close(fd);
    }
    spare(listener);
    pause_for(listener, STARVED_MS);
    return false;
}

/* ---- accepting
 * ----------------------------------------------------------------------------------------------------------
 */

static void reject(struct listener *listener, int fd)
{
    struct relay *relay = listener->relay;

    if (listener->thrift || relay->view.tls != 0) {
        relay->stats.rejected[STATS_FULL]++;
        close(fd);
        return;
    }
    struct conn *conn = conn_new(relay, fd, CONN_REJECTED);
    if (conn != NULL)
        conn_begin(conn);
}

static void evict(struct relay *relay, struct quota_slot *victim)
{
    struct conn *conn = (struct conn *)(void *)((char *)victim - offsetof(struct conn, slot));

    relay->stats.rejected[STATS_EVICTED]++;
    conn_end(conn, true);
}

static void admit(struct listener *listener, int fd, const struct sockaddr *from)
{
    struct relay *relay = listener->relay;
    struct quota_slot *victim;
    int64_t now = clock_boot_ms();
    enum conn_kind kind = relay->view.tls != 0 ? CONN_TLS : CONN_PLAIN;

    switch (quota_ask(&relay->quota, from, now, &victim)) {
    case QUOTA_REJECT:
        reject(listener, fd);
        return;
    case QUOTA_EVICT:
        evict(relay, victim);
        break;
    case QUOTA_ADMIT:
        break;
    }
    struct conn *conn = conn_new(relay, fd, listener->thrift ? CONN_THRIFT : kind);
    if (conn == NULL)
        return;
    if (quota_take(&relay->quota, &conn->slot, from, now))
        conn_begin(conn);
    else
        conn_end(conn, true);
}

/* At most `count` of those that wait in the kernel's queue. */
static void take(struct listener *listener, int count)
{
    struct relay *relay = listener->relay;
    struct sockaddr_storage from;

    for (int i = 0; i < count; i++) {
        socklen_t length = sizeof(from);
        if (relay->rejecting >= RELAY_REJECTING) {
            event_del(listener->event); /* listener_room adds it */
            return;
        }
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            if (!starved(listener, errno))
                return;
            continue;
        }
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0)
            continue; /* it has gone again (accept(2)) */
        if (listener->starved_at != 0 && clock_boot_ms() - listener->starved_at > STARVED_OVER_MS) {
            log_info("%s: connections are accepted again", listener->key);
            listener->starved_at = 0;
        }
        admit(listener, fd, (const struct sockaddr *)&from);
    }
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    take(arg, TURN);
}

void listener_room(struct listener *listener)
{
    if (listener->event != NULL && !listener->waits && !evtimer_pending(listener->again, NULL) &&
        listener->relay->rejecting < RELAY_REJECTING)
        event_add(listener->event, NULL);
}

/* ---- opening and closing
 * -------------------------------------------------------------------------------------------------- */

static int use(struct listener *listener, int fd, char *why, size_t size)
{
    struct event_base *base = listener->relay->base;

    listener->event = event_new(base, fd, EV_READ | EV_PERSIST, on_accept, listener);
    if (listener->again == NULL)
        listener->again = evtimer_new(base, on_again, listener);
    if (listener->event == NULL || listener->again == NULL ||
        (!listener->waits && event_add(listener->event, NULL) != 0)) {
        snprintf(why, size, "%s: out of memory", listener->key);
        if (listener->event != NULL)
            event_free(listener->event);
        listener->event = NULL;
        close(fd);
        errno = ENOMEM;
        return -1;
    }
    listener->fd = fd;
    spare(listener);
    if (listener->told)
        log_info("%s: listening on %s", listener->key, listener->address);
    listener->told = false;
    return 0;
}

int listener_open(struct listener *listener, char *why, size_t size)
{
    if (listener->fd >= 0 || strcmp(listener->address, "off") == 0)
        return 0;
    int fd = listen_tcp(listener->key, listener->address, BACKLOG, why, size);
    return fd >= 0 ? use(listener, fd, why, size) : -1;
}

int listener_adopt(struct listener *listener, int fd, char *why, size_t size)
{
    if (listener->fd < 0 && strcmp(listener->address, "off") != 0)
        return use(listener, fd, why, size);
    close(fd);
    return 0;
}

void listener_begin(struct listener *listener)
{
    listener->waits = false;
    listener_room(listener);
}

void listener_retry(struct listener *listener)
{
    char why[512];
    struct timeval delay = after(RETRY_MS);

    if (listener_open(listener, why, sizeof(why)) == 0)
        return;
    if (!listener->told)
        log_warn("%s; trying again", why);
    listener->told = true;
    if (listener->again == NULL)
        listener->again = evtimer_new(listener->relay->base, on_again, listener);
    if (listener->again != NULL)
        event_add(listener->again, &delay);
}

/* Either it is not open yet, or it is and descriptors had run out. */
static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;

    (void)fd;
    (void)what;
    if (listener->event == NULL)
        listener_retry(listener);
    else if (listener->relay->rejecting < RELAY_REJECTING)
        event_add(listener->event, NULL);
}

void listener_close(struct listener *listener)
{
    if (listener->event != NULL)
        event_free(listener->event);
    if (listener->again != NULL)
        event_free(listener->again);
    if (listener->fd >= 0)
        close(listener->fd);
    if (listener->spare >= 0)
        close(listener->spare);
    listener->event = listener->again = NULL;
    listener->fd = listener->spare = -1;
}

/* Bound to an interface that is not there it is found by no new connection, so the kernel refuses those as it
 * does where nobody listens; those that are half made find it all the same. */
bool listener_refuse(struct listener *listener)
{
    const int nowhere = INT_MAX;

    return listener->fd < 0 ||
           setsockopt(listener->fd, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof(nowhere)) == 0;
}

/* Closing resets what waits in the kernel's queue: connections that are made as far as their clients know,
 * with a request on its way. */
void listener_last(struct listener *listener)
{
    if (listener->fd >= 0)
        take(listener, BACKLOG);
    listener_close(listener);
}
