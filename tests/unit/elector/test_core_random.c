/* test_core_random.c - three electors' cores with their keepers' and a modelled ZooKeeper, under random
 * faults of every kind: no two Livys ever live at the same instant, no lease outlives its session, and once
 * the faults have ended somebody serves again.
 *
 * SIM_SEED=n runs that seed alone, with a trace; SIM_SEEDS=n runs that many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_elector.h"

#define HOSTS SIM_HOSTS
#define FAULTS_UNTIL 300000
#define CALM 150000 /* after the faults: a T, elections, back-off after crashes (60 s), a start */
#define TICK 2000
#define TIMEOUT 10000

struct sim {
    struct sim_world world; /* the first */
    struct sim_zk zk;
    struct sim_host hosts[HOSTS];
    struct sim_orders orders;
    int calm; /* how tame the faults are: 0 all of them */
    int births, last_born, fail_overs, adoptions, fences;
};

static struct sim_orders *sim_orders(struct sim *s)
{
    return &s->orders;
}

static struct sim_zk *sim_zk(struct sim *s)
{
    return &s->zk;
}

static struct sim_host *sim_host(struct sim *s, int64_t host)
{
    return &s->hosts[host];
}

static const struct core_config *sim_core_config(void)
{
    static const struct core_config config = {.tick = TICK,
                                              .kill_margin = 1000,
                                              .start_timeout = 30000,
                                              .stop_grace = 3000,
                                              .drain = 200,
                                              .probe_interval = 5000,
                                              .probe_timeout = 5000,
                                              .probe_failures = 3,
                                              .restarts = 3,
                                              .restart_window = 60000,
                                              .takeover_delay = 300,
                                              .fence_timeout = 5000,
                                              .fences = true};
    return &config;
}

static const struct kcore_config *sim_kcore_config(void)
{
    static const struct kcore_config config = {.stop_grace = 3000, .drain = 200, .fence_timeout = 5000};
    return &config;
}

/* ---- what must never be ------------------------------------------------------------------------------ */

static void sim_livy_born(struct sim *s, int host)
{
    for (int i = 0; i < HOSTS; i++)
        if (i != host && s->hosts[i].livy)
            sim_die(s, "two Livys");
    s->births++;
    s->fail_overs += s->births > 1 && s->last_born != host;
    s->last_born = host;
}

/* A lease that reaches beyond its session would let a Livy live on beside its successor's. */
static void lease_outlives_session(struct sim *s, int64_t session)
{
    for (int i = 0; i < HOSTS; i++) {
        const struct sim_host *h = &s->hosts[i];
        if (h->elector && h->welcomed && h->core.session == session && h->core.proof != 0 &&
            h->core.kill_at + h->core.config.kill_margin > sim_now(s))
            sim_die(s, "a session has expired before the lease that was proved on it");
    }
}

static void check_start(struct sim *s, const struct core *c)
{
    const struct sim_node *node = sim_find(&s->zk.leader.tree, c->node);

    if (node == NULL || node->owner != c->session)
        sim_die(s, "a start without the latch node");
    for (size_t i = 0; i < s->zk.leader.tree.n; i++)
        if (core_latch_compare(s->zk.leader.tree.nodes[i].name, c->node) < 0)
            sim_die(s, "a start although another member is first");
}

/* For whole stretches of time somebody is to be fenced; then not, as if it had come back. */
static const struct core_victim *sim_victim(struct sim *s, int host)
{
    static const struct core_victim victims[HOSTS] = {
        {"0", {.id = "0", .epoch = 1}}, {"1", {.id = "1", .epoch = 1}}, {"2", {.id = "2", .epoch = 1}}};
    int64_t stretch = sim_now(s) / 20000;

    return stretch % 3 != 0 && sim_now(s) < FAULTS_UNTIL + 40000 ? &victims[(host + 1 + stretch % 2) % HOSTS]
                                                                 : NULL;
}

/* As a start: by the first in the queue alone. */
static void sim_fencing(struct sim *s, int host)
{
    check_start(s, &s->hosts[host].core);
    s->fences++;
}

