/* test_core_alarm.c - alarms: raised once, with numbers, and cleared once. T = 10 s, tick = 2 s, K = 1 s: a
 * lease rides out 9800 - 1000 - 1000 - 200 - 1000 = 6600 ms, the inequality asks for 2000, so 500 ms (h) are
 * slow.
 */
#include "core_fixture.h"

/* What the last step said of the alarm; NULL: nothing. */
static const struct core_action *alarm_of(enum core_alarm alarm)
{
    const struct core_action *found = NULL;

    for (size_t i = 0; i < out.count; i++) {
        if (out.list[i].type != CORE_ACT_ALARM || out.list[i].alarm != alarm)
            continue;
        assert_null(found);
        found = &out.list[i];
    }
    return found;
}

static void raised(enum core_alarm alarm, const char *text)
{
    const struct core_action *a = alarm_of(alarm);

    assert_non_null(a);
    assert_true(a->on && core.alarms[alarm]);
    assert_string_equal(a->text, text);
    assert_true(came(CORE_ACT_PUBLISH));
}

static void cleared(enum core_alarm alarm)
{
    assert_non_null(alarm_of(alarm));
    assert_false(alarm_of(alarm)->on || core.alarms[alarm]);
    assert_true(came(CORE_ACT_PUBLISH));
}

/* ---- ZooKeeper is slow ------------------------------------------------------------------------------- */

static const struct core_beat *oldest_unanswered(void)
{
    const struct core_beat *oldest = NULL;

    for (size_t i = 0; i < CORE_BEATS; i++) {
        const struct core_beat *b = &core.beats[i];
        if (b->op != 0 && b->acked == 0 && (oldest == NULL || b->sent < oldest->sent))
            oldest = b;
    }
    return oldest;
}

/* So many heartbeats, each answered after so many ms; the keeper confirms. Stops where an alarm comes or
 * goes. */
static bool heartbeats(int n, int64_t took)
{
    while (n > 0) {
        const struct core_beat *beat = oldest_unanswered();
        int64_t next = core_next(&core, now);
        whatever();
        core.probe_at = now + 100000; /* nothing here is about Livy */
        if (beat == NULL || beat->sent + took > next) {
            time_is(next);
            continue;
        }
        at(beat->sent + took > now ? beat->sent + took : now);
        beat_answered(beat->op, CORE_OK);
        n--;
        if (alarm_of(CORE_ALARM_SLOW) != NULL)
            return true;
        whatever();
        leased(core.lease_sent);
    }
    whatever();
    return false;
}

static void test_slow_heartbeats(void **state)
{
    (void)state;
    become_active();
    assert_false(heartbeats(60, 3));
    assert_true(heartbeats(10, 499 + 1)); /* two of forty are 5 %, the third is more */
    raised(CORE_ALARM_SLOW,
           "heartbeats take 500 ms (95 % of 40): ZooKeeper is slow (fsync?); a lease of 10.0 s now "
           "rides out 5.1 s of silence");
    whatever();
    assert_false(heartbeats(37, 3)); /* not before they have left the window */
    assert_true(heartbeats(5, 3));
    cleared(CORE_ALARM_SLOW);
    whatever();
    assert_false(heartbeats(60, 499)); /* and no alarm where none is due */
}

static void test_few_heartbeats_are_not_judged(void **state)
{
    (void)state;
    become_active();
    assert_false(heartbeats(19, 900));
    assert_true(heartbeats(1, 900));
    raised(CORE_ALARM_SLOW,
           "heartbeats take 900 ms (95 % of 20): ZooKeeper is slow (fsync?); a lease of 10.0 s now "
           "rides out 3.9 s of silence");
    whatever();
}

/* A connection that is given up because nothing is answered counts with what was waited. */
static void test_heartbeat_that_is_never_answered_counts(void **state)
{
    (void)state;
    become_active();
    size_t before = core.latency.n;
    while (!came(CORE_ACT_KICK)) {
        whatever();
        time_is(core_next(&core, now));
    }
    assert_int_equal(core.latency.n, before + 1);
    assert_int_equal(core.latency.list[before], 1000);
    whatever();
}

static void test_slow_is_over_with_the_latch(void **state)
{
    (void)state;
    become_active();
    assert_true(heartbeats(60, 700));
    whatever();
    event((struct core_event){.type = CORE_EV_OWN_CHANGED, .op = core.node_tag, .deleted = true});
    cleared(CORE_ALARM_SLOW);
    assert_int_equal(core.latency.n, 0);
    whatever();
}

