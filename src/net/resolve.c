/* resolve.c - see resolve.h: getaddrinfo as a job (job.h). An IP literal is read at once and delivered
 * without a thread. May not log. */
#include "resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "job.h"

struct lookup {
    char host[NI_MAXHOST];
    char port[8];
    int error;  /* an EAI_ code */
    int lacked; /* the errno of what this process had not enough of to look it up; 0 */
    size_t n;
    struct sockaddr_storage addresses[RESOLVE_ADDRESSES];
};

struct resolve {
    struct job *job;
    resolve_done *done;
    void *arg;
};

static void lookup_add(struct lookup *lookup, const struct addrinfo *found)
{
    struct sockaddr_storage address = {0};

    if (lookup->n == RESOLVE_ADDRESSES || found->ai_addrlen > sizeof address)
        return;
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    for (size_t i = 0; i < lookup->n; i++) {
        if (memcmp(&lookup->addresses[i], &address, sizeof address) == 0)
            return;
    }
    lookup->addresses[lookup->n++] = address;
}

static void lookup_ask(struct lookup *lookup, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *found = NULL;

    lookup->error = getaddrinfo(lookup->host, lookup->port, &hints, &found);
    if (lookup->error != 0)
        return;
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next)
        lookup_add(lookup, one);
    freeaddrinfo(found);
}

/* getaddrinfo tells a process without a descriptor to ask with the same as one whose name server is silent.
 */
static int lookup_lacked(const struct lookup *lookup)
{
    int fd, error;

    if (lookup->error == 0)
        return 0;
    if (lookup->error == EAI_MEMORY)
        return ENOMEM;
    fd = eventfd(0, EFD_CLOEXEC);
    error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* Addresses of a family that this host does not have are of no use, but a name that has no others (localhost
 * on a host without a network) is taken as it is. */
static void lookup_work(void *data)
{
    struct lookup *lookup = data;

    lookup_ask(lookup, AI_ADDRCONFIG);
    if (lookup->error != 0 && lookup->error != EAI_AGAIN)
        lookup_ask(lookup, 0);
    lookup->lacked = lookup_lacked(lookup);
}

static void lookup_done(void *arg, void *data)
{
    const struct resolve resolve = *(struct resolve *)arg;
    const struct lookup *lookup = data;
    char error[NI_MAXHOST + 128] = "";

    free(arg);
    if (lookup->n == 0) {
        const char *why = lookup->lacked != 0           ? strerror(lookup->lacked)
                          : lookup->error == EAI_SYSTEM ? "system error"
                          : lookup->error == 0          ? "it has no address"
                                                        : gai_strerror(lookup->error);
        (void)snprintf(error, sizeof error, "cannot resolve %s (%s)", lookup->host, why);
    }
    errno = lookup->n == 0 ? lookup->lacked : 0;
    resolve.done(resolve.arg, lookup->addresses, lookup->n, lookup->n == 0 ? error : NULL);
}

/* How many look-ups run is a matter of the process: that is what the threads and the name server belong to.
 */
static struct job_bound lookup_bound = {.max = RESOLVE_THREADS};
static const struct job_kind lookup_kind = {
    .bound = &lookup_bound, .work = lookup_work, .done = lookup_done, .drop = free};

struct resolve *resolve_start(struct event_base *base, const char *host, int port, resolve_done *done,
                              void *arg)
{
    struct resolve *resolve;
    struct lookup *lookup;
    int error;

    if (host[0] == '\0' || strlen(host) >= sizeof lookup->host || port < 0 || port > 65535) {
        errno = EINVAL;
        return NULL;
    }
    resolve = calloc(1, sizeof *resolve);
    lookup = calloc(1, sizeof *lookup);
    errno = ENOMEM;
    if (resolve != NULL && lookup != NULL) {
        resolve->done = done;
        resolve->arg = arg;
        memcpy(lookup->host, host, strlen(host) + 1);
        (void)snprintf(lookup->port, sizeof lookup->port, "%d", port);
        lookup_ask(lookup, AI_NUMERICHOST);
        resolve->job = lookup->error == 0 ? job_deliver(base, &lookup_kind, lookup, resolve)
                                          : job_start(base, &lookup_kind, lookup, resolve);
        if (resolve->job != NULL)
            return resolve;
    }
    error = errno;
    free(resolve);
    free(lookup);
    errno = error;
    return NULL;
}

void resolve_cancel(struct resolve *resolve)
{
    if (resolve == NULL)
        return;
    job_cancel(resolve->job);
    free(resolve);
}
