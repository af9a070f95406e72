/* test_route.c - where a front's requests go, and when all fronts hold: decided from records as they stand in
 * ZooKeeper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "route.h"

#define TRUSTED 5000
#define LEASED 3000

static const struct route_self standby = {
    .id = "a", .livy_url = "http://127.0.0.1:18998", .front_url = "http://a:8998", .trusted = TRUSTED};

static struct route_self serving(int64_t epoch)
{
    struct route_self self = standby;

    self.alive = self.serving = true;
    self.epoch = epoch;
    self.leased = LEASED;
    return self;
}

static json_t *parse(const char *text)
{
    json_t *members = json_loads(text, 0, NULL);

    assert_non_null(members);
    return members;
}

static struct front_view decide(const struct route_self *self, const char *text)
{
    json_t *members = parse(text);
    struct front_view view;

    route_decide(self, members, &view);
    json_decref(members);
    return view;
}

#define RECORD(id, role, livy, epoch, more)                                                                  \
    "\"" id "\": {\"role\": \"" role "\", \"livy\": \"" livy "\", \"epoch\": " epoch                         \
    ", \"url\": \"http://" id ":8998\", \"livy_url\": \"http://" id ":18998\"" more "}"

static void test_nobody(void **state)
{
    static const char *const texts[] = {
        "{}",
        "{" RECORD("b", "standby", "none", "null", "") "}",
        "{" RECORD("b", "active", "starting", "7", "") "}",
        "{" RECORD("b", "active", "none", "7", "") "}",
        "{" RECORD("b", "active", "stopping", "7", "") "}",
        "{" RECORD("b", "active", "serving", "null", "") "}",
        "{" RECORD("b", "active", "serving", "0", "") "}",
        "{" RECORD("b", "active", "serving", "\"7\"", "") "}",
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7}}", /* no address */
        "{\"b\": []}",
        "{" RECORD("a", "active", "serving", "7", "") "}", /* what we said ourselves, before */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct front_view view = decide(&standby, texts[i]);
        assert_int_equal(view.route, FRONT_NOBODY);
        assert_int_equal(view.epoch, 0);
        assert_string_equal(view.id, "");
        assert_string_equal(view.livy_url, "");
    }
}

static void test_another(void **state)
{
    static const char *const livys[] = {"{" RECORD("b", "active", "serving", "7", "") "}",
                                        "{" RECORD("b", "active", "unhealthy", "7", "") "}"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct front_view view = decide(&standby, livys[i]);
        assert_int_equal(view.route, FRONT_REMOTE);
        assert_int_equal(view.epoch, 7);
        assert_string_equal(view.id, "b");
        assert_string_equal(view.livy_url, "http://b:18998");
        assert_string_equal(view.front_url, "http://b:8998");
        assert_int_equal(view.valid_until, TRUSTED);
        assert_int_equal(view.tls, 0);
    }
}

static void test_here(void **state)
{
    struct route_self self = serving(7);

    (void)state;
    struct front_view view = decide(&self, "{" RECORD("b", "standby", "none", "null", "") "}");
    assert_int_equal(view.route, FRONT_LOCAL);
    assert_int_equal(view.epoch, 7);
    assert_string_equal(view.id, "a");
    assert_string_equal(view.livy_url, "http://127.0.0.1:18998");
    assert_string_equal(view.front_url, "http://a:8998");
    assert_int_equal(view.valid_until, LEASED); /* not a moment longer than its Livy may live */

    self.serving = false; /* starts, or is being stopped */
    view = decide(&self, "{}");
    assert_int_equal(view.route, FRONT_NOBODY);
}

