/* core_command.c - what people ask for: to step down, to hand the latch over, to restart Livy, to leave all
 * as it is for a while. What they have asked is a state (CORE_EV_ORDERS, CORE_EV_STAND), not a message, so
 * that an elector that comes after this one goes on with it. A restart is a message, lost with its elector:
 * in a pause, where nobody would start what it has stopped, the orders say as well that it is under way.
 *
 * PLANNED STOPS. The fronts hold new requests and let those that run end (QUIESCE), for front.drain at most;
 * then Livy is stopped. Meanwhile the lease is renewed and everything else goes on; whatever takes Livy down
 * first does so.
 *
 * SWITCHOVER. The latch is a queue, and its order is that of the nodes' numbers, so nobody can be put into it
 * elsewhere than at its end. A request names the epoch of the node that is to be given up: it concerns that
 * one reign and no later one, whatever becomes of who asked. Where it names a successor,
 *   - the successor says in the request which node is its (AWAY);
 *   - each standby whose node stands before that one gives it up and joins again behind it (it runs nothing,
 *     so there is nothing to be fenced);
 *   - once the node right before the successor's is the one that is to go, it says so (NEXT).
 * Only then, or at once where nobody is named, the active member says that it begins (BEGUN). Both are
 * compare-and-set: a request that was taken back or has expired in the meantime is not begun. It quiesces,
 * stops Livy, gives its node up in order and joins again at the end. Who takes over and serves ends the
 * request. So a crash anywhere leaves either a request that nobody has begun, or a queue as after any orderly
 * leave; and nothing here shortens the way to START, which is core_takeover.c's and core_livy.c's.
 *
 * PAUSE. Nothing is started, restarted or fenced of our own accord, and Livy is stopped for nothing but a
 * lost lease. What a person asks for is done: `start` lets one START pass.
 */
#include "core_internal.h"

#include <string.h>

#include "livy-ha/clock.h"

/* ---- what is asked for ------------------------------------------------------------------------------- */

void core_command_stand(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;
    unsigned bar = (unsigned)event->bar;

    if (bar >= CORE_BARS)
        return;
    c->barred = event->stand ? c->barred & ~(1u << bar) : c->barred | 1u << bar;
    core_say(c->bar_reasons[bar], "%s", event->text != NULL ? event->text : "");
    c->may_stand = c->barred == 0;
    for (unsigned i = CORE_BARS; i-- > 0;)
        if ((c->barred >> i & 1) != 0)
            core_say(c->stand_reason, "%s", c->bar_reasons[i]);
}

void core_command_orders(struct step *s, const struct core_event *event)
{
    struct core_command *command = &s->c->command;

    command->orders = event->orders;
    command->marked = false; /* what was to be said before is in these, or got lost */
    core_say(command->orders_text, "%s", event->text != NULL ? event->text : "");
}

void core_command_restart(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (!c->leading)
        return;
    core_say(c->command.restart_text, "%s", event->text != NULL ? event->text : "restart by command");
    core_history(s, CORE_HIST_RESTART, 0, "%s", c->command.restart_text);
    c->command.restarting = core_livy_alive(c) || c->start_run != 0;
    c->command.start = !c->command.restarting;
}

void core_command_died(struct step *s)
{
    struct core_command *command = &s->c->command;

    if (command->restarting)
        command->start = s->c->livy.cause == IPC_CAUSE_ORDERED;
    command->restarting = false;
}

void core_command_quiet(struct core *c)
{
    if (c->command.quiesce == CORE_QUIESCE_ASKED)
        c->command.quiesce = CORE_QUIESCE_QUIET;
}

/* ---- what follows from it ---------------------------------------------------------------------------- */

bool core_command_paused(const struct core *c, int64_t now)
{
    const struct core_command *command = &c->command;
    return command->orders.paused && now < command->orders.paused_until && !command->start;
}

/* The reign that the switchover ends is this one. */
static bool concerned(const struct core *c)
{
    return c->leading && !c->doomed && c->epoch != 0 && c->command.orders.epoch == c->epoch;
}

bool core_command_giving(const struct core *c)
{
    return concerned(c) && c->command.orders.begun;
}

bool core_command_yields(const struct core *c)
{
    const struct core_orders *orders = &c->command.orders;
    int64_t own = core_latch_sequence(c->node);

    return orders->epoch != 0 && orders->named && !orders->to_me && !orders->next && !orders->begun &&
           !c->leading && c->listed && !c->first && own >= 0 && own < orders->sequence;
}

