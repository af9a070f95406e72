/* test_orders.c - <root>/control against a ZooKeeper that does what the test says: each change is made once
 * and by compare-and-set, whatever connections, strangers and other members do meanwhile; nothing is lost. */
#include "fake_control.h"

#include "livy-ha/log.h"

static struct zk *const first = &handles[0], *const second = &handles[1];
static struct orders *orders;
static int reads;

/* ---- a change: adds `key` to the object, unless it is there ---- */

struct change {
    const char *key;
    int edits, calls;
    bool refuses, big;
    enum orders_outcome outcome;
    char why[256];
    struct change *then; /* asked for from within its end */
};

static enum orders_edit change_edit(void *arg, json_t *record, char why[static 256])
{
    struct change *c = arg;

    c->edits++;
    if (c->refuses) {
        (void)snprintf(why, 256, "it cannot be");
        return ORDERS_REFUSED;
    }
    if (json_object_get(record, c->key) != NULL)
        return ORDERS_SO;
    if (c->big) {
        char *long_text = calloc(1, ORDERS_MAX + 1);
        memset(long_text, 'x', ORDERS_MAX);
        json_object_set_new(record, c->key, json_string(long_text));
        free(long_text);
    } else {
        json_object_set_new(record, c->key, json_true());
    }
    return ORDERS_WRITE;
}

static void change_done(void *arg, enum orders_outcome outcome, const char *why)
{
    struct change *c = arg;

    c->calls++;
    c->outcome = outcome;
    (void)snprintf(c->why, sizeof(c->why), "%s", why);
    if (c->then != NULL)
        assert_true(orders_change(orders, change_edit, change_done, c->then));
}

static void ask(struct change *c)
{
    assert_true(orders_change(orders, change_edit, change_done, c));
}

static void assert_done(const struct change *c)
{
    assert_int_equal(c->calls, 1);
    assert_int_equal(c->outcome, ORDERS_DONE);
}

static bool has(const char *key)
{
    return json_object_get(orders_record(orders), key) != NULL;
}

static void on_read(void *arg)
{
    (void)arg;
    reads++;
}

static void on_fired(void *arg)
{
    (void)arg;
    orders_watch(orders);
}

static int setup(void **state)
{
    (void)state;
    log_open("test_orders", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    fake_open();
    for (int i = 0; i < HANDLES; i++)
        handles[i].fired = on_fired;
    reads = 0;
    orders = orders_new("/root", KIND, on_read, NULL);
    return orders != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    fake_close();
    orders_free(orders);
    return 0;
}

static void connect_first(void)
{
    orders_connect(orders, first);
    serve_all(first);
    assert_true(orders_known(orders) && orders_fresh(orders));
}

/* ---- tests ---- */

static void test_a_change_keeps_what_it_does_not_know(void **state)
{
    struct change c = {.key = "paused"};

    (void)state;
    others_write("{\"v\":2,\"newer\":{\"a\":[1,2.5,null]},\"switchover\":{\"id\":\"x\",\"newer\":7}}");
    connect_first();
    ask(&c);
    serve_all(first);
    assert_done(&c);
    json_t *wanted =
               json_loads("{\"v\":2,\"newer\":{\"a\":[1,2.5,null]},\"switchover\":{\"id\":\"x\",\"newer\":7},"
                          "\"paused\":true}",
                          0, NULL),
           *found = json_loads(node.data, 0, NULL);
    assert_true(json_equal(wanted, found));
    assert_true(json_equal(wanted, orders_record(orders)));
    json_decref(wanted);
    json_decref(found);
}

static void test_the_node_is_made(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    node.there = false;
    ask(&c); /* waits for a connection */
    assert_int_equal(c.edits, 0);
    connect_first();
    assert_done(&c);
    assert_true(node.there && has("a"));
}

/* Removed under our hands: made again, and the change is made all the same. */
static void test_the_node_is_removed(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    ask(&c);
    node.there = false;
    serve_all(first);
    assert_done(&c);
    assert_true(node.there && has("a"));
}

static void test_somebody_else_is_quicker(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    ask(&c);
    others_write("{\"v\":1,\"b\":true}");
    serve_all(first);
    assert_done(&c);
    assert_int_equal(c.edits, 2); /* of what is there by then */
    assert_true(has("a") && has("b"));
    assert_int_equal(node.sets, 1);
}

/* The answer is lost, not the change: it is not made a second time. */
static void test_a_lost_answer(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    ask(&c);
    lose(first, true);
    assert_int_equal(c.calls, 0);
    assert_int_equal(first->n, 0); /* nothing before it is connected again */
    orders_connect(orders, first);
    serve_all(first);
    assert_done(&c);
    assert_int_equal(node.sets, 1);
}

static void test_a_lost_request(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    ask(&c);
    lose(first, false);
    orders_connect(orders, first);
    serve_all(first);
    assert_done(&c);
    assert_int_equal(node.sets, 1);
}

/* The session is gone with its handle, which answers nothing any more; its write may come late. */
static void test_a_new_handle(void **state)
{
    struct change c = {.key = "a"}, d = {.key = "b"};

    (void)state;
    connect_first();
    ask(&c);
    ask(&d);
    orders_connect(orders, NULL);
    orders_connect(orders, second);
    serve(second); /* it reads */
    assert_int_equal(second->n, 1);
    (void)carry_out(&first->list[0]); /* the old session's write is done just now */
    serve_all(second);
    assert_done(&c);
    assert_done(&d);
    assert_int_equal(node.sets, 2);
    assert_true(has("a") && has("b"));
}

/* Between reading and writing: the read of a connection that is gone does not count as news. */
static void test_lost_while_reading(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    others_write("{\"v\":1,\"drained\":{}}");
    assert_false(orders_fresh(orders));
    ask(&c);
    lose(first, true);
    assert_false(orders_fresh(orders));
    orders_connect(orders, first);
    serve_all(first);
    assert_done(&c);
    assert_true(has("drained"));
}

/* What the server refuses for a moment (it throttles, say) is no news: a pause, a drain stay as they are. */
static void test_a_read_is_refused_for_a_moment(void **state)
{
    static const int refusals[] = {-127 /* ZTHROTTLEDOP */, -999, ZRUNTIMEINCONSISTENCY, ZAPIERROR};

    (void)state;
    others_write("{\"v\":1,\"paused\":{}}");
    connect_first();
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        others_write("{\"v\":1,\"paused\":{},\"drained\":{}}");
        int seen = reads;
        answer_oldest(first, refusals[i]);
        assert_true(has("paused"));
        assert_int_equal(reads, seen);
        assert_int_equal(first->n, 0);
        assert_false(orders_fresh(orders));
        orders_again(orders);
        serve_all(first);
        assert_true(has("drained") && orders_fresh(orders));
        orders_again(orders); /* nothing is to be done */
        assert_int_equal(first->n, 0);
    }
}

