/* hcore.c - the keeper's decisions about the Livy that it holds. Pure: see hcore.h. */
#include "hcore.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define LONGEST_DELAY 60000
#define SETTLE 200           /* ms: who is about to be elected stands by for a moment as well */
#define STEADY 60000         /* ms at the gate after which a death counts as the first again */
#define STAMP_INTERVAL 10000 /* ms; more often where held_max_age is short */
#define JITTER 60000
#define TURN_WITHIN 120000 /* ms that an out-of-date one waits for its turn, or … */
#define TURN_WARMUPS 3     /* … so many times as long as it took to the gate, where that is longer */
#define CHANGED "files of livy.conf_dir have changed"
#define CHECK_INTERVAL 1000
#define CHECK_UNGATED 100 /* until the agent has said a word: without it nothing would hold this Livy */

/* One step in progress. */
struct hstep {
    struct hcore *h;
    int64_t now;
    struct hcore_actions *out;
};

static struct hcore_action *act(struct hstep *s, enum hcore_action_type type, const char *text)
{
    if (s->out->count >= HCORE_MAX_ACTIONS)
        abort();
    struct hcore_action *a = &s->out->list[s->out->count++];
    memset(a, 0, sizeof(*a));
    a->type = type;
    snprintf(a->text, sizeof(a->text), "%s", text);
    return a;
}

