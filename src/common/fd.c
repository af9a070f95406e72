/* fd.c - see the header. libc only: it is called in the keeper's forked child too. */
#include "livy-ha/fd.h"

#include <errno.h>
#include <unistd.h>

int fd_write_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t wrote = write(fd, data, length);
        if (wrote > 0) {
            data += wrote;
            length -= (size_t)wrote;
        } else if (wrote == 0) {
            errno = EIO;
            return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}
