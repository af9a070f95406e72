/* cds_make.h - the child of the keeper that makes the class data archive, out of a Livy that serves. It dies
 * with the keeper; it and the Java that it runs are the least of this host's processes.
 */
#ifndef LIVY_HA_KEEPER_CDS_MAKE_H
#define LIVY_HA_KEEPER_CDS_MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cds_trust.h"
#include "child.h"

#define CDS_MAKE_WITHIN 300000 /* ms: it ends its Java by itself then */

enum cds_outcome {
    CDS_OUTCOME_NONE,   /* it said nothing */
    CDS_OUTCOME_FITS,   /* what is there is right */
    CDS_OUTCOME_MADE,   /* size, ms */
    CDS_OUTCOME_CANNOT, /* text: why there can be none for this Livy */
    CDS_OUTCOME_FAILED, /* text: why it could not be made now */
};

struct cds_answer {
    enum cds_outcome outcome;
    bool refused; /* the Livy was started with the archive, which fits, and runs without */
    int64_t size, ms;
    char text[256];
};

/* Starts it: for the Livy that runs and whose classes have been written down. `use` DROP: what is there is no
 * good. Its `status` is a pipe with the answer. 0, or -1 with `why`. */
int cds_make_begin(const struct conf *conf, const struct child *livy, enum cds_use use, struct child *child,
                   char *why, size_t size);
/* Once it is dead. */
void cds_make_read(const struct child *child, struct cds_answer *answer);

/* A file with the classes as Java wants them listed, of a file that the agent wrote. -1 with errno. */
int cds_make_list(const char *path);

#endif
