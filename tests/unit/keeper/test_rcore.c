/* test_rcore.c - the keeper's decisions about the relay, as traces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "livy-ha/clock.h"
#include "rcore.h"

struct bed {
    struct rcore r;
    int64_t now;
    struct rcore_actions out; /* of the last step */
};

static void happen(struct bed *bed, struct rcore_event event)
{
    rcore_step(&bed->r, &event, bed->now, &bed->out);
    assert_true(rcore_next(&bed->r, bed->now) > bed->now);
}

static void pass(struct bed *bed, int64_t ms)
{
    bed->now += ms;
    happen(bed, (struct rcore_event){.type = RCORE_EV_TIME});
}

static void say(struct bed *bed, uint32_t message)
{
    happen(bed, (struct rcore_event){.type = RCORE_EV_SAID, .message = message});
}

static void say_fatal(struct bed *bed, int code)
{
    happen(bed, (struct rcore_event){
                    .type = RCORE_EV_SAID, .message = IPC_FATAL, .code = code, .text = "the port is taken"});
}

static const struct rcore_action *found(const struct bed *bed, enum rcore_action_type type)
{
    for (size_t i = 0; i < bed->out.count; i++)
        if (bed->out.list[i].type == type)
            return &bed->out.list[i];
    return NULL;
}

static void begin(struct bed *bed)
{
    *bed = (struct bed){.now = 1000};
    rcore_init(&bed->r, true, bed->now);
    pass(bed, 0);
    assert_non_null(found(bed, RCORE_ACT_SPAWN));
}

static void begin_up(struct bed *bed)
{
    begin(bed);
    say(bed, IPC_HELLO);
    say(bed, IPC_READY);
    assert_non_null(found(bed, RCORE_ACT_READY));
}

static void test_not_wanted_is_never_started(void **state)
{
    struct bed bed = {.now = 1000};

    (void)state;
    rcore_init(&bed.r, false, bed.now);
    assert_true(bed.r.up);
    assert_true(rcore_next(&bed.r, bed.now) == CLOCK_NEVER);
    rcore_step(&bed.r, &(struct rcore_event){.type = RCORE_EV_TIME}, bed.now + 100000, &bed.out);
    assert_int_equal(bed.out.count, 0);
}

static void test_ready_is_told_once(void **state)
{
    struct bed bed;

    (void)state;
    begin_up(&bed);
    happen(&bed, (struct rcore_event){.type = RCORE_EV_EXITED});
    assert_non_null(found(&bed, RCORE_ACT_SPAWN)); /* the first time at once */
    say(&bed, IPC_HELLO);
    say(&bed, IPC_READY);
    assert_null(found(&bed, RCORE_ACT_READY));
}

static void test_the_daemon_does_not_wait_for_ever(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed);
    say(&bed, IPC_HELLO);
    pass(&bed, RCORE_READY_WITHIN - 1);
    assert_null(found(&bed, RCORE_ACT_READY));
    pass(&bed, 1);
    assert_non_null(found(&bed, RCORE_ACT_READY));
    assert_string_not_equal(found(&bed, RCORE_ACT_READY)->text, "");
}

/* 0, 100, 500, 1000, 2000, then 5000 ms for ever. */
static void test_the_delay_grows(void **state)
{
    static const int64_t delays[] = {0, 100, 500, 1000, 2000, 5000, 5000, 5000};
    struct bed bed;

    (void)state;
    begin_up(&bed);
    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        happen(&bed, (struct rcore_event){.type = RCORE_EV_EXITED});
        if (delays[i] > 0) {
            assert_null(found(&bed, RCORE_ACT_SPAWN));
            assert_int_equal(rcore_next(&bed.r, bed.now), bed.now + delays[i]);
            pass(&bed, delays[i] - 1);
            assert_null(found(&bed, RCORE_ACT_SPAWN));
            pass(&bed, 1);
        }
        assert_non_null(found(&bed, RCORE_ACT_SPAWN));
        say(&bed, IPC_HELLO);
        assert_null(found(&bed, RCORE_ACT_FATAL)); /* a crash loop of it never ends the daemon */
    }
    pass(&bed, 10000);
    say(&bed, IPC_PONG);
    happen(&bed, (struct rcore_event){.type = RCORE_EV_EXITED}); /* it was steady: counted anew */
    assert_non_null(found(&bed, RCORE_ACT_SPAWN));
}

static void test_a_silent_one_is_killed(void **state)
{
    struct bed bed;

    (void)state;
    begin_up(&bed);
    pass(&bed, 9999);
    assert_int_equal(bed.out.count, 0);
    pass(&bed, 1);
    assert_non_null(found(&bed, RCORE_ACT_PING));
    pass(&bed, 1999);
    assert_int_equal(bed.out.count, 0);
    pass(&bed, 1);
    assert_non_null(found(&bed, RCORE_ACT_KILL));
    pass(&bed, 60000); /* it takes its time to die: killed once, nothing is started beside it */
    assert_int_equal(bed.out.count, 0);
    happen(&bed, (struct rcore_event){.type = RCORE_EV_EXITED});
    assert_non_null(found(&bed, RCORE_ACT_SPAWN));
}

