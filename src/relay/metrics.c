/* metrics.c - see the header. Each name here stands in docs/monitoring.md; the tests compare the two. */
#include "metrics.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "prom.h"

/* ---- one series for each state, so that a change is two steps of known series and none appears or goes */

static const char *const roles[] = {"active", "standby", "joining", "drained", "absent", NULL};
static const char *const livys[] = {"none",      "held",     "starting", "serving",
                                    "unhealthy", "stopping", "failed",   NULL};
static const char *const helds[] = {"none", "warming", "ready", NULL};
static const char *const routes[] = {"nobody", "pause", "local", "remote", NULL};

/* `is` NULL: no such state is known here, and there is no series. */
static void states(FILE *out, const char *name, const char *help, const char *label,
                   const char *const names[], const char *is)
{
    prom_family(out, name, "gauge", help);
    for (size_t i = 0; is != NULL && names[i] != NULL; i++)
        prom_sample(out, name, label, names[i], strcmp(names[i], is) == 0);
}

/* ---- from the snapshot
 * --------------------------------------------------------------------------------------------- */

static void integer(FILE *out, const json_t *object, const char *key, const char *name, const char *help)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_integer(value))
        prom_one(out, name, "gauge", help, (double)json_integer_value(value));
}

static void this_member(FILE *out, const struct metrics_sources *s)
{
    const json_t *status = snapshot_status(s->snapshot);
    int64_t lease = snapshot_lease_left(s->snapshot, s->now);

    states(out, "livy_ha_role", "1 for the role of this member.", "role", roles,
           snapshot_text(status, "role"));
    states(out, "livy_ha_livy_state", "1 for the state of this member's Livy.", "state", livys,
           snapshot_text(status, "livy"));
    states(out, "livy_ha_held", "1 for the state of the Livy that this member holds as a hot standby.",
           "state", helds, json_string_value(json_object_get(status, "held")));
    prom_one(out, "livy_ha_zookeeper_connected", "gauge", "1 while this member is connected to ZooKeeper.",
             json_is_true(json_object_get(status, "connected")));
    prom_one(out, "livy_ha_alarms", "gauge", "Alarms that this member raises; /status has their words.",
             (double)json_array_size(json_object_get(status, "alarms")));
    if (lease >= 0)
        prom_one(out, "livy_ha_lease_seconds", "gauge",
                 "How long this member's Livy may still run without a renewal.", (double)lease / 1e3);
}

static void cluster(FILE *out, const struct metrics_sources *s)
{
    const json_t *document = snapshot_cluster(s->snapshot), *member;
    double counts[sizeof(roles) / sizeof(roles[0])] = {0}, ready = 0;
    size_t i;

    prom_one(out, "livy_ha_cluster_active", "gauge", "1 while this member knows of an active member.",
             json_is_string(json_object_get(document, "active")));
    prom_one(out, "livy_ha_cluster_serving", "gauge", "1 while the active member's Livy serves.",
             json_is_true(json_object_get(document, "serving")));
    prom_one(out, "livy_ha_cluster_paused", "gauge", "1 while automatic fail-over is paused.",
             json_is_true(json_object_get(document, "paused")));
    integer(out, document, "epoch", "livy_ha_epoch",
            "The active member's epoch; it grows with each change of the active member.");
    json_array_foreach(json_object_get(document, "members"), i, member)
    {
        for (size_t role = 0; roles[role] != NULL; role++)
            if (strcmp(roles[role], snapshot_text(member, "role")) == 0)
                counts[role]++;
        ready += snapshot_is(member, "role", "standby") && snapshot_is(member, "livy", "held");
    }
    prom_family(out, "livy_ha_members", "gauge", "Members of the cluster by role.");
    for (size_t role = 0; roles[role] != NULL; role++)
        prom_sample(out, "livy_ha_members", "role", roles[role], counts[role]);
    prom_one(out, "livy_ha_standbys_ready", "gauge", "Standbys that hold a loaded Livy, ready to be let go.",
             ready);
}

