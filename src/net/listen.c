/* listen.c - see listen.h. Parses no names: an address is an IP address of this host. */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_MODE 0660

/* ---- TCP ------------------------------------------------------------------------------------------------
 */

/* Splits "host:port" at the last colon, brackets taken off. False where it is none. */
static bool split(const char *text, char *host, size_t size, in_port_t *port)
{
    const char *colon = strrchr(text, ':'), *end = colon;
    char *rest;
    long number;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return false;
    number = strtol(colon + 1, &rest, 10);
    if (*rest != '\0' || number > 65535)
        return false;
    if (text[0] == '[') {
        text++;
        if (end == text || *--end != ']')
            return false;
    }
    if ((size_t)(end - text) >= size)
        return false;
    memcpy(host, text, (size_t)(end - text));
    host[end - text] = '\0';
    *port = htons((in_port_t)number);
    return true;
}

static int bind_tcp(const struct sockaddr *address, socklen_t length, bool both, int backlog)
{
    const int one = 1, zero = 0;
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -1;
    /* Connections of a predecessor that still linger are no reason to stay away. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        (!both || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) == 0) &&
        bind(fd, address, length) == 0 && listen(fd, backlog) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* A socket of IPv6 that takes IPv4 as well; where this host has no IPv6, one of IPv4. */
static int bind_all(in_port_t port, int backlog)
{
    const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_any};
    const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
    const int fd = bind_tcp((const struct sockaddr *)&v6, sizeof v6, true, backlog);

    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    return bind_tcp((const struct sockaddr *)&v4, sizeof v4, false, backlog);
}

static int bind_text(const char *text, int backlog)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    char host[INET6_ADDRSTRLEN];
    in_port_t port;

    errno = EINVAL;
    if (!split(text, host, sizeof host, &port))
        return -1;
    v4.sin_port = v6.sin6_port = port;
    if (host[0] == '\0' && text[0] == ':')
        return bind_all(port, backlog);
    if (text[0] == '[' && inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        return bind_tcp((const struct sockaddr *)&v6, sizeof v6, false, backlog);
    if (text[0] != '[' && inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        return bind_tcp((const struct sockaddr *)&v4, sizeof v4, false, backlog);
    errno = EINVAL;
    return -1;
}

static const char *advice(int error)
{
    switch (error) {
    case EINVAL:
        return "it must be \"address:port\", with an IP address of this host";
    case EADDRINUSE:
        return "stop the program that listens there (ss -ltnp shows it), or choose another port";
    case EADDRNOTAVAIL:
        return "it must be an IP address of this host (ip address shows them)";
    case EACCES:
        return "choose a port above 1023, or give livy-ha CAP_NET_BIND_SERVICE";
    default:
        return "try again";
    }
}

int listen_tcp(const char *name, const char *address, int backlog, char *why, size_t size)
{
    const int fd = bind_text(address, backlog);
    const int error = errno;

    if (fd < 0)
        (void)snprintf(why, size, "%s %s: %s: %s", name, address, strerror(error), advice(error));
    errno = error;
    return fd;
}

/* ---- the file system ------------------------------------------------------------------------------------
 */

static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Asks the socket file that is there. 0: somebody answers; else the errno that says why not. */
static int unix_ask(const struct sockaddr_un *address)
{
    const int fd = unix_socket();
    int error = 0;

    if (fd < 0)
        return errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0)
        error = errno;
    close(fd);
    return error == EAGAIN ? 0 : error; /* EAGAIN: somebody listens, with a full queue */
}

/* Removes a socket file that a dead daemon has left. Returns 0 where the path is free. */
static int unix_clear(const char *name, const struct sockaddr_un *address, char *why, size_t size)
{
    const char *path = address->sun_path;
    struct stat status;
    int error;

    if (lstat(path, &status) != 0) {
        if (errno == ENOENT)
            return 0;
        (void)snprintf(why, size, "%s %s: %s: check runtime_dir and control.socket", name, path,
                       strerror(errno));
        return -1;
    }
    if (!S_ISSOCK(status.st_mode)) {
        (void)snprintf(
            why, size,
            "%s %s: a file that is no socket is in its place: move it away, or set control.socket to "
            "another path",
            name, path);
        return -1;
    }
    error = unix_ask(address);
    if (error == 0) {
        (void)snprintf(
            why, size,
            "%s %s: another livy-ha answers on it: stop that one, or give this one a runtime_dir of its "
            "own",
            name, path);
        return -1;
    }
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
        (void)snprintf(why, size, "%s %s: %s", name, path, strerror(error));
        return -1;
    }
    if (error == ENOENT || (error == ECONNREFUSED && (unlink(path) == 0 || errno == ENOENT)))
        return 0;
    (void)snprintf(why, size, "%s %s: the old socket file is in the way: %s: remove it", name, path,
                   strerror(error == ECONNREFUSED ? errno : error));
    return -1;
}

/* The mode is set before the name exists (Linux takes it from the descriptor, less the umask), so that there
 * is no moment at which the file is wider; once more afterwards, since a narrow umask may have taken too
 * much. */
static int unix_bind(const char *name, const struct sockaddr_un *address, int backlog,
                     struct listen_file *file, char *why, size_t size)
{
    struct stat status;
    const int fd = unix_socket();

    if (fd >= 0 && fchmod(fd, LISTEN_MODE) == 0 &&
        bind(fd, (const struct sockaddr *)address, sizeof *address) == 0) {
        if (chmod(address->sun_path, LISTEN_MODE) == 0 && lstat(address->sun_path, &status) == 0 &&
            listen(fd, backlog) == 0) {
            file->dev = status.st_dev;
            file->ino = status.st_ino;
            return fd;
        }
        (void)snprintf(why, size, "%s %s: %s", name, address->sun_path, strerror(errno));
        (void)unlink(address->sun_path);
    } else {
        (void)snprintf(why, size, "%s %s: %s: the directory must exist and be writable for livy-ha", name,
                       address->sun_path, strerror(errno));
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

int listen_unix(const char *name, const char *path, int backlog, struct listen_file *file, char *why,
                size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
        (void)snprintf(why, size, "%s %s: the path must have 1 to %zu bytes: set control.socket", name, path,
                       sizeof address.sun_path - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (unix_clear(name, &address, why, size) != 0)
        return -1;
    return unix_bind(name, &address, backlog, file, why, size);
}

void listen_remove(const char *path, const struct listen_file *file)
{
    struct stat status;

    if (lstat(path, &status) == 0 && status.st_dev == file->dev && status.st_ino == file->ino)
        (void)unlink(path);
}
