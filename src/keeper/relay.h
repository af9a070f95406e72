/* relay.h - the relay's process and its channel: what rcore.h decides is carried out here. The relay is
 * started with the daemon and lives until the keeper ends; Livy and the elector do not depend on it. */
#ifndef LIVY_HA_KEEPER_RELAY_H
#define LIVY_HA_KEEPER_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "child.h"
#include "rcore.h"

struct keeper;

struct relay {
    struct rcore core;
    struct child child; /* pid 0: none */
    int channel;        /* -1: none */
};

/* Whether this configuration needs one: the front, the thrift front or the admin port is on. */
bool relay_wanted(const struct conf *conf);

void relay_open(struct keeper *k, int64_t now);
void relay_time(struct keeper *k);                              /* carries out what is due */
void relay_readable(struct keeper *k);                          /* its channel is */
void relay_reaped(struct keeper *k, int status);                /* status: exit status, or 256 + signal */
void relay_send(struct keeper *k, struct ipc_msg *msg, int fd); /* kills one that does not read */
void relay_close(struct keeper *k); /* the keeper ends: kills it, and waits until its ports are free */

#endif
