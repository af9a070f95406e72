/* test_notify.c - sd_notify by hand: a datagram socket as systemd's, a path and an abstract one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "livy-ha/log.h"
#include "notify.h"

/* Binds a socket and names it in the environment as systemd does. The name is this process's own: other
 * builds of this test may run at the same time. */
static int listen_at(const char *stem)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[sizeof(address.sun_path) - 1];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_true(snprintf(name, sizeof(name), "%s-%d", stem, getpid()) < (int)sizeof(name));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    else
        unlink(name);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

static void hears(int fd, const char *expected)
{
    char text[256];
    ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
    if (expected == NULL) {
        assert_int_equal(n, -1);
        return;
    }
    assert_true(n >= 0);
    text[n] = '\0';
    assert_string_equal(text, expected);
}

/* Each case in a process of its own: notify.c opens its socket once. */
static void in_child(void (*body)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0); /* a failed assertion has left by longjmp, and not come here */
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define MUST(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                  \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

static void sends(void)
{
    notify_open();
    MUST(getenv("NOTIFY_SOCKET") == NULL); /* Livy must not see them */
    MUST(getenv("WATCHDOG_USEC") == NULL);
    MUST(getenv("WATCHDOG_PID") == NULL);
    notify_send("READY=1");
    notify_send("STATUS=standby, Livy none");
}

static void test_sends(void **state)
{
    (void)state;
    static const char *const names[] = {"/tmp/livy-ha-test-notify", "@livy-ha-test-notify"};
    for (size_t i = 0; i < 2; i++) {
        int fd = listen_at(names[i]);
        assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
        assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0);
        in_child(sends);
        hears(fd, "READY=1");
        hears(fd, "STATUS=standby, Livy none");
        hears(fd, NULL);
        close(fd);
        if (names[i][0] == '/')
            assert_int_equal(unlink(getenv("NOTIFY_SOCKET")), 0);
    }
}

static void watchdog_is_half(void)
{
    unsetenv("WATCHDOG_PID");
    notify_open();
    MUST(notify_watchdog_ms() == 1500);
}

static void watchdog_is_ours(void)
{
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    MUST(setenv("WATCHDOG_PID", pid, 1) == 0);
    notify_open();
    MUST(notify_watchdog_ms() == 1500);
}

static void no_watchdog(void)
{
    notify_open();
    MUST(notify_watchdog_ms() == 0);
}

static void at_least_a_millisecond(void)
{
    unsetenv("WATCHDOG_PID");
    notify_open();
    MUST(notify_watchdog_ms() == 1);
}

static void test_watchdog(void **state)
{
    (void)state;
    int fd = listen_at("@livy-ha-test-watchdog");
    assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    in_child(watchdog_is_half);
    in_child(watchdog_is_ours);
    assert_int_equal(setenv("WATCHDOG_PID", "1", 1), 0); /* meant for another process */
    in_child(no_watchdog);
    unsetenv("WATCHDOG_PID");
    static const char *const wrong[] = {"", "0", "-5", "many", "12x", "99999999999999999999999"};
    log_open("test_notify", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(setenv("WATCHDOG_USEC", wrong[i], 1), 0);
        in_child(no_watchdog);
    }
    assert_int_equal(setenv("WATCHDOG_USEC", "100", 1), 0);
    in_child(at_least_a_millisecond);
    close(fd);
}

static void outside_of_systemd(void)
{
    notify_open();
    notify_send("READY=1");
    MUST(notify_watchdog_ms() == 0);
}

static void test_outside_of_systemd(void **state)
{
    (void)state;
    char longest[200];

    unsetenv("NOTIFY_SOCKET");
    in_child(outside_of_systemd);
    static const char *const odd[] = {"", "/", "@", "relative", "vsock:2:1"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", odd[i], 1), 0);
        in_child(outside_of_systemd);
    }
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(setenv("NOTIFY_SOCKET", longest, 1), 0);
    in_child(outside_of_systemd);
}

static void full_socket(void)
{
    notify_open();
    for (int i = 0; i < 100000; i++)
        notify_send("WATCHDOG=1"); /* nobody reads: it must neither block nor end us (SIGPIPE) */
}

static void test_never_blocks(void **state)
{
    (void)state;
    int fd = listen_at("@livy-ha-test-full");
    in_child(full_socket);
    hears(fd, "WATCHDOG=1");
    close(fd);
    in_child(full_socket); /* and nobody is there at all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sends),
        cmocka_unit_test(test_watchdog),
        cmocka_unit_test(test_outside_of_systemd),
        cmocka_unit_test(test_never_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
