/* core_backoff.c - how long a start waits after Livy has died, and whether the latch is given up for it.
 *
 * A Livy that a stored session kills dies on every member alike, so its deaths count together, whoever ran
 * it: all of those within livy.restart_window that <root>/deaths tells of. From the second one on a start
 * waits 1 s after the last death, doubling up to a minute, here as well as on whoever takes over. Only deaths
 * of Livy itself are told (core_livy.c): what fencing, a lost lease, a killed keeper and an orderly stop end
 * has not died of itself, so a fail-over is not slowed down by them.
 *
 * The latch is given up after livy.restarts restarts here only where another member stands that has not given
 * it up within the window itself. So within one window it moves at most once from each member; the last one
 * keeps it and goes on trying. A Livy that has not answered within livy.start_timeout has cost that much
 * once: there the latch is given up at once, under the same condition. (Several such times make no
 * livy.restarts deaths within livy.restart_window, so that one would hold the latch for ever.)
 *
 * Where the member that is next in the queue holds a Livy at the gate (livy.standby = "hot"), that one is
 * back before another could be started here: then the latch is given up at the first death, and this member
 * queues up anew at once. It holds for as many deaths within the window, on all members, as livy.restarts
 * says. Beyond them it is Livy that does not live, not this host: what was said above goes on as without, so
 * the waits and the end are the same. What the other member says may be out of date by then; it starts its
 * Livy all the same, only slower. Ends that count as no death (a lease that ran out, a store's ZooKeeper that
 * was away) move it too, and have no such limit: so one member gives it to the next one livy.restarts times
 * within the window at most, whatever Livy has ended of.
 */
#include "core_internal.h"

#include <string.h>

#include "livy-ha/clock.h"

#define DELAY_FIRST 1000
#define DELAY_MAX 60000
#define REJOIN_DELAY 5000

static bool recent(const struct core *c, const struct core_death *death, int64_t now)
{
    return now - death->at < c->config.restart_window;
}

/* Deaths within the window, of all members or of this one alone. */
static int count(const struct core *c, int64_t now, bool own)
{
    int found = 0;

    for (size_t i = 0; i < c->backoff.n; i++) {
        const struct core_death *death = &c->backoff.list[i];
        found += !death->gave_up && recent(c, death, now) && (!own || death->member == 0);
    }
    return found;
}

/* Before this no start; 0: there is nothing to wait for. */
static int64_t until(const struct core *c, int64_t now)
{
    int deaths = count(c, now, false);
    int64_t last = 0;

    if (deaths < 2)
        return 0;
    for (size_t i = 0; i < c->backoff.n; i++)
        if (!c->backoff.list[i].gave_up && c->backoff.list[i].at > last)
            last = c->backoff.list[i].at;
    int64_t delay = deaths < 8 ? (int64_t)DELAY_FIRST << (deaths - 2) : DELAY_MAX;
    return last + (delay < DELAY_MAX ? delay : DELAY_MAX);
}

bool core_backoff_over(const struct core *c, int64_t now)
{
    return now >= until(c, now);
}

/* Does another member stand that has not given the latch up within the window? */
static bool somebody_fresh(const struct core *c, int64_t now)
{
    uint64_t fresh = c->backoff.standing & ~UINT64_C(1);

    for (size_t i = 0; i < c->backoff.n; i++) {
        const struct core_death *death = &c->backoff.list[i];
        if (death->gave_up && recent(c, death, now))
            fresh &= ~(UINT64_C(1) << death->member);
    }
    return fresh != 0;
}

static void note(struct step *s, bool gave_up, const char *text)
{
    struct core_backoff *b = &s->c->backoff;
    struct core_action *a = core_act(s, CORE_ACT_DEATH);

    a->gave_up = gave_up;
    core_say(a->text, "%s", text);
    if (b->n == CORE_DEATHS) {
        memmove(b->list, b->list + 1, (CORE_DEATHS - 1) * sizeof(b->list[0]));
        b->n--;
    }
    b->list[b->n++] = (struct core_death){.at = s->now, .gave_up = gave_up};
    b->noted = false;
}

void core_backoff_died(struct step *s, const char *how)
{
    note(s, false, how);
}

