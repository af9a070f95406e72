/* history.h - the cluster's last 100 transitions, in <root>/history, appended by whoever has one.
 *
 * Compare-and-set on the node's version; up to 32 entries wait while there is no connection, older ones give
 * way. An entry whose outcome is unknown is looked for before it is written again. Never blocks.
 */
#ifndef LIVY_HA_ELECTOR_HISTORY_H
#define LIVY_HA_ELECTOR_HISTORY_H

#include <jansson.h>
#include <stdbool.h>

#include "zk.h"

struct history;

struct history *history_new(const char *path);
void history_free(struct history *history);

/* Puts `entry` (takes over the reference) behind those that wait; it is written with the next
 * history_flush(). */
void history_add(struct history *history, json_t *entry);

/* Writes what waits, as soon as there is a connection. */
void history_flush(struct history *history);

/* A handle that is connected and on which the node exists; NULL: there is none now. */
void history_connect(struct history *history, struct zk *zk);

/* Nothing waits to be written. */
bool history_idle(const struct history *history);

#endif
