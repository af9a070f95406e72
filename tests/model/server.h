/* server.h - the servers of the modelled ensemble, as zk.c knows them. */
#ifndef LIVY_HA_MODEL_SERVER_H
#define LIVY_HA_MODEL_SERVER_H

#include "world.h"

void server_from_leader(struct world *w, int server, const struct zmsg *m);
void server_event(struct world *w, const struct event *e);
void server_leave(struct world *w, int server);          /* it has no leader: its clients are thrown out */
bool server_in_touch(const struct world *w, int server); /* with the leader */
int server_grants(const struct world *w, int server);    /* T */

#endif
