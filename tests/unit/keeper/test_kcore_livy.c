/* test_kcore_livy.c - starting, leasing, ending Livy: the keeper's machine by traces. */
#include "kcore_fixture.h"

/* ---- start ---- */

static void test_start(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    struct ipc_msg msg = good_start(&bed);
    hear(&bed, msg);
    assert_true(did(&bed, KCORE_ACT_FORK_LIVY));
    happen(&bed, (struct kcore_event){.type = KCORE_EV_FORKED, .pid = PID});
    assert_int_equal(bed.k.livy, KCORE_RUNNING);
    assert_non_null(sent(&bed, IPC_LIVY));
    assert_true(sent(&bed, IPC_LIVY)->with_pidfd);
    struct ipc_livy livy;
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.state, IPC_LIVY_ALIVE);
    assert_int_equal(livy.run, 1);
    assert_int_equal(livy.pid, PID);
    assert_int_equal(livy.epoch, EPOCH);
    assert_int_equal(livy.kill_at, msg.kill_at);
    assert_int_equal(livy.started_at, bed.now);
    assert_int_equal(kcore_next(&bed.k, bed.now), msg.kill_at);
}

static void refused(struct bed *bed, struct ipc_msg msg, bool superseded, const char *why)
{
    if (msg.sent_at == 0)
        msg.sent_at = bed->now;
    happen(bed, (struct kcore_event){.type = KCORE_EV_MESSAGE, .msg = &msg, .superseded = superseded});
    assert_false(did(bed, KCORE_ACT_FORK_LIVY));
    assert_non_null(sent(bed, IPC_LIVY));
    assert_int_equal(cause(bed), IPC_CAUSE_REFUSED);
    assert_non_null(strstr(bed->k.text, why));
}

static void test_start_refused(void **state)
{
    (void)state;
    struct bed bed;
    struct ipc_msg msg;

    begin_connected(&bed);
    refused(&bed, good_start(&bed), true, "overtaken");
    msg = good_start(&bed);
    msg.run++;
    refused(&bed, msg, false, "not the start after the last one");
    msg = good_start(&bed);
    msg.epoch = 0;
    refused(&bed, msg, false, "no session");
    msg = good_start(&bed);
    msg.sent_at = bed.now - 2001;
    refused(&bed, msg, false, "too old");
    msg = good_start(&bed);
    msg.sent_at = bed.now + 1;
    refused(&bed, msg, false, "too old");
    msg = good_start(&bed);
    msg.kill_at = bed.now + 99;
    refused(&bed, msg, false, "lease is over");
    msg = good_start(&bed);
    msg.kill_at = 0;
    refused(&bed, msg, false, "lease is over");
    msg = good_start(&bed);
    msg.kill_at = bed.now + T + 1;
    refused(&bed, msg, false, "longer than the session");

    hear(&bed, good_start(&bed)); /* and now all is well */
    forks(&bed);
    refused(&bed, good_start(&bed), false, "not dead yet");
    assert_int_equal(bed.k.livy, KCORE_RUNNING);
}

static uint32_t answer_to(struct bed *bed, uint32_t number)
{
    hear(bed, (struct ipc_msg){.type = IPC_ASK, .run = number});
    assert_non_null(sent(bed, IPC_LIVY));
    assert_int_equal(sent(bed, IPC_LIVY)->answer, number);
    struct ipc_livy livy;
    kcore_livy(&bed->k, &livy);
    return livy.run;
}

/* A START that was lost is not obeyed and not refused: the answer shows that it never came, and the same run
 * may be ordered anew, once. */
static void test_asked_after_a_lost_start(void **state)
{
    struct bed bed;

    (void)state;
    begin_connected(&bed);
    struct ipc_msg first = good_start(&bed);
    first.sent_at = bed.now;
    assert_int_equal(answer_to(&bed, 1), 0);
    assert_false(did(&bed, KCORE_ACT_FORK_LIVY));
    later(&bed, 1000);
    struct ipc_msg again = good_start(&bed);
    hear(&bed, again);
    forks(&bed);
    assert_int_equal(answer_to(&bed, 2), 1);
    hear(&bed, first); /* should the first one turn up after all */
    assert_false(did(&bed, KCORE_ACT_FORK_LIVY));
    livy_dies(&bed, 1);
    lock_is_free(&bed);
    hear(&bed, first);
    assert_false(did(&bed, KCORE_ACT_FORK_LIVY));
    assert_int_equal(cause(&bed), IPC_CAUSE_REFUSED);
}

static void test_start_refused_without_session(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    refused(&bed, good_start(&bed), false, "no session");
}

