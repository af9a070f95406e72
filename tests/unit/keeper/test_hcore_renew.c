/* test_hcore_renew.c - when the Livy that is held is not current any more, and when it is renewed, as traces.
 */
#include "hcore_fixture.h"

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

/* It serves by now, so there is nothing to look at later. */
static void test_a_look_after_it_was_let_go_that_fails(void **state)
{
    struct bed bed;

    (void)state;
    stand_held(&bed);
    happen(&bed, (struct hcore_event){.type = HCORE_EV_TAKEN});
    happen(&bed, (struct hcore_event){.type = HCORE_EV_LIVY, .there = true});
    happen(&bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .text = "it does not answer"});
    assert_non_null(found(&bed, HCORE_ACT_WARN));
    assert_true(hcore_next(&bed.h, bed.now) == CLOCK_NEVER);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(test_a_look_after_it_was_let_go_that_fails),
        cmocka_unit_test(test_let_go_out_of_date),
        cmocka_unit_test(test_changed_jars_end_it_at_once),
        cmocka_unit_test(test_files_that_cannot_be_looked_at_change_nothing),
        cmocka_unit_test(test_a_reload_renews_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
