/* zk_resolve.c - turns zookeeper.hosts into IP literals. Names are looked up in a detached thread each,
 * because getaddrinfo blocks for as long as it likes; the threads share a counted job with the loop and touch
 * nothing else. May not log, and may not call libzookeeper.
 */
#include "zk_resolve.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOSTS_MAX 64
#define LITERAL_SIZE (NI_MAXHOST + NI_MAXSERV + 2)

struct resolve_host {
    struct resolve_job *job;
    char *name;
    char port[8];
    struct addrinfo *found; /* written by its thread before it says that it is done */
    int error;              /* an EAI_ code */
    int lacked;             /* the errno of what this process had not enough of to look it up; 0 */
};

/* Lives until the loop and every thread have let go of it. */
struct resolve_job {
    pthread_mutex_t lock;
    int references;
    int pending; /* threads that have not answered */
    int fd;      /* eventfd: everything is answered */
    int n_hosts;
    struct resolve_host hosts[HOSTS_MAX];
};

struct zk_resolve {
    struct resolve_job *job;
    struct event *event;
    char *chroot; /* "" or "/path" */
    zk_resolved *done;
    void *arg;
};

static void job_release(struct resolve_job *job)
{
    int left;

    pthread_mutex_lock(&job->lock);
    left = --job->references;
    pthread_mutex_unlock(&job->lock);
    if (left > 0)
        return;
    for (int i = 0; i < job->n_hosts; i++) {
        free(job->hosts[i].name);
        if (job->hosts[i].found != NULL)
            freeaddrinfo(job->hosts[i].found);
    }
    if (job->fd >= 0)
        close(job->fd);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

/* Wakes the loop; cannot fail on an eventfd that was written at most once. */
static void job_wake(struct resolve_job *job)
{
    uint64_t one = 1;
    ssize_t written = write(job->fd, &one, sizeof one);

    (void)written;
}

static void host_lookup(struct resolve_host *host, int flags)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

    hints.ai_flags = AI_NUMERICSERV | flags;
    host->error = getaddrinfo(host->name, host->port, &hints, &host->found);
    if (host->error != 0)
        host->found = NULL;
}

/* getaddrinfo tells a process without a descriptor to ask with the same as one whose name server is silent.
 */
