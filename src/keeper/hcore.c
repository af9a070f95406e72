/* hcore.c - the keeper's decisions about the Livy that it holds. Pure: see hcore.h. */
#include "hcore_internal.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define LONGEST_DELAY 60000
#define SETTLE 200   /* ms: who is about to be elected stands by for a moment as well */
#define STEADY 60000 /* ms at the gate after which a death counts as the first again */
#define CHECK_INTERVAL 1000
#define CHECK_UNGATED 100 /* until the agent has said a word: without it nothing would hold this Livy */

struct hcore_action *hcore_act(struct hstep *s, enum hcore_action_type type, const char *text)
{
    if (s->out->count >= HCORE_MAX_ACTIONS)
        abort();
    struct hcore_action *a = &s->out->list[s->out->count++];
    memset(a, 0, sizeof(*a));
    a->type = type;
    snprintf(a->text, sizeof(a->text), "%s", text);
    return a;
}

void hcore_say(char text[static IPC_TEXT_SIZE], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(text, IPC_TEXT_SIZE, format, args);
    va_end(args);
}

/* The one place where the state changes. */
static void set_state(struct hstep *s, enum hcore_state state, const char *why)
{
    struct hcore_action *a = hcore_act(s, HCORE_ACT_STATE, why);
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

bool hcore_may_start(const struct hcore *h)
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

void hcore_end(struct hstep *s, const char *why)
{
    if (s->h->state == HCORE_LOOKING)
        s->h->state = HCORE_NONE; /* nothing was started yet */
    if (!hcore_current(s->h))
        return;
    hcore_act(s, HCORE_ACT_KILL, why);
    set_state(s, HCORE_KILLED, why);
    hcore_say(s->h->why, "%s", why);
    forget(s->h);
}

/* The next one waits 1 s, 2 s, … 60 s. */
void hcore_failed(struct hstep *s, const char *why)
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
    hcore_say(text, "no Livy is held: %.180s; the next one in %lld s", why, (long long)(delay / 1000));
    hcore_act(s, HCORE_ACT_WARN, text);
    hcore_say(h->why, "%.200s", why);
}

/* It would be no better the next time: a person has to look. Livy itself is started cold meanwhile. */
static void refuse(struct hstep *s, const char *why)
{
    struct hcore *h = s->h;
    char text[IPC_TEXT_SIZE];

    if (h->refused)
        return;
    h->refused = true;
    hcore_say(h->why, "%s", why);
    hcore_say(
        text,
        "this Livy is not held and will be started cold: %.150s. Mend it and reload, or set livy.standby = "
        "\"cold\"",
        why);
    hcore_act(s, HCORE_ACT_ALARM, text);
}

static void exited(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;
    char how[IPC_TEXT_SIZE];
    bool meant = h->state == HCORE_KILLED, ungated = event->status == 256 + SIGPROF && !h->ready;

    if (!meant && !hcore_current(h))
        return;
    if (event->text != NULL && event->text[0] != '\0')
        hcore_say(how, "%.200s", event->text);
    else if (ungated)
        hcore_say(how, "%s", HCORE_UNGATED);
    else if (event->status >= 256)
        hcore_say(how, "it was killed by signal %d", event->status - 256);
    else if (event->status == GATE_EXIT_REFUSED)
        hcore_say(how, "%s", HCORE_NO_AGENT);
    else
        hcore_say(how, "it ended with exit status %d%s", event->status,
                  h->state == HCORE_HELD ? "" : " before it stood at the gate");
    if (h->state == HCORE_HELD && s->now - h->began >= STEADY)
        h->failures = 0;
    forget(h);
    set_state(s, HCORE_NONE, meant ? "reaped" : how);
    if (!meant && (ungated || event->status == GATE_EXIT_REFUSED))
        refuse(s, how);
    else if (!meant)
        hcore_failed(s, how);
}

/* ---- making it ----------------------------------------------------------------------------------------- */

