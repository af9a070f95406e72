/* zk.h - the modelled ZooKeeper: a leader and two servers that clients connect to.
 *
 * What it has of the real one because a lease can break on it: a session expires T after its last touch *at
 * the leader* at the earliest; a request touches it at the server alone, which tells the leader with its
 * next ping, once per tick/2; connecting touches it at the leader. A server that is cut off from its leader
 * goes on answering pings and reads; one that takes itself for the leader answers syncs and reconnects too,
 * and commits nothing. A new leader gives every session a full T, and what was not committed yet may be done
 * or not. What a dead connection carried is still done when it arrives, but not for a session that has moved
 * to the other server.
 */
#ifndef LIVY_HA_MODEL_ZK_H
#define LIVY_HA_MODEL_ZK_H

#include "world.h"

void zk_begin(struct world *w);
void zk_event(struct world *w, const struct event *e);

/* Whether the server, as far as it has got, has the node or the session. */
bool zk_node_at(const struct world *w, int node, int32_t zxid);
bool zk_session_at(const struct world *w, int session, int32_t zxid);
int zk_first_node(const struct world *w); /* at the leader; -1: none */

void zk_send_up(struct world *w, int conn, const struct zmsg *m);
void zk_hang_up(struct world *w,
                int conn); /* by the server: nothing more comes in, what is going out arrives */
int zk_new_connection(struct world *w, int host, int server); /* -1: no room */

/* Faults. */
void zk_cut(struct world *w, int server, int64_t until, bool zombie);
void zk_freeze(struct world *w, int server, int64_t until);
void zk_freeze_leader(struct world *w, int64_t until);
void zk_election(struct world *w, int64_t takes, bool done);
void zk_stranger(struct world *w, int node); /* somebody deletes it by hand */
bool zk_well(const struct world *w);

#endif
