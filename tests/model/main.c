/* main.c - the model checker: searches for a schedule that breaks what livy-ha promises. This is its command
 * line, and here is told what it does.
 *
 * It runs the code that ships, src/elector/core*.c and src/keeper/kcore.c, for one, two and three members.
 * What is around them is modelled: ZooKeeper (zk.c: the leader; server.c: the servers that clients talk to),
 * its client library (client.c), the glue of the elector (member.c: act.c, channel.c, guard.c) and of the
 * keeper with a Livy that dies late (host.c: keeper.c). The world is plain data (world.h): a state is kept by
 * copying it, told from another by a digest (state.c).
 *
 * THE MODEL. Time is in ms. The least session time-out that ZooKeeper allows, T = 2 tick (4 s, 2 s), K = 0.5
 * s. The members' clocks run 2 % slow against the leader's, the worst that rho = 1 % allows (2 % fast in one
 * opening). All that is not a deviation is the worst for safety, or quick: a session is expired exactly T
 * after its last touch at the leader, SIGKILL takes K (less 20 ms for the scheduler), a message takes 1 ms. A
 * touch that a server takes reaches the leader with the server's next ping alone, each tick/2; a reconnect
 * touches at the leader; the leader's word for T is each server's own. A leader that goes on after it stood
 * still answers at once and pings 90 ms later, T/40 less the way. Connections keep their order; what a
 * dead connection carried may still arrive, and is obeyed unless its session has moved to the other server.
 *
 * Whoever was active has a tenure, which goes with its node as src/elector/takeover.c does it; there is no
 * fence command, no takeover_delay, and nobody can reach the Livy of the one before him: the lease alone must
 * do.
 *
 * <root>/control is one object that changes in an instant and is read by each member a few ms later
 * (orders.c); a mark in it takes 3 ms. Fronts are quiet after 40 ms, front.drain is 200.
 *
 * Where an opening says so (hot), each standby says that it holds a Livy at the gate, whether that is true or
 * not: the active member may give the latch up for it at any death of its Livy. Letting go is a START like
 * another.
 *
 * DEVIATIONS (fault.c). A message or its answer is struck right before it arrives, a process before each of
 * its own steps, a server before the leader hears of it, a host before each timer and probe of its elector.
 * They are: a message or an answer late by 3 ms (another order), 0.35 or 2.5 s; a connection reset with what
 * it carries lost, or done late; a server cut off from its leader (with answers to pings and reads), taking
 * itself for the leader, frozen; a frozen leader, a new leader with what had reached the old one done or not,
 * an outage of 22 s; a host off the network, alone with its server, alone with an old leader; expiry late by
 * up to 1.5 tick; elector killed (also between two actions of one step), stopped and woken; keeper killed,
 * stopped and woken; host power off; SIGTERM; drain; a switchover to whoever is next or to another member, a
 * pause of 3 s, a restart by command, an upgrade of a member's elector (from the old one's SIGKILL on); Livy
 * dead, Livy hung; a latch node deleted by a stranger (nothing after it in its schedule). The short list
 * leaves out what is like another one.
 *
 * WHAT IS DEMANDED at every instant: no two Livys live (two-livys); a Livy does not outlive the deadline that
 * its keeper has, + K (lease-outlived), nor its session at the leader (session-outlived); its latch node is
 * not deleted nor its session closed before its death (latch-given-up); a START only under the first node,
 * one's own, and under its epoch (bad-start), none in a pause that nobody has asked for
 * (started-in-pause); a Livy that was stopped for a restart in a pause is started again by somebody
 * (restart-lost); a switchover is not begun, nor called ready, before its successor stands next
 * (begun-early). And from the end of every schedule: all members are well and one serves within 90 s
 * (nobody-serves).
 *
 * THE BOUND. From each opening (opening.c): all schedules with one deviation of the full list in the first 7
 * s; all schedules with two of the short list, the first within the opening's span (0.3 to 4 s, --list prints
 * it), the second within 6 s after the first (T + tick, the time in which a fault still matters). A schedule
 * ends when the cluster is well again or in a state from which another schedule has been followed to its end;
 * two states that share a 64-bit digest by chance would be taken for one. --depth, --full, --first and --next
 * widen the bound.
 *
 * NOT PROVED: that a lease needs the h/2 between its last two heartbeats (at this T those that come sooner
 * find the connection given up; tests/unit/elector/test_core_lease.c); three or more faults within those
 * seconds; other durations and instants than those named; faults of which one only becomes possible more than
 * 6 s after the other; the glue itself (tests/e2e); a loop that lags behind its client library
 * (tests/unit/elector/test_core_random.c, which also draws times and faults at random); more than one
 * ZooKeeper server in trouble at once, short of an outage; fencing; a held (hot) Livy.
 *
 * ASSUMED: clocks within 1 %; SIGKILL within K; keeper and elector of one member are not both out of order
 * while Livy runs (that is for the guard in Livy's own process); nobody closes a session that is not his;
 * nobody deletes a latch node by hand while another fault lasts; all servers grant the same T. A server that
 * grants less to a reconnect of which the elector does not hear breaks the lease: the model has found that,
 * and the opening "shrunk" begins after the elector has heard. What a dead Livy had handed to a frozen
 * ZooKeeper server is not modelled.
 *
 * That it would find something is shown by bugs/: each patch plants a bug in the sources, tests/model/planted
 * demands that the model finds it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore.h"
#include "livy-ha/clock.h"

#define FIRST_ALONE 7000 /* ms in which a single deviation may come */
#define NEXT 6000        /* ms after one deviation in which the next one comes */

