/* keeper.c - the loop and the carrying out. Decides nothing: kcore.c does. */
#include "keeper.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper_internal.h"
#include "livy-ha/clock.h"
#include "livy-ha/ipc.h"
#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"
#include "notify.h"
#include "reload.h"

/* ---- children ------------------------------------------------------------------------------------------ */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The deadline can not be kept any more: Livy ends with us (PDEATHSIG as well), the elector gives the latch
 * up. */
__attribute__((noreturn)) static void die(const struct keeper *k, const char *what)
{
    log_error("%s: %s: the lease could not be kept, ending Livy and the daemon", what, strerror(errno));
    child_signal(&k->livy, SIGKILL);
    _exit(75);
}

void keeper_describe_livy(struct keeper *k)
{
    snprintf(k->livy_at, sizeof(k->livy_at), "%s %s", k->livyconf->tls ? "https" : "http",
             k->livyconf->host != NULL ? k->livyconf->host : "*");
}

static void fork_livy(struct keeper *k)
{
    char why[256];
    struct child_order order = {.conf = k->conf,
                                .livyconf = k->livyconf,
                                .session_ms = k->core.session.timeout,
                                .kill_at = k->core.kill_at,
                                .guard = &k->guard,
                                .after = -1,
                                .class_data = cds_starting(k),
                                .output = k->said.fd};
    struct kcore_event event = {.type = KCORE_EV_FORKED, .text = why};

    keeper_describe_livy(k);
    if (held_let_go(k, &order.after)) {
        event.pid = k->last_livy = k->livy.pid;
        keeper_step(k, &event);
        return;
    }
    said_begin(&k->said);
    if (guard_open_cold(&k->guard, k->conf, k->core.kill_at) != 0)
        snprintf(why, sizeof(why), "its guard could not be made: %s (livy.guard)", strerror(errno));
    else if (child_livy(&order, &k->livy, why, sizeof(why)) == 0)
        event.pid = k->last_livy = k->livy.pid;
    if (event.pid == 0) {
        log_error("Livy could not be started: %s", why);
        guard_close(&k->guard);
    }
    guard_started(&k->guard);
    held_listen(k, k->guard.channel);
    keeper_step(k, &event);
}

/* Rule 2: dead means that the lock is free too. Who still holds it (a helper that kept the descriptor) is
 * killed. */
static void free_lock(struct keeper *k)
{
    char path[PATH_MAX];
    pid_t first = 0;

    if (lockfile_livy_path(k->conf->runtime_dir, path, sizeof(path)) != 0 || lockfile_free(path) == 1) {
        keeper_step(k, &(struct kcore_event){.type = KCORE_EV_LOCK_FREE});
        return;
    }
    size_t n = lockfile_end_holders(path, k->elector.pid, &first); /* the elector looks at it too */
    if (k->lock_told == k->core.run)
        return; /* every few milliseconds: once is enough */
    k->lock_told = k->core.run;
    if (n > 0)
        log_warn("pid %d outlives Livy and holds its lock: killed, with %zu more", (int)first, n - 1);
    else
        log_warn("%s is held by a process that cannot be seen: Livy does not count as dead before it ends",
                 path);
}

void keeper_children(const struct keeper *k, pid_t pids[static ORPHANS_SPARE])
{
    const struct upgrade *u = &k->upgrade;
    const pid_t upgrade[] = {u->fresh[UCORE_ELECTOR].child.pid, u->fresh[UCORE_RELAY].child.pid,
                             u->retired.pid};
    const pid_t others[] = {k->elector.pid,    k->relay.child.pid, k->fence.pid,     k->hook.pid,
                            k->held.child.pid, k->held.stamp.pid,  k->held.look.pid, k->cds.maker.pid};

    static_assert(sizeof(upgrade) + sizeof(others) == ORPHANS_SPARE * sizeof(pid_t), "one is left out");
    memcpy(pids, others, sizeof(others));
    memcpy(pids + sizeof(others) / sizeof(others[0]), upgrade, sizeof(upgrade));
}

