/* fd.h - descriptors of files and memfds; for those that do not block. */
#ifndef LIVY_HA_FD_H
#define LIVY_HA_FD_H

#include <stddef.h>

/* All of it, however many writes that takes. 0, or -1 with errno. */
int fd_write_all(int fd, const char *data, size_t length);

#endif