/* At the worst time: what it has asked for is on its way. */
static void strike(struct sim *s, int64_t host, int64_t life)
{
    struct sim_host *h = &s->hosts[host];

    if (!h->elector || h->life != (uint64_t)life)
        return;
    if (sim_chance(s, 500))
        sim_client_kick(s, (int)host);
    else if (h->keeper && h->keeper_stopped <= sim_now(s))
        sim_elector_end(s, (int)host);
}

static void sim_elector_stepped(struct sim *s, int host, const struct core_event *event,
                                const struct sim_news *news)
{
    const struct sim_host *h = &s->hosts[host];
    const struct core *c = &h->core;

    if (news != NULL) { /* after its actions */
        if (event->type == CORE_EV_CONNECTED && h->elector && c->connected &&
            h->client.connection == news->connection && c->connect_touch > news->asked_at)
            sim_die(s, "the connect request was sent before the time that is taken for it");
        return;
    }
    if (c->start_run != 0 && c->unanswered == sim_now(s) && c->max_sent == c->kill_at)
        check_start(s, c);
    s->adoptions += event->type == CORE_EV_REPLY && c->adopted_run != 0 && c->livy.run == c->adopted_run;
    bool asked = c->pending[CORE_REQ_CREATE] != 0 || c->pending[CORE_REQ_DELETE] != 0 ||
                 c->pending[CORE_REQ_STRAY] != 0;
    if (asked && s->zk.reachable == 1 && sim_now(s) < FAULTS_UNTIL && sim_chance(s, 40))
        sim_after(s, sim_roll(s, 3), strike, host, (int64_t)h->life);
}

/* ---- faults ------------------------------------------------------------------------------------------ */

/* What waits for the end of a fault has been told when that is: it does not come sooner. */
static void prolong(int64_t *until, int64_t further)
{
    if (*until < further)
        *until = further;
}

static int faulty_servers(struct sim *s)
{
    int count = 0;
    for (int i = 0; i < SIM_SERVERS; i++)
        count += s->zk.servers[i].frozen_until > sim_now(s) || s->zk.servers[i].cut_until > sim_now(s);
    return count;
}

static void fault_of_zookeeper(struct sim *s)
{
    struct sim_server *server = &s->zk.servers[sim_roll(s, SIM_SERVERS - 1)];
    int64_t until = sim_now(s) + sim_roll(s, sim_chance(s, 500) ? 2000 : 16000);

    if (sim_chance(s, 150)) {
        sim_election(s, 200 + sim_roll(s, 2000));
    } else if (sim_chance(s, 150)) {
        prolong(&s->zk.leader.frozen_until, sim_now(s) + sim_roll(s, INT64_C(3) * TICK));
        sim_trace(s, "fault    the leader is frozen until %lld", (long long)s->zk.leader.frozen_until);
    } else if (faulty_servers(s) >= 2 && sim_chance(s, 800)) {
        return;
    } else if (sim_chance(s, 500)) {
        prolong(&server->frozen_until, until);
        sim_trace(s, "fault    server %d is frozen until %lld", (int)(server - s->zk.servers),
                  (long long)until);
    } else {
        if (server->cut_until <= sim_now(s))
            server->cut_at = sim_now(s);
        prolong(&server->cut_until, until);
        server->zombie = sim_chance(s, 500);
        if (server->zombie) /* a leader that the others have left; it does not come back as what it was */
            s->zk.leader.member[server - s->zk.servers] = false;
        sim_trace(s, "fault    server %d is cut off until %lld%s", (int)(server - s->zk.servers),
                  (long long)until, server->zombie ? ", and takes itself for the leader" : "");
    }
}

static void fault_of_network(struct sim *s, int host)
{
    struct sim_client *client = &s->hosts[host].client;

    if (client->connection < 0)
        return;
    if (sim_chance(s, 500)) {
        sim_trace(s, "fault    host %d loses its connection", host);
        sim_hang_up(s, client->connection);
        return;
    }
    prolong(&client->cut_until, sim_now(s) + sim_roll(s, 15000));
    s->zk.connections[client->connection].held_until = client->cut_until;
    sim_trace(s, "fault    host %d is off the network until %lld", host, (long long)client->cut_until);
}

