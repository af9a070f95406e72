/* core.c - the step: an event changes what is known, then what is known is compared with what is wanted. */
#include "core_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define CLOSE_PATIENCE 1000 /* ms from LEAVE to closing, where the delete is not answered */
#define LONG_OUTAGE 5000    /* ms of absence after which Livy may have noticed too */
#define UNTOLD_WITHIN 10000 /* ms after Livy's death: an elector that hangs is ended sooner */
#define HOPELESS_MIN 20000  /* ms without a connection after which a new session is tried */

/* ---- actions
 * ------------------------------------------------------------------------------------------------ */

struct core_action *core_act(struct step *s, enum core_action_type type)
{
    if (s->out->count >= CORE_MAX_ACTIONS)
        abort();
    struct core_action *a = &s->out->list[s->out->count++];
    memset(a, 0, sizeof(*a));
    a->type = type;
    return a;
}

void core_say(char text[static CORE_TEXT_SIZE], const char *format, ...)
{
    char buffer[CORE_TEXT_SIZE]; /* an argument may be `text` itself */
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, sizeof(buffer), format, args);
    va_end(args);
    memcpy(text, buffer, sizeof(buffer));
}

void core_history(struct step *s, enum core_history event, int64_t took, const char *format, ...)
{
    struct core_action *a = core_act(s, CORE_ACT_HISTORY);
    va_list args;

    a->history = event;
    a->took = took;
    a->epoch = s->c->epoch != 0 ? s->c->epoch : s->c->livy.epoch;
    va_start(args, format);
    vsnprintf(a->text, sizeof(a->text), format, args);
    va_end(args);
    core_say(s->c->reason, "%s", a->text);
}

bool core_asking(const struct core *c, enum core_request request)
{
    return c->pending[request] != 0;
}

struct core_action *core_ask(struct step *s, enum core_request request, enum core_action_type type)
{
    struct core *c = s->c;

    if (core_asking(c, request))
        return NULL;
    struct core_action *a = core_act(s, type);
    a->request = request;
    a->op = c->pending[request] = ++c->last_op;
    c->pending_since[request] = s->now;
    return a;
}

/* ---- session events
 * ------------------------------------------------------------------------------------------ */

/* Nothing that was asked on this connection will be answered in a way that counts. */
static void void_requests(struct core *c)
{
    if (core_asking(c, CORE_REQ_CREATE))
        c->create_unknown = c->suspect = true;
    memset(c->pending, 0, sizeof(c->pending));
    c->own_known = c->watching = c->told = false;
    if (!c->first)
        c->listed = false;
    c->retry_at = 0;
}

/* The session is dead to us. Our node of it may still stand, ahead of others, until the server expires it. */
static void forget_session(struct step *s, const char *why)
{
    struct core *c = s->c;

    if (c->node[0] != '\0') {
        memcpy(c->ghost, c->node, sizeof(c->ghost));
        c->ghost_unfinished = c->takeover.state == CORE_TAKEOVER_WAITING;
    }
    core_latch_lost(s, why);
    core_latch_forget(c);
    c->uuid[0] = c->stray[0] = '\0';
    c->inherited = c->suspect = false;
    c->registered = false;
    c->session = 0;
    c->proof = c->kill_at = 0;
    core_say(c->reason, "%s", why);
}

static void connected(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;
    bool fresh = event->session != c->session;

    void_requests(c);
    if (fresh) {
        if (c->session != 0)
            forget_session(s, "ZooKeeper gave another session");
        c->session = event->session;
    }
    if (c->connected_at != 0 && s->now - c->suspended_at >= LONG_OUTAGE)
        c->outage_end = s->now;
    c->connected = true;
    c->connected_at = s->now;
    core_lease_connected(s, event->timeout, fresh);
    core_alarm_connected(s, event->timeout);
    core_say(c->reason, fresh ? "connected" : "connected again, same session");
    core_act(s, CORE_ACT_SESSION);
}

static void suspended(struct step *s)
{
    struct core *c = s->c;

    if (!c->connected)
        return;
    c->connected = false;
    c->suspended_at = s->now;
    void_requests(c);
    core_lease_disconnected(c);
    core_backoff_disconnected(c);
    core_say(c->reason, "connection to ZooKeeper lost");
}

static void open_anew(struct step *s)
{
    struct core *c = s->c;

    core_act(s, CORE_ACT_CONNECT);
    c->floor = s->now;
    c->opened = true;
    c->suspended_at = s->now;
}

