/* test_core_command.c - what people ask for: planned stops, switchover, pause, restart, drain. */
#include "core_fixture.h"

#define DRAIN 3000
#define OTHER_EPOCH 66 /* of the member before us in the queue */

static void drains(void)
{
    struct core_config config = story_config;
    config.drain = DRAIN;
    core_configure(&core, &config);
}

static void active(void)
{
    become_active();
    drains();
}

static void quit(void)
{
    event((struct core_event){.type = CORE_EV_QUIT});
}

static void quiet(void)
{
    event((struct core_event){.type = CORE_EV_QUIET});
}

static void drained(bool on)
{
    event((struct core_event){
        .type = CORE_EV_STAND, .bar = CORE_BAR_DRAINED, .stand = !on, .text = on ? "drained by x" : ""});
}

static void ordered(struct core_orders orders)
{
    event((struct core_event){.type = CORE_EV_ORDERS, .orders = orders, .text = "switchover, asked on x"});
}

static void restart(void)
{
    event((struct core_event){.type = CORE_EV_RESTART, .text = "restart, asked on x"});
}

static void paused(int64_t until)
{
    ordered((struct core_orders){.paused = until > now, .paused_until = until, .sequence = -1});
}

static void quiesced_and_stopped(void)
{
    assert_true(expect(CORE_ACT_QUIESCE)->on);
    whatever();
    quiet();
    assert_int_equal(expect(CORE_ACT_STOP)->grace, 5000);
}

/* Behind a member whose node has OTHER_EPOCH. */
static void stand_by(void)
{
    join();
    drains();
    listed(other_name(3), own_name(5), NULL);
    expect(CORE_ACT_WATCH);
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_WATCH,
                              .op = core.pending[CORE_REQ_WATCH],
                              .owner = SESSION + 1,
                              .czxid = OTHER_EPOCH});
    owned_by(SESSION, EPOCH);
    nothing_else();
    assert_int_equal(core.phase, CORE_STANDBY);
}

/* The one before us has left in order. */
static void our_turn(void)
{
    predecessor_gone();
    expect(CORE_ACT_LIST);
    listed(own_name(5), NULL);
    nobody_before();
}

/* ---- planned stops ----------------------------------------------------------------------------------- */

static void test_a_stop_waits_for_quiet(void **state)
{
    (void)state;
    active();
    quit();
    assert_true(expect(CORE_ACT_QUIESCE)->on);
    expect(CORE_ACT_RELEASING);
    nothing_else();
    time_is(now + 1000);
    assert_false(came(CORE_ACT_STOP));
    whatever();
    quiet();
    expect(CORE_ACT_STOP);
}

static void test_a_stop_waits_no_longer_than_front_drain(void **state)
{
    (void)state;
    active();
    int64_t since = now;
    quit();
    whatever();
    all_is_well(since + DRAIN - 1); /* the lease is renewed meanwhile, Livy probed */
    time_is(since + DRAIN);
    expect(CORE_ACT_STOP);
    whatever();
    quiet(); /* late */
    nothing_else();
}

static void test_a_livy_that_does_not_serve_is_stopped_at_once(void **state)
{
    (void)state;
    join();
    drains();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    int64_t kill_at = expect(CORE_ACT_START)->kill_at;
    tenures();
    livy_runs(1, kill_at);
    expect(CORE_ACT_PROBE);
    quit();
    expect(CORE_ACT_STOP);
    assert_false(came(CORE_ACT_QUIESCE));
    whatever();
}

static void test_quiesce_ends_with_the_wish(void **state)
{
    (void)state;
    active();
    drained(true);
    assert_true(expect(CORE_ACT_QUIESCE)->on);
    drained(false);
    assert_false(expect(CORE_ACT_QUIESCE)->on);
    quiet(); /* late: nothing is asked for any more */
    nothing_else();
    assert_int_equal(core.phase, CORE_ACTIVE);
}

static void test_livy_may_die_while_its_front_quiesces(void **state)
{
    (void)state;
    active();
    drained(true);
    expect(CORE_ACT_QUIESCE);
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_false(expect(CORE_ACT_QUIESCE)->on);
    expect(CORE_ACT_DELETE);
    whatever();
}

