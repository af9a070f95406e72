/* handover.h - from one relay to the one that follows it in an upgrade, over a SOCK_SEQPACKET pair that the
 * keeper has made: first the listening sockets, then, once the new one has its place, the clients'
 * connections on which no request is on its way to a Livy: idle ones, those that wait, those whose head is
 * not there in full; each with the bytes that were read from it. So no client sees an end, and nothing is
 * lost.
 *
 * The old relay keeps what runs and answers it, hands those connections over as they become idle, and ends
 * when it has none left, or after HANDOVER_LONGEST. Meanwhile the new one passes each view on to it, and
 * counts what runs there as its own, so that a planned stop of Livy waits for that too.
 */
#ifndef LIVY_HA_RELAY_HANDOVER_H
#define LIVY_HA_RELAY_HANDOVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "livy-ha/front.h"

#define HANDOVER_MAGIC 0x314f4852u /* "RHO1": the version is in it */
#define HANDOVER_LONGEST 60000     /* ms: what runs longer than that is cut */
#define HANDOVER_LEAST 200         /* ms for answers of the admin port that are under way */

struct conn;
struct relay;

enum handover_role {
    HANDOVER_NONE,
    HANDOVER_GIVES, /* the old one */
    HANDOVER_TAKES, /* the new one */
};

struct handover {
    enum handover_role role;
    bool waits;            /* the new one: opens and accepts nothing yet */
    bool begun;            /* the new one has its place: it accepts */
    bool counted;          /* the new one: the old one has told what runs there */
    bool retiring;         /* the old one has been told to hand its connections over and go */
    int socket;            /* to the other one; -1: none */
    int admin;             /* the listening socket of admin.listen, until that port is opened; -1: none */
    uint32_t told_running; /* the old one: as last told */
    struct event *on_readable, *on_writable, *on_least, *on_longest;
    bool least;   /* HANDOVER_LEAST is over: the old one may end */
    char *packet; /* one */
};

void handover_init(struct handover *handover, bool waits);
void handover_close(struct relay *relay);

/* HANDOVER of the keeper. Takes over `fd`. */
void handover_channel(struct relay *relay, int fd);
/* RETIRE. */
void handover_retire(struct relay *relay);
/* The new one has been given the elector: it accepts from now on. Does nothing a second time. */
void handover_begin(struct relay *relay);
/* On top of the loop: connections that may go, go; ends the relay once it has none left. */
void handover_turn(struct relay *relay);
void handover_view(struct relay *relay, const struct front_view *view); /* passes it on to the old one */
void handover_counts(struct relay *relay); /* the old one tells how many requests run */
/* In the old one: nothing more is begun on this connection, for it goes with its next request. */
bool handover_wants(const struct conn *conn);
/* False in the new one until it knows what runs in the old one: "nothing runs" would end Livy under that. */
bool handover_counted(const struct handover *handover);

#endif
