/* member.h - the elector of a host, as host.c knows it. */
#ifndef LIVY_HA_MODEL_MEMBER_H
#define LIVY_HA_MODEL_MEMBER_H

#include "world.h"

void host_sigkill(struct world *w, int host); /* host.c's */

void member_event(struct world *w, const struct event *e);
void member_end(struct world *w, int host);    /* its process; the session stays */
void member_vanish(struct world *w, int host); /* with its host */

struct kept member_keep(const struct ipc_session *session);
void member_unpack(const struct world *w, const struct packet *p, struct ipc_msg *msg);

#endif
