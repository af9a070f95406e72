/* route.h - where a front's requests go, and when all fronts hold: decisions over what is known of this
 * member and the records of the others (members/<id>). Pure: no clock, no I/O, no state. */
#ifndef LIVY_HA_ELECTOR_ROUTE_H
#define LIVY_HA_ELECTOR_ROUTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "livy-ha/front.h"

/* What this member knows of itself. */
struct route_self {
    const char *id, *livy_url, *front_url; /* livy_url: as it is reached from here */
    bool alive;                            /* a Livy of ours runs, or may */
    bool serving;                          /* and answers, and is not being stopped */
    bool quiescing;                        /* and a planned stop is near, or on */
    int64_t epoch;                         /* of that Livy */
    int64_t leased;                        /* it is killed then; CLOCK_BOOTTIME ms */
    int64_t trusted;                       /* what the others have told is good until then */
    enum front_mode mode;                  /* of this member's front */
    bool tls;                              /* this member's Livy speaks https */
    enum front_ending ending;
    bool yield;
};

/* All of `view` but its serial. Of several members that call themselves active only the one with the highest
 * epoch counts, this one included: a record may outlive its member by a session time-out. */
void route_decide(const struct route_self *self, const json_t *members, struct front_view *view);

/* Whether any other member's front forwards, so that it has to hold requests at a hand-over. */
bool route_others_forward(const json_t *members, const char *self);

/* Whether there is another member that may be the next active one, or is it. */
bool route_others_stand(const json_t *members, const char *self);

/* Whether each other front that forwards has said that it holds requests for `epoch`, with none running. */
bool route_others_hold(const json_t *members, const char *self, int64_t epoch);

#endif
