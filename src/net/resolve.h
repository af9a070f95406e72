/* resolve.h - one host name to addresses, by getaddrinfo in a thread of its own, so that the loop goes on.
 *
 * Takes as long as the resolver does (30 s with the usual settings): whoever waits sets a timer. At most
 * RESOLVE_THREADS look-ups run at a time in a process, forgotten ones included; more are refused with EAGAIN.
 */
#ifndef LIVY_HA_NET_RESOLVE_H
#define LIVY_HA_NET_RESOLVE_H

#include <stddef.h>
#include <sys/socket.h>

#define RESOLVE_THREADS 16
#define RESOLVE_ADDRESSES 32 /* at most; each once, in the order in which they are to be tried */

struct event_base;
struct resolve;

/* Called once, on the loop's thread, never from within resolve_start. n 0: `error` says why, as "cannot
 * resolve HOST (…)"; errno is ENOMEM, EMFILE or ENFILE where this process lacked what it takes, else 0. The
 * port is in the addresses. Addresses and text are valid during the call. The struct resolve is gone by then.
 */
typedef void resolve_done(void *arg, const struct sockaddr_storage *addresses, size_t n, const char *error);

/* NULL with errno where it could not be begun: EINVAL, EAGAIN (see above), ENOMEM, EMFILE, ENFILE. An IP
 * literal (v6 without brackets) goes the same way, but takes no thread. */
struct resolve *resolve_start(struct event_base *base, const char *host, int port, resolve_done *done,
                              void *arg);
/* Forgets it: `done` is not called any more. NULL is allowed. */
void resolve_cancel(struct resolve *resolve);

#endif
