/* test_cds_fit.c - whether an archive fits, by what it was made of; and who may write where it lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cds_fit.h"
#include "cds_make.h"
#include "child_internal.h"

struct bed {
    char root[64], conf_dir[96], option[PATH_MAX + 64], why[256];
    struct conf conf;
    struct cds_inputs inputs;
    int directory;
};

static void path_of(const struct bed *bed, const char *name, char path[static 256])
{
    snprintf(path, 256, "%s/%s", bed->root, name);
}

static void put(const struct bed *bed, const char *name, const char *text)
{
    char path[256];

    path_of(bed, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void make(const struct bed *bed, const char *name)
{
    char path[256];

    path_of(bed, name, path);
    assert_int_equal(mkdir(path, 0755), 0);
}

/* An archive that fits. */
static void install(struct bed *bed)
{
    put(bed, "class-data/livy.jsa", "archive");
    char *text = cds_fit_describe(&bed->conf, &bed->inputs, bed->directory, bed->why, sizeof(bed->why));
    assert_non_null(text);
    assert_int_equal(cds_fit_write(bed->directory, text), 0);
    free(text);
}

static int set_up(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    snprintf(bed->root, sizeof(bed->root), "/tmp/livy-ha-cds-XXXXXX");
    assert_non_null(mkdtemp(bed->root));
    snprintf(bed->conf_dir, sizeof(bed->conf_dir), "%s/conf", bed->root);
    bed->conf.livy.conf_dir = bed->conf_dir;
    bed->conf.runtime_dir = bed->root;
    make(bed, "conf");
    make(bed, "jars");
    put(bed, "java", "java");
    put(bed, "libjvm.so", "jvm");
    put(bed, "one.jar", "1");
    put(bed, "jars/a.jar", "a");
    put(bed, "jars/b.jar", "b");
    put(bed, "jars/README", "no jar");
    snprintf(bed->inputs.java, sizeof(bed->inputs.java), "%s/java", bed->root);
    snprintf(bed->inputs.jvm, sizeof(bed->inputs.jvm), "%s/libjvm.so", bed->root);
    snprintf(bed->inputs.path, sizeof(bed->inputs.path), "%s/one.jar:%s/jars/*", bed->root, bed->root);
    assert_int_equal(setenv("JAVA_HOME", "/jdk", 1), 0);
    bed->directory = cds_fit_open(&bed->conf, true, bed->why, sizeof(bed->why));
    assert_true(bed->directory >= 0);
    *state = bed;
    return 0;
}

static int tear_down(void **state)
{
    struct bed *bed = *state;
    char command[128];

    close(bed->directory);
    snprintf(command, sizeof(command), "rm -r %s", bed->root);
    int rc = system(command);
    free(bed);
    return rc;
}

static enum cds_fit check(struct bed *bed)
{
    return cds_fit_check(&bed->conf, bed->directory, bed->why, sizeof(bed->why));
}

static void fits_not(struct bed *bed, const char *why)
{
    assert_int_equal(check(bed), CDS_FIT_NOT);
    if (strstr(bed->why, why) == NULL)
        print_message("it said: %s\n", bed->why);
    assert_non_null(strstr(bed->why, why));
    install(bed);
    assert_int_equal(check(bed), CDS_FIT_GOOD);
}

static void test_what_has_changed(void **state)
{
    struct bed *bed = *state;
    char path[256];

    assert_int_equal(check(bed), CDS_FIT_NONE);
    install(bed);
    assert_int_equal(check(bed), CDS_FIT_GOOD);
    put(bed, "jars/README", "no matter");
    put(bed, "conf/livy.conf", "no matter");
    assert_int_equal(check(bed), CDS_FIT_GOOD);
    put(bed, "jars/a.jar", "aa");
    fits_not(bed, "/jars/a.jar has changed");
    put(bed, "jars/c.jar", "c");
    fits_not(bed, "/jars/c.jar is new");
    path_of(bed, "jars/b.jar", path);
    assert_int_equal(unlink(path), 0);
    fits_not(bed, "/jars/b.jar is gone");
    put(bed, "one.jar", "12");
    fits_not(bed, "/one.jar has changed");
    put(bed, "java", "java 2");
    fits_not(bed, "/java has changed");
    put(bed, "libjvm.so", "jvm 2");
    fits_not(bed, "/libjvm.so has changed");
    put(bed, "conf/livy-env.sh", "JAVA_HOME=/other");
    fits_not(bed, "/conf/livy-env.sh has changed");
    put(bed, "class-data/livy.jsa", "archive, and more");
    fits_not(bed, "livy.jsa has changed");
    assert_int_equal(setenv("JAVA_HOME", "/other", 1), 0);
    fits_not(bed, "JAVA_HOME is another one");
}

