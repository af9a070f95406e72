/* command_switch.c - the switchover request in <root>/control: from its being asked for to its end.
 *
 * All times in it are ZooKeeper's, so that members whose clocks differ agree on when it expires. It is taken
 * out by whoever knows that it has ended, with what has become of it in "results":
 *   - by the member that is active in a later epoch, and serves: done, or failed where another was named;
 *   - by the active one where it was not begun and cannot be: nobody stands, or the successor has gone;
 *   - by anybody where it was not begun in time. One that was begun stays (BEGUN_MORE longer at least): the
 *     member that takes over may need it to start Livy in a pause.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "record.h"

#define RESULTS 16
#define BEGUN_MORE 600000 /* ms */
#define OTHERS_WAIT                                                                                          \
    1000 /* ms that those whom it does not concern leave an expired request to the active one */
#define GONE_AFTER 1000 /* ms after which a request that is not there was taken out by somebody */
#define GAP_WAIT 500    /* ms that the word of the old Livy's end is waited for */

/* ---- reading
 * ------------------------------------------------------------------------------------------------- */

static bool take_text(const json_t *object, const char *key, char *text, size_t size)
{
    const char *found = record_text(object, key);

    if (strlen(found) >= size)
        return false;
    memcpy(text, found, strlen(found) + 1);
    return true;
}

/* What a stranger may have written, or another version, is not there. */
static bool read_request(const json_t *record, struct command_switch *request)
{
    const json_t *found = json_object_get(record, "switchover");

    memset(request, 0, sizeof(*request));
    request->epoch = command_number(found, "epoch", 0);
    request->sequence = command_number(found, "sequence", -1);
    request->asked_zk = command_number(found, "asked_zk_ms", 0);
    request->expires_zk = command_number(found, "expires_zk_ms", 0);
    request->next = json_is_true(json_object_get(found, "next"));
    request->begun = json_is_true(json_object_get(found, "begun"));
    request->chosen = json_is_true(json_object_get(found, "chosen"));
    return take_text(found, "id", request->id, sizeof(request->id)) && request->id[0] != '\0' &&
           take_text(found, "from", request->from, sizeof(request->from)) && request->from[0] != '\0' &&
           take_text(found, "to", request->to, sizeof(request->to)) &&
           take_text(found, "by", request->by, sizeof(request->by)) && request->epoch > 0 &&
           request->asked_zk > 0 && request->expires_zk > request->asked_zk;
}

void switch_read(struct elector *e)
{
    struct command_switch request;

    request.there = read_request(orders_record(e->commands->orders), &request);
    if (!request.there)
        memset(&request, 0, sizeof(request));
    e->commands->request = request;
}

/* ---- what the core is told
 * ------------------------------------------------------------------------------------- */

static const json_t *member(const struct elector *e, const char *id)
{
    return json_object_get(view_members(e->view), id);
}

static bool role_is(const json_t *record, const char *role)
{
    return strcmp(record_text(record, "role"), role) == 0;
}

/* Its word that it is next is of the node with which it still stands. */
static bool successor_stands(const struct elector *e, const struct command_switch *request)
{
    const json_t *record = member(e, request->to);
    return role_is(record, "standby") && command_number(record, "sequence", -2) == request->sequence;
}

static bool stands(const struct elector *e, const char *id)
{
    if (strcmp(id, e->conf->id) == 0)
        return e->core.phase == CORE_STANDBY;
    return role_is(member(e, id), "standby");
}

/* A successor is waited for. One that was only chosen is not once it has gone: then it is the next one's. */
static bool is_named(const struct elector *e, const struct command_switch *request)
{
    if (request->to[0] == '\0' || !request->chosen)
        return request->to[0] != '\0';
    return stands(e, request->to) && !command_drained(e, request->to);
}

static bool concerns_us(const struct elector *e, const struct command_switch *request)
{
    return e->core.leading && e->core.epoch == request->epoch && strcmp(request->from, e->conf->id) == 0;
}

