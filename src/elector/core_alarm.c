/* core_alarm.c - what a person should know and look into: raised once, with a text, and cleared once.
 *
 * An alarm changes nothing of what the core does, but for one: a zookeeper.tick that the servers contradict
 * as too small is not believed (core_alarm_connected).
 */
#include "core_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "livy-ha/clock.h"

#define LATENCY_ENOUGH 20 /* heartbeats before their latency is judged */
#define LATENCY_LEAST 100 /* ms that are never slow */
#define LATE_LEAST 500    /* the same for a step that comes late */
#define LATE_QUIET 60000  /* ms without a late step after which all is well again */
#define MIN_TICKS 2       /* minSessionTimeout and maxSessionTimeout, where zoo.cfg does not set them */
#define MAX_TICKS 20

void core_alarm(struct step *s, enum core_alarm alarm, bool on, const char *format, ...)
{
    struct core *c = s->c;
    va_list args;

    if (c->alarms[alarm] == on)
        return;
    c->alarms[alarm] = on;
    struct core_action *a = core_act(s, CORE_ACT_ALARM);
    a->alarm = alarm;
    a->on = on;
    va_start(args, format);
    vsnprintf(a->text, sizeof(a->text), format, args);
    va_end(args);
}

/* ---- ZooKeeper is slow ------------------------------------------------------------------------------- */

void core_alarm_beat_took(struct core *c, int64_t ms)
{
    struct core_latency *l = &c->latency;

    l->list[l->next] = (int32_t)(ms < INT32_MAX ? ms : INT32_MAX);
    l->next = (l->next + 1) % CORE_LATENCIES;
    if (l->n < CORE_LATENCIES)
        l->n++;
    l->judged = false;
}

