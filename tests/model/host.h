/* host.h - a member: the keeper's machine, the elector's machine, the channel between them, and a Livy that
 * dies late. The glue here does what keeper.c, act.c, channel.c and guard.c do.
 */
#ifndef LIVY_HA_MODEL_HOST_H
#define LIVY_HA_MODEL_HOST_H

#include "world.h"

void host_event(struct world *w, const struct event *e);

void host_elector_step(struct world *w, int host, struct core_event *event);
void host_elector_reply(struct world *w, int host, const struct zmsg *m);
void host_node_gone(struct world *w, int32_t epoch, enum violation how, const char *why);

/* Faults. */
void host_kill_elector(struct world *w, int host);
void host_kill_keeper(struct world *w, int host);
void host_stop_elector(struct world *w, int host, int64_t until);
void host_stop_keeper(struct world *w, int host, int64_t until);
void host_power_off(struct world *w, int host);
bool host_upgrade(struct world *w, int host);  /* false: the keeper would not do it now */
void host_quit(struct world *w, int host);     /* SIGTERM to the daemon */
void host_end_livy(struct world *w, int host); /* by itself */

bool host_well(const struct world *w, int host);
bool host_serves(const struct world *w, int host);

#endif
