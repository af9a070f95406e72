/* sim_deaths.h - <root>/deaths as the electors read and write it (deaths.c). */
#ifndef LIVY_HA_TEST_SIM_DEATHS_H
#define LIVY_HA_TEST_SIM_DEATHS_H

#include "sim_host.h"

/* Who is next in the queue says for 7 s that it holds a Livy, and for 7 s that it does not, whatever is true.
 */
static const char *sim_heir(struct sim *s, int64_t host)
{
    static const char *const names[SIM_HOSTS] = {"0", "1", "2"};
    int64_t own = core_latch_sequence(sim_host(s, host)->core.node), least = INT64_MAX;
    const char *next = NULL;

    for (int i = 0; i < SIM_HOSTS; i++) {
        const struct sim_host *h = sim_host(s, i);
        int64_t sequence = h->elector ? core_latch_sequence(h->core.node) : -1;
        if (i == host || own < 0 || sequence <= own || sequence >= least)
            continue;
        least = sequence;
        next = h->core.phase == CORE_STANDBY ? names[i] : NULL;
    }
    return sim_now(s) / 7000 % 2 == 0 ? next : NULL;
}

static void sim_tell_deaths(struct sim *s, int64_t host, int64_t unused)
{
    struct sim_host *h = sim_host(s, host);
    struct core_death list[CORE_DEATHS];
    struct core_event event = {.type = CORE_EV_DEATHS, .deaths = list, .n_deaths = sim_zk(s)->n_deaths};

    (void)unused;
    if (!h->elector || !h->welcomed || !h->core.connected || h->elector_stopped > sim_now(s))
        return;
    for (size_t i = 0; i < event.n_deaths; i++) {
        const struct sim_death *death = &sim_zk(s)->deaths[i];
        list[i] = (struct core_death){.at = death->at,
                                      .member = death->host == host ? 0 : (uint8_t)(death->host + 1),
                                      .gave_up = death->gave_up};
    }
    for (int i = 0; i < SIM_HOSTS; i++)
        if (i != host && sim_host(s, i)->elector && sim_host(s, i)->core.phase == CORE_STANDBY)
            event.standing |= UINT64_C(1) << (i + 1);
    event.heir = sim_heir(s, host);
    sim_elector_event(s, (int)host, &event);
}

/* Others hear of it soon, and of who stands now and then. */
static void sim_deaths_tick(struct sim *s, int64_t host, int64_t unused)
{
    sim_tell_deaths(s, host, unused);
    sim_after(s, 700, sim_deaths_tick, host, 0);
}

static void sim_note_death(struct sim *s, int host, bool gave_up)
{
    struct sim_zk *zk = sim_zk(s);

    if (zk->n_deaths == CORE_DEATHS) {
        memmove(zk->deaths, zk->deaths + 1, (CORE_DEATHS - 1) * sizeof(zk->deaths[0]));
        zk->n_deaths--;
    }
    zk->deaths[zk->n_deaths++] = (struct sim_death){.at = sim_now(s), .host = host, .gave_up = gave_up};
    for (int i = 0; i < SIM_HOSTS; i++)
        sim_after(s, i == host ? 0 : sim_roll(s, 40), sim_tell_deaths, i, 0);
}

#endif
