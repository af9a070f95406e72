/* metrics.c - see the header. Each metric's name, type and help stand here alone; docs/monitoring.md tells
 * them to people. */
#include "metrics.h"

#include <string.h>

/* Upper bounds in s: a heartbeat takes one or two milliseconds on a quick disk, and is overdue after some
 * hundred. */
static const double bounds[METRICS_BOUNDS] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
                                              0.1,    0.2,   0.5,   1,     2,    5,    10};

void metrics_init(struct metrics *m, const struct ipc_livy *livy, int64_t now)
{
    *m = (struct metrics){.phase_since = now};
    m->seen_run = livy->run;
    if (livy->state == IPC_LIVY_NONE)
        m->ended_run = livy->run;
}

void metrics_beat(struct metrics *m, int64_t took, int64_t patience, bool acknowledged)
{
    double seconds = (double)took / 1e6;
    size_t i = 0;

    if (took > patience * 1000)
        m->beats_overdue++;
    if (!acknowledged) { /* how long an error took says nothing about the quorum */
        m->beats_failed++;
        return;
    }
    m->beats_acknowledged++;
    while (i < METRICS_BOUNDS && seconds > bounds[i])
        i++;
    m->beat_counts[i]++;
    m->beat_sum += seconds;
}

void metrics_livy(struct metrics *m, const struct ipc_livy *livy)
{
    bool never_ran = livy->cause == IPC_CAUSE_NOT_STARTED;

    if (livy->state == IPC_LIVY_NONE && (livy->cause == IPC_CAUSE_REFUSED || livy->cause == IPC_CAUSE_NONE))
        return; /* nothing was run, nothing has ended */
    if (livy->run != m->seen_run && !never_ran)
        m->starts++;
    m->seen_run = livy->run;
    if (livy->state != IPC_LIVY_NONE || livy->run == m->ended_run)
        return;
    m->ended_run = livy->run;
    if (livy->cause < METRICS_NAMES)
        m->exits[livy->cause]++;
}

void metrics_phase(struct metrics *m, enum core_phase old, enum core_phase phase, int64_t now)
{
    if ((size_t)old < METRICS_NAMES)
        m->phase_ms[old] += now - m->phase_since;
    m->phase_since = now;
    if ((size_t)phase < METRICS_NAMES)
        m->phases[phase]++;
}

void metrics_event(struct metrics *m, const struct core *core, const struct core_action *a)
{
    if ((size_t)a->history < METRICS_NAMES)
        m->events[a->history]++;
    if (a->history == CORE_HIST_ELECTED && (size_t)core->takeover.left < METRICS_NAMES)
        m->failovers[core->takeover.left]++;
    if (a->history == CORE_HIST_SERVING) {
        m->serves++;
        m->start_last = (double)a->took / 1e3;
        m->start_sum += m->start_last;
    }
}

/* ---- names
 * ---------------------------------------------------------------------------------------------------- */

static const char *left_name(enum core_left left)
{
    switch (left) {
    case CORE_LEFT_IN_ORDER:
        return "orderly";
    case CORE_LEFT_GONE:
        return "session-ended";
    case CORE_LEFT_NODE:
        return "node-deleted";
    case CORE_LEFT_UNSEEN:
        return "unseen";
    }
    return NULL;
}

static const char *cause_name(enum ipc_cause cause)
{
    switch (cause) {
    case IPC_CAUSE_EXITED:
        return "exited";
    case IPC_CAUSE_SIGNALLED:
        return "signalled";
    case IPC_CAUSE_ORDERED:
        return "ordered";
    case IPC_CAUSE_DEADLINE:
        return "deadline";
    case IPC_CAUSE_NOT_STARTED:
        return "not-started";
    case IPC_CAUSE_ORPHANED:
        return "orphaned";
    case IPC_CAUSE_NONE:
    case IPC_CAUSE_REFUSED:
        return NULL; /* no exit */
    }
    return NULL;
}

static const char *alarm_name(enum core_alarm alarm)
{
    switch (alarm) {
    case CORE_ALARM_KEEPER:
        return "keeper";
    case CORE_ALARM_UNKILLABLE:
        return "unkillable";
    case CORE_ALARM_SLOW:
        return "slow";
    case CORE_ALARM_TICK:
        return "tick";
    case CORE_ALARM_LATE:
        return "late";
    case CORE_ALARM_FENCING:
        return "fencing";
    case CORE_ALARM_ANSWERS:
        return "predecessor-answers";
    case CORE_ALARM_WAITS:
        return "waits";
    case CORE_ALARMS:
        return NULL;
    }
    return NULL;
}

static const char *left_at(size_t i)
{
    return left_name((enum core_left)i);
}

static const char *cause_at(size_t i)
{
    return cause_name((enum ipc_cause)i);
}

static const char *known(const char *name)
{
    return strcmp(name, "?") != 0 ? name : NULL;
}

static const char *event_at(size_t i)
{
    return known(core_history_name((enum core_history)i));
}

static const char *phase_at(size_t i)
{
    return known(core_phase_name((enum core_phase)i));
}

/* ---- the document
 * ---------------------------------------------------------------------------------------------- */

/* Appends a family without samples and returns their array (borrowed). */
static json_t *family(json_t *all, const char *name, const char *type, const char *help)
{
    json_t *samples = json_array();

    if (json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:O}", "name", name, "type", type, "help", help,
                                             "samples", samples)) != 0) {
        json_decref(samples);
        return NULL;
    }
    json_decref(samples); /* the family has it */
    return samples;
}

static void sample(json_t *samples, const char *label, const char *of, double value)
{
    json_t *labels = label != NULL ? json_pack("{s:s}", label, of) : json_object();

    json_array_append_new(samples, json_pack("{s:o, s:f}", "labels", labels, "value", value));
}