/* ---- drain ------------------------------------------------------------------------------------------- */

static void test_drain_and_back(void **state)
{
    (void)state;
    active();
    drained(true);
    quiesced_and_stopped();
    assert_int_equal(core.phase, CORE_RELEASING);
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_false(expect(CORE_ACT_QUIESCE)->on);
    assert_true(expect(CORE_ACT_DELETE)->in_order);
    reply(CORE_REQ_DELETE, CORE_OK);
    assert_true(told(CORE_HIST_RELEASED));
    whatever();
    assert_int_equal(core.phase, CORE_DRAINED);
    assert_string_equal(core_role_name(&core), "drained");
    drained(false);
    whatever();
    assert_int_equal(core.phase, CORE_JOINING);
}

/* The store's reason goes, the drain stays. */
static void test_reasons_not_to_stand_are_counted_apart(void **state)
{
    (void)state;
    join();
    drained(true);
    whatever();
    event((struct core_event){.type = CORE_EV_STAND, .bar = CORE_BAR_STORE, .text = "another store"});
    whatever();
    assert_string_equal(core.stand_reason, "another store");
    event((struct core_event){.type = CORE_EV_STAND, .bar = CORE_BAR_STORE, .stand = true});
    whatever();
    assert_false(core.may_stand);
    assert_string_equal(core.stand_reason, "drained by x");
    drained(false);
    whatever();
    assert_true(core.may_stand);
}

/* ---- switchover: the one that goes ------------------------------------------------------------------- */

static void test_switchover_without_a_name(void **state)
{
    struct core_orders orders = {.epoch = EPOCH, .sequence = -1};

    (void)state;
    active();
    ordered(orders);
    const struct core_action *mark = expect(CORE_ACT_MARK);
    assert_int_equal(mark->mark, CORE_MARK_BEGUN);
    assert_int_equal(mark->epoch, EPOCH);
    nothing_else(); /* nothing is stopped before it is said */
    orders.begun = true;
    ordered(orders);
    quiesced_and_stopped();
    livy_dead(1, IPC_CAUSE_ORDERED);
    expect(CORE_ACT_QUIESCE);
    assert_true(expect(CORE_ACT_DELETE)->in_order);
    nothing_else();
    reply(CORE_REQ_DELETE, CORE_OK);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE); /* it joins again at once */
    created(9);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    expect(CORE_ACT_LIST);
    whatever();
    assert_int_equal(deaths_here(), 0);
}

static void test_switchover_waits_for_the_one_that_is_named(void **state)
{
    struct core_orders orders = {.epoch = EPOCH, .named = true, .sequence = -1};

    (void)state;
    active();
    ordered(orders);
    orders.sequence = 9;
    ordered(orders);
    nothing_else();
    orders.next = true;
    ordered(orders);
    assert_int_equal(expect(CORE_ACT_MARK)->mark, CORE_MARK_BEGUN);
    nothing_else();
    ordered((struct core_orders){.sequence = -1}); /* taken back before it was begun */
    nothing_else();
    assert_int_equal(core.phase, CORE_ACTIVE);
}

static void test_switchover_of_another_reign(void **state)
{
    (void)state;
    active();
    ordered((struct core_orders){.epoch = EPOCH - 1, .sequence = -1, .begun = true});
    nothing_else();
    assert_int_equal(core.phase, CORE_ACTIVE);
}

static void test_the_mark_is_made_again_where_it_was_lost(void **state)
{
    struct core_orders orders = {.epoch = EPOCH, .sequence = -1};

    (void)state;
    active();
    ordered(orders);
    expect(CORE_ACT_MARK);
    time_is(now + 10);
    nothing_else();
    ordered(orders); /* as it was: somebody else has written */
    expect(CORE_ACT_MARK);
}

/* ---- switchover: the others -------------------------------------------------------------------------- */

