/* close.c - see the header. A standby takes over as soon as the session's nodes are gone, instead of after T.
 */
#include "close.h"

#include <event2/event.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/log.h"
#include "paths.h"
#include "session.h"
#include "tenure.h"
#include "zk.h"
#include "zk_resolve.h"

#define LIMIT_S 5

struct closer {
    struct event_base *base;
    const struct conf *conf;
    struct zk_session session;
    char node[IPC_NODE_SIZE];   /* its latch node, "" where it had none */
    bool without_tenure;        /* there was none */
    struct zk_resolve *resolve; /* while it runs */
    struct zk *zk;
    bool over; /* the session is not there any more */
};

static void close_now(struct closer *c)
{
    zk_close(c->zk, false); /* a fresh session of our own is closed just as well */
    c->zk = NULL;
    c->over = true;
    event_base_loopbreak(c->base);
}

static void close_session(struct closer *c);

static void on_released(void *arg, const struct zk_reply *reply)
{
    struct closer *c = arg;

    if (reply->rc == ZNONODE && !c->without_tenure) {
        c->without_tenure = true; /* it was not active; or its node is gone already, but not its tenure */
        close_session(c);
        return;
    }
    close_now(c); /* where it was not there, closing is all the same */
}

/* Livy is dead (its lock is free): the latch node is given up in order, so that a standby need neither pause
 * nor fence. Not so by one without a tenure: it was no more than first, perhaps, in the middle of taking
 * over, and to speak of order is for who has done with that. */
static void close_session(struct closer *c)
{
    char path[PATH_SIZE], marker[PATH_SIZE], tenure[PATH_SIZE], name[CORE_TENURE_SIZE];

    tenure_name(c->conf, name);
    path_make(tenure, c->conf->zookeeper.root, "tenures", name);
    path_release(path, marker, c->conf->zookeeper.root, c->node);
    if (c->without_tenure || c->node[0] == '\0')
        (void)zk_delete(c->zk, tenure, -1, NULL, NULL);
    bool active = !c->without_tenure;
    if (c->node[0] == '\0' || zk_release(c->zk, path, active ? marker : NULL, c->node, active ? tenure : NULL,
                                         NULL, on_released, c) != ZOK)
        close_now(c);
}

static void on_session(void *arg, enum zk_state state, const struct zk_session *session, int64_t at)
{
    struct closer *c = arg;

    (void)at;
    switch (state) {
    case ZK_CONNECTED:
        if (session->id == c->session.id) {
            log_info("closing session 0x%" PRIx64, (uint64_t)c->session.id);
            close_session(c);
            return;
        }
        log_info("the session was over already");
        close_now(c);
        return;
    case ZK_LOST:
        log_info("the session was over already");
        c->over = true;
        event_base_loopbreak(c->base);
        return;
    case ZK_AUTH_FAILED:
        log_error("ZooKeeper refuses zookeeper.auth_digest");
        event_base_loopbreak(c->base);
        return;
    case ZK_SUSPENDED:
        return;
    }
}

static void on_resolved(void *arg, const char *literals, const char *error)
{
    struct closer *c = arg;
    char tls[3 * PATH_MAX + 256];
    struct zk_options options = {.hosts = literals,
                                 .session_timeout = c->session.timeout,
                                 .auth_digest = c->conf->zookeeper.auth_digest,
                                 .tls = act_tls(&c->conf->zookeeper, tls, sizeof(tls)),
                                 .adopt = &c->session};

    c->resolve = NULL;
    if (error != NULL)
        log_warn("%s", error);
    if (literals != NULL)
        c->zk = zk_open(c->base, &options, on_session, NULL, c);
    if (c->zk == NULL)
        event_base_loopbreak(c->base);
}

int close_run(const struct conf *conf)
{
    struct closer c = {.conf = conf};
    struct timeval limit = {.tv_sec = LIMIT_S};
    struct ipc_session kept;
    char why[512];

    if (session_load(conf->runtime_dir, &kept, why, sizeof(why)) != 0) {
        log_warn("nothing is closed: %s", why);
        session_unlink(conf->runtime_dir);
        return 0;
    }
    c.session.id = kept.id;
    c.session.timeout = kept.timeout;
    memcpy(c.session.password, kept.password, sizeof(c.session.password));
    memcpy(c.node, kept.node, sizeof(c.node));
    c.base = event_base_new();
    if (c.base == NULL)
        return 75;
    c.resolve = zk_resolve_start(c.base, conf->zookeeper.hosts, on_resolved, &c);
    if (c.resolve != NULL && event_base_loopexit(c.base, &limit) == 0)
        event_base_dispatch(c.base);
    zk_resolve_cancel(c.resolve);
    if (c.zk != NULL)
        zk_close(c.zk, !c.over);
    event_base_free(c.base);
    if (c.over)
        session_unlink(conf->runtime_dir);
    else
        log_warn("ZooKeeper was not reached within %d s: the session ends by itself", LIMIT_S);
    return c.over ? 0 : 75;
}