static void test_start_refused_of_older_epoch(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    livy_dies(&bed, 1);
    lock_is_free(&bed);
    struct ipc_msg msg = good_start(&bed);
    msg.epoch = EPOCH - 1;
    refused(&bed, msg, false, "older");
    hear(&bed, session_of(6)); /* another session: epochs begin anew */
    hear(&bed, msg);
    forks(&bed);
}

static void test_start_refused_while_stopping(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    terminate(&bed);
    refused(&bed, good_start(&bed), false, "stopping");
    begin_connected(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    refused(&bed, good_start(&bed), false, "stopping");
}

static void test_start_that_cannot_fork(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    hear(&bed, good_start(&bed));
    happen(&bed, (struct kcore_event){.type = KCORE_EV_FORKED, .text = "fork: no memory"});
    assert_int_equal(bed.k.livy, KCORE_NONE);
    assert_int_equal(cause(&bed), IPC_CAUSE_NOT_STARTED);
    assert_non_null(sent(&bed, IPC_LIVY));
    assert_string_equal(bed.k.text, "fork: no memory");
}

static void test_start_that_cannot_exec(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    happen(&bed, (struct kcore_event){.type = KCORE_EV_LIVY_EXITED, .status = 127, .text = "x: not there"});
    lock_is_free(&bed);
    assert_int_equal(cause(&bed), IPC_CAUSE_NOT_STARTED);
    assert_string_equal(bed.k.text, "x: not there");
}

static void dies_saying(struct bed *bed, int status, enum livyend_why why, const char *line)
{
    struct livyend end = {.why = why};

    snprintf(end.line, sizeof(end.line), "%s", line);
    happen(bed,
           (struct kcore_event){.type = KCORE_EV_LIVY_EXITED, .status = status, .text = "", .end = &end});
    lock_is_free(bed);
}

static void test_last_words_are_told(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    dies_saying(&bed, 1, LIVYEND_PORT, "java.net.BindException: Address already in use");
    assert_int_equal(cause(&bed), IPC_CAUSE_EXITED);
    assert_int_equal(bed.k.why, LIVYEND_PORT);
    assert_non_null(strstr(bed.k.text, "its port is taken"));
    const struct kcore_action *a = found(&bed, KCORE_ACT_STATE);
    assert_non_null(a);
    assert_non_null(strstr(a->text, "exit status 1: its port is taken"));
    hear(&bed, good_start(&bed));
    forks(&bed);
    assert_int_equal(bed.k.why, LIVYEND_UNKNOWN);
    dies_saying(&bed, 3, LIVYEND_UNKNOWN, "so be it");
    assert_string_equal(bed.k.text, "Livy's last words: so be it");
}

/* Somebody's SIGKILL is none of Livy's doing: what it wrote last says nothing of it, unless that is known. */
static void test_last_words_of_one_that_was_killed(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    dies_saying(&bed, 256 + 9, LIVYEND_UNKNOWN, "INFO x: a request");
    assert_string_equal(bed.k.text, "");
    hear(&bed, good_start(&bed));
    forks(&bed);
    dies_saying(&bed, 256 + 6, LIVYEND_MEMORY, "java.lang.OutOfMemoryError");
    assert_non_null(strstr(bed.k.text, "out of memory"));
    hear(&bed, good_start(&bed));
    forks(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 0, .text = "x"});
    dies_saying(&bed, 256 + 9, LIVYEND_UNKNOWN, "INFO x: a request");
    assert_string_equal(bed.k.text, "");
}

/* Forking took so long that the lease is over by then. */
static void test_deadline_passes_while_forking(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    hear(&bed, good_start(&bed));
    bed.now += T;
    forks(&bed);
    assert_int_equal(bed.k.livy, KCORE_KILLED);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
}

/* ---- the lease ---- */

static void lease(struct bed *bed, int64_t kill_at)
{
    hear(bed, (struct ipc_msg){.type = IPC_LEASE, .epoch = EPOCH, .kill_at = kill_at});
    assert_non_null(sent(bed, IPC_LEASED));
}

static void test_lease_longer_and_shorter(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    int64_t first = bed.k.kill_at;
    later(&bed, 500);
    lease(&bed, first + 500);
    assert_int_equal(kcore_next(&bed.k, bed.now), first + 500);
    lease(&bed, first - 4000);
    assert_int_equal(kcore_next(&bed.k, bed.now), first - 4000);
    at(&bed, first - 4001);
    assert_int_equal(bed.k.livy, KCORE_RUNNING);
    at(&bed, first - 4000);
    assert_int_equal(bed.k.livy, KCORE_KILLED);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    livy_dies(&bed, 256 + 9);
    lock_is_free(&bed);
    assert_int_equal(cause(&bed), IPC_CAUSE_DEADLINE);
}

