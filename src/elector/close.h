/* close.h - `livy-ha-elector --close-session`: ends the session that a dead daemon has left behind. */
#ifndef LIVY_HA_ELECTOR_CLOSE_H
#define LIVY_HA_ELECTOR_CLOSE_H

#include "livy-ha/conf.h"

/* Re-attaches the session of the session file and closes it. Called with the daemon's lock held and Livy's
 * lock free (the keeper has seen to it). Blocks, for 5 s at most. The exit status: 0 closed or already over,
 * 75 not reached. */
int close_run(const struct conf *conf);

#endif
