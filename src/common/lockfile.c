/* lockfile.c - see the header. Touches the lock files and reads /proc, nothing else. */
#include "livy-ha/lockfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int lockfile_take(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int lockfile_free(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 1 : -1;
    int rc = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 1 : errno == EWOULDBLOCK ? 0 : -1;
    int saved = errno;
    close(fd); /* and with it the lock, if it was got */
    errno = saved;
    return rc;
}

static bool has_open(int proc, const char *pid, const struct stat *file)
{
    char path[sizeof(((struct dirent *)0)->d_name) + sizeof("/fd")];
    snprintf(path, sizeof(path), "%s/fd", pid);
    int dirfd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = dirfd < 0 ? NULL : fdopendir(dirfd);
    if (dir == NULL) {
        if (dirfd >= 0)
            close(dirfd);
        return false;
    }
    bool found = false;
    struct dirent *entry;
    while (!found && (entry = readdir(dir)) != NULL) {
        struct stat st;
        if (entry->d_name[0] != '.' && fstatat(dirfd, entry->d_name, &st, 0) == 0)
            found = st.st_dev == file->st_dev && st.st_ino == file->st_ino;
    }
    closedir(dir);
    return found;
}

size_t lockfile_holders(const char *path, pid_t *pids, size_t max)
{
    struct stat file;
    size_t count = 0;
    struct dirent *entry;
    DIR *proc;

    if (stat(path, &file) != 0 || (proc = opendir("/proc")) == NULL)
        return 0;
    while (count < max && (entry = readdir(proc)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (pid <= 0 || *end != '\0' || pid == (long)getpid())
            continue;
        if (has_open(dirfd(proc), entry->d_name, &file))
            pids[count++] = (pid_t)pid;
    }
    closedir(proc);
    return count;
}

static int join(const char *dir, const char *name, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/%s", dir, name);
    if (n > 0 && (size_t)n < size)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

int lockfile_daemon_path(const char *runtime_dir, char *path, size_t size)
{
    return join(runtime_dir, "daemon.lock", path, size);
}

int lockfile_livy_path(const char *runtime_dir, char *path, size_t size)
{
    return join(runtime_dir, "livy.lock", path, size);
}

int lockfile_session_path(const char *runtime_dir, char *path, size_t size)
{
    return join(runtime_dir, "session", path, size);
}
