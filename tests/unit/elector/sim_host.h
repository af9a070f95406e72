/* sim_host.h - a host: the keeper's machine, the elector's machine, the channel between them, and a Livy that
 * lives, dies late and is killed. The glue here does what keeper.c, act.c, channel.c and guard.c do.
 *
 * A process can be killed (its requests are still on their way) or stopped (it sees nothing until it goes
 * on). One guard of the lease is assumed to run: keeper and elector are never out of order at the same time.
 */
#ifndef LIVY_HA_TEST_SIM_HOST_H
#define LIVY_HA_TEST_SIM_HOST_H

#include "kcore.h"
#include "livy-ha/clock.h"
#include "sim_client.h"

#define SIM_CHANNEL 80 /* messages that fit before the channel is full */

struct sim_packet {
    struct sim_item item;
    struct ipc_msg msg;
};

struct sim_host {
    struct sim_client client;

    bool elector, welcomed, keeper_gone, guarding;
    uint64_t life; /* of the elector: counts */
    int64_t elector_stopped;
    struct core core;
    struct sim_link inbox, to_elector;
    uint64_t alarm;

    bool keeper, elector_exited, livy_exited;
    int64_t keeper_stopped;
    struct kcore kcore;
    struct sim_link to_keeper;
    uint64_t keeper_alarm;

    bool livy, hung;
    uint64_t livy_life;
    int64_t serves_at;
    int livy_status;
};

static struct sim_host *sim_host(struct sim *s, int64_t host);
static void sim_elector_event(struct sim *s, int host, struct core_event *event);
static void sim_keeper_event(struct sim *s, int host, const struct kcore_event *event);
/* The test's: told at each birth and after each step of an elector. */
static void sim_livy_born(struct sim *s, int host);
static void sim_elector_stepped(struct sim *s, int host, const struct core_event *event,
                                const struct sim_news *news);
static const struct core_config *sim_core_config(void);
static const struct kcore_config *sim_kcore_config(void);

static struct sim_client *sim_client(struct sim *s, int64_t host)
{
    return &sim_host(s, host)->client;
}

static bool sim_client_halted(struct sim *s, int64_t host)
{
    return sim_host(s, host)->elector_stopped > sim_now(s);
}

/* Delays of the scheduler: short, now and then less so. */
static int64_t sim_lag(struct sim *s)
{
    return sim_chance(s, 5) ? sim_roll(s, 40) : sim_roll(s, 2);
}

/* ---- Livy -------------------------------------------------------------------------------------------- */

static void sim_keeper_wake(struct sim *s, int64_t host, int64_t unused);

static void sim_livy_dead(struct sim *s, int64_t host, int64_t life)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->livy || h->livy_life != (uint64_t)life)
        return;
    sim_trace(s, "host %d   Livy is dead", (int)host);
    h->livy = false;
    h->livy_exited = true;
    sim_after(s, sim_lag(s), sim_keeper_wake, host, 0);
}

static void sim_livy_kill(struct sim *s, int host, int64_t within, int status)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->livy)
        return;
    h->livy_status = status;
    sim_after(s, within, sim_livy_dead, host, (int64_t)h->livy_life);
}

/* SIGKILL takes less than K. */
static void sim_livy_sigkill(struct sim *s, int host)
{
    sim_livy_kill(s, host, sim_roll(s, sim_core_config()->kill_margin - 100), 256 + 9);
}

static void sim_livy_fork(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);

    sim_trace(s, "host %d   Livy is started, to be killed at %lld", host, (long long)h->kcore.kill_at);
    h->livy = true;
    h->hung = h->livy_exited = false;
    h->livy_life++;
    h->serves_at = sim_now(s) + sim_roll(s, 3000);
    sim_livy_born(s, host);
    sim_keeper_event(s, host, &(struct kcore_event){.type = KCORE_EV_FORKED, .pid = (int32_t)h->livy_life});
}

/* ---- the keeper -------------------------------------------------------------------------------------- */

static void sim_elector_wake(struct sim *s, int64_t host, int64_t unused);
static void sim_elector_hello(struct sim *s, int64_t host, int64_t life);