static void test_one_that_answers_lives(void **state)
{
    struct bed bed;

    (void)state;
    begin_up(&bed);
    for (int i = 0; i < 10; i++) {
        pass(&bed, 10000);
        assert_non_null(found(&bed, RCORE_ACT_PING));
        pass(&bed, 1999);
        say(&bed, IPC_PONG);
        assert_null(found(&bed, RCORE_ACT_KILL));
        pass(&bed, 1);
        assert_null(found(&bed, RCORE_ACT_KILL));
        bed.now -= 2000; /* the next PING counts from the last one */
    }
}

static void test_no_hello_is_no_life(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed);
    pass(&bed, 9999);
    assert_null(found(&bed, RCORE_ACT_KILL));
    pass(&bed, 1);
    assert_non_null(found(&bed, RCORE_ACT_KILL));
}

static void test_fatal_at_the_start_ends_the_daemon(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed);
    say(&bed, IPC_HELLO);
    say_fatal(&bed, 75);
    assert_non_null(found(&bed, RCORE_ACT_FATAL));
    assert_int_equal(found(&bed, RCORE_ACT_FATAL)->code, 75);
    assert_string_equal(found(&bed, RCORE_ACT_FATAL)->text, "the port is taken");
    happen(&bed, (struct rcore_event){.type = RCORE_EV_EXITED});
    pass(&bed, 60000);
    assert_int_equal(bed.out.count, 0);
}

static void test_fatal_later_is_logged_and_tried_again(void **state)
{
    struct bed bed;

    (void)state;
    begin_up(&bed);
    say_fatal(&bed, 75);
    assert_null(found(&bed, RCORE_ACT_FATAL));
    assert_non_null(found(&bed, RCORE_ACT_TELL));
    happen(&bed, (struct rcore_event){.type = RCORE_EV_EXITED});
    assert_non_null(found(&bed, RCORE_ACT_SPAWN));
}

static void test_one_that_cannot_be_run_is_an_error_at_the_start(void **state)
{
    struct bed bed;
    int tries = 1;

    (void)state;
    begin(&bed);
    for (; tries < 100; tries++) {
        happen(&bed, (struct rcore_event){.type = RCORE_EV_UNBORN, .text = "not installed"});
        if (found(&bed, RCORE_ACT_FATAL) != NULL)
            break;
        bed.now = rcore_next(&bed.r, bed.now);
        happen(&bed, (struct rcore_event){.type = RCORE_EV_TIME});
        assert_non_null(found(&bed, RCORE_ACT_SPAWN));
    }
    assert_int_equal(tries, 6);
    assert_int_equal(found(&bed, RCORE_ACT_FATAL)->code, 75);
    assert_non_null(strstr(found(&bed, RCORE_ACT_FATAL)->text, "not installed"));
    assert_true(bed.now - bed.r.began < RCORE_READY_WITHIN);
}

/* An upgrade may take the program away for a while. */
static void test_one_that_cannot_be_run_later_is_tried_for_ever(void **state)
{
    struct bed bed;

    (void)state;
    begin_up(&bed);
    happen(&bed, (struct rcore_event){.type = RCORE_EV_EXITED});
    for (int i = 0; i < 50; i++) {
        happen(&bed, (struct rcore_event){.type = RCORE_EV_UNBORN, .text = "not installed"});
        assert_null(found(&bed, RCORE_ACT_FATAL));
        bed.now = rcore_next(&bed.r, bed.now);
        happen(&bed, (struct rcore_event){.type = RCORE_EV_TIME});
        assert_non_null(found(&bed, RCORE_ACT_SPAWN));
    }
}

static void test_what_it_must_not_say_kills_it(void **state)
{
    struct bed bed;

    (void)state;
    begin_up(&bed);
    happen(&bed, (struct rcore_event){.type = RCORE_EV_GARBLED, .text = "a message of it is not one"});
    assert_non_null(found(&bed, RCORE_ACT_KILL));
    happen(&bed, (struct rcore_event){.type = RCORE_EV_GARBLED, .text = "a message of it is not one"});
    assert_null(found(&bed, RCORE_ACT_KILL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_wanted_is_never_started),
        cmocka_unit_test(test_ready_is_told_once),
        cmocka_unit_test(test_the_daemon_does_not_wait_for_ever),
        cmocka_unit_test(test_the_delay_grows),
        cmocka_unit_test(test_a_silent_one_is_killed),
        cmocka_unit_test(test_one_that_answers_lives),
        cmocka_unit_test(test_no_hello_is_no_life),
        cmocka_unit_test(test_fatal_at_the_start_ends_the_daemon),
        cmocka_unit_test(test_fatal_later_is_logged_and_tried_again),
        cmocka_unit_test(test_one_that_cannot_be_run_is_an_error_at_the_start),
        cmocka_unit_test(test_one_that_cannot_be_run_later_is_tried_for_ever),
        cmocka_unit_test(test_what_it_must_not_say_kills_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
