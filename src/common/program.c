/* program.c - see program.h. */
#include "livy-ha/program.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool found(int length, size_t size, const char *path, int mode)
{
    return length > 0 && (size_t)length < size && access(path, mode) == 0;
}

bool program_find(const char *name, int mode, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    const char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;

    if (slash != NULL &&
        found(snprintf(path, size, "%.*s/%s", (int)(slash - self), self, name), size, path, mode))
        return true;
    return found(snprintf(path, size, "%s/%s", LIVY_HA_LIBEXEC, name), size, path, mode);
}
