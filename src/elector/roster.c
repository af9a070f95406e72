/* roster.c - see the header. */
#include "roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "paths.h"
#include "record.h"

#define CLUSTER_KEY "cluster " /* in <root>/store */
#define EXPIRY_SLACK                                                                                         \
    2000 /* ms beyond 1.5 T after which a node that is still there belongs to somebody alive */

enum step {            /* in this order, each counts the next one up */
            STEP_ROOT, /* repeated until each part of it is there */
            STEP_LEADER,
            STEP_MEMBERS,
            STEP_KNOWN,
            STEP_HISTORY,
            STEP_DEATHS,
            STEP_HANDOVER,
            STEP_TENURES,
            STEP_STORE,
            STEP_KNOWN_ALREADY, /* has this session registered before? */
            STEP_CLAIM,
            STEP_MEMBER,    /* members/<id> */
            STEP_SHOULD_BE, /* known/<id> */
            STEP_DONE,
};

struct roster {
    char root[520], id[160], host[256], runtime_dir[256], boot[64], member_path[PATH_SIZE];
    char *fingerprint;
    char cluster[CLAIM_CLUSTER_SIZE]; /* the cluster's id, of <root>/store; "": not known yet */
    struct claim *claim;
    roster_done *done;
    void *arg;
    struct zk *zk; /* NULL: stopped */
    struct zk_session session;
    char *json;
    int64_t now;
    size_t root_done; /* how much of root has been made */
    enum step step;
    bool registered, publishing, publish_again;
    int64_t taken_session; /* whose members/<id> is in our way, and since when */
    int64_t taken_since;
};

struct roster *roster_new(const struct roster_options *options, roster_done *done, void *arg)
{
    struct roster *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    snprintf(r->root, sizeof(r->root), "%s", options->root);
    snprintf(r->id, sizeof(r->id), "%s", options->id);
    snprintf(r->host, sizeof(r->host), "%s", options->host);
    snprintf(r->runtime_dir, sizeof(r->runtime_dir), "%s", options->runtime_dir);
    snprintf(r->boot, sizeof(r->boot), "%s", options->boot);
    path_make(r->member_path, r->root, "members", r->id);
    r->fingerprint = options->fingerprint != NULL ? strdup(options->fingerprint) : NULL;
    r->claim = options->claim;
    r->done = done;
    r->arg = arg;
    return r;
}

void roster_free(struct roster *r)
{
    if (r == NULL)
        return;
    free(r->fingerprint);
    free(r->json);
    free(r);
}

void roster_stop(struct roster *r)
{
    r->zk = NULL;
    r->registered = r->publishing = false;
    if (r->claim != NULL)
        claim_stop(r->claim);
}

void roster_resume(struct roster *r, struct zk *zk)
{
    r->zk = zk;
    r->registered = true;
}

static void finish(struct roster *r, enum roster_result result, const char *why)
{
    r->registered = result == ROSTER_OK;
    r->done(r->arg, result, why);
}

static void fail(struct roster *r, int rc, const char *path)
{
    char why[256];

    snprintf(why, sizeof(why), "%.180s: %s", path, zerror(rc));
    finish(r, rc == ZNOAUTH || rc == ZINVALIDACL || rc == ZAUTHFAILED ? ROSTER_DENIED : ROSTER_RETRY, why);
}

/* ---- the steps, in order
 * ----------------------------------------------------------------------------------------- */

static void advance(struct roster *r);

static void parent_made(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;
    if (r->zk == NULL)
        return;
    if (reply->rc != ZOK && reply->rc != ZNODEEXISTS) {
        fail(r, reply->rc, r->root);
        return;
    }
    r->step++;
    advance(r);
}

static void make(struct roster *r, const char *path, const char *data, int mode)
{
    int rc = zk_create(r->zk, path, data, (int)strlen(data), mode, parent_made, r);
    if (rc != ZOK)
        fail(r, rc, path);
}

/* One part of the root after the other; `step` 0 is repeated until it is whole. */
static bool make_root(struct roster *r)
{
    char path[sizeof(r->root)];
    const char *next;

    if (r->root_done >= strlen(r->root))
        return false;
    next = strchr(r->root + r->root_done + 1, '/');
    size_t length = next != NULL ? (size_t)(next - r->root) : strlen(r->root);
    memcpy(path, r->root, length);
    path[length] = '\0';
    r->root_done = length;
    r->step--; /* parent_made adds one */
    make(r, path, "", 0);
    return true;
}

