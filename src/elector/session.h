/* session.h - the session file in runtime_dir: what `livy-ha --close-session` needs to end a dead daemon's
 * session.
 *
 * docs/safety.md, rule 5: from this file a session may only be *closed*, never adopted, and only with all
 * locks free, the same boot id and a local file system. The keeper unlinks it when the session is let go.
 * Blocks on a small file.
 */
#ifndef LIVY_HA_ELECTOR_SESSION_H
#define LIVY_HA_ELECTOR_SESSION_H

#include <stddef.h>

#include "livy-ha/ipc.h"

/* Writes it (0600, by rename). 0, or -1 with errno. */
int session_save(const char *runtime_dir, const struct ipc_session *session);

/* Reads it and checks the boot and the file system. 0, or -1 with `why`. */
int session_load(const char *runtime_dir, struct ipc_session *session, char *why, size_t size);

void session_unlink(const char *runtime_dir);

/* /proc/sys/kernel/random/boot_id, "" where it cannot be read. */
void session_boot_id(char *boot, size_t size);

#endif
