/* test_hook.c - the changes that wait for failover.on_change: their order, what is no change, what is
 * dropped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hook.h"

static bool add(struct hook_queue *queue, uint32_t role, bool serving, bool *dropped)
{
    static unsigned serial;
    struct hook_change change = {.role = role, .serving = serving};

    snprintf(change.reason, sizeof(change.reason), "%u", ++serial);
    return hook_queue_add(queue, &change, dropped);
}

static void test_order(void **state)
{
    static const struct {
        uint32_t role;
        bool serving;
    } told[] = {{IPC_ROLE_STANDBY, false}, {IPC_ROLE_ACTIVE, false},  {IPC_ROLE_ACTIVE, true},
                {IPC_ROLE_ACTIVE, false},  {IPC_ROLE_JOINING, false}, {IPC_ROLE_STOPPED, false}};
    struct hook_queue queue;
    struct hook_change change;
    bool dropped;

    (void)state;
    hook_queue_init(&queue);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        assert_true(add(&queue, told[i].role, told[i].serving, &dropped));
        assert_false(dropped);
    }
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        assert_true(hook_queue_take(&queue, &change));
        assert_int_equal(change.role, told[i].role);
        assert_int_equal(change.serving, told[i].serving);
        assert_int_equal(change.missed, 0);
    }
    assert_false(hook_queue_take(&queue, &change));
}

/* An elector that was started anew says again how things are. */
static void test_the_same_again_is_no_change(void **state)
{
    struct hook_queue queue;
    struct hook_change change;
    bool dropped;

    (void)state;
    hook_queue_init(&queue);
    assert_false(add(&queue, IPC_ROLE_JOINING, false, &dropped)); /* nor is the beginning */
    assert_true(add(&queue, IPC_ROLE_STANDBY, false, &dropped));
    assert_false(add(&queue, IPC_ROLE_STANDBY, false, &dropped));
    assert_true(hook_queue_take(&queue, &change));
    assert_false(
        add(&queue, IPC_ROLE_STANDBY, false, &dropped)); /* taken by now, and still the last that was told */
    assert_false(hook_queue_take(&queue, &change));
    assert_true(add(&queue, IPC_ROLE_JOINING, false, &dropped));
}

static void test_the_oldest_are_dropped(void **state)
{
    struct hook_queue queue;
    struct hook_change change;
    bool dropped;
    char last[IPC_TEXT_SIZE] = "";

    (void)state;
    hook_queue_init(&queue);
    for (int i = 0; i < HOOK_QUEUE + 3; i++) {
        assert_true(add(&queue, i % 2 == 0 ? IPC_ROLE_STANDBY : IPC_ROLE_JOINING, false, &dropped));
        assert_int_equal(dropped, i >= HOOK_QUEUE);
    }
    assert_true(hook_queue_take(&queue, &change));
    assert_int_equal(change.missed, 3); /* the next one that is run says so */
    assert_int_equal(change.role, IPC_ROLE_JOINING);
    for (int i = 1; i < HOOK_QUEUE; i++) {
        assert_true(hook_queue_take(&queue, &change));
        assert_int_equal(change.missed, 0);
        assert_true(strtoul(change.reason, NULL, 10) > strtoul(last, NULL, 10));
        snprintf(last, sizeof(last), "%s", change.reason);
    }
    assert_int_equal(change.role, IPC_ROLE_STANDBY); /* how things are now is never dropped */
    assert_false(hook_queue_take(&queue, &change));
    for (int i = 0; i < 100; i++) { /* round and round */
        assert_true(add(&queue, IPC_ROLE_ACTIVE, i % 2 == 0, &dropped));
        assert_true(hook_queue_take(&queue, &change));
        assert_int_equal(change.serving, i % 2 == 0);
    }
}

static void test_clear(void **state)
{
    struct hook_queue queue;
    struct hook_change change;
    bool dropped;

    (void)state;
    hook_queue_init(&queue);
    for (int i = 0; i < HOOK_QUEUE + 1; i++)
        (void)add(&queue, IPC_ROLE_ACTIVE, i % 2 == 0, &dropped);
    hook_queue_clear(&queue);
    assert_false(hook_queue_take(&queue, &change));
    assert_false(add(&queue, IPC_ROLE_ACTIVE, true, &dropped)); /* it is known all the same */
    assert_true(add(&queue, IPC_ROLE_STANDBY, false, &dropped));
    assert_true(hook_queue_take(&queue, &change));
    assert_int_equal(change.missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_the_same_again_is_no_change),
        cmocka_unit_test(test_the_oldest_are_dropped),
        cmocka_unit_test(test_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