/* Nobody writes over what he may not read. */
static void test_no_right_to_read(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    others_write("{\"v\":1,\"paused\":{}}");
    connect_first();
    ask(&c);
    serve_all(first);
    others_write("{\"v\":1}");
    answer_oldest(first, ZNOAUTH);
    assert_true(has("paused")); /* as it was last */
    struct change d = {.key = "b"};
    ask(&d);
    assert_int_equal(d.calls, 1);
    assert_int_equal(d.outcome, ORDERS_NOT_DONE);
    assert_non_null(strstr(d.why, "ACL"));
    assert_int_equal(first->n, 0);
    orders_connect(orders, first);
    serve_all(first);
    assert_false(has("paused"));
}

static void test_no_right_to_read_ever(void **state)
{
    (void)state;
    orders_connect(orders, first);
    answer_oldest(first, ZNOAUTH);
    assert_true(orders_known(orders) && orders_fresh(orders)); /* the election does not wait for it */
    assert_int_equal(first->n, 0);
}

/* An older version's root, closed to us: nobody is kept from being elected by it. */
static void test_no_right_to_make(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    node.there = false;
    orders_connect(orders, first);
    serve(first);
    answer_oldest(first, ZNOAUTH);
    assert_true(orders_known(orders) && orders_fresh(orders));
    ask(&c);
    assert_int_equal(c.outcome, ORDERS_NOT_DONE);
    assert_int_equal(first->n, 0);
}

static void test_no_right_to_write(void **state)
{
    struct change c = {.key = "a"}, d = {.key = "b"};

    (void)state;
    connect_first();
    ask(&c);
    ask(&d);
    answer_oldest(first, ZNOAUTH);
    assert_int_equal(c.outcome, ORDERS_NOT_DONE);
    assert_non_null(strstr(c.why, "/root/control"));
    serve_all(first);
    assert_done(&d);
}

/* What strangers have written counts for nothing, and is written over by the next change alone. */
static void test_strangers(void **state)
{
    char *large = malloc(ORDERS_MAX + 20);

    (void)state;
    (void)snprintf(large, ORDERS_MAX + 20, "{\"x\":\"%0*d\"}", ORDERS_MAX, 7);
    const char *hostile[] = {"",   "[]", "7", "{", "\xff\xfe", "null", "\"paused\"", "{\"paused\":1e999}",
                             large};
    connect_first();
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        others_write(hostile[i]);
        serve_all(first);
        assert_int_equal(json_object_size(orders_record(orders)), 0);
        assert_int_equal(node.sets, (int)i);
        struct change c = {.key = "a"};
        ask(&c);
        serve_all(first);
        assert_done(&c);
        assert_true(has("a"));
    }
    free(large);
    others_write_bytes("{\"a\":1}\0{", 9);
    serve_all(first);
    assert_int_equal(json_object_size(orders_record(orders)), 0);
    others_write("{}");
    answer_oldest(first, ZSYSTEMERROR); /* more than zk.h passes on */
    struct change c = {.key = "a"};
    ask(&c);
    serve_all(first);
    assert_done(&c);
}

