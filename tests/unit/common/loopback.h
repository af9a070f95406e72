/* loopback.h - for tests of both folders: a listening socket on this host alone, on a port of its own
 * choosing. */
#ifndef LIVY_HA_TEST_LOOPBACK_H
#define LIVY_HA_TEST_LOOPBACK_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

/* `address` is an IPv4 or IPv6 literal. -1 where this host has no such address. */
static inline int listen_loopback(const char *address, int *port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const bool six = inet_pton(AF_INET, address, &v4.sin_addr) != 1;
    struct sockaddr *any = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t size = six ? sizeof v6 : sizeof v4;
    const int fd = socket(any->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *port = 0;
    if (six && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1)
        return -1;
    if (fd < 0 || bind(fd, any, size) != 0 || listen(fd, 8) != 0 || getsockname(fd, any, &size) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *port = ntohs(six ? v6.sin6_port : v4.sin_port);
    return fd;
}

#endif
