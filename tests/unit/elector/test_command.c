/* test_command.c - what several members write into <root>/control and read there, in the orders that hurt: an
 * answer that is lost, another one who is quicker, a reign that ends meanwhile. Each request is carried out
 * once or not at all, and who asked hears of it.
 *
 * Three electors' command tables over one fake_control.h; the core is what the test says it is. */
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
static void shown(const struct host *who, const char *role, int64_t epoch, int sequence)
{
    for (int i = 0; i < HANDLES; i++)
        json_object_set_new(
            hosts[i].view.members, who->conf.id,
            json_pack("{s:s, s:I, s:i}", "role", role, "epoch", (json_int_t)epoch, "sequence", sequence));
}

static void leads(struct host *h, int64_t epoch)
{
    h->e.core.leading = h->e.core.first = true;
    h->e.core.serving = true;
    h->e.core.epoch = epoch;
    h->e.core.phase = CORE_ACTIVE;
}

static void on_fired(void *arg)
{
    struct elector *e = arg;
    orders_watch(e->commands->orders);
}

static void host_open(struct host *h, const char *id, int sequence)
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

static void serve_everybody(void)
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

static void update_everybody(void)
{
    for (int i = 0; i < HANDLES; i++)
        command_update(&hosts[i].e);
    serve_everybody();
}

static int setup(void **state)
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

static int teardown(void **state)
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

static void post(struct host *h, struct httpd_exchange *exchange, const char *path, const char *query)
{
    struct httpd_request request = {.post = true, .path = path, .query = query};

    memset(exchange, 0, sizeof(*exchange));
    command_post(&h->e, exchange, &request);
}

static void marks(struct host *h, enum core_mark mark)
{
    struct core_action action = {.type = CORE_ACT_MARK,
                                 .mark = mark,
                                 .epoch = h->e.core.command.orders.epoch,
                                 .tag = (uint64_t)core_latch_sequence(h->e.core.node)};
    command_mark(&h->e, &action);
}

/* a has gone, c serves in its place. */
static void c_takes_over(void)
{
    a->e.core.leading = a->e.core.serving = false;
    a->e.core.phase = CORE_STANDBY;
    shown(a, "standby", 0, 4);
    leads(c, EPOCH + 1);
    shown(c, "active", EPOCH + 1, 3);
    update_everybody();
}

/* A borrowed reference into a copy that lives until the next call. */
static const json_t *in_control(const char *key)
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

static const char *in_switchover(const char *key)
{
    const char *found = json_string_value(json_object_get(in_control("switchover"), key));
    return found != NULL ? found : "";
}

static bool begun(void)
{
    return json_is_true(json_object_get(in_control("switchover"), "begun"));
}

static size_t results(void)
{
    return json_array_size(in_control("results"));
}

/* ---- switchover ---- */

static void test_a_switchover(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", NULL);
    serve_everybody();
    assert_string_equal(in_switchover("from"), "a");
    assert_int_equal(a->e.core.command.orders.epoch, EPOCH);
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
    assert_true(begun());
    assert_true(c->e.core.command.orders.begun);
    c_takes_over();
    assert_null(in_control("switchover"));
    assert_int_equal(results(), 1);
}

/* The answer to the one who asks is lost, and the hand-over is over before he can look again: asking a second
 * time would take Livy from the one that has just taken over. */
static void test_a_lost_answer_asks_for_no_second_switchover(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", NULL);
    lose(&handles[1], true);
    b->e.core.connected = false;
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
    c_takes_over();
    assert_int_equal(results(), 1);
    b->e.core.connected = true;
    command_connect(&b->e);
    serve_everybody();
    assert_null(in_control("switchover"));
    assert_int_equal(results(), 1);
    assert_int_equal(b->e.commands->list[0].written, true);
}

