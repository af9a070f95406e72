/* test_hcore.c - the keeper's decisions about the Livy that it holds, as traces. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hcore.h"
#include "livy-ha/clock.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define T 10000

struct bed {
    struct hcore h;
    int64_t now;
    struct hcore_actions out; /* of the last step */
};

static const struct hcore_config hot = {.wanted = true, .max_age = 8 * HOUR, .start_within = 5 * MINUTE};
static const struct hcore_config cold = {.wanted = false, .max_age = 8 * HOUR, .start_within = 5 * MINUTE};
static const struct hcore_stamp files = {.conf = 1, .jars = 2};

static void happen(struct bed *bed, struct hcore_event event)
{
    hcore_step(&bed->h, &event, bed->now, &bed->out);
    assert_true(hcore_next(&bed->h, bed->now) > bed->now);
}

static void pass(struct bed *bed, int64_t ms)
{
    bed->now += ms;
    happen(bed, (struct hcore_event){.type = HCORE_EV_TIME});
}

/* Nothing has changed. */
static void answer_stamp(struct bed *bed)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = files});
}

static const struct hcore_action *found(const struct bed *bed, enum hcore_action_type type)
{
    for (size_t i = 0; i < bed->out.count; i++)
        if (bed->out.list[i].type == type)
            return &bed->out.list[i];
    return NULL;
}

static void assert_told(const struct bed *bed, int code, const char *text)
{
    const char *told;

    assert_int_equal(hcore_held(&bed->h, &told), code);
    if (strstr(told, text) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", told, text);
    assert_int_equal(bed->h.told, code); /* and the elector knows */
    assert_string_equal(bed->h.told_text, told);
}

static void stand(struct bed *bed, const struct hcore_config *config)
{
    *bed = (struct bed){.now = 1000};
    hcore_init(&bed->h, config, "a", bed->now);
    happen(bed, (struct hcore_event){.type = HCORE_EV_SESSION, .ms = T});
    assert_null(found(bed, HCORE_ACT_STAMP)); /* joining */
    happen(bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_STANDBY});
}

/* From the looking at the files to the start. */
static void start(struct bed *bed)
{
    if (found(bed, HCORE_ACT_STAMP) == NULL)
        pass(bed, 200); /* it has become a standby just now */
    assert_non_null(found(bed, HCORE_ACT_STAMP));
    happen(bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = files});
    assert_non_null(found(bed, HCORE_ACT_START));
    assert_false(hcore_current(&bed->h));
    happen(bed, (struct hcore_event){.type = HCORE_EV_STARTED, .pid = 100});
    assert_true(hcore_current(&bed->h));
    assert_told(bed, IPC_HELD_WARMING, "");
}

static void say(struct bed *bed, uint32_t message)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_SAID, .message = message, .text = "it says"});
}

static void stand_held(struct bed *bed)
{
    stand(bed, &hot);
    start(bed);
    say(bed, GATE_READY);
    say(bed, GATE_HELD);
    assert_told(bed, IPC_HELD_WARMING, "");
    say(bed, GATE_LOADED);
    assert_told(bed, IPC_HELD_READY, "");
}

static void exit_with(struct bed *bed, int status)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_EXITED, .status = status, .text = ""});
}

static void assert_ended(struct bed *bed, const char *why)
{
    assert_non_null(found(bed, HCORE_ACT_KILL));
    assert_false(hcore_current(&bed->h));
    assert_told(bed, IPC_HELD_NONE, why);
}

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

/* ---- when it is not current any more ------------------------------------------------------------------- */

static void looks_changed(struct bed *bed)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = {.conf = 5, .jars = 2}});
}

/* The files are as they are now, for those that are started. */
static void start_anew(struct bed *bed)
{
    exit_with(bed, 256 + 9);
    assert_non_null(found(bed, HCORE_ACT_STAMP)); /* at once */
    looks_changed(bed);
    happen(bed, (struct hcore_event){.type = HCORE_EV_STARTED, .pid = 101});
    assert_told(bed, IPC_HELD_WARMING, "");
}

static void test_age(void **state)
{
    struct bed bed;
    int64_t began;

    (void)state;
    stand_held(&bed);
    began = bed.now;
    while (!hcore_renewing(&bed.h)) {
        bed.now = hcore_next(&bed.h, bed.now);
        happen(&bed, (struct hcore_event){.type = HCORE_EV_TIME});
        if (found(&bed, HCORE_ACT_STAMP))
            answer_stamp(&bed);
    }
    assert_told(&bed, IPC_HELD_READY, "held_max_age"); /* and is, until it is its turn */
    assert_in_range(bed.now - began, 8 * HOUR, 8 * HOUR + MINUTE);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TURN});
    assert_ended(&bed, "held_max_age");
    exit_with(&bed, 256 + 9);
    start(&bed); /* at once */
    assert_true(hcore_renewing(&bed.h));
    say(&bed, GATE_LOADED);
    assert_told(&bed, IPC_HELD_READY, "");
    assert_false(hcore_renewing(&bed.h));
}

