/* front.c - see the header. */
#include "front.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "route.h"

#define SETTLE_WITHIN 2000 /* ms; a snapshot counts for three seconds */

struct front {
    struct elector *e;
    int socket; /* -1: no relay */
    struct event *on_readable, *on_again;
    struct front_view view;     /* as last decided */
    struct front_counts counts; /* as last told */
    bool told;                  /* the relay at hand has been told a view */
    bool counted;               /* it has said COUNTS */
    uint64_t serial;            /* of the last view */
    uint64_t since;             /* the serial with which the route, for this epoch, was first told */
    uint64_t stale;             /* a picture of the cluster not newer than this is of an earlier connection */
    int64_t trusted;            /* what the picture says is good until then */
    bool quiescing, quiet;      /* quiet: the core has been answered */
    int64_t began;              /* this elector */
    int64_t held;               /* another member's epoch for which our front holds; 0: none */
    uint64_t asked;             /* the serial of the view whose COUNTS tell who is left at the end */
    bool cut;
};

static int listen_port(const char *listen)
{
    const char *colon = strrchr(listen, ':'); /* none in "off" */
    return colon != NULL ? (int)strtol(colon + 1, NULL, 10) : 0;
}

bool front_on(const struct front *f)
{
    const struct conf_front *conf = &f->e->conf->front;
    return listen_port(conf->listen) != 0 || listen_port(conf->thrift_listen) != 0;
}

void front_url(const struct front *f, char *url, size_t size)
{
    if (listen_port(f->e->conf->front.listen) != 0)
        snprintf(url, size, "%s", f->e->conf->front.advertise);
    else
        status_livy_url(f->e, url, size);
}

static enum front_mode mode_of(const struct front *f)
{
    return f->e->conf->front.mode_in_force == CONF_FRONT_REDIRECT ? FRONT_REDIRECT : FRONT_FORWARD;
}

/* ---- deciding ---- */

/* What the others say counts for as long as our session can live: T from the last moment of the connection on
 * which it was read. */
static void trust(struct front *f, int64_t now)
{
    const struct core *c = &f->e->core;

    if (!c->connected)
        f->stale = view_version(f->e->view);
    else if (view_version(f->e->view) > f->stale)
        f->trusted = now + c->timeout;
}

static void decide(struct front *f, struct front_view *view)
{
    struct elector *e = f->e;
    const struct core *c = &e->core;
    char livy_url[sizeof(view->livy_url)], url[512];
    bool v6 = strchr(e->livy_address, ':') != NULL, alive = core_livy_alive(c);

    snprintf(livy_url, sizeof(livy_url), "%s://%s%s%s:%d", elector_livy_tls(e) ? "https" : "http",
             v6 ? "[" : "", e->livy_address, v6 ? "]" : "", e->conf->livy.port);
    front_url(f, url, sizeof(url));
    struct route_self self = {.id = e->conf->id,
                              .livy_url = livy_url,
                              .front_url = url,
                              .alive = alive || c->start_run != 0,
                              .serving = alive && c->serving,
                              .quiescing = alive && f->quiescing,
                              .epoch = alive ? c->livy.epoch : c->epoch,
                              .leased = c->leased,
                              .trusted = f->trusted,
                              .mode = mode_of(f),
                              .tls = elector_livy_tls(e),
                              .ending = f->cut        ? FRONT_CUT
                                        : c->quitting ? FRONT_ENDS
                                                      : FRONT_STAYS,
                              .yield = (alive || c->start_run != 0) &&
                                       listen_port(e->conf->front.listen) == e->conf->livy.port};
    route_decide(&self, view_members(e->view), view);
}

/* A new elector that knows nothing yet must not take a relay's view away: the last one's holds until it runs
 * out. */
static bool settled(const struct front *f)
{
    return !core_livy_unprobed(&f->e->core) && view_version(f->e->view) > 0;
}