static int host_lacked(const struct resolve_host *host)
{
    int fd, error;

    if (host->error == 0)
        return 0;
    if (host->error == EAI_MEMORY)
        return ENOMEM;
    fd = fcntl(host->job->fd, F_DUPFD_CLOEXEC, 0);
    error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* Addresses of a family that this host does not have are of no use, but a name that has no others (localhost
 * on a host without a network) is taken as it is. */
static void host_lookup_name(struct resolve_host *host)
{
    host_lookup(host, AI_ADDRCONFIG);
    if (host->error != 0 && host->error != EAI_AGAIN)
        host_lookup(host, 0);
}

static void *host_thread(void *arg)
{
    struct resolve_host *host = arg;
    struct resolve_job *job = host->job;
    bool last;

    host_lookup_name(host);
    host->lacked = host_lacked(host);
    pthread_mutex_lock(&job->lock);
    last = --job->pending == 0;
    pthread_mutex_unlock(&job->lock);
    if (last)
        job_wake(job);
    job_release(job);
    return NULL;
}

/* Splits "name", "name:port", "[v6]" or "[v6]:port" in place. */
static int host_parse(struct resolve_job *job, char *item)
{
    struct resolve_host *host = &job->hosts[job->n_hosts];
    char *name = item, *port = NULL, *end;
    long number = 2181;

    if (item[0] == '[') {
        end = strchr(item, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return -1;
        name = item + 1;
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else if ((end = strchr(item, ':')) != NULL) {
        if (strchr(end + 1, ':') != NULL)
            return -1; /* an IPv6 address without brackets is ambiguous */
        *end = '\0';
        port = end + 1;
    }
    if (port != NULL) {
        if (port[0] < '0' || port[0] > '9')
            return -1;
        number = strtol(port, &end, 10);
        if (*end != '\0')
            return -1;
    }
    if (name[0] == '\0' || number < 1 || number > 65535)
        return -1;
    host->job = job;
    host->name = strdup(name);
    (void)snprintf(host->port, sizeof host->port, "%ld", number);
    if (host->name == NULL)
        return -1;
    job->n_hosts++;
    return 0;
}

static char *trim(char *text)
{
    size_t length;

    text += strspn(text, " \t");
    length = strlen(text);
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        text[--length] = '\0';
    return text;
}

static int hosts_parse(struct zk_resolve *resolve, const char *hosts)
{
    char *copy = strdup(hosts), *slash, *next = NULL;
    int rc = 0;

    if (copy == NULL)
        return -1;
    slash = strchr(copy, '/');
    resolve->chroot = strdup(slash != NULL && slash[1] != '\0' ? trim(slash) : "");
    if (slash != NULL)
        *slash = '\0';
    errno = EINVAL;
    for (char *item = strtok_r(copy, ",", &next); item != NULL && rc == 0; item = strtok_r(NULL, ",", &next))
        rc = resolve->job->n_hosts < HOSTS_MAX ? host_parse(resolve->job, trim(item)) : -1;
    free(copy);
    return rc == 0 && resolve->chroot != NULL && resolve->job->n_hosts > 0 ? 0 : -1;
}

struct literals {
    char (*text)[LITERAL_SIZE];
    size_t count, size;
};

static bool literals_add(struct literals *literals, const struct addrinfo *address)
{
    char host[NI_MAXHOST], port[NI_MAXSERV], text[LITERAL_SIZE];

    if (getnameinfo(address->ai_addr, address->ai_addrlen, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return true;
    /* No brackets around IPv6: libzookeeper splits at the last colon and hands the rest to getaddrinfo, which
     * refuses "[::1]". */
    (void)snprintf(text, sizeof text, "%s:%s", host, port);
    for (size_t i = 0; i < literals->count; i++)
        if (strcmp(literals->text[i], text) == 0)
            return true;
    if (literals->count == literals->size) {
        size_t size = literals->size == 0 ? 8 : 2 * literals->size;
        void *grown = reallocarray(literals->text, size, sizeof *literals->text);

        if (grown == NULL)
            return false;
        literals->text = grown;
        literals->size = size;
    }
    memcpy(literals->text[literals->count++], text, sizeof text);
    return true;
}

static void literals_shuffle(struct literals *literals)
{
    char swap[LITERAL_SIZE];

    for (size_t i = literals->count; i > 1; i--) {
        uint32_t random = 0;
        size_t j;

        /* Without random numbers the order stays as it is: spreading is a courtesy. */
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
            return;
        j = random % i;
        memcpy(swap, literals->text[i - 1], sizeof swap);
        memcpy(literals->text[i - 1], literals->text[j], sizeof swap);
        memcpy(literals->text[j], swap, sizeof swap);
    }
}

/* The list with commas, the first once more where the count is even (ZOOKEEPER-2466), and the chroot. */
static char *literals_join(const struct literals *literals, const char *chroot)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool failed;

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < literals->count; i++)
        (void)fprintf(out, "%s%s", i > 0 ? "," : "", literals->text[i]);
    if (literals->count % 2 == 0)
        (void)fprintf(out, ",%s", literals->text[0]);
    (void)fputs(chroot, out);
    failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

/* A sentence about the hosts that were not found; NULL where all were (or without memory for it). */
static char *error_text(const struct resolve_job *job)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = NULL;
    int bad = 0;

    for (int i = 0; i < job->n_hosts; i++) {
        const struct resolve_host *host = &job->hosts[i];

        if (host->found != NULL)
            continue;
        if (out == NULL)
            out = open_memstream(&text, &size);
        if (out == NULL)
            return NULL;
        (void)fprintf(out, "%s%s (%s)", bad++ > 0 ? ", " : "zookeeper.hosts: cannot resolve ", host->name,
                      host->error == EAI_SYSTEM ? "system error" : gai_strerror(host->error));
    }
    if (out == NULL)
        return NULL;
    (void)fprintf(out, "; check the name%s and DNS or /etc/hosts", bad > 1 ? "s" : "");
    return fclose(out) == 0 ? text : NULL;
}

static void resolve_free(struct zk_resolve *resolve)
{
    if (resolve->event != NULL)
        event_free(resolve->event);
    if (resolve->job != NULL)
        job_release(resolve->job);
    free(resolve->chroot);
    free(resolve);
}

/* Everything is answered. `resolve` is freed before the owner is called, who may start the next one. */
static void resolve_ready(evutil_socket_t fd, short what, void *arg)
{
    struct zk_resolve *resolve = arg;
    struct literals literals = {0};
    zk_resolved *done = resolve->done;
    void *done_arg = resolve->arg;
    char *joined = NULL, *error;
    int lacked = 0;
    bool memory = true;

    (void)fd;
    (void)what;
    /* The threads have answered under this lock: what they wrote before is seen after it. */
    pthread_mutex_lock(&resolve->job->lock);
    pthread_mutex_unlock(&resolve->job->lock);
    for (int i = 0; i < resolve->job->n_hosts; i++) {
        const struct resolve_host *host = &resolve->job->hosts[i];

        for (struct addrinfo *found = host->found; found != NULL; found = found->ai_next)
            memory = literals_add(&literals, found) && memory;
        lacked = host->lacked != 0 ? host->lacked : lacked;
    }
    literals_shuffle(&literals);
    if (literals.count > 0 && memory)
        joined = literals_join(&literals, resolve->chroot);
    error = error_text(resolve->job);
    free(literals.text);
    if (literals.count > 0 && joined == NULL)
        lacked = ENOMEM;
    resolve_free(resolve);
    errno = lacked;
    done(done_arg, joined,
         error != NULL || joined != NULL ? error : "zookeeper.hosts: out of memory; try again");
    free(joined);
    free(error);
}

/* Literals are settled here, names get a thread each. A thread that cannot be made counts as a failed
 * look-up. */
static void hosts_start(struct resolve_job *job)
{
    sigset_t all, before;
    bool idle;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* the threads inherit it */
    pthread_mutex_lock(&job->lock);
    for (int i = 0; i < job->n_hosts; i++) {
        struct resolve_host *host = &job->hosts[i];
        pthread_t thread;

        host_lookup(host, AI_NUMERICHOST);
        if (host->found != NULL)
            continue;
        if (pthread_create(&thread, NULL, host_thread, host) != 0) {
            host->error = EAI_MEMORY;
            host->lacked = ENOMEM;
            continue;
        }
        (void)pthread_detach(thread);
        job->pending++;
        job->references++;
    }
    idle = job->pending == 0;
    pthread_mutex_unlock(&job->lock);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (idle)
        job_wake(job);
}

struct zk_resolve *zk_resolve_start(struct event_base *base, const char *hosts, zk_resolved *done, void *arg)
{
    struct zk_resolve *resolve = calloc(1, sizeof *resolve);
    struct resolve_job *job = calloc(1, sizeof *job);
    int saved;

    if (resolve == NULL || job == NULL) {
        free(resolve);
        free(job);
        errno = ENOMEM;
        return NULL;
    }
    resolve->job = job;
    resolve->done = done;
    resolve->arg = arg;
    pthread_mutex_init(&job->lock, NULL);
    job->references = 1;
    job->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (job->fd < 0 || hosts_parse(resolve, hosts) != 0) {
        saved = errno;
        resolve_free(resolve);
        errno = saved;
        return NULL;
    }
    resolve->event = event_new(base, job->fd, EV_READ, resolve_ready, resolve);
    if (resolve->event == NULL || event_add(resolve->event, NULL) != 0) {
        resolve_free(resolve);
        errno = ENOMEM;
        return NULL;
    }
    hosts_start(job);
    return resolve;
}

void zk_resolve_cancel(struct zk_resolve *resolve)
{
    if (resolve != NULL)
        resolve_free(resolve);
}
