/* test_reload.c - HUP: what changes, what waits, what is refused and leaves all as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "../common/files.h"
#include "livy-ha/log.h"
#include "reload.h"

struct bed {
    char dir[64], settings[96];
    struct conf *conf;
    struct livyconf *livyconf;
    bool pending;
};

static void settings(const struct bed *bed, const char *zookeeper, const char *livy)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "id = \"m\"; runtime_dir = \"%s\";\nzookeeper = { hosts = \"127.0.0.1:1\"; %s };\n"
             "livy = { home = \"%s\"; conf_dir = \"%s/conf\"; %s };\n",
             bed->dir, zookeeper, bed->dir, bed->dir, livy);
    write_file(bed->dir, "livy-ha.conf", text);
}

static void livy_conf(const struct bed *bed, const char *more)
{
    char path[96], text[512];

    snprintf(path, sizeof(path), "%s/conf", bed->dir);
    snprintf(text, sizeof(text), "livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n%s", more);
    write_file(path, "livy.conf", text);
}

static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    struct conf_report report = {0};
    char path[96];

    assert_non_null(bed);
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/livy-ha-reload.XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(path, sizeof(path), "%s/conf", bed->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(setenv("SPARK_HOME", "/opt/spark", 1), 0);
    settings(bed, "", "stop_grace = \"5s\";");
    livy_conf(bed, "");
    snprintf(bed->settings, sizeof(bed->settings), "%s/livy-ha.conf", bed->dir);
    bed->conf = conf_load(bed->settings, environ, &report);
    assert_non_null(bed->conf);
    bed->livyconf = livyconf_load(bed->conf, environ, &report);
    assert_non_null(bed->livyconf);
    conf_report_clear(&report);
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;

    livyconf_free(bed->livyconf);
    conf_free(bed->conf);
    remove_all(bed->dir);
    free(bed);
    return 0;
}

static int reload(struct bed *bed)
{
    char why[256];
    int rc = reload_configuration(&bed->conf, &bed->livyconf, &bed->pending, why, sizeof(why));
    assert_true(rc == 0 || why[0] != '\0');
    return rc;
}

static void test_takes_effect(void **state)
{
    struct bed *bed = *state;

    settings(bed, "", "stop_grace = \"7s\";");
    assert_int_equal(reload(bed), 0);
    assert_int_equal(bed->conf->livy.stop_grace, 7000);
    assert_false(bed->pending);
    assert_string_equal(bed->conf->path, bed->settings);
}

static void test_waits_for_a_restart(void **state)
{
    struct bed *bed = *state;

    settings(bed, "session_timeout = \"20s\";", "stop_grace = \"7s\";");
    assert_int_equal(reload(bed), 0);
    assert_int_equal(bed->conf->zookeeper.session_timeout, 10000);
    assert_int_equal(bed->conf->livy.stop_grace, 7000);
    assert_true(bed->pending);
    settings(bed, "", "stop_grace = \"7s\";"); /* taken back */
    assert_int_equal(reload(bed), 0);
    assert_false(bed->pending);
}

static void unchanged(struct bed *bed)
{
    struct conf *conf = bed->conf;
    struct livyconf *livyconf = bed->livyconf;

    assert_int_equal(reload(bed), -1);
    assert_ptr_equal(bed->conf, conf);
    assert_ptr_equal(bed->livyconf, livyconf);
    assert_int_equal(bed->conf->livy.stop_grace, 5000);
}

static void test_wrong_files_leave_the_old_one(void **state)
{
    struct bed *bed = *state;

    settings(bed, "", "stop_grace = 7;");
    unchanged(bed);
    settings(bed, "", "stop_grace = \"7s\"; no_such_key = 1;");
    unchanged(bed);
    assert_int_equal(unlink(bed->settings), 0);
    unchanged(bed);
    settings(bed, "", "stop_grace = \"7s\";");
    livy_conf(bed, "livy.server.recovery.mode = off\n");
    unchanged(bed);
    livy_conf(bed, "");
    assert_int_equal(reload(bed), 0);
    assert_int_equal(bed->conf->livy.stop_grace, 7000);
}

/* Rule 7: the member has registered with its store's fingerprint; Livy must not come up on another one. */
static void test_another_store_is_refused(void **state)
{
    struct bed *bed = *state;
    char *before = livyconf_fingerprint(bed->livyconf);

    settings(bed, "", "stop_grace = \"7s\"; state_store_url = \"other:2181\";");
    unchanged(bed);
    settings(bed, "", "stop_grace = \"7s\";");
    livy_conf(bed, "livy.server.recovery.zk-state-store.key-prefix = other\n");
    unchanged(bed);
    char *after = livyconf_fingerprint(bed->livyconf);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* It keeps the name that the host had at the start: looking it up could block the keeper. */
static void test_host_is_not_looked_up_again(void **state)
{
    struct bed *bed = *state;

    free(bed->conf->host);
    bed->conf->host = strdup("as-it-was.example.com");
    assert_int_equal(reload(bed), 0);
    assert_string_equal(bed->conf->host, "as-it-was.example.com");
    char *expected = join("http://as-it-was.example.com:8998", "");
    struct conf_report report = {0};
    struct conf *again = conf_load_again(bed->conf, environ, &report);
    assert_non_null(again);
    assert_memory_equal(again->front.advertise, expected, strlen(expected) - 1);
    conf_report_clear(&report);
    conf_free(again);
    free(expected);
}

int main(void)
{
    log_open("test_reload", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_takes_effect, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_waits_for_a_restart, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_wrong_files_leave_the_old_one, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_another_store_is_refused, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_host_is_not_looked_up_again, make_bed, clear_bed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