/* Two ask at a time: the second one is told, and is not carried out later. */
static void test_two_at_a_time(void **state)
{
    struct httpd_exchange one, two;

    (void)state;
    post(b, &one, "/switchover", "to=b");
    post(c, &two, "/switchover", "to=c");
    serve_everybody();
    assert_string_equal(in_switchover("by"), "b");
    assert_int_equal(two.status, 409);
    assert_non_null(strstr(two.text, "under way, asked on b"));
    assert_int_equal(one.answers, 0);
}

/* While the change waits the one that is named has become the active one. */
static void test_the_one_that_is_named_is_active_by_then(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", "to=c");
    others_write("{\"v\":1,\"x\":1}");
    c_takes_over();
    assert_int_equal(exchange.status, 409);
    assert_non_null(strstr(exchange.text, "active member already"));
    assert_null(in_control("switchover"));
}

/* Another member takes the request for expired while the active one begins it: by then Livy is being stopped,
 * and without the request nobody would start it in a pause. */
static void test_what_was_begun_is_not_taken_back(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", "timeout_ms=60000");
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    serve(&handles[0]);         /* the sync */
    serve(&handles[0]);         /* who stands */
    b->deaths.offset += 120000; /* the servers' clocks differ, say */
    command_update(&b->e);
    assert_true(b->e.commands->mending);
    serve(&handles[0]); /* the active one's word is first */
    serve_everybody();
    assert_true(begun());
    assert_int_equal(results(), 0);
    assert_false(b->e.commands->mending);
    update_everybody();
    assert_true(begun());
    c_takes_over();
    assert_null(in_control("switchover"));
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(in_control("results"), 0), "outcome")), "done");
}

/* The other way round: it has expired, and was taken out; then it is not begun. */
static void test_what_was_taken_back_is_not_begun(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", "timeout_ms=60000");
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    serve(&handles[0]);
    serve(&handles[0]);
    b->deaths.offset += 120000;
    command_update(&b->e);
    serve(&handles[1]); /* that one's word is first */
    serve_everybody();
    assert_null(in_control("switchover"));
    assert_int_equal(results(), 1);
    assert_int_equal(a->e.core.command.orders.epoch, 0);
    assert_int_equal(exchange.status, 504);
}

static void test_an_expired_one_is_not_begun(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", "timeout_ms=60000");
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    a->deaths.offset += 60000;
    serve_everybody();
    assert_false(begun());
    update_everybody();
    assert_int_equal(exchange.status, 504);
}

/* A mark is of one request: another one of the same reign is not begun by it, nor told where its successor
 * is. */
static void test_a_mark_of_another_request(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", NULL);
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    json_t *control = json_loads(node.data, 0, NULL), *request = json_object_get(control, "switchover");
    json_object_set_new(request, "id", json_string("another"));
    json_object_set_new(request, "to", json_string("c"));
    char *text = json_dumps(control, JSON_COMPACT);
    others_write(text);
    free(text);
    json_decref(control);
    serve_everybody();
    assert_false(begun());
    assert_string_equal(in_switchover("id"), "another");
    assert_false(a->e.commands->marking);
    assert_true(a->e.core.command.orders.named);
}

/* A mark that is made anew takes the one before it back, and nothing else. */
static void test_a_mark_does_not_take_back_an_end(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", "to=c&timeout_ms=60000");
    serve_everybody();
    marks(c, CORE_MARK_AWAY); /* on its way */
    c->deaths.offset += 120000;
    command_update(&c->e);
    assert_true(c->e.commands->mending);
    marks(c, CORE_MARK_NEXT);
    serve_everybody();
    assert_false(c->e.commands->mending);
    assert_null(in_control("switchover"));
    assert_int_equal(exchange.status, 504);
}

/* ---- drain ---- */

static void test_drain_of_the_active_one(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(a, &exchange, "/drain", NULL);
    serve_everybody();
    assert_true(begun());
    assert_true(command_drained(&b->e, "a"));
    assert_false(a->e.core.may_stand);
    c_takes_over();
    update_everybody();
    assert_int_equal(a->e.commands->list[0].by_switchover, true);
    assert_null(in_control("switchover"));
}

