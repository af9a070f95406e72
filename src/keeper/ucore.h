/* ucore.h - the keeper's decisions about an upgrade: a pure machine like kcore.h and rcore.h. It never
 * starts, stops or renews anything of Livy's; what it puts at stake is an elector or a relay, which may end
 * at any time.
 *
 * The order is what keeps the old version in place where the new one is no good:
 *   TRYING     the new elector and relay run beside the old ones; each has to read its configuration and say
 *              HELLO in this keeper's protocol. Neither has touched anything yet: an elector does nothing
 *              before WELCOME, a relay that waits opens no port.
 *   LISTENING  the new relay gets the old one's listening sockets, and has to say READY.
 *   WAITING    until the lease has room for two changes of elector.
 *   SWAPPING   the old elector is killed; its session is handed on only once it has been reaped.
 *   PROVING    the new elector has to work: READY, PONG, and where Livy runs a lease. Else, also where it
 *              says that the daemon must end, it is killed, and
 *   BACK       the old program, kept open, takes the session over again; nobody's relay has changed yet.
 * Then the new relay begins, and the old one ends what runs; one that hangs is killed. Times are
 * CLOCK_BOOTTIME ms.
 */
#ifndef LIVY_HA_KEEPER_UCORE_H
#define LIVY_HA_KEEPER_UCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/ipc.h"

#define UCORE_MAX_ACTIONS 4
#define UCORE_TRY_WITHIN 5000     /* for both to say HELLO */
#define UCORE_LISTEN_WITHIN 5000  /* for READY of the relay */
#define UCORE_WAIT_WITHIN 10000   /* for a lease with room */
#define UCORE_PROVE_WITHIN 5000   /* for the new elector to work, if the lease allows as much */
#define UCORE_RETIRE_WITHIN 70000 /* for the old relay to end, which by itself it does within a minute */
#define UCORE_LEASE_ROOM 1000     /* the least lease with which an elector is replaced */
#define UCORE_BACK_WITHIN                                                                                    \
    30000 /* for the old one to say HELLO again; then the outcome is told all the same */

enum ucore_who { UCORE_ELECTOR, UCORE_RELAY };

enum ucore_state {
    UCORE_IDLE,
    UCORE_TRYING,
    UCORE_LISTENING,
    UCORE_WAITING,
    UCORE_SWAPPING,
    UCORE_PROVING,
    UCORE_BACK,
};

enum ucore_event_type {
    UCORE_EV_TIME,    /* lease_left counts in each event */
    UCORE_EV_BEGIN,   /* number: of the request, 0: by a signal; relay: there is one to be replaced */
    UCORE_EV_SAID,    /* who: a new one; message: HELLO (text: its version), READY, or FATAL (text) */
    UCORE_EV_FAILED,  /* who: a new one; text: how */
    UCORE_EV_SWAPPED, /* the old elector is reaped, the new one has been given its place */
    UCORE_EV_LOST,    /* the elector in office has ended, or one has come to office by another way */
    UCORE_EV_WORKS,   /* the elector in office: READY, PONG, and a lease where Livy runs */
    UCORE_EV_HELLO,   /* the elector in office has said so */
    UCORE_EV_GONE,    /* the relay that was replaced has ended */
    UCORE_EV_FORBID,  /* the daemon is stopping, or the session is being closed: text */
};

struct ucore_event {
    enum ucore_event_type type;
    enum ucore_who who;
    uint32_t message, number;
    bool relay;
    int64_t lease_left; /* for how long the session may go without an elector; CLOCK_NEVER: there is none */
    const char *text;
};

enum ucore_action_type {
    UCORE_ACT_START,  /* both new ones; what fails of it is told by FAILED */
    UCORE_ACT_LISTEN, /* hand the listening sockets over */
    UCORE_ACT_SWAP,   /* kill the old elector; answer SWAPPED */
    UCORE_ACT_COMMIT, /* the new programs are the ones to run from now on; the new relay begins */
    UCORE_ACT_REVERT, /* the old elector's program is; kill the new elector */
    UCORE_ACT_DROP,   /* kill those that are not in office */
    UCORE_ACT_CUT,    /* kill the relay that was replaced: it hangs */
    UCORE_ACT_TELL,   /* code: enum ipc_answer; text */
};

struct ucore_action {
    enum ucore_action_type type;
    int code;
    uint32_t number; /* of the request that is answered */
    char text[IPC_TEXT_SIZE];
};

struct ucore_actions {
    struct ucore_action list[UCORE_MAX_ACTIONS];
    size_t count;
};

struct ucore {
    enum ucore_state state;
    uint32_t number;
    bool relay;          /* one is to be replaced */
    bool hello[2];       /* by enum ucore_who */
    char version[2][32]; /* as told with HELLO */
    int64_t by;          /* the deadline of this state */
    int64_t retired_by;  /* that of a relay that was replaced */
    char why[IPC_TEXT_SIZE];
};

void ucore_init(struct ucore *u);
void ucore_step(struct ucore *u, const struct ucore_event *event, int64_t now, struct ucore_actions *out);

/* After a step at `now`: when the next UCORE_EV_TIME is due; always later than `now`. */
int64_t ucore_next(const struct ucore *u, int64_t now);

const char *ucore_state_name(enum ucore_state state);
const char *ucore_program(enum ucore_who who); /* "livy-ha-elector" or "livy-ha-relay" */

#endif
