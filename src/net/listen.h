/* listen.h - listening stream sockets, of TCP and of the file system; non-blocking, CLOEXEC.
 *
 * `name` is what the socket is called in `why`: "admin.listen", "control socket".
 */
#ifndef LIVY_HA_NET_LISTEN_H
#define LIVY_HA_NET_LISTEN_H

#include <stddef.h>
#include <sys/types.h>

/* "address:port", "[v6]:port", or ":port" for all addresses, IPv6 too where the host has it. SO_REUSEADDR is
 * set. The descriptor, or -1 with a sentence in `why` and errno. */
int listen_tcp(const char *name, const char *address, int backlog, char *why, size_t size);

/* A socket file as it was made. */
struct listen_file {
    dev_t dev;
    ino_t ino;
};

/* At `path`, mode 0660. An old socket file is removed only where nobody answers on it; any other file stays,
 * and is an error. */
int listen_unix(const char *name, const char *path, int backlog, struct listen_file *file, char *why,
                size_t size);

/* Removes the socket file where it still is the one that was made: a successor may have put its own there. */
void listen_remove(const char *path, const struct listen_file *file);

#endif
