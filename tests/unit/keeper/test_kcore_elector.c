/* test_kcore_elector.c - the elector's life as the keeper's machine sees it. */
#include "kcore_fixture.h"

static void respawned(struct bed *bed)
{
    while (!did(bed, KCORE_ACT_SPAWN_ELECTOR))
        at(bed, kcore_next(&bed->k, bed->now));
}

static void test_session_kept_over_a_respawn(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    elector_ends(&bed);
    assert_true(did(&bed, KCORE_ACT_SPAWN_ELECTOR));
    assert_int_equal(bed.k.livy, KCORE_RUNNING);
    assert_true(bed.k.has_session);
    assert_int_equal(bed.k.session.id, 5);
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    assert_non_null(sent(&bed, IPC_WELCOME));
    assert_true(sent(&bed, IPC_WELCOME)->with_pidfd);
}

static void test_welcome_without_livy_has_no_pidfd(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    elector_ends(&bed);
    respawned(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    assert_false(sent(&bed, IPC_WELCOME)->with_pidfd);
}

static void test_nothing_is_told_before_hello(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    elector_ends(&bed);
    livy_dies(&bed, 1);
    assert_null(sent(&bed, IPC_LIVY));
    lock_is_free(&bed);
    assert_null(sent(&bed, IPC_LIVY));
}

/* It hangs: the lease runs out, it is asked, does not answer, is killed, and a new one comes. */
static void test_hung_elector(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    at(&bed, bed.k.kill_at);
    assert_int_equal(bed.k.livy, KCORE_KILLED);
    assert_non_null(sent(&bed, IPC_PING));
    livy_dies(&bed, 256 + 9);
    lock_is_free(&bed);
    int64_t since = bed.now;
    while (!did(&bed, KCORE_ACT_KILL_ELECTOR))
        at(&bed, kcore_next(&bed.k, bed.now));
    assert_true(bed.now - since <= 1000);
    elector_ends(&bed);
    respawned(&bed);
    assert_true(bed.k.has_session);
}

/* Another elector in the place of the one that was killed for it: no delay, no failure to count, the session
 * as it was left. */
static void test_replaced(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    int64_t kill_at = bed.k.kill_at;
    assert_null(kcore_not_replaceable(&bed.k));
    assert_int_equal(kcore_lease_left(&bed.k, bed.now), kill_at - bed.now);
    assert_int_equal(kcore_lease_left(&bed.k, kill_at + 1), 0);
    happen(&bed, (struct kcore_event){.type = KCORE_EV_ELECTOR_REPLACED});
    assert_int_equal(bed.out.count, 0);
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    const struct kcore_action *welcome = sent(&bed, IPC_WELCOME);
    assert_non_null(welcome);
    assert_true(welcome->with_pidfd);
    assert_true(bed.k.has_session);
    assert_int_equal(bed.k.kill_at, kill_at);
    elector_ends(&bed); /* it is no good: the next one is started at once */
    assert_true(did(&bed, KCORE_ACT_SPAWN_ELECTOR));
}

/* One that hangs from the start is killed like any other. */
static void test_replaced_by_one_that_hangs(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    happen(&bed, (struct kcore_event){.type = KCORE_EV_ELECTOR_REPLACED});
    while (!did(&bed, KCORE_ACT_KILL_LIVY))
        at(&bed, kcore_next(&bed.k, bed.now));
    while (!did(&bed, KCORE_ACT_KILL_ELECTOR))
        at(&bed, kcore_next(&bed.k, bed.now));
}

static void test_not_replaceable(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    assert_null(kcore_not_replaceable(&bed.k));
    assert_int_equal(kcore_lease_left(&bed.k, bed.now), T); /* no Livy: the session is what is at stake */
    hear(&bed, (struct ipc_msg){.type = IPC_RELEASING});
    /* rule 4: it may close the session at any moment */
    assert_string_equal(kcore_not_replaceable(&bed.k),
                        "the ZooKeeper session is just being closed: try again in a moment");
    begin_running(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_STOP, .grace = 5000});
    assert_string_equal(kcore_not_replaceable(&bed.k),
                        "Livy is just being stopped: try again once that is over");
    begin_running(&bed);
    terminate(&bed);
    assert_string_equal(kcore_not_replaceable(&bed.k), "the daemon is stopping");
    assert_int_equal(kcore_lease_left(&bed.k, bed.now), 0); /* nor by what was decided a moment before */
    begin(&bed);
    assert_int_equal(kcore_lease_left(&bed.k, bed.now), CLOCK_NEVER);
}

