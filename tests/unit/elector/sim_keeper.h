/* sim_keeper.h - the keeper's process on a host: what keeper.c, child.c and fence.c do around the machine. */
#ifndef LIVY_HA_TEST_SIM_KEEPER_H
#define LIVY_HA_TEST_SIM_KEEPER_H

#include "sim_host.h"

static void sim_elector_wake(struct sim *s, int64_t host, int64_t unused);
static void sim_elector_hello(struct sim *s, int64_t host, int64_t life);
static void sim_elector_end(struct sim *s, int host);
static void sim_elector_eof(struct sim *s, int64_t host, int64_t life);
static void sim_keeper_end(struct sim *s, int host);

static void sim_keeper_send(struct sim *s, int host, const struct kcore_action *a)
{
    uint32_t type = a->message;
    struct sim_host *h = sim_host(s, host);
    struct sim_packet *p = calloc(1, sizeof(*p));

    if (p == NULL)
        abort();
    p->msg.type = type;
    p->msg.run = a->answer;
    kcore_livy(&h->kcore, &p->msg.livy);
    p->msg.kill_at = h->kcore.kill_at;
    p->msg.quitting = h->kcore.quitting;
    p->msg.fence = h->kcore.fence.order;
    if (a->type == KCORE_ACT_REFUSE_FENCE) {
        p->msg.fence.number = a->number;
        p->msg.fence.outcome = IPC_FENCE_NOT_RUN;
    }
    if (type == IPC_WELCOME && h->kcore.has_session)
        p->msg.session = h->kcore.session;
    sim_put(s, &h->to_elector, p, sim_roll(s, 1), sim_elector_wake, host);
}

/* ---- the fence command: may fail, or take longer than it may ------------------------------------------ */

static void sim_fence_exit(struct sim *s, int64_t host, int64_t life)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->fence || h->fence_life != (uint64_t)life)
        return;
    if (h->keeper_stopped > sim_now(s)) {
        sim_at(s, h->keeper_stopped + sim_roll(s, 2), sim_fence_exit, host, life);
        return;
    }
    h->fence = false;
    sim_keeper_event(
        s, (int)host,
        &(struct kcore_event){.type = KCORE_EV_FENCE_EXITED, .status = sim_chance(s, 600) ? 0 : 1});
}

static void sim_fence_run(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);

    if (sim_chance(s, 50)) {
        sim_keeper_event(s, host,
                         &(struct kcore_event){.type = KCORE_EV_FENCE_FORKED, .text = "fork failed"});
        return;
    }
    if (h->fence)
        sim_die(s, "two fence commands at once on one host");
    h->fence = true;
    h->fence_life++;
    sim_trace(s, "host %d   fences %s", host, h->kcore.fence.order.member.id);
    sim_keeper_event(s, host, &(struct kcore_event){.type = KCORE_EV_FENCE_FORKED, .pid = 4711});
    sim_after(s, sim_roll(s, 8000), sim_fence_exit, host, (int64_t)h->fence_life);
}

/* ---- its loop ----------------------------------------------------------------------------------------- */

static void sim_keeper_perform(struct sim *s, int host, const struct kcore_action *a)
{
    struct sim_host *h = sim_host(s, host);

    if (a->type == KCORE_ACT_SPAWN_ELECTOR) {
        h->elector = true;
        h->welcomed = h->keeper_gone = h->elector_exited = false;
        h->life++;
        sim_cut(&h->to_keeper, 0);
        sim_after(s, 10 + sim_roll(s, 30), sim_elector_hello, host, (int64_t)h->life);
    } else if (a->type == KCORE_ACT_KILL_ELECTOR) {
        sim_elector_end(s, host);
    } else if (a->type == KCORE_ACT_FORK_LIVY) {
        sim_livy_fork(s, host);
    } else if (a->type == KCORE_ACT_TERM_LIVY) {
        sim_livy_kill(s, host, sim_roll(s, 6000), 256 + 15);
    } else if (a->type == KCORE_ACT_KILL_LIVY) {
        sim_livy_sigkill(s, host);
    } else if (a->type == KCORE_ACT_FREE_LOCK && sim_chance(s, 900)) {
        sim_keeper_event(s, host, &(struct kcore_event){.type = KCORE_EV_LOCK_FREE});
    } else if (a->type == KCORE_ACT_SEND || a->type == KCORE_ACT_REFUSE_FENCE) {
        sim_keeper_send(s, host, a);
    } else if (a->type == KCORE_ACT_RUN_FENCE) {
        sim_fence_run(s, host);
    } else if (a->type == KCORE_ACT_KILL_FENCE) {
        sim_after(s, sim_roll(s, 5), sim_fence_exit, host, (int64_t)h->fence_life);
    } else if (a->type == KCORE_ACT_EXIT) {
        sim_keeper_end(s, host);
    }
}