static void store_made(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;
    if (r->zk == NULL)
        return;
    /* Looked at in any case: somebody may have been quicker. */
    if (reply->rc != ZOK && reply->rc != ZNODEEXISTS && reply->rc != ZBADVERSION && reply->rc != ZNONODE) {
        fail(r, reply->rc, "store");
        return;
    }
    advance(r);
}

/* 128 random bits in hexadecimal. False where there are none: tried again. */
static bool draw_cluster(char cluster[static CLAIM_CLUSTER_SIZE])
{
    unsigned char bits[(CLAIM_CLUSTER_SIZE - 1) / 2];

    if (getrandom(bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t)sizeof(bits))
        return false;
    for (size_t i = 0; i < sizeof(bits); i++)
        snprintf(cluster + 2 * i, 3, "%02x", bits[i]);
    return true;
}

/* <root>/store is two lines: the fingerprint, and the id of the cluster. A root that was removed while we ran
 * gets the id that we know, so that our claim on the store stays ours. `version` -1: made, else written over.
 */
static void write_store(struct roster *r, const char *path, int version)
{
    char *text = NULL;

    if ((r->cluster[0] == '\0' && !draw_cluster(r->cluster)) ||
        asprintf(&text, "%s\n" CLUSTER_KEY "%s", r->fingerprint, r->cluster) < 0) {
        finish(r, ROSTER_RETRY, "no random numbers or no memory for the cluster's id");
        return;
    }
    int length = (int)strlen(text);
    int rc = version < 0 ? zk_create(r->zk, path, text, length, 0, store_made, r)
                         : zk_set(r->zk, path, text, length, version, store_made, r);
    free(text);
    if (rc != ZOK)
        fail(r, rc, path);
}

static bool take_cluster(struct roster *r, const char *line)
{
    size_t length = sizeof(CLUSTER_KEY) - 1;

    if (strncmp(line, CLUSTER_KEY, length) != 0)
        return false;
    line += length;
    if (strspn(line, "0123456789abcdef") != CLAIM_CLUSTER_SIZE - 1)
        return false;
    memcpy(r->cluster, line, CLAIM_CLUSTER_SIZE - 1);
    return true;
}

/* Rule 7: one store, one cluster. */
static void store_read(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;
    char path[PATH_SIZE], why[512];

    if (r->zk == NULL)
        return;
    path_make(path, r->root, NULL, "store");
    if (reply->rc == ZNONODE) {
        write_store(r, path, -1);
        return;
    }
    if (reply->rc != ZOK) {
        fail(r, reply->rc, path);
        return;
    }
    const char *value = reply->value_length > 0 ? reply->value : "";
    size_t line = strcspn(value, "\n");
    if (line > 0 && (line != strlen(r->fingerprint) || strncmp(value, r->fingerprint, line) != 0)) {
        snprintf(why, sizeof(why),
                 "this member's state store is \"%.120s\", but the cluster's is \"%.*s\": set "
                 "livy.state_store_url alike on all "
                 "members, or remove %.100s while all of them are stopped",
                 r->fingerprint, line < 120 ? (int)line : 120, value, path);
        finish(r, ROSTER_STORE, why);
        return;
    }
    if (value[line] != '\n' || !take_cluster(r, value + line + 1)) {
        write_store(r, path, reply->stat->version);
        return;
    }
    r->step++;
    advance(r);
}

/* ---- the claim on the store's side ---- */

/* Where members/<id> is this session's, an elector before us has laid the claim in it: Livy may be running,
 * and must not depend on asking once more. */
static void known_already(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;

    if (r->zk == NULL)
        return;
    if (reply->rc != ZOK && reply->rc != ZNONODE) {
        fail(r, reply->rc, r->member_path);
        return;
    }
    bool ours = reply->rc == ZOK && reply->stat->ephemeralOwner == r->session.id;
    r->step = ours ? STEP_MEMBER : STEP_CLAIM;
    advance(r);
}

