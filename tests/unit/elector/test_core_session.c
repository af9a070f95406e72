/* test_core_session.c - sessions that end, an orderly stop in each phase, an elector that takes over from a
 * dead one.
 */
#include "core_fixture.h"

static void lost(void)
{
    event((struct core_event){.type = CORE_EV_LOST});
}

static void quit(void)
{
    event((struct core_event){.type = CORE_EV_QUIT});
}

static void leave(void)
{
    event((struct core_event){.type = CORE_EV_LEAVE});
}

/* ---- the end of a session ---------------------------------------------------------------------------- */

static void test_session_lost_ends_livy_at_once(void **state)
{
    char uuid[CORE_UUID_SIZE];

    (void)state;
    become_active();
    memcpy(uuid, core.uuid, sizeof(uuid));
    lost();
    assert_true(told(CORE_HIST_LOST));
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0);
    expect(CORE_ACT_CONNECT);
    assert_int_equal(core.kill_at, 0);
    assert_int_equal(core.leased, 100000 + LEASE); /* what the keeper enforces is not shortened by hope */
    at(now + 50);
    connected(SESSION + 1);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    reply(CORE_REQ_REGISTER, CORE_OK);
    nothing_else();
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_int_equal(expect(CORE_ACT_DELETE)->request, CORE_REQ_GHOST);
    expect(CORE_ACT_SESSION);
    assert_string_not_equal(expect(CORE_ACT_CREATE)->node, uuid);
}

static void test_session_lost_before_the_start_was_answered(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    int64_t kill_at = expect(CORE_ACT_START)->kill_at;
    lost();
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0);
    expect(CORE_ACT_CONNECT);
    livy_runs(1, kill_at);                             /* the keeper had started it */
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0); /* it is told again, of this Livy */
    whatever();
}

static void test_session_lost_as_a_standby(void **state)
{
    (void)state;
    become_standby();
    lost();
    expect(CORE_ACT_CONNECT);
    nothing_else();
    connected(SESSION + 1);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    expect(CORE_ACT_DELETE); /* its ghost */
}

/* An ensemble that has lost its data refuses the connection and never says that the session is over. */
static void test_no_connection_for_too_long(void **state)
{
    (void)state;
    become_standby();
    int64_t start = now;
    suspended();
    time_is(start + 19999);
    assert_false(came(CORE_ACT_CONNECT));
    whatever();
    time_is(start + 20000);
    assert_true(came(CORE_ACT_CONNECT));
    assert_int_equal(core.session, 0);
    whatever();
}

/* Nor one whose addresses have changed: with the next handle the names are looked up again, and again. */
static void test_never_connected_for_too_long(void **state)
{
    (void)state;
    become_standby();
    int64_t start = now;
    suspended();
    for (int i = 1; i <= 3; i++) {
        time_is(start + i * 20000L - 1);
        assert_false(came(CORE_ACT_CONNECT));
        whatever();
        time_is(start + i * 20000L);
        assert_true(came(CORE_ACT_CONNECT));
        whatever();
    }
}

/* A look-up that takes nearly that long leaves the handle its time all the same. */
static void test_slow_look_up_is_no_hopeless_handle(void **state)
{
    (void)state;
    become_standby();
    int64_t start = now;
    suspended();
    time_is(start + 19990);
    whatever();
    event((struct core_event){.type = CORE_EV_OPENED});
    whatever();
    time_is(start + 39989);
    assert_false(came(CORE_ACT_CONNECT));
    whatever();
    time_is(start + 39990);
    assert_true(came(CORE_ACT_CONNECT));
    whatever();
}

static void test_hopeless_waits_for_livys_death(void **state)
{
    (void)state;
    become_active();
    int64_t start = now;
    suspended();
    time_is(start + 60000);
    assert_false(came(CORE_ACT_CONNECT));
    whatever();
    livy_dead(1, IPC_CAUSE_DEADLINE);
    assert_true(came(CORE_ACT_CONNECT));
    whatever();
}

