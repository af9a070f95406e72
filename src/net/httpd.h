/* httpd.h - a small HTTP/1.x server on libevent, for the control socket (elector) and the admin port (relay).
 *
 * One request a connection, GET, HEAD, OPTIONS (answered as GET would be, without the body, and with Allow)
 * and, where it is allowed, POST; other methods get 405. 8 KiB of head, 64 KiB of body (read and dropped), a
 * bound on connections (more wait in the kernel's queue) and on those of one address (more are closed at
 * once), an absolute deadline for the request and one for taking the answer. It knows paths only through the
 * handler that it is given. Runs on the loop's thread, never blocks. The program must ignore SIGPIPE.
 *
 * Not evhttp: that one (2.1.12) can neither count its connections nor end a slow one at an absolute time; its
 * time-out starts anew with each byte.
 */
#ifndef LIVY_HA_NET_HTTPD_H
#define LIVY_HA_NET_HTTPD_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct httpd;
struct httpd_exchange; /* a request that is not answered yet */

/* The strings are valid during the call of the handler. */
struct httpd_request {
    bool post;         /* else GET, HEAD or OPTIONS */
    const char *path;  /* "/cluster", percent-decoded, without the query */
    const char *query; /* the raw query, or NULL */
};

struct httpd_reply {
    int status;
    const char *type; /* NULL: application/json */
    const char
        *body;     /* copied, JSON with a line feed after it; NULL: {"error": phrase} from 400 on, else {} */
    size_t length; /* of body */
    const char *headers; /* further ones, each with its CRLF; NULL: none */
};

/* Called once a request is there in full. Answers now, or later, with httpd_answer, once; an exchange whose
 * client goes away in the meantime is told by `gone` (may be NULL where all is answered at once), after which
 * it must not be answered; httpd_close tells it of all that are not answered yet. A client that has only shut
 * its sending side is waited for; with TCP one that has closed cannot be told from it before its answer is
 * sent. Neither may call httpd_close. */
typedef void httpd_handler(void *arg, struct httpd_exchange *exchange, const struct httpd_request *request);
typedef void httpd_gone(void *arg, struct httpd_exchange *exchange);

struct httpd_options {
    const char *path;   /* a Unix socket, mode 0660; an old file is removed only where nobody answers on it */
    const char *listen; /* or "address:port", "[v6]:port" */
    const char *name;   /* for messages: "control socket", "admin.listen" */
    bool posts;         /* POST is allowed */
    size_t connections; /* at most 1024 */
    size_t per_address; /* at most this many of one address (peer.h); 0: no bound (a Unix socket) */
    int seconds; /* for the request to be there, and again for the answer to be taken; none in between */
    httpd_handler *handler;
    httpd_gone *gone;
    void *arg;
};

/* NULL with a sentence in `why`, which names the address and what to do. */
struct httpd *httpd_open(struct event_base *base, const struct httpd_options *options, char *why,
                         size_t size);
/* Removes the socket file too, where it still is the one that was made. */
void httpd_close(struct httpd *httpd);

void httpd_answer(struct httpd_exchange *exchange, const struct httpd_reply *reply);

#endif
