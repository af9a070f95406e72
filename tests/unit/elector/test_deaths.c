/* test_deaths.c - the record of Livy's deaths, written and watched by several members, against a real
 * ZooKeeper: nothing is lost or written twice, and how old an entry is is known, however the hosts' clocks
 * differ. */
#include "zk_fixture.h"

#include "deaths.h"

#define WATCH_DEATHS 4
#define WINDOW 600000

struct member {
    struct zk *zk;
    struct deaths *deaths;
    int connected, news;
};

static void member_event(void *arg, enum zk_state zk_state, const struct zk_session *session, int64_t at)
{
    struct member *m = arg;

    (void)session;
    (void)at;
    m->connected += zk_state == ZK_CONNECTED;
}

static void member_watch(void *arg, int type, uint32_t kind, uint64_t tag)
{
    struct member *m = arg;

    (void)type;
    (void)tag;
    assert_int_equal(kind, WATCH_DEATHS);
    deaths_changed(m->deaths);
}

static void member_news(void *arg)
{
    struct member *m = arg;
    m->news++;
}

static void member_open(struct member *m, const char *root, const char *id)
{
    struct zk_options options = {.hosts = server.hosts, .session_timeout = TIMEOUT};
    struct deaths_options deaths = {
        .root = root, .id = id, .host = "host", .watch_kind = WATCH_DEATHS, .news = member_news, .arg = m};

    memset(m, 0, sizeof *m);
    m->deaths = deaths_new(&deaths);
    m->zk = zk_open(base, &options, member_event, member_watch, m);
    assert_non_null(m->deaths);
    assert_non_null(m->zk);
    assert_true(wait_count(&m->connected, 1));
}

static void member_close(struct member *m)
{
    deaths_connect(m->deaths, NULL);
    zk_close(m->zk, false);
    deaths_free(m->deaths);
}

static void make_root(struct client *client, const char *root, const char *record)
{
    char path[64];

    assert_int_equal(create(client, root, "", 0)->rc, ZOK);
    (void)snprintf(path, sizeof path, "%s/deaths", root);
    assert_int_equal(create(client, path, record, 0)->rc, ZOK);
    (void)snprintf(path, sizeof path, "%s/known", root);
    assert_int_equal(create(client, path, "", 0)->rc, ZOK);
    for (const char *id = "ab"; *id != '\0'; id++) {
        (void)snprintf(path, sizeof path, "%s/known/%c", root, *id);
        assert_int_equal(create(client, path, "", 0)->rc, ZOK);
    }
}

static struct deaths_entry list[DEATHS_MAX];

static size_t wait_entries(struct member *m, size_t wanted)
{
    int64_t end = clock_boot_ms() + LIMIT;
    size_t n;

    while ((n = deaths_list(m->deaths, list)) != wanted) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    return n;
}

/* A standby that watches hears of each, and takes the time at which it heard. */
static void test_others_hear_of_it(void **state)
{
    struct client client;
    struct member a, b;

    (void)state;
    client_open(&client);
    make_root(&client, "/d1", "[]");
    member_open(&a, "/d1", "a");
    member_open(&b, "/d1", "b");
    deaths_connect(a.deaths, a.zk);
    deaths_connect(b.deaths, b.zk);
    assert_true(wait_count(&b.news, 1));
    int64_t before = clock_boot_ms();
    for (int i = 0; i < 3; i++)
        deaths_add(a.deaths, i == 2, "exit status 1", WINDOW);
    assert_int_equal(deaths_list(a.deaths, list), 3); /* at once, written or not */
    wait_entries(&b, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(list[i].member, "a");
        assert_int_equal(list[i].gave_up, i == 2);
        assert_in_range(list[i].at, before, clock_boot_ms());
    }
    deaths_add(b.deaths, false, "exit status 2", WINDOW);
    wait_entries(&a, 4);
    assert_string_equal(list[3].member, "b");
    member_close(&a);
    member_close(&b);
    client_close(&client);
}

/* Both write at once, and each before it knows of the other's. */
static void test_two_writers(void **state)
{
    struct client client;
    struct member m[2];

    (void)state;
    client_open(&client);
    make_root(&client, "/d2", "[]");
    for (int i = 0; i < 2; i++) {
        member_open(&m[i], "/d2", i == 0 ? "a" : "b");
        deaths_add(m[i].deaths, false, "before there is a connection", WINDOW);
        deaths_connect(m[i].deaths, m[i].zk);
    }
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 2; i++)
            deaths_add(m[i].deaths, false, "x", WINDOW);
    for (int i = 0; i < 2; i++)
        wait_entries(&m[i], 8);
    for (int i = 0; i < 2; i++)
        member_close(&m[i]);
    client_close(&client);
}

/* What was there when we came is dated by ZooKeeper's clock, not by ours or the writer's. */
static void test_age_of_what_was_there(void **state)
{
    struct client client;
    struct member a;
    char record[512];
    int64_t now = clock_wall_ms(), before = clock_boot_ms(); /* ZooKeeper runs on this host */

    (void)state;
    client_open(&client);
    (void)snprintf(record, sizeof record,
                   "[{\"key\":\"1\",\"member\":\"z\",\"event\":\"died\",\"at\":\"1999-01-01T00:00:00.000Z\","
                   "\"zk_ms\":%lld},{\"key\":\"2\",\"member\":\"z\",\"event\":\"gave-up\",\"at\":\"2099\"},"
                   "7,{\"key\":\"much too long for a key of ours\"},{\"key\":\"3\",\"zk_ms\":\"x\"}]",
                   (long long)now - 5000);
    make_root(&client, "/d3", record);
    member_open(&a, "/d3", "a");
    deaths_connect(a.deaths, a.zk);
    assert_true(wait_count(&a.news, 1));
    assert_true(deaths_list(a.deaths, list) >= 2);
    assert_in_range(list[0].at, before - 5000 - 500, clock_boot_ms() - 5000 + 500);
    assert_in_range(list[1].at, before - 500, clock_boot_ms()); /* of the version that we have just made */
    assert_true(list[1].gave_up);
    member_close(&a);
    client_close(&client);
}

