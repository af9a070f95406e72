/* host.c - the keeper and Livy. The elector is in member.c. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"
#include "livy-ha/gate.h"
#include "member.h"
#include "ucore.h"

#define SERVES_AFTER 60 /* ms from fork to the first answer */
#define TERM_TAKES 700  /* ms from SIGTERM to Livy's death */
#define COMES_BACK 900  /* ms until a dead daemon is started again */
#define REBOOT 1600
#define HELLO_AFTER 15
#define DOUBT_AFTER 700 /* ms until an elector looks at its keeper: once a second it does */

static const struct kcore_config kcore_config = {.stop_grace = 1000, .orphan_grace = 1000, .drain = 200};

static void keeper_event(struct world *w, int host, const struct kcore_event *event);

/* ---- Livy -------------------------------------------------------------------------------------------- */

void host_sigkill(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    if (!h->livy || h->killed)
        return;
    world_say(w, "host %d    SIGKILL to Livy", host);
    h->killed = true;
    h->livy_status = 256 + 9;
    world_put(w, w->now + w->death, EV_LIVY_DEAD, host, h->livy_life);
}

static void livy_dead(struct world *w, int host, int life)
{
    struct host *h = &w->hosts[host];

    if (!h->livy || h->livy_life != life)
        return;
    world_say(w, "host %d    Livy is dead", host);
    h->livy = h->shut = false;
    h->livy_exited = true;
    world_put(w, w->now + 1, EV_KEEPER_WAKE, host, 0);
}

void host_end_livy(struct world *w, int host)
{
    w->hosts[host].livy_status = 1;
    livy_dead(w, host, w->hosts[host].livy_life);
}

static void check_birth(struct world *w, int host)
{
    for (int i = 0; i < w->n_hosts; i++)
        if (i != host && w->hosts[i].livy && !w->hosts[i].shut)
            world_violation(w, TWO_LIVYS, "host %d starts Livy while host %d's lives", host, i);
}

/* All of the host's processes stand still from right after the start on, and Livy is the first to go on. */
static void hold_up(struct world *w, int host)
{
    struct host *h = &w->hosts[host];
    int64_t until = w->now + h->late;

    world_say(w, "host %d    it is held up for %d ms, with keeper and elector", host, h->late);
    h->shut = true;
    h->late = 0;
    h->keeper_stopped = later(h->keeper_stopped, until);
    h->elector_stopped = later(h->elector_stopped, until);
    h->serves_at = until + SERVES_AFTER;
    world_put(w, until, EV_LIVY_OPENS, host, h->livy_life);
}

static void livy_opens(struct world *w, int host, int life)
{
    struct host *h = &w->hosts[host];

    if (!h->livy || h->livy_life != life || h->killed)
        return;
    if (gate_too_late(h->lease_end, h->lease_end, world_local(w, host))) {
        world_say(w, "host %d    Livy does not begin: its lease has ended", host);
        h->livy_status = GATE_EXIT_LEASE;
        livy_dead(w, host, life);
        return;
    }
    world_say(w, "host %d    Livy begins", host);
    h->shut = false;
    check_birth(w, host);
}

/* A process that is started here, and a held one that is let go, are one thing: from KCORE_ACT_FORK_LIVY on
 * there is a Livy with a deadline, which looks at the clock once more before it writes (the child right
 * before exec, the agent at the gate), at once or any time later. What a standby holds before that can do
 * nothing, so the model has none of it. */
static void fork_livy(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    world_say(w, "host %d    Livy is started, epoch %lld", host, (long long)h->kcore.epoch);
    h->livy = true;
    h->hung = h->livy_exited = h->killed = h->shut = false;
    h->livy_life++;
    h->livy_epoch = h->kcore.epoch;
    w->orders.restarted = h->livy_epoch >= w->orders.restart;
    h->lease_end = h->kcore.kill_at;
    h->serves_at = w->now + SERVES_AFTER;
    if (h->late > 0)
        hold_up(w, host);
    else
        check_birth(w, host);
    keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_FORKED, .pid = h->livy_life});
}

