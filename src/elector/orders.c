/* orders.c - see the header. */
#include "orders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/log.h"
#include "paths.h"
#include "record.h"

#define WATCH_TAG 1
#define VERSION_NONE (-1) /* it may not be read, so it is not written over */
#define EMPTY "{\"v\":1}"

struct change {
    orders_change_fn *edit;
    orders_done *done; /* NULL: cancelled */
    void *arg;
};

struct orders {
    char path[PATH_SIZE];
    uint32_t kind;
    void (*read)(void *arg);
    void *arg;
    struct zk *zk;
    json_t *record, *next; /* next: on its way */
    int32_t version;
    bool known, fresh; /* fresh: `record` is of `version`, as far as is known */
    bool watched;      /* the watch of the last read has not fired */
    bool busy;         /* a request is under way */
    struct change changes[ORDERS_CHANGES];
    size_t n_changes;
};

static void pump(struct orders *o);

struct orders *orders_new(const char *root, uint32_t watch_kind, void (*read)(void *arg), void *arg)
{
    struct orders *o = calloc(1, sizeof(*o));

    if (o == NULL)
        return NULL;
    path_make(o->path, root, NULL, "control");
    o->kind = watch_kind;
    o->read = read;
    o->arg = arg;
    o->record = json_object();
    if (o->record != NULL)
        return o;
    free(o);
    return NULL;
}

