/* probe_address.c - Livy's livy.server.host to the address on which it can be asked.
 *
 * Blocks on the resolver; called before the loop.
 */
#include "probe.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* An address on which a server listens on all of them is not one to connect to. */
static bool address_is_any(int family, const void *address)
{
    static const unsigned char zeros[16];

    return memcmp(address, zeros, family == AF_INET ? 4 : 16) == 0;
}

static bool address_write(int family, const void *raw, char address[static 64])
{
    if (address_is_any(family, raw)) {
        (void)snprintf(address, 64, "127.0.0.1");
        return true;
    }
    return inet_ntop(family, raw, address, 64) != NULL;
}

static const void *address_raw(const struct addrinfo *info)
{
    if (info->ai_family == AF_INET)
        return &((const struct sockaddr_in *)(const void *)info->ai_addr)->sin_addr;
    return &((const struct sockaddr_in6 *)(const void *)info->ai_addr)->sin6_addr;
}

/* Java binds to the first IPv4 address of a name where it has one, so that is where Livy is. */
static const struct addrinfo *address_choose(const struct addrinfo *list)
{
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        if (info->ai_family == AF_INET)
            return info;
    }
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        if (info->ai_family == AF_INET6)
            return info;
    }
    return NULL;
}

int probe_target_address(const char *host, char address[static 64], char *why, size_t size)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const struct addrinfo *chosen;
    unsigned char raw[16];
    bool written;
    int rc;

    if (host == NULL || host[0] == '\0') {
        (void)snprintf(address, 64, "127.0.0.1");
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        const int family = i == 0 ? AF_INET : AF_INET6;
        if (inet_pton(family, host, raw) == 1)
            return address_write(family, raw, address) ? 0 : -1;
    }
    rc = getaddrinfo(host, NULL, &hints, &list);
    if (rc != 0) {
        (void)snprintf(
            why, size,
            "livy.server.host = %s does not resolve (%s): correct it in livy.conf, or add the name to "
            "/etc/hosts or DNS",
            host, rc == EAI_SYSTEM ? "resolver failed" : gai_strerror(rc));
        return -1;
    }
    chosen = address_choose(list);
    written = chosen != NULL && address_write(chosen->ai_family, address_raw(chosen), address);
    freeaddrinfo(list);
    if (!written) {
        (void)snprintf(
            why, size,
            "livy.server.host = %s has neither an IPv4 nor an IPv6 address: correct it in livy.conf", host);
        return -1;
    }
    return 0;
}
