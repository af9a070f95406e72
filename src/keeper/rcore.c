/* rcore.c - the keeper's decisions about the relay. Pure: see rcore.h. */
#include "rcore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define PING_INTERVAL 10000
#define PONG_WITHIN 2000
#define HELLO_WITHIN 10000
#define STEADY 10000 /* ms that a relay must live for its death to count as the first */
#define MUTE_LIMIT 6 /* relays in a row that end without a word: it cannot be run here */

static struct rcore_action *act(struct rcore_actions *out, enum rcore_action_type type, const char *text)
{
    if (out->count >= RCORE_MAX_ACTIONS)
        abort();
    struct rcore_action *a = &out->list[out->count++];
    memset(a, 0, sizeof(*a));
    a->type = type;
    snprintf(a->text, sizeof(a->text), "%s", text);
    return a;
}

static void kill_it(struct rcore *r, struct rcore_actions *out, const char *why)
{
    r->pong_by = CLOCK_NEVER;
    if (!r->alive || r->killed)
        return;
    r->killed = true;
    act(out, RCORE_ACT_KILL, why);
}

static void give_up(struct rcore *r, struct rcore_actions *out, int code, const char *why)
{
    r->given_up = true;
    r->spawn_at = CLOCK_NEVER;
    act(out, RCORE_ACT_FATAL, why)->code = code != 0 ? code : 75;
}

static void said(struct rcore *r, const struct rcore_event *event, struct rcore_actions *out)
{
    const char *text = event->text != NULL ? event->text : "";

    r->pong_by = CLOCK_NEVER;
    switch ((enum ipc_type)event->message) {
    case IPC_HELLO:
        r->said_hello = true;
        r->mute = 0;
        break;
    case IPC_READY:
        if (!r->up)
            act(out, RCORE_ACT_READY, "");
        r->up = true;
        break;
    case IPC_FATAL: /* it ends by itself, and is started again where the daemon is up */
        if (!r->up && !r->given_up)
            give_up(r, out, event->code, text);
        else
            act(out, RCORE_ACT_TELL, text);
        break;
    case IPC_PONG:
    case IPC_START:
    case IPC_LEASE:
    case IPC_STOP:
    case IPC_SESSION:
    case IPC_RELEASING:
    case IPC_STATUS:
    case IPC_FENCE:
    case IPC_ASK:
    case IPC_REQUEST:
    case IPC_CHANGED:
    case IPC_RENEW:
    case IPC_LOOK:
    case IPC_ANSWER:
    case IPC_WELCOME:
    case IPC_LIVY:
    case IPC_LEASED:
    case IPC_QUIT:
    case IPC_LEAVE:
    case IPC_RELOAD:
    case IPC_PING:
    case IPC_FENCED:
    case IPC_PEER:
    case IPC_HANDOVER:
    case IPC_RETIRE:
    case IPC_HELD:
        break; /* not for it to say */
    }
}

static void ended(struct rcore *r, int64_t now, const char *why, struct rcore_actions *out)
{
    static const int64_t delays[] = {0, 0, 100, 500, 1000, 2000, 5000};
    size_t last = sizeof(delays) / sizeof(delays[0]) - 1;

    if (!r->alive)
        return;
    bool steady = r->said_hello && now - r->since >= STEADY;
    r->mute = r->said_hello ? 0 : r->mute + 1;
    r->failures = steady ? 0 : r->failures + 1;
    r->alive = r->said_hello = r->killed = false;
    r->pong_by = CLOCK_NEVER;
    if (r->given_up)
        return;
    if (!r->up && r->mute >= MUTE_LIMIT) {
        char text[IPC_TEXT_SIZE];
        snprintf(
            text, sizeof(text),
            "livy-ha-relay has ended %d times in a row without a word, so it cannot be run here%s%s: run it "
            "by hand to see why, or set front.listen and admin.listen to \"off\"",
            MUTE_LIMIT, why != NULL ? ": " : "", why != NULL ? why : "");
        give_up(r, out, 75, text);
        return;
    }
    r->spawn_at = now + delays[r->failures < last ? r->failures : last];
}

static void watch(struct rcore *r, int64_t now, struct rcore_actions *out)
{
    if (!r->up && !r->given_up && now - r->began >= RCORE_READY_WITHIN) {
        r->up = true;
        act(out, RCORE_ACT_READY,
            "the relay is not ready yet: this member is up without its front and admin port");
    }
    if (!r->alive && now >= r->spawn_at) {
        r->alive = true;
        r->said_hello = r->killed = false;
        r->since = now;
        r->spawn_at = CLOCK_NEVER;
        r->ping_at = now + PING_INTERVAL;
        r->pong_by = now + HELLO_WITHIN;
        act(out, RCORE_ACT_SPAWN, "");
        return;
    }
    if (!r->alive || r->killed)
        return;
    if (now >= r->pong_by) {
        kill_it(r, out, "it does not answer");
    } else if (r->said_hello && now >= r->ping_at) {
        act(out, RCORE_ACT_PING, "");
        if (r->pong_by == CLOCK_NEVER)
            r->pong_by = now + PONG_WITHIN;
        r->ping_at = now + PING_INTERVAL;
    }
}

void rcore_init(struct rcore *r, bool wanted, int64_t now)
{
    memset(r, 0, sizeof(*r));
    r->wanted = wanted;
    r->up = !wanted;
    r->began = now;
    r->spawn_at = wanted ? now : CLOCK_NEVER;
    r->ping_at = r->pong_by = CLOCK_NEVER;
}

void rcore_step(struct rcore *r, const struct rcore_event *event, int64_t now, struct rcore_actions *out)
{
    out->count = 0;
    switch (event->type) {
    case RCORE_EV_TIME:
        break;
    case RCORE_EV_SAID:
        said(r, event, out);
        break;
    case RCORE_EV_EXITED:
    case RCORE_EV_UNBORN:
        ended(r, now, event->text, out);
        break;
    case RCORE_EV_REPLACED:
        r->alive = r->said_hello = true;
        r->killed = false;
        r->failures = r->mute = 0;
        r->since = now;
        r->spawn_at = r->pong_by = CLOCK_NEVER;
        r->ping_at = now + PING_INTERVAL;
        break;
    case RCORE_EV_GARBLED:
        kill_it(r, out, event->text != NULL ? event->text : "it says what cannot be");
        break;
    }
    /* Not within the step that tells of a failed SPAWN: the caller is in the middle of carrying that out. */
    if (event->type != RCORE_EV_UNBORN)
        watch(r, now, out);
}

static void earliest(int64_t *next, int64_t now, int64_t at)
{
    if (at == CLOCK_NEVER)
        return;
    if (at <= now)
        at = now + 1;
    if (at < *next)
        *next = at;
}

int64_t rcore_next(const struct rcore *r, int64_t now)
{
    int64_t next = CLOCK_NEVER;

    if (!r->up && !r->given_up)
        earliest(&next, now, r->began + RCORE_READY_WITHIN);
    if (!r->alive)
        earliest(&next, now, r->spawn_at);
    else if (!r->killed) {
        earliest(&next, now, r->pong_by);
        if (r->said_hello)
            earliest(&next, now, r->ping_at);
    }
    return next;
}
