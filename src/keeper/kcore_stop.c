/* kcore_stop.c - the daemon's end: signals, the elector's leave, what Livy has left behind, the last step.
 * Pure: see kcore.h.
 */
#include <string.h>

#include "kcore_internal.h"
#include "livy-ha/clock.h"

#define ORDER_WITHIN 3000
#define LEAVE_WITHIN 10000
#define HURRY 1000

void kcore_stop_grant_leave(struct kstep *s)
{
    struct kcore *k = s->k;

    if (!k->releasing || k->left || k->livy != KCORE_NONE)
        return;
    k->has_session = false;
    memset(&k->session, 0, sizeof(k->session));
    k->left = true;
    kcore_act(s, KCORE_ACT_FORGET);
    kcore_tell(s, IPC_LEAVE);
}

static void quit(struct kstep *s)
{
    struct kcore *k = s->k;

    if (k->quitting)
        return;
    k->quitting = true;
    k->order_by = s->now + k->config.drain + ORDER_WITHIN;
    kcore_tell(s, IPC_QUIT);
}

/* TERM or INT. The second one shortens everything: Livy's grace, the orphans', the elector's time to close
 * the session, which still counts from Livy's death. */
void kcore_stop_signalled(struct kstep *s)
{
    struct kcore *k = s->k;

    if (!k->signalled) {
        k->signalled = true;
        quit(s);
        return;
    }
    if (k->hurried)
        return;
    k->hurried = true;
    kcore_fence_hurry(s);
    kcore_livy_kill(s, IPC_CAUSE_ORDERED, "second signal to stop");
    k->orphans_until = s->now;
    if (k->leave_by > s->now + HURRY)
        k->leave_by = k->livy == KCORE_NONE ? s->now + HURRY : CLOCK_NEVER;
}

/* The daemon must end, with this exit status; the first reason counts. */
void kcore_stop_fatal(struct kstep *s, int code)
{
    if (s->k->exit_code == 0)
        s->k->exit_code = code != 0 ? code : 75;
    quit(s);
}

void kcore_stop_orphans(struct kstep *s, int count)
{
    struct kcore *k = s->k;

    if (count > k->orphans)
        k->orphans_until = s->now + (k->hurried ? 0 : k->config.orphan_grace);
    k->orphans = count;
}

void kcore_stop_finish(struct kstep *s)
{
    struct kcore *k = s->k;

    if (k->orphans > 0 && s->now >= k->orphans_until) {
        kcore_act(s, KCORE_ACT_KILL_ORPHANS);
        k->orphans_until = s->now + KCORE_REKILL;
    }
    if (!k->quitting || k->exited)
        return;
    if (s->now >= k->order_by)
        kcore_livy_stop(s, k->config.stop_grace > 0 ? k->config.stop_grace : 1,
                        "the elector did not order the stop in time");
    if (k->livy != KCORE_NONE)
        return;
    if (k->leave_by == CLOCK_NEVER)
        k->leave_by = s->now + (k->hurried ? HURRY : LEAVE_WITHIN);
    if (k->elector_alive && s->now >= k->leave_by) {
        kcore_act(s, KCORE_ACT_KILL_ELECTOR);
        k->hurried = true;
        k->leave_by = s->now + HURRY;
    }
    if (k->elector_alive || (k->spawn_at != CLOCK_NEVER && s->now < k->leave_by) || k->orphans > 0 ||
        k->fence.running)
        return;
    k->exited = true;
    kcore_act(s, KCORE_ACT_EXIT)->code = k->exit_code;
}
