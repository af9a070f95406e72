/* transition.h - the log's line for each transition of this member: from what to what, the reason, the epoch,
 * how long it took. */
#ifndef LIVY_HA_ELECTOR_TRANSITION_H
#define LIVY_HA_ELECTOR_TRANSITION_H

#include "core.h"

struct elector;

void transition_phase(struct elector *e, const struct core_action *action); /* PHASE */
void transition_event(const struct core_action *action);                    /* HISTORY */

#endif
