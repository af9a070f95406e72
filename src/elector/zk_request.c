/* zk_request.c - the requests of zk.h and their completions.
 *
 * The zk_*() functions run on the loop's thread, the on_*() functions in the library's completion thread:
 * they copy and queue, nothing else. The chroot is put in front of the paths here and not by the library,
 * whose zoo_amulti() frees a path twice where it has a chroot and the session has just expired.
 */
#include "zk_internal.h"

#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Moves the item from outstanding to ready. `armed`: what the answer means for the watch, if it has one. */
static void request_end(struct zk_item *item, int rc, bool armed)
{
    struct zk *zk = item->zk;

    pthread_mutex_lock(&zk->lock);
    if (item->rc == ZOK)
        item->rc = rc;
    item->at = clock_boot_ms();
    if (item->watch != NULL)
        zk_watch_answered_locked(item->watch, armed);
    TAILQ_REMOVE(&zk->outstanding, item, link);
    zk->n_outstanding--;
    zk_queue_put_locked(zk, item);
    pthread_mutex_unlock(&zk->lock);
}

static void copy_stat(struct zk_item *item, const struct Stat *stat)
{
    if (stat == NULL)
        return;
    item->stat = *stat;
    item->has_stat = true;
}

/* What cannot be taken over is an error of this request alone. */
static void copy_value(struct zk_item *item, const char *value, int length)
{
    item->value_length = length;
    if (value == NULL || length < 0)
        return;
    item->value = length <= ZK_DATA_MAX ? malloc((size_t)length + 1) : NULL;
    if (item->value == NULL) {
        log_warn("zk: an answer of %d bytes is left out: more than %d, or out of memory", length,
                 ZK_DATA_MAX);
        item->rc = ZSYSTEMERROR;
        item->value_length = -1;
        return;
    }
    memcpy(item->value, value, (size_t)length);
    item->value[length] = '\0';
}

static void copy_children(struct zk_item *item, const struct String_vector *names)
{
    size_t size = 0;
    char *text;

    if (names == NULL)
        return;
    for (int i = 0; i < names->count && names->count <= ZK_CHILDREN_MAX; i++)
        size += sizeof *item->children + strlen(names->data[i]) + 1;
    item->children = names->count <= ZK_CHILDREN_MAX ? malloc(size + 1) : NULL;
    if (item->children == NULL) {
        log_warn("zk: a list of %d children is left out: more than %d, or out of memory", names->count,
                 ZK_CHILDREN_MAX);
        item->rc = ZSYSTEMERROR;
        return;
    }
    item->n_children = names->count;
    text = (char *)(item->children + names->count);
    for (int i = 0; i < names->count; i++) {
        size_t length = strlen(names->data[i]) + 1;

        memcpy(text, names->data[i], length);
        item->children[i] = text;
        text += length;
    }
}

static void on_void(int rc, const void *data)
{
    request_end((struct zk_item *)data, rc, false);
}

static void on_create(int rc, const char *value, const void *data)
{
    struct zk_item *item = (struct zk_item *)data;
    size_t chroot = strlen(item->zk->chroot);

    if (rc == ZOK && value != NULL) {
        if (strncmp(value, item->zk->chroot, chroot) == 0)
            value += chroot;
        copy_value(item, value, (int)strlen(value));
    }
    request_end(item, rc, false);
}

static void on_sync(int rc, const char *value, const void *data)
{
    (void)value;
    request_end((struct zk_item *)data, rc, false);
}

static void on_exists(int rc, const struct Stat *stat, const void *data)
{
    struct zk_item *item = (struct zk_item *)data;

    copy_stat(item, rc == ZOK ? stat : NULL);
    request_end(item, rc, rc == ZOK || rc == ZNONODE);
}

static void on_set(int rc, const struct Stat *stat, const void *data)
{
    struct zk_item *item = (struct zk_item *)data;

    copy_stat(item, rc == ZOK ? stat : NULL);
    request_end(item, rc, false);
}

