/* orders.h - <root>/control: what people have asked of the cluster, one JSON object that all members read by
 * a watch and change by compare-and-set. What it means is command.h's; this keeps the node.
 *
 *   {"v":1, "paused":{"by","at","until_zk_ms"}, "drained":{"<id>":{"by","at"}},
 *    "switchover":{"id","from","epoch","to","by","at","asked_zk_ms","expires_zk_ms","sequence","next","begun"},
 *    "restart":{"id","epoch","by","at","expires_zk_ms"},
 *    "results":[{"id","outcome","text","active",…}]}
 *
 * At most ORDERS_MAX bytes; what is longer, or no JSON object, counts as an empty one, and is written over by
 * the next change. What could not be read is as it was; where we have no right to read, nothing is written. A
 * change whose outcome is unknown (the connection broke) is tried again with the next connection, so it must
 * find out whether it is done already. Never blocks.
 */
#ifndef LIVY_HA_ELECTOR_ORDERS_H
#define LIVY_HA_ELECTOR_ORDERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "zk.h"

#define ORDERS_MAX 65536
#define ORDERS_CHANGES 48 /* that wait at a time */

enum orders_edit {
    ORDERS_WRITE,   /* `record` was changed: write it */
    ORDERS_SO,      /* it is so already */
    ORDERS_REFUSED, /* it cannot be; `why` says why */
};

enum orders_outcome {
    ORDERS_DONE,     /* written, or so already */
    ORDERS_NOT_DONE, /* refused by the edit, or by the server: `why` */
};

/* Changes the object, or does not. May be called several times before it is done. */
typedef enum orders_edit orders_change_fn(void *arg, json_t *record, char why[static 256]);
typedef void orders_done(void *arg, enum orders_outcome outcome, const char *why);

struct orders;

/* `read` is called with each picture of the node, also where it is the same as before. */
struct orders *orders_new(const char *root, uint32_t watch_kind, void (*read)(void *arg), void *arg);
void orders_free(struct orders *orders);

/* A handle that is connected, with the root made; NULL: the handle is going away. Reads the node. */
void orders_connect(struct orders *orders, struct zk *zk);
void orders_watch(struct orders *orders); /* the watch has fired */
void orders_again(struct orders *orders); /* now and then while connected: what the server refused */

bool orders_known(const struct orders *orders); /* read at least once */
bool orders_fresh(const struct orders *orders); /* and nothing newer is known to be there */
const json_t *orders_record(const struct orders *orders);

/* False: too many wait. `edit` and `done` may be called from within. */
bool orders_change(struct orders *orders, orders_change_fn *edit, orders_done *done, void *arg);
/* All with this `arg`; what is on its way may still be done. */
void orders_cancel(struct orders *orders, const void *arg);

#endif
