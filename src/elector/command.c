/* command.c - see command.h: the commands under way, and what the core is told of the orders. */
#include "command.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "elector.h"
#include "http_head.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "record.h"

#define DEFAULT_TIMEOUT 60000
#define LONGEST INT64_C(31536000000) /* a year, ms */
#define FURTHEST (INT64_MAX / 4)     /* of a number that a stranger may have written */
#define LOOK_MS 200                  /* ms between looks while a command runs: deadlines, expiries */

static const char *const names[COMMAND_KINDS] = {"switchover", "pause",  "resume", "restart", "drain",
                                                 "undrain",    "forget", "reload", "upgrade"};

const char *command_name(enum command_kind kind)
{
    return names[kind];
}

/* ---- small things that the command*.c files share --------------------------------------------------------
 */

bool command_zk_now(const struct elector *e, int64_t *ms)
{
    int64_t offset;
    bool known = deaths_clock(e->deaths, &offset);

    *ms = clock_boot_ms() + offset;
    return known;
}

int64_t command_local(const struct elector *e, int64_t zk_ms)
{
    int64_t offset;

    (void)deaths_clock(e->deaths, &offset);
    return zk_ms - offset;
}

const char *command_other_standing(const struct elector *e, const json_t *record)
{
    const json_t *drained = json_object_get(record, "drained");
    const char *id;
    json_t *member;

    json_object_foreach((json_t *)view_members(e->view), id, member)
    {
        if (strcmp(id, e->conf->id) != 0 && strcmp(record_text(member, "role"), "standby") == 0 &&
            json_object_get(drained, id) == NULL)
            return id;
    }
    return NULL;
}

json_t *command_object(json_t *record, const char *key)
{
    json_t *found = json_object_get(record, key);

    if (json_is_object(found))
        return found;
    json_object_set_new(record, key, json_object());
    return json_object_get(record, key);
}

int64_t command_number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *found = json_object_get(object, key);
    int64_t value = json_is_integer(found) ? (int64_t)json_integer_value(found) : otherwise;

    return value >= -FURTHEST && value <= FURTHEST ? value : otherwise;
}

bool command_active_here(const struct elector *e)
{
    return e->core.leading && e->core.node[0] != '\0' && !e->core.doomed;
}

bool command_drained(const struct elector *e, const char *id)
{
    const json_t *drained = json_object_get(orders_record(e->commands->orders), "drained");

    return json_object_get(drained, id) != NULL;
}

void command_say(struct elector *e, const char *event, const char *format, ...)
{
    char reason[COMMAND_TEXT_SIZE];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    log_info("%s: %s", event, reason);
    act_history(e, event, e->core.leading ? e->core.epoch : 0, reason, 0); /* a standby's node is no epoch */
}

/* ---- answers ---------------------------------------------------------------------------------------------
 */

static const char *state_name(const struct command *c)
{
    switch (c->state) {
    case COMMAND_FREE:
    case COMMAND_RUNS:
        return "running";
    case COMMAND_DONE:
        return "done";
    case COMMAND_TIMED_OUT:
        return "timed-out";
    case COMMAND_REFUSED:
    case COMMAND_OFFLINE:
    case COMMAND_FAILED:
        return "failed";
    }
    return "failed";
}

static int http_status(const struct command *c)
{
    switch (c->state) {
    case COMMAND_FREE:
    case COMMAND_RUNS:
        return 202;
    case COMMAND_DONE:
        return 200;
    case COMMAND_REFUSED:
        return 409;
    case COMMAND_FAILED:
        return 500;
    case COMMAND_TIMED_OUT:
        return 504;
    case COMMAND_OFFLINE:
        return 503;
    }
    return 500;
}

static json_t *document(const struct command *c)
{
    bool failed = c->state != COMMAND_DONE && c->state != COMMAND_RUNS;
    json_t *found =
        json_pack("{s:s, s:s, s:s}", "id", c->id, "command", names[c->kind], "state", state_name(c));

    json_object_set_new(found, failed ? "error" : "text", json_string(c->text));
    if (c->state == COMMAND_RUNS && c->timeout > 0)
        json_object_set_new(found, "timeout_ms", json_integer(c->timeout));
    if (c->active[0] != '\0')
        json_object_set_new(found, "active", json_string(c->active));
    if (c->took >= 0)
        json_object_set_new(found, "took_ms", json_integer(c->took));
    if (c->gap >= 0)
        json_object_set_new(found, "gap_ms", json_integer(c->gap));
    return found;
}

