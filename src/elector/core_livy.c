/* core_livy.c - what is to happen with Livy: start, renew, probe, restart, stop, give up; and the elector's
 * own guard.
 *
 * The keeper runs and kills; this decides. The keeper may be stopped or hang: then its answers stay out, the
 * lease is not renewed any more, the elector kills Livy itself at the deadline that the keeper last
 * confirmed, and the latch is given away only once every deadline that was ever sent has passed and Livy is
 * seen dead.
 */
#include "core_internal.h"

#include <stdio.h>
#include <string.h>

#include "livy-ha/clock.h"

#define PROBE_FIRST 20  /* ms between probes of a Livy that has not answered yet */
#define PROBE_LATER 100 /* the same, once it has been starting for a while */
#define PROBE_LATER_AFTER 3000
#define ZOOKEEPER_GRACE 30000 /* Livy 0.7 ends itself 16 s after it lost ZooKeeper: no crash */
#define ZOOKEEPER_LEAST 5000  /* one that lived for less can not have waited for ZooKeeper */
#define WAITS_MOST 3          /* times livy.start_timeout, for a Livy that waits for its ZooKeeper */

bool core_livy_alive(const struct core *c)
{
    return c->livy.state != IPC_LIVY_NONE;
}

bool core_livy_unprobed(const struct core *c)
{
    return core_livy_alive(c) && c->livy.run == c->adopted_run && !c->served && !c->stop_sent;
}

bool core_livy_surely_dead(const struct core *c, int64_t now)
{
    if (!core_livy_alive(c) && c->start_run == 0)
        return true;
    return c->keeper_stuck && c->gone_seen && now > c->max_sent + c->config.kill_margin;
}

static int64_t start_margin(const struct core *c)
{
    int64_t margin = 2 * core_lease_interval(c);
    return margin < 300 ? 300 : margin;
}

bool core_livy_enough_lease(const struct core *c, int64_t now)
{
    return core_lease_checked(c) && c->kill_at - now >= start_margin(c);
}

void core_livy_leased(struct step *s, int64_t kill_at)
{
    s->c->leased = kill_at;
    core_keeper_answered(s);
}

void core_livy_stop(struct step *s, int64_t grace, const char *why)
{
    struct core *c = s->c;

    if (!core_livy_alive(c) && c->start_run == 0)
        return;
    if (c->stop_sent && c->stop_grace <= grace)
        return;
    struct core_action *a = core_act(s, CORE_ACT_STOP);
    a->grace = grace;
    core_say(a->text, "%s", why);
    core_say(c->livy_reason, "%s", why);
    c->stop_sent = true;
    c->stop_grace = grace;
    c->serving = false;
    core_keeper_ordered(s);
}

/* ---- Livy's life
 * -------------------------------------------------------------------------------------------- */

static void started(struct step *s)
{
    struct core *c = s->c;

    c->leased = c->livy.kill_at;
    if (c->livy.kill_at > c->max_sent)
        c->max_sent = c->livy.kill_at;
    c->stop_sent = c->kill_sent = c->gone_seen = c->fence_told = c->failed = c->counted = false;
    c->serving = c->served = c->unhealthy = c->waits = c->backoff.hung = false;
    c->probe_failures = 0;
    c->probe_at = s->now;
    c->command.start = false;
    core_history(s, CORE_HIST_STARTED, s->now - c->elected_at, "pid %d", c->livy.pid);
}

/* A Livy that was started since has seen nothing of it: what kills that one kills it in a loop. */
static bool zookeeper_was_away(const struct core *c, int64_t now)
{
    return !c->connected || (c->outage_end != 0 && now - c->outage_end < ZOOKEEPER_GRACE &&
                             c->livy.started_at <= c->outage_end);
}

/* Its store may be in another ensemble than our latch, so it is taken at its word: once it has served (so it
 * had reached its store), and not for a reason that comes back at once. */
static bool says_zookeeper_was_away(const struct core *c, enum livyend_why why, int64_t now)
{
    return why == LIVYEND_ZOOKEEPER && c->served && now - c->livy.started_at >= ZOOKEEPER_LEAST;
}

/* Nothing of Livy has run. The keeper holds none again before somebody has looked at it, so this does not
 * come back with the next start. */
