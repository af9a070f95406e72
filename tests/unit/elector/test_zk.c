/* zk.h: requests, watches, the order of deliveries, the log; against a real ZooKeeper. Looks into
 * zk_internal.h only to count the contexts that are left.
 */
#include "zk_fixture.h"

static void test_requests(void **state)
{
    struct client client;
    struct done get = {0}, set = {0}, list = {0}, sync = {0};
    struct done *done;

    (void)state;
    client_open(&client);
    done = create(&client, "/a", "one", ZOO_PERSISTENT);
    assert_int_equal(done->rc, ZOK);
    assert_string_equal(done->value, "/a");
    assert_int_equal(create(&client, "/a", "", ZOO_PERSISTENT)->rc, ZNODEEXISTS);
    assert_true(exists(&client, "/a")->stat);
    done = exists(&client, "/none");
    assert_int_equal(done->rc, ZNONODE);
    assert_false(done->stat);

    finish(zk_get(client.zk, "/a", 0, 0, on_done, &get), &get);
    assert_string_equal(get.value, "one");
    assert_int_equal(get.value_length, 3);
    assert_true(get.stat && get.at > 0 && get.at <= clock_boot_ms());
    finish(zk_set(client.zk, "/a", NULL, 0, 0, on_done, &set), &set);
    assert_true(set.rc == ZOK && set.stat);
    memset(&get, 0, sizeof get);
    finish(zk_get(client.zk, "/a", 0, 0, on_done, &get), &get);
    assert_int_equal(get.value_length, 0);
    memset(&set, 0, sizeof set);
    finish(zk_set(client.zk, "/a", "x", 1, 0, on_done, &set), &set);
    assert_int_equal(set.rc, ZBADVERSION);

    create(&client, "/a/child", "", ZOO_CONTAINER);
    finish(zk_sync(client.zk, "/a", on_done, &sync), &sync);
    assert_int_equal(sync.rc, ZOK);
    finish(zk_children(client.zk, "/a", 0, 0, on_done, &list), &list);
    assert_int_equal(list.n_children, 1);
    assert_string_equal(list.first_child, "child");
    assert_int_equal(erase(&client, "/a")->rc, ZNOTEMPTY);
    assert_int_equal(erase(&client, "/a/child")->rc, ZOK);
    assert_int_equal(erase(&client, "/a")->rc, ZOK);
    assert_int_equal(zk_exists(client.zk, "relative", 0, 0, on_done, NULL), ZBADARGUMENTS);
    client_close(&client);
}

static void test_null_data(void **state)
{
    struct client client;
    struct done made = {0}, get = {0};

    (void)state;
    client_open(&client);
    finish(zk_create(client.zk, "/null", NULL, -1, ZOO_EPHEMERAL, on_done, &made), &made);
    finish(zk_get(client.zk, "/null", 0, 0, on_done, &get), &get);
    assert_int_equal(get.rc, ZOK);
    assert_int_equal(get.value_length, -1);
    client_close(&client);
}

static void test_ephemeral_sequential(void **state)
{
    struct client client;
    struct done *done;
    char path[sizeof done->value];

    (void)state;
    client_open(&client);
    create(&client, "/latch", "", ZOO_CONTAINER);
    done = create(&client, "/latch/_c_uuid-latch-", "me", ZOO_EPHEMERAL_SEQUENTIAL);
    assert_int_equal(done->rc, ZOK);
    assert_memory_equal(done->value, "/latch/_c_uuid-latch-0", 22);
    memcpy(path, done->value, sizeof path);
    assert_int_equal(exists(&client, path)->owner, client.session.id);
    client_close(&client);
    client_open(&client);
    assert_int_equal(exists(&client, path)->rc, ZNONODE);
    client_close(&client);
}

static void test_check(void **state)
{
    struct client client;

    (void)state;
    client_open(&client);
    create(&client, "/checked", "", ZOO_EPHEMERAL);
    assert_int_equal(check(&client, "/checked")->rc, ZOK);
    assert_int_equal(erase(&client, "/checked")->rc, ZOK);
    assert_int_equal(check(&client, "/checked")->rc, ZNONODE);
    client_close(&client);
}

static void test_watches(void **state)
{
    struct client client;
    struct done done = {0};

    (void)state;
    client_open(&client);
    finish(zk_exists(client.zk, "/w", 7, 0x123456789abcULL, on_done, &done), &done);
    assert_int_equal(done.rc, ZNONODE);
    create(&client, "/w", "", ZOO_EPHEMERAL);
    assert_true(wait_count(&client.watches, 1));
    assert_int_equal(client.type, ZOO_CREATED_EVENT);
    assert_int_equal(client.kind, 7);
    assert_int_equal(client.tag, 0x123456789abcULL);
    /* One-shot: the deletion is not told. */
    erase(&client, "/w");
    exists(&client, "/w");
    assert_int_equal(client.watches, 1);

    create(&client, "/w", "", ZOO_PERSISTENT);
    memset(&done, 0, sizeof done);
    finish(zk_children(client.zk, "/w", 8, 1, on_done, &done), &done);
    create(&client, "/w/c", "", ZOO_EPHEMERAL);
    assert_true(wait_count(&client.watches, 2));
    assert_true(client.type == ZOO_CHILD_EVENT && client.kind == 8 && client.tag == 1);
    memset(&done, 0, sizeof done);
    finish(zk_get(client.zk, "/w/c", 9, 2, on_done, &done), &done);
    erase(&client, "/w/c");
    assert_true(wait_count(&client.watches, 3));
    assert_true(client.type == ZOO_DELETED_EVENT && client.kind == 9 && client.tag == 2);
    erase(&client, "/w");
    assert_int_equal(count_watches(client.zk), 0);
    client_close(&client);
}

