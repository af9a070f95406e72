/* zk_watch.c - the contexts of node watches, and when one may be freed.
 *
 * What the library's source (zookeeper.c, zk_hashtable.c) says:
 * - A watch enters the tables in the IO thread when its request is answered (exists: ZOK or ZNONODE; get
 *   and children: ZOK), just before the completion is put into the completion thread's queue. A request that
 *   failed leaves nothing behind.
 * - An event of a node takes its watches out of the tables in the IO thread, and is put into the same queue.
 *   The queue is first in, first out, with one thread behind it: our functions see "answered" and "fired" in
 * the order in which the tables changed.
 * - The same function with the same context on the same path is one entry.
 * - A session event is handed to a copy of every entry; the copies were queued before the node's event was,
 *   so none comes after it. Nothing of the context is looked at there.
 * - zookeeper_close() joins both threads first.
 * So a context is the library's while it is armed or a request that carries it is under way, and may be
 * freed in the call-back that ends both. One that never fires stays until the handle is closed: the library
 * has no removal that would not be a race. To keep that bounded, equal watches (path, kind of watch, kind,
 * tag) share one context, so that setting a watch again that is still there costs nothing and fires once.
 */
#include "zk_internal.h"

#include <stdlib.h>
#include <string.h>

static struct zk_watches *watch_bucket(struct zk *zk, const char *path)
{
    uint32_t hash = 2166136261u;

    for (; *path != '\0'; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    return &zk->watches[hash % ZK_WATCH_BUCKETS];
}

static void watch_free(struct zk_watch *watch)
{
    LIST_REMOVE(watch, link);
    free(watch->path);
    free(watch);
}

/* Finds or makes the context and counts the request that will carry it. NULL without memory. */
struct zk_watch *zk_watch_get_locked(struct zk *zk, const char *path, bool children, uint32_t kind,
                                     uint64_t tag)
{
    struct zk_watches *bucket = watch_bucket(zk, path);
    struct zk_watch *watch;

    LIST_FOREACH(watch, bucket, link)
    if (watch->tag == tag && watch->kind == kind && watch->children == children &&
        strcmp(watch->path, path) == 0) {
        watch->pending++;
        return watch;
    }
    watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->path = strdup(path);
    if (watch->path == NULL) {
        free(watch);
        return NULL;
    }
    watch->zk = zk;
    watch->children = children;
    watch->kind = kind;
    watch->tag = tag;
    watch->pending = 1;
    LIST_INSERT_HEAD(bucket, watch, link);
    return watch;
}

/* The request that carried it was answered; `armed`: the library has put it into its tables. */
void zk_watch_answered_locked(struct zk_watch *watch, bool armed)
{
    watch->pending--;
    watch->armed = watch->armed || armed;
    if (watch->pending == 0 && !watch->armed)
        watch_free(watch);
}

void zk_watch_fired(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    struct zk_watch *watch = context;
    struct zk_item *item;
    struct zk *zk;

    (void)zh;
    (void)state;
    (void)path;
    if (type == ZOO_SESSION_EVENT)
        return;
    zk = watch->zk;
    item = zk_item_new(zk, ZK_ITEM_WATCH);
    item->watch_type = type;
    item->watch_kind = watch->kind;
    item->watch_tag = watch->tag;
    zk_queue_put(zk, item);

    pthread_mutex_lock(&zk->lock);
    watch->armed = false;
    if (watch->pending == 0)
        watch_free(watch);
    pthread_mutex_unlock(&zk->lock);
}

void zk_watch_free_all(struct zk *zk)
{
    for (int i = 0; i < ZK_WATCH_BUCKETS; i++) {
        struct zk_watch *watch = LIST_FIRST(&zk->watches[i]), *next;

        for (; watch != NULL; watch = next) {
            next = LIST_NEXT(watch, link);
            watch_free(watch);
        }
    }
}
