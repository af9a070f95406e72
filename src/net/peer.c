/* peer.c - see peer.h. */
#include "peer.h"

#include <netinet/in.h>
#include <string.h>

void peer_key(const struct sockaddr *from, unsigned char key[static PEER_KEY])
{
    memset(key, 0, PEER_KEY);
    if (from->sa_family == AF_INET) {
        memcpy(key + 4, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return;
    }
    if (from->sa_family != AF_INET6)
        return;
    const struct in6_addr *address = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(address))
        memcpy(key + 4, address->s6_addr + 12, 4);
    else
        memcpy(key, address->s6_addr, PEER_KEY);
}
