/* core_lease.c - the lease: what is proved about the session, and the heartbeats that prove it.
 *
 * ZooKeeper's leader expires a session no earlier than T after it was last touched *at the leader*. A touch
 * that a follower takes (any request of ours) reaches the leader with the follower's answer to the leader's
 * next ping, which comes each tick/2. We see neither. What we see are our checks, which go through the
 * quorum. The session was surely touched at the leader at time t or later if
 *
 * (a) three checks were acknowledged on this connection: j, sent at t; n, sent tick/2 + epsilon or more after
 *     j's answer; and a last one, sent h/2 or more after n's answer. Why ping, commit, check come in order:
 *     1. The leader's pings and commits for a follower go through one queue (LearnerHandler.queuePacket) and
 *        are taken off by one thread (Follower.followLeader). So a ping that was queued before n's commit,
 *        and taken off after j's touch, was answered with that touch in it (Learner.ping) before n was
 *        answered. There is such a ping, unless it was late by more than epsilon.
 *     2. These answers and the requests that a follower passes on go to the leader in one stream
 *        (Learner.writePacket). So the leader has taken that answer before the last check, which we sent
 *        after n was answered; and the session lived then, or the check would have failed.
 *     Up to here nothing depends on how long a message is under way. n alone does not do: its answer shows
 *     that the follower has sent the touch, and the follower may be cut off before it arrives.
 *     3. A leader that stood still queues the ping late, by any time, maybe after n's commit. But n's answer
 *        shows that it went on; the follower has its ping, and has answered, h/2 later (this is assumed),
 *        and so before it passes on the last check: as in 2.
 * (b) this connection's own connect request was sent at t or later, and any check on it was acknowledged:
 *     connecting touches the session at the leader itself (LeaderZooKeeperServer.checkIfValidGlobalSession
 *     and SessionTrackerImpl.trackSession call touchSession), and the check shows that this leader had its
 *     quorum after that (a leader cut off from its quorum still answers the reconnect, but commits nothing).
 *
 * The deadline is D = t + T (1 - 2 rho), Livy is killed at D - K. What is assumed stands in safety.md, "The
 * assumptions", and where that may fail in "What is left".
 */
#include "core_internal.h"

#include <string.h>

#include "livy-ha/clock.h"

#define MAX_OUTSTANDING 8
#define PATIENCE_MIN 500 /* ms */

int64_t core_lease_interval(const struct core *c)
{
    int64_t h = c->timeout / 20;
    return h < 20 ? 20 : h;
}

static bool contending(const struct core *c)
{
    return c->first && c->node[0] != '\0' && !c->doomed;
}

/* The active member (and who is about to be) asks the quorum each h; a standby each 2h, so that it has a
 * lease already when it wins, and waits for no further round through the quorum. */
static int64_t beat_interval(const struct core *c)
{
    return contending(c) ? core_lease_interval(c) : 2 * core_lease_interval(c);
}

/* A connection is given up when an answer is overdue by two intervals; by twice that where the last one was
 * given up too (a slow ensemble must not be answered with reconnecting for ever), up to the 2T/3 of the
 * client library. */
static int64_t patience(const struct core *c, int64_t interval)
{
    int64_t p = 2 * interval < PATIENCE_MIN ? PATIENCE_MIN : 2 * interval;
    p <<= c->kicks < 4 ? c->kicks : 4;
    int64_t most = 2 * c->timeout / 3;
    return p < most ? p : most;
}

int64_t core_lease_half_tick(const struct core *c)
{
    int64_t tick = c->config.tick > 0 ? c->config.tick : c->timeout / 2;
    if (tick < c->tick_least)
        tick = c->tick_least; /* it cannot be as small as that: core_alarm.c */
    return (tick + 1) / 2;
}

void core_lease_disconnected(struct core *c)
{
    memset(c->beats, 0, sizeof(c->beats));
    c->next_beat = 0;
    c->connect_touch = 0;
}

static int64_t deadline(const struct core *c, int64_t touched)
{
    int64_t kill_at = touched + c->timeout - (c->timeout + 49) / 50 - c->config.kill_margin;
    return kill_at > 0 ? kill_at : 0;
}

static void lower(int64_t *at, int64_t most)
{
    if (*at > most)
        *at = most;
}

/* The smallest T ever granted to this session counts; when it shrinks, the proof stays and the deadline comes
 * nearer (core_lease_update works it out anew from the proof). */
void core_lease_connected(struct step *s, int64_t timeout, bool fresh)
{
    struct core *c = s->c;

    core_lease_disconnected(c);
    if (fresh) {
        c->timeout = timeout;
        c->proof = 0;
        c->kill_at = 0;
    } else if (c->timeout == 0 || timeout < c->timeout) {
        c->timeout = timeout;
        if (c->proof == 0) /* a lease that was adopted: this connection's own request is all that is known */
            lower(&c->kill_at, deadline(c, c->floor));
    }
    c->connect_touch = c->floor;
    c->kicked = false;
    c->beat_sent = 0;
}

static struct core_beat *find_beat(struct core *c, uint64_t op)
{
    for (size_t i = 0; i < CORE_BEATS; i++)
        if (c->beats[i].op == op && c->beats[i].acked == 0)
            return &c->beats[i];
    return NULL;
}

