/* claim_node.c - the claim as a node of ZooKeeper: look at it, and make it where there is none. A create
 * decides who was first. May not open or close handles.
 */
#include "claim_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 5 /* looks at a node that others are changing */

static void end(struct claim_visit *v, enum claim_answer answer, const char *why)
{
    claim_visited *done = v->done;
    void *arg = v->arg;

    claim_visit_stop(v);
    done(arg, answer, why);
}

static void fail(struct claim_visit *v, const char *what, int rc)
{
    char why[CLAIM_WHY_SIZE];

    if (rc == ZNOAUTH || rc == ZINVALIDACL)
        (void)snprintf(
            why, sizeof(why),
            "the state store cannot be claimed: no right to %s %.160s on %.160s: let an administrator make "
            "it, empty, with all rights for livy-ha",
            what, v->place->path, v->place->hosts);
    else if (rc == ZNONODE)
        (void)snprintf(
            why, sizeof(why),
            "the state store cannot be claimed: the parent of %.160s on %.160s does not exist: make that "
            "chroot, Livy needs it too",
            v->place->path, v->place->hosts);
    else
        (void)snprintf(why, sizeof(why), "the state store on %.160s does not answer (%s of %.160s: %s)",
                       v->place->hosts, what, v->place->path, zerror(rc));
    end(v, CLAIM_AWAY, why);
}

static void look(struct claim_visit *v);

/* Made or filled by us, or by somebody who was quicker. */
static void on_claimed(void *arg, const struct zk_reply *reply)
{
    struct claim_visit *v = arg;

    if (v->zk == NULL)
        return;
    if (reply->rc == ZOK)
        end(v, CLAIM_OURS, "claimed");
    else if (reply->rc == ZNODEEXISTS || reply->rc == ZBADVERSION)
        look(v);
    else
        fail(v, "create", reply->rc);
}

static void lay(struct claim_visit *v, bool empty, int version)
{
    int length = (int)strlen(v->text);
    int rc = empty ? zk_set(v->zk, v->path, v->text, length, version, on_claimed, v)
                   : zk_create(v->zk, v->path, v->text, length, 0, on_claimed, v);
    if (rc != ZOK)
        fail(v, "create", rc);
}

static void on_read(void *arg, const struct zk_reply *reply)
{
    struct claim_visit *v = arg;
    char who[CLAIM_WHY_SIZE / 2] = "", why[CLAIM_WHY_SIZE];

    if (v->zk == NULL)
        return;
    if (reply->rc == ZNONODE) {
        lay(v, false, 0);
        return;
    }
    if (reply->rc != ZOK) {
        fail(v, "read", reply->rc);
        return;
    }
    size_t length = reply->value_length > 0 ? (size_t)reply->value_length : 0;
    switch (claim_read(v->self, reply->value, length, who, sizeof(who))) {
    case CLAIM_SAYS_NOTHING:
        lay(v, true, reply->stat->version);
        return;
    case CLAIM_SAYS_US:
        end(v, CLAIM_OURS, "ours already");
        return;
    case CLAIM_SAYS_ANOTHER:
        break;
    }
    (void)snprintf(
        why, sizeof(why),
        "the state store is held by %s; if that is gone for good, delete the node %.200s on %.100s", who,
        v->place->path, v->place->hosts);
    end(v, CLAIM_ANOTHERS, why);
}

static void look(struct claim_visit *v)
{
    int rc = v->rounds-- > 0 ? zk_get(v->zk, v->path, 0, 0, on_read, v) : ZOPERATIONTIMEOUT;
    if (rc != ZOK)
        fail(v, "read", rc);
}

static void on_synced(void *arg, const struct zk_reply *reply)
{
    struct claim_visit *v = arg;

    if (v->zk == NULL)
        return;
    if (reply->rc == ZOK || reply->rc == ZNONODE)
        look(v);
    else
        fail(v, "sync", reply->rc);
}

void claim_visit_start(struct claim_visit *v, struct zk *zk, const struct claim_place *place,
                       const struct claim_self *self, claim_visited *done, void *arg)
{
    *v = (struct claim_visit){
        .zk = zk, .place = place, .self = self, .rounds = ROUNDS, .done = done, .arg = arg};
    v->text = claim_write(self);
    if (v->text == NULL || asprintf(&v->path, ZK_OUTSIDE_CHROOT "%s", place->path) < 0) {
        v->path = NULL;
        end(v, CLAIM_AWAY, "out of memory");
        return;
    }
    /* A server that lags behind could show a claim that has been deleted and laid anew. */
    int rc = zk_sync(zk, v->path, on_synced, v);
    if (rc != ZOK)
        fail(v, "sync", rc);
}

void claim_visit_stop(struct claim_visit *v)
{
    free(v->path);
    free(v->text);
    v->path = v->text = NULL;
    v->zk = NULL;
}
