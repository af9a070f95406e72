/* props.h - reads a Java properties file as java.util.Properties.load(Reader) does: '#' and '!' comments,
 * '=', ':' or white space as separator, continued lines, \uXXXX and the other escapes, the last duplicate
 * wins. Values are trimmed, as Livy trims them. Bounded: files past 1 MiB are refused. May block (file).
 * Text is UTF-8, as Livy reads it; a NUL inside a key or value is kept as the two bytes C0 80 (Java's own
 * "modified UTF-8"), half of a surrogate pair as U+FFFD.
 */
#ifndef LIVY_HA_PROPS_H
#define LIVY_HA_PROPS_H

#include <stddef.h>

#define PROPS_MAX_FILE ((size_t)1 << 20)

struct props;

/* The bytes of a regular file, malloc'ed, a NUL after them; or NULL with errno (EFBIG past PROPS_MAX_FILE;
 * ENOENT, EACCES, …) and a sentence in `why`. */
char *props_read_file(const char *path, size_t *length, char *why, size_t size);

/* Returns NULL with errno (as props_read_file; EBADMSG for a malformed \uXXXX, at which Java refuses the
 * whole file) and a sentence in `why`, with the line where there is one. */
struct props *props_load(const char *path, char *why, size_t size);

/* The same from memory; NULL with errno EBADMSG or ENOMEM. */
struct props *props_parse(const char *text, size_t length);
void props_free(struct props *props);

/* The value of `key`, or NULL; `line` (may be NULL) gets the line, from 1, where it stands. */
const char *props_get(const struct props *props, const char *key, int *line);

#endif
