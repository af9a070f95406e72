/* test_livyconf_store.c - recovery and the state store: what is kept, added, refused; the fingerprint. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "livyconf_bed.h"

/* ---- additions ----------------------------------------------------------------------------------------- */

static void test_adds_all_that_is_lacking(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN);
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\n"
                          "livy.server.recovery.mode = recovery\n"
                          "livy.server.recovery.state-store = zookeeper\n"
                          "livy.server.recovery.state-store.url = zk1:2181,zk2:2181/chroot\n"
                          "livy.server.zookeeper.url = zk1:2181,zk2:2181/chroot\n");
    assert_true(bed->livyconf->recovery);
    assert_string_equal(bed->livyconf->store_type, "zookeeper");
    assert_string_equal(bed->livyconf->store_url, "zk1:2181,zk2:2181/chroot");
    assert_string_equal(bed->livyconf->store_prefix, "livy");
    expect_fingerprint(bed, "zookeeper zk1:2181,zk2:2181/chroot livy");
}

static void test_state_store_url_goes_before_hosts(void **state)
{
    struct bed *bed = *state;

    bed->conf.livy.state_store_url = "other:2181, b:2181";
    load(bed, YARN);
    expect_good(bed, 0);
    assert_non_null(
        strstr(bed->livyconf->additions, "livy.server.recovery.state-store.url = other:2181,b:2181\n"));
    assert_non_null(strstr(bed->livyconf->additions, "livy.server.zookeeper.url = other:2181,b:2181\n"));
    assert_string_equal(bed->livyconf->store_url, "other:2181,b:2181");
}

static void test_keeps_a_complete_set(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN "livy.server.recovery.mode = recovery\n"
                   "livy.server.recovery.state-store = zookeeper\n"
                   "livy.server.recovery.state-store.url = mine:2181\n"
                   "livy.server.zookeeper.url = mine:2181\n"
                   "livy.server.recovery.zk-state-store.key-prefix = livy2\n");
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\n");
    assert_string_equal(bed->livyconf->store_prefix, "livy2");
    expect_fingerprint(bed, "zookeeper mine:2181 livy2");

    load(bed, YARN "livy.server.recovery.mode = recovery\n"
                   "livy.server.recovery.state-store = filesystem\n"
                   "livy.server.recovery.state-store.url = hdfs:///livy\n");
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\n");
    assert_true(bed->livyconf->recovery);
    expect_fingerprint(bed, "filesystem hdfs:///livy");
}

/* 0.7 knows one key, 0.8 and later prefer the other. */
static void test_adds_the_other_url(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN "livy.server.recovery.mode=recovery\nlivy.server.recovery.state-store=zookeeper\n"
                   "livy.server.recovery.state-store.url = mine:2181/x\n");
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\nlivy.server.zookeeper.url = mine:2181/x\n");
    load(bed, YARN "livy.server.recovery.mode=recovery\nlivy.server.recovery.state-store=zookeeper\n"
                   "livy.server.zookeeper.url = mine:2181/x\n");
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\nlivy.server.recovery.state-store.url = mine:2181/x\n");
    load(bed, YARN "livy.server.zookeeper.url = mine:2181\n");
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\nlivy.server.recovery.mode = recovery\n"
                          "livy.server.recovery.state-store = zookeeper\n"
                          "livy.server.recovery.state-store.url = mine:2181\n");
}

/* To Livy 0.8 an empty livy.server.zookeeper.url hides the other one. */
static void test_empty_url_counts_as_lacking(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN "livy.server.recovery.mode=recovery\nlivy.server.recovery.state-store=zookeeper\n"
                   "livy.server.recovery.state-store.url = mine:2181\nlivy.server.zookeeper.url =\n");
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\nlivy.server.zookeeper.url = mine:2181\n");
    assert_string_equal(bed->livyconf->store_url, "mine:2181");
}

static void test_two_urls_that_differ(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN "livy.server.recovery.state-store.url = a:2181\nlivy.server.zookeeper.url = b:2181\n");
    expect_good(bed, 1);
    expect_warning(bed, "line 3, \"a:2181\"");
    expect_warning(bed, "line 4, \"b:2181\"");
    assert_string_equal(bed->livyconf->store_url, "b:2181");
}

