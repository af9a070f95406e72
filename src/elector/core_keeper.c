/* core_keeper.c - what became of an order to the keeper whose answer stays out.
 *
 * The channel is a queue of bounded length. A keeper that is stopped lets it run full, and an order that does
 * not fit is lost: nobody would ever answer it. So the core asks: ASK carries a number, its answer (LIVY)
 * carries it back. The channel keeps its order, so once an ASK that was sent after an order is answered, that
 * order has been obeyed, refused, or was lost, and the answer says which. What was lost is not on its way any
 * more: a START is made anew, with the lease of then; none that is old can come true (rule 6).
 *
 * A standby orders nothing, so nothing is owed to it. It asks where there is reason to doubt that its keeper
 * would obey (CORE_EV_DOUBT), and steps out of the queue where there is no answer: first in the queue it
 * would cost the others a whole lease before they know that nothing was started here.
 */
#include "core_internal.h"

#include "livy-ha/clock.h"

#define ASK_AGAIN 5000 /* a keeper that is stopped must not find its queue full of questions */

static bool owed(const struct core *c)
{
    return c->keeper_stuck || c->start_run != 0 || (c->stop_sent && c->livy.state == IPC_LIVY_ALIVE);
}

static int64_t ask_at(const struct core *c)
{
    return c->asked_at > c->ordered_at ? c->asked_at + ASK_AGAIN : c->ordered_at + CORE_KEEPER_PATIENCE;
}

void core_keeper_ordered(struct step *s)
{
    s->c->ordered_at = s->now;
    s->c->ordered_after = s->c->asked;
    core_keeper_owes(s);
}

void core_keeper_owes(struct step *s)
{
    if (s->c->unanswered == 0)
        s->c->unanswered = s->now;
}

static void ask(struct step *s)
{
    core_act(s, CORE_ACT_ASK)->run = ++s->c->asked;
    s->c->asked_at = s->now;
    core_keeper_owes(s);
}

void core_keeper_doubt(struct step *s)
{
    if (s->c->unanswered == 0) /* else its patience is running already */
        ask(s);
}

void core_keeper_answered(struct step *s)
{
    struct core *c = s->c;

    c->unanswered = 0;
    if (!c->keeper_stuck)
        return;
    c->keeper_stuck = false;
    core_say(c->reason, "the keeper answers again");
    core_act(s, CORE_ACT_SESSION); /* the channel was full, perhaps */
    c->releasing_sent = c->may_close;
    c->asked_at = 0; /* what it knows of the last order is asked at once */
}

/* The keeper's word answers the START that is on its way; what it said before that does not. */
bool core_keeper_knows(const struct core *c, const struct core_event *event)
{
    if (c->start_run == 0 || event->livy.run >= c->start_run)
        return true;
    return event->op != 0 ? event->op > c->ordered_after : event->livy.cause == IPC_CAUSE_REFUSED;
}

/* All that was sent before the question has been read: what is not done was lost. */
void core_keeper_lost(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (event->op == 0 || event->op <= c->ordered_after)
        return;
    if (c->stop_sent && event->livy.state == IPC_LIVY_ALIVE)
        c->stop_sent = c->counted = false; /* ordered again where it is still wanted */
}

void core_keeper_reconcile(struct step *s)
{
    struct core *c = s->c;

    if (c->unanswered != 0 && s->now - c->unanswered >= CORE_KEEPER_PATIENCE && !c->keeper_stuck) {
        c->keeper_stuck = true;
        core_say(c->reason, "the keeper does not answer");
        core_say(c->livy_reason, "%s", c->reason); /* why the latch will be given up */
    }
    if (owed(c) && s->now >= ask_at(c))
        ask(s);
}

int64_t core_keeper_next(const struct core *c, int64_t now)
{
    int64_t next = CLOCK_NEVER;

    if (c->unanswered != 0 && !c->keeper_stuck)
        core_earliest(&next, now, c->unanswered + CORE_KEEPER_PATIENCE);
    if (owed(c))
        core_earliest(&next, now, ask_at(c));
    return next;
}
