/* test_trace.c - the core's last steps, for people: what is kept, what is only counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "trace.h"

static void step(struct trace *trace, struct core_event event, struct core_actions *actions)
{
    static const struct core core = {.phase = CORE_STANDBY};
    static const struct core_actions none;

    trace_step(trace, &core, &event, actions != NULL ? actions : &none, 1000);
}

static const char *text(const json_t *list, size_t i, const char *key)
{
    const char *found = json_string_value(json_object_get(json_array_get(list, i), key));

    assert_non_null(found);
    return found;
}

static void test_a_step(void **state)
{
    struct trace *trace = trace_new();
    struct core_actions actions = {.count = 4};

    (void)state;
    assert_non_null(trace);
    actions.list[0].type = CORE_ACT_BEAT; /* goes on all the time */
    actions.list[1] =
        (struct core_action){.type = CORE_ACT_PHASE, .old_phase = CORE_JOINING, .phase = CORE_STANDBY};
    actions.list[2] = (struct core_action){.type = CORE_ACT_START, .run = 3, .epoch = 77};
    actions.list[3] =
        (struct core_action){.type = CORE_ACT_DELETE, .request = CORE_REQ_GHOST, .in_order = true};
    step(trace, (struct core_event){.type = CORE_EV_CONNECTED, .session = 0xab, .timeout = 4000}, &actions);
    step(trace, (struct core_event){.type = CORE_EV_REPLY, .request = CORE_REQ_LIST, .rc = CORE_OK}, NULL);
    step(trace,
         (struct core_event){.type = CORE_EV_LIVY, .livy = {.state = IPC_LIVY_ALIVE, .run = 2, .pid = 9}},
         NULL);
    step(trace, (struct core_event){.type = CORE_EV_PROBE, .alive = false, .text = "refused"}, NULL);
    step(trace, (struct core_event){.type = CORE_EV_STAND, .text = "drained"}, NULL);
    json_t *list = trace_document(trace);
    assert_int_equal(json_array_size(list), 5);
    assert_string_equal(text(list, 0, "event"), "connected: session 0xab, time-out 4000 ms");
    assert_string_equal(text(list, 0, "phase"), "standby");
    assert_string_equal(text(list, 0, "at"), "1970-01-01T00:00:01.000Z");
    json_t *then = json_object_get(json_array_get(list, 0), "then");
    assert_int_equal(json_array_size(then), 3);
    assert_string_equal(json_string_value(json_array_get(then, 0)), "joining -> standby");
    assert_string_equal(json_string_value(json_array_get(then, 1)), "start run 3, epoch 77");
    assert_string_equal(json_string_value(json_array_get(then, 2)), "delete ghost in order");
    assert_string_equal(text(list, 1, "event"), "reply: list, result 0");
    assert_string_equal(text(list, 2, "event"), "livy: alive, run 2, pid 9");
    assert_string_equal(text(list, 3, "event"), "probe: no answer, refused");
    assert_string_equal(text(list, 4, "event"), "stand: drained");
    json_decref(list);
    trace_free(trace);
}

static void test_what_goes_on_all_the_time_is_counted(void **state)
{
    struct trace *trace = trace_new();
    struct core_actions renewal = {.count = 2};

    (void)state;
    renewal.list[0].type = CORE_ACT_BEAT;
    renewal.list[1].type = CORE_ACT_LEASE;
    for (int i = 0; i < 1000; i++) {
        step(trace, (struct core_event){.type = CORE_EV_TIME}, &renewal);
        step(trace, (struct core_event){.type = CORE_EV_BEAT, .rc = CORE_OK}, &renewal);
        step(trace, (struct core_event){.type = CORE_EV_PROBE, .alive = true}, NULL);
    }
    step(trace, (struct core_event){.type = CORE_EV_BEAT, .rc = CORE_UNKNOWN}, NULL); /* that is news */
    step(trace, (struct core_event){.type = CORE_EV_SUSPENDED}, NULL);
    json_t *list = trace_document(trace);
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "quiet")), 3000);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 1), "quiet")), 0);
    json_decref(list);
    trace_free(trace);
}

static void test_the_last_ones_are_kept(void **state)
{
    struct trace *trace = trace_new();
    char name[32];

    (void)state;
    for (int i = 0; i < 3 * TRACE_STEPS + 5; i++) {
        snprintf(name, sizeof(name), "%d", i);
        step(trace, (struct core_event){.type = CORE_EV_DEATHS, .text = name}, NULL);
    }
    json_t *list = trace_document(trace);
    assert_int_equal(json_array_size(list), TRACE_STEPS);
    snprintf(name, sizeof(name), "deaths: %d", 2 * TRACE_STEPS + 5);
    assert_string_equal(text(list, 0, "event"), name);
    snprintf(name, sizeof(name), "deaths: %d", 3 * TRACE_STEPS + 4);
    assert_string_equal(text(list, TRACE_STEPS - 1, "event"), name);
    json_decref(list);
    trace_free(trace);
}

/* A long reason, or one with bytes that are no UTF-8, makes no document that cannot be printed. */
static void test_hostile_text(void **state)
{
    struct trace *trace = trace_new();
    char longest[4096];

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    step(trace, (struct core_event){.type = CORE_EV_QUIT, .text = longest}, NULL);
    step(trace, (struct core_event){.type = CORE_EV_QUIT, .text = "\xff\xfe"}, NULL);
    step(trace, (struct core_event){.type = CORE_EV_QUIT, .text = "fine"}, NULL);
    json_t *list = trace_document(trace);
    assert_string_equal(text(list, json_array_size(list) - 1, "event"), "quit: fine");
    char *printed = json_dumps(list, 0);
    assert_non_null(printed);
    free(printed);
    json_decref(list);
    trace_free(trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_step),
        cmocka_unit_test(test_what_goes_on_all_the_time_is_counted),
        cmocka_unit_test(test_the_last_ones_are_kept),
        cmocka_unit_test(test_hostile_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
