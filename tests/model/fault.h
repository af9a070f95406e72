/* fault.h - what may go otherwise than by default, at each event: the deviations that a schedule is made of.
 */
#ifndef LIVY_HA_MODEL_FAULT_H
#define LIVY_HA_MODEL_FAULT_H

#include "world.h"

#define FAULTS_MAX 64

enum fault_kind {
    FAULT_LATE,       /* the link of this message holds all that is on it for `arg` ms */
    FAULT_RESET,      /* its connection breaks, the message is lost */
    FAULT_RESET_LATE, /* its connection breaks at the client; what was sent arrives after `arg` ms */
    FAULT_CUT,        /* server `who` is cut off from its leader for `arg` ms */
    FAULT_ZOMBIE,     /* the same, and it takes itself for the leader */
    FAULT_FREEZE,     /* server `who` stands still for `arg` ms */
    FAULT_FREEZE_LEADER,
    FAULT_HELD,         /* all from the leader to server `who` is under way for `arg` ms (openings alone) */
    FAULT_ELECTION,     /* arg: what had reached the old leader is done (1) or not (0) */
    FAULT_OUTAGE,       /* of the ensemble, for `arg` ms, and a new leader */
    FAULT_LATE_EXPIRY,  /* a session is expired `arg` ms after T */
    FAULT_KILL_ELECTOR, /* before this event; arg > 0: after so many actions that it causes */
    FAULT_STOP_ELECTOR, /* SIGSTOP, SIGCONT after `arg` ms */
    FAULT_KILL_KEEPER,
    FAULT_STOP_KEEPER,
    FAULT_HOLD_UP,    /* all of host `who`'s processes, for `arg` ms, from right after Livy's start on */
    FAULT_REAP_FIRST, /* the keeper sees its dead children before its messages */
    FAULT_POWER,
    FAULT_NETWORK,   /* host `who` reaches no server for `arg` ms */
    FAULT_PARTITION, /* host `who` reaches only a server that takes itself for the leader */
    FAULT_ISLAND,    /* host `who` reaches only its own server, and that one not its leader */
    FAULT_QUIT,      /* SIGTERM to the daemon */
    FAULT_DRAIN,     /* the member does not stand for `arg` ms */
    FAULT_LIVY_DIES,
    FAULT_LIVY_HANGS,
    FAULT_SWITCHOVER, /* asked for; arg: to host arg - 1, or 0: to whoever is next */
    FAULT_PAUSE,      /* the cluster, for `arg` ms */
    FAULT_RESTART,    /* of host `who`'s Livy, by command; `arg` > 0: in a pause of that many ms */
    FAULT_UPGRADE,    /* of host `who`: the keeper kills its elector and puts another one in its place */
    FAULT_STRANGER,   /* the first latch node is deleted by hand; alone in its schedule */
};

struct fault {
    uint8_t kind;
    int16_t who;
    int32_t arg;
};

/* What may befall right before `next` happens. `short_list`: the ones that are combined with others. */
int fault_list(const struct world *w, const struct event *next, bool short_list,
               struct fault faults[static FAULTS_MAX]);
/* False: it means nothing here. Events of the queue may have changed: ask for the next one again. */
bool fault_apply(struct world *w, const struct event *next, const struct fault *fault);
/* After the event: the fault was to strike within it and did not. */
bool fault_void(const struct world *w, const struct fault *fault);
void fault_text(const struct fault *fault, char *text, size_t size);

#endif
