/* core_fixture.h - tells the core a story: what happens, and what it is expected to ask for, in order and
 * nothing else.
 *
 * Each event carries the time that at() has set. Before the next event every action must have been expected;
 * those that only people and other members see (phase, history, publish, alarm, death), questions to the
 * keeper, and the tenures' upkeep (test_core_takeover.c looks at that), may be. T = 10 s, tick = 2 s, K = 1
 * s: h = 500 ms, tick/2 + epsilon = 1200 ms, and a touch at t gives the deadline t + 9800 - 1000.
 */
#ifndef LIVY_HA_TEST_CORE_FIXTURE_H
#define LIVY_HA_TEST_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "livy-ha/clock.h"

#define T 10000
#define LEASE 8800 /* from the proof to the deadline: T (1 - 2 rho) - K */
#define SESSION 0x1000
#define EPOCH 77
#define UNUSED __attribute__((unused))

static struct core core;
static struct core_actions out;
static size_t expected; /* how many of `out` have been looked at */
static int64_t now;
static unsigned uuids;
static bool livy_answers = true; /* in all_is_well() */

static bool cosmetic(enum core_action_type type)
{
    return type == CORE_ACT_PHASE || type == CORE_ACT_HISTORY || type == CORE_ACT_PUBLISH ||
           type == CORE_ACT_ALARM || type == CORE_ACT_DEATH || type == CORE_ACT_ASK ||
           type == CORE_ACT_TENURE || type == CORE_ACT_CLEAR;
}

static UNUSED void nothing_else(void)
{
    while (expected < out.count && cosmetic(out.list[expected].type))
        expected++;
    if (expected < out.count)
        fail_msg("at %lld: action %d was not expected: %s %s", (long long)now, (int)out.list[expected].type,
                 out.list[expected].node, out.list[expected].text);
}

static UNUSED void at(int64_t time)
{
    assert_true(time >= now);
    now = time;
}

static UNUSED void event(struct core_event e)
{
    char uuid[CORE_UUID_SIZE];

    nothing_else();
    if (core.spare_uuid[0] == '\0')
        uuids++;
    snprintf(uuid, sizeof(uuid), "%08x-0000-4000-8000-000000000000", uuids);
    e.uuid = uuid;
    core_step(&core, &e, now, &out);
    expected = 0;
    assert_true(core_next(&core, now) > now);
}

/* The next action must be of this type. */
static UNUSED const struct core_action *expect(enum core_action_type type)
{
    while (expected < out.count && out.list[expected].type != type && cosmetic(out.list[expected].type))
        expected++;
    if (expected >= out.count)
        fail_msg("at %lld: action %d was expected, nothing came", (long long)now, (int)type);
    if (out.list[expected].type != type)
        fail_msg("at %lld: action %d was expected, %d came: %s %s", (long long)now, (int)type,
                 (int)out.list[expected].type, out.list[expected].node, out.list[expected].text);
    return &out.list[expected++];
}

/* Whether it is told, anywhere among the last step's actions. */
static UNUSED bool told(enum core_history history)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.list[i].type == CORE_ACT_HISTORY && out.list[i].history == history)
            return true;
    return false;
}

static UNUSED bool came(enum core_action_type type)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.list[i].type == type)
            return true;
    return false;
}

/* The last step's actions do not matter here. */
static UNUSED void whatever(void)
{
    expected = out.count;
}

static UNUSED void time_is(int64_t time)
{
    at(time);
    event((struct core_event){.type = CORE_EV_TIME});
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

static const struct core_config story_config = {.tick = 2000,
                                                .kill_margin = 1000,
                                                .start_timeout = 30000,
                                                .stop_grace = 5000,
                                                .probe_interval = 5000,
                                                .probe_timeout = 5000,
                                                .probe_failures = 3,
                                                .restarts = 2,
                                                .restart_window = 600000};

static UNUSED void begin_with(const struct ipc_session *session, const struct ipc_livy *livy)
{
    static const struct ipc_livy none;

    now = 100000;
    uuids = 0;
    out.count = expected = 0;
    core_init(&core, &story_config, session, livy != NULL ? livy : &none, now);
    event((struct core_event){.type = CORE_EV_TIME});
}

/* ---- ZooKeeper --------------------------------------------------------------------------------------- */

static UNUSED void connected(int64_t session)
{
    event((struct core_event){.type = CORE_EV_CONNECTED, .session = session, .timeout = T});
}

static UNUSED void suspended(void)
{
    event((struct core_event){.type = CORE_EV_SUSPENDED});
}

static UNUSED void reply(enum core_request request, enum core_rc rc)
{
    event((struct core_event){
        .type = CORE_EV_REPLY, .request = request, .op = core.pending[request], .rc = rc});
}

static UNUSED const char *own_name(int sequence)
{
    static char name[CORE_NODE_SIZE];
    snprintf(name, sizeof(name), "_c_%s-latch-%010d", core.uuid, sequence);
    return name;
}

static UNUSED const char *other_name(int sequence)
{
    static char name[4][CORE_NODE_SIZE];
    char *next = name[sequence % 4];
    snprintf(next, CORE_NODE_SIZE, "_c_ffffffff-0000-4000-8000-000000000000-latch-%010d", sequence);
    return next;
}

static UNUSED void created(int sequence)
{
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_CREATE,
                              .op = core.pending[CORE_REQ_CREATE],
                              .name = own_name(sequence)});
}

