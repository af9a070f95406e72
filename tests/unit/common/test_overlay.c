/* test_overlay.c - the directory that Livy is started with: what is in it, who may read it, what is left
 * alone. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"
#include "livy-ha/livyconf.h"

#define YARN "livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n"

struct bed {
    char dir[64];
    char user[128]; /* the user's configuration; its name needs quoting in a shell */
    char runtime[96];
    char overlay[128];
    char log[96];
    struct conf conf;
    char *envp[2];
    struct conf_report report;
    struct livyconf *livyconf;
    const char *first;   /* of Java, before the user's; NULL: none */
    const char *options; /* of Java, beyond those that are always there; NULL: none */
    char why[1024];
};

static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);

    assert_non_null(bed);
    snprintf(bed->dir, sizeof bed->dir, "/tmp/livy-ha-overlay.XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->user, sizeof bed->user, "%s/it's `the` $user\"s", bed->dir);
    snprintf(bed->runtime, sizeof bed->runtime, "%s/run", bed->dir);
    snprintf(bed->log, sizeof bed->log, "%s/var/log/livy", bed->dir);
    assert_int_equal(mkdir(bed->user, 0755), 0);
    assert_int_equal(mkdir(bed->runtime, 0755), 0);
    write_file(bed->user, "livy.conf", YARN);
    bed->conf.zookeeper.hosts = "zk1:2181";
    bed->conf.runtime_dir = bed->runtime;
    bed->conf.livy.conf_dir = bed->user;
    bed->conf.livy.log_dir = bed->log;
    bed->conf.livy.port = 18998;
    bed->conf.livy.recovery = true;
    bed->conf.front.listen = "off";
    bed->envp[0] = "SPARK_HOME=/opt/spark";
    livyconf_overlay_path(&bed->conf, bed->overlay, sizeof bed->overlay);
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;

    livyconf_free(bed->livyconf);
    conf_report_clear(&bed->report);
    remove_all(bed->dir);
    free(bed);
    return 0;
}

static void load(struct bed *bed)
{
    livyconf_free(bed->livyconf);
    bed->livyconf = livyconf_load(&bed->conf, bed->envp, &bed->report);
    assert_non_null(bed->livyconf);
}

static int build(struct bed *bed)
{
    bed->why[0] = '\0';
    return livyconf_overlay(&bed->conf, bed->livyconf, 10000, bed->first != NULL ? bed->first : "",
                            bed->options != NULL ? bed->options : "", bed->why, sizeof bed->why);
}

static void build_good(struct bed *bed)
{
    load(bed);
    if (build(bed) != 0)
        fail_msg("%s", bed->why);
    assert_int_equal(look(bed->runtime, "livy-conf.new").st_mode, 0);
}

static void expect_refused(struct bed *bed, const char *part, const char *other)
{
    assert_int_equal(build(bed), -1);
    if (strstr(bed->why, part) == NULL || strstr(bed->why, other) == NULL)
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", bed->why, part, other);
    assert_int_equal(look(bed->runtime, "livy-conf.new").st_mode, 0);
}

/* ---- livy.conf and the links --------------------------------------------------------------------------- */

static void test_livy_conf_is_the_users_and_ours(void **state)
{
    struct bed *bed = *state;
    char *text;

    write_file(bed->user, "livy.conf",
               YARN "livy.server.port = 8998\nx = 1\\"); /* ends in the middle of a line */
    build_good(bed);
    text = read_file(bed->overlay, "livy.conf");
    assert_non_null(text);
    assert_memory_equal(text, YARN "livy.server.port = 8998\nx = 1\\", strlen(YARN) + 30);
    assert_string_equal(text + strlen(YARN) + 30, bed->livyconf->additions);
    struct props *props = props_parse(text, strlen(text));
    assert_non_null(props);
    assert_string_equal(props_get(props, "livy.server.port", NULL), "18998");
    assert_string_equal(props_get(props, "livy.server.zookeeper.url", NULL), "zk1:2181");
    assert_string_equal(props_get(props, "x", NULL), "1");
    props_free(props);
    free(text);
}

