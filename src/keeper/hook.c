/* hook.c - see the header. */
#include "hook.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "child.h"
#include "keeper_internal.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#define REKILL 1000            /* ms after which what was killed and is still there is killed again */
#define OUTCOME_TIMED_OUT 1000 /* beyond any exit status and signal */

/* ---- the queue ------------------------------------------------------------------------------------------
 */

void hook_queue_init(struct hook_queue *queue)
{
    *queue = (struct hook_queue){.latest = {.role = IPC_ROLE_JOINING}}; /* a daemon that starts is no news */
}

bool hook_queue_add(struct hook_queue *queue, const struct hook_change *change, bool *dropped)
{
    *dropped = false;
    if (change->role == queue->latest.role && change->serving == queue->latest.serving)
        return false;
    queue->latest = *change;
    if (queue->n == HOOK_QUEUE) {
        queue->first = (queue->first + 1) % HOOK_QUEUE;
        queue->n--;
        queue->missed++;
        *dropped = true;
    }
    queue->list[(queue->first + queue->n) % HOOK_QUEUE] = *change;
    queue->n++;
    return true;
}

bool hook_queue_take(struct hook_queue *queue, struct hook_change *change)
{
    if (queue->n == 0)
        return false;
    *change = queue->list[queue->first];
    change->missed = queue->missed;
    queue->missed = 0;
    queue->first = (queue->first + 1) % HOOK_QUEUE;
    queue->n--;
    return true;
}

void hook_queue_clear(struct hook_queue *queue)
{
    queue->n = 0;
    queue->missed = 0;
}

/* ---- running it -----------------------------------------------------------------------------------------
 */

/* Each way of failing is told once, and again when it is over: a script that is broken stays so. */
static void ended(struct hook *h, int outcome, const char *how)
{
    if (outcome == h->outcome && outcome != 0) {
        h->failures++;
        log_debug("failover.on_change %s, as before (%u times)", how, h->failures);
        return;
    }
    if (outcome != 0)
        log_error("failover.on_change %s; it is not run again for this change", how);
    else if (h->outcome != 0)
        log_info("failover.on_change succeeds again, after %u failure%s", h->failures,
                 h->failures == 1 ? "" : "s");
    h->outcome = outcome;
    h->failures = outcome != 0 ? 1 : 0;
}

static void run_next(struct keeper *k)
{
    struct hook *h = &k->hook;
    struct hook_change change;
    struct child child;
    char why[256], text[320];

    while (h->pid == 0 && hook_queue_take(&h->queue, &change)) {
        if (k->conf->failover.on_change == NULL)
            continue; /* a reload has taken it away */
        struct child_change told = {.role = ipc_role_name(change.role),
                                    .old_role = ipc_role_name(h->told),
                                    .serving = change.serving,
                                    .epoch = change.epoch,
                                    .at = change.at,
                                    .missed = change.missed,
                                    .reason = change.reason};
        if (child_hook(k->conf, &told, &child, why, sizeof(why)) != 0) {
            snprintf(text, sizeof(text), "could not be run: %s", why);
            ended(h, OUTCOME_TIMED_OUT + 1, text);
            continue;
        }
        h->pid = h->session = child.pid;
        h->told = change.role;
        h->timed_out = false;
        h->kill_at = clock_boot_ms() + k->conf->failover.on_change_timeout;
        log_debug("failover.on_change runs as pid %d: %s, %s", (int)h->pid, told.role,
                  change.serving ? "serving" : "not serving");
    }
}

static void add(struct keeper *k, const struct hook_change *change)
{
    bool dropped;

    (void)hook_queue_add(&k->hook.queue, change, &dropped);
    if (k->conf->failover.on_change == NULL) { /* it is known all the same, where a hook is set later */
        hook_queue_clear(&k->hook.queue);
        return;
    }
    if (dropped && k->hook.queue.missed == 1)
        log_warn("failover.on_change (pid %d) takes long and %d changes wait for it: the oldest are dropped",
                 (int)k->hook.pid, HOOK_QUEUE);
    run_next(k);
}

void hook_open(struct keeper *k)
{
    k->hook = (struct hook){.told = IPC_ROLE_JOINING};
    hook_queue_init(&k->hook.queue);
}

void hook_changed(struct keeper *k, const struct ipc_msg *msg)
{
    struct hook_change change = {
        .role = msg->run, .serving = msg->code != 0, .epoch = msg->epoch, .at = clock_wall_ms()};

    if (msg->run > IPC_ROLE_DRAINED) /* "stopped" is ours to tell */
        return;
    snprintf(change.reason, sizeof(change.reason), "%s", msg->text);
    add(k, &change);
}

void hook_reaped(struct keeper *k, int status)
{
    struct hook *h = &k->hook;
    char how[64];

    if (h->timed_out)
        snprintf(how, sizeof(how), "was killed after failover.on_change_timeout");
    else if (status >= 256)
        snprintf(how, sizeof(how), "was killed by signal %d", status - 256);
    else
        snprintf(how, sizeof(how), "ended with status %d", status);
    h->pid = 0;
    ended(h, h->timed_out ? OUTCOME_TIMED_OUT : status, how);
    run_next(k);
}

/* Not reaped yet, so the group is surely its own; before its setsid() there is no group to signal. */
static void kill_group(struct hook *h)
{
    if (h->pid != 0 && kill(-h->pid, SIGKILL) != 0 && kill(h->pid, SIGKILL) != 0 && errno != ESRCH)
        log_error("failover.on_change (pid %d) could not be killed: %s", (int)h->pid, strerror(errno));
}

void hook_time(struct keeper *k, int64_t now)
{
    struct hook *h = &k->hook;

    if (h->pid == 0 || now < h->kill_at)
        return;
    h->timed_out = true;
    h->kill_at = now + REKILL;
    kill_group(h);
}

int64_t hook_next(const struct keeper *k, int64_t now)
{
    const struct hook *h = &k->hook;

    if (h->pid == 0)
        return CLOCK_NEVER;
    return h->kill_at > now ? h->kill_at : now + 1;
}

void hook_end_begins(struct keeper *k)
{
    const struct hook_change stopped = {
        .role = IPC_ROLE_STOPPED, .at = clock_wall_ms(), .reason = "the daemon ends"};

    add(k, &stopped);
}

bool hook_busy(const struct keeper *k)
{
    return k->hook.pid != 0;
}

void hook_kill(struct keeper *k)
{
    if (k->hook.queue.n > 0)
        log_warn("failover.on_change is not run for the last %zu changes: the daemon ends", k->hook.queue.n);
    hook_queue_clear(&k->hook.queue);
    kill_group(&k->hook);
}
