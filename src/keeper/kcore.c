/* kcore.c - the keeper's decisions. Pure: see kcore.h. */
#include "kcore_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define START_MIN 100  /* ms that a lease must still reach for a start to be worth it */
#define PONG_SOON 1000 /* after a lease has run out: is the elector hung? */
#define LOCK_SOON 5    /* ms: who held the lock has been killed, it is a matter of milliseconds */
#define LOCK_LATER 100 /* the same once it has been a second: each look reads all of /proc */
#define LONGEST_GRACE INT64_C(86400000) /* a day, ms */

struct kcore_action *kcore_act(struct kstep *s, enum kcore_action_type type)
{
    if (s->out->count >= KCORE_MAX_ACTIONS)
        abort();
    struct kcore_action *a = &s->out->list[s->out->count++];
    memset(a, 0, sizeof(*a));
    a->type = type;
    return a;
}

void kcore_say(char text[static IPC_TEXT_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, IPC_TEXT_SIZE, format, args);
    va_end(args);
}

void kcore_tell(struct kstep *s, uint32_t message)
{
    if (s->k->elector_said_hello)
        kcore_act(s, KCORE_ACT_SEND)->message = message;
}

/* The one place where Livy's state changes. */
static void set_livy(struct kstep *s, enum kcore_livy livy, const char *why)
{
    struct kcore_action *a = kcore_act(s, KCORE_ACT_STATE);
    a->old_livy = s->k->livy;
    a->livy = livy;
    kcore_say(a->text, "%s", why);
    s->k->livy = livy;
}

bool kcore_livy_running(const struct kcore *k)
{
    return k->livy == KCORE_RUNNING || k->livy == KCORE_TERMINATING;
}

/* ---- ending Livy --------------------------------------------------------------------------------------- */

void kcore_livy_kill(struct kstep *s, uint32_t cause, const char *why)
{
    struct kcore *k = s->k;

    if (!kcore_livy_running(k))
        return;
    kcore_act(s, KCORE_ACT_KILL_LIVY);
    k->killed_at = s->now;
    k->ending = cause;
    set_livy(s, KCORE_KILLED, why);
    kcore_tell(s, IPC_LIVY);
}

void kcore_livy_stop(struct kstep *s, int64_t grace, const char *why)
{
    struct kcore *k = s->k;

    if (!kcore_livy_running(k))
        return;
    if (grace > LONGEST_GRACE)
        grace = LONGEST_GRACE;
    if (grace <= 0) {
        kcore_livy_kill(s, IPC_CAUSE_ORDERED, why);
        return;
    }
    if (k->livy == KCORE_TERMINATING) {
        if (s->now + grace < k->term_until)
            k->term_until = s->now + grace;
        return;
    }
    kcore_act(s, KCORE_ACT_TERM_LIVY);
    k->term_until = s->now + grace;
    k->ending = IPC_CAUSE_ORDERED;
    set_livy(s, KCORE_TERMINATING, why);
    kcore_tell(s, IPC_LIVY);
}

static void gone(struct kstep *s)
{
    struct kcore *k = s->k;
    char how[IPC_TEXT_SIZE];
    struct ipc_livy livy;

    k->kill_at = 0;
    k->livy = KCORE_REAPED;
    kcore_livy(k, &livy);
    ipc_livy_describe(&livy, k->text, how, sizeof(how));
    set_livy(s, KCORE_NONE, how);
    k->pid = 0;
    kcore_tell(s, IPC_LIVY);
    kcore_stop_grant_leave(s);
}

/* What is killed has said nothing of that: there its last words count only where they are known to matter. */
static void last_words(struct kcore *k, const struct livyend *end)
{
    if (end->why == LIVYEND_UNKNOWN && k->cause != IPC_CAUSE_EXITED)
        return;
    k->why = end->why;
    livyend_text(end, k->text);
}

static void livy_exited(struct kstep *s, const struct kcore_event *event)
{
    struct kcore *k = s->k;

    if (k->livy == KCORE_NONE || k->livy == KCORE_REAPED)
        return;
    bool exec_failed = event->text != NULL && event->text[0] != '\0';
    k->status = event->status >= 256 ? event->status - 256 : event->status;
    if (exec_failed)
        k->cause = IPC_CAUSE_NOT_STARTED;
    else if (k->livy == KCORE_TERMINATING || k->livy == KCORE_KILLED)
        k->cause = k->ending;
    else
        k->cause = event->status >= 256 ? IPC_CAUSE_SIGNALLED : IPC_CAUSE_EXITED;
    k->reaped_at = s->now;
    kcore_say(k->text, "%s", exec_failed ? event->text : "");
    k->why = LIVYEND_UNKNOWN;
    if (!exec_failed && event->end != NULL)
        last_words(k, event->end);
    set_livy(s, KCORE_REAPED, exec_failed ? "could not be run" : "reaped");
    kcore_act(s, KCORE_ACT_FREE_LOCK); /* rule 2: dead means reaped, and the lock that it inherited free */
}