/* The record of a member that is gone stands for up to a session's time-out. */
static void test_the_highest_epoch_counts(void **state)
{
    struct route_self self = serving(7);

    (void)state;
    assert_int_equal(decide(&self, "{" RECORD("b", "active", "serving", "6", "") "}").route, FRONT_LOCAL);
    struct front_view view = decide(&self, "{" RECORD("b", "active", "serving", "8", "") "}");
    assert_int_equal(view.route, FRONT_REMOTE);
    assert_string_equal(view.id, "b");
    view = decide(&standby,
                  "{" RECORD("b", "active", "serving", "6", "") ", " RECORD(
                      "c", "active", "serving", "8", "") ", " RECORD("d", "active", "serving", "7", "") "}");
    assert_string_equal(view.id, "c");
    /* The one that is on its way counts, not the one that was. */
    view = decide(&standby, "{" RECORD("b", "active", "serving", "6",
                                       "") ", " RECORD("c", "active", "starting", "8", "") "}");
    assert_int_equal(view.route, FRONT_NOBODY);
    self = serving(9);
    self.serving = false;
    assert_int_equal(decide(&self, "{" RECORD("b", "active", "serving", "6", "") "}").route, FRONT_NOBODY);
}

static void test_a_hand_over(void **state)
{
    struct route_self self = serving(7);

    (void)state;
    self.quiescing = true;
    struct front_view view = decide(&self, "{}");
    assert_int_equal(view.route, FRONT_PAUSE);
    assert_int_equal(view.epoch, 7);
    assert_string_equal(view.livy_url, "http://127.0.0.1:18998");
    assert_int_equal(view.valid_until, LEASED);
    self.serving = false; /* told to stop by now; what runs there may still end */
    assert_int_equal(decide(&self, "{}").route, FRONT_PAUSE);

    view = decide(&standby, "{" RECORD("b", "active", "stopping", "7", ", \"quiescing\": true") "}");
    assert_int_equal(view.route, FRONT_PAUSE);
    assert_int_equal(view.epoch, 7);
    assert_string_equal(view.id, "b");
    assert_int_equal(view.valid_until, TRUSTED);
}

static void test_tls_is_that_of_the_livy_meant(void **state)
{
    struct route_self self = standby;

    (void)state;
    self.tls = true;
    assert_int_equal(decide(&self, "{}").tls, 1);
    struct front_view view =
        decide(&standby, "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, "
                         "\"url\": \"https://b:8998\", \"livy_url\": \"https://b:18998\"}}");
    assert_int_equal(view.route, FRONT_REMOTE);
    assert_int_equal(view.tls, 1);
}

static void test_an_address_that_does_not_fit_is_none(void **state)
{
    char text[1024];

    (void)state;
    snprintf(
        text, sizeof(text),
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, \"url\": \"http://b:8998\", "
        "\"livy_url\": \"http://%0300d:18998\"}}",
        1);
    struct front_view view = decide(&standby, text);
    assert_int_equal(view.route, FRONT_NOBODY);
    assert_string_equal(view.livy_url, "");
    assert_string_equal(view.id, "");
}

static void test_manner_is_passed_on(void **state)
{
    struct route_self self = standby;

    (void)state;
    self.mode = FRONT_REDIRECT;
    self.ending = FRONT_ENDS;
    self.yield = true;
    struct front_view view = decide(&self, "{}");
    assert_int_equal(view.mode, FRONT_REDIRECT);
    assert_int_equal(view.ending, 1);
    assert_int_equal(view.yield, 1);
}

/* ---- who is waited for ---- */

static bool held(const char *text, int64_t epoch)
{
    json_t *members = parse(text);
    bool all = route_others_hold(members, "a", epoch);

    json_decref(members);
    return all;
}

#define FRONT(id, front) RECORD(id, "standby", "none", "null", ", \"front\": " front)

