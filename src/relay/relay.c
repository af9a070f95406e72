/* relay.c - see relay.h: the loop, what a view changes for the connections, drains and deadlines. */
#include "relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "show.h"

#define ROOM_IDLE_MS 1000 /* a connection that is idle for less is in use, most likely */

uint32_t relay_route(const struct relay *relay)
{
    return view_route(&relay->view, clock_boot_ms());
}

bool relay_closing(const struct relay *relay)
{
    return relay->leaving > RELAY_TELLS || relay->view.yield != 0;
}

void relay_running(struct relay *relay, int change)
{
    relay->stats.running += (uint64_t)(int64_t)change;
    if (change < 0 && relay->stats.running == 0)
        channels_counts(relay);
}

bool relay_make_room(struct relay *relay)
{
    struct conn *conn = TAILQ_FIRST(&relay->idle);

    if (conn == NULL || clock_boot_ms() - conn->touched < ROOM_IDLE_MS)
        return false;
    relay->stats.rejected[STATS_DESCRIPTORS]++;
    conn_end(conn, false);
    return true;
}

/* ---- a new view
 * ----------------------------------------------------------------------------------------------
 */

/* timerfd, not libevent's timers: those do not count the time that the host sleeps. */
static void arm_valid(struct relay *relay)
{
    struct itimerspec spec = {0};
    int64_t at = relay->view.valid_until;

    if (relay->view.route != FRONT_NOBODY && at != CLOCK_NEVER) {
        spec.it_value.tv_sec = at / 1000;
        spec.it_value.tv_nsec = at > 0 ? at % 1000 * 1000000 : 1; /* 0 would be never */
    }
    if (timerfd_settime(relay->timerfd, TFD_TIMER_ABSTIME, &spec, NULL) != 0) {
        log_error("timerfd_settime: %s", strerror(errno));
        abort(); /* the keeper starts another one */
    }
}

static void apply(struct conn *conn, enum view_fate fate)
{
    switch (conn->state) {
    case CONN_IDLE:
    case CONN_HEAD:
    case CONN_HELD:
        if (fate != VIEW_KEEP)
            upstream_close(conn, false);
        break;
    case CONN_CONNECT:
        if (fate == VIEW_KEEP)
            break;
        upstream_close(conn, true);
        hold_add(conn);
        break;
    case CONN_RUN:
        if (fate == VIEW_CUT)
            exchange_cut(conn, "another Livy is to be the active one");
        break;
    case CONN_OPAQUE:
        if (fate == VIEW_CUT)
            conn_end(conn, true);
        else if (fate == VIEW_MAY_END)
            opaque_pause(conn);
        break;
    case CONN_SECURE:
    case CONN_LINGER:
    case CONN_DEAD:
        break;
    }
}

static void apply_all(struct relay *relay, enum view_fate fate, bool tls_changed)
{
    bool redirects = view_redirects(&relay->view, relay->view.route);
    struct conn *conn;

    TAILQ_FOREACH(conn, &relay->all, all)
    {
        if (tls_changed && (conn->kind == CONN_PLAIN || conn->kind == CONN_TLS))
            conn_end(conn, false); /* it is taken for what it is not any more */
        else
            apply(conn, redirects && conn->kind == CONN_PLAIN ? VIEW_CUT : fate);
        if (relay->view.yield != 0 && conn->state == CONN_IDLE)
            conn_end(conn, false);
    }
}

/* From the first view that says so: front.drain for what runs. The end of the daemon has one of its own where
 * that of a hand-over is over, and another one where those who waited have got a Livy. */
static void arm_drain(struct relay *relay, bool ends, bool rerouted)
{
    int64_t ms = relay->conf->front.drain;
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    bool wanted = relay->view.route == FRONT_PAUSE || relay->view.ending != 0;

    if (wanted && (!relay->draining || (ends && !evtimer_pending(relay->on_drain, NULL)) ||
                   (relay->view.ending != 0 && rerouted)))
        event_add(relay->on_drain, &delay);
    if (!wanted)
        event_del(relay->on_drain);
    relay->draining = wanted;
}

static void listen_or_not(struct relay *relay)
{
    if (relay->handover.retiring && relay->view.ending != FRONT_CUT)
        return;
    leave_follow(relay);
    if (relay->view.ending == 0 && relay->view.yield == 0 && relay->front.fd < 0 && !relay->handover.retiring)
        listener_retry(&relay->front);
}

static bool changed(const struct front_view *a, const struct front_view *b)
{
    return a->route != b->route || a->mode != b->mode || a->tls != b->tls || a->epoch != b->epoch ||
           strcmp(a->livy_url, b->livy_url) != 0 || strcmp(a->front_url, b->front_url) != 0;
}