/* Who is left of the Livy that died last, or of a held one. spark-submit is spared unless `all`. */
static void sort_orphans(struct keeper *k, bool all)
{
    char overlay[PATH_MAX], marker[PATH_MAX + sizeof("LIVY_CONF_DIR=")];
    struct orphans orphans = {
        .livy = k->last_livy,
        .livy_alive = k->livy.pid != 0,
        .held = k->last_held,
        .spare_session = {k->fence.session, k->hook.session, k->held.child.pid, k->cds.maker.pid},
        .told = &k->orphans_told,
        .marker = marker};

    livyconf_overlay_path(k->conf, overlay, sizeof(overlay));
    snprintf(marker, sizeof(marker), "LIVY_CONF_DIR=%s", overlay);
    keeper_children(k, orphans.spare);
    int count = orphans_sort(&orphans, all, &k->hunting);
    if (!k->hunting)
        k->last_held = 0;
    if (count == 0 && k->core.orphans == 0)
        return;
    if (count > k->core.orphans)
        log_info("%d spark-submit process%s left over by Livy: livy.orphan_grace is %lld ms", count,
                 count == 1 ? "" : "es", (long long)k->conf->livy.orphan_grace);
    keeper_step(k, &(struct kcore_event){.type = KCORE_EV_ORPHANS, .count = count});
}

static int exit_code_of(int status)
{
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void reaped(struct keeper *k, pid_t pid, int status)
{
    struct kcore_event event = {.status = exit_code_of(status)};

    if (pid == k->held.child.pid)
        k->last_held = pid;
    orphans_reaped(&k->orphans_told, pid);
    if (pid == k->livy.pid) {
        char text[256];
        struct livyend end;
        child_read_status(&k->livy, text, sizeof(text));
        if (text[0] == '\0') /* it was run */
            cds_livy_ended(k, event.status);
        said_ended(&k->said, clock_boot_ms(), &end);
        held_blame(k, event.status, text, sizeof(text), &end);
        child_forget(&k->livy);
        guard_close(&k->guard);
        event.type = KCORE_EV_LIVY_EXITED;
        event.text = text;
        event.end = &end;
        keeper_step(k, &event);
        sort_orphans(k, false);
    } else if (pid == k->elector.pid) {
        helpers_elector_ended(k, event.status);
    } else if (pid == k->relay.child.pid) {
        relay_reaped(k, event.status);
    } else if (pid == k->fence.pid) {
        fence_ended(&k->fence, event.status);
        event.type = KCORE_EV_FENCE_EXITED;
        keeper_step(k, &event);
    } else if (pid == k->hook.pid) {
        hook_reaped(k, event.status);
    } else if (held_reaped(k, pid, event.status)) {
        if (pid == k->last_held) /* what it started in a session of its own is not of its process group */
            sort_orphans(k, false);
    } else if (!upgrade_reaped(k, pid, event.status) && !cds_reaped(k, pid) &&
               (k->core.orphans > 0 || k->hunting)) {
        sort_orphans(k, false);
    }
}

static void reap(struct keeper *k)
{
    int status;
    siginfo_t info = {0};

    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0) {
        held_ending(k, info.si_pid);
        if (waitpid(info.si_pid, &status, WNOHANG) == info.si_pid)
            reaped(k, info.si_pid, status);
        info.si_pid = 0;
    }
}

/* ---- actions ------------------------------------------------------------------------------------------- */

static void log_state(struct keeper *k, const struct kcore_action *a)
{
    int64_t now = clock_boot_ms(), after = k->livy_since > 0 ? now - k->livy_since : 0;

    k->livy_since = now;
    if (k->core.pid != 0)
        log_info("livy %s -> %s: %s (pid %d, epoch %lld, after %lld ms)", kcore_livy_name(a->old_livy),
                 kcore_livy_name(a->livy), a->text, (int)k->core.pid, (long long)k->core.epoch,
                 (long long)after);
    else
        log_info("livy %s -> %s: %s (after %lld ms)", kcore_livy_name(a->old_livy), kcore_livy_name(a->livy),
                 a->text, (long long)after);
}

static void forget_session(const struct keeper *k)
{
    char path[PATH_MAX];
    if (lockfile_session_path(k->conf->runtime_dir, path, sizeof(path)) == 0 && unlink(path) != 0 &&
        errno != ENOENT)
        log_warn("%s: %s", path, strerror(errno));
}

static void run_fence(struct keeper *k)
{
    char why[256];
    struct kcore_event event;

    fence_run(&k->fence, k->conf, &k->core.fence, &event, why, sizeof(why));
    keeper_step(k, &event);
}