static bool was_never_livy(enum livyend_why why)
{
    return why == LIVYEND_UNHELD;
}

/* What is told of an end; `excused`: it is not counted. */
static void describe_end(const struct core *c, const char *text, bool excused,
                         char how[static CORE_REASON_SIZE])
{
    char end[CORE_REASON_SIZE - 40];

    if (c->livy.cause != IPC_CAUSE_ORDERED)
        ipc_livy_describe(&c->livy, text, end, sizeof(end));
    else
        snprintf(end, sizeof(end), "%.90s%s%.180s", c->livy_reason, text[0] != '\0' ? ": " : "", text);
    bool told = excused && (c->livy.cause == IPC_CAUSE_EXITED || c->livy.cause == IPC_CAUSE_SIGNALLED);
    snprintf(how, CORE_REASON_SIZE, "%s%s", end, told ? "; not counted as a crash" : "");
}

static void died(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;
    char how[CORE_REASON_SIZE];
    bool fenced = c->livy.cause == IPC_CAUSE_DEADLINE || c->kill_sent || (c->stop_sent && c->stop_grace == 0);
    bool ordered = c->livy.cause == IPC_CAUSE_ORDERED;

    /* The death of the keeper is none of Livy's. */
    bool excused =
        !c->counted && (zookeeper_was_away(c, s->now) || c->livy.cause == IPC_CAUSE_ORPHANED ||
                        says_zookeeper_was_away(c, event->why, s->now) || was_never_livy(event->why));
    describe_end(c, event->text != NULL ? event->text : "", excused, how);
    if (c->fence_told) {
        /* when this process saw it dead itself */
    } else if (fenced) {
        core_history(s, CORE_HIST_FENCED, 0, "%s",
                     c->stop_sent ? c->livy_reason : "the lease ended without renewal");
    } else if (!ordered || c->counted) {
        core_history(s, CORE_HIST_LIVY_DIED, 0, "%s", how);
        c->failed = true;
        if (!excused)
            core_backoff_died(s, how);
    }
    if (!c->stop_sent || c->counted)
        memcpy(c->livy_reason, how, sizeof(how));
    c->bereft = c->leading && (fenced || !ordered || c->counted);
    core_command_died(s);
    c->serving = c->unhealthy = c->waits = false;
    c->stop_sent = c->kill_sent = c->gone_seen = c->fence_told = c->counted = false;
    c->probe_failures = 0;
    c->max_sent = c->leased = c->lease_sent = 0;
}

/* Livy is dead, as this process has seen for itself while the keeper's word is out. That word may come in
 * hours or never: history is told now. */
void core_livy_gone(struct step *s)
{
    struct core *c = s->c;

    c->gone_seen = true;
    if (!c->kill_sent || c->fence_told || !core_livy_alive(c))
        return;
    c->fence_told = true;
    core_say(c->livy_reason, "the lease ended without renewal%s",
             c->keeper_stuck ? ": the keeper does not answer" : "");
    core_history(s, CORE_HIST_FENCED, 0, "%s", c->livy_reason);
}

void core_livy_event(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;
    bool was_alive = core_livy_alive(c) || c->start_run != 0;
    uint32_t old_run = c->livy.run;

    core_livy_leased(s, c->leased);
    c->livy = event->livy;
    if (!core_keeper_knows(c, event))
        return; /* of before the START that is on its way */
    core_keeper_lost(s, event);
    bool not_run = c->start_run > c->livy.run;
    c->start_run = 0;
    if (!core_livy_alive(c) && (c->livy.cause == IPC_CAUSE_REFUSED || not_run)) {
        if (c->livy.cause == IPC_CAUSE_REFUSED)
            core_say(c->livy_reason, "start refused: %s", event->text != NULL ? event->text : "");
        else
            core_say(c->livy_reason, "the order to start was lost: the keeper did not read");
        c->start_at = s->now + CORE_RETRY / 2;
        c->stop_sent = false;
        return;
    }
    if (core_livy_alive(c)) {
        if (c->livy.run != old_run && c->livy.state == IPC_LIVY_ALIVE)
            started(s);
    } else if (was_alive) {
        died(s, event);
    }
}

