/* test_ucore.c - the keeper's decisions about an upgrade, as traces: in which order, and what becomes of it
 * wherever it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "livy-ha/clock.h"
#include "ucore.h"

#define NUMBER 7

struct bed {
    struct ucore u;
    int64_t now, lease_left;
    struct ucore_actions out; /* of the last step */
};

static void happen(struct bed *bed, struct ucore_event event)
{
    event.lease_left = bed->lease_left;
    ucore_step(&bed->u, &event, bed->now, &bed->out);
    assert_true(ucore_next(&bed->u, bed->now) > bed->now);
}

static void pass(struct bed *bed, int64_t ms)
{
    bed->now += ms;
    happen(bed, (struct ucore_event){.type = UCORE_EV_TIME});
}

static void say(struct bed *bed, enum ucore_who who, uint32_t message, const char *text)
{
    happen(bed, (struct ucore_event){.type = UCORE_EV_SAID, .who = who, .message = message, .text = text});
}

static const struct ucore_action *found(const struct bed *bed, enum ucore_action_type type)
{
    for (size_t i = 0; i < bed->out.count; i++)
        if (bed->out.list[i].type == type)
            return &bed->out.list[i];
    return NULL;
}

static bool did(const struct bed *bed, enum ucore_action_type type)
{
    return found(bed, type) != NULL;
}

static void told(const struct bed *bed, enum ipc_answer code, const char *text)
{
    const struct ucore_action *a = found(bed, UCORE_ACT_TELL);

    assert_non_null(a);
    assert_int_equal(a->code, code);
    assert_int_equal(a->number, NUMBER);
    if (strstr(a->text, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, a->text);
}

static void begin(struct bed *bed, bool relay)
{
    *bed = (struct bed){.now = 1000, .lease_left = 6000};
    ucore_init(&bed->u);
    happen(bed, (struct ucore_event){.type = UCORE_EV_BEGIN, .number = NUMBER, .relay = relay});
    assert_true(did(bed, UCORE_ACT_START));
    told(bed, IPC_ANSWER_GOES_ON, "tried");
    assert_true(found(bed, UCORE_ACT_TELL) < found(bed, UCORE_ACT_START)); /* which may fail at once */
}

static void reach(struct bed *bed, enum ucore_state state)
{
    begin(bed, true);
    if (state == UCORE_TRYING)
        return;
    say(bed, UCORE_ELECTOR, IPC_HELLO, "0.2.0");
    assert_false(did(bed, UCORE_ACT_LISTEN)); /* both have to */
    say(bed, UCORE_RELAY, IPC_HELLO, "0.2.0");
    assert_true(did(bed, UCORE_ACT_LISTEN));
    if (state == UCORE_LISTENING)
        return;
    bed->lease_left = state == UCORE_WAITING ? UCORE_LEASE_ROOM - 1 : 6000;
    say(bed, UCORE_RELAY, IPC_READY, "");
    if (state == UCORE_WAITING)
        return;
    assert_true(did(bed, UCORE_ACT_SWAP));
    if (state == UCORE_SWAPPING)
        return;
    happen(bed, (struct ucore_event){.type = UCORE_EV_SWAPPED});
    assert_int_equal(bed->out.count, 0);
    if (state == UCORE_PROVING)
        return;
    happen(bed, (struct ucore_event){.type = UCORE_EV_LOST});
    assert_true(did(bed, UCORE_ACT_REVERT));
}

static void idle_again(struct bed *bed)
{
    assert_int_equal(bed->u.state, UCORE_IDLE);
    assert_int_equal(ucore_next(&bed->u, bed->now), CLOCK_NEVER);
    pass(bed, 100000);
    assert_int_equal(bed->out.count, 0);
}

static void test_it_works(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_PROVING);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_WORKS});
    assert_true(did(&bed, UCORE_ACT_COMMIT));
    assert_false(did(&bed, UCORE_ACT_DROP));
    told(&bed, IPC_ANSWER_DONE, "elector 0.2.0 and relay 0.2.0 run now");
    assert_int_equal(bed.u.state, UCORE_IDLE);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_GONE});
    idle_again(&bed);
}

