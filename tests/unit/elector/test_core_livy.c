/* test_core_livy.c - what is done with Livy: starts and refusals, what counts as a crash, health, stops; and
 * a keeper that does not answer.
 */
#include "core_fixture.h"

/* ---- starting ---------------------------------------------------------------------------------------- */

static void test_refused_start_is_tried_again(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    expect(CORE_ACT_START);
    event((struct core_event){.type = CORE_EV_LIVY,
                              .livy = livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_REFUSED, 0),
                              .text = "it is too old"});
    nothing_else();
    assert_int_equal(deaths_here(), 0);
    time_is(now + 249);
    nothing_else();
    time_is(now + 1);
    assert_int_equal(expect(CORE_ACT_START)->run, 1);
}

static void test_word_of_before_the_start_is_ignored(void **state)
{
    (void)state;
    become_active();
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_int_equal(expect(CORE_ACT_START)->run, 2);
    livy_dead(1, IPC_CAUSE_EXITED); /* the same word again */
    nothing_else();
    assert_int_equal(core.start_run, 2);
    assert_int_equal(deaths_here(), 1);
}

static void test_livy_that_cannot_be_run_counts(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    expect(CORE_ACT_START);
    livy_dead(1, IPC_CAUSE_NOT_STARTED);
    assert_true(told(CORE_HIST_LIVY_DIED));
    assert_int_equal(deaths_here(), 1);
    expect(CORE_ACT_START);
}

/* ---- crashes ----------------------------------------------------------------------------------------- */

/* Livy 0.7 ends itself when it has lost ZooKeeper for a while: that is no fault of Livy's. */
static void test_exit_while_zookeeper_was_away_is_not_counted(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    at(109000);
    connected(SESSION);
    whatever();
    at(110000);
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_true(told(CORE_HIST_LIVY_DIED));
    assert_int_equal(deaths_here(), 0);
    whatever();
}

/* Only that one Livy: those that die after it are counted, so that a crash loop is one right after an outage
 * as well. */
static void test_livy_started_after_an_outage_has_no_excuse(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    at(109000);
    connected(SESSION);
    whatever();
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_int_equal(deaths_here(), 0);
    whatever();
    at(109200);
    livy_runs(2, now + LEASE);
    whatever();
    at(109500);
    livy_dead(2, IPC_CAUSE_EXITED);
    assert_int_equal(deaths_here(), 1);
    whatever();
}

static void test_short_absence_of_zookeeper_is_no_excuse(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    at(104000);
    connected(SESSION);
    whatever();
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_int_equal(deaths_here(), 1);
    whatever();
}

/* The lease ran out, but the session survived and is still first: again once it is proved, and no crash. */
static void test_lease_that_ran_out_restarts_at_once(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    at(101000 + LEASE);
    livy_stopping(1, IPC_CAUSE_DEADLINE);
    whatever();
    at(now + 200);
    livy_dead(1, IPC_CAUSE_DEADLINE);
    assert_true(told(CORE_HIST_FENCED));
    assert_int_equal(deaths_here(), 0);
    whatever();
    beat_answered(core.beats[(core.next_beat + CORE_BEATS - 1) % CORE_BEATS].op, CORE_OK);
    nothing_else();
    time_is(110300); /* the heartbeat that follows */
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
    assert_int_equal(expect(CORE_ACT_START)->kill_at, 103000 + LEASE); /* short, but renewed soon */
}

/* ---- health ------------------------------------------------------------------------------------------ */

static void test_start_timeout_counts(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    livy_runs(1, expect(CORE_ACT_START)->kill_at);
    expect(CORE_ACT_PROBE);
    probed(false);
    livy_answers = false;
    all_is_well(now + 29999);
    livy_answers = true;
    time_is(now + 1);
    assert_true(came(CORE_ACT_STOP));
    whatever();
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_int_equal(deaths_here(), 1);
    whatever();
}

static void test_probes_get_rarer_while_it_starts(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    livy_runs(1, expect(CORE_ACT_START)->kill_at);
    expect(CORE_ACT_PROBE);
    probed(false);
    assert_int_equal(core_next(&core, now), now + 20);
    at(now + 3001);
    probed(false);
    assert_int_equal(core.probe_at, now + 100);
    whatever();
}