void keeper_tell_ready(struct keeper *k)
{
    if (!k->elector_up || !k->relay.core.up || k->ready_told || k->core.quitting)
        return;
    notify_send("READY=1");
    k->ready_told = true;
}

static void request(struct keeper *k, const struct kcore_action *a);

static void perform(struct keeper *k, const struct kcore_action *a)
{
    char text[IPC_TEXT_SIZE + 16];

    switch (a->type) {
    case KCORE_ACT_SPAWN_ELECTOR:
        helpers_spawn_elector(k);
        break;
    case KCORE_ACT_KILL_ELECTOR:
        log_warn("the elector (pid %d) does not answer: killing it", (int)k->elector.pid);
        child_signal(&k->elector, SIGKILL);
        break;
    case KCORE_ACT_FORK_LIVY:
        fork_livy(k);
        break;
    case KCORE_ACT_TERM_LIVY:
        child_signal(&k->livy, SIGTERM);
        break;
    case KCORE_ACT_KILL_LIVY:
        child_signal(&k->livy, SIGKILL);
        break;
    case KCORE_ACT_FREE_LOCK:
        free_lock(k);
        break;
    case KCORE_ACT_SEND:
    case KCORE_ACT_REFUSE_FENCE:
        helpers_send(k, a);
        break;
    case KCORE_ACT_RUN_FENCE:
        run_fence(k);
        break;
    case KCORE_ACT_KILL_FENCE:
        fence_kill(&k->fence);
        break;
    case KCORE_ACT_FORGET:
        forget_session(k);
        break;
    case KCORE_ACT_KILL_ORPHANS:
        log_warn("livy.orphan_grace is over: killing what spark-submit is left");
        sort_orphans(k, true);
        break;
    case KCORE_ACT_REQUEST:
        request(k, a);
        break;
    case KCORE_ACT_STATE:
        log_state(k, a);
        break;
    case KCORE_ACT_ALARM:
        log_error("%s", a->text);
        break;
    case KCORE_ACT_READY:
        k->elector_up = true;
        keeper_tell_ready(k);
        break;
    case KCORE_ACT_STATUS:
        snprintf(text, sizeof(text), "STATUS=%s", a->text);
        text[strcspn(text, "\n")] = '\0'; /* a line of its own would be another assignment */
        notify_send(text);
        break;
    case KCORE_ACT_EXIT:
        k->done = true;
        k->exit_code = a->code;
        break;
    }
}

