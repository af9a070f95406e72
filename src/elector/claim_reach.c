/* claim_reach.c - a visit to the state store's ensemble where that is not the one of zookeeper.hosts: a
 * handle is opened, asked and closed again, within a limit. It carries no credentials: they are not for that
 * ensemble, and Livy has none there either; so the claim is open to all, as Livy's own nodes are.
 */
#include "claim_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#define LIMIT_S 5
#define SESSION_TIMEOUT 10000 /* ms: two thirds of it are more than the limit */

/* A server that has just answered closes the session at once. One that is connected and silent would make the
 * close wait for it: there the session is left to expire. */
static void drop_handle(struct claim_reach *r)
{
    claim_visit_stop(&r->visit);
    if (r->resolve != NULL)
        zk_resolve_cancel(r->resolve);
    if (r->zk != NULL)
        zk_close(r->zk, r->connected && !r->answered);
    if (r->limit != NULL)
        event_free(r->limit);
    r->resolve = NULL;
    r->zk = NULL;
    r->limit = NULL;
}

static void end(struct claim_reach *r, enum claim_answer answer, const char *why)
{
    drop_handle(r);
    r->done(r->arg, answer, why);
}

static void fail(struct claim_reach *r, const char *what)
{
    char why[CLAIM_WHY_SIZE];

    (void)snprintf(
        why, sizeof(why),
        "the state store's ZooKeeper %.160s is not to be reached (%.200s), so whether another cluster holds "
        "the store is not known",
        r->place->hosts, what);
    end(r, CLAIM_AWAY, why);
}

static void on_visited(void *arg, enum claim_answer answer, const char *why)
{
    struct claim_reach *r = arg;

    r->answered = answer != CLAIM_AWAY;
    end(r, answer, why);
}

static void on_session(void *arg, enum zk_state state, const struct zk_session *session, int64_t at)
{
    struct claim_reach *r = arg;

    (void)session;
    (void)at;
    switch (state) {
    case ZK_CONNECTED:
        r->connected = true;
        claim_visit_start(&r->visit, r->zk, r->place, r->self, on_visited, r);
        return;
    case ZK_SUSPENDED:
        r->connected = false;
        fail(r, "the connection was lost");
        return;
    case ZK_LOST:
    case ZK_AUTH_FAILED:
        r->connected = false;
        fail(r, "it refused the session");
        return;
    }
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct claim_reach *r = arg;

    (void)fd;
    (void)what;
    fail(r, r->connected ? "connected, but it does not answer" : "no connection within 5 s");
}

static void on_resolved(void *arg, const char *literals, const char *error)
{
    static const char prefix[] = "zookeeper.hosts: "; /* of the resolver, which is mostly asked for those */
    struct claim_reach *r = arg;
    /* ZooKeeper's client of Livy 0.7 and 0.8 has no TLS, so a store is more often without it. */
    struct zk_options options = {
        .hosts = literals, .session_timeout = SESSION_TIMEOUT, .tls = r->attempts % 2 == 0 ? r->tls : NULL};

    r->resolve = NULL;
    if (literals == NULL) {
        if (strncmp(error, prefix, sizeof(prefix) - 1) == 0)
            error += sizeof(prefix) - 1;
        fail(r, error);
        return;
    }
    r->zk = zk_open(r->base, &options, on_session, NULL, r);
    if (r->zk == NULL)
        fail(r, strerror(errno));
}

void claim_reach_start(struct claim_reach *r, claim_visited *done, void *arg)
{
    static const struct timeval limit = {.tv_sec = LIMIT_S};

    r->done = done;
    r->arg = arg;
    r->connected = r->answered = false;
    r->attempts++;
    r->limit = evtimer_new(r->base, on_limit, r);
    r->resolve = zk_resolve_start(r->base, r->place->hosts, on_resolved, r);
    if (r->limit == NULL || r->resolve == NULL || evtimer_add(r->limit, &limit) != 0)
        fail(r, strerror(errno));
}

void claim_reach_stop(struct claim_reach *r)
{
    drop_handle(r);
}
