/* keeper.h - the keeper's loop: signals, timers, children and the channel to the elector become events of
 * kcore.c, its actions become system calls. One thread; nothing in the loop blocks. */
#ifndef LIVY_HA_KEEPER_KEEPER_H
#define LIVY_HA_KEEPER_KEEPER_H

#include <signal.h>

#include "livy-ha/conf.h"
#include "livy-ha/livyconf.h"

/* Blocks the signals that the loop reads; `mask` (may be NULL) gets the set. Returns 0, or -1 with errno. */
int keeper_block_signals(sigset_t *mask);

/* Runs until the daemon is to end; returns its exit status. Takes over `conf` and `livyconf`. `lock` is the
 * daemon's. */
int keeper_run(struct conf *conf, struct livyconf *livyconf, int lock);

#endif
