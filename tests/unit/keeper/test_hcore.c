/* test_hcore.c - the keeper's decisions about the Livy that it holds, as traces: when there is one, and when
 * it dies. */
#include "hcore_fixture.h"

/* ---- when there is one --------------------------------------------------------------------------------- */

static void test_cold_has_none_and_says_nothing(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &cold);
    assert_int_equal(bed.out.count, 0);
    assert_true(hcore_next(&bed.h, bed.now) == CLOCK_NEVER);
}

static void test_only_a_standby_has_one(void **state)
{
    static const uint32_t others[] = {IPC_ROLE_JOINING, IPC_ROLE_ACTIVE, IPC_ROLE_DRAINED};
    struct bed bed;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        bed = (struct bed){.now = 1000};
        hcore_init(&bed.h, &hot, "a", bed.now);
        happen(&bed, (struct hcore_event){.type = HCORE_EV_SESSION, .ms = T});
        happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = others[i]});
        pass(&bed, HOUR);
        assert_null(found(&bed, HCORE_ACT_STAMP));
        happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_STANDBY});
        start(&bed);
    }
}

/* The first one in the queue stands by until its lease is proved: nothing is started for that. */
static void test_a_standby_of_a_moment_has_none(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    pass(&bed, 199);
    assert_null(found(&bed, HCORE_ACT_STAMP));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_ACTIVE});
    pass(&bed, HOUR);
    assert_null(found(&bed, HCORE_ACT_STAMP));
}

static void test_none_without_a_session(void **state)
{
    struct bed bed = {.now = 1000};

    (void)state;
    hcore_init(&bed.h, &hot, "a", bed.now);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_STANDBY});
    assert_null(found(&bed, HCORE_ACT_STAMP));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_SESSION, .ms = T});
    start(&bed);
}

static void test_none_beside_a_livy(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &cold);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY, .there = true});
    happen(&bed, (struct hcore_event){.type = HCORE_EV_RELOADED, .config = &hot});
    assert_null(found(&bed, HCORE_ACT_STAMP));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY});
    start(&bed);
}

static void test_a_start_that_is_overtaken(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    happen(&bed,
           (struct hcore_event){.type = HCORE_EV_LIVY, .there = true}); /* while the files are looked at */
    happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = files});
    assert_null(found(&bed, HCORE_ACT_START));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY});
    start(&bed); /* looked at anew */
}

/* The latch is won first, START comes once the gates are passed. */
static void test_it_is_kept_until_it_is_let_go(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_ACTIVE});
    pass(&bed, 10000);
    assert_true(hcore_current(&bed.h));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TAKEN});
    assert_null(found(&bed, HCORE_ACT_KILL));
    assert_told(&bed, IPC_HELD_NONE, "is the active one");
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY, .there = true});
    assert_null(found(&bed, HCORE_ACT_KILL)); /* it is that Livy */
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY});
    pass(&bed, MINUTE);
    assert_null(found(&bed, HCORE_ACT_STAMP)); /* still active: Livy is restarted cold */
}

static void test_a_cold_start_ends_it(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY, .there = true});
    assert_non_null(found(&bed, HCORE_ACT_KILL));
}

static void test_a_session_that_is_lost_does_not_end_it(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_SESSION});
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_JOINING});
    assert_true(hcore_current(&bed.h));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_SESSION, .ms = T});
    assert_true(hcore_current(&bed.h));
    happen(&bed,
           (struct hcore_event){.type = HCORE_EV_SESSION, .ms = T / 2}); /* Livy's own is longer than that */
    assert_ended(&bed, "");
}

static void test_drained_and_stopping(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_DRAINED});
    assert_ended(&bed, "drained");
    exit_with(&bed, 256 + 9);
    pass(&bed, MINUTE);
    assert_null(found(&bed, HCORE_ACT_STAMP));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_STANDBY});
    start(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_QUIT});
    assert_ended(&bed, "stopping");
    exit_with(&bed, 256 + 9);
    pass(&bed, MINUTE);
    assert_null(found(&bed, HCORE_ACT_STAMP));
}

/* ---- when it dies -------------------------------------------------------------------------------------- */

static void test_back_off(void **state)
{
    static const int64_t delays[] = {1, 2, 4, 8, 16, 32, 60, 60};
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        start(&bed);
        exit_with(&bed, 1);
        assert_non_null(found(&bed, HCORE_ACT_WARN));
        assert_told(&bed, IPC_HELD_NONE, "exit status 1 before it stood at the gate");
        assert_true(hcore_next(&bed.h, bed.now) == bed.now + delays[i] * 1000);
        pass(&bed, delays[i] * 1000 - 1);
        assert_null(found(&bed, HCORE_ACT_STAMP));
        pass(&bed, 1);
    }
}

