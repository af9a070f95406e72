/* test_core_backoff.c - Livy dies again and again: how long the next start waits, when the latch goes to
 * another member and when it does not, and what is forgotten. livy.restarts = 2, livy.restart_window = 10
 * min.
 */
#include "core_fixture.h"

#define WINDOW 600000
#define OTHER 5 /* another member's number */
#define THIRD 7
#define BIT(member) (UINT64_C(1) << (member))

/* What <root>/deaths tells: this core's own deaths, and `more`. */
static void told_of(const struct core_death *more, size_t n, uint64_t standing)
{
    struct core_death list[CORE_DEATHS];
    size_t own = 0;

    for (size_t i = 0; i < core.backoff.n; i++)
        if (core.backoff.list[i].member == 0)
            list[own++] = core.backoff.list[i];
    for (size_t i = 0; i < n; i++)
        list[own++] = more[i];
    event((struct core_event){.type = CORE_EV_DEATHS,
                              .deaths = list,
                              .n_deaths = own,
                              .standing = standing,
                              .text = "livy-a, livy-b"});
}

static void others_stand(uint64_t standing)
{
    told_of(NULL, 0, standing);
}

/* Livy dies at once, and is started again when its time has come. Returns how long that took. */
static int64_t dies_and_comes_back(uint32_t run)
{
    int64_t died = now;

    livy_dead(run, IPC_CAUSE_EXITED);
    assert_true(came(CORE_ACT_DEATH));
    const struct core_action *start = NULL;
    for (size_t i = 0; i < out.count; i++)
        if (out.list[i].type == CORE_ACT_START)
            start = &out.list[i];
    if (start == NULL)
        assert_int_not_equal(next_start(now + 120000), CLOCK_NEVER);
    int64_t took = now - died;
    whatever();
    reply(CORE_REQ_TENURE, CORE_OK);
    livy_runs(run + 1, core.max_sent);
    expect(CORE_ACT_PROBE);
    probed(true);
    return took;
}

