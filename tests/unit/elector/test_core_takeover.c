/* test_core_takeover.c - the core between being first in the queue and START: tenures, the pause, the delay,
 * the fence command, the predecessor's Livy. */
#include "core_fixture.h"

static const struct core_victim victim = {
    .tenure = "livy-a@0123456789abcdef",
    .member = {.id = "livy-a", .host = "a.example.com", .url = "http://a.example.com:18998", .epoch = 5}};

static void left_by(const struct core_victim *who, enum core_left how, bool more)
{
    assert_int_not_equal(core.pending[CORE_REQ_HANDOVER], 0);
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_HANDOVER,
                              .op = core.pending[CORE_REQ_HANDOVER],
                              .victim = who,
                              .more = more,
                              .left = how});
}

static void predecessor_answers(bool alive)
{
    event((struct core_event){
        .type = CORE_EV_PREDECESSOR, .op = core.takeover.probe_op, .alive = alive, .text = "test"});
}

static void predecessor_untold(void)
{
    event((struct core_event){
        .type = CORE_EV_PREDECESSOR, .op = core.takeover.probe_op, .untold = true, .text = "no descriptor"});
}

static void fenced(bool done)
{
    event((struct core_event){.type = CORE_EV_FENCED,
                              .op = core.takeover.fence_op,
                              .failed = !done,
                              .text = done ? "exit status 0" : "exit status 1"});
}

/* First in an empty queue; nothing is known yet. */
static void win(void)
{
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    expect(CORE_ACT_HANDOVER);
}

static void configure(bool fences, int64_t delay)
{
    struct core_config config = story_config;

    config.fences = fences;
    config.fence_timeout = 30000;
    config.takeover_delay = delay;
    core_configure(&core, &config);
}

struct story {
    const struct core_victim *victim, *second; /* second: found once the first one's tenure is cleared */
    enum core_left left;
    bool more, answers; /* does the victim's Livy answer? */
    bool untold;        /* it cannot be asked */
    bool fence_works;
    int64_t fence_takes; /* -1: no end */
    int fences, failures, looks;
    int64_t fence_ends;
};

/* Time passes; the world answers as the story says. True where START came by `until`. */
static bool time_passes(struct story *story, int64_t until)
{
    struct core_actions asked = out;

    for (;;) {
        bool start = false;
        whatever();
        for (size_t i = 0; i < asked.count; i++) {
            const struct core_action *a = &asked.list[i];
            start |= a->type == CORE_ACT_START;
            if (a->type == CORE_ACT_FENCE) {
                story->fences++;
                assert_true(a->kill_at > now);
                story->fence_ends = story->fence_takes < 0 ? CLOCK_NEVER : now + story->fence_takes;
            }
            story->failures += a->type == CORE_ACT_HISTORY && a->history == CORE_HIST_FENCING_FAILED;
        }
        if (start)
            return true;
        if (core.takeover.probe_op != 0) {
            story->looks++;
            if (story->untold)
                predecessor_untold();
            else
                predecessor_answers(story->answers);
        } else if (core.pending[CORE_REQ_HANDOVER] != 0) {
            left_by(story->victim, story->left, story->more);
        } else if (core.pending[CORE_REQ_CLEAR] != 0) {
            story->victim = story->second;
            story->more = false;
            reply(CORE_REQ_CLEAR, CORE_OK);
        } else if (story->fence_ends != 0 && now >= story->fence_ends) {
            story->fence_ends = 0;
            fenced(story->fence_works);
        } else {
            uint64_t beat = 0;
            for (size_t i = 0; i < CORE_BEATS; i++)
                if (core.beats[i].op != 0 && core.beats[i].acked == 0)
                    beat = core.beats[i].op;
            if (beat != 0) {
                beat_answered(beat, CORE_OK);
            } else {
                int64_t next = core_next(&core, now);
                if (story->fence_ends != 0 && story->fence_ends < next)
                    next = story->fence_ends;
                if (next > until)
                    return false;
                time_is(next);
            }
        }
        asked = out;
    }
}

