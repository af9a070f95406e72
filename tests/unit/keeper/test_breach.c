/* test_breach.c - who listens on a port, and which Java runs without the agent, as the kernel tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

static bool listens(pid_t pid, int port)
{
    return breach_listens(&(struct breach_of){.pid = pid}, port);
}

static void test_who_listens(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int port = 0, fd = listen_on(families[i], &port);
        if (fd < 0)
            continue; /* no IPv6 here */
        assert_true(listens(getpid(), port));
        assert_true(listens(getppid(), port)); /* as a start script that does not exec */
        pid_t other = fork();
        if (other == 0) {
            close(fd);
            pause();
        }
        while (listens(other, port)) /* until it has closed its copy */
            usleep(1000);
        assert_int_equal(kill(other, SIGKILL), 0);
        assert_int_equal(waitpid(other, NULL, 0), other);
        close(fd);
        assert_false(listens(getpid(), port));
    }
    assert_false(listens(getpid(), 0)); /* a port that is off */
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
    assert_false(listens(getpid(), port));
    close(client);
    close(accepted);
}

/* Runs a script by `program`; returns once it, or its child, is a program that is called java. */
static pid_t run(const char *program, const char *script, const char *argument)
{
    pid_t pid = fork();

    if (pid == 0) {
        setsid();
        execl(program, program, "-c", script, argument, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

/* The Javas of the tests are shells that stop themselves: what a shell forks is one more of that name for a
 * moment. `n`: how many there are. */
static struct breach_seen look_at(pid_t pid, size_t *n)
{
    struct breach_of of = {.pid = pid};
    struct breach_javas javas;
    struct breach_seen seen = {0};
    struct child child;
    char why[256];

    breach_find_java(&of, &javas);
    *n = javas.n;
    if (javas.n == 0)
        return seen;
    assert_int_equal(breach_look_begin(&javas, &child, why, sizeof(why)), 0);
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
    seen = breach_look_read(&child);
    child_forget(&child);
    return seen;
}

static pid_t soon_ungated(pid_t pid)
{
    pid_t seen = 0;
    size_t n;

    for (int i = 0; i < 5000 && seen == 0; i++, usleep(1000))
        seen = look_at(pid, &n).ungated;
    return seen;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(-pid, SIGKILL), 0);
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
    static const char livy[] = "org.apache.livy.server.LivyServer", wait[] = "kill -STOP $$";
    char directory[] = "/tmp/livy-ha-breach-XXXXXX", java[64], child[256];
    size_t n;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(java, sizeof(java), "%s/java", directory);
    copy("/bin/sh", java); /* a shell of that name, which takes any argument */
    pid_t pid = run(java, wait, "x");
    assert_int_equal(soon_ungated(pid), pid);
    end(pid);
    snprintf(child, sizeof(child), "%s -c '%s' %s; :", java, wait, livy);
    pid = run("/bin/sh", child, "x"); /* a start script that does not exec */
    pid_t found = soon_ungated(pid);
    assert_true(found > 0 && found != pid);
    end(pid);
    assert_int_equal(look_at(getpid(), &n).ungated, 0);
    assert_int_equal(n, 0);
    assert_int_equal(unlink(java), 0);
    assert_int_equal(rmdir(directory), 0);
}

/* A start script that makes a daemon of it: a subreaper inherits it. */
static void test_java_that_has_left(void **state)
{
    char directory[] = "/tmp/livy-ha-breach-XXXXXX", java[64], script[256];

    (void)state;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    assert_non_null(mkdtemp(directory));
    snprintf(java, sizeof(java), "%s/java", directory);
    copy("/bin/sh", java);
    snprintf(script, sizeof(script),
             "(setsid %s -c 'kill -STOP $$' org.apache.livy.server.LivyServer &); sleep 60; :", java);
    pid_t pid = run("/bin/sh", script, "x"), left = soon_ungated(pid);
    assert_true(left > 0 && left != pid);
    struct breach_of of = {.pid = pid, .ours = &left, .n_ours = 1};
    struct breach_javas javas;
    breach_find_java(&of, &javas);
    assert_int_equal(javas.n, 0); /* one that we have started ourselves is none of its */
    end(pid);
    while (waitpid(left, NULL, WNOHANG) < 0 && errno == ECHILD)
        usleep(1000); /* its parent is on its way to its end: then it is ours */
    end(left);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    assert_int_equal(unlink(java), 0);
    assert_int_equal(rmdir(directory), 0);
}

/* With the agent; and a start script that asks another Java for its version. */
static void test_java_as_it_should_be(void **state)
{
    static const char wait[] = "kill -STOP $$";
    char directory[] = "/tmp/livy-ha-breach-XXXXXX", java[64], child[256];
    const char *scripts[2] = {wait, child};

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(java, sizeof(java), "%s/java", directory);
    copy("/bin/sh", java);
    snprintf(child, sizeof(child), "%s -c '%s' -version; :", java, wait);
    for (int i = 0; i < 2; i++) {
        pid_t pid =
            run(i == 0 ? java : "/bin/sh", scripts[i], "-agentpath:/x/liblivy-ha-gate.so=hold,channel=64");
        pid_t gated = 0;
        size_t n;
        for (int looks = 0; looks<20; looks += n> 0 ? 1 : 0, usleep(1000)) {
            struct breach_seen seen = look_at(pid, &n);
            assert_int_equal(seen.ungated, 0);
            gated = seen.gated;
        }
        assert_int_equal(gated, i == 0 ? pid : 0);
        end(pid);
    }
    assert_int_equal(unlink(java), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_listens),
        cmocka_unit_test(test_a_connection_is_no_listener),
        cmocka_unit_test(test_java_without_the_agent),
        cmocka_unit_test(test_java_that_has_left),
        cmocka_unit_test(test_java_as_it_should_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
