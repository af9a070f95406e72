/* test_helpers.c - which words of an elector the keeper's machine is told, and which come too late: over a
 * real channel, with keeper_step as the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#include "keeper_internal.h"
#include "livy-ha/log.h"
#include "livy-ha/packet.h"

#define TOLD_MAX 8

static uint32_t told[TOLD_MAX]; /* types of the messages that the machine was told */
static size_t n_told;

void __wrap_keeper_step(struct keeper *k, const struct kcore_event *event);

void __wrap_keeper_step(struct keeper *k, const struct kcore_event *event)
{
    (void)k;
    assert_int_equal(event->type, KCORE_EV_MESSAGE);
    assert_true(n_told < TOLD_MAX);
    told[n_told++] = event->msg->type;
}

/* An elector says these, and the keeper reads them while an upgrade is in `state`. */
static void hear(enum ucore_state state, bool last_words, const uint32_t *types, size_t n)
{
    struct keeper k = {.epoll = -1, .paired = true, .elector = {.pidfd = -1, .status = -1}};
    int pair[2];

    n_told = 0;
    assert_int_equal(packet_pair(pair), 0);
    k.channel = pair[0];
    ucore_init(&k.upgrade.core);
    k.upgrade.core.state = state;
    for (size_t i = 0; i < n; i++) {
        struct ipc_msg msg = {.type = types[i], .code = 75, .text = "x"};
        assert_int_equal(ipc_send(pair[1], &msg, -1), 0);
    }
    helpers_drain(&k, last_words);
    close(pair[0]);
    close(pair[1]);
}

static void assert_told(const uint32_t *types, size_t n)
{
    assert_int_equal(n_told, n);
    assert_memory_equal(told, types, n * sizeof(types[0]));
}

static void test_all_is_told(void **state)
{
    static const uint32_t said[] = {IPC_SESSION, IPC_RELEASING, IPC_FATAL};

    (void)state;
    hear(UCORE_IDLE, false, said, 3);
    assert_told(said, 3);
    hear(UCORE_WAITING, false, said, 3); /* none has been killed yet */
    assert_told(said, 3);
}

/* It has its SIGKILL, so its successor gets the session: it neither gives that away nor ends the daemon. What
 * it says of the session itself is what the successor needs. */
static void test_one_that_is_swapped_out(void **state)
{
    static const uint32_t said[] = {IPC_RELEASING, IPC_SESSION, IPC_FATAL, IPC_STOP};
    static const uint32_t heard[] = {IPC_SESSION, IPC_STOP};
    static const enum ucore_state states[] = {UCORE_SWAPPING, UCORE_BACK};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        hear(states[i], false, said, 4);
        assert_told(heard, 2);
        hear(states[i], true, said, 4);
        assert_told(heard, 2);
    }
}

/* One that has died can close its session no more, whether or not an upgrade is under way. */
static void test_last_words(void **state)
{
    static const uint32_t said[] = {IPC_RELEASING, IPC_SESSION};

    (void)state;
    hear(UCORE_IDLE, true, said, 2);
    assert_told(&said[1], 1);
}

int main(void)
{
    log_open("test_helpers", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_told),
        cmocka_unit_test(test_one_that_is_swapped_out),
        cmocka_unit_test(test_last_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
