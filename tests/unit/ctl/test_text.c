/* test_text.c - widths, cuts, ages, durations; the URL and socket of the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "text.h"

static void test_duration(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"250ms", 250},
        {"10s", 10000},
        {"5min", 300000},
        {"2h", 7200000},
        {"1d", 86400000},
        {"1ms", 1},
        {"10", -1},
        {"", -1},
        {"s", -1},
        {"0s", -1},
        {"-1s", -1},
        {"1.5s", -1},
        {"10 s", -1},
        {"10sec", -1},
        {"5m", -1},
        {"100d", -1},
        {"99d", 8553600000},
        {"99999999999999999999s", -1},
        {"999999999999d", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(text_duration(cases[i].text), cases[i].ms);
}

static void test_age(void **state)
{
    static const struct {
        int64_t ms;
        const char *age;
    } cases[] = {
        {-5000, "0s"},         {0, "0s"},           {59999, "59s"},
        {60000, "1m00s"},      {192000, "3m12s"},   {3599999, "59m59s"},
        {3600000, "1h00m"},    {18180000, "5h03m"}, {86400000, "1d0h"},
        {1051200000, "12d4h"},
    };
    char age[TEXT_AGE_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        text_age(cases[i].ms, age);
        assert_string_equal(age, cases[i].age);
    }
    text_took(0, age);
    assert_string_equal(age, "0ms");
    text_took(999, age);
    assert_string_equal(age, "999ms");
    text_took(1234, age);
    assert_string_equal(age, "1.23s");
    text_took(61040, age);
    assert_string_equal(age, "61.0s");
}

static void test_utc(void **state)
{
    int64_t ms;

    (void)state;
    assert_true(text_parse_utc("2026-11-22T10:00:00.123Z", &ms));
    assert_int_equal(ms, 1795341600123);
    assert_true(text_parse_utc("1970-01-01T00:00:00Z", &ms));
    assert_int_equal(ms, 0);
    assert_false(text_parse_utc("2026-11-22 10:00:00Z", &ms));
    assert_false(text_parse_utc("2026-11-22T10:00:00.123", &ms));
    assert_false(text_parse_utc("soon", &ms));
    assert_false(text_parse_utc("", &ms));
}

static void assert_cut(const char *text, size_t width, bool middle, const char *expected)
{
    char *cut = text_cut(text, width, middle, "…");

    assert_string_equal(cut, expected);
    assert_true(text_width(cut) <= width);
    free(cut);
}

static void test_cut(void **state)
{
    (void)state;
    assert_int_equal(text_width("Grüße"), 5);
    assert_cut("livy-a", 6, true, "livy-a");
    assert_cut("livy-a.example.com", 9, true, "livy….com");
    assert_cut("livy-a.example.com", 8, true, "livy…com");
    assert_cut("livy-a.example.com", 8, false, "livy-a.…");
    assert_cut("ÄÖÜäöüß", 4, true, "ÄÖ…ß");
    assert_cut("abc", 1, true, "a");
    assert_cut("abc", 0, true, "");
}

static void test_clean(void **state)
{
    char *clean = text_clean("a\033[2Jb\nc\x7f\xc2\x9b"
                             "d\xc3\xa4");

    (void)state;
    assert_string_equal(clean, "a?[2Jb?c???d\xc3\xa4");
    free(clean);
}

static void test_url(void **state)
{
    static const struct {
        const char *url;
        const char *host; /* NULL: refused */
        const char *port;
        const char *shown;
    } cases[] = {
        {"http://livy-a:8997", "livy-a", "8997", "http://livy-a:8997"},
        {"HTTP://livy-a/", "livy-a", "8997", "http://livy-a:8997"},
        {"http://[::1]:80/", "::1", "80", "http://[::1]:80"},
        {"http://[::1]", "::1", "8997", "http://[::1]:8997"},
        {"https://livy-a:8997", NULL, NULL, NULL},
        {"livy-a:8997", NULL, NULL, NULL},
        {"http://", NULL, NULL, NULL},
        {"http://:80", NULL, NULL, NULL},
        {"http://a:0", NULL, NULL, NULL},
        {"http://a:65536", NULL, NULL, NULL},
        {"http://a:8x", NULL, NULL, NULL},
        {"http://a:", NULL, NULL, NULL},
        {"http://a:80/cluster", NULL, NULL, NULL},
        {"http://user@a:80", NULL, NULL, NULL},
        {"http://[::1:80", NULL, NULL, NULL},
    };
    struct endpoint endpoint;
    char why[256];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int rc = endpoint_parse_url(cases[i].url, &endpoint, why, sizeof why);
        assert_int_equal(rc, cases[i].host != NULL ? 0 : -1);
        if (rc == 0) {
            assert_true(endpoint.tcp);
            assert_string_equal(endpoint.host, cases[i].host);
            assert_string_equal(endpoint.port, cases[i].port);
            assert_string_equal(endpoint.shown, cases[i].shown);
        }
    }
}

static void test_socket_choice(void **state)
{
    struct endpoint endpoint;
    char path[120];
    char why[256];

    (void)state;
    assert_int_equal(setenv("LIVY_HA_RUNTIME_DIR", "/somewhere/run", 1), 0);
    assert_int_equal(endpoint_find_socket(NULL, NULL, &endpoint, why, sizeof why), 0);
    assert_string_equal(endpoint.path, "/somewhere/run/control.sock");
    assert_int_equal(setenv("LIVY_HA_CONTROL_SOCKET", "/elsewhere/c.sock", 1), 0);
    assert_int_equal(endpoint_find_socket(NULL, NULL, &endpoint, why, sizeof why), 0);
    assert_string_equal(endpoint.path, "/elsewhere/c.sock");
    assert_int_equal(endpoint_find_socket("/given.sock", NULL, &endpoint, why, sizeof why), 0);
    assert_string_equal(endpoint.path, "/given.sock");
    assert_false(endpoint.tcp);

    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(endpoint_find_socket(path, NULL, &endpoint, why, sizeof why), -1);
    path[107] = '\0';
    assert_int_equal(endpoint_find_socket(path, NULL, &endpoint, why, sizeof why), 0);
    assert_int_equal(setenv("LIVY_HA_RUNTIME_DIR", path, 1), 0);
    assert_int_equal(unsetenv("LIVY_HA_CONTROL_SOCKET"), 0);
    assert_int_equal(endpoint_find_socket(NULL, NULL, &endpoint, why, sizeof why), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration),      cmocka_unit_test(test_age),   cmocka_unit_test(test_utc),
        cmocka_unit_test(test_cut),           cmocka_unit_test(test_clean), cmocka_unit_test(test_url),
        cmocka_unit_test(test_socket_choice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
