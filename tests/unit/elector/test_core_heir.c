/* test_core_heir.c - Livy dies while the member next in the queue holds one at the gate: the latch goes there
 * at once; and when it does not. livy.restarts = 2, livy.restart_window = 10 min.
 */
#include "core_fixture.h"

#define WINDOW 600000
#define OTHER 5 /* another member's number */

/* What members/ and <root>/deaths tell: this core's own deaths, `others` of another member, and who is next
 * with a Livy that is ready (NULL: nobody). */
static void next_is(const char *heir, size_t others)
{
    struct core_death list[CORE_DEATHS];
    size_t n = 0;

    for (size_t i = 0; i < core.backoff.n; i++)
        if (core.backoff.list[i].member == 0)
            list[n++] = core.backoff.list[i];
    for (size_t i = 0; i < others; i++)
        list[n++] = (struct core_death){.at = now, .member = OTHER};
    event((struct core_event){.type = CORE_EV_DEATHS,
                              .deaths = list,
                              .n_deaths = n,
                              .standing = heir != NULL ? UINT64_C(1) << OTHER : 0,
                              .heir = heir,
                              .text = "livy-a, livy-b"});
}

static void paused(bool on)
{
    event((struct core_event){.type = CORE_EV_ORDERS,
                              .orders = {.paused = on, .paused_until = CLOCK_NEVER, .sequence = -1},
                              .text = ""});
}

static void gives_up(void)
{
    const struct core_action *gone = expect(CORE_ACT_DELETE);
    assert_true(gone->in_order);
    nothing_else(); /* no START, that is */
}

static void test_given_up_at_the_first_death(void **state)
{
    (void)state;
    become_active();
    next_is("livy-b", 0);
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_true(told(CORE_HIST_LIVY_DIED));
    gives_up();
    assert_int_equal(core.phase, CORE_RELEASING);
    /* Nobody has tried in vain: nobody is kept from getting it back. */
    for (size_t i = 0; i < core.backoff.n; i++)
        assert_false(core.backoff.list[i].gave_up);
    reply(CORE_REQ_DELETE, CORE_OK);
    assert_true(told(CORE_HIST_RELEASED));
    assert_string_equal(core.livy_reason,
                        "Livy died here (exit status 0): livy-b has one ready, the latch goes there");
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE); /* and queues up anew, to warm one itself */
}

static void test_started_here_where_none_is_ready(void **state)
{
    (void)state;
    become_active();
    next_is("livy-b", 0);
    next_is(NULL, 0); /* it has gone again */
    livy_dead(1, IPC_CAUSE_EXITED);
    expect(CORE_ACT_START);
}

/* One that turns up ready while a start waits is as good. */
static void test_given_up_while_a_start_waits(void **state)
{
    (void)state;
    become_active();
    next_is(NULL, 1);
    livy_dead(1, IPC_CAUSE_EXITED); /* the second one: 1 s */
    assert_true(told(CORE_HIST_LIVY_DIED));
    nothing_else();
    at(now + 300);
    next_is("livy-b", 1);
    gives_up();
}

/* Beyond livy.restarts deaths, of all members, it is not the host's fault: as without hot standbys. */
static void test_kept_once_livy_dies_everywhere(void **state)
{
    (void)state;
    become_active();
    next_is("livy-b", 2);
    livy_dead(1, IPC_CAUSE_EXITED);
    nothing_else();
    assert_int_equal(core.phase, CORE_ACTIVE);
    int64_t died = now;
    assert_int_equal(next_start(now + 60000), died + 2000);
    whatever();
}

static void test_one_that_hangs_is_stopped_first(void **state)
{
    (void)state;
    become_active();
    next_is("livy-b", 0);
    probed(false);
    probed(false);
    probed(false);
    expect(CORE_ACT_STOP);
    whatever();
    livy_stopping(1, IPC_CAUSE_ORDERED);
    assert_false(came(CORE_ACT_DELETE));
    whatever();
    livy_dead(1, IPC_CAUSE_ORDERED);
    gives_up();
}

static void test_given_up_after_a_lease_that_ran_out(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    next_is("livy-b", 0);
    at(101500 + LEASE);
    livy_stopping(1, IPC_CAUSE_DEADLINE);
    whatever();
    at(now + 300);
    livy_dead(1, IPC_CAUSE_DEADLINE);
    assert_true(told(CORE_HIST_FENCED));
    gives_up();
}

/* First again, once the one that had it is gone in its turn; Livy's run `run` serves. */
static void elected_again(uint32_t run, int sequence)
{
    reply(CORE_REQ_DELETE, CORE_OK);
    whatever();
    created(sequence);
    whatever();
    owned_by(SESSION, EPOCH + sequence);
    whatever();
    listed(own_name(sequence), NULL);
    whatever();
    if (core.pending[CORE_REQ_HANDOVER] != 0)
        left(CORE_LEFT_IN_ORDER);
    whatever();
    livy_answers = true;
    if (core.start_run == 0)
        (void)next_start(now + 20000);
    whatever();
    assert_int_equal(core.start_run, run);
    if (core.pending[CORE_REQ_TENURE] != 0)
        reply(CORE_REQ_TENURE, CORE_OK);
    livy_runs(run, core.kill_at);
    whatever();
    leased(core.kill_at);
    whatever();
    probed(true);
    whatever();
}