static void on_get(int rc, const char *value, int length, const struct Stat *stat, const void *data)
{
    struct zk_item *item = (struct zk_item *)data;

    if (rc == ZOK) {
        copy_value(item, value, value != NULL ? length : -1);
        copy_stat(item, stat);
    }
    request_end(item, rc, rc == ZOK);
}

static void on_children(int rc, const struct String_vector *names, const void *data)
{
    struct zk_item *item = (struct zk_item *)data;

    copy_children(item, rc == ZOK ? names : NULL);
    request_end(item, rc, rc == ZOK);
}

/* Returns ZOK with `full` the path as the server knows it. No path of ZooKeeper's has two slashes in a row,
 * so they can tell what is not below our chroot. */
static int request_path(const struct zk *zk, const char *path, char full[static PATH_MAX])
{
    const char *chroot = zk->chroot;
    int length;

    if (path == NULL || path[0] != '/')
        return ZBADARGUMENTS;
    if (path[1] == '/') {
        chroot = "";
        path++;
    } else if (chroot[0] != '\0' && path[1] == '\0') {
        path = "";
    }
    length = snprintf(full, PATH_MAX, "%s%s", chroot, path);
    return length > 0 && length < PATH_MAX ? ZOK : ZBADARGUMENTS;
}

/* Makes the context of one request. Each request writes a byte to a pipe of the library that its IO thread
 * empties; were that pipe ever full, the library would close the socket from this thread and never say so.
 * Hence the limit on requests without an answer. */
static int request_new(struct zk *zk, zk_done *done, void *arg, struct zk_item **out)
{
    struct zk_item *item;

    if (is_unrecoverable(zk->zh))
        return ZINVALIDSTATE;
    item = calloc(1, sizeof *item);
    if (item == NULL)
        return ZSYSTEMERROR;
    item->zk = zk;
    item->kind = ZK_ITEM_REPLY;
    item->done = done;
    item->arg = arg;
    item->value_length = -1;
    pthread_mutex_lock(&zk->lock);
    if (zk->n_outstanding >= ZK_OUTSTANDING_MAX) {
        pthread_mutex_unlock(&zk->lock);
        free(item);
        return ZSYSTEMERROR;
    }
    TAILQ_INSERT_TAIL(&zk->outstanding, item, link);
    zk->n_outstanding++;
    pthread_mutex_unlock(&zk->lock);
    *out = item;
    return ZOK;
}

/* Takes back a request that the library did not accept. With ZMARSHALLINGERROR it may have kept the
 * completion and call it later, so the context stays and only its `done` is forgotten. */
static int request_sent(struct zk_item *item, int rc)
{
    struct zk *zk = item->zk;

    if (rc == ZOK)
        return ZOK;
    pthread_mutex_lock(&zk->lock);
    if (rc == ZMARSHALLINGERROR) {
        item->done = NULL;
        pthread_mutex_unlock(&zk->lock);
        return rc;
    }
    if (item->watch != NULL)
        zk_watch_answered_locked(item->watch, false);
    TAILQ_REMOVE(&zk->outstanding, item, link);
    zk->n_outstanding--;
    pthread_mutex_unlock(&zk->lock);
    zk_item_free(item);
    return rc;
}

static int request_begin(struct zk *zk, const char *path, char full[static PATH_MAX], zk_done *done,
                         void *arg, struct zk_item **out)
{
    int rc = request_path(zk, path, full);

    return rc == ZOK ? request_new(zk, done, arg, out) : rc;
}

/* The same with a watch; kind 0 for none. */
static int request_begin_watch(struct zk *zk, const char *path, char full[static PATH_MAX], bool children,
                               uint32_t kind, uint64_t tag, zk_done *done, void *arg, struct zk_item **out)
{
    int rc = request_begin(zk, path, full, done, arg, out);

    if (rc != ZOK || kind == 0)
        return rc;
    pthread_mutex_lock(&zk->lock);
    (*out)->watch = zk_watch_get_locked(zk, full, children, kind, tag);
    pthread_mutex_unlock(&zk->lock);
    return (*out)->watch != NULL ? ZOK : request_sent(*out, ZSYSTEMERROR);
}

