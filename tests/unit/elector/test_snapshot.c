/* test_snapshot.c - when a snapshot is sent, and that it stays within its bounds. Waits for the loop, and
 * judges by counts and by distances that may only be too large on a busy machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/front.h"
#include "snapshot.h"

struct bed {
    struct event_base *base;
    struct snapshot *snapshot;
    int value, sent, last; /* value: what the document says; last: as last sent */
    int64_t at[64];
    int error;    /* of the next sends */
    size_t bloat; /* bytes that the document is to have beside */
};

static json_t *document(void *arg)
{
    const struct bed *bed = arg;
    json_t *object = json_pack("{s:i}", "value", bed->value);
    char *text = calloc(1, bed->bloat + 1);

    memset(text, 'x', bed->bloat);
    json_object_set_new(object, "bloat", json_string(text));
    free(text);
    return object;
}

static int take(void *arg, int fd, uint64_t size)
{
    struct bed *bed = arg;
    char *text = malloc(size);

    assert_int_equal(pread(fd, text, size, 0), size);
    json_t *got = json_loadb(text, size, 0, NULL);
    assert_non_null(got);
    bed->last = (int)json_integer_value(json_object_get(got, "value"));
    json_decref(got);
    free(text);
    if (bed->sent < 64)
        bed->at[bed->sent] = clock_boot_ms();
    bed->sent++;
    errno = bed->error;
    return bed->error == 0 ? 0 : -1;
}

static void begin(struct bed *bed)
{
    *bed = (struct bed){.base = event_base_new()};
    bed->snapshot = snapshot_new(bed->base, document, take, bed);
    assert_non_null(bed->snapshot);
}

static void end(struct bed *bed)
{
    snapshot_free(bed->snapshot);
    event_base_free(bed->base);
}

static void run_until(struct bed *bed, int sent)
{
    while (bed->sent < sent)
        assert_int_equal(event_base_loop(bed->base, EVLOOP_ONCE), 0);
}

static void test_nobody_listens(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed);
    snapshot_changed(bed.snapshot);
    assert_int_equal(event_base_loop(bed.base, 0), 1); /* nothing is due, ever */
    snapshot_listen(bed.snapshot, true);
    run_until(&bed, 1);
    snapshot_listen(bed.snapshot, false);
    snapshot_changed(bed.snapshot);
    assert_int_equal(event_base_loop(bed.base, 0), 1);
    assert_int_equal(bed.sent, 1);
    end(&bed);
}

static void test_again(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed);
    snapshot_listen(bed.snapshot, true);
    run_until(&bed, 3);
    assert_true(bed.at[1] - bed.at[0] >= FRONT_AGAIN - 5);
    assert_true(bed.at[2] - bed.at[1] >= FRONT_AGAIN - 5);
    end(&bed);
}

/* Hundreds of changes cost a few snapshots, and the last one is told. */
static void test_changes_are_gathered(void **state)
{
    struct bed bed;
    int64_t began = clock_boot_ms();

    (void)state;
    begin(&bed);
    snapshot_listen(bed.snapshot, true);
    run_until(&bed, 1);
    while (clock_boot_ms() - began < 300) {
        bed.value++;
        snapshot_changed(bed.snapshot);
        event_base_loop(bed.base, EVLOOP_NONBLOCK);
    }
    int64_t took = clock_boot_ms() - began;
    assert_true(bed.sent <= 2 + took / (SNAPSHOT_GAP - 1));
    for (int i = 1; i < bed.sent; i++)
        assert_true(bed.at[i] - bed.at[i - 1] >= SNAPSHOT_GAP - 5);
    bed.value = 4711;
    snapshot_changed(bed.snapshot);
    run_until(&bed, bed.sent + 1);
    assert_int_equal(bed.last, 4711);
    end(&bed);
}

static void test_change_is_told_soon(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed);
    snapshot_listen(bed.snapshot, true);
    run_until(&bed, 1);
    int soon = 0;
    for (int i = 0; i < 5; i++) { /* one of them at least, whatever else the machine does */
        bed.value++;
        snapshot_changed(bed.snapshot);
        run_until(&bed, bed.sent + 1);
        assert_int_equal(bed.last, bed.value);
        soon += bed.at[bed.sent - 1] - bed.at[bed.sent - 2] < FRONT_AGAIN - 50;
    }
    assert_true(soon > 0);
    end(&bed);
}

static void test_failures(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed);
    bed.error = EAGAIN;
    snapshot_listen(bed.snapshot, true);
    run_until(&bed, 2); /* tried again */
    bed.error = 0;
    run_until(&bed, 3);
    bed.bloat = FRONT_SNAPSHOT_MAX; /* never sent; the next one is */
    snapshot_changed(bed.snapshot);
    assert_int_equal(event_base_loop(bed.base, EVLOOP_ONCE), 0);
    assert_int_equal(bed.sent, 3);
    bed.bloat = 0;
    run_until(&bed, 4);
    end(&bed);
}

static void test_bounds(void **state)
{
    char *large = calloc(1, SNAPSHOT_ITEM + 1);
    json_t *cluster, *history, *small, *first;

    (void)state;
    memset(large, 'x', SNAPSHOT_ITEM);
    small = json_pack("{s:s, s:s}", "id", "livy-a", "role", "active");
    cluster = json_pack("{s:[O, {s:s, s:s, s:s}]}", "members", small, "id", "livy-b", "role", "standby",
                        "version", large);
    history = json_pack("[{s:s}, s, {s:s}]", "event", "elected", large, large, "key");
    assert_int_equal(snapshot_bound(cluster, history), 3);
    first = json_array_get(json_object_get(cluster, "members"), 0);
    assert_true(json_equal(first, small));
    json_t *cut = json_array_get(json_object_get(cluster, "members"), 1);
    assert_string_equal(json_string_value(json_object_get(cut, "id")), "livy-b");
    assert_string_equal(json_string_value(json_object_get(cut, "role")), "standby");
    assert_null(json_object_get(cut, "version"));
    assert_true(json_is_true(json_object_get(cut, "left_out")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(history, 0), "event")), "elected");
    for (size_t i = 1; i < 3; i++)
        assert_true(json_dumpb(json_array_get(history, i), NULL, 0, 0) < SNAPSHOT_ITEM);
    assert_int_equal(snapshot_bound(cluster, history), 0);
    json_decref(small);
    json_decref(cluster);
    json_decref(history);
    free(large);
}

/* Many small values are as bad as a large one. */
static void test_many_values(void **state)
{
    json_t *member = json_pack("{s:s}", "id", "livy-a"), *cluster, *history = json_array();
    char key[16];

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        json_object_set_new(member, key, json_integer(i));
    }
    cluster = json_pack("{s:[o]}", "members", member);
    assert_int_equal(snapshot_bound(cluster, history), 1);
    member = json_array_get(json_object_get(cluster, "members"), 0);
    assert_true(json_dumpb(member, NULL, 0, 0) < SNAPSHOT_ITEM);
    assert_string_equal(json_string_value(json_object_get(member, "id")), "livy-a");
    json_decref(cluster);
    json_decref(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_again),
        cmocka_unit_test(test_changes_are_gathered),
        cmocka_unit_test(test_change_is_told_soon),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_many_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
