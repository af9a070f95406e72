/* orders.h - <root>/control as the model has it: one request of a switchover, and a pause. Compare-and-set is
 * an event in which it changes; each member is told of it as it is then (src/elector/command*.c). */
#ifndef LIVY_HA_MODEL_ORDERS_H
#define LIVY_HA_MODEL_ORDERS_H

#include "world.h"

bool orders_switchover(struct world *w, int to); /* to -1: to whoever is next; false: nothing to ask for */
bool orders_pause(struct world *w, int64_t until);
void orders_restart(struct world *w, int host); /* asked for on this member; written down in a pause */
void orders_tell(struct world *w, int host);    /* where its elector is connected */
void orders_mark(struct world *w, int host, const struct core_action *a);
void orders_stepped(struct world *w, int host); /* who serves after a switchover ends it */
void orders_event(struct world *w, const struct event *e);
bool orders_none(const struct world *w); /* all that was asked for has come to its end; a pause may last */

#endif
