/* test_core_lease.c - the lease, number by number: what proves that the session was touched at the leader,
 * from when it counts, and what proves nothing. See core_lease.c and "The lease" in the design.
 */
#include "core_fixture.h"

/* The next heartbeat, at `time`; returns its number. */
static uint64_t beat_at(int64_t time)
{
    const struct core_action *found = NULL;

    time_is(time);
    for (size_t i = 0; i < out.count; i++)
        if (out.list[i].type == CORE_ACT_BEAT)
            found = &out.list[i];
    assert_non_null(found);
    whatever();
    return found->op;
}

static void acknowledged(uint64_t op)
{
    beat_answered(op, CORE_OK);
}

static void expect_lease(int64_t kill_at)
{
    assert_int_equal(expect(CORE_ACT_LEASE)->kill_at, kill_at);
    leased(kill_at);
}

static void connected_with(int64_t timeout)
{
    event((struct core_event){.type = CORE_EV_CONNECTED, .session = SESSION, .timeout = timeout});
}

/* ---- the formula ------------------------------------------------------------------------------------- */

/* Connecting itself is the first touch. Then each heartbeat counts once another one was sent 1200 ms after
 * its answer, and once the one after that is answered too. */
static void test_deadline_follows_the_heartbeats(void **state)
{
    (void)state;
    become_active(); /* at 100000: connected, checked, started */
    assert_int_equal(core.kill_at, 100000 + LEASE);
    acknowledged(beat_at(100500));
    acknowledged(beat_at(101000));
    acknowledged(beat_at(101500));
    acknowledged(
        beat_at(102000)); /* answered at 100500 and 1200 ms: 101700; but none has followed this one */
    nothing_else();
    assert_int_equal(core.kill_at, 100000 + LEASE);
    acknowledged(beat_at(102500));
    expect_lease(100500 + LEASE);
    acknowledged(beat_at(103000));
    expect_lease(101000 + LEASE);
    acknowledged(beat_at(103500));
    expect_lease(101500 + LEASE);
}

/* The one that follows counts where it was sent h/2 = 250 ms after the answer: a leader that had stood still
 * may still owe its ping right after that. */
static void followed_after(int64_t ms)
{
    become_active();
    acknowledged(beat_at(100500));
    acknowledged(beat_at(101000));
    acknowledged(beat_at(101500));
    uint64_t op = beat_at(102000);
    at(102500 - ms);
    acknowledged(op);
    acknowledged(beat_at(102500));
}

static void test_the_last_heartbeat_comes_half_an_interval_later(void **state)
{
    (void)state;
    followed_after(250);
    expect_lease(100500 + LEASE);
}

static void test_the_last_heartbeat_comes_too_soon(void **state)
{
    (void)state;
    followed_after(249);
    nothing_else();
    assert_int_equal(core.kill_at, 100000 + LEASE);
    acknowledged(beat_at(103000)); /* after that of 102500, which was answered at once */
    expect_lease(101000 + LEASE);
}

/* The leader stood still for 700 ms when it was to ping. What was answered when it went on proves no more
 * than before, until one that was sent later is answered. */
static void test_answers_of_a_leader_that_stood_still(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    uint64_t first = beat_at(103500), second = beat_at(104000);
    at(104200);
    acknowledged(first);
    expect_lease(101500 + LEASE); /* by 103000, as if that of 103500 had been answered at once */
    acknowledged(second);
    nothing_else();
    acknowledged(beat_at(104500));
    expect_lease(102500 + LEASE);
}

/* Measured on real servers: after a stall the newest acknowledged heartbeat proves too little, the node
 * vanished before a deadline that was counted from it. Nor does the next one, while the follower's ping may
 * still be to come. */
static void test_after_a_stall_the_newest_heartbeat_is_not_enough(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    assert_int_equal(core.kill_at, 101000 + LEASE);
    /* Nothing runs for 6.5 s. */
    uint64_t first = beat_at(109500);
    at(109502);
    acknowledged(first);
    expect_lease(101500 + LEASE); /* by 103000, which has been followed now */
    acknowledged(beat_at(110000));
    expect_lease(103000 + LEASE); /* by 109500, which itself counts for nothing yet */
    acknowledged(beat_at(110500));
    acknowledged(beat_at(111000)); /* 109502 + 1200 <= 111000 */
    nothing_else();
    assert_int_equal(core.kill_at, 103000 + LEASE);
    acknowledged(beat_at(111500));
    expect_lease(109500 + LEASE);
}

