/* zk.h - libzookeeper_mt behind the event loop: every completion and watch is delivered on the loop's
 * thread, once, in the order in which the library gave it.
 *
 * The library calls back in threads of its own. Each call-back copies its arguments into a queue under a
 * lock and wakes the loop by an eventfd; nothing else crosses. Each handle has a queue of its own that ends
 * with it, so nothing of an older one is ever delivered. Async calls only; names are resolved outside the
 * library (ZOOKEEPER-2466, PR 1680): see zk_resolve.h. All functions are for the loop's thread and do not
 * block, but zk_close; all may be called from within the call-backs, zk_close too. The process ignores
 * SIGPIPE.
 *
 * Times are CLOCK_BOOTTIME ms. The library has no time-outs of its own for requests: an answer may come as
 * late as the end of the session, or never (ZOOKEEPER-2802), so whoever waits sets a timer.
 */
#ifndef LIVY_HA_ELECTOR_ZK_H
#define LIVY_HA_ELECTOR_ZK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADED 1
#include <zookeeper/zookeeper.h>

struct event_base;
struct zk;

enum zk_state {
    ZK_CONNECTED,   /* session established or re-established; see struct zk_session */
    ZK_SUSPENDED,   /* the connection is gone; the session may live */
    ZK_LOST,        /* the session is gone: expired. The last of a handle */
    ZK_AUTH_FAILED, /* the server refused our credentials: a configuration error. The last too */
};

struct zk_session {
    int64_t id;
    char password[16];
    int64_t timeout; /* ms, as granted */
};

struct zk_options {
    /* What zk_resolve_start() gives: an odd number of IP literals with ports, comma separated, and the
     * chroot: "10.0.0.1:2181,::1:2181,10.0.0.3:2181/app" (IPv6 without brackets: the library refuses them).
     */
    const char *hosts;
    int64_t session_timeout;        /* ms to ask for */
    const char *auth_digest;        /* "user:password" or NULL */
    const char *tls;                /* "ca,cert,key,password" for zookeeper_init_ssl, or NULL */
    const struct zk_session *adopt; /* a session to re-attach, or NULL for a new one */
};

/* Session events, each change once: CONNECTED and SUSPENDED by turns, no SUSPENDED before the first
 * CONNECTED. `session` is set with ZK_CONNECTED and valid during the call. `at` is when the library called
 * back. What was under way when a connection broke is answered after its SUSPENDED. After ZK_LOST and
 * ZK_AUTH_FAILED close the handle soon: until then the library's thread wakes up a thousand times a second.
 * Adopt a session only where its last owner is dead: two living handles with one session throw each other out
 * by turns, for ever. */
typedef void zk_on_session(void *arg, enum zk_state state, const struct zk_session *session, int64_t at);

/* The answer to one request. Pointers are valid during the call only. */
struct zk_reply {
    int rc;            /* ZOK or a ZOO_ERRORS code; ZSYSTEMERROR also for more than 1 MiB or 10000 children */
    const char *value; /* create: the path made; get: the data, NUL added */
    int value_length;  /* get: -1 where the node has none */
    const struct Stat *stat;     /* exists, get, set: the node's; else NULL */
    const char *const *children; /* children */
    int n_children;
    int64_t at; /* CLOCK_BOOTTIME ms when the library called back */
};
typedef void zk_done(void *arg, const struct zk_reply *reply);

/* A watch that fired: `type` is ZOO_CREATED_EVENT, …; session events are not passed on. One-shot. Whoever
 * sets a watch names it by two numbers instead of by memory that may be gone when it fires. The answer to the
 * request that set it comes first. The same watch (path, data or child, kind, tag) set again while it is
 * there fires once and costs nothing; under another tag it is another watch, which costs a few hundred bytes
 * until it fires or the handle is closed. After a reconnect within the session the library sets watches again
 * itself. */
typedef void zk_on_watch(void *arg, int type, uint32_t kind, uint64_t tag);

/* Opens a handle and starts connecting. NULL with errno where the library refuses; EINVAL for names in
 * `hosts` or an even number of servers. Signals are blocked in the library's threads. Strings are copied.
 * `on_watch` may be NULL where no watch is set. */
