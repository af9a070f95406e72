/* portowner.h - whose process listens on a TCP port of this host. */
#ifndef LIVY_HA_PORTOWNER_H
#define LIVY_HA_PORTOWNER_H

#include <sys/types.h>

/* Rule 2: only the process that was forked may own Livy's port. Returns 1 where a listening TCP socket on
 * `port` belongs to `pid`, 0 where the listener belongs to another process (its pid in `owner` where it can
 * be seen, else 0), -1 with errno where nothing listens or it cannot be told. Reads /proc/net/tcp, tcp6 and
 * /proc/<pid>/fd; the listening sockets stand first there, so it stops early. */
int portowner_find(int port, pid_t pid, pid_t *owner);

#endif
