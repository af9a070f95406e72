/* zk_fixture.h - for the tests of zk.h: a real ZooKeeper, started on a free loopback port and ended again, a
 * client that records what it is told, and waiting for a condition with a limit. Each test program includes
 * it once.
 */
#ifndef LIVY_HA_TEST_ZK_FIXTURE_H
#define LIVY_HA_TEST_ZK_FIXTURE_H

#include "zk_internal.h"

#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define JARS "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"
#define LIMIT 20000 /* ms that any one condition may take */
#define TIMEOUT 6000

/* What the client library does wrong by itself, whatever its user does; see tests/lsan.supp and
 * tests/tsan.supp. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libzookeeper_mt\n";
}
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:__sprintf_chk\n";
}

static struct {
    char dir[64], hosts[64];
    int port;
    pid_t pid;
} server;
static struct event_base *base;
static struct event *tick; /* so that waiting for a condition ends */

struct done {
    int calls, rc, n_children, value_length, version, order;
    int64_t at;
    bool stat;
    int64_t owner;
    char value[256], first_child[128];
};

struct client {
    struct zk *zk;
    int connected, suspended, lost, auth_failed;
    struct zk_session session;
    int watches, type;
    uint32_t kind;
    uint64_t tag;
    int watch_order;
    enum zk_state close_on; /* close from within the call-back, with close_armed */
    bool close_armed, close_on_watch;
    char log[512]; /* C, S, L in order */
};
static int order; /* numbers the deliveries */

static inline void on_session(void *arg, enum zk_state state, const struct zk_session *session, int64_t at)
{
    struct client *client = arg;
    size_t length = strlen(client->log);

    assert_true(at > 0 && at <= clock_boot_ms());
    switch (state) {
    case ZK_CONNECTED:
        assert_non_null(session);
        client->session = *session;
        client->connected++;
        break;
    case ZK_SUSPENDED:
        assert_null(session);
        client->suspended++;
        break;
    case ZK_LOST:
        client->lost++;
        break;
    case ZK_AUTH_FAILED:
        client->auth_failed++;
        break;
    }
    if (length + 1 < sizeof client->log)
        client->log[length] = "CSLA"[state];
    if (client->close_armed && client->close_on == state) {
        zk_close(client->zk, false);
        client->zk = NULL;
    }
}

static inline void on_watch(void *arg, int type, uint32_t kind, uint64_t tag)
{
    struct client *client = arg;

    client->watches++;
    client->type = type;
    client->kind = kind;
    client->tag = tag;
    client->watch_order = ++order;
    if (client->close_on_watch) {
        zk_close(client->zk, false);
        client->zk = NULL;
    }
}

static inline void on_done(void *arg, const struct zk_reply *reply)
{
    struct done *done = arg;

    done->calls++;
    done->order = ++order;
    done->rc = reply->rc;
    done->at = reply->at;
    done->stat = reply->stat != NULL;
    done->owner = reply->stat != NULL ? reply->stat->ephemeralOwner : 0;
    done->version = reply->stat != NULL ? reply->stat->version : -1;
    done->value_length = reply->value_length;
    (void)snprintf(done->value, sizeof done->value, "%s", reply->value != NULL ? reply->value : "");
    done->n_children = reply->n_children;
    if (reply->n_children > 0)
        (void)snprintf(done->first_child, sizeof done->first_child, "%s", reply->children[0]);
}

static inline void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* Runs the loop until *counter reaches `wanted`; false after LIMIT. */
static inline bool wait_count(const int *counter, int wanted)
{
    int64_t end = clock_boot_ms() + LIMIT;

    while (*counter < wanted && clock_boot_ms() < end)
        (void)event_base_loop(base, EVLOOP_ONCE);
    return *counter >= wanted;
}

/* ---- the server ---- */

static inline int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return -1;
    close(fd);
    return ntohs(address.sin_port);
}

static inline void server_exec(const char *config, pid_t parent)
{
    int null = open("/dev/null", O_RDWR);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    execlp("java", "java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", JARS,
           "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-Dzookeeper.jmx.log4j.disable=true",
           "org.apache.zookeeper.server.quorum.QuorumPeerMain", config, (char *)NULL);
    _exit(127);
}

static inline bool server_listens(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    address.sin_port = htons((uint16_t)server.port);
    ok = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return ok;
}