/* ---- health
 * ------------------------------------------------------------------------------------------------- */

static void answered(struct step *s)
{
    struct core *c = s->c;

    c->probe_failures = 0;
    c->unhealthy = false;
    c->probe_at = s->now + c->config.probe_interval;
    if (c->serving)
        return;
    c->serving = c->served = true;
    c->failed = false;
    if (c->livy.run == c->adopted_run)
        return; /* told by the elector before us */
    core_history(s, CORE_HIST_SERVING, s->now - c->livy.started_at, "Livy answers, pid %d", c->livy.pid);
}

static void not_answered(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (!c->served) {
        bool late = s->now - c->livy.started_at > PROBE_LATER_AFTER;
        c->probe_at = s->now + (late ? PROBE_LATER : PROBE_FIRST);
        return;
    }
    c->probe_at = s->now + c->config.probe_interval;
    c->probe_failures++;
    if (!c->unhealthy) {
        c->unhealthy = true;
        core_history(s, CORE_HIST_UNHEALTHY, 0, "%s", event->text != NULL ? event->text : "no answer");
    }
    if (c->probe_failures < c->config.probe_failures || core_command_paused(c, s->now))
        return;
    c->counted = true;
    char why[CORE_TEXT_SIZE];
    core_say(why, "%d probes failed in a row: %.100s", c->probe_failures,
             event->text != NULL ? event->text : "");
    core_livy_stop(s, c->config.stop_grace, why);
}

/* Rule 2: something that we did not fork owns Livy's port. */
static void foreign(struct step *s, const struct core_event *event)
{
    struct core_action *a;

    core_livy_stop(s, 0, event->text != NULL ? event->text : "another process owns Livy's port");
    a = core_act(s, CORE_ACT_FATAL);
    a->code = event->status;
    core_say(a->text, "%s", event->text != NULL ? event->text : "another process owns Livy's port");
}

void core_livy_probe(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (c->livy.state != IPC_LIVY_ALIVE || c->stop_sent)
        return;
    if (event->untold)
        c->probe_at = s->now + (c->served ? c->config.probe_interval : PROBE_LATER);
    else if (event->foreign)
        foreign(s, event);
    else if (event->alive)
        answered(s);
    else
        not_answered(s, event);
}

/* From then on a Livy that has not answered yet is taken for hung. One that waits for an absent ZooKeeper is
 * not: not while we have no connection ourselves (its store is in the same ensemble, as a rule), and where it
 * says so itself not before three times the time, after which another member may reach what this one cannot.
 */
static int64_t hung_at(const struct core *c)
{
    int64_t from = c->outage_end > c->livy.started_at ? c->outage_end : c->livy.started_at;
    return from + c->config.start_timeout * (c->waits ? WAITS_MOST : 1);
}

static void watch_health(struct step *s)
{
    struct core *c = s->c;

    if (c->livy.state != IPC_LIVY_ALIVE || c->stop_sent)
        return;
    if (s->now >= c->probe_at) {
        core_act(s, CORE_ACT_PROBE);
        c->probe_at = CLOCK_NEVER; /* until its result is there */
    }
    if (!c->served && c->connected && !core_command_paused(c, s->now) && s->now >= hung_at(c)) {
        char why[CORE_TEXT_SIZE];
        core_say(why, "no answer within%s livy.start_timeout (%lld ms)%s", c->waits ? " three times" : "",
                 (long long)c->config.start_timeout, c->waits ? ", it waits for its ZooKeeper" : "");
        c->counted = c->backoff.hung = true;
        core_livy_stop(s, c->config.stop_grace, why);
    }
}

/* ---- the lease as the keeper has it
 * --------------------------------------------------------------------------- */

static bool legitimate(const struct core *c)
{
    return c->node[0] != '\0' && !c->doomed && c->session != 0 &&
           (!c->own_known || c->livy.epoch == c->epoch);
}

static void guard(struct step *s)
{
    struct core *c = s->c;

    core_keeper_reconcile(s);
    if (!core_livy_alive(c) && c->start_run == 0)
        return;
    int64_t deadline = c->start_run != 0 ? c->max_sent : c->leased;
    if (s->now >= deadline && !c->kill_sent) {
        core_act(s, CORE_ACT_KILL);
        c->kill_sent = true;
        c->serving = false;
        core_keeper_owes(s); /* by now it owes us the word of Livy's end, whatever else it has answered */
    }
}