static void started(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;

    if (h->state != HCORE_LOOKING)
        return;
    if (event->pid <= 0) {
        h->state = HCORE_NONE;
        hcore_failed(s, event->text != NULL ? event->text : "fork failed");
        return;
    }
    h->began = s->now;
    h->with = h->session;
    h->renew_at = s->now + h->config.max_age + hcore_jitter(h);
    hcore_say(h->renewal, "it has reached livy.held_max_age");
    h->stamp_at = s->now + hcore_renew_interval(h);
    h->check_at = s->now + CHECK_UNGATED;
    set_state(s, HCORE_WARMING, "this member stands by");
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
        hcore_end(s, text);
        refuse(s, text);
        break;
    case GATE_HELD:
        break; /* its classes are being loaded */
    case GATE_LOADED:
        hcore_say(line, "at the gate, with %u classes loaded beforehand, after %lld ms", event->count,
                  (long long)(s->now - h->began));
        if (h->state == HCORE_WARMING)
            come_to_the_gate(s, line);
        break;
    case GATE_OPENED:
    case GATE_RECORDED:
    case GATE_OPEN:
    case GATE_LEASE:
    case GATE_RECORD:
        hcore_end(s, "it says what it has no business to");
        hcore_failed(s, "it says what it has no business to");
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
        hcore_end(s, "this member is drained");
}

static void reloaded(struct hstep *s, const struct hcore_event *event)
{
    struct hcore *h = s->h;

    h->config = *event->config;
    h->refused = h->renewing = false;
    h->failures = 0;
    h->start_at = s->now;
    hcore_end(s, h->config.wanted ? "the configuration was loaded again" : "livy.standby is \"cold\"");
}

static void session(struct hstep *s, int64_t ms)
{
    s->h->session = ms;
    if (ms > 0 && hcore_current(s->h) && ms != s->h->with)
        hcore_end(s, "the ZooKeeper session's time-out is another one now");
}

static void breach(struct hstep *s, const char *what)
{
    if (!hcore_current(s->h))
        return;
    hcore_end(s, what);
    refuse(s, what);
}

static void time_passes(struct hstep *s)
{
    struct hcore *h = s->h;

    if (h->state == HCORE_NONE && hcore_may_start(h) && s->now >= h->start_at && !h->stamping) {
        h->state = HCORE_LOOKING;
        hcore_renew_look(s);
    }
    if (h->state == HCORE_WARMING && s->now - h->began >= h->config.start_within) {
        hcore_end(s, "it did not come to the gate within livy.start_timeout");
        hcore_failed(s, "it did not come to the gate within livy.start_timeout");
    }
    if (hcore_current(h) && s->now >= h->renew_at)
        hcore_renew_due(s);
    if (hcore_current(h) && s->now >= h->stamp_at) {
        h->stamp_at = CLOCK_NEVER; /* until it is answered */
        hcore_renew_look(s);
    }
    if (hcore_current(h) && s->now >= h->check_at) {
        hcore_act(s, HCORE_ACT_CHECK, "")->gated = h->ready;
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
    hcore_say(h->told_text, "%s", text);
    hcore_act(s, HCORE_ACT_TELL, h->told_text);
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
            hcore_end(s, "a Livy is started cold");
        break;
    case HCORE_EV_STAMPED:
        hcore_renew_looked(s, event);
        break;
    case HCORE_EV_STARTED:
        started(s, event);
        break;
    case HCORE_EV_SAID:
        said(s, event);
        break;
    case HCORE_EV_GARBLED:
        if (hcore_current(h)) {
            hcore_end(s, "it says what cannot be");
            hcore_failed(s, "it says what cannot be");
        }
        break;
    case HCORE_EV_BREACH:
        breach(s, event->text);
        break;
    case HCORE_EV_EXITED:
        exited(s, event);
        break;
    case HCORE_EV_TAKEN:
        h->livy = true;
        h->failures = 0;
        h->why[0] = '\0';
        forget(h);
        set_state(s, HCORE_NONE, "let go");
        hcore_renew_taken(s);
        break;
    case HCORE_EV_TURN:
        hcore_renew_turn(s);
        break;
    case HCORE_EV_LOOK:
        hcore_renew_asked(s);
        break;
    case HCORE_EV_UNFIT:
        refuse(s, event->text);
        break;
    case HCORE_EV_RELOADED:
        reloaded(s, event);
        break;
    case HCORE_EV_QUIT:
        h->quitting = true;
        hcore_end(s, "the daemon is stopping");
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
        h->state == HCORE_NONE && hcore_may_start(h) && !h->stamping ? h->start_at : CLOCK_NEVER,
        h->state == HCORE_WARMING ? h->began + h->config.start_within : CLOCK_NEVER,
        h->due_at == CLOCK_NEVER ? h->renew_at : h->due_at + hcore_renew_within(h),
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
