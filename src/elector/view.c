/* view.c - see the header. */
#include "view.h"

#include <stdlib.h>
#include <string.h>

#include "livy-ha/log.h"
#include "paths.h"
#include "record.h"

#define MAX_SHOWN 64
#define WATCH_TAG 1 /* always the same: a watch that has not fired is not set a second time (zk.h) */

struct slot { /* a node that is being read */
    struct view *view;
    bool known; /* of known/, else of members/ */
    char id[160];
};

struct view {
    char *root;
    uint32_t kind;
    view_renewed *renewed;
    void *arg;
    struct zk *zk;
    unsigned outstanding;
    bool dirty;
    bool torn; /* something of the picture being read is missing: the connection broke */
    struct slot slots[2 * MAX_SHOWN];
    size_t n_slots;
    json_t *members, *known, *history;
    json_t *new_members, *new_known, *new_history;
    uint64_t version;
    void (*changed)(void *arg);
    void *changed_arg;
};

struct view *view_new(const char *root, uint32_t watch_kind, view_renewed *renewed, void *arg)
{
    struct view *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return NULL;
    v->root = strdup(root);
    v->kind = watch_kind;
    v->renewed = renewed;
    v->arg = arg;
    v->members = json_object();
    v->known = json_object();
    v->history = json_array();
    if (v->root != NULL && v->members != NULL && v->known != NULL && v->history != NULL)
        return v;
    view_free(v);
    return NULL;
}

void view_on_change(struct view *v, void (*fn)(void *arg), void *arg)
{
    v->changed = fn;
    v->changed_arg = arg;
}

static void drop_new(struct view *v)
{
    json_decref(v->new_members);
    json_decref(v->new_known);
    json_decref(v->new_history);
    v->new_members = v->new_known = v->new_history = NULL;
}

void view_free(struct view *v)
{
    if (v == NULL)
        return;
    drop_new(v);
    json_decref(v->members);
    json_decref(v->known);
    json_decref(v->history);
    free(v->root);
    free(v);
}

static void replace(json_t **old, json_t **fresh)
{
    if (*fresh == NULL)
        return;
    json_decref(*old);
    *old = *fresh;
    *fresh = NULL;
}

static void load(struct view *v);

static void answered(struct view *v, int rc)
{
    v->torn |= rc == ZCONNECTIONLOSS || rc == ZINVALIDSTATE || rc == ZOPERATIONTIMEOUT ||
               rc == ZSESSIONEXPIRED || rc == ZSESSIONMOVED || rc == ZCLOSING;
    if (--v->outstanding > 0)
        return;
    if (!v->torn) {
        replace(&v->members, &v->new_members);
        replace(&v->known, &v->new_known);
        replace(&v->history, &v->new_history);
        v->version++;
        if (v->changed != NULL)
            v->changed(v->changed_arg);
    }
    if (v->dirty)
        load(v);
    else if (!v->torn && v->renewed != NULL)
        v->renewed(v->arg);
}

static void sent(struct view *v, int rc)
{
    if (rc == ZOK)
        v->outstanding++;
    else
        v->torn = true; /* the next connection reads it all again */
}

static void entry_read(void *arg, const struct zk_reply *reply)
{
    struct slot *slot = arg;
    struct view *v = slot->view;

    if (reply->rc == ZOK) {
        json_t *entry = record_load(reply);
        json_t *into = slot->known ? v->new_known : v->new_members;
        if (json_is_object(entry) && into != NULL)
            json_object_set(into, slot->id, entry);
        json_decref(entry);
    }
    answered(v, reply->rc);
}

static void read_entries(struct view *v, const struct zk_reply *reply, bool known)
{
    for (int i = 0; i < reply->n_children; i++) {
        char path[PATH_SIZE];
        struct slot *slot = &v->slots[v->n_slots];
        if (strlen(reply->children[i]) >= sizeof(slot->id))
            continue; /* no member's: an id has 128 bytes at most */
        if (v->n_slots == sizeof(v->slots) / sizeof(v->slots[0])) {
            log_warn("more than %d members under %s: not all are shown", MAX_SHOWN, v->root);
            return;
        }
        v->n_slots++;
        slot->view = v;
        slot->known = known;
        memcpy(slot->id, reply->children[i], strlen(reply->children[i]) + 1);
        path_make(path, v->root, known ? "known" : "members", slot->id);
        sent(v, zk_get(v->zk, path, known ? 0 : v->kind, WATCH_TAG, entry_read, slot));
    }
}

static void members_awaited(void *arg, const struct zk_reply *reply)
{
    struct view *v = arg;
    v->dirty |= reply->rc == ZOK; /* it has been made meanwhile */
    answered(v, reply->rc);
}

/* A list of what is not there sets no watch: where members/ was removed as a whole, this member would neither
 * hear of its being made again nor learn that its own record is gone. */
static void members_listed(void *arg, const struct zk_reply *reply)
{
    struct view *v = arg;
    char path[PATH_SIZE];

    if (reply->rc == ZOK || reply->rc == ZNONODE)
        v->new_members = json_object();
    if (reply->rc == ZOK)
        read_entries(v, reply, false);
    if (reply->rc == ZNONODE && v->zk != NULL) {
        path_make(path, v->root, NULL, "members");
        sent(v, zk_exists(v->zk, path, v->kind, WATCH_TAG, members_awaited, v));
    }
    answered(v, reply->rc);
}

static void known_listed(void *arg, const struct zk_reply *reply)
{
    struct view *v = arg;
    if (reply->rc == ZOK) {
        v->new_known = json_object();
        read_entries(v, reply, true);
    }
    answered(v, reply->rc);
}

static void history_read(void *arg, const struct zk_reply *reply)
{
    struct view *v = arg;
    if (reply->rc == ZOK) {
        v->new_history = record_load(reply);
        if (!json_is_array(v->new_history)) {
            json_decref(v->new_history);
            v->new_history = NULL;
        }
    }
    answered(v, reply->rc);
}

static void load(struct view *v)
{
    char path[PATH_SIZE];

    v->dirty = v->torn = false;
    if (v->zk == NULL)
        return;
    v->n_slots = 0;
    drop_new(v);
    path_make(path, v->root, NULL, "members");
    sent(v, zk_children(v->zk, path, v->kind, WATCH_TAG, members_listed, v));
    path_make(path, v->root, NULL, "known");
    sent(v, zk_children(v->zk, path, v->kind, WATCH_TAG, known_listed, v));
    path_make(path, v->root, NULL, "history");
    sent(v, zk_get(v->zk, path, v->kind, WATCH_TAG, history_read, v));
}

void view_connect(struct view *v, struct zk *zk)
{
    bool same = zk != NULL && zk == v->zk;

    v->zk = zk;
    if (same && v->outstanding > 0) {
        v->dirty = true; /* what was asked is answered, with an error at the least */
        return;
    }
    v->outstanding = 0; /* a handle that is gone answers nothing any more */
    load(v);
}

void view_changed(struct view *v, uint64_t tag)
{
    (void)tag;
    if (v->outstanding > 0)
        v->dirty = true;
    else
        load(v);
}

const json_t *view_members(const struct view *v)
{
    return v->members;
}

const json_t *view_known(const struct view *v)
{
    return v->known;
}

const json_t *view_history(const struct view *v)
{
    return v->history;
}

uint64_t view_version(const struct view *v)
{
    return v->version;
}