static void answer(struct command *c)
{
    struct httpd_exchange *exchange = c->exchange;

    c->exchange = NULL;
    if (exchange != NULL)
        command_reply(exchange, http_status(c), document(c));
}

void command_end(struct command *c, enum command_state state, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->text, sizeof(c->text), format, args);
    va_end(args);
    c->state = state;
    if (c->changing)
        orders_cancel(c->e->commands->orders, c);
    c->changing = false;
    log_info("%s %s: %s", names[c->kind], state_name(c), c->text);
    answer(c);
}

void command_gone(struct elector *e, const struct httpd_exchange *exchange)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (e->commands->list[i].exchange == exchange)
            e->commands->list[i].exchange = NULL;
}

/* ---- requests
 * ---------------------------------------------------------------------------------------------- */

/* The value of `key` in the query, decoded; false where it is not there, or is too long. */
static bool query_value(const char *query, const char *key, char *value, size_t size)
{
    size_t length = strlen(key);

    for (const char *at = query; at != NULL; at = strchr(at, '&') != NULL ? strchr(at, '&') + 1 : NULL) {
        if (strncmp(at, key, length) != 0 || at[length] != '=')
            continue;
        at += length + 1;
        return http_path_decode((struct http_span){.at = at, .length = strcspn(at, "&")}, value, size);
    }
    return false;
}

static int64_t query_number(const char *query, const char *key, int64_t otherwise)
{
    char text[24], *end;

    if (!query_value(query, key, text, sizeof(text)))
        return otherwise;
    long long value = strtoll(text, &end, 10);
    return *end == '\0' && end != text && value > 0 && value <= LONGEST ? (int64_t)value : -1;
}

/* A free slot, or the one that ended longest ago. */
struct command *command_new(struct elector *e)
{
    struct command *found = NULL;

    for (size_t i = 0; i < COMMANDS; i++) {
        struct command *c = &e->commands->list[i];
        if (c->state == COMMAND_RUNS)
            continue;
        if (found == NULL || (found->state != COMMAND_FREE && c->began < found->began))
            found = c;
    }
    if (found == NULL)
        return NULL;
    *found = (struct command){.e = e, .state = COMMAND_RUNS, .took = -1, .gap = -1, .began = clock_boot_ms()};
    return found;
}

struct command *command_running(struct elector *e, enum command_kind kind, const struct command *other)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        struct command *c = &e->commands->list[i];
        if (c->state == COMMAND_RUNS && c->kind == kind && c != other)
            return c;
    }
    return NULL;
}

static bool draw_id(char id[static COMMAND_ID_SIZE])
{
    unsigned char bits[(COMMAND_ID_SIZE - 1) / 2];

    if (getrandom(bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t)sizeof(bits))
        return false;
    for (size_t i = 0; i < sizeof(bits); i++)
        snprintf(id + 2 * i, 3, "%02x", bits[i]);
    return true;
}

static void refuse(struct httpd_exchange *exchange, int status, const char *why)
{
    command_reply(exchange, status, json_pack("{s:s}", "error", why));
}

static const char *read_query(struct command *c, const char *query)
{
    const char *target = c->kind == COMMAND_FORGET ? "id" : "to";
    char flag[8];

    if (!query_value(query, target, c->target, sizeof(c->target)) && c->kind == COMMAND_FORGET)
        return "forget needs id=ID";
    c->pause_for = query_number(query, "for_ms", 0);
    c->timeout =
        query_number(query, "timeout_ms",
                     c->kind == COMMAND_SWITCHOVER || c->kind == COMMAND_DRAIN || c->kind == COMMAND_RESTART
                         ? c->e->conf->livy.start_timeout
                         : DEFAULT_TIMEOUT);
    if (c->pause_for < 0 || c->timeout < 0)
        return "for_ms and timeout_ms are numbers of milliseconds";
    c->force = query_value(query, "force", flag, sizeof(flag)) && strcmp(flag, "1") == 0;
    return NULL;
}

