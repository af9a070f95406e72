/* test_kcore_stop.c - the daemon's end: TERM, a second TERM, FATAL, orphans. */
#include "kcore_fixture.h"

static void exits_with(struct bed *bed, int code)
{
    assert_true(did(bed, KCORE_ACT_EXIT));
    assert_int_equal(found(bed, KCORE_ACT_EXIT)->code, code);
}

static void livy_is_dead(struct bed *bed)
{
    livy_dies(bed, 0);
    lock_is_free(bed);
    assert_int_equal(bed->k.livy, KCORE_NONE);
}

static void orphans(struct bed *bed, int count)
{
    happen(bed, (struct kcore_event){.type = KCORE_EV_ORPHANS, .count = count});
}

static void test_orderly_stop(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    assert_non_null(sent(&bed, IPC_QUIT));
    assert_false(did(&bed, KCORE_ACT_TERM_LIVY)); /* the elector drains first, then orders it */
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    later(&bed, 3000);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 5000});
    assert_true(did(&bed, KCORE_ACT_TERM_LIVY));
    livy_is_dead(&bed);
    assert_non_null(sent(&bed, IPC_LEAVE));
    assert_false(did(&bed, KCORE_ACT_EXIT));
    later(&bed, 50);
    elector_ends(&bed);
    assert_false(did(&bed, KCORE_ACT_SPAWN_ELECTOR));
    exits_with(&bed, 0);
}

static void test_stop_of_a_standby(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    terminate(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    assert_non_null(sent(&bed, IPC_LEAVE));
    elector_ends(&bed);
    exits_with(&bed, 0);
}

static void test_elector_that_never_orders_the_stop(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    int64_t since = bed.now;
    while (!did(&bed, KCORE_ACT_TERM_LIVY)) {
        hear(&bed, (struct ipc_msg){.type = IPC_LEASE, .epoch = EPOCH, .kill_at = bed.now + T - 1500});
        at(&bed, kcore_next(&bed.k, bed.now));
    }
    assert_true(bed.now - since >= 3000 && bed.now - since <= 7000);
    livy_is_dead(&bed);
    since = bed.now;
    while (!did(&bed, KCORE_ACT_KILL_ELECTOR)) {
        if (sent(&bed, IPC_PING) != NULL)
            hear(&bed, (struct ipc_msg){.type = IPC_PONG}); /* it lives, and does not leave */
        at(&bed, kcore_next(&bed.k, bed.now));
    }
    assert_int_equal(bed.now - since, 10000);
    elector_ends(&bed);
    exits_with(&bed, 0);
}

/* The elector dies in the middle of it: a new one closes the session, so that the standby need not wait. */
static void test_elector_dies_while_stopping(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    elector_ends(&bed);
    assert_true(did(&bed, KCORE_ACT_SPAWN_ELECTOR));
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    assert_non_null(sent(&bed, IPC_WELCOME));
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 100});
    livy_is_dead(&bed);
    assert_non_null(sent(&bed, IPC_LEAVE));
    elector_ends(&bed);
    exits_with(&bed, 0);
}

static void test_second_term(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 5000});
    terminate(&bed);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    later(&bed, 3000); /* a JVM with a large heap takes its time to die */
    livy_dies(&bed, 256 + 9);
    lock_is_free(&bed);
    assert_non_null(sent(&bed, IPC_LEAVE));
    assert_false(did(&bed, KCORE_ACT_KILL_ELECTOR)); /* it still gets its second to close the session */
    int64_t since = bed.now;
    while (!did(&bed, KCORE_ACT_KILL_ELECTOR))
        at(&bed, kcore_next(&bed.k, bed.now));
    assert_int_equal(bed.now - since, 1000);
    elector_ends(&bed);
    exits_with(&bed, 0);
}

static void test_second_term_of_a_standby(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    terminate(&bed);
    later(&bed, 10);
    terminate(&bed);
    int64_t since = bed.now;
    while (!did(&bed, KCORE_ACT_KILL_ELECTOR))
        at(&bed, kcore_next(&bed.k, bed.now));
    assert_true(bed.now - since <= 1000);
    elector_ends(&bed);
    exits_with(&bed, 0);
}

static void test_third_term_changes_nothing(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    terminate(&bed);
    struct kcore before = bed.k;
    terminate(&bed);
    assert_memory_equal(&before, &bed.k, sizeof(before));
}

/* ---- FATAL ---- */

