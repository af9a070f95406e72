/* child_program.c - the programs of ours that the keeper starts: elector, relay, the one that closes a
 * session. See child.h. Between fork and exec the child is the only thread of its process, so it may allocate
 * and use stdio. */
#include <errno.h>
#include <fcntl.h>
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

#include "child_internal.h"
#include "livy-ha/log.h"
#include "livy-ha/program.h"

#define CHANNEL_FD 3  /* the elector's and the relay's descriptors; told by their arguments */
#define CONF_FD 4     /* the elector has the daemon's lock above it */
#define PROGRAM_FD 64 /* and above: out of the way of those */

int child_program(const char *name, int mode, char *path, size_t path_size, char *why, size_t size)
{
    if (program_find(name, mode, path, path_size))
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
    return child_cloexec_from(CHANNEL_FD + n);
}

/* What elector and relay have in common: the keeper tells them to stop; a Ctrl-C on the terminal must not. */
static void be_helper(void)
{
    child_no_stdin();
    child_reset_dispositions();
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    child_unblock_signals();
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
    *child = (struct child){.pid = pid, .pidfd = child_open_pidfd(pid), .status = -1};
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
    pid_t pid = child_fork_blocked(&old);
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
    pid_t pid = child_fork_blocked(&old);
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
    pid_t keeper = getpid(), pid = child_fork_blocked(&old);

    if (pid == 0) {
        char why[256] = "the keeper is gone";
        child_reset_dispositions();
        child_unblock_signals();
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