/* The node of this epoch is no more at the leader: nobody may write under it. */
void host_node_gone(struct world *w, int32_t epoch, enum violation how, const char *why)
{
    for (int i = 0; i < w->n_hosts; i++)
        if (w->hosts[i].livy && !w->hosts[i].shut && w->hosts[i].livy_epoch == epoch)
            world_violation(w, how, "host %d: its Livy lives, and its latch node (epoch %d) is gone: %s", i,
                            (int)epoch, why);
}

/* ---- the keeper -------------------------------------------------------------------------------------- */

static void send_packet(struct world *w, int host, uint32_t type, uint32_t number)
{
    struct host *h = &w->hosts[host];
    struct channel *ch = &h->to_elector;

    if (!h->elector || ch->n == CHANNEL)
        return;
    struct packet *p = &ch->list[ch->n++];
    memset(p, 0, sizeof(*p));
    p->type = type;
    kcore_livy(&h->kcore, &p->livy);
    p->kill_at = h->kcore.kill_at;
    p->run = number;
    p->quitting = h->kcore.quitting;
    if (type == IPC_WELCOME && h->kcore.has_session)
        p->session = member_keep(&h->kcore.session);
    ch->last = p->at = later(ch->last, w->now + 1);
    world_put(w, p->at, EV_PACKET, host, 0);
}

void host_kill_elector(struct world *w, int host)
{
    if (!w->hosts[host].elector)
        return;
    world_say(w, "host %d    the elector is dead", host);
    member_end(w, host);
    w->hosts[host].elector_exited = true;
    world_put(w, w->now + 1, EV_KEEPER_WAKE, host, 0);
}

static void new_elector(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    h->elector = true;
    h->welcomed = h->keeper_gone = h->elector_exited = false;
    h->life++;
    h->to_keeper.n = h->to_elector.n = 0;
}

static void spawn_elector(struct world *w, int host)
{
    new_elector(w, host);
    world_put(w, w->now + HELLO_AFTER, EV_HELLO, host, w->hosts[host].life);
}

static void keeper_end(struct world *w, int host, int64_t back)
{
    struct host *h = &w->hosts[host];

    if (!h->keeper)
        return;
    h->keeper = h->swapping = false;
    h->keeper_stopped = 0;
    h->to_keeper.n = 0;
    host_sigkill(w, host); /* PDEATHSIG */
    world_put(w, w->now + 1, EV_KEEPER_GONE, host, h->life);
    world_put(w, w->now + back, EV_KEEPER_BEGIN, host, 0);
}

void host_kill_keeper(struct world *w, int host)
{
    world_say(w, "host %d    the keeper is killed", host);
    keeper_end(w, host, COMES_BACK);
}

static void term_livy(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    world_say(w, "host %d    SIGTERM to Livy", host);
    h->livy_status = 256 + 15;
    if (h->livy && !h->killed)
        world_put(w, w->now + TERM_TAKES, EV_LIVY_DEAD, host, h->livy_life);
}

static void keeper_perform(struct world *w, int host, const struct kcore_action *a)
{
    struct host *h = &w->hosts[host];

    switch (a->type) {
    case KCORE_ACT_SPAWN_ELECTOR:
        spawn_elector(w, host);
        return;
    case KCORE_ACT_KILL_ELECTOR:
        host_kill_elector(w, host);
        return;
    case KCORE_ACT_FORK_LIVY:
        fork_livy(w, host);
        return;
    case KCORE_ACT_TERM_LIVY:
        term_livy(w, host);
        return;
    case KCORE_ACT_KILL_LIVY:
        host_sigkill(w, host);
        return;
    case KCORE_ACT_FREE_LOCK:
        keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_LOCK_FREE});
        return;
    case KCORE_ACT_SEND:
        send_packet(w, host, a->message, a->answer);
        return;
    case KCORE_ACT_FORGET:
        memset(&h->file, 0, sizeof(h->file));
        return;
    case KCORE_ACT_EXIT:
        world_say(w, "host %d    the daemon ends, status %d", host, a->code);
        keeper_end(w, host, COMES_BACK);
        return;
    case KCORE_ACT_STATE:
        world_say(w, "host %d    keeper: livy %s -> %s: %s", host, kcore_livy_name(a->old_livy),
                  kcore_livy_name(a->livy), a->text);
        return;
    case KCORE_ACT_KILL_ORPHANS:
    case KCORE_ACT_ALARM:
    case KCORE_ACT_READY:
    case KCORE_ACT_STATUS:
        return;
    case KCORE_ACT_REQUEST:
    case KCORE_ACT_RUN_FENCE:
    case KCORE_ACT_KILL_FENCE:
    case KCORE_ACT_REFUSE_FENCE:
        break; /* no elector here orders one */
    }
    fprintf(stderr, "the model does not know action %d of the keeper\n", (int)a->type);
    abort();
}

