/* hcore_renew.c - whether the Livy that is held is still the one that would be started now, and when it is
 * renewed if it is not. Pure: see hcore.h.
 */
#include "hcore_internal.h"

#include "livy-ha/clock.h"

#define STAMP_INTERVAL 10000 /* ms; more often where held_max_age is short */
#define JITTER 60000
#define TURN_WITHIN 120000 /* ms that an out-of-date one waits for its turn, or … */
#define TURN_WARMUPS 3     /* … so many times as long as it took to the gate, where that is longer */
#define JARS_CHANGED "jars of livy.home, or livy.command, have changed"
#define CHANGED "files of livy.conf_dir have changed"

int64_t hcore_jitter(const struct hcore *h)
{
    int64_t most = h->config.max_age / 8 < JITTER ? h->config.max_age / 8 : JITTER;
    return (int64_t)(h->draw % (uint64_t)(most + 1));
}

int64_t hcore_renew_interval(const struct hcore *h)
{
    return h->config.max_age / 4 < STAMP_INTERVAL ? h->config.max_age / 4 : STAMP_INTERVAL;
}

void hcore_renew_look(struct hstep *s)
{
    if (s->h->stamping)
        return; /* its answer is under way */
    s->h->stamping = true;
    hcore_act(s, HCORE_ACT_STAMP, "");
}

/* What it has not loaded yet would come out of other files. */
static void jars_changed(struct hstep *s)
{
    s->h->renewing = true;
    s->h->start_at = s->h->looking ? s->now : s->now + hcore_jitter(s->h);
    hcore_end(s, JARS_CHANGED);
}

static void conf_changed(struct hstep *s)
{
    struct hcore *h = s->h;

    h->changed = true;
    if (h->looking) {
        h->renewing = true;
        h->start_at = s->now;
        hcore_end(s, CHANGED ", and a take-over by plan is near");
    } else if (h->renew_at > s->now) {
        h->renew_at = s->now;
        hcore_say(h->renewal, CHANGED);
    }
}

static void compare(struct hstep *s, const struct hcore_stamp *now)
{
    struct hcore *h = s->h;

    h->stamp_at = s->now + hcore_renew_interval(h);
    if (now->jars != h->stamp.jars)
        jars_changed(s);
    else if (now->conf != h->stamp.conf)
        conf_changed(s);
}

static void blinded(struct hstep *s, const char *why)
{
    struct hcore *h = s->h;

    if (h->state == HCORE_LOOKING) {
        h->state = HCORE_NONE;
        hcore_failed(s, why);
        return;
    }
    if (hcore_current(h)) /* else it is one that has been let go that nothing is known of */
        h->stamp_at = s->now + hcore_renew_interval(h);
    h->looking = h->look_anew = false;
    if (!h->blind)
        hcore_act(s, HCORE_ACT_WARN, why);
}

/* With a look that had begun before it was asked for, what was asked for is answered by another one. */
static void looked(struct hstep *s)
{
    struct hcore *h = s->h;

    if (h->look_anew)
        hcore_renew_look(s);
    else
        h->looking = false;
    h->look_anew = false;
}

/* It serves by now. */
static void looked_after(struct hstep *s, const struct hcore_stamp *now)
{
    bool jars = now->jars != s->h->stamp.jars;
    char text[IPC_TEXT_SIZE];

    if (!jars && now->conf == s->h->stamp.conf)
        return;
    hcore_say(text,
              "Livy was held before %s: it serves without that change until it is started anew "
              "(livy-ha-ctl restart)",
              jars ? JARS_CHANGED : CHANGED);
    hcore_act(s, HCORE_ACT_WARN, text);
}

void hcore_renew_taken(struct hstep *s)
{
    s->h->let_go = true;
    s->h->renewing = false;
    hcore_renew_look(s);
}

void hcore_renew_looked(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;
    bool failing = event->text != NULL && event->text[0] != '\0', after = h->let_go;

    h->stamping = h->let_go = false;
    if (after && !failing)
        looked_after(s, &event->stamp);
    if (h->state == HCORE_LOOKING && !failing) {
        h->state = HCORE_NONE;
        if (hcore_may_start(h)) {
            h->state = HCORE_LOOKING;
            h->stamp = event->stamp;
            hcore_act(s, HCORE_ACT_START, "");
        }
    } else if (failing && (after || hcore_current(h) || h->state == HCORE_LOOKING)) {
        blinded(s, event->text);
    } else if (hcore_current(h)) {
        compare(s, &event->stamp);
        looked(s);
    }
    h->blind = failing;
}

void hcore_renew_asked(struct hstep *s)
{
    struct hcore *h = s->h;

    if (!hcore_current(h) || h->looking)
        return;
    h->looking = true;
    h->look_anew = h->stamping;
    if (h->changed)
        conf_changed(s);
    else
        hcore_renew_look(s);
}

/* ---- renewing it --------------------------------------------------------------------------------------- */

int64_t hcore_renew_within(const struct hcore *h)
{
    return TURN_WARMUPS * h->warmed > TURN_WITHIN ? TURN_WARMUPS * h->warmed : TURN_WITHIN;
}

void hcore_renew_turn(struct hstep *s)
{
    if (!hcore_current(s->h) || s->h->due_at == CLOCK_NEVER)
        return;
    s->h->start_at = s->now;
    hcore_end(s, s->h->renewal);
}

/* It is out of date. Before it stands at the gate it is of no use to anybody yet. */
void hcore_renew_due(struct hstep *s)
{
    struct hcore *h = s->h;
    char text[IPC_TEXT_SIZE];

    h->renewing = true;
    if (h->due_at == CLOCK_NEVER)
        h->due_at = s->now;
    if (h->state == HCORE_WARMING) {
        hcore_renew_turn(s);
    } else if (s->now - h->due_at >= hcore_renew_within(h)) {
        hcore_say(text, "the held Livy is renewed (%.100s) though no other member's was ready within %lld s",
                  h->renewal, (long long)(hcore_renew_within(h) / 1000));
        hcore_act(s, HCORE_ACT_WARN, text);
        hcore_renew_turn(s);
    }
}
