/* hostinfo.c - see hostinfo.h. Talks to the resolver and to nothing else. */
#include "livy-ha/hostinfo.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
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