struct zk *zk_open(struct event_base *base, const struct zk_options *options, zk_on_session *on_session,
                   zk_on_watch *on_watch, void *arg);

/* Ends the handle; no call-back of it comes after, and all is freed (from within a call-back: when the
 * delivery that called it returns). Closes the session on the server too where it is connected (may block
 * for 4.5 s behind a hung server, hence last of all; whether it worked is not known), or with `keep_session`
 * leaves it to expire or to be adopted. What is still outstanding is dropped without its zk_done being
 * called.
 *
 * The library has no call that keeps the session of a connected handle. With `keep_session` the connection is
 * shut down in the log line that zookeeper_close() writes between joining its threads and sending
 * closeSession, when nobody can reconnect any more. No race with Debian's 3.8.0; it needs that line (INFO
 * level, the default) and /proc. A process that ends anyway need not close: to vanish keeps the session just
 * as well. */
void zk_close(struct zk *zk, bool keep_session);

/* Shuts the TCP connection down so that the library goes to the next server with the same session: for a
 * connection on which nothing is answered any more. Found among the own descriptors by getpeername, so every
 * handle of this process to the same servers is kicked. Returns false where there is no connection. */
bool zk_kick(struct zk *zk);

/* Requests. Return ZOK, or the library's code where it was not sent (done is then not called). `done` may
 * be NULL. Paths are absolute within the chroot, of less than 4096 bytes. `watch_kind` 0: no watch. At most
 * 16384 requests without an answer, else ZSYSTEMERROR; ZINVALIDSTATE once the session is lost.
 *
 * zk_create and zk_set: NULL with length 0 is data of no bytes, with -1 no data. With auth_digest a created
 * node is ours alone to change, and readable by all (clients that look up server.uri have no credentials). */
/* Put before a path, it makes that a path as the server knows it, without our chroot. */
#define ZK_OUTSIDE_CHROOT "/"

int zk_create(struct zk *zk, const char *path, const char *data, int length, int mode, zk_done *done,
              void *arg);
int zk_delete(struct zk *zk, const char *path, int version, zk_done *done, void *arg);
int zk_exists(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg);
int zk_get(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg);
int zk_set(struct zk *zk, const char *path, const char *data, int length, int version, zk_done *done,
           void *arg);
int zk_children(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg);
int zk_sync(struct zk *zk, const char *path, zk_done *done, void *arg);

/* The heartbeat: a transaction of one check of `path` (any version). Goes through the quorum, needs a live
 * session at the leader, changes nothing and fires no watch. */
int zk_check(struct zk *zk, const char *path, zk_done *done, void *arg);

/* Gives the latch node `path` up in order: deletes it, writes `data` to `marker` (NULL: does not) and deletes
 * `tenure` and `uri` (NULL: does not) in one transaction, so that whoever comes next can tell. ZNONODE where
 * one of them is not there (nothing is done then). */
int zk_release(struct zk *zk, const char *path, const char *marker, const char *data, const char *tenure,
               const char *uri, zk_done *done, void *arg);

/* Where the latch node `path` is there, makes `tenure` with `data`, or with `there` writes it anew. ZNONODE,
 * ZNODEEXISTS: nothing is done. */
int zk_tenure(struct zk *zk, const char *path, const char *tenure, const char *data, bool there,
              zk_done *done, void *arg);
/* Where the latch node `path` is there, deletes `tenure`. ZNONODE: one of them is not there. */
int zk_clear(struct zk *zk, const char *path, const char *tenure, zk_done *done, void *arg);

/* Where the latch node `path` is there, makes `uri`, ephemeral, with `data`; where `replace` is not -1 the
 * one that is there, of that version, is deleted first. ZNONODE, ZNODEEXISTS, ZBADVERSION: nothing is done.
 */
int zk_uri(struct zk *zk, const char *path, const char *uri, const char *data, int replace, zk_done *done,
           void *arg);

/* Whether the client library at hand was built with TLS; without it zk_open refuses options->tls (ENOTSUP).
 */
bool zk_has_tls(void);

#endif