/* A watch of a request that failed is gone; one that was there already when it is set again costs nothing. */
static void test_watch_contexts(void **state)
{
    struct client client;
    struct done done = {0};
    int last = 0;
    char path[64];

    (void)state;
    client_open(&client);
    finish(zk_get(client.zk, "/none", 1, 1, on_done, &done), &done);
    assert_int_equal(count_watches(client.zk), 0);

    memset(&done, 0, sizeof done);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(zk_exists(client.zk, "/same", 1, 1, on_done, &done), ZOK);
    assert_true(wait_count(&done.calls, 5000));
    assert_int_equal(count_watches(client.zk), 1);
    create(&client, "/same", "", ZOO_EPHEMERAL);
    exists(&client, "/same");
    assert_int_equal(client.watches, 1);
    assert_int_equal(count_watches(client.zk), 0);

    memset(&done, 0, sizeof done);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(zk_exists(client.zk, "/tags", 1, (uint64_t)i, on_done, &done), ZOK);
    assert_true(wait_count(&done.calls, 5000));
    assert_int_equal(count_watches(client.zk), 5000);
    last = client.watches;
    create(&client, "/tags", "", ZOO_EPHEMERAL);
    assert_true(wait_count(&client.watches, last + 5000));
    exists(&client, "/tags");
    assert_int_equal(client.watches, last + 5000);
    assert_int_equal(count_watches(client.zk), 0);

    /* These never fire; closing frees them, across a reconnect that hands each a session event. */
    memset(&done, 0, sizeof done);
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(path, sizeof path, "/never-%d", i);
        assert_int_equal(zk_exists(client.zk, path, 1, (uint64_t)i, on_done, &done), ZOK);
    }
    assert_true(wait_count(&done.calls, 5000));
    assert_true(zk_kick(client.zk));
    assert_true(wait_count(&client.connected, 2));
    assert_int_equal(count_watches(client.zk), 5000);
    create(&client, "/never-4711", "", ZOO_EPHEMERAL);
    assert_true(wait_count(&client.watches, last + 5001));
    assert_int_equal(client.tag, 4711);
    assert_int_equal(count_watches(client.zk), 4999);
    client_close(&client);
}

static void test_order(void **state)
{
    struct client client;
    static struct done done[300];
    struct done watched = {0};

    (void)state;
    memset(done, 0, sizeof done);
    client_open(&client);
    order = 0;
    for (int i = 0; i < 300; i++)
        assert_int_equal(i % 3 == 0   ? zk_exists(client.zk, "/o", 0, 0, on_done, &done[i])
                         : i % 3 == 1 ? zk_sync(client.zk, "/", on_done, &done[i])
                                      : zk_check(client.zk, "/", on_done, &done[i]),
                         ZOK);
    assert_true(wait_count(&done[299].calls, 1));
    for (int i = 0; i < 300; i++) {
        assert_int_equal(done[i].order, i + 1);
        assert_true(i == 0 || done[i].at >= done[i - 1].at);
    }
    /* The answer to the request that set it comes before the watch. */
    assert_int_equal(zk_exists(client.zk, "/o", 1, 1, on_done, &watched), ZOK);
    assert_int_equal(zk_create(client.zk, "/o", "", 0, ZOO_EPHEMERAL, NULL, NULL), ZOK);
    assert_true(wait_count(&client.watches, 1));
    assert_true(watched.calls == 1 && watched.order < client.watch_order);
    client_close(&client);
}

static void test_chroot(void **state)
{
    struct client client, plain;
    char hosts[96];
    struct done *done, list = {0}, watched = {0};

    (void)state;
    client_open(&plain);
    create(&plain, "/app", "", ZOO_PERSISTENT);
    (void)snprintf(hosts, sizeof hosts, "%s/app", server.hosts);
    client_start(&client, hosts, NULL);
    assert_true(wait_count(&client.connected, 1));
    finish(zk_exists(client.zk, "/n", 1, 5, on_done, &watched), &watched);
    done = create(&client, "/n", "", ZOO_EPHEMERAL);
    assert_string_equal(done->value, "/n");
    assert_true(wait_count(&client.watches, 1));
    assert_true(exists(&plain, "/app/n")->stat);
    finish(zk_children(client.zk, "/", 0, 0, on_done, &list), &list);
    assert_string_equal(list.first_child, "n");
    assert_int_equal(check(&client, "/n")->rc, ZOK);
    client_close(&client);
    erase(&plain, "/app");
    client_close(&plain);
}

