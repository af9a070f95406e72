/* elector.c - what comes in (ZooKeeper, the keeper, probes, time) becomes events of the core; see act.c for
 * what goes out. Start reading at elector_run. */
#include "elector.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/front.h"
#include "livy-ha/log.h"
#include "livy-ha/portowner.h"
#include "session.h"
#include "tenure.h"

/* A version 4 UUID, as Curator draws one for each create. */
static void draw_uuid(char uuid[static CORE_UUID_SIZE])
{
    unsigned char r[16];
    if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r)) {
        uuid[0] = '\0'; /* the core asks again with the next event */
        return;
    }
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    snprintf(uuid, CORE_UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14],
             r[15]);
}

/* timerfd_settime(2) on CLOCK_BOOTTIME: libevent's own timers do not count suspends. */
static void arm_timer(struct elector *e)
{
    int64_t next = core_next(&e->core, e->stepped_at); /* not of now: what fell due since would be skipped */
    if (next == e->armed_for)
        return;
    struct itimerspec spec = {0};
    if (next != CLOCK_NEVER) {
        spec.it_value.tv_sec = next / 1000;
        spec.it_value.tv_nsec = next % 1000 * 1000000;
    }
    if (timerfd_settime(e->timerfd, TFD_TIMER_ABSTIME, &spec, NULL) != 0) {
        log_error("timerfd_settime: %s", strerror(errno));
        abort(); /* the keeper starts another one */
    }
    e->armed_for = next;
}

/* What the core does not publish to the others, and people shall see at once all the same. */
static void look_for_news(struct elector *e)
{
    if (e->snapshot == NULL || (e->core.leased == e->shown_lease && e->core.phase == e->shown_phase))
        return;
    e->shown_lease = e->core.leased;
    e->shown_phase = e->core.phase;
    snapshot_changed(e->snapshot);
}

void elector_step(struct elector *e, struct core_event *event)
{
    struct core_actions actions;
    char uuid[CORE_UUID_SIZE];

    if (e->core.spare_uuid[0] == '\0') {
        draw_uuid(uuid);
        event->uuid = uuid;
    }
    e->stepped_at = clock_boot_ms();
    core_step(&e->core, event, e->stepped_at, &actions);
    event->uuid = NULL; /* the core has copied it */
    trace_step(e->trace, &e->core, event, &actions, clock_wall_ms());
    e->stepping++;
    for (size_t i = 0; i < actions.count; i++)
        act_perform(e, &actions.list[i]);
    e->stepping--;
    arm_timer(e);
    look_for_news(e);
    backoff_tell(e);
    if (e->stepping == 0) {
        change_look(e);
        uri_update(e);
        front_update(e->front);
        command_update(e);
        held_look(e);
    }
}

void elector_fatal(struct elector *e, int code, const char *why)
{
    struct ipc_msg msg = {.type = IPC_FATAL, .code = code};

    snprintf(msg.text, sizeof(msg.text), "%s", why);
    channel_send(e, &msg, -1);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct elector *e = arg;
    uint64_t ticks;

    (void)what;
    if (read(fd, &ticks, sizeof(ticks)) > 0)
        e->armed_for = 0;
    elector_step(e, &(struct core_event){.type = CORE_EV_TIME});
}

/* ---- Livy's health
 * ------------------------------------------------------------------------------------------------ */

static pid_t parent_of(pid_t pid)
{
    char path[64], line[512] = "", parent[16] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof(line), file) != NULL) {
        const char *end = strrchr(line, ')');
        if (end == NULL || sscanf(end + 1, " %*c %15s", parent) != 1)
            parent[0] = '\0';
    }
    fclose(file);
    return (pid_t)strtol(parent, NULL, 10);
}

static bool descends_from(pid_t pid, pid_t ancestor)
{
    for (int depth = 0; pid > 1 && depth < 64; depth++) {
        if (pid == ancestor)
            return true;
        pid = parent_of(pid);
    }
    return false;
}

#define UNSEEN_OWNER_MAX 50 /* probes, of 20 to 100 ms each */