static void test_another_order(void **state)
{
    char what[128];

    (void)state;
    assert_true(cds_fit_differs("1 2 3 /a\n1 2 4 /b\n", "1 2 4 /b\n1 2 3 /a\n", what, sizeof(what)));
    assert_string_equal(what, "the order of the class path is another one");
    assert_true(cds_fit_differs("", "1 2 3 /a\n", what, sizeof(what)));
    assert_string_equal(what, "/a is new");
    assert_true(cds_fit_differs("1 2 3 /a\n1 2 3 /a b\n", "1 2 3 /a\n", what, sizeof(what)));
    assert_string_equal(what, "/a b is gone");
    assert_true(cds_fit_differs("nonsense", "\n\n", what, sizeof(what)));
    assert_false(cds_fit_differs("1 2 3 /a\n", "1 2 3 /a\n", what, sizeof(what)));
}

static void test_a_text_that_is_none_of_ours(void **state)
{
    struct bed *bed = *state;
    static const char *const texts[] = {"",
                                        "\n",
                                        "livy-ha class data 9\njava a\njvm b\npath c\n",
                                        "livy-ha class data 2\n",
                                        "livy-ha class data 2\njava a\njvm b\n",
                                        "livy-ha class data 2\njava a\njvm b\npath ",
                                        "livy-ha class data 2\njava \njvm b\npath c\n",
                                        "livy-ha class data 2\njvm b\njava a\npath c\n"};
    struct cds_inputs *inputs = calloc(1, sizeof(*inputs));
    char *huge = calloc(1, (size_t)3 * PATH_MAX);

    assert_non_null(inputs);
    assert_non_null(huge);
    install(bed);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(cds_fit_inputs(texts[i], inputs));
        put(bed, "class-data/made-of", texts[i]);
        fits_not(bed, "none of ours");
    }
    memset(huge, 'x', (size_t)3 * PATH_MAX - 1);
    memcpy(huge, "livy-ha class data 2\njava ", 26);
    memcpy(huge + (size_t)2 * PATH_MAX, "\njvm b\npath c\n", 15);
    assert_false(cds_fit_inputs(huge, inputs));
    assert_true(cds_fit_inputs("livy-ha class data 2\njava a\njvm b\npath c\n", inputs));
    free(huge);
    free(inputs);
}

/* What others could have put there is not followed. */
static void test_links_and_foreign_files(void **state)
{
    struct bed *bed = *state;
    char path[256], other[256];

    install(bed);
    path_of(bed, "class-data/livy.jsa", path);
    path_of(bed, "elsewhere", other);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(check(bed), CDS_FIT_NOT);
    assert_int_equal(unlink(path), 0);
    install(bed);
    path_of(bed, "class-data/made-of", path);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(check(bed), CDS_FIT_NOT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes there: opening it must not wait */
    assert_int_equal(check(bed), CDS_FIT_NOT);
    path_of(bed, "class-data", path);
    assert_int_equal(chmod(path, 0770), 0);
    assert_int_equal(cds_fit_open(&bed->conf, true, bed->why, sizeof(bed->why)), -1);
    assert_non_null(strstr(bed->why, "is not this user's own"));
    assert_int_equal(chmod(path, 0700), 0);
    path_of(bed, "moved", other);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(cds_fit_open(&bed->conf, true, bed->why, sizeof(bed->why)), -1);
    assert_string_not_equal(bed->why, "");
}

static const char *option(struct bed *bed, enum cds_use use)
{
    cds_fit_option(&bed->conf, use, bed->option, sizeof(bed->option));
    return bed->option;
}

static bool is_there(const struct bed *bed, const char *name)
{
    return faccessat(bed->directory, name, F_OK, 0) == 0;
}

static void test_the_option(void **state)
{
    struct bed *bed = *state;
    char expected[256];

    assert_string_equal(option(bed, CDS_USE), "");
    install(bed);
    snprintf(expected, sizeof(expected),
             "-XX:+UnlockDiagnosticVMOptions -XX:SharedArchiveFile=%s/class-data/livy.jsa ", bed->root);
    assert_string_equal(option(bed, CDS_USE), expected);
    assert_string_equal(option(bed, CDS_USE_NOT), "");
    assert_true(is_there(bed, "livy.jsa") && is_there(bed, "made-of"));
    put(bed, "jars/a.jar", "aa");
    assert_string_equal(option(bed, CDS_USE), "");
    assert_false(is_there(bed, "livy.jsa") || is_there(bed, "made-of"));
    install(bed);
    assert_string_equal(option(bed, CDS_DROP), "");
    assert_false(is_there(bed, "livy.jsa") || is_there(bed, "made-of"));
    bed->conf.runtime_dir = "/tmp/$HOME";
    assert_string_equal(option(bed, CDS_USE), "");
}

/* Each of them counts that was begun and has not been seen to end, up to a bound. */
static void test_attempts(void **state)
{
    struct bed *bed = *state;

    install(bed);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CDS_FAILURES + 2; i++)
            assert_int_equal(cds_fit_begin(bed->directory), i < CDS_FAILURES ? i : CDS_FAILURES);
        cds_fit_ended(bed->directory);
        assert_false(is_there(bed, CDS_BEGUN));
    }
    assert_int_equal(symlinkat("elsewhere", bed->directory, CDS_BEGUN), 0);
    assert_int_equal(cds_fit_begin(bed->directory), -1);
    cds_fit_ended(bed->directory);
}