/* What a relay that hangs would keep from going on is the next upgrade. */
static void test_a_replaced_relay_that_does_not_end(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_PROVING);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_WORKS});
    assert_int_equal(ucore_next(&bed.u, bed.now), bed.now + UCORE_RETIRE_WITHIN);
    pass(&bed, UCORE_RETIRE_WITHIN - 1);
    assert_int_equal(bed.out.count, 0);
    pass(&bed, 1);
    assert_true(did(&bed, UCORE_ACT_CUT));
    happen(&bed, (struct ucore_event){.type = UCORE_EV_TIME});
    assert_int_equal(bed.out.count, 0); /* it is dying */
    pass(&bed, 1000);
    assert_true(did(&bed, UCORE_ACT_CUT));
    happen(&bed, (struct ucore_event){.type = UCORE_EV_GONE});
    idle_again(&bed);
}

static void test_without_a_relay(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed, false);
    say(&bed, UCORE_ELECTOR, IPC_HELLO, "0.2.0");
    assert_true(did(&bed, UCORE_ACT_SWAP));
    assert_false(did(&bed, UCORE_ACT_LISTEN));
    happen(&bed, (struct ucore_event){.type = UCORE_EV_SWAPPED});
    happen(&bed, (struct ucore_event){.type = UCORE_EV_WORKS});
    told(&bed, IPC_ANSWER_DONE, "elector 0.2.0 runs now");
}

/* Wherever it fails before the old elector is touched, both new ones are dropped and nothing else happens. */
static void test_dropped_before_anything_is_touched(void **state)
{
    static const enum ucore_state states[] = {UCORE_TRYING, UCORE_LISTENING, UCORE_WAITING};
    struct bed bed;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (enum ucore_who who = UCORE_ELECTOR; who <= UCORE_RELAY; who++) {
            reach(&bed, states[i]);
            happen(&bed, (struct ucore_event){.type = UCORE_EV_FAILED, .who = who, .text = "is no good"});
            assert_true(did(&bed, UCORE_ACT_DROP));
            assert_false(did(&bed, UCORE_ACT_REVERT) || did(&bed, UCORE_ACT_COMMIT));
            told(&bed, IPC_ANSWER_FAILED, "is no good");
            idle_again(&bed);
        }
        reach(&bed, states[i]);
        say(&bed, UCORE_RELAY, IPC_FATAL, "the configuration is not understood");
        told(&bed, IPC_ANSWER_FAILED, "livy-ha-relay gives up: the configuration is not understood");
        idle_again(&bed);
        reach(&bed, states[i]);
        happen(&bed, (struct ucore_event){.type = UCORE_EV_FORBID, .text = "the daemon is stopping"});
        assert_true(did(&bed, UCORE_ACT_DROP));
        told(&bed, IPC_ANSWER_FAILED, "the daemon is stopping");
        idle_again(&bed);
    }
}

static void test_time_outs(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_TRYING);
    say(&bed, UCORE_ELECTOR, IPC_HELLO, "0.2.0");
    pass(&bed, UCORE_TRY_WITHIN - 1);
    assert_int_equal(bed.out.count, 0);
    pass(&bed, 1);
    told(&bed, IPC_ANSWER_FAILED, "elector and relay stay as they were");
    idle_again(&bed);
    reach(&bed, UCORE_LISTENING);
    pass(&bed, UCORE_LISTEN_WITHIN);
    told(&bed, IPC_ANSWER_FAILED, "listening sockets");
    idle_again(&bed);
    reach(&bed, UCORE_WAITING);
    pass(&bed, UCORE_WAIT_WITHIN);
    told(&bed, IPC_ANSWER_FAILED, "the lease is short");
    idle_again(&bed);
}

static void test_the_lease_has_to_have_room(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_WAITING);
    for (int i = 0; i < 10; i++) {
        pass(&bed, 50);
        assert_int_equal(bed.out.count, 0);
    }
    bed.lease_left = UCORE_LEASE_ROOM;
    assert_true(ucore_next(&bed.u, bed.now) <= bed.now + 50);
    pass(&bed, 50);
    assert_true(did(&bed, UCORE_ACT_SWAP));
}

/* The new one has half of what the lease leaves: the old one needs the other half. */
static void test_proof_within_half_the_lease(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_SWAPPING);
    bed.lease_left = 3000;
    happen(&bed, (struct ucore_event){.type = UCORE_EV_SWAPPED});
    pass(&bed, 1499);
    assert_int_equal(bed.out.count, 0);
    pass(&bed, 1);
    assert_true(did(&bed, UCORE_ACT_REVERT));
    assert_int_equal(bed.u.state, UCORE_BACK);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_WORKS}); /* said before it was killed */
    assert_int_equal(bed.out.count, 0);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_HELLO});
    told(&bed, IPC_ANSWER_FAILED, "the old ones again");
    idle_again(&bed);
}

