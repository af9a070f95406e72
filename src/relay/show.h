/* show.h - the admin port's place in the relay: what comes from the elector for it, and how the front is. */
#ifndef LIVY_HA_RELAY_SHOW_H
#define LIVY_HA_RELAY_SHOW_H

#include <stddef.h>

struct relay;

/* Opens admin.listen, unless it is off. 0; or -1 with errno and a sentence in `why`. */
int show_open(struct relay *relay, char *why, size_t size);
void show_close(struct relay *relay);

#endif