static void test_a_standby_before_the_named_one_steps_back(void **state)
{
    (void)state;
    stand_by();
    ordered((struct core_orders){.epoch = OTHER_EPOCH, .named = true, .sequence = -1});
    nothing_else(); /* where the successor stands is not known */
    ordered((struct core_orders){.epoch = OTHER_EPOCH, .named = true, .sequence = 4});
    nothing_else(); /* it stands before us */
    ordered((struct core_orders){.epoch = OTHER_EPOCH, .named = true, .sequence = 8});
    const struct core_action *a = expect(CORE_ACT_DELETE);
    assert_false(a->in_order);
    assert_int_equal(core.phase, CORE_RELEASING);
    assert_string_equal(core_role_name(&core), "joining");
    nothing_else();
    reply(CORE_REQ_DELETE, CORE_OK);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE);
    created(9);
    whatever();
    listed(other_name(3), other_name(8), own_name(9), NULL);
    expect(CORE_ACT_WATCH);
    watched(SESSION + 1);
    owned_by(SESSION, EPOCH + 1);
    nothing_else(); /* once is enough */
}

static void test_the_first_in_the_queue_does_not_step_back(void **state)
{
    (void)state;
    stand_by();
    our_turn();
    expect(CORE_ACT_START);
    whatever();
    ordered((struct core_orders){.epoch = OTHER_EPOCH, .named = true, .sequence = 8});
    nothing_else();
}

static void test_the_named_one_says_where_it_stands(void **state)
{
    struct core_orders orders = {.epoch = OTHER_EPOCH - 10, .named = true, .to_me = true, .sequence = -1};

    (void)state;
    stand_by();
    ordered(orders); /* the one before us is not the one that goes */
    const struct core_action *mark = expect(CORE_ACT_MARK);
    assert_int_equal(mark->mark, CORE_MARK_AWAY);
    assert_int_equal(mark->tag, 5);
    orders.sequence = 5;
    ordered(orders);
    nothing_else();
    orders.epoch = OTHER_EPOCH;
    ordered(orders);
    assert_int_equal(expect(CORE_ACT_MARK)->mark, CORE_MARK_NEXT);
    orders.next = true;
    ordered(orders);
    nothing_else();
}

static void test_a_member_that_may_not_stand_says_nothing(void **state)
{
    (void)state;
    stand_by();
    drained(true);
    whatever();
    ordered((struct core_orders){.epoch = OTHER_EPOCH, .named = true, .to_me = true, .sequence = -1});
    nothing_else();
}

/* ---- pause ------------------------------------------------------------------------------------------- */

static void test_paused_standby_does_not_start(void **state)
{
    (void)state;
    stand_by();
    paused(CLOCK_NEVER);
    our_turn();
    nothing_else();
    assert_int_equal(core.phase, CORE_PAUSED);
    assert_string_equal(core_role_name(&core), "standby");
    assert_int_equal(next_start(now + 30000), CLOCK_NEVER);
    paused(0);
    expect(CORE_ACT_START);
}

static void test_a_pause_ends_by_itself(void **state)
{
    (void)state;
    stand_by();
    int64_t until = now + 20000;
    paused(until);
    our_turn();
    assert_int_equal(next_start(until + 1000), until);
}

static void test_a_livy_that_dies_in_a_pause_stays_dead(void **state)
{
    (void)state;
    active();
    paused(CLOCK_NEVER);
    livy_dead(1, IPC_CAUSE_EXITED);
    nothing_else();
    assert_int_equal(core.phase, CORE_PAUSED);
    assert_string_equal(core_role_name(&core), "active");
    paused(0);
    expect(CORE_ACT_START);
}

static void test_an_unhealthy_livy_is_left_alone_in_a_pause(void **state)
{
    (void)state;
    active();
    paused(CLOCK_NEVER);
    livy_answers = false;
    all_is_well(now + 60000);
    assert_true(core.unhealthy);
    assert_true(core_livy_alive(&core));
    paused(0);
    bool stopped = false; /* by the first probe after that */
    for (int64_t until = now + 6000; !stopped && now < until;) {
        time_is(core_next(&core, now));
        for (size_t i = 0; i < out.count; i++)
            if (out.list[i].type == CORE_ACT_PROBE) {
                whatever();
                probed(false);
                break;
            }
        stopped = came(CORE_ACT_STOP);
        whatever();
    }
    assert_true(stopped);
    livy_answers = true;
}

