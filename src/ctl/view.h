/* view.h - the daemon's documents as people see them. Pure but for `out`: the time is passed in. Each returns
 * 0, or -1 without memory.
 */
#ifndef LIVY_HA_CTL_VIEW_H
#define LIVY_HA_CTL_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "screen.h"

/* The headline and the table of `status`. `own` is the /status document, or NULL: it adds this member's
 * alarms and, where no Livy serves, what this member is doing about it. `now`: the wall clock in ms. */
int view_cluster(FILE *out, const struct screen *screen, const json_t *cluster, const json_t *own, bool wide,
                 int64_t now);

int view_history(FILE *out, const struct screen *screen, const json_t *events);
int view_trace(FILE *out, const struct screen *screen, const json_t *steps);
int view_config(FILE *out, const struct screen *screen, const json_t *config);

#endif
