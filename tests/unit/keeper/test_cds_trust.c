/* test_cds_trust.c - which Livys an archive is blamed for, and when it is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>

#include <cmocka.h>

#include "cds_trust.h"
#include "livy-ha/gate.h"

static void test_it_is_to_blame(void **state)
{
    struct cds_trust trust = {0};

    (void)state;
    for (int i = 0; i < CDS_STRIKES; i++) {
        assert_false(cds_trust_barred(&trust));
        assert_int_equal(cds_trust_use(&trust), CDS_USE);
        assert_true(cds_trust_ended(&trust, true));
        assert_int_equal(cds_trust_use(&trust), CDS_USE_NOT); /* the next one goes without */
        assert_true(cds_trust_served(&trust, false));
        assert_int_equal(cds_trust_use(&trust), CDS_DROP);
        cds_trust_made(&trust);
    }
    assert_true(cds_trust_barred(&trust));
    assert_int_equal(cds_trust_use(&trust), CDS_USE_NOT);
}

static void test_it_is_not_to_blame(void **state)
{
    struct cds_trust trust = {0};

    (void)state;
    assert_true(cds_trust_ended(&trust, true));
    assert_false(cds_trust_ended(&trust, false)); /* without it, too */
    assert_int_equal(cds_trust_use(&trust), CDS_USE);
    assert_false(cds_trust_served(&trust, false)); /* started before it was made */
    assert_true(cds_trust_ended(&trust, true));
    assert_false(cds_trust_served(&trust, true));
    assert_int_equal(cds_trust_use(&trust), CDS_USE);
    assert_int_equal(trust.strikes, 0);
}

static void test_strikes_are_forgotten(void **state)
{
    struct cds_trust trust = {0};

    (void)state;
    cds_trust_refused(&trust);
    cds_trust_made(&trust);
    assert_false(cds_trust_barred(&trust));
    assert_false(cds_trust_served(&trust, true));
    cds_trust_fits(&trust);
    assert_false(cds_trust_served(&trust, true));
    cds_trust_refused(&trust);
    cds_trust_made(&trust);
    assert_false(cds_trust_barred(&trust));       /* not twice in a row */
    assert_false(cds_trust_served(&trust, true)); /* it serves, and without the archive */
    cds_trust_refused(&trust);
    assert_true(cds_trust_barred(&trust));
}

static void test_it_cannot_be_made(void **state)
{
    struct cds_trust trust = {0};

    (void)state;
    for (int i = 0; i < CDS_FAILURES; i++) {
        assert_false(cds_trust_barred(&trust));
        cds_trust_failed(&trust);
        if (i == 0)
            cds_trust_made(&trust), cds_trust_failed(&trust);
    }
    assert_true(cds_trust_barred(&trust));
}

static void test_whose_end_counts(void **state)
{
    (void)state;
    assert_true(cds_trust_counts(0) && cds_trust_counts(1) && cds_trust_counts(256 + SIGSEGV) &&
                cds_trust_counts(256 + SIGABRT));
    assert_false(cds_trust_counts(256 + SIGKILL) || cds_trust_counts(256 + SIGTERM) ||
                 cds_trust_counts(128 + SIGTERM) || cds_trust_counts(GATE_EXIT_LEASE) ||
                 cds_trust_counts(GATE_EXIT_REFUSED) || cds_trust_counts(GATE_EXIT_ORPHANED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_to_blame),        cmocka_unit_test(test_it_is_not_to_blame),
        cmocka_unit_test(test_strikes_are_forgotten), cmocka_unit_test(test_it_cannot_be_made),
        cmocka_unit_test(test_whose_end_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
