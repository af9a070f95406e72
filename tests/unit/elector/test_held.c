/* test_held.c - the Livy held at the gate: what the keeper says of this member's becomes its record (held.c),
 * and the records of the others tell who is next with one (backoff.c). What these two call is the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "elector.h"

static struct conf conf;
static struct elector e;
static json_t *members, *drained;
static int published;
static char heir[CORE_TEXT_SIZE];
static uint64_t standing;
static struct command_table commands;
static uint32_t sent[8]; /* to the keeper */
static size_t n_sent;

/* ---- what they call ---- */

void act_publish(struct elector *elector)
{
    assert_ptr_equal(elector, &e);
    published++;
}

void elector_step(struct elector *elector, struct core_event *event)
{
    assert_ptr_equal(elector, &e);
    assert_int_equal(event->type, CORE_EV_DEATHS);
    snprintf(heir, sizeof(heir), "%s", event->heir != NULL ? event->heir : "");
    standing = event->standing;
}

const json_t *view_members(const struct view *view)
{
    (void)view;
    return members;
}

void view_on_change(struct view *view, void (*fn)(void *arg), void *arg)
{
    (void)view;
    (void)fn;
    (void)arg;
}

bool command_drained(const struct elector *elector, const char *id)
{
    (void)elector;
    return json_object_get(drained, id) != NULL;
}

int64_t command_number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

struct deaths *deaths_new(const struct deaths_options *options)
{
    (void)options;
    return NULL;
}

size_t deaths_list(const struct deaths *deaths, struct deaths_entry list[static DEATHS_MAX])
{
    (void)deaths;
    (void)list;
    return 0;
}

void front_update(struct front *front)
{
    (void)front;
}

void channel_send(struct elector *elector, struct ipc_msg *msg, int fd)
{
    assert_ptr_equal(elector, &e);
    assert_int_equal(fd, -1);
    assert_true(n_sent < sizeof(sent) / sizeof(sent[0]));
    sent[n_sent++] = msg->type;
}

/* ---- this member's ---- */

static int set_up(void **state)
{
    (void)state;
    conf = (struct conf){.id = "livy-a"};
    memset(&e, 0, sizeof(e));
    e.conf = &conf;
    memset(&commands, 0, sizeof(commands));
    e.commands = &commands;
    n_sent = 0;
    snprintf(e.core.node, sizeof(e.core.node), "_c_x-latch-0000000007");
    members = json_object();
    drained = json_object();
    published = 0;
    heir[0] = '\0';
    return members != NULL && drained != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(members);
    json_decref(drained);
    return 0;
}

static void says(int code, const char *text)
{
    struct ipc_msg msg = {.type = IPC_HELD, .code = code};

    snprintf(msg.text, sizeof(msg.text), "%s", text);
    held_take(&e, &msg);
}

static void record_says(const char *livy, const char *held, const char *reason)
{
    json_t *self = json_object();

    assert_string_equal(held_livy_name(&e), livy);
    held_record(&e, self);
    const char *text = json_string_value(json_object_get(self, "held"));
    const char *why = json_string_value(json_object_get(self, "held_reason"));
    assert_int_equal(json_object_size(self), 3);
    assert_true(json_is_null(json_object_get(self, "held_renewing")) == (text == NULL));
    assert_string_equal(text != NULL ? text : "null", held);
    assert_string_equal(why != NULL ? why : "null", reason);
    json_decref(self);
}

static void test_cold(void **state)
{
    (void)state;
    record_says("none", "null", "null");
    says(IPC_HELD_NONE, "");
    assert_int_equal(published, 0); /* as it was */
}

static void test_its_way(void **state)
{
    (void)state;
    conf.livy.standby = CONF_STANDBY_HOT;
    record_says("none", "none", "null");
    says(IPC_HELD_WARMING, "");
    assert_int_equal(published, 1);
    record_says("none", "warming", "null");
    says(IPC_HELD_READY, "");
    says(IPC_HELD_READY, ""); /* no news */
    assert_int_equal(published, 2);
    record_says("held", "ready", "null");
    says(IPC_HELD_NONE, "refused: the list does not fit");
    assert_int_equal(published, 3);
    record_says("none", "none", "refused: the list does not fit");
    says(IPC_HELD_NONE, "it died");
    assert_int_equal(published, 4); /* another reason is news */
    says(77, "");                   /* of a keeper that is newer */
    record_says("none", "none", "null");
}

