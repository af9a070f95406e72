/* main.c - the command line of the model checker. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore.h"
#include "livy-ha/clock.h"

#define NEXT_FULL 7000
#define NEXT_SHORT 6000

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
        printf("%-14s %s\n", opening_get(i)->name, opening_get(i)->what);
    return 0;
}

/* OPENING[:EVENT.KIND.WHO.ARG,…] */
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
    for (const char *next = text[length] == ':' ? text + length : NULL; next != NULL && n < DEPTH_MAX; n++) {
        unsigned event, kind;
        int who, arg;
        if (sscanf(next + 1, "%u.%u.%d.%d", &event, &kind, &who, &arg) != 4 || kind > FAULT_STRANGER) {
            fprintf(stderr, "model: %s is not EVENT.KIND.WHO.ARG\n", next + 1);
            return 2;
        }
        deviations[n].event = event;
        deviations[n].fault = (struct fault){.kind = (uint8_t)kind, .who = (int8_t)who, .arg = arg};
        next = strchr(next + 1, ',');
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

static int run_all(const struct options *options, const struct explore_bounds *bounds, int64_t until,
                   struct sum *sum)
{
    for (size_t i = 0; i < opening_count() && sum->violation == FINE; i++) {
        const struct opening *o = opening_get(i);
        if (options->opening != NULL && options->opening != o)
            continue;
        if (run_one(options, o, bounds, until, sum) != 0)
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
            bounds.first = NEXT_FULL;
        if (bounds.next == 0)
            bounds.next = NEXT_SHORT;
        if (run_all(options, &bounds, until, &sum) != 0)
            return 2;
    }
    printf("%llu steps, %llu states, %llu schedules in %.1f s: %s\n", (unsigned long long)sum.steps,
           (unsigned long long)sum.states, (unsigned long long)sum.schedules, (double)sum.ms / 1000,
           sum.violation != FINE ? world_violation_name(sum.violation) : "no violation");
    if (options->expect != NULL)
        return strcmp(options->expect, world_violation_name(sum.violation)) == 0 ? 0 : 1;
    return sum.violation != FINE ? 1 : sum.incomplete > 0 && options->seconds == 0 ? 3 : 0;
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