static bool knows(const struct front *f, const struct front_view *view)
{
    return view->route != FRONT_NOBODY || view->ending != 0 || view->yield != 0 || settled(f);
}

/* ---- telling the relay ---- */

static void hang_up(struct front *f)
{
    if (f->on_readable != NULL)
        event_free(f->on_readable);
    f->on_readable = NULL;
    if (f->socket >= 0)
        close(f->socket);
    f->socket = -1;
    f->told = f->counted = false;
}

static void tell(struct front *f)
{
    struct front_msg msg = {.type = FRONT_VIEW, .view = f->view};

    if (f->socket < 0)
        return;
    msg.view.serial = f->serial + 1;
    if (front_send(f->socket, &msg, -1) != 0) {
        log_debug("the relay does not take a view: %s", strerror(errno)); /* on_again does it once more */
        f->told = false;
        return;
    }
    f->serial++;
    f->told = true;
}

/* Whether both say the same but for how long it is good. */
static bool same_route(const struct front_view *a, const struct front_view *b)
{
    return a->route == b->route && a->epoch == b->epoch && strcmp(a->id, b->id) == 0 &&
           strcmp(a->livy_url, b->livy_url) == 0 && strcmp(a->front_url, b->front_url) == 0;
}

static bool same_manner(const struct front_view *a, const struct front_view *b)
{
    return a->mode == b->mode && a->tls == b->tls && a->ending == b->ending && a->yield == b->yield;
}

static void log_view(const struct front_view *old, const struct front_view *view)
{
    log_info("front %s -> %s: %s%s%s%s", front_route_name(old->route), front_route_name(view->route),
             view->id[0] != '\0' ? view->id : "no active Livy is known",
             view->livy_url[0] != '\0' ? " at " : "", view->livy_url,
             view->ending != 0 ? ", the daemon ends" : "");
}

static void renew(struct front *f)
{
    struct front_view view;

    decide(f, &view);
    if (!knows(f, &view))
        return;
    bool same = f->view.epoch == view.epoch && same_route(&f->view, &view);
    /* A lease counts as the keeper confirms it; of the others' word FRONT_AGAIN brings the new date. */
    bool dated = strcmp(view.id, f->e->conf->id) != 0 || view.valid_until == f->view.valid_until;
    if (f->told && same && same_manner(&f->view, &view) && dated)
        return;
    if (!same && front_on(f))
        log_view(&f->view, &view);
    f->view = view;
    if (!same)
        f->since = f->serial + 1;
    tell(f);
}

/* Whether no request runs under the view that is in force: then nothing of this front is in a hand-over's
 * way. */
static bool quiet_here(const struct front *f)
{
    if (f->socket < 0 || !front_on(f))
        return true;
    return f->told && f->counted && f->counts.serial >= f->since && f->counts.running == 0;
}

/* ---- a hand-over ---- */

/* Another member's: our word that nothing of ours runs is what it waits for. */
static void hold(struct front *f)
{
    bool theirs = f->view.route == FRONT_PAUSE && strcmp(f->view.id, f->e->conf->id) != 0;
    int64_t held = !theirs ? 0 : f->held == f->view.epoch || quiet_here(f) ? f->view.epoch : 0;

    if (held == f->held)
        return;
    f->held = held;
    if (held != 0 && front_on(f) && mode_of(f) == FRONT_FORWARD)
        act_publish_now(f->e);
    else
        act_publish(f->e);
}

/* Our own. */
static void answer(struct front *f)
{
    struct elector *e = f->e;

    if (!f->quiescing || f->quiet || e->stepping > 0)
        return;
    if (core_livy_alive(&e->core) &&
        (!quiet_here(f) || !route_others_hold(view_members(e->view), e->conf->id, e->core.livy.epoch)))
        return;
    f->quiet = true;
    elector_step(e, &(struct core_event){.type = CORE_EV_QUIET});
}