/* Rule 2, when Livy first answers: is it the process that we forked which owns the port? */
static void check_owner(struct elector *e, struct core_event *event, char *text, size_t size)
{
    pid_t owner = 0, livy = e->core.livy.pid;
    int rc = portowner_find(e->conf->livy.port, livy, &owner), why = errno;

    if (rc == 1) {
        e->unseen_owner = 0;
        return;
    }
    /* It answered, and is dead or dying by now: its sockets go before it does. But one that is never seen is
     * a stranger's. */
    bool nobody = (rc < 0 && why == ENOENT) || (rc == 0 && owner == 0);
    if (guard_livy_dead(e) || (nobody && e->unseen_owner++ < UNSEEN_OWNER_MAX)) {
        event->alive = false;
        event->text = "it answered, but nobody is seen to own its port";
        return;
    }
    e->unseen_owner = 0;
    if (rc < 0) {
        log_warn("who owns livy.port %d cannot be told (%s): taken for Livy", e->conf->livy.port,
                 strerror(why));
        return;
    }
    event->foreign = true;
    event->text = text;
    if (descends_from(owner, livy)) {
        event->status = 78;
        snprintf(
            text, size,
            "livy.command (pid %d) started another process (pid %d) that serves: it must exec it, or Livy "
            "cannot be fenced",
            (int)livy, (int)owner);
    } else {
        event->status = 75;
        snprintf(text, size, "another process (pid %d) owns livy.port %d, not the Livy that was started",
                 (int)owner, e->conf->livy.port);
    }
}

static void on_probe(void *arg, const struct probe_result *result)
{
    struct elector *e = arg;
    char text[CORE_TEXT_SIZE];
    struct core_event event = {.type = CORE_EV_PROBE,
                               .alive = result->alive,
                               .untold = result->untold,
                               .status = result->status,
                               .text = result->reason};

    if (result->untold != e->probe_untold)
        log_warn("Livy %s (livy.probe_interval)%s%s",
                 result->untold ? "cannot be probed, and goes on unwatched" : "is probed again",
                 result->untold ? ": " : "", result->untold ? result->reason : "");
    e->probe_untold = result->untold;
    if (result->alive && !e->core.serving && core_livy_alive(&e->core))
        check_owner(e, &event, text, sizeof(text));
    elector_step(e, &event);
}

bool elector_livy_tls(const struct elector *e)
{
    return strncmp(e->livy_at, "https ", 6) == 0;
}

static int open_probe(struct elector *e)
{
    struct probe_target target = {.port = e->conf->livy.port, .tls = elector_livy_tls(e)};
    const char *blank = strchr(e->livy_at, ' ');
    const char *host = blank != NULL && strcmp(blank + 1, "*") != 0 ? blank + 1 : NULL;
    char why[256];

    if (probe_target_address(host, target.address, why, sizeof(why)) != 0) {
        log_warn("%s: probing 127.0.0.1", why);
        snprintf(target.address, sizeof(target.address), "127.0.0.1");
    }
    memcpy(e->livy_address, target.address, sizeof(e->livy_address));
    e->probe = probe_new(e->base, &target, on_probe, e);
    return e->probe != NULL ? 0 : -1;
}

void elector_livy_at(struct elector *e, const char *text)
{
    if (strcmp(text, e->livy_at) == 0)
        return;
    snprintf(e->livy_at, sizeof(e->livy_at), "%s", text);
    if (e->probe == NULL)
        return;
    probe_free(e->probe);
    if (open_probe(e) != 0)
        abort(); /* out of memory: the keeper starts another one */
}

/* ---- registering
 * --------------------------------------------------------------------------------------------------- */

/* It is tried again twice a second: each reason is logged once. */
static bool new_reason(struct elector *e, const char *why)
{
    bool fresh = strncmp(e->register_why, why, sizeof(e->register_why) - 1) != 0;

    if (fresh)
        snprintf(e->register_why, sizeof(e->register_why), "%s", why);
    return fresh;
}

static void on_registered(void *arg, enum roster_result result, const char *why)
{
    struct elector *e = arg;
    struct core_event event = {.type = CORE_EV_REPLY, .request = CORE_REQ_REGISTER, .op = e->register_op};

    switch (result) {
    case ROSTER_OK:
        e->register_why[0] = '\0';
        if (e->refused)
            elector_step(e, &(struct core_event){.type = CORE_EV_STAND, .stand = true, .text = ""});
        e->refused = false;
        history_connect(e->history, e->zk);
        view_connect(e->view, e->zk);
        deaths_connect(e->deaths, e->zk);
        command_registered(e); /* once the orders are read the core is told: drained, it must not stand */
        return;
    case ROSTER_RETRY:
        event.rc = CORE_UNKNOWN;
        if (new_reason(e, why))
            log_info("not registered yet: %s", why);
        break;
    case ROSTER_DENIED:
        event.rc = CORE_UNKNOWN;
        elector_fatal(e, 78, why);
        break;
    case ROSTER_ID_TAKEN:
        event.rc = CORE_UNKNOWN;
        elector_fatal(e, 75, why);
        break;
    case ROSTER_STORE:
        event.rc = CORE_UNKNOWN; /* asked again: the operator may mend either side */
        if (new_reason(e, why))
            log_error("not standing: %s", why);
        e->refused = true;
        elector_step(e, &(struct core_event){.type = CORE_EV_STAND, .stand = false, .text = why});
        break;
    }
    elector_step(e, &event);
}