static void test_unhealthy_livy_is_restarted(void **state)
{
    (void)state;
    become_active();
    probed(false);
    assert_true(told(CORE_HIST_UNHEALTHY));
    assert_string_equal(core_livy_name(&core), "unhealthy");
    probed(false);
    nothing_else();
    probed(false);
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 5000);
    livy_stopping(1, IPC_CAUSE_ORDERED);
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_true(told(CORE_HIST_LIVY_DIED));
    assert_int_equal(deaths_here(), 1);
    restarted(2);
}

/* The elector has no descriptor left to ask with: that is no sign of Livy's. */
static void test_probes_that_could_not_be_made_do_not_count(void **state)
{
    (void)state;
    become_active();
    for (int i = 0; i < 20; i++) {
        event((struct core_event){.type = CORE_EV_PROBE, .untold = true, .text = "Too many open files"});
        assert_false(told(CORE_HIST_UNHEALTHY));
        assert_int_equal(core.probe_at, now + 5000); /* it goes on asking */
        nothing_else();
    }
    assert_string_equal(core_livy_name(&core), "serving");
}

static void test_one_good_probe_heals(void **state)
{
    (void)state;
    become_active();
    probed(false);
    probed(false);
    probed(true);
    assert_string_equal(core_livy_name(&core), "serving");
    probed(false);
    probed(false);
    nothing_else();
}

/* The lease goes on while Livy may take its grace. */
static void test_orderly_stop_keeps_the_lease(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    stand(false);
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 5000);
    livy_stopping(1, IPC_CAUSE_ORDERED);
    time_is(103500);
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
    leased(expect(CORE_ACT_LEASE)->kill_at);
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_false(told(CORE_HIST_LIVY_DIED));
    expect(CORE_ACT_DELETE);
}

static void test_foreign_owner_of_the_port_ends_the_daemon(void **state)
{
    (void)state;
    become_active();
    event((struct core_event){
        .type = CORE_EV_PROBE, .alive = true, .foreign = true, .status = 78, .text = "it did not exec"});
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0);
    assert_int_equal(expect(CORE_ACT_FATAL)->code, 78);
}

/* ---- a keeper that does not answer ------------------------------------------------------------------- */

/* The lease is renewed at 103500; the keeper has stopped before that. Its word of deadline is 109800. */
static void keeper_stops(void)
{
    become_active();
    all_is_well(103000);
    time_is(103500);
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
    assert_int_equal(expect(CORE_ACT_LEASE)->kill_at, 101500 + LEASE);
    time_is(104000);
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
    assert_int_equal(expect(CORE_ACT_LEASE)->kill_at, 102000 + LEASE);
    time_is(104500); /* 1 s without an answer */
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
    nothing_else(); /* no renewal any more */
    assert_true(core.keeper_stuck);
    assert_string_equal(core.livy_reason,
                        "the keeper does not answer"); /* what history will say of the release */
}

static void heartbeats_until(int64_t until)
{
    whatever();
    while (core_next(&core, now) < until) {
        time_is(core_next(&core, now));
        assert_false(came(CORE_ACT_LEASE) || came(CORE_ACT_START) || came(CORE_ACT_DELETE) ||
                     came(CORE_ACT_KILL));
        for (size_t i = 0; i < out.count; i++)
            if (out.list[i].type == CORE_ACT_BEAT) {
                uint64_t op = out.list[i].op;
                whatever();
                beat_answered(op, CORE_OK);
                break;
            }
        whatever();
    }
}

/* The elector kills at the deadline that the keeper last confirmed. The latch is given away only after every
 * deadline that was ever sent, K, and Livy seen dead: the keeper may wake up and obey what it had in its
 * queue. */
static void test_stuck_keeper_is_replaced_as_guard(void **state)
{
    (void)state;
    keeper_stops();
    assert_int_equal(core.leased, 101000 + LEASE);
    heartbeats_until(101000 + LEASE);
    time_is(101000 + LEASE);
    assert_true(came(CORE_ACT_KILL));
    whatever();
    event((struct core_event){.type = CORE_EV_LIVY_GONE});
    assert_true(told(CORE_HIST_FENCED)); /* now: the keeper's own word may never come */
    assert_string_equal(core.livy_reason, "the lease ended without renewal: the keeper does not answer");
    heartbeats_until(102000 + LEASE + 1000 + 1); /* the furthest that was sent, and K */
    time_is(102000 + LEASE + 1000 + 1);
    assert_true(came(CORE_ACT_DELETE));
    whatever();
}

