/* reply.h - the answers that the relay gives itself, as text. Pure but for the memory that the text needs.
 * Each closes the connection: a request's body is never waited for.
 */
#ifndef LIVY_HA_RELAY_REPLY_H
#define LIVY_HA_RELAY_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

/* {"error": sentence}; `retry`: with Retry-After: 1; `head`: without the body. False for want of memory. */
bool reply_error(struct buf *out, int status, const char *sentence, bool retry, bool head);

/* 307 to `front_url` and `path` (with its query, as the client sent it: the parser has vouched for its
 * bytes). Nothing else of the client's gets in. */
bool reply_redirect(struct buf *out, const char *front_url, const char *id, const char *path, size_t length,
                    bool head);

#endif
