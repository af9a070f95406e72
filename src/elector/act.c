/* act.c - the core's actions become calls: to ZooKeeper, to the keeper, to the probe, to the history. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "paths.h"
#include "session.h"
#include "transition.h"

#define RESOLVE_AGAIN_MS 1000
#define TELL_AFTER_MS 50 /* what people read keeps out of the way of a hand-over for that long */

enum core_rc act_rc(int rc)
{
    switch (rc) {
    case ZOK:
        return CORE_OK;
    case ZNONODE:
        return CORE_NONODE;
    case ZNODEEXISTS:
        return CORE_EXISTS;
    case ZNOAUTH:
    case ZINVALIDACL:
    case ZAUTHFAILED:
    case ZNOCHILDRENFOREPHEMERALS:
    case ZNOTEMPTY:
        return CORE_DENIED;
    default:
        return CORE_UNKNOWN; /* it may or may not have been done */
    }
}

/* ---- the handle
 * ---------------------------------------------------------------------------------------------------- */

static bool lease_possible(struct elector *e, const struct zk_session *session)
{
    char why[512];

    if (conf_lease_possible(e->conf, session->timeout, why, sizeof(why)))
        return true;
    log_error("the ZooKeeper servers grant a session time-out of %" PRId64 " ms: %s", session->timeout, why);
    elector_fatal(e, 78, "the session time-out that the ZooKeeper servers grant leaves no room for a lease");
    return false;
}

/* zookeeper_init_ssl's "ca,certificate,key,password" of the configuration; NULL where there is no TLS. */
const char *act_tls(const struct conf_zookeeper *zookeeper, char *text, size_t size)
{
    if (zookeeper->tls_certificate == NULL)
        return NULL;
    int n =
        snprintf(text, size, "%s,%s,%s,%s", zookeeper->tls_ca, zookeeper->tls_certificate, zookeeper->tls_key,
                 zookeeper->tls_key_password != NULL ? zookeeper->tls_key_password : "");
    if (n < 0 || (size_t)n >= size)
        log_error("zookeeper.tls_ca, tls_certificate and tls_key are too long paths together");
    return text;
}

static void on_connected(struct elector *e, const struct zk_session *session)
{
    struct core_event event = {
        .type = CORE_EV_CONNECTED, .session = session->id, .timeout = session->timeout};
    bool changed = memcmp(&e->session, session, sizeof(*session)) != 0;

    if (!lease_possible(e, session))
        return;
    if (e->adopt.id != 0 && e->adopt.id != session->id)
        log_warn("session 0x%" PRIx64 " could not be adopted", (uint64_t)e->adopt.id);
    e->adopt.id = 0;
    e->session = *session;
    e->metrics.connections++;
    if (changed)
        log_info("session 0x%" PRIx64 ", time-out %" PRId64 " ms", (uint64_t)session->id, session->timeout);
    if (e->core.registered)
        command_connect(e); /* first of all: a pause may have come, and Livy have gone, meanwhile */
    elector_step(e, &event);
    if (e->core.registered && e->zk != NULL) {
        roster_resume(e->roster, e->zk); /* the same session: members/<id> is still ours */
        act_publish(e);
        history_connect(e->history, e->zk);
        view_connect(e->view, e->zk);
        deaths_connect(e->deaths, e->zk);
    }
}

static void on_session(void *arg, enum zk_state state, const struct zk_session *session, int64_t at)
{
    struct elector *e = arg;

    (void)at;
    switch (state) {
    case ZK_CONNECTED:
        on_connected(e, session);
        return;
    case ZK_SUSPENDED:
        roster_stop(e->roster);
        uri_stop(e);
        elector_step(e, &(struct core_event){.type = CORE_EV_SUSPENDED});
        return;
    case ZK_LOST:
        e->metrics.sessions_lost++;
        elector_step(e, &(struct core_event){.type = CORE_EV_LOST});
        return;
    case ZK_AUTH_FAILED:
        elector_fatal(e, 78, "ZooKeeper refuses zookeeper.auth_digest");
        return;
    }
}