static bool guarded_by_elector(struct sim *s, const struct sim_host *h)
{
    return h->elector && h->welcomed && h->elector_stopped <= sim_now(s);
}

static bool guarded_by_keeper(struct sim *s, const struct sim_host *h)
{
    return h->keeper && h->keeper_stopped <= sim_now(s);
}

/* One of the two guards stays in order: both out of order at once is for the guard inside Livy's own process.
 */
static void fault_of_process(struct sim *s, int host)
{
    struct sim_host *h = &s->hosts[host];
    int64_t until = sim_now(s) + sim_roll(s, sim_chance(s, 500) ? 1500 : 20000);

    switch (sim_roll(s, 4)) {
    case 0:
        if (guarded_by_keeper(s, h)) {
            sim_trace(s, "fault    host %d: the elector is killed", host);
            sim_elector_end(s, host);
        }
        break;
    case 1:
        if (guarded_by_keeper(s, h) && h->elector) {
            sim_trace(s, "fault    host %d: the elector is stopped until %lld", host, (long long)until);
            prolong(&h->elector_stopped, until);
        }
        break;
    case 2:
        sim_trace(s, "fault    host %d: the keeper is killed", host);
        sim_keeper_end(s, host);
        break;
    case 3:
        if (guarded_by_elector(s, h) && h->keeper) {
            sim_trace(s, "fault    host %d: the keeper is stopped until %lld", host, (long long)until);
            prolong(&h->keeper_stopped, until);
        }
        break;
    default:
        if (sim_chance(s, 500))
            sim_livy_kill(s, host, 0, (int)sim_roll(s, 300));
        else
            h->hung = true;
    }
}

static void fault_of_people(struct sim *s, int host)
{
    struct sim_host *h = &s->hosts[host];

    if (sim_chance(s, 500)) {
        sim_orders_ask(s, host);
        return;
    }
    if (sim_chance(s, 300)) {
        sim_trace(s, "fault    host %d: orderly stop", host);
        if (guarded_by_keeper(s, h))
            sim_keeper_event(s, host, &(struct kcore_event){.type = KCORE_EV_QUIT});
    } else if (sim_chance(s, 400)) {
        sim_trace(s, "fault    host %d: power off", host);
        h->livy = false;
        sim_elector_end(s, host);
        sim_keeper_end(s, host);
    } else if (guarded_by_elector(s, h)) {
        sim_elector_event(s, host,
                          &(struct core_event){.type = CORE_EV_STAND,
                                               .bar = sim_chance(s, 500) ? CORE_BAR_DRAINED : CORE_BAR_STORE,
                                               .stand = sim_chance(s, 700),
                                               .text = "test"});
    }
}

static void fault(struct sim *s, int64_t unused, int64_t unused2)
{
    int host = (int)sim_roll(s, HOSTS - 1);
    int64_t kind = sim_roll(s, 99);

    (void)unused;
    (void)unused2;
    if (sim_now(s) > FAULTS_UNTIL)
        return;
    sim_after(s, sim_roll(s, sim_chance(s, 300) ? 60 : s->calm), fault, 0, 0);
    if (s->births > 0 && sim_chance(s, 500) && s->hosts[s->last_born].livy)
        host = s->last_born; /* the one that serves deserves it */
    if (kind < 30)
        fault_of_zookeeper(s);
    else if (kind < 50)
        fault_of_network(s, host);
    else if (kind < 80)
        fault_of_process(s, host);
    else
        fault_of_people(s, host);
}

static void faults_end(struct sim *s, int64_t unused, int64_t unused2)
{
    (void)unused;
    (void)unused2;
    sim_trace(s, "the faults have ended");
    s->orders.paused_until = 0;
    s->orders.version++;
    for (int i = 0; i < HOSTS; i++) {
        s->hosts[i].client.cut_until = 0;
        for (int bar = 0; bar < CORE_BARS && guarded_by_elector(s, &s->hosts[i]); bar++)
            sim_elector_event(
                s, i, &(struct core_event){.type = CORE_EV_STAND, .bar = (enum core_bar)bar, .stand = true});
    }
}

