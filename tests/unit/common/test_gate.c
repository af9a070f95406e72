/* test_gate.c - when it is too late to let a held Livy go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "livy-ha/clock.h"
#include "livy-ha/gate.h"

static void test_the_word_alone(void **state)
{
    (void)state;
    assert_false(gate_too_late(CLOCK_NEVER, 1000, 999));
    assert_true(gate_too_late(CLOCK_NEVER, 1000, 1000));
    assert_true(gate_too_late(CLOCK_NEVER, 0, 1));
}

/* The lease may have been renewed, or cut short, since the word was sent. */
static void test_the_page_counts(void **state)
{
    (void)state;
    assert_false(gate_too_late(2000, 1000, 1999));
    assert_true(gate_too_late(2000, 1000, 2000));
    assert_true(gate_too_late(500, 1000, 500));
    assert_true(gate_too_late(0, 1000, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_word_alone),
        cmocka_unit_test(test_the_page_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