static void test_one_that_stood_long_begins_anew(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    for (int i = 0; i < 4; i++) {
        start(&bed);
        exit_with(&bed, 1);
        pass(&bed, MINUTE);
    }
    start(&bed);
    say(&bed, GATE_READY);
    say(&bed, GATE_LOADED);
    pass(&bed, 2 * MINUTE);
    answer_stamp(&bed);
    exit_with(&bed, 256 + 11);
    assert_told(&bed, IPC_HELD_NONE, "killed by signal 11");
    assert_true(hcore_next(&bed.h, bed.now) == bed.now + 1000);
}

static void test_why_it_could_not_be_run(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    start(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_EXITED, .status = 127, .text = "no such program"});
    assert_told(&bed, IPC_HELD_NONE, "no such program");
    pass(&bed, 1000);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .text = "no such directory"});
    assert_told(&bed, IPC_HELD_NONE, "no such directory");
    pass(&bed, 2000);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = files});
    happen(&bed, (struct hcore_event){.type = HCORE_EV_STARTED, .text = "no more processes"});
    assert_told(&bed, IPC_HELD_NONE, "no more processes");
    pass(&bed, 4000);
    start(&bed);
}

/* SIGPROF: GATE_UNGATED_MS are over. Once the agent has said a word the signal is somebody else's. */
static void test_one_without_its_agent(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    start(&bed);
    say(&bed, GATE_READY);
    exit_with(&bed, 256 + SIGPROF);
    assert_told(&bed, IPC_HELD_NONE, "killed by signal");
    pass(&bed, 1000);
    start(&bed);
    exit_with(&bed, 256 + SIGPROF);
    assert_non_null(found(&bed, HCORE_ACT_ALARM));
    assert_told(&bed, IPC_HELD_NONE, "without the agent");
    pass(&bed, 10 * MINUTE);
    assert_null(found(&bed, HCORE_ACT_STAMP));
}

/* What it says once it is Livy is heard all the same. */
static void test_one_that_was_let_go_and_cannot_be_held(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    start(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TAKEN});
    assert_non_null(found(&bed, HCORE_ACT_STAMP)); /* whether it serves what the files say, and … */
    answer_stamp(&bed);
    assert_null(
        found(&bed, HCORE_ACT_START)); /* … no next one: this is Livy, though we are called a standby */
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY, .there = true});
    happen(&bed, (struct hcore_event){.type = HCORE_EV_UNFIT, .text = "another Livy"});
    assert_non_null(found(&bed, HCORE_ACT_ALARM));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY});
    assert_told(&bed, IPC_HELD_NONE, "another Livy");
    pass(&bed, 24 * HOUR);
    assert_null(found(&bed, HCORE_ACT_STAMP));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_RELOADED, .config = &hot});
    start(&bed);
}

static void test_refused_until_a_reload(void **state)
{
    struct bed bed;

    (void)state;
    for (int i = 0; i < 3; i++) {
        stand(&bed, &hot);
        start(&bed);
        if (i == 0)
            say(&bed, GATE_REFUSED);
        else if (i == 1)
            exit_with(&bed, GATE_EXIT_REFUSED); /* it could say nothing */
        else
            happen(&bed, (struct hcore_event){.type = HCORE_EV_BREACH, .text = "it says"});
        assert_non_null(found(&bed, HCORE_ACT_ALARM));
        if (i != 1)
            exit_with(&bed, 256 + 9);
        assert_told(&bed, IPC_HELD_NONE, i == 1 ? "exit status 93" : "it says");
        pass(&bed, 24 * HOUR);
        assert_null(found(&bed, HCORE_ACT_STAMP));
        happen(&bed, (struct hcore_event){.type = HCORE_EV_RELOADED, .config = &hot});
        start(&bed);
    }
}

static void test_one_that_never_comes_to_the_gate(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    start(&bed);
    pass(&bed, 5 * MINUTE - 1);
    answer_stamp(&bed);
    assert_true(hcore_current(&bed.h));
    pass(&bed, 1);
    assert_ended(&bed, "did not come to the gate");
    exit_with(&bed, 256 + 9);
    pass(&bed, 1000);
    start(&bed);
}

static void test_nonsense_ends_it(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    say(&bed, GATE_OPENED); /* nobody has let it go */
    assert_ended(&bed, "no business");
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_GARBLED});
    assert_ended(&bed, "cannot be");
}

/* ---- looked at from outside ---------------------------------------------------------------------------- */

static void test_it_is_watched(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    start(&bed);
    for (int i = 0; i < 5; i++) { /* without a word of the agent nothing may hold it */
        pass(&bed, 100);
        assert_non_null(found(&bed, HCORE_ACT_CHECK));
        assert_false(found(&bed, HCORE_ACT_CHECK)->gated);
    }
    say(&bed, GATE_READY);
    say(&bed, GATE_LOADED);
    pass(&bed, 100);
    for (int i = 0; i < 5; i++) {
        pass(&bed, 1000);
        assert_non_null(found(&bed, HCORE_ACT_CHECK));
        assert_true(found(&bed, HCORE_ACT_CHECK)->gated);
    }
    happen(&bed, (struct hcore_event){.type = HCORE_EV_BREACH, .text = "it listens"});
    assert_ended(&bed, "it listens");
}