/* ---- starting Livy, and its lease
 * ----------------------------------------------------------------------------- */

/* Rule 6: a start carries its lease; what is late or out of place is refused. Returns why, or NULL. */
static const char *refuse(const struct kcore *k, const struct kcore_event *event, int64_t now)
{
    const struct ipc_msg *msg = event->msg;

    if (k->livy != KCORE_NONE)
        return "an earlier Livy is not dead yet";
    if (k->quitting || k->releasing)
        return "the daemon is stopping";
    if (event->superseded)
        return "a later command has overtaken it";
    if (msg->run != k->run + 1)
        return "it is not the start after the last one";
    if (!k->has_session || msg->epoch == 0)
        return "no session was told before it";
    if (msg->epoch < k->last_epoch)
        return "its epoch is older than that of the last start";
    if (now - msg->sent_at > KCORE_STALE || msg->sent_at > now)
        return "it is too old";
    if (msg->kill_at - now < START_MIN)
        return "its lease is over";
    if (msg->kill_at - now > k->session.timeout)
        return "its lease is longer than the session's time-out";
    return NULL;
}

void kcore_livy_start(struct kstep *s, const struct kcore_event *event)
{
    struct kcore *k = s->k;
    const char *why = refuse(k, event, s->now);

    if (why != NULL) {
        k->cause = IPC_CAUSE_REFUSED;
        kcore_say(k->text, "%s", why);
        kcore_tell(s, IPC_LIVY);
        return;
    }
    k->run++;
    k->epoch = k->last_epoch = event->msg->epoch;
    k->kill_at = event->msg->kill_at;
    k->started_at = s->now;
    k->cause = IPC_CAUSE_NONE;
    k->why = LIVYEND_UNKNOWN;
    k->ending = IPC_CAUSE_ORDERED;
    k->text[0] = '\0';
    kcore_act(s, KCORE_ACT_FORK_LIVY);
}

static void forked(struct kstep *s, const struct kcore_event *event)
{
    struct kcore *k = s->k;

    if (event->pid <= 0) {
        k->cause = IPC_CAUSE_NOT_STARTED;
        k->kill_at = 0;
        kcore_say(k->text, "%s", event->text != NULL ? event->text : "fork failed");
        kcore_tell(s, IPC_LIVY);
        return;
    }
    k->pid = event->pid;
    set_livy(s, KCORE_RUNNING, "started on the elector's command");
    if (k->elector_said_hello) {
        struct kcore_action *a = kcore_act(s, KCORE_ACT_SEND);
        a->message = IPC_LIVY;
        a->with_pidfd = true;
    }
}

