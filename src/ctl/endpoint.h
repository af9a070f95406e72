/* endpoint.h - where the daemon is: a control socket or another member's admin port. */
#ifndef LIVY_HA_CTL_ENDPOINT_H
#define LIVY_HA_CTL_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#define ENDPOINT_DEFAULT_SOCKET "/run/livy-ha/control.sock"
#define ENDPOINT_DEFAULT_PORT "8997"

struct endpoint {
    bool tcp;
    char path[108]; /* the Unix socket, where !tcp */
    char host[256]; /* a name or an IP literal without brackets, where tcp */
    char port[6];
    char shown[280]; /* as messages name it */
};

/* "http://host[:port][/]". 0, or -1 with a sentence in `why`. */
int endpoint_parse_url(const char *url, struct endpoint *endpoint, char *why, size_t size);

/* The control socket at `path`. 0, or -1 with `why` where it does not fit into a socket's address. */
int endpoint_set_socket(const char *path, struct endpoint *endpoint, char *why, size_t size);

/* The local daemon's control socket, first hit first: `socket` (-s); LIVY_HA_CONTROL_SOCKET;
 * LIVY_HA_RUNTIME_DIR; control.socket of the configuration `conf` (-c; NULL: the default one), so far as it
 * loads; the default path. Only a configuration that was named and does not load is an error: -1, with all of
 * its errors on stderr. May block on files and on the resolver, as conf_load does. */
int endpoint_find_socket(const char *socket, const char *conf, struct endpoint *endpoint, char *why,
                         size_t size);

#endif
