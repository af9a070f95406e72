/* zk_socket.c - the library's connection, which it does not show: found among this process's descriptors by
 * the address of its peer. Every connection of this process to one of the servers matches, also one that is
 * still being made.
 *
 * The IO thread may close and open sockets meanwhile. So a descriptor is duplicated before it is judged: the
 * duplicate cannot become another connection under our hands.
 */
#include "zk_internal.h"

#include "livy-ha/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "1.2.3.4:2181" or "::1:2181", as the library splits it: at the last colon. */
static int address_parse(char *item, struct zk_address *out)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char *port = strrchr(item, ':');

    if (port == NULL || port == item || port[1] == '\0')
        return -1;
    *port++ = '\0';
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    if (getaddrinfo(item, port, &hints, &found) != 0)
        return -1;
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    out->length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

int zk_socket_parse(struct zk *zk, const char *hosts)
{
    char *copy = strdup(hosts), *next = NULL;
    int n = 1;

    if (copy == NULL)
        return -1;
    for (const char *p = copy; *p != '\0'; p++)
        n += *p == ',';
    zk->addresses = calloc((size_t)n, sizeof *zk->addresses);
    if (zk->addresses == NULL) {
        free(copy);
        return -1;
    }
    for (char *item = strtok_r(copy, ",", &next); item != NULL; item = strtok_r(NULL, ",", &next)) {
        if (address_parse(item, &zk->addresses[zk->n_addresses]) != 0) {
            free(copy);
            errno = EINVAL;
            return -1;
        }
        zk->n_addresses++;
    }
    free(copy);
    /* ZOOKEEPER-2466: with an even number the library may try a dead server for ever. */
    if (zk->n_addresses != n || n % 2 == 0) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static bool address_equal(const struct zk_address *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in *a4 = (const void *)&a->address, *b4 = (const void *)b;
    const struct sockaddr_in6 *a6 = (const void *)&a->address, *b6 = (const void *)b;

    if (a->address.ss_family != b->ss_family)
        return false;
    if (b->ss_family == AF_INET)
        return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
    return b->ss_family == AF_INET6 && a6->sin6_port == b6->sin6_port &&
           memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) == 0;
}

/* "0100007F:0885", as /proc/net/tcp and tcp6 have it: the address is the kernel's words in hexadecimal. */
static bool table_address(const char *text, struct sockaddr_storage *out)
{
    const char *colon = strchr(text, ':');
    size_t digits = colon != NULL ? (size_t)(colon - text) : 0;
    struct sockaddr_in *v4 = (void *)out;
    struct sockaddr_in6 *v6 = (void *)out;
    uint32_t words[4];

    if (digits != 8 && digits != 32)
        return false;
    for (size_t i = 0; i < digits / 8; i++) {
        char word[9];

        (void)snprintf(word, sizeof word, "%.8s", text + i * 8);
        words[i] = (uint32_t)strtoul(word, NULL, 16);
    }
    memset(out, 0, sizeof *out);
    if (digits == 8) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 16));
        v4->sin_addr.s_addr = words[0];
    } else {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)strtoul(colon + 1, NULL, 16));
        memcpy(&v6->sin6_addr, words, sizeof words);
    }
    return true;
}

/* A line of the table: true where it is the socket with that inode, whose peer is then `out`. */
static bool table_line(char *line, ino_t inode, struct sockaddr_storage *out)
{
    enum { REMOTE = 2, INODE = 9, FIELDS };
    char *field[FIELDS], *next = NULL;

    for (size_t i = 0; i < FIELDS; i++) {
        field[i] = strtok_r(i == 0 ? line : NULL, " \n", &next);
        if (field[i] == NULL)
            return false;
    }
    return strtoul(field[INODE], NULL, 10) == inode && table_address(field[REMOTE], out);
}

/* By its name, "socket:[4711]": the descriptor is the library's, whose thread may close it at any time. */
static bool socket_inode(int fd, ino_t *inode)
{
    char path[32], name[64], *end;

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, name, sizeof name - 1);
    if (length < 0)
        return false;
    name[length] = '\0';
    if (strncmp(name, "socket:[", strlen("socket:[")) != 0)
        return false;
    *inode = strtoul(name + strlen("socket:["), &end, 10);
    return *end == ']';
}

/* getpeername() knows no peer before a connection is answered; the kernel's table does. */
static bool connecting_to(int fd, struct sockaddr_storage *peer)
{
    static const char *const tables[] = {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"};
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    ino_t inode;
    bool found = false;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0 || info.tcpi_state != TCP_SYN_SENT ||
        !socket_inode(fd, &inode))
        return false;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0] && !found; i++) {
        FILE *table = fopen(tables[i], "re");
        char line[512];

        while (table != NULL && !found && fgets(line, sizeof line, table) != NULL)
            found = table_line(line, inode, peer);
        if (table != NULL)
            (void)fclose(table);
    }
    return found;
}

static bool peer_is_server(struct zk *zk, int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t length = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &length) != 0 &&
        !(errno == ENOTCONN && connecting_to(fd, &peer)))
        return false;
    for (int i = 0; i < zk->n_addresses; i++)
        if (address_equal(&zk->addresses[i], &peer))
            return true;
    return false;
}

/* Calls `visit` for every descriptor but the standard ones, and adds up what it returns. */
static int each_descriptor(struct zk *zk, int (*visit)(struct zk *zk, int fd))
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int sum = 0;

    if (dir == NULL) {
        log_warn("zk: cannot list the own descriptors in /proc/self/fd: %s", strerror(errno));
        return 0;
    }
    while ((entry = readdir(dir)) != NULL) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);

        if (end != entry->d_name && *end == '\0' && fd > STDERR_FILENO && fd != dirfd(dir))
            sum += visit(zk, (int)fd);
    }
    closedir(dir);
    return sum;
}

static int visit_shutdown(struct zk *zk, int fd)
{
    int held, done;

    if (!peer_is_server(zk, fd))
        return 0;
    held = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (held < 0)
        return 0;
    done = peer_is_server(zk, held) && shutdown(held, SHUT_RDWR) == 0;
    close(held);
    return done;
}

int zk_socket_shutdown(struct zk *zk)
{
    return each_descriptor(zk, visit_shutdown);
}

/* Pipes need no closer look: every descriptor of this process is to be CLOEXEC. */
static int visit_cloexec(struct zk *zk, int fd)
{
    char name[32], target[8] = "";

    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if ((readlink(name, target, sizeof target) < 5 || memcmp(target, "pipe:", 5) != 0) &&
        !peer_is_server(zk, fd))
        return 0;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

void zk_socket_cloexec(struct zk *zk)
{
    (void)each_descriptor(zk, visit_cloexec);
}