/* Two members' do not grow old in the same moment. */
static void test_members_differ(void **state)
{
    struct hcore a, b;

    (void)state;
    hcore_init(&a, &hot, "livy-a.example.com", 0);
    hcore_init(&b, &hot, "livy-b.example.com", 0);
    assert_true(a.draw % 60001 != b.draw % 60001);
}

static void test_changed_files(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TURN}); /* of another time */
    assert_true(hcore_current(&bed.h));
    pass(&bed, 9999);
    assert_null(found(&bed, HCORE_ACT_STAMP));
    pass(&bed, 1);
    assert_non_null(found(&bed, HCORE_ACT_STAMP));
    looks_changed(&bed);
    assert_true(hcore_current(&bed.h)); /* it may be let go where a member fails */
    assert_true(hcore_renewing(&bed.h) && bed.h.changed);
    assert_told(&bed, IPC_HELD_READY, "livy.conf_dir");
    pass(&bed, 10000);
    assert_non_null(found(&bed, HCORE_ACT_STAMP));
    answer_stamp(&bed); /* changed back: it is renewed all the same */
    assert_true(hcore_current(&bed.h) && hcore_renewing(&bed.h));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TURN});
    assert_ended(&bed, "livy.conf_dir");
    assert_true(hcore_renewing(&bed.h));
    start_anew(&bed);
    assert_true(hcore_renewing(&bed.h));
    say(&bed, GATE_LOADED);
    assert_false(hcore_renewing(&bed.h) || bed.h.changed);
}

/* One that is not at the gate yet is of no use to anybody, so nobody loses anything. */
static void test_changed_on_its_way(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    start(&bed);
    pass(&bed, 10000);
    looks_changed(&bed);
    assert_ended(&bed, "livy.conf_dir");
}

/* No word of the elector, or no other member that gets ready. */
static void test_a_turn_that_never_comes(void **state)
{
    static const struct {
        int64_t warm_up, wait;
    } cases[] = {{1000, 120000}, {60000, 180000}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bed bed;
        stand(&bed, &hot);
        start(&bed);
        say(&bed, GATE_READY);
        for (int64_t left = cases[i].warm_up; left > 0; left -= 1000) {
            pass(&bed, 1000);
            if (found(&bed, HCORE_ACT_STAMP))
                answer_stamp(&bed);
        }
        say(&bed, GATE_LOADED);
        pass(&bed, 10000);
        looks_changed(&bed);
        int64_t due = bed.now;
        while (hcore_current(&bed.h)) {
            bed.now = hcore_next(&bed.h, bed.now);
            happen(&bed, (struct hcore_event){.type = HCORE_EV_TIME});
            if (hcore_current(&bed.h) && found(&bed, HCORE_ACT_STAMP))
                looks_changed(&bed);
        }
        assert_int_equal(bed.now - due, cases[i].wait);
        assert_non_null(found(&bed, HCORE_ACT_WARN));
        assert_non_null(strstr(found(&bed, HCORE_ACT_WARN)->text, "no other member's was ready"));
        assert_ended(&bed, "livy.conf_dir");
    }
}

/* The next one dies on its way: the others are told that it is not over. Once this member stands by no more
 * it is. */
static void test_a_renewal_goes_on_until_one_is_ready(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    pass(&bed, 10000);
    looks_changed(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TURN});
    start_anew(&bed);
    exit_with(&bed, 1);
    assert_told(&bed, IPC_HELD_NONE, "exit status 1");
    assert_true(hcore_renewing(&bed.h));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_ACTIVE});
    assert_false(hcore_renewing(&bed.h));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_STANDBY});
    assert_true(hcore_renewing(&bed.h));
    happen(&bed, (struct hcore_event){.type = HCORE_EV_RELOADED, .config = &hot});
    assert_false(hcore_renewing(&bed.h));
}

/* ---- a take-over by plan ------------------------------------------------------------------------------- */

static void ask_to_look(struct bed *bed)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_LOOK});
}

static void test_a_look_that_finds_nothing(void **state)
{
    struct bed bed;

    (void)state;
    stand(&bed, &hot);
    ask_to_look(&bed);
    assert_false(bed.h.looking); /* there is none */
    stand_held(&bed);
    ask_to_look(&bed);
    assert_non_null(found(&bed, HCORE_ACT_STAMP));
    assert_true(bed.h.looking);
    ask_to_look(&bed);
    assert_null(found(&bed, HCORE_ACT_STAMP)); /* one is enough */
    answer_stamp(&bed);
    assert_false(bed.h.looking);
    assert_told(&bed, IPC_HELD_READY, "");
}