/* ---- tenures --------------------------------------------------------------------------------------------
 */

static void test_tenure_is_written_with_the_start(void **state)
{
    (void)state;
    win();
    left_by(NULL, CORE_LEFT_IN_ORDER, false);
    expect(CORE_ACT_START);
    const struct core_action *tenure = expect(CORE_ACT_TENURE); /* not waited for */
    assert_string_equal(tenure->node, core.node);
    assert_int_equal(tenure->epoch, EPOCH);
    reply(CORE_REQ_TENURE, CORE_OK);
    assert_false(core.tenure_due);
}

static void test_tenure_that_fails_is_written_again(void **state)
{
    (void)state;
    win();
    left_by(NULL, CORE_LEFT_IN_ORDER, false);
    int64_t kill_at = expect(CORE_ACT_START)->kill_at;
    expect(CORE_ACT_TENURE);
    livy_runs(1, kill_at);
    whatever();
    reply(CORE_REQ_TENURE, CORE_UNKNOWN);
    whatever();
    int64_t failed_at = now;
    while (core.pending[CORE_REQ_TENURE] == 0) {
        assert_true(now <= failed_at + 500);
        time_is(core_next(&core, now));
        whatever();
    }
    assert_true(now >= failed_at + 500);
}

static void test_tenure_goes_with_the_node(void **state)
{
    (void)state;
    become_active();
    assert_true(core.tenured);
    event((struct core_event){.type = CORE_EV_QUIT});
    expect(CORE_ACT_QUIESCE);
    expect(CORE_ACT_STOP);
    expect(CORE_ACT_RELEASING);
    livy_dead(1, IPC_CAUSE_ORDERED);
    expect(CORE_ACT_QUIESCE);
    const struct core_action *a = expect(CORE_ACT_DELETE);
    assert_true(a->in_order);
    assert_true(a->tenured);
    reply(CORE_REQ_DELETE, CORE_OK);
    assert_false(core.tenured);
    whatever();
}

/* Its session ended, its Livy was killed: once it is back it says so itself. */
static void test_own_tenure_is_taken_away_when_livy_is_dead(void **state)
{
    (void)state;
    become_active();
    event((struct core_event){.type = CORE_EV_LOST});
    whatever();
    connected(SESSION + 1);
    whatever();
    reply(CORE_REQ_REGISTER, CORE_OK);
    assert_false(came(CORE_ACT_CLEAR)); /* it still dies */
    whatever();
    livy_dead(1, IPC_CAUSE_ORDERED);
    assert_true(came(CORE_ACT_CLEAR));
    assert_true(came(CORE_ACT_CREATE));
    whatever();
}

/* Another's, only while our own node stands: it may be active again. */
static void test_cleared_only_under_our_own_node(void **state)
{
    (void)state;
    win();
    left_by(&victim, CORE_LEFT_GONE, false);
    expect(CORE_ACT_PROBE_PREDECESSOR);
    predecessor_answers(false);
    time_is(now + 20);
    expect(CORE_ACT_HANDOVER);
    left_by(&victim, CORE_LEFT_GONE, false);
    time_is(now + 80);
    expect(CORE_ACT_START);
    const struct core_action *clear = expect(CORE_ACT_CLEAR);
    assert_string_equal(clear->text, victim.tenure);
    assert_string_equal(clear->node, core.node);
    expect(CORE_ACT_TENURE);
    whatever();
    reply(CORE_REQ_CLEAR, CORE_UNKNOWN); /* the next one would fence it again: asked for until it is done */
    time_is(now + 500);
    assert_true(came(CORE_ACT_CLEAR));
    whatever();
}

/* ---- the gates -------------------------------------------------------------------------------------------
 */

