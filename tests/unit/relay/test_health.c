/* test_health.c - each health check in each state: yes only where it is surely so. */
#include "snapshot_fixture.h"

static char reason[256];

static bool check(enum health_check which, const struct snapshot *snapshot, const struct health_front *front,
                  int64_t now)
{
    memset(reason, 'x', sizeof(reason) - 1);
    bool ok = health_check(which, snapshot, front, now, reason, sizeof(reason));
    assert_int_equal(ok, reason[0] == '\0'); /* a no has its reason, a yes has none */
    return ok;
}

static const struct health_front serves = {
    .listens = true, .route = FRONT_LOCAL, .mode = FRONT_FORWARD, .hold = 30000};

static bool with(enum health_check which, const char *role, const char *livy)
{
    json_t *document = fixture_document();

    fixture_role(document, role, livy);
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT);
    bool ok = check(which, snapshot, &serves, SENT_AT);
    snapshot_free(snapshot);
    return ok;
}

static void test_active(void **state)
{
    (void)state;
    assert_true(with(HEALTH_ACTIVE, "active", "serving"));
    assert_true(with(HEALTH_ACTIVE, "active", "unhealthy"));
    static const char *const not_serving[] = {"none", "held", "starting", "stopping", "failed"};
    for (size_t i = 0; i < sizeof(not_serving) / sizeof(not_serving[0]); i++) {
        assert_false(with(HEALTH_ACTIVE, "active", not_serving[i]));
        assert_non_null(strstr(reason, not_serving[i]));
    }
    static const char *const roles[] = {"standby", "joining", "drained"};
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        assert_false(with(HEALTH_ACTIVE, roles[i], "serving"));
        assert_non_null(strstr(reason, roles[i]));
    }
}

static void test_active_elsewhere_or_nowhere(void **state)
{
    json_t *document = fixture_document();

    (void)state;
    fixture_role(document, "standby", "none");
    json_object_set_new(json_object_get(document, "cluster"), "active", json_string("livy-b"));
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT);
    assert_false(check(HEALTH_ACTIVE, snapshot, &serves, SENT_AT));
    assert_string_equal(reason, "standby, livy-b is active");
    document = fixture_document();
    fixture_role(document, "standby", "none");
    json_object_set_new(json_object_get(document, "cluster"), "active", json_null());
    fixture_take(snapshot, document, SENT_AT);
    assert_false(check(HEALTH_ACTIVE, snapshot, &serves, SENT_AT));
    assert_string_equal(reason, "standby, no member is active");
    snapshot_free(snapshot);
}

/* The lease is what keeps two Livys apart: nobody is sent to one whose lease may be over. */
static void test_lease(void **state)
{
    json_t *document = fixture_document();

    (void)state;
    json_object_set_new(fixture_status(document), "lease_left_ms", json_integer(100));
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT);
    assert_true(check(HEALTH_ACTIVE, snapshot, &serves, SENT_AT + 99));
    assert_false(check(HEALTH_ACTIVE, snapshot, &serves, SENT_AT + 100));
    assert_non_null(strstr(reason, "lease"));
    document = fixture_document();
    json_object_set_new(fixture_status(document), "lease_left_ms", json_null());
    fixture_take(snapshot, document, SENT_AT);
    assert_false(check(HEALTH_ACTIVE, snapshot, &serves, SENT_AT));
    snapshot_free(snapshot);
}

static void test_old_or_none(void **state)
{
    json_t *document = fixture_document();

    (void)state;
    json_object_set_new(fixture_status(document), "lease_left_ms", json_integer(1000000));
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT), *none = snapshot_new();
    for (int which = 0; which < HEALTH_CHECKS; which++) {
        if (which != HEALTH_STANDBY)
            assert_true(check((enum health_check)which, snapshot, &serves, SENT_AT + SNAPSHOT_FRESH));
        assert_false(check((enum health_check)which, snapshot, &serves, SENT_AT + SNAPSHOT_FRESH + 1));
        assert_non_null(strstr(reason, "3001 ms old"));
        assert_false(check((enum health_check)which, none, &serves, clock_boot_ms()));
        assert_non_null(strstr(reason, "nothing yet"));
    }
    snapshot_free(none);
    snapshot_free(snapshot);
}