static void on_view(void *arg)
{
    struct elector *e = arg;

    roster_seen(e->roster, json_object_get(view_members(e->view), e->conf->id));
    snapshot_changed(e->snapshot);
}

/* A relay that does not read just now gets the next one. */
static int send_snapshot(void *arg, int fd, uint64_t size)
{
    struct elector *e = arg;

    if (front_snapshot(e->front, fd, size))
        return 0;
    errno = EAGAIN;
    return -1;
}

static int open_roster(struct elector *e)
{
    char tls[3 * PATH_MAX + 256];
    struct claim_options claim = {.store = e->store,
                                  .hosts = e->conf->zookeeper.hosts,
                                  .root = e->conf->zookeeper.root,
                                  .id = e->conf->id,
                                  .tls = act_tls(&e->conf->zookeeper, tls, sizeof(tls)),
                                  .must_be_shared = e->conf->livy.recovery};
    e->claim = claim_new(e->base, &claim);
    if (e->claim == NULL)
        return -1;
    struct roster_options options = {.root = e->conf->zookeeper.root,
                                     .id = e->conf->id,
                                     .fingerprint = e->store,
                                     .claim = e->claim,
                                     .host = e->conf->host,
                                     .runtime_dir = e->conf->runtime_dir,
                                     .boot = e->boot};
    e->roster = roster_new(&options, on_registered, e);
    return e->roster != NULL ? 0 : -1;
}

/* ---- the beginning
 * -------------------------------------------------------------------------------------------------- */

/* Blocks until the keeper has said WELCOME: nothing can be decided before it. */
static int be_welcomed(struct elector *e, struct ipc_msg *welcome)
{
    struct ipc_msg hello = {.type = IPC_HELLO, .run = FRONT_MAGIC, .text = LIVY_HA_VERSION};
    int fd = -1, rc;

    channel_send(e, &hello, -1);
    while ((rc = ipc_recv(e->channel, welcome, &fd)) == 0 || (rc == 1 && welcome->type != IPC_WELCOME)) {
        struct pollfd look = {.fd = e->channel, .events = POLLIN};
        if (fd >= 0)
            close(fd);
        if (rc == 0 && poll(&look, 1, -1) < 0 && errno != EINTR)
            return -1;
    }
    e->livy_pidfd = fd;
    return rc == 1 ? 0 : -1;
}

void elector_core_config(const struct conf *conf, struct core_config *config)
{
    *config = (struct core_config){.session_timeout = conf->zookeeper.session_timeout,
                                   .tick = conf->zookeeper.tick,
                                   .kill_margin = conf->livy.kill_margin,
                                   .start_timeout = conf->livy.start_timeout,
                                   .stop_grace = conf->livy.stop_grace,
                                   .drain = conf->front.drain,
                                   .probe_interval = conf->livy.probe_interval,
                                   .probe_timeout = conf->livy.probe_timeout,
                                   .probe_failures = conf->livy.probe_failures,
                                   .restarts = conf->livy.restarts,
                                   .restart_window = conf->livy.restart_window,
                                   .takeover_delay = conf->failover.takeover_delay,
                                   .fence_timeout = conf->failover.fence_timeout,
                                   .fences = conf->failover.fence_command != NULL};
}

static void init_core(struct elector *e, const struct ipc_msg *welcome)
{
    struct core_config config;

    elector_core_config(e->conf, &config);
    core_init(&e->core, &config, &welcome->session, &welcome->livy, clock_boot_ms());
    if (e->core.session != 0) {
        e->adopt.id = welcome->session.id;
        e->adopt.timeout = welcome->session.timeout;
        memcpy(e->adopt.password, welcome->session.password, sizeof(e->adopt.password));
        log_info("adopting session 0x%" PRIx64 " from the elector before this one", (uint64_t)e->adopt.id);
    }
}