static void lost(struct step *s, const char *why)
{
    struct core *c = s->c;

    c->connected = false;
    void_requests(c);
    core_lease_disconnected(c);
    core_backoff_disconnected(c);
    forget_session(s, why);
    open_anew(s);
}

/* ---- the step
 * -------------------------------------------------------------------------------------------------- */

static void reply(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if ((size_t)event->request >= CORE_REQUESTS || event->op == 0 || c->pending[event->request] != event->op)
        return;
    c->pending[event->request] = 0;
    core_latch_reply(s, event);
}

static void apply(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    switch (event->type) {
    case CORE_EV_TIME:
        break;
    case CORE_EV_CONNECTED:
        connected(s, event);
        break;
    case CORE_EV_SUSPENDED:
        suspended(s);
        break;
    case CORE_EV_LOST:
        lost(s, "the ZooKeeper session has ended");
        break;
    case CORE_EV_OPENED:
        c->opened_at = s->now;
        break;
    case CORE_EV_KICKED:
        if (c->kick_at > c->floor)
            c->floor =
                c->kick_at; /* the old connection was shut down after this, the next is made after that */
        break;
    case CORE_EV_REPLY:
        reply(s, event);
        break;
    case CORE_EV_BEAT:
        core_lease_beat(s, event);
        break;
    case CORE_EV_OWN_CHANGED:
        if (event->op != c->node_tag)
            break; /* of an earlier node */
        if (c->doomed)
            break; /* by ourselves: the delete's own answer tells */
        if (event->deleted)
            core_latch_lost(s, "the latch node was deleted");
        c->own_known = false;
        break;
    case CORE_EV_PRED_CHANGED:
        c->listed = c->watching = false;
        c->told = true;
        break;
    case CORE_EV_LIVY:
        core_livy_event(s, event);
        break;
    case CORE_EV_LEASED:
        core_livy_leased(s, event->kill_at);
        s->c->waits = event->waits && s->c->livy.state == IPC_LIVY_ALIVE && !s->c->served;
        break;
    case CORE_EV_LIVY_GONE:
        core_livy_gone(s);
        break;
    case CORE_EV_PROBE:
        core_livy_probe(s, event);
        break;
    case CORE_EV_PREDECESSOR:
        core_takeover_predecessor(s, event);
        break;
    case CORE_EV_FENCED:
        core_takeover_fenced(s, event);
        break;
    case CORE_EV_STAND:
        core_command_stand(s, event);
        break;
    case CORE_EV_ORDERS:
        core_command_orders(s, event);
        break;
    case CORE_EV_RESTART:
        core_command_restart(s, event);
        break;
    case CORE_EV_QUIET:
        core_command_quiet(c);
        break;
    case CORE_EV_QUIT:
        c->quitting = true;
        core_say(c->quit_reason, "%s", event->text != NULL ? event->text : "orderly stop");
        core_say(c->reason, "%s", c->quit_reason);
        break;
    case CORE_EV_LEAVE:
        c->may_close = true;
        c->close_by = s->now + CLOSE_PATIENCE;
        break;
    case CORE_EV_DEATHS:
        core_backoff_news(s, event);
        break;
    case CORE_EV_DOUBT:
        core_keeper_doubt(s);
        break;
    }
}

/* Orderly stop: the keeper is asked at once, answers once Livy is dead; the node goes first (a standby waits
 * for it), then the session. */
static void leave(struct step *s)
{
    struct core *c = s->c;

    if (!c->quitting || c->close_sent)
        return;
    if (!c->releasing_sent) {
        core_act(s, CORE_ACT_RELEASING);
        c->releasing_sent = true;
    }
    /* An adopted session is being taken up just now, and ends in a moment or after T. */
    bool away = !c->connected && (c->session == 0 || c->connected_at != 0);
    if (c->may_close && (away || c->node[0] == '\0' || s->now >= c->close_by)) {
        core_act(s, CORE_ACT_CLOSE);
        c->close_sent = true;
    }
}

/* An ensemble that has lost its data never says that the session is over: it just refuses the connection. And
 * addresses that lead nowhere are looked up anew with the next handle alone. */
static int64_t hopeless_at(const struct core *c)
{
    int64_t patience = 2 * c->timeout < HOPELESS_MIN ? HOPELESS_MIN : 2 * c->timeout;
    /* A look-up may take as long as this; the handle that comes of it gets its time. */
    return (c->opened_at > c->suspended_at ? c->opened_at : c->suspended_at) + patience;
}

static bool may_be_hopeless(const struct core *c)
{
    return !c->connected && c->opened && !c->quitting && !core_livy_alive(c) && c->start_run == 0;
}