static void on_watch(void *arg, int type, uint32_t kind, uint64_t tag)
{
    struct elector *e = arg;
    struct core_event event = {.op = tag, .deleted = type == ZOO_DELETED_EVENT};

    switch ((enum elector_watch)kind) {
    case WATCH_OWN:
    case WATCH_PREDECESSOR:
        event.type = kind == WATCH_OWN ? CORE_EV_OWN_CHANGED : CORE_EV_PRED_CHANGED;
        elector_step(e, &event);
        return;
    case WATCH_VIEW:
        view_changed(e->view, tag);
        e->change++;
        return;
    case WATCH_DEATHS:
        deaths_changed(e->deaths);
        return;
    case WATCH_ORDERS:
        orders_watch(e->commands->orders);
        return;
    case WATCH_URI:
        uri_changed(e);
        return;
    }
}

static void on_resolve_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    act_connect(arg);
}

static void try_again(struct elector *e)
{
    struct timeval later = {.tv_sec = RESOLVE_AGAIN_MS / 1000, .tv_usec = RESOLVE_AGAIN_MS % 1000 * 1000L};

    if (e->resolve_again == NULL)
        e->resolve_again = evtimer_new(e->base, on_resolve_again, e);
    if (e->resolve_again == NULL || evtimer_add(e->resolve_again, &later) != 0)
        abort(); /* out of memory: the keeper starts another one */
}

/* The name service may be away when a new handle is needed: then the servers are where they last were. Names
 * are looked up again with each handle, so an address that has changed meanwhile is found in the end. */
static const char *known_literals(struct elector *e, const char *literals, const char *error)
{
    if (error != NULL && !e->resolve_fails)
        log_warn("%s%s", error,
                 e->literals != NULL ? "; going on with the addresses that were found before" : "");
    e->resolve_fails = error != NULL;
    if (error != NULL)
        return e->literals != NULL ? e->literals : literals;
    char *copy = strdup(literals);
    if (copy == NULL)
        return literals;
    free(e->literals);
    e->literals = copy;
    return e->literals;
}

static void on_resolved(void *arg, const char *literals, const char *error)
{
    struct elector *e = arg;
    char tls[3 * PATH_MAX + 256];
    const struct conf_zookeeper *zookeeper = &e->conf->zookeeper;
    const char *hosts = known_literals(e, literals, error);
    struct zk_options options = {.hosts = hosts,
                                 .session_timeout = zookeeper->session_timeout,
                                 .auth_digest = zookeeper->auth_digest,
                                 .adopt = e->adopt.id != 0 ? &e->adopt : NULL};

    e->resolve = NULL;
    options.tls = act_tls(zookeeper, tls, sizeof(tls));
    e->zk = hosts != NULL ? zk_open(e->base, &options, on_session, on_watch, e) : NULL;
    if (hosts != NULL && e->zk == NULL)
        log_error("the ZooKeeper client could not be started for %s", hosts);
    if (e->zk == NULL)
        try_again(e);
    else
        elector_step(e, &(struct core_event){.type = CORE_EV_OPENED});
}

void act_connect(struct elector *e)
{
    if (e->resolve != NULL || e->zk != NULL)
        return;
    e->resolve = zk_resolve_start(e->base, e->conf->zookeeper.hosts, on_resolved, e);
    if (e->resolve == NULL)
        try_again(e);
}

/* Overdue is what had no answer for two intervals. */
static void beat_over(const struct elector_call *call, bool acknowledged)
{
    struct elector *e = call->e;

    metrics_beat(&e->metrics, clock_boot_us() - call->sent_us, e->core.timeout / 10, acknowledged);
}

void act_drop_handle(struct elector *e, bool keep_session)
{
    roster_stop(e->roster);
    uri_stop(e);
    history_connect(e->history, NULL);
    view_connect(e->view, NULL);
    deaths_connect(e->deaths, NULL);
    if (e->zk != NULL)
        zk_close(e->zk, keep_session);
    e->zk = NULL;
    command_connect(e);
    e->session.id = 0;
    e->adopt.id = 0;
    for (size_t i = 0; i < ELECTOR_CALLS; i++)
        if (e->calls[i].used && e->calls[i].beat)
            beat_over(&e->calls[i], false);
    memset(e->calls, 0, sizeof(e->calls)); /* none of them is answered any more */
}