static void test_modes(void **state)
{
    struct bed *bed = *state;
    mode_t mask = umask(0);

    build_good(bed);
    umask(mask);
    assert_int_equal(look(bed->runtime, "livy-conf").st_mode, S_IFDIR | 0700);
    assert_int_equal(look(bed->overlay, "livy.conf").st_mode, S_IFREG | 0600);
    assert_int_equal(look(bed->overlay, "livy-env.sh").st_mode, S_IFREG | 0600);
    assert_int_equal(look(bed->log, ".").st_mode, S_IFDIR | 0750);
}

static void expect_link(struct bed *bed, const char *name)
{
    char path[512];
    char target[512] = "";
    char expected[512];

    snprintf(path, sizeof path, "%s/%s", bed->overlay, name);
    snprintf(expected, sizeof expected, "%s/%s", bed->user, name);
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    assert_string_equal(target, expected);
}

static void test_links_to_all_else(void **state)
{
    struct bed *bed = *state;
    char path[512];

    write_file(bed->user, "livy-client.conf", "a = b\n");
    write_file(bed->user, ".hidden", "");
    write_file(bed->user, "livy.conf.template", "");
    snprintf(path, sizeof path, "%s/sub", bed->user);
    assert_int_equal(mkdir(path, 0755), 0);
    write_file(path, "inner", "");
    snprintf(path, sizeof path, "%s/dangling", bed->user);
    assert_int_equal(symlink("/no/such", path), 0);
    build_good(bed);
    expect_link(bed, "livy-client.conf");
    expect_link(bed, ".hidden");
    expect_link(bed, "livy.conf.template");
    expect_link(bed, "sub");
    expect_link(bed, "dangling");
}

static void test_missing_livy_conf(void **state)
{
    struct bed *bed = *state;
    char path[512];
    char *text;

    snprintf(path, sizeof path, "%s/livy.conf", bed->user);
    assert_int_equal(unlink(path), 0);
    bed->conf.livy.recovery = false;
    build_good(bed);
    text = read_file(bed->overlay, "livy.conf");
    assert_non_null(text);
    assert_string_equal(text, bed->livyconf->additions);
    free(text);
}

/* ---- livy-env.sh --------------------------------------------------------------------------------------- */

/* What a shell has in `variable`, exported, after it has sourced the overlay's livy-env.sh. */
static void expect_env(struct bed *bed, const char *shell, const char *variable, const char *expected)
{
    char command[512];
    char got[1024] = "";
    size_t length;
    FILE *pipe;

    snprintf(command, sizeof command,
             "env -i PATH=/usr/bin:/bin LIVY_CONF_DIR='%s' %s -c '. %s/livy-env.sh; env'", "/elsewhere",
             shell, bed->overlay);
    pipe = popen(command, "re");
    assert_non_null(pipe);
    bool found = false;
    while (!found && fgets(got, sizeof got, pipe) != NULL) {
        length = strlen(variable);
        if (strncmp(got, variable, length) == 0 && got[length] == '=') {
            got[strcspn(got, "\n")] = '\0';
            assert_string_equal(got + length + 1, expected);
            found = true;
        }
    }
    (void)pclose(pipe); /* env may have met a closed pipe */
    if (!found)
        fail_msg("%s exports no %s", shell, variable);
}

static void test_env_appends_to_the_users(void **state)
{
    static const char *const shells[] = {"sh -eu", "bash -eu", "bash"};
    struct bed *bed = *state;

    write_file(bed->user, "livy-env.sh", "LIVY_SERVER_JAVA_OPTS=\"-Xmx1g -Da=b\"\nexport OTHER=1\n");
    build_good(bed);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        expect_env(bed, shells[i], "LIVY_SERVER_JAVA_OPTS",
                   "-Xmx1g -Da=b -Dcurator-default-session-timeout=10000");
        expect_env(bed, shells[i], "OTHER", "1");
        expect_env(bed, shells[i], "LIVY_CONF_DIR", bed->overlay);
    }
}

static void test_env_with_the_guards_option(void **state)
{
    struct bed *bed = *state;

    bed->options = " -agentpath:/usr/libexec/livy-ha/liblivy-ha-gate.so=channel=65,page=64";
    build_good(bed);
    expect_env(bed, "sh -eu", "LIVY_SERVER_JAVA_OPTS",
               " -Dcurator-default-session-timeout=10000 "
               "-agentpath:/usr/libexec/livy-ha/liblivy-ha-gate.so=channel=65,page=64");
}

