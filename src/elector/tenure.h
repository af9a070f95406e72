/* tenure.h - the nodes of <root>/tenures: who is, or was, active.
 *
 * A member writes one, persistent, as it starts its Livy, and takes it away in the transaction that gives its
 * latch node up in order, or once it has come back and seen that no Livy of its own lives. What stands there
 * while another member is first in the queue is of one that went otherwise.
 *
 * The name is "<id>@<16 hex digits>": the digits stand for host and runtime_dir. A daemon that starts has
 * made sure that no Livy of that host and runtime_dir is left, whoever started it: it may take away what
 * bears exactly its name, whichever boot it is of, and nothing else (the same id on another host is another
 * one).
 */
#ifndef LIVY_HA_ELECTOR_TENURE_H
#define LIVY_HA_ELECTOR_TENURE_H

#include <stdbool.h>

#include "core.h"
#include "livy-ha/conf.h"

/* The name of this member's own. */
void tenure_name(const struct conf *conf, char name[static CORE_TENURE_SIZE]);

/* The data of a tenure: JSON of the member and its latch node; the caller frees it. NULL: out of memory. */
char *tenure_write(const struct ipc_member *member, const char *node);

/* Whether it can be a tenure's name: all else in <root>/tenures is a stranger's, and nobody's tenure. */
bool tenure_is_one(const char *name);

/* What stands in the tenure `name`; where it is not to be understood, the id of the name, and nothing else.
 */
void tenure_read(const char *name, const char *data, int length, struct core_victim *victim);

#endif
