/* standby.h - what livy.standby = "auto" comes to on this host. */
#ifndef LIVY_HA_STANDBY_H
#define LIVY_HA_STANDBY_H

#include <stdbool.h>
#include <stddef.h>

#define STANDBY_MEMORY (INT64_C(1) << 30) /* bytes that the host, or the container, has to have for "hot" */

/* True where a Livy can be held on this host: the agent is installed, what is under `home` is Apache Livy (it
 * has jars/livy-server-*.jar), `command` is its own bin/livy-server, and there is the memory. Either way
 * `why` says by what, in one phrase. Looks at directories: it may block as they do. */
bool standby_can_hold(const char *home, const char *command, char *why, size_t size);

#endif
