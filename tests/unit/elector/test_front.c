/* test_front.c - the elector's side of a planned stop (QUIESCE): when it is quiet, by what the relay counts
 * and by what the other members' records say, whatever these say. The relay is the test's, over a real
 * channel; the rest of the elector is left out by the linker (--wrap, tests/CMakeLists.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/packet.h"

#define EPOCH 7

struct bed {
    struct elector e;
    struct conf conf;
    json_t *members;
    int relay;              /* -1: none */
    struct front_view view; /* as last told */
    unsigned quiet, published;
};

static struct bed *at_hand; /* of the wrapped functions, which know nothing of it */

/* ---- the rest of the elector ---- */

void __wrap_elector_step(struct elector *e, struct core_event *event);
void __wrap_act_publish(struct elector *e);
void __wrap_act_publish_now(struct elector *e);
void __wrap_snapshot_listen(struct snapshot *snapshot, bool listened);
const json_t *__wrap_view_members(const struct view *view);
uint64_t __wrap_view_version(const struct view *view);

void __wrap_elector_step(struct elector *e, struct core_event *event)
{
    assert_int_equal(event->type, CORE_EV_QUIET);
    at_hand->quiet++;
    front_update(e->front); /* as at the end of each step */
}

void __wrap_act_publish(struct elector *e)
{
    (void)e;
    at_hand->published++;
}

void __wrap_act_publish_now(struct elector *e)
{
    (void)e;
    at_hand->published++;
}

void __wrap_snapshot_listen(struct snapshot *snapshot, bool listened)
{
    (void)snapshot;
    (void)listened;
}

const json_t *__wrap_view_members(const struct view *view)
{
    (void)view;
    return at_hand->members;
}

uint64_t __wrap_view_version(const struct view *view)
{
    (void)view;
    return 1;
}

/* ---- the bed ---- */

/* A member "a" whose Livy serves, without a relay yet. */
static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    struct core *c;

    assert_non_null(bed);
    at_hand = bed;
    c = &bed->e.core;
    bed->conf.id = "a";
    bed->conf.front =
        (struct conf_front){.listen = "0.0.0.0:8998", .thrift_listen = "off", .advertise = "http://a:8998"};
    bed->conf.livy.port = 18998;
    bed->e.conf = &bed->conf;
    snprintf(bed->e.livy_at, sizeof(bed->e.livy_at), "http *");
    snprintf(bed->e.livy_address, sizeof(bed->e.livy_address), "127.0.0.1");
    bed->e.base = event_base_new();
    assert_non_null(bed->e.base);
    bed->members = json_object();
    bed->relay = -1;
    c->connected = c->serving = c->served = true;
    c->timeout = 10000;
    c->livy.state = IPC_LIVY_ALIVE;
    c->livy.epoch = c->epoch = EPOCH;
    c->leased = clock_boot_ms() + 60000;
    bed->e.front = front_new(&bed->e);
    assert_non_null(bed->e.front);
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;

    front_free(bed->e.front);
    event_base_free(bed->e.base);
    json_decref(bed->members);
    if (bed->relay >= 0)
        close(bed->relay);
    free(bed);
    return 0;
}

static void spin(const struct bed *bed)
{
    assert_true(event_base_loop(bed->e.base, EVLOOP_NONBLOCK) >= 0);
}

static void hear(struct bed *bed)
{
    struct front_msg msg;
    int fd;

    spin(bed);
    while (front_recv(bed->relay, &msg, &fd) == 1)
        if (msg.type == FRONT_VIEW)
            bed->view = msg.view;
}

static void join_relay(struct bed *bed)
{
    int pair[2];

    if (bed->relay >= 0)
        close(bed->relay);
    assert_int_equal(packet_pair(pair), 0);
    bed->relay = pair[1];
    front_peer(bed->e.front, pair[0]);
    hear(bed);
}

static void count(struct bed *bed, uint64_t serial, uint32_t running)
{
    struct front_msg msg = {.type = FRONT_COUNTS, .counts = {.serial = serial, .running = running}};

    assert_int_equal(front_send(bed->relay, &msg, -1), 0);
    spin(bed);
}

static void quiesce(struct bed *bed, bool on)
{
    bed->e.stepping++; /* it is an action of the core's */
    front_quiesce(bed->e.front, on);
    assert_int_equal(bed->quiet, 0);
    bed->e.stepping--;
    front_update(bed->e.front);
    if (bed->relay >= 0)
        hear(bed);
}

