/* kcore_fence.c - the fence command: run one at a time, killed at its time-out, its outcome told. Pure: see
 * kcore.h.
 *
 * What has begun is left to end, whatever becomes of the latch or of the elector that has ordered it: half a
 * power-off is worse than a whole one, and to cut it short would not take it back. So the daemon's end waits
 * for it too, until its time-out or a second signal. An elector that wants the same member fenced meanwhile
 * is told this one's outcome.
 */
#include <string.h>

#include "kcore_internal.h"
#include "livy-ha/clock.h"

static void answer(struct kstep *s, uint32_t outcome, int32_t status, const char *why)
{
    struct kcore_fence *f = &s->k->fence;

    f->order.outcome = outcome;
    f->order.status = status;
    kcore_say(f->text, "%s", why);
    kcore_tell(s, IPC_FENCED);
}

/* As a START, it carries the lease under which it was ordered: one that is late would hit a member that may
 * be active again. Returns why it is not run, or NULL. */
static const char *refuse(const struct kcore *k, const struct ipc_msg *msg, int64_t now)
{
    if (k->quitting || k->releasing)
        return "the daemon is stopping";
    if (!k->has_session)
        return "no session was told before it";
    if (now - msg->sent_at > KCORE_STALE || msg->sent_at > now)
        return "the order is too old";
    if (msg->kill_at <= now)
        return "the lease under which it was ordered is over";
    return NULL;
}

static bool same(const struct ipc_member *a, const struct ipc_member *b)
{
    return a->epoch == b->epoch && strcmp(a->id, b->id) == 0;
}

/* An answer to one order without losing sight of the one that runs. */
static void refused(struct kstep *s, const struct ipc_msg *msg, const char *why)
{
    struct kcore_action *a = kcore_act(s, KCORE_ACT_REFUSE_FENCE);

    a->message = IPC_FENCED;
    a->number = msg->fence.number;
    kcore_say(a->text, "%s", why);
}

void kcore_fence_order(struct kstep *s, const struct ipc_msg *msg)
{
    struct kcore_fence *f = &s->k->fence;
    const char *why = refuse(s->k, msg, s->now);

    if (why == NULL && f->running) {
        if (same(&f->order.member, &msg->fence.member)) {
            f->order.number = msg->fence.number;
            return;
        }
        why = "another member is being fenced";
    }
    if (why != NULL) {
        refused(s, msg, why);
        return;
    }
    f->order = msg->fence;
    kcore_say(f->reason, "%s", msg->text);
    f->timed_out = false;
    kcore_act(s, KCORE_ACT_RUN_FENCE);
}

void kcore_fence_forked(struct kstep *s, const struct kcore_event *event)
{
    struct kcore_fence *f = &s->k->fence;

    if (event->pid <= 0) {
        answer(s, IPC_FENCE_NOT_RUN, 0, event->text != NULL ? event->text : "fork failed");
        return;
    }
    f->running = true;
    f->kill_at = s->now + s->k->config.fence_timeout;
}

void kcore_fence_exited(struct kstep *s, const struct kcore_event *event)
{
    struct kcore_fence *f = &s->k->fence;

    if (!f->running)
        return;
    f->running = false;
    if (f->timed_out)
        answer(s, IPC_FENCE_TIMED_OUT, 0, "");
    else if (event->status >= 256)
        answer(s, IPC_FENCE_SIGNALLED, event->status - 256, "");
    else
        answer(s, IPC_FENCE_EXITED, event->status, "");
}

void kcore_fence_hurry(struct kstep *s)
{
    if (s->k->fence.running)
        s->k->fence.kill_at = s->now;
}

void kcore_fence_watch(struct kstep *s)
{
    struct kcore_fence *f = &s->k->fence;

    if (!f->running || s->now < f->kill_at)
        return;
    kcore_act(s, KCORE_ACT_KILL_FENCE);
    f->timed_out = true;
    f->kill_at = s->now + KCORE_REKILL;
}

int64_t kcore_fence_next(const struct kcore *k)
{
    return k->fence.running ? k->fence.kill_at : CLOCK_NEVER;
}