/* ---- orderly stop ------------------------------------------------------------------------------------ */

static void test_quit_while_serving(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    quit();
    assert_true(expect(CORE_ACT_QUIESCE)->on);
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 5000); /* front.drain is 0 */
    expect(CORE_ACT_RELEASING);
    livy_stopping(1, IPC_CAUSE_ORDERED);
    nothing_else(); /* the latch is kept while Livy lives */
    at(now + 400);
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_false(expect(CORE_ACT_QUIESCE)->on);
    assert_string_equal(expect(CORE_ACT_DELETE)->node, core.node);
    leave();
    nothing_else(); /* first the delete: a standby waits for it */
    reply(CORE_REQ_DELETE, CORE_OK);
    assert_true(told(CORE_HIST_RELEASED));
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CLOSE);
    time_is(now + 100);
    nothing_else();
}

static void test_quit_before_the_start_was_answered(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    expect(CORE_ACT_START);
    quit();
    expect(CORE_ACT_STOP);
    expect(CORE_ACT_RELEASING);
    event((struct core_event){.type = CORE_EV_LIVY,
                              .livy = livy_is(IPC_LIVY_NONE, 0, IPC_CAUSE_REFUSED, 0),
                              .text = "a later command has overtaken it"});
    expect(CORE_ACT_DELETE);
}

static void test_quit_as_a_standby(void **state)
{
    (void)state;
    become_standby();
    quit();
    expect(CORE_ACT_DELETE);
    expect(CORE_ACT_RELEASING);
    reply(CORE_REQ_DELETE, CORE_OK);
    expect(CORE_ACT_SESSION);
    leave();
    expect(CORE_ACT_CLOSE);
}

static void test_quit_without_a_connection(void **state)
{
    (void)state;
    become_standby();
    suspended();
    quit();
    expect(CORE_ACT_RELEASING);
    nothing_else();
    leave();
    expect(CORE_ACT_CLOSE);
}

static void test_quit_while_joining(void **state)
{
    (void)state;
    begin_with(NULL, NULL);
    connected(SESSION);
    whatever();
    quit();
    expect(CORE_ACT_RELEASING);
    reply(CORE_REQ_REGISTER, CORE_OK);
    nothing_else(); /* no node any more */
    leave();
    expect(CORE_ACT_CLOSE);
}

static void test_delete_that_is_not_answered_does_not_hold_the_end_up(void **state)
{
    (void)state;
    become_standby();
    quit();
    whatever();
    leave();
    nothing_else();
    time_is(now + 999);
    assert_false(came(CORE_ACT_CLOSE));
    whatever();
    assert_int_equal(core_next(&core, now), now + 1);
    time_is(now + 1);
    assert_true(came(CORE_ACT_CLOSE));
    whatever();
}

/* Rule 4: never before the keeper has forgotten the session. */
static void test_never_closed_without_leave(void **state)
{
    (void)state;
    become_standby();
    quit();
    whatever();
    reply(CORE_REQ_DELETE, CORE_OK);
    whatever();
    while (core_next(&core, now) < now + 100000 && core_next(&core, now) != CLOCK_NEVER) {
        time_is(core_next(&core, now));
        assert_false(came(CORE_ACT_CLOSE));
        whatever();
    }
}

/* ---- taking over from a dead elector ----------------------------------------------------------------- */

static void test_adopts_a_running_livy(void **state)
{
    struct ipc_livy livy = left_running();

    (void)state;
    begin_with(&left_behind, &livy);
    expect(CORE_ACT_PROBE);
    assert_int_equal(core.phase, CORE_ACTIVE);
    probed(true);
    assert_false(told(CORE_HIST_SERVING)); /* the dead one has told */
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    expect(CORE_ACT_OWN);
    expect(CORE_ACT_LIST);
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
    leased(expect(CORE_ACT_LEASE)->kill_at);
    owned_by(SESSION, EPOCH);
    assert_true(told(CORE_HIST_ADOPTED));
    listed(left_behind.node, other_name(9), NULL);
    reply(CORE_REQ_REGISTER, CORE_OK);
    nothing_else();
    all_is_well(now + 20000);
    assert_int_equal(core.livy.run, 3);
}

