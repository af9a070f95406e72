/* rcore.h - the keeper's decisions about the relay: a pure machine, much smaller than kcore.h and apart from
 * it, since nothing here may ever touch Livy or its lease. Times are CLOCK_BOOTTIME ms.
 *
 * The relay is started with the daemon, started again when it ends (at once, then with a growing delay),
 * killed where it gives no sign of life. Where it cannot do its work from the start (a port is taken, it is
 * not installed) the daemon is told to end; once the daemon is up, nothing that becomes of it ends the
 * daemon.
 */
#ifndef LIVY_HA_KEEPER_RCORE_H
#define LIVY_HA_KEEPER_RCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/ipc.h"

#define RCORE_MAX_ACTIONS 4
#define RCORE_READY_WITHIN 10000 /* ms: after that the daemon counts as up without its relay */

enum rcore_event_type {
    RCORE_EV_TIME,
    RCORE_EV_SAID,    /* message, code, text: of HELLO, READY, PONG, FATAL */
    RCORE_EV_EXITED,  /* it is dead */
    RCORE_EV_UNBORN,  /* SPAWN could not be done; text: why */
    RCORE_EV_GARBLED, /* it says what cannot be, or does not read */
};

struct rcore_event {
    enum rcore_event_type type;
    uint32_t message;
    int code;
    const char *text;
};

enum rcore_action_type {
    RCORE_ACT_SPAWN,
    RCORE_ACT_KILL, /* text: why */
    RCORE_ACT_PING,
    RCORE_ACT_READY, /* the daemon need not wait for it any longer; once. text: "", or why it is without */
    RCORE_ACT_FATAL, /* the daemon must end: code, text */
    RCORE_ACT_TELL,  /* text: for the log, an error */
};

struct rcore_action {
    enum rcore_action_type type;
    int code;
    char text[IPC_TEXT_SIZE];
};

struct rcore_actions {
    struct rcore_action list[RCORE_MAX_ACTIONS];
    size_t count;
};

struct rcore {
    bool wanted; /* front or admin port are on */
    bool alive, said_hello, killed;
    bool up;                  /* READY was told, or it is not waited for any longer */
    bool given_up;            /* the daemon was told to end */
    int64_t began;            /* the daemon's start */
    int64_t since;            /* of the one that is alive */
    int64_t spawn_at;         /* CLOCK_NEVER: not wanted */
    unsigned failures;        /* in a row, each of a short life */
    unsigned mute;            /* how many in a row have ended without a HELLO */
    int64_t ping_at, pong_by; /* pong_by CLOCK_NEVER: none is owed */
};

void rcore_init(struct rcore *r, bool wanted, int64_t now);
void rcore_step(struct rcore *r, const struct rcore_event *event, int64_t now, struct rcore_actions *out);

/* After a step at `now`: when the next RCORE_EV_TIME is due; always later than `now`. */
int64_t rcore_next(const struct rcore *r, int64_t now);

#endif
