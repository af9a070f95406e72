/* test_core_restart.c - a restart in a pause outlives its elector: what it has stopped is started again, by
 * whoever is first; nothing else is started by it. */
#include "core_fixture.h"

/* Paused, and with Livy of that reign being restarted. */
static void paused_with_restart(int64_t epoch)
{
    event((struct core_event){
        .type = CORE_EV_ORDERS,
        .orders = {.paused = true, .paused_until = CLOCK_NEVER, .sequence = -1, .restart = epoch},
        .text = ""});
}

/* A new elector, with what the one before it has left of itself and of Livy. */
static void taken_up(uint32_t state, uint32_t cause)
{
    struct ipc_livy livy = left_running();

    livy.state = state;
    livy.cause = cause;
    if (state == IPC_LIVY_NONE)
        livy.pid = 0;
    begin_with(&left_behind, &livy);
    whatever();
    connected(SESSION);
    whatever();
    if (state == IPC_LIVY_ALIVE)
        probed(true);
    whatever();
}

static void registered(int64_t restart)
{
    paused_with_restart(restart);
    whatever();
    reply(CORE_REQ_REGISTER, CORE_OK);
    whatever();
}

static void first_with_own_node(void)
{
    owned_by(SESSION, EPOCH);
    whatever();
    if (core.pending[CORE_REQ_LIST] == 0)
        return;
    listed(left_behind.node, NULL);
}

/* What comes of it within some heartbeats: the START, or nothing. */
static struct core_action started;
static bool starts(void)
{
    for (int i = 0; i < 8; i++) {
        for (size_t b = 0; b < CORE_BEATS && !came(CORE_ACT_START); b++) {
            if (core.beats[b].op == 0 || core.beats[b].acked != 0)
                continue;
            whatever();
            beat_answered(core.beats[b].op, CORE_OK);
        }
        whatever();
        for (size_t a = 0; a < out.count; a++)
            if (out.list[a].type == CORE_ACT_START) {
                started = out.list[a];
                return true;
            }
        time_is(core_next(&core, now));
    }
    whatever();
    return false;
}

/* The elector died while Livy was being stopped: the next one has the same reign. */
static void test_stopping_when_the_elector_died(void **state)
{
    (void)state;
    taken_up(IPC_LIVY_STOPPING, IPC_CAUSE_NONE);
    registered(EPOCH);
    first_with_own_node();
    assert_false(starts());
    livy_dead(3, IPC_CAUSE_ORDERED);
    assert_true(starts());
    assert_int_equal(started.epoch, EPOCH);
    assert_int_equal(started.run, 4);
    livy_runs(4, started.kill_at);
    whatever();
    livy_dead(4, IPC_CAUSE_EXITED); /* one start is let pass */
    assert_false(starts());
    assert_int_equal(core.phase, CORE_PAUSED);
}

/* The orders come late: its death was seen before they were known. */
static void test_orders_that_come_late(void **state)
{
    (void)state;
    taken_up(IPC_LIVY_STOPPING, IPC_CAUSE_NONE);
    registered(0);
    first_with_own_node();
    whatever();
    livy_dead(3, IPC_CAUSE_ORDERED);
    assert_false(starts());
    paused_with_restart(EPOCH);
    assert_true(starts());
}

/* A Livy that the restart has not stopped is not stopped by the elector that comes after, and where it dies
 * of itself it stays dead: it is a pause. */
static void test_running_when_the_elector_died(void **state)
{
    (void)state;
    taken_up(IPC_LIVY_ALIVE, IPC_CAUSE_NONE);
    registered(EPOCH);
    first_with_own_node();
    whatever();
    assert_false(starts());
    assert_true(core_livy_alive(&core) && !core.stop_sent);
    livy_dead(3, IPC_CAUSE_EXITED);
    assert_false(starts());
    assert_int_equal(core.phase, CORE_PAUSED);
}

/* In the queue, first, in a reign later than the one that was to have its Livy restarted. */
static bool starts_first_in_a_pause(int64_t restart)
{
    join();
    paused_with_restart(restart);
    listed(own_name(5), NULL);
    nobody_before();
    owned_by(SESSION, EPOCH);
    return starts();
}

static void test_another_reign_starts_it(void **state)
{
    (void)state;
    assert_true(starts_first_in_a_pause(EPOCH - 1));
    assert_int_equal(started.epoch, EPOCH);
}

static void test_nothing_is_started_without_it(void **state)
{
    (void)state;
    assert_false(starts_first_in_a_pause(0));
    assert_int_equal(core.phase, CORE_PAUSED);
}

/* Of a reign that is not over yet: nothing was stopped here for it. */
static void test_the_restart_of_a_later_reign(void **state)
{
    (void)state;
    assert_false(starts_first_in_a_pause(EPOCH + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopping_when_the_elector_died),
        cmocka_unit_test(test_orders_that_come_late),
        cmocka_unit_test(test_running_when_the_elector_died),
        cmocka_unit_test(test_another_reign_starts_it),
        cmocka_unit_test(test_nothing_is_started_without_it),
        cmocka_unit_test(test_the_restart_of_a_later_reign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
