/* child.c - fork and exec, done once and done right. See child.h. Between fork and exec the child is the only
 * thread of its process, so it may allocate and use stdio. */
#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"

#define CHANNEL_FD 3  /* the elector's and the relay's descriptors; told by their arguments */
#define CONF_FD 4     /* the elector has the daemon's lock above it */
#define PROGRAM_FD 64 /* and above: out of the way of those */

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* ---- in the child
 * ----------------------------------------------------------------------------------------------- */

/* An ignored TERM or PIPE would be ignored by the JVM as well. KILL and STOP just fail. */
static void reset_dispositions(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL);
}

static void unblock_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool daemons_own(const char *variable)
{
    static const char *const prefixes[] = {"LIVY_HA_",         "NOTIFY_SOCKET=", "WATCHDOG_",
                                           "LISTEN_FDS=",      "LISTEN_PID=",    "LISTEN_FDNAMES=",
                                           "LIVY_ENV_LOADED=", "INVOCATION_ID="};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void drop_daemons_own(void)
{
    size_t kept = 0;

    for (size_t i = 0; environ[i] != NULL; i++)
        if (!daemons_own(environ[i]))
            environ[kept++] = environ[i];
    environ[kept] = NULL;
}

/* The environment of Livy: the daemon's, less what is the daemon's own, plus where its directories are. */
static int clean_environment(const struct conf *conf)
{
    char overlay[PATH_MAX];

    drop_daemons_own();
    livyconf_overlay_path(conf, overlay, sizeof(overlay));
    if (setenv("LIVY_CONF_DIR", overlay, 1) != 0 || setenv("LIVY_LOG_DIR", conf->livy.log_dir, 1) != 0)
        return -1;
    return setenv("LIVY_HOME", conf->livy.home, 1); /* livy.home may differ from an inherited one */
}

/* OOMScoreAdjust= protects the daemon; Livy is an ordinary process. Raising one's own score needs no right.
 */
static void reset_oom_score(void)
{
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    char text[16] = "";

    if (fd < 0)
        return;
    if (read(fd, text, sizeof(text) - 1) > 0 && text[0] == '-' && lseek(fd, 0, SEEK_SET) == 0 &&
        write(fd, "0", 1) != 1)
        fprintf(stderr, "livy-ha: oom_score_adj stays %s", text);
    close(fd);
}

static void no_stdin(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        close(null);
    }
}

__attribute__((noreturn)) static void fail(int status, const char *what)
{
    size_t length = strlen(what);
    if (write(status, what, length) != (ssize_t)length)
        _exit(126);
    _exit(127);
}

