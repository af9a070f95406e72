/* sim_host.h - a host: the keeper's machine (sim_keeper.h), the elector's machine (sim_elector.h), the
 * channel between them, and a Livy that lives, dies late and is killed (here).
 *
 * A process can be killed (its requests are still on their way) or stopped (it sees nothing until it goes
 * on). One guard of the lease is assumed to run: keeper and elector are never out of order at the same time.
 */
#ifndef LIVY_HA_TEST_SIM_HOST_H
#define LIVY_HA_TEST_SIM_HOST_H

#include "kcore.h"
#include "livy-ha/clock.h"
#include "sim_client.h"

#define SIM_HOSTS 3
#define SIM_CHANNEL 80 /* at most; messages that fit before the channel is full */

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
    uint64_t waits_in; /* the test's: since when, and in which life, an answer of the keeper stays out */
    int64_t waits_since;
    int channel; /* messages that fit; 0: SIM_CHANNEL */

    bool keeper, elector_exited, livy_exited;
    int64_t keeper_stopped;
    struct kcore kcore;
    struct sim_link to_keeper;
    uint64_t keeper_alarm;

    bool fence;
    uint64_t fence_life;

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
static void sim_fencing(struct sim *s, int host); /* the order is about to be sent */
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

#endif
