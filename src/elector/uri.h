/* uri.h - <root>/server.uri, ephemeral: the active front's URL, for clients that look it up in ZooKeeper.
 *
 * Made once Livy serves, taken away in the transaction that gives the latch up (takeover.c), so that it costs
 * a hand-over nothing; made anew where somebody has taken it away or written something else. It is only ever
 * written in one transaction with a check of the own latch node: what is there of a dead session, ours or
 * another member's, is replaced then; never by a member that is not active.
 */
#ifndef LIVY_HA_ELECTOR_URI_H
#define LIVY_HA_ELECTOR_URI_H

#include <stdbool.h>
#include <stdint.h>

struct elector;

struct uri {
    bool busy;  /* a request is under way */
    bool there; /* it is, by our session, and says `text` */
    bool told;  /* that it could not be made */
    bool look;  /* something has changed there: is it still what it should be? */
    int64_t retry_at;
    char text[512];
};

/* Makes it where it should be there and is not. Called with each step. */
void uri_update(struct elector *e);
/* Its watch has fired. */
void uri_changed(struct elector *e);
/* The connection, or the handle, is gone: what stands there is to be looked at again. */
void uri_stop(struct elector *e);
/* Whether it may be there by our session; from then on it counts as gone, and the caller deletes it. */
bool uri_give_up(struct elector *e);

#endif
