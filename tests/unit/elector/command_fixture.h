/* command_fixture.h - three electors' command tables over one fake_control.h; the core of each is what the
 * test says it is. a is active, b and c stand behind it. Each test program includes it once.
 */
#ifndef LIVY_HA_TEST_COMMAND_FIXTURE_H
#define LIVY_HA_TEST_COMMAND_FIXTURE_H

#include "fake_control.h"

#include <event2/event.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#define EPOCH 10

/* ---- what command*.c calls ---- */

struct deaths {
    int64_t offset; /* ZooKeeper's clock less ours */
    bool known;
};

struct view {
    json_t *members, *known;
};

struct httpd_exchange {
    int answers, status;
    char text[COMMAND_TEXT_SIZE];
};

struct host {
    struct elector e;
    struct conf conf;
    struct deaths deaths;
    struct view view;
    int restarts, orders;
};

static struct host hosts[HANDLES];
static struct event_base *base;

bool deaths_clock(const struct deaths *deaths, int64_t *offset)
{
    *offset = deaths->offset;
    return deaths->known;
}

const json_t *view_members(const struct view *view)
{
    return view->members;
}

const json_t *view_known(const struct view *view)
{
    return view->known;
}

void act_history(struct elector *e, const char *event, int64_t epoch, const char *reason, int64_t took)
{
    (void)e;
    (void)event;
    (void)epoch;
    (void)reason;
    (void)took;
}

void channel_send(struct elector *e, struct ipc_msg *msg, int fd)
{
    (void)e;
    (void)msg;
    (void)fd;
}

void command_reply(struct httpd_exchange *exchange, int status, json_t *document)
{
    const char *text = json_string_value(json_object_get(document, status < 400 ? "text" : "error"));

    exchange->answers++;
    exchange->status = status;
    (void)snprintf(exchange->text, sizeof(exchange->text), "%s", text != NULL ? text : "");
    json_decref(document);
}

/* As far as command*.c looks at it. */
void elector_step(struct elector *e, struct core_event *event)
{
    struct host *h = (struct host *)e; /* its first part */

    switch (event->type) {
    case CORE_EV_ORDERS:
        h->orders++;
        e->core.command.orders = event->orders;
        break;
    case CORE_EV_STAND:
        e->core.may_stand = event->stand;
        break;
    case CORE_EV_RESTART:
        h->restarts++;
        e->core.command.restarting = true;
        break;
    case CORE_EV_REPLY:
        e->core.registered = true;
        break;
    default:
        fail();
    }
    command_update(e);
}

/* ---- the cluster: a is active, b and c stand behind it ---- */

static struct host *const a = &hosts[0], *const b = &hosts[1], *const c = &hosts[2];

/* What every member sees of one. */
static UNUSED void shown(const struct host *who, const char *role, int64_t epoch, int sequence)
{
    for (int i = 0; i < HANDLES; i++)
        json_object_set_new(
            hosts[i].view.members, who->conf.id,
            json_pack("{s:s, s:I, s:i}", "role", role, "epoch", (json_int_t)epoch, "sequence", sequence));
}

static UNUSED void leads(struct host *h, int64_t epoch)
{
    h->e.core.leading = h->e.core.first = true;
    h->e.core.serving = true;
    h->e.core.epoch = epoch;
    h->e.core.phase = CORE_ACTIVE;
}

static UNUSED void on_fired(void *arg)
{
    struct elector *e = arg;
    orders_watch(e->commands->orders);
}

