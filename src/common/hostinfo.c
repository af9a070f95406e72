/* hostinfo.c - see hostinfo.h. Talks to the resolver and the kernel, and to nothing else. */
#include "livy-ha/hostinfo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <unistd.h>

bool hostinfo_is_ip(const char *host)
{
    struct in6_addr address;
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

bool hostinfo_is_local(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1) {
        uint32_t address = ntohl(v4.s_addr);
        return address >> 24 == 127 || address == INADDR_ANY;
    }
    struct in6_addr v6;
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6);
    }
    size_t length = strcspn(host, ".");
    return length == strlen("localhost") && strncasecmp(host, "localhost", length) == 0;
}

void hostinfo_choose(const char *node, const char *canonical, char name[static HOSTINFO_SIZE])
{
    const char *choice = node;
    if (strchr(node, '.') == NULL && canonical != NULL && strchr(canonical, '.') != NULL &&
        strlen(canonical) < HOSTINFO_SIZE && !hostinfo_is_ip(canonical) && !hostinfo_is_local(canonical)) {
        choice = canonical;
    }
    if (choice[0] == '\0') {
        choice = "localhost";
    }
    size_t length = strnlen(choice, HOSTINFO_SIZE - 1);
    /* An absolute name's last dot is the resolver's notation, not part of the name. */
    if (length > 1 && choice[length - 1] == '.') {
        length--;
    }
    memcpy(name, choice, length);
    name[length] = '\0';
}

void hostinfo_fqdn(char name[static HOSTINFO_SIZE])
{
    char node[HOSTINFO_SIZE];
    if (gethostname(node, sizeof node) != 0) {
        node[0] = '\0';
    }
    node[sizeof node - 1] = '\0';
    if (node[0] == '\0' || strchr(node, '.') != NULL) {
        hostinfo_choose(node, NULL, name);
        return;
    }
    struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(node, NULL, &hints, &found) != 0) {
        hostinfo_choose(node, NULL, name); /* A host that nobody resolves still has its node name. */
        return;
    }
    hostinfo_choose(node, found->ai_canonname, name);
    freeaddrinfo(found);
}

int64_t hostinfo_limit(const char *text)
{
    char *end;
    errno = 0;
    long long bytes = strtoll(text, &end, 10);
    bool number = end != text && (*end == '\0' || *end == '\n') && errno == 0;
    return number && bytes > 0 ? bytes : INT64_MAX;
}

static int64_t limit_in(const char *path)
{
    char text[64];
    FILE *file = fopen(path, "re");
    bool read = file != NULL && fgets(text, sizeof text, file) != NULL;
    if (file != NULL) {
        (void)fclose(file);
    }
    return read ? hostinfo_limit(text) : INT64_MAX;
}

/* Of this process's control group and all above it; a line of /proc/self/cgroup is "0::/path",
 * "5:memory:/path". */
static int64_t group_limit(char *line)
{
    static const char v1[] = ":memory:";
    const char *at = strncmp(line, "0::", 3) == 0 ? line + 3 : strstr(line, v1);
    bool old = at != NULL && *at == ':';
    char *group = at == NULL ? NULL : line + (at - line) + (old ? strlen(v1) : 0);
    int64_t least = INT64_MAX;
    if (group == NULL) {
        return least;
    }
    group[strcspn(group, "\n")] = '\0';
    for (char *slash = group + strlen(group); slash != NULL; slash = strrchr(group, '/')) {
        char path[PATH_MAX];
        *slash = '\0';
        int length = snprintf(path, sizeof path, "/sys/fs/cgroup%s%s/%s", old ? "/memory" : "", group,
                              old ? "memory.limit_in_bytes" : "memory.max");
        int64_t limit = length < (int)sizeof path ? limit_in(path) : INT64_MAX;
        least = limit < least ? limit : least;
    }
    return least;
}

int64_t hostinfo_memory(void)
{
    struct sysinfo info;
    char line[PATH_MAX];
    if (sysinfo(&info) != 0) {
        return 0;
    }
    int64_t least = (int64_t)info.totalram * info.mem_unit;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        int64_t limit = group_limit(line);
        least = limit < least ? limit : least;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return least;
}