void keeper_step(struct keeper *k, const struct kcore_event *event)
{
    struct kcore_actions actions;

    k->stepped_at = clock_boot_ms();
    kcore_step(&k->core, event, k->stepped_at, &actions);
    for (size_t i = 0; i < actions.count; i++)
        perform(k, &actions.list[i]);
    if (k->core.kill_at != 0)
        guard_lease(&k->guard, k->core.kill_at);
    held_stepped(k);
    if (k->core.quitting && !k->stopping_told) {
        k->stopping_told = true;
        notify_send("STOPPING=1");
    }
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static bool reload(struct keeper *k, char why[static IPC_TEXT_SIZE])
{
    if (reload_configuration(&k->conf, &k->livyconf, &k->pending_restart, why, IPC_TEXT_SIZE) != 0)
        return false;
    k->core.config = (struct kcore_config){.stop_grace = k->conf->livy.stop_grace,
                                           .orphan_grace = k->conf->livy.orphan_grace,
                                           .drain = k->conf->front.drain,
                                           .fence_timeout = k->conf->failover.fence_timeout};
    helpers_reload(k);
    held_reloaded(k);
    cds_reloaded(k);
    snprintf(why, IPC_TEXT_SIZE, "the configuration is in force%s",
             k->pending_restart ? ", but for keys that take a restart of livy-ha (its log names them)" : "");
    return true;
}

static void request(struct keeper *k, const struct kcore_action *a)
{
    struct ipc_msg msg = {.type = IPC_ANSWER, .run = (uint32_t)a->number};

    if (a->code == IPC_REQUEST_UPGRADE) {
        upgrade_begin(k, (uint32_t)a->number, a->text); /* answers when it is over */
        return;
    }
    msg.code = reload(k, msg.text) ? IPC_ANSWER_DONE : IPC_ANSWER_FAILED;
    if (k->channel >= 0 && ipc_send(k->channel, &msg, -1) != 0)
        log_debug("the elector does not take an answer: %s", strerror(errno));
}

static void read_signals(struct keeper *k)
{
    struct signalfd_siginfo info;
    char text[IPC_TEXT_SIZE];

    while (read(k->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            log_info("%s: stopping%s", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT",
                     k->core.quitting ? " at once" : "");
            keeper_step(k, &(struct kcore_event){.type = KCORE_EV_QUIT});
            break;
        case SIGHUP:
            (void)reload(k, text); /* has told the log */
            break;
        case SIGUSR2:
            log_info("SIGUSR2: elector and relay are to be replaced by the installed version");
            upgrade_begin(k, 0, "");
            break;
        case SIGCHLD:
            reap(k);
            break;
        default:
            break;
        }
    }
}

static void feed_watchdog(struct keeper *k, int64_t now)
{
    int64_t interval = notify_watchdog_ms();
    if (interval == 0 || now < k->watchdog_at)
        return;
    notify_send("WATCHDOG=1");
    k->watchdog_at = now + interval;
}

/* timerfd_settime(2), absolute; set again whenever the next deadline differs, be it later or sooner. */
static void arm(struct keeper *k)
{
    int64_t since = k->stepped_at, next = CLOCK_NEVER; /* not of now: what fell due since would be skipped */
    const int64_t due[] = {kcore_next(&k->core, since),
                           rcore_next(&k->relay.core, since),
                           ucore_next(&k->upgrade.core, since),
                           hook_next(k, since),
                           held_next(k, since),
                           cds_next(k),
                           k->said.again_at,
                           notify_watchdog_ms() != 0 ? k->watchdog_at : CLOCK_NEVER};

    for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++)
        if (due[i] < next)
            next = due[i];
    if (next == k->armed_for)
        return;
    struct itimerspec spec = {0};
    if (next != CLOCK_NEVER) {
        spec.it_value.tv_sec = next / 1000;
        spec.it_value.tv_nsec = next % 1000 * 1000000;
    }
    if (timerfd_settime(k->timer, TFD_TIMER_ABSTIME, &spec, NULL) != 0)
        die(k, "timerfd_settime");
    k->armed_for = next;
}

static void loop(struct keeper *k)
{
    struct epoll_event events[8];

    while (!k->done) {
        arm(k);
        int n = epoll_wait(k->epoll, events, 8, -1);
        if (n < 0 && errno != EINTR)
            die(k, "epoll_wait");
        keeper_step(k, &(struct kcore_event){.type = KCORE_EV_TIME}); /* deadlines before anything else */
        relay_time(k);
        upgrade_time(k);
        hook_time(k, clock_boot_ms());
        held_time(k);
        cds_time(k, clock_boot_ms());
        feed_watchdog(k, clock_boot_ms());
        if (clock_boot_ms() >= k->said.again_at)
            said_copy(&k->said, clock_boot_ms());
        for (int i = 0; i < n; i++) {
            uint64_t ticks;
            if (events[i].data.fd == k->signals)
                read_signals(k);
            else if (events[i].data.fd == k->timer)
                k->armed_for = read(k->timer, &ticks, sizeof(ticks)) > 0 ? 0 : k->armed_for;
            else if (events[i].data.fd == k->said.watch)
                said_copy(&k->said, clock_boot_ms());
            else if (events[i].data.fd == k->channel)
                helpers_drain(k, false);
            else if (events[i].data.fd == k->relay.channel)
                relay_readable(k);
            else if (!held_readable(k, events[i].data.fd))
                (void)upgrade_readable(k, events[i].data.fd);
        }
    }
}

/* Livy is dead, the latch given up, the elector gone: what is left of the hook may have a moment. A further
 * signal to stop ends that. */
