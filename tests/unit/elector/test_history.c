/* test_history.c - the cluster's history in one node, written by several, against a real ZooKeeper. */
#include "zk_fixture.h"

#include "history.h"

static json_t *entry(const char *event, int n)
{
    return json_pack("{s:s, s:i}", "event", event, "n", n);
}

/* The list as it is now; the fixture's struct done cuts what is longer than its buffer. */
struct whole {
    int calls;
    json_t *list;
};

static void on_whole(void *arg, const struct zk_reply *reply)
{
    struct whole *whole = arg;

    whole->calls++;
    if (reply->rc == ZOK && reply->value_length > 0)
        whole->list = json_loadb(reply->value, (size_t)reply->value_length, 0, NULL);
}

static json_t *list_of(struct client *client, const char *path)
{
    struct whole whole = {0};

    assert_int_equal(zk_get(client->zk, path, 0, 0, on_whole, &whole), ZOK);
    assert_true(wait_count(&whole.calls, 1));
    return whole.list;
}

static void wait_idle(const struct history *history)
{
    int64_t end = clock_boot_ms() + LIMIT;

    while (!history_idle(history)) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
}

static void add(struct history *history, json_t *what)
{
    history_add(history, what);
    history_flush(history);
}

static int number_at(const json_t *list, size_t i)
{
    return (int)json_integer_value(json_object_get(json_array_get(list, i), "n"));
}

static json_t *entry_at(const char *at, int n)
{
    return json_pack("{s:s, s:i}", "at", at, "n", n);
}

/* Several members write of one hand-over, each a little later than it happened. */
static void test_what_happened_together_is_in_order(void **state)
{
    struct client client;
    struct history *history = history_new("/h_together");
    static const int wanted[] = {1, 0, 2, 3, 4, 5};

    (void)state;
    client_open(&client);
    assert_int_equal(create(&client, "/h_together", "[]", 0)->rc, ZOK);
    history_connect(history, client.zk);
    add(history, entry_at("2026-11-23T13:23:38.806Z", 0));
    add(history, entry_at("2026-11-23T13:23:38.805Z", 1));
    add(history, entry_at("2026-11-23T13:23:40.000Z", 2));
    add(history, entry_at("2026-11-23T13:23:38.785Z", 3)); /* a clock is wrong: left where it is */
    add(history, entry_at("no time at all, 24 bytes", 4));
    add(history, entry_at("2026-11-23T13:23:38.784Z", 5));
    wait_idle(history);
    json_t *list = list_of(&client, "/h_together");
    assert_int_equal(json_array_size(list), sizeof(wanted) / sizeof(wanted[0]));
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_int_equal(number_at(list, i), wanted[i]);
    json_decref(list);
    history_free(history);
    client_close(&client);
}

