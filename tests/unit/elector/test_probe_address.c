/* test_probe_address.c - where a Livy with this livy.server.host is to be asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "probe.h"

static void test_target_address(void **state)
{
    static const struct {
        const char *host;
        const char *address;
    } cases[] = {
        {NULL, "127.0.0.1"}, {"", "127.0.0.1"},          {"0.0.0.0", "127.0.0.1"},
        {"::", "127.0.0.1"}, {"10.1.2.3", "10.1.2.3"},   {"127.0.0.2", "127.0.0.2"},
        {"::1", "::1"},      {"localhost", "127.0.0.1"},
    };
    char address[64];
    char why[256] = "";

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(probe_target_address(cases[i].host, address, why, sizeof why), 0);
        assert_string_equal(address, cases[i].address);
    }
    assert_int_equal(probe_target_address("no such host", address, why, sizeof why), -1);
    assert_non_null(strstr(why, "livy.server.host = no such host"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
