/* client.h - the ZooKeeper client library as the elector knows it: reconnects by itself, pings, notices
 * silence, sets watches again. One to a host. Its news reach the elector at once: a loop that lags behind
 * its library's threads is for the random test (tests/unit/elector/test_core_random.c).
 */
#ifndef LIVY_HA_MODEL_CLIENT_H
#define LIVY_HA_MODEL_CLIENT_H

#include "world.h"

void client_open(struct world *w, int host, int session);
void client_close(struct world *w, int host, bool keep_session);
bool client_kick(struct world *w, int host);
void client_request(struct world *w, int host, enum op op, const struct core_action *a);
void client_break(struct world *w, int host);  /* the connection is gone */
void client_vanish(struct world *w, int host); /* the host is: nobody tells the server */
void client_event(struct world *w, const struct event *e);

#endif
