/* child_internal.h - between child.c (Livy, the fence command, the hook) and child_program.c (our own
 * programs): what a child does between fork and exec. */
#ifndef LIVY_HA_KEEPER_CHILD_INTERNAL_H
#define LIVY_HA_KEEPER_CHILD_INTERNAL_H

#include <signal.h>

#include "child.h"

int child_open_pidfd(pid_t pid);

/* Keeps signals out of the short time in which the child still has the keeper's handlers and mask. */
pid_t child_fork_blocked(sigset_t *old);

/* In the child. */
void child_reset_dispositions(void);
void child_unblock_signals(void);
void child_no_stdin(void);
int child_cloexec_from(int first); /* 0, or -1 with errno */

#endif