/* Whoever waits for the death of one that is not there waits for ever. */
static void test_not_replaceable_between_two(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    elector_ends(&bed);
    assert_true(did(&bed, KCORE_ACT_SPAWN_ELECTOR)); /* at once; the second time in a row it takes a while */
    assert_true(kcore_lease_left(&bed.k, bed.now) > 0);
    elector_ends(&bed);
    assert_false(did(&bed, KCORE_ACT_SPAWN_ELECTOR));
    assert_int_equal(kcore_lease_left(&bed.k, bed.now), 0);
    while (!did(&bed, KCORE_ACT_SPAWN_ELECTOR))
        at(&bed, kcore_next(&bed.k, bed.now));
    assert_int_equal(kcore_lease_left(&bed.k, bed.now), bed.k.kill_at - bed.now);
}

static void test_ping_and_pong(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    at(&bed, kcore_next(&bed.k, bed.now));
    assert_non_null(sent(&bed, IPC_PING));
    later(&bed, 1999);
    hear(&bed, (struct ipc_msg){.type = IPC_PONG});
    assert_true(kcore_next(&bed.k, bed.now) - bed.now > 5000); /* idle: nothing else wakes it */
    at(&bed, kcore_next(&bed.k, bed.now));
    assert_non_null(sent(&bed, IPC_PING));
    later(&bed, 2000);
    assert_true(did(&bed, KCORE_ACT_KILL_ELECTOR));
}

static void test_no_hello_in_time(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    later(&bed, 9999);
    assert_false(did(&bed, KCORE_ACT_KILL_ELECTOR));
    later(&bed, 1);
    assert_true(did(&bed, KCORE_ACT_KILL_ELECTOR));
}

static int64_t delay_of_respawn(struct bed *bed)
{
    int64_t since = bed->now;
    elector_ends(bed);
    respawned(bed);
    hear(bed, (struct ipc_msg){.type = IPC_HELLO});
    return bed->now - since;
}

static void test_back_off(void **state)
{
    (void)state;
    struct bed bed;
    int64_t last = 0;
    begin_connected(&bed);
    assert_int_equal(delay_of_respawn(&bed), 0); /* the first time at once */
    for (int i = 0; i < 10; i++) {
        int64_t delay = delay_of_respawn(&bed);
        assert_true(delay >= last && delay <= 5000);
        last = delay;
    }
    assert_int_equal(last, 5000);
    for (int i = 0; i < 3; i++) { /* it lives for more than ten seconds: the next death is the first again */
        at(&bed, kcore_next(&bed.k, bed.now));
        hear(&bed, (struct ipc_msg){.type = IPC_PONG});
    }
    assert_int_equal(delay_of_respawn(&bed), 0);
}

static void test_short_back_off_while_livy_runs(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    for (int i = 0; i < 10; i++) {
        assert_true(delay_of_respawn(&bed) <= 200); /* nobody renews the lease meanwhile */
        hear(&bed, (struct ipc_msg){.type = IPC_LEASE, .epoch = EPOCH, .kill_at = bed.now + T - 1500});
    }
    assert_int_equal(bed.k.livy, KCORE_RUNNING);
}

/* Not installed, or a library missing: exit 127 each time. */
static void test_elector_that_cannot_be_run(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    int64_t since = bed.now;
    for (int i = 1; i < 6; i++) {
        elector_ends(&bed);
        assert_false(did(&bed, KCORE_ACT_EXIT));
        respawned(&bed);
    }
    elector_ends(&bed);
    assert_true(did(&bed, KCORE_ACT_ALARM));
    assert_true(did(&bed, KCORE_ACT_EXIT));
    assert_int_equal(found(&bed, KCORE_ACT_EXIT)->code, 75);
    assert_true(bed.now - since < 15000);
}

/* The same after an upgrade that went wrong, while Livy runs: it serves until its lease ends, meanwhile what
 * is lacking may come back; the daemon ends once it is dead. */
static void test_elector_that_cannot_be_run_any_more(void **state)
{
    (void)state;
    struct bed bed;
    begin_running(&bed);
    int64_t deadline = bed.k.kill_at;
    elector_ends(&bed);
    while (bed.k.livy == KCORE_RUNNING) {
        assert_true(bed.now < deadline);
        respawned(&bed);
        if (bed.k.livy == KCORE_RUNNING)
            elector_ends(&bed);
        assert_false(did(&bed, KCORE_ACT_ALARM));
        assert_false(did(&bed, KCORE_ACT_TERM_LIVY));
    }
    assert_int_equal(bed.now, deadline);
    livy_dies(&bed, 9);
    lock_is_free(&bed);
    if (!bed.k.elector_alive)
        respawned(&bed);
    elector_ends(&bed);
    assert_true(did(&bed, KCORE_ACT_ALARM));
    assert_true(did(&bed, KCORE_ACT_EXIT));
    assert_int_equal(found(&bed, KCORE_ACT_EXIT)->code, 75);
    assert_false(did(&bed, KCORE_ACT_FORGET)); /* the session file stays for ExecStopPost */
}

