/* test_view.c - documents of the daemon against what people are to see of them, letter by letter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "text.h"
#include "view.h"

#define NOW INT64_C(1795341792123) /* 2026-11-22T10:03:12.123Z */

static const char active[] =
    "{\"v\":1,\"root\":\"/"
    "livy_ha\",\"active\":\"livy-a\",\"serving\":true,\"epoch\":4294967301,\"paused\":false,"
    "\"connected\":true,\"future\":[1],\"members\":["
    "{\"id\":\"livy-a\",\"host\":\"livy-a.example.com\",\"role\":\"active\",\"livy\":\"serving\",\"livy_"
    "pid\":123,"
    "\"url\":\"http://livy-a.example.com:8998\",\"livy_url\":\"http://livy-a.example.com:18998\","
    "\"epoch\":4294967301,\"sequence\":12,\"lease_left_ms\":6140,\"since\":\"2026-11-22T10:00:00.123Z\","
    "\"uptime_s\":86400,\"version\":\"1.0.0\",\"pending_restart\":false,\"self\":false},"
    "{\"id\":\"livy-b\",\"host\":\"livy-b.example.com\",\"role\":\"standby\",\"livy\":\"none\",\"livy_pid\":"
    "null,"
    "\"url\":\"http://livy-b.example.com:8998\",\"livy_url\":\"http://livy-b.example.com:18998\","
    "\"epoch\":null,\"sequence\":13,\"lease_left_ms\":null,\"since\":\"2026-11-21T09:03:12.123Z\","
    "\"uptime_s\":90000,\"version\":\"1.0.0\",\"pending_restart\":true,\"self\":true},"
    "{\"id\":\"livy-c\",\"role\":\"absent\",\"self\":false}]}";

static const struct screen plain = {.terminal = false};

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *document = json_loads(text, 0, &error);

    if (document == NULL)
        fail_msg("%s at %d:%d", error.text, error.line, error.column);
    return document;
}

static char *render(const char *text, const char *own_text, bool wide, const struct screen *screen)
{
    json_t *cluster = parse(text);
    json_t *own = own_text != NULL ? parse(own_text) : NULL;
    char *out = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&out, &size);

    assert_int_equal(view_cluster(memory, screen, cluster, own, wide, NOW), 0);
    assert_int_equal(fclose(memory), 0);
    json_decref(cluster);
    json_decref(own);
    return out;
}

static void assert_view(const char *text, const char *own, const char *expected)
{
    char *out = render(text, own, false, &plain);

    assert_string_equal(out, expected);
    free(out);
}

static void test_active(void **state)
{
    (void)state;
    assert_view(active, NULL,
                "livy_ha at /livy_ha: livy-a serves since 3m12s, epoch 4294967301\n"
                "\n"
                "  Member  Role     Livy     Since  Lease\n"
                "  livy-a  active   serving  3m12s  6.1s\n"
                "* livy-b  standby  none     1d1h   -\n"
                "  livy-c  absent   -        -      -\n");
}

static void test_wide(void **state)
{
    char *out = render(active, NULL, true, &plain);

    (void)state;
    assert_string_equal(out, "livy_ha at /livy_ha: livy-a serves since 3m12s, epoch 4294967301\n"
                             "\n"
                             "  Member  Role     Livy     Since                     Lease  Host              "
                             "  Epoch       Sequence  "
                             "URL                             Version\n"
                             "  livy-a  active   serving  2026-11-22T10:00:00.123Z  6.1s   "
                             "livy-a.example.com  4294967301  12        "
                             "http://livy-a.example.com:8998  1.0.0\n"
                             "* livy-b  standby  none     2026-11-21T09:03:12.123Z  -      "
                             "livy-b.example.com  -           13        "
                             "http://livy-b.example.com:8998  1.0.0, restart pending\n"
                             "  livy-c  absent   -        -                         -      -                 "
                             "  -           -         "
                             "-                               -\n");
    free(out);
}

static void test_nobody_active(void **state)
{
    (void)state;
    assert_view("{\"root\":\"/livy_ha\",\"active\":null,\"serving\":false,\"epoch\":null,\"paused\":true,"
                "\"connected\":true,\"members\":[{\"id\":\"b\",\"role\":\"standby\",\"livy\":\"none\","
                "\"self\":true,\"alarms\":[\"store differs\",7]},{\"id\":\"c\",\"role\":\"standby\","
                "\"livy\":\"none\",\"alarms\":[\"x\",\"y\"]}]}",
                "{\"id\":\"b\",\"phase\":\"waiting\",\"reason\":\"takeover_delay has 3 s left\"}",
                "livy_ha at /livy_ha: no Livy serves: no active member, 2 standing by\n"
                "Paused: no automatic fail-over and no restart of Livy, in the whole cluster.\n"
                "This member (waiting): takeover_delay has 3 s left\n"
                "\n"
                "  Member  Role     Livy  Since  Lease\n"
                "* b       standby  none  -      -\n"
                "  c       standby  none  -      -\n"
                "\n"
                "Alarm on b: store differs\n"
                "Alarm on c: x\n"
                "Alarm on c: y\n");
}