/* ---- zookeeper.tick ---------------------------------------------------------------------------------- */

static void granted(int64_t asked, int64_t tick, int64_t timeout)
{
    begin_with(NULL, NULL);
    core.config.session_timeout = asked;
    core.config.tick = tick;
    event((struct core_event){.type = CORE_EV_CONNECTED, .session = SESSION, .timeout = timeout});
}

static void test_tick_that_agrees(void **state)
{
    static const struct {
        int64_t asked, tick, granted;
    } fine[] = {{10000, 2000, 10000}, {10000, 500, 10000}, {10000, 5000, 10000}, {10000, 0, 10000},
                {60000, 2000, 40000}, {2000, 2000, 4000},  {0, 2000, 10000},     {2000, 0, 4000}};

    (void)state;
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        granted(fine[i].asked, fine[i].tick, fine[i].granted);
        assert_null(alarm_of(CORE_ALARM_TICK));
        whatever();
    }
}

/* The unsafe direction: the alarm, and a lease that counts with what the tick is at least. */
static void test_tick_that_is_too_small(void **state)
{
    static const struct {
        int64_t asked, tick, granted, least;
    } wrong[] = {
        {10000, 499, 10000, 500}, {60000, 1999, 40000, 2000}, {2000, 1999, 4000, 2000}, {0, 1, 10000, 500}};
    char text[CORE_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        granted(wrong[i].asked, wrong[i].tick, wrong[i].granted);
        snprintf(
            text, sizeof(text),
            "zookeeper.tick is %lld ms, too small: the servers grant %lld ms, so theirs is %lld ms or more "
            "(or zoo.cfg sets bounds); that is counted with",
            (long long)wrong[i].tick, (long long)wrong[i].granted, (long long)wrong[i].least);
        raised(CORE_ALARM_TICK, text);
        assert_int_equal(core.tick_least, wrong[i].least);
        whatever();
    }
}

/* The proof of a heartbeat needs half of the tick that the servers have at least: 1000 ms, not the 50 of the
 * configuration. */
static void test_lease_counts_with_the_larger_tick(void **state)
{
    (void)state;
    begin_with(NULL, NULL);
    core.config.session_timeout = 4000; /* was raised to two ticks: 5 s */
    core.config.tick = 100;
    connected(SESSION);
    whatever();
    reply(CORE_REQ_REGISTER, CORE_OK);
    whatever();
    created(5);
    uint64_t first = 0;
    for (size_t i = 0; i < out.count; i++)
        first = out.list[i].type == CORE_ACT_BEAT ? out.list[i].op : first;
    whatever();
    beat_answered(first, CORE_OK);
    whatever();
    owned_by(SESSION, EPOCH);
    whatever();
    listed(own_name(5), NULL);
    whatever();
    int64_t proof = core.proof;
    for (int64_t end = now + 2400; now < end;) { /* tick/2 + epsilon are 2700 ms */
        time_is(core_next(&core, now));
        uint64_t op = 0;
        for (size_t i = 0; i < out.count; i++)
            op = out.list[i].type == CORE_ACT_BEAT ? out.list[i].op : op;
        whatever();
        if (op != 0)
            beat_answered(op, CORE_OK);
        whatever();
    }
    assert_int_equal(core.proof, proof);
}

static void test_tick_that_is_too_large(void **state)
{
    (void)state;
    granted(10000, 5001, 10000);
    raised(CORE_ALARM_TICK,
           "zookeeper.tick is 5001 ms, but the servers grant 10000 ms, so theirs is 5000 ms or less "
           "(or zoo.cfg sets bounds): leases are shorter than need be");
    whatever();
    connected(SESSION + 1); /* the servers have been configured anew: the alarm stays, told once */
    assert_null(alarm_of(CORE_ALARM_TICK));
    whatever();
    suspended();
    whatever();
    event((struct core_event){.type = CORE_EV_CONNECTED, .session = SESSION + 1, .timeout = 10002});
    cleared(CORE_ALARM_TICK);
    whatever();
}

/* ---- Livy does not die ------------------------------------------------------------------------------- */

static void livy_killed(uint32_t run)
{
    struct ipc_livy livy = livy_is(IPC_LIVY_STOPPING, run, IPC_CAUSE_NONE, core.leased);
    livy.killed = 1;
    event((struct core_event){.type = CORE_EV_LIVY, .livy = livy});
}