static void sim_keeper_time(struct sim *s, int64_t host, int64_t alarm)
{
    if (sim_host(s, host)->keeper_alarm == (uint64_t)alarm)
        sim_keeper_wake(s, host, 0);
}

static void sim_keeper_event(struct sim *s, int host, const struct kcore_event *event)
{
    struct sim_host *h = sim_host(s, host);
    struct kcore_actions actions;

    if (!h->keeper)
        return;
    kcore_step(&h->kcore, event, sim_now(s), &actions);
    for (size_t i = 0; i < actions.count && h->keeper; i++)
        sim_keeper_perform(s, host, &actions.list[i]);
    int64_t next = kcore_next(&h->kcore, sim_now(s));
    if (next <= sim_now(s))
        sim_die(s, "kcore_next is not ahead");
    if (next != CLOCK_NEVER)
        sim_at(s, next + sim_lag(s), sim_keeper_time, host, (int64_t)++h->keeper_alarm);
}

static void sim_keeper_drain(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);
    struct sim_packet *batch[SIM_CHANNEL + 1];
    int n = 0;

    while (n <= SIM_CHANNEL && (batch[n] = sim_pop(&h->to_keeper)) != NULL)
        n++;
    for (int i = 0; i < n; i++) {
        struct kcore_event event = {.type = KCORE_EV_MESSAGE, .msg = &batch[i]->msg};
        for (int j = i + 1; j < n; j++)
            event.superseded |= batch[j]->msg.type == IPC_STOP || batch[j]->msg.type == IPC_RELEASING;
        sim_keeper_event(s, host, &event);
    }
    for (int i = 0; i < n; i++)
        free(batch[i]);
}

static void sim_keeper_reap(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);

    if (h->livy_exited) {
        h->livy_exited = false;
        sim_keeper_event(s, host,
                         &(struct kcore_event){.type = KCORE_EV_LIVY_EXITED, .status = h->livy_status});
    }
    if (h->elector_exited) {
        h->elector_exited = false;
        sim_keeper_drain(s, host); /* its last words */
        sim_keeper_event(s, host, &(struct kcore_event){.type = KCORE_EV_ELECTOR_EXITED, .status = 256 + 9});
    }
}

/* One turn of its loop: deadlines first, then signals and the channel in any order. */
static void sim_keeper_wake(struct sim *s, int64_t host, int64_t unused)
{
    struct sim_host *h = sim_host(s, host);

    (void)unused;
    if (!h->keeper)
        return;
    if (h->keeper_stopped > sim_now(s)) {
        sim_at(s, h->keeper_stopped + sim_roll(s, 2), sim_keeper_wake, host, 0);
        return;
    }
    sim_keeper_event(s, (int)host, &(struct kcore_event){.type = KCORE_EV_TIME});
    if (sim_chance(s, 500))
        sim_keeper_drain(s, (int)host);
    sim_keeper_reap(s, (int)host);
    sim_keeper_drain(s, (int)host);
}

static void sim_keeper_begin(struct sim *s, int64_t host, int64_t unused)
{
    struct sim_host *h = sim_host(s, host);

    (void)unused;
    if (h->keeper)
        return;
    if (h->elector || h->livy) { /* they hold locks: what is left over is killed, an elector is waited for */
        sim_livy_sigkill(s, (int)host);
        sim_after(s, 500, sim_keeper_begin, host, 0);
        return;
    }
    h->keeper = true;
    h->elector_exited = h->livy_exited = false;
    h->keeper_stopped = 0;
    sim_cut(&h->to_keeper, 0);
    kcore_init(&h->kcore, sim_kcore_config(), sim_now(s));
    sim_keeper_wake(s, host, 0);
}

/* However it ends, Livy does not outlive it by more than a SIGKILL takes (PDEATHSIG). */
static void sim_keeper_end(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->keeper)
        return;
    h->keeper = false;
    h->fence = false; /* it runs on, but there is nobody whom its end is told */
    h->keeper_stopped = 0;
    h->keeper_alarm++;
    sim_livy_sigkill(s, host);
    sim_after(s, sim_roll(s, 2), sim_elector_eof, host, (int64_t)h->life);
    sim_after(s, 500 + sim_roll(s, 8000), sim_keeper_begin, host, 0);
}

#endif