static int open_parts(struct elector *e)
{
    char path[1024], why[256] = "out of memory";

    e->timerfd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    e->on_timer = e->timerfd >= 0 ? event_new(e->base, e->timerfd, EV_READ | EV_PERSIST, on_timer, e) : NULL;
    snprintf(path, sizeof(path), "%s/history", e->conf->zookeeper.root);
    e->history = history_new(path);
    e->view = view_new(e->conf->zookeeper.root, WATCH_VIEW, on_view, e);
    e->front = front_new(e);
    e->trace = trace_new();
    e->snapshot = snapshot_new(e->base, status_snapshot, send_snapshot, e);
    if (e->on_timer == NULL || event_add(e->on_timer, NULL) != 0 || e->history == NULL || e->view == NULL ||
        e->front == NULL || e->trace == NULL || e->snapshot == NULL || backoff_open(e) != 0 ||
        held_open(e) != 0 || command_open(e, WATCH_ORDERS) != 0 || open_probe(e) != 0 ||
        open_roster(e) != 0 || channel_open(e) != 0 || doubt_open(e) != 0) {
        log_error("the elector could not be set up: %s", why);
        return -1;
    }
    e->control = control_open(e, why, sizeof(why));
    if (e->control == NULL)
        elector_fatal(e, 75, why);
    return 0;
}

static void close_parts(struct elector *e)
{
    control_close(e->control);
    command_close(e);
    front_free(e->front);
    held_close(e);
    if (e->resolve != NULL)
        zk_resolve_cancel(e->resolve);
    struct event *events[] = {e->on_channel, e->on_timer, e->on_guard,     e->on_close,
                              e->on_tell,    e->on_doubt, e->resolve_again};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i] != NULL)
            event_free(events[i]);
    if (e->probe != NULL)
        probe_free(e->probe);
    snapshot_free(e->snapshot);
    free(e->literals);
    predecessor_free(e->predecessor);
    roster_free(e->roster);
    claim_free(e->claim);
    history_free(e->history);
    view_free(e->view);
    deaths_free(e->deaths);
    trace_free(e->trace);
    if (e->timerfd >= 0)
        close(e->timerfd);
    if (e->livy_pidfd >= 0)
        close(e->livy_pidfd);
    if (e->base != NULL)
        event_base_free(e->base);
    conf_free(e->conf);
}

static void begin(struct elector *e, const struct ipc_msg *welcome)
{
    struct ipc_msg ready = {.type = IPC_READY};
    struct core_event first = {.type = CORE_EV_TIME};

    if (welcome->quitting)
        first.type = CORE_EV_QUIT;
    init_core(e, welcome);
    metrics_init(&e->metrics, &welcome->livy, clock_boot_ms());
    e->keeper_heard = clock_boot_ms();
    e->pending_restart = welcome->pending_restart != 0;
    act_connect(e);
    if (e->control != NULL)
        channel_send(e, &ready, -1);
    elector_step(e, &first);
    if (core_livy_alive(&e->core) && welcome->livy.started_at > 0)
        e->since_wall -= clock_boot_ms() - welcome->livy.started_at; /* it has been active since then */
}

int elector_run(struct conf *conf, int channel, const struct elector_options *options)
{
    struct elector e = {.conf = conf,
                        .channel = channel,
                        .store = options->store,
                        .keeper_version = options->keeper != NULL ? options->keeper : LIVY_HA_VERSION,
                        .keeper = getppid(),
                        .timerfd = -1,
                        .livy_pidfd = -1};
    struct ipc_msg welcome;

    e.phase_since = clock_boot_ms();
    e.started_wall = e.since_wall = clock_wall_ms();
    session_boot_id(e.boot, sizeof(e.boot));
    tenure_name(conf, e.tenure);
    e.base = event_base_new();
    if (e.base == NULL || be_welcomed(&e, &welcome) != 0) {
        close_parts(&e);
        return 1;
    }
    /* One that was only tried until now would have died with the keeper; from here on it has to outlive it,
     * to see Livy dead and to close the session. */
    if (prctl(PR_SET_PDEATHSIG, 0) != 0)
        log_warn("PR_SET_PDEATHSIG: %s", strerror(errno));
    elector_livy_at(&e, welcome.text);
    if (open_parts(&e) != 0) {
        close_parts(&e);
        return 1;
    }
    command_adopt(&e, options->upgrade);
    begin(&e, &welcome);
    event_base_dispatch(e.base);
    int code = e.exit_code;
    close_parts(&e);
    return code;
}