static void test_nobody_was_active(void **state)
{
    (void)state;
    win();
    configure(true, 5000);
    left_by(NULL, CORE_LEFT_IN_ORDER, false);
    expect(CORE_ACT_START);
}

/* A standby before us died, but the active one had left in order: there is nobody to fence. */
static void test_standby_that_died_is_not_fenced(void **state)
{
    struct story story = {.left = CORE_LEFT_GONE};

    (void)state;
    win();
    configure(true, 5000);
    left_by(NULL, CORE_LEFT_GONE, false);
    assert_true(time_passes(&story, now + 150));
    assert_int_equal(story.fences, 0);
    assert_int_equal(story.looks, 0);
}

static void test_delay_from_becoming_first(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE};

    (void)state;
    win();
    configure(false, 5000);
    int64_t won = now;
    at(now + 50);
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_false(time_passes(&story, won + 4999));
    assert_true(time_passes(&story, won + 5000));
    assert_int_equal(now, won + 5000);
}

static void test_fence_before_start(void **state)
{
    struct story story = {
        .victim = &victim, .left = CORE_LEFT_GONE, .fence_works = true, .fence_takes = 3000};

    (void)state;
    win();
    configure(true, 0);
    int64_t won = now;
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_true(told(CORE_HIST_FENCING)); /* at once, beside the pause */
    assert_true(time_passes(&story, won + 10000));
    assert_int_equal(story.fences, 1);
    assert_int_equal(now, won + 3000);
    assert_int_equal(core.takeover.state, CORE_TAKEOVER_PASSED);
}

static void test_fence_that_fails(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE, .fence_takes = 100};

    (void)state;
    win();
    configure(true, 0);
    int64_t won = now;
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_false(time_passes(&story, won + 5099));
    assert_int_equal(story.fences, 1);
    assert_int_equal(story.failures, 1);
    assert_false(time_passes(&story, won + 5100 + 10099));
    assert_int_equal(story.fences, 2);
    assert_false(time_passes(&story, won + 600000)); /* 20, 40, 60, 60, … s */
    assert_in_range(story.fences, 11, 14);
    story.fence_works = true;
    assert_true(time_passes(&story, won + 661000));
}

/* Until then nothing of it is in order: the next member must fence as well. */
static void test_half_a_takeover_is_not_in_order(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE, .fence_takes = 100};

    (void)state;
    win();
    configure(true, 0);
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_false(time_passes(&story, now + 1000));
    event((struct core_event){.type = CORE_EV_QUIT});
    const struct core_action *a = expect(CORE_ACT_DELETE);
    assert_false(a->in_order);
    expect(CORE_ACT_RELEASING);
    assert_false(came(CORE_ACT_CLEAR));
}

static void test_half_a_takeover_of_a_lost_session(void **state)
{
    (void)state;
    win();
    configure(true, 0);
    left_by(&victim, CORE_LEFT_GONE, false);
    whatever();
    event((struct core_event){.type = CORE_EV_LOST});
    whatever();
    connected(SESSION + 1);
    bool seen = false;
    for (size_t i = 0; i < out.count; i++)
        if (out.list[i].type == CORE_ACT_DELETE && out.list[i].request == CORE_REQ_GHOST) {
            seen = true;
            assert_false(out.list[i].in_order);
        }
    assert_true(seen);
    whatever();
}

static void test_outcome_of_another_time(void **state)
{
    (void)state;
    win();
    configure(true, 0);
    left_by(&victim, CORE_LEFT_GONE, false);
    uint64_t op = core.takeover.fence_op;
    assert_int_not_equal(op, 0);
    whatever();
    event((struct core_event){.type = CORE_EV_FENCED, .op = op - 1});
    whatever();
    assert_int_equal(core.takeover.fencing, CORE_FENCING_RUNS);
    event((struct core_event){.type = CORE_EV_FENCED, .op = op});
    whatever();
    assert_int_equal(core.takeover.fencing, CORE_FENCING_DONE);
}

