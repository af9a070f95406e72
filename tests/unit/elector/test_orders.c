/* test_orders.c - <root>/control against a ZooKeeper that does what the test says: each change is made once
 * and by compare-and-set, whatever connections, strangers and other members do meanwhile; nothing is lost.
 *
 * The functions of zk.h that orders.c calls are here; requests wait until the test serves them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/log.h"
#include "orders.h"

#define KIND 5
#define REQUESTS 8

enum request_type { GET, SET, CREATE };

struct request {
    enum request_type type;
    char *data;
    int length, version;
    zk_done *done;
    void *arg;
};

/* A handle: its requests, oldest first. */
struct zk {
    struct request list[REQUESTS];
    int n;
    bool refuses; /* to take any more */
};

/* The node, as ZooKeeper has it. */
static struct {
    bool there, watched;
    char *data;
    int length, version, sets;
} node;

static struct zk first, second;
static struct orders *orders;
static int reads;

static void node_write(const char *data, int length)
{
    char *copy = malloc((size_t)length + 1);

    memcpy(copy, data, (size_t)length);
    copy[length] = '\0';
    free(node.data);
    node.data = copy;
    node.length = length;
    node.there = true;
}

/* Somebody else writes; the watch fires. */
static void others_write_bytes(const char *data, int length)
{
    node_write(data, length);
    node.version++;
    if (!node.watched)
        return;
    node.watched = false;
    orders_watch(orders);
}

static void others_write(const char *json)
{
    others_write_bytes(json, (int)strlen(json));
}

/* ---- zk.h ---- */

static int add(struct zk *zk, struct request request)
{
    if (zk->refuses) {
        free(request.data);
        return ZINVALIDSTATE;
    }
    assert_true(zk->n < REQUESTS);
    zk->list[zk->n++] = request;
    return ZOK;
}

int zk_get(struct zk *zk, const char *path, uint32_t watch_kind, uint64_t tag, zk_done *done, void *arg)
{
    (void)tag;
    assert_string_equal(path, "/root/control");
    assert_int_equal(watch_kind, KIND);
    return add(zk, (struct request){.type = GET, .done = done, .arg = arg});
}

int zk_set(struct zk *zk, const char *path, const char *data, int length, int version, zk_done *done,
           void *arg)
{
    assert_string_equal(path, "/root/control");
    assert_true(version >= 0); /* nothing is ever written over unseen */
    return add(zk, (struct request){.type = SET,
                                    .data = strndup(data, (size_t)length),
                                    .length = length,
                                    .version = version,
                                    .done = done,
                                    .arg = arg});
}

int zk_create(struct zk *zk, const char *path, const char *data, int length, int mode, zk_done *done,
              void *arg)
{
    assert_string_equal(path, "/root/control");
    assert_int_equal(mode, 0);
    return add(zk, (struct request){.type = CREATE,
                                    .data = strndup(data, (size_t)length),
                                    .length = length,
                                    .done = done,
                                    .arg = arg});
}

static int carry_out(const struct request *r)
{
    if (r->type == CREATE) {
        if (node.there)
            return ZNODEEXISTS;
        node_write(r->data, r->length);
        node.version = 0;
        return ZOK;
    }
    if (!node.there)
        return ZNONODE;
    if (r->type == GET)
        return ZOK;
    if (r->version != node.version)
        return ZBADVERSION;
    node_write(r->data, r->length);
    node.version++;
    node.sets++;
    return ZOK;
}

static void answer(struct zk *zk, int rc)
{
    struct request r = zk->list[0];
    struct Stat stat = {.version = node.version};
    struct zk_reply reply = {.rc = rc, .value_length = -1};

    zk->n--;
    memmove(zk->list, zk->list + 1, sizeof(zk->list[0]) * (size_t)zk->n);
    if (rc == ZOK || (rc == ZSYSTEMERROR && r.type == GET))
        reply.stat = &stat;
    if (rc == ZOK && r.type == GET) {
        reply.value = node.data;
        reply.value_length = node.length;
        node.watched = true;
    }
    r.done(r.arg, &reply);
    free(r.data);
}

static void serve(struct zk *zk)
{
    assert_true(zk->n > 0);
    int rc = carry_out(&zk->list[0]);
    if (rc == ZOK && zk->list[0].type == SET &&
        node.watched) { /* ZooKeeper tells the watch before the answer */
        node.watched = false;
        orders_watch(orders);
    }
    answer(zk, rc);
}

static void serve_all(struct zk *zk)
{
    for (int i = 0; zk->n > 0; i++) {
        assert_true(i < 200);
        serve(zk);
    }
}

/* The connection breaks: whether the oldest request was carried out is not told. */
static void lose(struct zk *zk, bool carried_out)
{
    if (carried_out)
        (void)carry_out(&zk->list[0]);
    answer(zk, ZCONNECTIONLOSS);
}

static void forget_requests(struct zk *zk)
{
    while (zk->n > 0)
        free(zk->list[--zk->n].data);
}

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

