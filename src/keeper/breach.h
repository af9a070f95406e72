/* breach.h - does a held Livy do what it must not? Seen from outside: the gate is in its own process, and
 * nobody takes its word. Asks the kernel and reads /proc of that process and its children; nothing here
 * blocks, and all is bounded. */
#ifndef LIVY_HA_KEEPER_BREACH_H
#define LIVY_HA_KEEPER_BREACH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether `pid`, or a child of it, listens on TCP port `port` of this network namespace. Where the kernel
 * does not tell: false.
 */
bool breach_listens(pid_t pid, int port);

/* Whether `pid`, or a child of it, runs Livy's Java without our agent: its start script has not passed
 * LIVY_SERVER_JAVA_OPTS on, and nothing would hold it. To be asked before the agent has said a word. */
bool breach_ungated(pid_t pid);

#endif
