/* child.c - fork and exec, done once and done right. See child.h. Between fork and exec the child is the only
 * thread of its process, so it may allocate and use stdio. */
#include "child_internal.h"

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
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cds_fit.h"
#include "livy-ha/clock.h"
#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"

#define HELD_END 500 /* ms that one that was held may take to die before the next one is begun */

int child_open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* ---- in the child
 * ----------------------------------------------------------------------------------------------- */

/* An ignored TERM or PIPE would be ignored by the JVM as well. KILL and STOP just fail. */
void child_reset_dispositions(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL);
}

void child_unblock_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int child_begin_look(pid_t keeper, int out)
{
    child_reset_dispositions();
    child_unblock_signals();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != keeper || dup2(out, STDERR_FILENO + 1) < 0)
        _exit(1);
    close_range(STDERR_FILENO + 2, ~0U, 0); /* nobody's end of file waits for it */
    return STDERR_FILENO + 1;
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

void child_no_stdin(void)
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
int child_cloexec_from(int first)
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

/* close_range is of Linux 5.9. */
void child_close_from(int first)
{
    if (close_range((unsigned)first, ~0U, 0) == 0)
        return;
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (fd >= first && fd != dirfd(dir))
            close(fd);
    }
    if (dir != NULL)
        closedir(dir);
}

/* It ends with this process where it is not to be had. */
static int take_livy_lock(const char *path)
{
    int lock = lockfile_open(path);
    return lock >= 0 && lockfile_lock_within(lock, 20) >= 0 ? lock : -1;
}

/* Both would make the same overlay. A JVM with its heap takes tens of milliseconds to die. */
static void let_end(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};

    if (pidfd > 0)
        (void)poll(&ended, 1, HELD_END);
}

/* Why Livy's lock is not to be had, in `why`; or the descriptor. */
static int livy_lock(const struct child_order *order, char *why, size_t size)
{
    char path[PATH_MAX];

    if (order->hold)
        return order->lock;
    if (lockfile_livy_path(order->conf->runtime_dir, path, sizeof(path)) != 0) {
        snprintf(why, size, "runtime_dir is too long a path");
        return -1;
    }
    int lock = take_livy_lock(path);
    if (lock < 0)
        snprintf(why, size, "%.300s: %s", path,
                 errno == EWOULDBLOCK ? "an earlier Livy still holds it" : strerror(errno));
    return lock;
}

__attribute__((noreturn)) static void become_livy(const struct child_order *order, pid_t keeper, int status)
{
    const struct conf *conf = order->conf;
    char why[512], option[2 * PATH_MAX + 64], first[PATH_MAX + 128];

    setsid();
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != keeper)
        fail(status, "the keeper is gone");
    let_end(order->after);
    if (!guard_pass(order->guard, conf, order->hold, option, sizeof(option))) {
        snprintf(why, sizeof(why), "the guard of the lease could not be given to Livy: %s (livy.guard)",
                 strerror(errno));
        fail(status, why);
    }
    cds_fit_option(conf, order->class_data, first, sizeof(first));
    if (livyconf_overlay(conf, order->livyconf, order->session_ms, first, option, why, sizeof(why)) != 0)
        fail(status, why);
    int lock = livy_lock(order, why, sizeof(why));
    if (lock < 0)
        fail(status, why);
    reset_oom_score();
    child_no_stdin();
    if (clean_environment(conf) != 0)
        fail(status, "out of memory");
    if (child_cloexec_from(3) != 0 || fcntl(lock, F_SETFD, 0) != 0 || !guard_keep(order->guard))
        fail(status, "the descriptors could not be marked close-on-exec");
    if (!order->hold && clock_boot_ms() >= order->kill_at)
        fail(status, "its lease was over before it could be run");
    if (order->output >= 0 &&
        (dup2(order->output, STDOUT_FILENO) < 0 || dup2(order->output, STDERR_FILENO) < 0))
        fail(status, "it could not be given its output");
    child_reset_dispositions();
    child_unblock_signals();
    const struct itimerval ungated = {.it_value.tv_usec = GATE_UNGATED_MS * 1000L};
    if (order->hold && setitimer(ITIMER_PROF, &ungated, NULL) != 0)
        fail(status, "its CPU timer could not be set");
    if (first[0] != '\0' && write(status, (const char[]){CHILD_CLASS_DATA}, 1) != 1)
        fail(status, "its keeper could not be told");
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
    child_no_stdin();
    if (child_cloexec_from(3) == 0 && hook_environment(conf, change) == 0) {
        child_reset_dispositions();
        child_unblock_signals();
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
    child_no_stdin();
    if (child_cloexec_from(3) == 0 && fence_environment(conf, member, reason) == 0) {
        child_reset_dispositions();
        child_unblock_signals();
        execl("/bin/sh", "sh", "-c", conf->failover.fence_command, (char *)NULL);
    }
    log_error("failover.fence_command could not be run: %s", strerror(errno));
    _exit(127);
}

/* ---- in the keeper
 * ---------------------------------------------------------------------------------------------- */

pid_t child_fork_blocked(sigset_t *old)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, old);
    return fork();
}

pid_t child_fork_piped(struct child *child, int *out, char *why, size_t size)
{
    int ends[2];
    sigset_t old;

    *child = (struct child){.pidfd = -1, .status = -1};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        snprintf(why, size, "pipe: %s", strerror(errno));
        return -1;
    }
    pid_t pid = child_fork_blocked(&old);
    if (pid == 0) {
        close(ends[0]);
        *out = ends[1];
        return 0;
    }
    int saved = errno;
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(ends[1]);
    child->status = ends[0];
    if (pid < 0) {
        snprintf(why, size, "fork: %s", strerror(saved));
        child_forget(child);
        return -1;
    }
    child->pidfd = child_open_pidfd(pid);
    child->pid = pid;
    if (child->pidfd >= 0 && fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
        return pid;
    snprintf(why, size, "pidfd_open: %s", strerror(errno));
    kill(pid, SIGKILL); /* our unreaped child: the pid is surely its own */
    waitpid(pid, NULL, 0);
    child_forget(child);
    return -1;
}

int child_livy(const struct child_order *order, struct child *child, char *why, size_t size)
{
    int status;
    pid_t keeper = getpid(), pid = child_fork_piped(child, &status, why, size);

    if (pid == 0)
        become_livy(order, keeper, status);
    return pid > 0 ? 0 : -1;
}

int child_fence(const struct conf *conf, const struct ipc_member *member, const char *reason,
                struct child *child, char *why, size_t size)
{
    sigset_t old;

    if (conf->failover.fence_command == NULL) { /* a reload has taken it away */
        snprintf(why, size, "failover.fence_command is not set");
        return -1;
    }
    pid_t pid = child_fork_blocked(&old);
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
    pid_t pid = child_fork_blocked(&old);

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

void child_read_status(struct child *child, char *text, size_t size)
{
    ssize_t n = child->status >= 0 ? read(child->status, text, size - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
    if (text[0] != CHILD_CLASS_DATA)
        return;
    child->class_data = true;
    memmove(text, text + 1, (size_t)n);
}

bool child_has_class_data(struct child *child)
{
    char first = '\0';

    if (child->status >= 0 && read(child->status, &first, 1) == 1 && first == CHILD_CLASS_DATA)
        child->class_data = true;
    return child->class_data;
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
