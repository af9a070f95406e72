/* test_command.c - drain, forget, restart, and what strangers write into <root>/control; see
 * test_command_switch.c. */
#include "command_fixture.h"

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

/* Two that stand for each other are drained at a time: the one that serves goes on. */
static void test_drain_of_all_at_a_time(void **state)
{
    struct httpd_exchange first, second, third;

    (void)state;
    post(a, &first, "/drain", NULL);
    serve(&handles[0]);
    serve(&handles[0]); /* who stands: b and c do */
    post(b, &second, "/drain", NULL);
    post(c, &third, "/drain", NULL);
    serve_all(&handles[1]);
    serve_all(&handles[2]);
    serve_everybody();
    assert_int_equal(first.status, 409);
    assert_non_null(strstr(first.text, "--force"));
    assert_null(in_control("switchover"));
    assert_true(a->e.core.may_stand);
    assert_true(command_drained(&a->e, "b") && command_drained(&a->e, "c"));
    post(a, &first, "/drain", "force=1");
    serve_everybody();
    assert_false(a->e.core.may_stand);
}

/* The same of a switchover, between looking who stands and beginning it. */
static void test_successors_drained_as_it_begins(void **state)
{
    struct httpd_exchange switchover, drain;

    (void)state;
    post(a, &switchover, "/switchover", NULL);
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    serve(&handles[0]);
    serve(&handles[0]);
    post(b, &drain, "/drain", NULL);
    serve_all(&handles[1]);
    post(c, &drain, "/drain", NULL);
    serve_all(&handles[2]);
    serve_everybody();
    update_everybody();
    assert_false(begun());
    assert_int_equal(switchover.status, 500);
    assert_non_null(strstr(switchover.text, "no other member stands"));
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
    assert_string_equal(drain.text, "it was undrained by somebody before that was over");
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

/* What ZooKeeper says of one that is not waited for any more is not taken for the next one's. */
static void test_forget_after_one_that_timed_out(void **state)
{
    struct httpd_exchange first, second;

    (void)state;
    others.rc_exists = ZNONODE;
    post(b, &first, "/forget", "id=gone&timeout_ms=1");
    while (first.answers == 0)
        command_update(&b->e);
    assert_int_equal(first.status, 504);
    post(b, &second, "/forget", "id=there");
    assert_int_equal(second.status, 409);
    assert_non_null(strstr(second.text, "another member is being forgotten"));
    serve_all(&handles[1]);
    post(b, &second, "/forget", "id=there");
    others.rc_exists = ZOK;
    serve_all(&handles[1]);
    assert_int_equal(second.status, 409);
    assert_non_null(strstr(second.text, "there is there"));
}

/* ZooKeeper refuses: of an ACL, say. */
static void test_forget_that_zookeeper_refuses(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    others.rc_exists = ZNOAUTH;
    post(b, &exchange, "/forget", "id=gone");
    serve_everybody();
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "members/gone could not be looked at: not authenticated");
    others.rc_exists = ZNONODE;
    others.rc_delete = ZNOAUTH;
    post(b, &exchange, "/forget", "id=gone");
    serve_everybody();
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "known/gone could not be deleted: not authenticated");
    handles[1].refuses = true;
    post(b, &exchange, "/forget", "id=gone");
    assert_int_equal(exchange.status, 503);
    assert_string_equal(exchange.text, "not connected to ZooKeeper");
    handles[1].refuses = false;
}

/* ---- a handle that is gone answers nothing ---- */

/* The next one may well be at the same address. */
static void new_handle(struct host *h)
{
    struct zk *zk = &handles[h - hosts];

    while (zk->n > 0)
        free(zk->list[--zk->n].data);
    h->e.zk = NULL;
    command_connect(&h->e);
    h->e.zk = zk;
    command_connect(&h->e);
    serve_everybody();
}

static void test_forget_with_a_new_handle(void **state)
{
    struct httpd_exchange first, second;

    (void)state;
    others.rc_exists = ZNONODE;
    post(b, &first, "/forget", "id=gone&timeout_ms=1");
    new_handle(b);
    while (first.answers == 0)
        command_update(&b->e);
    post(b, &second, "/forget", "id=gone");
    serve_everybody();
    assert_int_equal(second.status, 200);
}

static void test_drain_with_a_new_handle(void **state)
{
    struct httpd_exchange first, second;

    (void)state;
    post(a, &first, "/drain", NULL);
    new_handle(a);
    assert_int_equal(first.answers, 0);
    post(a, &second, "/drain", NULL);
    serve_everybody();
    assert_true(begun());
    assert_true(command_drained(&b->e, "a"));
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
    char query[64]; /* who asked goes on asking, of whichever elector */
    (void)snprintf(query, sizeof(query), "id=%s",
                   json_string_value(json_object_get(in_control("restart"), "id")));
    struct httpd_request get = {.path = "/command", .query = query};
    command_get(&b->e, &exchange, &get);
    assert_int_equal(exchange.status, 202);
    c_takes_over();
    assert_null(in_control("restart"));
    command_get(&b->e, &exchange, &get);
    assert_int_equal(exchange.status, 404);
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
    assert_int_equal(exchange.answers, 0);
    a->e.core.leading = false;
    (void)snprintf(a->e.core.reason, sizeof(a->e.core.reason), "the ZooKeeper session has ended");
    command_update(&a->e);
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "this member is not active any more: the ZooKeeper session has ended");
}

/* ---- registering ---- */

/* The orders of a registration that was cut short say nothing of the next one: its checks are not over. */
static void test_a_registration_that_begins_again(void **state)
{
    (void)state;
    a->e.core.registered = false;
    command_registered(&a->e);
    lose(&handles[0], true);
    command_register(&a->e);
    command_update(&a->e);
    orders_again(a->e.commands->orders);
    serve_everybody();
    assert_false(a->e.core.registered);
    command_registered(&a->e);
    serve_everybody();
    assert_true(a->e.core.registered);
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
        cmocka_unit_test_setup_teardown(test_drain_of_the_active_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_as_the_reign_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_whose_answer_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_of_all_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_successors_drained_as_it_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_undrain_while_draining, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_of_them_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forgotten_half_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget_after_one_that_timed_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget_that_zookeeper_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget_with_a_new_handle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drain_with_a_new_handle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_in_a_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_that_another_one_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_that_nobody_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_as_the_reign_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart_without_a_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_registration_that_begins_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_numbers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
