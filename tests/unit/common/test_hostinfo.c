/* test_hostinfo.c - which name of this host is taken, and which names others cannot use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "livy-ha/hostinfo.h"

static void test_choose(void **state)
{
    (void)state;
    static const struct {
        const char *node, *canonical, *name;
    } cases[] = {
        {"a.example.com", NULL, "a.example.com"},
        {"a.example.com", "b.example.com", "a.example.com"},
        {"a", NULL, "a"},
        {"a", "a", "a"},
        {"a", "a.example.com", "a.example.com"},
        {"a", "a.example.com.", "a.example.com"},
        {"a", "localhost", "a"},
        {"a", "localhost.localdomain", "a"},
        {"a", "127.0.0.1", "a"},
        {"a", "10.0.0.1", "a"},
        {"", NULL, "localhost"},
        {"a.b.", NULL, "a.b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[HOSTINFO_SIZE];
        hostinfo_choose(cases[i].node, cases[i].canonical, name);
        assert_string_equal(name, cases[i].name);
    }
    char endless[1000];
    char name[HOSTINFO_SIZE];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    endless[10] = '.';
    hostinfo_choose("a", endless, name);
    assert_string_equal(name, "a");
    hostinfo_choose(endless, NULL, name);
    assert_int_equal(strlen(name), HOSTINFO_SIZE - 1);
}

static void test_local_and_ip(void **state)
{
    (void)state;
    static const char *const local[] = {"localhost", "LocalHost",   "localhost.localdomain",
                                        "127.0.0.1", "127.255.0.9", "::1",
                                        "0.0.0.0",   "::"};
    static const char *const other[] = {"localhosts", "a", "a.localhost.example.com", "10.0.0.1", "fd00::1",
                                        "128.0.0.1",  ""};
    for (size_t i = 0; i < sizeof local / sizeof local[0]; i++) {
        assert_true(hostinfo_is_local(local[i]));
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        assert_false(hostinfo_is_local(other[i]));
    }
    assert_true(hostinfo_is_ip("10.0.0.1"));
    assert_true(hostinfo_is_ip("fd00::1"));
    assert_false(hostinfo_is_ip("10.0.0"));
    assert_false(hostinfo_is_ip("a.b"));
}

static void test_this_host(void **state)
{
    (void)state;
    char name[HOSTINFO_SIZE];
    char node[HOSTINFO_SIZE];
    assert_int_equal(gethostname(node, sizeof node), 0);
    hostinfo_fqdn(name);
    assert_true(name[0] != '\0');
    /* Either the node's own name, or a longer one that the resolver knows it by. */
    assert_true(strcmp(name, node) == 0 || strchr(name, '.') != NULL);
}

static void test_memory(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {
        {"max\n", INT64_MAX},
        {"1073741824\n", 1073741824},
        {"1", 1},
        {"", INT64_MAX},
        {"-1\n", INT64_MAX},
        {"0\n", INT64_MAX},
        {"12k\n", INT64_MAX},
        {"99999999999999999999\n", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(hostinfo_limit(cases[i].text), cases[i].bytes);
    }
    int64_t all = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int64_t ours = hostinfo_memory();
    assert_true(ours > 0 && ours <= all + all / 8); /* sysinfo(2) rounds otherwise */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_local_and_ip),
        cmocka_unit_test(test_this_host),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
