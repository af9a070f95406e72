/* explore.c - depth first through the choices. Workers share the table of known states and the list of first
 * deviations; each walks the opening's own path and takes the branches that no other has taken.
 */
#include "explore.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "livy-ha/clock.h"
#include "orders.h"
#include "state.h"
#include "zk.h"

#define TABLE (UINT32_C(1) << 22) /* states */
#define PROBES 64
#define JOBS 65536
#define PATIENCE 90000 /* ms after the last deviation: the longest fault, T, two back-offs, a start */

struct shared {
    atomic_bool stop, out_of_time, found;
    atomic_uint_fast64_t steps, states, schedules;
    struct explore_result violation;
    atomic_uchar claimed[JOBS];
    atomic_uint_fast64_t table[TABLE];
};

struct explorer {
    struct shared *shared;
    const struct explore_bounds *bounds;
    bool first_worker;
    int64_t deadline;
    uint32_t jobs, looks;
    uint64_t steps, states, schedules;
    struct world worlds[DEPTH_MAX + 1];
    int64_t until[DEPTH_MAX + 1], limit[DEPTH_MAX + 1];
    uint32_t events[DEPTH_MAX + 1];
    struct deviation path[DEPTH_MAX];
};

static bool stopped(struct explorer *x)
{
    if ((++x->looks & 255) == 0 && clock_boot_ms() > x->deadline) {
        atomic_store(&x->shared->out_of_time, true);
        atomic_store(&x->shared->stop, true);
    }
    return atomic_load_explicit(&x->shared->stop, memory_order_relaxed);
}

/* True where another schedule came by here with as much left to try. */
static bool known(struct explorer *x, const struct world *w, int left, int64_t window)
{
    uint64_t key = state_digest(w);

    if (left > 0)
        key ^= ((uint64_t)left << 32 | (uint64_t)window) * UINT64_C(0x9e3779b97f4a7c15);
    key += key == 0;
    for (uint32_t i = 0; i < PROBES; i++) {
        atomic_uint_fast64_t *slot = &x->shared->table[((uint32_t)(key >> 20) + i) & (TABLE - 1)];
        uint_fast64_t there = atomic_load_explicit(slot, memory_order_relaxed);
        if (there == 0 && atomic_compare_exchange_strong(slot, &there, key)) {
            x->states++;
            return false;
        }
        if (there == key)
            return true;
    }
    return false; /* full hereabouts: gone through once more */
}

static void report(struct explorer *x, int level)
{
    const struct world *w = &x->worlds[level];
    struct explore_result *v = &x->shared->violation;

    if (atomic_exchange(&x->shared->found, true))
        return;
    v->violation = w->violation;
    v->at = w->now;
    memcpy(v->detail, w->detail, sizeof(v->detail));
    v->n_deviations = level;
    memcpy(v->deviations, x->path, sizeof(v->deviations));
    atomic_store(&x->shared->stop, true);
}

static bool settled(const struct world *w)
{
    bool serves = false;

    if (!zk_well(w) || !orders_none(w))
        return false;
    for (int i = 0; i < w->n_hosts; i++) {
        if (!host_well(w, i))
            return false;
        serves = serves || host_serves(w, i);
    }
    return serves;
}

static void copy_world(struct world *to, const struct world *from)
{
    memcpy(to, from, offsetof(struct world, hosts) + (size_t)from->n_hosts * sizeof(from->hosts[0]));
}

/* One event. False: this schedule is at its end. */
static bool advance(struct explorer *x, int level, const struct event *next)
{
    struct world *w = &x->worlds[level];
    int left = x->bounds->depth - level;

    world_step(w, next);
    x->steps++;
    x->events[level]++;
    if (w->violation == FINE && w->now > x->limit[level])
        world_violation(w, NOBODY_SERVES, "the members are not well %d ms after the last deviation",
                        PATIENCE);
    if (w->violation != FINE) {
        report(x, level);
        return false;
    }
    if (next->kind != EV_LEADER_PING)
        return true;
    if (w->now > x->until[level])
        left = 0;
    if (left == 0 && settled(w))
        return false;
    return level == 0 || !known(x, w, left, left > 0 ? x->until[level] - w->now : 0);
}

static void go(struct explorer *x, int level);

static void branch(struct explorer *x, int level, const struct event *next, const struct fault *fault)
{
    struct world *w = &x->worlds[level + 1];
    bool within = fault->kind == FAULT_KILL_ELECTOR && fault->arg > 0;
    int left = x->bounds->depth - level - 1;

    copy_world(w, &x->worlds[level]);
    if (!fault_apply(w, next, fault))
        return;
    x->path[level] = (struct deviation){.event = x->events[level], .fault = *fault};
    x->events[level + 1] = x->events[level];
    x->until[level + 1] = next->at + x->bounds->next;
    x->limit[level + 1] = next->at + PATIENCE;
    if (within) {
        struct event same = world_next(w);
        world_step(w, &same);
        x->events[level + 1]++;
        if (fault_void(w, fault))
            return;
    }
    if (w->violation != FINE) {
        report(x, level + 1);
        return;
    }
    if (!known(x, w, left, left > 0 ? x->bounds->next : 0))
        go(x, level + 1);
    x->schedules++;
}

