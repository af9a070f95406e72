/* test_conf_table.c - the table against itself, and the sample that is installed against the table. */
#include <ctype.h>

#include "conf_fixture.h"

/* The sample's path, from this file's own. */
static const char *sample_path(void)
{
    static char path[4096];
    static const char own[] = "tests/unit/common/test_conf_table.c";
    size_t length = strlen(__FILE__);
    assert_true(length >= strlen(own) && strcmp(&__FILE__[length - strlen(own)], own) == 0);
    (void)snprintf(path, sizeof path, "%.*sconf/livy-ha.conf", (int)(length - strlen(own)), __FILE__);
    return path;
}

static void test_rows_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf_n_keys; i++) {
        const struct conf_key *key = &conf_keys[i];
        char env[CONF_ENV_SIZE];
        char group[CONF_ENV_SIZE];
        assert_int_equal(conf_key_find(key->key), (int)i);
        assert_true(strlen(key->key) + sizeof "LIVY_HA__FILE" < CONF_ENV_SIZE);
        conf_key_env(key, env);
        assert_int_equal(strncmp(env, "LIVY_HA_", 8), 0);
        assert_true(key->min <= key->max);
        assert_true(key->offset < sizeof(struct conf));
        assert_true((key->type == CONF_TYPE_ENUM) == (key->names != NULL));
        (void)snprintf(group, sizeof group, "%.*s", (int)strcspn(key->key, "."), key->key);
        assert_true(strchr(key->key, '.') == NULL || conf_group_exists(group));
        for (size_t j = 0; j < i; j++) {
            char other[CONF_ENV_SIZE];
            char other_file[CONF_ENV_SIZE + 8];
            conf_key_env(&conf_keys[j], other);
            assert_string_not_equal(env, other);
            (void)snprintf(other_file, sizeof other_file, "%s_FILE", other);
            assert_string_not_equal(env, other_file);
            assert_int_not_equal(key->offset, conf_keys[j].offset);
        }
    }
}

static void test_defaults_fit_their_rows(void **state)
{
    (void)state;
    struct conf *conf = conf_new(HOST);
    assert_non_null(conf);
    for (size_t i = 0; i < conf_n_keys; i++) {
        char why[CONF_WHY_SIZE] = "";
        if (conf_keys[i].fallback != NULL) {
            assert_true(conf_value_set(conf, &conf_keys[i], conf_keys[i].fallback, why));
            assert_string_equal(why, "");
        } else {
            assert_true(
                conf_value_is_string(&conf_keys[i])); /* a number without a default would be 0 by chance */
        }
    }
    conf_free(conf);
}

static void test_bounds(void **state)
{
    (void)state;
    struct conf *conf = conf_new(HOST);
    assert_non_null(conf);
    for (size_t i = 0; i < conf_n_keys; i++) {
        const struct conf_key *key = &conf_keys[i];
        const char *unit = key->type == CONF_TYPE_DURATION ? "ms" : "";
        char text[40];
        char why[CONF_WHY_SIZE];
        if (key->type != CONF_TYPE_DURATION && key->type != CONF_TYPE_INT && key->type != CONF_TYPE_PORT) {
            continue;
        }
        (void)snprintf(text, sizeof text, "%lld%s", (long long)key->min, unit);
        assert_true(conf_value_set(conf, key, text, why));
        (void)snprintf(text, sizeof text, "%lld%s", (long long)key->max, unit);
        assert_true(conf_value_set(conf, key, text, why));
        (void)snprintf(text, sizeof text, "%lld%s", (long long)key->max + 1, unit);
        assert_false(conf_value_set(conf, key, text, why));
        (void)snprintf(text, sizeof text, "%lld%s", (long long)key->min - 1, unit);
        assert_false(conf_value_set(conf, key, text, why));
        assert_int_equal(conf_value_set(conf, key, "0", why), key->min <= 0 || key->zero);
    }
    conf_free(conf);
}

