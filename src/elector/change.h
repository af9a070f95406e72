/* change.h - tells the keeper how this member stands, for failover.on_change. */
#ifndef LIVY_HA_ELECTOR_CHANGE_H
#define LIVY_HA_ELECTOR_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

struct elector;

struct change {
    bool any;      /* something was told */
    uint32_t role; /* enum ipc_role, as last told */
    bool serving;
};

void change_look(struct elector *e); /* at the end of each step */

#endif
