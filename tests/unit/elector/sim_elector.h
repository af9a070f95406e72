/* sim_elector.h - the elector's process on a host: what elector.c, act.c, channel.c and guard.c do around
 * the core. */
#ifndef LIVY_HA_TEST_SIM_ELECTOR_H
#define LIVY_HA_TEST_SIM_ELECTOR_H

#include "sim_deaths.h"
#include "sim_keeper.h"
#include "sim_orders.h"

static void sim_elector_send(struct sim *s, int host, enum ipc_type type, const struct core_action *a)
{
    struct sim_host *h = sim_host(s, host);

    if (h->keeper_gone || h->to_keeper.n >= (h->channel > 0 ? h->channel : SIM_CHANNEL))
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
    if (type == IPC_FENCE) {
        p->msg.fence.number = a->op;
        p->msg.fence.member = h->core.takeover.victim.member;
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

static void sim_take_leave(struct sim *s, int host)
{
    struct sim_host *h = sim_host(s, host);
    struct core_event dead = {.type = CORE_EV_LIVY};

    sim_elector_event(s, host, &(struct core_event){.type = CORE_EV_QUIT, .text = "the keeper is gone"});
    dead.livy = h->core.livy;
    if (dead.livy.state != IPC_LIVY_NONE || h->core.start_run != 0) {
        dead.livy.state = IPC_LIVY_NONE;
        dead.livy.cause = IPC_CAUSE_ORPHANED;
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

/* Silence may be a busy Livy's as well; an answer is always of a living one. */
static void sim_looked(struct sim *s, int64_t host, int64_t op)
{
    struct sim_host *h = sim_host(s, host);
    struct sim_news *n = sim_news(CORE_EV_PREDECESSOR);
    int victim = h->core.takeover.victim.tenure[0] - '0';

    n->event.op = (uint64_t)op;
    n->event.untold = sim_chance(s, 50);
    n->event.alive = !n->event.untold && victim >= 0 && sim_host(s, victim)->livy && sim_chance(s, 900);
    sim_elector_news(s, host, n);
}

/* After front.drain it is not waited for. */
static void sim_quiet(struct sim *s, int64_t host, int64_t unused)
{
    (void)unused;
    sim_elector_news(s, host, sim_news(CORE_EV_QUIET));
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
        sim_client_request(s, host, SIM_EXISTS, a, true, a->tag + 1); /* 0: the predecessor's */
        break;
    case CORE_ACT_WATCH:
        sim_client_request(s, host, SIM_EXISTS, a, true, 0);
        break;
    case CORE_ACT_HANDOVER:
        sim_client_request(s, host, SIM_EXISTS, a, false, 0);
        break;
    case CORE_ACT_TENURE:
    case CORE_ACT_CLEAR:
        sim_client_request(s, host, SIM_REGISTER, a, false, 0);
        break;
    case CORE_ACT_FENCE:
        sim_trace(s, "host %d   FENCE %s", host, h->core.takeover.victim.member.id);
        sim_fencing(s, host);
        sim_elector_send(s, host, IPC_FENCE, a);
        break;
    case CORE_ACT_PROBE_PREDECESSOR:
        sim_after(s, sim_roll(s, 250), sim_looked, host, (int64_t)a->op);
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
    case CORE_ACT_QUIESCE:
        if (a->on)
            sim_after(s, sim_roll(s, 300), sim_quiet, host, 0);
        break;
    case CORE_ACT_MARK:
        sim_orders_mark(s, host, a);
        break;
    case CORE_ACT_STOP:
        sim_trace(s, "host %d   STOP, grace %lld: %s", host, (long long)a->grace, a->text);
        sim_elector_send(s, host, IPC_STOP, a);
        break;
    case CORE_ACT_ASK:
        sim_elector_send(s, host, IPC_ASK, a);
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
    case CORE_ACT_DEATH:
        sim_note_death(s, host, a->gave_up);
        break;
    case CORE_ACT_ALARM:
        sim_trace(s, "host %d   alarm %s: %s", host, a->on ? "on" : "off", a->text);
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
    struct core_event event = {.op = msg->run, .livy = msg->livy, .kill_at = msg->kill_at};

    if (msg->type == IPC_WELCOME) {
        sim_welcome(s, host, msg);
    } else if (msg->type == IPC_PING) {
        sim_elector_send(s, host, IPC_PONG, NULL);
    } else if (msg->type == IPC_LIVY || msg->type == IPC_LEASED || msg->type == IPC_QUIT ||
               msg->type == IPC_LEAVE || msg->type == IPC_FENCED) {
        event.op = msg->type == IPC_FENCED ? msg->fence.number : msg->run;
        event.failed = msg->fence.outcome != IPC_FENCE_EXITED || msg->fence.status != 0;
        event.type = msg->type == IPC_LIVY     ? CORE_EV_LIVY
                     : msg->type == IPC_LEASED ? CORE_EV_LEASED
                     : msg->type == IPC_QUIT   ? CORE_EV_QUIT
                     : msg->type == IPC_FENCED ? CORE_EV_FENCED
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
