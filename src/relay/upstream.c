/* upstream.c - the connection to a Livy: made for one client's connection and used by no other, because some
 * ways to log in hold for a connection.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "livy-ha/clock.h"
#include "relay.h"

void upstream_close(struct conn *conn, bool reset)
{
    sock_close(&conn->upstream, reset);
}

static void set_options(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* A socket on its way to the address; -1 with errno. */
static int begin(struct relay *relay, const struct sockaddr_storage *address, socklen_t length)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && relay_make_room(relay))
        fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    set_options(fd);
    if (connect(fd, (const struct sockaddr *)address, length) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Tries the addresses from conn->address on; with none left the request waits and is tried again. */
static void try_next(struct conn *conn, int error)
{
    struct relay *relay = conn->relay;
    struct sockaddr_storage address;
    socklen_t length;
    char why[256];
    int port = conn->kind == CONN_THRIFT ? relay->conf->front.thrift_port : relay->target.port;

    for (; target_address(&relay->target, conn->address, port, &address, &length); conn->address++) {
        int fd = begin(relay, &address, length);
        if (fd < 0) {
            error = errno;
            continue;
        }
        if (sock_open(&conn->upstream, relay->base, fd, false, conn_on_upstream, conn)) {
            conn_timer(conn, CONN_CONNECT_MS);
            return;
        }
        close(fd);
        error = ENOMEM;
    }
    snprintf(why, sizeof(why), "%s", error != 0 ? strerror(error) : "its address is not known");
    hold_failed(conn, why);
}

void upstream_connect(struct conn *conn)
{
    upstream_close(conn, false);
    conn->address = 0;
    conn_set(conn, CONN_CONNECT);
    try_next(conn, 0);
}

static void failed(struct conn *conn, int error)
{
    sock_close(&conn->upstream, true);
    conn->address++;
    try_next(conn, error);
}

/* Connected to itself: the port that the kernel chose for our end is the one that nobody listens on. */
static bool own_echo(int fd)
{
    struct sockaddr_storage ours, theirs;
    socklen_t n = sizeof(ours), m = sizeof(theirs);

    memset(&ours, 0, sizeof(ours));
    memset(&theirs, 0, sizeof(theirs));
    return getsockname(fd, (struct sockaddr *)&ours, &n) == 0 &&
           getpeername(fd, (struct sockaddr *)&theirs, &m) == 0 && n == m &&
           (ours.ss_family == AF_INET || ours.ss_family == AF_INET6) && memcmp(&ours, &theirs, n) == 0;
}

bool upstream_step(struct conn *conn)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (!conn->upstream.writable && !conn->upstream.readable)
        return false;
    if (getsockopt(conn->upstream.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error == 0 && own_echo(conn->upstream.fd))
        error = ECONNREFUSED;
    if (error != 0) {
        failed(conn, error);
        return conn->state == CONN_CONNECT && conn->upstream.writable;
    }
    if (conn_opaque_kind(conn))
        opaque_begin(conn);
    else
        exchange_begin(conn);
    hold_reached(conn);
    return true;
}

void upstream_timeout(struct conn *conn)
{
    /* Its other addresses are for those who have time left. */
    if (clock_boot_ms() - conn->came >= conn->relay->conf->front.hold)
        conn->address = RESOLVE_ADDRESSES;
    failed(conn, ETIMEDOUT);
    conn_step(conn);
}

bool upstream_usable(struct conn *conn)
{
    char byte;

    if (conn->upstream.fd < 0)
        return false;
    /* The event that tells of its end may be next in the queue: ask. */
    ssize_t n = recv(conn->upstream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    upstream_close(conn, false);
    return false;
}
