/* gate.h - what the keeper and the agent in Livy's JVM (src/gate) share: a SOCK_SEQPACKET pair and, where
 * the agent guards the lease, one page of memory. The JVM inherits a descriptor of each.
 *
 * One message is one packet of one fixed struct; every field is checked by the receiver. Nothing that either
 * side sends waits for the other.
 */
#ifndef LIVY_HA_GATE_H
#define LIVY_HA_GATE_H

#include <stdbool.h>
#include <stdint.h>

#define GATE_MAGIC 0x31474c48u /* "HLG1": the version is in it */
#define GATE_TEXT_SIZE 256

/* A JVM that is to be held is started with ITIMER_PROF set to this, which exec keeps: the agent, once loaded,
 * clears it. One that has lost the agent on the way (a start script that drops LIVY_SERVER_JAVA_OPTS) ends by
 * SIGPROF, whatever has become of the keeper. It counts CPU time, so a busy host makes no difference: a JVM
 * takes some 30 ms until it loads agents, Livy 0.9 s at the least until it asks its store anything. */
#define GATE_UNGATED_MS 400

/* Exit statuses of a JVM that the agent ends. */
#define GATE_EXIT_REFUSED 93  /* the list does not fit this Livy, or the agent cannot do its work here */
#define GATE_EXIT_LEASE 94    /* the lease has ended */
#define GATE_EXIT_ORPHANED 95 /* the keeper is gone, or says what cannot be */

enum gate_type {
    /* agent -> keeper */
    GATE_READY = 1, /* the list fits, and Livy's own code is about to run */
    GATE_REFUSED,   /* text: why. The JVM ends with GATE_EXIT_REFUSED */
    GATE_HELD,      /* a thread stands at the gate: once. text: the class */
    GATE_LOADED,   /* count: the classes that were loaded while it is held. Nothing more is done until OPEN */
    GATE_OPENED,   /* let go */
    GATE_RECORDED, /* count: the classes written down; 0: it could not be done, text says why */
    /* keeper -> agent */
    GATE_OPEN,   /* let go, unless it is kill_at already: the page's, where it says one */
    GATE_LEASE,  /* the page says an earlier instant than before */
    GATE_RECORD, /* write down what is loaded: Livy serves */
};

struct gate_msg {
    uint32_t magic, type;
    int64_t kill_at; /* CLOCK_BOOTTIME ms */
    uint32_t count, reserved;
    char text[GATE_TEXT_SIZE];
};

/* In the page, written by the keeper alone. One that is held has it whatever livy.guard says, and with "none"
 * looks at it until it is let go. */
struct gate_page {
    _Atomic int64_t kill_at; /* CLOCK_BOOTTIME ms; CLOCK_NEVER: there is no lease (yet) */
};

/* Whether it is too late to let Livy go. `said`: the instant that OPEN names; `page`: what the page says by
 * now, CLOCK_NEVER where there is none. One that was let go before its Java ran reads the word seconds later,
 * and the lease may have been renewed since: then the page counts. */
bool gate_too_late(int64_t page, int64_t said, int64_t now);

#endif