/* The elector before this one hung while the lease ended, and took to its grave what it had to tell; one that
 * ended long after has told it itself. */
static void test_tells_of_a_fence_under_a_hung_elector(void **state)
{
    struct ipc_livy livy = left_running();

    (void)state;
    livy.state = IPC_LIVY_NONE;
    livy.cause = IPC_CAUSE_DEADLINE;
    livy.kill_at = 98000;
    begin_with(&left_behind, &livy);
    assert_true(told(CORE_HIST_FENCED));
    whatever();
    time_is(now + 10);
    assert_false(told(CORE_HIST_FENCED));
    livy.kill_at = 80000;
    begin_with(&left_behind, &livy);
    assert_false(told(CORE_HIST_FENCED));
    livy.cause = IPC_CAUSE_ORDERED;
    livy.kill_at = 98000;
    begin_with(&left_behind, &livy);
    assert_false(told(CORE_HIST_FENCED));
}

/* The keeper dies while the elector that it has just started takes the session up: the node is given up as
 * soon as that is done, and is not waited for where it takes long. */
static void test_leaves_while_it_adopts(void **state)
{
    struct ipc_livy livy = left_running();

    (void)state;
    for (int late = 0; late < 2; late++) {
        begin_with(&left_behind, &livy);
        whatever();
        event((struct core_event){.type = CORE_EV_QUIT});
        whatever();
        livy_dead(3, IPC_CAUSE_ORPHANED);
        whatever();
        event((struct core_event){.type = CORE_EV_LEAVE});
        assert_false(came(CORE_ACT_CLOSE));
        whatever();
        if (late == 0) {
            connected(SESSION);
            assert_true(came(CORE_ACT_DELETE));
            assert_false(came(CORE_ACT_CLOSE));
            whatever();
            reply(CORE_REQ_DELETE, CORE_OK);
        } else {
            time_is(now + 1000);
        }
        assert_true(came(CORE_ACT_CLOSE));
        whatever();
    }
}

/* The deadline of before stays in force until there is a proof of our own. */
static void test_adopted_lease_is_not_prolonged_by_hope(void **state)
{
    struct ipc_livy livy = left_running();

    (void)state;
    begin_with(&left_behind, &livy);
    whatever();
    assert_int_equal(core.kill_at, 107000);
    time_is(107000);
    assert_true(came(CORE_ACT_KILL));
    assert_false(came(CORE_ACT_LEASE));
    whatever();
}

static void test_adopted_livy_of_another_epoch_is_ended(void **state)
{
    struct ipc_livy livy = left_running();

    (void)state;
    begin_with(&left_behind, &livy);
    whatever();
    connected(SESSION);
    whatever();
    owned_by(SESSION, EPOCH + 1);
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0);
    assert_false(told(CORE_HIST_ADOPTED));
    whatever();
}

static void test_session_is_gone_at_adoption(void **state)
{
    struct ipc_livy livy = left_running();

    (void)state;
    begin_with(&left_behind, &livy);
    whatever();
    connected(SESSION + 1);
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 0);
    whatever();
    assert_string_equal(core.ghost, left_behind.node);
    reply(CORE_REQ_REGISTER, CORE_OK);
    nothing_else();
    livy_dead(3, IPC_CAUSE_ORDERED);
    assert_int_equal(expect(CORE_ACT_DELETE)->request, CORE_REQ_GHOST);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE);
}