/* 95 % of the heartbeats took no longer. */
static int64_t percentile(const struct core_latency *l)
{
    int32_t sorted[CORE_LATENCIES];

    for (size_t i = 0; i < l->n; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > l->list[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = l->list[i];
    }
    return sorted[(l->n * 19 + 19) / 20 - 1];
}

/* How long a silence of ZooKeeper is ridden out where it answers at once: T(1-2 rho) - tick/2 - 2h - eps - K.
 * An answer that takes L costs thrice L: the proof is of three heartbeats, each sent some time after the one
 * before was answered (core_lease.c), and each of them took its L. */
static int64_t ride_out(const struct core *c)
{
    return c->timeout - (c->timeout + 49) / 50 - core_lease_half_tick(c) - 2 * core_lease_interval(c) -
           CORE_EPSILON - c->config.kill_margin;
}

/* Slow is what leaves less than the inequality asks for, 3h + 0.5 s, or takes as long as the interval: at
 * twice that the connection is given up. */
static int64_t slow_limit(const struct core *c)
{
    int64_t h = core_lease_interval(c), spare = (ride_out(c) - 3 * h - 500) / 3;
    int64_t limit = spare < h ? spare : h;

    return limit > LATENCY_LEAST ? limit : LATENCY_LEAST;
}

static void judge_latency(struct step *s)
{
    struct core *c = s->c;

    if (!c->leading) {
        memset(&c->latency, 0, sizeof(c->latency)); /* only the active member asks the quorum all the time */
        core_alarm(s, CORE_ALARM_SLOW, false, "this member is not active any more");
        return;
    }
    if (c->latency.n < LATENCY_ENOUGH || c->latency.judged)
        return;
    c->latency.judged = true;
    int64_t took = percentile(&c->latency), limit = slow_limit(c), left = ride_out(c) - 3 * took;
    if (took >= limit)
        core_alarm(
            s, CORE_ALARM_SLOW, true,
            "heartbeats take %lld ms (95 %% of %zu): ZooKeeper is slow (fsync?); a lease of %.1f s now "
            "rides out %.1f s of silence",
            (long long)took, c->latency.n, (double)c->timeout / 1000, left > 0 ? (double)left / 1000 : 0);
    else if (took < limit / 2)
        core_alarm(s, CORE_ALARM_SLOW, false, "heartbeats take %lld ms again", (long long)took);
}

/* ---- zookeeper.tick ---------------------------------------------------------------------------------- */

/* A server grants no session time-out outside of 2 to 20 of its ticks, unless zoo.cfg says so. What it grants
 * tells between which bounds its tick lies; where it is not what was asked for, exactly. The bound from below
 * is what the lease is then worked out with: with too small a tick it would be too long. */
void core_alarm_connected(struct step *s, int64_t granted)
{
    struct core *c = s->c;
    int64_t asked = c->config.session_timeout, tick = c->config.tick;
    int64_t least = (granted + MAX_TICKS - 1) / MAX_TICKS, most = granted / MIN_TICKS;

    if (asked > 0 && granted > asked)
        least = most;
    else if (asked > 0 && granted < asked)
        most = least;
    c->tick_least = least;
    if (tick > 0 && tick < least)
        core_alarm(
            s, CORE_ALARM_TICK, true,
            "zookeeper.tick is %lld ms, too small: the servers grant %lld ms, so theirs is %lld ms or more "
            "(or zoo.cfg sets bounds); that is counted with",
            (long long)tick, (long long)granted, (long long)least);
    else if (tick > most)
        core_alarm(
            s, CORE_ALARM_TICK, true,
            "zookeeper.tick is %lld ms, but the servers grant %lld ms, so theirs is %lld ms or less (or "
            "zoo.cfg sets bounds): leases are shorter than need be",
            (long long)tick, (long long)granted, (long long)most);
    else
        core_alarm(s, CORE_ALARM_TICK, false, "zookeeper.tick agrees with what the servers grant");
}

/* ---- Livy does not die ------------------------------------------------------------------------------- */

/* Its node stays as long as its session lives, so nobody else starts one; the lease is not renewed for it. */
static void judge_death(struct step *s)
{
    struct core *c = s->c;
    bool dying = core_livy_alive(c) && !c->gone_seen && (c->livy.killed != 0 || c->kill_sent);

    if (!dying) {
        c->killed_at = 0;
        core_alarm(s, CORE_ALARM_UNKILLABLE, false, "Livy is dead");
        return;
    }
    if (c->killed_at == 0)
        c->killed_at = s->now;
    if (s->now - c->killed_at >= c->config.kill_margin)
        core_alarm(
            s, CORE_ALARM_UNKILLABLE, true,
            "Livy (pid %d) has not died of SIGKILL in %.1f s: the latch stays here, so that no other member "
            "starts one; end it, or power this host off",
            c->livy.pid, (double)(s->now - c->killed_at) / 1000);
}

/* ---- this process is late ---------------------------------------------------------------------------- */

static int64_t late_limit(const struct core *c)
{
    int64_t h = core_lease_interval(c);
    return h > LATE_LEAST ? h : LATE_LEAST;
}

/* Before the event of this step is looked at. */
void core_alarm_stepped(struct core *c, int64_t now)
{
    int64_t before = c->stepped_at;

    c->stepped_at = now;
    if (before == 0 || now - before < late_limit(c))
        return; /* what was due then cannot be late by that much */
    int64_t due = core_next(c, before);
    if (due < now && now - due >= late_limit(c)) {
        c->late_at = now;
        c->late_by = now - due;
    }
}

static void judge_lateness(struct step *s)
{
    struct core *c = s->c;

    if (c->late_at != 0 && s->now - c->late_at < LATE_QUIET)
        core_alarm(
            s, CORE_ALARM_LATE, true,
            "the elector was run %.1f s late: this host is overloaded, or was stopped for a while; a lease "
            "of %.1f s rides out %.1f s in all",
            (double)c->late_by / 1000, (double)c->timeout / 1000, (double)ride_out(c) / 1000);
    else
        core_alarm(s, CORE_ALARM_LATE, false, "the elector has been in time for %d s", LATE_QUIET / 1000);
}

/* ---- all of them ------------------------------------------------------------------------------------- */

void core_alarm_reconcile(struct step *s)
{
    core_alarm(s, CORE_ALARM_KEEPER, s->c->keeper_stuck, "%s",
               s->c->keeper_stuck ? "the keeper (livy-ha) does not answer: its process is stopped or hangs"
                                  : "the keeper answers again");
    judge_death(s);
    judge_latency(s);
    judge_lateness(s);
}

int64_t core_alarm_next(const struct core *c, int64_t now)
{
    int64_t next = CLOCK_NEVER;

    if (c->killed_at != 0)
        core_earliest(&next, now, c->killed_at + c->config.kill_margin);
    if (c->late_at != 0)
        core_earliest(&next, now, c->late_at + LATE_QUIET);
    return next;
}
