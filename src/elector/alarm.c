/* alarm.c - the core's alarms as people see them: in the log, in /status and members/<id>. */
#include <stdio.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/log.h"

int alarm_process_state(int pid)
{
    char path[64], line[512] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return ' ';
    const char *end = fgets(line, sizeof(line), file) != NULL ? strrchr(line, ')') : NULL;
    fclose(file);
    return end != NULL && end[1] == ' ' ? end[2] : ' ';
}

/* Why it does not die, as far as can be seen from outside. */
static void explain(int state, char *text, size_t size)
{
    const char *why = state == 'D'   ? ": it hangs in the kernel, on a disk or NFS for instance"
                      : state == 'Z' ? ": dead, but not reaped"
                                     : "";

    if (state == ' ')
        snprintf(text, size, " (gone, but something that it left holds its lock)");
    else
        snprintf(text, size, " (state %c%s)", state, why);
}

void alarm_change(struct elector *e, const struct core_action *a)
{
    char *text = e->alarms[a->alarm], why[80] = "";

    snapshot_changed(e->snapshot);
    if (!a->on) {
        if (text[0] != '\0')
            log_info("alarm over: %s", a->text);
        text[0] = '\0';
        return;
    }
    const struct ipc_member *victim = &e->core.takeover.victim.member;
    switch (a->alarm) {
    case CORE_ALARM_UNKILLABLE:
        explain(alarm_process_state(e->core.livy.pid), why, sizeof(why));
        snprintf(text, ELECTOR_ALARM_SIZE, "%s%s", a->text, why);
        break;
    case CORE_ALARM_FENCING:
        snprintf(text, ELECTOR_ALARM_SIZE,
                 "failover.fence_command for %.64s fails: %.96s. Livy is not started before it succeeds. "
                 "Fence host "
                 "%.96s by hand and let the command say so, or start livy-ha there again",
                 victim->id, a->text, victim->host);
        break;
    case CORE_ALARM_ANSWERS:
        snprintf(text, ELECTOR_ALARM_SIZE,
                 "%.64s's Livy still answers at %.96s though its session has ended: not starting a second "
                 "one. Stop it "
                 "on host %.96s (kill -9 of the JVM)",
                 victim->id, a->text, victim->host);
        break;
    case CORE_ALARM_KEEPER:
    case CORE_ALARM_SLOW:
    case CORE_ALARM_TICK:
    case CORE_ALARM_LATE:
    case CORE_ALARM_WAITS:
    case CORE_ALARMS:
        snprintf(text, ELECTOR_ALARM_SIZE, "%s", a->text);
        break;
    }
    switch (a->alarm) {
    case CORE_ALARM_KEEPER:
    case CORE_ALARM_UNKILLABLE:
    case CORE_ALARM_FENCING:
    case CORE_ALARM_ANSWERS:
        log_error("alarm: %s", text);
        return;
    case CORE_ALARM_SLOW:
    case CORE_ALARM_TICK:
    case CORE_ALARM_LATE:
    case CORE_ALARM_WAITS:
    case CORE_ALARMS:
        log_warn("alarm: %s", text);
        return;
    }
}

json_t *alarm_list(const struct elector *e)
{
    json_t *list = json_array();

    for (size_t i = 0; i < CORE_ALARMS; i++)
        if (e->alarms[i][0] != '\0')
            json_array_append_new(list, json_string(e->alarms[i]));
    if (e->register_why[0] != '\0') /* in full: the core keeps the beginning */
        json_array_append_new(list, json_string(e->register_why));
    else if ((e->core.barred & ~(1u << CORE_BAR_DRAINED)) != 0)
        json_array_append_new(list, json_string(e->core.stand_reason));
    if (core_latch_sequence(e->core.node) < 0 && e->core.node[0] != '\0')
        json_array_append_new(
            list,
            json_string("the latch's sequence numbers have run past 2^31: remove <root>/leader while no "
                        "member runs"));
    return list;
}

size_t alarm_count(const struct elector *e)
{
    json_t *list = alarm_list(e);
    size_t n = json_array_size(list);

    json_decref(list);
    return n;
}
