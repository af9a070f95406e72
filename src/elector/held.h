/* held.h - the Livy that this member, as a hot standby, holds at the gate, as the keeper tells it (IPC_HELD).
 * For people, and for the other members, which read it in members/<id>: the active one decides by it
 * (backoff.c), and the standbys take turns at renewing theirs.
 *
 * TURNS. One that is out of date goes on being ready until it is renewed. The keeper says that it is to be;
 * this finds out when: while another standby's is ready, one member at a time, the first in the queue first.
 * All see the same records, some tens of milliseconds apart: so who says that it is next waits a few seconds,
 * for those who have come to the same in the same moment. A stale picture costs readiness, nothing else.
 */
#ifndef LIVY_HA_ELECTOR_HELD_H
#define LIVY_HA_ELECTOR_HELD_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "livy-ha/ipc.h"

struct elector;

struct held {
    enum ipc_held state;
    bool renewing;              /* it is to be renewed, or is being renewed */
    char reason[IPC_TEXT_SIZE]; /* why there is none, or why it is to be renewed; may be "" */
    int64_t renewing_since;     /* CLOCK_BOOTTIME ms */
    bool turn_told;             /* the keeper knows that it is its turn */
    char looked_for[33];        /* the switchover for which the keeper was told to look; "": none */
    struct event *settled;
};

int held_open(struct elector *e);
void held_close(struct elector *e);

/* The keeper's word. Logs a change and publishes it. */
void held_take(struct elector *e, const struct ipc_msg *msg);

/* What the member's record says of Livy: core_livy_name, and "held" where one is ready and none runs. */
const char *held_livy_name(const struct elector *e);

/* "held", "held_renewing" and "held_reason" of the record. */
void held_record(const struct elector *e, json_t *self);

/* At the end of each step: tells the keeper when it is its turn to renew it, and that a switchover to here is
 * asked for. */
void held_look(struct elector *e);
/* START is about to be sent: where the latch was given up in order, what is let go has to be up to date. */
void held_start(struct elector *e);

/* Whether the member `id`, with `sequence` in the queue, may be without one for a while, as far as the
 * records of all tell. */
bool held_may_renew(const json_t *members, const char *id, int64_t sequence);

#endif
