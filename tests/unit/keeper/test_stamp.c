/* test_stamp.c - what of Livy's files counts as changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "stamp.h"

struct bed {
    char root[64], conf_dir[96], home[96], command[128];
    struct conf conf;
};

static void put(const struct bed *bed, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", bed->root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void make(const struct bed *bed, const char *name)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", bed->root, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    snprintf(bed->root, sizeof(bed->root), "/tmp/livy-ha-stamp-XXXXXX");
    assert_non_null(mkdtemp(bed->root));
    snprintf(bed->conf_dir, sizeof(bed->conf_dir), "%s/conf", bed->root);
    snprintf(bed->home, sizeof(bed->home), "%s/home", bed->root);
    snprintf(bed->command, sizeof(bed->command), "%s/run", bed->root);
    bed->conf.livy.conf_dir = bed->conf_dir;
    bed->conf.livy.home = bed->home;
    bed->conf.livy.command = bed->command;
    make(bed, "conf");
    make(bed, "home");
    make(bed, "home/jars");
    make(bed, "home/logs");
    put(bed, "run", "#!/bin/sh");
    put(bed, "conf/livy.conf", "a = b");
    put(bed, "home/jars/a.jar", "x");
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[128];

    snprintf(command, sizeof(command), "rm -r %s", bed->root);
    int rc = system(command);
    free(bed);
    return rc;
}

static struct hcore_stamp look(const struct bed *bed)
{
    struct hcore_stamp stamp;
    char why[256] = "";

    assert_int_equal(stamp_make(&bed->conf, &stamp, why, sizeof(why)), 0);
    return stamp;
}

static void test_changes(void **state)
{
    const struct bed *bed = *state;
    static const struct {
        const char *name, *text;
        bool conf, jars;
    } changes[] = {
        {"conf/livy.conf", "a = longer", true, false}, {"conf/livy-env.sh", "new", true, false},
        {"home/jars/a.jar", "another", false, true},   {"home/jars/b.jar", "new", false, true},
        {"run", "#!/bin/bash", false, true},           {"home/logs/livy.log", "no matter", false, false},
    };
    struct hcore_stamp before = look(bed);

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct hcore_stamp same = look(bed);
        assert_true(same.conf == before.conf && same.jars == before.jars);
        put(bed, changes[i].name, changes[i].text);
        struct hcore_stamp after = look(bed);
        assert_true((after.conf != before.conf) == changes[i].conf);
        assert_true((after.jars != before.jars) == changes[i].jars);
        before = after;
    }
    make(bed, "home/rsc-jars");
    put(bed, "home/rsc-jars/c.jar", "new");
    assert_true(look(bed).jars != before.jars);
}

/* Where a link leads is what Livy reads. */
static void test_links(void **state)
{
    const struct bed *bed = *state;
    char link[256];

    put(bed, "elsewhere", "1");
    snprintf(link, sizeof(link), "%s/log4j.properties", bed->conf_dir);
    assert_int_equal(symlink("../elsewhere", link), 0);
    struct hcore_stamp before = look(bed);
    put(bed, "elsewhere", "12");
    assert_true(look(bed).conf != before.conf);
}

static bool by_child(const struct bed *bed, struct hcore_stamp *stamp, char *why, size_t size)
{
    struct child child;

    assert_int_equal(stamp_begin(&bed->conf, &child, why, size), 0);
    struct pollfd end = {.fd = child.pidfd, .events = POLLIN};
    assert_int_equal(poll(&end, 1, 60000), 1);
    bool got = stamp_read(&child, stamp, why, size);
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
    child_forget(&child);
    return got;
}

static void test_in_a_child(void **state)
{
    struct bed *bed = *state;
    struct hcore_stamp stamp, own = look(bed);
    char why[256] = "", missing[128];

    assert_true(by_child(bed, &stamp, why, sizeof(why)));
    assert_true(stamp.conf == own.conf && stamp.jars == own.jars);
    snprintf(missing, sizeof(missing), "%s/missing", bed->root);
    bed->conf.livy.conf_dir = missing;
    assert_false(by_child(bed, &stamp, why, sizeof(why)));
    assert_non_null(strstr(why, "livy.conf_dir cannot be read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_a_child, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
