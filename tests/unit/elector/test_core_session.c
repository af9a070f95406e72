/* test_core_session.c - sessions that end, an orderly stop in each phase, an elector that takes over from a
 * dead one, and a million random events.
 */
#include "core_fixture.h"

#include <stdlib.h>

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
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 5000);
    expect(CORE_ACT_RELEASING);
    livy_stopping(1, IPC_CAUSE_ORDERED);
    nothing_else(); /* the latch is kept while Livy lives */
    at(now + 400);
    livy_dead(1, IPC_CAUSE_ORDERED);
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

static const struct ipc_session left_behind = {
    .id = SESSION,
    .timeout = T,
    .uuid = "aaaaaaaa-0000-4000-8000-000000000000",
    .node = "_c_aaaaaaaa-0000-4000-8000-000000000000-latch-0000000005"};

static struct ipc_livy running(void)
{
    return (struct ipc_livy){
        .state = IPC_LIVY_ALIVE, .run = 3, .pid = 9, .epoch = EPOCH, .kill_at = 107000, .started_at = 90000};
}

static void test_adopts_a_running_livy(void **state)
{
    struct ipc_livy livy = running();

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
    struct ipc_livy livy = running();

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
    struct ipc_livy livy = running();

    (void)state;
    for (int late = 0; late < 2; late++) {
        begin_with(&left_behind, &livy);
        whatever();
        event((struct core_event){.type = CORE_EV_QUIT});
        whatever();
        livy_dead(3, IPC_CAUSE_ORPHANED);
        whatever();
        leave();
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
    struct ipc_livy livy = running();

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
    struct ipc_livy livy = running();

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
    struct ipc_livy livy = running();

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

/* ---- random events ----------------------------------------------------------------------------------- */

static uint64_t dice = 88172645463325252u;

static int64_t roll(int64_t most)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (int64_t)(dice >> 11) % (most + 1);
}

static int tame; /* 0: anything goes; else most of it makes sense */

/* Once in a while, the rarer the tamer. */
static bool now_and_then(void)
{
    return roll(1 + 15 * tame) == 0;
}

static uint64_t some_beat(void)
{
    uint64_t op = core.beats[roll(CORE_BEATS - 1)].op;
    return op != 0 ? op : core.beats[(core.next_beat + CORE_BEATS - 1) % CORE_BEATS].op;
}

static struct core_event random_zookeeper(void)
{
    static char names[4][CORE_NODE_SIZE];
    static const char *pointers[4];
    enum core_request request = (enum core_request)roll(CORE_REQUESTS - 1);

    for (int i = 0; i < 4; i++) {
        snprintf(names[i], CORE_NODE_SIZE, "_c_%s-latch-%010d", now_and_then() ? "someone" : core.uuid,
                 (int)roll(9));
        if (!now_and_then() && core.node[0] != '\0')
            memcpy(names[i], core.node, CORE_NODE_SIZE);
        pointers[i] = names[i];
    }
    while (core.pending[request] == 0 && roll(9) != 0)
        request = (enum core_request)roll(CORE_REQUESTS - 1);
    return (struct core_event){.type = CORE_EV_REPLY,
                               .request = request,
                               .op = roll(20) != 0 ? core.pending[request] : core.pending[request] - 1,
                               .rc = roll(3) != 0 || !now_and_then() ? CORE_OK : (enum core_rc)roll(3),
                               .names = pointers,
                               .n_names = (size_t)roll(3) + 1,
                               .name = names[0],
                               .owner = roll(3) != 0 || !now_and_then() ? core.session : 1,
                               .czxid = core.livy.epoch != 0 && !now_and_then() ? core.livy.epoch : EPOCH};
}

static struct core_event random_keeper(void)
{
    struct ipc_livy livy = core.livy;

    if (core.start_run == 0 && (roll(1) != 0 || !now_and_then()))
        return (struct core_event){.type = CORE_EV_LEASED,
                                   .kill_at = now_and_then() ? core.leased : core.lease_sent};
    livy.state = now_and_then() ? (uint32_t)roll(2) : IPC_LIVY_ALIVE;
    livy.cause = now_and_then() ? (uint32_t)roll(IPC_CAUSE_REFUSED) : IPC_CAUSE_NONE;
    livy.kill_at = core.lease_sent;
    livy.started_at = now - roll(20000);
    if (core.start_run != 0) {
        livy.run = livy.cause == IPC_CAUSE_REFUSED ? core.start_run - 1 : core.start_run;
        livy.epoch = core.epoch;
    }
    return (struct core_event){.type = CORE_EV_LIVY, .livy = livy, .text = "random"};
}

static struct core_event random_event(void)
{
    switch (roll(19)) {
    case 0:
        if (!now_and_then())
            return (struct core_event){.type = CORE_EV_OPENED};
        return (struct core_event){.type = roll(9) == 0 ? CORE_EV_LOST : CORE_EV_SUSPENDED};
    case 1:
    case 2:
        if (core.connected && !now_and_then())
            break;
        return (struct core_event){.type = CORE_EV_CONNECTED,
                                   .session = core.session != 0 && !now_and_then() ? core.session
                                                                                   : SESSION + roll(9),
                                   .timeout = now_and_then() ? 4000 + roll(20000) : T};
    case 3:
    case 4:
        return random_keeper();
    case 5:
    case 6:
    case 7:
        return (struct core_event){.type = CORE_EV_BEAT,
                                   .op = some_beat(),
                                   .rc = roll(5) != 0 || !now_and_then() ? CORE_OK : (enum core_rc)roll(4)};
    case 8:
        return (struct core_event){.type = CORE_EV_PROBE,
                                   .alive = roll(2) != 0,
                                   .foreign = roll(99) == 0 && now_and_then(),
                                   .status = 78};
    case 9:
        if (roll(3) != 0 || !now_and_then())
            break;
        return (struct core_event){.type = CORE_EV_STAND, .stand = roll(4) != 0, .text = "random"};
    case 10:
        if (roll(3) != 0 || !now_and_then())
            break;
        return (struct core_event){.type = roll(1) != 0 ? CORE_EV_OWN_CHANGED : CORE_EV_PRED_CHANGED,
                                   .op = core.node_tag - (uint64_t)roll(1),
                                   .deleted = roll(1) != 0};
    case 11:
        return (struct core_event){.type = roll(1) != 0 ? CORE_EV_KICKED : CORE_EV_LIVY_GONE};
    case 12:
        return (struct core_event){.type = CORE_EV_TIME};
    default:
        break;
    }
    return random_zookeeper();
}

static int steps, starts, leases, deletes;

static void check_start(const struct core_action *a)
{
    assert_true(core.connected && core.first && core.own_known && core.leading && !core.doomed &&
                !core.quitting);
    assert_true(core.may_stand && !core.keeper_stuck && !core_livy_alive(&core));
    assert_int_equal(a->run, core.livy.run + 1);
    assert_int_not_equal(core.node[0], 0);
    assert_int_equal(a->epoch, core.epoch);
    assert_true(core.proof != 0 && core.proof < now + 1);
    assert_true(a->kill_at <= core.proof + core.timeout - core.timeout / 50 - core.config.kill_margin);
    assert_true(a->kill_at - now >= 300);
}

static void check_actions(void)
{
    for (size_t i = 0; i < out.count; i++) {
        const struct core_action *a = &out.list[i];
        bool dead = (!core_livy_alive(&core) && core.start_run == 0) ||
                    (core.keeper_stuck && core.gone_seen && now > core.max_sent + core.config.kill_margin);
        starts += a->type == CORE_ACT_START;
        leases += a->type == CORE_ACT_LEASE;
        deletes += a->type == CORE_ACT_DELETE;
        if (a->type == CORE_ACT_START)
            check_start(a);
        else if (a->type == CORE_ACT_DELETE)
            assert_true(dead);
        else if (a->type == CORE_ACT_CLOSE)
            assert_true(core.may_close && core.quitting);
        else if (a->type == CORE_ACT_LEASE)
            assert_true(core_livy_alive(&core) && core.max_sent >= a->kill_at && !core.keeper_stuck);
        else if (a->type == CORE_ACT_BEAT)
            assert_true(core.connected && !core.doomed);
        else if (a->type == CORE_ACT_CONNECT)
            assert_true(core.floor == now && core.proof == 0);
    }
}

/* A core that asked to be called at once for ever would burn a processor. */
static void check_calm(void)
{
    struct core copy = core;
    struct core_actions actions;
    int64_t time = now;

    for (int i = 0; i < 400; i++) {
        int64_t next = core_next(&copy, time);
        if (next == CLOCK_NEVER)
            return;
        assert_true(next > time);
        time = next;
        core_step(&copy, &(struct core_event){.type = CORE_EV_TIME}, time, &actions);
    }
    assert_true(time - now > 2000);
}

static void fuzz(int most)
{
    for (int i = 0; i < most; i++, steps++) {
        struct core_event e = random_event();
        if (roll(2000) == 0)
            e = (struct core_event){.type = CORE_EV_QUIT};
        if (core.quitting && core.releasing_sent && !core_livy_alive(&core) && core.start_run == 0 &&
            roll(50) == 0)
            e = (struct core_event){.type = CORE_EV_LEAVE};
        if (roll(3) == 0)
            at(now + roll(roll(20) == 0 && now_and_then() ? 15000 : 100));
        else if (roll(3) == 0 && core_next(&core, now) < now + 100000)
            at(core_next(&core, now));
        whatever();
        event(e);
        whatever();
        check_actions();
        if (i % 50 == 0)
            check_calm();
        if (core.close_sent)
            return;
    }
}

static void test_random_events(void **state)
{
    struct ipc_livy livy = running();

    (void)state;
    for (int i = 0; steps < 1000000; i++) {
        begin_with(i % 3 == 0 ? &left_behind : NULL, i % 6 == 0 ? &livy : NULL);
        whatever();
        tame = i % 4;
        fuzz(1000);
    }
    print_message("%d steps, %d starts, %d renewals, %d deletes\n", steps, starts, leases, deletes);
    assert_true(starts > 500 && leases > 500 && deletes > 500);
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
        cmocka_unit_test(test_random_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
