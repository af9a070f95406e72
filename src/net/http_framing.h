/* http_framing.h - where the body of an HTTP/1.1 message ends, told from its bytes as they pass by. Pure;
 * constant size; takes any split of the bytes. Chunked: strict (RFC 9112, 7.1): sizes of at most 15 hex
 * digits, extensions and trailer fields passed over but bounded (8 KiB each in all), CRLF where CRLF belongs.
 */
#ifndef LIVY_HA_NET_HTTP_FRAMING_H
#define LIVY_HA_NET_HTTP_FRAMING_H

#include "http_head.h"

struct http_framing {
    enum http_body body;
    int state;       /* private */
    uint64_t left;   /* of the body, or of the chunk */
    uint32_t line;   /* private: bytes of extensions, or of trailer fields, so far */
    uint32_t digits; /* private: of the chunk's size so far */
    bool done;       /* the message is over */
    bool bad;        /* it is not well-formed: nothing after it on the connection can be trusted */
};

void http_framing_begin(struct http_framing *framing, enum http_body body, uint64_t length);

/* How many of the `n` bytes belong to the message; those after them are the next one's. Sets done or bad;
 * with bad, those before the byte that is wrong. UNTIL_CLOSE is never done: it ends with the connection. */
size_t http_framing_feed(struct http_framing *framing, const char *bytes, size_t n);

#endif