struct options {
    const struct opening *opening; /* NULL: all */
    int depth, workers;
    int64_t seconds, first, next;
    bool full;
    const char *expect;
};

static int usage(FILE *out)
{
    fprintf(out, "model [--opening NAME] [--depth N] [--full] [--first MS] [--next MS] [--workers N]\n"
                 "      [--seconds S] [--expect VIOLATION] | --replay OPENING[:DEVIATIONS] | --list\n");
    return out == stdout ? 0 : 2;
}

static int64_t number_of(const char *text, int64_t least, int64_t most)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    if (*end != '\0' || end == text || n < least || n > most) {
        fprintf(stderr, "model: %s is not a number from %lld to %lld\n", text, (long long)least,
                (long long)most);
        exit(2);
    }
    return n;
}

static int list(void)
{
    for (size_t i = 0; i < opening_count(); i++)
        printf("%-14s %4lld ms  %s\n", opening_get(i)->name, (long long)opening_get(i)->span,
               opening_get(i)->what);
    return 0;
}

/* EVENT.KIND.WHO.ARG. Where it ends, or NULL. */
static const char *deviation_of(const char *text, struct deviation *d)
{
    long long field[4];
    const char *at = text;
    char *end;

    for (int i = 0; i < 4; i++, at = end + 1) {
        field[i] = strtoll(at, &end, 10);
        if (end == at || (i < 3 ? *end != '.' : *end != ',' && *end != '\0') || field[i] < 0 ||
            (i == 1 && field[i] > FAULT_STRANGER)) {
            fprintf(stderr, "model: %s is not EVENT.KIND.WHO.ARG\n", text);
            return NULL;
        }
    }
    d->event = (uint32_t)field[0];
    d->fault = (struct fault){.kind = (uint8_t)field[1], .who = (int16_t)field[2], .arg = (int32_t)field[3]};
    return end;
}

/* OPENING[:DEVIATION,…] */
static int replay(const char *text)
{
    struct deviation deviations[DEPTH_MAX];
    char name[64];
    size_t length = strcspn(text, ":");
    int n = 0;

    snprintf(name, sizeof(name), "%.*s", (int)length, text);
    const struct opening *o = opening_find(name);
    if (o == NULL) {
        fprintf(stderr, "model: no opening %s; --list names them\n", name);
        return 2;
    }
    for (const char *next = text + length; *next != '\0' && n < DEPTH_MAX; n++) {
        next = deviation_of(next + 1, &deviations[n]);
        if (next == NULL)
            return 2;
    }
    return explore_replay(o, deviations, n) == FINE ? 0 : 1;
}

static void tell_violation(const struct opening *o, const struct explore_result *r)
{
    char text[128], id[256];
    int length = snprintf(id, sizeof(id), "%s", o->name);

    printf("\nVIOLATION %s in opening %s, at %lld ms: %s\n", world_violation_name(r->violation), o->name,
           (long long)r->at, r->detail);
    for (int i = 0; i < r->n_deviations; i++) {
        const struct deviation *d = &r->deviations[i];
        fault_text(&d->fault, text, sizeof(text));
        printf("  before event %u: %s\n", d->event, text);
        length += snprintf(id + length, sizeof(id) - (size_t)length, "%c%u.%u.%d.%d", i == 0 ? ':' : ',',
                           d->event, d->fault.kind, d->fault.who, (int)d->fault.arg);
    }
    printf("The schedule, again: --replay %s\n\n", id);
    fflush(stdout);
    (void)explore_replay(o, r->deviations, r->n_deviations);
    printf("\n");
}

struct sum {
    uint64_t steps, states, schedules;
    int64_t ms;
    int openings, incomplete;
    enum violation violation;
};