void relay_view(struct relay *relay, const struct front_view *fresh, const char *why)
{
    const struct front_view old = relay->view;
    char text[2048];
    bool routes = view_routes(fresh->route), ran_out = !view_routes(relay_route(relay));
    bool other = changed(&old, fresh);

    if (view_describe(&old, fresh, why, text, sizeof(text)))
        log_info("%s", text);
    relay->view = *fresh;
    if (why == NULL)
        handover_view(relay, fresh);
    arm_valid(relay);
    if (fresh->yield != 0)
        listener_last(&relay->front);
    if (routes)
        relay->nobody_since = 0;
    else if (relay->nobody_since == 0)
        relay->nobody_since = clock_boot_ms();
    if (other) {
        if (routes)
            target_set(&relay->target, fresh->livy_url);
        apply_all(relay, view_fate(&old, fresh), old.tls != fresh->tls);
        if (routes)
            hold_release(relay);
        else
            hold_take_back(relay);
    } else {
        if (ran_out && routes) /* its timer was not heard of yet, but who came meanwhile waits */
            hold_release(relay);
        if (relay_closing(relay))
            apply_all(relay, VIEW_KEEP, false);
    }
    arm_drain(relay, fresh->ending != 0 && old.ending == 0, other && routes);
    listen_or_not(relay);
    channels_counts(relay);
}

static void on_valid(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;
    struct front_view fresh = relay->view;
    uint64_t ticks;

    (void)what;
    (void)!read(fd, &ticks, sizeof(ticks));
    if (relay->view.route == FRONT_NOBODY || clock_boot_ms() < relay->view.valid_until) {
        arm_valid(relay);
        return;
    }
    view_expire(&fresh);
    relay_view(relay, &fresh, "the last view has run out and no new one came");
}

/* front.drain has passed: what still runs has had its time. */
static void on_drain(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;
    struct conn *conn;

    (void)fd;
    (void)what;
    TAILQ_FOREACH(conn, &relay->all, all)
    {
        if (conn->state == CONN_RUN)
            exchange_cut(conn, "front.drain has passed");
        else if (conn->state == CONN_OPAQUE)
            conn_end(conn, true);
    }
}

/* ---- the loop
 * -----------------------------------------------------------------------------------------------
 */

void relay_soon(struct relay *relay)
{
    if (!evtimer_pending(relay->on_turn, NULL))
        event_add(relay->on_turn, &(struct timeval){0});
}

/* On top of the loop: nobody below looks at a connection. */
static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;
    struct conn *conn;
    size_t n = 0;

    (void)fd;
    (void)what;
    TAILQ_FOREACH(conn, &relay->turns, turn)
    n++;
    /* Who has more to do after that comes with the next round of the loop. */
    for (; n > 0 && (conn = TAILQ_FIRST(&relay->turns)) != NULL; n--) {
        TAILQ_REMOVE(&relay->turns, conn, turn);
        conn->on_turn = false;
        conn_step(conn);
    }
    handover_turn(relay); /* first: what may go is not begun here */
    hold_run(relay);
    while ((conn = TAILQ_FIRST(&relay->dead)) != NULL)
        conn_free(conn);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    hold_retry(arg);
}

static void on_target(void *arg)
{
    hold_release(arg);
}

void relay_configure(struct relay *relay, struct conf *fresh)
{
    conf_free(relay->conf);
    relay->conf = fresh;
    relay->front.address = fresh->front.listen;
    relay->thrift.address = fresh->front.thrift_port != 0 ? fresh->front.thrift_listen : "off";
    relay->quota.max = (size_t)fresh->front.max_connections;
}

/* Two descriptors a connection: its own, and that to a Livy. */
static void raise_descriptors(const struct relay *relay)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)relay->conf->front.max_connections * 2 + 256;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted)
        log_warn(
            "front.max_connections %d may need %ju descriptors, and %ju are allowed: beyond them the longest "
            "idle connections are closed and new ones wait (raise LimitNOFILE)",
            relay->conf->front.max_connections, (uintmax_t)wanted, (uintmax_t)limit.rlim_cur);
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config != NULL && event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0)
        base = event_base_new_with_config(config);
    if (config != NULL)
        event_config_free(config);
    if (base != NULL && event_base_priority_init(base, 2) != 0) {
        event_base_free(base);
        base = NULL;
    }
    return base;
}

