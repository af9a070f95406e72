/* breach.c - see the header. */
#include "breach.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STATE_LISTEN 10  /* the kernel's TCP_LISTEN */
#define LISTENERS_MAX 16 /* sockets on one port: one an address, or one a thread with SO_REUSEPORT */
#define READS_MAX 64     /* of 32 KiB each: some ten thousand listening sockets */
#define FDS_MAX 65536
#define OVERLAP 64     /* longer than what is looked for */
#define PIECES_MAX 512 /* 2 MiB, all that exec takes */

struct listeners {
    uint64_t inode[LISTENERS_MAX];
    size_t n;
};

static bool ask(int netlink, int family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } request = {
        .head = {.nlmsg_len = sizeof(request),
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .body = {.sdiag_family = (uint8_t)family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = 1U << STATE_LISTEN},
    };
    return send(netlink, &request, sizeof(request), MSG_DONTWAIT) == (ssize_t)sizeof(request);
}

/* One packet of the answer. False where it was the last. */
static bool take(const void *packet, size_t length, int port, struct listeners *found)
{
    for (const struct nlmsghdr *head = packet; NLMSG_OK(head, length); head = NLMSG_NEXT(head, length)) {
        if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
            return false;
        const struct inet_diag_msg *socket = NLMSG_DATA(head);
        if (head->nlmsg_len >= NLMSG_LENGTH(sizeof(*socket)) && ntohs(socket->id.idiag_sport) == port &&
            found->n < LISTENERS_MAX)
            found->inode[found->n++] = socket->idiag_inode;
    }
    return true;
}

/* A dump is made as it is read, so it never has to be waited for. */
static void listeners(int family, int port, struct listeners *found)
{
    static char packet[32768] __attribute__((aligned(NLMSG_ALIGNTO))); /* one thread; large for a stack */
    int netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    ssize_t length;

    if (netlink >= 0 && ask(netlink, family))
        for (int i = 0; i < READS_MAX && (length = recv(netlink, packet, sizeof(packet), MSG_DONTWAIT)) > 0;
             i++)
            if (!take(packet, (size_t)length, port, found))
                break;
    if (netlink >= 0)
        close(netlink);
}

static bool is_one(const char *link, const struct listeners *found)
{
    static const char start[] = "socket:[";

    if (strncmp(link, start, sizeof(start) - 1) != 0)
        return false;
    uint64_t inode = strtoull(link + sizeof(start) - 1, NULL, 10);
    for (size_t i = 0; i < found->n; i++)
        if (found->inode[i] == inode)
            return true;
    return false;
}

/* ---- whose processes ------------------------------------------------------------------------------------
 */

#define FAMILY_MAX 32

struct family {
    pid_t pids[FAMILY_MAX];
    size_t n;
};

/* The process, and what its first thread has started: a start script that does not exec Java runs it as its
 * child. */
static void find_family(pid_t pid, struct family *family)
{
    char path[64], text[1024];

    *family = (struct family){.pids = {pid}, .n = 1};
    for (size_t at = 0; at < family->n; at++) {
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)family->pids[at],
                 (int)family->pids[at]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
        if (fd >= 0)
            close(fd);
        text[n > 0 ? n : 0] = '\0';
        char *end = text;
        for (long child; family->n < FAMILY_MAX && (child = strtol(end, &end, 10)) > 0;)
            family->pids[family->n++] = (pid_t)child;
    }
}

static bool owns_one(pid_t pid, const struct listeners *found)
{
    char path[64], link[64];
    struct dirent *entry;
    bool owns = false;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    for (int i = 0; dir != NULL && !owns && i < FDS_MAX && (entry = readdir(dir)) != NULL; i++) {
        ssize_t length = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        link[length > 0 ? length : 0] = '\0';
        owns = is_one(link, found);
    }
    if (dir != NULL)
        closedir(dir);
    return owns;
}

bool breach_listens(pid_t pid, int port)
{
    struct listeners found = {.n = 0};
    struct family family;

    if (port <= 0)
        return false;
    listeners(AF_INET, port, &found);
    listeners(AF_INET6, port, &found);
    if (found.n == 0)
        return false; /* nearly always */
    find_family(pid, &family);
    for (size_t i = 0; i < family.n; i++)
        if (owns_one(family.pids[i], &found))
            return true;
    return false;
}

static bool is_java(pid_t pid)
{
    char path[64], program[PATH_MAX];

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, program, sizeof(program) - 1);
    program[n > 0 ? n : 0] = '\0';
    const char *slash = strrchr(program, '/');
    return slash != NULL && strcmp(slash, "/java") == 0;
}

struct command_line {
    bool there, agent, livy;
};

/* A JVM's class path is long, and the keeper's memory is locked: it is read in pieces, each with the end of
 * the one before. */
static struct command_line read_command_line(pid_t pid)
{
    static const char agent[] = "liblivy-ha-gate.so=hold,", livy[] = "org.apache.livy.server.LivyServer";
    struct command_line found = {0};
    char piece[OVERLAP + 4096], path[64];
    size_t kept = 0;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < PIECES_MAX && (n = read(fd, piece + kept, sizeof(piece) - kept)) > 0;
         i++) {
        size_t size = kept + (size_t)n;
        found.there = true;
        found.agent |= memmem(piece, size, agent, sizeof(agent) - 1) != NULL;
        found.livy |= memmem(piece, size, livy, sizeof(livy) - 1) != NULL;
        kept = size < OVERLAP ? size : OVERLAP;
        memmove(piece, piece + size - kept, kept);
    }
    if (fd >= 0)
        close(fd);
    return found;
}

/* Only Livy itself counts among the children: a start script may well ask Java for its version. */
static bool runs_ungated(pid_t pid, bool child)
{
    if (!is_java(pid))
        return false; /* the start script still */
    struct command_line line = read_command_line(pid);
    return line.there && !line.agent && (!child || line.livy);
}

bool breach_ungated(pid_t pid)
{
    struct family family;

    find_family(pid, &family);
    for (size_t i = 0; i < family.n; i++)
        if (runs_ungated(family.pids[i], i > 0))
            return true;
    return false;
}