/* ---- requests
 * ------------------------------------------------------------------------------------------------------ */

static struct elector_call *new_call(struct elector *e, const struct core_action *a)
{
    for (size_t i = 0; i < ELECTOR_CALLS; i++) {
        struct elector_call *call = &e->calls[i];
        if (call->used)
            continue;
        *call = (struct elector_call){
            .e = e, .used = true, .beat = a->type == CORE_ACT_BEAT, .request = a->request, .op = a->op};
        memcpy(call->node, a->node, sizeof(call->node));
        memcpy(call->id, a->text, sizeof(call->id));
        memcpy(call->after, a->after, sizeof(call->after));
        return call;
    }
    return NULL;
}

void act_answer(struct elector_call *call, struct core_event *event)
{
    struct elector *e = call->e;

    event->type = call->beat ? CORE_EV_BEAT : CORE_EV_REPLY;
    event->request = call->request;
    event->op = call->op;
    call->used = false;
    if (call->beat)
        beat_over(call, event->rc == CORE_OK);
    elector_step(e, event);
}

void act_reply(void *arg, const struct zk_reply *reply)
{
    struct core_event event = {.rc = act_rc(reply->rc)};

    const struct elector_call *call = arg;

    event.text = reply->value; /* WATCH: the id of the member before us */
    if (call->request == CORE_REQ_CREATE && reply->value != NULL) { /* the path; the core wants the name */
        const char *slash = strrchr(reply->value, '/');
        event.name = slash != NULL ? slash + 1 : reply->value;
    }
    if (reply->stat != NULL) {
        event.owner = reply->stat->ephemeralOwner;
        event.czxid = reply->stat->czxid;
    }
    event.names = reply->children;
    event.n_names = reply->n_children > 0 ? (size_t)reply->n_children : 0;
    act_answer(arg, &event);
}

/* A request that could not even be sent is left unanswered: the core gives the connection up in time, or
 * hears of its loss. */
static void request(struct elector *e, const struct core_action *a)
{
    char path[PATH_SIZE], prefix[CORE_NODE_SIZE + 16];
    struct elector_call *call = e->zk != NULL ? new_call(e, a) : NULL;
    int rc = ZINVALIDSTATE;

    if (call == NULL)
        return;
    if (a->type == CORE_ACT_CREATE) {
        snprintf(prefix, sizeof(prefix), "_c_%s-latch-", a->node);
        path_make(path, e->conf->zookeeper.root, "leader", prefix);
        rc = zk_create(e->zk, path, e->conf->id, (int)strlen(e->conf->id), ZOO_EPHEMERAL_SEQUENTIAL,
                       act_reply, call);
    } else if (a->type == CORE_ACT_LIST) {
        rc = latch_list(e, a->sync, act_reply, call);
    } else if (a->type == CORE_ACT_HANDOVER || a->type == CORE_ACT_TENURE || a->type == CORE_ACT_CLEAR ||
               (a->type == CORE_ACT_DELETE && (a->in_order || a->tenured))) {
        rc = takeover_request(e, a, call);
    } else {
        path_make(path, e->conf->zookeeper.root, "leader", a->node);
        if (a->type == CORE_ACT_OWN)
            rc = zk_exists(e->zk, path, WATCH_OWN, a->tag, act_reply, call);
        else if (a->type == CORE_ACT_WATCH)
            rc = zk_get(e->zk, path, WATCH_PREDECESSOR, 0, act_reply, call);
        else if (a->type == CORE_ACT_DELETE)
            rc = zk_delete(e->zk, path, -1, act_reply, call);
        else if (a->type == CORE_ACT_BEAT) {
            call->sent_us = clock_boot_us();
            rc = zk_check(e->zk, path, act_reply, call);
        }
    }
    if (rc == ZOK && a->type == CORE_ACT_BEAT)
        e->metrics.beats_sent++;
    if (rc != ZOK) {
        call->used = false;
        log_debug("request not sent: %s", zerror(rc));
    }
}