/* Of two that say the same, Java takes the last one: the user's. */
static void test_env_with_what_the_user_may_overrule(void **state)
{
    struct bed *bed = *state;

    bed->first = "-XX:SharedArchiveFile=/run/livy-ha/class-data/livy.jsa ";
    write_file(bed->user, "livy-env.sh", "LIVY_SERVER_JAVA_OPTS=-XX:SharedArchiveFile=/own\n");
    build_good(bed);
    expect_env(bed, "sh -eu", "LIVY_SERVER_JAVA_OPTS",
               "-XX:SharedArchiveFile=/run/livy-ha/class-data/livy.jsa -XX:SharedArchiveFile=/own "
               "-Dcurator-default-session-timeout=10000");
}

static void test_env_without_the_users(void **state)
{
    struct bed *bed = *state;

    build_good(bed);
    expect_env(bed, "sh -eu", "LIVY_SERVER_JAVA_OPTS", " -Dcurator-default-session-timeout=10000");
    expect_env(bed, "bash -eu", "LIVY_LOG_DIR", bed->log);
}

/* Livy in the foreground ends where its log directory is missing, whoever has named that directory. */
static void test_env_makes_the_users_log_dir(void **state)
{
    struct bed *bed = *state;
    char text[256];
    char logs[128];

    snprintf(logs, sizeof logs, "%s/my/logs", bed->dir);
    snprintf(text, sizeof text, "LIVY_LOG_DIR=%s\n", logs);
    write_file(bed->user, "livy-env.sh", text);
    build_good(bed);
    expect_env(bed, "sh -eu", "LIVY_LOG_DIR", logs);
    assert_true(S_ISDIR(look(logs, ".").st_mode));
}

/* The scan of livy-env.sh cannot see into files that it sources. */
static void test_env_keeps_livy_on_the_overlay(void **state)
{
    struct bed *bed = *state;
    char text[256];

    write_file(bed->dir, "indirect.sh", "LIVY_CONF_DIR=/etc/livy\n");
    snprintf(text, sizeof text, ". %s/indirect.sh\n", bed->dir);
    write_file(bed->user, "livy-env.sh", text);
    build_good(bed);
    expect_env(bed, "sh", "LIVY_CONF_DIR", bed->overlay);
}

/* ---- building anew ------------------------------------------------------------------------------------- */

static void test_old_one_is_replaced(void **state)
{
    struct bed *bed = *state;
    char path[512];
    char *text;

    write_file(bed->user, "gone.conf", "");
    build_good(bed);
    snprintf(path, sizeof path, "%s/gone.conf", bed->user);
    assert_int_equal(unlink(path), 0);
    write_file(bed->overlay, "stray", "");
    snprintf(path, sizeof path, "%s/stray-dir", bed->overlay);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(path, "inner", "");
    write_file(bed->user, "livy.conf", YARN "new = 1\n");
    build_good(bed);
    assert_int_equal(look(bed->overlay, "gone.conf").st_mode, 0);
    assert_int_equal(look(bed->overlay, "stray").st_mode, 0);
    assert_int_equal(look(bed->overlay, "stray-dir").st_mode, 0);
    text = read_file(bed->overlay, "livy.conf");
    assert_non_null(strstr(text, "new = 1\n"));
    free(text);
}

static void test_removal_follows_no_link(void **state)
{
    struct bed *bed = *state;
    char path[512];
    char *text;

    snprintf(path, sizeof path, "%s/sub", bed->user);
    assert_int_equal(mkdir(path, 0755), 0);
    write_file(path, "precious", "kept");
    build_good(bed);
    build_good(bed);
    text = read_file(path, "precious");
    assert_non_null(text);
    assert_string_equal(text, "kept");
    free(text);
}

/* A link in the overlay's place is removed, what it leads to is not. */
static void test_link_in_its_place(void **state)
{
    struct bed *bed = *state;
    char other[128];
    char *text;

    snprintf(other, sizeof other, "%s/other", bed->dir);
    assert_int_equal(mkdir(other, 0755), 0);
    write_file(other, "precious", "kept");
    assert_int_equal(symlink(other, bed->overlay), 0);
    build_good(bed);
    assert_true(S_ISDIR(look(bed->runtime, "livy-conf").st_mode));
    text = read_file(other, "precious");
    assert_non_null(text);
    free(text);
}

