/* child_internal.h - between child.c (Livy, the fence command, the hook) and child_program.c (our own
 * programs): what a child does between fork and exec. */
#ifndef LIVY_HA_KEEPER_CHILD_INTERNAL_H
#define LIVY_HA_KEEPER_CHILD_INTERNAL_H

#include <signal.h>

#include "child.h"

int child_open_pidfd(pid_t pid);

/* Keeps signals out of the short time in which the child still has the keeper's handlers and mask. */
pid_t child_fork_blocked(sigset_t *old);

/* The same with a pipe: its writing end is `out` in the child (which gets 0), its reading end child->status
 * in the keeper (which gets the pid; -1 with `why`: there is no child, and nothing is left of it). */
pid_t child_fork_piped(struct child *child, int *out, char *why, size_t size);

/* In the child. */
void child_reset_dispositions(void);
void child_unblock_signals(void);
void child_no_stdin(void);
int child_cloexec_from(int first); /* 0, or -1 with errno */
void child_close_from(int first);
/* In a child that only looks at something that may block: it dies with the keeper and keeps open nothing of
 * the keeper's but stderr and `out` (child_fork_piped). Returns what `out` is now. */
int child_begin_look(pid_t keeper, int out);

#endif