void kcore_livy_lease(struct kstep *s, const struct ipc_msg *msg)
{
    struct kcore *k = s->k;

    /* Shorter as well as longer. One that reaches past the session's time-out cannot be right. */
    if (kcore_livy_running(k) && msg->epoch == k->epoch && msg->kill_at - s->now <= k->session.timeout) {
        k->kill_at = msg->kill_at;
        k->elector_failures = 0; /* it works */
    }
    kcore_tell(s, IPC_LEASED);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

/* Kills at the deadline. The elector that let it come to this may hang: it is asked for a sign of life. */
static bool deadline(struct kstep *s)
{
    struct kcore *k = s->k;

    if (!kcore_livy_running(k) || s->now < k->kill_at)
        return false;
    kcore_livy_kill(s, IPC_CAUSE_DEADLINE, "the lease has ended");
    if (k->elector_said_hello && k->pong_by > s->now + PONG_SOON) {
        kcore_tell(s, IPC_PING);
        k->pong_by = s->now + PONG_SOON;
    }
    return true;
}

/* First of all in every step, before any message is looked at: a renewal that arrives after the deadline is
 * late. */
static void enforce(struct kstep *s)
{
    struct kcore *k = s->k;

    if (deadline(s)) {
        return;
    } else if (k->livy == KCORE_TERMINATING && s->now >= k->term_until) {
        kcore_livy_kill(s, k->ending, "livy.stop_grace is over");
    } else if (k->livy == KCORE_KILLED && s->now - k->killed_at >= KCORE_REKILL) {
        kcore_act(s, KCORE_ACT_KILL_LIVY);
        k->killed_at = s->now;
    } else if (k->livy == KCORE_REAPED) {
        kcore_act(s, KCORE_ACT_FREE_LOCK);
    }
}

void kcore_step(struct kcore *k, const struct kcore_event *event, int64_t now, struct kcore_actions *out)
{
    struct kstep s = {.k = k, .now = now, .out = out};

    out->count = 0;
    if (event->type != KCORE_EV_LOCK_FREE && event->type != KCORE_EV_FORKED)
        enforce(&s);
    switch (event->type) {
    case KCORE_EV_TIME:
        break;
    case KCORE_EV_MESSAGE:
        kcore_elector_message(&s, event);
        break;
    case KCORE_EV_ELECTOR_EXITED:
        kcore_elector_exited(&s);
        break;
    case KCORE_EV_ELECTOR_REPLACED:
        kcore_elector_replaced(&s);
        break;
    case KCORE_EV_FORKED:
        forked(&s, event);
        break;
    case KCORE_EV_LIVY_EXITED:
        livy_exited(&s, event);
        break;
    case KCORE_EV_LOCK_FREE:
        if (k->livy == KCORE_REAPED)
            gone(&s);
        break;
    case KCORE_EV_QUIT:
        kcore_stop_signalled(&s);
        break;
    case KCORE_EV_FATAL:
        kcore_stop_fatal(&s, event->status);
        break;
    case KCORE_EV_ORPHANS:
        kcore_stop_orphans(&s, event->count);
        break;
    case KCORE_EV_FENCE_FORKED:
        kcore_fence_forked(&s, event);
        break;
    case KCORE_EV_FENCE_EXITED:
        kcore_fence_exited(&s, event);
        break;
    }
    deadline(&s); /* again: a lease may have become shorter than now, and forking takes its time */
    kcore_elector_watch(&s);
    kcore_fence_watch(&s);
    kcore_stop_finish(&s);
}

static void earliest(int64_t *next, int64_t now, int64_t at)
{
    if (at > now && at < *next)
        *next = at;
}

int64_t kcore_next(const struct kcore *k, int64_t now)
{
    int64_t next = CLOCK_NEVER;

    /* A deadline that has passed without a step (it was set to a time gone by, or time went on) is not
     * forgotten. */
    if (kcore_livy_running(k))
        earliest(&next, now, k->kill_at > now ? k->kill_at : now + 1);
    if (k->livy == KCORE_TERMINATING)
        earliest(&next, now, k->term_until > now ? k->term_until : now + 1);
    if (k->livy == KCORE_KILLED)
        earliest(&next, now, k->killed_at + KCORE_REKILL);
    if (k->livy == KCORE_REAPED)
        earliest(&next, now, now + (now - k->reaped_at < KCORE_REKILL ? LOCK_SOON : LOCK_LATER));
    if (k->elector_alive) {
        earliest(&next, now, k->pong_by);
        earliest(&next, now, k->elector_said_hello ? k->ping_at : CLOCK_NEVER);
    } else {
        earliest(&next, now, k->spawn_at);
    }
    if (k->orphans > 0)
        earliest(&next, now, k->orphans_until);
    if (k->quitting) {
        earliest(&next, now, k->order_by);
        earliest(&next, now, k->leave_by);
    }
    earliest(&next, now, kcore_fence_next(k));
    return next;
}

void kcore_init(struct kcore *k, const struct kcore_config *config, int64_t now)
{
    memset(k, 0, sizeof(*k));
    k->config = *config;
    k->spawn_at = now;
    k->ping_at = k->pong_by = k->order_by = k->leave_by = CLOCK_NEVER;
}

int64_t kcore_lease_left(const struct kcore *k, int64_t now)
{
    if (!k->elector_alive || kcore_not_replaceable(k) != NULL)
        return 0;
    if (k->livy == KCORE_RUNNING)
        return k->kill_at > now ? k->kill_at - now : 0;
    return k->has_session ? k->session.timeout : CLOCK_NEVER;
}

void kcore_livy(const struct kcore *k, struct ipc_livy *livy)
{
    memset(livy, 0, sizeof(*livy));
    switch (k->livy) {
    case KCORE_NONE:
        livy->state = IPC_LIVY_NONE;
        break;
    case KCORE_RUNNING:
        livy->state = IPC_LIVY_ALIVE;
        break;
    case KCORE_TERMINATING:
    case KCORE_KILLED:
    case KCORE_REAPED:
        livy->state = IPC_LIVY_STOPPING;
        break;
    }
    livy->killed = k->livy == KCORE_KILLED || k->livy == KCORE_REAPED;
    livy->cause = k->cause;
    livy->status = k->status;
    livy->run = k->run;
    livy->pid = k->pid;
    livy->epoch = k->epoch;
    livy->kill_at = k->livy == KCORE_NONE ? k->killed_at : k->kill_at;
    livy->started_at = k->started_at;
}

const char *kcore_livy_name(enum kcore_livy livy)
{
    static const char *const names[] = {"none", "running", "terminating", "killed", "reaped"};
    return (size_t)livy < sizeof(names) / sizeof(names[0]) ? names[livy] : "?";
}