/* The children of the latch; NULL ends them. */
static UNUSED void listed(const char *first, ...)
{
    const char *names[8];
    size_t n = 0;
    va_list args;

    va_start(args, first);
    for (const char *name = first; name != NULL && n < 8; name = va_arg(args, const char *))
        names[n++] = name;
    va_end(args);
    assert_int_not_equal(core.pending[CORE_REQ_LIST], 0);
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_LIST,
                              .op = core.pending[CORE_REQ_LIST],
                              .names = names,
                              .n_names = n});
}

static UNUSED void owned_by(int64_t session, int64_t czxid)
{
    assert_int_not_equal(core.pending[CORE_REQ_OWN], 0);
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_OWN,
                              .op = core.pending[CORE_REQ_OWN],
                              .owner = session,
                              .czxid = czxid});
}

static UNUSED void watched(int64_t owner)
{
    assert_int_not_equal(core.pending[CORE_REQ_WATCH], 0);
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_WATCH,
                              .op = core.pending[CORE_REQ_WATCH],
                              .owner = owner});
}

static UNUSED void predecessor_gone(void)
{
    event((struct core_event){.type = CORE_EV_PRED_CHANGED});
}

static UNUSED void own_changed(bool deleted)
{
    event((struct core_event){.type = CORE_EV_OWN_CHANGED, .op = core.node_tag, .deleted = deleted});
}

/* How the one before us went, as <root>/handover and members/ tell it. */
static UNUSED void left(enum core_left how)
{
    assert_int_not_equal(core.pending[CORE_REQ_HANDOVER], 0);
    event((struct core_event){.type = CORE_EV_REPLY,
                              .request = CORE_REQ_HANDOVER,
                              .op = core.pending[CORE_REQ_HANDOVER],
                              .left = how});
}

/* First in the queue, and nothing of an earlier active member is found. */
static UNUSED void nobody_before(void)
{
    expect(CORE_ACT_HANDOVER);
    left(CORE_LEFT_IN_ORDER);
}

/* With START our tenure is written. */
static UNUSED void tenures(void)
{
    expect(CORE_ACT_TENURE);
    reply(CORE_REQ_TENURE, CORE_OK);
}

static UNUSED void beat_answered(uint64_t op, enum core_rc rc)
{
    event((struct core_event){.type = CORE_EV_BEAT, .op = op, .rc = rc});
}

/* ---- keeper and Livy --------------------------------------------------------------------------------- */

static UNUSED struct ipc_livy livy_is(uint32_t state, uint32_t run, uint32_t cause, int64_t kill_at)
{
    return (struct ipc_livy){.state = state,
                             .run = run,
                             .cause = cause,
                             .pid = state == IPC_LIVY_NONE ? 0 : 4711,
                             .epoch = EPOCH,
                             .kill_at = kill_at,
                             /* The keeper says of a dead one when it was started. */
                             .started_at = state == IPC_LIVY_ALIVE ? now : core.livy.started_at};
}

static UNUSED void livy_runs(uint32_t run, int64_t kill_at)
{
    event((struct core_event){.type = CORE_EV_LIVY,
                              .livy = livy_is(IPC_LIVY_ALIVE, run, IPC_CAUSE_NONE, kill_at)});
}

static UNUSED void livy_stopping(uint32_t run, uint32_t cause)
{
    event((struct core_event){.type = CORE_EV_LIVY,
                              .livy = livy_is(IPC_LIVY_STOPPING, run, cause, core.leased)});
}

static UNUSED void livy_dead(uint32_t run, uint32_t cause)
{
    event((struct core_event){.type = CORE_EV_LIVY, .livy = livy_is(IPC_LIVY_NONE, run, cause, 0)});
}

static UNUSED void leased(int64_t kill_at)
{
    event((struct core_event){.type = CORE_EV_LEASED, .kill_at = kill_at});
}

static UNUSED void probed(bool alive)
{
    event((struct core_event){.type = CORE_EV_PROBE, .alive = alive, .text = alive ? "200" : "no answer"});
}

static UNUSED void stand(bool may)
{
    event((struct core_event){.type = CORE_EV_STAND, .stand = may, .text = may ? "" : "drained"});
}

/* Deaths of Livy on this member that count. */
static UNUSED int deaths_here(void)
{
    int n = 0;
    for (size_t i = 0; i < core.backoff.n; i++)
        n += core.backoff.list[i].member == 0 && !core.backoff.list[i].gave_up;
    return n;
}