/* One that ends now or has ended: nothing else would wake the keeper. */
static void test_lease_that_is_over_kills_at_once(void **state)
{
    (void)state;
    static const int64_t ends[] = {0, -1, -5000};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct bed bed;
        begin_running(&bed);
        later(&bed, 100);
        lease(&bed, bed.now + ends[i]);
        assert_int_equal(bed.k.livy, KCORE_KILLED);
        assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    }
}

static void test_lease_that_cannot_be_right(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    int64_t first = bed.k.kill_at;
    lease(&bed, bed.now + T + 1); /* beyond the session */
    assert_int_equal(bed.k.kill_at, first);
    hear(&bed, (struct ipc_msg){.type = IPC_LEASE, .epoch = EPOCH + 1, .kill_at = first + 100});
    assert_int_equal(bed.k.kill_at, first); /* of another latch node */
}

/* The keeper was stopped past the deadline; a renewal waits in the channel. */
static void test_deadline_before_late_renewal(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    int64_t first = bed.k.kill_at;
    bed.now = first + 3000;
    struct ipc_msg msg = {.type = IPC_LEASE, .epoch = EPOCH, .kill_at = first + 5000, .sent_at = first - 10};
    hear(&bed, msg);
    assert_int_equal(bed.k.livy, KCORE_KILLED);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    assert_int_equal(bed.k.kill_at, first);
}

static void test_deadline_while_terminating(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 60000, .text = "stop"});
    assert_true(did(&bed, KCORE_ACT_TERM_LIVY));
    at(&bed, bed.k.kill_at);
    assert_int_equal(bed.k.livy, KCORE_KILLED);
}

/* ---- the end ---- */

static void test_term_then_kill(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    int64_t stop = bed.now + 100;
    later(&bed, 100);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 2000, .text = "asked for"});
    assert_true(did(&bed, KCORE_ACT_TERM_LIVY));
    assert_false(did(&bed, KCORE_ACT_KILL_LIVY));
    assert_string_equal(found(&bed, KCORE_ACT_STATE)->text, "asked for");
    at(&bed, stop + 1999);
    assert_int_equal(bed.k.livy, KCORE_TERMINATING);
    at(&bed, stop + 2000);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    livy_dies(&bed, 256 + 9);
    lock_is_free(&bed);
    assert_int_equal(cause(&bed), IPC_CAUSE_ORDERED);
}

static void test_stop_only_gets_shorter(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 5000});
    int64_t until = bed.k.term_until;
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 60000});
    assert_int_equal(bed.k.term_until, until);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 1000});
    assert_int_equal(bed.k.term_until, bed.now + 1000);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 0});
    assert_int_equal(bed.k.livy, KCORE_KILLED);
}

static void test_stop_with_an_absurd_grace(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = INT64_MAX});
    assert_true(bed.k.term_until > bed.now);
    at(&bed, bed.k.kill_at);
    assert_int_equal(bed.k.livy, KCORE_KILLED);
}

/* SIGKILL is sent again each second: harmless, and the state shows that it hangs. */
static void test_killed_again(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP});
    later(&bed, 999);
    assert_false(did(&bed, KCORE_ACT_KILL_LIVY));
    later(&bed, 1);
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
}

/* Rule 2: dead means reaped, and the lock free. */
/* One that hangs in the kernel: until it is dead nothing is started, the lease means nothing any more, and
 * leave to close the session is not given, not even at an orderly stop. */
static void test_livy_that_cannot_be_killed(void **state)
{
    struct bed bed;
    struct ipc_livy livy;

    (void)state;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP});
    assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.killed, 1);
    hear(&bed, good_start(&bed));
    assert_false(did(&bed, KCORE_ACT_FORK_LIVY));
    assert_int_equal(cause(&bed), IPC_CAUSE_REFUSED);
    hear(&bed, (struct ipc_msg){.type = IPC_LEASE, .epoch = EPOCH, .kill_at = bed.now + T - 1});
    assert_int_not_equal(bed.k.kill_at, bed.now + T - 1);
    terminate(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    for (int i = 0; i < 100; i++) {
        assert_null(sent(&bed, IPC_LEAVE));
        later(&bed, 1000);
        assert_true(did(&bed, KCORE_ACT_KILL_LIVY));
        assert_false(did(&bed, KCORE_ACT_EXIT) || did(&bed, KCORE_ACT_KILL_ELECTOR));
        hear(&bed, (struct ipc_msg){.type = IPC_PONG});
    }
    livy_dies(&bed, 256 + 9);
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.killed, 1); /* something may hold its lock still */
    lock_is_free(&bed);
    assert_non_null(sent(&bed, IPC_LEAVE));
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.killed, 0);
}

