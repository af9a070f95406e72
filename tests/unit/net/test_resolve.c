/* test_resolve.c - names to addresses: literals, a name of /etc/hosts, names that nobody has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "resolve.h"

#define LIMIT 60000 /* ms: an unknown name is the resolver's time-out */

static struct event_base *base;

struct result {
    int calls, lacked;
    size_t n;
    struct sockaddr_storage addresses[RESOLVE_ADDRESSES];
    char error[2048];
};

static void on_resolved(void *arg, const struct sockaddr_storage *addresses, size_t n, const char *error)
{
    struct result *result = arg;

    result->lacked = errno;
    result->calls++;
    result->n = n;
    assert_in_range(n, 0, RESOLVE_ADDRESSES);
    memcpy(result->addresses, addresses, n * sizeof *addresses);
    assert_int_equal(n == 0, error != NULL);
    (void)snprintf(result->error, sizeof result->error, "%s", error != NULL ? error : "");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static int setup(void **state)
{
    const struct timeval tick = {0, 20000};

    base = event_base_new();
    *state = base != NULL ? event_new(base, -1, EV_PERSIST, on_tick, NULL) : NULL;
    return *state != NULL && event_add(*state, &tick) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    event_free(*state);
    event_base_free(base);
    return 0;
}

static void finish(struct result *result)
{
    const int64_t end = clock_boot_ms() + LIMIT;

    while (result->calls == 0 && clock_boot_ms() < end)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(result->calls, 1);
}

static void resolve(const char *host, int port, struct result *result)
{
    memset(result, 0, sizeof *result);
    assert_non_null(resolve_start(base, host, port, on_resolved, result));
    assert_int_equal(result->calls, 0); /* never from within */
    finish(result);
}

static void assert_v4(const struct sockaddr_storage *address, const char *text, int port)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    char written[INET_ADDRSTRLEN];

    assert_int_equal(v4->sin_family, AF_INET);
    assert_string_equal(inet_ntop(AF_INET, &v4->sin_addr, written, sizeof written), text);
    assert_int_equal(ntohs(v4->sin_port), port);
}

static void test_literals(void **state)
{
    struct result result;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&result.addresses[0];

    (void)state;
    resolve("10.0.0.1", 8998, &result);
    assert_int_equal(result.n, 1);
    assert_v4(&result.addresses[0], "10.0.0.1", 8998);
    resolve("::1", 65535, &result);
    assert_int_equal(result.n, 1);
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_memory_equal(&v6->sin6_addr, &in6addr_loopback, sizeof in6addr_loopback);
    assert_int_equal(ntohs(v6->sin6_port), 65535);
}

static void test_name(void **state)
{
    struct result result;
    int loopback = 0;

    (void)state;
    resolve("localhost", 1234, &result);
    assert_in_range(result.n, 1, 2);
    for (size_t i = 0; i < result.n; i++) {
        if (result.addresses[i].ss_family != AF_INET)
            continue;
        assert_v4(&result.addresses[i], "127.0.0.1", 1234);
        loopback++; /* each address once, however often /etc/hosts has it */
    }
    assert_int_equal(loopback, 1);
}

static void test_unknown(void **state)
{
    struct result result;

    (void)state;
    resolve("no-such-host.invalid", 80, &result);
    assert_int_equal(result.n, 0);
    assert_memory_equal(result.error, "cannot resolve no-such-host.invalid (", 37);
    assert_int_equal(result.lacked, 0); /* the name is to blame, or its server: not this process */
    resolve("[::1]", 80, &result); /* a literal comes without brackets: this is a name, which nobody has */
    assert_int_equal(result.n, 0);
}

static void test_malformed(void **state)
{
    struct result result = {0};
    char *endless = malloc(5000);

    (void)state;
    assert_non_null(endless);
    memset(endless, 'a', 4999);
    endless[4999] = '\0';
    const struct {
        const char *host;
        int port;
    } bad[] = {{"", 80}, {"localhost", -1}, {"localhost", 65536}, {endless, 80}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        assert_null(resolve_start(base, bad[i].host, bad[i].port, on_resolved, &result));
        assert_int_equal(errno, EINVAL);
    }
    free(endless);
}

/* At any moment of the thread's life. */
static void test_cancel(void **state)
{
    struct result cancelled = {0}, result;

    (void)state;
    resolve_cancel(NULL);
    for (int i = 0; i < 100; i++) {
        struct resolve *one =
            resolve_start(base, i % 3 == 0 ? "127.0.0.1" : "localhost", 80, on_resolved, &cancelled);

        if (one == NULL)
            assert_int_equal(errno, EAGAIN); /* those that were forgotten have not ended yet */
        if (i % 2 == 1)
            usleep((useconds_t)(i * 10)); /* not waiting for anything: spreads the moments */
        resolve_cancel(one);
    }
    resolve("127.0.0.1", 80, &result);
    assert_int_equal(cancelled.calls, 0);
}

/* Who lacks descriptors is told so, not that the name is wrong. */
static void test_without_descriptors(void **state)
{
    const int64_t end = clock_boot_ms() + LIMIT;
    struct result result = {0};
    struct rlimit before, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    /* The look-ups that the test before has forgotten go on until they end, and count as long. */
    do {
        assert_null(resolve_start(base, "localhost", 80, on_resolved, &result));
    } while (errno == EAGAIN && clock_boot_ms() < end && usleep(1000) == 0);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    /* begun, but then there is none left to ask with */
    assert_non_null(resolve_start(base, "no-such-host.invalid", 80, on_resolved, &result));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    finish(&result);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result.n, 0);
    if (result.lacked != 0) { /* unless the thread was faster than the limit */
        assert_int_equal(result.lacked, EMFILE);
        assert_non_null(strstr(result.error, "no-such-host.invalid (Too many open files)"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals), cmocka_unit_test(test_name),
        cmocka_unit_test(test_unknown),  cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_cancel),   cmocka_unit_test(test_without_descriptors),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