/* The session lives, so the node stays, for as long as it takes; no lease is renewed, nothing is started. */
static void test_livy_that_does_not_die(void **state)
{
    (void)state;
    become_active();
    stand(false);
    expect(CORE_ACT_STOP);
    livy_killed(1);
    int64_t killed = now;
    assert_null(alarm_of(CORE_ALARM_UNKILLABLE));
    bool alarmed = false;
    for (int64_t end = now + 100000; now < end;) {
        whatever();
        time_is(core_next(&core, now));
        assert_false(came(CORE_ACT_DELETE) || came(CORE_ACT_START) || came(CORE_ACT_CLOSE));
        assert_false(came(CORE_ACT_LEASE));
        if (alarm_of(CORE_ALARM_UNKILLABLE) != NULL) {
            assert_false(alarmed);
            alarmed = true;
            assert_int_equal(now, killed + 1000);
            raised(CORE_ALARM_UNKILLABLE,
                   "Livy (pid 4711) has not died of SIGKILL in 1.0 s: the latch stays here, so "
                   "that no other member starts one; end it, or power this host off");
        }
        for (size_t i = 0; i < out.count; i++)
            if (out.list[i].type == CORE_ACT_BEAT) {
                uint64_t op = out.list[i].op;
                whatever();
                beat_answered(op, CORE_OK);
                break;
            }
    }
    assert_true(alarmed);
    whatever();
    livy_dead(1, IPC_CAUSE_ORDERED);
    cleared(CORE_ALARM_UNKILLABLE);
    assert_true(came(CORE_ACT_DELETE));
    whatever();
}

/* At the lease's end, killed by the elector itself, while the keeper is stopped. */
static void test_livy_that_does_not_die_of_the_second_guard(void **state)
{
    (void)state;
    become_active();
    int64_t deadline = core.leased;
    whatever();
    suspended();
    while (now < deadline + 1000) {
        whatever();
        assert_null(alarm_of(CORE_ALARM_UNKILLABLE));
        time_is(core_next(&core, now));
    }
    assert_non_null(alarm_of(CORE_ALARM_UNKILLABLE));
    whatever();
    event((struct core_event){.type = CORE_EV_LIVY_GONE});
    cleared(CORE_ALARM_UNKILLABLE);
    whatever();
}

/* ---- keeper, and the elector itself ------------------------------------------------------------------ */

static void test_keeper_that_does_not_answer(void **state)
{
    (void)state;
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    int64_t deadline = expect(CORE_ACT_START)->kill_at;
    at(now + 1000);
    time_is(now);
    raised(CORE_ALARM_KEEPER, "the keeper (livy-ha) does not answer: its process is stopped or hangs");
    whatever();
    livy_runs(1, deadline);
    cleared(CORE_ALARM_KEEPER);
    whatever();
}

static void test_step_that_comes_late(void **state)
{
    (void)state;
    become_active();
    int64_t due = core_next(&core, now);
    time_is(due + 499);
    assert_null(alarm_of(CORE_ALARM_LATE));
    whatever();
    due = core_next(&core, now);
    time_is(due + 1700);
    raised(CORE_ALARM_LATE,
           "the elector was run 1.7 s late: this host is overloaded, or was stopped for a while; a "
           "lease of 10.0 s rides out 6.6 s in all");
    int64_t late = now;
    while (now < late + 60000) {
        whatever();
        time_is(core_next(&core, now));
        if (now < late + 60000)
            assert_null(alarm_of(CORE_ALARM_LATE));
    }
    cleared(CORE_ALARM_LATE);
    whatever();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_heartbeats),
        cmocka_unit_test(test_few_heartbeats_are_not_judged),
        cmocka_unit_test(test_heartbeat_that_is_never_answered_counts),
        cmocka_unit_test(test_slow_is_over_with_the_latch),
        cmocka_unit_test(test_tick_that_agrees),
        cmocka_unit_test(test_tick_that_is_too_small),
        cmocka_unit_test(test_lease_counts_with_the_larger_tick),
        cmocka_unit_test(test_tick_that_is_too_large),
        cmocka_unit_test(test_livy_that_does_not_die),
        cmocka_unit_test(test_livy_that_does_not_die_of_the_second_guard),
        cmocka_unit_test(test_keeper_that_does_not_answer),
        cmocka_unit_test(test_step_that_comes_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
