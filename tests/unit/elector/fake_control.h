/* fake_control.h - <root>/control and the latch's children in a ZooKeeper that does what the test says: the
 * functions of zk.h that orders.c and command*.c call. Requests wait, a queue for each handle, until the test
 * serves them, loses them or refuses them. Each test program includes it once.
 */
#ifndef LIVY_HA_TEST_FAKE_CONTROL_H
#define LIVY_HA_TEST_FAKE_CONTROL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orders.h"

#define UNUSED __attribute__((unused))
#define KIND 5
#define REQUESTS 8
#define HANDLES 3

enum request_type { GET, SET, CREATE, DELETE, EXISTS, SYNC, CHILDREN };

struct request {
    enum request_type type;
    char *data;
    int length, version;
    zk_done *done;
    void *arg;
};

/* A handle: its requests, oldest first. */
struct zk {
    struct request list[REQUESTS];
    int n;
    bool refuses; /* to take any more */
    bool watched; /* its watch of the node has not fired */
    void (*fired)(void *arg);
    void *fired_arg;
};

static struct zk handles[HANDLES];

/* The node, as ZooKeeper has it. */
static struct {
    bool there;
    char *data;
    int length, version, sets;
} node;

static struct {
    const char *children[8]; /* of the latch */
    int n;
    int rc_exists, rc_delete; /* of all other nodes */
} others;

static UNUSED void node_write(const char *data, int length)
{
    char *copy = malloc((size_t)length + 1);

    memcpy(copy, data, (size_t)length);
    copy[length] = '\0';
    free(node.data);
    node.data = copy;
    node.length = length;
    node.there = true;
}

/* ZooKeeper tells the watches before it answers. */
static UNUSED void node_changed(void)
{
    for (int i = 0; i < HANDLES; i++) {
        if (!handles[i].watched)
            continue;
        handles[i].watched = false;
        handles[i].fired(handles[i].fired_arg);
    }
}

/* Somebody else writes. */
static UNUSED void others_write_bytes(const char *data, int length)
{
    node_write(data, length);
    node.version++;
    node_changed();
}

static UNUSED void others_write(const char *json)
{
    others_write_bytes(json, (int)strlen(json));
}

/* ---- zk.h ---- */

static int add(struct zk *zk, struct request request)
{
    if (zk->refuses) {
        free(request.data);
        return ZINVALIDSTATE;
    }
    assert_true(zk->n < REQUESTS);
    zk->list[zk->n++] = request;
    return ZOK;
}

int zk_get(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg)
{
    (void)tag;
    assert_string_equal(path, "/root/control");
    assert_int_equal(watch_kind, KIND);
    return add(zk, (struct request){.type = GET, .done = done, .arg = arg});
}

int zk_set(struct zk *zk, const char *path, const char *data, int length, int version, zk_done *done,
           void *arg)
{
    assert_string_equal(path, "/root/control");
    assert_true(version >= 0); /* nothing is ever written over unseen */
    return add(zk, (struct request){.type = SET,
                                    .data = strndup(data, (size_t)length),
                                    .length = length,
                                    .version = version,
                                    .done = done,
                                    .arg = arg});
}

int zk_create(struct zk *zk, const char *path, const char *data, int length, int mode, zk_done *done,
              void *arg)
{
    assert_string_equal(path, "/root/control");
    assert_int_equal(mode, 0);
    return add(zk, (struct request){.type = CREATE,
                                    .data = strndup(data, (size_t)length),
                                    .length = length,
                                    .done = done,
                                    .arg = arg});
}

int zk_delete(struct zk *zk, const char *path, int version, zk_done *done, void *arg)
{
    (void)path;
    (void)version;
    return add(zk, (struct request){.type = DELETE, .done = done, .arg = arg});
}

int zk_exists(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg)
{
    (void)path;
    (void)watch_kind;
    (void)tag;
    return add(zk, (struct request){.type = EXISTS, .done = done, .arg = arg});
}

int zk_sync(struct zk *zk, const char *path, zk_done *done, void *arg)
{
    (void)path;
    return add(zk, (struct request){.type = SYNC, .done = done, .arg = arg});
}

int zk_children(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg)
{
    assert_string_equal(path, "/root/leader");
    (void)watch_kind;
    (void)tag;
    return add(zk, (struct request){.type = CHILDREN, .done = done, .arg = arg});
}

static int carry_out_set(const struct request *r)
{
    if (!node.there)
        return ZNONODE;
    if (r->version != node.version)
        return ZBADVERSION;
    node_write(r->data, r->length);
    node.version++;
    node.sets++;
    node_changed();
    return ZOK;
}

static int carry_out(const struct request *r)
{
    switch (r->type) {
    case CREATE:
        if (node.there)
            return ZNODEEXISTS;
        node_write(r->data, r->length);
        node.version = 0;
        return ZOK;
    case GET:
        return node.there ? ZOK : ZNONODE;
    case SET:
        return carry_out_set(r);
    case DELETE:
        return others.rc_delete;
    case EXISTS:
        return others.rc_exists;
    case SYNC:
    case CHILDREN:
        return ZOK;
    }
    return ZOK;
}

static void answer_oldest(struct zk *zk, int rc)
{
    struct request r = zk->list[0];
    struct Stat stat = {.version = node.version};
    struct zk_reply reply = {.rc = rc, .value_length = -1};

    zk->n--;
    memmove(zk->list, zk->list + 1, sizeof(zk->list[0]) * (size_t)zk->n);
    if (rc == ZOK || (rc == ZSYSTEMERROR && r.type == GET))
        reply.stat = &stat;
    if (rc == ZOK && r.type == GET) {
        reply.value = node.data;
        reply.value_length = node.length;
        zk->watched = true;
    }
    if (rc == ZOK && r.type == CHILDREN) {
        reply.children = others.children;
        reply.n_children = others.n;
    }
    if (r.done != NULL)
        r.done(r.arg, &reply);
    free(r.data);
}

static UNUSED void serve(struct zk *zk)
{
    assert_true(zk->n > 0);
    answer_oldest(zk, carry_out(&zk->list[0]));
}

static UNUSED void serve_all(struct zk *zk)
{
    for (int i = 0; zk->n > 0; i++) {
        assert_true(i < 200);
        serve(zk);
    }
}

/* The connection breaks: whether the oldest request was carried out is not told. */
static UNUSED void lose(struct zk *zk, bool carried_out)
{
    if (carried_out)
        (void)carry_out(&zk->list[0]);
    answer_oldest(zk, ZCONNECTIONLOSS);
}

static UNUSED void fake_open(void)
{
    memset(handles, 0, sizeof(handles));
    memset(&others, 0, sizeof(others));
    node_write("{\"v\":1}", 7);
    node.version = 3;
    node.sets = 0;
}

static UNUSED void fake_close(void)
{
    for (int i = 0; i < HANDLES; i++)
        while (handles[i].n > 0)
            free(handles[i].list[--handles[i].n].data);
    free(node.data);
    node.data = NULL;
}

#endif