void core_lease_beat(struct step *s, const struct core_event *event)
{
    struct core_beat *beat = event->op != 0 ? find_beat(s->c, event->op) : NULL;
    if (beat == NULL)
        return; /* of an older connection */
    switch (event->rc) {
    case CORE_OK:
        beat->acked = s->now;
        s->c->kicks = 0;
        core_alarm_beat_took(s->c, s->now - beat->sent);
        if (beat->sent > s->c->floor)
            s->c->floor = beat->sent;
        return;
    case CORE_NONODE:
        if (beat->node == s->c->node_tag)
            core_latch_lost(s, "the latch node is gone: a heartbeat did not find it");
        memset(beat, 0, sizeof(*beat));
        return;
    case CORE_EXISTS:
    case CORE_UNKNOWN:
    case CORE_DENIED:
        memset(beat, 0, sizeof(*beat)); /* proves nothing; a lost connection is told by SUSPENDED */
        return;
    }
}

/* The newest check, by the time at which it was sent, that was answered by then. */
static const struct core_beat *newest_answered(const struct core *c, int64_t by)
{
    const struct core_beat *newest = NULL;
    for (size_t i = 0; i < CORE_BEATS; i++) {
        const struct core_beat *b = &c->beats[i];
        if (b->acked != 0 && b->acked <= by && (newest == NULL || b->sent > newest->sent))
            newest = b;
    }
    return newest;
}

void core_lease_update(struct step *s)
{
    struct core *c = s->c;
    const struct core_beat *last = newest_answered(c, s->now), *n = NULL, *j = NULL;

    if (last != NULL && c->connect_touch > c->proof)
        c->proof = c->connect_touch;
    if (last != NULL)
        n = newest_answered(c, last->sent - core_lease_interval(c) / 2);
    if (n != NULL)
        j = newest_answered(c, n->sent - core_lease_half_tick(c) - CORE_EPSILON);
    if (j != NULL && j->sent > c->proof)
        c->proof = j->sent;
    if (c->proof == 0 || c->session == 0)
        return;
    c->kill_at = deadline(c, c->proof);
}

bool core_lease_checked(const struct core *c)
{
    return newest_answered(c, CLOCK_NEVER) != NULL;
}

static void send_beat(struct step *s)
{
    struct core *c = s->c;
    struct core_action *a = core_act(s, CORE_ACT_BEAT);
    struct core_beat *slot = &c->beats[c->next_beat];

    a->op = ++c->last_op;
    memcpy(a->node, c->node, sizeof(a->node));
    *slot = (struct core_beat){.op = a->op, .sent = s->now, .node = c->node_tag};
    c->next_beat = (c->next_beat + 1) % CORE_BEATS;
    c->beat_sent = s->now;
}

static size_t outstanding(const struct core *c)
{
    size_t count = 0;
    for (size_t i = 0; i < CORE_BEATS; i++)
        count += c->beats[i].op != 0 && c->beats[i].acked == 0;
    return count;
}

/* How long the oldest heartbeat has been without an answer. */
static int64_t waited(const struct core *c, int64_t now)
{
    int64_t longest = 0;
    for (size_t i = 0; i < CORE_BEATS; i++)
        if (c->beats[i].op != 0 && c->beats[i].acked == 0 && now - c->beats[i].sent > longest)
            longest = now - c->beats[i].sent;
    return longest;
}

/* When this connection is to be given up; CLOCK_NEVER where nothing is owed. A request may take a while (T/6
 * before it counts as overdue); a heartbeat is quick or the connection is bad. */
static int64_t overdue_at(const struct core *c)
{
    int64_t at = CLOCK_NEVER;

    if (c->kicked)
        return at; /* once a connection */
    for (size_t i = 0; i < CORE_BEATS; i++) {
        const struct core_beat *b = &c->beats[i];
        if (b->op != 0 && b->acked == 0 && b->sent + patience(c, beat_interval(c)) < at)
            at = b->sent + patience(c, beat_interval(c));
    }
    for (size_t r = 0; r < CORE_REQUESTS; r++)
        if (c->pending[r] != 0 && c->pending_since[r] + patience(c, c->timeout / 12) < at)
            at = c->pending_since[r] + patience(c, c->timeout / 12);
    return at;
}

/* The same while there is none: the server that is being tried may be a frozen one, whose kernel still
 * accepts. A Livy that runs does not wait for it longer than half of what its lease has left, or one frozen
 * server that is tried again would cost what the others, back since, could have saved. */
static int64_t connect_overdue_at(const struct core *c)
{
    if (!c->opened || c->timeout == 0)
        return CLOCK_NEVER;
    int64_t since = c->kick_at > c->suspended_at ? c->kick_at : c->suspended_at;
    int64_t most = patience(c, c->timeout / 20), left = c->kill_at - since;
    if (core_livy_alive(c) && left > 0 && left / 2 < most)
        most = left / 2 < PATIENCE_MIN ? PATIENCE_MIN : left / 2;
    return since + most;
}

static bool may_beat(const struct core *c)
{
    return c->node[0] != '\0' && !c->doomed && outstanding(c) < MAX_OUTSTANDING;
}

void core_lease_reconcile(struct step *s)
{
    struct core *c = s->c;

    if (s->now >= (c->connected ? overdue_at(c) : connect_overdue_at(c))) {
        core_act(s, CORE_ACT_KICK);
        if (c->connected)
            core_alarm_beat_took(c,
                                 waited(c, s->now)); /* it took longer than this, and is not heard of again */
        c->kick_at = s->now;
        c->kicked = c->connected; /* once a connection */
        c->kicks++;
    }
    if (c->connected && may_beat(c) && (c->beat_sent == 0 || s->now - c->beat_sent >= beat_interval(c)))
        send_beat(s);
}

int64_t core_lease_next(const struct core *c, int64_t now)
{
    int64_t next = CLOCK_NEVER;

    core_earliest(&next, now, c->connected ? overdue_at(c) : connect_overdue_at(c));
    if (c->connected && may_beat(c))
        core_earliest(&next, now, c->beat_sent + beat_interval(c));
    return next;
}