static void test_digest(void **state)
{
    struct zk_options options = {
        .hosts = server.hosts, .session_timeout = TIMEOUT, .auth_digest = "ha:secret"};
    struct client owner = {0}, stranger;
    struct done set = {0}, get = {0}, ours = {0};

    (void)state;
    owner.zk = zk_open(base, &options, on_session, on_watch, &owner);
    assert_non_null(owner.zk);
    assert_true(wait_count(&owner.connected, 1));
    assert_int_equal(create(&owner, "/secret", "data", ZOO_EPHEMERAL)->rc, ZOK);
    client_open(&stranger);
    finish(zk_set(stranger.zk, "/secret", "x", 1, -1, on_done, &set), &set);
    assert_int_equal(set.rc, ZNOAUTH);
    finish(zk_get(stranger.zk, "/secret", 0, 0, on_done, &get), &get);
    assert_string_equal(get.value, "data");
    /* The credentials are sent again after a reconnect. */
    assert_true(zk_kick(owner.zk));
    assert_true(wait_count(&owner.connected, 2));
    finish(zk_set(owner.zk, "/secret", "x", 1, -1, on_done, &ours), &ours);
    assert_int_equal(ours.rc, ZOK);
    client_close(&stranger);
    client_close(&owner);
}

static int count_lines(int fd, char *text, size_t size)
{
    ssize_t length = read(fd, text, size - 1);
    int lines = 0;

    text[length > 0 ? length : 0] = '\0';
    for (const char *p = text; *p != '\0'; p++)
        lines += *p == '\n';
    return lines;
}

static int release(struct client *client, const char *tenure, const char *uri)
{
    static struct done done;

    memset(&done, 0, sizeof done);
    return finish(zk_release(client->zk, "/latch", "/handover", "latch", tenure, uri, on_done, &done), &done)
        ->rc;
}

/* All at once or not at all, and the answer is the transaction's, however many parts it has. */
static void test_release(void **state)
{
    struct client client;
    struct done get = {0};

    (void)state;
    client_open(&client);
    create(&client, "/handover", "", 0);
    create(&client, "/latch", "", ZOO_EPHEMERAL);
    create(&client, "/uri", "", ZOO_EPHEMERAL);
    assert_int_equal(release(&client, "/tenure", "/uri"), ZNONODE);
    create(&client, "/tenure", "", 0);
    erase(&client, "/uri");
    assert_int_equal(release(&client, "/tenure", "/uri"), ZNONODE);
    assert_int_equal(exists(&client, "/latch")->rc, ZOK);
    create(&client, "/uri", "", ZOO_EPHEMERAL);
    assert_int_equal(release(&client, "/tenure", "/uri"), ZOK);
    assert_int_equal(exists(&client, "/latch")->rc, ZNONODE);
    assert_int_equal(exists(&client, "/tenure")->rc, ZNONODE);
    assert_int_equal(exists(&client, "/uri")->rc, ZNONODE);
    finish(zk_get(client.zk, "/handover", 0, 0, on_done, &get), &get);
    assert_string_equal(get.value, "latch");
    assert_int_equal(release(&client, NULL, NULL), ZNONODE);
    client_close(&client);
}

/* A line that repeats comes through once a second, with a count; another place's line is not held up by it.
 */
static void test_log_flood(void **state)
{
    int out[2], saved = dup(STDERR_FILENO), first, second, floods = 0;
    char before[4096], after[4096], line[80];
    int64_t start, end;

    (void)state;
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    assert_true(dup2(out[1], STDERR_FILENO) >= 0);
    log_open("test_zk", LOG_LEVEL_WARN, LOG_FORMAT_TEXT);
    do { /* anew at another place, until it came within the second that is looked at */
        (void)snprintf(line, sizeof line, "2026-01-01 00:00:00,000:1(0x1):ZOO_ERROR@flood@%d: refused\n",
                       ++floods);
        start = clock_boot_ms();
        for (int i = 0; i < 1000; i++)
            zk_log_line(line);
        (void)snprintf(after, sizeof after, "2026-01-01 00:00:00,000:1(0x1):ZOO_WARN@other@%d: another",
                       floods);
        zk_log_line(after);
        zk_log_line("2026-01-01 00:00:00,000:1(0x1):ZOO_INFO@chatter@3: not at this level");
        end = clock_boot_ms();
        first = count_lines(out[0], before, sizeof before);
    } while (end - start >= 1000 && floods < 20);
    while (clock_boot_ms() - end <= 1000)
        usleep(10000);
    zk_log_line(line);
    second = count_lines(out[0], after, sizeof after);
    (void)dup2(saved, STDERR_FILENO);
    log_open("test_zk", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    close(saved);
    close(out[0]);
    close(out[1]);
    assert_true(end - start < 1000); /* else the count below says nothing */
    assert_int_equal(first, 2);
    assert_non_null(strstr(before, "another"));
    assert_int_equal(second, 1);
    assert_non_null(strstr(after, "999 more"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_null_data),
        cmocka_unit_test(test_ephemeral_sequential),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_watches),
        cmocka_unit_test(test_watch_contexts),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_chroot),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_log_flood),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
