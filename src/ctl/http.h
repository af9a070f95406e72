/* http.h - one GET, or POST without a body, over a Unix socket or TCP, blocking, with an absolute deadline
 * for all of it (the look-up of a name included). HTTP/1.0 is spoken, so that the answer ends with the
 * connection and is never chunked.
 */
#ifndef LIVY_HA_CTL_HTTP_H
#define LIVY_HA_CTL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"

#define HTTP_BODY_MAX ((size_t)1024 * 1024)
#define HTTP_HEAD_MAX ((size_t)16 * 1024)

enum http_outcome {
    HTTP_ANSWERED,    /* with any status */
    HTTP_UNREACHABLE, /* nobody to talk to: `error` and `why` say why */
    HTTP_TIMED_OUT,
    HTTP_MALFORMED, /* answered, but not with what HTTP and our bounds allow; `why` */
};

struct http_reply {
    int status;
    char *body; /* malloc'ed, NUL added; NULL unless HTTP_ANSWERED */
    size_t length;
    int error; /* errno where HTTP_UNREACHABLE has one, else 0 */
    char why[160];
};

/* `deadline`: CLOCK_BOOTTIME ms. The caller frees reply->body. */
enum http_outcome http_ask(const struct endpoint *endpoint, bool post, const char *path, int64_t deadline,
                           struct http_reply *reply);

#endif