/* What is due is done: time alone does not keep it busy. */
static void assert_rests(const struct bed *bed)
{
    struct bed copy = *bed;
    int64_t next = bed->now;

    for (int i = 0; i < 4 && (next = hcore_next(&copy.h, copy.now)) != CLOCK_NEVER; i++) {
        copy.now = next;
        happen(&copy, (struct hcore_event){.type = HCORE_EV_TIME});
    }
    assert_true(next > bed->now + 4);
}

/* Whatever happens in whatever order: one process at a time, never beside a Livy, never while drained. */
static void test_at_random(void **state)
{
    struct bed bed = {.now = 1000};
    bool process = false, drained = false, livy = false, quit = false;

    (void)state;
    srand(1);
    hcore_init(&bed.h, &hot, "a", bed.now);
    for (int i = 0; i < 200000; i++) {
        int draw = rand() % 100;
        struct hcore_event event = {.type = HCORE_EV_TIME, .config = &hot, .stamp = {.conf = 1, .jars = 1}};
        bed.now += rand() % 1000;
        if (draw < 10)
            event = (struct hcore_event){.type = HCORE_EV_ROLE, .role = (uint32_t)(rand() % 4)};
        else if (draw < 15)
            event = (struct hcore_event){.type = HCORE_EV_SESSION, .ms = (int64_t)(rand() % 2) * T};
        else if (draw < 20)
            event = (struct hcore_event){.type = HCORE_EV_LIVY, .there = rand() % 3 == 0};
        else if (draw < 40)
            event = (struct hcore_event){
                .type = HCORE_EV_STAMPED, .stamp = event.stamp, .text = rand() % 8 == 0 ? "no answer" : NULL};
        else if (draw < 60)
            event =
                (struct hcore_event){.type = HCORE_EV_SAID, .message = (uint32_t)(rand() % 12), .text = "x"};
        else if (draw < 65 && process)
            event = (struct hcore_event){.type = HCORE_EV_EXITED, .status = rand() % 300, .text = ""};
        else if (draw < 66)
            event.type = HCORE_EV_RELOADED;
        else if (draw < 67 && hcore_current(&bed.h))
            event.type = HCORE_EV_TAKEN;
        else if (draw < 68)
            event = (struct hcore_event){.type = HCORE_EV_BREACH, .text = "x"};
        else if (draw < 72)
            event.type = draw < 70 ? HCORE_EV_TURN : HCORE_EV_LOOK;
        event.stamp.conf += (uint64_t)(rand() % 8 == 0);
        if (i == 199000)
            event.type = HCORE_EV_QUIT;
        quit |= event.type == HCORE_EV_QUIT;
        if (event.type == HCORE_EV_ROLE)
            drained = event.role == IPC_ROLE_DRAINED;
        if (event.type == HCORE_EV_LIVY)
            livy = event.there;
        if (event.type == HCORE_EV_EXITED || event.type == HCORE_EV_TAKEN)
            process = false;
        happen(&bed, event);
        if (found(&bed, HCORE_ACT_START)) {
            assert_false(process || drained || livy || quit);
            process = rand() % 4 != 0;
            happen(&bed,
                   (struct hcore_event){.type = HCORE_EV_STARTED, .pid = process ? 7 : 0, .text = "no"});
        }
        if (hcore_current(&bed.h))
            assert_true(process && !drained && !livy && !quit);
        if (i % 16 == 0)
            assert_rests(&bed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cold_has_none_and_says_nothing),
        cmocka_unit_test(test_only_a_standby_has_one),
        cmocka_unit_test(test_a_standby_of_a_moment_has_none),
        cmocka_unit_test(test_none_without_a_session),
        cmocka_unit_test(test_none_beside_a_livy),
        cmocka_unit_test(test_a_start_that_is_overtaken),
        cmocka_unit_test(test_it_is_kept_until_it_is_let_go),
        cmocka_unit_test(test_a_cold_start_ends_it),
        cmocka_unit_test(test_a_session_that_is_lost_does_not_end_it),
        cmocka_unit_test(test_drained_and_stopping),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_one_that_stood_long_begins_anew),
        cmocka_unit_test(test_why_it_could_not_be_run),
        cmocka_unit_test(test_one_that_was_let_go_and_cannot_be_held),
        cmocka_unit_test(test_refused_until_a_reload),
        cmocka_unit_test(test_one_without_its_agent),
        cmocka_unit_test(test_one_that_never_comes_to_the_gate),
        cmocka_unit_test(test_nonsense_ends_it),
        cmocka_unit_test(test_it_is_watched),
        cmocka_unit_test(test_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
