/* breach.h - does a held Livy do what it must not? Seen from outside: the gate is in its own process, and
 * nobody takes its word. Asks the kernel and reads /proc of that process and of all that has come of it; all
 * is bounded, and nothing blocks but what is done in a child of the keeper's: a command line lies in the
 * memory of the other process, which may itself wait for a disk.
 */
#ifndef LIVY_HA_KEEPER_BREACH_H
#define LIVY_HA_KEEPER_BREACH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "child.h"

/* Whose processes: `pid`, what it has started, and what a descendant of the caller has left to it (as a
 * subreaper it inherits them): a start script may start Java as a daemon. */
struct breach_of {
    pid_t pid;
    const pid_t *ours; /* children of the caller that are none of them; 0: none */
    size_t n_ours;
};

/* Whether one of them listens on TCP port `port` of this network namespace. Where the kernel does not tell:
 * false. */
bool breach_listens(const struct breach_of *of, int port);

/* Which of them run Java: their command lines have to be looked at. */
#define BREACH_JAVAS 16
struct breach_javas {
    pid_t pids[BREACH_JAVAS];
    bool started[BREACH_JAVAS]; /* it is not `pid` itself */
    size_t n;
};
void breach_find_java(const struct breach_of *of, struct breach_javas *found);

/* What is seen there: 0, or the pid of a Java of Livy's that runs without our agent (its start script has not
 * passed LIVY_SERVER_JAVA_OPTS on, and nothing would hold it); 0, or the pid of one that has it. To be looked
 * for before the agent has said a word. */
struct breach_seen {
    pid_t ungated, gated;
};

/* Looks in a child; its `status` is a pipe with the answer when it has ended. It dies with the keeper. 0, or
 * -1 with `why`. */
int breach_look_begin(const struct breach_javas *javas, struct child *child, char *why, size_t size);
/* Nothing seen where it was killed. */
struct breach_seen breach_look_read(const struct child *child);

#endif
