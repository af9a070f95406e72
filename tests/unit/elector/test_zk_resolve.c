/* zk_resolve.h: literals, names of /etc/hosts, and names that nobody has. */
#include "zk_resolve.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define LIMIT 60 /* s: an unknown name is the resolver's time-out */

static struct event_base *base;

struct result {
    int calls;
    bool resolved;
    char literals[4096], error[1024];
};

static void on_resolved(void *arg, const char *literals, const char *error)
{
    struct result *result = arg;

    result->calls++;
    result->resolved = literals != NULL;
    (void)snprintf(result->literals, sizeof result->literals, "%s", literals != NULL ? literals : "");
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
    struct timeval tick = {0, 20000};

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

static void resolve(const char *hosts, struct result *result)
{
    time_t end = time(NULL) + LIMIT;

    memset(result, 0, sizeof *result);
    assert_non_null(zk_resolve_start(base, hosts, on_resolved, result));
    assert_int_equal(result->calls, 0); /* never from within */
    while (result->calls == 0 && time(NULL) < end)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(result->calls, 1);
}

static int count(const char *list)
{
    int n = 1;

    for (; *list != '\0'; list++)
        n += *list == ',';
    return n;
}

static void test_literals(void **state)
{
    struct result result;

    (void)state;
    resolve("10.0.0.1:2182,10.0.0.2,[::1]:2183", &result);
    assert_true(result.resolved);
    assert_string_equal(result.error, "");
    assert_int_equal(count(result.literals), 3);
    assert_non_null(strstr(result.literals, "10.0.0.1:2182"));
    assert_non_null(strstr(result.literals, "10.0.0.2:2181"));
    /* As libzookeeper takes it: no brackets. */
    assert_non_null(strstr(result.literals, "::1:2183"));
    assert_null(strchr(result.literals, '['));
    resolve("[fd00::2]", &result);
    assert_string_equal(result.literals, "fd00::2:2181");
}

static void test_even_is_padded(void **state)
{
    struct result result;
    char *first, *last;

    (void)state;
    resolve(" 10.0.0.1:2181 , 10.0.0.2:2181 ", &result);
    assert_int_equal(count(result.literals), 3);
    first = strtok(result.literals, ",");
    assert_non_null(strtok(NULL, ","));
    last = strtok(NULL, ",");
    assert_string_equal(first, last);
    /* The same server named twice counts once. */
    resolve("10.0.0.1:2181,10.0.0.1:2181", &result);
    assert_string_equal(result.literals, "10.0.0.1:2181");
}

static void test_chroot(void **state)
{
    struct result result;

    (void)state;
    resolve("10.0.0.1:2181,10.0.0.2:2181/app/ha", &result);
    assert_int_equal(count(result.literals), 3);
    assert_string_equal(result.literals + strlen(result.literals) - 7, "/app/ha");
    assert_ptr_equal(strchr(result.literals, '/'), result.literals + strlen(result.literals) - 7);
    resolve("10.0.0.1:2181/", &result);
    assert_string_equal(result.literals, "10.0.0.1:2181");
}

static void test_names(void **state)
{
    struct result result;

    (void)state;
    resolve("localhost:2185", &result);
    assert_true(result.resolved);
    assert_non_null(strstr(result.literals, "127.0.0.1:2185"));
    assert_int_equal(count(result.literals) % 2, 1);
    assert_null(strstr(result.literals, "localhost"));
}

static void test_unknown(void **state)
{
    struct result result;

    (void)state;
    resolve("127.0.0.1:2181,no-such-host.invalid:2181,localhost:2181", &result);
    assert_true(result.resolved);
    assert_non_null(strstr(result.literals, "127.0.0.1:2181"));
    assert_int_equal(count(result.literals) % 2, 1);
    assert_non_null(strstr(result.error, "no-such-host.invalid"));
    assert_null(strstr(result.error, "localhost"));
    resolve("no-such-host.invalid:2181,nor-this.invalid/app", &result);
    assert_false(result.resolved);
    assert_non_null(strstr(result.error, "no-such-host.invalid"));
    assert_non_null(strstr(result.error, "nor-this.invalid"));
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {"",        ",",     "/app",          "host:",       "host:0",
                                      "host:1x", "::1",   "[::1",          "[::1]x:2181", "host:65536",
                                      ":2181",   "[]:21", "good:2181,bad:"};
    struct result result = {0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        errno = 0;
        assert_null(zk_resolve_start(base, bad[i], on_resolved, &result));
        assert_int_equal(errno, EINVAL);
    }
    assert_int_equal(result.calls, 0);
}

/* Cancelled at any moment of the threads' lives, `done` is not called. A later one still works. */
static void test_cancel(void **state)
{
    struct result cancelled = {0}, result;

    (void)state;
    for (int i = 0; i < 50; i++) {
        struct zk_resolve *one =
            zk_resolve_start(base, "localhost:1,127.0.0.1:2,no-such.invalid:3", on_resolved, &cancelled);

        assert_non_null(one);
        if (i % 2 == 1)
            usleep((useconds_t)(i * 20)); /* not waiting for anything: spreads the moments */
        zk_resolve_cancel(one);
    }
    zk_resolve_cancel(NULL);
    resolve("localhost:2181", &result);
    assert_true(result.resolved);
    assert_int_equal(cancelled.calls, 0);
}

/* More names than there may be look-ups at a time: the others wait for their turn. */
static void test_many_names(void **state)
{
    struct result result;
    char hosts[2048], wanted[32];
    size_t length = 0;

    (void)state;
    for (int i = 0; i < 60; i++)
        length += (size_t)snprintf(hosts + length, sizeof hosts - length, "%slocalhost:%d", i > 0 ? "," : "",
                                   3000 + i);
    resolve(hosts, &result);
    assert_string_equal(result.error, "");
    for (int i = 0; i < 60; i++) {
        (void)snprintf(wanted, sizeof wanted, "127.0.0.1:%d", 3000 + i);
        assert_non_null(strstr(result.literals, wanted));
    }
}

static void test_shuffled(void **state)
{
    struct result result;
    bool seen[3] = {false};

    (void)state;
    for (int i = 0; i < 200 && !(seen[0] && seen[1] && seen[2]); i++) {
        resolve("10.0.0.1:1,10.0.0.2:1,10.0.0.3:1", &result);
        seen[result.literals[7] - '1'] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals), cmocka_unit_test(test_even_is_padded),
        cmocka_unit_test(test_chroot),   cmocka_unit_test(test_names),
        cmocka_unit_test(test_unknown),  cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_cancel),   cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_shuffled),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
