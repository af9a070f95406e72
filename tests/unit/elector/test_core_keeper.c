/* test_core_keeper.c - orders that never reach the keeper, because its channel was full while it was stopped:
 * the core asks, and what was lost is ordered again; what is late is not taken for news. */
#include "core_fixture.h"

/* Time passes; ZooKeeper answers, the keeper does not. Returns the number of the last ASK on the way, 0:
 * none. */
static uint32_t silence_until(int64_t until)
{
    uint32_t asked = 0;

    whatever();
    while (core_next(&core, now) <= until) {
        time_is(core_next(&core, now));
        for (size_t i = 0; i < out.count; i++) {
            assert_int_not_equal(out.list[i].type, CORE_ACT_START);
            if (out.list[i].type == CORE_ACT_ASK)
                asked = out.list[i].run;
        }
        for (size_t i = 0; i < out.count; i++)
            if (out.list[i].type == CORE_ACT_BEAT) {
                uint64_t op = out.list[i].op;
                whatever();
                beat_answered(op, CORE_OK);
                break;
            }
        whatever();
    }
    at(until);
    return asked;
}

static void answered(uint32_t number, struct ipc_livy livy)
{
    event((struct core_event){.type = CORE_EV_LIVY, .op = number, .livy = livy});
}

static void first_in_the_queue(void)
{
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    expect(CORE_ACT_START);
    tenures();
}

/* A START that was lost: the first answer tells, and with the lease of now it is given again. */
static void test_lost_start_is_given_again(void **state)
{
    (void)state;
    first_in_the_queue();
    uint32_t number = silence_until(now + 1500);
    assert_int_equal(number, 1);
    assert_true(core.keeper_stuck);
    answered(number, livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_NONE, 0));
    expect(CORE_ACT_SESSION);
    nothing_else();
    assert_false(core.keeper_stuck);
    assert_int_equal(core.start_run, 0);
    assert_int_equal(deaths_here(), 0);
    int64_t then = now;
    assert_int_equal(next_start(now + 5000), then + 250);
    assert_int_equal(core.start_run, 1);
    assert_true(core.max_sent > then + 3000);
    whatever();
}

/* An answer to what was asked before the START says nothing of it. */
static void test_answer_of_before_the_start_is_no_news_of_it(void **state)
{
    (void)state;
    first_in_the_queue();
    uint32_t old = silence_until(now + 1500);
    answered(old, livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_REFUSED, 0));
    whatever();
    assert_int_not_equal(next_start(now + 5000), CLOCK_NEVER);
    whatever();
    answered(old, livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_REFUSED, 0));
    nothing_else();
    assert_int_equal(core.start_run, 1);
    livy_runs(1, core.max_sent);
    expect(CORE_ACT_PROBE);
    assert_int_equal(core.start_run, 0);
}

/* START was obeyed after all; the questions behind it are answered later. */
static void test_start_that_was_only_late(void **state)
{
    (void)state;
    first_in_the_queue();
    uint32_t number = silence_until(now + 1500);
    struct ipc_livy alive = livy_is(IPC_LIVY_ALIVE, 1, IPC_CAUSE_NONE, core.max_sent);
    event((struct core_event){.type = CORE_EV_LIVY, .livy = alive});
    assert_true(told(CORE_HIST_STARTED));
    whatever();
    answered(number, alive);
    assert_false(told(CORE_HIST_STARTED));
    whatever();
    assert_true(core_livy_alive(&core));
    assert_int_equal(core.start_run, 0);
}