/* Whatever the keeper says of one that is held: a Livy that runs is what people want to know of. */
static void test_a_running_livy_comes_first(void **state)
{
    (void)state;
    conf.livy.standby = CONF_STANDBY_HOT;
    says(IPC_HELD_READY, "");
    e.core.livy.state = IPC_LIVY_ALIVE;
    record_says("starting", "ready", "null");
    e.core.livy.state = IPC_LIVY_NONE;
    e.core.failed = true;
    record_says("held", "ready", "null");
    says(IPC_HELD_NONE, "");
    record_says("failed", "none", "null");
}

/* ---- the others' ---- */

static void member(const char *id, const char *role, const char *livy, int sequence)
{
    json_object_set_new(members, id,
                        json_pack("{s:s, s:s, s:i}", "role", role, "livy", livy, "sequence", sequence));
}

static void heir_is(const char *id)
{
    backoff_changed(&e);
    assert_string_equal(heir, id);
}

static void test_heir(void **state)
{
    (void)state;
    member("livy-a", "active", "serving", 7);
    heir_is("");
    member("livy-b", "standby", "none", 9);
    heir_is("");
    member("livy-b", "standby", "held", 9);
    heir_is("livy-b");
    assert_int_equal(standing, 2);
    json_object_set_new(drained, "livy-b", json_object());
    heir_is("");
    json_object_clear(drained);
    member("livy-b", "joining", "held", 9); /* another store, for instance */
    heir_is("");
}

/* The latch goes to whoever is next: one further behind is of no use. */
static void test_heir_is_the_next_one(void **state)
{
    (void)state;
    member("livy-b", "standby", "held", 11);
    member("livy-c", "standby", "none", 10);
    member("livy-d", "standby", "held", 3); /* of before: nobody stands before the active one */
    heir_is("");
    member("livy-c", "standby", "held", 10);
    heir_is("livy-c");
    member("livy-c", "standby", "held", 12);
    heir_is("livy-b");
    member("livy-e", "joining", "none", 8); /* about to leave the queue, and still in it */
    heir_is("");
    json_object_del(members, "livy-e");
    heir_is("livy-b");
    e.core.node[0] = '\0';
    heir_is("");
}

static void test_strange_records(void **state)
{
    (void)state;
    json_object_set_new(members, "x", json_pack("{s:s, s:s}", "role", "standby", "livy", "held"));
    json_object_set_new(members, "y", json_pack("{s:i, s:s, s:i}", "role", 1, "livy", "held", "sequence", 8));
    json_object_set_new(members, "z",
                        json_pack("{s:s, s:i, s:i}", "role", "standby", "livy", 1, "sequence", 9));
    heir_is("");
}

/* ---- turns ---- */

#define OWN 7

static void hot(const char *id, const char *held, bool renewing, int sequence)
{
    json_object_set_new(members, id,
                        json_pack("{s:s, s:s, s:s, s:b, s:i}", "role", "standby", "livy",
                                  strcmp(held, "ready") == 0 ? "held" : "none", "held", held, "held_renewing",
                                  renewing, "sequence", sequence));
}

static void may(bool so)
{
    assert_int_equal(held_may_renew(members, "livy-a", OWN), so);
}

static void test_turns(void **state)
{
    (void)state;
    hot("livy-a", "ready", true, OWN);
    member("livy-x", "active", "serving", 1);
    may(true); /* nobody else would ever be ready */
    json_object_set_new(
        members, "livy-c",
        json_pack("{s:s, s:s, s:n, s:i}", "role", "standby", "livy", "none", "held", "sequence", 8));
    may(true); /* nor would a cold one */
    hot("livy-b", "none", false, 8);
    may(false);
    hot("livy-b", "warming", false, 8);
    may(false);
    hot("livy-b", "ready", false, 8);
    may(true);
    hot("livy-b", "ready", true, 8);
    may(true); /* it comes after us */
    hot("livy-b", "ready", true, 6);
    may(false);
    hot("livy-b", "ready", false, 6);
    may(true);
    assert_false(held_may_renew(members, "livy-a", -1)); /* it does not stand */
}

/* One at a time, whoever is at it. */
static void test_one_at_a_time(void **state)
{
    (void)state;
    hot("livy-b", "ready", false, 5);
    hot("livy-c", "warming", true, 9);
    may(false);
    hot("livy-c", "none", true, 9);
    may(false);
    hot("livy-c", "none", false, 9); /* refused, say */
    may(true);
}

