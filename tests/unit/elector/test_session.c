/* test_session.c - the session file: only a whole one, of this boot, is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "../common/files.h"
#include "livy-ha/log.h"
#include "session.h"

struct bed {
    char dir[64];
};

static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/livy-ha-session.XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;
    remove_all(bed->dir);
    free(bed);
    return 0;
}

static const struct ipc_session sample = {.id = (int64_t)0xf123456789abcdefull,
                                          .password = "\x00\x01\x7f\x80\xff secret\n\t!",
                                          .timeout = 10000,
                                          .node = "_c_x-latch-0000000001"};

static void test_round_trip(void **state)
{
    struct bed *bed = *state;
    struct ipc_session got = {0};
    char why[256];

    assert_int_equal(session_save(bed->dir, &sample), 0);
    assert_int_equal(look(bed->dir, "session").st_mode & 07777, 0600);
    assert_int_equal(session_load(bed->dir, &got, why, sizeof(why)), 0);
    assert_int_equal(got.id, sample.id);
    assert_int_equal(got.timeout, sample.timeout);
    assert_string_equal(got.node, sample.node);
    assert_memory_equal(got.password, sample.password, sizeof(got.password));
    assert_int_equal(look(bed->dir, "session.new").st_mode, 0); /* renamed */

    struct ipc_session other = sample;
    other.id = 3;
    assert_int_equal(session_save(bed->dir, &other), 0);
    assert_int_equal(session_load(bed->dir, &got, why, sizeof(why)), 0);
    assert_int_equal(got.id, 3);
    session_unlink(bed->dir);
    assert_int_equal(look(bed->dir, "session").st_mode, 0);
    session_unlink(bed->dir); /* twice is fine */
    assert_int_equal(session_load(bed->dir, &got, why, sizeof(why)), -1);
    assert_non_null(strstr(why, "No such file"));
}

static void refused(const struct bed *bed, const char *text, const char *expected)
{
    struct ipc_session got;
    char why[256];

    write_file(bed->dir, "session", text);
    assert_int_equal(session_load(bed->dir, &got, why, sizeof(why)), -1);
    if (strstr(why, expected) == NULL)
        print_message("it said: %s\n", why);
    assert_non_null(strstr(why, expected));
}

static void test_another_boot(void **state)
{
    struct bed *bed = *state;
    char boot[64], text[512];

    session_boot_id(boot, sizeof(boot));
    assert_int_equal(strlen(boot), 36);
    assert_null(strchr(boot, '\n'));
    refused(bed,
            "livy-ha session 2\nboot 00000000-0000-0000-0000-000000000000\nid 0000000000000003\n"
            "password 00000000000000000000000000000000\ntimeout 10000\nnode -\n",
            "of an earlier boot");
    boot[35] = boot[35] == '0' ? '1' : '0';
    snprintf(text, sizeof(text),
             "livy-ha session 2\nboot %s\nid 0000000000000003\npassword "
             "00000000000000000000000000000000\ntimeout 10000\nnode -\n",
             boot);
    refused(bed, text, "of an earlier boot");
}

/* Every field in turn, and every cut of a good one: a host may lose its power while it is written. */
static void test_garbage(void **state)
{
    struct bed *bed = *state;
    static const char *const wrong[] = {
        "",
        "\n",
        "livy-ha session 3\n",
        "livy-ha session 2\nboot x\nid 0\npassword 00000000000000000000000000000000\ntimeout 1\nnode -\n",
        "livy-ha session 2\nboot x\nid 3\npassword 0000000000000000000000000000000\ntimeout 1\nnode -\n",
        "livy-ha session 2\nboot x\nid 3\npassword 0000000000000000000000000000000g\ntimeout 1\nnode -\n",
        "livy-ha session 2\nboot x\nid 3\npassword 000000000000000000000000000000001\ntimeout 1\nnode -\n",
        "livy-ha session 2\nboot x\nid 3\npassword 00000000000000000000000000000000\ntimeout 0\nnode -\n",
        "livy-ha session 2\nboot x\nid 3\npassword 00000000000000000000000000000000\ntimeout -5\nnode -\n",
        "livy-ha session 2\nboot x\nid zz\npassword 00000000000000000000000000000000\ntimeout 1\nnode -\n",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refused(bed, wrong[i], "is not a session file");

    assert_int_equal(session_save(bed->dir, &sample), 0);
    char *good = read_file(bed->dir, "session");
    assert_non_null(good);
    for (size_t cut = strlen(good) - 1; cut > 0; cut--) {
        good[cut] = '\0';
        refused(bed, good, "is not a session file");
    }
    free(good);
    char large[2000];
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    refused(bed, large, "is not a session file");
}

static void test_where_it_cannot_be(void **state)
{
    struct bed *bed = *state;
    struct ipc_session got;
    char why[256], path[128];

    snprintf(path, sizeof(path), "%s/none", bed->dir);
    assert_int_equal(session_save(path, &sample), -1);
    assert_int_equal(errno, ENOENT);
    /* A link is not followed, neither in reading nor in writing. */
    snprintf(path, sizeof(path), "%s/session", bed->dir);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(session_load(bed->dir, &got, why, sizeof(why)), -1);
    assert_int_equal(session_save(bed->dir, &sample), 0);
    assert_true(S_ISREG(look(bed->dir, "session").st_mode));
    snprintf(path, sizeof(path), "%s/session.new", bed->dir);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(session_save(bed->dir, &sample), -1);
    assert_int_equal(errno, ELOOP);
}

int main(void)
{
    log_open("test_session", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_another_boot, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_garbage, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_where_it_cannot_be, make_bed, clear_bed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