static bool mine(struct explorer *x, int level)
{
    if (level > 0)
        return true;
    uint32_t job = x->jobs++;
    return job >= JOBS ? x->first_worker : atomic_exchange(&x->shared->claimed[job], 1) == 0;
}

static void go(struct explorer *x, int level)
{
    struct world *w = &x->worlds[level];
    struct fault faults[FAULTS_MAX];

    for (;;) {
        struct event next = world_next(w);
        if (level < x->bounds->depth && next.at <= x->until[level]) {
            int n = fault_list(w, &next, x->bounds->short_list, faults);
            for (int i = 0; i < n && !stopped(x); i++)
                if (mine(x, level))
                    branch(x, level, &next, &faults[i]);
        }
        if (stopped(x) || !advance(x, level, &next))
            return;
    }
}

static void work(struct shared *shared, const struct opening *o, const struct explore_bounds *bounds,
                 bool first_worker, int64_t deadline)
{
    struct explorer *x = calloc(1, sizeof(*x));

    if (x == NULL)
        abort();
    x->shared = shared;
    x->bounds = bounds;
    x->first_worker = first_worker;
    x->deadline = deadline;
    opening_reach(o, &x->worlds[0]);
    x->until[0] = o->from + (bounds->first != 0 ? bounds->first : o->span);
    x->limit[0] = x->until[0] + PATIENCE;
    if (x->worlds[0].violation != FINE)
        report(x, 0);
    else
        go(x, 0);
    x->schedules += first_worker;
    atomic_fetch_add(&shared->steps, x->steps);
    atomic_fetch_add(&shared->states, x->states);
    atomic_fetch_add(&shared->schedules, x->schedules);
    free(x);
}

static int run_workers(struct shared *shared, const struct opening *o, const struct explore_bounds *bounds,
                       int workers, int64_t until)
{
    int status, rc = 0;

    fflush(stdout);
    for (int i = 0; i < workers; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            work(shared, o, bounds, i == 0, until);
            _exit(0);
        }
        if (pid < 0)
            rc = -1;
    }
    while (wait(&status) > 0)
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            rc = -1; /* a worker has died: it has said why */
    return rc;
}

int explore(const struct opening *o, const struct explore_bounds *bounds, int workers, int64_t until,
            struct explore_result *result)
{
    int64_t began = clock_boot_ms();
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return -1;
    int rc = run_workers(shared, o, bounds, workers, until);
    *result = shared->violation;
    result->steps = shared->steps;
    result->states = shared->states;
    result->schedules = shared->schedules;
    result->complete = !shared->out_of_time;
    result->ms = clock_boot_ms() - began;
    munmap(shared, sizeof(*shared));
    return rc;
}

enum violation explore_replay(const struct opening *o, const struct deviation *deviations, int n)
{
    struct world *w = calloc(1, sizeof(*w));
    uint32_t event = 0;
    int64_t limit;
    char text[128];
    int done = 0;

    if (w == NULL)
        abort();
    opening_reach(o, w);
    w->trace = true;
    limit = w->now + o->span + PATIENCE;
    world_say(w, "----      opening %s: %s", o->name, o->what);
    world_describe(w);
    for (;;) {
        struct event next = world_next(w);
        for (; done < n && deviations[done].event == event; done++) {
            fault_text(&deviations[done].fault, text, sizeof(text));
            world_say(w, "----      deviation before event %u: %s", event, text);
            world_describe(w);
            if (!fault_apply(w, &next, &deviations[done].fault))
                world_say(w, "----      it means nothing here");
            next = world_next(w);
            limit = w->now + PATIENCE;
            if (deviations[done].fault.kind == FAULT_KILL_ELECTOR && deviations[done].fault.arg > 0) {
                done++;
                break; /* strikes within the event */
            }
        }
        if (w->violation != FINE)
            break;
        world_step(w, &next);
        event++;
        if (next.kind == EV_LEADER_PING && !settled(w))
            world_describe(w);
        if (w->violation == FINE && w->now > limit)
            world_violation(w, NOBODY_SERVES, "the members are not well %d ms after the last deviation",
                            PATIENCE);
        if (w->violation != FINE ||
            (done == n && next.kind == EV_LEADER_PING && w->now > o->from + o->span && settled(w)))
            break;
    }
    world_describe(w);
    enum violation violation = w->violation;
    if (violation == FINE)
        world_say(w, "----      all is well");
    free(w);
    return violation;
}
