/* orphans.c - see the header. */
#include "orphans.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "livy-ha/log.h"

static ssize_t read_proc(pid_t pid, const char *file, char *buffer, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, buffer, size - 1);
    close(fd);
    if (n >= 0)
        buffer[n] = '\0';
    return n;
}

/* proc(5): pid (comm) state ppid pgrp session …; comm may hold anything, so look behind its last parenthesis.
 */
static bool parent_and_session(pid_t pid, pid_t *parent, pid_t *session, char *state)
{
    char stat[512], ppid[16], sid[16];

    if (read_proc(pid, "stat", stat, sizeof(stat)) <= 0)
        return false;
    const char *end = strrchr(stat, ')');
    if (end == NULL || sscanf(end + 1, " %c %15s %*s %15s", state, ppid, sid) != 3)
        return false;
    *parent = (pid_t)strtol(ppid, NULL, 10);
    *session = (pid_t)strtol(sid, NULL, 10);
    return true;
}

static bool is_spark_submit(pid_t pid)
{
    static char cmdline[65536]; /* a JVM's class path is long; one thread, so static is fine */
    ssize_t n = read_proc(pid, "cmdline", cmdline, sizeof(cmdline));
    return n > 0 && (memmem(cmdline, (size_t)n, "org.apache.spark.deploy.SparkSubmit", 35) != NULL ||
                     memmem(cmdline, (size_t)n, "spark-submit", 12) != NULL);
}

static bool among(pid_t pid, const pid_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == pid && pid != 0)
            return true;
    return false;
}

/* One that hangs in the kernel is seen again whenever another one has ended. */
static void end_orphan(pid_t pid, struct orphans_told *told)
{
    /* Our own child and not reaped yet: the pid cannot have been reused. */
    int rc = kill(pid, SIGKILL), error = errno;

    if ((rc != 0 && error == ESRCH) || among(pid, told->pids, ORPHANS_TOLD))
        return;
    told->pids[told->next++ % ORPHANS_TOLD] = pid;
    if (rc == 0)
        log_info("killed pid %d, left over by Livy", (int)pid);
    else
        log_warn("pid %d, left over by Livy, could not be killed: %s", (int)pid, strerror(error));
}

void orphans_reaped(struct orphans_told *told, pid_t pid)
{
    for (size_t i = 0; i < ORPHANS_TOLD; i++)
        if (told->pids[i] == pid)
            told->pids[i] = 0;
}

static bool carries(pid_t pid, const char *marker)
{
    static char environment[65536];
    size_t length = strlen(marker);
    ssize_t n = read_proc(pid, "environ", environment, sizeof(environment));

    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(environment + at) + 1)
        if (strncmp(environment + at, marker, length) == 0 && environment[at + (ssize_t)length] == '\0')
            return true;
    return false;
}

int orphans_sort(const struct orphans *orphans, bool all, bool *ended)
{
    int left = 0;
    struct dirent *entry;
    pid_t self = getpid();
    DIR *proc = opendir("/proc");

    *ended = false;
    if (proc == NULL)
        return 0;
    while ((entry = readdir(proc)) != NULL) {
        char state, *end;
        pid_t parent, session, pid = (pid_t)strtol(entry->d_name, &end, 10);
        if (*end != '\0' || pid <= 0 || pid == orphans->livy)
            continue;
        if (among(pid, orphans->spare, ORPHANS_SPARE))
            continue;
        if (!parent_and_session(pid, &parent, &session, &state) || parent != self || state == 'Z')
            continue;
        if (orphans->livy_alive && session == orphans->livy)
            continue; /* of the Livy that runs: it must not lose its spark-submit */
        if (among(session, orphans->spare_session, ORPHANS_SPARE_SESSIONS))
            continue;
        bool of_held = orphans->held != 0 && session == orphans->held;
        if ((self == 1 || orphans->held != 0) && session != orphans->livy && !of_held &&
            !carries(pid, orphans->marker))
            continue;
        bool submit = !of_held && is_spark_submit(pid);
        if (submit)
            left++; /* one that is being killed too, until it is reaped: we are to outlive it */
        if (submit ? all : !orphans->livy_alive || orphans->held != 0) {
            end_orphan(pid, orphans->told);
            *ended = true;
        }
    }
    closedir(proc);
    return left;
}