static void test_keeper_that_does_not_tell(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE, .fence_takes = -1};

    (void)state;
    win();
    configure(true, 0);
    int64_t won = now;
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_false(time_passes(&story, won + 34999));
    assert_int_equal(story.failures, 0);
    assert_false(time_passes(&story, won + 35000));
    assert_int_equal(story.failures, 1);
}

/* It has come back, and says that its Livy is dead. */
static void test_victim_that_absolves_itself(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_NODE, .fence_takes = 100};

    (void)state;
    win();
    configure(true, 0);
    left_by(&victim, CORE_LEFT_NODE, false);
    assert_false(time_passes(&story, now + 4000));
    story.victim = NULL;
    story.left = CORE_LEFT_IN_ORDER;
    assert_true(time_passes(&story, now + 1001));
}

static void test_two_victims(void **state)
{
    static const struct core_victim second = {.tenure = "livy-b@0123456789abcdef",
                                              .member = {.id = "livy-b"}};
    struct story story = {.victim = &victim,
                          .second = &second,
                          .left = CORE_LEFT_GONE,
                          .more = true,
                          .fence_works = true,
                          .fence_takes = 10};

    (void)state;
    win();
    configure(true, 0);
    left_by(&victim, CORE_LEFT_GONE, true);
    assert_true(time_passes(&story, now + 5000));
    assert_int_equal(story.fences, 2);
}

/* ---- the predecessor's Livy ------------------------------------------------------------------------------
 */

static void test_predecessor_that_answers(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE, .answers = true};

    (void)state;
    win();
    left_by(&victim, CORE_LEFT_GONE, false);
    int64_t won = now;
    assert_false(time_passes(&story, won + 900));
    assert_false(core.takeover.answers_told);
    assert_false(time_passes(&story, won + 1100));
    assert_true(core.takeover.answers_told);
    assert_false(time_passes(&story, won + 60000));
    assert_in_range(story.looks, 1000, 1300);
    story.answers = false;
    assert_true(time_passes(&story, won + 60100));
}

static void test_predecessor_that_is_silent_costs_nothing(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE};

    (void)state;
    win();
    int64_t won = now;
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_true(time_passes(&story, won + 1000));
    assert_int_equal(now, won + 100);
    assert_int_equal(story.looks, 1);
}

/* While another gate is shut it is looked at again: it may only have paused. */
static void test_predecessor_that_speaks_again(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE};

    (void)state;
    win();
    configure(false, 5000);
    int64_t won = now;
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_false(time_passes(&story, won + 500));
    story.answers = true;
    assert_false(time_passes(&story, won + 20000));
    story.answers = false;
    assert_true(time_passes(&story, won + 20100));
}

static void test_probe_without_a_result(void **state)
{
    (void)state;
    win();
    left_by(&victim, CORE_LEFT_GONE, false);
    expect(CORE_ACT_PROBE_PREDECESSOR);
    whatever();
    uint64_t op = core.takeover.probe_op;
    int64_t asked = now;
    while (core.takeover.probe_op == op) {
        time_is(core_next(&core, now));
        assert_true(now <= asked + 5000);
        whatever();
    }
    assert_true(core.takeover.looked);
}

/* A stranger has put a node below the first one's tenure: it stays, and the second one's turn comes. */
static void test_tenure_that_cannot_be_deleted(void **state)
{
    (void)state;
    win();
    left_by(&victim, CORE_LEFT_GONE, true);
    expect(CORE_ACT_PROBE_PREDECESSOR);
    predecessor_answers(false);
    time_is(now + 20);
    assert_string_equal(expect(CORE_ACT_HANDOVER)->after, "");
    left_by(&victim, CORE_LEFT_GONE, true);
    time_is(now + 80);
    assert_true(came(CORE_ACT_CLEAR));
    whatever();
    assert_int_equal(core.pending[CORE_REQ_HANDOVER], 0);
    reply(CORE_REQ_CLEAR, CORE_DENIED);
    time_is(now + 500);
    assert_string_equal(expect(CORE_ACT_HANDOVER)->after, victim.tenure);
    assert_false(came(CORE_ACT_CLEAR));
    whatever();
    left_by(NULL, CORE_LEFT_IN_ORDER, false);
    expect(CORE_ACT_START);
    whatever();
}