static void test_appends_in_order(void **state)
{
    struct client client;
    struct history *history = history_new("/h1");

    (void)state;
    client_open(&client);
    assert_int_equal(create(&client, "/h1", "[]", 0)->rc, ZOK);
    for (int i = 0; i < 5; i++)
        add(history, entry("x", i)); /* before there is a connection */
    assert_false(history_idle(history));
    history_connect(history, client.zk);
    for (int i = 5; i < 10; i++)
        add(history, entry("x", i));
    wait_idle(history);
    json_t *list = list_of(&client, "/h1");
    assert_int_equal(json_array_size(list), 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(number_at(list, i), i);
    json_decref(list);
    history_free(history);
    client_close(&client);
}

/* Two members write at the same time: each entry is there once, whoever loses the race. */
static void test_two_writers(void **state)
{
    struct client clients[2];
    struct history *histories[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        client_open(&clients[i]);
        histories[i] = history_new("/h2");
    }
    assert_int_equal(create(&clients[0], "/h2", "[]", 0)->rc, ZOK);
    for (size_t i = 0; i < 2; i++)
        history_connect(histories[i], clients[i].zk);
    for (int n = 0; n < 20; n++)
        for (size_t i = 0; i < 2; i++)
            add(histories[i], entry(i == 0 ? "a" : "b", n));
    wait_idle(histories[0]);
    wait_idle(histories[1]);
    json_t *list = list_of(&clients[0], "/h2");
    assert_int_equal(json_array_size(list), 40);
    json_decref(list);
    for (size_t i = 0; i < 2; i++) {
        history_free(histories[i]);
        client_close(&clients[i]);
    }
}

/* Told of the same connection again while a write is under way: nothing is lost, nothing is written twice. */
static void test_connected_again(void **state)
{
    struct client client;
    struct history *history = history_new("/h3");

    (void)state;
    client_open(&client);
    assert_int_equal(create(&client, "/h3", "[]", 0)->rc, ZOK);
    history_connect(history, client.zk);
    for (int i = 0; i < 30; i++) {
        add(history, entry("x", i));
        history_connect(history, client.zk);
        if (i % 3 == 0)
            (void)event_base_loop(base, EVLOOP_ONCE);
    }
    wait_idle(history);
    json_t *list = list_of(&client, "/h3");
    assert_int_equal(json_array_size(list), 30);
    for (size_t i = 0; i < 30; i++)
        assert_int_equal(number_at(list, i), i);
    json_decref(list);
    history_free(history);
    client_close(&client);
}

static void test_keeps_the_last_hundred(void **state)
{
    struct client client;
    struct history *history = history_new("/h4");

    (void)state;
    client_open(&client);
    assert_int_equal(create(&client, "/h4", "no list at all", 0)->rc, ZOK); /* garbage gives way */
    history_connect(history, client.zk);
    for (int i = 0; i < 130; i++) {
        add(history, entry("x", i));
        wait_idle(history);
    }
    json_t *list = list_of(&client, "/h4");
    assert_int_equal(json_array_size(list), 100);
    assert_int_equal(number_at(list, 0), 30);
    assert_int_equal(number_at(list, 99), 129);
    json_decref(list);
    history_free(history);
    client_close(&client);
}

/* A long time without a connection: the newest 32 wait. */
static void test_what_waits_is_bounded(void **state)
{
    struct client client;
    struct history *history = history_new("/h5");

    (void)state;
    client_open(&client);
    assert_int_equal(create(&client, "/h5", "[]", 0)->rc, ZOK);
    for (int i = 0; i < 100; i++)
        add(history, entry("x", i));
    history_connect(history, client.zk);
    wait_idle(history);
    json_t *list = list_of(&client, "/h5");
    assert_int_equal(json_array_size(list), 32);
    assert_int_equal(number_at(list, 0), 68);
    json_decref(list);
    history_free(history);
    client_close(&client);
}

/* New entries come in a row while a full queue is being read for (0 answers seen), written (1) or is written
 * (2): the newest are there afterwards, all of them, in order and once. */
static void test_a_full_queue_keeps_the_newest(void **state)
{
    (void)state;
    for (int answers = 0; answers <= 2; answers++) {
        struct client client;
        char path[8];
        (void)snprintf(path, sizeof(path), "/f%d", answers);
        struct history *history = history_new(path);
        client_open(&client);
        assert_int_equal(create(&client, path, "[]", 0)->rc, ZOK);
        for (int i = 0; i < 32; i++)
            add(history, entry("x", i));
        history_connect(history, client.zk);
        for (int i = 0; i < answers; i++)
            (void)event_base_loop(base, EVLOOP_ONCE);
        for (int i = 32; i < 40; i++)
            add(history, entry("x", i));
        wait_idle(history);
        json_t *list = list_of(&client, path);
        size_t size = json_array_size(list);
        assert_in_range(size, 32, 40);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(number_at(list, i), 40 - size + i);
        json_decref(list);
        history_free(history);
        client_close(&client);
    }
}

/* As much as a node holds, written by a stranger: it costs one moment. */
static void test_huge_history(void **state)
{
    enum { ENTRIES = 500000 };
    static char text[2 * ENTRIES + 2] = "[";
    struct client client;
    struct history *history = history_new("/huge");

    (void)state;
    for (int i = 0; i < ENTRIES; i++)
        memcpy(text + 1 + (size_t)2 * (size_t)i, i + 1 < ENTRIES ? "1," : "1]", 2);
    client_open(&client);
    assert_int_equal(create(&client, "/huge", text, 0)->rc, ZOK);
    add(history, entry("x", 1));
    int64_t before = clock_boot_ms();
    history_connect(history, client.zk);
    wait_idle(history);
    assert_in_range(clock_boot_ms() - before, 0, 2000);
    json_t *list = list_of(&client, "/huge");
    assert_int_equal(json_array_size(list), 100);
    assert_int_equal(number_at(list, 99), 1);
    json_decref(list);
    history_free(history);
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appends_in_order),
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_connected_again),
        cmocka_unit_test(test_keeps_the_last_hundred),
        cmocka_unit_test(test_what_waits_is_bounded),
        cmocka_unit_test(test_a_full_queue_keeps_the_newest),
        cmocka_unit_test(test_huge_history),
        cmocka_unit_test(test_what_happened_together_is_in_order),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