static int setup(void **state)
{
    (void)state;
    log_open("test_orders", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    reads = 0;
    node_write("{\"v\":1}", 7);
    node.version = 3;
    node.sets = 0;
    node.watched = false;
    orders = orders_new("/root", KIND, on_read, NULL);
    return orders != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    forget_requests(&first);
    forget_requests(&second);
    orders_free(orders);
    free(node.data);
    node.data = NULL;
    return 0;
}

static void connect_first(void)
{
    orders_connect(orders, &first);
    serve_all(&first);
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
    serve_all(&first);
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
    serve_all(&first);
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
    serve_all(&first);
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
    lose(&first, true);
    assert_int_equal(c.calls, 0);
    assert_int_equal(first.n, 0); /* nothing before it is connected again */
    orders_connect(orders, &first);
    serve_all(&first);
    assert_done(&c);
    assert_int_equal(node.sets, 1);
}

static void test_a_lost_request(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    ask(&c);
    lose(&first, false);
    orders_connect(orders, &first);
    serve_all(&first);
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
    orders_connect(orders, &second);
    serve(&second); /* it reads */
    assert_int_equal(second.n, 1);
    (void)carry_out(&first.list[0]); /* the old session's write is done just now */
    serve_all(&second);
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
    lose(&first, true);
    assert_false(orders_fresh(orders));
    orders_connect(orders, &first);
    serve_all(&first);
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
        answer(&first, refusals[i]);
        assert_true(has("paused"));
        assert_int_equal(reads, seen);
        assert_int_equal(first.n, 0);
        assert_false(orders_fresh(orders));
        orders_again(orders);
        serve_all(&first);
        assert_true(has("drained") && orders_fresh(orders));
        orders_again(orders); /* nothing is to be done */
        assert_int_equal(first.n, 0);
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
    serve_all(&first);
    others_write("{\"v\":1}");
    answer(&first, ZNOAUTH);
    assert_true(has("paused")); /* as it was last */
    struct change d = {.key = "b"};
    ask(&d);
    assert_int_equal(d.calls, 1);
    assert_int_equal(d.outcome, ORDERS_NOT_DONE);
    assert_non_null(strstr(d.why, "ACL"));
    assert_int_equal(first.n, 0);
    orders_connect(orders, &first);
    serve_all(&first);
    assert_false(has("paused"));
}

static void test_no_right_to_read_ever(void **state)
{
    (void)state;
    orders_connect(orders, &first);
    answer(&first, ZNOAUTH);
    assert_true(orders_known(orders) && orders_fresh(orders)); /* the election does not wait for it */
    assert_int_equal(first.n, 0);
}

static void test_no_right_to_write(void **state)
{
    struct change c = {.key = "a"}, d = {.key = "b"};

    (void)state;
    connect_first();
    ask(&c);
    ask(&d);
    answer(&first, ZNOAUTH);
    assert_int_equal(c.outcome, ORDERS_NOT_DONE);
    assert_non_null(strstr(c.why, "/root/control"));
    serve_all(&first);
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
        serve_all(&first);
        assert_int_equal(json_object_size(orders_record(orders)), 0);
        assert_int_equal(node.sets, (int)i);
        struct change c = {.key = "a"};
        ask(&c);
        serve_all(&first);
        assert_done(&c);
        assert_true(has("a"));
    }
    free(large);
    others_write_bytes("{\"a\":1}\0{", 9);
    serve_all(&first);
    assert_int_equal(json_object_size(orders_record(orders)), 0);
    others_write("{}");
    answer(&first, ZSYSTEMERROR); /* more than zk.h passes on */
    struct change c = {.key = "a"};
    ask(&c);
    serve_all(&first);
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
    serve_all(&first);
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
    lose(&first, false);
    orders_cancel(orders, &c);
    orders_connect(orders, &first);
    serve_all(&first);
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
    serve_all(&first);
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
    serve_all(&first);
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
    serve_all(&first);
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
    node.watched = false;
    others_write("{\"v\":1,\"drained\":{}}");
    assert_true(orders_fresh(orders)); /* nothing newer is known */
    assert_false(has("drained"));
    ask(&c); /* compare-and-set finds out too */
    serve_all(&first);
    assert_done(&c);
    assert_true(has("drained") && has("a"));
    node.watched = false;
    others_write("{\"v\":1}");
    orders_connect(orders, &first);
    serve_all(&first);
    assert_false(has("drained"));
}

/* The library takes nothing any more: the session has just ended. Told at once, not left waiting. */
static void test_the_handle_takes_nothing(void **state)
{
    struct change c = {.key = "a"};

    (void)state;
    connect_first();
    first.refuses = true;
    ask(&c);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.outcome, ORDERS_NOT_DONE);
    others_write("{}"); /* cannot be read */
    assert_false(orders_fresh(orders));
    orders_connect(orders, NULL);
    orders_connect(orders, &second);
    serve_all(&second);
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
