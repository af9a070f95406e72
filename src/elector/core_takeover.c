/* core_takeover.c - what stands between being first in the queue and START, where the one that was active
 * before did not leave in order.
 *
 * Whoever is active has a tenure in <root>/tenures, which goes with its latch node when that is given up in
 * order, or when its own daemon has seen that its Livy is dead. A tenure that stands while we are first is of
 * a member that went otherwise: the victim. It is known even where the queue was empty meanwhile, and stays
 * known until a take-over has been finished: one that was given up half-way leaves it to the next member.
 *
 * Four gates, all of them counted from the moment in which we were first; START when all are passed:
 *   - the pause: 100 ms, and K more where somebody else has pushed the predecessor out of the queue, or may
 *     have done so before we came (its tenure is written with its START: cut short in between, it has none).
 *     A stranger's delete is seen by the one that it hits as soon as by us: it needs K for Livy's death at
 *     the most. Where the session has ended, its lease has seen to that; the pause is for one that was closed
 *     by a stranger;
 *   - failover.takeover_delay;
 *   - failover.fence_command, tried again until it succeeds;
 *   - the victim's Livy does not answer any more.
 * The last three are for a victim alone. A victim that has come back and says itself that its Livy is dead
 * (it deletes its tenure) is one no longer.
 */
#include "core_internal.h"

#include <string.h>

#include "livy-ha/clock.h"

#define PAUSE 100           /* ms, see above */
#define ASK_AGAIN 20        /* ms between questions while the pause lasts */
#define ASK_LATER 1000      /* the same after it */
#define PROBE_ANSWERS 50    /* ms between probes of a Livy that answers */
#define PROBE_SILENT 1000   /* the same of one that does not, while another gate is shut */
#define PROBE_UNTOLD 1000   /* the same after one that could not be made */
#define PROBE_PATIENCE 5000 /* ms after which a probe without a result counts as silence */
#define FENCE_AGAIN 5000    /* ms to the second try, doubled with each one */
#define FENCE_AGAIN_MAX 60000
#define FENCE_PATIENCE 5000 /* ms beyond the time-out for the keeper's word */

bool core_takeover_passed(const struct core *c)
{
    return c->takeover.state == CORE_TAKEOVER_PASSED;
}

void core_takeover_forget(struct core *c)
{
    memset(&c->takeover, 0, sizeof(c->takeover));
    c->tenure_due = false;
}

void core_takeover_begin(struct step *s)
{
    struct core *c = s->c;
    struct core_takeover *t = &c->takeover;

    core_say(c->reason, "first in the queue");
    if (t->state != CORE_TAKEOVER_NONE)
        return;
    t->state = c->leading ? CORE_TAKEOVER_PASSED : CORE_TAKEOVER_WAITING;
    t->won_at = s->now;
}

static bool has_victim(const struct core_takeover *t)
{
    return t->victim.tenure[0] != '\0';
}

/* ---- who it is --------------------------------------------------------------------------------------- */

static void take_victim(struct step *s, const struct core_victim *victim)
{
    struct core_takeover *t = &s->c->takeover;

    if (victim != NULL && strcmp(victim->tenure, t->victim.tenure) == 0 &&
        victim->member.epoch == t->victim.member.epoch)
        return; /* the same as before */
    t->fencing = CORE_FENCING_DUE;
    t->fence_at = t->fence_by = t->probe_at = t->probe_by = t->answering = 0;
    t->fence_op = t->probe_op = 0;
    t->fence_failures = 0;
    t->looked = t->answers_told = false;
    if (victim != NULL)
        t->victim = *victim;
    else
        memset(&t->victim, 0, sizeof(t->victim));
}

static void told(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;
    struct core_takeover *t = &c->takeover;

    t->ask_at = s->now + (s->now - t->won_at < PAUSE + c->config.kill_margin ? ASK_AGAIN : ASK_LATER);
    if (event->rc != CORE_OK || t->state != CORE_TAKEOVER_WAITING || t->clear[0] != '\0')
        return;
    t->known = true;
    t->left = event->left;
    if (event->victim != NULL && t->left == CORE_LEFT_IN_ORDER)
        t->left = CORE_LEFT_GONE;
    t->unclean = t->left == CORE_LEFT_GONE || t->left == CORE_LEFT_NODE;
    t->more = event->more;
    take_victim(s, event->victim);
}

static void cleared(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    /* One that cannot be deleted stays for a person to look at; nobody waits for it. */
    if (event->rc == CORE_UNKNOWN || event->rc == CORE_EXISTS)
        return; /* asked again */
    if (c->takeover.clear[0] != '\0') {
        c->takeover.clear[0] = '\0';
        c->takeover.ask_at = s->now;
    } else {
        c->tenured = false;
    }
}

