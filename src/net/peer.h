/* peer.h - whom a connection comes from, for bounds on those of one address. Pure. */
#ifndef LIVY_HA_NET_PEER_H
#define LIVY_HA_NET_PEER_H

#include <sys/socket.h>

#define PEER_KEY 8 /* bytes */

/* Equal for connections of one address. An IPv6 address counts by its first 64 bits: a host has all of those
 * that follow. All that come without an address (by the file system) are one. */
void peer_key(const struct sockaddr *from, unsigned char key[static PEER_KEY]);

#endif