/* Without a running Livy the dead elector may have asked for the node's delete, which may come late. */
static void test_node_left_behind_without_a_livy_is_not_used(void **state)
{
    (void)state;
    begin_with(&left_behind, NULL);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    assert_string_equal(expect(CORE_ACT_DELETE)->node, left_behind.node);
    reply(CORE_REQ_REGISTER, CORE_OK);
    nothing_else();
    reply(CORE_REQ_DELETE, CORE_OK);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE);
}

/* Found by the random schedules: the dead elector had found a node of its own session that it did not stand
 * with, had asked for its delete and died. Its successor took that node for the one whose create was under
 * way, started Livy under it, and then the late delete let another member start beside it. */
static void test_node_found_in_an_inherited_session_is_not_used(void **state)
{
    struct ipc_session session = left_behind;
    const char *found = left_behind.node;

    (void)state;
    memset(session.node, 0, sizeof(session.node));
    begin_with(&session, NULL);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    reply(CORE_REQ_REGISTER, CORE_OK);
    expect(CORE_ACT_LIST);
    listed(found, other_name(7), NULL);
    const struct core_action *stray = expect(CORE_ACT_DELETE);
    assert_int_equal(stray->request, CORE_REQ_STRAY);
    assert_string_equal(stray->node, found);
    assert_string_equal(expect(CORE_ACT_CREATE)->node, session.uuid);
    assert_int_equal(core.node[0], 0);
}

/* Found by the random schedules: the keeper was stopped, its queue full, and the word of the uuid was lost.
 * The elector made its node and was killed. Its successor adopted the session, knew nothing of the node, drew
 * another uuid and joined behind the others: the node stood first for ever, and nobody served. */
static void test_session_whose_nodes_are_not_known_is_left_to_expire(void **state)
{
    struct ipc_session session = left_behind;
    struct ipc_livy livy = left_running();

    (void)state;
    memset(session.uuid, 0, sizeof(session.uuid));
    memset(session.node, 0, sizeof(session.node));
    begin_with(&session, NULL);
    assert_int_equal(core.session, 0);
    nothing_else();
    begin_with(&session, &livy);
    expect(CORE_ACT_STOP);
    assert_int_equal(core.session, 0);
    connected(SESSION + 1);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    reply(CORE_REQ_REGISTER, CORE_OK);
    nothing_else(); /* no node before its death */
    livy_dead(3, IPC_CAUSE_ORDERED);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_lost_ends_livy_at_once),
        cmocka_unit_test(test_session_lost_before_the_start_was_answered),
        cmocka_unit_test(test_session_lost_as_a_standby),
        cmocka_unit_test(test_no_connection_for_too_long),
        cmocka_unit_test(test_never_connected_for_too_long),
        cmocka_unit_test(test_slow_look_up_is_no_hopeless_handle),
        cmocka_unit_test(test_hopeless_waits_for_livys_death),
        cmocka_unit_test(test_quit_while_serving),
        cmocka_unit_test(test_quit_before_the_start_was_answered),
        cmocka_unit_test(test_quit_as_a_standby),
        cmocka_unit_test(test_quit_without_a_connection),
        cmocka_unit_test(test_quit_while_joining),
        cmocka_unit_test(test_delete_that_is_not_answered_does_not_hold_the_end_up),
        cmocka_unit_test(test_never_closed_without_leave),
        cmocka_unit_test(test_adopts_a_running_livy),
        cmocka_unit_test(test_tells_of_a_fence_under_a_hung_elector),
        cmocka_unit_test(test_leaves_while_it_adopts),
        cmocka_unit_test(test_adopted_lease_is_not_prolonged_by_hope),
        cmocka_unit_test(test_adopted_livy_of_another_epoch_is_ended),
        cmocka_unit_test(test_session_is_gone_at_adoption),
        cmocka_unit_test(test_node_left_behind_without_a_livy_is_not_used),
        cmocka_unit_test(test_node_found_in_an_inherited_session_is_not_used),
        cmocka_unit_test(test_session_whose_nodes_are_not_known_is_left_to_expire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
