/* cds.h - livy.class_data_sharing = "auto": an archive of the classes that Livy loads (HotSpot's AppCDS),
 * made once a Livy has served and used by those that are started after it. In the keeper: when it is made, by
 * whom (cds_make.h), and whether it is trusted (cds_trust.h). No file is touched here.
 */
#ifndef LIVY_HA_KEEPER_CDS_H
#define LIVY_HA_KEEPER_CDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cds_trust.h"
#include "child.h"

struct keeper;

struct cds {
    struct cds_trust trust;
    struct child maker; /* its pipe is `status`; pid 0: none */
    int64_t until;      /* it is killed then */
    bool cut;           /* it was, for what comes first */
    uint64_t told;      /* of the reason that the log has: once is enough */
    uint32_t served;    /* the run of Livy that has served */
};

void cds_open(struct keeper *k);
void cds_close(struct keeper *k); /* the keeper ends */
void cds_time(struct keeper *k, int64_t now);
int64_t cds_next(const struct keeper *k);

/* A Livy is about to be started, be it to be held: that comes before the making of an archive. */
enum cds_use cds_starting(struct keeper *k);
/* Livy serves. (To have come to the gate proves nothing: what does harm may come after it.) */
void cds_served(struct keeper *k);
/* Its classes have been written down. */
void cds_recorded(struct keeper *k);
/* One that had not come to the gate is dead, and nobody of ours has killed it. */
void cds_held_ended(struct keeper *k, const struct child *held, int status);
/* Livy is dead, and the core has not been told yet. */
void cds_livy_ended(struct keeper *k, int status);
void cds_reloaded(struct keeper *k);

bool cds_reaped(struct keeper *k, pid_t pid); /* false where `pid` is not its own */

#endif