/* close_range's CLOSE_RANGE_CLOEXEC is of Linux 5.11; before that, one by one. */
static int cloexec_from(int first)
{
    if (close_range((unsigned)first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return 0;
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return -1;
    int rc = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10); /* "." and ".." count as 0 */
        if (fd >= first && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            rc = -1;
    }
    closedir(dir);
    return rc;
}

/* The elector, or another livy-ha, may look at the lock at this very moment: that takes microseconds. */
static int take_livy_lock(const char *path)
{
    int lock;
    for (int tries = 0; (lock = lockfile_take(path)) < 0 && errno == EWOULDBLOCK && tries < 20; tries++)
        poll(NULL, 0, 1);
    return lock;
}

__attribute__((noreturn)) static void become_livy(const struct child_order *order, pid_t keeper, int status)
{
    const struct conf *conf = order->conf;
    char why[512], lock_path[PATH_MAX], option[PATH_MAX + 64];

    setsid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != keeper)
        fail(status, "the keeper is gone");
    if (!guard_pass(order->guard, option, sizeof(option))) {
        snprintf(why, sizeof(why), "the guard of the lease could not be given to Livy: %s (livy.guard)",
                 strerror(errno));
        fail(status, why);
    }
    if (livyconf_overlay(conf, order->livyconf, order->session_ms, option, why, sizeof(why)) != 0)
        fail(status, why);
    if (lockfile_livy_path(conf->runtime_dir, lock_path, sizeof(lock_path)) != 0)
        fail(status, "runtime_dir is too long a path");
    int lock = take_livy_lock(lock_path);
    if (lock < 0) {
        snprintf(why, sizeof(why), "%.300s: %s", lock_path,
                 errno == EWOULDBLOCK ? "an earlier Livy still holds it" : strerror(errno));
        fail(status, why);
    }
    reset_oom_score();
    no_stdin();
    if (clean_environment(conf) != 0)
        fail(status, "out of memory");
    if (cloexec_from(3) != 0 || fcntl(lock, F_SETFD, 0) != 0 || !guard_keep(order->guard))
        fail(status, "the descriptors could not be marked close-on-exec");
    if (clock_boot_ms() >= order->kill_at)
        fail(status, "its lease was over before it could be run");
    if (order->output >= 0 &&
        (dup2(order->output, STDOUT_FILENO) < 0 || dup2(order->output, STDERR_FILENO) < 0))
        fail(status, "it could not be given its output");
    reset_dispositions();
    unblock_signals();
    execl(conf->livy.command, conf->livy.command, (char *)NULL);
    snprintf(why, sizeof(why), "%.300s: %s (livy.command)", conf->livy.command, strerror(errno));
    fail(status, why);
}

static int fence_environment(const struct conf *conf, const struct ipc_member *member, const char *reason)
{
    char epoch[32];

    drop_daemons_own();
    snprintf(epoch, sizeof(epoch), "%lld", (long long)member->epoch);
    if (setenv("LIVY_HA_FENCE_ID", member->id, 1) != 0 ||
        setenv("LIVY_HA_FENCE_HOST", member->host, 1) != 0 ||
        setenv("LIVY_HA_FENCE_URL", member->url, 1) != 0 || setenv("LIVY_HA_FENCE_EPOCH", epoch, 1) != 0 ||
        setenv("LIVY_HA_FENCE_REASON", reason, 1) != 0)
        return -1;
    return setenv("LIVY_HA_FENCE_BY", conf->id, 1);
}

static int set_number(const char *variable, int64_t number)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", (long long)number);
    return setenv(variable, text, 1);
}

static int hook_environment(const struct conf *conf, const struct child_change *change)
{
    char at[CLOCK_UTC_SIZE];

    drop_daemons_own();
    clock_format_utc(change->at, at);
    if (setenv("LIVY_HA_CHANGE_ID", conf->id, 1) != 0 ||
        setenv("LIVY_HA_CHANGE_ROLE", change->role, 1) != 0 ||
        setenv("LIVY_HA_CHANGE_OLD_ROLE", change->old_role, 1) != 0 ||
        setenv("LIVY_HA_CHANGE_SERVING", change->serving ? "1" : "0", 1) != 0 ||
        setenv("LIVY_HA_CHANGE_REASON", change->reason, 1) != 0 || setenv("LIVY_HA_CHANGE_AT", at, 1) != 0 ||
        set_number("LIVY_HA_CHANGE_MISSED", change->missed) != 0)
        return -1;
    return change->epoch != 0 ? set_number("LIVY_HA_CHANGE_EPOCH", change->epoch) : 0;
}

__attribute__((noreturn)) static void become_hook(const struct conf *conf, const struct child_change *change)
{
    setsid();
    reset_oom_score();
    no_stdin();
    if (cloexec_from(3) == 0 && hook_environment(conf, change) == 0) {
        reset_dispositions();
        unblock_signals();
        execl("/bin/sh", "sh", "-c", conf->failover.on_change, (char *)NULL);
    }
    log_error("failover.on_change could not be run: %s", strerror(errno));
    _exit(127);
}