static void test_who_is_waited_for(void **state)
{
    (void)state;
    assert_true(held("{}", 7));
    assert_true(held("{" RECORD("b", "standby", "none", "null", "") "}", 7)); /* no front */
    assert_true(held("{" FRONT("b", "{\"mode\": \"redirect\"}") "}", 7));     /* nothing goes through it */
    assert_true(held("{" FRONT("a", "{\"mode\": \"forward\"}") "}", 7));      /* ours is asked itself */
    assert_false(held("{" FRONT("b", "{\"mode\": \"forward\"}") "}", 7));
    assert_false(
        held("{" FRONT("b", "{\"mode\": \"forward\", \"held\": 6}") "}", 7)); /* another hand-over's */
    assert_true(held("{" FRONT("b", "{\"mode\": \"forward\", \"held\": 7}") "}", 7));
    assert_false(held(
        "{" FRONT("b", "{\"mode\": \"forward\", \"held\": 7}") ", " FRONT("c", "{\"mode\": \"forward\"}") "}",
        7));
    assert_true(held("{\"b\": 3, \"c\": {\"front\": true}}", 7));
}

static void test_whether_anybody_is_to_be_told(void **state)
{
    json_t *members =
        parse("{" FRONT("a", "{\"mode\": \"forward\"}") ", " FRONT("b", "{\"mode\": \"redirect\"}") "}");

    (void)state;
    assert_false(route_others_forward(members, "a"));
    assert_true(route_others_forward(members, "b"));
    json_decref(members);
}

static void test_whether_there_may_be_a_next_one(void **state)
{
    static const struct {
        const char *text;
        bool stands;
    } rows[] = {
        {"{}", false},
        {"{" RECORD("a", "active", "serving", "7", "") "}", false}, /* ourselves */
        {"{" RECORD("b", "standby", "none", "null", "") "}", true},
        {"{" RECORD("b", "active", "serving", "8", "") "}", true},
        {"{" RECORD("b", "drained", "none", "null", "") "}", false},
        {"{" RECORD("b", "joining", "none", "null", "") "}", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *members = json_loads(rows[i].text, 0, NULL);
        assert_non_null(members);
        assert_int_equal(route_others_stand(members, "a"), rows[i].stands);
        json_decref(members);
    }
}

/* It becomes a Location, and the name another field, of what clients are answered. */
static void test_what_is_no_address_goes_into_no_answer(void **state)
{
    static const char *const texts[] = {
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, \"livy_url\": "
        "\"http://b:18998\", "
        "\"url\": \"http://b\\r\\nSet-Cookie: x:8998\"}}",
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, \"livy_url\": "
        "\"http://b:18998\\n\", "
        "\"url\": \"http://b:8998\"}}",
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, \"livy_url\": "
        "\"http://b:18998\", "
        "\"url\": \"javascript:alert(1)\"}}",
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, \"livy_url\": "
        "\"http://b:18998\", "
        "\"url\": \"//b:8998\"}}",
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, \"livy_url\": "
        "\"http://b:18998\", "
        "\"url\": \"http://\"}}",
        "{\"b\": {\"role\": \"active\", \"livy\": \"serving\", \"epoch\": 7, \"livy_url\": "
        "\"http://b:18998\", "
        "\"url\": \"http://b:8998/ x\"}}",
        "{" RECORD("b c", "active", "serving", "7", "") "}",
        "{" RECORD("b\\u00e9", "active", "serving", "7", "") "}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct front_view view = decide(&standby, texts[i]);
        assert_int_equal(view.route, FRONT_NOBODY);
        assert_string_equal(view.front_url, "");
        assert_string_equal(view.id, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_another),
        cmocka_unit_test(test_here),
        cmocka_unit_test(test_the_highest_epoch_counts),
        cmocka_unit_test(test_a_hand_over),
        cmocka_unit_test(test_tls_is_that_of_the_livy_meant),
        cmocka_unit_test(test_an_address_that_does_not_fit_is_none),
        cmocka_unit_test(test_what_is_no_address_goes_into_no_answer),
        cmocka_unit_test(test_manner_is_passed_on),
        cmocka_unit_test(test_who_is_waited_for),
        cmocka_unit_test(test_whether_anybody_is_to_be_told),
        cmocka_unit_test(test_whether_there_may_be_a_next_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