static void test_hot_standbys(void **state)
{
    (void)state;
    assert_view("{\"root\":\"/r\",\"active\":\"a\",\"serving\":true,\"members\":["
                "{\"id\":\"a\",\"role\":\"active\",\"livy\":\"serving\",\"held\":\"none\","
                "\"held_reason\":\"this member is not a standby\"},"
                "{\"id\":\"b\",\"role\":\"standby\",\"livy\":\"held\",\"held\":\"ready\","
                "\"held_reason\":null},"
                "{\"id\":\"c\",\"role\":\"standby\",\"livy\":\"none\",\"held\":\"warming\"},"
                "{\"id\":\"d\",\"role\":\"standby\",\"livy\":\"none\",\"held\":\"none\","
                "\"held_reason\":\"refused: the list does not fit\",\"alarms\":[\"x\"]},"
                "{\"id\":\"e\",\"role\":\"standby\",\"livy\":\"none\",\"held\":null},"
                "{\"id\":\"f\",\"role\":\"standby\",\"livy\":\"held\",\"held\":\"ready\","
                "\"held_renewing\":true,\"held_reason\":\"it has grown old\"}]}",
                NULL,
                "livy_ha at /r: a serves\n"
                "\n"
                "  Member  Role     Livy     Since  Lease\n"
                "  a       active   serving  -      -\n"
                "  b       standby  held     -      -\n"
                "  c       standby  warming  -      -\n"
                "  d       standby  none     -      -\n"
                "  e       standby  none     -      -\n"
                "  f       standby  held     -      -\n"
                "\n"
                "Alarm on d: x\n"
                "d holds no Livy: refused: the list does not fit\n"
                "f's Livy is to be renewed: it has grown old\n");
}