static void one(json_t *all, const char *name, const char *type, const char *help, double value)
{
    sample(family(all, name, type, help), NULL, NULL, value);
}

/* A counter with one series for each name, those that are zero too: a rate needs to see the first one. */
static void each(json_t *all, const char *name, const char *help, const char *label,
                 const char *(*name_at)(size_t i), const uint64_t counts[static METRICS_NAMES])
{
    json_t *samples = family(all, name, "counter", help);

    for (size_t i = 0; i < METRICS_NAMES; i++)
        if (name_at(i) != NULL)
            sample(samples, label, name_at(i), (double)counts[i]);
}

static void beats(json_t *all, const struct metrics *m)
{
    json_t *samples = family(all, "livy_ha_heartbeat_latency_seconds", "histogram",
                             "How long heartbeats took from being sent to the quorum's answer.");
    json_t *buckets = json_array();
    uint64_t count = 0;

    for (size_t i = 0; i < METRICS_BOUNDS; i++) {
        count += m->beat_counts[i];
        json_array_append_new(buckets, json_pack("[f, I]", bounds[i], (json_int_t)count));
    }
    count += m->beat_counts[METRICS_BOUNDS];
    json_array_append_new(samples, json_pack("{s:{}, s:o, s:f, s:I}", "labels", "buckets", buckets, "sum",
                                             m->beat_sum, "count", (json_int_t)count));
    one(all, "livy_ha_heartbeats_sent_total", "counter", "Heartbeats sent through ZooKeeper's quorum.",
        (double)m->beats_sent);
    one(all, "livy_ha_heartbeats_acknowledged_total", "counter", "Heartbeats that the quorum has answered.",
        (double)m->beats_acknowledged);
    one(all, "livy_ha_heartbeats_failed_total", "counter",
        "Heartbeats that got an error in the place of an answer, most often a lost connection.",
        (double)m->beats_failed);
    one(all, "livy_ha_heartbeats_overdue_total", "counter",
        "Heartbeats that had no answer after two intervals, a tenth of the session time-out.",
        (double)m->beats_overdue);
}

static void zookeeper(json_t *all, const struct metrics *m)
{
    one(all, "livy_ha_zookeeper_reconnections_total", "counter",
        "Connections to a ZooKeeper server after the first one.",
        m->connections > 0 ? (double)(m->connections - 1) : 0);
    one(all, "livy_ha_zookeeper_kicks_total", "counter",
        "Connections that were given up because the ZooKeeper server did not answer.", (double)m->kicks);
    one(all, "livy_ha_zookeeper_sessions_lost_total", "counter",
        "ZooKeeper sessions that ended before they were closed.", (double)m->sessions_lost);
}

static void livy(json_t *all, const struct metrics *m)
{
    json_t *samples;

    one(all, "livy_ha_livy_starts_total", "counter", "Times that Livy was started here.", (double)m->starts);
    each(all, "livy_ha_livy_exits_total", "Times that Livy ended here, by cause.", "cause", cause_at,
         m->exits);
    samples = family(all, "livy_ha_livy_start_duration_seconds", "summary",
                     "From Livy's start to its first answer.");
    json_array_append_new(samples, json_pack("{s:{}, s:f, s:I}", "labels", "sum", m->start_sum, "count",
                                             (json_int_t)m->serves));
    if (m->serves > 0)
        one(all, "livy_ha_livy_last_start_duration_seconds", "gauge",
            "From Livy's start to its first answer, the last time.", m->start_last);
    one(all, "livy_ha_fencings_total", "counter",
        "Times that Livy was killed here because the lease ended or the latch was lost.",
        (double)m->events[CORE_HIST_FENCED]);
    one(all, "livy_ha_leases_ended_total", "counter",
        "Times that the keeper killed Livy at the end of a lease that was not renewed.",
        (double)m->exits[IPC_CAUSE_DEADLINE]);
}

static void phases(json_t *all, const struct metrics *m, const struct core *core, int64_t now)
{
    json_t *samples;

    each(all, "livy_ha_phase_changes_total", "Times that this member has entered a phase.", "phase", phase_at,
         m->phases);
    samples =
        family(all, "livy_ha_phase_seconds_total", "counter", "How long this member has been in a phase.");
    for (size_t i = 0; i < METRICS_NAMES; i++) {
        int64_t now_in = (size_t)core->phase == i ? now - m->phase_since : 0;
        if (phase_at(i) != NULL)
            sample(samples, "phase", phase_at(i), (double)(m->phase_ms[i] + now_in) / 1e3);
    }
    samples = family(all, "livy_ha_phase", "gauge", "1 for the phase that this member is in.");
    for (size_t i = 0; i < METRICS_NAMES; i++)
        if (phase_at(i) != NULL)
            sample(samples, "phase", phase_at(i), (size_t)core->phase == i);
}

json_t *metrics_document(const struct metrics *m, const struct core *core, int64_t now)
{
    json_t *all = json_array(), *samples;

    beats(all, m);
    zookeeper(all, m);
    each(all, "livy_ha_failovers_total",
         "Times that this member has taken over, by how the one before left: orderly, its session ended, its "
         "node was deleted, or unseen.",
         "reason", left_at, m->failovers);
    livy(all, m);
    each(all, "livy_ha_events_total", "Transitions that this member has written to the history, by event.",
         "event", event_at, m->events);
    phases(all, m, core, now);
    samples = family(all, "livy_ha_alarm", "gauge", "1 while this member raises the alarm.");
    for (size_t i = 0; i < CORE_ALARMS; i++)
        sample(samples, "alarm", alarm_name((enum core_alarm)i), core->alarms[i]);
    return all;
}
