/* close.c - see the header. A standby takes over as soon as the session's nodes are gone, instead of after T.
 */
#include "close.h"

#include <event2/event.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>

#include "elector.h"
#include "livy-ha/log.h"
#include "session.h"
#include "zk.h"
#include "zk_resolve.h"

#define LIMIT_S 5

struct closer {
    struct event_base *base;
    const struct conf *conf;
    struct zk_session session;
    struct zk_resolve *resolve; /* while it runs */
    struct zk *zk;
    bool over; /* the session is not there any more */
};

static void on_session(void *arg, enum zk_state state, const struct zk_session *session, int64_t at)
{
    struct closer *c = arg;

    (void)at;
    switch (state) {
    case ZK_CONNECTED:
        if (session->id != c->session.id)
            log_info("the session was over already");
        else
            log_info("closing session 0x%" PRIx64, (uint64_t)session->id);
        zk_close(c->zk, false); /* a fresh session of our own is closed just as well */
        c->zk = NULL;
        c->over = true;
        event_base_loopbreak(c->base);
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

static void on_watch(void *arg, int type, uint32_t kind, uint64_t tag)
{
    (void)arg;
    (void)type;
    (void)kind;
    (void)tag;
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
        log_warn("zookeeper.hosts: %s", error);
    if (literals != NULL)
        c->zk = zk_open(c->base, &options, on_session, on_watch, c);
    if (c->zk == NULL)
        event_base_loopbreak(c->base);
}

int close_run(const struct conf *conf)
{
    struct closer c = {.conf = conf};
    struct timeval limit = {.tv_sec = LIMIT_S};
    char why[512];

    if (session_load(conf->runtime_dir, &c.session, why, sizeof(why)) != 0) {
        log_warn("nothing is closed: %s", why);
        session_unlink(conf->runtime_dir);
        return 0;
    }
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