static void register_member(struct elector *e, const struct core_action *a)
{
    json_t *self = status_self(e);

    e->register_op = a->op;
    command_register(e);
    if (e->zk != NULL && self != NULL)
        roster_start(e->roster, e->zk, &e->session, self, clock_boot_ms());
    json_decref(self);
}

static void kick(struct elector *e)
{
    if (e->zk == NULL || !zk_kick(e->zk))
        return;
    e->metrics.kicks++;
    log_info("the ZooKeeper server does not answer: trying the next one");
    elector_step(e, &(struct core_event){.type = CORE_EV_KICKED});
}

/* ---- the keeper
 * ----------------------------------------------------------------------------------------------------- */

static void tell_session(struct elector *e)
{
    struct ipc_msg msg = {.type = IPC_SESSION};

    msg.session.id = e->core.session;
    msg.session.timeout = e->core.timeout;
    memcpy(msg.session.password, e->session.password, sizeof(msg.session.password));
    memcpy(msg.session.uuid, e->core.uuid, CORE_UUID_SIZE);
    memcpy(msg.session.node, e->core.node, sizeof(msg.session.node));
    channel_send(e, &msg, -1);
    if (e->core.may_close || e->core.session == 0)
        return; /* the keeper has forgotten it */
    if (session_save(e->conf->runtime_dir, &msg.session) != 0)
        log_warn("the session file in %s could not be written (%s): a dead daemon's session is then not "
                 "closed early",
                 e->conf->runtime_dir, strerror(errno));
}

static void tell(struct elector *e, enum ipc_type type, const struct core_action *a)
{
    struct ipc_msg msg = {
        .type = type, .epoch = a->epoch, .kill_at = a->kill_at, .grace = a->grace, .run = a->run};

    snprintf(msg.text, sizeof(msg.text), "%.*s", IPC_TEXT_SIZE - 1, a->text);
    channel_send(e, &msg, -1);
}

/* ---- what people see
 * ------------------------------------------------------------------------------------------------- */

static void publish(struct elector *e)
{
    if (!e->publish_due)
        return;
    json_t *self = status_self(e);
    if (self != NULL)
        roster_publish(e->roster, self);
    json_decref(self);
    e->publish_due = false;
}

/* Each word to the others is a write through the quorum, before which a hand-over would have to wait. So they
 * are gathered for a moment. */
static void on_tell_time(evutil_socket_t fd, short what, void *arg)
{
    struct elector *e = arg;

    (void)fd;
    (void)what;
    publish(e);
    history_flush(e->history);
}

static void tell_others(struct elector *e)
{
    struct timeval later = {.tv_usec = TELL_AFTER_MS * 1000L};

    if (e->on_tell == NULL)
        e->on_tell = evtimer_new(e->base, on_tell_time, e);
    if (e->on_tell == NULL || (!evtimer_pending(e->on_tell, NULL) && evtimer_add(e->on_tell, &later) != 0))
        on_tell_time(-1, 0, e); /* out of memory: at once, then */
}

void act_history(struct elector *e, const char *event, int64_t epoch, const char *reason, int64_t took)
{
    char at[CLOCK_UTC_SIZE];
    clock_format_utc(clock_wall_ms(), at);
    history_add(e->history, json_pack("{s:s, s:s, s:s, s:o, s:s, s:I}", "at", at, "event", event, "member",
                                      e->conf->id, "epoch", epoch != 0 ? json_integer(epoch) : json_null(),
                                      "reason", reason, "took_ms", (json_int_t)took));
    tell_others(e);
}

static void add_history(struct elector *e, const struct core_action *a)
{
    metrics_event(&e->metrics, &e->core, a);
    transition_event(a);
    if (a->history == CORE_HIST_SERVING)
        command_livy(e, true);
    act_history(e, core_history_name(a->history), a->epoch, a->text, a->took);
}