void core_backoff_news(struct step *s, const struct core_event *event)
{
    struct core_backoff *b = &s->c->backoff;
    size_t skip = event->n_deaths > CORE_DEATHS ? event->n_deaths - CORE_DEATHS : 0;

    b->n = 0;
    for (size_t i = skip; i < event->n_deaths; i++) {
        struct core_death death = event->deaths[i];
        if (death.at > s->now)
            death.at = s->now; /* a clock ran ahead: no start waits for longer than the delay */
        if (death.member < CORE_STANDING)
            b->list[b->n++] = death;
    }
    b->standing = event->standing;
    b->noted = true;
    core_say(b->names, "%s", event->text != NULL ? event->text : "");
    core_say(b->heir, "%s", event->heir != NULL ? event->heir : "");
}

void core_backoff_disconnected(struct core *c)
{
    c->backoff.heir[0] = '\0';
}

/* "10 min", "90 s", "1.5 s". */
static void duration(char text[static CORE_TEXT_SIZE], int64_t ms)
{
    if (ms >= 60000 && ms % 60000 == 0)
        core_say(text, "%lld min", (long long)(ms / 60000));
    else if (ms % 1000 == 0)
        core_say(text, "%lld s", (long long)(ms / 1000));
    else
        core_say(text, "%.1f s", (double)ms / 1000);
}

static void give_up(struct step *s)
{
    struct core *c = s->c;
    char window[CORE_TEXT_SIZE];

    duration(window, c->config.restart_window);
    if (c->backoff.hung)
        core_say(c->livy_reason, "%.100s: the latch goes to another member", c->livy_reason);
    else
        core_say(c->livy_reason,
                 "Livy died %d time(s) here within %s (livy.restarts = %d): the latch goes to another member",
                 count(c, s->now, true), window, c->config.restarts);
    core_say(c->reason, "%s", c->livy_reason);
    note(s, true, c->livy_reason);
    c->doomed = true;
    c->rejoin_at = s->now + REJOIN_DELAY;
}

static int left_lately(const struct core *c, int64_t now)
{
    return now - c->backoff.left_since < c->config.restart_window ? c->backoff.left : 0;
}

static bool heir_is_quicker(const struct core *c, int64_t now)
{
    return c->bereft && c->backoff.heir[0] != '\0' && c->connected && !c->command.start &&
           count(c, now, false) <= c->config.restarts && left_lately(c, now) < c->config.restarts;
}

static void leave_to_heir(struct step *s)
{
    struct core *c = s->c;
    char how[CORE_TEXT_SIZE];

    c->backoff.left = left_lately(c, s->now) + 1;
    if (c->backoff.left == 1)
        c->backoff.left_since = s->now;
    core_say(how, "%s", c->livy_reason);
    core_say(c->livy_reason, "Livy died here (%.60s): %.60s has one ready, the latch goes there", how,
             c->backoff.heir);
    core_say(c->reason, "%s", c->livy_reason);
    c->doomed = true;
}

static void tell_wait(struct step *s, int64_t end)
{
    struct core *c = s->c;
    char window[CORE_TEXT_SIZE], wait[CORE_TEXT_SIZE];

    c->backoff.told = end;
    duration(window, c->config.restart_window);
    duration(wait, (end - s->now + 99) / 100 * 100);
    core_history(s, CORE_HIST_DELAYED, end - s->now, "Livy died %d times in %s on %.60s: next start in %s",
                 count(c, s->now, false), window, c->backoff.names, wait);
}

void core_backoff_reconcile(struct step *s)
{
    struct core *c = s->c;

    if (!c->leading || c->doomed || core_livy_alive(c) || c->start_run != 0 ||
        !core_latch_wanted(c, s->now) || core_command_paused(c, s->now) || core_command_giving(c))
        return;
    if ((c->backoff.hung || count(c, s->now, true) > c->config.restarts) && somebody_fresh(c, s->now)) {
        give_up(s);
        return;
    }
    if (heir_is_quicker(c, s->now)) {
        leave_to_heir(s);
        return;
    }
    int64_t end = until(c, s->now);
    if (c->backoff.noted && end > s->now && end != c->backoff.told)
        tell_wait(s, end);
}

int64_t core_backoff_next(const struct core *c, int64_t now)
{
    int64_t end = c->leading && !core_livy_alive(c) ? until(c, now) : 0;
    return end > now ? end : CLOCK_NEVER;
}
