/* control_http.h - the head of an HTTP/1.x request, parsed strictly. Pure: no input or output, no allocation.
 *
 * What is ambiguous is refused and never guessed: folded lines, blanks before a colon, two Content-Lengths,
 * any Transfer-Encoding, control bytes.
 */
#ifndef LIVY_HA_ELECTOR_CONTROL_HTTP_H
#define LIVY_HA_ELECTOR_CONTROL_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define CONTROL_HEAD_MAX 8192
#define CONTROL_BODY_MAX 65536

enum control_method { CONTROL_GET, CONTROL_HEAD, CONTROL_POST };

struct control_head {
    enum control_method method;
    const char *path;      /* percent-decoded; points into the text that was parsed */
    const char *query;     /* raw, or NULL; likewise */
    size_t content_length; /* 0 where none is given */
    bool expects_continue; /* Expect: 100-continue from an HTTP/1.1 client */
};

/* Parses `text`: request line and header fields with the empty line that ends them, `length` bytes, writable
 * and changed by this. Returns 0, or the HTTP status (400, 405, 413, 417, 501, 505) to refuse it with. */
int control_http_parse(char *text, size_t length, struct control_head *head);

/* "Not Found" for 404; "Status" for a status that livy-ha does not use. */
const char *control_http_phrase(int status);

#endif
