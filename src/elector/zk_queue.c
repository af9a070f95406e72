/* zk_queue.c - carries what the library's threads report to the loop: a locked list and an eventfd.
 *
 * zk_queue_put() runs in any thread; everything else here on the loop's. May not call the library.
 */
#include "zk_internal.h"

#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct zk_item *zk_item_new(struct zk *zk, enum zk_item_kind kind)
{
    struct zk_item *item = calloc(1, sizeof *item);

    if (item == NULL) {
        /* A lost session event would be a lie to the policy; a dead elector is replaced by the keeper and
         * takes the session up again. */
        log_error("zk: out of memory for an event of ZooKeeper; ending, to be started anew");
        abort();
    }
    item->zk = zk;
    item->kind = kind;
    return item;
}

void zk_item_free(struct zk_item *item)
{
    if (item == NULL)
        return;
    free(item->value);
    free(item->children);
    free(item);
}

void zk_queue_put_locked(struct zk *zk, struct zk_item *item)
{
    uint64_t one = 1;
    bool was_empty = TAILQ_EMPTY(&zk->ready);

    TAILQ_INSERT_TAIL(&zk->ready, item, link);
    /* The counter is far from its limit (one add for each time the list was emptied), so this cannot fail
     * but by a bug. */
    if (was_empty && write(zk->wakeup_fd, &one, sizeof one) != (ssize_t)sizeof one)
        log_error("zk: cannot wake the loop: %s", strerror(errno));
}

void zk_queue_put(struct zk *zk, struct zk_item *item)
{
    pthread_mutex_lock(&zk->lock);
    item->at = clock_boot_ms();
    zk_queue_put_locked(zk, item);
    pthread_mutex_unlock(&zk->lock);
}

static void deliver_reply(struct zk_item *item)
{
    struct zk_reply reply = {
        .rc = item->rc,
        .value = item->value,
        .value_length = item->value_length,
        .stat = item->has_stat ? &item->stat : NULL,
        .children = item->children,
        .n_children = item->n_children,
        .at = item->at,
    };

    if (item->done != NULL)
        item->done(item->arg, &reply);
}

static void deliver(struct zk *zk, struct zk_item *item)
{
    switch (item->kind) {
    case ZK_ITEM_REPLY:
        deliver_reply(item);
        break;
    case ZK_ITEM_WATCH:
        if (zk->on_watch != NULL)
            zk->on_watch(zk->arg, item->watch_type, item->watch_kind, item->watch_tag);
        break;
    case ZK_ITEM_SESSION:
        if (item->state == ZK_CONNECTED)
            zk_socket_cloexec(zk); /* the library's new socket is not CLOEXEC in Debian's build */
        zk->on_session(zk->arg, item->state, item->state == ZK_CONNECTED ? &item->session : NULL, item->at);
        break;
    }
}

/* Delivers what is queued now. The owner may call zk_close() from within any delivery: then the rest is
 * dropped and the handle's memory, which zk_close() has left to us, is freed at the end. */
static void queue_drain(evutil_socket_t fd, short what, void *arg)
{
    struct zk *zk = arg;
    struct zk_items batch = TAILQ_HEAD_INITIALIZER(batch);
    struct zk_item *item;
    uint64_t count;

    (void)what;
    /* The counter is cleared before the list is taken: what comes in between wakes us once too often, never
     * once too seldom. */
    if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
        log_error("zk: cannot read the wake-up counter: %s", strerror(errno));
    pthread_mutex_lock(&zk->lock);
    TAILQ_CONCAT(&batch, &zk->ready, link);
    pthread_mutex_unlock(&zk->lock);

    zk->depth++;
    while ((item = TAILQ_FIRST(&batch)) != NULL) {
        TAILQ_REMOVE(&batch, item, link);
        if (!zk->closed)
            deliver(zk, item);
        zk_item_free(item);
    }
    zk->depth--;
    if (zk->closed && zk->depth == 0)
        zk_free(zk);
}

bool zk_queue_open(struct zk *zk, struct event_base *base)
{
    zk->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (zk->wakeup_fd < 0)
        return false;
    zk->wakeup = event_new(base, zk->wakeup_fd, EV_READ | EV_PERSIST, queue_drain, zk);
    if (zk->wakeup != NULL && event_add(zk->wakeup, NULL) == 0)
        return true;
    errno = ENOMEM;
    return false;
}

static void items_free(struct zk_items *items)
{
    struct zk_item *item;

    while ((item = TAILQ_FIRST(items)) != NULL) {
        TAILQ_REMOVE(items, item, link);
        zk_item_free(item);
    }
}

void zk_queue_close(struct zk *zk)
{
    if (zk->wakeup != NULL)
        event_free(zk->wakeup);
    zk->wakeup = NULL;
    if (zk->wakeup_fd >= 0)
        close(zk->wakeup_fd);
    zk->wakeup_fd = -1;
    items_free(&zk->ready);
    items_free(&zk->outstanding);
}
