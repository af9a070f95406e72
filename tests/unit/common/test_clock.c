/* test_clock.c - the two clocks and their text form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "livy-ha/clock.h"

static void test_format(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } times[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {999, "1970-01-01T00:00:00.999Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {INT64_C(1795341600123), "2026-11-22T10:00:00.123Z"},
        {INT64_C(1709164800000), "2024-02-29T00:00:00.000Z"},
        {INT64_C(2147483648000), "2038-01-19T03:14:08.000Z"},
        {INT64_C(253402300799999), "9999-12-31T23:59:59.999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char text[CLOCK_UTC_SIZE];
        clock_format_utc(times[i].ms, text);
        assert_string_equal(text, times[i].text);
    }
}

static void test_boot_is_the_boot_clock(void **state)
{
    (void)state;
    struct timespec before;
    struct timespec after;
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &before), 0);
    int64_t now = clock_boot_ms();
    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &after), 0);
    assert_true(now >= (int64_t)before.tv_sec * 1000 + before.tv_nsec / 1000000);
    assert_true(now <= (int64_t)after.tv_sec * 1000 + after.tv_nsec / 1000000);
    assert_true(now < CLOCK_NEVER);
}

static void test_boot_never_goes_back(void **state)
{
    (void)state;
    int64_t last = clock_boot_ms();
    for (int i = 0; i < 100000; i++) {
        int64_t now = clock_boot_ms();
        assert_true(now >= last);
        last = now;
    }
}

static void test_wall_is_the_wall_clock(void **state)
{
    (void)state;
    time_t before = time(NULL);
    int64_t now = clock_wall_ms();
    time_t after = time(NULL);
    /* time(2) may lag by the kernel's tick. */
    assert_true(now >= (int64_t)before * 1000 - 20 && now < ((int64_t)after + 2) * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_boot_is_the_boot_clock),
        cmocka_unit_test(test_boot_never_goes_back),
        cmocka_unit_test(test_wall_is_the_wall_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