static void test_a_lost_lease_fences_in_a_pause_too(void **state)
{
    (void)state;
    active();
    paused(CLOCK_NEVER);
    int64_t deadline = core.leased;
    suspended();
    whatever();
    time_is(deadline);
    expect(CORE_ACT_KILL);
    whatever();
}

static void test_a_switchover_starts_livy_in_a_pause(void **state)
{
    (void)state;
    stand_by();
    ordered((struct core_orders){
        .paused = true, .paused_until = CLOCK_NEVER, .epoch = OTHER_EPOCH, .sequence = -1, .begun = true});
    our_turn();
    expect(CORE_ACT_START);
    whatever();
}

static void test_a_switchover_that_is_not_begun_starts_nothing(void **state)
{
    (void)state;
    stand_by();
    ordered((struct core_orders){
        .paused = true, .paused_until = CLOCK_NEVER, .epoch = OTHER_EPOCH, .sequence = -1});
    our_turn(); /* the other one has died before it could begin */
    nothing_else();
    assert_int_equal(core.phase, CORE_PAUSED);
}

/* ---- restart ----------------------------------------------------------------------------------------- */

static void restarts(bool in_a_pause)
{
    active();
    if (in_a_pause)
        paused(CLOCK_NEVER);
    restart();
    assert_true(told(CORE_HIST_RESTART));
    quiesced_and_stopped();
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_false(expect(CORE_ACT_QUIESCE)->on);
    const struct core_action *start = expect(CORE_ACT_START);
    assert_int_equal(start->run, 2);
    assert_int_equal(start->epoch, EPOCH);
    assert_int_equal(deaths_here(), 0);
    whatever();
    livy_runs(2, start->kill_at);
    expect(CORE_ACT_PROBE);
    probed(true);
    nothing_else();
    assert_int_equal(core.phase, CORE_ACTIVE);
}

static void test_restart_keeps_the_latch(void **state)
{
    (void)state;
    restarts(false);
}

static void test_restart_in_a_pause(void **state)
{
    (void)state;
    restarts(true);
    livy_dead(2, IPC_CAUSE_EXITED); /* the command let one start pass */
    nothing_else();
    assert_int_equal(core.phase, CORE_PAUSED);
}

static void test_restart_of_a_standby_is_nothing(void **state)
{
    (void)state;
    stand_by();
    restart();
    nothing_else();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_waits_for_quiet),
        cmocka_unit_test(test_a_stop_waits_no_longer_than_front_drain),
        cmocka_unit_test(test_a_livy_that_does_not_serve_is_stopped_at_once),
        cmocka_unit_test(test_quiesce_ends_with_the_wish),
        cmocka_unit_test(test_livy_may_die_while_its_front_quiesces),
        cmocka_unit_test(test_drain_and_back),
        cmocka_unit_test(test_reasons_not_to_stand_are_counted_apart),
        cmocka_unit_test(test_switchover_without_a_name),
        cmocka_unit_test(test_switchover_waits_for_the_one_that_is_named),
        cmocka_unit_test(test_switchover_of_another_reign),
        cmocka_unit_test(test_the_mark_is_made_again_where_it_was_lost),
        cmocka_unit_test(test_a_standby_before_the_named_one_steps_back),
        cmocka_unit_test(test_the_first_in_the_queue_does_not_step_back),
        cmocka_unit_test(test_the_named_one_says_where_it_stands),
        cmocka_unit_test(test_a_member_that_may_not_stand_says_nothing),
        cmocka_unit_test(test_paused_standby_does_not_start),
        cmocka_unit_test(test_a_pause_ends_by_itself),
        cmocka_unit_test(test_a_livy_that_dies_in_a_pause_stays_dead),
        cmocka_unit_test(test_an_unhealthy_livy_is_left_alone_in_a_pause),
        cmocka_unit_test(test_a_lost_lease_fences_in_a_pause_too),
        cmocka_unit_test(test_a_switchover_starts_livy_in_a_pause),
        cmocka_unit_test(test_a_switchover_that_is_not_begun_starts_nothing),
        cmocka_unit_test(test_restart_keeps_the_latch),
        cmocka_unit_test(test_restart_in_a_pause),
        cmocka_unit_test(test_restart_of_a_standby_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