static void test_stuck_keeper_whose_livy_does_not_die(void **state)
{
    (void)state;
    keeper_stops();
    heartbeats_until(101000 + LEASE);
    time_is(101000 + LEASE);
    assert_true(came(CORE_ACT_KILL));
    heartbeats_until(now + 60000); /* not seen dead: the latch is kept */
}

static void test_keeper_that_wakes_up_in_time(void **state)
{
    (void)state;
    keeper_stops();
    heartbeats_until(105900);
    at(105900);
    leased(102000 + LEASE);
    expect(CORE_ACT_SESSION); /* what was told meanwhile may not have fitted into the channel */
    assert_false(core.keeper_stuck);
    leased(expect(CORE_ACT_LEASE)->kill_at);
    assert_int_equal(core.phase, CORE_ACTIVE);
    all_is_well(now + 20000);
}

static void test_keeper_that_wakes_up_late(void **state)
{
    (void)state;
    test_stuck_keeper_is_replaced_as_guard(state);
    livy_dead(1, IPC_CAUSE_DEADLINE);
    assert_false(told(CORE_HIST_FENCED) || told(CORE_HIST_LIVY_DIED)); /* told already */
    expect(CORE_ACT_SESSION);
    nothing_else(); /* the old node is doomed */
    reply(CORE_REQ_DELETE, CORE_OK);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE);
}

/* START was sent, and the keeper has stopped with it in its queue. */
static void test_start_that_is_not_answered(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    assert_int_equal(expect(CORE_ACT_START)->kill_at, 100000 + LEASE);
    heartbeats_until(100000 + LEASE);
    assert_true(core.keeper_stuck);
    time_is(100000 + LEASE);
    assert_true(came(CORE_ACT_KILL)); /* whatever holds Livy's lock */
    whatever();
    event((struct core_event){.type = CORE_EV_LIVY_GONE});
    heartbeats_until(100000 + LEASE + 1001);
    time_is(100000 + LEASE + 1001);
    assert_true(came(CORE_ACT_DELETE));
    whatever();
}

/* Found by reading: the answer to a LEASE of before was taken for the answer to the START, and a keeper that
 * stopped just then was never found out: the latch was held for ever without a Livy. */
static void test_stuck_keeper_is_found_out_though_an_older_answer_came(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    time_is(103500);
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
    expect(CORE_ACT_LEASE);
    livy_dead(1, IPC_CAUSE_EXITED);
    int64_t deadline = expect(CORE_ACT_START)->kill_at;
    leased(0); /* to that LEASE */
    heartbeats_until(deadline);
    time_is(deadline);
    assert_true(came(CORE_ACT_KILL));
    whatever();
    event((struct core_event){.type = CORE_EV_LIVY_GONE});
    heartbeats_until(deadline + 1001);
    time_is(deadline + 1001);
    assert_true(core.keeper_stuck);
    assert_true(came(CORE_ACT_DELETE));
    whatever();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_start_is_tried_again),
        cmocka_unit_test(test_word_of_before_the_start_is_ignored),
        cmocka_unit_test(test_livy_that_cannot_be_run_counts),
        cmocka_unit_test(test_exit_while_zookeeper_was_away_is_not_counted),
        cmocka_unit_test(test_livy_started_after_an_outage_has_no_excuse),
        cmocka_unit_test(test_short_absence_of_zookeeper_is_no_excuse),
        cmocka_unit_test(test_lease_that_ran_out_restarts_at_once),
        cmocka_unit_test(test_start_timeout_counts),
        cmocka_unit_test(test_probes_get_rarer_while_it_starts),
        cmocka_unit_test(test_unhealthy_livy_is_restarted),
        cmocka_unit_test(test_probes_that_could_not_be_made_do_not_count),
        cmocka_unit_test(test_one_good_probe_heals),
        cmocka_unit_test(test_orderly_stop_keeps_the_lease),
        cmocka_unit_test(test_foreign_owner_of_the_port_ends_the_daemon),
        cmocka_unit_test(test_stuck_keeper_is_replaced_as_guard),
        cmocka_unit_test(test_stuck_keeper_whose_livy_does_not_die),
        cmocka_unit_test(test_keeper_that_wakes_up_in_time),
        cmocka_unit_test(test_keeper_that_wakes_up_late),
        cmocka_unit_test(test_start_that_is_not_answered),
        cmocka_unit_test(test_stuck_keeper_is_found_out_though_an_older_answer_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