void front_quiesce(struct front *f, bool on)
{
    if (f->quiescing == on)
        return;
    f->quiescing = on;
    f->quiet = false;
    renew(f);
    if (route_others_forward(view_members(f->e->view), f->e->conf->id))
        act_publish_now(f->e);
    else
        act_publish(f->e);
    /* The answer goes out at the end of the step that asks. */
}

void front_update(struct front *f)
{
    trust(f, clock_boot_ms());
    renew(f);
    hold(f);
    answer(f);
}

void front_record(const struct front *f, json_t *self)
{
    if (f->quiescing && core_livy_alive(&f->e->core)) {
        json_object_set_new(self, "livy", json_string("stopping"));
        json_object_set_new(self, "quiescing", json_true());
    }
    if (!front_on(f))
        return;
    json_t *front = json_pack("{s:s}", "mode", mode_of(f) == FRONT_REDIRECT ? "redirect" : "forward");
    if (f->held != 0)
        json_object_set_new(front, "held", json_integer(f->held));
    json_object_set_new(self, "front", front);
}

/* ---- the channel ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;
    struct front_msg msg;
    int passed = -1, rc = 0;

    (void)what;
    while (f->socket == fd && (rc = front_recv(fd, &msg, &passed)) == 1) {
        if (passed >= 0)
            close(passed);
        if (msg.type != FRONT_COUNTS)
            continue;
        f->counts = msg.counts;
        f->counted = true;
    }
    if (rc < 0) {
        if (errno != EPIPE && errno != ECONNRESET)
            log_warn("a message of the relay is not one: %s", strerror(errno));
        hang_up(f); /* the keeper starts another one */
        snapshot_listen(f->e->snapshot, false);
    }
    front_update(f);
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct front *f = arg;

    (void)fd;
    (void)what;
    if (f->socket < 0)
        return;
    f->told = false; /* the whole state once more, with its new date */
    front_update(f);
}

void front_peer(struct front *f, int socket)
{
    static const struct timeval again = {.tv_sec = FRONT_AGAIN / 1000, .tv_usec = FRONT_AGAIN % 1000 * 1000L};

    hang_up(f);
    f->socket = socket;
    f->on_readable = event_new(f->e->base, socket, EV_READ | EV_PERSIST, on_readable, f);
    if (f->on_again == NULL)
        f->on_again = event_new(f->e->base, -1, EV_PERSIST, on_again, f);
    if (f->on_readable == NULL || event_add(f->on_readable, NULL) != 0 || f->on_again == NULL ||
        (!evtimer_pending(f->on_again, NULL) && event_add(f->on_again, &again) != 0))
        abort(); /* out of memory: the keeper starts another one */
    f->since = f->serial + 1;
    front_update(f);
    snapshot_listen(f->e->snapshot, true);
}

bool front_snapshot(struct front *f, int memfd, uint64_t size)
{
    struct front_msg msg = {.type = FRONT_SNAPSHOT, .size = size};

    if (f->socket < 0 || size > FRONT_SNAPSHOT_MAX)
        return false;
    if (!settled(f) && clock_boot_ms() - f->began < SETTLE_WITHIN)
        return false; /* health checks go by what the elector before this one has told */
    return front_send(f->socket, &msg, memfd) == 0;
}

/* ---- the end ---- */

void front_leave(struct front *f)
{
    f->asked = f->serial + 1;
    f->told = false;
    renew(f);
}

bool front_left(const struct front *f)
{
    if (f->socket < 0 || !front_on(f))
        return true;
    return f->counted && f->counts.serial >= f->asked &&
           f->counts.running + f->counts.held + f->counts.coming == 0;
}

void front_cut(struct front *f)
{
    f->cut = true;
    front_leave(f);
}

struct front *front_new(struct elector *e)
{
    struct front *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return NULL;
    f->e = e;
    f->began = clock_boot_ms();
    f->socket = -1;
    return f;
}

void front_free(struct front *f)
{
    if (f == NULL)
        return;
    hang_up(f);
    if (f->on_again != NULL)
        event_free(f->on_again);
    free(f);
}