static void test_conflict_with_state_store_url(void **state)
{
    struct bed *bed = *state;

    bed->conf.livy.state_store_url = "ours:2181";
    load(bed, YARN "livy.server.recovery.state-store.url = theirs:2181\n");
    expect_error(bed, "livy.conf:3: livy.server.recovery.state-store.url is \"theirs:2181\"",
                 "livy.state_store_url = \"ours:2181\"");
    load(bed,
         YARN "livy.server.recovery.state-store.url = ours:2181\nlivy.server.zookeeper.url = theirs:2181\n");
    expect_error(bed, "livy.conf:4: livy.server.zookeeper.url is \"theirs:2181\"", "ours:2181");
    /* The same place in other words is none; the user's words are kept. */
    bed->conf.livy.state_store_url = "b:2181,A";
    load(bed, YARN "livy.server.zookeeper.url = a:2181,b\n");
    expect_good(bed, 0);
    assert_string_equal(bed->livyconf->store_url, "a:2181,b");
    bed->conf.livy.state_store_url = "hdfs://other/livy";
    load(bed, YARN "livy.server.recovery.state-store=filesystem\n"
                   "livy.server.recovery.state-store.url = hdfs://nn/livy\n");
    expect_error(bed, "livy.conf:4: ", "hdfs://other/livy");
}

static void test_additions_stand_on_a_line_of_their_own(void **state)
{
    static const char *const endings[] = {"x = y",     "x = y\n",     "x = y\\", "x = y\\\n", "x = y\\\n  ",
                                          "x = y\\\r", "x = y\\\r\n", "# c",     "# c\\",     "\\",
                                          "x",         "x = y\\\\",   ""};
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char user[256];
        char whole[2048];
        struct props *props;
        int length;
        snprintf(user, sizeof user, YARN "%s", endings[i]);
        load(bed, user);
        expect_good(bed, 0);
        length = snprintf(whole, sizeof whole, "%s%s", user, bed->livyconf->additions);
        assert_in_range(length, 1, sizeof whole - 1);
        props = props_parse(whole, (size_t)length);
        assert_non_null(props);
        assert_string_equal(props_get(props, "livy.server.port", NULL), "18998");
        assert_string_equal(props_get(props, "livy.server.recovery.mode", NULL), "recovery");
        if (strncmp(endings[i], "x =", 3) == 0) /* the user's last value has grown by nothing of ours */
            assert_string_equal(props_get(props, "x", NULL),
                                strstr(endings[i], "\\\\") != NULL ? "y\\" : "y");
        props_free(props);
    }
}

static void test_values_are_escaped(void **state)
{
    static const char *const values[] = {"back\\slash", "\\u0041",    "ends\\",
                                         "a=b:c#d!e",   "tab\tnl\nx", "caf\xc3\xa9"};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char *text = NULL;
        size_t length = 0;
        FILE *file = open_memstream(&text, &length);
        assert_non_null(file);
        livyconf_put(file, "key", values[i]);
        fputs("next = 1\n", file);
        fclose(file);
        struct props *props = props_parse(text, length);
        assert_non_null(props);
        assert_string_equal(props_get(props, "key", NULL), values[i]);
        assert_string_equal(props_get(props, "next", NULL), "1");
        props_free(props);
        free(text);
    }
}

/* ---- recovery ------------------------------------------------------------------------------------------ */

static void test_mode_must_be_recovery(void **state)
{
    static const char *const modes[] = {"off", "Recovery", "multi-active", ""};
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        char text[256];
        snprintf(text, sizeof text, YARN "livy.server.recovery.mode = %s\n", modes[i]);
        load(bed, text);
        expect_error(bed, "livy.conf:3: livy.server.recovery.mode", "remove this line");
        expect_error(bed, bed->file, "livy.recovery = false");
    }
}

static void test_unknown_store(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN "livy.server.recovery.state-store = redis\n");
    expect_error(bed, "livy.conf:3: livy.server.recovery.state-store is \"redis\"",
                 "zookeeper or filesystem");
}