/* Its reign ends before it is written down: the one that has taken over goes on. */
static void test_drain_as_the_reign_ends(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(a, &exchange, "/drain", NULL);
    serve(&handles[0]);
    serve(&handles[0]); /* who stands: now it is being written */
    others_write("{\"v\":1,\"x\":1}");
    c_takes_over();
    assert_null(in_control("switchover"));
    assert_true(command_drained(&b->e, "a"));
    a->e.core.node[0] = '\0';
    update_everybody();
    assert_int_equal(exchange.status, 200);
}

/* The answer is lost, and c serves by the time at which it is looked at again. */
static void test_drain_whose_answer_is_lost(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(a, &exchange, "/drain", NULL);
    serve(&handles[0]);
    serve(&handles[0]);
    lose(&handles[0], true);
    c_takes_over();
    command_connect(&a->e);
    update_everybody();
    assert_null(in_control("switchover"));
    assert_int_equal(results(), 1);
    assert_true(command_drained(&b->e, "a"));
    assert_true(a->e.commands->list[0].written);
}

static void test_undrain_while_draining(void **state)
{
    struct httpd_exchange drain, undrain;

    (void)state;
    post(b, &drain, "/drain", NULL);
    serve_everybody();
    assert_false(b->e.core.may_stand);
    assert_int_equal(drain.answers, 0); /* its node is there yet */
    post(b, &undrain, "/undrain", NULL);
    serve_everybody();
    assert_true(b->e.core.may_stand);
    assert_int_equal(drain.status, 500);
    assert_non_null(strstr(drain.text, "undrained"));
    assert_int_equal(undrain.status, 200);
}

/* What a member asks for while it is on its way stays asked for, whoever writes beside it. */
static void test_all_of_them_at_once(void **state)
{
    struct httpd_exchange pause, drain, resume, switchover;

    (void)state;
    post(a, &pause, "/pause", NULL);
    post(b, &drain, "/drain", NULL);
    post(c, &switchover, "/switchover", NULL);
    serve_everybody();
    post(a, &resume, "/resume", NULL);
    serve_everybody();
    assert_int_equal(pause.status, 200);
    assert_int_equal(resume.status, 200);
    assert_null(in_control("paused"));
    assert_true(command_drained(&a->e, "b"));
    assert_string_equal(in_switchover("by"), "c");
}

/* ---- forget ---- */

/* known/<id> was deleted, then the elector died: the drain that is left is taken away by the next try. */
static void test_forgotten_half_way(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    others_write("{\"v\":1,\"drained\":{\"gone\":{}}}");
    serve_everybody();
    others.rc_exists = others.rc_delete = ZNONODE;
    post(b, &exchange, "/forget", "id=gone");
    serve_everybody();
    assert_int_equal(exchange.status, 200);
    assert_false(command_drained(&a->e, "gone"));
    post(b, &exchange, "/forget", "id=gone");
    serve_everybody();
    assert_int_equal(exchange.status, 409);
}

/* ---- restart ---- */

static void restart_in_a_pause(struct httpd_exchange *exchange)
{
    struct httpd_exchange pause;

    post(b, &pause, "/pause", NULL);
    serve_everybody();
    assert_true(a->e.core.command.orders.paused);
    a->e.core.livy.run = 7;
    post(a, exchange, "/restart", NULL);
    assert_int_equal(a->restarts, 0); /* not before it is written down */
    serve_everybody();
    assert_int_equal(a->restarts, 1);
    for (int i = 0; i < HANDLES; i++)
        assert_int_equal(hosts[i].e.core.command.orders.restart, EPOCH);
}

static void test_restart_in_a_pause(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    restart_in_a_pause(&exchange);
    update_everybody();
    assert_non_null(in_control("restart")); /* the old Livy serves yet */
    a->e.core.serving = a->e.core.command.restarting = false;
    update_everybody();
    assert_non_null(in_control("restart"));
    a->e.core.livy.run = 8;
    a->e.core.serving = true;
    update_everybody();
    assert_int_equal(exchange.status, 200);
    update_everybody();
    assert_null(in_control("restart"));
    assert_int_equal(a->e.core.command.orders.restart, 0);
    assert_non_null(in_control("paused"));
}

