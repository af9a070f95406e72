/* health.h - what /active, /standby, /livez and /readyz answer (CONTRACT of the admin port;
 * docs/monitoring.md). Pure, but for the JSON that it makes: the time comes in.
 */
#ifndef LIVY_HA_RELAY_HEALTH_H
#define LIVY_HA_RELAY_HEALTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "livy-ha/front.h"
#include "snapshot.h"

/* The front as it is now, by what the relay does and not by what the elector says. */
struct health_front {
    bool off;             /* front.listen is off */
    bool ending;          /* the daemon is to end */
    bool yields;          /* Livy has the front's port, or will have it: no listener of ours */
    bool listens;         /* ours accepts connections */
    uint32_t route;       /* enum front_route in force: NOBODY once the view is too old */
    uint32_t mode;        /* enum front_mode */
    int64_t nobody_since; /* when requests had last somewhere to go; with NOBODY and PAUSE */
    int64_t hold;         /* front.hold, ms */
};

enum health_check { HEALTH_ACTIVE, HEALTH_STANDBY, HEALTH_LIVE, HEALTH_READY, HEALTH_CHECKS };

/* True, or false with a sentence for people in `reason`. */
bool health_check(enum health_check check, const struct snapshot *snapshot, const struct health_front *front,
                  int64_t now, char *reason, size_t size);

const char *health_name(enum health_check check); /* "active", "standby", "live", "ready" */

#endif
