/* test_core_latch.c - the queue: joining, waiting, winning, losing the node. */
#include "core_fixture.h"

/* ---- order ------------------------------------------------------------------------------------------- */

static void test_names_are_compared_as_curator_does(void **state)
{
    (void)state;
    assert_int_equal(core_latch_compare("_c_b-latch-0000000001", "_c_a-latch-0000000002"), -1);
    assert_int_equal(core_latch_compare("_c_a-latch-0000000010", "_c_b-latch-0000000009"), 1);
    assert_int_equal(core_latch_compare("_c_a-latch-0000000001", "_c_b-latch-0000000001"), -1);
    assert_int_equal(core_latch_compare("_c_a-latch-0000000001", "_c_a-latch-0000000001"), 0);
    /* A name may contain the word; the last one counts. */
    assert_int_equal(core_latch_compare("latch-9-latch-0000000001", "latch-1-latch-0000000002"), -1);
    assert_int_equal(core_latch_sequence("_c_a-latch-0000000012"), 12);
    assert_int_equal(core_latch_sequence("nonsense"), -1);
}

static void test_joining_goes_in_order(void **state)
{
    (void)state;
    begin_with(NULL, NULL);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    reply(CORE_REQ_REGISTER, CORE_OK);
    /* A successor must know the uuid before the create is on its way. */
    expect(CORE_ACT_SESSION);
    assert_string_equal(expect(CORE_ACT_CREATE)->node, core.uuid);
    created(5);
    expect(CORE_ACT_SESSION);
    assert_string_equal(expect(CORE_ACT_OWN)->node, own_name(5));
    expect(CORE_ACT_LIST);
    expect(CORE_ACT_BEAT);
    listed(other_name(1), own_name(5), other_name(3), other_name(8), NULL);
    assert_string_equal(expect(CORE_ACT_WATCH)->node, other_name(3));
    watched(SESSION + 1);
    owned_by(SESSION, EPOCH);
    assert_int_equal(core.phase, CORE_STANDBY);
    nothing_else();
}

/* START needs four things: the list, the ownership, a check acknowledged on this connection, time left. */
static void test_start_waits_for_the_check(void **state)
{
    (void)state;
    ask_for_a_node();
    created(5);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    expect(CORE_ACT_LIST);
    uint64_t check = expect(CORE_ACT_BEAT)->op;
    listed(own_name(5), other_name(9), NULL);
    nobody_before();
    nothing_else();
    owned_by(SESSION, EPOCH);
    nothing_else();
    assert_int_equal(core.phase, CORE_CONFIRMING);
    beat_answered(check, CORE_OK);
    assert_true(told(CORE_HIST_ELECTED));
    const struct core_action *start = expect(CORE_ACT_START);
    assert_int_equal(start->kill_at, now + LEASE);
    assert_int_equal(start->epoch, EPOCH);
}

static void test_start_waits_for_the_ownership(void **state)
{
    (void)state;
    join();
    listed(own_name(5), NULL);
    nobody_before();
    nothing_else();
    owned_by(SESSION, EPOCH);
    expect(CORE_ACT_START);
}

static void test_start_waits_for_the_list(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    nothing_else();
    listed(own_name(5), NULL);
    nobody_before();
    expect(CORE_ACT_START);
}

static void test_node_of_another_session_is_not_ours(void **state)
{
    (void)state;
    join();
    listed(own_name(5), NULL);
    expect(CORE_ACT_HANDOVER);
    owned_by(SESSION + 7, EPOCH);
    expect(CORE_ACT_CREATE); /* another one; no START */
    assert_int_equal(core.node[0], 0);
}

static void test_refused_create_is_a_configuration_error(void **state)
{
    (void)state;
    begin_with(NULL, NULL);
    connected(SESSION);
    whatever();
    reply(CORE_REQ_REGISTER, CORE_OK);
    whatever();
    reply(CORE_REQ_CREATE, CORE_DENIED);
    assert_int_equal(expect(CORE_ACT_FATAL)->code, 78);
    nothing_else();
}