static void test_filesystem_needs_a_url(void **state)
{
    struct bed *bed = *state;

    load(bed, YARN "livy.server.recovery.state-store = filesystem\n");
    expect_error(bed, "livy.server.recovery.state-store.url is missing", "line 3");
    bed->conf.livy.state_store_url = "hdfs://nn:8020/livy";
    load(bed, NULL);
    expect_good(bed, 0);
    expect_additions(bed, "livy.server.port = 18998\nlivy.server.recovery.mode = recovery\n"
                          "livy.server.recovery.state-store.url = hdfs://nn:8020/livy\n");
    expect_fingerprint(bed, "filesystem hdfs://nn:8020/livy");
}

static void test_files_in_zookeeper(void **state)
{
    struct bed *bed = *state;

    bed->conf.livy.state_store_url = "hdfs://nn:8020/livy";
    load(bed, YARN);
    expect_error(bed, "livy.state_store_url is \"hdfs://nn:8020/livy\"",
                 "livy.server.recovery.state-store = filesystem");
    bed->conf.livy.state_store_url = NULL;
    load(bed, YARN "livy.server.recovery.state-store.url = /var/livy\n");
    expect_error(bed, "livy.conf:3: ", "a place for files");
}

/* /proc is on no disk that hosts share, wherever the tests run. */
static void test_local_file_store_is_refused(void **state)
{
    static const char *const urls[] = {"file:/proc/no/such", "file:///proc/no/such",
                                       "FILE:///proc",       "file://localhost/proc/x",
                                       "/proc/no/such",      "file:///%70roc/self"};
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 YARN
                 "livy.server.recovery.state-store=filesystem\nlivy.server.recovery.state-store.url=%s\n",
                 urls[i]);
        load(bed, text);
        expect_error(bed, "livy.conf:4: livy.server.recovery.state-store.url is", "/proc");
        expect_error(bed, "is on a local file system", urls[i]);
        expect_error(bed, "another host would not find the sessions", "livy.recovery = false");
    }
    bed->conf.livy.state_store_url = "file:/proc/x";
    load(bed, YARN "livy.server.recovery.state-store=filesystem\n");
    expect_error(bed, "livy.state_store_url is \"file:/proc/x\"", "local file system");
}

