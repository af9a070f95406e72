/* held.c - see the header. */
#include "held.h"

#include <stdio.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/log.h"

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
        return "a loaded Livy waits at the gate";
    }
    return "";
}

void held_take(struct elector *e, const struct ipc_msg *msg)
{
    bool known = msg->code <= IPC_HELD_READY;
    struct held fresh = {.state = known ? (enum ipc_held)msg->code : IPC_HELD_NONE}, *held = &e->held;

    snprintf(fresh.reason, sizeof(fresh.reason), "%s", msg->text);
    if (fresh.state == held->state && strcmp(fresh.reason, held->reason) == 0)
        return;
    if (fresh.state != held->state)
        log_info("held %s -> %s: %s", held_name(held->state), held_name(fresh.state), explain(&fresh));
    else
        log_debug("held %s: %s", held_name(fresh.state), explain(&fresh));
    *held = fresh;
    act_publish(e);
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
    json_object_set_new(self, "held_reason",
                        hot && held->reason[0] != '\0' ? json_string(held->reason) : json_null());
}
