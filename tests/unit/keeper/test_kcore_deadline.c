/* test_kcore_deadline.c - a deadline that is over is never skipped, however it came to be over; and a STOP is
 * always answered, or the elector takes the keeper for stuck.
 */
#include "kcore_fixture.h"

/* The loop asks for the next deadline a little after the step: one that fell due in between must still ring.
 */
static void test_deadline_that_has_passed_is_not_forgotten(void **state)
{
    struct bed bed;

    (void)state;
    begin_running(&bed);
    assert_int_equal(kcore_next(&bed.k, bed.k.kill_at), bed.k.kill_at + 1);
    assert_int_equal(kcore_next(&bed.k, bed.k.kill_at + 500), bed.k.kill_at + 501);
}

static void test_grace_that_has_passed_is_not_forgotten(void **state)
{
    struct bed bed;

    (void)state;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 1000});
    assert_int_equal(kcore_next(&bed.k, bed.k.term_until), bed.k.term_until + 1);
}

static void test_lease_that_is_over_when_it_comes_kills_at_once(void **state)
{
    struct bed bed;

    (void)state;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_LEASE, .epoch = EPOCH, .kill_at = bed.now - 10});
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
}

static void test_fork_that_took_longer_than_the_lease(void **state)
{
    struct bed bed;

    (void)state;
    begin_connected(&bed);
    hear(&bed, good_start(&bed));
    bed.now = bed.k.kill_at + 5;
    forks(&bed);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    assert_non_null(sent(&bed, IPC_LIVY)); /* with the pidfd: the elector guards it as well */
}

/* What a new elector is told of a Livy that its predecessor let die: that it was killed, and when. */
static void test_death_at_the_deadline_is_remembered(void **state)
{
    struct bed bed;
    struct ipc_livy livy;

    (void)state;
    begin_running(&bed);
    int64_t killed = bed.k.kill_at + 7;
    at(&bed, killed);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    later(&bed, 30);
    livy_dies(&bed, 256 + 9);
    lock_is_free(&bed);
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.state, IPC_LIVY_NONE);
    assert_int_equal(livy.cause, IPC_CAUSE_DEADLINE);
    assert_int_equal(livy.kill_at, killed);
}

static void test_every_stop_of_a_livy_is_answered(void **state)
{
    struct bed bed;

    (void)state;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 5000});
    assert_non_null(sent(&bed, IPC_LIVY));
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 4000}); /* sooner */
    assert_non_null(sent(&bed, IPC_LIVY));
    hear(&bed, (struct ipc_msg){.type = IPC_STOP});
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    hear(&bed, (struct ipc_msg){.type = IPC_STOP}); /* it does not die */
    assert_non_null(sent(&bed, IPC_LIVY));
    livy_dies(&bed, 256 + 9);
    lock_is_free(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP}); /* crossed the word of its end */
    assert_null(sent(&bed, IPC_LIVY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline_that_has_passed_is_not_forgotten),
        cmocka_unit_test(test_grace_that_has_passed_is_not_forgotten),
        cmocka_unit_test(test_lease_that_is_over_when_it_comes_kills_at_once),
        cmocka_unit_test(test_fork_that_took_longer_than_the_lease),
        cmocka_unit_test(test_death_at_the_deadline_is_remembered),
        cmocka_unit_test(test_every_stop_of_a_livy_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
