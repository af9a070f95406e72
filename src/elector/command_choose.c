/* command_choose.c - to whom a switchover goes that names nobody. The latch is a queue, so it goes to the
 * next one; where that one's Livy would have to be started, and another hot standby holds one that is ready,
 * that one is put before it as if it had been named. Looked at when the request is written down.
 */
#include <string.h>

#include "command.h"
#include "elector.h"
#include "record.h"

/* Ready, and what a take-over by plan would let go: not one that was started before a change. */
static bool is_ready(const json_t *member)
{
    return strcmp(record_text(member, "livy"), "held") == 0 &&
           !json_is_true(json_object_get(member, "held_renewing"));
}

const char *command_choose(const struct elector *e, const json_t *record, const char *active)
{
    const json_t *members = view_members(e->view), *drained = json_object_get(record, "drained");
    int64_t after = command_number(json_object_get(members, active), "sequence", -1);
    int64_t next = INT64_MAX, next_ready = INT64_MAX;
    const char *id, *chosen = "";
    json_t *member;

    json_object_foreach((json_t *)members, id, member)
    {
        int64_t sequence = command_number(member, "sequence", -1);
        if (strcmp(id, active) == 0 || sequence <= after || strlen(id) >= COMMAND_NAME_SIZE ||
            strcmp(record_text(member, "role"), "standby") != 0 || json_object_get(drained, id) != NULL)
            continue;
        if (sequence < next)
            next = sequence;
        if (sequence >= next_ready || !is_ready(member))
            continue;
        next_ready = sequence;
        chosen = id;
    }
    return next == next_ready ? "" : chosen;
}