/* Where tick is not known, half of T is taken for it: tick/2 + epsilon = 2700. */
static void test_unknown_tick_is_half_the_timeout(void **state)
{
    (void)state;
    become_active();
    core.config.tick = 0;
    acknowledged(beat_at(100500));
    acknowledged(beat_at(103100));
    acknowledged(beat_at(103600)); /* 100500 + 2700 = 103200 */
    nothing_else();
    acknowledged(beat_at(104100));
    expect_lease(100500 + LEASE);
}

/* Only when a heartbeat was sent can prolong the lease. When its answer came only delays it. */
static void test_late_answer_does_not_prolong(void **state)
{
    (void)state;
    become_active();
    uint64_t late = beat_at(100500);
    beat_at(101000); /* the others are not answered at all */
    at(101400);
    acknowledged(late);
    beat_at(101500);
    beat_at(102000);
    acknowledged(beat_at(102500)); /* 101400 + 1200 = 102600 */
    acknowledged(beat_at(103000));
    nothing_else();
    assert_int_equal(core.kill_at, 100000 + LEASE);
    acknowledged(beat_at(103500));
    expect_lease(100500 + LEASE);
}

static void test_unacknowledged_heartbeats_prove_nothing(void **state)
{
    (void)state;
    become_active();
    acknowledged(beat_at(100500));
    for (int64_t time = 101000; time < 102000; time += 500)
        beat_at(time);
    uint64_t unknown = beat_at(102000);
    beat_answered(unknown, CORE_UNKNOWN);
    nothing_else();
    assert_int_equal(core.kill_at, 100000 + LEASE);
}

/* A standby has a lease at any time: it starts with what its last checks have proved. */
static void test_a_standby_wins_with_a_lease(void **state)
{
    (void)state;
    become_standby();
    all_is_well(106000);
    assert_int_equal(core.proof, 103000); /* answered 1200 ms before that of 105000, which 106000 follows */
    event((struct core_event){.type = CORE_EV_PRED_CHANGED});
    expect(CORE_ACT_LIST);
    listed(own_name(5), NULL);
    expect(CORE_ACT_HANDOVER);
    left(CORE_LEFT_IN_ORDER);
    assert_int_equal(expect(CORE_ACT_START)->kill_at, 103000 + LEASE);
}

static void test_a_standby_checks_every_two_intervals(void **state)
{
    (void)state;
    become_standby();
    time_is(101000);
    expect(CORE_ACT_BEAT);
}

/* ---- connections ------------------------------------------------------------------------------------- */

static void test_answers_of_an_older_connection_do_not_count(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    uint64_t old = beat_at(103500);
    suspended();
    acknowledged(old);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    uint64_t fresh = expect(CORE_ACT_BEAT)->op;
    acknowledged(old);
    nothing_else();
    assert_int_equal(core.proof, 101000);
    /* The new connection was asked for after the last heartbeat that was answered on the old one: 103000. */
    acknowledged(fresh);
    expect_lease(103000 + LEASE);
}

static void test_connecting_counts_only_once_the_quorum_has_answered(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    at(103010);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    uint64_t check = expect(CORE_ACT_BEAT)->op;
    owned_by(SESSION, EPOCH); /* a read: a leader that has lost its quorum answers it too */
    nothing_else();
    assert_int_equal(core.proof, 101000);
    acknowledged(check);
    expect_lease(103000 + LEASE);
}

static void test_resumed_session_restarts_nothing(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    nothing_else();
    assert_int_equal(core.phase, CORE_ACTIVE);
    at(104000);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    assert_string_equal(expect(CORE_ACT_OWN)->node, core.node); /* is it still ours? */
    acknowledged(expect(CORE_ACT_BEAT)->op);
    expect_lease(103000 + LEASE);
    owned_by(SESSION, EPOCH);
    nothing_else();
    assert_true(core.serving);
}