/* In no file: what is in the environment goes to Java as well. */
static void test_options_of_the_environment(void **state)
{
    struct bed *bed = *state;

    install(bed);
    assert_string_not_equal(option(bed, CDS_USE), "");
    assert_int_equal(setenv("JAVA_TOOL_OPTIONS", "-XX:+UseZGC", 1), 0);
    assert_string_equal(option(bed, CDS_USE), "");
    assert_int_equal(unsetenv("JAVA_TOOL_OPTIONS"), 0);
}

/* ---- who makes it -------------------------------------------------------------------------------------- */

static void make_of(struct bed *bed, const struct child *livy, struct cds_answer *answer)
{
    struct child maker;
    int status;

    assert_int_equal(cds_make_begin(&bed->conf, livy, CDS_USE, &maker, bed->why, sizeof(bed->why)), 0);
    assert_int_equal(waitpid(maker.pid, &status, 0), maker.pid);
    cds_make_read(&maker, answer);
    child_forget(&maker);
}

static void test_out_of_what_is_no_java(void **state)
{
    struct bed *bed = *state;
    struct cds_answer answer;
    struct child livy = {.pid = fork()};

    if (livy.pid == 0) {
        execl("/bin/sleep", "sleep", "60", (char *)NULL);
        _exit(127);
    }
    livy.pidfd = child_open_pidfd(livy.pid);
    assert_true(livy.pidfd >= 0);
    make_of(bed, &livy, &answer);
    assert_int_equal(answer.outcome, CDS_OUTCOME_CANNOT);
    assert_non_null(strstr(answer.text, "which is no Java"));
    assert_int_equal(kill(livy.pid, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)livy.pid, &info, WEXITED | WNOWAIT), 0);
    make_of(bed, &livy, &answer);
    assert_int_equal(answer.outcome, CDS_OUTCOME_FAILED);
    assert_non_null(strstr(answer.text, "has ended"));
    assert_int_equal(waitpid(livy.pid, NULL, 0), livy.pid);
    close(livy.pidfd);
}

static void test_the_list(void **state)
{
    struct bed *bed = *state;
    char path[256], text[256];

    put(bed, "livy-classes", "java.lang.Object\n[B\norg.apache.livy.Main$1\nbad line\nhalf");
    path_of(bed, "livy-classes", path);
    int fd = cds_make_list(path);
    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    assert_true(n > 0);
    text[n] = '\0';
    assert_string_equal(text, "java/lang/Object\norg/apache/livy/Main$1\n");
    close(fd);
    assert_int_equal(cds_make_list("/nonexistent/livy-classes"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_has_changed, set_up, tear_down),
        cmocka_unit_test(test_another_order),
        cmocka_unit_test_setup_teardown(test_a_text_that_is_none_of_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_and_foreign_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_option, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_attempts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_options_of_the_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_out_of_what_is_no_java, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_list, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