static void test_alone_it_keeps_the_latch_and_waits_ever_longer(void **state)
{
    static const int64_t waits[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

    (void)state;
    become_active();
    for (uint32_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        assert_int_equal(dies_and_comes_back(i + 1), waits[i]);
    assert_int_equal(core.phase, CORE_ACTIVE);
}

static void test_given_up_where_another_member_stands(void **state)
{
    (void)state;
    become_active();
    others_stand(BIT(OTHER));
    dies_and_comes_back(1);
    dies_and_comes_back(2);
    livy_dead(3, IPC_CAUSE_EXITED);
    /* First the word for the others, then the node: ZooKeeper keeps this order for whoever comes next. */
    size_t noted = 0, deleted = 0;
    for (size_t i = 0; i < out.count; i++) {
        if (out.list[i].type == CORE_ACT_DEATH && out.list[i].gave_up)
            noted = i;
        if (out.list[i].type == CORE_ACT_DELETE)
            deleted = i;
    }
    assert_true(noted > 0 && deleted > noted);
    whatever();
    int64_t died = now;
    reply(CORE_REQ_DELETE, CORE_OK);
    assert_true(told(CORE_HIST_RELEASED));
    expect(CORE_ACT_SESSION);
    nothing_else();
    time_is(died + 4999);
    whatever();
    assert_int_equal(core_next(&core, now), died + 5000);
    time_is(died + 5000); /* and stands again, behind the others */
    expect(CORE_ACT_CREATE);
}

static void test_kept_where_the_others_have_given_up(void **state)
{
    (void)state;
    become_active();
    struct core_death other[] = {{.at = now - WINDOW + 10000, .member = OTHER, .gave_up = true}};
    told_of(other, 1, BIT(OTHER));
    dies_and_comes_back(1);
    dies_and_comes_back(2);
    assert_int_equal(dies_and_comes_back(3), 2000);
    /* A member that has not tried yet turns up while a start waits. */
    livy_dead(4, IPC_CAUSE_EXITED);
    whatever();
    at(now + 100);
    told_of(other, 1, BIT(OTHER) | BIT(THIRD));
    expect(CORE_ACT_DELETE);
    whatever();
}

/* What made it give up has left the window: it may try again. */
static void test_given_up_to_one_that_gave_up_long_ago(void **state)
{
    (void)state;
    become_active();
    struct core_death other[] = {{.at = now - WINDOW + 1000, .member = OTHER, .gave_up = true}};
    told_of(other, 1, BIT(OTHER));
    dies_and_comes_back(1);
    dies_and_comes_back(2); /* 1 s */
    livy_dead(3, IPC_CAUSE_EXITED);
    assert_true(came(CORE_ACT_DELETE));
    whatever();
}

/* A standby knows of the deaths elsewhere; once it wins, its start waits, and says why. */
static void test_who_takes_over_waits_as_well(void **state)
{
    (void)state;
    become_standby();
    struct core_death deaths[] = {{.at = now - 5000, .member = OTHER},
                                  {.at = now - 4000, .member = OTHER},
                                  {.at = now - 2000, .member = THIRD},
                                  {.at = now, .member = OTHER},
                                  {.at = now, .member = OTHER, .gave_up = true}};
    int64_t died = now;
    told_of(deaths, 5, BIT(THIRD));
    event((struct core_event){.type = CORE_EV_PRED_CHANGED});
    expect(CORE_ACT_LIST);
    listed(own_name(5), NULL);
    expect(CORE_ACT_HANDOVER);
    left(CORE_LEFT_IN_ORDER);
    assert_true(told(CORE_HIST_ELECTED));
    assert_true(told(CORE_HIST_DELAYED));
    assert_string_equal(core.reason, "Livy died 4 times in 10 min on livy-a, livy-b: next start in 4 s");
    assert_int_equal(next_start(now + 60000), died + 4000);
    whatever();
}

/* The commonest fail-over: a host dies whose Livy had been well for a while, whatever it went through before.
 */
static void test_no_wait_once_the_deaths_are_some_time_ago(void **state)
{
    (void)state;
    become_standby();
    struct core_death deaths[5];
    for (size_t i = 0; i < 5; i++)
        deaths[i] = (struct core_death){.at = now - 8000, .member = OTHER};
    told_of(deaths, 5, BIT(THIRD));
    event((struct core_event){.type = CORE_EV_PRED_CHANGED});
    expect(CORE_ACT_LIST);
    listed(own_name(5), NULL);
    expect(CORE_ACT_HANDOVER);
    left(CORE_LEFT_IN_ORDER);
    expect(CORE_ACT_START);
    whatever();
}

static void test_old_deaths_are_forgotten(void **state)
{
    (void)state;
    become_active();
    struct core_death deaths[] = {{.at = now - WINDOW, .member = 0},
                                  {.at = now - WINDOW, .member = 0},
                                  {.at = now - WINDOW, .member = OTHER}};
    told_of(deaths, 3, BIT(OTHER));
    assert_int_equal(dies_and_comes_back(1), 0);
    assert_int_equal(core.phase, CORE_ACTIVE);
}

/* A clock that runs ahead makes no start wait for longer than the delay. */
static void test_a_death_in_the_future_counts_from_now(void **state)
{
    (void)state;
    become_active();
    struct core_death deaths[] = {{.at = now + 3600000, .member = OTHER}};
    told_of(deaths, 1, 0);
    assert_int_equal(dies_and_comes_back(1), 1000);
}

static void test_more_than_fits_keeps_the_newest(void **state)
{
    struct core_death deaths[CORE_DEATHS + 6];

    (void)state;
    become_active();
    for (size_t i = 0; i < CORE_DEATHS + 6; i++)
        deaths[i] = (struct core_death){.at = now - 200 + (int64_t)i, .member = OTHER};
    event((struct core_event){.type = CORE_EV_DEATHS, .deaths = deaths, .n_deaths = CORE_DEATHS + 6});
    assert_int_equal(core.backoff.n, CORE_DEATHS);
    assert_int_equal(core.backoff.list[CORE_DEATHS - 1].at, now - 200 + CORE_DEATHS + 5);
    livy_dead(1, IPC_CAUSE_EXITED);
    assert_int_equal(core.backoff.n, CORE_DEATHS);
    assert_int_equal(deaths_here(), 1);
    whatever();
}

/* ---- what does not count ----------------------------------------------------------------------------- */

static void test_the_keepers_death_does_not_count(void **state)
{
    (void)state;
    become_active();
    event((struct core_event){.type = CORE_EV_QUIT, .text = "the keeper is gone"});
    whatever();
    livy_dead(1, IPC_CAUSE_ORPHANED);
    assert_false(came(CORE_ACT_DEATH));
    assert_int_equal(deaths_here(), 0);
    whatever();
}

static void test_an_orderly_stop_does_not_count(void **state)
{
    (void)state;
    become_active();
    stand(false);
    whatever();
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_false(came(CORE_ACT_DEATH));
    whatever();
}

static void test_a_latch_that_is_lost_does_not_count(void **state)
{
    (void)state;
    become_active();
    event((struct core_event){.type = CORE_EV_OWN_CHANGED, .op = core.node_tag, .deleted = true});
    assert_true(came(CORE_ACT_STOP));
    whatever();
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_true(told(CORE_HIST_FENCED));
    assert_false(came(CORE_ACT_DEATH));
    whatever();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone_it_keeps_the_latch_and_waits_ever_longer),
        cmocka_unit_test(test_given_up_where_another_member_stands),
        cmocka_unit_test(test_kept_where_the_others_have_given_up),
        cmocka_unit_test(test_given_up_to_one_that_gave_up_long_ago),
        cmocka_unit_test(test_who_takes_over_waits_as_well),
        cmocka_unit_test(test_no_wait_once_the_deaths_are_some_time_ago),
        cmocka_unit_test(test_old_deaths_are_forgotten),
        cmocka_unit_test(test_a_death_in_the_future_counts_from_now),
        cmocka_unit_test(test_more_than_fits_keeps_the_newest),
        cmocka_unit_test(test_the_keepers_death_does_not_count),
        cmocka_unit_test(test_an_orderly_stop_does_not_count),
        cmocka_unit_test(test_a_latch_that_is_lost_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