static const struct ACL_vector *request_acl(const struct zk *zk)
{
    static struct ACL ours[] = {{0x1f /* ZOO_PERM_ALL */, {"auth", ""}},
                                {0x01 /* READ */, {"world", "anyone"}}};
    static const struct ACL_vector acl_ours = {2, ours};
    return zk->auth ? &acl_ours : &ZOO_OPEN_ACL_UNSAFE;
}

int zk_create(struct zk *zk, const char *path, const char *data, int length, int mode, zk_done *done,
              void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    int rc = request_begin(zk, path, full, done, arg, &item);

    if (rc != ZOK)
        return rc;
    /* Never null data by accident: it makes Curator's getParticipants throw. */
    if (data == NULL && length == 0)
        data = "";
    rc = zoo_acreate(zk->zh, full, data, length, request_acl(zk), mode, on_create, item);
    return request_sent(item, rc);
}

int zk_delete(struct zk *zk, const char *path, int version, zk_done *done, void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    int rc = request_begin(zk, path, full, done, arg, &item);

    return rc != ZOK ? rc : request_sent(item, zoo_adelete(zk->zh, full, version, on_void, item));
}

int zk_exists(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    int rc = request_begin_watch(zk, path, full, false, watch_kind, tag, done, arg, &item);

    if (rc != ZOK)
        return rc;
    rc =
        zoo_awexists(zk->zh, full, item->watch != NULL ? zk_watch_fired : NULL, item->watch, on_exists, item);
    return request_sent(item, rc);
}

int zk_get(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    int rc = request_begin_watch(zk, path, full, false, watch_kind, tag, done, arg, &item);

    if (rc != ZOK)
        return rc;
    rc = zoo_awget(zk->zh, full, item->watch != NULL ? zk_watch_fired : NULL, item->watch, on_get, item);
    return request_sent(item, rc);
}

int zk_set(struct zk *zk, const char *path, const char *data, int length, int version, zk_done *done,
           void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    int rc = request_begin(zk, path, full, done, arg, &item);

    if (rc != ZOK)
        return rc;
    if (data == NULL && length == 0)
        data = "";
    return request_sent(item, zoo_aset(zk->zh, full, data, length, version, on_set, item));
}

int zk_children(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    int rc = request_begin_watch(zk, path, full, true, watch_kind, tag, done, arg, &item);

    if (rc != ZOK)
        return rc;
    rc = zoo_awget_children(zk->zh, full, item->watch != NULL ? zk_watch_fired : NULL, item->watch,
                            on_children, item);
    return request_sent(item, rc);
}

int zk_sync(struct zk *zk, const char *path, zk_done *done, void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    int rc = request_begin(zk, path, full, done, arg, &item);

    return rc != ZOK ? rc : request_sent(item, zoo_async(zk->zh, full, on_sync, item));
}

/* zoo_amulti() packs the operations before it returns, but writes the results' fields until the completion:
 * so those live in the context. */
static int request_multi(struct zk *zk, struct zk_item *item, int n, const zoo_op_t *ops)
{
    return request_sent(item, zoo_amulti(zk->zh, n, ops, item->results, on_void, item));
}

int zk_check(struct zk *zk, const char *path, zk_done *done, void *arg)
{
    char full[PATH_MAX];
    struct zk_item *item;
    zoo_op_t op;
    int rc = request_begin(zk, path, full, done, arg, &item);

    if (rc != ZOK)
        return rc;
    zoo_check_op_init(&op, full, -1);
    return request_multi(zk, item, 1, &op);
}

