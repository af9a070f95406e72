/* cds_fit.h - the class data archive in runtime_dir, and whether it fits the Livy that would be started now.
 *
 * An archive that does not fit is worse than none: the JVM then goes without its own default archive too. So
 * what it was made of is written down beside it, as one text with a line for each file: Java, its libjvm, the
 * jars of the class path in the order in which they come, livy-env.sh (which may name another Java), and the
 * archive itself. It fits where the same text comes out again.
 *
 * All of this may block on files: for children of the keeper alone.
 */
#ifndef LIVY_HA_KEEPER_CDS_FIT_H
#define LIVY_HA_KEEPER_CDS_FIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "cds_trust.h"
#include "livy-ha/conf.h"

#define CDS_DIRECTORY "class-data" /* in runtime_dir; nobody else can write there */
#define CDS_ARCHIVE "livy.jsa"
#define CDS_FIT "made-of"
#define CDS_FRESH ".new"  /* behind either name, while it is written */
#define CDS_BEGUN "begun" /* as many bytes as attempts to make it that nobody has seen the end of */

#define CDS_PATH_SIZE 65536

struct cds_inputs {
    char java[PATH_MAX];      /* the program, as /proc/PID/exe names it */
    char jvm[PATH_MAX];       /* libjvm.so */
    char path[CDS_PATH_SIZE]; /* what the class path begins with: archives alone */
};

enum cds_fit {
    CDS_FIT_NONE,
    CDS_FIT_GOOD,
    CDS_FIT_NOT,
    CDS_FIT_UNKNOWN, /* its files could not be looked at */
};

/* Opens the directory; `make`: makes it where it is not there. -1 with `why`: "" where there is none. */
int cds_fit_open(const struct conf *conf, bool make, char *why, size_t size);

/* What the archive is made of, as it is now; malloc'ed, or NULL with `why`. `directory` -1: but the archive
 * itself. */
char *cds_fit_describe(const struct conf *conf, const struct cds_inputs *inputs, int directory, char *why,
                       size_t size);
/* Reads what it begins with. False where this is none of ours. */
bool cds_fit_inputs(const char *text, struct cds_inputs *inputs);
/* Says in words where the two first differ. False where they do not. */
bool cds_fit_differs(const char *before, const char *now, char *what, size_t size);

/* NOT: `why` says what has changed, or what is wrong with it. */
enum cds_fit cds_fit_check(const struct conf *conf, int directory, char *why, size_t size);
/* An attempt to make it begins: how many before it have not ended; -1 with errno. */
int cds_fit_begin(int directory);
void cds_fit_ended(int directory); /* async-signal-safe */
/* Puts the text into its place. 0, or -1 with errno. */
int cds_fit_write(int directory, const char *text);
void cds_fit_drop(int directory); /* removes it all */

/* In Livy's child, before exec: the JVM's options for the archive (with a blank behind each), "" where there
 * is none that fits, or that is not known within two seconds: its files may be on a host that does not
 * answer. Removes one that does not fit. Tells the log. */
void cds_fit_option(const struct conf *conf, enum cds_use use, char *option, size_t size);

#endif