void orders_free(struct orders *o)
{
    if (o == NULL)
        return;
    json_decref(o->record);
    json_decref(o->next);
    free(o);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static void take(struct orders *o, json_t *record, int32_t version)
{
    json_decref(o->record);
    o->record = record;
    o->version = version;
    o->fresh = o->watched; /* else it is read once more, for the sake of the watch */
    o->known = true;
    o->busy = true; /* nothing is sent from within the call: its change may be the one that is done */
    o->read(o->arg);
    o->busy = false;
}

/* What strangers have written counts for nothing. */
static json_t *plain_record(const struct zk_reply *reply)
{
    json_t *record = reply->rc == ZOK && reply->value_length <= ORDERS_MAX ? record_load(reply) : NULL;

    if (json_is_object(record))
        return record;
    if (reply->value_length > 0)
        log_warn("<root>/control holds no orders (%d bytes): taken for empty", reply->value_length);
    json_decref(record);
    return json_object();
}

/* Neither to be read nor made by us: it is what it was, and nothing is written. The election does not wait
 * for that; it is looked at again with the next connection. */
static void take_nothing(struct orders *o, const char *what)
{
    log_warn("<root>/control may not be %s by us: no pause, drain or switchover can be asked for; check the "
             "ACL of it and of zookeeper.root",
             what);
    o->watched = true;
    take(o, json_incref(o->record), VERSION_NONE);
    pump(o);
}

static void on_made(void *arg, const struct zk_reply *reply)
{
    struct orders *o = arg;

    o->busy = false;
    if (reply->rc == ZOK || reply->rc == ZNODEEXISTS)
        pump(o);
    else if (reply->rc == ZNOAUTH || reply->rc == ZINVALIDACL)
        take_nothing(o, "made");
    else
        log_debug("control: %s", zerror(reply->rc)); /* again with the next connection, or orders_again */
}

static bool lost(int rc)
{
    return rc == ZCONNECTIONLOSS || rc == ZINVALIDSTATE || rc == ZOPERATIONTIMEOUT || rc == ZSESSIONEXPIRED ||
           rc == ZSESSIONMOVED || rc == ZCLOSING;
}

static void on_read(void *arg, const struct zk_reply *reply)
{
    struct orders *o = arg;

    o->busy = false;
    if (reply->rc == ZNONODE) {
        o->busy = zk_create(o->zk, o->path, EMPTY, (int)strlen(EMPTY), 0, on_made, o) == ZOK;
        return;
    }
    if (reply->rc == ZNOAUTH) {
        take_nothing(o, "read");
        return;
    }
    bool too_long = reply->rc == ZSYSTEMERROR && reply->stat != NULL;
    json_t *record = reply->rc == ZOK || too_long ? plain_record(reply) : NULL;
    if (record == NULL) { /* nothing was learnt: a pause, a drain stay as they are */
        log_debug("control: %s", zerror(reply->rc));
        return;
    }
    o->watched = true;
    take(o, record, reply->stat->version);
    pump(o);
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static void finish(struct orders *o, enum orders_outcome outcome, const char *why)
{
    struct change change = o->changes[0];

    memmove(o->changes, o->changes + 1, --o->n_changes * sizeof(o->changes[0]));
    if (change.done != NULL)
        change.done(change.arg, outcome, why);
}

static void on_written(void *arg, const struct zk_reply *reply)
{
    struct orders *o = arg;
    json_t *next = o->next;

    o->busy = false;
    o->next = NULL;
    if (reply->rc == ZOK) {
        take(o, next, reply->stat->version);
        finish(o, ORDERS_DONE, "");
        pump(o);
        return;
    }
    json_decref(next);
    o->fresh = false;
    if (lost(reply->rc))
        return; /* looked at again with the next connection */
    if (reply->rc != ZBADVERSION && reply->rc != ZNONODE) {
        char why[256];
        snprintf(why, sizeof(why), "%.180s: %s", o->path, zerror(reply->rc));
        finish(o, ORDERS_NOT_DONE, why);
    }
    pump(o);
}

/* NULL: on its way; else why not. */
static const char *write_next(struct orders *o)
{
    if (o->version == VERSION_NONE)
        return "we have no right to <root>/control: check its ACL, and that of zookeeper.root";
    char *text = json_dumps(o->next, JSON_COMPACT);
    bool fits = text != NULL && strlen(text) <= ORDERS_MAX;
    bool sent = fits && zk_set(o->zk, o->path, text, (int)strlen(text), o->version, on_written, o) == ZOK;

    free(text);
    if (sent)
        return NULL;
    return fits ? "ZooKeeper's client does not take the request"
                : "<root>/control would grow too large: livy-ha-ctl forget drained members that are gone";
}

/* The change that waits longest. False: there is nothing (more) to be done now. */
static bool change_one(struct orders *o)
{
    struct change *change = &o->changes[0];
    char why[256] = "out of memory";

    if (change->done == NULL) {
        finish(o, ORDERS_NOT_DONE, "");
        return true;
    }
    o->next = json_deep_copy(o->record);
    enum orders_edit edit = o->next != NULL ? change->edit(change->arg, o->next, why) : ORDERS_REFUSED;
    const char *unsent = edit == ORDERS_WRITE ? write_next(o) : why;
    if (unsent == NULL) {
        o->busy = true;
        return false;
    }
    json_decref(o->next);
    o->next = NULL;
    finish(o, edit == ORDERS_SO ? ORDERS_DONE : ORDERS_NOT_DONE, unsent);
    return true;
}

static void pump(struct orders *o)
{
    if (o->zk == NULL || o->busy)
        return;
    if (!o->fresh) {
        o->busy = zk_get(o->zk, o->path, o->kind, WATCH_TAG, on_read, o) == ZOK;
        return;
    }
    while (o->n_changes > 0 && !o->busy && o->zk != NULL && change_one(o))
        ;
}

/* ---- the others' side -------------------------------------------------------------------------------- */

void orders_connect(struct orders *o, struct zk *zk)
{
    if (zk != o->zk) { /* a handle that is gone answers nothing any more */
        o->busy = false;
        json_decref(o->next);
        o->next = NULL;
    }
    o->zk = zk;
    o->fresh = false;
    pump(o);
}

void orders_watch(struct orders *o)
{
    o->fresh = o->watched = false;
    pump(o);
}

void orders_again(struct orders *o)
{
    pump(o);
}

bool orders_known(const struct orders *o)
{
    return o->known;
}

bool orders_fresh(const struct orders *o)
{
    return o->zk != NULL && o->fresh;
}

const json_t *orders_record(const struct orders *o)
{
    return o->record;
}

bool orders_change(struct orders *o, orders_change_fn *edit, orders_done *done, void *arg)
{
    if (o->n_changes == ORDERS_CHANGES)
        return false;
    o->changes[o->n_changes++] = (struct change){.edit = edit, .done = done, .arg = arg};
    pump(o);
    return true;
}

void orders_cancel(struct orders *o, const void *arg)
{
    for (size_t i = 0; i < o->n_changes; i++)
        if (o->changes[i].arg == arg)
            o->changes[i].done = NULL;
}
