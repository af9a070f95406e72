/* held.c - see the header. */
#include "held.h"

#include <stdio.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "record.h"

#define SETTLE 3000 /* ms: far longer than a record takes to the others */

static const char *held_name(enum ipc_held state)
{
    switch (state) {
    case IPC_HELD_NONE:
        return "none";
    case IPC_HELD_WARMING:
        return "warming";
    case IPC_HELD_READY:
        return "ready";
    }
    return "none";
}

static const char *explain(const struct held *held)
{
    if (held->reason[0] != '\0')
        return held->reason;
    switch (held->state) {
    case IPC_HELD_NONE:
        return "there is none any more";
    case IPC_HELD_WARMING:
        return "a Livy has been started and is on its way to the gate";
    case IPC_HELD_READY:
        return held->renewing ? "it is out of date" : "a loaded Livy waits at the gate";
    }
    return "";
}

void held_take(struct elector *e, const struct ipc_msg *msg)
{
    bool known = msg->code <= IPC_HELD_READY;
    struct held fresh = e->held, *held = &e->held;

    fresh.state = known ? (enum ipc_held)msg->code : IPC_HELD_NONE;
    fresh.renewing = known && msg->run == 1;
    snprintf(fresh.reason, sizeof(fresh.reason), "%s", msg->text);
    if (fresh.state == held->state && fresh.renewing == held->renewing &&
        strcmp(fresh.reason, held->reason) == 0)
        return;
    if (fresh.state != held->state)
        log_info("held %s -> %s: %s", held_name(held->state), held_name(fresh.state), explain(&fresh));
    else if (fresh.renewing && fresh.state == IPC_HELD_READY)
        log_info("held ready: to be renewed, %s", explain(&fresh));
    else
        log_debug("held %s: %s", held_name(fresh.state), explain(&fresh));
    if (fresh.state != IPC_HELD_READY || !fresh.renewing)
        fresh.turn_told = false;
    if (fresh.renewing && !held->renewing)
        fresh.renewing_since = clock_boot_ms();
    *held = fresh;
    act_publish(e);
    held_look(e);
}

const char *held_livy_name(const struct elector *e)
{
    bool alive = core_livy_alive(&e->core);
    return e->held.state == IPC_HELD_READY && !alive ? "held" : core_livy_name(&e->core);
}

void held_record(const struct elector *e, json_t *self)
{
    const struct held *held = &e->held;
    bool hot = e->conf->livy.standby == CONF_STANDBY_HOT || held->state != IPC_HELD_NONE;

    json_object_set_new(self, "held", hot ? json_string(held_name(held->state)) : json_null());
    json_object_set_new(self, "held_renewing", hot ? json_boolean(held->renewing) : json_null());
    json_object_set_new(self, "held_reason",
                        hot && held->reason[0] != '\0' ? json_string(held->reason) : json_null());
}

/* ---- turns ------------------------------------------------------------------------------------------- */

/* A cold standby is none that would ever be ready. */
bool held_may_renew(const json_t *members, const char *id, int64_t sequence)
{
    bool others = false, ready = false;
    const char *other;
    json_t *member;

    if (sequence < 0)
        return false;
    json_object_foreach((json_t *)members, other, member)
    {
        if (strcmp(other, id) == 0 || strcmp(record_text(member, "role"), "standby") != 0 ||
            record_text(member, "held")[0] == '\0')
            continue;
        bool is_ready = strcmp(record_text(member, "livy"), "held") == 0;
        bool before = command_number(member, "sequence", -1) < sequence;
        if (json_is_true(json_object_get(member, "held_renewing")) && (before || !is_ready))
            return false; /* that one's turn, or it is at it */
        others = true;
        ready = ready || is_ready;
    }
    return ready || !others;
}

static void take_turns(struct elector *e)
{
    struct held *held = &e->held;
    struct ipc_msg msg = {.type = IPC_RENEW};
    int64_t left = held->renewing_since + SETTLE - clock_boot_ms();

    if (!held->renewing || held->turn_told || held->state != IPC_HELD_READY || !e->core.connected ||
        !held_may_renew(view_members(e->view), e->conf->id, core_latch_sequence(e->core.node)))
        return;
    if (left > 0) {
        struct timeval wait = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
        if (held->settled == NULL || event_add(held->settled, &wait) == 0)
            return;
        log_warn("no timer for a renewal of the held Livy: it is renewed at once");
    }
    log_info("the held Livy is renewed: %s", held->reason);
    held->turn_told = true;
    channel_send(e, &msg, -1);
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    take_turns(arg);
}

/* ---- a take-over by plan ----------------------------------------------------------------------------- */

static void tell_look(struct elector *e)
{
    struct ipc_msg msg = {.type = IPC_LOOK};

    if (e->held.state != IPC_HELD_NONE)
        channel_send(e, &msg, -1);
}

/* As soon as it is asked for: Livy elsewhere is still to be stopped, so the look costs the take-over nothing,
 * and one that has to be started anew has a lead. */
static void look_ahead(struct elector *e)
{
    const struct command_switch *request = &e->commands->request;
    const struct core *c = &e->core;
    bool named = request->to[0] != '\0';
    bool to_us =
        named ? strcmp(request->to, e->conf->id) == 0 : c->watching && c->predecessor_epoch == request->epoch;

    if (!request->there || !to_us || c->phase != CORE_STANDBY || e->held.state == IPC_HELD_NONE ||
        strcmp(e->held.looked_for, request->id) == 0)
        return;
    snprintf(e->held.looked_for, sizeof(e->held.looked_for), "%s", request->id);
    tell_look(e);
}

void held_look(struct elector *e)
{
    take_turns(e);
    look_ahead(e);
}

void held_start(struct elector *e)
{
    const struct command_switch *request = &e->commands->request;

    if (e->core.takeover.left != CORE_LEFT_IN_ORDER ||
        (request->there && strcmp(e->held.looked_for, request->id) == 0))
        return;
    tell_look(e);
}

int held_open(struct elector *e)
{
    e->held.settled = evtimer_new(e->base, on_settled, e);
    return e->held.settled != NULL ? 0 : -1;
}

void held_close(struct elector *e)
{
    if (e->held.settled != NULL)
        event_free(e->held.settled);
}
