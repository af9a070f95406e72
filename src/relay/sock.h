/* sock.h - one TCP socket on the event loop, edge-triggered: it is registered once, and what it could do is
 * remembered, so that a side that is not read for now costs neither a wake-up nor a system call. Knows
 * nothing of HTTP, and of connections only that there are two sides to one.
 */
#ifndef LIVY_HA_RELAY_SOCK_H
#define LIVY_HA_RELAY_SOCK_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <sys/types.h>

#include "buf.h"

struct sock {
    int fd; /* -1: none */
    struct event event;
    bool readable, writable;
    bool hup;       /* the peer has shut its side, or more; bytes from before may still be to be read */
    bool eof;       /* read to its end */
    bool shut;      /* we have shut our side */
    bool broken;    /* writing failed: nothing more goes out, but what came may still be read */
    struct buf out; /* bytes that it did not take yet */
};

/* Takes over `fd`. False for want of memory: it stays the caller's. `connected`: writable from the start. */
bool sock_open(struct sock *sock, struct event_base *base, int fd, bool connected, event_callback_fn wake,
               void *arg);
/* `reset`: what the kernel still holds of our bytes is thrown away, and the peer sees a reset. */
void sock_close(struct sock *sock, bool reset);
/* To be called first in `wake`, with what it was told. */
void sock_note(struct sock *sock, short what);

/* Up to `size` bytes: their number; 0: none now; -1: the end, or an error (errno; 0 for the end). */
ssize_t sock_read(struct sock *sock, char *bytes, size_t size);
/* Sends, and keeps what the socket does not take. False: broken, or no memory. */
bool sock_write(struct sock *sock, const char *bytes, size_t n);
/* Sends from `bytes` what the socket takes at once: how much; 0 too where it is broken. */
size_t sock_send(struct sock *sock, const char *bytes, size_t n);
bool sock_flush(struct sock *sock); /* true where nothing waits any more */
void sock_shut(struct sock *sock);  /* our side; once nothing waits */
/* Whether the connection as a whole is gone (a reset came): for sides that are not read for now. */
bool sock_gone(const struct sock *sock);

#endif