static int open_events(struct relay *relay)
{
    relay->base = new_base();
    relay->timerfd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (relay->base == NULL || relay->timerfd < 0)
        return -1;
    relay->on_valid = event_new(relay->base, relay->timerfd, EV_READ | EV_PERSIST, on_valid, relay);
    relay->on_drain = evtimer_new(relay->base, on_drain, relay);
    relay->on_retry = evtimer_new(relay->base, on_retry, relay);
    relay->on_turn = evtimer_new(relay->base, on_turn, relay);
    if (relay->on_valid == NULL || relay->on_drain == NULL || relay->on_retry == NULL ||
        relay->on_turn == NULL)
        return -1;
    /* What says where bytes may go comes before the bytes. */
    event_priority_set(relay->on_valid, 0);
    return leave_open(relay) == 0 && event_add(relay->on_valid, NULL) == 0 &&
                   target_init(&relay->target, relay->base, on_target, relay) == 0
               ? channels_open(relay)
               : -1;
}

static long port_of(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    return colon != NULL ? strtol(colon + 1, NULL, 10) : 0;
}

/* Livy may be running on the front's own port: the first view tells. */
static bool shares_port(const struct conf *conf)
{
    return port_of(conf->front.listen) == conf->livy.port;
}

/* False where it cannot serve, which the keeper is told: it ends the daemon, or where that is up already
 * starts another relay after a while. */
bool relay_open_ports(struct relay *relay)
{
    char why[IPC_TEXT_SIZE];
    const char *address = NULL;

    if (!shares_port(relay->conf) && listener_open(&relay->front, why, sizeof(why)) != 0)
        address = relay->front.address;
    else if (listener_open(&relay->thrift, why, sizeof(why)) != 0)
        address = relay->thrift.address;
    /* With a socket of the relay before, that one answers until there is something to be told here. */
    else if (relay->handover.admin < 0 && show_open(relay, why, sizeof(why)) != 0)
        address = relay->conf->admin_listen;
    if (address != NULL)
        channels_fatal_port(relay, errno, port_of(address), why);
    else
        channels_say(relay, IPC_READY);
    return address == NULL;
}

static void init(struct relay *relay, struct conf *conf, int channel, bool wait)
{
    relay->conf = conf;
    relay->channel = channel;
    relay->peer = -1;
    relay->nobody_since = clock_boot_ms();
    /* Until the elector has spoken: front.advertise is https where livy.conf has a keystore. */
    relay->view.tls = strncmp(conf->front.advertise, "https:", 6) == 0;
    TAILQ_INIT(&relay->all);
    TAILQ_INIT(&relay->idle);
    TAILQ_INIT(&relay->turns);
    TAILQ_INIT(&relay->dead);
    TAILQ_INIT(&relay->plains.held);
    TAILQ_INIT(&relay->plains.due);
    TAILQ_INIT(&relay->thrifts.held);
    TAILQ_INIT(&relay->thrifts.due);
    quota_init(&relay->quota, (size_t)conf->front.max_connections);
    listener_init(&relay->front, relay, "front.listen", conf->front.listen, false);
    listener_init(&relay->thrift, relay, "front.thrift_listen",
                  conf->front.thrift_port != 0 ? conf->front.thrift_listen : "off", true);
    handover_init(&relay->handover, wait);
    relay->front.waits = relay->thrift.waits = wait;
}

static void close_all(struct relay *relay)
{
    struct conn *conn;

    TAILQ_FOREACH(conn, &relay->all, all)
    conn_end(conn, false);
    while ((conn = TAILQ_FIRST(&relay->dead)) != NULL)
        conn_free(conn);
    listener_close(&relay->front);
    listener_close(&relay->thrift);
    handover_close(relay);
    channels_close(relay);
    target_close(&relay->target);
    tls_close(relay);
    show_close(relay);
    event_free(relay->on_valid);
    event_free(relay->on_drain);
    event_free(relay->on_retry);
    event_free(relay->on_turn);
    event_free(relay->on_leave);
    close(relay->timerfd);
    event_base_free(relay->base);
    conf_free(relay->conf);
}

int relay_run(struct conf *conf, int channel, bool wait)
{
    struct relay *relay = calloc(1, sizeof(*relay));

    if (relay == NULL)
        return 75;
    init(relay, conf, channel, wait);
    if (open_events(relay) != 0) {
        log_error("the relay cannot begin: %s", strerror(errno));
        return 75; /* the keeper tries again */
    }
    raise_descriptors(relay);
    (void)tls_open(relay); /* without it TLS is forwarded, and that was said */
    channels_hello(relay);
    relay->failed = !wait && !relay_open_ports(relay);
    if (!relay->failed)
        event_base_dispatch(relay->base);
    bool fine = !relay->failed;
    close_all(relay);
    free(relay);
    return fine ? 0 : 75;
}