/* Of members that agree on the records exactly one has its turn, as long as another one is ready. */
static void test_one_of_all(void **state)
{
    static const char *const ids[] = {"livy-a", "livy-b", "livy-c", "livy-d"};
    static const char *const states[] = {"none", "warming", "ready"};

    (void)state;
    srand(1);
    for (int i = 0; i < 5000; i++) {
        int turns = 0, ready = 0;
        for (int j = 0; j < 4; j++) {
            const char *now = states[rand() % 4 % 3];
            hot(ids[j], now, rand() % 2 == 0, (j * 7 + i) % 4);
            ready += strcmp(now, "ready") == 0;
        }
        for (int j = 0; j < 4; j++) {
            const json_t *own = json_object_get(members, ids[j]);
            bool due = json_is_true(json_object_get(own, "held_renewing")) &&
                       strcmp(json_string_value(json_object_get(own, "held")), "ready") == 0;
            turns +=
                due && held_may_renew(members, ids[j], json_integer_value(json_object_get(own, "sequence")));
        }
        assert_true(turns <= 1 && (turns == 0 || ready > 1));
    }
}

static void renewing(int code, bool is)
{
    struct ipc_msg msg = {.type = IPC_HELD, .code = code, .run = is ? 1 : 0, .text = "it has grown old"};

    held_take(&e, &msg);
}

/* Not before those who have come to the same in the same moment can be seen; once is enough. */
static void test_the_keeper_is_told_once(void **state)
{
    (void)state;
    e.core.connected = true;
    hot("livy-b", "ready", false, 8);
    renewing(IPC_HELD_READY, true);
    assert_int_equal(n_sent, 0);
    e.held.renewing_since -= 3000;
    e.core.connected = false; /* the records are of before */
    held_look(&e);
    assert_int_equal(n_sent, 0);
    e.core.connected = true;
    held_look(&e);
    held_look(&e);
    assert_int_equal(n_sent, 1);
    assert_int_equal(sent[0], IPC_RENEW);
    renewing(IPC_HELD_WARMING, true);
    held_look(&e);
    renewing(IPC_HELD_READY, false);
    held_look(&e);
    assert_int_equal(n_sent, 1);
    renewing(IPC_HELD_READY, true); /* another time */
    e.held.renewing_since -= 3000;
    held_look(&e);
    assert_int_equal(n_sent, 2);
}

/* ---- a take-over by plan ---- */

static void asked_for(const char *id, const char *to)
{
    commands.request = (struct command_switch){.there = true, .epoch = 40};
    snprintf(commands.request.id, sizeof(commands.request.id), "%s", id);
    snprintf(commands.request.to, sizeof(commands.request.to), "%s", to);
    held_look(&e);
}

static void test_a_switchover_is_looked_ahead_for(void **state)
{
    (void)state;
    e.core.phase = CORE_STANDBY;
    e.core.watching = true;
    e.core.predecessor_epoch = 39;
    asked_for("1", "livy-a");
    assert_int_equal(n_sent, 0); /* none is held */
    e.held.state = IPC_HELD_READY;
    asked_for("1", "livy-b");
    asked_for("2", ""); /* another one is next */
    assert_int_equal(n_sent, 0);
    asked_for("3", "livy-a");
    asked_for("3", "livy-a");
    assert_int_equal(n_sent, 1);
    assert_int_equal(sent[0], IPC_LOOK);
    e.core.predecessor_epoch = 40;
    asked_for("4", "");
    assert_int_equal(n_sent, 2);
    e.core.takeover.left = CORE_LEFT_IN_ORDER;
    held_start(&e); /* that was it */
    assert_int_equal(n_sent, 2);
    e.core.phase = CORE_ACTIVE;
    asked_for("5", "");
    assert_int_equal(n_sent, 2);
}

/* A daemon that was stopped. One that has crashed is followed with what is at hand. */
static void test_looked_for_where_the_latch_was_given_up(void **state)
{
    (void)state;
    e.held.state = IPC_HELD_READY;
    e.core.takeover.left = CORE_LEFT_GONE;
    held_start(&e);
    e.core.takeover.left = CORE_LEFT_UNSEEN;
    held_start(&e);
    assert_int_equal(n_sent, 0);
    e.core.takeover.left = CORE_LEFT_IN_ORDER;
    held_start(&e);
    assert_int_equal(n_sent, 1);
    assert_int_equal(sent[0], IPC_LOOK);
    e.held.state = IPC_HELD_NONE;
    held_start(&e);
    assert_int_equal(n_sent, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_its_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_running_livy_comes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heir, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heir_is_the_next_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strange_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_of_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_keeper_is_told_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_switchover_is_looked_ahead_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_looked_for_where_the_latch_was_given_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