void command_post(struct elector *e, struct httpd_exchange *exchange, const struct httpd_request *request)
{
    char flag[8];
    int kind = 0;

    while (kind < COMMAND_KINDS && strcmp(request->path + 1, names[kind]) != 0)
        kind++;
    if (kind == COMMAND_KINDS) {
        refuse(exchange, 404, "there is no such command");
        return;
    }
    struct command *c = command_new(e);
    if (c == NULL || !draw_id(c->id)) {
        if (c != NULL)
            c->state = COMMAND_FREE;
        refuse(exchange, 503, "too many commands are under way");
        return;
    }
    c->kind = (enum command_kind)kind;
    const char *wrong = read_query(c, request->query);
    if (wrong != NULL) {
        c->state = COMMAND_FREE;
        refuse(exchange, 400, wrong);
        return;
    }
    c->deadline = c->began + c->timeout;
    c->exchange = exchange;
    command_begin(c);
    command_look(c);
    if (c->state == COMMAND_RUNS && query_value(request->query, "wait", flag, sizeof(flag)) &&
        strcmp(flag, "0") == 0)
        answer(c);
    command_update(e);
}

/* What another elector was asked for is told of too, as far as it is in <root>/control. */
static void get_from_orders(struct elector *e, struct httpd_exchange *exchange, const char *id)
{
    struct command c = {.e = e, .kind = COMMAND_SWITCHOVER, .took = -1, .gap = -1, .exchange = exchange};

    c.state = COMMAND_RUNS;
    c.written = c.by_switchover = true;
    c.deadline = CLOCK_NEVER;
    snprintf(c.id, sizeof(c.id), "%s", id);
    switch_outcome(&c);
    if (c.exchange == NULL)
        return;
    if (!orders_fresh(e->commands->orders)) /* an elector that has just begun */
        snprintf(c.text, sizeof(c.text), "it is being read what has been asked for");
    bool there = e->commands->request.there && strcmp(e->commands->request.id, id) == 0;
    bool restarts = e->commands->restart.there && strcmp(e->commands->restart.id, id) == 0;
    if (restarts)
        c.kind = COMMAND_RESTART;
    if (there || restarts || !orders_fresh(e->commands->orders))
        answer(&c);
    else
        refuse(exchange, 404, "no command with this id is known");
}

void command_get(struct elector *e, struct httpd_exchange *exchange, const struct httpd_request *request)
{
    char id[COMMAND_ID_SIZE] = "";

    (void)query_value(request->query, "id", id, sizeof(id));
    for (size_t i = 0; i < COMMANDS; i++) {
        const struct command *c = &e->commands->list[i];
        if (c->state != COMMAND_FREE && id[0] != '\0' && strcmp(c->id, id) == 0) {
            command_reply(exchange, 200, document(c));
            return;
        }
    }
    get_from_orders(e, exchange, id);
}

/* ---- what the core is told
 * ----------------------------------------------------------------------------------- */

static void pause_orders(const struct elector *e, struct core_orders *orders)
{
    const json_t *paused = json_object_get(orders_record(e->commands->orders), "paused");
    int64_t until = command_number(paused, "until_zk_ms", CLOCK_NEVER), now;

    if (!json_is_object(paused))
        return;
    orders->paused = true;
    orders->paused_until = CLOCK_NEVER;
    if (until == CLOCK_NEVER || !command_zk_now(e, &now))
        return; /* until somebody ends it; or as long as it is not known how late it is */
    orders->paused_until = command_local(e, until);
    orders->paused = until > now;
    if (!orders->paused)
        orders->paused_until = 0;
}

static void tell_drained(struct elector *e)
{
    struct command_table *t = e->commands;
    bool drained = command_drained(e, e->conf->id);
    char text[CORE_TEXT_SIZE];

    if (drained == t->drained_told)
        return;
    t->drained_told = drained;
    const json_t *how = json_object_get(json_object_get(orders_record(t->orders), "drained"), e->conf->id);
    snprintf(text, sizeof(text), "drained, asked on %.100s", record_text(how, "by"));
    elector_step(e, &(struct core_event){
                        .type = CORE_EV_STAND, .bar = CORE_BAR_DRAINED, .stand = !drained, .text = text});
}

static void tell_orders(struct elector *e)
{
    struct command_table *t = e->commands;
    struct core_event event = {.type = CORE_EV_ORDERS};
    char text[CORE_TEXT_SIZE] = "";

    event.orders.sequence = -1;
    pause_orders(e, &event.orders);
    switch_orders(e, &event.orders, text);
    restart_orders(e, &event.orders);
    const struct core_orders *a = &event.orders, *b = &t->told;
    bool same = a->paused == b->paused && a->paused_until == b->paused_until && a->epoch == b->epoch &&
                a->named == b->named && a->to_me == b->to_me && a->sequence == b->sequence &&
                a->next == b->next && a->begun == b->begun && a->restart == b->restart;
    if (same && !t->retell)
        return;
    if (a->paused != b->paused)
        e->change++;
    t->told = event.orders;
    snprintf(t->told_id, sizeof(t->told_id), "%s", event.orders.epoch != 0 ? t->request.id : "");
    t->retell = false;
    event.text = text;
    elector_step(e, &event);
}

