/* trace.h - the last steps of this member's core, for `livy-ha-ctl history --trace`: what came in, what was
 * done about it. In memory only, of this elector alone. What goes on all the time and says nothing new
 * (heartbeats, renewals, probes that are answered, the clock) is counted, not kept.
 */
#ifndef LIVY_HA_ELECTOR_TRACE_H
#define LIVY_HA_ELECTOR_TRACE_H

#include <jansson.h>
#include <stdint.h>

#include "core.h"

#define TRACE_STEPS 256

struct trace;

struct trace *trace_new(void);
void trace_free(struct trace *trace);

/* One step that has been made; `wall`: the time of day, ms. */
void trace_step(struct trace *trace, const struct core *core, const struct core_event *event,
                const struct core_actions *actions, int64_t wall);

/* [{"at", "phase", "event", "then": [...], "quiet": how many steps before it are not shown}], the newest
 * last; a new reference. */
json_t *trace_document(const struct trace *trace);

#endif