/* A Livy that died meanwhile is not started again on the old connection's word. */
static void test_no_start_on_a_new_connection_before_its_check(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    livy_dead(1, IPC_CAUSE_EXITED);
    nothing_else();
    at(103100);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    uint64_t check = expect(CORE_ACT_BEAT)->op;
    owned_by(SESSION, EPOCH);
    nothing_else(); /* the lease still reaches to 109800, and yet */
    acknowledged(check);
    assert_int_equal(expect(CORE_ACT_START)->kill_at, 103000 + LEASE);
}

/* ---- the kick ---------------------------------------------------------------------------------------- */

static void kicked(void)
{
    event((struct core_event){.type = CORE_EV_KICKED});
}

/* All is well until 103000; then no answers any more. */
static void server_falls_silent(void)
{
    become_active();
    all_is_well(103000);
    beat_at(103500);
    beat_at(104000);
    time_is(104500); /* overdue by two intervals */
    expect(CORE_ACT_KICK);
}

static void test_kick_moves_the_floor(void **state)
{
    (void)state;
    server_falls_silent();
    whatever();
    kicked();
    suspended();
    at(104510);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    uint64_t check = expect(CORE_ACT_BEAT)->op;
    assert_int_equal(core.proof, 101000);
    acknowledged(check);
    expect_lease(104500 + LEASE); /* the request was sent after the old connection was shut down */
}

static void test_kick_that_found_nothing_proves_nothing(void **state)
{
    (void)state;
    server_falls_silent();
    whatever(); /* no KICKED: the next connection may have been asked for before */
    suspended();
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    acknowledged(expect(CORE_ACT_BEAT)->op);
    expect_lease(103000 + LEASE);
}

static void test_kick_once_a_connection_and_ever_more_patient(void **state)
{
    (void)state;
    server_falls_silent();
    whatever();
    for (int64_t time = 105000; time < 108000; time += 500) {
        time_is(time);
        assert_false(came(CORE_ACT_KICK));
        whatever();
    }
    kicked();
    suspended();
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    expect(CORE_ACT_BEAT);
    int64_t start = now;
    time_is(start + 1999);
    assert_false(came(CORE_ACT_KICK));
    whatever();
    time_is(start + 2000); /* twice as long as before: the ensemble may be slow */
    expect(CORE_ACT_KICK);
    whatever();
}

static void kick_comes_at(int64_t time)
{
    time_is(time - 1);
    assert_false(came(CORE_ACT_KICK));
    whatever();
    time_is(time);
    assert_true(came(CORE_ACT_KICK));
    whatever();
    kicked();
    whatever();
}

/* Not connected, and each server that is tried is silent: none of them may use up what the lease has left. */
static void test_no_frozen_server_uses_up_the_lease(void **state)
{
    (void)state;
    server_falls_silent();
    whatever();
    kicked();
    suspended();
    whatever();
    assert_int_equal(core.kill_at, 109800);
    kick_comes_at(106500); /* more patient than before */
    kick_comes_at(108150); /* half of what is left */
    kick_comes_at(108975);
    kick_comes_at(109475);
}

static void test_fresh_handle_is_not_older_than_itself(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    at(112000);
    event((struct core_event){.type = CORE_EV_LOST});
    whatever();
    assert_int_equal(core.floor, 112000);
    assert_int_equal(core.kill_at, 0);
    at(112500);
    connected(SESSION + 1);
    assert_int_equal(core.connect_touch, 112000);
    whatever();
}

/* ---- T ----------------------------------------------------------------------------------------------- */

static void test_smaller_timeout_brings_the_deadline_nearer(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    connected_with(6000);
    expect(CORE_ACT_SESSION);
    assert_int_equal(expect(CORE_ACT_LEASE)->kill_at, 101000 + 6000 - 120 - 1000);
    whatever();
}

static void test_larger_timeout_does_not_prolong(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    connected_with(20000);
    whatever();
    assert_int_equal(core.kill_at, 101000 + LEASE);
    assert_int_equal(core.timeout, T);
}

/* Nothing is proved yet about an adopted session: all that bounds its lease is this connection's own request.
 */
