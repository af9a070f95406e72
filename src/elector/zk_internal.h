/* zk_internal.h - what the files of zk.h share among themselves; nobody else includes it. */
#ifndef LIVY_HA_ELECTOR_ZK_INTERNAL_H
#define LIVY_HA_ELECTOR_ZK_INTERNAL_H

#include "zk.h"

#include <pthread.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define ZK_OUTSTANDING_MAX 16384  /* see request_new() */
#define ZK_DATA_MAX (1024 * 1024) /* bytes of one reply's data */
#define ZK_CHILDREN_MAX 10000     /* names of one reply */
#define ZK_WATCH_BUCKETS 256
#define ZK_MULTI_MAX 4 /* operations of one transaction */

struct event;

enum zk_item_kind { ZK_ITEM_REPLY, ZK_ITEM_WATCH, ZK_ITEM_SESSION };

/* One delivery for the loop. A request is its own delivery: made when it is sent, it moves from
 * zk->outstanding to zk->ready when the library calls back. */
struct zk_item {
    TAILQ_ENTRY(zk_item) link;
    struct zk *zk;
    enum zk_item_kind kind;
    int64_t at;

    /* ZK_ITEM_REPLY */
    zk_done *done;
    void *arg;
    struct zk_watch *watch;                /* the watch that comes with it, or NULL */
    zoo_op_result_t results[ZK_MULTI_MAX]; /* written by the library until a multi's completion */
    int rc;
    char *value; /* malloc'ed */
    int value_length;
    bool has_stat;
    struct Stat stat;
    const char **children; /* one malloc'ed block, with the names behind the pointers */
    int n_children;

    /* ZK_ITEM_WATCH */
    int watch_type;
    uint32_t watch_kind;
    uint64_t watch_tag;

    /* ZK_ITEM_SESSION */
    enum zk_state state;
    struct zk_session session;
};
TAILQ_HEAD(zk_items, zk_item);

/* The context of a watch in the library; see zk_watch.c for its life. */
struct zk_watch {
    LIST_ENTRY(zk_watch) link;
    struct zk *zk;
    char *path;
    bool children; /* a child watch, else a data watch */
    uint32_t kind;
    uint64_t tag;
    unsigned pending; /* requests under way that carry it */
    bool armed;       /* in the library's tables */
};
LIST_HEAD(zk_watches, zk_watch);

struct zk_address {
    struct sockaddr_storage address;
    socklen_t length;
};

struct zk {
    /* The loop's thread alone, or constant once the library's threads run. */
    zhandle_t *zh;
    zk_on_session *on_session;
    zk_on_watch *on_watch;
    void *arg;
    char *chroot; /* "" or "/path" */
    bool auth;    /* nodes get an ACL for our identity */
    struct zk_address *addresses;
    int n_addresses;
    struct event *wakeup;
    int wakeup_fd;
    int depth; /* > 0 while zk_queue.c delivers */
    bool closed;

    pthread_mutex_t lock; /* all below; never held while the library or a call-back of the owner runs */
    struct zk_items ready, outstanding;
    int n_outstanding;
    struct zk_watches watches[ZK_WATCH_BUCKETS];
    bool known; /* state below is the last one put into the queue */
    enum zk_state state;
};

/* zk_queue.c: the queue. zk_queue_put locks, stamps the time and takes the item; any thread. */
bool zk_queue_open(struct zk *zk, struct event_base *base);
void zk_queue_close(struct zk *zk); /* frees every item, delivered or not */
void zk_queue_put(struct zk *zk, struct zk_item *item);
void zk_queue_put_locked(struct zk *zk, struct zk_item *item);      /* `at` is set by the caller */
struct zk_item *zk_item_new(struct zk *zk, enum zk_item_kind kind); /* ends the process without memory */
void zk_item_free(struct zk_item *item);
void zk_free(struct zk *zk); /* zk.c: the memory itself, when nothing delivers any more */

/* zk_watch.c */
struct zk_watch *zk_watch_get_locked(struct zk *zk, const char *path, bool children, uint32_t kind,
                                     uint64_t tag);
void zk_watch_answered_locked(struct zk_watch *watch, bool armed);
void zk_watch_fired(zhandle_t *zh, int type, int state, const char *path, void *context); /* a watcher_fn */
void zk_watch_free_all(struct zk *zk);

/* zk_socket.c */
int zk_socket_parse(struct zk *zk, const char *hosts); /* 0, or -1 with errno */
int zk_socket_shutdown(struct zk *zk);                 /* how many connections were shut down */
void zk_socket_cloexec(struct zk *zk);

/* zk_log.c. `hook` is called with `arg` before each line that the library writes on this thread, until it is
 * set to NULL. */
void zk_log_line(const char *message); /* a log_callback_fn */
void zk_log_hook(void (*hook)(void *arg), void *arg);

#endif