static UNUSED void host_open(struct host *h, const char *id, int sequence)
{
    static char names[HANDLES][8], root[] = "/root";
    size_t i = (size_t)(h - hosts);

    memset(h, 0, sizeof(*h));
    (void)snprintf(names[i], sizeof(names[i]), "%s", id);
    h->conf.id = names[i];
    h->conf.zookeeper.root = root;
    h->conf.livy.start_timeout = 300000;
    h->deaths = (struct deaths){.offset = 1000000000, .known = true};
    h->view = (struct view){.members = json_object(), .known = json_object()};
    h->e.conf = &h->conf;
    h->e.base = base;
    h->e.deaths = &h->deaths;
    h->e.view = &h->view;
    h->e.core.connected = h->e.core.may_stand = true;
    h->e.core.phase = CORE_STANDBY;
    (void)snprintf(h->e.core.node, sizeof(h->e.core.node), "_c_x-latch-%010d", sequence);
    handles[i].fired = on_fired;
    handles[i].fired_arg = &h->e;
    h->e.zk = &handles[i];
    assert_int_equal(command_open(&h->e, KIND), 0);
}

static UNUSED void serve_everybody(void)
{
    bool more = true;

    for (int turns = 0; more; turns++) {
        assert_true(turns < 200);
        more = false;
        for (int i = 0; i < HANDLES; i++) {
            more = more || handles[i].n > 0;
            if (handles[i].n > 0)
                serve(&handles[i]);
        }
    }
}

static UNUSED void update_everybody(void)
{
    for (int i = 0; i < HANDLES; i++)
        command_update(&hosts[i].e);
    serve_everybody();
}

static UNUSED int setup(void **state)
{
    (void)state;
    log_open("test_command", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    base = event_base_new();
    fake_open();
    host_open(a, "a", 1);
    host_open(b, "b", 2);
    host_open(c, "c", 3);
    leads(a, EPOCH);
    shown(a, "active", EPOCH, 1);
    shown(b, "standby", 0, 2);
    shown(c, "standby", 0, 3);
    others.children[0] = a->e.core.node;
    others.children[1] = b->e.core.node;
    others.children[2] = c->e.core.node;
    others.n = 3;
    for (int i = 0; i < HANDLES; i++)
        command_registered(&hosts[i].e);
    serve_everybody();
    for (int i = 0; i < HANDLES; i++)
        assert_true(hosts[i].e.core.registered);
    return 0;
}

static UNUSED int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < HANDLES; i++) {
        command_close(&hosts[i].e);
        json_decref(hosts[i].view.members);
        json_decref(hosts[i].view.known);
    }
    fake_close();
    event_base_free(base);
    return 0;
}

static UNUSED void post(struct host *h, struct httpd_exchange *exchange, const char *path, const char *query)
{
    struct httpd_request request = {.post = true, .path = path, .query = query};

    memset(exchange, 0, sizeof(*exchange));
    command_post(&h->e, exchange, &request);
}

static UNUSED void marks(struct host *h, enum core_mark mark)
{
    struct core_action action = {.type = CORE_ACT_MARK,
                                 .mark = mark,
                                 .epoch = h->e.core.command.orders.epoch,
                                 .tag = (uint64_t)core_latch_sequence(h->e.core.node)};
    command_mark(&h->e, &action);
}

/* a has gone, c serves in its place. */
static UNUSED void c_takes_over(void)
{
    a->e.core.leading = a->e.core.serving = false;
    a->e.core.phase = CORE_STANDBY;
    shown(a, "standby", 0, 4);
    leads(c, EPOCH + 1);
    shown(c, "active", EPOCH + 1, 3);
    update_everybody();
}

/* A borrowed reference into a copy that lives until the next call. */
static UNUSED const json_t *in_control(const char *key)
{
    static json_t *control;

    json_decref(control);
    control = json_loads(node.data, 0, NULL);
    const json_t *found = json_object_get(control, key);
    if (found == NULL) {
        json_decref(control);
        control = NULL;
    }
    return found;
}

static UNUSED const char *in_switchover(const char *key)
{
    const char *found = json_string_value(json_object_get(in_control("switchover"), key));
    return found != NULL ? found : "";
}

static UNUSED bool begun(void)
{
    return json_is_true(json_object_get(in_control("switchover"), "begun"));
}

static UNUSED size_t results(void)
{
    return json_array_size(in_control("results"));
}

#endif
