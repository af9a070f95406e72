/* transition.c - see the header. */
#include "transition.h"

#include <inttypes.h>
#include <stdio.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"

/* "confirming -> active: first in the queue, lease proved (epoch 29, after 14 ms)" */
void transition_phase(struct elector *e, const struct core_action *action)
{
    int64_t now = clock_boot_ms(), after = e->phase_since > 0 ? now - e->phase_since : 0;
    char epoch[40] = "";

    e->phase_since = now;
    if (e->core.epoch != 0)
        snprintf(epoch, sizeof(epoch), "epoch %" PRId64 ", ", e->core.epoch);
    log_info("%s -> %s: %s (%safter %" PRId64 " ms)", core_phase_name(action->old_phase),
             core_phase_name(action->phase), action->text, epoch, after);
}

void transition_event(const struct core_action *action)
{
    const char *name = core_history_name(action->history);
    char more[80] = "";

    if (action->epoch != 0 && action->took > 0)
        snprintf(more, sizeof(more), " (epoch %" PRId64 ", %" PRId64 " ms)", action->epoch, action->took);
    else if (action->epoch != 0)
        snprintf(more, sizeof(more), " (epoch %" PRId64 ")", action->epoch);
    if (action->history == CORE_HIST_FENCING_FAILED || action->history == CORE_HIST_PREDECESSOR_ANSWERS)
        log_error("%s: %s%s", name, action->text, more);
    else
        log_info("%s: %s%s", name, action->text, more);
}