static int run_one(const struct options *options, const struct opening *o,
                   const struct explore_bounds *bounds, int64_t until, struct sum *sum)
{
    struct explore_result r;

    if (explore(o, bounds, options->workers, until, &r) != 0) {
        fprintf(stderr, "model: a worker could not be run, or has died\n");
        return -1;
    }
    printf("%-14s depth %d, %-10s %11llu steps %9llu states %9llu schedules %6.1f s%s\n", o->name,
           bounds->depth, bounds->short_list ? "short list" : "full list", (unsigned long long)r.steps,
           (unsigned long long)r.states, (unsigned long long)r.schedules, (double)r.ms / 1000,
           r.complete ? "" : "  (out of time: not all)");
    sum->steps += r.steps;
    sum->states += r.states;
    sum->schedules += r.schedules;
    sum->ms += r.ms;
    sum->openings++;
    sum->incomplete += !r.complete;
    sum->violation = r.violation;
    if (r.violation != FINE)
        tell_violation(o, &r);
    fflush(stdout);
    return 0;
}

/* Where time is short each opening gets its part of what is left. */
static int run_all(const struct options *options, const struct explore_bounds *bounds, int64_t until,
                   struct sum *sum)
{
    size_t left = options->opening != NULL ? 1 : opening_count();

    for (size_t i = 0; i < opening_count() && sum->violation == FINE; i++) {
        const struct opening *o = opening_get(i);
        int64_t now = clock_boot_ms(), part = CLOCK_NEVER;
        if (options->opening != NULL && options->opening != o)
            continue;
        if (until != CLOCK_NEVER)
            part = now + (until > now ? until - now : 0) / (int64_t)left--;
        if (run_one(options, o, bounds, part, sum) != 0)
            return -1;
    }
    return 0;
}

/* One deviation of all kinds first, then several: what is simple is found simple. */
static int run(const struct options *options)
{
    int64_t until = options->seconds != 0 ? clock_boot_ms() + options->seconds * 1000 : CLOCK_NEVER;
    struct sum sum = {0};

    for (int depth = 1; depth <= options->depth && sum.violation == FINE; depth++) {
        struct explore_bounds bounds = {.depth = depth,
                                        .short_list = depth > 1 && !options->full,
                                        .first = options->first,
                                        .next = options->next};
        if (bounds.first == 0 && depth == 1)
            bounds.first = FIRST_ALONE;
        if (bounds.next == 0)
            bounds.next = NEXT;
        if (run_all(options, &bounds, until, &sum) != 0)
            return 2;
    }
    printf("in all: %llu steps, %llu states, %llu schedules in %.1f s: %s\n", (unsigned long long)sum.steps,
           (unsigned long long)sum.states, (unsigned long long)sum.schedules, (double)sum.ms / 1000,
           sum.violation != FINE ? world_violation_name(sum.violation) : "no violation");
    if (options->expect != NULL)
        return strcmp(options->expect, world_violation_name(sum.violation)) == 0 ? 0 : 1;
    int failed = sum.violation != FINE;
    printf("%d passed, %d failed\n", sum.openings - failed, failed);
    return failed;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"opening", required_argument, NULL, 'o'}, {"depth", required_argument, NULL, 'd'},
        {"full", no_argument, NULL, 'a'},          {"first", required_argument, NULL, 'f'},
        {"next", required_argument, NULL, 'n'},    {"workers", required_argument, NULL, 'w'},
        {"seconds", required_argument, NULL, 's'}, {"expect", required_argument, NULL, 'e'},
        {"replay", required_argument, NULL, 'r'},  {"list", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    struct options options = {.depth = 2, .workers = (int)sysconf(_SC_NPROCESSORS_ONLN)};

    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'o':
            options.opening = opening_find(optarg);
            if (options.opening == NULL) {
                fprintf(stderr, "model: no opening %s; --list names them\n", optarg);
                return 2;
            }
            break;
        case 'd':
            options.depth = (int)number_of(optarg, 0, DEPTH_MAX);
            break;
        case 'a':
            options.full = true;
            break;
        case 'f':
            options.first = number_of(optarg, 1, 100000);
            break;
        case 'n':
            options.next = number_of(optarg, 1, 100000);
            break;
        case 'w':
            options.workers = (int)number_of(optarg, 1, 256);
            break;
        case 's':
            options.seconds = number_of(optarg, 1, 1000000);
            break;
        case 'e':
            options.expect = optarg;
            break;
        case 'r':
            return replay(optarg);
        case 'l':
            return list();
        case 'h':
            return usage(stdout);
        default:
            return usage(stderr);
        }
    }
    return run(&options);
}