static void sim_keeper_send(struct sim *s, int host, uint32_t type)
{
    struct sim_host *h = sim_host(s, host);
    struct sim_packet *p = calloc(1, sizeof(*p));

    if (p == NULL)
        abort();
    p->msg.type = type;
    kcore_livy(&h->kcore, &p->msg.livy);
    p->msg.kill_at = h->kcore.kill_at;
    p->msg.quitting = h->kcore.quitting;
    if (type == IPC_WELCOME && h->kcore.has_session)
        p->msg.session = h->kcore.session;
    sim_put(s, &h->to_elector, p, sim_roll(s, 1), sim_elector_wake, host);
}

static void sim_elector_end(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->elector)
        return;
    sim_client_close(s, host, true);
    h->elector = h->welcomed = h->guarding = false;
    h->elector_stopped = 0;
    h->elector_exited = true;
    for (struct sim_news *n; (n = sim_pop(&h->inbox)) != NULL;) {
        free(n->msg);
        free(n);
    }
    sim_cut(&h->to_elector, 0);
    sim_after(s, sim_lag(s), sim_keeper_wake, host, 0);
}

static void sim_keeper_end(struct sim *s, int host);

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
    } else if (a->type == KCORE_ACT_SEND) {
        sim_keeper_send(s, host, a->message);
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

static void sim_elector_eof(struct sim *s, int64_t host, int64_t life);

/* However it ends, Livy does not outlive it by more than a SIGKILL takes (PDEATHSIG). */
static void sim_keeper_end(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->keeper)
        return;
    h->keeper = false;
    h->keeper_stopped = 0;
    h->keeper_alarm++;
    sim_livy_sigkill(s, host);
    sim_after(s, sim_roll(s, 2), sim_elector_eof, host, (int64_t)h->life);
    sim_after(s, 500 + sim_roll(s, 8000), sim_keeper_begin, host, 0);
}

/* ---- the elector ------------------------------------------------------------------------------------- */

static void sim_elector_send(struct sim *s, int host, enum ipc_type type, const struct core_action *a)
{
    struct sim_host *h = sim_host(s, host);

    if (h->keeper_gone || h->to_keeper.n >= SIM_CHANNEL)
        return; /* EPIPE, EAGAIN */
    struct sim_packet *p = calloc(1, sizeof(*p));
    if (p == NULL)
        abort();
    p->msg.type = type;
    p->msg.sent_at = sim_now(s);
    if (a != NULL) {
        p->msg.epoch = a->epoch;
        p->msg.kill_at = a->kill_at;
        p->msg.grace = a->grace;
        p->msg.run = a->run;
    }
    if (type == IPC_SESSION) {
        p->msg.session.id = h->core.session;
        p->msg.session.timeout = h->core.timeout;
        memcpy(p->msg.session.uuid, h->core.uuid, CORE_UUID_SIZE);
        memcpy(p->msg.session.node, h->core.node, CORE_NODE_SIZE);
    }
    sim_put(s, &h->to_keeper, p, sim_roll(s, 1), sim_keeper_wake, host);
}

static void sim_elector_news(struct sim *s, int64_t host, struct sim_news *news)
{
    sim_put(s, &sim_host(s, host)->inbox, news, sim_lag(s), sim_elector_wake, host);
}

static void sim_take_leave(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);
    struct core_event dead = {.type = CORE_EV_LIVY};

    sim_elector_event(s, host, &(struct core_event){.type = CORE_EV_QUIT, .text = "the keeper is gone"});
    dead.livy = h->core.livy;
    if (dead.livy.state != IPC_LIVY_NONE || h->core.start_run != 0) {
        dead.livy.state = IPC_LIVY_NONE;
        dead.livy.cause = IPC_CAUSE_SIGNALLED;
        if (h->core.start_run != 0)
            dead.livy.run = h->core.start_run;
        sim_elector_event(s, host, &dead);
    }
    sim_elector_event(s, host, &(struct core_event){.type = CORE_EV_LEAVE});
}

static void sim_guard_look(struct sim *s, int64_t host, int64_t life)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->elector || !h->guarding || (uint64_t)life != h->life)
        return;
    if (h->livy || h->elector_stopped > sim_now(s)) {
        sim_after(s, 2, sim_guard_look, host, life);
        return;
    }
    h->guarding = false;
    if (h->keeper_gone)
        sim_take_leave(s, (int)host);
    else
        sim_elector_event(s, (int)host, &(struct core_event){.type = CORE_EV_LIVY_GONE});
}