static void test_reaped_until_the_lock_is_free(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    livy_dies(&bed, 3);
    assert_int_equal(bed.k.livy, KCORE_REAPED);
    assert_true(did(&bed, KCORE_ACT_FREE_LOCK));
    assert_null(sent(&bed, IPC_LIVY));
    struct ipc_livy livy;
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.state, IPC_LIVY_STOPPING);
    refused(&bed, good_start(&bed), false, "not dead yet");

    assert_int_equal(kcore_next(&bed.k, bed.now), bed.now + 5); /* looked at again soon … */
    later(&bed, 5);
    assert_true(did(&bed, KCORE_ACT_FREE_LOCK));
    later(&bed, 2000);
    assert_true(kcore_next(&bed.k, bed.now) >= bed.now + 100); /* … but not for ever: each look reads /proc */
    lock_is_free(&bed);
    assert_int_equal(bed.k.livy, KCORE_NONE);
    assert_non_null(sent(&bed, IPC_LIVY));
}

static void test_deaths_of_its_own(void **state)
{
    (void)state;
    struct bed bed;
    struct ipc_livy livy;

    begin_running(&bed);
    livy_dies(&bed, 3);
    lock_is_free(&bed);
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.cause, IPC_CAUSE_EXITED);
    assert_int_equal(livy.status, 3);
    assert_int_equal(livy.kill_at, 0);
    assert_int_equal(livy.pid, 0);

    hear(&bed, good_start(&bed));
    forks(&bed);
    livy_dies(&bed, 256 + 11);
    lock_is_free(&bed);
    kcore_livy(&bed.k, &livy);
    assert_int_equal(livy.cause, IPC_CAUSE_SIGNALLED);
    assert_int_equal(livy.status, 11);
    assert_int_equal(livy.run, 2);
}

/* ---- leaving ---- */

static void test_leave_only_after_death(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    assert_null(sent(&bed, IPC_LEAVE));
    assert_false(did(&bed, KCORE_ACT_FORGET));
    hear(&bed, (struct ipc_msg){.type = IPC_STOP});
    assert_null(sent(&bed, IPC_LEAVE));
    livy_dies(&bed, 256 + 9);
    assert_null(sent(&bed, IPC_LEAVE));
    assert_true(bed.k.has_session);
    lock_is_free(&bed);
    assert_non_null(sent(&bed, IPC_LEAVE));
    assert_true(did(&bed, KCORE_ACT_FORGET));
    assert_false(bed.k.has_session);
}

static void test_leave_at_once_without_livy(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    assert_non_null(sent(&bed, IPC_LEAVE));
    assert_true(did(&bed, KCORE_ACT_FORGET));
}

/* Rule 4: a SESSION that was on its way when LEAVE was said must not come back to life. */
static void test_session_after_leave_is_not_kept(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    hear(&bed, session_of(5));
    assert_false(bed.k.has_session);
    elector_ends(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    assert_false(bed.k.has_session);
    hear(&bed, session_of(6));
    assert_true(bed.k.has_session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_start_refused),
        cmocka_unit_test(test_asked_after_a_lost_start),
        cmocka_unit_test(test_start_refused_without_session),
        cmocka_unit_test(test_start_refused_of_older_epoch),
        cmocka_unit_test(test_start_refused_while_stopping),
        cmocka_unit_test(test_start_that_cannot_fork),
        cmocka_unit_test(test_last_words_are_told),
        cmocka_unit_test(test_last_words_of_one_that_was_killed),
        cmocka_unit_test(test_start_that_cannot_exec),
        cmocka_unit_test(test_deadline_passes_while_forking),
        cmocka_unit_test(test_lease_longer_and_shorter),
        cmocka_unit_test(test_lease_that_is_over_kills_at_once),
        cmocka_unit_test(test_lease_that_cannot_be_right),
        cmocka_unit_test(test_deadline_before_late_renewal),
        cmocka_unit_test(test_deadline_while_terminating),
        cmocka_unit_test(test_term_then_kill),
        cmocka_unit_test(test_stop_only_gets_shorter),
        cmocka_unit_test(test_stop_with_an_absurd_grace),
        cmocka_unit_test(test_killed_again),
        cmocka_unit_test(test_livy_that_cannot_be_killed),
        cmocka_unit_test(test_reaped_until_the_lock_is_free),
        cmocka_unit_test(test_deaths_of_its_own),
        cmocka_unit_test(test_leave_only_after_death),
        cmocka_unit_test(test_leave_at_once_without_livy),
        cmocka_unit_test(test_session_after_leave_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
