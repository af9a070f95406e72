/* test_command_switch.c - switchovers in <root>/control, in the orders that hurt: an answer that is lost,
 * another member that is quicker, a reign that ends meanwhile. Each is carried out once or not at all, and
 * who asked hears of it. And to whom one goes that names nobody. */
#include "command_fixture.h"

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
    assert_string_equal(exchange.text, "a did not begin it in time; nothing was changed");
}

/* ---- its other ends ---- */

/* What its outcome is by <root>/control. */
static const char *outcome(void)
{
    const char *found =
        json_string_value(json_object_get(json_array_get(in_control("results"), 0), "outcome"));
    return found != NULL ? found : "";
}

/* Asked for on b, begun by a, whose Livy is stopped for it by then. */
static void begin(struct httpd_exchange *exchange, const char *query)
{
    post(b, exchange, "/switchover", query);
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
}

/* c has said that it is next, and has lost its node since: members/c does not say so yet. */
static void test_the_one_that_is_named_has_left(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", "to=c");
    serve_everybody();
    marks(c, CORE_MARK_NEXT);
    serve_everybody();
    others.n = 2;
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
    update_everybody();
    assert_string_equal(outcome(), "failed");
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "c has left the queue; nothing was changed");
}

/* It goes altogether, or is drained. */
static void test_the_one_that_is_named_has_gone(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", "to=c");
    serve_everybody();
    json_object_del(a->view.members, "c");
    update_everybody();
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "c has gone, or was drained; nothing was changed");
}

static void test_nobody_takes_over(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    begin(&exchange, NULL);
    leads(a, EPOCH + 1); /* it had joined again by then */
    shown(a, "active", EPOCH + 1, 4);
    update_everybody();
    assert_string_equal(outcome(), "failed");
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "no other member took over: a serves again");
}

static void test_another_one_takes_over(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(a, &exchange, "/switchover", "to=b");
    serve_everybody();
    marks(b, CORE_MARK_NEXT);
    serve_everybody();
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
    assert_true(begun());
    c_takes_over();
    assert_string_equal(outcome(), "failed");
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "b was to take over from a, but c did");
}

/* A request that was begun is not given up before somebody serves, or for ten minutes. */
static void test_nobody_serves_after_it(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    begin(&exchange, "timeout_ms=60000");
    a->e.core.leading = a->e.core.serving = false;
    b->deaths.offset += 60000 + 599000;
    update_everybody();
    assert_true(begun());
    b->deaths.offset += 2000;
    update_everybody();
    assert_string_equal(outcome(), "timed-out");
    assert_int_equal(exchange.status, 504);
    assert_string_equal(exchange.text, "a gave the latch up, and no member has served since");
}

/* Somebody has deleted <root>/control, say. It may be on its way yet: that is told a second later. */
static void test_a_request_that_somebody_takes_out(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    post(b, &exchange, "/switchover", NULL);
    serve_everybody();
    others_write("{\"v\":1}");
    update_everybody();
    assert_int_equal(exchange.answers, 0);
    b->e.commands->list[0].began -= 2000;
    update_everybody();
    assert_int_equal(exchange.status, 500);
    assert_string_equal(exchange.text, "the request was taken out of <root>/control by somebody");
    assert_int_equal(a->e.core.command.orders.epoch, 0);
}

/* ---- marks ---- */

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

/* Whoever asked goes on asking the elector that comes after, which must not say before it knows that there
 * was no such request. */
static void test_asked_of_the_next_elector(void **state)
{
    struct httpd_exchange exchange;
    char query[64];
    struct httpd_request get = {.path = "/command", .query = query};

    (void)state;
    post(b, &exchange, "/switchover", NULL);
    serve_everybody();
    (void)snprintf(query, sizeof(query), "id=%s", in_switchover("id"));
    command_close(&b->e);
    assert_int_equal(command_open(&b->e, KIND), 0);
    command_get(&b->e, &exchange, &get);
    assert_int_equal(exchange.status, 202);
    command_registered(&b->e);
    serve_everybody();
    command_get(&b->e, &exchange, &get);
    assert_int_equal(exchange.status, 202);
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
    c_takes_over();
    command_get(&b->e, &exchange, &get);
    assert_int_equal(exchange.status, 200);
    (void)snprintf(query, sizeof(query), "id=unknown");
    command_get(&b->e, &exchange, &get);
    assert_int_equal(exchange.status, 404);
}

