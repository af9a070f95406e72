/* startup.c - the order matters (docs/safety.md, rule 3): first the daemon's own lock, before anything is
 * touched; then a left-over Livy; then the port. */
#include "startup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "guard.h"
#include "livy-ha/clock.h"
#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"
#include "livy-ha/portowner.h"

#define MAX_HOLDERS 8
#define DYING_WAIT 2000       /* ms for processes that were killed to be gone */
#define PREDECESSOR_WAIT 5000 /* ms for an elector that still closes its session */
#define PROBE_WAIT 1000
#define CLOSE_WAIT 7000 /* ms: the closer itself gives up after 5 s */

/* Returns false where a stop was asked for: the signals are blocked and wait for the loop, which is not there
 * yet. */
static bool nap(int ms)
{
    sigset_t pending;

    poll(NULL, 0, ms);
    return sigpending(&pending) != 0 ||
           (sigismember(&pending, SIGTERM) != 1 && sigismember(&pending, SIGINT) != 1);
}

/* ---- directories
 * ------------------------------------------------------------------------------------------------ */

static int make_runtime_dir(const struct conf *conf)
{
    char path[PATH_MAX];
    struct stat st;

    if (snprintf(path, sizeof(path), "%s", conf->runtime_dir) >= (int)sizeof(path)) {
        log_error("runtime_dir is too long a path: %.60s…", conf->runtime_dir);
        return EXIT_CONFIGURATION;
    }
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            break; /* the last mkdir tells */
        *slash = '/';
    }
    if ((mkdir(conf->runtime_dir, 0755) != 0 && errno != EEXIST) || stat(conf->runtime_dir, &st) != 0) {
        log_error("runtime_dir %s cannot be made: %s. Make it, or set runtime_dir to a directory that the "
                  "daemon may "
                  "write to",
                  conf->runtime_dir, strerror(errno));
        return EXIT_TEMPORARY;
    }
    if (!S_ISDIR(st.st_mode) || access(conf->runtime_dir, W_OK | X_OK) != 0) {
        log_error("runtime_dir %s is not a directory that the daemon (uid %d) may write to",
                  conf->runtime_dir, (int)getuid());
        return EXIT_TEMPORARY;
    }
    return 0;
}

static int check_there(const char *key, const char *path, int mode)
{
    if (access(path, mode) == 0)
        return 0;
    log_error(
        "%s: %s: %s. Is its file system mounted? The daemon ends with status 75 so that it is tried again",
        key, path, strerror(errno));
    return EXIT_TEMPORARY;
}

static int check_directories(const struct conf *conf)
{
    int rc = check_there("livy.home", conf->livy.home, R_OK | X_OK);
    if (rc == 0)
        rc = check_there("livy.command", conf->livy.command, X_OK);
    if (rc == 0)
        rc = check_there("livy.conf_dir", conf->livy.conf_dir, R_OK | X_OK);
    return rc;
}

/* ---- the daemon's lock
 * ------------------------------------------------------------------------------------------ */

static pid_t read_pid(const char *path)
{
    char text[16] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

static void write_pid(int lock)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, text, (size_t)n, 0) != n)
        log_warn("the daemon's pid could not be written to its lock file: %s", strerror(errno));
}

/* Only the elector of a dead daemon has it: stopped, or hung. A living daemon would be among the holders
 * itself. */
static bool end_lost_elector(const char *path)
{
    pid_t pids[MAX_HOLDERS], first = 0;
    size_t n = lockfile_holders(path, pids, MAX_HOLDERS);

    for (size_t i = 0; i < n; i++) {
        char file[64], name[32] = "";
        snprintf(file, sizeof(file), "/proc/%d/comm", (int)pids[i]);
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd >= 0 ? read(fd, name, sizeof(name) - 1) : -1;
        if (fd >= 0)
            close(fd);
        if (length < 0 || strcmp(name, "livy-ha-elector\n") != 0)
            return false;
    }
    if (n == 0 || lockfile_end_holders(path, 0, &first) == 0)
        return false;
    log_warn("the elector (pid %d) of a dead livy-ha hangs and holds its lock: killed", (int)first);
    return true;
}

