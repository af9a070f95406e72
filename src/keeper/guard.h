/* guard.h - the agent of src/gate in Livy's own process: the third guard of the lease (livy.guard =
 * "process"), which ends that process at the deadline whatever has become of the keeper and the elector, and
 * the gate at which a hot standby's Livy is held. It is told the deadline by a page of memory, which costs
 * the keeper one store.
 */
#ifndef LIVY_HA_KEEPER_GUARD_H
#define LIVY_HA_KEEPER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/conf.h"
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
/* The same for one that is not held, where the configuration asks for it. For class data alone the agent is
 * welcome, and not needed: 0 also where it could not be made. */
int guard_open_cold(struct guard *guard, const struct conf *conf, int64_t kill_at);
void guard_started(struct guard *guard); /* in the keeper, after the fork: the JVM has its descriptors */
/* What counts from now on. To be called after each step; does nothing where nothing has changed. */
void guard_lease(struct guard *guard, int64_t kill_at);
void guard_close(struct guard *guard); /* that Livy is dead, or was never started */

/* Lets the Livy at the gate go, under the lease that was told by guard_lease before. False with errno. */
bool guard_let_go(const struct guard *guard, int64_t kill_at);
/* Livy serves: its classes are to be written down for the next one that is held. */
void guard_record(const struct guard *guard);
/* What the agent says. 1; 0 where there is none now; -1 with errno: EPIPE where it is gone, EBADMSG. */
int guard_hear(const struct guard *guard, struct gate_msg *msg);

/* In the child, before exec: keeps the descriptors open over exec and writes the JVM's option (with a blank
 * before it; "" where there is no guard). `hold`: Livy stands at the gate until it is let go. False with
 * errno. */
bool guard_pass(struct guard *guard, const struct conf *conf, bool hold, char *option, size_t size);
bool guard_keep(const struct guard *guard); /* after all others were marked close-on-exec */

#endif
