/* predecessor.c - see the header. The name is looked up in a thread (resolve.h), once for each URL that
 * resolves. */
#include "predecessor.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"
#include "resolve.h"

struct predecessor {
    struct event_base *base;
    struct predecessor_limits limits;
    predecessor_done *done;
    void *arg;
    uint64_t op;
    char url[320]; /* what `probe` is for */
    struct probe *probe;
    struct resolve *resolve;
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
    resolve_cancel(p->resolve);
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
    resolve_cancel(p->resolve);
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

/* The first address that is IPv4, where Java listens first; else the first. */
static bool take_address(const struct sockaddr_storage *addresses, size_t n, struct probe_target *target)
{
    const struct sockaddr_storage *chosen = addresses;
    char port[NI_MAXSERV];

    if (n == 0)
        return false;
    for (size_t i = n; i > 0; i--) {
        if (addresses[i - 1].ss_family == AF_INET)
            chosen = &addresses[i - 1];
    }
    if (getnameinfo((const struct sockaddr *)chosen, sizeof *chosen, target->address, sizeof target->address,
                    port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    target->port = (int)strtol(port, NULL, 10);
    return true;
}

static void on_resolved(void *arg, const struct sockaddr_storage *addresses, size_t n, const char *error)
{
    struct predecessor *p = arg;
    struct probe_target target = {.tls = strncmp(p->url, "https:", 6) == 0};
    int lacked = n == 0 ? errno : 0;

    p->resolve = NULL;
    (void)evtimer_del(p->limit);
    if (take_address(addresses, n, &target)) {
        p->probe = probe_new(p->base, &target, on_probe, p);
        lacked = p->probe == NULL ? errno : 0;
    }
    if (p->probe != NULL)
        probe_start_within(p->probe, p->limits.connect, p->limits.answer);
    else
        finish_unasked(p, lacked, error != NULL ? error : "its address is not known");
}

/* Takes "http(s)://host:port" or "http(s)://[v6]:port" apart. */
static bool split_url(const char *url, char *host, size_t size, int *port)
{
    const char *start = strstr(url, "://"), *end;
    char *rest;

    if (start == NULL)
        return false;
    start += strlen("://");
    end = *start == '[' ? strchr(start, ']') : strchr(start, ':');
    if (end == NULL)
        return false;
    const char *colon = *start == '[' ? end + 1 : end;
    start += *start == '[';
    if (*colon != ':' || end == start || (size_t)(end - start) >= size)
        return false;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *port = (int)strtol(colon + 1, &rest, 10);
    return rest != colon + 1 && *rest == '\0' && *port > 0 && *port <= 65535;
}

static void look_up(struct predecessor *p)
{
    struct timeval limit = {.tv_sec = p->limits.answer / 1000, .tv_usec = p->limits.answer % 1000 * 1000};
    char host[sizeof p->url];
    int port;

    p->lacked = 0;
    if (split_url(p->url, host, sizeof host, &port)) {
        p->resolve = resolve_start(p->base, host, port, on_resolved, p);
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