/* The next one is under way before Livy elsewhere is stopped. */
static void test_a_look_that_finds_a_change(void **state)
{
    static const struct hcore_stamp news[] = {{.conf = 5, .jars = 2}, {.conf = 1, .jars = 5}};
    struct bed bed;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        stand_held(&bed);
        ask_to_look(&bed);
        happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = news[i]});
        assert_ended(&bed, "have changed");
        assert_false(bed.h.looking);
        start_anew(&bed);
    }
}

static void test_a_look_where_a_change_is_known(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    pass(&bed, 10000);
    looks_changed(&bed);
    assert_true(hcore_current(&bed.h));
    ask_to_look(&bed);
    assert_ended(&bed, "take-over by plan");
}

/* What is being looked at may have been looked at before the change. */
static void test_a_look_during_another_one(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    pass(&bed, 10000);
    assert_non_null(found(&bed, HCORE_ACT_STAMP));
    ask_to_look(&bed);
    assert_null(found(&bed, HCORE_ACT_STAMP));
    answer_stamp(&bed);
    assert_non_null(found(&bed, HCORE_ACT_STAMP));
    assert_true(bed.h.looking);
    looks_changed(&bed);
    assert_ended(&bed, "livy.conf_dir");
}

static void test_a_look_that_fails(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    ask_to_look(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .text = "it does not answer"});
    assert_false(bed.h.looking);
    assert_true(hcore_current(&bed.h));
    assert_non_null(found(&bed, HCORE_ACT_WARN));
    ask_to_look(&bed); /* and is let go before the answer is there */
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TAKEN});
    assert_null(found(&bed, HCORE_ACT_STAMP));
    assert_false(bed.h.looking);
    looks_changed(&bed);
    assert_null(found(&bed, HCORE_ACT_KILL));
    assert_non_null(found(&bed, HCORE_ACT_WARN));
}

/* A member has failed: the one at hand serves, and a person is told what it does not know of. */
static void test_let_go_out_of_date(void **state)
{
    static const struct hcore_stamp news[] = {
        {.conf = 5, .jars = 2}, {.conf = 1, .jars = 5}, {.conf = 1, .jars = 2}};
    static const char *const told[] = {"livy.conf_dir", "jars of livy.home", NULL};
    struct bed bed;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        stand_held(&bed);
        happen(&bed, (struct hcore_event){.type = HCORE_EV_TAKEN});
        assert_non_null(found(&bed, HCORE_ACT_STAMP));
        happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY, .there = true});
        happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = news[i]});
        assert_true((found(&bed, HCORE_ACT_WARN) != NULL) == (told[i] != NULL));
        if (told[i] != NULL)
            assert_non_null(strstr(found(&bed, HCORE_ACT_WARN)->text, told[i]));
        happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = news[0]}); /* of another time */
        assert_null(found(&bed, HCORE_ACT_WARN));
    }
}

static void test_changed_jars_end_it_at_once(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    pass(&bed, 10000);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = {.conf = 1, .jars = 5}});
    assert_ended(&bed, "jars");
}

static void test_files_that_cannot_be_looked_at_change_nothing(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    for (int i = 0; i < 3; i++) {
        pass(&bed, 10000);
        assert_non_null(found(&bed, HCORE_ACT_STAMP));
        happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .text = "it does not answer"});
        assert_true(hcore_current(&bed.h));
        assert_true((found(&bed, HCORE_ACT_WARN) != NULL) == (i == 0)); /* once is enough */
    }
}

static void test_a_reload_renews_it(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_RELOADED, .config = &hot});
    assert_ended(&bed, "loaded again");
    exit_with(&bed, 256 + 9);
    start(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_RELOADED, .config = &cold});
    assert_ended(&bed, "cold");
    exit_with(&bed, 256 + 9);
    pass(&bed, HOUR);
    assert_null(found(&bed, HCORE_ACT_STAMP));
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
            event.type = HCORE_EV_STAMPED;
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
        cmocka_unit_test(test_refused_until_a_reload),
        cmocka_unit_test(test_one_without_its_agent),
        cmocka_unit_test(test_one_that_never_comes_to_the_gate),
        cmocka_unit_test(test_nonsense_ends_it),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_members_differ),
        cmocka_unit_test(test_changed_files),
        cmocka_unit_test(test_changed_on_its_way),
        cmocka_unit_test(test_a_turn_that_never_comes),
        cmocka_unit_test(test_a_renewal_goes_on_until_one_is_ready),
        cmocka_unit_test(test_a_look_that_finds_nothing),
        cmocka_unit_test(test_a_look_that_finds_a_change),
        cmocka_unit_test(test_a_look_where_a_change_is_known),
        cmocka_unit_test(test_a_look_during_another_one),
        cmocka_unit_test(test_a_look_that_fails),
        cmocka_unit_test(test_let_go_out_of_date),
        cmocka_unit_test(test_changed_jars_end_it_at_once),
        cmocka_unit_test(test_files_that_cannot_be_looked_at_change_nothing),
        cmocka_unit_test(test_a_reload_renews_it),
        cmocka_unit_test(test_it_is_watched),
        cmocka_unit_test(test_at_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
