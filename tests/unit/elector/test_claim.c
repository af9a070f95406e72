/* test_claim.c - laying the claim, against a real ZooKeeper and a real directory: who is first, chroots,
 * servers and file systems that hang, and that the loop never waits for any of them. */
#include "zk_fixture.h"

/* ms in which what must not wait for a server is over. One that did would wait for 5 s at the least; what is
 * left to that is for a slow machine. */
#define PROMPT 4500

#include <sys/stat.h>

#include "claim_internal.h"

struct asker {
    struct claim *claim;
    int done;
    enum claim_answer answer;
    char why[CLAIM_WHY_SIZE];
};

static void on_claim(void *arg, enum claim_answer answer, const char *why)
{
    struct asker *asker = arg;

    asker->done++;
    asker->answer = answer;
    (void)snprintf(asker->why, sizeof(asker->why), "%s", why);
}

static void asker_open(struct asker *asker, const char *hosts, const char *root, const char *store)
{
    struct claim_options options = {.store = store, .hosts = hosts, .root = root, .id = "a"};

    memset(asker, 0, sizeof(*asker));
    asker->claim = claim_new(base, &options);
    assert_non_null(asker->claim);
}

static enum claim_answer ask(struct asker *asker, struct zk *zk, int64_t session, const char *cluster)
{
    int before = asker->done;

    claim_ask(asker->claim, zk, session, cluster, on_claim, asker);
    assert_true(wait_count(&asker->done, before + 1));
    assert_int_equal(asker->done, before + 1);
    return asker->answer;
}