static void keeper_event(struct world *w, int host, const struct kcore_event *event)
{
    struct host *h = &w->hosts[host];
    struct kcore_actions actions;
    int64_t now = world_local(w, host);

    if (!h->keeper)
        return;
    kcore_step(&h->kcore, event, now, &actions);
    if (h->livy && (h->kcore.livy == KCORE_RUNNING || h->kcore.livy == KCORE_TERMINATING))
        h->lease_end = h->kcore.kill_at;
    for (size_t i = 0; i < actions.count && h->keeper; i++)
        keeper_perform(w, host, &actions.list[i]);
    h->keeper_alarm = world_when(w, host, kcore_next(&h->kcore, now));
}

/* All that is waiting is read before anything is obeyed. */
static void drain(struct world *w, int host, bool last_words)
{
    struct host *h = &w->hosts[host];
    struct channel *ch = &h->to_keeper;
    struct packet batch[CHANNEL];
    int n = 0;

    while (n < ch->n && ch->list[n].at <= w->now)
        n++;
    if (n == 0)
        return;
    memcpy(batch, ch->list, (size_t)n * sizeof(batch[0]));
    ch->n -= n;
    memmove(ch->list, ch->list + n, (size_t)ch->n * sizeof(ch->list[0]));
    for (int i = 0; i < n; i++) {
        struct ipc_msg msg;
        struct kcore_event event = {.type = KCORE_EV_MESSAGE, .msg = &msg};
        if ((last_words || h->swapping) && batch[i].type == IPC_RELEASING)
            continue;
        member_unpack(w, &batch[i], &msg);
        for (int j = i + 1; j < n; j++)
            event.superseded |= batch[j].type == IPC_STOP || batch[j].type == IPC_RELEASING;
        keeper_event(w, host, &event);
    }
}

/* The new elector had said HELLO before the old one was killed (upgrade.c, ucore.c): what comes before that
 * touches nothing, and one that is no good after it is killed like any other. */
static bool take_office(struct world *w, int host)
{
    struct host *h = &w->hosts[host];
    struct ipc_msg hello;

    if (!h->swapping)
        return false;
    h->swapping = false;
    if (kcore_not_replaceable(&h->kcore) != NULL)
        return false;
    memset(&hello, 0, sizeof(hello));
    hello.type = IPC_HELLO;
    world_say(w, "host %d    another elector is in its place", host);
    new_elector(w, host);
    keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_ELECTOR_REPLACED});
    keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_MESSAGE, .msg = &hello});
    send_packet(w, host, IPC_PING, 0); /* its answer shows that WELCOME was taken well */
    return true;
}

static void reap(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    if (h->livy_exited) {
        h->livy_exited = false;
        keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_LIVY_EXITED, .status = h->livy_status});
    }
    if (h->elector_exited) {
        h->elector_exited = false;
        for (int i = 0; i < h->to_keeper.n; i++)
            h->to_keeper.list[i].at = w->now;
        drain(w, host, true);
        h->to_keeper.n = 0;
        if (!take_office(w, host))
            keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_ELECTOR_EXITED, .status = 256 + 9});
    }
}

