/* standin_store.c - see standin_store.h. The only part of the stand-in that knows ZooKeeper. */
#include "standin_store.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define THREADED 1
#include <zookeeper/zookeeper.h>

#include "standin_util.h"

#define PATH_SIZE 512
#define POLL_NS INT64_C(1000000)

struct store {
    zhandle_t *zh;
    int log; /* <base>.store */
    long interval_ms;
    char hosts[4096], path[PATH_SIZE], name[PATH_MAX];
    long long count;
};

/* One write a line: kill -9 leaves whole lines behind. */
__attribute__((format(printf, 2, 3))) static void store_note(const struct store *store, const char *format,
                                                             ...)
{
    char line[512];
    va_list arguments;
    int length;
    va_start(arguments, format);
    length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof line || write(store->log, line, (size_t)length) != length) {
        util_fail("the store's record");
    }
}

static void store_address(const struct store *store, char *text, size_t size)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char host[INET_ADDRSTRLEN] = "?";
    if (zookeeper_get_connected_host(store->zh, (struct sockaddr *)&address, &length) &&
        address.sin_family == AF_INET) {
        inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%d", host, ntohs(address.sin_port));
    } else {
        snprintf(text, size, "?");
    }
}

/* Livy's Curator makes itself a new session where the old one has ended, and goes on. */
static void store_connect(struct store *store)
{
    int timeout = util_session_timeout();
    if (store->zh) {
        zookeeper_close(store->zh);
    }
    store->zh = zookeeper_init(store->hosts, NULL, timeout, NULL, NULL, 0);
    if (!store->zh) {
        util_fail("zookeeper_init");
    }
    for (;;) {
        int state = zoo_state(store->zh);
        if (state == ZOO_CONNECTED_STATE) {
            return;
        }
        if (state == ZOO_EXPIRED_SESSION_STATE || state == ZOO_AUTH_FAILED_STATE) {
            zookeeper_close(store->zh);
            store->zh = zookeeper_init(store->hosts, NULL, timeout, NULL, NULL, 0);
            if (!store->zh) {
                util_fail("zookeeper_init");
            }
        }
        util_sleep_until(util_now_ns() + POLL_NS);
    }
}

/* True where the session is over and a new one was made. */
static bool store_renewed(struct store *store, int rc)
{
    char address[64];
    if (rc != ZINVALIDSTATE && rc != ZSESSIONEXPIRED && rc != ZCLOSING) {
        return false;
    }
    store_connect(store);
    store_address(store, address, sizeof address);
    store_note(store, "session %lld %llx %s\n", (long long)util_now_ns(),
               (unsigned long long)zoo_client_id(store->zh)->client_id, address);
    return true;
}

static int store_make(struct store *store)
{
    char parent[PATH_SIZE];
    int rc;
    snprintf(parent, sizeof parent, "%s", store->path);
    for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        rc = zoo_create(store->zh, parent, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
        *slash = '/';
        if (rc != ZOK && rc != ZNODEEXISTS) {
            return rc;
        }
    }
    return zoo_create(store->zh, store->path, "0", 1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
}

/* Until the count has been read: Livy serves nothing before it has recovered. */
static void store_read(struct store *store)
{
    for (;;) {
        char data[PATH_SIZE], address[64];
        int size = sizeof data - 1;
        struct Stat stat;
        int rc = zoo_get(store->zh, store->path, 0, data, &size, &stat);
        if (rc == ZOK) {
            data[size > 0 ? size : 0] = '\0';
            store->count = strtoll(data, NULL, 10);
            store_address(store, address, sizeof address);
            store_note(store, "begin %lld %lld %d %lld %llx %s\n", (long long)util_now_ns(), store->count,
                       stat.version, (long long)stat.mzxid,
                       (unsigned long long)zoo_client_id(store->zh)->client_id, address);
            return;
        }
        if (rc == ZNONODE) {
            rc = store_make(store);
        }
        if (rc != ZOK && !store_renewed(store, rc)) {
            util_sleep_until(util_now_ns() + POLL_NS * 10);
        }
    }
}

/* The data is "count who": whose write it was stands in ZooKeeper's own log too. */
static void *store_count(void *arg)
{
    struct store *store = arg;
    for (;;) {
        char data[PATH_SIZE];
        struct Stat stat;
        int length = snprintf(data, sizeof data, "%lld %s", store->count + 1, store->name);
        int rc = zoo_set2(store->zh, store->path, data, length, -1, &stat);
        if (rc == ZOK) {
            store->count++;
            store_note(store, "ack %lld %lld %d %lld\n", (long long)util_now_ns(), store->count, stat.version,
                       (long long)stat.mzxid);
        } else {
            store_note(store, "unknown %lld %lld %d\n", (long long)util_now_ns(), store->count + 1, rc);
            (void)store_renewed(store, rc);
        }
        util_sleep_until(util_now_ns() + store->interval_ms * 1000000);
    }
    return NULL;
}

/* Livy 0.8 and later take livy.server.zookeeper.url, 0.7 only knows the other. */
static void store_place(struct store *store, const char *base, const char *server)
{
    char prefix[PATH_SIZE - 16] = "livy";
    const char *slash = strrchr(base, '/');
    util_conf_value("livy.server.recovery.state-store.url", store->hosts, sizeof store->hosts);
    util_conf_value("livy.server.zookeeper.url", store->hosts, sizeof store->hosts);
    util_conf_value("livy.server.recovery.zk-state-store.key-prefix", prefix, sizeof prefix);
    if (*server) {
        snprintf(store->hosts, sizeof store->hosts, "%s", server);
    }
    if (!*store->hosts) {
        errno = ENOENT;
        util_fail("livy.server.zookeeper.url");
    }
    snprintf(store->path, sizeof store->path, "/%s/counter", prefix);
    snprintf(store->name, sizeof store->name, "%s", slash ? slash + 1 : base);
}

void store_begin(const char *base, long interval_ms, const char *server)
{
    struct store *store = calloc(1, sizeof *store); /* lives as long as the process */
    char path[PATH_MAX];
    pthread_t thread;
    if (!store) {
        util_fail("calloc");
    }
    store->interval_ms = interval_ms > 0 ? interval_ms : 1;
    store_place(store, base, server);
    snprintf(path, sizeof path, "%s.store", base);
    store->log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (store->log < 0) {
        util_fail(path);
    }
    zoo_set_debug_level((ZooLogLevel)0); /* what it has to say is in the record */
    store_connect(store);
    store_read(store);
    if (pthread_create(&thread, NULL, store_count, store) != 0) {
        util_fail("pthread_create");
    }
}
