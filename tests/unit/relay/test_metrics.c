/* test_metrics.c - the text that Prometheus reads: escapes, numbers, histograms, what is left out when. */
#include "snapshot_fixture.h"

#include <math.h>

#include "metrics.h"
#include "process.h"
#include "prom.h"

static char *text;
static size_t length;

static FILE *begin(void)
{
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    return out;
}

static void end(FILE *out)
{
    assert_int_equal(ferror(out), 0);
    assert_int_equal(fclose(out), 0);
}

static bool has(const char *line)
{
    char whole[512];

    snprintf(whole, sizeof(whole), "\n%s\n", line);
    return strstr(text, whole) != NULL || strncmp(text, whole + 1, strlen(whole + 1)) == 0;
}

static void test_text(void **state)
{
    FILE *out = begin();

    (void)state;
    prom_family(out, "livy_ha_x", "gauge", "a \\ and a\nnew \"line\"");
    prom_sample(out, "livy_ha_x", "of", "a\\b\"c\nd", 1.5);
    prom_one(out, "livy_ha_y", "counter", "y", 9007199254740991.0 / 8);
    prom_one(out, "livy_ha_z", "gauge", "z", INFINITY);
    prom_one(out, "livy_ha_n", "gauge", "n", NAN);
    end(out);
    assert_true(has("# HELP livy_ha_x a \\\\ and a\\nnew \"line\""));
    assert_true(has("# TYPE livy_ha_x gauge"));
    assert_true(has("livy_ha_x{of=\"a\\\\b\\\"c\\nd\"} 1.5"));
    assert_true(has("livy_ha_y 1.12589990684262e+15"));
    assert_true(has("livy_ha_z +Inf"));
    assert_true(has("livy_ha_n NaN"));
    free(text);
}

static void write_document(const char *json, int gauges)
{
    FILE *out = begin();
    json_t *families = json_loads(json, 0, NULL);

    assert_non_null(families);
    prom_document(out, families, gauges);
    end(out);
    json_decref(families);
}

static void test_document(void **state)
{
    (void)state;
    write_document(
        "[{\"name\":\"h_seconds\",\"type\":\"histogram\",\"help\":\"h\",\"samples\":[{\"labels\":{},"
        "\"buckets\":[[0.001,1],[0.5,3]],\"sum\":0.75,\"count\":4}]},"
        "{\"name\":\"s_seconds\",\"type\":\"summary\",\"help\":\"s\",\"samples\":[{\"labels\":"
        "{\"a\":\"1\",\"b\":\"\\\"\"},\"sum\":2,\"count\":1}]},"
        "{\"name\":\"c_total\",\"type\":\"counter\",\"help\":\"c\",\"samples\":[{\"labels\":"
        "{\"of\":\"x\"},\"value\":7},{\"labels\":{},\"value\":0}]},"
        "{\"name\":\"g\",\"type\":\"gauge\",\"help\":\"g\",\"samples\":[{\"labels\":{},\"value\":1}]}]",
        0);
    assert_true(has("h_seconds_bucket{le=\"0.001\"} 1"));
    assert_true(has("h_seconds_bucket{le=\"0.5\"} 3"));
    assert_true(has("h_seconds_bucket{le=\"+Inf\"} 4"));
    assert_true(has("h_seconds_sum 0.75"));
    assert_true(has("h_seconds_count 4"));
    assert_true(has("s_seconds_sum{a=\"1\",b=\"\\\"\"} 2"));
    assert_true(has("c_total{of=\"x\"} 7"));
    assert_true(has("c_total 0"));
    assert_null(strstr(text, "TYPE g ")); /* old ones are not shown */
    free(text);
}

static void test_document_that_is_none(void **state)
{
    (void)state;
    write_document("[1, {}, {\"name\":\"a b\",\"type\":\"counter\",\"help\":\"\",\"samples\":[]},"
                   "{\"name\":\"ok\",\"type\":\"counter\\nx 1\",\"help\":\"\",\"samples\":[]},"
                   "{\"name\":\"9a\",\"type\":\"counter\",\"help\":\"\",\"samples\":[]},"
                   "{\"name\":\"ok\",\"type\":\"counter\",\"help\":\"\",\"samples\":[{\"labels\":"
                   "{\"a}\":\"1\",\"b\":2},\"value\":1}]}]",
                   1);
    assert_string_equal(text, "# HELP ok \n# TYPE ok counter\nok 1\n");
    free(text);
}

static void write_all(const struct snapshot *snapshot, const struct relay_stats *stats, int64_t now)
{
    struct health_front front = {.listens = true, .route = FRONT_LOCAL, .hold = 30000};
    struct metrics_sources sources = {
        .snapshot = snapshot, .front = &front, .stats = stats, .id = "livy-\"a\"", .now = now};
    FILE *out = begin();

    metrics_write(out, &sources);
    end(out);
}

