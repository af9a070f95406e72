/* test_core_events.c - a million random events, most of them senseless: the core never orders what must not
 * be. */
#include "core_fixture.h"

static uint64_t dice = 88172645463325252u;

static int64_t roll(int64_t most)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (int64_t)(dice >> 11) % (most + 1);
}

static int tame; /* 0: anything goes; else most of it makes sense */

/* Once in a while, the rarer the tamer. */
static bool now_and_then(void)
{
    return roll(1 + 15 * tame) == 0;
}

static uint64_t some_beat(void)
{
    uint64_t op = core.beats[roll(CORE_BEATS - 1)].op;
    return op != 0 ? op : core.beats[(core.next_beat + CORE_BEATS - 1) % CORE_BEATS].op;
}

static struct core_event random_zookeeper(void)
{
    static char names[4][CORE_NODE_SIZE];
    static const char *pointers[4];
    enum core_request request = (enum core_request)roll(CORE_REQUESTS - 1);

    for (int i = 0; i < 4; i++) {
        snprintf(names[i], CORE_NODE_SIZE, "_c_%s-latch-%010d", now_and_then() ? "someone" : core.uuid,
                 (int)roll(9));
        if (!now_and_then() && core.node[0] != '\0')
            memcpy(names[i], core.node, CORE_NODE_SIZE);
        pointers[i] = names[i];
    }
    while (core.pending[request] == 0 && roll(9) != 0)
        request = (enum core_request)roll(CORE_REQUESTS - 1);
    return (struct core_event){.type = CORE_EV_REPLY,
                               .request = request,
                               .op = roll(20) != 0 ? core.pending[request] : core.pending[request] - 1,
                               .rc = roll(3) != 0 || !now_and_then() ? CORE_OK : (enum core_rc)roll(3),
                               .names = pointers,
                               .n_names = (size_t)roll(3) + 1,
                               .name = names[0],
                               .owner = roll(3) != 0 || !now_and_then() ? core.session : 1,
                               .czxid = core.livy.epoch != 0 && !now_and_then() ? core.livy.epoch : EPOCH};
}

static struct core_event random_keeper(void)
{
    struct ipc_livy livy = core.livy;

    if (core.start_run == 0 && (roll(1) != 0 || !now_and_then()))
        return (struct core_event){.type = CORE_EV_LEASED,
                                   .kill_at = now_and_then() ? core.leased : core.lease_sent};
    if (roll(9) == 0)
        return (struct core_event){.type = CORE_EV_DOUBT};
    livy.state = now_and_then() ? (uint32_t)roll(2) : IPC_LIVY_ALIVE;
    livy.cause = now_and_then() ? (uint32_t)roll(IPC_CAUSE_REFUSED) : IPC_CAUSE_NONE;
    livy.kill_at = core.lease_sent;
    livy.started_at = now - roll(20000);
    if (core.start_run != 0) {
        livy.run = livy.cause == IPC_CAUSE_REFUSED ? core.start_run - 1 : core.start_run;
        livy.epoch = core.epoch;
    }
    return (struct core_event){.type = CORE_EV_LIVY, .livy = livy, .text = "random"};
}

/* What people ask for. */
static struct core_event random_order(void)
{
    switch (roll(3)) {
    case 0:
        return (struct core_event){.type = CORE_EV_RESTART, .text = "random"};
    case 1:
        return (struct core_event){.type = CORE_EV_QUIET};
    case 2:
        return (struct core_event){.type = CORE_EV_ORDERS,
                                   .text = "random",
                                   .orders = {.paused = roll(9) == 0,
                                              .paused_until = now + roll(3000),
                                              .epoch = roll(3) == 0 ? core.epoch : core.predecessor_epoch,
                                              .named = roll(3) == 0,
                                              .to_me = roll(1) != 0,
                                              .sequence = roll(9) - 1,
                                              .next = roll(1) != 0,
                                              .begun = roll(4) == 0}};
    default:
        return (struct core_event){
            .type = CORE_EV_STAND, .bar = (enum core_bar)roll(1), .stand = roll(4) != 0, .text = "random"};
    }
}

