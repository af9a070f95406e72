/* claim.c - who is asked for the claim, how long an answer holds, and who waits for it. The asking itself is
 * done by claim_node.c, claim_reach.c and claim_file.c.
 */
#include "claim_internal.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"
#include "livy-ha/livyconf.h"
#include "livy-ha/log.h"

/* For one question: the core counts a registration of 500 ms as a dead connection. */
#define PATIENCE_MS 150
/* An answer other than OURS holds so long where asking costs a connection or a thread. */
#define HOLDS_MS 2000

struct claim {
    struct event_base *base;
    struct claim_place place;
    char *store, *hosts, *root, *id, *tls;
    bool must_be_shared;

    /* the question under way, or the last one */
    char cluster[CLAIM_CLUSTER_SIZE];
    int64_t session;
    struct claim_self self;
    bool busy, answered;
    enum claim_answer answer;
    int64_t until;
    char why[CLAIM_WHY_SIZE];
    struct claim_visit visit;
    struct claim_reach reach;
    struct claim_file *file;

    /* who waits for it; `done` NULL: nobody */
    claim_done *done;
    void *arg;
    struct zk *zk;
    char wanted_cluster[CLAIM_CLUSTER_SIZE];
    int64_t wanted_session;
    struct event *patience;
};

static void begin(struct claim *c);

static void tell(struct claim *c, enum claim_answer answer, const char *why)
{
    claim_done *done = c->done;

    c->done = NULL;
    (void)evtimer_del(c->patience);
    done(c->arg, answer, why);
}

static bool wanted(const struct claim *c)
{
    return c->session == c->wanted_session && strcmp(c->cluster, c->wanted_cluster) == 0;
}

static const char *answer_name(bool answered, enum claim_answer answer)
{
    if (!answered)
        return "unknown";
    switch (answer) {
    case CLAIM_OURS:
        return "ours";
    case CLAIM_ANOTHERS:
        return "another's";
    case CLAIM_AWAY:
        return "away";
    }
    return "?";
}

static void on_answer(void *arg, enum claim_answer answer, const char *why)
{
    struct claim *c = arg;
    bool changed = !c->answered || c->answer != answer;

    c->busy = false;
    c->file = NULL;
    if (changed && answer == CLAIM_OURS)
        log_info("claim on the state store: %s -> ours: %s", answer_name(c->answered, c->answer), why);
    else if (changed && answer == CLAIM_AWAY)
        log_warn("claim on the state store: %s -> away: %s", answer_name(c->answered, c->answer), why);
    else if (changed) /* an error, which whoever has asked tells in full */
        log_info("claim on the state store: %s -> another's", answer_name(c->answered, c->answer));
    c->answered = true;
    c->answer = answer;
    c->until = clock_boot_ms() + (c->place.where == CLAIM_OWN ? 0 : HOLDS_MS);
    (void)snprintf(c->why, sizeof(c->why), "%s", why);
    if (c->done == NULL)
        return;
    if (wanted(c))
        tell(c, answer, c->why);
    else
        begin(c); /* another session has come meanwhile */
}

static void begin(struct claim *c)
{
    memcpy(c->cluster, c->wanted_cluster, sizeof(c->cluster));
    c->session = c->wanted_session;
    c->busy = true;
    switch (c->place.where) {
    case CLAIM_NOWHERE: /* answered without a question */
        return;
    case CLAIM_OWN:
        claim_visit_start(&c->visit, c->zk, &c->place, &c->self, on_answer, c);
        return;
    case CLAIM_ELSEWHERE:
        claim_reach_start(&c->reach, on_answer, c);
        return;
    case CLAIM_FILE:
        c->file = claim_file_start(c->base, &c->place, &c->self, c->must_be_shared, on_answer, c);
        if (c->file == NULL)
            on_answer(c, CLAIM_AWAY, "out of memory or threads");
        return;
    }
}

/* The question goes on; its answer is there for the next one who asks. */
static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    struct claim *c = arg;
    char why[CLAIM_WHY_SIZE];

    (void)fd;
    (void)what;
    if (c->done == NULL)
        return;
    if (c->answered && c->answer != CLAIM_OURS) { /* the last answer says more than that there is none now */
        tell(c, c->answer, c->why);
        return;
    }
    (void)snprintf(why, sizeof(why), "waiting for the state store's answer: %.200s", c->store);
    tell(c, CLAIM_AWAY, why);
}