/* A lease that runs out again and again under a Livy that takes all of its host, say: no crash, however
 * often. It does not go round and round. */
static void test_no_end_without_a_crash_moves_it_for_ever(void **state)
{
    (void)state;
    become_active();
    for (uint32_t run = 1; run <= 3; run++) {
        next_is("livy-b", 0);
        whatever();
        livy_dead(run, IPC_CAUSE_DEADLINE);
        assert_int_equal(deaths_here(), 0);
        assert_true(told(CORE_HIST_FENCED));
        if (run == 3)
            break;
        gives_up();
        elected_again(run + 1, 5 + (int)run);
    }
    expect(CORE_ACT_START); /* livy.restarts times within the window; then it stays */
    whatever();
    livy_runs(4, core.kill_at);
    whatever();
    now = core.backoff.left_since + WINDOW;
    core.kill_at = now + 5000; /* all was well meanwhile */
    livy_dead(4, IPC_CAUSE_DEADLINE);
    assert_true(came(CORE_ACT_DELETE));
    whatever();
}

/* What the others said before a break is no news after it. */
static void test_forgotten_with_the_connection(void **state)
{
    (void)state;
    become_active();
    all_is_well(103000);
    next_is("livy-b", 0);
    suspended();
    at(104000);
    connected(SESSION);
    whatever();
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_false(came(CORE_ACT_DELETE));
    whatever();
    assert_true(core.leading);
    next_is("livy-b", 0);
    gives_up();
}

/* Whoever is elected starts its own, whatever the others have. */
static void test_not_given_up_without_a_death(void **state)
{
    (void)state;
    become_standby();
    next_is("livy-c", 1);
    event((struct core_event){.type = CORE_EV_PRED_CHANGED});
    expect(CORE_ACT_LIST);
    listed(own_name(5), NULL);
    expect(CORE_ACT_HANDOVER);
    left(CORE_LEFT_IN_ORDER);
    expect(CORE_ACT_START);
    whatever();
}

/* A keeper that refuses a START has run nothing: nothing has died a second time. */
static void test_not_given_up_for_a_start_that_was_refused(void **state)
{
    (void)state;
    become_active();
    livy_dead(1, IPC_CAUSE_EXITED);
    expect(CORE_ACT_START);
    whatever();
    next_is("livy-b", 0);
    event((struct core_event){
        .type = CORE_EV_LIVY, .livy = livy_is(IPC_LIVY_NONE, 1, IPC_CAUSE_REFUSED, 0), .text = "it is late"});
    assert_false(came(CORE_ACT_DELETE));
    nothing_else();
}

static void test_a_restart_by_command_keeps_the_latch(void **state)
{
    (void)state;
    become_active();
    next_is("livy-b", 0);
    event((struct core_event){.type = CORE_EV_RESTART, .text = "restart, asked on livy-a"});
    whatever();
    event((struct core_event){.type = CORE_EV_QUIET});
    assert_true(core.stop_sent);
    whatever();
    livy_stopping(1, IPC_CAUSE_ORDERED);
    whatever();
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_true(came(CORE_ACT_START));
    assert_false(came(CORE_ACT_DELETE));
    whatever();
}

static void test_a_pause_keeps_the_latch(void **state)
{
    (void)state;
    become_active();
    next_is("livy-b", 0);
    paused(true);
    whatever();
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_true(told(CORE_HIST_LIVY_DIED));
    nothing_else();
    assert_int_equal(core.phase, CORE_PAUSED);
    paused(false);
    gives_up();
}

/* Somebody asks for it in the pause: here, then. */
static void test_a_restart_in_a_pause_keeps_the_latch(void **state)
{
    (void)state;
    become_active();
    next_is("livy-b", 0);
    paused(true);
    whatever();
    livy_dead(1, IPC_CAUSE_EXITED);
    nothing_else();
    event((struct core_event){.type = CORE_EV_RESTART, .text = "restart, asked on livy-a"});
    expect(CORE_ACT_START);
    whatever();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_up_at_the_first_death),
        cmocka_unit_test(test_started_here_where_none_is_ready),
        cmocka_unit_test(test_given_up_while_a_start_waits),
        cmocka_unit_test(test_kept_once_livy_dies_everywhere),
        cmocka_unit_test(test_one_that_hangs_is_stopped_first),
        cmocka_unit_test(test_given_up_after_a_lease_that_ran_out),
        cmocka_unit_test(test_no_end_without_a_crash_moves_it_for_ever),
        cmocka_unit_test(test_forgotten_with_the_connection),
        cmocka_unit_test(test_not_given_up_without_a_death),
        cmocka_unit_test(test_not_given_up_for_a_start_that_was_refused),
        cmocka_unit_test(test_a_restart_by_command_keeps_the_latch),
        cmocka_unit_test(test_a_pause_keeps_the_latch),
        cmocka_unit_test(test_a_restart_in_a_pause_keeps_the_latch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
