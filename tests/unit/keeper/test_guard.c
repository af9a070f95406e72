/* test_guard.c - the page and the channel of Livy's agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guard.h"
#include "livy-ha/clock.h"
#include "livy-ha/packet.h"

/* Under a limit it is the lowest numbers that count: once the JVM has its own, the keeper has one more than
 * before, and no gap below it. */
static void test_no_gap_among_the_descriptors(void **state)
{
    struct guard guard = GUARD_NONE;
    int free_before = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(free_before >= 0);
    close(free_before);
    assert_int_equal(guard_open(&guard, CLOCK_NEVER), 0);
    guard_started(&guard);
    assert_int_equal(guard.channel, free_before);
    int free_after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(free_after, free_before + 1);
    close(free_after);
    guard_close(&guard);
}

static void test_what_the_agent_hears_and_says(void **state)
{
    struct guard guard = GUARD_NONE;
    struct gate_msg msg, said = {.magic = GATE_MAGIC, .type = GATE_OPENED};
    int fd;

    (void)state;
    assert_int_equal(guard_open(&guard, CLOCK_NEVER), 0);
    guard_lease(&guard, 5000); /* earlier than never: it is woken */
    assert_int_equal(guard.page->kill_at, 5000);
    assert_true(guard_let_go(&guard, 5000));
    assert_int_equal(packet_recv(guard.agents_end, &msg, sizeof(msg), &fd), 1);
    assert_int_equal(msg.type, GATE_LEASE);
    assert_int_equal(packet_recv(guard.agents_end, &msg, sizeof(msg), &fd), 1);
    assert_int_equal(msg.type, GATE_OPEN);
    assert_int_equal(msg.kill_at, 5000);
    assert_int_equal(guard_hear(&guard, &msg), 0);
    memset(said.text, 'x', sizeof(said.text)); /* not ended by a zero */
    assert_int_equal(packet_send(guard.agents_end, &said, sizeof(said), -1), 0);
    assert_int_equal(guard_hear(&guard, &msg), 1);
    assert_int_equal(strlen(msg.text), sizeof(msg.text) - 1);
    said.magic++;
    assert_int_equal(packet_send(guard.agents_end, &said, sizeof(said), -1), 0);
    assert_int_equal(guard_hear(&guard, &msg), -1);
    assert_int_equal(errno, EBADMSG);
    guard_started(&guard); /* nobody has the other end */
    assert_int_equal(guard_hear(&guard, &msg), -1);
    assert_int_equal(errno, EPIPE);
    assert_false(guard_let_go(&guard, 5000));
    guard_close(&guard);
}

/* The agent is not beside this program (it may be installed): what cannot do without it says so, class data
 * alone can. */
static void test_who_needs_the_agent(void **state)
{
    struct guard guard = GUARD_NONE;
    struct conf conf = {.runtime_dir = "/run/livy-ha"};
    char option[512], path[512];
    bool there = guard_agent(path, sizeof(path));

    (void)state;
    assert_int_equal(guard_open_cold(&guard, &conf, 5000), 0);
    assert_null(guard.page);
    conf.livy.class_data_sharing = CONF_CDS_AUTO;
    assert_int_equal(guard_open_cold(&guard, &conf, 5000), 0);
    assert_non_null(guard.page);
    assert_true(guard_pass(&guard, &conf, false, option, sizeof(option)));
    assert_int_equal(strstr(option, ",record=/run/livy-ha/livy-classes") != NULL, there);
    assert_int_equal(option[0] != '\0', there);
    assert_null(strstr(option, "page="));
    assert_int_equal(guard_pass(&guard, &conf, true, option, sizeof(option)), there);
    conf.livy.guard = CONF_GUARD_PROCESS;
    assert_int_equal(guard_pass(&guard, &conf, false, option, sizeof(option)), there);
    guard_close(&guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_gap_among_the_descriptors),
        cmocka_unit_test(test_what_the_agent_hears_and_says),
        cmocka_unit_test(test_who_needs_the_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