/* A stranger pushed the active one out before its tenure was written, and before we came: its Livy may take K
 * to die. */
static void test_empty_queue_that_others_may_have_left(void **state)
{
    struct story story = {.left = CORE_LEFT_UNSEEN};

    (void)state;
    win();
    int64_t won_at = now;
    left_by(NULL, CORE_LEFT_UNSEEN, false);
    assert_false(time_passes(&story, won_at + 100 + story_config.kill_margin - 1));
    assert_true(time_passes(&story, won_at + 100 + story_config.kill_margin + 20));
    assert_false(core.takeover.unclean);
    assert_int_equal(story.fences + story.looks, 0);
}

/* The elector is out of descriptors: that is no silence. */
static void test_probe_that_could_not_be_made(void **state)
{
    struct story story = {.victim = &victim, .left = CORE_LEFT_GONE, .untold = true};

    (void)state;
    win();
    int64_t won = now;
    left_by(&victim, CORE_LEFT_GONE, false);
    assert_false(time_passes(&story, won + 20500));
    assert_int_equal(story.looks, 21); /* each second */
    story.untold = false;
    assert_true(time_passes(&story, won + 21500));
    assert_int_equal(now, won + 21000);
}

/* What was learnt before stands: an answer keeps the gate shut, silence keeps it open. */
static void test_probe_that_could_not_be_made_changes_nothing(void **state)
{
    (void)state;
    for (int answers = 0; answers < 2; answers++) {
        struct story story = {.victim = &victim, .left = CORE_LEFT_GONE, .answers = answers};
        win();
        configure(false, 5000);
        int64_t won = now;
        left_by(&victim, CORE_LEFT_GONE, false);
        assert_false(time_passes(&story, won + 900));
        story.untold = true;
        assert_int_equal(time_passes(&story, won + 20000), !answers);
        assert_true(now == won + 5000 || answers);
        assert_true(story.looks > 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenure_is_written_with_the_start),
        cmocka_unit_test(test_tenure_that_fails_is_written_again),
        cmocka_unit_test(test_tenure_goes_with_the_node),
        cmocka_unit_test(test_own_tenure_is_taken_away_when_livy_is_dead),
        cmocka_unit_test(test_cleared_only_under_our_own_node),
        cmocka_unit_test(test_nobody_was_active),
        cmocka_unit_test(test_standby_that_died_is_not_fenced),
        cmocka_unit_test(test_delay_from_becoming_first),
        cmocka_unit_test(test_fence_before_start),
        cmocka_unit_test(test_fence_that_fails),
        cmocka_unit_test(test_half_a_takeover_is_not_in_order),
        cmocka_unit_test(test_half_a_takeover_of_a_lost_session),
        cmocka_unit_test(test_outcome_of_another_time),
        cmocka_unit_test(test_keeper_that_does_not_tell),
        cmocka_unit_test(test_victim_that_absolves_itself),
        cmocka_unit_test(test_two_victims),
        cmocka_unit_test(test_predecessor_that_answers),
        cmocka_unit_test(test_predecessor_that_is_silent_costs_nothing),
        cmocka_unit_test(test_predecessor_that_speaks_again),
        cmocka_unit_test(test_probe_without_a_result),
        cmocka_unit_test(test_tenure_that_cannot_be_deleted),
        cmocka_unit_test(test_empty_queue_that_others_may_have_left),
        cmocka_unit_test(test_probe_that_could_not_be_made),
        cmocka_unit_test(test_probe_that_could_not_be_made_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