/* No member waits for ever for an order that its keeper never got: where keeper and elector run again, all is
 * cleared up soon. */
static void nobody_waits(struct sim *s, int64_t host, int64_t unused)
{
    struct sim_host *h = &s->hosts[host];
    bool well = guarded_by_keeper(s, h) && guarded_by_elector(s, h) && !h->keeper_gone;
    bool waits = h->core.keeper_stuck || h->core.start_run != 0;

    (void)unused;
    if (!well || !waits || h->waits_in != h->life)
        h->waits_since = sim_now(s);
    h->waits_in = h->life;
    if (sim_now(s) - h->waits_since > 12000)
        sim_die(s, "an order to a keeper was lost for good");
    sim_after(s, 500, nobody_waits, host, 0);
}

/* ---- runs -------------------------------------------------------------------------------------------- */

static bool somebody_serves(struct sim *s)
{
    for (int i = 0; i < HOSTS; i++)
        if (s->hosts[i].livy && s->hosts[i].core.serving)
            return true;
    return false;
}

static void tear_down(struct sim *s)
{
    for (int i = 0; i < HOSTS; i++) {
        sim_elector_end(s, i);
        sim_cut(&s->hosts[i].to_keeper, 0);
    }
    sim_zk_close(s);
}

struct sum {
    uint64_t steps;
    int births, fail_overs, adoptions, fences;
};

static void run_seed(struct sim *s, uint64_t seed, struct sum *sum)
{
    memset(s, 0, sizeof(*s));
    s->world.dice = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    s->world.trace = getenv("SIM_SEED") != NULL;
    s->calm = seed % 3 == 0 ? 2000 : seed % 3 == 1 ? 6000 : 30000;
    s->zk.expired = lease_outlives_session;
    sim_zk_open(s, TICK, TIMEOUT);
    if (seed % 4 == 0)
        s->zk.reachable = 1;
    for (int i = 0; i < HOSTS; i++) {
        s->hosts[i].client.connection = -1;
        s->hosts[i].channel = seed % 5 == 0 ? 1 + (int)sim_roll(s, 8) : 0; /* short: orders are lost */
        sim_client_tick(s, i, 0);
        sim_after(s, sim_roll(s, 500), sim_keeper_begin, i, 0);
        sim_deaths_tick(s, i, 0);
        sim_orders_look(s, i, 0);
        nobody_waits(s, i, 0);
    }
    sim_after(s, 1000, fault, 0, 0);
    sim_at(s, FAULTS_UNTIL + 25000, faults_end, 0, 0);
    for (int i = 0; i < CALM / 1000 && (sim_now(s) == 0 || !somebody_serves(s)); i++)
        sim_run(s, FAULTS_UNTIL + 26000 + 1000 * i);
    if (!somebody_serves(s))
        sim_die(s, "nobody serves although nothing is wrong");
    sum->steps += s->world.steps;
    sum->births += s->births;
    sum->fail_overs += s->fail_overs;
    sum->adoptions += s->adoptions;
    sum->fences += s->fences;
    tear_down(s);
}

static void test_random_faults(void **state)
{
    const char *one = getenv("SIM_SEED"), *many = getenv("SIM_SEEDS");
    uint64_t first = one != NULL ? strtoull(one, NULL, 10) : 1;
    uint64_t last = one != NULL ? first : many != NULL ? strtoull(many, NULL, 10) : 600;
    static struct sim s; /* large for a stack */
    struct sum sum = {0};

    (void)state;
    for (uint64_t seed = first; seed <= last; seed++) {
        if (getenv("SIM_LOUD") != NULL)
            fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
        run_seed(&s, seed, &sum);
    }
    print_message("%llu seeds, %llu steps, %d starts of Livy, %d of them on another member, %d adoptions, %d "
                  "fencings\n",
                  (unsigned long long)last - first + 1, (unsigned long long)sum.steps, sum.births,
                  sum.fail_overs, sum.adoptions, sum.fences);
    assert_true(first == last || sum.fail_overs > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_faults)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