static void snapshot(FILE *out, const struct metrics_sources *s)
{
    struct snapshot_counts counts = snapshot_counts(s->snapshot);
    double age = (double)snapshot_age(s->snapshot, s->now) / 1e3;

    prom_one(out, "livy_ha_snapshot_age_seconds", "gauge",
             "Age of the elector's last word; +Inf before the first one. What depends on it is left out "
             "beyond 3 s.",
             snapshot_there(s->snapshot) ? age : INFINITY);
    prom_one(out, "livy_ha_snapshot_size_bytes", "gauge", "Size of the elector's last snapshot.",
             (double)counts.bytes);
    prom_one(out, "livy_ha_snapshot_left_out", "gauge",
             "Members' records and history entries that the last snapshot has in part only, as they are too "
             "large.",
             (double)counts.left_out);
    prom_one(out, "livy_ha_snapshots_total", "counter", "Snapshots taken from the elector.",
             (double)counts.taken);
    prom_one(out, "livy_ha_snapshots_refused_total", "counter", "Snapshots that were not well-formed.",
             (double)counts.refused);
}

/* ---- the front
 * ------------------------------------------------------------------------------------------------------ */

static void labelled(FILE *out, const char *name, const char *label, const char *const names[],
                     const uint64_t values[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        prom_sample(out, name, label, names[i], (double)values[i]);
}

static const char *reject_name(enum stats_reject reject)
{
    switch (reject) {
    case STATS_FULL:
        return "full";
    case STATS_EVICTED:
        return "evicted";
    case STATS_BAD_REQUEST:
        return "bad-request";
    case STATS_HEAD_LARGE:
        return "head-too-large";
    case STATS_HEAD_TIMEOUT:
        return "head-timeout";
    case STATS_DESCRIPTORS:
        return "no-descriptors";
    case STATS_REJECTS:
        break;
    }
    return "?";
}

static void requests(FILE *out, const struct relay_stats *stats)
{
    static const char *const outcomes[] = {"local",       "forwarded",   "redirected",
                                           "unavailable", "bad-gateway", "cut"};
    const uint64_t values[] = {stats->local,       stats->forwarded,   stats->redirected,
                               stats->unavailable, stats->bad_gateway, stats->cut};

    prom_family(out, "livy_ha_front_requests_total", "counter",
                "Requests (where clients speak TLS to Livy: connections) by what became of them: sent to the "
                "local Livy, forwarded to another member's, answered 307, 503 or 502, or cut off.");
    labelled(out, "livy_ha_front_requests_total", "outcome", outcomes, values,
             sizeof(values) / sizeof(values[0]));
    prom_one(out, "livy_ha_front_redirects_total", "counter", "Requests that were answered with a 307.",
             (double)stats->redirected);
    prom_one(out, "livy_ha_front_repeated_total", "counter",
             "Requests that were sent again because the kept connection to Livy turned out to be closed.",
             (double)stats->repeated);
    prom_one(out, "livy_ha_front_upstream_failures_total", "counter",
             "Connections to a Livy that failed, or broke before there was an answer.",
             (double)stats->upstream_failures);
    prom_one(out, "livy_ha_front_running", "gauge",
             "Requests that have gone to a Livy and are not answered in full.",
             (double)(stats->running + stats->running_before));
    prom_family(out, "livy_ha_front_rejects_total", "counter",
                "Connections and requests that were turned away.");
    for (size_t i = 0; i < STATS_REJECTS; i++)
        prom_sample(out, "livy_ha_front_rejects_total", "reason", reject_name((enum stats_reject)i),
                    (double)stats->rejected[i]);
}

static void client_path(FILE *out, const struct relay_stats *stats)
{
    static const char *const directions[] = {"in", "out"};
    const uint64_t bytes[] = {stats->bytes_in, stats->bytes_out};

    prom_one(out, "livy_ha_front_connections", "gauge", "Connections of clients.", (double)stats->open);
    prom_one(out, "livy_ha_front_connections_accepted_total", "counter",
             "Connections of clients that were accepted.", (double)stats->accepted);
    prom_family(out, "livy_ha_front_bytes_total", "counter",
                "Bytes from clients to a Livy (in) and from a Livy to clients (out).");
    labelled(out, "livy_ha_front_bytes_total", "direction", directions, bytes, 2);
    requests(out, stats);
    prom_one(out, "livy_ha_front_held", "gauge", "Requests that wait for an active Livy.",
             (double)stats->held);
    prom_one(out, "livy_ha_front_holds_total", "counter", "Requests that had to wait for an active Livy.",
             (double)stats->holds);
    prom_one(out, "livy_ha_front_hold_seconds_total", "counter", "How long all of these have waited.",
             (double)stats->hold_ms / 1e3);
}

/* ---- ourselves
 * ------------------------------------------------------------------------------------------------------ */

static void processes(FILE *out, const struct metrics_sources *s)
{
    static const char *const names[] = {"keeper", "elector", "relay"};
    const pid_t pids[] = {getppid(), snapshot_fresh(s->snapshot, s->now) ? snapshot_elector(s->snapshot) : 0,
                          getpid()};
    struct process_facts facts[3];
    bool there[3];

    for (size_t i = 0; i < 3; i++)
        there[i] = process_look(pids[i], &facts[i]) == 0;
    prom_family(out, "livy_ha_process_start_time_seconds", "gauge",
                "When the process was started, seconds since 1970.");
    for (size_t i = 0; i < 3; i++)
        if (there[i])
            prom_sample(out, "livy_ha_process_start_time_seconds", "process", names[i], facts[i].started);
    prom_family(out, "livy_ha_process_resident_memory_bytes", "gauge", "Resident memory of the process.");
    for (size_t i = 0; i < 3; i++)
        if (there[i])
            prom_sample(out, "livy_ha_process_resident_memory_bytes", "process", names[i],
                        (double)facts[i].rss);
    prom_family(out, "livy_ha_process_open_fds", "gauge", "Open descriptors of the process.");
    for (size_t i = 0; i < 3; i++)
        if (there[i] && facts[i].fds >= 0)
            prom_sample(out, "livy_ha_process_open_fds", "process", names[i], (double)facts[i].fds);
}

static void health(FILE *out, const struct metrics_sources *s)
{
    char reason[256];

    prom_family(out, "livy_ha_health", "gauge",
                "1 where the health check answers 200: /active, /standby, /livez, /readyz.");
    for (size_t i = 0; i < HEALTH_CHECKS; i++)
        prom_sample(
            out, "livy_ha_health", "check", health_name((enum health_check)i),
            health_check((enum health_check)i, s->snapshot, s->front, s->now, reason, sizeof(reason)));
}

void metrics_write(FILE *out, const struct metrics_sources *s)
{
    bool fresh = snapshot_fresh(s->snapshot, s->now);

    prom_family(out, "livy_ha_build_info", "gauge", "Always 1; the version is in the label.");
    prom_sample(out, "livy_ha_build_info", "version", LIVY_HA_VERSION, 1);
    prom_family(out, "livy_ha_member_info", "gauge", "Always 1; the member's id is in the label.");
    prom_sample(out, "livy_ha_member_info", "member", s->id, 1);
    health(out, s);
    snapshot(out, s);
    if (fresh) {
        this_member(out, s);
        cluster(out, s);
    }
    prom_document(out, snapshot_metrics(s->snapshot), fresh);
    states(out, "livy_ha_front_route",
           "1 for where requests go: to nobody, held for a hand-over, to the local Livy, to another "
           "member's.",
           "route", routes, front_route_name(s->front->route));
    if (s->stats != NULL)
        client_path(out, s->stats);
    processes(out, s);
}