static void test_one_that_ends_in_office(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_BACK);
    assert_true(did(&bed, UCORE_ACT_DROP)); /* the relay that was to follow */
    happen(&bed, (struct ucore_event){.type = UCORE_EV_HELLO});
    told(&bed, IPC_ANSWER_FAILED, "ended as soon as it was in office");
    idle_again(&bed);
    reach(&bed, UCORE_BACK);
    pass(&bed, UCORE_BACK_WITHIN); /* the old one does not come back: the outcome is told all the same */
    told(&bed, IPC_ANSWER_FAILED, "the old ones again");
    idle_again(&bed);
}

/* What the one on trial takes for the daemon's end is the end of the trial. */
static void test_one_that_gives_up_in_office(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_PROVING);
    say(&bed, UCORE_ELECTOR, IPC_FATAL, "the root is not mine");
    assert_true(did(&bed, UCORE_ACT_REVERT) && did(&bed, UCORE_ACT_DROP));
    assert_int_equal(bed.u.state, UCORE_BACK);
    say(&bed, UCORE_ELECTOR, IPC_FATAL, "the root is not mine"); /* said again before it was killed */
    assert_int_equal(bed.out.count, 0);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_HELLO});
    told(&bed, IPC_ANSWER_FAILED,
         "the old ones again: the installed livy-ha-elector gives up: the root is not mine");
    idle_again(&bed);
}

/* Between the SIGKILL and the end of the old elector. */
static void test_failing_while_it_is_swapped(void **state)
{
    struct bed bed;

    (void)state;
    reach(&bed, UCORE_SWAPPING);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_FAILED, .who = UCORE_ELECTOR, .text = "was killed"});
    assert_true(did(&bed, UCORE_ACT_REVERT) && did(&bed, UCORE_ACT_DROP));
    happen(&bed, (struct ucore_event){.type = UCORE_EV_SWAPPED}); /* nobody is there to be swapped in */
    assert_int_equal(bed.u.state, UCORE_BACK);
    reach(&bed, UCORE_SWAPPING);
    happen(&bed, (struct ucore_event){.type = UCORE_EV_FORBID, .text = "the daemon is stopping"});
    assert_true(did(&bed, UCORE_ACT_REVERT));
    assert_int_equal(bed.u.state, UCORE_BACK);
}

static void test_one_at_a_time(void **state)
{
    struct bed bed;

    (void)state;
    for (enum ucore_state at = UCORE_TRYING; at <= UCORE_BACK; at++) {
        reach(&bed, at);
        happen(&bed, (struct ucore_event){.type = UCORE_EV_BEGIN, .number = 9});
        assert_int_equal(bed.out.count, 1);
        assert_int_equal(bed.out.list[0].number, 9);
        assert_int_equal(bed.out.list[0].code, IPC_ANSWER_FAILED);
        assert_non_null(strstr(bed.out.list[0].text, "under way"));
        assert_int_equal(bed.u.state, at);
        assert_int_equal(bed.u.number, NUMBER);
    }
}

/* What comes at a time when it means nothing changes nothing. */
static void test_out_of_place(void **state)
{
    static const enum ucore_event_type types[] = {UCORE_EV_SWAPPED, UCORE_EV_LOST,   UCORE_EV_WORKS,
                                                  UCORE_EV_HELLO,   UCORE_EV_FORBID, UCORE_EV_FAILED,
                                                  UCORE_EV_SAID};
    struct bed bed = {.now = 1000, .lease_left = 6000};

    (void)state;
    ucore_init(&bed.u);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        happen(&bed, (struct ucore_event){.type = types[i], .message = IPC_HELLO});
        assert_int_equal(bed.out.count, 0);
        assert_int_equal(bed.u.state, UCORE_IDLE);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(ucore_state_name(UCORE_IDLE), "idle");
    assert_string_equal(ucore_state_name(UCORE_BACK), "back");
    assert_string_equal(ucore_state_name((enum ucore_state)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_works),
        cmocka_unit_test(test_a_replaced_relay_that_does_not_end),
        cmocka_unit_test(test_without_a_relay),
        cmocka_unit_test(test_dropped_before_anything_is_touched),
        cmocka_unit_test(test_time_outs),
        cmocka_unit_test(test_the_lease_has_to_have_room),
        cmocka_unit_test(test_proof_within_half_the_lease),
        cmocka_unit_test(test_one_that_ends_in_office),
        cmocka_unit_test(test_one_that_gives_up_in_office),
        cmocka_unit_test(test_failing_while_it_is_swapped),
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_out_of_place),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
