/* guard.h - the third guard of the lease, in Livy's own process (livy.guard = "process"): the agent of
 * src/gate ends that process at the deadline whatever has become of the keeper and the elector. It is told
 * the deadline by a page of memory, which costs the keeper one store.
 */
#ifndef LIVY_HA_KEEPER_GUARD_H
#define LIVY_HA_KEEPER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/gate.h"

struct guard {
    struct gate_page *page; /* NULL: there is no guard */
    int page_fd;            /* the JVM inherits these two; both -1 once it has been started */
    int agents_end;
    int channel; /* our end */
};

#define GUARD_NONE                                                                                           \
    {                                                                                                        \
        .page_fd = -1, .agents_end = -1, .channel = -1                                                       \
    }

/* The agent's path. False where it is not installed. */
bool guard_agent(char *path, size_t size);

/* Makes page and channel for the Livy that is about to be started. 0, or -1 with errno. */
int guard_open(struct guard *guard, int64_t kill_at);
void guard_started(struct guard *guard); /* in the keeper, after the fork: the JVM has its descriptors */
/* What counts from now on. To be called after each step; does nothing where nothing has changed. */
void guard_lease(struct guard *guard, int64_t kill_at);
void guard_close(struct guard *guard); /* that Livy is dead, or was never started */

/* In the child, before exec: keeps the descriptors open over exec and writes the JVM's option (with a blank
 * before it; "" where there is no guard). False with errno. */
bool guard_pass(struct guard *guard, char *option, size_t size);
bool guard_keep(const struct guard *guard); /* after all others were marked close-on-exec */

#endif