/* For minutes: the latch is given away, and once the keeper answers the member stands again. */
static void test_keeper_stopped_for_minutes(void **state)
{
    (void)state;
    first_in_the_queue();
    int64_t deadline = core.max_sent;
    silence_until(deadline + 100);
    event((struct core_event){.type = CORE_EV_LIVY_GONE});
    silence_until(deadline + 1001);
    whatever();
    reply(CORE_REQ_DELETE, CORE_OK);
    whatever();
    uint32_t number = silence_until(now + 300000);
    assert_in_range(number, 55, 70); /* one in five seconds */
    assert_true(core.keeper_stuck);
    assert_int_equal(core.node[0], 0);
    answered(number, livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_NONE, 0));
    whatever();
    listed(NULL); /* what was asked for long ago, to see whether a node of ours was left behind */
    expect(CORE_ACT_CREATE);
    whatever();
}

static void test_lost_stop_is_ordered_again(void **state)
{
    (void)state;
    become_active();
    stand(false);
    expect(CORE_ACT_STOP);
    uint32_t number = silence_until(now + 1500);
    assert_int_not_equal(number, 0);
    answered(number, livy_is(IPC_LIVY_ALIVE, 1, IPC_CAUSE_NONE, core.leased));
    assert_true(came(CORE_ACT_STOP));
    whatever();
    answered(number, livy_is(IPC_LIVY_ALIVE, 1, IPC_CAUSE_NONE, core.leased)); /* of before the second one */
    assert_false(came(CORE_ACT_STOP));
    whatever();
}

static void test_lost_farewell_is_said_again(void **state)
{
    (void)state;
    become_standby();
    event((struct core_event){.type = CORE_EV_QUIT});
    assert_true(came(CORE_ACT_RELEASING));
    whatever();
    core.unanswered = now;
    uint32_t number = silence_until(now + 1500);
    answered(number, livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_NONE, 0));
    assert_true(came(CORE_ACT_RELEASING));
    whatever();
}

/* A standby orders nothing: only a doubt makes it ask. It steps out of the queue where no answer comes, so
 * that it wins nothing that it could not use, and stands again with the first answer. */
static void test_standby_whose_keeper_is_stopped(void **state)
{
    (void)state;
    become_standby();
    assert_int_equal(silence_until(now + 20000), 0);
    event((struct core_event){.type = CORE_EV_DOUBT});
    assert_true(came(CORE_ACT_ASK));
    nothing_else();
    event((struct core_event){.type = CORE_EV_DOUBT}); /* once is enough */
    assert_false(came(CORE_ACT_ASK));
    silence_until(now + 999);
    assert_false(core.keeper_stuck);
    assert_int_equal(core.phase, CORE_STANDBY);
    time_is(now + 1);
    assert_true(core.keeper_stuck && core.alarms[CORE_ALARM_KEEPER]);
    assert_string_equal(core_role_name(&core), "joining");
    expect(CORE_ACT_DELETE);
    reply(CORE_REQ_DELETE, CORE_OK);
    whatever();
    uint32_t number = silence_until(now + 60000);
    answered(number, livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_NONE, 0));
    assert_false(core.keeper_stuck || core.alarms[CORE_ALARM_KEEPER]);
    whatever();
    listed(NULL);
    expect(CORE_ACT_CREATE);
    whatever();
}

static void test_doubt_that_is_answered(void **state)
{
    (void)state;
    become_standby();
    event((struct core_event){.type = CORE_EV_DOUBT});
    assert_true(came(CORE_ACT_ASK));
    uint32_t number = core.asked;
    silence_until(now + 900);
    answered(number, livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_NONE, 0));
    nothing_else();
    silence_until(now + 60000);
    assert_false(core.keeper_stuck);
    assert_int_equal(core.phase, CORE_STANDBY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lost_start_is_given_again),
        cmocka_unit_test(test_answer_of_before_the_start_is_no_news_of_it),
        cmocka_unit_test(test_start_that_was_only_late),
        cmocka_unit_test(test_keeper_stopped_for_minutes),
        cmocka_unit_test(test_lost_stop_is_ordered_again),
        cmocka_unit_test(test_lost_farewell_is_said_again),
        cmocka_unit_test(test_standby_whose_keeper_is_stopped),
        cmocka_unit_test(test_doubt_that_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
