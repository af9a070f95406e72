/* fuzz_core.c - libFuzzer: both pure machines, on any sequence of events. They must never ask for more
 * actions than they may, never spin, and never start Livy without a lease that lies ahead or beside another
 * one. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "kcore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UUID "00000000-0000-4000-8000-000000000000"

struct input {
    const uint8_t *data;
    size_t left;
};

static unsigned next_byte(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

static void draw_core_event(struct input *in, const struct core *c, int64_t now, struct core_event *event)
{
    static const char *const names[] = {"_c_" UUID "-latch-0000000001", "_c_" UUID "-latch-0000000005",
                                        "_c_11111111-0000-4000-8000-000000000000-latch-0000000003",
                                        "stranger"};
    static const struct core_victim victim = {.tenure = "a@0", .member = {.id = "a", .epoch = 3}};
    static struct core_death deaths[70];
    unsigned pick = next_byte(in);

    for (size_t i = 0; i < 70; i++)
        deaths[i] = (struct core_death){.at = now - (int64_t)(i * pick * 40) + 500,
                                        .member = (uint8_t)(i * pick),
                                        .gave_up = i % 5 == pick % 5};
    *event = (struct core_event){.type = (enum core_event_type)(next_byte(in) % (CORE_EV_DOUBT + 1)),
                                 .request = (enum core_request)(pick % CORE_REQUESTS),
                                 .rc = (enum core_rc)(next_byte(in) % (CORE_DENIED + 1)),
                                 .session = 1 + pick % 2,
                                 .timeout = 2000 + 1000 * (pick % 4),
                                 .uuid = UUID,
                                 .name = names[pick % 2],
                                 .names = names + pick % 3,
                                 .n_names = pick % 2 + 1,
                                 .owner = 1 + pick % 2,
                                 .czxid = 7,
                                 .kill_at = now + 1000,
                                 .deaths = deaths,
                                 .n_deaths = pick % 71,
                                 .standing = pick * UINT64_C(0x9e3779b97f4a7c15),
                                 .status = 75,
                                 .deleted = pick & 1,
                                 .alive = pick & 2,
                                 .foreign = pick % 16 == 15,
                                 .stand = pick & 1,
                                 .bar = (enum core_bar)(pick % (CORE_BARS + 1)),
                                 .orders = {.paused = pick & 4,
                                            .paused_until = now + (int64_t)(pick % 8) * 100,
                                            .epoch = pick % 3 + 6,
                                            .named = pick & 8,
                                            .to_me = pick & 16,
                                            .sequence = pick % 8 - 1,
                                            .next = pick & 32,
                                            .begun = pick & 64,
                                            .restart = pick % 5 == 0 ? 5 + pick % 4 : 0},
                                 .victim = pick % 4 == 1 ? &victim : NULL,
                                 .left = (enum core_left)(pick % 4),
                                 .more = pick % 8 == 1,
                                 .failed = pick & 2,
                                 .untold = pick % 16 == 3,
                                 .text = "fuzz"};
    event->op = event->type == CORE_EV_BEAT ? c->last_op - pick % 4 : c->pending[event->request];
    if (event->type == CORE_EV_FENCED)
        event->op = c->takeover.fence_op;
    if (event->type == CORE_EV_PREDECESSOR)
        event->op = c->takeover.probe_op;
    if (event->type == CORE_EV_OWN_CHANGED)
        event->op = c->node_tag;
    event->livy = (struct ipc_livy){.state = pick % 3,
                                    .cause = next_byte(in) % (IPC_CAUSE_REFUSED + 1),
                                    .run = c->start_run != 0 ? c->start_run : c->livy.run,
                                    .pid = 4711,
                                    .epoch = 7,
                                    .kill_at = now + 500,
                                    .started_at = now};
}

static void check_core(const struct core *c, const struct core_actions *actions, int64_t now)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct core_action *a = &actions->list[i];
        if (a->type == CORE_ACT_FENCE && (a->kill_at <= now || !c->connected || c->doomed))
            abort();
        if (a->type == CORE_ACT_START && c->takeover.state != CORE_TAKEOVER_PASSED)
            abort();
        if (a->type == CORE_ACT_START && c->command.orders.paused && !c->command.start &&
            now < c->command.orders.paused_until)
            abort();
        if (a->type == CORE_ACT_START &&
            (a->kill_at <= now || core_livy_alive(c) || !c->connected || c->doomed))
            abort();
        if (a->type == CORE_ACT_DELETE && a->request == CORE_REQ_DELETE && core_livy_alive(c) &&
            !c->keeper_stuck)
            abort();
    }
    if (core_next(c, now) <= now)
        abort();
}

static void run_core(struct input *in)
{
    static const struct core_config config = {.tick = 500,
                                              .kill_margin = 300,
                                              .start_timeout = 60000,
                                              .stop_grace = 1000,
                                              .drain = 300,
                                              .probe_interval = 1000,
                                              .probe_timeout = 500,
                                              .probe_failures = 3,
                                              .restarts = 3,
                                              .restart_window = 60000,
                                              .takeover_delay = 50,
                                              .fence_timeout = 1000,
                                              .fences = true};
    struct ipc_livy none = {0};
    struct core_actions actions;
    struct core c;
    int64_t now = 1000000;

    core_init(&c, &config, NULL, &none, now);
    while (in->left > 0) {
        struct core_event event;
        unsigned step = next_byte(in);
        now += step < 128 ? step / 16 : (int64_t)(step - 127) * 20;
        draw_core_event(in, &c, now, &event);
        core_step(&c, &event, now, &actions);
        check_core(&c, &actions, now);
    }
}

static void draw_message(struct input *in, const struct kcore *k, int64_t now, struct ipc_msg *msg)
{
    unsigned pick = next_byte(in);

    memset(msg, 0, sizeof(*msg));
    msg->type = IPC_HELLO + pick % (IPC_REQUEST - IPC_HELLO + 1);
    msg->sent_at = now - (pick & 0x10 ? 5000 : 1);
    msg->epoch = 5 + pick % 4;
    msg->run = k->run + pick % 3;
    msg->kill_at = now + (int64_t)next_byte(in) * 20 - 200;
    msg->grace = (int64_t)(pick % 3) * 100;
    msg->session = (struct ipc_session){.id = 1 + pick % 2, .timeout = 4000};
}

static void run_keeper(struct input *in)
{
    static const struct kcore_config config = {.stop_grace = 1000, .orphan_grace = 5000, .drain = 100};
    struct kcore_actions actions;
    struct kcore k;
    struct ipc_msg msg;
    int64_t now = 1000000;

    kcore_init(&k, &config, now);
    while (in->left > 0 && !k.exited) {
        struct kcore_event event = {.type =
                                        (enum kcore_event_type)(next_byte(in) % (KCORE_EV_FENCE_EXITED + 1)),
                                    .msg = &msg,
                                    .pid = 4711,
                                    .text = "",
                                    .count = (int)next_byte(in) % 3};
        now += next_byte(in);
        draw_message(in, &k, now, &msg);
        if (event.type == KCORE_EV_FORKED || event.type == KCORE_EV_FENCE_FORKED)
            event.type = KCORE_EV_TIME; /* only ever an answer to FORK_LIVY, RUN_FENCE */
        kcore_step(&k, &event, now, &actions);
        for (size_t i = 0; i < actions.count; i++) {
            if (actions.list[i].type == KCORE_ACT_RUN_FENCE) {
                if (k.fence.running || k.quitting)
                    abort();
                k.fence.running = true;
                k.fence.kill_at = now + 1000;
            }
            if (actions.list[i].type != KCORE_ACT_FORK_LIVY)
                continue;
            if (k.livy != KCORE_NONE || k.kill_at <= now || k.quitting)
                abort();
            struct kcore_actions more;
            kcore_step(&k, &(struct kcore_event){.type = KCORE_EV_FORKED, .pid = 4711, .text = ""}, now,
                       &more);
        }
        bool running = k.livy == KCORE_RUNNING || k.livy == KCORE_TERMINATING;
        if ((running && now >= k.kill_at + 1 && event.type != KCORE_EV_LOCK_FREE) ||
            kcore_next(&k, now) <= now)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.data = data, .left = size};

    if (next_byte(&in) & 1)
        run_core(&in);
    else
        run_keeper(&in);
    return 0;
}