void command_update(struct elector *e)
{
    struct command_table *t = e->commands;

    if (t->updating || e->stepping > 0 || !orders_known(t->orders))
        return;
    t->updating = true;
    if (e->core.connected && (e->core.registered || t->registering))
        orders_again(t->orders);
    tell_drained(e);
    tell_orders(e);
    if (t->registering && orders_fresh(t->orders)) {
        t->registering = false;
        elector_step(
            e, &(struct core_event){
                   .type = CORE_EV_REPLY, .request = CORE_REQ_REGISTER, .op = e->register_op, .rc = CORE_OK});
    }
    switch_look(e);
    restart_look(e);
    bool waits = t->request.there || t->restart.there;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (t->list[i].state == COMMAND_RUNS)
            command_look(&t->list[i]);
        waits = waits || t->list[i].state == COMMAND_RUNS;
    }
    struct timeval later = {.tv_usec = LOOK_MS * 1000L};
    if (waits && !evtimer_pending(t->timer, NULL))
        (void)evtimer_add(t->timer, &later); /* without memory: at the next step, of which there are many */
    t->updating = false;
}

/* ---- events
 * ------------------------------------------------------------------------------------------------------- */

static void on_orders(void *arg)
{
    struct elector *e = arg;

    e->commands->retell = true;
    e->change++;
    switch_read(e);
    restart_read(e);
    command_update(e);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    command_update(arg);
}

void command_register(struct elector *e)
{
    e->commands->registering = false;
}

void command_registered(struct elector *e)
{
    e->commands->registering = true;
    orders_connect(e->commands->orders, e->zk);
}

void command_connect(struct elector *e)
{
    struct command_table *t = e->commands;

    t->registering = false;
    if (e->zk == NULL) { /* a handle that is gone answers nothing any more */
        t->ask_to_begin.under_way = t->ask_to_drain.under_way = 0;
        t->forgetting = false;
    }
    orders_connect(t->orders, e->zk);
}

void command_livy(struct elector *e, bool serves)
{
    struct command_table *t = e->commands;
    int64_t zk = 0;
    bool known = command_zk_now(e, &zk);

    *(serves ? &t->served_zk : &t->ended_zk) = known ? zk : 0;
    *(serves ? &t->served_epoch : &t->ended_epoch) = e->core.livy.epoch;
    *(serves ? &t->served_at : &t->ended_at) = clock_boot_ms();
}

void command_record_self(const struct elector *e, json_t *self)
{
    const struct command_table *t = e->commands;

    if (t->ended_zk != 0)
        json_object_set_new(
            self, "livy_ended",
            json_pack("{s:I, s:I}", "epoch", (json_int_t)t->ended_epoch, "zk_ms", (json_int_t)t->ended_zk));
}

void command_record(const struct elector *e, json_t *cluster)
{
    const json_t *record = orders_record(e->commands->orders);
    const json_t *paused = json_object_get(record, "paused");
    struct core_orders orders = {0};
    char text[CLOCK_UTC_SIZE];

    pause_orders(e, &orders);
    json_object_set_new(cluster, "paused", json_boolean(orders.paused));
    if (!orders.paused)
        return;
    json_object_set_new(cluster, "paused_by", json_string(record_text(paused, "by")));
    if (orders.paused_until == CLOCK_NEVER) {
        json_object_set_new(cluster, "paused_until", json_null());
        return;
    }
    clock_format_utc(clock_wall_ms() + orders.paused_until - clock_boot_ms(), text);
    json_object_set_new(cluster, "paused_until", json_string(text));
}

int command_open(struct elector *e, uint32_t watch_kind)
{
    struct command_table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return -1;
    e->commands = t;
    t->e = e;
    t->told.sequence = -1;
    t->orders = orders_new(e->conf->zookeeper.root, watch_kind, on_orders, e);
    t->timer = evtimer_new(e->base, on_time, e);
    return t->orders != NULL && t->timer != NULL ? 0 : -1;
}

void command_close(struct elector *e)
{
    if (e->commands == NULL)
        return;
    if (e->commands->timer != NULL)
        event_free(e->commands->timer);
    orders_free(e->commands->orders);
    json_decref(e->commands->result);
    free(e->commands);
    e->commands = NULL;
}
