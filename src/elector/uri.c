/* uri.c - see the header. */
#include "uri.h"

#include <stdio.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "paths.h"

#define RETRY 1000  /* ms */
#define WATCH_TAG 1 /* always the same: a watch that has not fired is not set a second time (zk.h) */

static void on_watched(void *arg, const struct zk_reply *reply);

static void settle(struct elector *e, int rc)
{
    e->uri.busy = false;
    e->uri.there = rc == ZOK;
    if (rc == ZOK) {
        e->uri.told = false;
        return;
    }
    e->uri.retry_at = clock_boot_ms() + RETRY;
    if (!e->uri.told && rc != ZCONNECTIONLOSS && rc != ZOPERATIONTIMEOUT && rc != ZSESSIONMOVED &&
        rc != ZNONODE)
        log_warn("%s/server.uri cannot be written (%s): clients that look it up do not find this member",
                 e->conf->zookeeper.root, zerror(rc));
    e->uri.told = true;
}

/* It is made: whoever takes it away or writes something else there is to be noticed. */
static void watch(struct elector *e)
{
    char path[PATH_SIZE];

    path_make(path, e->conf->zookeeper.root, NULL, "server.uri");
    if (e->zk != NULL && zk_exists(e->zk, path, WATCH_URI, WATCH_TAG, on_watched, e) != ZOK)
        uri_changed(e);
}

static void on_watched(void *arg, const struct zk_reply *reply)
{
    const struct elector *e = arg;

    if (reply->rc != ZOK || reply->stat->ephemeralOwner != e->session.id || reply->stat->version != 0)
        uri_changed(arg);
}

void uri_changed(struct elector *e)
{
    if (!e->uri.there)
        return; /* it is given up, or under way */
    e->uri.look = true;
    e->uri.retry_at = clock_boot_ms() + RETRY; /* somebody may do it again and again */
}

static void on_written(void *arg, const struct zk_reply *reply)
{
    settle(arg, reply->rc);
    if (reply->rc == ZOK)
        watch(arg);
}

static int make(struct elector *e, int replace, void (*done)(void *arg, const struct zk_reply *reply))
{
    char path[PATH_SIZE], latch[PATH_SIZE];

    if (e->zk == NULL || e->core.node[0] == '\0' || e->core.doomed)
        return ZNONODE; /* the latch is given up by now */
    path_make(path, e->conf->zookeeper.root, NULL, "server.uri");
    path_make(latch, e->conf->zookeeper.root, "leader", e->core.node);
    return zk_uri(e->zk, latch, path, e->uri.text, replace, done, e);
}

/* Somebody's stands there: ours, of an elector before this one; or of a session that is dead, or of one that
 * is not active any more, since we are. */
static void on_read(void *arg, const struct zk_reply *reply)
{
    struct elector *e = arg;

    if (reply->rc != ZOK) {
        settle(e, reply->rc);
        return;
    }
    bool ours = reply->stat->ephemeralOwner == e->session.id;
    const char *value = reply->value_length > 0 ? reply->value : "";
    if (ours && strcmp(value, e->uri.text) == 0) {
        settle(e, ZOK);
        return;
    }
    if (!ours)
        log_info("server.uri says \"%.200s\", of session 0x%llx, which is not active any more: replaced",
                 value, (unsigned long long)reply->stat->ephemeralOwner);
    int rc = make(e, reply->stat->version, on_written);
    if (rc != ZOK)
        settle(e, rc);
}

static void on_made(void *arg, const struct zk_reply *reply)
{
    struct elector *e = arg;
    char path[PATH_SIZE];

    if (reply->rc != ZNODEEXISTS) {
        on_written(e, reply);
        return;
    }
    path_make(path, e->conf->zookeeper.root, NULL, "server.uri");
    int rc = e->zk != NULL ? zk_get(e->zk, path, WATCH_URI, WATCH_TAG, on_read, e) : ZINVALIDSTATE;
    if (rc != ZOK)
        settle(e, rc);
}

void uri_update(struct elector *e)
{
    const struct core *c = &e->core;
    char text[sizeof(e->uri.text)];

    bool wanted = e->zk != NULL && c->connected && c->registered && c->leading && c->serving &&
                  c->own_known && !c->doomed && !c->quitting && core_livy_alive(c);
    if (!wanted || e->uri.busy || clock_boot_ms() < e->uri.retry_at)
        return;
    front_url(e->front, text, sizeof(text));
    if (e->uri.there && !e->uri.look && strcmp(text, e->uri.text) == 0)
        return;
    e->uri.look = false;
    snprintf(e->uri.text, sizeof(e->uri.text), "%s", text);
    e->uri.busy = true;
    int rc = make(e, -1, on_made);
    if (rc != ZOK)
        settle(e, rc);
}

void uri_stop(struct elector *e)
{
    e->uri.there = e->uri.busy = e->uri.look = false;
    e->uri.retry_at = 0;
}

bool uri_give_up(struct elector *e)
{
    bool there = e->uri.there || e->uri.busy;

    e->uri.there = false;
    return there;
}
