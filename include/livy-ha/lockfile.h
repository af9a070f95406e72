/* lockfile.h - flock(2) files in runtime_dir: one that the daemon holds, one that Livy inherits.
 *
 * flock belongs to the open file description, so a descriptor that only Livy inherits keeps the lock over
 * bash's exec of java, is not passed on by what Java spawns, and is freed by the kernel when the JVM dies: a
 * held lock means that an earlier Livy lives on this host. Never blocks unless it says so; /proc is read,
 * which may take milliseconds on a busy host.
 */
#ifndef LIVY_HA_LOCKFILE_H
#define LIVY_HA_LOCKFILE_H

#include <stddef.h>
#include <sys/types.h>

/* Opens (making it, 0600) and tries to lock. Returns the descriptor (CLOEXEC), which holds the lock until it
 * is closed everywhere; -1 with errno, EWOULDBLOCK where somebody else holds it. */
int lockfile_take(const char *path);

/* The same in two steps: opens, and locks what is open (0, or -1 with errno). A lock belongs to what was
 * opened, so whoever inherited the descriptor before it was locked holds the lock as well. */
int lockfile_open(const char *path);
int lockfile_lock(int fd);
void lockfile_unlock(int fd);

/* The same where somebody may just be looking (the elector, another livy-ha, a person's flock -n), which
 * takes microseconds: tries once more each millisecond, up to `tries` times, and so blocks for about as long.
 * Returns how often it had to be tried again, -1 with errno. */
int lockfile_lock_within(int fd, int tries);

/* 1: free (or there is no such file), 0: held, -1 with errno. */
int lockfile_free(const char *path);

/* The processes other than the caller that have the file open, the first `max` of them; found in
 * /proc/<pid>/fd of the processes that may be read. Returns how many were written. */
size_t lockfile_holders(const char *path, pid_t *pids, size_t max);

/* SIGKILL to all of them but `spare` (0: none), however many. Returns how many; `first` gets one for the log,
 * or 0. They die a little later: ask lockfile_free. */
size_t lockfile_end_holders(const char *path, pid_t spare, pid_t *first);

/* runtime_dir's files. 0, or -1 where the path would not fit. */
int lockfile_daemon_path(const char *runtime_dir, char *path, size_t size);
int lockfile_livy_path(const char *runtime_dir, char *path, size_t size);
int lockfile_session_path(const char *runtime_dir, char *path, size_t size);

#endif