__attribute__((noreturn)) static void become_fence(const struct conf *conf, const struct ipc_member *member,
                                                   const char *reason)
{
    setsid();
    reset_oom_score();
    no_stdin();
    if (cloexec_from(3) == 0 && fence_environment(conf, member, reason) == 0) {
        reset_dispositions();
        unblock_signals();
        execl("/bin/sh", "sh", "-c", conf->failover.fence_command, (char *)NULL);
    }
    log_error("failover.fence_command could not be run: %s", strerror(errno));
    _exit(127);
}

/* ---- in the keeper
 * ---------------------------------------------------------------------------------------------- */

/* Keeps signals out of the short time in which the child still has the keeper's handlers and mask. */
static pid_t fork_blocked(sigset_t *old)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, old);
    return fork();
}

int child_livy(const struct child_order *order, struct child *child, char *why, size_t size)
{
    int status[2];
    sigset_t old;
    pid_t keeper = getpid();

    if (pipe2(status, O_CLOEXEC) != 0) {
        snprintf(why, size, "pipe: %s", strerror(errno));
        return -1;
    }
    pid_t pid = fork_blocked(&old);
    if (pid == 0) {
        close(status[0]);
        become_livy(order, keeper, status[1]);
    }
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(status[1]);
    if (pid < 0) {
        close(status[0]);
        snprintf(why, size, "fork: %s", strerror(saved));
        return -1;
    }
    *child = (struct child){.pid = pid, .pidfd = open_pidfd(pid), .status = status[0]};
    if (child->pidfd >= 0 && fcntl(status[0], F_SETFL, O_NONBLOCK) == 0)
        return 0;
    snprintf(why, size, "pidfd_open: %s", strerror(errno));
    kill(pid, SIGKILL); /* our unreaped child: the pid is surely its own */
    waitpid(pid, NULL, 0);
    close(status[0]);
    if (child->pidfd >= 0)
        close(child->pidfd);
    return -1;
}

int child_program(const char *name, int mode, char *path, size_t path_size, char *why, size_t size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        int length =
            slash == NULL ? -1 : snprintf(path, path_size, "%.*s/%s", (int)(slash - self), self, name);
        if (length > 0 && (size_t)length < path_size && access(path, mode) == 0)
            return 0;
    }
    int length = snprintf(path, path_size, "%s/%s", LIVY_HA_LIBEXEC, name);
    if (length > 0 && (size_t)length < path_size && access(path, mode) == 0)
        return 0;
    snprintf(why, size, "%s is neither beside livy-ha nor in %s, or not executable: install it", name,
             LIVY_HA_LIBEXEC);
    return -1;
}

int child_program_open(struct child_program *program, const char *name, char *why, size_t size)
{
    *program = (struct child_program){.fd = -1};
    if (child_program(name, X_OK, program->path, sizeof(program->path), why, size) != 0)
        return -1;
    int fd = open(program->path, O_PATH | O_CLOEXEC);
    if (fd >= 0) {
        program->fd = fcntl(fd, F_DUPFD_CLOEXEC, PROGRAM_FD);
        close(fd);
    }
    if (program->fd < 0)
        snprintf(why, size, "%.200s: %s", program->path, strerror(errno));
    return program->fd >= 0 ? 0 : -1;
}

void child_program_close(struct child_program *program)
{
    if (program->fd >= 0)
        close(program->fd);
    program->fd = -1;
}

/* By its path where that still is the same file: ps shows it then, and a script can be run. Else by the
 * descriptor: it was replaced or removed since. */
static void run_program(const struct child_program *program, char *const argv[])
{
    struct stat ours, there;

    if (fstat(program->fd, &ours) == 0 && stat(program->path, &there) == 0 && ours.st_dev == there.st_dev &&
        ours.st_ino == there.st_ino)
        execv(program->path, argv);
    else
        syscall(SYS_execveat, program->fd, "", argv, environ, AT_EMPTY_PATH);
}

