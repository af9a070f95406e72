/* held.h - the Livy that this member, as a hot standby, holds at the gate, as the keeper tells it (IPC_HELD).
 * For people, and for the active member, which reads it in members/<id>. It decides nothing here. */
#ifndef LIVY_HA_ELECTOR_HELD_H
#define LIVY_HA_ELECTOR_HELD_H

#include <jansson.h>

#include "livy-ha/ipc.h"

struct elector;

struct held {
    enum ipc_held state;
    char reason[IPC_TEXT_SIZE]; /* why there is none; may be "" */
};

/* The keeper's word. Logs a change and publishes it. */
void held_take(struct elector *e, const struct ipc_msg *msg);

/* What the member's record says of Livy: core_livy_name, and "held" where one is ready and none runs. */
const char *held_livy_name(const struct elector *e);

/* "held" and "held_reason" of the record. */
void held_record(const struct elector *e, json_t *self);

#endif