static inline int server_start(void)
{
    char config[128];
    pid_t parent = getpid();
    int64_t end;
    int status;
    FILE *file;

    if (access("/usr/share/java/zookeeper.jar", R_OK) != 0) {
        print_error("This test needs Debian's packages zookeeper and default-jre-headless; "
                    "/usr/share/java/zookeeper.jar is missing.\n");
        return -1;
    }
    (void)snprintf(server.dir, sizeof server.dir, "/tmp/livy-ha-zk-XXXXXX");
    server.port = free_port();
    if (mkdtemp(server.dir) == NULL || server.port < 0)
        return -1;
    (void)snprintf(server.hosts, sizeof server.hosts, "127.0.0.1:%d", server.port);
    (void)snprintf(config, sizeof config, "%s/zoo.cfg", server.dir);
    file = fopen(config, "we");
    if (file == NULL)
        return -1;
    (void)fprintf(file,
                  "tickTime=500\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n"
                  "admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=*\n",
                  server.dir, server.port);
    (void)fclose(file);
    server.pid = fork();
    if (server.pid == 0)
        server_exec(config, parent);
    for (end = clock_boot_ms() + 60000; clock_boot_ms() < end; usleep(20000)) {
        if (waitpid(server.pid, &status, WNOHANG) == server.pid) {
            server.pid = 0;
            print_error(
                "ZooKeeper did not start (status %d): are java and the package zookeeper installed?\n",
                WEXITSTATUS(status));
            return -1;
        }
        if (server_listens())
            return 0;
    }
    print_error("ZooKeeper does not listen on port %d within 60 s\n", server.port);
    return -1;
}

static inline int group_setup(void **state)
{
    struct timeval interval = {0, 20000};

    (void)state;
    log_open("test_zk", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    if (server_start() != 0)
        return -1;
    base = event_base_new();
    tick = base != NULL ? event_new(base, -1, EV_PERSIST, on_tick, NULL) : NULL;
    return tick != NULL && event_add(tick, &interval) == 0 ? 0 : -1;
}

static inline int group_teardown(void **state)
{
    char command[96];

    (void)state;
    if (server.pid > 0) {
        (void)kill(server.pid, SIGKILL);
        (void)waitpid(server.pid, NULL, 0);
    }
    (void)snprintf(command, sizeof command, "rm -rf '%s'", server.dir);
    if (server.dir[0] != '\0' && system(command) != 0)
        return -1;
    if (tick != NULL)
        event_free(tick);
    if (base != NULL)
        event_base_free(base);
    return 0;
}

/* ---- helpers ---- */

static inline void client_start(struct client *client, const char *hosts, const struct zk_session *adopt)
{
    struct zk_options options = {.hosts = hosts, .session_timeout = TIMEOUT, .adopt = adopt};

    memset(client, 0, sizeof *client);
    client->zk = zk_open(base, &options, on_session, on_watch, client);
    assert_non_null(client->zk);
}

static inline void client_open(struct client *client)
{
    client_start(client, server.hosts, NULL);
    assert_true(wait_count(&client->connected, 1));
}

static inline void client_close(struct client *client)
{
    zk_close(client->zk, false);
    client->zk = NULL;
}

/* Each sends one request and waits for its answer, which stays in the static result. */
static inline struct done *finish(int sent, struct done *done)
{
    assert_int_equal(sent, ZOK);
    assert_true(wait_count(&done->calls, 1));
    return done;
}

static inline struct done *create(struct client *client, const char *path, const char *data, int mode)
{
    static struct done done;

    memset(&done, 0, sizeof done);
    return finish(zk_create(client->zk, path, data, (int)strlen(data), mode, on_done, &done), &done);
}

static inline struct done *exists(struct client *client, const char *path)
{
    static struct done done;

    memset(&done, 0, sizeof done);
    return finish(zk_exists(client->zk, path, 0, 0, on_done, &done), &done);
}

static inline struct done *check(struct client *client, const char *path)
{
    static struct done done;

    memset(&done, 0, sizeof done);
    return finish(zk_check(client->zk, path, on_done, &done), &done);
}

static inline struct done *erase(struct client *client, const char *path)
{
    static struct done done;

    memset(&done, 0, sizeof done);
    return finish(zk_delete(client->zk, path, -1, on_done, &done), &done);
}

static inline int count_watches(struct zk *zk)
{
    struct zk_watch *watch;
    int n = 0;

    pthread_mutex_lock(&zk->lock);
    for (int i = 0; i < ZK_WATCH_BUCKETS; i++)
        LIST_FOREACH(watch, &zk->watches[i], link)
    n++;
    pthread_mutex_unlock(&zk->lock);
    return n;
}

#endif
