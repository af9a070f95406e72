/* zk_resolve.c - turns zookeeper.hosts into IP literals. Each name is looked up by resolve.h; those for which
 * there is no look-up free are taken up as others end. May not log, and may not call libzookeeper.
 */
#include "zk_resolve.h"

#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "resolve.h"

#define HOSTS_MAX 64
#define LITERAL_SIZE (NI_MAXHOST + NI_MAXSERV + 2)

struct resolve_host {
    struct zk_resolve *owner;
    char *name;
    int port;
    struct resolve *lookup; /* while it runs */
    bool answered;
    char *error; /* why there are no addresses, without a full stop; NULL: there are some, or no memory for it
                  */
};

/* Each address once. */
struct literals {
    char (*text)[LITERAL_SIZE];
    size_t count, size;
};

struct zk_resolve {
    struct event_base *base;
    struct event *again; /* to begin what could not be begun; or: everything is answered */
    char *chroot;        /* "" or "/path" */
    zk_resolved *done;
    void *arg;
    struct literals literals;
    bool memory; /* for the literals there was enough */
    int lacked;  /* the errno of what this process had not enough of to look one up; 0 */
    size_t n_hosts;
    struct resolve_host hosts[HOSTS_MAX];
};

/* Splits "name", "name:port", "[v6]" or "[v6]:port" in place. */
static int host_parse(struct zk_resolve *resolve, char *item)
{
    struct resolve_host *host = &resolve->hosts[resolve->n_hosts];
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
    host->owner = resolve;
    host->port = (int)number;
    host->name = strdup(name);
    if (host->name == NULL)
        return -1;
    resolve->n_hosts++;
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
        rc = resolve->n_hosts < HOSTS_MAX ? host_parse(resolve, trim(item)) : -1;
    free(copy);
    return rc == 0 && resolve->chroot != NULL && resolve->n_hosts > 0 ? 0 : -1;
}

static bool literals_add(struct literals *literals, const struct sockaddr_storage *address)
{
    char host[NI_MAXHOST], port[NI_MAXSERV], text[LITERAL_SIZE];

    if (getnameinfo((const struct sockaddr *)address, sizeof *address, host, sizeof host, port, sizeof port,
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
static char *error_text(const struct zk_resolve *resolve)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = NULL;
    int bad = 0;

    for (size_t i = 0; i < resolve->n_hosts; i++) {
        if (resolve->hosts[i].error == NULL)
            continue;
        if (out == NULL)
            out = open_memstream(&text, &size);
        if (out == NULL)
            return NULL;
        (void)fprintf(out, "%s%s", bad++ > 0 ? ", " : "zookeeper.hosts: ", resolve->hosts[i].error);
    }
    if (out == NULL)
        return NULL;
    (void)fprintf(out, "; check the name%s and DNS or /etc/hosts", bad > 1 ? "s" : "");
    return fclose(out) == 0 ? text : NULL;
}

static void resolve_free(struct zk_resolve *resolve)
{
    for (size_t i = 0; i < resolve->n_hosts; i++) {
        resolve_cancel(resolve->hosts[i].lookup);
        free(resolve->hosts[i].name);
        free(resolve->hosts[i].error);
    }
    if (resolve->again != NULL)
        event_free(resolve->again);
    free(resolve->literals.text);
    free(resolve->chroot);
    free(resolve);
}

/* Everything is answered. `resolve` is freed before the owner is called, who may start the next one. */
static void resolve_ready(struct zk_resolve *resolve)
{
    zk_resolved *done = resolve->done;
    void *done_arg = resolve->arg;
    const bool found = resolve->literals.count > 0;
    char *joined = NULL, *error;
    int lacked = resolve->lacked;

    literals_shuffle(&resolve->literals);
    if (found && resolve->memory)
        joined = literals_join(&resolve->literals, resolve->chroot);
    error = error_text(resolve);
    if (found && joined == NULL)
        lacked = ENOMEM;
    resolve_free(resolve);
    errno = lacked;
    done(done_arg, joined,
         error != NULL || joined != NULL ? error : "zookeeper.hosts: out of memory; try again");
    free(joined);
    free(error);
}

static void host_failed(struct resolve_host *host, int lacked, const char *error)
{
    host->answered = true;
    host->error = strdup(error);
    if (lacked != 0)
        host->owner->lacked = lacked;
}

static void hosts_go_on(struct zk_resolve *resolve);

static void on_looked_up(void *arg, const struct sockaddr_storage *addresses, size_t n, const char *error)
{
    struct resolve_host *host = arg;
    struct zk_resolve *resolve = host->owner;

    host->lookup = NULL;
    host->answered = true;
    if (n == 0)
        host_failed(host, errno, error);
    for (size_t i = 0; i < n; i++)
        resolve->memory = literals_add(&resolve->literals, &addresses[i]) && resolve->memory;
    hosts_go_on(resolve);
}

/* A look-up that cannot be begun counts as failed, but where others have to end first. */
static void host_start(struct resolve_host *host)
{
    char error[NI_MAXHOST + 128];

    host->lookup = resolve_start(host->owner->base, host->name, host->port, on_looked_up, host);
    if (host->lookup != NULL || errno == EAGAIN)
        return;
    const int lacked = errno;
    (void)snprintf(error, sizeof error, "cannot resolve %.*s (%s)", NI_MAXHOST, host->name, strerror(lacked));
    host_failed(host, lacked == EINVAL ? 0 : lacked, error);
}

static void resolve_later(struct zk_resolve *resolve, long us)
{
    const struct timeval later = {.tv_usec = us};

    if (evtimer_add(resolve->again, &later) != 0)
        abort(); /* out of memory: the keeper starts another elector */
}

/* Begins what can be begun; where nothing is left that could answer, the end is near. */
static void hosts_go_on(struct zk_resolve *resolve)
{
    size_t waiting = 0, running = 0;

    for (size_t i = 0; i < resolve->n_hosts; i++) {
        struct resolve_host *host = &resolve->hosts[i];

        if (!host->answered && host->lookup == NULL)
            host_start(host);
        running += host->lookup != NULL;
        waiting += !host->answered && host->lookup == NULL;
    }
    /* Look-ups that others have begun, or forgotten, are in the way: theirs may end at any time. */
    if (waiting > 0)
        resolve_later(resolve, 100000);
    else if (running == 0)
        resolve_later(resolve, 0);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct zk_resolve *resolve = arg;

    (void)fd;
    (void)what;
    for (size_t i = 0; i < resolve->n_hosts; i++) {
        if (!resolve->hosts[i].answered) {
            hosts_go_on(resolve);
            return;
        }
    }
    resolve_ready(resolve);
}

struct zk_resolve *zk_resolve_start(struct event_base *base, const char *hosts, zk_resolved *done, void *arg)
{
    struct zk_resolve *resolve = calloc(1, sizeof *resolve);
    int error;

    if (resolve == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    resolve->base = base;
    resolve->done = done;
    resolve->arg = arg;
    resolve->memory = true;
    if (hosts_parse(resolve, hosts) != 0) {
        error = errno;
        resolve_free(resolve);
        errno = error;
        return NULL;
    }
    resolve->again = evtimer_new(base, on_again, resolve);
    if (resolve->again == NULL) {
        resolve_free(resolve);
        errno = ENOMEM;
        return NULL;
    }
    hosts_go_on(resolve);
    return resolve;
}

void zk_resolve_cancel(struct zk_resolve *resolve)
{
    if (resolve != NULL)
        resolve_free(resolve);
}
