/* handover.c - see handover.h. */
#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "livy-ha/packet.h"
#include "relay.h"
#include "show.h"

#define BYTES_MAX (CONN_HEAD_MAX + 4) /* what is ever read of a head, and behind it */
#define SNDBUF (4 * 1024 * 1024)      /* as far as the system allows */

enum packet_type {
    PACKET_LISTENER = 1, /* + descriptor; kind: enum listener_kind */
    PACKET_LISTENERS,    /* these were all */
    PACKET_CONN,         /* + descriptor; kind: enum conn_kind; behind it the bytes that were read */
    PACKET_RUNNING,      /* number */
    PACKET_VIEW,         /* new -> old; behind it a struct front_view */
};

enum listener_kind { LISTENER_FRONT, LISTENER_THRIFT, LISTENER_ADMIN };

struct packet_head {
    uint32_t magic, type, kind, number;
};

#define PACKET_MAX (sizeof(struct packet_head) + BYTES_MAX)

static void hang_up(struct relay *relay)
{
    struct handover *h = &relay->handover;

    if (h->on_readable != NULL)
        event_free(h->on_readable);
    if (h->on_writable != NULL)
        event_free(h->on_writable);
    h->on_readable = h->on_writable = NULL;
    if (h->socket >= 0)
        close(h->socket);
    h->socket = -1;
    free(h->packet);
    h->packet = NULL;
}

static bool put(struct relay *relay, struct packet_head head, const void *bytes, size_t length, int fd)
{
    struct handover *h = &relay->handover;

    head.magic = HANDOVER_MAGIC;
    memcpy(h->packet, &head, sizeof(head));
    if (length > 0)
        memcpy(h->packet + sizeof(head), bytes, length);
    return packet_send(h->socket, h->packet, sizeof(head) + length, fd) == 0;
}

/* ---- the old one ---- */

static void give_listeners(struct relay *relay)
{
    const struct {
        enum listener_kind kind;
        int fd;
    } all[] = {{LISTENER_FRONT, relay->front.fd},
               {LISTENER_THRIFT, relay->thrift.fd},
               {LISTENER_ADMIN, show_listener(relay)}};
    bool fine = true;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].fd >= 0)
            fine = fine && put(relay, (struct packet_head){.type = PACKET_LISTENER, .kind = all[i].kind},
                               NULL, 0, all[i].fd);
    fine = fine && put(relay, (struct packet_head){.type = PACKET_LISTENERS}, NULL, 0, -1);
    if (!fine) {
        log_error("the listening sockets could not be handed over: %s", strerror(errno));
        hang_up(relay);
    }
}

/* Nothing of a request has gone to a Livy, nothing of an answer waits for the client. */
static bool may_go(const struct conn *conn)
{
    if (conn->kind == CONN_REJECTED || conn->client.hup || conn->client.shut || conn->client.broken ||
        conn->client.out.length > 0 || conn->in.length > BYTES_MAX)
        return false;
    return conn->state == CONN_IDLE || conn->state == CONN_HEAD || conn->state == CONN_HELD ||
           conn->state == CONN_CONNECT;
}

bool handover_wants(const struct conn *conn)
{
    const struct handover *h = &conn->relay->handover;

    return h->retiring && h->socket >= 0 && may_go(conn);
}

/* False: not now, the other side has to read first. */
static bool give(struct relay *relay, struct conn *conn)
{
    struct packet_head head = {.type = PACKET_CONN, .kind = conn->kind, .number = (uint32_t)conn->in.length};

    if (!put(relay, head, conn->in.data, conn->in.length, conn->client.fd))
        return false;
    conn_end(conn, false); /* of it only what is ours: the connection lives on in the other one */
    return true;
}

static void give_connections(struct relay *relay)
{
    struct handover *h = &relay->handover;
    struct conn *conn;
    bool fine = true;

    if (h->socket < 0)
        return;
    TAILQ_FOREACH(conn, &relay->all, all)
    {
        if (!may_go(conn))
            continue;
        fine = give(relay, conn);
        if (!fine)
            break;
    }
    if (!fine && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ETOOMANYREFS || errno == ENOBUFS))
        event_add(h->on_writable, NULL);
    else if (!fine)
        hang_up(relay); /* the new one is gone: what is here is served as before, until it has ended */
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    relay_soon(arg);
}