/* ---- waiting and winning ----------------------------------------------------------------------------- */

static void test_predecessor_gone_means_look_again(void **state)
{
    (void)state;
    become_standby();
    all_is_well(now + 3000);
    predecessor_gone();
    assert_false(expect(CORE_ACT_LIST)->sync); /* the server that told of it has it in its list */
    listed(other_name(2), own_name(5), NULL);  /* another one stood between */
    assert_string_equal(expect(CORE_ACT_WATCH)->node, other_name(2));
    watched(SESSION + 2);
    at(now + 100);
    predecessor_gone();
    expect(CORE_ACT_LIST);
    listed(own_name(5), NULL);
    assert_string_equal(expect(CORE_ACT_HANDOVER)->node, other_name(2));
    left(CORE_LEFT_IN_ORDER); /* the lease is there: a standby's checks have seen to it */
    livy_runs(1, expect(CORE_ACT_START)->kill_at);
    expect(CORE_ACT_PROBE);
    time_is(now + 500); /* from now on each h */
    expect(CORE_ACT_BEAT);
}

static void win_after(enum core_left how)
{
    become_standby();
    all_is_well(now + 3000);
    predecessor_gone();
    expect(CORE_ACT_LIST);
    listed(own_name(5), NULL);
    expect(CORE_ACT_HANDOVER);
    left(how);
}

static void test_predecessor_whose_session_ended_costs_a_short_pause(void **state)
{
    (void)state;
    win_after(CORE_LEFT_GONE);
    int64_t won = now;
    while (!came(CORE_ACT_START)) {
        assert_true(now < won + 200);
        whatever();
        time_is(core_next(&core, now));
        if (came(CORE_ACT_HANDOVER)) {
            whatever();
            left(CORE_LEFT_GONE);
        }
    }
    assert_true(now >= won + 100);
    assert_true(told(CORE_HIST_ELECTED));
    whatever();
}

/* A stranger deleted the node: its Livy may take K to die, unless its member says before that it has left in
 * order. */
static void test_predecessor_pushed_out_by_a_stranger_is_given_time(void **state)
{
    (void)state;
    win_after(CORE_LEFT_NODE);
    int64_t won = now;
    while (now < won + story_config.kill_margin) {
        assert_false(came(CORE_ACT_START));
        whatever();
        time_is(core_next(&core, now));
        if (came(CORE_ACT_BEAT)) {
            for (size_t i = 0; i < out.count; i++)
                if (out.list[i].type == CORE_ACT_BEAT) {
                    uint64_t op = out.list[i].op;
                    whatever();
                    beat_answered(op, CORE_OK);
                    break;
                }
        }
        if (core.pending[CORE_REQ_HANDOVER] != 0) {
            whatever();
            left(CORE_LEFT_NODE);
        }
    }
    whatever();
    if (core.pending[CORE_REQ_HANDOVER] != 0)
        left(CORE_LEFT_IN_ORDER);
    while (!came(CORE_ACT_START)) {
        assert_true(now < won + story_config.kill_margin + 500);
        whatever();
        time_is(core_next(&core, now));
        if (core.pending[CORE_REQ_HANDOVER] != 0) {
            whatever();
            left(CORE_LEFT_IN_ORDER);
        }
    }
    whatever();
}

static void test_predecessor_gone_before_the_watch_was_set(void **state)
{
    (void)state;
    join();
    listed(other_name(3), own_name(5), NULL);
    expect(CORE_ACT_WATCH);
    reply(CORE_REQ_WATCH, CORE_NONODE);
    expect(CORE_ACT_LIST);
}

static void test_reply_to_another_request_is_ignored(void **state)
{
    (void)state;
    join();
    const char *names[] = {own_name(5)};
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_LIST,
                              .op = core.pending[CORE_REQ_LIST] - 1,
                              .names = names,
                              .n_names = 1});
    assert_false(core.listed);
    nothing_else();
}

