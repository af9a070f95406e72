/* zk_resolve.h - names of ZooKeeper servers to what libzookeeper can be given safely.
 *
 * The library is passed IP literals only, an odd number of them: with an even number the cursor moves by two
 * on a reconnect and a dead server may be tried for ever (ZOOKEEPER-2466); names inside it stop the pings
 * while DNS fails (PR 1680). Resolving runs in a thread of its own (getaddrinfo blocks); the loop goes on.
 */
#ifndef LIVY_HA_ELECTOR_ZK_RESOLVE_H
#define LIVY_HA_ELECTOR_ZK_RESOLVE_H

struct event_base;
struct zk_resolve;

/* `literals`: "10.0.0.1:2181,10.0.0.2:2181,10.0.0.1:2181/chroot", or NULL with `error` a sentence that names
 * the host; both are valid during the call. IPv6 comes as "::1:2181", which is how the library wants it. All
 * addresses of a name are taken, each once. Called once, on the loop's thread, never from within
 * zk_resolve_start; servers that do not resolve are left out where at least one does (`error` then names them
 * beside non-NULL literals). Where `literals` is NULL, errno tells whether it was this process that lacked
 * what it takes: ENOMEM, EMFILE, ENFILE; it is 0 where the names are to blame, or their server. The struct
 * zk_resolve is gone by then: it is not to be cancelled any more. */
typedef void zk_resolved(void *arg, const char *literals, const char *error);

/* `hosts` as in zookeeper.hosts, the default port 2181, [v6]:port accepted. NULL with errno on failure;
 * EINVAL for what cannot be read as that, or more than 64 hosts. The order of the servers is shuffled once so
 * that clients spread. Takes as long as the resolver does (30 s with the usual settings): whoever waits sets
 * a timer. */
struct zk_resolve *zk_resolve_start(struct event_base *base, const char *hosts, zk_resolved *done, void *arg);

/* Forgets it: `done` is not called any more. Does not wait for the threads. NULL is allowed. */
void zk_resolve_cancel(struct zk_resolve *resolve);

#endif
