/* ucore.c - the keeper's decisions about an upgrade. Pure: see ucore.h. */
#include "ucore.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define LOOK_AGAIN 50 /* ms between looks at the lease */
#define REKILL 1000

static struct ucore_action *act(struct ucore_actions *out, enum ucore_action_type type)
{
    if (out->count >= UCORE_MAX_ACTIONS)
        abort();
    struct ucore_action *a = &out->list[out->count++];
    memset(a, 0, sizeof(*a));
    a->type = type;
    return a;
}

static void tell(const struct ucore *u, struct ucore_actions *out, enum ipc_answer code, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void tell(const struct ucore *u, struct ucore_actions *out, enum ipc_answer code, const char *format,
                 ...)
{
    struct ucore_action *a = act(out, UCORE_ACT_TELL);
    va_list args;

    a->code = (int)code;
    a->number = u->number;
    va_start(args, format);
    vsnprintf(a->text, sizeof(a->text), format, args);
    va_end(args);
}

const char *ucore_program(enum ucore_who who)
{
    return who == UCORE_ELECTOR ? "livy-ha-elector" : "livy-ha-relay";
}

static void enter(struct ucore *u, enum ucore_state state, int64_t by)
{
    u->state = state;
    u->by = by;
}

/* Nothing has been given to the new ones yet. */
static void drop(struct ucore *u, struct ucore_actions *out, const char *why)
{
    act(out, UCORE_ACT_DROP);
    tell(u, out, IPC_ANSWER_FAILED, "elector and relay stay as they were: %.190s", why);
    enter(u, UCORE_IDLE, CLOCK_NEVER);
}

/* The new elector is in office, and no good. */
static void revert(struct ucore *u, struct ucore_actions *out, int64_t now, const char *why)
{
    snprintf(u->why, sizeof(u->why), "%s", why);
    act(out, UCORE_ACT_REVERT);
    act(out, UCORE_ACT_DROP);
    tell(u, out, IPC_ANSWER_GOES_ON, "%.190s: the old elector is run again", why);
    enter(u, UCORE_BACK, now + UCORE_BACK_WITHIN);
}

static void begin(struct ucore *u, const struct ucore_event *event, int64_t now, struct ucore_actions *out)
{
    if (u->state != UCORE_IDLE) {
        struct ucore_action *a = act(out, UCORE_ACT_TELL);
        a->code = IPC_ANSWER_FAILED;
        a->number = event->number;
        snprintf(a->text, sizeof(a->text), "an upgrade is under way already");
        return;
    }
    *u = (struct ucore){.number = event->number, .relay = event->relay, .retired_by = u->retired_by};
    enter(u, UCORE_TRYING, now + UCORE_TRY_WITHIN);
    tell(u, out, IPC_ANSWER_GOES_ON,
         "the installed version is tried"); /* before it can be told to have failed */
    act(out, UCORE_ACT_START);
}

static void wait_for_room(struct ucore *u, int64_t now)
{
    enter(u, UCORE_WAITING, now + UCORE_WAIT_WITHIN);
}

static void said(struct ucore *u, const struct ucore_event *event, int64_t now, struct ucore_actions *out)
{
    const char *text = event->text != NULL ? event->text : "";
    char why[IPC_TEXT_SIZE];

    if (event->message == IPC_FATAL && u->state >= UCORE_TRYING && u->state <= UCORE_WAITING) {
        snprintf(why, sizeof(why), "the installed %s gives up: %.150s", ucore_program(event->who), text);
        drop(u, out, why);
    } else if (event->message == IPC_FATAL && event->who == UCORE_ELECTOR && u->state == UCORE_PROVING) {
        snprintf(why, sizeof(why), "the installed %s gives up: %.150s", ucore_program(event->who), text);
        revert(u, out, now, why);
    } else if (event->message == IPC_HELLO && u->state == UCORE_TRYING) {
        u->hello[event->who] = true;
        snprintf(u->version[event->who], sizeof(u->version[0]), "%.31s", text);
        if (!u->hello[UCORE_ELECTOR] || (u->relay && !u->hello[UCORE_RELAY]))
            return;
        if (u->relay) {
            enter(u, UCORE_LISTENING, now + UCORE_LISTEN_WITHIN);
            act(out, UCORE_ACT_LISTEN);
        } else {
            wait_for_room(u, now);
        }
    } else if (event->message == IPC_READY && event->who == UCORE_RELAY && u->state == UCORE_LISTENING) {
        wait_for_room(u, now);
    }
}

static void failed(struct ucore *u, const struct ucore_event *event, int64_t now, struct ucore_actions *out)
{
    char why[IPC_TEXT_SIZE];

    snprintf(why, sizeof(why), "the installed %s %.180s", ucore_program(event->who),
             event->text != NULL ? event->text : "failed");
    switch (u->state) {
    case UCORE_TRYING:
    case UCORE_LISTENING:
    case UCORE_WAITING:
        drop(u, out, why);
        break;
    case UCORE_SWAPPING: /* the old elector has its SIGKILL already: its own program follows it */
    case UCORE_PROVING:
        revert(u, out, now, why);
        break;
    case UCORE_IDLE:
    case UCORE_BACK:
        break;
    }
}

static void swap(struct ucore *u, int64_t lease_left, int64_t now, struct ucore_actions *out)
{
    if (lease_left >= UCORE_LEASE_ROOM) {
        enter(u, UCORE_SWAPPING, CLOCK_NEVER);
        act(out, UCORE_ACT_SWAP);
        tell(u, out, IPC_ANSWER_GOES_ON, "the elector is replaced");
    } else if (now >= u->by) {
        drop(u, out, "the lease is short just now (ZooKeeper is slow or away): try again once it is renewed");
    }
}

static void swapped(struct ucore *u, int64_t lease_left, int64_t now)
{
    int64_t within = UCORE_PROVE_WITHIN;

    if (u->state != UCORE_SWAPPING)
        return;
    if (lease_left / 2 < within) /* the other half is for the old one */
        within = lease_left / 2 > 0 ? lease_left / 2 : 0;
    enter(u, UCORE_PROVING, now + within);
}

static void works(struct ucore *u, int64_t now, struct ucore_actions *out)
{
    if (u->state != UCORE_PROVING)
        return;
    act(out, UCORE_ACT_COMMIT);
    if (u->relay)
        u->retired_by = now + UCORE_RETIRE_WITHIN;
    if (u->relay)
        tell(u, out, IPC_ANSWER_DONE, "elector %s and relay %s run now", u->version[UCORE_ELECTOR],
             u->version[UCORE_RELAY]);
    else
        tell(u, out, IPC_ANSWER_DONE, "elector %s runs now", u->version[UCORE_ELECTOR]);
    enter(u, UCORE_IDLE, CLOCK_NEVER);
}

static void back(struct ucore *u, struct ucore_actions *out)
{
    tell(u, out, IPC_ANSWER_FAILED, "elector and relay are the old ones again: %.190s", u->why);
    enter(u, UCORE_IDLE, CLOCK_NEVER);
}

static void forbid(struct ucore *u, const struct ucore_event *event, int64_t now, struct ucore_actions *out)
{
    const char *why = event->text != NULL ? event->text : "the daemon is stopping";

    if (u->state >= UCORE_TRYING && u->state <= UCORE_WAITING)
        drop(u, out, why);
    else if (u->state == UCORE_SWAPPING)
        revert(u, out, now, why);
}

static void too_late(struct ucore *u, int64_t now, struct ucore_actions *out)
{
    char why[IPC_TEXT_SIZE];

    switch (u->state) {
    case UCORE_TRYING:
        snprintf(why, sizeof(why), "the installed %s has said nothing for %d s",
                 ucore_program(u->hello[UCORE_ELECTOR] ? UCORE_RELAY : UCORE_ELECTOR),
                 UCORE_TRY_WITHIN / 1000);
        drop(u, out, why);
        break;
    case UCORE_LISTENING:
        drop(u, out, "the installed livy-ha-relay does not take the listening sockets over");
        break;
    case UCORE_PROVING:
        revert(u, out, now, "the installed livy-ha-elector did not renew the lease, or not answer, in time");
        break;
    case UCORE_BACK:
        back(u, out);
        break;
    case UCORE_IDLE:
    case UCORE_WAITING:
    case UCORE_SWAPPING:
        break;
    }
}

void ucore_init(struct ucore *u)
{
    *u = (struct ucore){.by = CLOCK_NEVER, .retired_by = CLOCK_NEVER};
}

void ucore_step(struct ucore *u, const struct ucore_event *event, int64_t now, struct ucore_actions *out)
{
    out->count = 0;
    switch (event->type) {
    case UCORE_EV_TIME:
        break;
    case UCORE_EV_BEGIN:
        begin(u, event, now, out);
        break;
    case UCORE_EV_SAID:
        said(u, event, now, out);
        break;
    case UCORE_EV_FAILED:
        failed(u, event, now, out);
        break;
    case UCORE_EV_SWAPPED:
        swapped(u, event->lease_left, now);
        break;
    case UCORE_EV_LOST:
        if (u->state == UCORE_PROVING)
            revert(u, out, now, "the installed livy-ha-elector ended as soon as it was in office");
        break;
    case UCORE_EV_WORKS:
        works(u, now, out);
        break;
    case UCORE_EV_HELLO:
        if (u->state == UCORE_BACK)
            back(u, out);
        break;
    case UCORE_EV_GONE:
        u->retired_by = CLOCK_NEVER;
        break;
    case UCORE_EV_FORBID:
        forbid(u, event, now, out);
        break;
    }
    if (out->count > 0)
        return; /* what is due now is due in the step that the glue makes after carrying this out */
    if (u->state == UCORE_WAITING)
        swap(u, event->lease_left, now, out);
    else if (now >= u->by)
        too_late(u, now, out);
    if (now >= u->retired_by) {
        act(out, UCORE_ACT_CUT);
        u->retired_by = now + REKILL;
    }
}

int64_t ucore_next(const struct ucore *u, int64_t now)
{
    int64_t next = u->by;

    if (u->state == UCORE_WAITING && now + LOOK_AGAIN < next)
        next = now + LOOK_AGAIN;
    if (u->retired_by < next)
        next = u->retired_by;
    return next > now ? next : now + 1;
}

const char *ucore_state_name(enum ucore_state state)
{
    static const char *const names[] = {"idle",     "trying",  "listening", "waiting",
                                        "swapping", "proving", "back"};
    return (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}