static void others(struct bed *bed, const char *text)
{
    json_decref(bed->members);
    bed->members = json_loads(text, 0, NULL);
    assert_non_null(bed->members);
    front_update(bed->e.front);
}

/* ---- our own stop ---- */

static void test_without_a_relay_nothing_runs(void **state)
{
    struct bed *bed = *state;

    quiesce(bed, true);
    assert_int_equal(bed->quiet, 1);
    front_update(bed->e.front);
    assert_int_equal(bed->quiet, 1); /* said once */
}

static void test_what_runs_is_waited_for(void **state)
{
    struct bed *bed = *state;

    join_relay(bed);
    assert_int_equal(bed->view.route, FRONT_LOCAL);
    uint64_t before = bed->view.serial;
    count(bed, before, 0);
    quiesce(bed, true);
    assert_int_equal(bed->view.route, FRONT_PAUSE);
    assert_int_equal(bed->view.epoch, EPOCH);
    assert_int_equal(bed->quiet, 0);
    count(bed, before, 0); /* of the view before: what came since then may run by now */
    assert_int_equal(bed->quiet, 0);
    count(bed, bed->view.serial, 1);
    assert_int_equal(bed->quiet, 0);
    count(bed, bed->view.serial, 0);
    assert_int_equal(bed->quiet, 1);
    count(bed, bed->view.serial, 0);
    assert_int_equal(bed->quiet, 1);
}

static void test_a_relay_that_dies_is_not_waited_for(void **state)
{
    struct bed *bed = *state;

    join_relay(bed);
    quiesce(bed, true);
    count(bed, bed->view.serial, 5);
    assert_int_equal(bed->quiet, 0);
    close(bed->relay);
    bed->relay = -1;
    spin(bed);
    assert_int_equal(bed->quiet, 1);
}

/* The one that takes its place is told before it is believed. */
static void test_a_relay_that_is_replaced(void **state)
{
    struct bed *bed = *state;

    join_relay(bed);
    quiesce(bed, true);
    count(bed, bed->view.serial, 5);
    join_relay(bed);
    assert_int_equal(bed->view.route, FRONT_PAUSE);
    assert_int_equal(bed->quiet, 0);
    count(bed, bed->view.serial - 1, 0);
    assert_int_equal(bed->quiet, 0);
    count(bed, bed->view.serial, 0);
    assert_int_equal(bed->quiet, 1);
}

static void test_a_relay_that_talks_nonsense(void **state)
{
    static const char nonsense[] = "what?";
    struct bed *bed = *state;

    join_relay(bed);
    quiesce(bed, true);
    assert_int_equal(packet_send(bed->relay, nonsense, sizeof(nonsense), -1), 0);
    spin(bed); /* hung up on: the keeper starts another one */
    assert_int_equal(bed->quiet, 1);
}

static void test_called_off(void **state)
{
    struct bed *bed = *state;

    join_relay(bed);
    quiesce(bed, true);
    count(bed, bed->view.serial, 1);
    quiesce(bed, false);
    assert_int_equal(bed->view.route, FRONT_LOCAL);
    count(bed, bed->view.serial, 0);
    assert_int_equal(bed->quiet, 0);
}

static void test_a_livy_that_has_died_meanwhile(void **state)
{
    struct bed *bed = *state;

    join_relay(bed);
    quiesce(bed, true);
    count(bed, bed->view.serial, 1);
    bed->e.core.livy.state = IPC_LIVY_NONE;
    front_update(bed->e.front);
    assert_int_equal(bed->quiet, 1);
}

/* ---- the others' fronts ---- */

#define FORWARDS(id, held) "\"" id "\": {\"role\": \"standby\", \"front\": {\"mode\": \"forward\"" held "}}"

static void test_the_others_are_waited_for(void **state)
{
    struct bed *bed = *state;

    others(bed, "{" FORWARDS("b", "") ", " FORWARDS("c", "") "}");
    quiesce(bed, true);
    assert_int_equal(bed->published, 1);
    assert_int_equal(bed->quiet, 0);
    others(bed,
           "{" FORWARDS("b", ", \"held\": 7") ", " FORWARDS("c", ", \"held\": 6") "}"); /* of another one */
    assert_int_equal(bed->quiet, 0);
    others(bed, "{" FORWARDS("b", ", \"held\": 7") ", " FORWARDS("c", ", \"held\": 7") "}");
    assert_int_equal(bed->quiet, 1);
}

