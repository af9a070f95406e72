/* test_core_ends.c - what Livy's own words change: an end for want of ZooKeeper is no crash, a Livy that says
 * that it waits for ZooKeeper is not hung, and one that never serves costs the latch once.
 */
#include "core_fixture.h"

#define FATAL "its ZooKeeper is away (Livy: Fatal Zookeeper error)"

static void starts(void)
{
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    livy_runs(1, expect(CORE_ACT_START)->kill_at);
    expect(CORE_ACT_PROBE);
    probed(false);
}

static void serves(void)
{
    become_active();
}

static void ends(uint32_t cause, int status, enum livyend_why why, const char *text)
{
    struct ipc_livy livy = livy_is(IPC_LIVY_NONE, 1, cause, 0);

    livy.status = status;
    whatever();
    event((struct core_event){.type = CORE_EV_LIVY, .livy = livy, .why = why, .text = text});
}

static const char *history_of(enum core_history history)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.list[i].type == CORE_ACT_HISTORY && out.list[i].history == history)
            return out.list[i].text;
    fail_msg("not told");
    return "";
}

static void stands_another(void)
{
    event((struct core_event){.type = CORE_EV_DEATHS, .standing = 2, .text = ""});
}

static void mute_until(int64_t until)
{
    livy_answers = false;
    all_is_well(until);
    livy_answers = true;
}

/* ---- ends -------------------------------------------------------------------------------------------- */

static void test_reason_is_kept_in_full(void **state)
{
    char text[IPC_TEXT_SIZE];

    (void)state;
    serves();
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ends(IPC_CAUSE_EXITED, 1, LIVYEND_PORT, text);
    assert_non_null(strstr(history_of(CORE_HIST_LIVY_DIED), text));
    assert_non_null(strstr(core.livy_reason, text));
    assert_int_equal(deaths_here(), 1);
    whatever();
}

static void test_end_for_want_of_zookeeper_is_not_counted(void **state)
{
    (void)state;
    serves();
    all_is_well(now + 20000);
    ends(IPC_CAUSE_EXITED, 1, LIVYEND_ZOOKEEPER, FATAL);
    assert_string_equal(history_of(CORE_HIST_LIVY_DIED), "exit status 1: " FATAL "; not counted as a crash");
    assert_string_equal(core.livy_reason, "exit status 1: " FATAL "; not counted as a crash");
    assert_int_equal(deaths_here(), 0);
    assert_int_equal(expect(CORE_ACT_START)->run, 2); /* at once */
}

/* It says so, but so quickly that it would be started without end. */
static void test_it_must_have_lived_for_a_while(void **state)
{
    (void)state;
    serves();
    all_is_well(now + 4000);
    ends(IPC_CAUSE_EXITED, 1, LIVYEND_ZOOKEEPER, FATAL);
    assert_string_equal(history_of(CORE_HIST_LIVY_DIED), "exit status 1: " FATAL);
    assert_int_equal(deaths_here(), 1);
    whatever();
}

/* A start that fails for want of the store is a failed start: another member may reach it. */
static void test_it_must_have_served(void **state)
{
    (void)state;
    starts();
    mute_until(now + 20000);
    ends(IPC_CAUSE_EXITED, 1, LIVYEND_ZOOKEEPER, FATAL);
    assert_int_equal(deaths_here(), 1);
    whatever();
}

/* What was let go was no Livy that can be held: nothing of Livy has run. */
static void test_one_that_could_not_be_held_is_not_counted(void **state)
{
    (void)state;
    starts();
    ends(IPC_CAUSE_EXITED, 93, LIVYEND_UNHELD, "x");
    assert_string_equal(history_of(CORE_HIST_LIVY_DIED), "exit status 93: x; not counted as a crash");
    assert_int_equal(deaths_here(), 0);
    assert_int_equal(expect(CORE_ACT_START)->run, 2); /* at once */
}

static void test_another_end_is_counted(void **state)
{
    (void)state;
    serves();
    all_is_well(now + 20000);
    ends(IPC_CAUSE_EXITED, 1, LIVYEND_STORE, "x");
    assert_int_equal(deaths_here(), 1);
    whatever();
}

/* ---- starts that do not end -------------------------------------------------------------------------- */

static void hangs(int64_t ms)
{
    int64_t started = core.livy.started_at;

    mute_until(started + ms - 1);
    time_is(started + ms);
    assert_true(came(CORE_ACT_STOP));
}