static void sim_guard(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);

    sim_livy_sigkill(s, host);
    if (!h->guarding)
        sim_after(s, 1, sim_guard_look, host, (int64_t)h->life);
    h->guarding = true;
}

static void sim_elector_eof(struct sim *s, int64_t host, int64_t life)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->elector || (uint64_t)life != h->life)
        return;
    if (h->elector_stopped > sim_now(s) || h->to_elector.head != NULL) {
        sim_after(s, 3, sim_elector_eof, host, life);
        return;
    }
    h->keeper_gone = true;
    if (h->welcomed)
        sim_guard(s, (int)host);
    else
        sim_elector_end(s, (int)host); /* no WELCOME will come */
}

static void sim_probed(struct sim *s, int64_t host, int64_t run)
{
    struct sim_host *h = sim_host(s, host);
    struct sim_news *n = sim_news(CORE_EV_PROBE);

    n->event.alive = h->livy && !h->hung && sim_now(s) >= h->serves_at;
    n->event.op = (uint64_t)run;
    sim_elector_news(s, host, n);
}

static void sim_elector_perform(struct sim *s, int host, const struct core_action *a)
{
    struct sim_host *h = sim_host(s, host);

    switch (a->type) {
    case CORE_ACT_CONNECT:
        sim_client_close(s, host, false);
        sim_client_open(s, host, 0);
        break;
    case CORE_ACT_KICK:
        if (sim_client_kick(s, host))
            sim_elector_event(s, host, &(struct core_event){.type = CORE_EV_KICKED});
        break;
    case CORE_ACT_REGISTER:
        sim_client_request(s, host, SIM_REGISTER, a, false, 0);
        break;
    case CORE_ACT_CREATE:
        sim_client_request(s, host, SIM_CREATE, a, false, 0);
        break;
    case CORE_ACT_LIST:
        sim_client_request(s, host, SIM_LIST, a, false, 0);
        break;
    case CORE_ACT_OWN:
        sim_client_request(s, host, SIM_EXISTS, a, true, a->tag);
        break;
    case CORE_ACT_WATCH:
        sim_client_request(s, host, SIM_EXISTS, a, true, 0);
        break;
    case CORE_ACT_HANDOVER:
        sim_client_request(s, host, SIM_EXISTS, a, false, 0);
        break;
    case CORE_ACT_DELETE:
        sim_client_request(s, host, SIM_DELETE, a, false, 0);
        break;
    case CORE_ACT_BEAT:
        sim_client_request(s, host, SIM_CHECK, a, false, 0);
        break;
    case CORE_ACT_SESSION:
        sim_elector_send(s, host, IPC_SESSION, a);
        break;
    case CORE_ACT_START:
        sim_elector_send(s, host, IPC_START, a);
        break;
    case CORE_ACT_LEASE:
        sim_elector_send(s, host, IPC_LEASE, a);
        break;
    case CORE_ACT_STOP:
        sim_trace(s, "host %d   STOP, grace %lld: %s", host, (long long)a->grace, a->text);
        sim_elector_send(s, host, IPC_STOP, a);
        break;
    case CORE_ACT_KILL:
        sim_trace(s, "host %d   the elector kills", host);
        sim_guard(s, host);
        break;
    case CORE_ACT_PROBE:
        sim_after(s, 1 + sim_roll(s, 5), sim_probed, host, h->core.livy.run);
        break;
    case CORE_ACT_RELEASING:
        sim_elector_send(s, host, IPC_RELEASING, a);
        break;
    case CORE_ACT_CLOSE:
        sim_client_close(s, host, false);
        sim_elector_end(s, host);
        break;
    case CORE_ACT_PHASE:
        sim_trace(s, "host %d   %s -> %s: %s", host, core_phase_name(a->old_phase), core_phase_name(a->phase),
                  a->text);
        break;
    case CORE_ACT_FATAL:
        sim_die(s, a->text);
        break;
    case CORE_ACT_HISTORY:
        sim_trace(s, "host %d   %s: %s", host, core_history_name(a->history), a->text);
        break;
    case CORE_ACT_PUBLISH:
        break;
    }
}

static void sim_elector_time(struct sim *s, int64_t host, int64_t alarm)
{
    struct sim_host *h = sim_host(s, host);

    if (!h->elector || h->alarm != (uint64_t)alarm)
        return;
    if (h->elector_stopped > sim_now(s))
        sim_at(s, h->elector_stopped + sim_roll(s, 2), sim_elector_time, host, alarm);
    else
        sim_elector_event(s, (int)host, &(struct core_event){.type = CORE_EV_TIME});
}