int child_conf_memfd(const struct conf *conf)
{
    int fd = memfd_create("livy-ha-conf", MFD_CLOEXEC);
    struct conf told = *conf;

    told.log_format =
        log_format_in_use(); /* what "auto" came to here: a child is no PID 1 and could not tell */
    if (fd >= 0 && conf_write(&told, fd) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Puts the descriptors at their places, from CHANNEL_FD on, and closes what lies above at exec. They are
 * first moved out of the way of each other. */
static int place_descriptors(const int *fds, int n)
{
    int high[3];

    for (int i = 0; i < n; i++)
        if ((high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, PROGRAM_FD)) < 0)
            return -1;
    for (int i = 0; i < n; i++)
        if (dup2(high[i], CHANNEL_FD + i) < 0) /* clears CLOEXEC */
            return -1;
    return cloexec_from(CHANNEL_FD + n);
}

/* What elector and relay have in common: the keeper tells them to stop; a Ctrl-C on the terminal must not. */
static void be_helper(void)
{
    no_stdin();
    reset_dispositions();
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    unblock_signals();
}

__attribute__((noreturn)) static void become_elector(const struct child_program *program, const char *store,
                                                     int channel, int conf, int lock, const char *upgrade,
                                                     pid_t dies_with)
{
    char channel_arg[16], conf_arg[16];

    if (dies_with != 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != dies_with))
        _exit(126);

    if (place_descriptors((const int[]){channel, conf, lock}, 3) != 0) {
        log_error("the elector could not be given its descriptors: %s (LimitNOFILE?)", strerror(errno));
        _exit(126);
    }
    snprintf(channel_arg, sizeof(channel_arg), "%d", CHANNEL_FD);
    snprintf(conf_arg, sizeof(conf_arg), "%d", CONF_FD);
    be_helper();
    char *argv[] = {
        "livy-ha-elector", "--channel",   channel_arg, "--conf",        conf_arg,
        "--store",         (char *)store, "--keeper",  LIVY_HA_VERSION, upgrade != NULL ? "--upgrade" : NULL,
        (char *)upgrade,   NULL};
    run_program(program, argv);
    log_error("%s could not be run: %s", program->path, strerror(errno));
    _exit(127);
}

__attribute__((noreturn)) static void become_relay(const struct child_program *program, pid_t keeper,
                                                   int channel, int conf, bool waits)
{
    char channel_arg[16], conf_arg[16];

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != keeper)
        _exit(126);
    if (place_descriptors((const int[]){channel, conf}, 2) != 0) {
        log_error("the relay could not be given its descriptors: %s (LimitNOFILE?)", strerror(errno));
        _exit(126);
    }
    snprintf(channel_arg, sizeof(channel_arg), "%d", CHANNEL_FD);
    snprintf(conf_arg, sizeof(conf_arg), "%d", CONF_FD);
    be_helper();
    char *argv[] = {"livy-ha-relay",         "--channel", channel_arg, "--conf", conf_arg,
                    waits ? "--wait" : NULL, NULL};
    run_program(program, argv);
    log_error("%s could not be run: %s", program->path, strerror(errno));
    _exit(127);
}

/* The pidfd of a child that was forked just now; without one it is of no use. */
static int adopt_child(pid_t pid, struct child *child, char *why, size_t size)
{
    *child = (struct child){.pid = pid, .pidfd = open_pidfd(pid), .status = -1};
    if (child->pidfd >= 0)
        return 0;
    snprintf(why, size, "pidfd_open: %s", strerror(errno));
    kill(pid, SIGKILL); /* our unreaped child: the pid is surely its own */
    waitpid(pid, NULL, 0);
    child->pid = 0;
    return -1;
}

int child_elector(const struct child_program *program, const struct conf *conf,
                  const struct livyconf *livyconf, int channel, int lock, const char *upgrade, bool tried,
                  struct child *child, char *why, size_t size)
{
    sigset_t old;
    pid_t keeper = getpid();