static void test_a_hello_counts_anew(void **state)
{
    (void)state;
    struct bed bed;
    begin(&bed);
    for (int round = 0; round < 3; round++) {
        for (int i = 1; i < 6; i++) {
            elector_ends(&bed);
            respawned(&bed);
        }
        hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    }
    assert_false(bed.k.quitting);
}

/* A new one is never spawned while the old one lives: rule 5. */
static void test_one_elector_at_a_time(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    at(&bed, kcore_next(&bed.k, bed.now));
    at(&bed, kcore_next(&bed.k, bed.now));
    assert_true(did(&bed, KCORE_ACT_KILL_ELECTOR));
    for (int i = 0; i < 20; i++) {
        at(&bed, kcore_next(&bed.k, bed.now));
        assert_false(did(&bed, KCORE_ACT_SPAWN_ELECTOR));
    }
    elector_ends(&bed);
    respawned(&bed);
}

static void test_ready_once(void **state)
{
    (void)state;
    struct bed bed;
    begin_connected(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_READY});
    assert_true(did(&bed, KCORE_ACT_READY));
    elector_ends(&bed);
    respawned(&bed);
    hear(&bed, (struct ipc_msg){.type = IPC_HELLO});
    hear(&bed, (struct ipc_msg){.type = IPC_READY});
    assert_false(did(&bed, KCORE_ACT_READY));
}

/* ---- fuzz ---- */

static uint32_t random_state = 1;

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static struct ipc_msg any_message(const struct bed *bed)
{
    static const uint32_t types[] = {IPC_HELLO, IPC_READY,   IPC_START,    IPC_LEASE,  IPC_LEASE,
                                     IPC_STOP,  IPC_SESSION, IPC_PONG,     IPC_STATUS, IPC_START,
                                     IPC_START, IPC_FATAL,   IPC_RELEASING};
    struct ipc_msg msg = {.type = types[draw(sizeof(types) / sizeof(types[0]))]};

    if (msg.type == IPC_FATAL && draw(50) != 0)
        msg.type = IPC_PONG;
    if (msg.type == IPC_RELEASING && draw(4) != 0)
        msg.type = IPC_LEASE;
    msg.epoch = draw(10) == 0 ? draw(200) : bed->k.last_epoch > 0 ? bed->k.last_epoch : EPOCH;
    msg.run = bed->k.run + (draw(10) != 0);
    msg.sent_at = bed->now - (draw(8) == 0 ? draw(5000) : 0);
    msg.kill_at = bed->now + (int64_t)draw(2 * T) - T / 4;
    msg.grace = draw(4) == 0 ? 0 : draw(8000);
    msg.code = (int32_t)draw(80);
    msg.session.id = draw(20) == 0 ? 0 : 5 + draw(2);
    msg.session.timeout = T;
    return msg;
}

/* What the world does: a process ends only if it is there. */
static struct kcore_event any_event(const struct bed *bed, const struct ipc_msg *msg)
{
    const struct kcore *k = &bed->k;

    switch (draw(12)) {
    case 0:
        if (k->elector_alive && draw(10) == 0)
            return (struct kcore_event){.type = KCORE_EV_ELECTOR_EXITED, .status = (int)draw(2)};
        break;
    case 1:
        if (k->livy != KCORE_NONE && k->livy != KCORE_REAPED && draw(3) == 0)
            return (struct kcore_event){
                .type = KCORE_EV_LIVY_EXITED, .status = (int)draw(300), .text = draw(9) ? "" : "no exec"};
        break;
    case 2:
        return (struct kcore_event){.type = KCORE_EV_LOCK_FREE};
    case 3:
        if (draw(300) == 0)
            return (struct kcore_event){.type = KCORE_EV_QUIT};
        break;
    case 4:
        return (struct kcore_event){.type = KCORE_EV_ORPHANS, .count = (int)draw(3)};
    case 5:
    case 6:
        break;
    default:
        if (k->elector_alive)
            return (struct kcore_event){.type = KCORE_EV_MESSAGE, .msg = msg, .superseded = draw(20) == 0};
        break;
    }
    return (struct kcore_event){.type = KCORE_EV_TIME};
}

