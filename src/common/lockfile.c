/* lockfile.c - see the header. Touches the lock files and reads /proc, nothing else. */
#include "livy-ha/lockfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int lockfile_open(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int lockfile_lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB);
}

int lockfile_lock_within(int fd, int tries)
{
    int again = 0, rc;

    while ((rc = lockfile_lock(fd)) != 0 && errno == EWOULDBLOCK && again < tries) {
        poll(NULL, 0, 1);
        again++;
    }
    return rc == 0 ? again : -1;
}

void lockfile_unlock(int fd)
{
    (void)flock(fd, LOCK_UN); /* fails for what is no open file alone */
}

int lockfile_take(const char *path)
{
    int fd = lockfile_open(path);
    if (fd < 0)
        return -1;
    if (lockfile_lock(fd) == 0)
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
    /* Shared, so that two who look at the same time do not take each other for a holder. */
    int rc = flock(fd, LOCK_SH | LOCK_NB) == 0 ? 1 : errno == EWOULDBLOCK ? 0 : -1;
    int saved = errno;
    close(fd); /* and with it the lock, if it was got */
    errno = saved;
    return rc;
}

/* A file as /proc/<pid>/fd shows it. */
struct target {
    struct stat stat;
    const char *name; /* its last part */
};

/* The link's text is looked at first: stat(2) of a descriptor on a dead network mount would block. */
static bool is_target(int dir, const char *fd, const struct target *target)
{
    char link[PATH_MAX];
    struct stat st;
    ssize_t n = readlinkat(dir, fd, link, sizeof(link) - 1);

    if (n <= 0)
        return false;
    link[n] = '\0';
    return strstr(link, target->name) != NULL && fstatat(dir, fd, &st, 0) == 0 &&
           st.st_dev == target->stat.st_dev && st.st_ino == target->stat.st_ino;
}

static bool has_open(int proc, const char *pid, const struct target *target)
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
    while (!found && (entry = readdir(dir)) != NULL)
        found = entry->d_name[0] != '.' && is_target(dirfd, entry->d_name, target);
    closedir(dir);
    return found;
}

/* Calls `holder` for each process but the caller that has the file open, until it returns false. */
static void each_holder(const char *path,
                        bool (*holder)(void *arg, int proc, const char *pid, const struct target *target),
                        void *arg)
{
    struct target target;
    struct dirent *entry;
    const char *slash = strrchr(path, '/');
    DIR *proc;
    bool more = true;

    target.name = slash != NULL ? slash + 1 : path;
    if (stat(path, &target.stat) != 0 || (proc = opendir("/proc")) == NULL)
        return;
    while (more && (entry = readdir(proc)) != NULL) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (pid > 0 && *end == '\0' && pid != (long)getpid() && has_open(dirfd(proc), entry->d_name, &target))
            more = holder(arg, dirfd(proc), entry->d_name, &target);
    }
    closedir(proc);
}

struct found {
    pid_t *pids;
    size_t count, max;
};

static bool note(void *arg, int proc, const char *pid, const struct target *target)
{
    struct found *found = arg;

    (void)proc;
    (void)target;
    if (found->count < found->max)
        found->pids[found->count++] = (pid_t)strtol(pid, NULL, 10);
    return found->count < found->max;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): written through `found` */
size_t lockfile_holders(const char *path, pid_t *pids, size_t max)
{
    struct found found = {.pids = pids, .max = max};
    each_holder(path, note, &found);
    return found.count;
}

struct ending {
    pid_t spare, first;
    size_t count;
};

/* By pidfd, and looked at once more when that is open: a pid that was reused meanwhile is not hit. */
static bool end_holder(void *arg, int proc, const char *text, const struct target *target)
{
    struct ending *ending = arg;
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    int pidfd = pid != ending->spare ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

    if (pidfd < 0)
        return true;
    if (has_open(proc, text, target) && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0 &&
        ending->count++ == 0)
        ending->first = pid;
    close(pidfd);
    return true;
}

size_t lockfile_end_holders(const char *path, pid_t spare, pid_t *first)
{
    struct ending ending = {.spare = spare};
    each_holder(path, end_holder, &ending);
    *first = ending.first;
    return ending.count;
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