    char *store = livyconf_fingerprint(livyconf);
    int text = store != NULL ? child_conf_memfd(conf) : -1;
    if (text < 0) {
        snprintf(why, size, "the configuration could not be handed over: %s", strerror(errno));
        free(store);
        return -1;
    }
    pid_t pid = fork_blocked(&old);
    if (pid == 0)
        become_elector(program, store, channel, text, lock, upgrade, tried ? keeper : 0);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    free(store);
    close(text);
    if (pid < 0) {
        snprintf(why, size, "fork: %s", strerror(saved));
        return -1;
    }
    return adopt_child(pid, child, why, size);
}

int child_relay(const struct child_program *program, const struct conf *conf, int channel, bool waits,
                struct child *child, char *why, size_t size)
{
    sigset_t old;
    pid_t keeper = getpid();

    int text = child_conf_memfd(conf);
    if (text < 0) {
        snprintf(why, size, "the configuration could not be handed over: %s", strerror(errno));
        return -1;
    }
    pid_t pid = fork_blocked(&old);
    if (pid == 0)
        become_relay(program, keeper, channel, text, waits);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(text);
    if (pid < 0) {
        snprintf(why, size, "fork: %s", strerror(saved));
        return -1;
    }
    return adopt_child(pid, child, why, size);
}

int child_fence(const struct conf *conf, const struct ipc_member *member, const char *reason,
                struct child *child, char *why, size_t size)
{
    sigset_t old;

    if (conf->failover.fence_command == NULL) { /* a reload has taken it away */
        snprintf(why, size, "failover.fence_command is not set");
        return -1;
    }
    pid_t pid = fork_blocked(&old);
    if (pid == 0)
        become_fence(conf, member, reason);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (pid < 0) {
        snprintf(why, size, "fork: %s", strerror(saved));
        return -1;
    }
    *child = (struct child){.pid = pid, .pidfd = -1, .status = -1};
    return 0;
}

int child_hook(const struct conf *conf, const struct child_change *change, struct child *child, char *why,
               size_t size)
{
    sigset_t old;
    pid_t pid = fork_blocked(&old);

    if (pid == 0)
        become_hook(conf, change);
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    if (pid < 0) {
        snprintf(why, size, "fork: %s", strerror(saved));
        return -1;
    }
    *child = (struct child){.pid = pid, .pidfd = -1, .status = -1};
    return 0;
}

void child_become_closer(const struct conf *conf, int lock, char *why, size_t size)
{
    char path[PATH_MAX];

    if (child_program("livy-ha-elector", X_OK, path, sizeof(path), why, size) != 0)
        return;
    int text = child_conf_memfd(conf);
    if (text < 0 || place_descriptors((const int[]){text, text, lock}, 3) != 0) {
        snprintf(why, size, "the elector could not be given its descriptors: %s", strerror(errno));
        return;
    }
    execl(path, "livy-ha-elector", "--close-session", "--conf", "4", (char *)NULL);
    snprintf(why, size, "%s: %s", path, strerror(errno));
}

pid_t child_closer(const struct conf *conf, int lock)
{
    sigset_t old;
    pid_t keeper = getpid(), pid = fork_blocked(&old);

    if (pid == 0) {
        char why[256] = "the keeper is gone";
        reset_dispositions();
        unblock_signals();
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == keeper)
            child_become_closer(conf, lock, why, sizeof(why));
        log_error("no session is closed: %s", why);
        _exit(126);
    }
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return pid;
}

void child_signal(const struct child *child, int number)
{
    if (child->pid != 0 && syscall(SYS_pidfd_send_signal, child->pidfd, number, NULL, 0) != 0 &&
        errno != ESRCH)
        log_error("signal %d to pid %d: %s", number, (int)child->pid, strerror(errno));
}

void child_forget(struct child *child)
{
    if (child->pidfd >= 0)
        close(child->pidfd);
    if (child->status >= 0)
        close(child->status);
    *child = (struct child){.pidfd = -1, .status = -1};
}
