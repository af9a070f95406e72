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

#include "child_internal.h"

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

static bool among(pid_t pid, const pid_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == pid)
            return true;
    return false;
}

/* What the first thread of `pid` has started, and what came to it: scripts and the keeper have one. */
static void add_children(pid_t pid, const struct breach_of *of, struct family *family)
{
    char path[64], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    char *end = text;
    for (long child; family->n < FAMILY_MAX && (child = strtol(end, &end, 10)) > 0;)
        if (!among((pid_t)child, of->ours, of->n_ours) && !among((pid_t)child, family->pids, family->n))
            family->pids[family->n++] = (pid_t)child;
}

static void find_family(const struct breach_of *of, struct family *family)
{
    size_t at = 0;

    *family = (struct family){.pids = {of->pid}, .n = 1};
    for (; at < family->n; at++)
        add_children(family->pids[at], of, family);
    add_children(getpid(), of, family); /* behind: there may be many of what an earlier Livy has left */
    for (; at < family->n; at++)
        add_children(family->pids[at], of, family);
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

bool breach_listens(const struct breach_of *of, int port)
{
    struct listeners found = {.n = 0};
    struct family family;

    if (port <= 0)
        return false;
    listeners(AF_INET, port, &found);
    listeners(AF_INET6, port, &found);
    if (found.n == 0)
        return false; /* nearly always */
    find_family(of, &family);
    for (size_t i = 0; i < family.n; i++)
        if (owns_one(family.pids[i], &found))
            return true;
    return false;
}

/* ---- without the agent ----------------------------------------------------------------------------------
 */

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

void breach_find_java(const struct breach_of *of, struct breach_javas *found)
{
    struct family family;

    find_family(of, &family);
    found->n = 0;
    for (size_t i = 0; i < family.n && found->n < BREACH_JAVAS; i++) {
        if (!is_java(family.pids[i]))
            continue; /* the start script still */
        found->started[found->n] = i > 0;
        found->pids[found->n++] = family.pids[i];
    }
}

/* Only Livy itself counts among what it has started: a start script may well ask Java for its version. */
__attribute__((noreturn)) static void look(const struct breach_javas *javas, pid_t keeper, int out)
{
    struct breach_seen seen = {0};

    out = child_begin_look(keeper, out);
    for (size_t i = 0; i < javas->n; i++) {
        struct command_line line = read_command_line(javas->pids[i]);
        if (line.agent)
            seen.gated = javas->pids[i];
        else if (line.there && (!javas->started[i] || line.livy))
            seen.ungated = javas->pids[i];
    }
    _exit(write(out, &seen, sizeof(seen)) == (ssize_t)sizeof(seen) ? 0 : 1);
}

int breach_look_begin(const struct breach_javas *javas, struct child *child, char *why, size_t size)
{
    int out;
    pid_t keeper = getpid(), pid = child_fork_piped(child, &out, why, size);

    if (pid == 0)
        look(javas, keeper, out);
    return pid > 0 ? 0 : -1;
}

struct breach_seen breach_look_read(const struct child *child)
{
    struct breach_seen seen;

    if (read(child->status, &seen, sizeof(seen)) != (ssize_t)sizeof(seen))
        return (struct breach_seen){0};
    return seen;
}
