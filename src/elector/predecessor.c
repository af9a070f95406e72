/* predecessor.c - see the header. The name is looked up in a thread (zk_resolve.h), once for each URL that
 * resolves. */
#include "predecessor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"
#include "zk_resolve.h"

struct predecessor {
    struct event_base *base;
    struct predecessor_limits limits;
    predecessor_done *done;
    void *arg;
    uint64_t op;
    char url[320]; /* what `probe` is for */
    struct probe *probe;
    struct zk_resolve *resolve;
    struct event *limit; /* of the look-up; or due at once: it could not be begun */
    int lacked;          /* the errno of what was not there to begin it with; 0: it is no name */
};

static void finish(struct predecessor *p, enum predecessor_verdict verdict, const char *reason)
{
    (void)evtimer_del(p->limit);
    p->done(p->arg, p->op, verdict, reason);
}

/* Without a probe there is no answer: because there is nobody to ask, or because we cannot ask. */
static void finish_unasked(struct predecessor *p, int error, const char *reason)
{
    if (probe_lacked(error))
        finish(p, PREDECESSOR_UNTOLD, strerror(error));
    else
        finish(p, PREDECESSOR_SILENT, reason);
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct predecessor *p = arg;

    (void)fd;
    (void)what;
    zk_resolve_cancel(p->resolve);
    p->resolve = NULL;
    finish_unasked(p, p->lacked, "its address is not known");
}

struct predecessor *predecessor_new(struct event_base *base, const struct predecessor_limits *limits,
                                    predecessor_done *done, void *arg)
{
    struct predecessor *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->base = base;
    p->limits = *limits;
    p->done = done;
    p->arg = arg;
    p->limit = evtimer_new(base, on_limit, p);
    if (p->limit != NULL)
        return p;
    free(p);
    return NULL;
}

static void forget(struct predecessor *p)
{
    (void)evtimer_del(p->limit);
    zk_resolve_cancel(p->resolve);
    p->resolve = NULL;
    if (p->probe != NULL)
        probe_cancel(p->probe);
}

void predecessor_free(struct predecessor *p)
{
    if (p == NULL)
        return;
    forget(p);
    if (p->probe != NULL)
        probe_free(p->probe);
    event_free(p->limit);
    free(p);
}

static void on_probe(void *arg, const struct probe_result *result)
{
    enum predecessor_verdict verdict = result->status != 0 ? PREDECESSOR_ANSWERS : PREDECESSOR_SILENT;

    finish(arg, result->untold ? PREDECESSOR_UNTOLD : verdict, result->reason);
}

/* The first literal that is IPv4, where Java listens first; else the first. */
static bool take_address(const char *literals, struct probe_target *target)
{
    const char *chosen = literals;

    for (const char *at = literals; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        const char *colon = strchr(at, ':');
        if (colon != NULL && strchr(colon + 1, ':') == NULL) {
            chosen = at;
            break;
        }
    }
    size_t length = strcspn(chosen, ",");
    while (length > 0 && chosen[length] != ':')
        length--;
    if (length == 0 || length >= sizeof(target->address))
        return false;
    memcpy(target->address, chosen, length);
    target->address[length] = '\0';
    target->port = (int)strtol(chosen + length + 1, NULL, 10);
    return true;
}

static void on_resolved(void *arg, const char *literals, const char *error)
{
    struct predecessor *p = arg;
    struct probe_target target = {.tls = strncmp(p->url, "https:", 6) == 0};
    int lacked = literals == NULL ? errno : 0;

    p->resolve = NULL;
    (void)evtimer_del(p->limit);
    if (literals != NULL && take_address(literals, &target)) {
        p->probe = probe_new(p->base, &target, on_probe, p);
        lacked = p->probe == NULL ? errno : 0;
    }
    if (p->probe != NULL)
        probe_start_within(p->probe, p->limits.connect, p->limits.answer);
    else
        finish_unasked(p, lacked, error != NULL ? error : "its address is not known");
}

static void look_up(struct predecessor *p)
{
    struct timeval limit = {.tv_sec = p->limits.answer / 1000, .tv_usec = p->limits.answer % 1000 * 1000};
    const char *host = strstr(p->url, "://");

    p->lacked = 0;
    if (host != NULL) {
        p->resolve = zk_resolve_start(p->base, host + strlen("://"), on_resolved, p);
        p->lacked = p->resolve == NULL ? errno : 0;
    }
    if (p->resolve == NULL)
        limit = (struct timeval){0};
    if (evtimer_add(p->limit, &limit) != 0)
        abort(); /* out of memory: the keeper starts another one */
}

void predecessor_ask(struct predecessor *p, const char *url, uint64_t op)
{
    forget(p);
    p->op = op;
    if (p->probe != NULL && strcmp(url, p->url) == 0) {
        probe_start_within(p->probe, p->limits.connect, p->limits.answer);
        return;
    }
    if (p->probe != NULL)
        probe_free(p->probe);
    p->probe = NULL;
    snprintf(p->url, sizeof(p->url), "%s", url);
    look_up(p);
}