/* A key's effect is a promise to who reloads; this list is written a second time on purpose. */
static void test_effects(void **state)
{
    (void)state;
    static const char *const reload[] = {
        "livy.start_timeout",  "livy.stop_grace",         "livy.orphan_grace",
        "livy.probe_interval", "livy.probe_timeout",      "livy.probe_failures",
        "livy.restarts",       "livy.restart_window",     "front.hold",
        "front.drain",         "front.max_connections",   "log.level",
        "log.format",          "failover.takeover_delay", "failover.fence_command",
        "failover.on_change",  "failover.fence_timeout",  "failover.on_change_timeout",
        "livy.standby",        "livy.held_max_age",
    };
    static const char *const next_start[] = {
        "livy.home",     "livy.command",         "livy.conf_dir", "livy.log_dir",
        "livy.recovery", "livy.state_store_url", "livy.guard",    "livy.class_data_sharing",
    };
    size_t n_reload = 0;
    size_t n_next_start = 0;
    for (size_t i = 0; i < conf_n_keys; i++) {
        n_reload += conf_keys[i].effect == CONF_EFFECT_RELOAD;
        n_next_start += conf_keys[i].effect == CONF_EFFECT_NEXT_START;
    }
    assert_int_equal(n_reload, sizeof reload / sizeof reload[0]);
    assert_int_equal(n_next_start, sizeof next_start / sizeof next_start[0]);
    for (size_t i = 0; i < n_reload; i++) {
        assert_int_equal(conf_keys[conf_key_find(reload[i])].effect, CONF_EFFECT_RELOAD);
    }
    for (size_t i = 0; i < n_next_start; i++) {
        assert_int_equal(conf_keys[conf_key_find(next_start[i])].effect, CONF_EFFECT_NEXT_START);
    }
}

static void test_nearest(void **state)
{
    (void)state;
    char env[CONF_ENV_SIZE];
    assert_string_equal(conf_key_nearest("livy.kil_margin"), "livy.kill_margin");
    assert_string_equal(conf_key_nearest("zookeeper.home"), "livy.home");
    assert_null(conf_key_nearest("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"));
    assert_string_equal(conf_group_nearest("fialover"), "failover");
    assert_null(conf_group_nearest("qqqqqqqq"));
    assert_true(conf_env_nearest("LIVY_HA_ZOOKEPER_ROOT", env));
    assert_string_equal(env, "LIVY_HA_ZOOKEEPER_ROOT");
    assert_false(conf_env_nearest("LIVY_HA_QQQQQQQQQQQQQQ", env));
    char long_name[5000];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_null(conf_key_nearest(long_name));
}

/* ---- the sample ---- */

static void test_sample_loads(void **state)
{
    (void)state;
    struct conf_report report = {0};
    struct conf *conf = conf_load_for(HOST, sample_path(), fixture_no_env, &report);
    fixture_print(&report);
    assert_non_null(conf);
    assert_int_equal(report.n_warnings, 0);
    /* All but the two that must be set are commented out. */
    for (size_t i = 0; i < conf_n_keys; i++) {
        bool set =
            strcmp(conf_keys[i].key, "zookeeper.hosts") == 0 || strcmp(conf_keys[i].key, "livy.home") == 0;
        assert_int_equal(strcmp(conf_origin(conf, conf_keys[i].key), "default") != 0, set);
    }
    conf_free(conf);
}

/* One line of the sample: "    #key = value;" or "    key = value;" in its group. */
struct sample_line {
    char key[128];
    char value[512];
};

static bool sample_parse(const char *text, char group[80], struct sample_line *line)
{
    char name[64];
    char value[512];
    if (sscanf(text, "%63[a-z]: {", name) == 1 && strstr(text, ": {") != NULL) {
        (void)snprintf(group, 80, "%s.", name);
        return false;
    }
    if (strncmp(text, "};", 2) == 0) {
        group[0] = '\0';
        return false;
    }
    text += strspn(text, " ");
    text += *text == '#';
    /* A comment for people has a blank after its #. */
    if (sscanf(text, "%63[a-z_] = %511[^\n]", name, value) != 2 || isspace((unsigned char)*text)) {
        return false;
    }
    size_t length = strlen(value);
    assert_true(length > 1 && value[length - 1] == ';');
    value[length - 1] = '\0';
    (void)snprintf(line->key, sizeof line->key, "%s%s", group, name);
    (void)snprintf(line->value, sizeof line->value, "%s", value);
    return true;
}

