/* held.h - the Livy that a hot standby holds at the gate: what hcore.h decides is carried out here, and the
 * letting go, which takes the place of a fork. */
#ifndef LIVY_HA_KEEPER_HELD_H
#define LIVY_HA_KEEPER_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "child.h"
#include "guard.h"
#include "hcore.h"
#include "livy-ha/ipc.h"
#include "livy-ha/livyend.h"

struct keeper;

struct held {
    struct hcore core;
    struct child child; /* pid 0: none */
    struct guard guard; /* its channel and page, which are Livy's once it is let go */
    int lock; /* Livy's lock file, open and not locked: what was opened is its own as well; -1: none */
    struct child stamp; /* the child that looks at the files; its pipe is `status` */
    int64_t stamp_by;   /* it is killed then */
    struct child look;  /* the child that looks at command lines, of `looked_at` and what has come of it */
    int64_t look_by;    /* it is killed then */
    pid_t looked_at, gated; /* gated: a Java that was seen to have the agent, 0: none */
    int64_t open_by; /* the one that was let go must have answered by then; CLOCK_NEVER: none owes that */
    bool unanswered; /* it has not, and was killed for it */
    bool unproven;   /* the one that was let go has not said READY: whether it can be held is not known */
    char refusal[GATE_TEXT_SIZE]; /* it says that it cannot; "": it does not */
    uint32_t recorded;            /* the run of Livy whose classes were written down */
};

void held_open(struct keeper *k, int64_t now);
void held_close(struct keeper *k); /* the keeper ends */
void held_time(struct keeper *k);  /* carries out what is due */
int64_t held_next(const struct keeper *k, int64_t now);

void held_changed(struct keeper *k, const struct ipc_msg *msg); /* CHANGED of the elector */
void held_ordered(struct keeper *k, const struct ipc_msg *msg); /* RENEW and LOOK of the elector */
void held_stepped(struct keeper *k); /* after each step of the core: what became of Livy */
void held_reloaded(struct keeper *k);
void held_welcomed(struct keeper *k); /* an elector was sent WELCOME: it hears how things are */

/* In the place of a fork, some 50 ms later at most where a look at the files is under way for it: lets the
 * held Livy go, and k->livy and k->guard are it. False where there is none that may be: Livy is to be started
 * cold, after `after` (a pidfd, or -1) has ended. */
bool held_let_go(struct keeper *k, int *after);
/* Livy has just died, with `status`. Where it was killed because it did not answer: `text` is why. Where it
 * could not have been held at all: so is `end`. */
void held_blame(struct keeper *k, int status, char *text, size_t size, struct livyend *end);

/* Of its descriptors, and of the running Livy's channel. False where `fd` is none of them. */
bool held_readable(struct keeper *k, int fd);
/* Livy runs, and its agent is heard. */
void held_listen(struct keeper *k, int channel);
/* A child is dead and not reaped yet: what it has started ends with it, if it is the held one. */
void held_ending(struct keeper *k, pid_t pid);
/* False where `pid` is none of its own. status: exit status, or 256 + signal. */
bool held_reaped(struct keeper *k, pid_t pid, int status);

#endif
