/* target.h - the addresses of the Livy that requests go to. Names are looked up off the loop, anew with each
 * view; the last good addresses of a name are kept, and used where the resolver fails or takes longer than a
 * moment.
 */
#ifndef LIVY_HA_RELAY_TARGET_H
#define LIVY_HA_RELAY_TARGET_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "resolve.h"

#define TARGET_NAMES 8

struct target_name {
    char host[256];
    struct sockaddr_storage addresses[RESOLVE_ADDRESSES];
    size_t n;
    unsigned long used; /* when, in look-ups: the name unused for longest makes way */
};

struct target {
    struct event_base *base;
    struct event *again;
    struct resolve *resolve;
    void (*changed)(void *arg);
    void *arg;
    char host[256];
    int port;
    struct target_name names[TARGET_NAMES], *name; /* name: of host; NULL: no target */
    unsigned long looks;
    char why[512]; /* why there is no address, "" where there is */
    bool told;
    bool old; /* the addresses of `name` are of an earlier look-up: this one is waited for */
};

/* `changed` is called when addresses have become known. -1: no memory. */
int target_init(struct target *target, struct event_base *base, void (*changed)(void *arg), void *arg);
void target_close(struct target *target);

void target_set(struct target *target, const char *url); /* "" for none */

/* The address number `i` with `port` in it; false where there is none. */
bool target_address(const struct target *target, size_t i, int port, struct sockaddr_storage *address,
                    socklen_t *length);

#endif
