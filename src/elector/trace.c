/* trace.c - see the header. */
#include "trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define EVENT_SIZE 160
#define THEN_SIZE 48
#define THENS 8

struct trace_entry {
    int64_t wall;
    unsigned quiet; /* steps since the entry before that are not kept */
    enum core_phase phase;
    size_t n;
    char event[EVENT_SIZE];
    char then[THENS][THEN_SIZE];
};

struct trace {
    struct trace_entry list[TRACE_STEPS];
    size_t next, n;
    unsigned quiet;
};

static const char *const requests[CORE_REQUESTS] = {
    "register", "create", "list", "own", "watch", "delete", "stray", "ghost", "handover", "tenure", "clear"};

static const char *request_name(enum core_request request)
{
    return (size_t)request < CORE_REQUESTS ? requests[request] : "?";
}

static const char *event_name(enum core_event_type type)
{
    static const char *const names[] = {"time",
                                        "connected",
                                        "suspended",
                                        "session lost",
                                        "opened",
                                        "kicked",
                                        "reply",
                                        "beat",
                                        "own node changed",
                                        "predecessor changed",
                                        "livy",
                                        "leased",
                                        "livy gone",
                                        "probe",
                                        "predecessor",
                                        "fenced",
                                        "stand",
                                        "orders",
                                        "restart",
                                        "quiet",
                                        "quit",
                                        "leave",
                                        "deaths",
                                        "doubt of the keeper"};

    return (size_t)type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

static const char *action_name(enum core_action_type type)
{
    static const char *const names[] = {"connect",
                                        "kick",
                                        "register",
                                        "create",
                                        "list",
                                        "own",
                                        "watch",
                                        "handover",
                                        "delete",
                                        "tenure",
                                        "clear",
                                        "fence",
                                        "probe predecessor",
                                        "beat",
                                        "session",
                                        "start",
                                        "lease",
                                        "quiesce",
                                        "mark",
                                        "stop",
                                        "ask",
                                        "kill",
                                        "probe",
                                        "releasing",
                                        "close",
                                        "phase",
                                        "history",
                                        "alarm",
                                        "death",
                                        "publish",
                                        "fatal"};

    return (size_t)type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

static bool quiet_event(const struct core_event *event)
{
    return event->type == CORE_EV_TIME || (event->type == CORE_EV_BEAT && event->rc == CORE_OK) ||
           event->type == CORE_EV_LEASED || (event->type == CORE_EV_PROBE && event->alive && !event->foreign);
}

static bool quiet_action(enum core_action_type type)
{
    return type == CORE_ACT_BEAT || type == CORE_ACT_LEASE || type == CORE_ACT_PROBE;
}

static bool quiet(const struct core_event *event, const struct core_actions *actions)
{
    if (!quiet_event(event))
        return false;
    for (size_t i = 0; i < actions->count; i++)
        if (!quiet_action(actions->list[i].type))
            return false;
    return true;
}

/* What an event brings, as far as a reader can make something of it. */
static void describe_event(const struct core_event *event, char *text, size_t size)
{
    static const char *const livys[] = {"none", "alive", "stopping"};
    const char *name = event_name(event->type), *more = event->text != NULL ? event->text : "";

    switch (event->type) {
    case CORE_EV_CONNECTED:
        snprintf(text, size, "%s: session 0x%" PRIx64 ", time-out %" PRId64 " ms", name,
                 (uint64_t)event->session, event->timeout);
        return;
    case CORE_EV_REPLY:
        snprintf(text, size, "%s: %s, result %d%s%s", name, request_name(event->request), (int)event->rc,
                 event->name != NULL ? ", " : "", event->name != NULL ? event->name : "");
        return;
    case CORE_EV_BEAT:
        snprintf(text, size, "%s: result %d", name, (int)event->rc);
        return;
    case CORE_EV_LIVY:
        snprintf(text, size, "%s: %s, run %" PRIu32 ", pid %" PRId32, name,
                 event->livy.state <= IPC_LIVY_STOPPING ? livys[event->livy.state] : "?", event->livy.run,
                 event->livy.pid);
        return;
    case CORE_EV_PROBE:
        snprintf(text, size, "%s: %s%s%s", name, event->alive ? "answers" : "no answer",
                 more[0] != '\0' ? ", " : "", more);
        return;
    case CORE_EV_OWN_CHANGED:
        snprintf(text, size, "%s%s", name, event->deleted ? ": deleted" : "");
        return;
    case CORE_EV_DEATHS:
        snprintf(text, size, "%s%s%s%s%s", name, more[0] != '\0' ? ": " : "", more,
                 event->heir != NULL ? "; ready next in the queue: " : "",
                 event->heir != NULL ? event->heir : "");
        return;
    case CORE_EV_TIME:
    case CORE_EV_SUSPENDED:
    case CORE_EV_LOST:
    case CORE_EV_OPENED:
    case CORE_EV_KICKED:
    case CORE_EV_PRED_CHANGED:
    case CORE_EV_LEASED:
    case CORE_EV_LIVY_GONE:
    case CORE_EV_PREDECESSOR:
    case CORE_EV_FENCED:
    case CORE_EV_STAND:
    case CORE_EV_ORDERS:
    case CORE_EV_RESTART:
    case CORE_EV_QUIET:
    case CORE_EV_QUIT:
    case CORE_EV_LEAVE:
    case CORE_EV_DOUBT:
        snprintf(text, size, "%s%s%s", name, more[0] != '\0' ? ": " : "", more);
        return;
    }
}

static void describe_action(const struct core_action *a, char *text, size_t size)
{
    const char *name = action_name(a->type);

    if (a->type == CORE_ACT_PHASE)
        snprintf(text, size, "%s -> %s", core_phase_name(a->old_phase), core_phase_name(a->phase));
    else if (a->type == CORE_ACT_HISTORY)
        snprintf(text, size, "history %s", core_history_name(a->history));
    else if (a->type == CORE_ACT_DELETE)
        snprintf(text, size, "%s %s%s", name, request_name(a->request), a->in_order ? " in order" : "");
    else if (a->type == CORE_ACT_START)
        snprintf(text, size, "%s run %" PRIu32 ", epoch %" PRId64, name, a->run, a->epoch);
    else
        snprintf(text, size, "%s", name);
}

struct trace *trace_new(void)
{
    return calloc(1, sizeof(struct trace));
}

void trace_free(struct trace *trace)
{
    free(trace);
}

void trace_step(struct trace *trace, const struct core *core, const struct core_event *event,
                const struct core_actions *actions, int64_t wall)
{
    if (trace == NULL)
        return;
    if (quiet(event, actions)) {
        trace->quiet++;
        return;
    }
    struct trace_entry *entry = &trace->list[trace->next];
    *entry = (struct trace_entry){.wall = wall, .quiet = trace->quiet, .phase = core->phase};
    describe_event(event, entry->event, sizeof(entry->event));
    for (size_t i = 0; i < actions->count && entry->n < THENS; i++)
        if (!quiet_action(actions->list[i].type))
            describe_action(&actions->list[i], entry->then[entry->n++], THEN_SIZE);
    trace->quiet = 0;
    trace->next = (trace->next + 1) % TRACE_STEPS;
    if (trace->n < TRACE_STEPS)
        trace->n++;
}

json_t *trace_document(const struct trace *trace)
{
    json_t *list = json_array();

    for (size_t i = 0; trace != NULL && i < trace->n; i++) {
        const struct trace_entry *entry =
            &trace->list[(trace->next + TRACE_STEPS - trace->n + i) % TRACE_STEPS];
        char at[CLOCK_UTC_SIZE];
        json_t *then = json_array();

        clock_format_utc(entry->wall, at);
        for (size_t j = 0; j < entry->n; j++)
            json_array_append_new(then, json_string(entry->then[j]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:i}", "at", at, "phase",
                                              core_phase_name(entry->phase), "event", entry->event, "then",
                                              then, "quiet", (int)entry->quiet));
    }
    return list;
}