void switch_orders(struct elector *e, struct core_orders *orders, char text[static CORE_TEXT_SIZE])
{
    const struct command_switch *request = &e->commands->request;
    int64_t now;

    if (!request->there || !command_zk_now(e, &now))
        return;
    if (!request->begun && (now >= request->expires_zk || e->commands->mending))
        return;
    if (!request->begun && concerns_us(e, request) &&
        command_other_standing(e, orders_record(e->commands->orders)) == NULL)
        return; /* switch_look ends it */
    orders->epoch = request->epoch;
    orders->named = is_named(e, request);
    orders->to_me = orders->named && strcmp(request->to, e->conf->id) == 0;
    orders->sequence = request->sequence;
    orders->next = request->next && (!concerns_us(e, request) || successor_stands(e, request));
    orders->begun = request->begun;
    snprintf(text, CORE_TEXT_SIZE, "switchover%s%.60s, asked on %.60s", orders->named ? " to " : "",
             orders->named ? request->to : "", request->by);
}

/* ---- asking
 * ------------------------------------------------------------------------------------------------------ */

/* The active member as far as is known here; NULL: there is none. */
static const char *find_active(const struct elector *e, int64_t *epoch)
{
    const char *id, *found = NULL;
    json_t *record;

    *epoch = 0;
    if (e->core.leading && e->core.epoch != 0) {
        *epoch = e->core.epoch;
        return e->conf->id;
    }
    json_object_foreach((json_t *)view_members(e->view), id, record)
    {
        int64_t its = command_number(record, "epoch", 0);
        if (strcmp(id, e->conf->id) == 0 || !role_is(record, "active") || its <= *epoch)
            continue;
        *epoch = its;
        found = id;
    }
    return found;
}

static bool known(const struct elector *e, const char *id)
{
    return strcmp(id, e->conf->id) == 0 || json_object_get(view_known(e->view), id) != NULL ||
           member(e, id) != NULL;
}

static void why_not(const struct elector *e, const char *id, char *why, size_t size)
{
    const json_t *record = member(e, id), *alarms = json_object_get(record, "alarms");
    const char *alarm = json_string_value(json_array_get(alarms, 0));

    if (strcmp(id, e->conf->id) == 0)
        snprintf(why, size, "%s does not stand: %s", id, e->core.reason);
    else if (record == NULL)
        snprintf(why, size, "%s is not there (absent)", id);
    else
        snprintf(why, size, "%s does not stand in the queue (%s)%s%s", id, record_text(record, "role"),
                 alarm != NULL ? ": " : "", alarm != NULL ? alarm : "");
}

void switch_refusal(const struct command *c, char why[static COMMAND_TEXT_SIZE])
{
    const struct elector *e = c->e;
    const struct command_switch *request = &e->commands->request;
    int64_t epoch, now;
    const char *active = find_active(e, &epoch), *to = c->target;
    bool self_stands = e->core.phase == CORE_STANDBY;

    why[0] = '\0';
    if (request->there)
        snprintf(why, COMMAND_TEXT_SIZE, "a switchover%s%s is under way, asked on %s",
                 request->to[0] != '\0' ? " to " : "", request->to, request->by);
    else if (active == NULL)
        snprintf(why, COMMAND_TEXT_SIZE, "there is no active member that could hand over");
    else if (to[0] != '\0' && strcmp(to, active) == 0)
        snprintf(why, COMMAND_TEXT_SIZE, "%s is the active member already", to);
    else if (to[0] != '\0' && !known(e, to))
        snprintf(why, COMMAND_TEXT_SIZE, "there is no member %s", to);
    else if (to[0] != '\0' && command_drained(e, to))
        snprintf(why, COMMAND_TEXT_SIZE, "%s is drained: livy-ha-ctl undrain there first", to);
    else if (to[0] != '\0' && !stands(e, to))
        why_not(e, to, why, COMMAND_TEXT_SIZE);
    else if (command_other_standing(e, orders_record(e->commands->orders)) == NULL && !self_stands)
        snprintf(why, COMMAND_TEXT_SIZE, "no other member stands in the queue");
    else if (!command_zk_now(e, &now))
        snprintf(why, COMMAND_TEXT_SIZE, "ZooKeeper's time is not known yet: try again in a moment");
}

static const json_t *find_result(const json_t *record, const char *id)
{
    const json_t *results = json_object_get(record, "results");
    size_t i;
    json_t *result;

    json_array_foreach((json_t *)results, i, result)
    {
        if (strcmp(record_text(result, "id"), id) == 0)
            return result;
    }
    return NULL;
}