static void test_standby(void **state)
{
    json_t *document = fixture_document();

    (void)state;
    assert_true(with(HEALTH_STANDBY, "standby", "none"));
    assert_true(with(HEALTH_STANDBY, "standby", "held"));
    assert_false(with(HEALTH_STANDBY, "active", "serving"));
    assert_false(with(HEALTH_STANDBY, "joining", "none"));
    assert_false(with(HEALTH_STANDBY, "drained", "none"));
    fixture_role(document, "standby", "none");
    json_object_set_new(fixture_status(document), "connected", json_false());
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT);
    assert_false(check(HEALTH_STANDBY, snapshot, &serves, SENT_AT));
    assert_non_null(strstr(reason, "ZooKeeper"));
    snapshot_free(snapshot);
    document = fixture_document(); /* it has stepped out of the queue, and why is what counts */
    fixture_role(document, "joining", "none");
    json_object_set_new(fixture_status(document), "keeper_answers", json_false());
    snapshot = fixture_snapshot(document, SENT_AT);
    assert_false(check(HEALTH_STANDBY, snapshot, &serves, SENT_AT));
    assert_non_null(strstr(reason, "keeper"));
    snapshot_free(snapshot);
}

static void test_live(void **state)
{
    json_t *document = fixture_document();

    (void)state;
    assert_true(with(HEALTH_LIVE, "active", "serving"));
    assert_true(with(HEALTH_LIVE, "drained", "none"));
    assert_true(with(HEALTH_LIVE, "joining", "failed")); /* none of the daemon's loops is to blame */
    json_object_set_new(fixture_status(document), "keeper_answers", json_false());
    struct snapshot *snapshot = fixture_snapshot(document, SENT_AT);
    assert_false(check(HEALTH_LIVE, snapshot, &serves, SENT_AT));
    assert_non_null(strstr(reason, "keeper"));
    snapshot_free(snapshot);
}

static void test_ready(void **state)
{
    struct snapshot *snapshot = fixture_snapshot(fixture_document(), SENT_AT);
    struct health_front front = serves;

    (void)state;
    assert_true(check(HEALTH_READY, snapshot, &front, SENT_AT));
    front.route = FRONT_REMOTE;
    assert_true(check(HEALTH_READY, snapshot, &front, SENT_AT));
    front.mode = FRONT_REDIRECT;
    assert_true(check(HEALTH_READY, snapshot, &front, SENT_AT));
    for (uint32_t route = FRONT_NOBODY; route <= FRONT_PAUSE; route++) { /* held, but not for ever */
        front.route = route;
        front.nobody_since = SENT_AT - front.hold + 1;
        assert_true(check(HEALTH_READY, snapshot, &front, SENT_AT));
        assert_false(check(HEALTH_READY, snapshot, &front, SENT_AT + 1));
        assert_non_null(strstr(reason, "front.hold"));
    }
    front = serves;
    front.ending = true;
    assert_false(check(HEALTH_READY, snapshot, &front, SENT_AT));
    front = serves;
    front.listens = false;
    assert_false(check(HEALTH_READY, snapshot, &front, SENT_AT));
    front.off = true;
    assert_false(check(HEALTH_READY, snapshot, &front, SENT_AT));
    assert_non_null(strstr(reason, "front.listen"));
    snapshot_free(snapshot);
}

/* Where Livy has the front's port clients reach it there, or nobody at all. */
static void test_ready_where_the_port_is_livys(void **state)
{
    struct snapshot *snapshot = fixture_snapshot(fixture_document(), SENT_AT);
    struct health_front front = serves;

    (void)state;
    front.yields = true;
    front.listens = false;
    assert_true(check(HEALTH_READY, snapshot, &front, SENT_AT));
    front.route = FRONT_NOBODY;
    front.nobody_since = SENT_AT;
    assert_false(check(HEALTH_READY, snapshot, &front, SENT_AT));
    assert_non_null(strstr(reason, "livy.port"));
    snapshot_free(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_active),  cmocka_unit_test(test_active_elsewhere_or_nowhere),
        cmocka_unit_test(test_lease),   cmocka_unit_test(test_old_or_none),
        cmocka_unit_test(test_standby), cmocka_unit_test(test_live),
        cmocka_unit_test(test_ready),   cmocka_unit_test(test_ready_where_the_port_is_livys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