/* A predecessor's elector may hold the lock for a moment longer, closing its session. */
static int take_lock(const struct conf *conf, int *lock)
{
    char path[PATH_MAX];
    int64_t until = clock_boot_ms() + PREDECESSOR_WAIT;
    bool ended = false;

    if (lockfile_daemon_path(conf->runtime_dir, path, sizeof(path)) != 0)
        return EXIT_CONFIGURATION;
    while ((*lock = lockfile_take(path)) < 0) {
        if (errno != EWOULDBLOCK) {
            log_error("%s: %s. Is it of another user? Remove it once no livy-ha runs with this runtime_dir",
                      path, strerror(errno));
            return EXIT_TEMPORARY;
        }
        pid_t holder = read_pid(path);
        bool alive = holder > 0 && (kill(holder, 0) == 0 || errno == EPERM);
        if (!alive && !ended && clock_boot_ms() >= until) {
            ended = end_lost_elector(path);
            if (ended)
                until = clock_boot_ms() + PREDECESSOR_WAIT;
        }
        if (alive || clock_boot_ms() >= until) {
            log_error("another livy-ha (pid %d) runs with runtime_dir %s: stop it first, or give this one a "
                      "runtime_dir "
                      "of its own",
                      (int)holder, conf->runtime_dir);
            return EXIT_TEMPORARY;
        }
        if (!nap(20))
            return STARTUP_STOPPED;
    }
    write_pid(*lock);
    return 0;
}

/* ---- left-over and unmanaged Livys
 * -------------------------------------------------------------------------------- */

static int kill_leftover(const struct conf *conf)
{
    char path[PATH_MAX];
    pid_t first = 0;
    int64_t until = clock_boot_ms() + 5 * conf->livy.kill_margin;
    bool told = false;
    int is_free;

    if (lockfile_livy_path(conf->runtime_dir, path, sizeof(path)) != 0)
        return EXIT_CONFIGURATION;
    while ((is_free = lockfile_free(path)) == 0) {
        size_t n = lockfile_end_holders(path, 0, &first);
        if (n > 0 && !told)
            log_warn("an earlier Livy (pid %d) is still alive: killing it before joining", (int)first);
        told = told || n > 0;
        if (clock_boot_ms() >= until) {
            log_error(
                "an earlier Livy still holds %s and %s: not joining. %s", path,
                told ? "does not die" : "cannot be seen",
                told
                    ? "Look at its state (D: waiting for a disk or a file server), or restart the host"
                    : "Look for it with \"fuser\" as root: it runs as another user, or in another container");
            return EXIT_TEMPORARY;
        }
        if (!nap(5))
            return STARTUP_STOPPED;
    }
    if (is_free == 1)
        return 0;
    log_error("%s: %s: whether an earlier Livy lives cannot be told. Is it of another user? Remove it once "
              "no Livy runs",
              path, strerror(errno));
    return EXIT_TEMPORARY;
}

/* Asks what listens there for GET /version, so that the message can say what it is. */
static void describe_listener(const struct sockaddr_in *address, char *what, size_t size)
{
    static const char request[] = "GET /version HTTP/1.0\r\n\r\n";
    char answer[513] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = PROBE_WAIT / 1000};

    snprintf(what, size, "another program");
    if (fd < 0)
        return;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
        recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL) > 0 && strncmp(answer, "HTTP/1.", 7) == 0)
        snprintf(what, size,
                 "a Livy that is not managed by livy-ha, or another HTTP server (it answers \"%.*s\"),",
                 (int)strcspn(answer, "\r\n"), answer);
    close(fd);
}

static int check_port(const struct conf *conf, const struct livyconf *livyconf)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)conf->livy.port)};
    char what[256], pid[32] = "";
    pid_t owner = 0;
    int one = 1;

    if (livyconf->host == NULL || inet_pton(AF_INET, livyconf->host, &address.sin_addr) != 1)
        address.sin_addr.s_addr = htonl(INADDR_ANY);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0; /* no IPv4 here: Livy itself will tell */
    int rc = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (rc == 0)
        rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
    if (rc == 0)
        rc = listen(fd, 1);
    int saved = errno;
    close(fd);
    if (rc == 0)
        return 0;
    if (saved != EADDRINUSE) {
        log_error("livy.port %d cannot be listened on: %s", conf->livy.port, strerror(saved));
        return EXIT_TEMPORARY;
    }
    if (address.sin_addr.s_addr == htonl(INADDR_ANY))
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    describe_listener(&address, what, sizeof(what));
    if (portowner_find(conf->livy.port, getpid(), &owner) == 0 && owner > 0)
        snprintf(pid, sizeof(pid), " (pid %d)", (int)owner);
    log_error("livy.port %d is taken: %s listens there%s. livy-ha does not kill what it has not started: "
              "stop it (systemctl "
              "stop livy?), or set livy.port to another port",
              conf->livy.port, what, pid);
    return EXIT_TEMPORARY;
}