static enum core_phase derive_phase(const struct core *c, int64_t now)
{
    bool wanted = core_latch_wanted(c, now) && !core_command_giving(c);
    bool paused = core_command_paused(c, now) && !core_livy_alive(c) && c->start_run == 0;

    if (c->quitting)
        return CORE_LEAVING;
    if (!c->connected && !(c->leading && core_livy_alive(c) && now < c->kill_at))
        return CORE_OFFLINE;
    if (c->doomed || (!wanted && (c->node[0] != '\0' || core_livy_alive(c))))
        return CORE_RELEASING;
    if (!wanted)
        return CORE_DRAINED;
    if (c->first && paused)
        return CORE_PAUSED;
    if (c->leading)
        return CORE_ACTIVE;
    if (c->first)
        return CORE_CONFIRMING;
    return c->listed || c->phase == CORE_STANDBY ? (c->node[0] != '\0' ? CORE_STANDBY : CORE_JOINING)
                                                 : CORE_JOINING;
}

/* The one place where the phase changes. */
static void set_phase(struct step *s)
{
    struct core *c = s->c;
    enum core_phase phase = derive_phase(c, s->now);

    if (phase == c->phase)
        return;
    struct core_action *a = core_act(s, CORE_ACT_PHASE);
    a->old_phase = c->phase;
    a->phase = phase;
    core_say(a->text, "%s", phase == CORE_DRAINED && !c->may_stand ? c->stand_reason : c->reason);
    c->phase = phase;
}

static uint64_t mix(uint64_t digest, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ bytes[i]) * 1099511628211u; /* FNV-1a */
    return digest;
}

static void publish(struct step *s)
{
    struct core *c = s->c;
    const char *role = core_role_name(c), *livy = core_livy_name(c);
    uint64_t digest = 14695981039346656037u;

    digest = mix(digest, role, strlen(role));
    digest = mix(digest, livy, strlen(livy));
    digest = mix(digest, c->node, strlen(c->node));
    digest = mix(digest, &c->epoch, sizeof(c->epoch));
    digest = mix(digest, &c->livy.pid, sizeof(c->livy.pid));
    digest = mix(digest, &c->session, sizeof(c->session));
    digest = mix(digest, &c->registered, sizeof(c->registered));
    digest = mix(digest, c->alarms, sizeof(c->alarms));
    digest = mix(digest, &c->command.orders.paused, sizeof(c->command.orders.paused));
    if (digest == c->published)
        return;
    c->published = digest;
    core_act(s, CORE_ACT_PUBLISH);
}

void core_step(struct core *c, const struct core_event *event, int64_t now, struct core_actions *out)
{
    struct step s = {.c = c, .now = now, .out = out};

    out->count = 0;
    core_alarm_stepped(c, now);
    if (c->spare_uuid[0] == '\0' && event->uuid != NULL && strlen(event->uuid) == CORE_UUID_SIZE - 1)
        memcpy(c->spare_uuid, event->uuid, CORE_UUID_SIZE);
    apply(&s, event);
    core_lease_update(&s);
    core_takeover_reconcile(&s);
    core_livy_reconcile(&s);
    if (may_be_hopeless(c) && now >= hopeless_at(c))
        lost(&s, "no connection to ZooKeeper for too long: trying a new session");
    core_latch_reconcile(&s);
    core_command_mark(&s);
    core_lease_reconcile(&s);
    leave(&s);
    core_alarm_reconcile(&s);
    set_phase(&s);
    publish(&s);
}

void core_earliest(int64_t *next, int64_t now, int64_t at)
{
    if (at > now && at < *next)
        *next = at;
}

int64_t core_next(const struct core *c, int64_t now)
{
    int64_t next = CLOCK_NEVER;

    core_earliest(&next, now, core_lease_next(c, now));
    core_earliest(&next, now, core_livy_next(c, now));
    core_earliest(&next, now, core_backoff_next(c, now));
    core_earliest(&next, now, core_command_next(c, now));
    core_earliest(&next, now, core_alarm_next(c, now));
    if (may_be_hopeless(c))
        core_earliest(&next, now, hopeless_at(c));
    if (c->connected)
        core_earliest(&next, now, c->retry_at);
    core_earliest(&next, now, c->rejoin_at);
    core_earliest(&next, now, core_takeover_next(c, now));
    if (c->may_close && !c->close_sent)
        core_earliest(&next, now, c->close_by);
    if (c->connected && (c->node[0] == '\0' || (c->suspect && !c->first)))
        core_earliest(&next, now, c->list_at);
    if (c->leading && !c->connected)
        core_earliest(&next, now, c->kill_at); /* the phase changes */
    return next;
}