static void test_fatal_codes(void **state)
{
    (void)state;
    static const int codes[] = {78, 75, 0};
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct bed bed;
        begin_connected(&bed);
        hear(&bed, (struct ipc_msg){.type = IPC_FATAL, .code = codes[i]});
        assert_non_null(sent(&bed, IPC_QUIT));
        hear(&bed, (struct ipc_msg){.type = IPC_FATAL, .code = 64}); /* the first reason counts */
        hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
        elector_ends(&bed);
        exits_with(&bed, codes[i] != 0 ? codes[i] : 75);
    }
}

/* What is not the elector's to tell: the relay cannot serve. An orderly stop, as above; the elector is told.
 */
static void test_fatal_of_the_glue(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    happen(&bed, (struct kcore_event){.type = KCORE_EV_FATAL, .status = 75});
    assert_non_null(sent(&bed, IPC_QUIT));
    assert_false(did(&bed, KCORE_ACT_KILL_LIVY));
    terminate(&bed);
    terminate(&bed);
    livy_is_dead(&bed);
    elector_ends(&bed);
    exits_with(&bed, 75);
}

/* The signal of a service manager that stops a daemon which is ending already is its first, not its second.
 */
static void test_fatal_then_term(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_FATAL, .code = 78});
    terminate(&bed);
    assert_false(did(&bed, KCORE_ACT_KILL_LIVY));
    assert_false(bed.k.hurried);
    terminate(&bed);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    livy_is_dead(&bed);
    elector_ends(&bed);
    exits_with(&bed, 78);
}

static void test_term_then_fatal(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    terminate(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_FATAL, .code = 75});
    assert_false(bed.k.hurried);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    elector_ends(&bed);
    exits_with(&bed, 75);
}

/* ---- orphans ---- */

static void test_stop_waits_for_orphans(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 100});
    livy_is_dead(&bed);
    assert_non_null(sent(&bed, IPC_LEAVE)); /* the latch does not wait for them */
    orphans(&bed, 2);
    int64_t since = bed.now;
    elector_ends(&bed);
    assert_false(did(&bed, KCORE_ACT_EXIT));
    later(&bed, 1000);
    orphans(&bed, 1);
    at(&bed, since + 59999);
    assert_false(did(&bed, KCORE_ACT_KILL_ORPHANS));
    at(&bed, since + 60000);
    assert_true(did(&bed, KCORE_ACT_KILL_ORPHANS));
    orphans(&bed, 0);
    exits_with(&bed, 0);
}

static void test_orphans_end_by_themselves(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    hear(&bed, (struct ipc_msg){.type = IPC_STOP});
    livy_is_dead(&bed);
    orphans(&bed, 1);
    elector_ends(&bed);
    later(&bed, 500);
    orphans(&bed, 0);
    exits_with(&bed, 0);
}

static void test_second_term_ends_orphans(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    terminate(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    hear(&bed, (struct ipc_msg){.type = IPC_STOP});
    livy_is_dead(&bed);
    orphans(&bed, 1);
    elector_ends(&bed);
    terminate(&bed);
    assert_true(did(&bed, KCORE_ACT_KILL_ORPHANS));
    orphans(&bed, 0);
    exits_with(&bed, 0);
}

/* Livy has died and runs again: what the first one left gets its grace all the same. */
static void test_orphans_while_the_next_livy_runs(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    livy_is_dead(&bed);
    orphans(&bed, 1);
    int64_t since = bed.now;
    hear(&bed, good_start(&bed));
    forks(&bed);
    while (bed.now < since + 60000) {
        hear(&bed, (struct ipc_msg){.type = IPC_LEASE, .epoch = EPOCH, .kill_at = bed.now + T - 1500});
        assert_false(did(&bed, KCORE_ACT_KILL_ORPHANS));
        at(&bed, bed.now + 5000 < since + 60000 ? bed.now + 5000 : since + 60000);
    }
    assert_true(did(&bed, KCORE_ACT_KILL_ORPHANS));
    assert_int_equal(bed.k.livy, KCORE_RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orderly_stop),
        cmocka_unit_test(test_stop_of_a_standby),
        cmocka_unit_test(test_elector_that_never_orders_the_stop),
        cmocka_unit_test(test_elector_dies_while_stopping),
        cmocka_unit_test(test_second_term),
        cmocka_unit_test(test_second_term_of_a_standby),
        cmocka_unit_test(test_third_term_changes_nothing),
        cmocka_unit_test(test_fatal_codes),
        cmocka_unit_test(test_fatal_of_the_glue),
        cmocka_unit_test(test_fatal_then_term),
        cmocka_unit_test(test_term_then_fatal),
        cmocka_unit_test(test_stop_waits_for_orphans),
        cmocka_unit_test(test_orphans_end_by_themselves),
        cmocka_unit_test(test_second_term_ends_orphans),
        cmocka_unit_test(test_orphans_while_the_next_livy_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
