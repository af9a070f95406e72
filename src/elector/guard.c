/* guard.c - the second guard: the elector holds a pidfd of Livy as well. It kills when the keeper is stopped
 * past the deadline, and when the keeper is gone; and it sees for itself that Livy is dead: pidfd readable
 * and lock free. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "elector.h"
#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"

#define LOOK_AGAIN_US 1000
#define LOOKS_SOON 1000 /* then less often: something does not die, and each look reads /proc */
#define LOOK_LATER_US 50000

static bool pidfd_dead(int pidfd)
{
    struct pollfd look = {.fd = pidfd, .events = POLLIN};
    return pidfd < 0 || (poll(&look, 1, 0) == 1 && (look.revents & POLLIN) != 0);
}

bool guard_livy_dead(const struct elector *e)
{
    return pidfd_dead(e->livy_pidfd);
}

static bool lock_free(const struct elector *e)
{
    char path[PATH_MAX];
    return lockfile_livy_path(e->conf->runtime_dir, path, sizeof(path)) == 0 && lockfile_free(path) == 1;
}

/* Without a pidfd (the keeper stopped between fork and telling us), or for a helper that holds the lock. */
static void kill_holders(const struct elector *e)
{
    char path[PATH_MAX];
    pid_t first = 0;

    /* The keeper, while it lives, looks at the lock as well. */
    if (lockfile_livy_path(e->conf->runtime_dir, path, sizeof(path)) == 0 &&
        lockfile_end_holders(path, e->keeper_gone ? 0 : e->keeper, &first) > 0 &&
        e->guard_looks % LOOKS_SOON == 0)
        log_warn("pid %d holds Livy's lock: killed", (int)first);
}

/* A dying process closes its files before its children are told (PDEATHSIG) and reparented: until then a Livy
 * that it has just forked may be on its way. */
static bool keeper_still_dying(const struct elector *e)
{
    return e->keeper_gone && getppid() == e->keeper;
}

/* The keeper is dead: nobody else starts a Livy in this runtime_dir while we hold the daemon's lock. So
 * Livy's death as we see it is all that is needed to give the latch up and close the session. */
static void take_leave(struct elector *e)
{
    /* First the wish to leave, or Livy's death would be answered with a start. */
    elector_step(e, &(struct core_event){.type = CORE_EV_QUIT, .text = "the keeper is gone"});
    struct core_event dead = {.type = CORE_EV_LIVY, .livy = e->core.livy};
    if (dead.livy.state != IPC_LIVY_NONE || e->core.start_run != 0) {
        dead.livy.state = IPC_LIVY_NONE;
        dead.livy.cause = IPC_CAUSE_ORPHANED;
        if (e->core.start_run != 0)
            dead.livy.run = e->core.start_run;
        elector_step(e, &dead);
    }
    elector_step(e, &(struct core_event){.type = CORE_EV_LEAVE});
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct elector *e = arg;

    (void)fd;
    (void)what;
    guard_watch(e);
}

static void look_again(struct elector *e)
{
    struct timeval soon = {.tv_usec = e->guard_looks < LOOKS_SOON ? LOOK_AGAIN_US : LOOK_LATER_US};

    e->guard_looks++;
    if (e->on_guard == NULL)
        e->on_guard = evtimer_new(e->base, on_look, e);
    if (e->on_guard == NULL || evtimer_add(e->on_guard, &soon) != 0) {
        log_error("out of memory");
        event_base_loopbreak(e->base);
    }
}

void guard_watch(struct elector *e)
{
    if (!pidfd_dead(e->livy_pidfd) || keeper_still_dying(e)) {
        look_again(e);
        return;
    }
    if (!lock_free(e)) {
        kill_holders(e);
        look_again(e);
        return;
    }
    if (e->keeper_gone)
        take_leave(e);
    else
        elector_step(e, &(struct core_event){.type = CORE_EV_LIVY_GONE});
}

void guard_kill(struct elector *e)
{
    e->guard_looks = 0;
    if (e->livy_pidfd >= 0) {
        if (syscall(SYS_pidfd_send_signal, e->livy_pidfd, SIGKILL, NULL, 0) != 0 && errno != ESRCH)
            log_error("Livy (pid %d) could not be killed: %s", e->core.livy.pid, strerror(errno));
    } else {
        kill_holders(e);
    }
    look_again(e);
}

void guard_stop(struct elector *e)
{
    if (e->on_guard != NULL)
        evtimer_del(e->on_guard);
}

void guard_keeper_gone(struct elector *e)
{
    log_error("the keeper is gone: ending Livy and giving the latch up");
    if (e->livy_pidfd >= 0)
        guard_kill(e);
    guard_watch(e);
}
