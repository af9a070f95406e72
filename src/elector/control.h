/* control.h - the control socket: HTTP/1.x over a Unix socket, mode 0660, for livy-ha-ctl and curl.
 *
 * GET, HEAD and POST; 8 KiB of head, 64 KiB of body (read and dropped), 64 connections (more wait in the
 * kernel's queue), 10 s for each from accept to end, one request a connection. It knows paths only through
 * the handler it is given. Runs on the loop's thread. The program must ignore SIGPIPE.
 *
 * Not evhttp: that one (2.1.12) can neither count its connections nor end a slow one at an absolute time; its
 * time-out starts anew with each byte.
 */
#ifndef LIVY_HA_ELECTOR_CONTROL_H
#define LIVY_HA_ELECTOR_CONTROL_H

#include <stdbool.h>

struct event_base;
struct control;

struct control_request {
    bool post;         /* else GET or HEAD */
    const char *path;  /* "/cluster", percent-decoded, without the query */
    const char *query; /* the raw query, or NULL */
};

/* Answers by returning the status and setting *body to a malloc'ed JSON text (freed by the caller; NULL: an
 * empty object). 404 with NULL gets a JSON error that lists nothing. Must not call control_close. */
typedef int control_handler(void *arg, const struct control_request *request, char **body);

/* Binds `path` (an old socket file is removed only where nobody answers on it), mode 0660. NULL with a
 * sentence in `why`. */
struct control *control_open(struct event_base *base, const char *path, control_handler *handler, void *arg,
                             char *why, unsigned long size);
/* Removes the socket file too, where it still is the one that was made. */
void control_close(struct control *control);

#endif
