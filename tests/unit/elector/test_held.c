/* test_held.c - the Livy held at the gate: what the keeper says of this member's becomes its record (held.c),
 * and the records of the others tell who is next with one (backoff.c). What these two call is the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "elector.h"

static struct conf conf;
static struct elector e;
static json_t *members, *drained;
static int published;
static char heir[CORE_TEXT_SIZE];
static uint64_t standing;

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

/* ---- this member's ---- */

static int set_up(void **state)
{
    (void)state;
    conf = (struct conf){.id = "livy-a"};
    memset(&e, 0, sizeof(e));
    e.conf = &conf;
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
    assert_int_equal(json_object_size(self), 2);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_its_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_running_livy_comes_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heir, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heir_is_the_next_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strange_records, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
