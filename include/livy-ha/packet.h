/* packet.h - packets of a fixed size over a SOCK_SEQPACKET pair, each with a descriptor or without. Never
 * blocks. */
#ifndef LIVY_HA_PACKET_H
#define LIVY_HA_PACKET_H

#include <stddef.h>

/* A connected pair, both ends CLOEXEC and non-blocking. 0, or -1 with errno. */
int packet_pair(int pair[static 2]);

/* Sends `size` bytes, with `fd` unless it is -1 (stays the caller's). 0, or -1 with errno: EAGAIN where the
 * other side does not read, EPIPE where it is gone. */
int packet_send(int socket, const void *packet, size_t size, int fd);

/* Receives one packet. `fd` gets a descriptor that came along (the caller's, CLOEXEC) or -1. Returns 1; 0
 * where there is none now; -1 with errno: EPIPE at end of file, EBADMSG for one of another size. */
int packet_recv(int socket, void *packet, size_t size, int *fd);

/* The same for packets of up to `size` bytes; *length is what came. */
int packet_recv_some(int socket, void *packet, size_t size, size_t *length, int *fd);

/* For a packet that came whole and says what cannot be: closes *fd. Returns -1 with errno EBADMSG. */
int packet_refuse(int *fd);

#endif
