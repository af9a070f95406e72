/* The addresses of the Livy that requests go to: which are used while a name is looked up, and where that
 * fails. The resolver is the test's (--wrap, tests/CMakeLists.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "target.h"

struct bed {
    struct target target;
    struct event_base *base;
    unsigned looks, changes;
    resolve_done *done; /* of the look-up that is under way; NULL: none is */
    void *arg;
};

static struct bed *at_hand; /* of the wrapped functions, which know nothing of it */

struct resolve *__wrap_resolve_start(struct event_base *base, const char *host, int port, resolve_done *done,
                                     void *arg);
void __wrap_resolve_cancel(struct resolve *resolve);

struct resolve *__wrap_resolve_start(struct event_base *base, const char *host, int port, resolve_done *done,
                                     void *arg)
{
    (void)base;
    (void)host;
    (void)port;
    assert_null(at_hand->done);
    at_hand->looks++;
    at_hand->done = done;
    at_hand->arg = arg;
    return (struct resolve *)at_hand;
}

void __wrap_resolve_cancel(struct resolve *resolve)
{
    if (resolve != NULL)
        at_hand->done = NULL;
}

static void on_change(void *arg)
{
    struct bed *bed = arg;
    bed->changes++;
}

static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    at_hand = bed;
    bed->base = event_base_new();
    assert_non_null(bed->base);
    assert_int_equal(target_init(&bed->target, bed->base, on_change, bed), 0);
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;

    target_close(&bed->target);
    event_base_free(bed->base);
    free(bed);
    return 0;
}

/* The look-up that is under way finds this; NULL: nothing. */
static void found(struct bed *bed, const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&address;
    resolve_done *done = bed->done;

    assert_non_null(done);
    bed->done = NULL;
    v4->sin_family = AF_INET;
    if (text != NULL)
        assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
    done(bed->arg, &address, text != NULL, text != NULL ? NULL : "cannot resolve it");
}

static void assert_address(const struct bed *bed, const char *expected)
{
    struct sockaddr_storage address;
    char text[INET_ADDRSTRLEN];
    socklen_t length;

    assert_int_equal(target_address(&bed->target, 0, 80, &address, &length), expected != NULL);
    if (expected == NULL)
        return;
    assert_non_null(
        inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)&address)->sin_addr, text, sizeof(text)));
    assert_string_equal(text, expected);
}

/* The timer of the target, whatever it waits for. */
static void time_passes(const struct bed *bed)
{
    assert_true(evtimer_pending(bed->target.again, NULL));
    event_del(bed->target.again);
    event_active(bed->target.again, EV_TIMEOUT, 1);
    assert_true(event_base_loop(bed->base, EVLOOP_NONBLOCK) >= 0);
}

static void test_a_name(void **state)
{
    struct bed *bed = *state;

    target_set(&bed->target, "http://b:18998");
    assert_address(bed, NULL);
    found(bed, "10.0.0.5");
    assert_int_equal(bed->changes, 1);
    assert_address(bed, "10.0.0.5");
    target_set(&bed->target, "");
    assert_address(bed, NULL);
}

static void test_an_address_needs_no_look(void **state)
{
    struct bed *bed = *state;

    target_set(&bed->target, "http://10.0.0.7:18998");
    assert_address(bed, "10.0.0.7");
    assert_int_equal(bed->looks, 0);
}

/* With the next view its host may be another one, and its old address that of somebody else. */
static void test_an_old_address_waits_for_the_resolver(void **state)
{
    struct bed *bed = *state;

    target_set(&bed->target, "http://b:18998");
    found(bed, "10.0.0.5");
    target_set(&bed->target, "http://c:18998");
    found(bed, "10.0.0.6");
    target_set(&bed->target, "http://b:18998");
    assert_address(bed, NULL);
    found(bed, "10.0.0.9");
    assert_address(bed, "10.0.0.9");
    assert_int_equal(bed->changes, 3);
}

static void test_but_not_for_long(void **state)
{
    struct bed *bed = *state;

    target_set(&bed->target, "http://b:18998");
    found(bed, "10.0.0.5");
    target_set(&bed->target, "http://b:18998");
    assert_address(bed, NULL);
    time_passes(bed);
    assert_address(bed, "10.0.0.5");
    assert_int_equal(bed->changes, 2);
    found(bed, "10.0.0.9"); /* late */
    assert_address(bed, "10.0.0.9");
    assert_int_equal(bed->changes, 3);
}

static void test_nor_where_the_resolver_fails(void **state)
{
    struct bed *bed = *state;

    target_set(&bed->target, "http://b:18998");
    found(bed, "10.0.0.5");
    target_set(&bed->target, "http://b:18998");
    found(bed, NULL);
    assert_address(bed, "10.0.0.5");
    assert_int_equal(bed->changes, 2);
    unsigned looks = bed->looks;
    time_passes(bed);
    assert_int_equal(bed->looks, looks + 1);
    assert_address(bed, "10.0.0.5");
    found(bed, "10.0.0.9");
    assert_address(bed, "10.0.0.9");
}

static void test_a_name_that_was_never_found(void **state)
{
    struct bed *bed = *state;

    target_set(&bed->target, "http://b:18998");
    found(bed, NULL);
    assert_address(bed, NULL);
    assert_int_equal(bed->changes, 0);
    time_passes(bed);
    found(bed, "10.0.0.5");
    assert_address(bed, "10.0.0.5");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_bed, clear_bed)
    const struct CMUnitTest tests[] = {
        CASE(test_a_name),
        CASE(test_an_address_needs_no_look),
        CASE(test_an_old_address_waits_for_the_resolver),
        CASE(test_but_not_for_long),
        CASE(test_nor_where_the_resolver_fails),
        CASE(test_a_name_that_was_never_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
