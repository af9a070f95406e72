/* target.c - see target.h. */
#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "livy-ha/log.h"
#include "view.h"

#define LOOK_AGAIN 1     /* s, where the resolver failed */
#define OLD_AFTER 500000 /* us, in which the resolver may still say where the host is now */

/* What is known from before has to do. */
static void take_old(struct target *target)
{
    if (!target->old)
        return;
    target->old = false;
    target->changed(target->arg);
}

static void fail(struct target *target, const char *why)
{
    const struct timeval pause = {.tv_sec = LOOK_AGAIN};

    snprintf(target->why, sizeof(target->why), "%s", why);
    if (!target->told)
        log_warn("%s: %s", target->why,
                 target->name->n > 0 ? "its last known addresses are used" : "requests to it are held");
    target->told = true;
    event_add(target->again, &pause);
    take_old(target);
}

static void on_resolved(void *arg, const struct sockaddr_storage *addresses, size_t n, const char *error)
{
    struct target *target = arg;

    target->resolve = NULL;
    if (n == 0) {
        fail(target, error);
        return;
    }
    if (n > RESOLVE_ADDRESSES)
        n = RESOLVE_ADDRESSES;
    memcpy(target->name->addresses, addresses, n * sizeof(*addresses));
    target->name->n = n;
    target->told = target->old = false;
    event_del(target->again);
    target->why[0] = '\0';
    target->changed(target->arg);
}

static void look(struct target *target)
{
    char why[400];

    target->resolve = resolve_start(target->base, target->host, target->port, on_resolved, target);
    if (target->resolve != NULL)
        return;
    snprintf(why, sizeof(why), "%s cannot be looked up: %s", target->host, strerror(errno));
    fail(target, why);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct target *target = arg;

    (void)fd;
    (void)what;
    if (target->name == NULL)
        return;
    if (target->resolve == NULL)
        look(target);
    else
        take_old(target);
}

/* An IP literal needs no thread. */
static bool literal(const char *host, struct sockaddr_storage *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        memcpy(address, &v4, sizeof(v4));
    else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        memcpy(address, &v6, sizeof(v6));
    else
        return false;
    return true;
}

static struct target_name *name_of(struct target *target, const char *host)
{
    struct target_name *oldest = &target->names[0];

    for (size_t i = 0; i < TARGET_NAMES; i++) {
        if (strcmp(target->names[i].host, host) == 0) {
            oldest = &target->names[i];
            break;
        }
        if (target->names[i].used < oldest->used)
            oldest = &target->names[i];
    }
    if (strcmp(oldest->host, host) != 0) {
        *oldest = (struct target_name){0};
        snprintf(oldest->host, sizeof(oldest->host), "%s", host);
    }
    oldest->used = ++target->looks;
    return oldest;
}

void target_set(struct target *target, const char *url)
{
    struct sockaddr_storage address;

    resolve_cancel(target->resolve);
    target->resolve = NULL;
    event_del(target->again);
    target->name = NULL;
    target->told = target->old = false;
    target->why[0] = '\0';
    if (url[0] == '\0')
        return;
    if (!view_parse_url(url, target->host, sizeof(target->host), &target->port)) {
        log_error("the active Livy's address, %s, is not one: requests to it are held", url);
        snprintf(target->why, sizeof(target->why), "the active Livy's address, %s, is not one", url);
        return;
    }
    target->name = name_of(target, target->host);
    if (literal(target->host, &address)) {
        target->name->addresses[0] = address;
        target->name->n = 1;
        return;
    }
    /* With a new view the host may have a new address, and its old one be somebody else's Livy. */
    target->old = target->name->n > 0;
    if (target->old)
        event_add(target->again, &(struct timeval){.tv_usec = OLD_AFTER});
    look(target);
}

bool target_address(const struct target *target, size_t i, int port, struct sockaddr_storage *address,
                    socklen_t *length)
{
    if (target->name == NULL || target->old || i >= target->name->n)
        return false;
    *address = target->name->addresses[i];
    if (address->ss_family == AF_INET) {
        ((struct sockaddr_in *)(void *)address)->sin_port = htons((uint16_t)port);
        *length = sizeof(struct sockaddr_in);
    } else {
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons((uint16_t)port);
        *length = sizeof(struct sockaddr_in6);
    }
    return true;
}

int target_init(struct target *target, struct event_base *base, void (*changed)(void *arg), void *arg)
{
    *target = (struct target){.base = base, .changed = changed, .arg = arg};
    target->again = evtimer_new(base, on_again, target);
    return target->again != NULL ? 0 : -1;
}

void target_close(struct target *target)
{
    resolve_cancel(target->resolve);
    target->resolve = NULL;
    if (target->again != NULL)
        event_free(target->again);
    target->again = NULL;
}
