/* reload.h - HUP: reads the configuration again; what is wrong leaves the old one in force, with a line for
 * each error. */
#ifndef LIVY_HA_KEEPER_RELOAD_H
#define LIVY_HA_KEEPER_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "livy-ha/conf.h"
#include "livy-ha/livyconf.h"

/* Replaces *conf and *livyconf and returns 0 (with *pending_restart set where a changed key takes effect with
 * a restart), or leaves them and returns -1 with the first error in `why`. Blocks on a few small files, never
 * on the resolver. */
int reload_configuration(struct conf **conf, struct livyconf **livyconf, bool *pending_restart, char *why,
                         size_t size);

/* Logs what a report holds, each entry on a line of its own. */
void reload_log_report(const struct conf_report *report);

#endif