void core_configure(struct core *c, const struct core_config *config)
{
    int64_t tick = c->config.tick, kill_margin = c->config.kill_margin;
    int64_t session_timeout = c->config.session_timeout;

    c->config = *config;
    c->config.session_timeout = session_timeout;
    c->config.tick = tick; /* the lease's own terms change with a restart only */
    c->config.kill_margin = kill_margin;
}

void core_init(struct core *c, const struct core_config *config, const struct ipc_session *session,
               const struct ipc_livy *livy, int64_t now)
{
    memset(c, 0, sizeof(*c));
    c->config = *config;
    c->phase = CORE_OFFLINE;
    c->opened = true;
    c->floor = now;
    c->suspended_at = now;
    c->may_stand = true;
    c->command.orders.sequence = -1;
    c->tenured = true; /* of a daemon or an elector before us, perhaps */
    c->livy = *livy;
    c->fence_untold = livy->state == IPC_LIVY_NONE && livy->cause == IPC_CAUSE_DEADLINE &&
                      now - livy->kill_at < UNTOLD_WITHIN;
    if (core_livy_alive(c)) {
        c->leased = c->max_sent = c->lease_sent = livy->kill_at;
        c->kill_at = livy->kill_at;
    }
    /* Without the uuid of its nodes (the keeper was stopped, its queue full) one of them could stand in the
     * queue unseen, and in the end first, for as long as we kept the session alive: it is left to expire. */
    if (session == NULL || session->id == 0 || session->uuid[0] == '\0')
        return;
    c->session = session->id;
    c->inherited = c->suspect = true;
    c->timeout = session->timeout;
    memcpy(c->uuid, session->uuid, CORE_UUID_SIZE - 1);
    memcpy(c->node, session->node, sizeof(c->node));
    c->node[sizeof(c->node) - 1] = '\0';
    if (core_livy_alive(c)) {
        c->leading = c->adopted = c->node[0] != '\0';
        c->adopted_run = livy->run;
        if (c->leading) {
            c->phase = CORE_ACTIVE;
            c->takeover.state = CORE_TAKEOVER_PASSED;
            c->tenure_due = true; /* the elector before us may have ended before it did */
        }
    } else if (c->node[0] != '\0') {
        c->doomed = true; /* its delete may be on the way: make another one */
    } else {
        c->create_unknown = c->uuid[0] != '\0';
    }
}

/* ---- names
 * ---------------------------------------------------------------------------------------------------- */

const char *core_phase_name(enum core_phase phase)
{
    static const char *const names[] = {"offline",   "joining", "standby", "confirming", "active",
                                        "releasing", "drained", "leaving", "paused"};
    return (size_t)phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "?";
}

const char *core_history_name(enum core_history event)
{
    static const char *const names[] = {"elected",
                                        "started",
                                        "serving",
                                        "unhealthy",
                                        "livy-died",
                                        "fenced",
                                        "released",
                                        "lost",
                                        "adopted",
                                        "fencing",
                                        "fencing-done",
                                        "fencing-failed",
                                        "predecessor-answers",
                                        "restart",
                                        "delayed"};
    return (size_t)event < sizeof(names) / sizeof(names[0]) ? names[event] : "?";
}

const char *core_livy_name(const struct core *c)
{
    if (c->livy.state == IPC_LIVY_STOPPING || (core_livy_alive(c) && (c->stop_sent || c->kill_sent)))
        return "stopping";
    if (core_livy_alive(c))
        return c->unhealthy ? "unhealthy" : c->serving ? "serving" : "starting";
    return c->failed ? "failed" : "none";
}

const char *core_role_name(const struct core *c)
{
    switch (c->phase) {
    case CORE_OFFLINE:
    case CORE_JOINING:
        return c->leading && core_livy_alive(c) ? "active" : "joining";
    case CORE_STANDBY:
    case CORE_CONFIRMING:
        return "standby";
    case CORE_ACTIVE:
        return "active";
    case CORE_RELEASING:
        return c->leading ? "active" : c->may_stand ? "joining" : "drained";
    case CORE_PAUSED:
        return c->leading ? "active" : "standby";
    case CORE_DRAINED:
        return c->may_stand ? "joining" : "drained";
    case CORE_LEAVING:
        return c->leading ? "active" : "drained";
    }
    return "joining";
}