static void claimed(void *arg, enum claim_answer answer, const char *why)
{
    struct roster *r = arg;

    if (r->zk == NULL)
        return;
    switch (answer) {
    case CLAIM_OURS:
        r->step++;
        advance(r);
        return;
    case CLAIM_ANOTHERS:
        finish(r, ROSTER_STORE, why);
        return;
    case CLAIM_AWAY:
        finish(r, ROSTER_RETRY, why);
        return;
    }
}

static void member_step(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;
    if (r->zk == NULL)
        return;
    if (reply->rc != ZOK && reply->rc != ZNONODE && reply->rc != ZBADVERSION) {
        fail(r, reply->rc, r->member_path);
        return;
    }
    if (reply->rc == ZOK && reply->stat != NULL) { /* our own node was written anew */
        r->step++;
    }
    advance(r);
}

/* The node is there already: ours (a successor of an elector), of a dead predecessor of ours, or of somebody
 * else. */
static void member_read(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;
    char why[512];

    if (r->zk == NULL)
        return;
    if (reply->rc != ZOK) {
        if (reply->rc == ZNONODE)
            advance(r);
        else
            fail(r, reply->rc, r->member_path);
        return;
    }
    int64_t owner = reply->stat->ephemeralOwner;
    if (owner == r->session.id) {
        int rc = zk_set(r->zk, r->member_path, r->json, (int)strlen(r->json), -1, member_step, r);
        if (rc != ZOK)
            fail(r, rc, r->member_path);
        return;
    }
    json_t *other = record_load(reply);
    const char *host = record_text(other, "host");
    if (r->boot[0] != '\0' && strcmp(record_text(other, "boot"), r->boot) == 0 &&
        strcmp(host, r->host) == 0 && strcmp(record_text(other, "runtime_dir"), r->runtime_dir) == 0) {
        /* Same host, boot and runtime_dir, and we hold the lock of that: whoever made it is dead. */
        int rc = zk_delete(r->zk, r->member_path, reply->stat->version, member_step, r);
        json_decref(other);
        if (rc != ZOK)
            fail(r, rc, r->member_path);
        return;
    }
    if (owner != r->taken_session) {
        r->taken_session = owner;
        r->taken_since = r->now;
    }
    snprintf(why, sizeof(why),
             "the id \"%.128s\" is in use by a member on host %.200s (session 0x%llx): give each member an "
             "id of its own",
             r->id, host[0] != '\0' ? host : "unknown", (unsigned long long)owner);
    json_decref(other);
    bool alive = r->now - r->taken_since >= r->session.timeout + r->session.timeout / 2 + EXPIRY_SLACK;
    finish(r, alive ? ROSTER_ID_TAKEN : ROSTER_RETRY, why);
}

static void member_made(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;
    if (r->zk == NULL)
        return;
    if (reply->rc == ZOK) {
        r->step++;
        advance(r);
        return;
    }
    int rc = reply->rc == ZNODEEXISTS ? zk_get(r->zk, r->member_path, 0, 0, member_read, r) : reply->rc;
    if (rc != ZOK)
        fail(r, rc, r->member_path);
}

static void make_known(struct roster *r)
{
    char path[PATH_SIZE];
    char *text = record_known(r->id, r->host);

    path_make(path, r->root, "known", r->id);
    make(r, path, text != NULL ? text : "{}", 0);
    free(text);
}