static void on_least(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;

    (void)fd;
    (void)what;
    relay->handover.least = true;
    relay_soon(relay);
}

static void on_longest(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;

    (void)fd;
    (void)what;
    log_warn("%" PRIu64 " connections are cut: they still run a minute after this relay was replaced",
             relay->stats.open);
    event_base_loopbreak(relay->base);
}

void handover_counts(struct relay *relay)
{
    struct handover *h = &relay->handover;
    uint32_t running = (uint32_t)relay->stats.running;

    if (!h->retiring || h->socket < 0 || running == h->told_running)
        return;
    if (put(relay, (struct packet_head){.type = PACKET_RUNNING, .number = running}, NULL, 0, -1))
        h->told_running = running;
}

void handover_retire(struct relay *relay)
{
    struct handover *h = &relay->handover;
    struct conn *conn;

    if (h->retiring)
        return;
    h->retiring = true;
    log_info("replaced: %" PRIu64
             " connections go to the new relay, those on which a request runs when it is over",
             relay->stats.open);
    listener_close(&relay->front);
    listener_close(&relay->thrift);
    show_refuse(relay);
    h->on_least = evtimer_new(relay->base, on_least, relay);
    h->on_longest = evtimer_new(relay->base, on_longest, relay);
    if (h->on_longest == NULL || h->on_least == NULL ||
        event_add(h->on_least, &(struct timeval){.tv_usec = HANDOVER_LEAST * 1000L}) != 0 ||
        event_add(h->on_longest, &(struct timeval){.tv_sec = HANDOVER_LONGEST / 1000}) != 0) {
        log_error("no memory for a timer");
        h->least = true; /* it ends with its last connection */
    }
    h->told_running = UINT32_MAX;
    handover_counts(relay);
    TAILQ_FOREACH(conn, &relay->all, all)
    {
        if (conn->state == CONN_OPAQUE)
            opaque_pause(conn);
    }
    relay_soon(relay);
}

void handover_turn(struct relay *relay)
{
    if (!relay->handover.retiring)
        return;
    give_connections(relay);
    handover_counts(relay);
    if (relay->stats.open > 0 || !relay->handover.least)
        return;
    log_info("the last connection has ended: so does this relay");
    event_base_loopbreak(relay->base);
}

/* ---- the new one ---- */

static void take_listener(struct relay *relay, uint32_t kind, int fd)
{
    char why[512];
    int rc = 0;

    if (kind == LISTENER_ADMIN && relay->handover.admin < 0)
        relay->handover.admin = fd;
    else if (kind == LISTENER_FRONT)
        rc = listener_adopt(&relay->front, fd, why, sizeof(why));
    else if (kind == LISTENER_THRIFT)
        rc = listener_adopt(&relay->thrift, fd, why, sizeof(why));
    else
        close(fd);
    if (rc != 0)
        log_error("%s", why); /* it is opened anew, which fails and is told */
}

static void take_connection(struct relay *relay, uint32_t kind, const char *bytes, size_t length, int fd)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof(from);

    if (kind > CONN_THRIFT || getpeername(fd, (struct sockaddr *)&from, &size) != 0) {
        close(fd);
        return;
    }
    struct conn *conn = conn_new(relay, fd, (enum conn_kind)kind);
    if (conn == NULL)
        return;
    if (!buf_append(&conn->in, bytes, length) ||
        !quota_take(&relay->quota, &conn->slot, (struct sockaddr *)&from, clock_boot_ms())) {
        conn_end(conn, true);
        return;
    }
    conn->large = length > 2 * CONN_HEAD_STEP;
    relay->large += conn->large ? 1 : 0;
    conn_begin(conn);
    conn_turn(conn);
}

/* What is not listened on yet was not open in the old one: it is now, as at any start. */
static void take_all_listeners(struct relay *relay)
{
    relay->handover.waits = false;
    relay->failed = !relay_open_ports(relay);
    if (relay->failed)
        event_base_loopbreak(relay->base);
}