/* The same for a request that names a second node as well. */
static int request_begin_pair(struct zk *zk, const char *path, char full[static PATH_MAX], const char *other,
                              char full_other[static PATH_MAX], zk_done *done, void *arg,
                              struct zk_item **out)
{
    int rc = request_path(zk, other, full_other);

    return rc == ZOK ? request_begin(zk, path, full, done, arg, out) : rc;
}

int zk_release(struct zk *zk, const char *path, const char *marker, const char *data, const char *tenure,
               const char *uri, zk_done *done, void *arg)
{
    char full[PATH_MAX], full_marker[PATH_MAX], full_tenure[PATH_MAX], full_uri[PATH_MAX];
    struct zk_item *item;
    zoo_op_t ops[ZK_MULTI_MAX];
    int n = 0;

    if (marker != NULL && request_path(zk, marker, full_marker) != ZOK)
        return ZBADARGUMENTS;
    if (tenure != NULL && request_path(zk, tenure, full_tenure) != ZOK)
        return ZBADARGUMENTS;
    if (uri != NULL && request_path(zk, uri, full_uri) != ZOK)
        return ZBADARGUMENTS;
    int rc = request_begin(zk, path, full, done, arg, &item);
    if (rc != ZOK)
        return rc;
    zoo_delete_op_init(&ops[n++], full, -1);
    if (marker != NULL)
        zoo_set_op_init(&ops[n++], full_marker, data, (int)strlen(data), -1, &item->stat);
    if (tenure != NULL)
        zoo_delete_op_init(&ops[n++], full_tenure, -1);
    if (uri != NULL)
        zoo_delete_op_init(&ops[n++], full_uri, -1);
    return request_multi(zk, item, n, ops);
}

int zk_tenure(struct zk *zk, const char *path, const char *tenure, const char *data, bool there,
              zk_done *done, void *arg)
{
    char full[PATH_MAX], full_tenure[PATH_MAX];
    struct zk_item *item;
    zoo_op_t ops[ZK_MULTI_MAX];
    int rc = request_begin_pair(zk, path, full, tenure, full_tenure, done, arg, &item);

    if (rc != ZOK)
        return rc;
    zoo_check_op_init(&ops[0], full, -1);
    if (there)
        zoo_set_op_init(&ops[1], full_tenure, data, (int)strlen(data), -1, &item->stat);
    else
        zoo_create_op_init(&ops[1], full_tenure, data, (int)strlen(data), request_acl(zk), 0, NULL, 0);
    return request_multi(zk, item, 2, ops);
}

int zk_clear(struct zk *zk, const char *path, const char *tenure, zk_done *done, void *arg)
{
    char full[PATH_MAX], full_tenure[PATH_MAX];
    struct zk_item *item;
    zoo_op_t ops[ZK_MULTI_MAX];
    int rc = request_begin_pair(zk, path, full, tenure, full_tenure, done, arg, &item);

    if (rc != ZOK)
        return rc;
    zoo_check_op_init(&ops[0], full, -1);
    zoo_delete_op_init(&ops[1], full_tenure, -1);
    return request_multi(zk, item, 2, ops);
}

int zk_uri(struct zk *zk, const char *path, const char *uri, const char *data, int replace, zk_done *done,
           void *arg)
{
    char full[PATH_MAX], full_uri[PATH_MAX];
    struct zk_item *item;
    zoo_op_t ops[ZK_MULTI_MAX];
    int n = 0, rc = request_begin_pair(zk, path, full, uri, full_uri, done, arg, &item);

    if (rc != ZOK)
        return rc;
    zoo_check_op_init(&ops[n++], full, -1);
    if (replace >= 0)
        zoo_delete_op_init(&ops[n++], full_uri, replace);
    zoo_create_op_init(&ops[n++], full_uri, data, (int)strlen(data), request_acl(zk), ZOO_EPHEMERAL, NULL, 0);
    return request_multi(zk, item, n, ops);
}
