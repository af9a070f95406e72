/* hcore.h - the keeper's decisions about the Livy that a hot standby holds at the gate (livy.standby =
 * "hot"): a pure machine, as rcore.h is for the relay. Times are CLOCK_BOOTTIME ms.
 *
 * It never lets one go: that is the place of a fork in kcore.h's KCORE_ACT_FORK_LIVY, and nothing in kcore.c
 * knows the difference. This machine sees to it that one is there while this member stands by, that it is the
 * Livy that would be started now, and that it is ended as soon as it may not stay: it has written nothing and
 * listens nowhere, so SIGKILL costs nothing.
 *
 * RENEWING. One that may not be used any more (a reload, other jars, another session time-out) is ended at
 * once. One that is merely out of date (older than held_max_age, started before a file of livy.conf_dir was
 * changed) still serves where a member fails meanwhile, so it waits until the elector says that it is its
 * turn: that another standby's is ready. That is the elector's to know; where no word of it comes, the wait
 * has a bound.
 *
 * A TAKE-OVER BY PLAN serves what the files say now. The elector asks for a LOOK as soon as it sees one
 * coming: one that was started before a change is ended for it at once. Where a member has failed the one at
 * hand serves, and a look afterwards tells a person whether it was up to date.
 */
#ifndef LIVY_HA_KEEPER_HCORE_H
#define LIVY_HA_KEEPER_HCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/gate.h"
#include "livy-ha/ipc.h"

#define HCORE_MAX_ACTIONS 8

/* Why one is refused. Nothing would hold it (seen from outside, or by the signal of GATE_UNGATED_MS): */
#define HCORE_UNGATED                                                                                        \
    "its Java runs without the agent that holds it: livy.command does not pass LIVY_SERVER_JAVA_OPTS of "    \
    "livy-env.sh on"
/* It ended with GATE_EXIT_REFUSED: */
#define HCORE_NO_AGENT "its agent cannot do its work here (exit status 93; Livy's own output says why)"

struct hcore_config {
    bool wanted;          /* livy.standby is "hot" */
    int64_t max_age;      /* livy.held_max_age */
    int64_t start_within; /* livy.start_timeout: by then it stands at the gate */
};

enum hcore_state {
    HCORE_NONE,
    HCORE_LOOKING, /* what it would be started with is being looked at */
    HCORE_WARMING,
    HCORE_HELD,   /* at the gate, its classes loaded */
    HCORE_KILLED, /* SIGKILL was sent, not reaped yet */
};

/* Of what Livy is made of: names, sizes and times of files, each as one number. */
struct hcore_stamp {
    uint64_t conf, jars;
};

enum hcore_event_type {
    HCORE_EV_TIME,
    HCORE_EV_ROLE,     /* role: enum ipc_role, as the elector says it */
    HCORE_EV_SESSION,  /* ms: the ZooKeeper session's T, which Livy gets as its own; 0: there is none */
    HCORE_EV_LIVY,     /* there: a Livy runs, or is not dead yet; the held one is not it */
    HCORE_EV_STAMPED,  /* answer to STAMP: stamp, or text says why there is none */
    HCORE_EV_STARTED,  /* answer to START: pid > 0, or text says why not */
    HCORE_EV_SAID,     /* message: enum gate_type, count, text */
    HCORE_EV_GARBLED,  /* it says what cannot be */
    HCORE_EV_BREACH,   /* it does what a held one must not; text: what */
    HCORE_EV_EXITED,   /* status: its exit status, 256 + signal; text: why exec failed, "" if it did not */
    HCORE_EV_TAKEN,    /* it was let go: it is the Livy now */
    HCORE_EV_UNFIT,    /* the one that was let go could not have been held: text */
    HCORE_EV_TURN,     /* other members' are ready: one that waits for its renewal need not wait any more */
    HCORE_EV_LOOK,     /* a take-over by plan is near: the files are to be looked at now */
    HCORE_EV_RELOADED, /* config */
    HCORE_EV_QUIT,
};

struct hcore_event {
    enum hcore_event_type type;
    uint32_t role, message, count;
    int32_t pid;
    int status;
    int64_t ms;
    bool there;
    struct hcore_stamp stamp;
    const struct hcore_config *config;
    const char *text;
};

enum hcore_action_type {
    HCORE_ACT_STAMP, /* look at the files; answer STAMPED */
    HCORE_ACT_START, /* answer STARTED */
    HCORE_ACT_KILL,
    HCORE_ACT_CHECK, /* does it listen, is the agent in it? gated: it has said READY. Say BREACH if so */
    HCORE_ACT_TELL,  /* the elector: as hcore_held says it is */
    HCORE_ACT_STATE, /* for the log: old_state -> state: text */
    HCORE_ACT_ALARM, /* text: an error for the log */
    HCORE_ACT_WARN,  /* text: a warning for the log */
};

struct hcore_action {
    enum hcore_action_type type;
    enum hcore_state old_state, state;
    bool gated;
    char text[IPC_TEXT_SIZE];
};

struct hcore_actions {
    struct hcore_action list[HCORE_MAX_ACTIONS];
    size_t count;
};

struct hcore {
    struct hcore_config config;
    uint64_t draw; /* of this member: so that not all of them grow old at once */

    enum hcore_state state;
    uint32_t role; /* enum ipc_role */
    bool livy, quitting;
    int64_t session; /* T, ms; 0: none */

    bool ready;    /* the agent is in it, and the list fits */
    int64_t began; /* when it was started */
    int64_t with;  /* T then */
    struct hcore_stamp stamp;
    int64_t stamp_at, check_at, renew_at; /* CLOCK_NEVER: not due */
    bool stamping;                        /* STAMP is not answered yet */
    bool blind;                           /* the last one failed */

    /* renewing it: at renew_at it is out of date, then it waits for its turn, and is ended */
    char renewal[IPC_TEXT_SIZE]; /* why, once renew_at has come */
    bool changed;                /* what it was started with is not what the files say any more */
    int64_t due_at;              /* since when it has waited; CLOCK_NEVER: it does not */
    bool renewing;               /* it waits for its turn, or was ended and the next one is not ready yet */
    int64_t warmed;              /* ms that the last one took to the gate */

    /* looking for a take-over by plan */
    bool looking;   /* asked for, not answered yet */
    bool look_anew; /* what is under way has begun before it was asked for */
    bool let_go;    /* it serves, and was it out of date? A person should know */

    bool refused;            /* not tried before a reload */
    unsigned failures;       /* in a row */
    int64_t start_at;        /* not before */
    char why[IPC_TEXT_SIZE]; /* there is none */

    int told; /* enum ipc_held, -1: nothing yet */
    bool told_renewing;
    char told_text[IPC_TEXT_SIZE];
};

void hcore_init(struct hcore *h, const struct hcore_config *config, const char *id, int64_t now);
void hcore_step(struct hcore *h, const struct hcore_event *event, int64_t now, struct hcore_actions *out);

/* After a step at `now`: when the next HCORE_EV_TIME is due; always later than `now`. */
int64_t hcore_next(const struct hcore *h, int64_t now);

/* It lives, and may be let go, at the gate or still on its way there. */
bool hcore_current(const struct hcore *h);

/* What HELD carries; `text` is the machine's: why there is none, or why it is to be renewed. */
int hcore_held(const struct hcore *h, const char **text);
/* … and its other half: it is out of date and waits for its turn, or is being renewed. */
bool hcore_renewing(const struct hcore *h);

#endif