void core_takeover_reply(struct step *s, const struct core_event *event)
{
    if (event->rc != CORE_OK && event->request != CORE_REQ_CLEAR && s->c->retry_at <= s->now)
        s->c->retry_at = s->now + CORE_RETRY;
    if (event->request == CORE_REQ_HANDOVER)
        told(s, event);
    else if (event->request == CORE_REQ_CLEAR)
        cleared(s, event);
    else if (event->request == CORE_REQ_TENURE && event->rc == CORE_OK)
        s->c->tenure_due = false;
}

/* ---- the gates --------------------------------------------------------------------------------------- */

static int64_t pause_of(const struct core *c)
{
    switch (c->takeover.left) {
    case CORE_LEFT_IN_ORDER:
        return 0;
    case CORE_LEFT_GONE:
        return PAUSE;
    case CORE_LEFT_NODE:
    case CORE_LEFT_UNSEEN:
        return PAUSE + c->config.kill_margin;
    }
    return PAUSE;
}

static bool fenced(const struct core *c)
{
    return !c->config.fences || c->takeover.fencing == CORE_FENCING_DONE;
}

static bool gates_open(const struct core *c, int64_t now)
{
    const struct core_takeover *t = &c->takeover;

    if (!t->known || now - t->won_at < pause_of(c))
        return false;
    if (!has_victim(t))
        return true;
    return now - t->won_at >= c->config.takeover_delay && fenced(c) && t->looked && t->answering == 0;
}

/* Nothing is fenced unless we surely are the first: a fence command that is late hits a member that may be
 * active again. */
static bool may_fence(const struct core *c, int64_t now)
{
    return c->connected && c->registered && c->first && c->own_known && !c->doomed && !c->keeper_stuck &&
           core_latch_wanted(c, now) && !core_command_paused(c, now) && core_livy_enough_lease(c, now);
}

static void fence_failed(struct step *s, const char *how)
{
    struct core_takeover *t = &s->c->takeover;
    int64_t again = (int64_t)FENCE_AGAIN << (t->fence_failures < 4 ? t->fence_failures : 4);

    if (again > FENCE_AGAIN_MAX)
        again = FENCE_AGAIN_MAX;
    t->fencing = CORE_FENCING_DUE;
    t->fence_op = 0;
    t->fence_failures++;
    t->fence_at = s->now + again;
    core_say(t->fence_why, "%s", how);
    core_history(s, CORE_HIST_FENCING_FAILED, 0, "%.40s: %.60s; not starting Livy, next try in %lld s",
                 t->victim.member.id, how, (long long)again / 1000);
}

void core_takeover_fenced(struct step *s, const struct core_event *event)
{
    struct core_takeover *t = &s->c->takeover;

    if (event->op == 0 || event->op != t->fence_op || t->fencing != CORE_FENCING_RUNS)
        return; /* of another time; the command itself is left to end */
    if (event->failed) {
        fence_failed(s, event->text != NULL ? event->text : "");
        return;
    }
    t->fencing = CORE_FENCING_DONE;
    t->fence_op = 0;
    core_history(s, CORE_HIST_FENCING_DONE, 0, "%.120s is fenced", t->victim.member.id);
}

static void fence(struct step *s)
{
    struct core *c = s->c;
    struct core_takeover *t = &c->takeover;

    if (t->fencing == CORE_FENCING_RUNS && s->now >= t->fence_by)
        fence_failed(s, "the keeper has not told its outcome");
    if (!c->config.fences || t->fencing != CORE_FENCING_DUE || s->now < t->fence_at || !may_fence(c, s->now))
        return;
    struct core_action *a = core_act(s, CORE_ACT_FENCE);
    a->op = t->fence_op = ++c->last_op;
    a->kill_at = c->kill_at;
    core_say(a->text, "%s",
             t->left == CORE_LEFT_NODE ? "its latch node was deleted by somebody else"
                                       : "its session ended before it had given the latch up");
    t->fencing = CORE_FENCING_RUNS;
    t->fence_by = s->now + c->config.fence_timeout + FENCE_PATIENCE;
    core_history(s, CORE_HIST_FENCING, 0, "%.60s: %.80s", t->victim.member.id, a->text);
}

void core_takeover_predecessor(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;
    struct core_takeover *t = &c->takeover;

    if (event->op == 0 || event->op != t->probe_op)
        return;
    t->probe_op = 0;
    if (event->untold) { /* nothing was learnt: the gate stays as it was */
        t->probe_at = s->now + PROBE_UNTOLD;
        return;
    }
    t->looked = true;
    t->probe_at = s->now + (event->alive ? PROBE_ANSWERS : PROBE_SILENT);
    if (!event->alive)
        t->answering = 0;
    else if (t->answering == 0)
        t->answering = s->now;
    if (!event->alive || t->answers_told || s->now - t->answering < c->config.kill_margin)
        return;
    t->answers_told = true;
    core_history(s, CORE_HIST_PREDECESSOR_ANSWERS, 0,
                 "%.30s's Livy still answers at %.60s: not starting a second one; stop it there",
                 t->victim.member.id, t->victim.member.url);
}

