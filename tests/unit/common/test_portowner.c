/* test_portowner.c - whose port it is, among our own processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "livy-ha/portowner.h"
#include "loopback.h"

static void test_owner_is_this_process(void **state)
{
    static const char *const addresses[] = {"127.0.0.1", "0.0.0.0", "::1", "::"};
    int tried = 0;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        pid_t owner = -1;
        int port;
        const int fd = listen_loopback(addresses[i], &port);

        if (fd < 0 && strchr(addresses[i], ':') != NULL)
            continue; /* a host without IPv6 */
        assert_true(fd >= 0);
        assert_int_equal(portowner_find(port, getpid(), &owner), 1);
        assert_int_equal(owner, getpid());
        close(fd);
        tried++;
    }
    assert_true(tried >= 2);
}

static void test_owner_is_a_child(void **state)
{
    pid_t owner = -1;
    int ready[2];
    int port = 0;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ready[0]);
        if (listen_loopback("127.0.0.1", &port) < 0 || write(ready[1], &port, sizeof port) != sizeof port)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &port, sizeof port), sizeof port);
    close(ready[0]);
    assert_int_equal(portowner_find(port, child, &owner), 1);
    assert_int_equal(portowner_find(port, getpid(), &owner), 0);
    assert_int_equal(owner, child);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    errno = 0;
    assert_int_equal(portowner_find(port, child, &owner), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(owner, 0);
}

/* A bound port that does not listen, and a connected one, are nobody's listeners. */
static void test_owner_only_of_listeners(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t owner;

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(portowner_find(ntohs(address.sin_port), getpid(), &owner), -1);
    assert_int_equal(errno, ENOENT);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner_is_this_process),
        cmocka_unit_test(test_owner_is_a_child),
        cmocka_unit_test(test_owner_only_of_listeners),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