/* Its elector died. Who serves in a later reign ends it; before that nobody does. */
static void test_restart_that_another_one_ends(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    restart_in_a_pause(&exchange);
    a->e.core.leading = a->e.core.serving = false;
    a->e.core.connected = false;
    b->e.core.phase = CORE_PAUSED;
    for (int i = 1; i < HANDLES; i++)
        command_update(&hosts[i].e);
    serve_everybody();
    assert_non_null(in_control("restart"));
    c_takes_over();
    assert_null(in_control("restart"));
}

static void test_restart_that_nobody_ends(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    restart_in_a_pause(&exchange);
    a->e.core.leading = a->e.core.serving = false;
    b->deaths.offset += 3600000;
    command_update(&b->e);
    assert_int_equal(b->e.core.command.orders.restart, 0);
    serve_everybody();
    assert_null(in_control("restart"));
}

static void test_restart_as_the_reign_ends(void **state)
{
    struct httpd_exchange pause, exchange;

    (void)state;
    post(b, &pause, "/pause", NULL);
    serve_everybody();
    post(a, &exchange, "/restart", NULL);
    others_write("{\"v\":1,\"paused\":{}}");
    c_takes_over();
    assert_int_equal(exchange.status, 409);
    assert_int_equal(a->restarts, 0);
    assert_null(in_control("restart"));
}

static void test_restart_without_a_pause(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    a->e.core.connected = false;
    post(a, &exchange, "/restart", NULL);
    assert_int_equal(a->restarts, 1);
    assert_int_equal(node.sets, 0);
}

/* ---- strangers ---- */

static void test_hostile_numbers(void **state)
{
    static const char *const hostile[] = {
        "{\"paused\":{\"until_zk_ms\":-9223372036854775808}}",
        "{\"paused\":{\"until_zk_ms\":9223372036854775807}}",
        "{\"paused\":{\"until_zk_ms\":1e300}}",
        "{\"switchover\":{\"id\":\"x\",\"from\":\"a\",\"epoch\":10,\"asked_zk_ms\":1,"
        "\"expires_zk_ms\":9223372036854775807,\"begun\":true,\"sequence\":-9223372036854775808}}",
        "{\"switchover\":{\"id\":\"x\",\"from\":\"a\",\"epoch\":9223372036854775807,\"asked_zk_ms\":1,"
        "\"expires_zk_ms\":9223372036854775806}}",
        "{\"restart\":{\"id\":\"x\",\"epoch\":9223372036854775807,\"expires_zk_ms\":-9223372036854775808}}",
        "{\"restart\":{\"id\":\"\",\"epoch\":true}}",
        "{\"restart\":[]}",
        "{\"results\":[{\"id\":\"x\",\"outcome\":\"done\",\"served_zk_ms\":9223372036854775807,"
        "\"asked_zk_ms\":-9223372036854775808,\"epoch\":0}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        struct httpd_exchange exchange = {0};
        struct httpd_request get = {.path = "/command", .query = "id=x"};
        json_t *cluster = json_object();
        others_write(hostile[i]);
        serve_everybody();
        update_everybody();
        for (int h = 0; h < HANDLES; h++) {
            command_record(&hosts[h].e, cluster);
            command_get(&hosts[h].e, &exchange, &get);
        }
        json_decref(cluster);
        post(b, &exchange, "/resume", NULL);
        serve_everybody();
        assert_int_equal(exchange.status, 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_switchover, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_answer_asks_for_no_second_switchover, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_one_that_is_named_is_active_by_then, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_begun_is_not_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_taken_back_is_not_begun, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_expired_one_is_not_begun, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_of_another_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_does_not_take_back_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_of_the_active_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_as_the_reign_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_whose_answer_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_undrain_while_draining, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_of_them_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forgotten_half_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_in_a_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_that_another_one_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_that_nobody_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_as_the_reign_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_without_a_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_numbers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