static void end_hook(struct keeper *k)
{
    int64_t until = clock_boot_ms() + HOOK_LAST, left;
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    hook_end_begins(k);
    while (hook_busy(k) && (left = until - clock_boot_ms()) > 0) {
        struct pollfd look = {.fd = k->signals, .events = POLLIN};
        if (poll(&look, 1, (int)left) < 0 && errno != EINTR)
            break;
        while (read(k->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
            if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
                until = clock_boot_ms();
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            if (pid == k->hook.pid)
                hook_reaped(k, exit_code_of(status));
            else if (pid == k->relay.child.pid)
                child_forget(&k->relay.child); /* its pid may be another's by now */
        }
        hook_time(k, clock_boot_ms());
    }
    hook_kill(k);
}

int keeper_block_signals(sigset_t *mask)
{
    sigset_t own;

    if (mask == NULL)
        mask = &own;
    sigemptyset(mask);
    sigaddset(mask, SIGTERM);
    sigaddset(mask, SIGINT);
    sigaddset(mask, SIGHUP);
    sigaddset(mask, SIGUSR2);
    sigaddset(mask, SIGCHLD);
    return sigprocmask(SIG_BLOCK, mask, NULL);
}

static int open_loop(struct keeper *k)
{
    sigset_t mask;
    struct epoll_event event = {.events = EPOLLIN};

    if (keeper_block_signals(&mask) != 0)
        return -1;
    /* An inherited SIG_IGN of SIGCHLD would have the kernel reap our children. */
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || signal(SIGCHLD, SIG_DFL) == SIG_ERR)
        return -1;
    k->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    k->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    k->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (k->signals < 0 || k->timer < 0 || k->epoll < 0)
        return -1;
    event.data.fd = k->signals;
    if (epoll_ctl(k->epoll, EPOLL_CTL_ADD, k->signals, &event) != 0)
        return -1;
    event.data.fd = k->timer;
    return epoll_ctl(k->epoll, EPOLL_CTL_ADD, k->timer, &event);
}

static void watch_output(struct keeper *k)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = k->said.watch};

    if (k->said.watch >= 0 && epoll_ctl(k->epoll, EPOLL_CTL_ADD, k->said.watch, &event) != 0)
        said_close(&k->said);
}

/* What makes a late wake-up less likely, as far as it is allowed to us. */
static void steady(void)
{
    struct sched_param param = {.sched_priority = 1};
    struct rlimit limit;
    /* Under a limit, what is mapped later must not count: beyond it malloc and even the stack would fail. */
    bool unlimited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;

    if (mlockall(unlimited ? MCL_CURRENT | MCL_FUTURE : MCL_CURRENT) != 0)
        log_info("memory is not locked (%s): set LimitMEMLOCK=infinity", strerror(errno));
    if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &param) != 0)
        log_debug("no real-time priority (%s): set LimitRTPRIO=1", strerror(errno));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        log_warn("not a subreaper (%s): what Livy leaves behind goes to init", strerror(errno));
}

int keeper_run(struct conf *conf, struct livyconf *livyconf, int lock)
{
    struct kcore_config config = {.stop_grace = conf->livy.stop_grace,
                                  .orphan_grace = conf->livy.orphan_grace,
                                  .drain = conf->front.drain,
                                  .fence_timeout = conf->failover.fence_timeout};
    struct keeper k = {.conf = conf,
                       .livyconf = livyconf,
                       .elector = {.pidfd = -1, .status = -1},
                       .livy = {.pidfd = -1, .status = -1},
                       .guard = GUARD_NONE,
                       .channel = -1,
                       .lock = lock,
                       .program = {{.fd = -1}, {.fd = -1}},
                       .watchdog_at = clock_boot_ms(),
                       .epoll = -1,
                       .signals = -1,
                       .timer = -1};

    if (open_loop(&k) != 0) {
        log_error("the keeper's descriptors could not be made: %s", strerror(errno));
        return 75;
    }
    said_open(&k.said, k.conf->runtime_dir);
    watch_output(&k);
    steady();
    kcore_init(&k.core, &config, clock_boot_ms());
    relay_open(&k, clock_boot_ms());
    upgrade_open(&k);
    hook_open(&k);
    held_open(&k, clock_boot_ms());
    cds_open(&k);
    keeper_step(&k, &(struct kcore_event){.type = KCORE_EV_TIME});
    relay_time(&k);
    loop(&k);
    held_close(&k);
    cds_close(&k);
    end_hook(&k);
    relay_close(&k);
    upgrade_close(&k);
    said_close(&k.said);
    child_program_close(&k.program[UCORE_ELECTOR]);
    child_program_close(&k.program[UCORE_RELAY]);
    guard_close(&k.guard);
    log_info("ended with status %d", k.exit_code);
    close_fd(&k.channel);
    close_fd(&k.epoll);
    close_fd(&k.timer);
    close_fd(&k.signals);
    livyconf_free(k.livyconf);
    conf_free(k.conf);
    return k.exit_code;
}