/* What holds after every step, whatever has happened. */
static void invariants(const struct bed *bed, const struct kcore *before)
{
    const struct kcore *k = &bed->k;
    bool runs = k->livy == KCORE_RUNNING || k->livy == KCORE_TERMINATING;

    assert_true(!runs || bed->now < k->kill_at);                 /* nobody runs past the deadline, */
    assert_true(!runs || kcore_next(k, bed->now) <= k->kill_at); /* and the alarm is set for it */
    assert_true(!did(bed, KCORE_ACT_FORK_LIVY) || before->livy == KCORE_NONE); /* one Livy at a time */
    assert_true(!did(bed, KCORE_ACT_FORK_LIVY) || !before->quitting);
    assert_true(!did(bed, KCORE_ACT_SPAWN_ELECTOR) || !before->elector_alive ||
                !k->elector_said_hello); /* one elector at a time */
    assert_true(sent(bed, IPC_LEAVE) == NULL || (k->livy == KCORE_NONE && !k->has_session));
    assert_true(!k->left || !k->has_session);
    if (did(bed, KCORE_ACT_EXIT))
        assert_true(k->quitting && k->livy == KCORE_NONE && !k->elector_alive && k->orphans == 0);
    if (k->orphans > 0 && !k->exited)
        assert_true(kcore_next(k, bed->now) <= k->orphans_until);
    assert_true(bed->out.count <= KCORE_MAX_ACTIONS);
}

static void test_random_events(void **state)
{
    (void)state;
    struct bed bed;
    unsigned exits = 0, starts = 0, deadlines = 0;

    begin(&bed);
    for (int i = 0; i < 200000; i++) {
        struct kcore before = bed.k;
        struct ipc_msg msg = any_message(&bed);
        struct kcore_event event = any_event(&bed, &msg);
        int64_t next = kcore_next(&bed.k, bed.now);
        int64_t jump = draw(3) == 0 ? (int64_t)draw(2000) : 0;
        bed.now = draw(3) == 0 && next != CLOCK_NEVER ? next : bed.now + jump;
        happen(&bed, event);
        invariants(&bed, &before);
        deadlines += before.livy == KCORE_RUNNING && bed.k.livy == KCORE_KILLED;
        if (did(&bed, KCORE_ACT_FORK_LIVY)) {
            starts++;
            bed.now += draw(20) == 0 ? T : draw(50);
            before = bed.k;
            happen(&bed, (struct kcore_event){
                             .type = KCORE_EV_FORKED, .pid = draw(10) != 0 ? PID : 0, .text = "no"});
            invariants(&bed, &before);
        }
        if (bed.k.exited) {
            exits++;
            begin(&bed);
        }
    }
    assert_true(exits > 20 && starts > 1000 && deadlines > 1000); /* else the fuzzing reaches nothing */
}

/* Whatever happened before: once it is told to stop, and the processes obey signals, it comes to its end. */
static void test_it_always_ends(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct bed bed;
        begin(&bed);
        for (int i = 0; i < 200 && !bed.k.exited; i++) {
            struct ipc_msg msg = any_message(&bed);
            struct kcore_event event = any_event(&bed, &msg);
            bed.now += draw(100);
            happen(&bed, event);
            if (did(&bed, KCORE_ACT_FORK_LIVY))
                happen(&bed, (struct kcore_event){.type = KCORE_EV_FORKED, .pid = PID});
        }
        if (!bed.k.exited)
            terminate(&bed);
        int64_t since = bed.now;
        for (int i = 0; i < 1000 && !bed.k.exited; i++) {
            if (bed.k.livy == KCORE_KILLED)
                livy_dies(&bed, 256 + 9);
            else if (bed.k.livy == KCORE_REAPED)
                lock_is_free(&bed);
            else if (did(&bed, KCORE_ACT_KILL_ELECTOR))
                elector_ends(&bed);
            else if (did(&bed, KCORE_ACT_KILL_ORPHANS))
                happen(&bed, (struct kcore_event){.type = KCORE_EV_ORPHANS, .count = 0});
            else
                at(&bed, kcore_next(&bed.k, bed.now));
        }
        assert_true(bed.k.exited);
        assert_true(bed.now - since < 3000 + 3000 + 5000 + 60000 + 10000 + 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session_kept_over_a_respawn),
        cmocka_unit_test(test_welcome_without_livy_has_no_pidfd),
        cmocka_unit_test(test_nothing_is_told_before_hello),
        cmocka_unit_test(test_hung_elector),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_replaced_by_one_that_hangs),
        cmocka_unit_test(test_not_replaceable),
        cmocka_unit_test(test_not_replaceable_between_two),
        cmocka_unit_test(test_ping_and_pong),
        cmocka_unit_test(test_no_hello_in_time),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_short_back_off_while_livy_runs),
        cmocka_unit_test(test_elector_that_cannot_be_run),
        cmocka_unit_test(test_elector_that_cannot_be_run_any_more),
        cmocka_unit_test(test_a_hello_counts_anew),
        cmocka_unit_test(test_one_elector_at_a_time),
        cmocka_unit_test(test_ready_once),
        cmocka_unit_test(test_random_events),
        cmocka_unit_test(test_it_always_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