static void sim_elector_event(struct sim *s, int host, struct core_event *event)
{
    struct sim_host *h = sim_host(s, host);
    struct core_actions actions;
    char uuid[CORE_UUID_SIZE];

    if (!h->elector || !h->welcomed)
        return;
    snprintf(uuid, sizeof(uuid), "%08x-0000-4000-8000-%012llx", host,
             (unsigned long long)(sim_dice(s) & UINT64_C(0xffffffffffff)));
    event->uuid = uuid;
    core_step(&h->core, event, sim_now(s), &actions);
    sim_elector_stepped(s, host, event, NULL);
    for (size_t i = 0; i < actions.count && h->elector; i++)
        sim_elector_perform(s, host, &actions.list[i]);
    int64_t next = core_next(&h->core, sim_now(s));
    if (next <= sim_now(s))
        sim_die(s, "core_next is not ahead");
    if (next != CLOCK_NEVER)
        sim_at(s, next + sim_lag(s), sim_elector_time, host, (int64_t)++h->alarm);
}

static void sim_elector_hello(struct sim *s, int64_t host, int64_t life)
{
    if (sim_host(s, host)->elector && sim_host(s, host)->life == (uint64_t)life)
        sim_elector_send(s, (int)host, IPC_HELLO, NULL);
}

static void sim_welcome(struct sim *s, int host, const struct ipc_msg *msg)
{
    struct sim_host *h = sim_host(s, host);

    if (h->welcomed)
        return;
    core_init(&h->core, sim_core_config(), &msg->session, &msg->livy, sim_now(s));
    h->welcomed = true;
    sim_client_open(s, host, h->core.session);
    sim_elector_event(s, host, &(struct core_event){.type = msg->quitting ? CORE_EV_QUIT : CORE_EV_TIME});
}

static void sim_from_keeper(struct sim *s, int host, const struct ipc_msg *msg)
{
    struct core_event event = {.livy = msg->livy, .kill_at = msg->kill_at};

    if (msg->type == IPC_WELCOME) {
        sim_welcome(s, host, msg);
    } else if (msg->type == IPC_PING) {
        sim_elector_send(s, host, IPC_PONG, NULL);
    } else if (msg->type == IPC_LIVY || msg->type == IPC_LEASED || msg->type == IPC_QUIT ||
               msg->type == IPC_LEAVE) {
        event.type = msg->type == IPC_LIVY     ? CORE_EV_LIVY
                     : msg->type == IPC_LEASED ? CORE_EV_LEASED
                     : msg->type == IPC_QUIT   ? CORE_EV_QUIT
                                               : CORE_EV_LEAVE;
        sim_elector_event(s, host, &event);
    }
}

static void sim_from_inbox(struct sim *s, int host, struct sim_news *n)
{
    static const char *names[SIM_NODES];
    struct sim_host *h = sim_host(s, host);
    bool stale = n->handle != 0 && n->handle != h->client.handle;

    if (n->event.type == CORE_EV_PROBE)
        stale = n->event.op != h->core.livy.run || h->core.livy.state == IPC_LIVY_NONE;
    if (!stale) {
        for (size_t i = 0; i < n->event.n_names; i++)
            names[i] = n->msg->names[i];
        n->event.names = names;
        sim_elector_event(s, host, &n->event);
        sim_elector_stepped(s, host, &n->event, n);
    }
    free(n->msg);
    free(n);
}

static void sim_elector_wake(struct sim *s, int64_t host, int64_t unused)
{
    struct sim_host *h = sim_host(s, host);

    (void)unused;
    if (!h->elector)
        return;
    if (h->elector_stopped > sim_now(s)) {
        sim_at(s, h->elector_stopped + sim_roll(s, 2), sim_elector_wake, host, 0);
        return;
    }
    struct sim_packet *p = sim_chance(s, 500) || h->inbox.head == NULL ? sim_pop(&h->to_elector) : NULL;
    struct sim_news *n = p == NULL ? sim_pop(&h->inbox) : NULL;
    if (p != NULL)
        sim_from_keeper(s, (int)host, &p->msg);
    else if (n != NULL)
        sim_from_inbox(s, (int)host, n);
    free(p);
}

#endif