/* One turn of its loop: deadlines first, then the channel and signals, in either order. */
static void wake(struct world *w, const struct event *e)
{
    struct host *h = &w->hosts[e->who];

    if (!h->keeper)
        return;
    if (h->keeper_stopped > w->now) {
        if (e->kind == EV_KEEPER_WAKE)
            world_put_back(w, e, h->keeper_stopped);
        return;
    }
    keeper_event(w, e->who, &(struct kcore_event){.type = KCORE_EV_TIME});
    if (!h->reap_first)
        drain(w, e->who, false);
    h->reap_first = false;
    reap(w, e->who);
    drain(w, e->who, false);
}

static void begin(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    if (h->keeper)
        return;
    if (h->elector || h->livy) { /* they hold locks: a left-over Livy is killed, an elector waited for */
        host_sigkill(w, host);
        world_put(w, w->now + 300, EV_KEEPER_BEGIN, host, 0);
        return;
    }
    world_say(w, "host %d    the daemon starts", host);
    h->keeper = true;
    h->elector_exited = h->livy_exited = false;
    h->keeper_stopped = 0;
    h->to_keeper.n = h->to_elector.n = 0;
    kcore_init(&h->kcore, &kcore_config, world_local(w, host));
    keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_TIME});
}

/* ---- faults, and the rest ---------------------------------------------------------------------------- */

void host_stop_elector(struct world *w, int host, int64_t until)
{
    world_say(w, "host %d    the elector is stopped for %lld ms", host, (long long)(until - w->now));
    w->hosts[host].elector_stopped = until;
}

void host_stop_keeper(struct world *w, int host, int64_t until)
{
    world_say(w, "host %d    the keeper is stopped for %lld ms", host, (long long)(until - w->now));
    w->hosts[host].keeper_stopped = until;
    world_put(w, w->now + DOUBT_AFTER, EV_DOUBT, host, 0);
}

void host_power_off(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    world_say(w, "host %d    power off", host);
    h->livy = h->shut = h->keeper = h->livy_exited = h->elector_exited = h->swapping = false;
    h->keeper_stopped = 0;
    member_vanish(w, host);
    memset(&h->file, 0, sizeof(h->file)); /* another boot */
    world_put(w, w->now + REBOOT, EV_KEEPER_BEGIN, host, 0);
}

bool host_upgrade(struct world *w, int host)
{
    struct host *h = &w->hosts[host];

    if (!h->kcore.elector_said_hello || kcore_lease_left(&h->kcore, world_local(w, host)) < UCORE_LEASE_ROOM)
        return false;
    world_say(w, "host %d    an upgrade: the keeper replaces the elector", host);
    h->swapping = true;
    host_kill_elector(w, host);
    return true;
}

void host_quit(struct world *w, int host)
{
    world_say(w, "host %d    SIGTERM to the daemon", host);
    keeper_event(w, host, &(struct kcore_event){.type = KCORE_EV_QUIT});
}

bool host_well(const struct world *w, int host)
{
    const struct host *h = &w->hosts[host];

    for (int i = 0; i < SERVERS; i++)
        if (h->cut_until[i] > w->now)
            return false;
    if (!h->keeper || !h->elector || !h->welcomed || h->keeper_stopped > w->now ||
        h->elector_stopped > w->now)
        return false;
    const struct core *c = &h->core;
    return c->connected && c->stray[0] == '\0' && c->ghost[0] == '\0' &&
           (c->phase == CORE_STANDBY || (c->phase == CORE_ACTIVE && h->livy && c->serving && !h->hung));
}

bool host_serves(const struct world *w, int host)
{
    const struct host *h = &w->hosts[host];
    return h->livy && h->elector && h->welcomed && h->core.serving && !h->hung;
}

void host_event(struct world *w, const struct event *e)
{
    if (e->kind == EV_KEEPER_WAKE || e->kind == EV_KEEPER_TIME)
        wake(w, e);
    else if (e->kind == EV_LIVY_OPENS)
        livy_opens(w, e->who, e->arg);
    else if (e->kind == EV_LIVY_DEAD)
        livy_dead(w, e->who, e->arg);
    else if (e->kind == EV_KEEPER_BEGIN)
        begin(w, e->who);
    else
        member_event(w, e);
}