void claim_ask(struct claim *c, struct zk *zk, int64_t session, const char *cluster, claim_done *done,
               void *arg)
{
    static const struct timeval patience = {.tv_usec = PATIENCE_MS * 1000L};

    if (c->place.where == CLAIM_NOWHERE) {
        done(arg, CLAIM_OURS, "there is nothing to claim");
        return;
    }
    c->done = done;
    c->arg = arg;
    c->zk = zk;
    c->wanted_session = session;
    (void)snprintf(c->wanted_cluster, sizeof(c->wanted_cluster), "%s", cluster);
    if (!c->busy && c->answered && wanted(c) && (c->answer == CLAIM_OURS || clock_boot_ms() < c->until)) {
        tell(c, c->answer, c->why);
        return;
    }
    /* The core itself gives up a connection of zookeeper.hosts that does not answer. */
    if (c->place.where != CLAIM_OWN && evtimer_add(c->patience, &patience) != 0)
        abort(); /* out of memory: the keeper starts another one */
    if (!c->busy)
        begin(c);
}

void claim_stop(struct claim *c)
{
    c->done = NULL;
    (void)evtimer_del(c->patience);
    if (c->place.where != CLAIM_OWN)
        return; /* that goes on: it has nothing to do with this handle */
    claim_visit_stop(&c->visit);
    c->busy = false;
    c->zk = NULL;
}

/* ---- making it ---- */

static void say_where(const struct claim *c)
{
    switch (c->place.where) {
    case CLAIM_NOWHERE:
        if (strcmp(c->store, "none") != 0)
            log_info(
                "claim on the state store: none can be laid at \"%s\" (livy-ha reaches ZooKeeper and mounted "
                "directories only): that no second cluster uses it is up to you",
                c->store);
        return;
    case CLAIM_OWN:
    case CLAIM_ELSEWHERE:
        log_debug("claim on the state store: the node %s on %s", c->place.path, c->place.hosts);
        return;
    case CLAIM_FILE:
        log_debug("claim on the state store: a file in %s", c->place.path);
        return;
    }
}

static bool copy_options(struct claim *c, const struct claim_options *options)
{
    char *slash;

    c->store = strdup(options->store);
    c->hosts = livyconf_zookeeper_normal(options->hosts);
    c->id = strdup(options->id);
    c->tls = options->tls != NULL ? strdup(options->tls) : NULL;
    if (c->store == NULL || c->hosts == NULL || c->id == NULL || (options->tls != NULL && c->tls == NULL) ||
        claim_place_find(&c->place, c->store, c->hosts) != 0)
        return false;
    slash = strchr(c->hosts, '/');
    if (asprintf(&c->root, "%s%s", slash != NULL ? slash : "", options->root) < 0)
        c->root = NULL;
    if (slash != NULL)
        *slash = '\0';
    c->must_be_shared = options->must_be_shared;
    return c->root != NULL;
}

struct claim *claim_new(struct event_base *base, const struct claim_options *options)
{
    struct claim *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->base = base;
    c->patience = evtimer_new(base, on_patience, c);
    if (c->patience == NULL || !copy_options(c, options)) {
        claim_free(c);
        return NULL;
    }
    c->self = (struct claim_self){.cluster = c->cluster,
                                  .hosts = c->hosts,
                                  .root = c->root,
                                  .member = c->id,
                                  .own = c->place.where == CLAIM_OWN};
    c->reach = (struct claim_reach){.base = base, .place = &c->place, .self = &c->self, .tls = c->tls};
    say_where(c);
    return c;
}

void claim_free(struct claim *c)
{
    if (c == NULL)
        return;
    claim_visit_stop(&c->visit);
    claim_reach_stop(&c->reach);
    claim_file_cancel(c->file);
    if (c->patience != NULL)
        event_free(c->patience);
    claim_place_clear(&c->place);
    free(c->store);
    free(c->hosts);
    free(c->root);
    free(c->id);
    free(c->tls);
    free(c);
}