bool startup_can_keep(const struct conf *conf, struct conf_report *report)
{
    char path[PATH_MAX];

    const struct {
        bool set;
        const char *key, *value, *otherwise;
    } needs[] = {
        {conf->livy.standby == CONF_STANDBY_HOT, "livy.standby", "hot", "cold"},
        {conf->livy.guard == CONF_GUARD_PROCESS, "livy.guard", "process", "none"},
        {conf->livy.class_data_sharing == CONF_CDS_AUTO, "livy.class_data_sharing", "auto", "off"},
    };
    size_t i = 0, n = sizeof(needs) / sizeof(needs[0]);

    while (i < n && !needs[i].set)
        i++;
    if (i == n || guard_agent(path, sizeof(path)))
        return true;
    conf_report_error(
        report,
        "%s: %s = \"%s\": liblivy-ha-gate.so is neither beside livy-ha nor in %s: build livy-ha where a "
        "JDK is (default-jdk-headless), or set %s to \"%s\"",
        conf_origin(conf, needs[i].key), needs[i].key, needs[i].value, LIVY_HA_LIBEXEC, needs[i].key,
        needs[i].otherwise);
    return false;
}

int startup_directories(const struct conf *conf)
{
    int rc = make_runtime_dir(conf);
    return rc != 0 ? rc : check_directories(conf);
}

/* kill -9 of a container's PID 1 (an OOM kill, mostly) takes everything along, and no ExecStopPost follows:
 * the session stays open until its time-out, and keeps the standby waiting. Where the container is started
 * again in its place before that, it closes the session first. Nothing of it is adopted (docs/safety.md, rule
 * 5). */
static int close_left_session(const struct conf *conf, int lock)
{
    char session[PATH_MAX];
    int64_t until = clock_boot_ms() + CLOSE_WAIT;
    bool go_on = true;
    int status;
    pid_t done;

    if (getpid() != 1 || lockfile_session_path(conf->runtime_dir, session, sizeof(session)) != 0 ||
        access(session, F_OK) != 0)
        return 0;
    log_info("the livy-ha before this one was killed and has left its session: closing it before joining");
    pid_t pid = child_closer(conf, lock);
    if (pid < 0) {
        log_warn("no session is closed: fork: %s", strerror(errno));
        return 0;
    }
    while ((done = waitpid(pid, &status, WNOHANG)) == 0 && clock_boot_ms() < until && (go_on = nap(20)))
        ;
    if (done == 0) {
        kill(pid, SIGKILL); /* our unreaped child */
        (void)waitpid(pid, &status, 0);
    }
    return go_on ? 0 : STARTUP_STOPPED;
}

int startup_prepare(const struct conf *conf, const struct livyconf *livyconf, int *lock)
{
    int rc = take_lock(conf, lock);
    if (rc == 0)
        rc = kill_leftover(conf);
    if (rc == 0)
        rc = check_port(conf, livyconf);
    if (rc == 0)
        rc = close_left_session(conf, *lock);
    if (rc == STARTUP_STOPPED)
        log_info("a stop was asked for before anything was started");
    return rc;
}

/* ---- --close-session
 * ----------------------------------------------------------------------------------------------- */

static int nothing(const char *why)
{
    log_info("no session to close: %s", why);
    return 0;
}

/* What was killed a moment ago may not have ended yet: its locks are waited for. */
static int take_dead_daemons_lock(const char *path)
{
    int64_t until = clock_boot_ms() + DYING_WAIT;
    int lock;

    while ((lock = lockfile_take(path)) < 0 && errno == EWOULDBLOCK && clock_boot_ms() < until) {
        pid_t holder = read_pid(path);
        if (holder <= 0 || kill(holder, 0) == 0 || errno == EPERM)
            return -1;
        nap(5);
    }
    return lock;
}

static bool free_soon(const char *path)
{
    int64_t until = clock_boot_ms() + DYING_WAIT;
    int rc;

    while ((rc = lockfile_free(path)) == 0 && clock_boot_ms() < until)
        nap(5);
    return rc == 1;
}

int startup_close_session(const struct conf *conf)
{
    char path[PATH_MAX], why[256], session[PATH_MAX];

    if (lockfile_session_path(conf->runtime_dir, session, sizeof(session)) != 0 || access(session, F_OK) != 0)
        return nothing("none was left behind");
    if (lockfile_daemon_path(conf->runtime_dir, path, sizeof(path)) != 0)
        return EXIT_CONFIGURATION;
    int lock = take_dead_daemons_lock(path);
    if (lock < 0)
        return nothing("a daemon runs, or its elector still closes it");
    if (lockfile_livy_path(conf->runtime_dir, path, sizeof(path)) != 0 || !free_soon(path)) {
        log_error("Livy's lock %s is held: an earlier Livy lives, its session is left alone", path);
        return EXIT_TEMPORARY;
    }
    child_become_closer(conf, lock, why, sizeof(why)); /* returns only where it failed */
    log_error("%s", why);
    return EXIT_TEMPORARY;
}