/* Why Livy is to be stopped by plan; NULL: it is not. */
static const char *planned(const struct core *c)
{
    if (c->quitting)
        return c->quit_reason;
    if ((c->barred >> CORE_BAR_DRAINED & 1) != 0)
        return c->stand_reason;
    if (core_command_giving(c))
        return c->command.orders_text;
    return c->command.restarting ? c->command.restart_text : NULL;
}

static void quiesce(struct step *s, bool on)
{
    struct core *c = s->c;

    core_act(s, CORE_ACT_QUIESCE)->on = on;
    c->command.quiesce = on ? CORE_QUIESCE_ASKED : CORE_QUIESCE_OFF;
    c->command.quiesce_by = on ? s->now + c->config.drain : 0;
}

static void stop_by_plan(struct step *s)
{
    struct core *c = s->c;
    const char *why = planned(c);
    bool alive = core_livy_alive(c) || c->start_run != 0;
    bool serves = c->livy.state == IPC_LIVY_ALIVE && c->served && !c->stop_sent && !c->kill_sent;

    if (c->command.quiesce != CORE_QUIESCE_OFF && (!alive || (why == NULL && !c->stop_sent)))
        quiesce(s, false);
    if (why == NULL || !alive)
        return;
    if (serves && c->command.quiesce == CORE_QUIESCE_OFF)
        quiesce(s, true);
    if (!serves || c->command.quiesce == CORE_QUIESCE_QUIET || s->now >= c->command.quiesce_by)
        core_livy_stop(s, c->config.stop_grace, why);
}

/* It is our turn, and somebody has asked for a Livy: the reign that was to end has ended, or Livy was stopped
 * for a restart, and whoever was to start it again has gone. */
static bool start_is_due(const struct core *c)
{
    const struct core_orders *orders = &c->command.orders;
    bool handed_over = orders->begun && orders->epoch != 0 && orders->epoch < c->epoch;
    bool stopped = c->livy.epoch == c->epoch && c->livy.cause == IPC_CAUSE_ORDERED;

    if (!c->first || !c->own_known || core_livy_alive(c) || c->start_run != 0)
        return false;
    if (!c->leading)
        return handed_over || (orders->restart != 0 && orders->restart < c->epoch);
    return orders->restart == c->epoch && stopped;
}

void core_command_reconcile(struct step *s)
{
    struct core *c = s->c;

    if (start_is_due(c))
        c->command.start = true;
    if ((c->barred >> CORE_BAR_STORE & 1) != 0)
        core_livy_stop(s, c->config.stop_grace, c->stand_reason);
    stop_by_plan(s);
}

/* ---- what is said in <root>/control ------------------------------------------------------------------ */

static void mark(struct step *s, enum core_mark what)
{
    struct core *c = s->c;
    struct core_action *a = core_act(s, CORE_ACT_MARK);

    a->mark = what;
    a->epoch = c->command.orders.epoch;
    a->tag = (uint64_t)core_latch_sequence(c->node);
    c->command.marked = true;
}

static void mark_successor(struct step *s)
{
    struct core *c = s->c;
    const struct core_orders *orders = &c->command.orders;
    bool next = c->watching && c->predecessor_epoch == orders->epoch;
    int64_t own = core_latch_sequence(c->node);

    if (c->leading || c->doomed || !c->listed || c->first || own < 0)
        return;
    if (next && (!orders->next || orders->sequence != own))
        mark(s, CORE_MARK_NEXT);
    else if (!next && orders->sequence != own)
        mark(s, CORE_MARK_AWAY);
}

void core_command_mark(struct step *s)
{
    struct core *c = s->c;
    const struct core_orders *orders = &c->command.orders;

    if (!c->connected || c->command.marked || orders->epoch == 0 || orders->begun ||
        !core_latch_wanted(c, s->now))
        return;
    if (concerned(c) && (!orders->named || (orders->next && !orders->to_me)))
        mark(s, CORE_MARK_BEGUN);
    else if (orders->named && orders->to_me)
        mark_successor(s);
}

int64_t core_command_next(const struct core *c, int64_t now)
{
    int64_t next = CLOCK_NEVER;

    if (c->command.orders.paused)
        core_earliest(&next, now, c->command.orders.paused_until);
    if (c->command.quiesce == CORE_QUIESCE_ASKED)
        core_earliest(&next, now, c->command.quiesce_by);
    return next;
}
