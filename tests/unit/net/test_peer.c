/* Which connections are of one address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "peer.h"

static void key_of(const char *text, uint16_t port, unsigned char key[static PEER_KEY])
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        peer_key((const struct sockaddr *)&v4, key);
        return;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    peer_key((const struct sockaddr *)&v6, key);
}

static bool same(const char *a, const char *b)
{
    unsigned char one[PEER_KEY], other[PEER_KEY];

    key_of(a, 1, one);
    key_of(b, 2, other);
    return memcmp(one, other, PEER_KEY) == 0;
}

static void test_same(void **state)
{
    (void)state;
    assert_true(same("10.0.0.1", "10.0.0.1"));
    assert_true(same("10.0.0.1", "::ffff:10.0.0.1"));
    assert_true(same("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"));
}

static void test_different(void **state)
{
    (void)state;
    assert_false(same("10.0.0.1", "10.0.0.2"));
    assert_false(same("::ffff:10.0.0.1", "::ffff:10.0.0.2"));
    assert_false(same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert_false(same("::1", "127.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_different),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
