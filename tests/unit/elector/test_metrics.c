/* test_metrics.c - what the elector counts, and the document of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "metrics.h"

static struct metrics m;
static struct core core;

static int fresh(void **state)
{
    static const struct ipc_livy none;

    (void)state;
    memset(&core, 0, sizeof(core));
    metrics_init(&m, &none, 1000);
    return 0;
}

/* The sample of a family whose one label is `of` (NULL: without labels); a new reference. */
static json_t *find(const char *name, const char *of)
{
    json_t *all = metrics_document(&m, &core, 3500), *family, *sample, *found = NULL;
    size_t i, j;

    json_array_foreach(all, i, family)
    {
        if (strcmp(json_string_value(json_object_get(family, "name")), name) != 0)
            continue;
        json_array_foreach(json_object_get(family, "samples"), j, sample)
        {
            void *label = json_object_iter(json_object_get(sample, "labels"));
            const char *value = label != NULL ? json_string_value(json_object_iter_value(label)) : NULL;
            if ((of == NULL && value == NULL) || (of != NULL && value != NULL && strcmp(of, value) == 0))
                found = json_incref(sample);
        }
    }
    json_decref(all);
    return found;
}

static double value(const char *name, const char *of)
{
    json_t *sample = find(name, of);

    assert_non_null(sample);
    double number = json_number_value(json_object_get(sample, "value"));
    json_decref(sample);
    return number;
}

static double bucket(const json_t *sample, double le)
{
    const json_t *pair;
    size_t i;

    json_array_foreach(json_object_get(sample, "buckets"), i, pair)
    {
        if (json_number_value(json_array_get(pair, 0)) == le)
            return json_number_value(json_array_get(pair, 1));
    }
    fail_msg("no bucket %g", le);
    return 0;
}

static void test_beats(void **state)
{
    (void)state;
    metrics_beat(&m, 1000, 400, true); /* a bound belongs to its bucket */
    metrics_beat(&m, 1001, 400, true);
    metrics_beat(&m, 450000, 400, true);
    metrics_beat(&m, 60000000, 400, true);
    metrics_beat(&m, 500000, 400, false);
    metrics_beat(&m, 100, 400, false);
    json_t *sample = find("livy_ha_heartbeat_latency_seconds", NULL);
    assert_non_null(sample);
    assert_true(bucket(sample, 0.0005) == 0);
    assert_true(bucket(sample, 0.001) == 1);
    assert_true(bucket(sample, 0.002) == 2);
    assert_true(bucket(sample, 0.5) == 3);
    assert_true(bucket(sample, 10) == 3);
    assert_int_equal(json_integer_value(json_object_get(sample, "count")), 4);
    assert_true(json_number_value(json_object_get(sample, "sum")) > 60.45);
    json_decref(sample);
    assert_true(value("livy_ha_heartbeats_acknowledged_total", NULL) == 4);
    assert_true(value("livy_ha_heartbeats_failed_total", NULL) == 2);
    assert_true(value("livy_ha_heartbeats_overdue_total", NULL) == 3);
}

static void word(uint32_t state, uint32_t run, uint32_t cause)
{
    metrics_livy(&m, &(struct ipc_livy){.state = state, .run = run, .cause = cause});
}

static void test_livy(void **state)
{
    (void)state;
    word(IPC_LIVY_ALIVE, 1, IPC_CAUSE_NONE);
    word(IPC_LIVY_ALIVE, 1, IPC_CAUSE_NONE); /* the same word again */
    word(IPC_LIVY_STOPPING, 1, IPC_CAUSE_NONE);
    word(IPC_LIVY_NONE, 1, IPC_CAUSE_ORDERED);
    word(IPC_LIVY_NONE, 1, IPC_CAUSE_ORDERED);
    word(IPC_LIVY_NONE, 1, IPC_CAUSE_REFUSED); /* nothing was run */
    word(IPC_LIVY_ALIVE, 2, IPC_CAUSE_NONE);
    word(IPC_LIVY_NONE, 2, IPC_CAUSE_DEADLINE);
    word(IPC_LIVY_NONE, 3, IPC_CAUSE_NOT_STARTED);
    word(IPC_LIVY_NONE, 4, IPC_CAUSE_EXITED); /* its life was too short to be told */
    assert_true(value("livy_ha_livy_starts_total", NULL) == 3);
    assert_true(value("livy_ha_livy_exits_total", "ordered") == 1);
    assert_true(value("livy_ha_livy_exits_total", "deadline") == 1);
    assert_true(value("livy_ha_livy_exits_total", "not-started") == 1);
    assert_true(value("livy_ha_livy_exits_total", "exited") == 1);
    assert_true(value("livy_ha_livy_exits_total", "signalled") == 0);
    assert_true(value("livy_ha_leases_ended_total", NULL) == 1);
    assert_null(find("livy_ha_livy_exits_total", "refused"));
}

