/* Who gets a connection: shares, grace, eviction. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quota.h"

#define MAX 100

struct crowd {
    struct quota quota;
    struct quota_slot slots[2 * MAX];
};

static const struct sockaddr *address(struct sockaddr_storage *space, const char *text)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)space;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)space;

    memset(space, 0, sizeof(*space));
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
        v6->sin6_family = AF_INET6;
    }
    return (const struct sockaddr *)space;
}

static void take(struct crowd *c, size_t first, size_t n, const char *from, int64_t now)
{
    struct sockaddr_storage space;

    for (size_t i = first; i < first + n; i++)
        assert_true(quota_take(&c->quota, &c->slots[i], address(&space, from), now));
}

static enum quota_verdict ask(struct crowd *c, const char *from, int64_t now, struct quota_slot **victim)
{
    struct sockaddr_storage space;
    return quota_ask(&c->quota, address(&space, from), now, victim);
}

static void give_all(struct crowd *c)
{
    for (size_t i = 0; i < 2 * (size_t)MAX; i++)
        quota_give(&c->quota, &c->slots[i]);
    assert_int_equal(c->quota.used, 0);
    for (size_t i = 0; i < QUOTA_BUCKETS; i++)
        assert_null(c->quota.buckets[i]);
}

static void open_to_three_quarters(void **state)
{
    static struct crowd c;
    struct quota_slot *victim;

    (void)state;
    memset(&c, 0, sizeof(c));
    quota_init(&c.quota, MAX);
    take(&c, 0, 74, "10.0.0.1", 0);
    assert_int_equal(ask(&c, "10.0.0.1", 100000, &victim), QUOTA_ADMIT);
    take(&c, 74, 1, "10.0.0.1", 0);
    assert_int_equal(ask(&c, "10.0.0.1", QUOTA_GRACE - 1, &victim), QUOTA_ADMIT);
    assert_int_equal(ask(&c, "10.0.0.1", QUOTA_GRACE, &victim), QUOTA_EVICT);
    assert_ptr_equal(victim, &c.slots[0]);
    /* Another address has nothing to do with it. */
    assert_int_equal(ask(&c, "10.0.0.2", QUOTA_GRACE, &victim), QUOTA_ADMIT);
    give_all(&c);
}

static void proved_ones_stay(void **state)
{
    static struct crowd c;
    struct quota_slot *victim;

    (void)state;
    memset(&c, 0, sizeof(c));
    quota_init(&c.quota, MAX);
    take(&c, 0, MAX, "10.0.0.1", 0);
    for (size_t i = 0; i < MAX; i++)
        if (i != 42)
            quota_prove(&c.quota, &c.slots[i]);
    assert_int_equal(ask(&c, "10.0.0.2", 0, &victim), QUOTA_EVICT);
    assert_ptr_equal(victim, &c.slots[42]);
    quota_prove(&c.quota, &c.slots[42]);
    quota_prove(&c.quota, &c.slots[42]); /* twice is once */
    assert_int_equal(ask(&c, "10.0.0.2", 100000, &victim), QUOTA_REJECT);
    quota_give(&c.quota, &c.slots[7]);
    quota_give(&c.quota, &c.slots[7]);
    assert_int_equal(ask(&c, "10.0.0.1", 100000, &victim), QUOTA_ADMIT);
    give_all(&c);
}

static void the_oldest_of_all_where_all_is_taken(void **state)
{
    static struct crowd c;
    struct quota_slot *victim;

    (void)state;
    memset(&c, 0, sizeof(c));
    quota_init(&c.quota, MAX);
    take(&c, 0, 30, "10.0.0.3", 0);
    take(&c, 30, 60, "10.0.0.1", 0);
    take(&c, 90, 10, "2001:db8::1", 0);
    assert_int_equal(ask(&c, "10.0.0.9", 0, &victim), QUOTA_EVICT);
    assert_ptr_equal(victim, &c.slots[0]);
    /* An address over its share pays with its own. */
    assert_int_equal(ask(&c, "10.0.0.1", QUOTA_GRACE, &victim), QUOTA_EVICT);
    assert_ptr_equal(victim, &c.slots[30]);
    give_all(&c);
}

static void ipv6_by_its_network(void **state)
{
    static struct crowd c;
    struct quota_slot *victim;

    (void)state;
    memset(&c, 0, sizeof(c));
    quota_init(&c.quota, MAX);
    take(&c, 0, 40, "2001:db8::1", 0);
    take(&c, 40, 40, "2001:db8::ffff:1", 0);
    assert_int_equal(ask(&c, "2001:db8::9", 10000, &victim), QUOTA_EVICT);
    assert_int_equal(ask(&c, "2001:db8:0:1::9", 10000, &victim), QUOTA_ADMIT);
    give_all(&c);
    take(&c, 0, 40, "::ffff:10.0.0.1", 0);
    take(&c, 40, 40, "10.0.0.1", 0);
    assert_int_equal(ask(&c, "10.0.0.1", 10000, &victim), QUOTA_EVICT);
    give_all(&c);
}

static void a_smaller_bound_by_reload(void **state)
{
    static struct crowd c;
    struct quota_slot *victim;

    (void)state;
    memset(&c, 0, sizeof(c));
    quota_init(&c.quota, MAX);
    take(&c, 0, 50, "10.0.0.1", 0);
    for (size_t i = 0; i < 50; i++)
        quota_prove(&c.quota, &c.slots[i]);
    c.quota.max = 10;
    assert_int_equal(ask(&c, "10.0.0.1", 0, &victim), QUOTA_REJECT);
    c.quota.max = 1;
    assert_int_equal(ask(&c, "10.0.0.1", 0, &victim), QUOTA_REJECT);
    give_all(&c);
    assert_int_equal(ask(&c, "10.0.0.1", 0, &victim), QUOTA_ADMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_to_three_quarters),
        cmocka_unit_test(proved_ones_stay),
        cmocka_unit_test(the_oldest_of_all_where_all_is_taken),
        cmocka_unit_test(ipv6_by_its_network),
        cmocka_unit_test(a_smaller_bound_by_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