static bool take(struct relay *relay, const struct packet_head *head, const char *bytes, size_t length,
                 int fd)
{
    struct handover *h = &relay->handover;
    struct front_view view;

    switch ((enum packet_type)head->type) {
    case PACKET_LISTENER:
        if (fd < 0 || h->role != HANDOVER_TAKES)
            return false;
        take_listener(relay, head->kind, fd);
        return true;
    case PACKET_LISTENERS:
        if (h->role != HANDOVER_TAKES)
            return false;
        take_all_listeners(relay);
        return true;
    case PACKET_CONN:
        if (fd < 0 || h->role != HANDOVER_TAKES || length != head->number)
            return false;
        take_connection(relay, head->kind, bytes, length, fd);
        return true;
    case PACKET_RUNNING:
        h->counted = true;
        relay->stats.running_before = head->number;
        channels_counts(relay);
        return true;
    case PACKET_VIEW:
        if (h->role != HANDOVER_GIVES || length != sizeof(view))
            return false;
        memcpy(&view, bytes, sizeof(view));
        relay_view(relay, &view, NULL);
        return true;
    }
    return false;
}

static void on_readable(evutil_socket_t socket, short what, void *arg)
{
    struct relay *relay = arg;
    struct handover *h = &relay->handover;
    struct packet_head head;
    size_t length;
    int fd, rc = 0;

    (void)what;
    while (h->socket == socket && (rc = packet_recv_some(socket, h->packet, PACKET_MAX, &length, &fd)) == 1) {
        bool good = length >= sizeof(head);
        if (good)
            memcpy(&head, h->packet, sizeof(head));
        good = good && head.magic == HANDOVER_MAGIC &&
               take(relay, &head, h->packet + sizeof(head), length - sizeof(head), fd);
        if (good && head.type != PACKET_LISTENER && head.type != PACKET_CONN && fd >= 0)
            close(fd);
        if (good)
            continue;
        rc = packet_refuse(&fd);
        break;
    }
    if (rc == 0 || h->socket != socket)
        return;
    if (errno != EPIPE && errno != ECONNRESET)
        log_error("a message of the other relay is not one: %s", strerror(errno));
    hang_up(relay);
    relay->stats.running_before = 0;
    channels_counts(relay);
}

void handover_view(struct relay *relay, const struct front_view *view)
{
    /* An elector that has just begun may know of nobody yet; where there really is nobody, the view that the
     * old one has runs out by itself. */
    if (view->route == FRONT_NOBODY)
        return;
    if (relay->handover.role == HANDOVER_TAKES && relay->handover.socket >= 0 &&
        !put(relay, (struct packet_head){.type = PACKET_VIEW}, view, sizeof(*view), -1))
        log_debug("the relay before this one does not take a view: %s", strerror(errno)); /* the next one */
}

bool handover_counted(const struct handover *handover)
{
    return handover->role != HANDOVER_TAKES || handover->socket < 0 || handover->counted;
}

void handover_begin(struct relay *relay)
{
    struct handover *h = &relay->handover;

    if (h->begun)
        return;
    h->begun = true;
    if (h->role != HANDOVER_TAKES)
        return;
    listener_begin(&relay->front);
    listener_begin(&relay->thrift);
}

/* ---- both ---- */

void handover_init(struct handover *handover, bool waits)
{
    *handover = (struct handover){.role = waits ? HANDOVER_TAKES : HANDOVER_NONE,
                                  .waits = waits,
                                  .begun = !waits,
                                  .socket = -1,
                                  .admin = -1};
}

void handover_channel(struct relay *relay, int fd)
{
    struct handover *h = &relay->handover;
    const int size = SNDBUF;

    hang_up(relay); /* of a relay that came to nothing */
    if (!h->waits)
        h->role = HANDOVER_GIVES;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    h->socket = fd;
    h->packet = malloc(PACKET_MAX);
    h->on_readable = event_new(relay->base, fd, EV_READ | EV_PERSIST, on_readable, relay);
    h->on_writable = event_new(relay->base, fd, EV_WRITE, on_writable, relay);
    if (h->packet == NULL || h->on_readable == NULL || h->on_writable == NULL ||
        event_priority_set(h->on_readable, 0) != 0 || event_add(h->on_readable, NULL) != 0) {
        log_error("no memory to talk to the other relay");
        hang_up(relay);
        return;
    }
    if (h->role == HANDOVER_GIVES)
        give_listeners(relay);
}

void handover_close(struct relay *relay)
{
    hang_up(relay);
    if (relay->handover.on_least != NULL)
        event_free(relay->handover.on_least);
    if (relay->handover.on_longest != NULL)
        event_free(relay->handover.on_longest);
    if (relay->handover.admin >= 0)
        close(relay->handover.admin);
}
