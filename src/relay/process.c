/* process.c - see the header. */
#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "livy-ha/clock.h"

#define START_FIELD 22 /* of /proc/PID/stat: ticks after boot */
#define RSS_FIELD 24   /* pages */

/* Those behind the name, which may hold blanks and brackets: the state is field 3. */
static int read_fields(pid_t pid, unsigned long long fields[static RSS_FIELD + 1])
{
    char path[64], line[1024] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    char *at = fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    if (at == NULL || strlen(at) < 4)
        return -1;
    at += 3; /* ") S" */
    for (int field = 4; field <= RSS_FIELD; field++) {
        char *end;
        fields[field] = strtoull(at, &end, 10);
        if (end == at)
            return -1;
        at = end;
    }
    return 0;
}

static int64_t count_fds(pid_t pid)
{
    char path[64];
    int64_t n = 0;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            n++;
    closedir(directory);
    return pid == getpid() ? n - 1 : n; /* the directory itself was one */
}

int process_look(pid_t pid, struct process_facts *facts)
{
    unsigned long long fields[RSS_FIELD + 1];
    long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);

    *facts = (struct process_facts){.rss = -1, .fds = -1};
    if (pid <= 0 || read_fields(pid, fields) != 0)
        return -1;
    if (ticks > 0) {
        double boot = (double)(clock_wall_ms() - clock_boot_ms()) / 1e3;
        facts->started = boot + (double)fields[START_FIELD] / (double)ticks;
    }
    if (page > 0)
        facts->rss = (int64_t)fields[RSS_FIELD] * page;
    facts->fds = count_fds(pid);
    return 0;
}