/* ---- what an elector that died has left --------------------------------------------------------------- */

static const struct ipc_session left_behind UNUSED = {
    .id = SESSION,
    .timeout = T,
    .uuid = "aaaaaaaa-0000-4000-8000-000000000000",
    .node = "_c_aaaaaaaa-0000-4000-8000-000000000000-latch-0000000005"};

static UNUSED struct ipc_livy left_running(void)
{
    return (struct ipc_livy){
        .state = IPC_LIVY_ALIVE, .run = 3, .pid = 9, .epoch = EPOCH, .kill_at = 107000, .started_at = 90000};
}

/* ---- longer ways ------------------------------------------------------------------------------------- */

/* From nothing to a create that is under way. */
static UNUSED void ask_for_a_node(void)
{
    begin_with(NULL, NULL);
    connected(SESSION);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_REGISTER);
    reply(CORE_REQ_REGISTER, CORE_OK);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_CREATE);
}

/* From nothing to a latch node of sequence 5, not listed yet. */
static UNUSED void join(void)
{
    ask_for_a_node();
    expect(CORE_ACT_CLEAR); /* what a daemon before us may have left */
    reply(CORE_REQ_CLEAR, CORE_NONODE);
    created(5);
    expect(CORE_ACT_SESSION);
    expect(CORE_ACT_OWN);
    expect(CORE_ACT_LIST);
    beat_answered(expect(CORE_ACT_BEAT)->op, CORE_OK);
}

static UNUSED void become_standby(void)
{
    join();
    listed(other_name(3), own_name(5), NULL);
    expect(CORE_ACT_WATCH);
    watched(SESSION + 1);
    owned_by(SESSION, EPOCH);
    assert_int_equal(core.phase, CORE_STANDBY);
}

/* First in the queue; Livy's first run has been asked for and runs, its deadline is as first proved. */
static UNUSED void become_active(void)
{
    join();
    owned_by(SESSION, EPOCH);
    listed(own_name(5), NULL);
    nobody_before();
    const struct core_action *start = expect(CORE_ACT_START);
    assert_int_equal(start->epoch, EPOCH);
    assert_int_equal(start->run, 1);
    int64_t kill_at = start->kill_at;
    tenures();
    livy_runs(1, kill_at);
    assert_true(told(CORE_HIST_STARTED));
    expect(CORE_ACT_PROBE);
    probed(true);
    assert_true(told(CORE_HIST_SERVING));
    assert_int_equal(core.phase, CORE_ACTIVE);
}

/* Time passes and all is well: ZooKeeper acknowledges at once, the keeper confirms, Livy answers (or not). */
static UNUSED void all_is_well(int64_t until)
{
    nothing_else();
    if (core.pending[CORE_REQ_TENURE] != 0)
        reply(CORE_REQ_TENURE, CORE_OK);
    while (core_next(&core, now) <= until) {
        struct core_actions now_asked;
        time_is(core_next(&core, now));
        now_asked = out;
        whatever();
        for (size_t i = 0; i < now_asked.count; i++) {
            const struct core_action *a = &now_asked.list[i];
            if (a->type == CORE_ACT_BEAT)
                beat_answered(a->op, CORE_OK);
            else if (a->type == CORE_ACT_LEASE)
                leased(a->kill_at);
            else if (a->type == CORE_ACT_PROBE)
                probed(livy_answers);
            else if (!cosmetic(a->type))
                fail_msg("at %lld: action %d does not belong to a quiet time", (long long)now, (int)a->type);
            for (size_t j = 0; j < out.count; j++)
                if (out.list[j].type == CORE_ACT_LEASE) {
                    whatever();
                    leased(out.list[j].kill_at);
                    break;
                }
            nothing_else();
        }
    }
    at(until);
}

/* A next run is asked for, and runs. */
static UNUSED void restarted(uint32_t run)
{
    const struct core_action *start = expect(CORE_ACT_START);
    assert_int_equal(start->run, run);
    whatever();
    livy_runs(run, start->kill_at);
    expect(CORE_ACT_PROBE);
    probed(true);
}

/* When the next START is asked for, heartbeats answered meanwhile; CLOCK_NEVER: not until then. */
static UNUSED int64_t next_start(int64_t until)
{
    nothing_else();
    while (core_next(&core, now) <= until) {
        time_is(core_next(&core, now));
        for (size_t i = 0; i < out.count; i++) {
            if (out.list[i].type == CORE_ACT_START)
                return now;
            if (out.list[i].type == CORE_ACT_BEAT) {
                uint64_t op = out.list[i].op;
                whatever();
                beat_answered(op, CORE_OK);
                if (came(CORE_ACT_START))
                    return now;
                break;
            }
        }
    }
    return CLOCK_NEVER;
}

#endif