static void look(struct step *s)
{
    struct core *c = s->c;
    struct core_takeover *t = &c->takeover;

    if (t->probe_op != 0 && s->now >= t->probe_by)
        core_takeover_predecessor(s, &(struct core_event){.op = t->probe_op});
    if (t->probe_op != 0 || s->now < t->probe_at)
        return;
    core_act(s, CORE_ACT_PROBE_PREDECESSOR)->op = t->probe_op = ++c->last_op;
    t->probe_by = s->now + PROBE_PATIENCE;
}

/* What was in the way is so no more; its tenure must not make the next one fence it again. */
static void pass(struct step *s)
{
    struct core_takeover *t = &s->c->takeover;
    bool more = has_victim(t) && t->more;

    memcpy(t->clear, t->victim.tenure, sizeof(t->clear));
    memcpy(t->after, t->victim.tenure, sizeof(t->after));
    if (!more) {
        t->state = CORE_TAKEOVER_PASSED;
        return;
    }
    t->known = false;
    take_victim(s, NULL);
}

static void alarms(struct step *s)
{
    const struct core_takeover *t = &s->c->takeover;
    bool waits = t->state == CORE_TAKEOVER_WAITING;
    bool fails = waits && t->fence_failures > 0 && t->fencing != CORE_FENCING_DONE;
    bool answers = waits && t->answers_told && t->answering != 0;

    core_alarm(s, CORE_ALARM_FENCING, fails, "%s",
               fails ? t->fence_why : "failover.fence_command is not waited for any more");
    core_alarm(s, CORE_ALARM_ANSWERS, answers, "%s",
               answers ? t->victim.member.url : "no other Livy stands in the way any more");
}

void core_takeover_reconcile(struct step *s)
{
    struct core *c = s->c;
    struct core_takeover *t = &c->takeover;

    alarms(s);
    if (t->state != CORE_TAKEOVER_WAITING)
        return;
    if (t->known && has_victim(t)) {
        fence(s);
        look(s);
    }
    if (gates_open(c, s->now))
        pass(s);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

static void ask_handover(struct step *s)
{
    struct core *c = s->c;

    if (c->takeover.state != CORE_TAKEOVER_WAITING || c->takeover.clear[0] != '\0' ||
        s->now < c->takeover.ask_at)
        return;
    struct core_action *a = core_ask(s, CORE_REQ_HANDOVER, CORE_ACT_HANDOVER);
    if (a == NULL)
        return;
    memcpy(a->after, c->takeover.after, sizeof(a->after));
    if (c->predecessor_ours)
        return;
    memcpy(a->node, c->predecessor, sizeof(a->node));
    memcpy(a->text, c->predecessor_id, sizeof(a->text));
}

/* Another's tenure goes only while our node is there, so that a request that is carried out late cannot take
 * away the tenure of one that is active again. */
static void ask_clear(struct step *s)
{
    struct core *c = s->c;
    const char *tenure = c->takeover.clear;
    bool own = tenure[0] == '\0';

    if (own && (!c->tenured || c->leading || c->first || !core_livy_surely_dead(c, s->now)))
        return;
    struct core_action *a = core_ask(s, CORE_REQ_CLEAR, CORE_ACT_CLEAR);
    if (a == NULL)
        return;
    memcpy(a->text, tenure, CORE_TENURE_SIZE);
    if (!own)
        memcpy(a->node, c->node, sizeof(a->node));
}

static void ask_tenure(struct step *s)
{
    struct core *c = s->c;

    if (!c->tenure_due || !c->own_known || !c->leading || c->doomed)
        return;
    struct core_action *a = core_ask(s, CORE_REQ_TENURE, CORE_ACT_TENURE);
    if (a == NULL)
        return;
    memcpy(a->node, c->node, sizeof(a->node));
    a->epoch = c->epoch;
}

void core_takeover_ask(struct step *s)
{
    struct core *c = s->c;

    if (!c->registered)
        return;
    if (c->node[0] != '\0' && c->first && !c->doomed && core_latch_wanted(c, s->now))
        ask_handover(s);
    ask_clear(s);
    ask_tenure(s);
}

int64_t core_takeover_next(const struct core *c, int64_t now)
{
    const struct core_takeover *t = &c->takeover;
    int64_t next = CLOCK_NEVER;

    if (t->state != CORE_TAKEOVER_WAITING)
        return next;
    if (c->connected)
        core_earliest(&next, now, t->ask_at);
    if (!t->known)
        return next;
    core_earliest(&next, now, t->won_at + pause_of(c));
    if (!has_victim(t))
        return next;
    core_earliest(&next, now, t->won_at + c->config.takeover_delay);
    core_earliest(&next, now, t->fencing == CORE_FENCING_RUNS ? t->fence_by : t->fence_at);
    core_earliest(&next, now, t->probe_op != 0 ? t->probe_by : t->probe_at);
    return next;
}