static void test_nearest_existing_parent_is_asked(void **state)
{
    struct bed *bed = *state;
    char path[128];
    char where[256];
    uint32_t type = 0;

    assert_int_equal(livyconf_fs_shared("/proc/no/such//dir/", where, sizeof where, &type), 0);
    assert_string_equal(where, "/proc");
    assert_int_equal(type, 0x9fa0);
    assert_int_equal(livyconf_fs_shared("/proc/version/below-a-file", where, sizeof where, &type), 0);
    assert_string_equal(where, "/proc/version");
    snprintf(path, sizeof path, "%s/a/b/c", bed->dir);
    assert_true(livyconf_fs_shared(path, where, sizeof where, &type) >= 0);
    assert_string_equal(where, bed->dir);
    assert_true(livyconf_fs_shared("no-such-dir/x", where, sizeof where, &type) >= 0);
    assert_string_equal(where, ".");
    assert_true(livyconf_fs_shared("/no-such-dir-at-all/x", where, sizeof where, &type) >= 0);
    assert_string_equal(where, "/");
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(livyconf_fs_shared(path, where, 8, &type), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

static void test_shared_file_systems(void **state)
{
    static const uint32_t shared[] = {0x6969,     0x517B,     0xFF534D42, 0xFE534D42, 0x00C36400, 0x0BD00BD0,
                                      0x47504653, 0x65735546, 0x5346414F, 0x6B414653, 0x7461636F, 0x01161970};
    static const uint32_t local[] = {0xEF53,     0x58465342, 0x9123683E, 0x01021994,
                                     0x794C7630, 0x9FA0,     0x2FC12FC1, 0};

    (void)state;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        assert_true(livyconf_fs_type_shared(shared[i]));
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_false(livyconf_fs_type_shared(local[i]));
}

static void test_other_urls_are_no_files(void **state)
{
    (void)state;
    errno = ENOENT;
    assert_null(livyconf_fs_path("hdfs://nn/livy"));
    assert_int_equal(errno, 0);
    assert_null(livyconf_fs_path("s3a://bucket/livy"));
    assert_null(livyconf_fs_path("wasb+x.y-z:/livy"));
}

static void test_recovery_false(void **state)
{
    struct bed *bed = *state;

    bed->conf.livy.recovery = false;
    load(bed, "livy.spark.deploy-mode = cluster\nlivy.server.recovery.mode = off\n");
    expect_good(bed, 1);
    expect_warning(bed, "all its sessions are lost");
    expect_additions(bed, "livy.server.port = 18998\n");
    assert_false(bed->livyconf->recovery);
    assert_string_equal(bed->livyconf->store_type, "none");
    assert_string_equal(bed->livyconf->store_url, "");
    expect_fingerprint(bed, "none");
}

/* The user's own recovery under livy.recovery = false is left alone, but seen. */
static void test_recovery_false_with_the_users_own(void **state)
{
    struct bed *bed = *state;

    bed->conf.livy.recovery = false;
    bed->conf.livy.state_store_url = "unused:2181";
    load(bed, YARN "livy.server.recovery.mode = recovery\nlivy.server.recovery.state-store = filesystem\n"
                   "livy.server.recovery.state-store.url = file:/proc/x\n");
    expect_good(bed, 2);
    expect_warning(bed, "livy.conf:3 turns recovery on");
    expect_warning(bed, "local file system");
    expect_additions(bed, "livy.server.port = 18998\n");
    assert_true(bed->livyconf->recovery);
    expect_fingerprint(bed, "filesystem file:/proc/x");
    load(bed, YARN "livy.server.recovery.mode = recovery\n");
    expect_good(bed, 2);
    expect_warning(bed, "livy.server.recovery.state-store is missing");
    load(bed, "livy.spark.deploy-mode=cluster\nlivy.server.recovery.mode = recovery\n");
    expect_error(bed, "livy.spark.master is missing", bed->file);
}

/* ---- fingerprint --------------------------------------------------------------------------------------- */

static void test_fingerprint_of_zookeeper(void **state)
{
    static const char *const pairs[][2] = {
        {"b:2181,a:2181", "a:2181,b:2181"},
        {"ZK-B.Example.COM, zk-a.example.com:2182", "zk-a.example.com:2182,zk-b.example.com:2181"},
        {"a", "a:2181"},
        {"a/Chroot/B", "a:2181/Chroot/B"},
        {"a:2181/", "a:2181"},
        {"[::1],[FE80::1]:2183", "[::1]:2181,[fe80::1]:2183"},
        {"a,a:2181,,b", "a:2181,b:2181"},
    };
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char text[256];
        char expected[256];
        snprintf(text, sizeof text, YARN "livy.server.zookeeper.url=%s\n", pairs[i][0]);
        snprintf(expected, sizeof expected, "zookeeper %s livy", pairs[i][1]);
        load(bed, text);
        expect_good(bed, 0);
        expect_fingerprint(bed, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_adds_all_that_is_lacking),
        TEST(test_state_store_url_goes_before_hosts),
        TEST(test_keeps_a_complete_set),
        TEST(test_adds_the_other_url),
        TEST(test_empty_url_counts_as_lacking),
        TEST(test_two_urls_that_differ),
        TEST(test_conflict_with_state_store_url),
        TEST(test_additions_stand_on_a_line_of_their_own),
        TEST(test_values_are_escaped),
        TEST(test_mode_must_be_recovery),
        TEST(test_unknown_store),
        TEST(test_filesystem_needs_a_url),
        TEST(test_files_in_zookeeper),
        TEST(test_local_file_store_is_refused),
        TEST(test_nearest_existing_parent_is_asked),
        TEST(test_shared_file_systems),
        TEST(test_other_urls_are_no_files),
        TEST(test_recovery_false),
        TEST(test_recovery_false_with_the_users_own),
        TEST(test_fingerprint_of_zookeeper),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
