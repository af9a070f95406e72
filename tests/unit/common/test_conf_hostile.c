/* test_conf_hostile.c - files that are damaged, endless, deep or not text; includes; and a bounded report. */
#include "conf_fixture.h"

static void test_include_names_its_own_lines(void **state)
{
    (void)state;
    struct conf_report report = {0};
    (void)fixture_write("inner.conf", "\n\nprobe_failures = 0;\n");
    (void)fixture_write("outer.conf",
                        "port = 0;\n  @include \"inner.conf\"  restarts = -1;\nrecovery = 1;\n");
    assert_null(fixture_load(
        "# @include \"commented\"\n/*\n@include \"too\"\n*/\n" ZK("") "livy = { home = \"/opt/livy\";\n"
                                                                      "@include \"outer.conf\"\n"
                                                                      "standby = \"x\";\n};\nid = \"a b\";",
        NULL, &report));
    static const char *const parts[] = {
        "/outer.conf:1: livy.port:",      "/inner.conf:3: livy.probe_failures:",
        "/outer.conf:2: livy.restarts:",  "/outer.conf:3: livy.recovery:",
        "/livy-ha.conf:8: livy.standby:", "/livy-ha.conf:10: id:"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!fixture_mentions(&report, parts[i])) {
            print_message("missing: %s\n", parts[i]);
            fixture_print(&report);
        }
        assert_true(fixture_mentions(&report, parts[i]));
    }
    assert_int_equal(report.n_errors, sizeof parts / sizeof parts[0]);
    conf_report_clear(&report);

    (void)fixture_write("broken.conf", "\nhold = ;\n");
    assert_null(fixture_load(BASE "front = {\n@include \"broken.conf\"\n};\n", NULL, &report));
    assert_int_equal(report.n_errors, 1);
    assert_true(fixture_mentions(&report, "/broken.conf:2: syntax error"));
    conf_report_clear(&report);
}

static void test_nul_byte_and_size(void **state)
{
    (void)state;
    struct conf_report report = {0};
    static const char text[] = BASE "id = \"a\0b\";";
    const char *path = fixture_write_bytes("nul.conf", text, sizeof text - 1);
    assert_null(conf_load_for(HOST, path, fixture_no_env, &report));
    assert_true(fixture_mentions(&report, "nul.conf:3: a NUL byte"));
    conf_report_clear(&report);

    static char large[CONF_FILE_LIMIT + 1];
    memset(large, '\n', sizeof large);
    path = fixture_write_bytes("large.conf", large, sizeof large);
    assert_null(conf_load_for(HOST, path, fixture_no_env, &report));
    assert_true(fixture_mentions(&report, "large.conf: cannot be read: larger than 64 KiB"));
    conf_report_clear(&report);

    char *envp[] = {"LIVY_HA_ZOOKEEPER_HOSTS=h", "LIVY_HA_LIVY_HOME=/h", NULL, NULL};
    char file[160];
    (void)snprintf(file, sizeof file, "LIVY_HA_ID_FILE=%s", fixture_write_bytes("id", "a\0b", 3));
    envp[2] = file;
    assert_null(conf_load_for(HOST, NULL, envp, &report));
    assert_true(fixture_mentions(&report, "LIVY_HA_ID_FILE (environment): "));
    assert_true(fixture_mentions(&report, "holds a NUL byte"));
    conf_report_clear(&report);
}

/* Whatever bytes a file holds, it loads or is refused with a reason; nothing crashes, exits or hangs. */
static void test_damaged_files(void **state)
{
    (void)state;
    static const char seed_text[] = ZK("root = \"/a\"; tick = \"1s\";\n")
        LIVY("port = 1; /* c */ recovery = true;\n") "front = { listen = \":1\"; hold = \"1s\"; }; # end\nid "
                                                     "= \"a\\x41\\\"\";\n@include \"livy-ha.conf\"\n";
    static const char bytes[] = "\"\\{}[]()=;:,#/*@x0119sLe.+- \n\t\x01\xff";
    uint32_t random = 20251122;
    for (int round = 0; round < 3000; round++) {
        char text[sizeof seed_text];
        memcpy(text, seed_text, sizeof text);
        for (int i = 0; i <= round % 4; i++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 8) % (sizeof text - 1)] = bytes[(random >> 24) % (sizeof bytes - 1)];
        }
        struct conf_report report = {0};
        struct conf *conf = fixture_load(text, NULL, &report);
        assert_true((conf != NULL) == (report.n_errors == 0));
        conf_free(conf);
        conf_report_clear(&report);
    }
}

static void test_long_and_deep(void **state)
{
    (void)state;
    static char text[60000];
    static const char fills[] = {'(', '{', '[', '1', 'a', '"', '#', '/', '\\', '@', '='};
    for (size_t i = 0; i < sizeof fills; i++) {
        memset(text, fills[i], sizeof text - 1);
        static const char head[] = {'i', 'd', ' ', '=', ' '};
        memcpy(text, head, sizeof head);
        struct conf_report report = {0};
        assert_null(fixture_load(text, NULL, &report));
        assert_true(report.n_errors > 0);
        conf_report_clear(&report);
    }
    /* A value may be long as such. */
    static char whole[sizeof text + 64];
    memset(text, 'x', sizeof text - 1);
    (void)snprintf(whole, sizeof whole, "failover = { on_change = \"%s\"; };", text);
    struct conf_report report = {0};
    assert_null(fixture_load(whole, NULL, &report));
    assert_false(fixture_mentions(&report, "on_change"));
    conf_report_clear(&report);
}

static void test_report_is_bounded(void **state)
{
    (void)state;
    struct conf_report report = {0};
    for (int i = 0; i < 1000; i++) {
        conf_report_error(&report, "error %d\nforged", i);
        conf_report_warning(&report, "warning %d", i);
    }
    assert_int_equal(report.n_errors, 257);
    assert_int_equal(report.n_warnings, 257);
    assert_string_equal(report.errors[255], "error 255?forged");
    assert_string_equal(report.errors[256], "744 more are not listed; mend these first");
    conf_report_clear(&report);
    assert_int_equal(report.n_errors, 0);
    assert_null(report.errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_include_names_its_own_lines),
        cmocka_unit_test(test_nul_byte_and_size),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_long_and_deep),
        cmocka_unit_test(test_report_is_bounded),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
