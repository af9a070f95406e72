/* listener.h - one listening address: accepts, applies the limits, pauses where descriptors run out. */
#ifndef LIVY_HA_RELAY_LISTENER_H
#define LIVY_HA_RELAY_LISTENER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "conn.h"

struct listener {
    struct relay *relay;
    const char *key, *address; /* "front.listen", "0.0.0.0:8998"; "off": none */
    bool thrift;
    int fd, spare; /* spare: a descriptor to give up where there is no other */
    struct event *event, *again;
    int64_t starved_at; /* when descriptors last ran out, CLOCK_BOOTTIME ms; 0: it is over */
    bool told;          /* that it could not be opened */
    bool waits;         /* for listener_begin */
};

void listener_init(struct listener *listener, struct relay *relay, const char *key, const char *address,
                   bool thrift);
/* 0; -1 with a sentence in `why`, errno EADDRINUSE where the port is taken. Open already, or off: 0. */
int listener_open(struct listener *listener, char *why, size_t size);
/* Takes over `fd`, on which is listened already; accepts nothing before listener_begin. 0; -1 with a sentence
 * in `why`, and `fd` is closed. */
int listener_adopt(struct listener *listener, int fd, char *why, size_t size);
void listener_begin(struct listener *listener); /* one that is open accepts from now on */
void listener_retry(struct listener *listener); /* opens it, and tries again until that works */
void listener_close(struct listener *listener);
/* From now on who connects is refused; who was connecting is taken. False: this system has no way to do so.
 */
bool listener_refuse(struct listener *listener);
/* Closes it once all who have come so far are in. */
void listener_last(struct listener *listener);
/* Called when a connection has ended: there may be room again. */
void listener_room(struct listener *listener);

#endif
