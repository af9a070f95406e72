/* control.h - the control socket (CONTRACT.md, "HTTP"): who may ask the elector what, over a Unix socket of
 * mode 0660, for livy-ha-ctl and curl. The documents are status.c's, HTTP is httpd.h's.
 */
#ifndef LIVY_HA_ELECTOR_CONTROL_H
#define LIVY_HA_ELECTOR_CONTROL_H

#include <stddef.h>

struct control;
struct elector;

/* At control.socket. NULL with a sentence in `why`. */
struct control *control_open(struct elector *e, char *why, size_t size);
/* Removes the socket file too, where it still is the one that was made. NULL is allowed. */
void control_close(struct control *control);

#endif