/* An answer that was long on its way says little of when ZooKeeper looked at its clock: it is asked again. */
static void test_slow_look_at_the_clock(void **state)
{
    struct client client;
    struct member a;
    int64_t truth = clock_wall_ms() - clock_boot_ms(), offset = 0, end; /* ZooKeeper runs on this host */

    (void)state;
    client_open(&client);
    make_root(&client, "/d8", "[]");
    member_open(&a, "/d8", "a");
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    deaths_connect(a.deaths, a.zk);
    for (end = clock_boot_ms() + 600; clock_boot_ms() < end;) /* how long it takes is what is tested */
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    end = clock_boot_ms() + LIMIT;
    while (!deaths_clock(a.deaths, &offset) || llabs(offset - truth) > 150) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    }
    member_close(&a);
    client_close(&client);
}

/* Without ZooKeeper's time (known/<id> was removed) what is there counts as young. */
static void test_unknown_age_is_young(void **state)
{
    struct client client;
    struct member a;

    (void)state;
    client_open(&client);
    make_root(&client, "/d4", "[{\"key\":\"1\",\"member\":\"z\",\"event\":\"died\",\"zk_ms\":1}]");
    member_open(&a, "/d4", "nobody");
    int64_t before = clock_boot_ms();
    deaths_connect(a.deaths, a.zk);
    assert_true(wait_count(&a.news, 1));
    assert_int_equal(deaths_list(a.deaths, list), 1);
    assert_in_range(list[0].at, before, clock_boot_ms());
    member_close(&a);
    client_close(&client);
}

/* What has left the window is dropped with the next death, and the record is bounded. */
static void test_old_entries_are_dropped(void **state)
{
    struct client client;
    struct member a;

    (void)state;
    client_open(&client);
    make_root(&client, "/d5", "[{\"key\":\"1\",\"member\":\"z\",\"event\":\"died\",\"zk_ms\":1000}]");
    member_open(&a, "/d5", "a");
    deaths_connect(a.deaths, a.zk);
    assert_true(wait_count(&a.news, 1));
    deaths_add(a.deaths, false, "x", WINDOW);
    wait_entries(&a, 1);
    for (int i = 0; i < DEATHS_MAX + 10; i++) {
        int news = a.news;
        deaths_add(a.deaths, false, "x", WINDOW);
        assert_true(wait_count(&a.news, news + 2)); /* added, and read back */
    }
    wait_entries(&a, DEATHS_MAX);
    member_close(&a);
    client_close(&client);
}

/* As much as a node holds, written by a stranger: neither the reading nor the next write takes long. */
static void test_huge_record(void **state)
{
    enum { ENTRIES = 500000 };
    static char record[2 * ENTRIES + 2] = "[";
    struct client client;
    struct member a;

    (void)state;
    for (int i = 0; i < ENTRIES; i++)
        memcpy(record + 1 + (size_t)2 * (size_t)i, i + 1 < ENTRIES ? "1," : "1]", 2);
    client_open(&client);
    make_root(&client, "/d6", record);
    member_open(&a, "/d6", "a");
    deaths_connect(a.deaths, a.zk);
    assert_true(wait_count(&a.news, 1));
    int64_t before = clock_boot_ms();
    int news = a.news;
    deaths_add(a.deaths, false, "x", WINDOW);
    assert_in_range(clock_boot_ms() - before, 0, 1000);
    assert_true(wait_count(&a.news, news + 2)); /* added, and read back */
    struct done done = {0};
    assert_int_equal(finish(zk_get(client.zk, "/d6/deaths", 0, 0, on_done, &done), &done)->rc, ZOK);
    assert_in_range(done.value_length, 1, 4096);
    member_close(&a);
    client_close(&client);
}

/* Cut in the middle of a character: the death counts all the same, here and there. */
static void test_reason_that_is_no_text(void **state)
{
    struct client client;
    struct member a, b;

    (void)state;
    client_open(&client);
    make_root(&client, "/d7", "[]");
    member_open(&a, "/d7", "a");
    member_open(&b, "/d7", "b");
    deaths_connect(a.deaths, a.zk);
    deaths_connect(b.deaths, b.zk);
    assert_true(wait_count(&a.news, 1));
    assert_true(wait_count(&b.news, 1));
    deaths_add(a.deaths, false, "exit status 1: \xc3", WINDOW);
    assert_int_equal(deaths_list(a.deaths, list), 1);
    wait_entries(&b, 1);
    member_close(&a);
    member_close(&b);
    client_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_hear_of_it),     cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_age_of_what_was_there), cmocka_unit_test(test_slow_look_at_the_clock),
        cmocka_unit_test(test_unknown_age_is_young),  cmocka_unit_test(test_old_entries_are_dropped),
        cmocka_unit_test(test_huge_record),           cmocka_unit_test(test_reason_that_is_no_text),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