static void renew(struct step *s)
{
    struct core *c = s->c;

    /* An orderly stop may take its grace: the lease goes on until then. */
    bool ending = c->kill_sent || c->livy.killed != 0 || (c->stop_sent && c->stop_grace == 0);
    if (!core_livy_alive(c) || c->keeper_stuck || ending || !legitimate(c))
        return;
    if (c->kill_at == 0 || c->kill_at == c->lease_sent)
        return;
    struct core_action *a = core_act(s, CORE_ACT_LEASE);
    a->epoch = c->livy.epoch;
    a->kill_at = c->lease_sent = c->kill_at;
    if (c->kill_at > c->max_sent)
        c->max_sent = c->kill_at;
    core_keeper_owes(s);
}

/* Own node lowest in a list and owned by this session, a check acknowledged on this connection, nobody in the
 * way, time left. */
static bool may_start(const struct core *c, int64_t now)
{
    return c->connected && c->registered && c->first && c->own_known && !c->doomed && c->leading &&
           !core_livy_alive(c) && c->start_run == 0 && !c->keeper_stuck && core_latch_wanted(c, now) &&
           !core_command_paused(c, now) && !core_command_giving(c) && now >= c->start_at &&
           core_backoff_over(c, now) && core_livy_enough_lease(c, now);
}

static void lead(struct step *s)
{
    struct core *c = s->c;

    if (c->leading || !c->connected || !c->first || !c->own_known || c->doomed || !core_takeover_passed(c) ||
        c->kill_at <= s->now || core_command_paused(c, s->now))
        return;
    c->leading = true;
    c->elected_at = s->now;
    core_history(s, CORE_HIST_ELECTED, 0, "first in the queue, lease proved%s",
                 c->takeover.unclean ? "; the one before did not leave in order" : "");
}

static void start(struct step *s)
{
    struct core *c = s->c;

    if (!may_start(c, s->now))
        return;
    struct core_action *a = core_act(s, CORE_ACT_START);
    a->epoch = c->epoch;
    a->kill_at = c->max_sent = c->lease_sent = c->kill_at;
    a->run = c->start_run = c->livy.run + 1;
    c->stop_sent = c->kill_sent = c->gone_seen = c->bereft = false;
    c->tenured = c->tenure_due = true;
    core_keeper_ordered(s);
}

/* One that hangs while the lease ends is ended by the keeper with all that it had to tell. */
static void tell_fence(struct step *s)
{
    if (!s->c->fence_untold)
        return;
    s->c->fence_untold = false;
    core_history(s, CORE_HIST_FENCED, 0,
                 "the lease ended without renewal: the elector before this one did not renew it");
}

void core_livy_reconcile(struct step *s)
{
    struct core *c = s->c;

    tell_fence(s);
    guard(s);
    if (core_livy_alive(c) && !c->gone_seen && !legitimate(c) && !c->doomed)
        core_livy_stop(s, 0, "it runs under a latch node that is not ours any more");
    core_command_reconcile(s);
    lead(s);
    renew(s);
    core_backoff_reconcile(s);
    start(s);
    watch_health(s);
}

int64_t core_livy_next(const struct core *c, int64_t now)
{
    int64_t next = CLOCK_NEVER;
    bool alive = core_livy_alive(c);

    core_earliest(&next, now, core_keeper_next(c, now));
    if ((alive || c->start_run != 0) && !c->kill_sent) {
        int64_t deadline = c->start_run != 0 ? c->max_sent : c->leased;
        core_earliest(&next, now,
                      deadline > now ? deadline : now + 1); /* one that has passed is not forgotten */
    }
    if (c->keeper_stuck && c->gone_seen)
        core_earliest(&next, now, c->max_sent + c->config.kill_margin + 1);
    if (c->livy.state == IPC_LIVY_ALIVE && !c->stop_sent) {
        core_earliest(&next, now, c->probe_at);
        if (!c->served)
            core_earliest(&next, now, hung_at(c));
    }
    core_earliest(&next, now, c->start_at);
    return next;
}