bool switch_asked(const struct command *c, const json_t *record)
{
    struct command_switch there;

    return (read_request(record, &there) && strcmp(there.id, c->id) == 0) ||
           find_result(record, c->id) != NULL;
}

enum orders_edit switch_ask(struct command *c, json_t *record, char why[static 256])
{
    struct elector *e = c->e;
    struct command_switch there;
    char at[CLOCK_UTC_SIZE];
    int64_t epoch, now;
    const char *active = find_active(e, &epoch);
    int64_t expires;

    if (switch_asked(c, record))
        return ORDERS_SO;
    if (read_request(record, &there)) {
        snprintf(why, 256, "a switchover%s%.60s is under way, asked on %.60s",
                 there.to[0] != '\0' ? " to " : "", there.to, there.by);
        return ORDERS_REFUSED;
    }
    if (active == NULL || !command_zk_now(e, &now)) {
        snprintf(why, 256, "there is no active member that could hand over");
        return ORDERS_REFUSED;
    }
    if (c->target[0] != '\0' && strcmp(c->target, active) == 0) {
        snprintf(why, 256, "%.135s is the active member already", active);
        return ORDERS_REFUSED;
    }
    bool choose = c->target[0] == '\0' && c->kind == COMMAND_SWITCHOVER;
    const char *to = choose ? command_choose(e, record, active) : c->target;
    clock_format_utc(clock_wall_ms(), at);
    expires = now + c->timeout;
    json_object_set_new(record, "switchover",
                        json_pack("{s:s, s:s, s:I, s:s, s:b, s:s, s:s, s:I, s:I, s:b}", "id", c->id, "from",
                                  active, "epoch", (json_int_t)epoch, "to", to, "chosen",
                                  choose && to[0] != '\0', "by", e->conf->id, "at", at, "asked_zk_ms",
                                  (json_int_t)now, "expires_zk_ms", (json_int_t)expires, "begun",
                                  c->kind == COMMAND_DRAIN));
    return ORDERS_WRITE;
}

/* ---- its end
 * ------------------------------------------------------------------------------------------------------- */

static enum orders_edit mend_edit(void *arg, json_t *record, char why[static 256])
{
    const struct elector *e = arg;
    struct command_switch there;

    if (!read_request(record, &there) || strcmp(there.id, e->commands->mend_id) != 0)
        return ORDERS_SO; /* another member was quicker */
    if (there.begun && !e->commands->mend_begun) {
        snprintf(why, 256, "it was begun in the same moment");
        return ORDERS_REFUSED; /* by now Livy is being stopped for it */
    }
    json_t *results = json_object_get(record, "results");
    if (!json_is_array(results)) {
        results = json_array();
        json_object_set_new(record, "results", results);
    }
    json_array_append(results, e->commands->result);
    while (json_array_size(results) > RESULTS)
        json_array_remove(results, 0);
    (void)json_object_del(record, "switchover");
    why[0] = '\0';
    return ORDERS_WRITE;
}

static void mended(void *arg, enum orders_outcome outcome, const char *why)
{
    struct elector *e = arg;

    if (outcome != ORDERS_DONE)
        log_warn("the end of the switchover is not written down: %s", why);
    e->commands->mending = false;
    e->commands->retell = true;
}