static void test_cancelled(void **state)
{
    struct change on_its_way = {.key = "a"}, waits = {.key = "b"}, last = {.key = "c"};

    (void)state;
    connect_first();
    ask(&on_its_way);
    ask(&waits);
    ask(&last);
    orders_cancel(orders, &on_its_way);
    orders_cancel(orders, &waits);
    serve_all(first);
    assert_int_equal(on_its_way.calls + waits.calls, 0);
    assert_int_equal(waits.edits, 0);
    assert_true(has("a")); /* too late: but nobody is told */
    assert_false(has("b"));
    assert_done(&last);
}

/* Cancelled while its outcome is unknown: it is not made again. */
static void test_cancelled_while_disconnected(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    ask(&c);
    lose(first, false);
    orders_cancel(orders, &c);
    orders_connect(orders, first);
    serve_all(first);
    assert_int_equal(c.calls, 0);
    assert_int_equal(node.sets, 0);
}

static void test_too_many(void **state)
{
    static struct change many[ORDERS_CHANGES + 1];
    static char keys[ORDERS_CHANGES + 1][8];

    (void)state;
    memset(many, 0, sizeof(many));
    for (int i = 0; i <= ORDERS_CHANGES; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        many[i].key = keys[i];
        assert_int_equal(orders_change(orders, change_edit, change_done, &many[i]), i < ORDERS_CHANGES);
    }
    connect_first();
    for (int i = 0; i < ORDERS_CHANGES; i++)
        assert_done(&many[i]);
    assert_int_equal(json_object_size(orders_record(orders)), ORDERS_CHANGES + 1); /* and "v" */
}

static void test_too_large(void **state)
{
    struct change c = {.key = "a", .big = true}, d = {.key = "b"};

    (void)state;
    connect_first();
    ask(&c);
    assert_int_equal(c.outcome, ORDERS_NOT_DONE);
    assert_non_null(strstr(c.why, "too large"));
    assert_false(has("a"));
    ask(&d);
    serve_all(first);
    assert_done(&d);
}

static void test_not_written(void **state)
{
    struct change so = {.key = "v"}, refused = {.key = "a", .refuses = true}, next = {.key = "b"};

    (void)state;
    connect_first();
    ask(&so);
    ask(&refused);
    ask(&next);
    serve_all(first);
    assert_done(&so);
    assert_int_equal(refused.outcome, ORDERS_NOT_DONE);
    assert_string_equal(refused.why, "it cannot be");
    assert_done(&next);
    assert_int_equal(node.sets, 1);
}

/* Changes may be asked for from within. */
static void test_from_within(void **state)
{
    struct change third = {.key = "c"}, next = {.key = "b", .then = &third}, c = {.key = "v", .then = &next};

    (void)state;
    connect_first();
    ask(&c);
    serve_all(first);
    assert_done(&c);
    assert_done(&next);
    assert_done(&third);
    assert_true(has("b") && has("c"));
}

/* A server may die with our watch; the next connection reads anew, so nothing of it is lost. */
static void test_the_watch_never_fires(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    first->watched = false;
    others_write("{\"v\":1,\"drained\":{}}");
    assert_true(orders_fresh(orders)); /* nothing newer is known */
    assert_false(has("drained"));
    ask(&c); /* compare-and-set finds out too */
    serve_all(first);
    assert_done(&c);
    assert_true(has("drained") && has("a"));
    first->watched = false;
    others_write("{\"v\":1}");
    orders_connect(orders, first);
    serve_all(first);
    assert_false(has("drained"));
}

/* The library takes nothing any more: the session has just ended. Told at once, not left waiting. */
static void test_the_handle_takes_nothing(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    first->refuses = true;
    ask(&c);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.outcome, ORDERS_NOT_DONE);
    others_write("{}"); /* cannot be read */
    assert_false(orders_fresh(orders));
    orders_connect(orders, NULL);
    orders_connect(orders, second);
    serve_all(second);
    assert_true(orders_fresh(orders));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_change_keeps_what_it_does_not_know, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_node_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_node_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_somebody_else_is_quicker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_handle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_while_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_read_is_refused_for_a_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_right_to_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_right_to_read_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_right_to_make, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_right_to_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strangers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_while_disconnected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_from_within, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_watch_never_fires, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_handle_takes_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