static void test_one_that_vanishes_is_not_waited_for(void **state)
{
    struct bed *bed = *state;

    others(bed, "{" FORWARDS("b", "") "}");
    quiesce(bed, true);
    assert_int_equal(bed->quiet, 0);
    others(bed, "{}"); /* its session is over */
    assert_int_equal(bed->quiet, 1);
}

/* What strangers have written is not waited for, but where it looks like a front that forwards: that costs
 * front.drain, which is the core's to count. */
static void test_records_of_strangers(void **state)
{
    static const char *const none[] = {
        "{\"b\": []}",
        "{\"b\": {}}",
        "{\"b\": {\"front\": 1}}",
        "{\"b\": {\"front\": []}}",
        "{\"b\": {\"front\": \"forward\"}}",
        "{\"b\": {\"front\": {\"mode\": 1}}}",
        "{\"b\": {\"front\": {\"mode\": \"redirect\"}}}",
        "{\"b\": {\"front\": {\"mode\": [\"forward\"]}}}",
        "{\"b\": {\"role\": 1, \"livy\": {}, \"epoch\": \"x\", \"quiescing\": 1, \"front\": null}}",
        "{\"a\": {\"front\": {\"mode\": \"forward\"}}}", /* our own */
    };
    static const char *const some[] = {
        "{\"b\": {\"front\": {\"mode\": \"forward\"}}}",
        "{\"b\": {\"front\": {\"mode\": \"forward\", \"held\": \"7\"}}}",
        "{\"b\": {\"front\": {\"mode\": \"forward\", \"held\": 7.0}}}",
        "{\"b\": {\"front\": {\"mode\": \"forward\", \"held\": [7]}}}",
        "{\"b\": {\"front\": {\"mode\": \"forward\", \"held\": -9223372036854775808}}}",
    };
    struct bed *bed = *state;

    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        others(bed, some[i]);
        quiesce(bed, true);
        assert_int_equal(bed->quiet, 0);
        quiesce(bed, false);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        others(bed, none[i]);
        quiesce(bed, true);
        assert_int_equal(bed->quiet, 1);
        bed->quiet = 0;
        quiesce(bed, false);
    }
}

/* ---- another member's stop ---- */

static json_int_t held(const struct bed *bed)
{
    json_t *self = json_object();

    assert_non_null(self);
    front_record(bed->e.front, self);
    json_int_t epoch = json_integer_value(json_object_get(json_object_get(self, "front"), "held"));
    json_decref(self);
    return epoch;
}

static void test_our_word_to_another(void **state)
{
    struct bed *bed = *state;

    bed->e.core.livy.state = IPC_LIVY_NONE;
    bed->e.core.serving = false;
    join_relay(bed);
    others(bed, "{\"b\": {\"role\": \"active\", \"livy\": \"stopping\", \"epoch\": 9, \"quiescing\": true, "
                "\"url\": \"http://b:8998\", \"livy_url\": \"http://b:18998\"}}");
    hear(bed);
    assert_int_equal(bed->view.route, FRONT_PAUSE);
    assert_int_equal(bed->view.epoch, 9);
    count(bed, bed->view.serial, 2);
    assert_int_equal(held(bed), 0);
    count(bed, bed->view.serial, 0);
    assert_int_equal(held(bed), 9);
    others(bed, "{\"b\": {\"role\": \"standby\", \"livy\": \"none\"}}");
    assert_int_equal(held(bed), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_bed, clear_bed)
    const struct CMUnitTest tests[] = {
        CASE(test_without_a_relay_nothing_runs),
        CASE(test_what_runs_is_waited_for),
        CASE(test_a_relay_that_dies_is_not_waited_for),
        CASE(test_a_relay_that_is_replaced),
        CASE(test_a_relay_that_talks_nonsense),
        CASE(test_called_off),
        CASE(test_a_livy_that_has_died_meanwhile),
        CASE(test_the_others_are_waited_for),
        CASE(test_one_that_vanishes_is_not_waited_for),
        CASE(test_records_of_strangers),
        CASE(test_our_word_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