void act_publish(struct elector *e)
{
    struct ipc_msg msg = {.type = IPC_STATUS};
    const char *role = core_role_name(&e->core), *livy = held_livy_name(e);

    bool serves = strcmp(livy, "serving") == 0 && strcmp(e->shown_livy, livy) != 0;

    if (strcmp(role, e->shown_role) != 0 || strcmp(livy, e->shown_livy) != 0)
        e->since_wall = clock_wall_ms();
    snprintf(e->shown_role, sizeof(e->shown_role), "%s", role);
    snprintf(e->shown_livy, sizeof(e->shown_livy), "%s", livy);
    e->change++;
    e->publish_due = true;
    snapshot_changed(e->snapshot);
    if (serves)
        publish(e); /* the other members' fronts hold requests until they hear of it */
    tell_others(e);
    size_t alarms = alarm_count(e);
    snprintf(msg.text, sizeof(msg.text), "%s, Livy %s%s", role, livy,
             alarms > 0 ? "; livy-ha-ctl status tells of an alarm" : "");
    channel_send(e, &msg, -1);
}

void act_publish_now(struct elector *e)
{
    e->change++;
    e->publish_due = true;
    publish(e);
}

void act_perform(struct elector *e, const struct core_action *a)
{
    switch (a->type) {
    case CORE_ACT_CONNECT:
        act_drop_handle(e, false);
        act_connect(e);
        break;
    case CORE_ACT_KICK:
        kick(e);
        break;
    case CORE_ACT_REGISTER:
        register_member(e, a);
        break;
    case CORE_ACT_CREATE:
    case CORE_ACT_LIST:
    case CORE_ACT_OWN:
    case CORE_ACT_WATCH:
    case CORE_ACT_HANDOVER:
    case CORE_ACT_DELETE:
    case CORE_ACT_TENURE:
    case CORE_ACT_CLEAR:
    case CORE_ACT_BEAT:
        request(e, a);
        break;
    case CORE_ACT_SESSION:
        tell_session(e);
        break;
    case CORE_ACT_START:
        front_update(e->front); /* it may have to leave the port to Livy */
        held_start(e);
        tell(e, IPC_START, a);
        break;
    case CORE_ACT_LEASE:
        tell(e, IPC_LEASE, a);
        break;
    case CORE_ACT_QUIESCE:
        front_quiesce(e->front, a->on);
        break;
    case CORE_ACT_MARK:
        command_mark(e, a);
        break;
    case CORE_ACT_STOP:
        log_info("stopping Livy (grace %" PRId64 " ms): %s", a->grace, a->text);
        tell(e, IPC_STOP, a);
        break;
    case CORE_ACT_ASK:
        tell(e, IPC_ASK, a);
        break;
    case CORE_ACT_KILL:
        guard_kill(e);
        break;
    case CORE_ACT_PROBE:
        probe_start(e->probe, e->conf->livy.probe_timeout);
        break;
    case CORE_ACT_FENCE:
        takeover_fence(e, a);
        break;
    case CORE_ACT_PROBE_PREDECESSOR:
        takeover_probe(e, a->op);
        break;
    case CORE_ACT_RELEASING:
        tell(e, IPC_RELEASING, a);
        break;
    case CORE_ACT_CLOSE:
        act_close(e);
        break;
    case CORE_ACT_PHASE:
        transition_phase(e, a);
        metrics_phase(&e->metrics, a->old_phase, a->phase, clock_boot_ms());
        break;
    case CORE_ACT_HISTORY:
        add_history(e, a);
        break;
    case CORE_ACT_ALARM:
        alarm_change(e, a);
        break;
    case CORE_ACT_DEATH:
        deaths_add(e->deaths, a->gave_up, a->text, e->core.config.restart_window);
        break;
    case CORE_ACT_PUBLISH:
        act_publish(e);
        break;
    case CORE_ACT_FATAL:
        elector_fatal(e, a->code, a->text);
        break;
    }
}
