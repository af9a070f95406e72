/* portowner.c - whose process listens on a TCP port of this host, as /proc tells it.
 *
 * Reads /proc only. The tables show the network namespace of the caller, which is Livy's too.
 */
#include "livy-ha/portowner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TCP_LISTEN_STATE 0x0a
#define MAX_LISTENERS 16 /* sockets on one port: one an address, or one a thread with SO_REUSEPORT */

struct listeners {
    uint64_t inode[MAX_LISTENERS];
    size_t n;
};

/* Of one line of /proc/net/tcp: "sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …",
 * addresses and state in hexadecimal. False where it is no such line. */
static bool parse_line(char *line, unsigned long *port, unsigned long *state, uint64_t *inode)
{
    enum { FIELD_LOCAL = 1, FIELD_STATE = 3, FIELD_INODE = 9 };
    char *rest = NULL;
    char *field = strtok_r(line, " \n", &rest);

    for (int i = 0; field != NULL; i++, field = strtok_r(NULL, " \n", &rest)) {
        const char *colon = strrchr(field, ':');

        if (i == FIELD_LOCAL && colon == NULL)
            return false;
        if (i == FIELD_LOCAL)
            *port = strtoul(colon + 1, NULL, 16);
        if (i == FIELD_STATE)
            *state = strtoul(field, NULL, 16);
        if (i == FIELD_INODE) {
            *inode = strtoull(field, NULL, 10);
            return *inode != 0;
        }
    }
    return false;
}

/* Adds the listening sockets on `port` that `path` (tcp or tcp6) names. The kernel prints the listening
 * sockets before all others, so the first one in another state ends the search: on a busy host the file has
 * many thousands of lines. Returns 0, or -1 with errno. */
static int listeners_read(struct listeners *listeners, const char *path, int port)
{
    char line[512];
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return errno == ENOENT ? 0 : -1; /* no IPv6 in this kernel */
    if (fgets(line, sizeof line, file) == NULL) {
        fclose(file);
        return 0;
    }
    while (listeners->n < MAX_LISTENERS && fgets(line, sizeof line, file) != NULL) {
        unsigned long local = 0;
        unsigned long state = 0;
        uint64_t inode = 0;

        if (!parse_line(line, &local, &state, &inode))
            continue;
        if (state != TCP_LISTEN_STATE)
            break;
        if (local == (unsigned long)port)
            listeners->inode[listeners->n++] = inode;
    }
    fclose(file);
    return 0;
}

/* Whether the link text of a descriptor, "socket:[4711]", is one of the listeners. */
static bool listeners_have(const struct listeners *listeners, const char *link)
{
    static const char start[] = "socket:[";
    uint64_t inode;
    char *end;

    if (strncmp(link, start, sizeof start - 1) != 0)
        return false;
    inode = strtoull(link + sizeof start - 1, &end, 10);
    if (strcmp(end, "]") != 0)
        return false;
    for (size_t i = 0; i < listeners->n; i++) {
        if (listeners->inode[i] == inode)
            return true;
    }
    return false;
}

/* 1 where `pid` has one of the listeners open, 0 where it has not (or is gone), -1 with errno where its
 * descriptors may not be read. */
static int process_owns(pid_t pid, const struct listeners *listeners)
{
    char path[64];
    struct dirent *entry;
    DIR *dir;
    int owns = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT || errno == ESRCH ? 0 : -1;
    while (owns == 0 && (entry = readdir(dir)) != NULL) {
        char link[64];
        const ssize_t length = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);

        if (length < 0)
            continue;
        link[length] = '\0';
        owns = listeners_have(listeners, link) ? 1 : 0;
    }
    closedir(dir);
    return owns;
}

/* The first process, other than `pid`, that has one of the listeners open and lets itself be looked at; else
 * 0. */
static pid_t find_owner(const struct listeners *listeners, pid_t pid)
{
    struct dirent *entry;
    pid_t owner = 0;
    DIR *dir = opendir("/proc");

    if (dir == NULL)
        return 0;
    while (owner == 0 && (entry = readdir(dir)) != NULL) {
        char *end;
        long candidate;

        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        candidate = strtol(entry->d_name, &end, 10);
        if (*end != '\0' || candidate <= 0 || candidate > INT32_MAX || (pid_t)candidate == pid)
            continue;
        if (process_owns((pid_t)candidate, listeners) == 1)
            owner = (pid_t)candidate;
    }
    closedir(dir);
    return owner;
}

int portowner_find(int port, pid_t pid, pid_t *owner)
{
    struct listeners listeners = {.n = 0};
    int owns;
    int error;

    *owner = 0;
    if (listeners_read(&listeners, "/proc/net/tcp", port) != 0 ||
        listeners_read(&listeners, "/proc/net/tcp6", port) != 0)
        return -1;
    if (listeners.n == 0) {
        errno = ENOENT;
        return -1;
    }
    owns = process_owns(pid, &listeners);
    if (owns == 1) {
        *owner = pid;
        return 1;
    }
    error = errno;
    *owner = find_owner(&listeners, pid);
    if (owns < 0 && *owner == 0) {
        /* The socket may be that of `pid`, whose descriptors were not to be read. */
        errno = error;
        return -1;
    }
    return 0;
}