static void advance(struct roster *r)
{
    char path[PATH_SIZE];
    int rc = ZOK;

    switch (r->step) {
    case STEP_ROOT:
        if (make_root(r))
            return;
        r->step = STEP_LEADER;
        /* fall through */
    case STEP_LEADER:
        path_make(path, r->root, NULL, "leader");
        make(r, path, "", ZOO_CONTAINER); /* as Curator makes its parents */
        return;
    case STEP_MEMBERS:
        path_make(path, r->root, NULL, "members");
        make(r, path, "", 0);
        return;
    case STEP_KNOWN:
        path_make(path, r->root, NULL, "known");
        make(r, path, "", 0);
        return;
    case STEP_HISTORY:
        path_make(path, r->root, NULL, "history");
        make(r, path, "[]", 0);
        return;
    case STEP_DEATHS:
        path_make(path, r->root, NULL, "deaths");
        make(r, path, "[]", 0);
        return;
    case STEP_HANDOVER:
        path_make(path, r->root, NULL, "handover");
        make(r, path, "", 0); /* who last left in order: see zk_release */
        return;
    case STEP_TENURES:
        path_make(path, r->root, NULL, "tenures");
        make(r, path, "", 0); /* see tenure.h */
        return;
    case STEP_STORE:
        if (r->fingerprint != NULL) {
            path_make(path, r->root, NULL, "store");
            rc = zk_get(r->zk, path, 0, 0, store_read, r);
            break;
        }
        r->step = STEP_MEMBER;
        advance(r);
        return;
    case STEP_KNOWN_ALREADY:
        rc = zk_exists(r->zk, r->member_path, 0, 0, known_already, r);
        break;
    case STEP_CLAIM:
        if (r->claim != NULL) {
            claim_ask(r->claim, r->zk, r->session.id, r->cluster, claimed, r);
            return;
        }
        r->step = STEP_MEMBER;
        /* fall through */
    case STEP_MEMBER:
        rc = zk_create(r->zk, r->member_path, r->json, (int)strlen(r->json), ZOO_EPHEMERAL, member_made, r);
        break;
    case STEP_SHOULD_BE:
        make_known(r);
        return;
    case STEP_DONE:
        r->taken_session = 0;
        finish(r, ROSTER_OK, "registered");
        return;
    }
    if (rc != ZOK)
        fail(r, rc, r->root);
}

static bool set_json(struct roster *r, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        return false;
    free(r->json);
    r->json = text;
    return true;
}

void roster_start(struct roster *r, struct zk *zk, const struct zk_session *session, const json_t *json,
                  int64_t now)
{
    r->zk = zk;
    r->session = *session;
    r->now = now;
    r->step = STEP_ROOT;
    r->root_done = 0;
    r->registered = r->publishing = r->publish_again = false;
    if (!set_json(r, json)) {
        finish(r, ROSTER_RETRY, "out of memory");
        return;
    }
    advance(r);
}

/* ---- publishing
 * --------------------------------------------------------------------------------------------------- */

static void published(void *arg, const struct zk_reply *reply);
static void member_remade(void *arg, const struct zk_reply *reply);

static void remake_member(struct roster *r)
{
    r->publishing = zk_create(r->zk, r->member_path, r->json, (int)strlen(r->json), ZOO_EPHEMERAL,
                              member_remade, r) == ZOK;
}

/* Where <root> itself is gone, all is made anew by registering: the latch node has gone with it. */
static void members_remade(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;

    r->publishing = false;
    if (r->zk != NULL && r->registered && (reply->rc == ZOK || reply->rc == ZNODEEXISTS))
        remake_member(r);
}

static void member_remade(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;
    char path[PATH_SIZE];

    if (reply->rc != ZNONODE || r->zk == NULL || !r->registered) {
        published(r, reply);
        return;
    }
    path_make(path, r->root, NULL, "members");
    r->publishing = zk_create(r->zk, path, "", 0, 0, members_remade, r) == ZOK;
}

static void published(void *arg, const struct zk_reply *reply)
{
    struct roster *r = arg;

    r->publishing = false;
    if (r->zk == NULL || !r->registered)
        return;
    if (reply->rc == ZNONODE) { /* somebody has removed it: we are here */
        log_warn("%s was removed by somebody: made again", r->member_path);
        remake_member(r);
        return;
    }
    if (reply->rc != ZOK)
        log_debug("members/%s: %s", r->id, zerror(reply->rc));
    if (r->publish_again) {
        r->publish_again = false;
        r->publishing = zk_set(r->zk, r->member_path, r->json, (int)strlen(r->json), -1, published, r) == ZOK;
    }
}

static void write_member(struct roster *r)
{
    r->publishing = zk_set(r->zk, r->member_path, r->json, (int)strlen(r->json), -1, published, r) == ZOK;
}

void roster_publish(struct roster *r, const json_t *json)
{
    if (r->zk == NULL || !r->registered || !set_json(r, json))
        return;
    if (r->publishing)
        r->publish_again = true;
    else
        write_member(r);
}

void roster_seen(struct roster *r, const json_t *seen)
{
    if (r->zk == NULL || !r->registered || r->publishing)
        return;
    json_t *own = json_loads(r->json, 0, NULL);
    bool same = own == NULL || (seen != NULL && json_equal(seen, own));
    json_decref(own);
    if (same)
        return;
    log_warn("%s is not as this member wrote it: written anew", r->member_path);
    write_member(r);
}
