/* doubt.c - does the keeper live? The other way round the keeper knows by PING and PONG, every ten seconds.
 * While Livy runs, each renewal of the lease is answered; a standby's elector owes its keeper nothing and
 * hears nothing but that PING. To ask more often would wake an idle keeper for nothing, so it is looked at
 * from outside, and asked only where it looks as if it would not answer. What follows is the core's
 * (core_keeper.c).
 */
#include "elector.h"
#include "livy-ha/clock.h"

#define LOOK_EVERY 1 /* s */
#define SILENT 12000 /* ms; kcore_elector.c's PING_INTERVAL is 10 s */

/* By SIGSTOP, or by a debugger. */
static bool stopped(pid_t pid)
{
    int state = alarm_process_state((int)pid);
    return state == 'T' || state == 't';
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct elector *e = arg;

    (void)fd;
    (void)what;
    if (e->keeper_gone || e->core.keeper_stuck)
        return; /* that is known */
    if (stopped(e->keeper) || clock_boot_ms() - e->keeper_heard >= SILENT)
        elector_step(e, &(struct core_event){.type = CORE_EV_DOUBT});
}

int doubt_open(struct elector *e)
{
    struct timeval every = {.tv_sec = LOOK_EVERY};

    e->on_doubt = event_new(e->base, -1, EV_PERSIST, on_look, e);
    if (e->on_doubt == NULL)
        return -1;
    return event_add(e->on_doubt, &every);
}