/* What the sample says of a key: the comment above its line must say it where the value is only an example.
 */
static void sample_check(const struct sample_line *line, const char *comment, const struct conf *defaults)
{
    int row = conf_key_find(line->key);
    if (row < 0) {
        print_message("not in the table: %s\n", line->key);
    }
    assert_true(row >= 0);
    if (conf_keys[row].fallback == NULL) {
        bool must = strcmp(line->key, "zookeeper.hosts") == 0 || strcmp(line->key, "livy.home") == 0;
        if (!must && strstr(comment, "Default:") == NULL) {
            print_message("no word on the default of %s\n", line->key);
        }
        assert_true(must || strstr(comment, "Default:") != NULL);
        return;
    }
    if (conf_keys[row].type == CONF_TYPE_ENUM) { /* "auto" may have been decided by now */
        char quoted[CONF_SHOWN_SIZE];
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", conf_keys[row].fallback);
        assert_string_equal(line->value, quoted);
        return;
    }
    char *shown = conf_value_show(defaults, &conf_keys[row]);
    /* "60s" and "1min" are one value: both are compared as they would be shown. */
    assert_string_equal(line->value, shown);
    free(shown);
}

static void test_sample_lists_every_default(void **state)
{
    (void)state;
    struct conf *defaults = fixture_load_fine(BASE, NULL);
    FILE *file = fopen(sample_path(), "re");
    assert_non_null(file);
    char text[1024];
    char comment[2048] = "";
    char group[80] = "";
    bool *listed = calloc(conf_n_keys, sizeof *listed);
    assert_non_null(listed);
    while (fgets(text, sizeof text, file) != NULL) {
        struct sample_line line;
        assert_true(strlen(text) <= 121); /* a person reads it in an editor */
        if (sample_parse(text, group, &line)) {
            sample_check(&line, comment, defaults);
            assert_false(listed[conf_key_find(line.key)]);
            listed[conf_key_find(line.key)] = true;
            comment[0] = '\0';
        } else {
            size_t used = strlen(comment);
            (void)snprintf(comment + used, sizeof comment - used, "%s", text);
        }
    }
    assert_int_equal(fclose(file), 0);
    for (size_t i = 0; i < conf_n_keys; i++) {
        if (!listed[i]) {
            print_message("not in the sample: %s\n", conf_keys[i].key);
        }
        assert_true(listed[i]);
    }
    free(listed);
    conf_free(defaults);
}

/* Removing the # from every key gives a file that loads, but for what this build cannot do. */
static void test_sample_uncommented(void **state)
{
    (void)state;
    FILE *file = fopen(sample_path(), "re");
    assert_non_null(file);
    char text[1024];
    char group[80] = "";
    static char whole[32768];
    size_t used = 0;
    whole[0] = '\0';
    while (fgets(text, sizeof text, file) != NULL) {
        struct sample_line line;
        char *hash = strchr(text, '#');
        bool left = strstr(text, "#sasl_") != NULL;
#ifndef LIVY_HA_ZK_TLS
        left = left || (strcmp(group, "zookeeper.") == 0 && strstr(text, "#tls_") != NULL);
#endif
        if (sample_parse(text, group, &line) && hash != NULL && !left) {
            *hash = ' ';
        }
        used += (size_t)snprintf(whole + used, sizeof whole - used, "%s", text);
        assert_true(used < sizeof whole);
    }
    assert_int_equal(fclose(file), 0);
    struct conf *conf = fixture_load_fine(whole, NULL);
    assert_true(strcmp(conf_origin(conf, "livy.stop_grace"), "default") != 0);
    assert_true(strcmp(conf_origin(conf, "failover.on_change"), "default") != 0);
    conf_free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_sound),
        cmocka_unit_test(test_defaults_fit_their_rows),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_effects),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_sample_loads),
        cmocka_unit_test(test_sample_lists_every_default),
        cmocka_unit_test(test_sample_uncommented),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
