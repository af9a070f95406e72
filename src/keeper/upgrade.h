/* upgrade.h - elector and relay replaced by the installed version while Livy runs: ucore.h decides, here it
 * is carried out. */
#ifndef LIVY_HA_KEEPER_UPGRADE_H
#define LIVY_HA_KEEPER_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "child.h"
#include "livy-ha/ipc.h"
#include "ucore.h"

struct keeper;

/* One that runs beside the one in office. */
struct upgrade_candidate {
    struct child_program program;
    struct child child; /* pid 0: none */
    int channel;        /* -1: none */
    unsigned conf;      /* keeper.reloads when it was started */
    struct ipc_msg hello;
};

struct upgrade {
    struct ucore core;
    char id[64];                        /* of the command; "": asked for by a signal */
    struct upgrade_candidate fresh[2];  /* by enum ucore_who */
    struct child_program before;        /* the elector's, until the new one has proved itself */
    bool office, ready, ponged, leased; /* the new elector is in office, and what it has shown so far */
    struct child retired;               /* a relay that ends what runs */
    int retired_channel;
};

void upgrade_open(struct keeper *k);
void upgrade_close(struct keeper *k);

/* number, id: of the person's command; 0 and "" for a signal. The outcome is told by ANSWER and in the log.
 */
void upgrade_begin(struct keeper *k, uint32_t number, const char *id);
void upgrade_time(struct keeper *k);

/* True where the descriptor, or the child, is one of the upgrade's. */
bool upgrade_readable(struct keeper *k, int fd);
bool upgrade_reaped(struct keeper *k, pid_t pid, int status); /* status: exit status, or 256 + signal */

/* The elector in office has been reaped, and what it had said has been read. True: the new one has its place;
 * false: the keeper's machine is to be told. */
bool upgrade_take_office(struct keeper *k);
void upgrade_heard(struct keeper *k, uint32_t message); /* of the elector in office, after its step */
/* The elector in office has its SIGKILL, so its successor gets the session, whatever it may still say. */
bool upgrade_has_killed(const struct keeper *k);
/* FATAL of the elector in office. True: it was on trial there, so it goes and the daemon stays. */
bool upgrade_fatal(struct keeper *k, const struct ipc_msg *msg);

/* "NUMBER/ID" for an elector that is started now, or NULL. */
const char *upgrade_argument(const struct keeper *k, char *text, size_t size);

#endif
