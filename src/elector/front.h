/* front.h - the elector's side of the channel to the relay (livy-ha/front.h): tells it where requests go, and
 * at a planned stop has all fronts of the cluster hold what is new and end what runs. The decisions are
 * route.h's. Never blocks. */
#ifndef LIVY_HA_ELECTOR_FRONT_H
#define LIVY_HA_ELECTOR_FRONT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "livy-ha/front.h"

struct elector;
struct front;

struct front *front_new(struct elector *e); /* NULL: out of memory */
void front_free(struct front *front);

/* The keeper has sent our end of a new channel to the relay; takes it over. */
void front_peer(struct front *front, int socket);

/* Something has changed, or may have: decides anew, and tells the relay where it makes a difference. Called
 * at the end of each step, when the others' records have changed, and before Livy is started. */
void front_update(struct front *front);

/* CORE_ACT_QUIESCE; the core is answered with CORE_EV_QUIET once it is so, between its steps. */
void front_quiesce(struct front *front, bool on);

/* What members/<id> says of the front: sets "front" where there is one, and what a planned stop changes. */
void front_record(const struct front *front, json_t *self);

/* Whether this member has a front, for HTTP or for thrift. */
bool front_on(const struct front *front);
/* Where clients are to go: front.advertise, or Livy's own URL where there is no front. */
void front_url(const struct front *front, char *url, size_t size);

/* The daemon's end, once the latch is given up. front_leave asks the relay for whom it still has; front_left
 * tells whether that is nobody, as far as is known; front_cut has it tell them that they cannot be served. */
void front_leave(struct front *front);
bool front_left(const struct front *front);
void front_cut(struct front *front);

/* Gives the relay one document (see FRONT_SNAPSHOT) of `size` bytes. False where there is no relay, or it
 * does not read: the next one is due in a while anyway. `memfd` stays the caller's. */
bool front_snapshot(struct front *front, int memfd, uint64_t size);

#endif
