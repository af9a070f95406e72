/* livyconf_bed.h - a directory with a livy.conf, a configuration made by hand, and what the tests of livyconf
 * expect of a load. Include it after <cmocka.h>.
 */
#ifndef LIVY_HA_TEST_LIVYCONF_BED_H
#define LIVY_HA_TEST_LIVYCONF_BED_H

#include "../../../src/common/livyconf_internal.h"
#include "files.h"

#define YARN "livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n" /* lines 1 and 2 */

struct bed {
    char dir[64];
    char file[96];
    char env[96];
    struct conf conf;
    char *envp[2];
    struct conf_report report;
    struct livyconf *livyconf;
};

static inline int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof *bed);

    assert_non_null(bed);
    snprintf(bed->dir, sizeof bed->dir, "/tmp/livy-ha-livyconf.XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->file, sizeof bed->file, "%s/livy.conf", bed->dir);
    snprintf(bed->env, sizeof bed->env, "%s/livy-env.sh", bed->dir);
    bed->conf.zookeeper.hosts = "zk1:2181, zk2:2181/chroot";
    bed->conf.livy.conf_dir = bed->dir;
    bed->conf.livy.port = 18998;
    bed->conf.livy.recovery = true;
    bed->conf.front.listen = "off";
    bed->envp[0] = "SPARK_HOME=/opt/spark";
    *state = bed;
    return 0;
}

static inline void forget(struct bed *bed)
{
    livyconf_free(bed->livyconf);
    bed->livyconf = NULL;
    conf_report_clear(&bed->report);
}

static inline int clear_bed(void **state)
{
    struct bed *bed = *state;

    forget(bed);
    remove_all(bed->dir);
    free(bed);
    return 0;
}

static inline void load(struct bed *bed, const char *text)
{
    forget(bed);
    if (text != NULL)
        write_file(bed->dir, "livy.conf", text);
    bed->livyconf = livyconf_load(&bed->conf, bed->envp, &bed->report);
    assert_int_equal(bed->livyconf == NULL, bed->report.n_errors > 0);
}

static inline void show(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        print_message("  %s\n", list[i]);
}

/* The load went well, with no warning but `warnings` many. */
static inline void expect_good(struct bed *bed, size_t warnings)
{
    if (bed->report.n_errors != 0 || bed->report.n_warnings != warnings) {
        show(bed->report.errors, bed->report.n_errors);
        show(bed->report.warnings, bed->report.n_warnings);
    }
    assert_int_equal(bed->report.n_errors, 0);
    assert_int_equal(bed->report.n_warnings, warnings);
}

static inline void expect_in(char **list, size_t count, const char *part)
{
    for (size_t i = 0; i < count; i++) {
        if (strstr(list[i], part) != NULL)
            return;
    }
    show(list, count);
    fail_msg("no message has \"%s\" in it", part);
}

/* Exactly one error, and `part` and `other` are in it. */
static inline void expect_error(struct bed *bed, const char *part, const char *other)
{
    if (bed->report.n_errors != 1)
        show(bed->report.errors, bed->report.n_errors);
    assert_int_equal(bed->report.n_errors, 1);
    expect_in(bed->report.errors, 1, part);
    expect_in(bed->report.errors, 1, other);
}

static inline void expect_warning(struct bed *bed, const char *part)
{
    expect_in(bed->report.warnings, bed->report.n_warnings, part);
}

/* The additions set exactly these keys; `lines` is what follows the comment. */
static inline void expect_additions(struct bed *bed, const char *lines)
{
    const char *additions = bed->livyconf->additions;
    const char *end;

    assert_memory_equal(additions, "\n\n# Appended by livy-ha", 23);
    end = strchr(additions + 2, '\n');
    assert_non_null(end);
    assert_string_equal(end + 1, lines);
}

static inline void expect_fingerprint(struct bed *bed, const char *expected)
{
    char *fingerprint = livyconf_fingerprint(bed->livyconf);

    assert_non_null(fingerprint);
    assert_string_equal(fingerprint, expected);
    free(fingerprint);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_bed, clear_bed)

#endif