static void test_smaller_timeout_at_adoption(void **state)
{
    struct ipc_session session = {.id = SESSION, .timeout = T, .uuid = "u", .node = "_c_u-latch-0000000005"};
    struct ipc_livy livy = {.state = IPC_LIVY_ALIVE, .run = 3, .pid = 9, .epoch = EPOCH, .kill_at = 108500};

    (void)state;
    begin_with(&session, &livy);
    expect(CORE_ACT_PROBE);
    connected_with(4000);
    expect(CORE_ACT_SESSION);
    assert_int_equal(expect(CORE_ACT_LEASE)->kill_at, 100000 + 4000 - 80 - 1000);
    whatever();
}

/* ---- its end ----------------------------------------------------------------------------------------- */

static void test_elector_kills_at_the_deadline_too(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    suspended();
    nothing_else();
    int64_t deadline = 101000 + LEASE;
    while (core_next(&core, now) < deadline) {
        time_is(core_next(&core, now));
        assert_false(came(CORE_ACT_KILL));
        whatever();
    }
    time_is(deadline);
    assert_true(came(CORE_ACT_KILL));
    whatever();
    livy_dead(1, IPC_CAUSE_DEADLINE);
    assert_true(told(CORE_HIST_FENCED));
    assert_int_equal(deaths_here(), 0);
}

/* A timer that comes late is still obeyed: the time of the deadline is not skipped. */
static void test_deadline_that_has_passed_is_not_forgotten(void **state)
{
    (void)state;
    become_active();
    assert_int_equal(core_next(&core, core.leased), core.leased + 1);
    assert_int_equal(core_next(&core, core.leased + 777), core.leased + 778);
}

static void test_no_start_with_little_time_left(void **state)
{
    (void)state;
    join(); /* proved at 100000 */
    owned_by(SESSION, EPOCH);
    at(100000 + LEASE - 999); /* two intervals are wanted: 1000 */
    listed(own_name(5), NULL);
    assert_false(came(CORE_ACT_START));
    whatever();
}

static void test_lease_over_means_not_elected(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    at(100000 + LEASE);
    listed(own_name(5), NULL);
    assert_false(told(CORE_HIST_ELECTED));
    whatever();
    assert_int_equal(core.phase, CORE_CONFIRMING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline_follows_the_heartbeats),
        cmocka_unit_test(test_the_last_heartbeat_comes_half_an_interval_later),
        cmocka_unit_test(test_the_last_heartbeat_comes_too_soon),
        cmocka_unit_test(test_answers_of_a_leader_that_stood_still),
        cmocka_unit_test(test_after_a_stall_the_newest_heartbeat_is_not_enough),
        cmocka_unit_test(test_unknown_tick_is_half_the_timeout),
        cmocka_unit_test(test_late_answer_does_not_prolong),
        cmocka_unit_test(test_unacknowledged_heartbeats_prove_nothing),
        cmocka_unit_test(test_a_standby_wins_with_a_lease),
        cmocka_unit_test(test_a_standby_checks_every_two_intervals),
        cmocka_unit_test(test_answers_of_an_older_connection_do_not_count),
        cmocka_unit_test(test_connecting_counts_only_once_the_quorum_has_answered),
        cmocka_unit_test(test_resumed_session_restarts_nothing),
        cmocka_unit_test(test_no_start_on_a_new_connection_before_its_check),
        cmocka_unit_test(test_kick_moves_the_floor),
        cmocka_unit_test(test_kick_that_found_nothing_proves_nothing),
        cmocka_unit_test(test_kick_once_a_connection_and_ever_more_patient),
        cmocka_unit_test(test_no_frozen_server_uses_up_the_lease),
        cmocka_unit_test(test_fresh_handle_is_not_older_than_itself),
        cmocka_unit_test(test_smaller_timeout_brings_the_deadline_nearer),
        cmocka_unit_test(test_larger_timeout_does_not_prolong),
        cmocka_unit_test(test_smaller_timeout_at_adoption),
        cmocka_unit_test(test_elector_kills_at_the_deadline_too),
        cmocka_unit_test(test_deadline_that_has_passed_is_not_forgotten),
        cmocka_unit_test(test_no_start_with_little_time_left),
        cmocka_unit_test(test_lease_over_means_not_elected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