static void test_fresh(void **state)
{
    json_t *document = fixture_document();
    struct relay_stats stats = {
        .accepted = 12, .open = 3, .bytes_in = 100, .bytes_out = 200, .hold_ms = 1500};

    (void)state;
    stats.rejected[STATS_FULL] = 4;
    json_object_set_new(
        document, "metrics",
        json_loads("[{\"name\":\"livy_ha_phase\",\"type\":\"gauge\",\"help\":\"p\",\"samples\":"
                   "[{\"labels\":{\"phase\":\"active\"},\"value\":1}]}]",
                   0, NULL));
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT);
    write_all(snapshot, &stats, SENT_AT + 500);
    assert_true(has("livy_ha_member_info{member=\"livy-\\\"a\\\"\"} 1"));
    assert_true(has("livy_ha_role{role=\"active\"} 1"));
    assert_true(has("livy_ha_role{role=\"standby\"} 0"));
    assert_true(has("livy_ha_livy_state{state=\"serving\"} 1"));
    assert_true(has("livy_ha_epoch 4294967301"));
    assert_true(has("livy_ha_lease_seconds 4.5"));
    assert_true(has("livy_ha_snapshot_age_seconds 0.5"));
    assert_true(has("livy_ha_members{role=\"absent\"} 1"));
    assert_true(has("livy_ha_members{role=\"drained\"} 0"));
    assert_true(has("livy_ha_health{check=\"active\"} 1"));
    assert_true(has("livy_ha_health{check=\"standby\"} 0"));
    assert_true(has("livy_ha_standbys_ready 0"));
    assert_null(strstr(text, "livy_ha_held{")); /* no hot standby */
    assert_true(has("livy_ha_phase{phase=\"active\"} 1"));
    assert_true(has("livy_ha_front_connections 3"));
    assert_true(has("livy_ha_front_connections_accepted_total 12"));
    assert_true(has("livy_ha_front_bytes_total{direction=\"out\"} 200"));
    assert_true(has("livy_ha_front_rejects_total{reason=\"full\"} 4"));
    assert_true(has("livy_ha_front_hold_seconds_total 1.5"));
    assert_true(has("livy_ha_front_route{route=\"local\"} 1"));
    free(text);
    snapshot_free(snapshot);
}

static void test_hot(void **state)
{
    json_t *document = fixture_document();
    json_t *other = json_array_get(json_object_get(json_object_get(document, "cluster"), "members"), 1);

    (void)state;
    json_object_set_new(fixture_status(document), "held", json_string("warming"));
    json_object_set_new(other, "livy", json_string("held"));
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT);
    write_all(snapshot, NULL, SENT_AT + 500);
    assert_true(has("livy_ha_held{state=\"none\"} 0"));
    assert_true(has("livy_ha_held{state=\"warming\"} 1"));
    assert_true(has("livy_ha_held{state=\"ready\"} 0"));
    assert_true(has("livy_ha_standbys_ready 1"));
    free(text);
    snapshot_free(snapshot);
}

/* A last value that nobody confirms any more would hide an outage from whoever watches a graph. */
static void test_old(void **state)
{
    struct snapshot *snapshot = fixture_snapshot(fixture_document(), SENT_AT), *none = snapshot_new();

    (void)state;
    write_all(snapshot, NULL, SENT_AT + 10000);
    assert_true(has("livy_ha_snapshot_age_seconds 10"));
    assert_true(has("livy_ha_health{check=\"active\"} 0"));
    assert_null(strstr(text, "livy_ha_role"));
    assert_null(strstr(text, "livy_ha_cluster"));
    assert_null(strstr(text, "livy_ha_lease_seconds"));
    assert_null(strstr(text, "process=\"elector\""));
    assert_null(strstr(text, "livy_ha_front_connections"));
    free(text);
    write_all(none, NULL, clock_boot_ms());
    assert_true(has("livy_ha_snapshot_age_seconds +Inf"));
    free(text);
    snapshot_free(none);
    snapshot_free(snapshot);
}

static void test_process(void **state)
{
    struct process_facts facts, more;
    double now = (double)clock_wall_ms() / 1e3;

    (void)state;
    assert_int_equal(process_look(getpid(), &facts), 0);
    assert_true(facts.started > now - 600 && facts.started < now + 1);
    assert_true(facts.rss > 100000 && facts.rss < ((int64_t)1 << 34));
    assert_true(facts.fds >= 3);
    int fd = dup(1);
    assert_int_equal(process_look(getpid(), &more), 0);
    assert_int_equal(more.fds, facts.fds + 1);
    close(fd);
    assert_int_equal(process_look(0, &facts), -1);
    assert_int_equal(process_look(999999999, &facts), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),  cmocka_unit_test(test_document),
        cmocka_unit_test(test_fresh), cmocka_unit_test(test_document_that_is_none),
        cmocka_unit_test(test_old),   cmocka_unit_test(test_process),
        cmocka_unit_test(test_hot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
