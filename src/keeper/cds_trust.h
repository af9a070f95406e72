/* cds_trust.h - whether a Livy is to be started with the class data archive that is there
 * (livy.class_data_sharing): a pure machine, as hcore.h is for the held one.
 *
 * What fits is told by the files (cds_fit.h); this is about an archive that fits and does harm all the same.
 * A Livy that was started with it and ended by itself before it served casts suspicion on it: the next one is
 * started without. Where that one serves, the archive is dropped, and made anew; where it ends as well, the
 * archive was not to blame. After CDS_STRIKES archives that were no good none is made nor used before a
 * reload.
 */
#ifndef LIVY_HA_KEEPER_CDS_TRUST_H
#define LIVY_HA_KEEPER_CDS_TRUST_H

#include <stdbool.h>

#define CDS_STRIKES 2
#define CDS_FAILURES 3 /* archives in a row that could not be made */

enum cds_use {
    CDS_USE_NOT, /* start without, and leave what is there */
    CDS_USE,     /* where it fits */
    CDS_DROP,    /* remove what is there */
};

struct cds_trust {
    unsigned strikes, failures;
    bool suspect; /* the next Livy is started without */
    bool drop;    /* what is there is no good */
};

/* For the Livy that is about to be started, and for the maker. */
enum cds_use cds_trust_use(const struct cds_trust *trust);
/* No archive is made nor used any more, until the configuration is loaded anew (then: all zero). */
bool cds_trust_barred(const struct cds_trust *trust);

/* A Livy serves. `with`: it was started with the archive. True where the archive has
 * just been found to be no good. */
bool cds_trust_served(struct cds_trust *trust, bool with);
/* One has ended by itself before that. True where the archive has come under suspicion by it. */
bool cds_trust_ended(struct cds_trust *trust, bool with);
/* Its JVM runs without the archive that it was started with, though that fits. */
void cds_trust_refused(struct cds_trust *trust);
/* A Livy serves with the archive, and it was looked at: its JVM uses it. */
void cds_trust_fits(struct cds_trust *trust);
/* What is there has been removed, or a new one made in its place. */
void cds_trust_made(struct cds_trust *trust);
void cds_trust_failed(struct cds_trust *trust); /* it could not be made */

/* Does an end with this status (exit status, 256 + signal) say something about how it was started? Not one
 * that somebody else brought about, who has sent a signal. */
bool cds_trust_counts(int status);

#endif