/* As the core does: again and again, until it is known. */
static enum claim_answer ask_until_known(struct asker *asker, struct zk *zk, int64_t session,
                                         const char *cluster)
{
    int64_t end = clock_boot_ms() + LIMIT;

    while (ask(asker, zk, session, cluster) == CLAIM_AWAY) {
        if (clock_boot_ms() > end)
            fail_msg("not known: %s", asker->why);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    return asker->answer;
}

static struct done *read_node(struct client *client, const char *path)
{
    static struct done done;

    memset(&done, 0, sizeof(done));
    return finish(zk_get(client->zk, path, 0, 0, on_done, &done), &done);
}

static void test_first_wins(void **state)
{
    struct client client;
    struct asker a, b;
    char store[128];

    (void)state;
    client_open(&client);
    (void)snprintf(store, sizeof(store), "zookeeper %s first", server.hosts);
    asker_open(&a, server.hosts, "/one", store);
    asker_open(&b, server.hosts, "/two", store);
    claim_ask(a.claim, client.zk, 1, "aa", on_claim, &a);
    claim_ask(b.claim, client.zk, 1, "bb", on_claim, &b);
    assert_true(wait_count(&a.done, 1) && wait_count(&b.done, 1));
    (void)ask_until_known(&a, client.zk, 1, "aa");
    (void)ask_until_known(&b, client.zk, 1, "bb");
    assert_int_not_equal(a.answer == CLAIM_OURS, b.answer == CLAIM_OURS);
    struct asker *first = a.answer == CLAIM_OURS ? &a : &b, *second = first == &a ? &b : &a;
    assert_int_equal(second->answer, CLAIM_ANOTHERS);
    assert_non_null(strstr(second->why, first == &a ? "root /one on" : "root /two on"));
    assert_non_null(strstr(second->why, "delete the node /first-livy-ha on "));

    /* The winner's answer holds for the session even where the node goes; a new session looks again. */
    assert_int_equal(erase(&client, "/first-livy-ha")->rc, ZOK);
    assert_int_equal(ask(first, client.zk, 1, first == &a ? "aa" : "bb"), CLAIM_OURS);
    assert_int_equal(exists(&client, "/first-livy-ha")->rc, ZNONODE);
    /* And the other one finds it free. */
    assert_int_equal(ask_until_known(second, client.zk, 1, second == &a ? "aa" : "bb"), CLAIM_OURS);
    assert_int_equal(ask_until_known(first, client.zk, 2, first == &a ? "aa" : "bb"), CLAIM_ANOTHERS);
    claim_free(a.claim);
    claim_free(b.claim);
    client_close(&client);
}

/* The store's chroot and that of zookeeper.hosts are apart; the handle is the same. */
static void test_outside_our_chroot(void **state)
{
    struct client plain, ours;
    struct asker a;
    char hosts[128], store[128];

    (void)state;
    client_open(&plain);
    assert_int_equal(create(&plain, "/ours", "", 0)->rc, ZOK);
    (void)snprintf(hosts, sizeof(hosts), "%s/ours", server.hosts);
    client_start(&ours, hosts, NULL);
    assert_true(wait_count(&ours.connected, 1));
    (void)snprintf(store, sizeof(store), "zookeeper %s/theirs p", server.hosts);
    asker_open(&a, hosts, "/root", store);
    assert_int_equal(ask(&a, ours.zk, 1, "aa"), CLAIM_AWAY);
    assert_non_null(strstr(a.why, "/theirs/p-livy-ha"));
    assert_non_null(strstr(a.why, "make that chroot"));
    assert_int_equal(create(&plain, "/theirs", "", 0)->rc, ZOK);
    assert_int_equal(ask_until_known(&a, ours.zk, 1, "aa"), CLAIM_OURS);
    assert_non_null(strstr(read_node(&plain, "/theirs/p-livy-ha")->value, "\"root\":\"/ours/root\""));
    claim_free(a.claim);
    client_close(&ours);
    client_close(&plain);
}

static void test_empty_node_is_filled(void **state)
{
    struct client client;
    struct asker a;
    char store[128];

    (void)state;
    client_open(&client);
    (void)snprintf(store, sizeof(store), "zookeeper %s empty", server.hosts);
    assert_int_equal(create(&client, "/empty-livy-ha", "", 0)->rc, ZOK);
    asker_open(&a, server.hosts, "/one", store);
    assert_int_equal(ask_until_known(&a, client.zk, 1, "aa"), CLAIM_OURS);
    assert_non_null(strstr(read_node(&client, "/empty-livy-ha")->value, "\"cluster\":\"aa\""));
    claim_free(a.claim);
    client_close(&client);
}

/* A handle whose connection is gone: nobody is called any more, and the next question begins anew. */
static void test_stopped(void **state)
{
    struct client client;
    struct asker a;
    char store[128];

    (void)state;
    client_open(&client);
    (void)snprintf(store, sizeof(store), "zookeeper %s stopped", server.hosts);
    asker_open(&a, server.hosts, "/one", store);
    claim_ask(a.claim, client.zk, 1, "aa", on_claim, &a);
    claim_stop(a.claim);
    client_close(&client);
    client_open(&client);
    assert_int_equal(exists(&client, "/stopped-livy-ha")->rc, ZNONODE); /* a round trip: nothing came */
    assert_int_equal(a.done, 0);
    assert_int_equal(ask_until_known(&a, client.zk, 2, "aa"), CLAIM_OURS);
    claim_free(a.claim);
    client_close(&client);
}

/* ---- another ensemble: the same server under another name ---- */

static void elsewhere(char store[128], const char *prefix)
{
    (void)snprintf(store, 128, "zookeeper localhost:%d %s", server.port, prefix);
}

static void test_elsewhere(void **state)
{
    struct client client;
    struct asker a, b;
    char store[128];

    (void)state;
    client_open(&client);
    elsewhere(store, "far");
    asker_open(&a, "h:2181", "/one", store);
    asker_open(&b, "h:2181", "/one", store); /* the same strings, another cluster */
    assert_int_equal(ask_until_known(&a, NULL, 1, "aa"), CLAIM_OURS);
    assert_non_null(strstr(read_node(&client, "/far-livy-ha")->value, "\"own\":false"));
    assert_int_equal(ask_until_known(&b, NULL, 1, "bb"), CLAIM_ANOTHERS);
    assert_int_equal(erase(&client, "/far-livy-ha")->rc, ZOK);
    int64_t end = clock_boot_ms() + LIMIT;
    while (ask(&b, NULL, 1, "bb") != CLAIM_OURS) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    claim_free(a.claim);
    claim_free(b.claim);
    client_close(&client);
}

/* The longest time for which the loop did not turn; the fixture's tick turns it every 20 ms. */
static int64_t turn(int64_t until)
{
    int64_t longest = 0;

    for (int64_t now = clock_boot_ms(); now < until;) {
        (void)event_base_loop(base, EVLOOP_ONCE);
        int64_t then = clock_boot_ms();
        if (then - now > longest)
            longest = then - now;
        now = then;
    }
    return longest;
}

static void test_frozen_server_does_not_block(void **state)
{
    struct asker a;
    char store[128];

    (void)state;
    elsewhere(store, "frozen");
    asker_open(&a, "h:2181", "/one", store);
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    int64_t began = clock_boot_ms();
    enum claim_answer answer = ask(&a, NULL, 1, "aa");
    int64_t took = clock_boot_ms() - began;
    int64_t longest = turn(began + 6000); /* the limit passes, and the handle is closed */
    enum claim_answer later = ask(&a, NULL, 1, "aa");
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    assert_int_equal(answer, CLAIM_AWAY);
    assert_in_range(took, 0, PROMPT);
    assert_in_range(longest, 0, PROMPT);
    assert_int_equal(later, CLAIM_AWAY);
    assert_non_null(strstr(a.why, "localhost"));
    assert_non_null(strstr(a.why, "no connection within 5 s"));
    assert_int_equal(ask_until_known(&a, NULL, 1, "aa"), CLAIM_OURS);
    claim_free(a.claim);
}

/* It freezes in the middle: connected, and then silent. */
static void test_silent_server_does_not_block(void **state)
{
    struct claim_place place;
    struct claim_self self = {.cluster = "aa", .hosts = "h:2181", .root = "/one", .member = "a"};
    struct asker a = {0};
    struct claim_reach reach = {.base = base, .place = &place, .self = &self};
    char store[128];

    (void)state;
    elsewhere(store, "silent");
    assert_int_equal(claim_place_find(&place, store, "h:2181"), 0);
    claim_reach_start(&reach, on_claim, &a);
    int64_t end = clock_boot_ms() + LIMIT;
    while (
        !reach.connected) { /* frozen between the turns: no more than one of its answers is on its way then */
        assert_true(clock_boot_ms() < end && a.done == 0);
        (void)kill(server.pid, SIGCONT);
        (void)event_base_loop(base, EVLOOP_ONCE);
        (void)kill(server.pid, SIGSTOP);
    }
    int64_t longest = turn(clock_boot_ms() + 6000);
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    assert_int_equal(a.done, 1);
    assert_int_equal(a.answer, CLAIM_AWAY);
    assert_non_null(strstr(a.why, "connected, but it does not answer"));
    assert_in_range(longest, 0, PROMPT);
    claim_reach_stop(&reach);
    claim_place_clear(&place);
}

static void test_names_that_do_not_resolve(void **state)
{
    struct asker a;

    (void)state;
    asker_open(&a, "h:2181", "/one", "zookeeper no-such-host.invalid:2181 livy");
    int64_t end = clock_boot_ms() + LIMIT;
    while (ask(&a, NULL, 1, "aa") != CLAIM_AWAY ||
           strstr(a.why, "cannot resolve no-such-host.invalid") == NULL) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    assert_null(strstr(a.why, "zookeeper.hosts"));
    claim_free(a.claim);
}

/* ---- a directory ---- */

static void test_directory(void **state)
{
    struct asker a, b;
    char store[160], claim[160];
    struct stat st;

    (void)state;
    (void)snprintf(store, sizeof(store), "filesystem file://%s/files/store", server.dir);
    (void)snprintf(claim, sizeof(claim), "%s/files/store/.livy-ha-claim", server.dir);
    asker_open(&a, "h:2181", "/one", store);
    asker_open(&b, "h:2181", "/two", store);
    assert_int_equal(ask_until_known(&a, NULL, 1, "aa"), CLAIM_OURS);
    assert_int_equal(stat(claim, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(ask_until_known(&a, NULL, 2, "aa"), CLAIM_OURS); /* and stays */
    assert_int_equal(ask_until_known(&b, NULL, 1, "bb"), CLAIM_ANOTHERS);
    assert_non_null(strstr(b.why, "root /one on h:2181"));
    assert_non_null(strstr(b.why, claim));

    assert_int_equal(truncate(claim, 0), 0); /* half made */
    int64_t end = clock_boot_ms() + LIMIT;
    while (ask(&b, NULL, 1, "bb") != CLAIM_AWAY || strstr(b.why, "is empty") == NULL) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    assert_int_equal(unlink(claim), 0);
    assert_int_equal(ask_until_known(&b, NULL, 1, "bb"), CLAIM_OURS);
    claim_free(a.claim);
    claim_free(b.claim);
}

/* A named pipe without a writer hangs like a mount without its server. */
static void test_hung_file_system_does_not_block(void **state)
{
    struct asker a;
    char store[192], path[160];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/hung", server.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(store, sizeof(store), "filesystem file:%s", path);
    (void)snprintf(path, sizeof(path), "%s/hung/.livy-ha-claim", server.dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    asker_open(&a, "h:2181", "/one", store);
    int64_t began = clock_boot_ms();
    assert_int_equal(ask(&a, NULL, 1, "aa"), CLAIM_AWAY);
    assert_int_equal(ask(&a, NULL, 1, "aa"), CLAIM_AWAY); /* no second thread beside the first */
    assert_in_range(clock_boot_ms() - began, 0, PROMPT);
    assert_non_null(strstr(a.why, "waiting for the state store's answer"));
    claim_free(a.claim);                       /* while it hangs */
    int fd = open(path, O_WRONLY | O_CLOEXEC); /* lets the thread go */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
}

/* Where the store must be on a shared file system, a missing mount is seen and nothing is made below it. */
static void test_missing_mount(void **state)
{
    char store[192], path[160];
    struct asker a = {0};

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/mount/store", server.dir);
    (void)snprintf(store, sizeof(store), "filesystem file:%s", path);
    struct claim_options options = {
        .store = store, .hosts = "h:2181", .root = "/one", .id = "a", .must_be_shared = true};
    a.claim = claim_new(base, &options);
    assert_non_null(a.claim);
    int64_t end = clock_boot_ms() + LIMIT;
    while (ask(&a, NULL, 1, "aa") != CLAIM_AWAY ||
           strstr(a.why, "no shared file system is mounted") == NULL) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
    assert_int_not_equal(access(path, F_OK), 0);
    claim_free(a.claim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_wins),
        cmocka_unit_test(test_outside_our_chroot),
        cmocka_unit_test(test_empty_node_is_filled),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_frozen_server_does_not_block),
        cmocka_unit_test(test_silent_server_does_not_block),
        cmocka_unit_test(test_names_that_do_not_resolve),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_hung_file_system_does_not_block),
        cmocka_unit_test(test_missing_mount),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
