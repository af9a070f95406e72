/* cds_line.h - what a class data archive has to know of a JVM: read off its command line, and off the list of
 * its classes. Pure: text in, text out; the text is another process's and may be anything.
 */
#ifndef LIVY_HA_KEEPER_CDS_LINE_H
#define LIVY_HA_KEEPER_CDS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CDS_OPTIONS_MAX 64
#define CDS_REASON_SIZE 200

struct cds_line {
    const char *class_path;               /* as it was given, wildcards and all; NULL: none */
    const char *options[CDS_OPTIONS_MAX]; /* those that the archive depends on, as they were given */
    size_t n_options;
    const char *archive; /* the last -XX:SharedArchiveFile=, NULL: none */
    bool off;            /* -Xshare:off, and nothing else after it */
    bool on;             /* the same of -Xshare:on, which makes an archive that does not fit fatal */
    const char
        *aot; /* an option for the AOT cache of Java 24 or later, fatal beside an archive; NULL: none */
};

/* `text`: /proc/PID/cmdline, its arguments each with a NUL behind it. What is found points into it. False
 * with `why` where it cannot be understood. */
bool cds_line_parse(const char *text, size_t size, struct cds_line *line, const char **why);

/* `text`: /proc/PID/environ. The variable with options for Java among which is one about archives: these are
 * not on the command line. NULL: none. Points into `text`. */
const char *cds_line_environment(const char *text, size_t size);

/* The next entry of a class path, "" where it is empty; false where there is none. `at` begins at the path.
 */
bool cds_line_entry(const char **at, char *entry, size_t size);
/* "/opt/livy/jars/ *" (without the blank) to its directory. False where the entry is no wildcard. */
bool cds_line_wildcard(const char *entry, char *directory, size_t size);
/* Java's launcher takes these of a directory, and no others. */
bool cds_line_is_jar(const char *name);

/* "org.apache.livy.Main\n" to "org/apache/livy/Main\n", in place, as -XX:SharedClassListFile wants it. False
 * for a line that is not a class's name. */
bool cds_line_class(char *line);

/* The major version in a JDK's file "release": JAVA_VERSION="17.0.15" is 17, "1.8.0_402" is 8. 0: unknown. */
int cds_line_version(const char *release);

/* Of what a program wrote, the line that says why it failed. */
void cds_line_reason(const char *text, char *reason, size_t size);

#endif
