/* startup.h - what the keeper makes sure of before it joins: its own lock, that the directories are there,
 * that no earlier Livy of this host lives and no other program has Livy's port. May block; runs before the
 * loop. */
#ifndef LIVY_HA_KEEPER_STARTUP_H
#define LIVY_HA_KEEPER_STARTUP_H

#include <stdbool.h>

#include "livy-ha/conf.h"
#include "livy-ha/livyconf.h"

#define EXIT_TEMPORARY 75     /* EX_TEMPFAIL: restart me */
#define EXIT_CONFIGURATION 78 /* EX_CONFIG: do not restart me */

/* What the configuration asks for and this installation does not have, where ignoring it would be dangerous.
 * Reports it as an error; false where there is something. */
bool startup_can_keep(const struct conf *conf, struct conf_report *report);

/* Makes runtime_dir and looks whether Livy's directories are there: what is not may be mounted later, so the
 * exit status is EXIT_TEMPORARY. 0, or the exit status after it has logged why. */
int startup_directories(const struct conf *conf);

#define STARTUP_STOPPED                                                                                      \
    (-1) /* TERM or INT came meanwhile: nothing was started, so the daemon just ends, with 0 */

/* Returns 0 with the daemon's lock in `lock`, STARTUP_STOPPED, or the exit status after it has logged why.
 * The signals of the keeper's loop are blocked by then. */
int startup_prepare(const struct conf *conf, const struct livyconf *livyconf, int *lock);

/* `livy-ha --close-session`: for ExecStopPost. With all locks free, hands over to the elector, which closes
 * the session that a dead daemon of this boot has left behind. Does not return where there is something to
 * do; else the exit status: 0 where there is nothing to close, or a daemon runs. */
int startup_close_session(const struct conf *conf);

#endif