static void test_headlines(void **state)
{
    static const struct {
        const char *document;
        const char *headline;
    } cases[] = {
        {"{}", "livy_ha at -: no Livy serves: no member can take over\nNo members are known.\n"},
        {"{\"root\":\"/r\",\"connected\":false,\"members\":[]}",
         "livy_ha at /r: no active Livy is known: not connected to ZooKeeper\nNo members are known.\n"},
        {"{\"root\":\"/r\",\"members\":[{\"role\":\"joining\"}]}",
         "livy_ha at /r: no Livy serves yet: 1 joining\n\n"},
        {"{\"root\":\"/r\",\"active\":\"a\",\"serving\":true,\"connected\":false,\"members\":[]}",
         "livy_ha at /r: a serves\nNot connected to ZooKeeper: what is shown of other members may be old.\n"
         "No members are known.\n"},
        {"{\"root\":\"/"
         "r\",\"active\":\"a\",\"members\":[{\"id\":\"a\",\"role\":\"active\",\"livy\":\"starting\","
         "\"since\":\"2026-11-22T10:03:00.123Z\"}]}",
         "livy_ha at /r: no Livy serves yet: a is starting it, since 12s\n\n"},
        {"{\"root\":\"/r\",\"active\":\"a\",\"members\":[{\"id\":\"a\",\"livy\":\"none\"}]}",
         "livy_ha at /r: no Livy serves yet: a is elected and about to start it\n\n"},
        {"{\"root\":\"/r\",\"active\":\"a\",\"members\":[{\"id\":\"a\",\"livy\":\"unhealthy\"}]}",
         "livy_ha at /r: no Livy serves: it fails its health checks on a\n\n"},
        {"{\"root\":\"/r\",\"active\":\"a\",\"members\":[{\"id\":\"a\",\"livy\":\"stopping\"}]}",
         "livy_ha at /r: no Livy serves: a is stopping it\n\n"},
        {"{\"root\":\"/r\",\"active\":\"a\",\"members\":[{\"id\":\"a\",\"livy\":\"failed\"}]}",
         "livy_ha at /r: no Livy serves: it failed on a\n\n"},
        {"{\"root\":\"/r\",\"active\":\"a\",\"members\":[{\"id\":\"a\",\"livy\":\"dancing\"}]}",
         "livy_ha at /r: no Livy serves: a is the active member\n\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *out = render(cases[i].document, NULL, false, &plain);
        if (strncmp(out, cases[i].headline, strlen(cases[i].headline)) != 0)
            fail_msg("expected:\n%sgot:\n%s", cases[i].headline, out);
        free(out);
    }
}

/* Fields of another type, members that are no objects: shown as missing, and nothing falls over. */
static void test_strange_documents(void **state)
{
    static const char *const documents[] = {
        "{\"members\":7}",
        "{\"members\":[1,null,\"x\",[],{}]}",
        "{\"root\":[],\"active\":{},\"serving\":\"yes\",\"epoch\":\"x\",\"members\":[]}",
        "{\"members\":[{\"id\":1,\"since\":2,\"lease_left_ms\":\"3\",\"self\":1}]}",
        "{\"members\":[{\"alarms\":7},{\"alarms\":{\"a\":\"b\"}}]}",
        "{\"active\":\"gone\",\"serving\":true,\"members\":[{\"id\":\"b\"}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        char *out = render(documents[i], "{\"alarms\":{},\"reason\":1}", true, &plain);
        assert_memory_equal(out, "livy_ha at -: ", 14);
        free(out);
    }
    assert_view(documents[1], NULL,
                "livy_ha at -: no Livy serves: no member can take over\n"
                "\n"
                "  Member  Role  Livy  Since  Lease\n"
                "  -       -     -     -      -\n"
                "  -       -     -     -      -\n"
                "  -       -     -     -      -\n"
                "  -       -     -     -      -\n"
                "  -       -     -     -      -\n");
}

static void test_control_bytes(void **state)
{
    char *out = render("{\"root\":\"/r\\u001b]0;x\\u0007\",\"active\":\"a\\u009b1m\",\"serving\":true,"
                       "\"members\":[{\"id\":\"a\\u009b1m\",\"role\":\"\\u001b[31m\","
                       "\"alarms\":[\"\\u001bc\"]}]}",
                       "{\"reason\":\"\\u001bc\"}", false, &plain);

    (void)state;
    assert_null(strchr(out, '\033'));
    assert_null(strchr(out, '\a'));
    assert_null(strstr(out, "\xc2\x9b"));
    free(out);
}

#define LONG_A "worker-in-a-rack-with-a-name-that-nobody-can-remember-17.livy.production.example.com"
#define LONG_B "worker-in-a-rack-with-a-name-that-nobody-can-remember-18.livy.production.example.com"

static const char long_names[] =
    "{\"root\":\"/livy_ha\",\"active\":\"" LONG_A "\",\"serving\":true,\"epoch\":4294967301,\"members\":["
    "{\"id\":\"" LONG_A "\",\"host\":\"" LONG_A
    "\",\"role\":\"active\",\"livy\":\"unhealthy\",\"lease_left_ms\":16100,"
    "\"since\":\"2026-11-10T06:03:12.123Z\",\"self\":true},"
    "{\"id\":\"" LONG_B "\",\"host\":\"" LONG_B "\",\"role\":\"standby\",\"livy\":\"none\"}]}";

static void test_long_names_fit_a_screen(void **state)
{
    const struct screen screen = {.width = 80, .utf8 = true};
    char *out = render(long_names, NULL, false, &screen);

    (void)state;
    for (char *line = strtok(out, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (text_width(line) > 80)
            fail_msg("%zu columns: %s", text_width(line), line);
    }
    free(out);
    out = render(long_names, NULL, false, &screen);
    assert_string_equal(out,
                        "livy_ha at /livy_ha: worker-in-a…xample.com serves since 12d4h, epoch 4294967301\n"
                        "\n"
                        "  Member                                        Role     Livy       Since  Lease\n"
                        "* worker-in-a-rack-with…production.example.com  active   unhealthy  12d4h  16.1s\n"
                        "  worker-in-a-rack-with…production.example.com  standby  none       -      -\n");
    free(out);
}

static void test_long_names_are_whole_in_a_pipe(void **state)
{
    char *out = render(long_names, NULL, false, &plain);

    (void)state;
    assert_non_null(strstr(out, "* " LONG_A "  active"));
    assert_non_null(strstr(out, "  " LONG_B "  standby"));
    assert_non_null(strstr(out, ": " LONG_A " serves"));
    free(out);
}

static void test_colours(void **state)
{
    const struct screen screen = {.terminal = true, .colour = true, .width = 80};
    char *out = render(active, NULL, false, &screen);

    (void)state;
    assert_memory_equal(out, "\033[32mlivy_ha at", 15);
    assert_non_null(strstr(out, "  livy-a  \033[32mactive\033[0m   \033[32mserving\033[0m  3m12s"));
    assert_non_null(strstr(out, "\033[2mabsent\033[0m"));
    free(out);
}

static char *render_list(int (*view)(FILE *, const struct screen *, const json_t *), const char *text,
                         size_t width)
{
    const struct screen screen = {.width = width, .utf8 = true};
    json_t *document = parse(text);
    char *out = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&out, &size);

    assert_int_equal(view(memory, &screen, document), 0);
    assert_int_equal(fclose(memory), 0);
    json_decref(document);
    return out;
}

static void test_history(void **state)
{
    static const char events[] = "[{\"at\":\"2026-11-22T10:00:00.123Z\",\"event\":\"elected\",\"member\":"
                                 "\"livy-a\",\"epoch\":4294967301,"
                                 "\"reason\":\"first in the queue\"},"
                                 "{\"at\":\"2026-11-22T10:00:03.400Z\",\"event\":\"serving\",\"member\":"
                                 "\"livy-a\",\"epoch\":4294967301,"
                                 "\"took_ms\":3277,\"new\":1},{}]";
    char *out = render_list(view_history, events, 0);

    (void)state;
    assert_string_equal(out,
                        "At                        Event    Member  Epoch       Took   Reason\n"
                        "2026-11-22T10:00:00.123Z  elected  livy-a  4294967301  -      first in the queue\n"
                        "2026-11-22T10:00:03.400Z  serving  livy-a  4294967301  3.28s  -\n"
                        "-                         -        -       -           -      -\n");
    free(out);
    out = render_list(view_history, events, 76);
    assert_non_null(strstr(out, "  first in the …\n"));
    free(out);
    out = render_list(view_history, "[]", 0);
    assert_string_equal(out, "At  Event  Member  Epoch  Took  Reason\n");
    free(out);
}

static void test_config(void **state)
{
    char *out = render_list(
        view_config,
        "{\"path\":\"/etc/livy-ha/livy-ha.conf\",\"keys\":["
        "{\"key\":\"livy.port\",\"value\":\"18998\",\"origin\":\"default\",\"effect\":\"restart\"},"
        "{\"key\":\"log.level\",\"value\":3,\"origin\":\"LIVY_HA_LOG_LEVEL\",\"effect\":\"reload\"},"
        "{\"key\":\"livy.home\",\"effect\":\"next-start\"},"
        "{\"key\":\"x\",\"value\":null,\"effect\":\"whenever\"}]}",
        0);

    (void)state;
    assert_string_equal(out, "Configuration file: /etc/livy-ha/livy-ha.conf\n"
                             "\n"
                             "Key        Value  Origin             A change counts\n"
                             "livy.port  18998  default            at a restart of livy-ha\n"
                             "log.level  3      LIVY_HA_LOG_LEVEL  at a reload\n"
                             "livy.home  -      -                  at Livy's next start\n"
                             "x          -      -                  whenever\n");
    free(out);
    out = render_list(view_config, "{\"path\":null}", 0);
    assert_memory_equal(out, "Configuration file: none: the environment alone\n", 48);
    free(out);
}

static void test_changed(void **state)
{
    static const struct {
        const char *before;
        const char *now;
        bool changed;
    } cases[] = {
        {"{\"change\":1,\"a\":1}", "{\"change\":1,\"a\":2}", false},
        {"{\"change\":1,\"a\":1}", "{\"change\":2,\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":1}", false},
        {"{\"a\":1}", "{\"a\":2}", true},
        {"{\"a\":1}", "{\"a\":1,\"change\":1}", false},
        {"{\"members\":[{\"id\":\"a\",\"lease_left_ms\":1,\"uptime_s\":1}]}",
         "{\"members\":[{\"id\":\"a\",\"lease_left_ms\":2,\"uptime_s\":3}]}", false},
        {"{\"members\":[{\"id\":\"a\",\"role\":\"standby\"}]}",
         "{\"members\":[{\"id\":\"a\",\"role\":\"active\"}]}", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *before = parse(cases[i].before);
        json_t *now = parse(cases[i].now);
        assert_int_equal(document_changed(before, now), cases[i].changed);
        json_decref(before);
        json_decref(now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_active),
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_nobody_active),
        cmocka_unit_test(test_hot_standbys),
        cmocka_unit_test(test_headlines),
        cmocka_unit_test(test_strange_documents),
        cmocka_unit_test(test_control_bytes),
        cmocka_unit_test(test_long_names_fit_a_screen),
        cmocka_unit_test(test_long_names_are_whole_in_a_pipe),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