/* An elector that takes over from a dead one counts what happens from then on. */
static void test_livy_that_was_there(void **state)
{
    struct ipc_livy there = {.state = IPC_LIVY_ALIVE, .run = 5};

    (void)state;
    metrics_init(&m, &there, 1000);
    word(IPC_LIVY_ALIVE, 5, IPC_CAUSE_NONE);
    word(IPC_LIVY_NONE, 5, IPC_CAUSE_SIGNALLED);
    assert_true(value("livy_ha_livy_starts_total", NULL) == 0);
    assert_true(value("livy_ha_livy_exits_total", "signalled") == 1);
    there = (struct ipc_livy){.state = IPC_LIVY_NONE, .run = 5, .cause = IPC_CAUSE_SIGNALLED};
    metrics_init(&m, &there, 1000);
    word(IPC_LIVY_NONE, 5, IPC_CAUSE_SIGNALLED);
    assert_true(value("livy_ha_livy_exits_total", "signalled") == 0);
}

static void happens(enum core_history event, int64_t took)
{
    metrics_event(&m, &core, &(struct core_action){.type = CORE_ACT_HISTORY, .history = event, .took = took});
}

static void test_events(void **state)
{
    (void)state;
    assert_null(find("livy_ha_livy_last_start_duration_seconds", NULL)); /* never yet */
    core.takeover.left = CORE_LEFT_GONE;
    happens(CORE_HIST_ELECTED, 0);
    happens(CORE_HIST_SERVING, 3200);
    happens(CORE_HIST_FENCED, 0);
    core.takeover.left = CORE_LEFT_IN_ORDER;
    happens(CORE_HIST_ELECTED, 0);
    happens(CORE_HIST_SERVING, 1000);
    assert_true(value("livy_ha_failovers_total", "session-ended") == 1);
    assert_true(value("livy_ha_failovers_total", "orderly") == 1);
    assert_true(value("livy_ha_failovers_total", "node-deleted") == 0);
    assert_true(value("livy_ha_events_total", "elected") == 2);
    assert_true(value("livy_ha_fencings_total", NULL) == 1);
    assert_true(value("livy_ha_livy_last_start_duration_seconds", NULL) == 1);
    json_t *sample = find("livy_ha_livy_start_duration_seconds", NULL);
    assert_int_equal(json_integer_value(json_object_get(sample, "count")), 2);
    assert_true(json_number_value(json_object_get(sample, "sum")) == 4.2);
    json_decref(sample);
}

static void test_phases(void **state)
{
    (void)state;
    metrics_phase(&m, CORE_OFFLINE, CORE_JOINING, 1500);
    metrics_phase(&m, CORE_JOINING, CORE_STANDBY, 2000);
    core.phase = CORE_STANDBY;
    core.alarms[CORE_ALARM_SLOW] = true;
    assert_true(value("livy_ha_phase_seconds_total", "offline") == 0.5);
    assert_true(value("livy_ha_phase_seconds_total", "joining") == 0.5);
    assert_true(value("livy_ha_phase_seconds_total", "standby") == 1.5); /* up to now: 3500 */
    assert_true(value("livy_ha_phase_changes_total", "standby") == 1);
    assert_true(value("livy_ha_phase", "standby") == 1);
    assert_true(value("livy_ha_phase", "active") == 0);
    assert_true(value("livy_ha_alarm", "slow") == 1);
    assert_true(value("livy_ha_alarm", "keeper") == 0);
}

static void test_reconnections(void **state)
{
    (void)state;
    assert_true(value("livy_ha_zookeeper_reconnections_total", NULL) == 0);
    m.connections = 1;
    assert_true(value("livy_ha_zookeeper_reconnections_total", NULL) == 0);
    m.connections = 3;
    assert_true(value("livy_ha_zookeeper_reconnections_total", NULL) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_beats, fresh),  cmocka_unit_test_setup(test_livy, fresh),
        cmocka_unit_test_setup(test_events, fresh), cmocka_unit_test_setup(test_livy_that_was_there, fresh),
        cmocka_unit_test_setup(test_phases, fresh), cmocka_unit_test_setup(test_reconnections, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