static void test_leftover_of_a_broken_start(void **state)
{
    struct bed *bed = *state;
    char path[512];

    snprintf(path, sizeof path, "%s/livy-conf.new", bed->runtime);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(path, "livy.conf", "half");
    build_good(bed);
    write_file(bed->runtime, "livy-conf.new", "a file");
    build_good(bed);
}

static void test_users_directory_is_not_written_to(void **state)
{
    struct bed *bed = *state;
    struct stat before;
    struct stat after;
    char *text;

    write_file(bed->user, "livy-env.sh", "A=1\n");
    before = look(bed->user, ".");
    build_good(bed);
    after = look(bed->user, ".");
    assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    text = read_file(bed->user, "livy.conf");
    assert_string_equal(text, YARN);
    free(text);
    text = read_file(bed->user, "livy-env.sh");
    assert_string_equal(text, "A=1\n");
    free(text);
}

/* ---- refusals ------------------------------------------------------------------------------------------ */

static void test_edit_of_the_store_since_it_was_checked(void **state)
{
    static const struct {
        const char *edit;
        const char *key;
    } edits[] = {
        {"livy.server.recovery.mode = off\n", "livy.server.recovery.mode"},
        {"livy.server.recovery.state-store = filesystem\n", "livy.server.recovery.state-store "},
        {"livy.server.zookeeper.url = other:2181\n", "livy.server.zookeeper.url"},
        {"livy.server.recovery.zk-state-store.key-prefix = x\n", "key-prefix"},
    };
    struct bed *bed = *state;
    char text[512];

    snprintf(text, sizeof text,
             YARN "livy.server.recovery.mode=recovery\nlivy.server.recovery.state-store=zookeeper\n"
                  "livy.server.recovery.state-store.url=zk1:2181\nlivy.server.zookeeper.url=zk1:2181\n");
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        char edited[1024];
        write_file(bed->user, "livy.conf", text);
        build_good(bed);
        snprintf(edited, sizeof edited, "%s%s", text, edits[i].edit);
        write_file(bed->user, "livy.conf", edited);
        expect_refused(bed, "was edited since", edits[i].key);
    }
    write_file(bed->user, "livy.conf", "x = \\u12\n");
    expect_refused(bed, "hexadecimal", bed->user);
    /* Any other edit is the user's right. */
    write_file(bed->user, "livy.conf", text);
    load(bed);
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "livy.server.session.timeout = 2h\nlivy.server.port = 1\n");
    write_file(bed->user, "livy.conf", text);
    assert_int_equal(build(bed), 0);
}

/* Keys that were lacking when livy.conf was checked are ours: what is put there later does not beat them. */
static void test_edit_of_what_was_added(void **state)
{
    struct bed *bed = *state;
    char *text;
    struct props *props;

    load(bed);
    write_file(bed->user, "livy.conf",
               YARN "livy.server.recovery.mode = off\nlivy.server.zookeeper.url = x:1\n");
    assert_int_equal(build(bed), 0);
    text = read_file(bed->overlay, "livy.conf");
    assert_non_null(text);
    props = props_parse(text, strlen(text));
    assert_non_null(props);
    assert_string_equal(props_get(props, "livy.server.recovery.mode", NULL), "recovery");
    assert_string_equal(props_get(props, "livy.server.zookeeper.url", NULL), "zk1:2181");
    props_free(props);
    free(text);
}

static void test_directory_gone(void **state)
{
    struct bed *bed = *state;
    char moved[160];

    load(bed);
    snprintf(moved, sizeof moved, "%s/moved", bed->dir);
    assert_int_equal(rename(bed->user, moved), 0);
    expect_refused(bed, bed->user, "No such file or directory; set livy.conf_dir");
}

static void test_unreadable_livy_conf(void **state)
{
    struct bed *bed = *state;
    char path[512];

    load(bed);
    snprintf(path, sizeof path, "%s/livy.conf", bed->user);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    expect_refused(bed, path, "Is a directory");
}

