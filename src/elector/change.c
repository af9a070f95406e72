/* change.c - see the header. */
#include "change.h"

#include <stdio.h>
#include <string.h>

#include "elector.h"

static uint32_t role_now(const struct core *c)
{
    const char *name = core_role_name(c);

    for (uint32_t role = IPC_ROLE_JOINING; role < IPC_ROLE_STOPPED; role++)
        if (strcmp(name, ipc_role_name(role)) == 0)
            return role;
    return IPC_ROLE_JOINING;
}

static bool serves(const struct core *c)
{
    const char *livy = core_livy_name(c);

    return strcmp(livy, "serving") == 0 || strcmp(livy, "unhealthy") == 0;
}

/* An elector that has just begun is joining for a moment, and does not know yet whether the Livy that it has
 * found serves: that is no change. The keeper knows what the one before it has told. */
static bool just_begun(const struct change *change, const struct core *c, uint32_t role)
{
    return !change->any && (role == IPC_ROLE_JOINING || core_livy_unprobed(c));
}

void change_look(struct elector *e)
{
    struct change *change = &e->told_change;
    const struct core *c = &e->core;
    uint32_t role = role_now(c);
    bool serving = role == IPC_ROLE_ACTIVE && serves(c);

    if (just_begun(change, c, role) || (change->any && role == change->role && serving == change->serving))
        return;
    bool livy = change->any && role == change->role;
    *change = (struct change){.any = true, .role = role, .serving = serving};
    struct ipc_msg msg = {.type = IPC_CHANGED, .run = role, .code = serving ? 1 : 0};
    if (role == IPC_ROLE_ACTIVE)
        msg.epoch = core_livy_alive(c) ? c->livy.epoch : c->epoch;
    snprintf(msg.text, sizeof(msg.text), "%.250s",
             livy && serving                     ? "Livy answers"
             : livy && c->livy_reason[0] != '\0' ? c->livy_reason
                                                 : c->reason);
    channel_send(e, &msg, -1);
}
