/* test_kcore_fence.c - the keeper's machine and the fence command: one at a time, its time-out, its outcome,
 * and that what has begun is left to end. */
#include "kcore_fixture.h"

static struct ipc_msg order(const struct bed *bed, uint64_t number, const char *id)
{
    struct ipc_msg msg = {.type = IPC_FENCE, .kill_at = bed->now + 5000, .text = "its session ended"};

    msg.fence.number = number;
    msg.fence.member.epoch = 9;
    snprintf(msg.fence.member.id, sizeof(msg.fence.member.id), "%s", id);
    return msg;
}

static void fence_runs(struct bed *bed)
{
    assert_true(did(bed, KCORE_ACT_RUN_FENCE));
    happen(bed, (struct kcore_event){.type = KCORE_EV_FENCE_FORKED, .pid = PID});
}

static void fence_ends(struct bed *bed, int status)
{
    happen(bed, (struct kcore_event){.type = KCORE_EV_FENCE_EXITED, .status = status});
}

static void outcome_is(const struct bed *bed, uint64_t number, uint32_t outcome, int status)
{
    assert_non_null(sent(bed, IPC_FENCED));
    assert_int_equal(bed->k.fence.order.number, number);
    assert_int_equal(bed->k.fence.order.outcome, outcome);
    assert_int_equal(bed->k.fence.order.status, status);
}

static void begin_fencing(struct bed *bed)
{
    begin_connected(bed);
    hear(bed, order(bed, 7, "livy-a"));
    fence_runs(bed);
}

static void refused(const struct bed *bed, uint64_t number, const char *why)
{
    const struct kcore_action *a = found(bed, KCORE_ACT_REFUSE_FENCE);

    assert_non_null(a);
    assert_int_equal(a->number, number);
    assert_non_null(strstr(a->text, why));
    assert_false(did(bed, KCORE_ACT_RUN_FENCE));
}

static void test_outcomes(void **state)
{
    struct bed bed;

    (void)state;
    begin_fencing(&bed);
    fence_ends(&bed, 0);
    outcome_is(&bed, 7, IPC_FENCE_EXITED, 0);
    hear(&bed, order(&bed, 8, "livy-a")); /* another time */
    fence_runs(&bed);
    fence_ends(&bed, 3);
    outcome_is(&bed, 8, IPC_FENCE_EXITED, 3);
    hear(&bed, order(&bed, 9, "livy-a"));
    fence_runs(&bed);
    fence_ends(&bed, 256 + 15);
    outcome_is(&bed, 9, IPC_FENCE_SIGNALLED, 15);
    hear(&bed, order(&bed, 10, "livy-a"));
    happen(&bed, (struct kcore_event){.type = KCORE_EV_FENCE_FORKED, .text = "fork: no"});
    outcome_is(&bed, 10, IPC_FENCE_NOT_RUN, 0);
    assert_string_equal(bed.k.fence.text, "fork: no");
}

static void test_time_out(void **state)
{
    struct bed bed;

    (void)state;
    begin_fencing(&bed);
    later(&bed, 29999);
    assert_false(did(&bed, KCORE_ACT_KILL_FENCE));
    later(&bed, 1);
    assert_true(did(&bed, KCORE_ACT_KILL_FENCE));
    assert_null(sent(&bed, IPC_FENCED)); /* not before it has ended */
    fence_ends(&bed, 256 + 9);
    outcome_is(&bed, 7, IPC_FENCE_TIMED_OUT, 0);
}

static void test_stale_orders(void **state)
{
    struct bed bed;

    (void)state;
    begin_connected(&bed);
    struct ipc_msg msg = order(&bed, 1, "livy-a");
    msg.sent_at = bed.now - 2001;
    hear(&bed, msg);
    refused(&bed, 1, "too old");
    msg = order(&bed, 2, "livy-a");
    msg.kill_at = bed.now;
    hear(&bed, msg);
    refused(&bed, 2, "lease");
    terminate(&bed);
    hear(&bed, order(&bed, 3, "livy-a"));
    refused(&bed, 3, "stopping");
}

static void test_one_at_a_time(void **state)
{
    struct bed bed;

    (void)state;
    begin_fencing(&bed);
    hear(&bed, order(&bed, 8, "livy-b"));
    refused(&bed, 8, "another member");
    fence_ends(&bed, 0);
    outcome_is(&bed, 7, IPC_FENCE_EXITED, 0);
}

/* A new elector wants the same: the one that runs answers it. */
static void test_the_same_member_again(void **state)
{
    struct bed bed;

    (void)state;
    begin_fencing(&bed);
    elector_ends(&bed);
    assert_true(bed.k.fence.running);
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    hear(&bed, session_of(5));
    hear(&bed, order(&bed, 3, "livy-a"));
    assert_false(did(&bed, KCORE_ACT_RUN_FENCE));
    assert_false(did(&bed, KCORE_ACT_REFUSE_FENCE));
    fence_ends(&bed, 0);
    outcome_is(&bed, 3, IPC_FENCE_EXITED, 0);
}

static void stop_while_fencing(struct bed *bed)
{
    begin_fencing(bed);
    terminate(bed);
    hear(bed, (struct ipc_msg){.type = IPC_RELEASING});
    assert_non_null(sent(bed, IPC_LEAVE)); /* the latch is not held up */
    happen(bed, (struct kcore_event){.type = KCORE_EV_ELECTOR_EXITED, .status = 0});
    assert_false(did(bed, KCORE_ACT_EXIT));
}

static void test_the_end_waits_for_it(void **state)
{
    struct bed bed;

    (void)state;
    stop_while_fencing(&bed);
    assert_false(did(&bed, KCORE_ACT_KILL_FENCE));
    fence_ends(&bed, 0);
    assert_true(did(&bed, KCORE_ACT_EXIT));
}

static void test_second_signal_ends_it(void **state)
{
    struct bed bed;

    (void)state;
    stop_while_fencing(&bed);
    terminate(&bed);
    assert_true(did(&bed, KCORE_ACT_KILL_FENCE));
    fence_ends(&bed, 256 + 9);
    assert_true(did(&bed, KCORE_ACT_EXIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outcomes),
        cmocka_unit_test(test_time_out),
        cmocka_unit_test(test_stale_orders),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_the_same_member_again),
        cmocka_unit_test(test_the_end_waits_for_it),
        cmocka_unit_test(test_second_signal_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