/* A foreign name that does not fit is not taken for nothing: without a predecessor we would be first. */
static void test_predecessor_with_a_name_too_long(void **state)
{
    char name[200];

    (void)state;
    join();
    memset(name, 'x', sizeof(name));
    memcpy(name + 100, "-latch-0000000001", sizeof("-latch-0000000001"));
    memmove(name + 120, name + 100, sizeof("-latch-0000000001"));
    memset(name + 100, 'x', 20);
    listed(name, own_name(5), NULL);
    nothing_else();
    assert_false(core.first);
    time_is(now + 500);
    expect(CORE_ACT_LIST);
    whatever();
}

/* ---- losing the node --------------------------------------------------------------------------------- */

static void test_own_node_deleted_ends_livy_at_once(void **state)
{
    (void)state;
    become_active();
    own_changed(true);
    assert_true(told(CORE_HIST_LOST));
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0);
    nothing_else(); /* no new node while Livy lives */
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_true(told(CORE_HIST_FENCED));
    expect(CORE_ACT_CREATE);
}

static void test_watch_of_an_earlier_node_is_ignored(void **state)
{
    (void)state;
    become_active();
    event((struct core_event){.type = CORE_EV_OWN_CHANGED, .op = core.node_tag - 1, .deleted = true});
    nothing_else();
    assert_true(core.leading);
}

static void test_own_node_touched_by_somebody_is_looked_at(void **state)
{
    (void)state;
    become_active();
    own_changed(false);
    expect(CORE_ACT_OWN);
    owned_by(SESSION, EPOCH);
    nothing_else();
}

static void test_heartbeat_without_node_ends_livy(void **state)
{
    (void)state;
    become_active();
    time_is(now + 500);
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_NONODE);
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0);
}

static void test_heartbeat_for_an_earlier_node_is_no_news(void **state)
{
    (void)state;
    become_standby();
    time_is(now + 1000);
    uint64_t old = expect(CORE_ACT_BEAT)->op;
    own_changed(true);
    expect(CORE_ACT_CREATE);
    created(9);
    whatever();
    beat_answered(old, CORE_NONODE);
    assert_string_equal(core.node, own_name(9));
    whatever();
}

static void test_latch_itself_gone(void **state)
{
    (void)state;
    become_standby();
    predecessor_gone();
    expect(CORE_ACT_LIST);
    reply(CORE_REQ_LIST, CORE_NONODE);
    expect(CORE_ACT_REGISTER); /* which makes the parents */
    reply(CORE_REQ_REGISTER, CORE_OK);
    expect(CORE_ACT_CREATE);
    reply(CORE_REQ_CREATE, CORE_NONODE); /* gone again */
    expect(CORE_ACT_REGISTER);
    reply(CORE_REQ_REGISTER, CORE_OK);
    expect(CORE_ACT_CREATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_compared_as_curator_does),
        cmocka_unit_test(test_joining_goes_in_order),
        cmocka_unit_test(test_start_waits_for_the_check),
        cmocka_unit_test(test_start_waits_for_the_ownership),
        cmocka_unit_test(test_start_waits_for_the_list),
        cmocka_unit_test(test_node_of_another_session_is_not_ours),
        cmocka_unit_test(test_refused_create_is_a_configuration_error),
        cmocka_unit_test(test_predecessor_gone_means_look_again),
        cmocka_unit_test(test_predecessor_whose_session_ended_costs_a_short_pause),
        cmocka_unit_test(test_predecessor_pushed_out_by_a_stranger_is_given_time),
        cmocka_unit_test(test_predecessor_gone_before_the_watch_was_set),
        cmocka_unit_test(test_reply_to_another_request_is_ignored),
        cmocka_unit_test(test_predecessor_with_a_name_too_long),
        cmocka_unit_test(test_own_node_deleted_ends_livy_at_once),
        cmocka_unit_test(test_watch_of_an_earlier_node_is_ignored),
        cmocka_unit_test(test_own_node_touched_by_somebody_is_looked_at),
        cmocka_unit_test(test_heartbeat_without_node_ends_livy),
        cmocka_unit_test(test_heartbeat_for_an_earlier_node_is_no_news),
        cmocka_unit_test(test_latch_itself_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