/* ---- nobody is named, and standbys hold a Livy ---- */

static void holds(const struct host *who, bool ready, bool renewing)
{
    for (int i = 0; i < HANDLES; i++) {
        json_t *record = json_object_get(hosts[i].view.members, who->conf.id);
        json_object_set_new(record, "livy", json_string(ready ? "held" : "none"));
        json_object_set_new(record, "held_renewing", json_boolean(renewing));
    }
}

static void goes_to(const char *to)
{
    static struct httpd_exchange exchange; /* answered later on */

    post(b, &exchange, "/switchover", NULL);
    serve_everybody();
    assert_string_equal(in_switchover("to"), to);
    assert_int_equal(a->e.core.command.orders.named, to[0] != '\0');
}

static void test_the_next_one_is_as_good_as_any(void **state)
{
    (void)state;
    holds(b, true, false);
    holds(c, true, false);
    goes_to("");
}

static void test_one_that_is_ready_is_chosen(void **state)
{
    (void)state;
    holds(b, false, false);
    holds(c, true, false);
    goes_to("c");
    assert_true(c->e.core.command.orders.to_me);
    assert_false(b->e.core.command.orders.to_me);
    c_takes_over();
    assert_null(in_control("switchover"));
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(in_control("results"), 0), "outcome")), "done");
}

/* It would be started anew for a take-over by plan. */
static void test_one_that_is_out_of_date_is_not_ready(void **state)
{
    (void)state;
    holds(b, true, true);
    holds(c, true, false);
    goes_to("c");
}

static void test_nobody_is_ready(void **state)
{
    (void)state;
    holds(b, false, false);
    holds(c, true, true);
    goes_to("");
}

/* It was nobody's wish that it be this one. */
static void test_who_was_chosen_goes(void **state)
{
    (void)state;
    holds(b, false, false);
    holds(c, true, false);
    goes_to("c");
    shown(c, "joining", 0, 3);
    c->e.core.phase = CORE_JOINING;
    update_everybody();
    assert_non_null(in_control("switchover"));
    assert_false(a->e.core.command.orders.named || b->e.core.command.orders.named);
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
    assert_true(begun());
    a->e.core.leading = a->e.core.serving = false;
    a->e.core.phase = CORE_STANDBY;
    shown(a, "standby", 0, 4);
    leads(b, EPOCH + 1);
    shown(b, "active", EPOCH + 1, 2);
    update_everybody();
    assert_null(in_control("switchover"));
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(in_control("results"), 0), "outcome")), "done");
}

/* Its node is gone, its record not yet: the request waits for the word of that. */
static void test_who_was_chosen_has_left_the_queue(void **state)
{
    (void)state;
    holds(b, false, false);
    holds(c, true, false);
    goes_to("c");
    others.n = 2;
    marks(a, CORE_MARK_BEGUN);
    serve_everybody();
    assert_false(begun());
    assert_int_equal(results(), 0);
    assert_string_equal(in_switchover("to"), "c");
}

static void test_a_drained_one_is_not_chosen(void **state)
{
    struct httpd_exchange exchange;

    (void)state;
    holds(b, false, false);
    holds(c, true, false);
    post(c, &exchange, "/drain", NULL);
    serve_everybody();
    goes_to("");
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
        cmocka_unit_test_setup_teardown(test_the_one_that_is_named_has_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_one_that_is_named_has_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_takes_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_one_takes_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_serves_after_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_request_that_somebody_takes_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_of_another_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_does_not_take_back_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asked_of_the_next_elector, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_next_one_is_as_good_as_any, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_ready_is_chosen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_is_out_of_date_is_not_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_is_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_was_chosen_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_was_chosen_has_left_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_drained_one_is_not_chosen, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
