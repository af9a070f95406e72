/* sock.c - see sock.h. */
#include "sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

bool sock_open(struct sock *sock, struct event_base *base, int fd, bool connected, event_callback_fn wake,
               void *arg)
{
    *sock = (struct sock){.fd = fd, .writable = connected};
    if (event_assign(&sock->event, base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, wake,
                     arg) == 0 &&
        event_add(&sock->event, NULL) == 0)
        return true;
    sock->fd = -1;
    return false;
}

void sock_close(struct sock *sock, bool reset)
{
    if (sock->fd < 0)
        return;
    if (reset) {
        struct linger linger = {.l_onoff = 1};
        (void)setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    event_del(&sock->event);
    close(sock->fd);
    buf_clear(&sock->out);
    *sock = (struct sock){.fd = -1};
}

void sock_note(struct sock *sock, short what)
{
    if ((what & (EV_READ | EV_CLOSED)) != 0)
        sock->readable = true;
    if ((what & EV_WRITE) != 0)
        sock->writable = true;
    if ((what & EV_CLOSED) != 0)
        sock->hup = true;
}

ssize_t sock_read(struct sock *sock, char *bytes, size_t size)
{
    ssize_t n;

    if (!sock->readable)
        return 0;
    do {
        n = recv(sock->fd, bytes, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        /* Less than asked for: there is no more, and news comes with an event; but a shut side was news
         * already. */
        if ((size_t)n < size && !sock->hup)
            sock->readable = false;
        return n;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        sock->readable = false;
        return 0;
    }
    sock->readable = false;
    sock->eof = sock->hup = true;
    if (n == 0)
        errno = 0;
    return -1;
}

size_t sock_send(struct sock *sock, const char *bytes, size_t n)
{
    size_t sent = 0;

    while (sent < n && sock->writable && !sock->broken) {
        ssize_t rc = send(sock->fd, bytes + sent, n - sent, MSG_NOSIGNAL);
        if (rc >= 0)
            sent += (size_t)rc;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            sock->writable = false;
        else if (errno != EINTR)
            sock->broken = true;
    }
    return sent;
}

bool sock_write(struct sock *sock, const char *bytes, size_t n)
{
    size_t sent = sock->out.length == 0 ? sock_send(sock, bytes, n) : 0;

    if (sock->broken)
        return false;
    if (buf_append(&sock->out, bytes + sent, n - sent))
        return true;
    sock->broken = true;
    return false;
}

bool sock_flush(struct sock *sock)
{
    if (sock->out.length > 0)
        buf_consume(&sock->out, sock_send(sock, sock->out.data, sock->out.length));
    return sock->out.length == 0;
}

void sock_shut(struct sock *sock)
{
    if (!sock->shut && sock->fd >= 0)
        (void)shutdown(sock->fd, SHUT_WR);
    sock->shut = true;
}

bool sock_gone(const struct sock *sock)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);

    return getsockopt(sock->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}