static void test_never_serving_gives_the_latch_up_at_once(void **state)
{
    (void)state;
    starts();
    stands_another();
    hangs(30000);
    ends(IPC_CAUSE_ORDERED, 143, LIVYEND_STORE, "its store is away");
    assert_string_equal(history_of(CORE_HIST_LIVY_DIED),
                        "no answer within livy.start_timeout (30000 ms): its store is away");
    assert_string_equal(core.livy_reason,
                        "no answer within livy.start_timeout (30000 ms): its store is away: "
                        "the latch goes to another member");
    assert_true(came(CORE_ACT_DELETE));
    whatever();
}

/* The latch comes back: that the last one hung, under another node, is no reason to give it up untried. */
static void test_never_serving_is_forgotten_with_the_node(void **state)
{
    (void)state;
    starts();
    stands_another();
    hangs(30000);
    ends(IPC_CAUSE_ORDERED, 143, LIVYEND_UNKNOWN, "");
    assert_true(came(CORE_ACT_DELETE));
    whatever();
    reply(CORE_REQ_DELETE, CORE_OK);
    whatever();
    listed(other_name(3), NULL);
    whatever();
    time_is(core.rejoin_at);
    assert_true(came(CORE_ACT_CREATE));
    whatever();
    created(6);
    whatever();
    owned_by(SESSION, EPOCH + 1);
    whatever();
    stands_another();
    beat_answered(core.last_op, CORE_OK);
    whatever();
    listed(own_name(6), NULL);
    nobody_before();
    assert_true(told(CORE_HIST_ELECTED));
    assert_int_equal(expect(CORE_ACT_START)->run, 2);
    whatever();
}

static void test_never_serving_where_nobody_else_stands(void **state)
{
    (void)state;
    starts();
    hangs(30000);
    ends(IPC_CAUSE_ORDERED, 143, LIVYEND_UNKNOWN, "");
    assert_false(came(CORE_ACT_DELETE));
    assert_int_equal(expect(CORE_ACT_START)->run, 2);
    livy_runs(2, core.max_sent);
    assert_false(core.backoff.hung);
    whatever();
}

static void test_waiting_for_zookeeper_is_not_hanging(void **state)
{
    (void)state;
    starts();
    stands_another();
    livy_waits = true;
    hangs(90000);
    livy_waits = false;
    assert_non_null(strstr(core.livy_reason, "within three times livy.start_timeout"));
    assert_true(core.alarms[CORE_ALARM_WAITS]);
    ends(IPC_CAUSE_ORDERED, 143, LIVYEND_UNKNOWN, "");
    assert_true(came(CORE_ACT_DELETE));
    assert_false(core.alarms[CORE_ALARM_WAITS]);
    whatever();
}

/* It has reached its ZooKeeper, and hangs all the same. */
static void test_waiting_that_is_over(void **state)
{
    int64_t started;

    (void)state;
    starts();
    started = now;
    livy_waits = true;
    mute_until(started + 40000);
    assert_true(core.alarms[CORE_ALARM_WAITS]);
    assert_int_equal(core.livy.state, IPC_LIVY_ALIVE);
    livy_waits = false;
    leased(core.leased);
    assert_true(came(CORE_ACT_STOP));
    whatever();
}

static void test_waiting_is_told_after_a_while_and_once(void **state)
{
    int64_t started;

    (void)state;
    starts();
    started = now;
    livy_waits = true;
    mute_until(started + 19999);
    assert_false(core.alarms[CORE_ALARM_WAITS]);
    mute_until(started + 20000);
    assert_true(core.alarms[CORE_ALARM_WAITS]);
    whatever();
    probed(true);
    livy_waits = false;
    assert_false(core.alarms[CORE_ALARM_WAITS]);
    assert_true(told(CORE_HIST_SERVING));
    whatever();
}

static int teardown(void **state)
{
    (void)state;
    livy_waits = false;
    livy_answers = true;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_reason_is_kept_in_full, teardown),
        cmocka_unit_test_teardown(test_end_for_want_of_zookeeper_is_not_counted, teardown),
        cmocka_unit_test_teardown(test_it_must_have_lived_for_a_while, teardown),
        cmocka_unit_test_teardown(test_it_must_have_served, teardown),
        cmocka_unit_test_teardown(test_one_that_could_not_be_held_is_not_counted, teardown),
        cmocka_unit_test_teardown(test_another_end_is_counted, teardown),
        cmocka_unit_test_teardown(test_never_serving_gives_the_latch_up_at_once, teardown),
        cmocka_unit_test_teardown(test_never_serving_is_forgotten_with_the_node, teardown),
        cmocka_unit_test_teardown(test_never_serving_where_nobody_else_stands, teardown),
        cmocka_unit_test_teardown(test_waiting_for_zookeeper_is_not_hanging, teardown),
        cmocka_unit_test_teardown(test_waiting_that_is_over, teardown),
        cmocka_unit_test_teardown(test_waiting_is_told_after_a_while_and_once, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