static void mend(struct elector *e, const char *outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void mend(struct elector *e, const char *outcome, const char *format, ...)
{
    struct command_table *t = e->commands;
    char text[COMMAND_TEXT_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bool serves = e->core.leading && e->core.serving;
    json_decref(t->result);
    t->result = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "id", t->request.id, "outcome", outcome,
                          "text", text, "active", serves ? e->conf->id : "", "from", t->request.from, "epoch",
                          (json_int_t)t->request.epoch, "asked_zk_ms", (json_int_t)t->request.asked_zk,
                          "served_zk_ms", (json_int_t)(serves ? t->served_zk : 0));
    memcpy(t->mend_id, t->request.id, sizeof(t->mend_id));
    t->mend_begun = t->request.begun || (serves && e->core.epoch > t->request.epoch);
    t->mending = t->result != NULL && orders_change(t->orders, mend_edit, mended, (void *)e);
    log_info("switchover %s: %s", outcome, text);
    t->retell = true;
}

/* There is nobody to take over. */
static void nobody(struct elector *e)
{
    const struct command_table *t = e->commands;

    if (!t->request.there || t->mending || !concerns_us(e, &t->request) || t->request.begun)
        return;
    if (t->request.chosen && command_other_standing(e, orders_record(t->orders)) != NULL)
        return; /* its record will say so soon, and it is another one's */
    if (t->request.to[0] != '\0' && !t->request.chosen)
        mend(e, "failed", "%s has left the queue; nothing was changed", t->request.to);
    else
        mend(e, "failed", "no other member stands any more; nothing was changed");
}

/* This member serves in a later epoch than the one that was to end. */
static void taken_over(struct elector *e)
{
    const struct command_switch *request = &e->commands->request;
    const char *self = e->conf->id;

    if (strcmp(request->from, self) == 0)
        mend(e, "failed", "no other member took over: %s serves again", self);
    else if (request->to[0] != '\0' && !request->chosen && strcmp(request->to, self) != 0)
        mend(e, "failed", "%s was to take over from %s, but %s did", request->to, request->from, self);
    else
        mend(e, "done", "%s took over from %s", self, request->from);
}

static void not_in_time(struct elector *e)
{
    const struct command_switch *request = &e->commands->request;

    if (request->begun)
        mend(e, "timed-out", "%s gave the latch up, and no member has served since", request->from);
    else if (is_named(e, request) && !request->next)
        mend(e, "timed-out", "%s did not come to stand next to %s in the queue; nothing was changed",
             request->to, request->from);
    else
        mend(e, "timed-out", "%s did not begin it in time; nothing was changed", request->from);
}

void switch_look(struct elector *e)
{
    struct command_table *t = e->commands;
    const struct command_switch *request = &t->request;
    const struct core *core = &e->core;
    int64_t now;

    if (!request->there || t->mending || !core->connected || !command_zk_now(e, &now))
        return;
    bool ours = concerns_us(e, request);
    bool named = request->to[0] != '\0' && !request->chosen;
    if (core->leading && core->serving && core->epoch > request->epoch)
        taken_over(e);
    else if (now >= request->expires_zk + (request->begun ? BEGUN_MORE : ours ? 0 : OTHERS_WAIT))
        not_in_time(e);
    else if (!ours || request->begun)
        return;
    else if (named && (member(e, request->to) == NULL || command_drained(e, request->to)))
        mend(e, "failed", "%s has gone, or was drained; nothing was changed", request->to);
    else if (!named && command_other_standing(e, orders_record(e->commands->orders)) == NULL)
        mend(e, "failed", "no other member stands any more; nothing was changed");
}

/* When the old one's Livy ended; 0: it has not said so (yet). */
static int64_t ended_at(const struct elector *e, const json_t *result)
{
    const struct command_table *t = e->commands;
    const char *from = record_text(result, "from");
    int64_t epoch = command_number(result, "epoch", 0);

    if (strcmp(from, e->conf->id) == 0)
        return t->ended_epoch == epoch ? t->ended_zk : 0;
    const json_t *said = json_object_get(member(e, from), "livy_ended");
    return command_number(said, "epoch", 0) == epoch ? command_number(said, "zk_ms", 0) : 0;
}

void switch_outcome(struct command *c)
{
    const struct elector *e = c->e;
    const struct command_switch *request = &e->commands->request;
    const json_t *result = find_result(orders_record(e->commands->orders), c->id);
    int64_t now;

    if (request->there && strcmp(request->id, c->id) == 0) {
        snprintf(c->text, sizeof(c->text), "%s",
                 request->begun                             ? "the latch is being handed over"
                 : request->to[0] != '\0' && !request->next ? "the queue is being put into order"
                                                            : "written down");
        return;
    }
    if (result == NULL) {
        if (c->deadline != CLOCK_NEVER && orders_fresh(e->commands->orders) && !c->changing &&
            clock_boot_ms() - c->began > GONE_AFTER)
            command_end(c, COMMAND_FAILED, "the request was taken out of <root>/control by somebody");
        return;
    }
    int64_t served = command_number(result, "served_zk_ms", 0),
            asked = command_number(result, "asked_zk_ms", 0);
    int64_t ended = ended_at(e, result);
    bool done = strcmp(record_text(result, "outcome"), "done") == 0;
    if (done && ended == 0 && c->deadline != CLOCK_NEVER && command_zk_now(e, &now) && served > 0 &&
        now - served < GAP_WAIT)
        return; /* it will say so in a moment */
    snprintf(c->active, sizeof(c->active), "%.135s", record_text(result, "active"));
    if (served > 0 && asked > 0) /* the members read that clock to some ms */
        c->took = served > asked ? served - asked : 0;
    if (served > 0 && ended > 0)
        c->gap = served > ended ? served - ended : 0;
    if (c->took >= 0 && c->gap > c->took)
        c->gap = c->took; /* it ended after the request */
    command_end(c,
                done                                                       ? COMMAND_DONE
                : strcmp(record_text(result, "outcome"), "timed-out") == 0 ? COMMAND_TIMED_OUT
                                                                           : COMMAND_FAILED,
                "%s%s%s", c->kind == COMMAND_DRAIN ? e->conf->id : "",
                c->kind == COMMAND_DRAIN ? " is drained; " : "", record_text(result, "text"));
}

/* ---- marks ------------------------------------------------------------------------------------------- */

/* The request that the core has been told of is the one that is marked, and no other one of the same reign.
 */
static enum orders_edit mark_edit(void *arg, json_t *record, char why[static 256])
{
    const struct command_table *t = arg;
    json_t *request = json_object_get(record, "switchover");
    bool begun = t->mark == CORE_MARK_BEGUN;
    struct command_switch there;
    int64_t now;

    if (!read_request(record, &there) || strcmp(there.id, t->mark_id) != 0 ||
        (begun && command_zk_now(t->e, &now) && now >= there.expires_zk)) {
        snprintf(why, 256, "the switchover is not asked for any more");
        return ORDERS_REFUSED;
    }
    if (begun && (there.to[0] == '\0' || there.chosen) && command_other_standing(t->e, record) == NULL) {
        snprintf(why, 256, "who was to take over is drained"); /* in the same moment */
        return ORDERS_REFUSED;
    }
    if (begun) {
        json_object_set_new(request, "begun", json_true());
    } else {
        json_object_set_new(request, "sequence", json_integer(t->mark_sequence));
        json_object_set_new(request, "next", json_boolean(t->mark == CORE_MARK_NEXT));
    }
    return ORDERS_WRITE;
}

static void mark_over(struct command_table *t)
{
    t->marking = false;
    t->retell = true; /* as it is by now; the core says it again where that is needed */
}

static void mark_done(void *arg, enum orders_outcome outcome, const char *why)
{
    if (outcome != ORDERS_DONE)
        log_debug("switchover: %s", why);
    mark_over(arg);
}

static void write_mark(struct command_table *t)
{
    if (!orders_change(t->orders, mark_edit, mark_done, t))
        mark_over(t);
}

/* What the others tell of themselves (members/<id>) comes later than what they do: Livy is not stopped before
 * the queue itself shows who takes over. */
static void on_queue_to_begin(struct elector *e, bool asked, const struct command_queue *queue)
{
    struct command_table *t = e->commands;

    if (!t->marking || t->mark != CORE_MARK_BEGUN)
        return;
    if (strcmp(t->request.id, t->mark_id) != 0)
        asked = false; /* it was another request's successor that was looked for */
    if (asked && (is_named(e, &t->request) ? queue->successor : queue->others)) {
        write_mark(t);
        return;
    }
    mark_over(t);
    if (asked)
        nobody(e);
}

/* One at a time: the core says nothing more before it is told what has become of the last one. */
void command_mark(struct elector *e, const struct core_action *a)
{
    struct command_table *t = e->commands;

    if (t->marking)
        orders_cancel(t->orders, t);
    t->mark = a->mark;
    memcpy(t->mark_id, t->told_id, sizeof(t->mark_id));
    t->mark_sequence = (int64_t)a->tag;
    t->marking = true;
    if (t->mark == CORE_MARK_BEGUN)
        command_queue_ask(e, &t->ask_to_begin, on_queue_to_begin);
    else
        write_mark(t);
}
