/* test_snapshot.c - taking the elector's word: dates, bounds, what is not well-formed. */
#include "snapshot_fixture.h"

#include <fcntl.h>

#include "livy-ha/front.h"

static void refused(struct snapshot *snapshot, const char *text, size_t size, const char *because)
{
    char why[256] = "";
    uint64_t before = snapshot_counts(snapshot).refused;
    int fd = fixture_memfd(text, strlen(text));

    assert_int_equal(snapshot_take(snapshot, fd, size, SENT_AT + 1, why, sizeof(why)), -1);
    assert_non_null(strstr(why, because));
    assert_int_equal(snapshot_counts(snapshot).refused, before + 1);
    assert_int_not_equal(fcntl(fd, F_GETFD), -1); /* stays the caller's */
    close(fd);
}

static void test_before_the_first(void **state)
{
    struct snapshot *snapshot = snapshot_new();
    int64_t now = clock_boot_ms();

    (void)state;
    assert_false(snapshot_there(snapshot));
    assert_false(snapshot_fresh(snapshot, now));
    assert_true(snapshot_age(snapshot, now) >= 0 && snapshot_age(snapshot, now) < 60000);
    assert_int_equal(snapshot_age(snapshot, now + 100000) - snapshot_age(snapshot, now + 50000), 50000);
    assert_null(snapshot_status(snapshot));
    assert_int_equal(snapshot_lease_left(snapshot, now), -1);
    assert_int_equal(snapshot_elector(snapshot), 0);
    snapshot_free(snapshot);
    snapshot_free(NULL);
}

static void test_dates(void **state)
{
    struct snapshot *snapshot = fixture_snapshot(fixture_document(), SENT_AT);

    (void)state;
    assert_true(snapshot_there(snapshot));
    assert_int_equal(snapshot_age(snapshot, SENT_AT + 70), 70);
    assert_int_equal(snapshot_age(snapshot, SENT_AT - 5), 0);
    assert_true(snapshot_fresh(snapshot, SENT_AT + SNAPSHOT_FRESH));
    assert_false(snapshot_fresh(snapshot, SENT_AT + SNAPSHOT_FRESH + 1));
    assert_int_equal(snapshot_lease_left(snapshot, SENT_AT + 70), 4930);
    assert_int_equal(snapshot_lease_left(snapshot, SENT_AT + 5001), 0);
    assert_string_equal(snapshot_text(snapshot_status(snapshot), "id"), "livy-a");
    fixture_take(snapshot, fixture_document(), SENT_AT + 1000);
    assert_int_equal(snapshot_age(snapshot, SENT_AT + 1070), 70);
    assert_int_equal(snapshot_counts(snapshot).taken, 2);
    snapshot_free(snapshot);
}

static void test_refused(void **state)
{
    static const char *const lacking[] = {
        "{}",
        "[]",
        "{\"status\":{},\"cluster\":{},\"history\":[],\"metrics\":[]}",
        "{\"status\":{},\"cluster\":{\"members\":[]},\"history\":{},\"metrics\":[]}",
        "{\"status\":[],\"cluster\":{\"members\":[]},\"history\":[],\"metrics\":[]}",
        "{\"status\":{},\"cluster\":{\"members\":[{\"id\":1}]},\"history\":[],\"metrics\":[]}"};
    struct snapshot *snapshot = fixture_snapshot(fixture_document(), SENT_AT);
    char why[256];

    (void)state;
    refused(snapshot, "{", 1, "no JSON");
    refused(snapshot, "{} x", 4, "no JSON");
    refused(snapshot, "{}", 3, "shorter");
    refused(snapshot, "{}", 0, "0 bytes");
    refused(snapshot, "{}", FRONT_SNAPSHOT_MAX + 1, "expected 1 to");
    for (size_t i = 0; i < sizeof(lacking) / sizeof(lacking[0]); i++)
        refused(snapshot, lacking[i], strlen(lacking[i]), "lacks a part");
    assert_int_equal(snapshot_take(snapshot, -1, 2, SENT_AT + 1, why, sizeof(why)), -1);
    /* The one before stays, with its date. */
    assert_int_equal(snapshot_age(snapshot, SENT_AT + 70), 70);
    assert_int_equal(snapshot_counts(snapshot).taken, 1);
    snapshot_free(snapshot);
}

static void test_smallest_and_largest(void **state)
{
    static const char least[] = "{\"status\":{},\"cluster\":{\"members\":[]},\"history\":[],\"metrics\":[]}";
    struct snapshot *snapshot = snapshot_new();
    size_t size = FRONT_SNAPSHOT_MAX;
    char why[256], *text = malloc(size);
    int fd = fixture_memfd(least, sizeof(least) - 1);

    (void)state;
    assert_int_equal(snapshot_take(snapshot, fd, sizeof(least) - 1, SENT_AT, why, sizeof(why)), 0);
    assert_int_equal(snapshot_lease_left(snapshot, SENT_AT), -1);
    close(fd);
    memset(text, ' ', size); /* JSON may have blanks behind it */
    memcpy(text, least, sizeof(least) - 1);
    fd = fixture_memfd(text, size);
    assert_int_equal(snapshot_take(snapshot, fd, size, SENT_AT, why, sizeof(why)), 0);
    assert_int_equal(snapshot_counts(snapshot).bytes, size);
    close(fd);
    free(text);
    snapshot_free(snapshot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_the_first),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_smallest_and_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
