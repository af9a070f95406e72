/* http_head.h - heads of HTTP/1.x messages, parsed strictly. Pure: no input or output, no allocation; the
 * text is not changed, so that what is forwarded can be forwarded untouched.
 *
 * Follows RFC 9112 and RFC 3986. What is ambiguous is refused and never guessed, because two programs that
 * guess differently are a request smuggled past one of them: folded lines, blanks before a colon, a bare CR,
 * control bytes, NUL, two Content-Lengths (even equal ones), Content-Length beside Transfer-Encoding, any
 * transfer coding but a single "chunked" in HTTP/1.1, a request line with other than two single blanks, two
 * Hosts, no Host in HTTP/1.1, a target that is neither origin-form nor absolute-form http(s) (OPTIONS' "*"
 * and CONNECT's authority included), CONNECT, an absolute-form target whose authority is not Host's or that
 * has a query without a path, a path that begins with "//" or a backslash, bad percent escapes, bytes outside
 * of what a target may have. A line may end in LF alone.
 */
#ifndef LIVY_HA_NET_HTTP_HEAD_H
#define LIVY_HA_NET_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_span {
    const char *at;
    size_t length;
};

enum http_body {
    HTTP_BODY_NONE,
    HTTP_BODY_SIZED,
    HTTP_BODY_CHUNKED,
    HTTP_BODY_UNTIL_CLOSE, /* an answer's alone */
};

struct http_request {
    struct http_span method;
    struct http_span target; /* as sent */
    struct http_span
        path; /* origin-form, with the query: begins with '/'. "/" for an absolute-form target without path */
    struct http_span
        host;        /* Host's value, or an absolute-form target's authority; length 0: none (HTTP/1.0) */
    int minor;       /* x of HTTP/1.x: 0 or 1 */
    bool keep_alive; /* the connection may carry another request */
    bool expects_continue; /* Expect: 100-continue, from an HTTP/1.1 client */
    bool upgrade;          /* Connection: upgrade: after an answer 101 it is no HTTP any more */
    bool is_head;          /* the answer has no body */
    enum http_body body;   /* NONE (a Content-Length of 0 too), SIZED, CHUNKED */
    uint64_t length;       /* SIZED */
};

struct http_response {
    int minor, status;
    bool keep_alive;
    enum http_body body;
    uint64_t length;
};

/* Where the head in `text` ends: its length with the empty line; 0 where more is needed. `searched` (0 at
 * first) keeps what was looked through. Empty lines before a request line are the caller's to skip (RFC
 * 9112, 2.2). */
size_t http_head_end(const char *text, size_t length, size_t *searched);

/* Parses the request head of `length` bytes, the empty line included. 0, or the HTTP status to refuse it
 * with: 400, 417 (an Expect that is unknown), 501 (a transfer coding that is unknown), 505 (HTTP/2.0 and what
 * is no HTTP/1.x; HTTP/0.9's line without a version is 400). `request` points into `text`; at a refusal
 * method and is_head are set as far as they were read. */
int http_request_parse(const char *text, size_t length, struct http_request *request);

/* The same for an answer to a request whose method was HEAD or not. False where it is not well-formed. 1xx,
 * 204 and 304 have no body. */
bool http_response_parse(const char *text, size_t length, bool to_head, struct http_response *response);

/* A path's %XX decoded, without the query; false where it does not fit, or has a %00. */
bool http_path_decode(struct http_span path, char *out, size_t size);

/* "Not Found" for 404; "Status" for a status that livy-ha does not use. */
const char *http_phrase(int status);

#endif