static void say(char text[static IPC_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(char text[static IPC_TEXT_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, IPC_TEXT_SIZE, format, args);
    va_end(args);
}

/* The one place where the state changes. */
static void set_state(struct hstep *s, enum hcore_state state, const char *why)
{
    struct hcore_action *a = act(s, HCORE_ACT_STATE, why);
    a->old_state = s->h->state;
    a->state = state;
    s->h->state = state;
}

bool hcore_current(const struct hcore *h)
{
    return h->state == HCORE_WARMING || h->state == HCORE_HELD;
}

bool hcore_renewing(const struct hcore *h)
{
    return h->renewing && h->config.wanted && h->role == IPC_ROLE_STANDBY && !h->refused && !h->quitting &&
           !h->livy;
}

static bool may_start(const struct hcore *h)
{
    return h->config.wanted && h->role == IPC_ROLE_STANDBY && !h->livy && !h->quitting && !h->refused &&
           h->session > 0;
}

/* ---- ending it ----------------------------------------------------------------------------------------- */

static void forget(struct hcore *h)
{
    h->ready = h->changed = h->looking = h->look_anew = false;
    h->renew_at = h->stamp_at = h->check_at = h->due_at = CLOCK_NEVER;
    h->renewal[0] = '\0';
}

static void end(struct hstep *s, const char *why)
{
    if (s->h->state == HCORE_LOOKING)
        s->h->state = HCORE_NONE; /* nothing was started yet */
    if (!hcore_current(s->h))
        return;
    act(s, HCORE_ACT_KILL, why);
    set_state(s, HCORE_KILLED, why);
    say(s->h->why, "%s", why);
    forget(s->h);
}

/* The next one waits 1 s, 2 s, … 60 s. */
static void failed(struct hstep *s, const char *why)
{
    struct hcore *h = s->h;
    int64_t delay = 1000;

    for (unsigned i = 0; i < h->failures && delay < LONGEST_DELAY; i++)
        delay *= 2;
    if (delay > LONGEST_DELAY)
        delay = LONGEST_DELAY;
    h->failures++;
    h->start_at = s->now + delay;
    char text[IPC_TEXT_SIZE];
    say(text, "no Livy is held: %.180s; the next one in %lld s", why, (long long)(delay / 1000));
    act(s, HCORE_ACT_WARN, text);
    say(h->why, "%.200s", why);
}

/* It would be no better the next time: a person has to look. Livy itself is started cold meanwhile. */
static void refuse(struct hstep *s, const char *why)
{
    struct hcore *h = s->h;
    char text[IPC_TEXT_SIZE];

    if (h->refused)
        return;
    h->refused = true;
    say(h->why, "%s", why);
    say(text,
        "this Livy is not held and will be started cold: %.150s. Mend it and reload, or set livy.standby = "
        "\"cold\"",
        why);
    act(s, HCORE_ACT_ALARM, text);
}

static void exited(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;
    char how[IPC_TEXT_SIZE];
    bool meant = h->state == HCORE_KILLED, ungated = event->status == 256 + SIGPROF && !h->ready;

    if (!meant && !hcore_current(h))
        return;
    if (event->text != NULL && event->text[0] != '\0')
        say(how, "%.200s", event->text);
    else if (ungated)
        say(how, "%s", HCORE_UNGATED);
    else if (event->status >= 256)
        say(how, "it was killed by signal %d", event->status - 256);
    else if (event->status == GATE_EXIT_REFUSED)
        say(how, "its agent cannot do its work here (exit status %d; Livy's own output says why)",
            event->status);
    else
        say(how, "it ended with exit status %d%s", event->status,
            h->state == HCORE_HELD ? "" : " before it stood at the gate");
    if (h->state == HCORE_HELD && s->now - h->began >= STEADY)
        h->failures = 0;
    forget(h);
    set_state(s, HCORE_NONE, meant ? "reaped" : how);
    if (!meant && (ungated || event->status == GATE_EXIT_REFUSED))
        refuse(s, how);
    else if (!meant)
        failed(s, how);
}

/* ---- making it ----------------------------------------------------------------------------------------- */

static int64_t jitter(const struct hcore *h)
{
    int64_t most = h->config.max_age / 8 < JITTER ? h->config.max_age / 8 : JITTER;
    return (int64_t)(h->draw % (uint64_t)(most + 1));
}

static int64_t stamp_interval(const struct hcore *h)
{
    return h->config.max_age / 4 < STAMP_INTERVAL ? h->config.max_age / 4 : STAMP_INTERVAL;
}

static void stamp(struct hstep *s)
{
    if (s->h->stamping)
        return; /* its answer is under way */
    s->h->stamping = true;
    act(s, HCORE_ACT_STAMP, "");
}

static void started(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;

    if (h->state != HCORE_LOOKING)
        return;
    if (event->pid <= 0) {
        h->state = HCORE_NONE;
        failed(s, event->text != NULL ? event->text : "fork failed");
        return;
    }
    h->began = s->now;
    h->with = h->session;
    h->renew_at = s->now + h->config.max_age + jitter(h);
    say(h->renewal, "it has reached livy.held_max_age");
    h->stamp_at = s->now + stamp_interval(h);
    h->check_at = s->now + CHECK_UNGATED;
    set_state(s, HCORE_WARMING, "this member stands by");
}

/* What it has not loaded yet would come out of other files. */
static void jars_changed(struct hstep *s)
{
    s->h->start_at = s->h->looking ? s->now : s->now + jitter(s->h);
    end(s, "jars of livy.home, or livy.command, have changed");
}

static void conf_changed(struct hstep *s)
{
    struct hcore *h = s->h;

    h->changed = true;
    if (h->looking) {
        h->renewing = true;
        h->start_at = s->now;
        end(s, CHANGED ", and a take-over by plan is near");
    } else if (h->renew_at > s->now) {
        h->renew_at = s->now;
        say(h->renewal, CHANGED);
    }
}

static void compare(struct hstep *s, const struct hcore_stamp *now)
{
    struct hcore *h = s->h;

    h->stamp_at = s->now + stamp_interval(h);
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
        failed(s, why);
        return;
    }
    h->stamp_at = s->now + stamp_interval(h);
    h->looking = h->look_anew = false;
    if (!h->blind)
        act(s, HCORE_ACT_WARN, why);
}

/* With a look that had begun before it was asked for, what was asked for is answered by another one. */
static void looked(struct hstep *s)
{
    struct hcore *h = s->h;

    if (h->look_anew)
        stamp(s);
    else
        h->looking = false;
    h->look_anew = false;
}

static void stamped(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;
    bool failing = event->text != NULL && event->text[0] != '\0';

    h->stamping = false;
    if (h->state == HCORE_LOOKING && !failing) {
        h->state = HCORE_NONE;
        if (may_start(h)) {
            h->state = HCORE_LOOKING;
            h->stamp = event->stamp;
            act(s, HCORE_ACT_START, "");
        }
    } else if (failing && (hcore_current(h) || h->state == HCORE_LOOKING)) {
        blinded(s, event->text);
    } else if (hcore_current(h)) {
        compare(s, &event->stamp);
        looked(s);
    }
    h->blind = failing;
}

static void look(struct hstep *s)
{
    struct hcore *h = s->h;

    if (!hcore_current(h) || h->looking)
        return;
    h->looking = true;
    h->look_anew = h->stamping;
    if (h->changed)
        conf_changed(s);
    else
        stamp(s);
}

/* ---- renewing it --------------------------------------------------------------------------------------- */

static int64_t turn_within(const struct hcore *h)
{
    return TURN_WARMUPS * h->warmed > TURN_WITHIN ? TURN_WARMUPS * h->warmed : TURN_WITHIN;
}

static void renew(struct hstep *s, const char *why)
{
    s->h->start_at = s->now;
    end(s, why);
}

static void turn(struct hstep *s)
{
    struct hcore *h = s->h;
    char why[IPC_TEXT_SIZE];

    if (!hcore_current(h) || h->due_at == CLOCK_NEVER)
        return;
    say(why, "%s", h->renewal);
    renew(s, why);
}

/* It is out of date. Before it stands at the gate it is of no use to anybody yet. */
static void grow_old(struct hstep *s)
{
    struct hcore *h = s->h;
    char text[IPC_TEXT_SIZE];

    h->renewing = true;
    if (h->due_at == CLOCK_NEVER)
        h->due_at = s->now;
    if (h->state == HCORE_WARMING) {
        turn(s);
    } else if (s->now - h->due_at >= turn_within(h)) {
        say(text, "the held Livy is renewed (%.100s) though no other member's was ready within %lld s",
            h->renewal, (long long)(turn_within(h) / 1000));
        act(s, HCORE_ACT_WARN, text);
        turn(s);
    }
}

/* ---- what it says -------------------------------------------------------------------------------------- */

static void come_to_the_gate(struct hstep *s, const char *line)
{
    s->h->warmed = s->now - s->h->began;
    s->h->renewing = false;
    set_state(s, HCORE_HELD, line);
}

static void said(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;
    const char *text = event->text != NULL ? event->text : "";
    char line[IPC_TEXT_SIZE];

    if (!hcore_current(h))
        return;
    switch ((enum gate_type)event->message) {
    case GATE_READY:
        h->ready = true;
        break;
    case GATE_REFUSED:
        end(s, text);
        refuse(s, text);
        break;
    case GATE_HELD:
        break; /* its classes are being loaded */
    case GATE_LOADED:
        say(line, "at the gate, with %u classes loaded beforehand, after %lld ms", event->count,
            (long long)(s->now - h->began));
        if (h->state == HCORE_WARMING)
            come_to_the_gate(s, line);
        break;
    case GATE_OPENED:
    case GATE_RECORDED:
    case GATE_OPEN:
    case GATE_LEASE:
    case GATE_RECORD:
        end(s, "it says what it has no business to");
        failed(s, "it says what it has no business to");
        break;
    }
}

/* ---- the world ----------------------------------------------------------------------------------------- */

static void role(struct hstep *s, uint32_t now)
{
    if (now == IPC_ROLE_STANDBY && s->h->role != IPC_ROLE_STANDBY && s->h->start_at < s->now + SETTLE)
        s->h->start_at = s->now + SETTLE;
    s->h->role = now;
    if (now == IPC_ROLE_DRAINED)
        end(s, "this member is drained");
}

static void reloaded(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;

    h->config = *event->config;
    h->refused = h->renewing = false;
    h->failures = 0;
    h->start_at = s->now;
    end(s, h->config.wanted ? "the configuration was loaded again" : "livy.standby is \"cold\"");
}

static void session(struct hstep *s, int64_t ms)
{
    s->h->session = ms;
    if (ms > 0 && hcore_current(s->h) && ms != s->h->with)
        end(s, "the ZooKeeper session's time-out is another one now");
}

static void breach(struct hstep *s, const char *what)
{
    if (!hcore_current(s->h))
        return;
    end(s, what);
    refuse(s, what);
}

static void time_passes(struct hstep *s)
{
    struct hcore *h = s->h;

    if (h->state == HCORE_NONE && may_start(h) && s->now >= h->start_at && !h->stamping) {
        h->state = HCORE_LOOKING;
        stamp(s);
    }
    if (h->state == HCORE_WARMING && s->now - h->began >= h->config.start_within) {
        end(s, "it did not come to the gate within livy.start_timeout");
        failed(s, "it did not come to the gate within livy.start_timeout");
    }
    if (hcore_current(h) && s->now >= h->renew_at)
        grow_old(s);
    if (hcore_current(h) && s->now >= h->stamp_at) {
        h->stamp_at = CLOCK_NEVER; /* until it is answered */
        stamp(s);
    }
    if (hcore_current(h) && s->now >= h->check_at) {
        act(s, HCORE_ACT_CHECK, "")->gated = h->ready;
        h->check_at = s->now + (h->ready ? CHECK_INTERVAL : CHECK_UNGATED);
    }
}

int hcore_held(const struct hcore *h, const char **text)
{
    static const char *const roles[] = {
        [IPC_ROLE_JOINING] = "this member is still joining",
        [IPC_ROLE_ACTIVE] = "this member is the active one",
        [IPC_ROLE_DRAINED] = "this member is drained",
        [IPC_ROLE_STOPPED] = "the daemon is stopping",
    };
    *text = hcore_renewing(h) && h->due_at != CLOCK_NEVER ? h->renewal : "";
    if (h->state == HCORE_HELD)
        return IPC_HELD_READY;
    if (h->state == HCORE_WARMING)
        return IPC_HELD_WARMING;
    if (!h->config.wanted)
        *text = "livy.standby is \"cold\"";
    else if (h->quitting)
        *text = roles[IPC_ROLE_STOPPED];
    else if (!h->refused && h->role != IPC_ROLE_STANDBY)
        *text = roles[h->role];
    else
        *text = h->why[0] != '\0' ? h->why : "it is about to be started";
    return IPC_HELD_NONE;
}

static void tell(struct hstep *s)
{
    struct hcore *h = s->h;
    const char *text;
    int code = hcore_held(h, &text);

    bool renewing = hcore_renewing(h);
    if (code == h->told && renewing == h->told_renewing && strcmp(text, h->told_text) == 0)
        return;
    if (!h->config.wanted && h->told < 0)
        return; /* who is cold has nothing to tell */
    h->told = code;
    h->told_renewing = renewing;
    say(h->told_text, "%s", text);
    act(s, HCORE_ACT_TELL, h->told_text);
}

static void take(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;

    switch (event->type) {
    case HCORE_EV_TIME:
        break;
    case HCORE_EV_ROLE:
        if (event->role <= IPC_ROLE_STOPPED)
            role(s, event->role);
        break;
    case HCORE_EV_SESSION:
        session(s, event->ms);
        break;
    case HCORE_EV_LIVY:
        h->livy = event->there;
        if (event->there)
            end(s, "a Livy is started cold");
        break;
    case HCORE_EV_STAMPED:
        stamped(s, event);
        break;
    case HCORE_EV_STARTED:
        started(s, event);
        break;
    case HCORE_EV_SAID:
        said(s, event);
        break;
    case HCORE_EV_GARBLED:
        if (hcore_current(h)) {
            end(s, "it says what cannot be");
            failed(s, "it says what cannot be");
        }
        break;
    case HCORE_EV_BREACH:
        breach(s, event->text);
        break;
    case HCORE_EV_EXITED:
        exited(s, event);
        break;
    case HCORE_EV_TAKEN:
        h->failures = 0;
        h->why[0] = '\0';
        h->renewing = false;
        forget(h);
        set_state(s, HCORE_NONE, "let go");
        break;
    case HCORE_EV_TURN:
        turn(s);
        break;
    case HCORE_EV_LOOK:
        look(s);
        break;
    case HCORE_EV_RELOADED:
        reloaded(s, event);
        break;
    case HCORE_EV_QUIT:
        h->quitting = true;
        end(s, "the daemon is stopping");
        break;
    }
}

void hcore_step(struct hcore *h, const struct hcore_event *event, int64_t now, struct hcore_actions *out)
{
    struct hstep s = {.h = h, .now = now, .out = out};

    out->count = 0;
    take(&s, event);
    time_passes(&s);
    tell(&s);
}

int64_t hcore_next(const struct hcore *h, int64_t now)
{
    int64_t next = CLOCK_NEVER;
    int64_t due[] = {
        h->state == HCORE_NONE && may_start(h) && !h->stamping ? h->start_at : CLOCK_NEVER,
        h->state == HCORE_WARMING ? h->began + h->config.start_within : CLOCK_NEVER,
        h->due_at == CLOCK_NEVER ? h->renew_at : h->due_at + turn_within(h),
        h->stamp_at,
        h->check_at,
    };

    for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++)
        if (due[i] < next)
            next = due[i];
    return next > now ? next : now + 1;
}

void hcore_init(struct hcore *h, const struct hcore_config *config, const char *id, int64_t now)
{
    *h = (struct hcore){.config = *config, .start_at = now, .told = -1, .draw = 14695981039346656037U};
    for (const char *c = id; *c != '\0'; c++) /* FNV-1a */
        h->draw = (h->draw ^ (unsigned char)*c) * 1099511628211U;
    forget(h);
}
