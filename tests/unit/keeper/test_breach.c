/* test_breach.c - who listens on a port, as the kernel tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "breach.h"

/* Listens on a port that the kernel chooses. */
static int listen_on(int family, int *port)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    struct sockaddr *address = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = family == AF_INET ? sizeof(four) : sizeof(six);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, address, size) != 0 || listen(fd, 1) != 0)
        return -1;
    assert_int_equal(getsockname(fd, address, &size), 0);
    *port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
    return fd;
}

static void test_who_listens(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int port = 0, fd = listen_on(families[i], &port);
        if (fd < 0)
            continue; /* no IPv6 here */
        assert_true(breach_listens(getpid(), port));
        assert_false(breach_listens(getppid(), port));
        close(fd);
        assert_false(breach_listens(getpid(), port));
    }
    assert_false(breach_listens(getpid(), 0)); /* a port that is off */
}

static void test_a_connection_is_no_listener(void **state)
{
    int port = 0, fd = listen_on(AF_INET, &port);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)state;
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    close(fd);
    assert_false(breach_listens(getpid(), port));
    close(client);
    close(accepted);
}

/* A program that is called java, with these arguments. */
static pid_t run(const char *directory, const char *argument)
{
    char path[256];
    pid_t pid;

    snprintf(path, sizeof(path), "%s/java", directory);
    pid = fork();
    if (pid == 0) {
        execl(path, "java", "60", argument, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    for (int i = 0; i < 5000; i++) { /* until it is that program */
        char exe[256] = "", link[64];
        snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
        if (readlink(link, exe, sizeof(exe) - 1) > 0 && strstr(exe, "/java") != NULL)
            break;
        usleep(1000);
    }
    return pid;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void copy(const char *from, const char *to)
{
    char block[65536];
    ssize_t n;
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, block, sizeof(block))) > 0)
        assert_int_equal(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

static void test_java_without_the_agent(void **state)
{
    char directory[] = "/tmp/livy-ha-breach-XXXXXX", path[64];

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/java", directory);
    copy("/bin/sleep", path);
    pid_t without = run(directory, "0");
    assert_true(breach_ungated(without));
    end(without);
    assert_false(breach_ungated(getpid())); /* no Java: a start script still */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_listens),
        cmocka_unit_test(test_a_connection_is_no_listener),
        cmocka_unit_test(test_java_without_the_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