static void test_own_overlay_as_the_users_directory(void **state)
{
    struct bed *bed = *state;
    char *text;

    build_good(bed);
    bed->conf.livy.conf_dir = bed->overlay;
    expect_refused(bed, "livy-ha's own copy", "livy.conf_dir");
    text = read_file(bed->overlay, "livy.conf"); /* and it is still there */
    assert_non_null(text);
    free(text);
}

static void test_entries_are_bounded(void **state)
{
    struct bed *bed = *state;
    char path[512];

    load(bed);
    for (int i = 0; i < 4097; i++) {
        snprintf(path, sizeof path, "%s/%d", bed->user, i);
        assert_int_equal(symlink("x", path), 0);
    }
    expect_refused(bed, "more than 4096 entries", "livy.conf_dir");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(build(bed), 0);
}

static void test_runtime_dir(void **state)
{
    static const char bad[] = " \t:*?[\\";
    struct bed *bed = *state;
    char path[160];

    load(bed);
    for (size_t i = 0; bad[i] != '\0'; i++) {
        snprintf(path, sizeof path, "%s/a%cb", bed->dir, bad[i]);
        bed->conf.runtime_dir = path;
        expect_refused(bed, path, "set runtime_dir");
    }
    snprintf(path, sizeof path, "%s/none", bed->dir);
    expect_refused(bed, path, "No such file or directory; make it, or set runtime_dir");
}

static void test_log_dir(void **state)
{
    struct bed *bed = *state;
    char path[160];

    load(bed);
    write_file(bed->dir, "file", "");
    snprintf(path, sizeof path, "%s/file/logs/livy", bed->dir);
    bed->conf.livy.log_dir = path;
    expect_refused(bed, path, "Not a directory; set livy.log_dir");
    snprintf(path, sizeof path, "%s/file", bed->dir);
    expect_refused(bed, path, "Not a directory; set livy.log_dir");
    snprintf(path, sizeof path, "%s//logs/x/", bed->dir);
    assert_int_equal(build(bed), 0);
    assert_int_equal(look(path, ".").st_mode, S_IFDIR | 0750);
    assert_int_equal(build(bed), 0); /* one that exists is good as it is */
}

static void test_session_time_out_fits_curator(void **state)
{
    struct bed *bed = *state;

    load(bed);
    assert_int_equal(livyconf_overlay(&bed->conf, bed->livyconf, 0, "", "", bed->why, sizeof bed->why), -1);
    assert_non_null(strstr(bed->why, "zookeeper.session_timeout"));
    assert_int_equal(
        livyconf_overlay(&bed->conf, bed->livyconf, INT64_C(1) << 31, "", "", bed->why, sizeof bed->why), -1);
}

static int count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    assert_int_equal(closedir(dir), 0);
    return count;
}

/* Descriptors must not pile up: the daemon builds an overlay at each start of Livy. */
static void test_no_descriptor_is_left_open(void **state)
{
    struct bed *bed = *state;
    int before = count_descriptors();

    build_good(bed);
    build_good(bed);
    assert_int_equal(count_descriptors(), before);
    write_file(bed->user, "livy.conf", "x = \\u12\n");
    expect_refused(bed, "hexadecimal", bed->user);
    assert_int_equal(count_descriptors(), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_bed, clear_bed)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_livy_conf_is_the_users_and_ours),
        TEST(test_modes),
        TEST(test_links_to_all_else),
        TEST(test_missing_livy_conf),
        TEST(test_env_appends_to_the_users),
        TEST(test_env_with_the_guards_option),
        TEST(test_env_with_what_the_user_may_overrule),
        TEST(test_env_without_the_users),
        TEST(test_env_makes_the_users_log_dir),
        TEST(test_env_keeps_livy_on_the_overlay),
        TEST(test_old_one_is_replaced),
        TEST(test_removal_follows_no_link),
        TEST(test_link_in_its_place),
        TEST(test_leftover_of_a_broken_start),
        TEST(test_users_directory_is_not_written_to),
        TEST(test_edit_of_the_store_since_it_was_checked),
        TEST(test_edit_of_what_was_added),
        TEST(test_directory_gone),
        TEST(test_unreadable_livy_conf),
        TEST(test_own_overlay_as_the_users_directory),
        TEST(test_entries_are_bounded),
        TEST(test_runtime_dir),
        TEST(test_log_dir),
        TEST(test_session_time_out_fits_curator),
        TEST(test_no_descriptor_is_left_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