static struct core_event random_event(void)
{
    switch (roll(19)) {
    case 0:
        if (!now_and_then())
            return (struct core_event){.type = CORE_EV_OPENED};
        return (struct core_event){.type = roll(9) == 0 ? CORE_EV_LOST : CORE_EV_SUSPENDED};
    case 1:
    case 2:
        if (core.connected && !now_and_then())
            break;
        return (struct core_event){.type = CORE_EV_CONNECTED,
                                   .session = core.session != 0 && !now_and_then() ? core.session
                                                                                   : SESSION + roll(9),
                                   .timeout = now_and_then() ? 4000 + roll(20000) : T};
    case 3:
    case 4:
        return random_keeper();
    case 5:
    case 6:
    case 7:
        return (struct core_event){.type = CORE_EV_BEAT,
                                   .op = some_beat(),
                                   .rc = roll(5) != 0 || !now_and_then() ? CORE_OK : (enum core_rc)roll(4)};
    case 8:
        return (struct core_event){.type = CORE_EV_PROBE,
                                   .alive = roll(2) != 0,
                                   .foreign = roll(99) == 0 && now_and_then(),
                                   .status = 78};
    case 9:
        if (roll(3) != 0 || !now_and_then())
            break;
        return random_order();
    case 10:
        if (roll(3) != 0 || !now_and_then())
            break;
        return (struct core_event){.type = roll(1) != 0 ? CORE_EV_OWN_CHANGED : CORE_EV_PRED_CHANGED,
                                   .op = core.node_tag - (uint64_t)roll(1),
                                   .deleted = roll(1) != 0};
    case 11:
        return (struct core_event){.type = roll(1) != 0 ? CORE_EV_KICKED : CORE_EV_LIVY_GONE};
    case 12:
        return (struct core_event){.type = CORE_EV_TIME};
    default:
        break;
    }
    return random_zookeeper();
}

static int steps, starts, leases, deletes;

static void check_start(const struct core_action *a)
{
    assert_true(core.connected && core.first && core.own_known && core.leading && !core.doomed &&
                !core.quitting);
    assert_true(core.may_stand && !core.keeper_stuck && !core_livy_alive(&core));
    assert_int_equal(a->run, core.livy.run + 1);
    assert_int_not_equal(core.node[0], 0);
    assert_int_equal(a->epoch, core.epoch);
    assert_true(core.proof != 0 && core.proof < now + 1);
    assert_true(a->kill_at <= core.proof + core.timeout - core.timeout / 50 - core.config.kill_margin);
    assert_true(a->kill_at - now >= 300);
}

static void check_actions(void)
{
    for (size_t i = 0; i < out.count; i++) {
        const struct core_action *a = &out.list[i];
        bool dead = (!core_livy_alive(&core) && core.start_run == 0) ||
                    (core.keeper_stuck && core.gone_seen && now > core.max_sent + core.config.kill_margin);
        starts += a->type == CORE_ACT_START;
        leases += a->type == CORE_ACT_LEASE;
        deletes += a->type == CORE_ACT_DELETE;
        if (a->type == CORE_ACT_START)
            check_start(a);
        else if (a->type == CORE_ACT_DELETE)
            assert_true(dead);
        else if (a->type == CORE_ACT_CLOSE)
            assert_true(core.may_close && core.quitting);
        else if (a->type == CORE_ACT_LEASE)
            assert_true(core_livy_alive(&core) && core.max_sent >= a->kill_at && !core.keeper_stuck);
        else if (a->type == CORE_ACT_BEAT)
            assert_true(core.connected && !core.doomed);
        else if (a->type == CORE_ACT_CONNECT)
            assert_true(core.floor == now && core.proof == 0);
    }
}

/* A core that asked to be called at once for ever would burn a processor. */
static void check_calm(void)
{
    struct core copy = core;
    struct core_actions actions;
    int64_t time = now;

    for (int i = 0; i < 400; i++) {
        int64_t next = core_next(&copy, time);
        if (next == CLOCK_NEVER)
            return;
        assert_true(next > time);
        time = next;
        core_step(&copy, &(struct core_event){.type = CORE_EV_TIME}, time, &actions);
    }
    assert_true(time - now > 2000);
}

static void fuzz(int most)
{
    for (int i = 0; i < most; i++, steps++) {
        struct core_event e = random_event();
        if (roll(2000) == 0)
            e = (struct core_event){.type = CORE_EV_QUIT};
        if (core.quitting && core.releasing_sent && !core_livy_alive(&core) && core.start_run == 0 &&
            roll(50) == 0)
            e = (struct core_event){.type = CORE_EV_LEAVE};
        if (roll(3) == 0)
            at(now + roll(roll(20) == 0 && now_and_then() ? 15000 : 100));
        else if (roll(3) == 0 && core_next(&core, now) < now + 100000)
            at(core_next(&core, now));
        whatever();
        event(e);
        whatever();
        check_actions();
        if (i % 50 == 0)
            check_calm();
        if (core.close_sent)
            return;
    }
}

static void test_random_events(void **state)
{
    struct ipc_livy livy = left_running();

    (void)state;
    for (int i = 0; steps < 1000000; i++) {
        begin_with(i % 3 == 0 ? &left_behind : NULL, i % 6 == 0 ? &livy : NULL);
        whatever();
        tame = i % 4;
        fuzz(1000);
    }
    print_message("%d steps, %d starts, %d renewals, %d deletes\n", steps, starts, leases, deletes);
    assert_true(starts > 500 && leases > 500 && deletes > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
