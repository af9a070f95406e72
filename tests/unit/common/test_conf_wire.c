/* test_conf_wire.c - a loaded configuration: handed over, walked over, reloaded. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "conf_fixture.h"

/* ---- hand-over ---- */

static const char full_text[] = "id = \"m:1\"; runtime_dir = \"/run/a-b\";\n" ZK(
    "root = \"/a\"; auth_digest = \"u:p\\\\\\\"w\"; tick = \"2s\";")
    LIVY(
        "port = 1; recovery = false; state_store_url = \"x\\\\N\"; stop_grace = \"1234ms\";") "front = { "
                                                                                              "mode = "
                                                                                              "\"redirect\"; "
                                                                                              "thrift_listen "
                                                                                              "= \":5\"; "
                                                                                              "thrift_port = "
                                                                                              "6; };\n"
                                                                                              "log = { level "
                                                                                              "= \"debug\"; "
                                                                                              "format = "
                                                                                              "\"json\"; }; "
                                                                                              "failover = { "
                                                                                              "on_change = "
                                                                                              "\"\\\\N\"; };";

static void assert_same(const struct conf *a, const struct conf *b)
{
    for (size_t i = 0; i < conf_n_keys; i++) {
        assert_true(conf_value_equal(a, b, &conf_keys[i]));
        assert_string_equal(conf_origin(a, conf_keys[i].key), conf_origin(b, conf_keys[i].key));
    }
    assert_string_equal(a->host, b->host);
    assert_true((a->path == NULL) == (b->path == NULL));
    if (a->path != NULL) {
        assert_string_equal(a->path, b->path);
    }
}

static int new_memfd(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void test_write_and_read(void **state)
{
    (void)state;
    const char *const texts[] = {full_text, BASE, NULL};
    char *envp[] = {"LIVY_HA_ZOOKEEPER_HOSTS=h", "LIVY_HA_LIVY_HOME=/h", NULL};
    for (size_t i = 0; i < 3; i++) {
        struct conf_report report = {0};
        struct conf *conf = fixture_load_fine(texts[i], texts[i] == NULL ? envp : NULL);
        int fd = new_memfd();
        assert_int_equal(conf_write(conf, fd), 0);
        struct conf *copy = conf_read(fd, &report);
        fixture_print(&report);
        assert_non_null(copy);
        assert_same(conf, copy);
        struct conf *again = conf_read(fd, &report); /* each reader begins at the start */
        assert_non_null(again);
        assert_same(conf, again);
        assert_int_equal(close(fd), 0);
        conf_free(conf);
        conf_free(copy);
        conf_free(again);
    }
}

static void test_write_fails(void **state)
{
    (void)state;
    struct conf *conf = fixture_load_fine(BASE, NULL);
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(conf_write(conf, fd), -1);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(close(fd), 0);
    assert_int_equal(conf_write(conf, -1), -1);
    assert_int_equal(errno, EBADF);
    conf_free(conf);
}

static bool reads(const char *text, size_t length)
{
    struct conf_report report = {0};
    int fd = new_memfd();
    assert_int_equal(write(fd, text, length), (ssize_t)length);
    struct conf *conf = conf_read(fd, &report);
    assert_true((conf != NULL) == (report.n_errors == 0));
    assert_int_equal(close(fd), 0);
    bool read_it = conf != NULL;
    conf_free(conf);
    conf_report_clear(&report);
    return read_it;
}

/* What conf_write made, with `from` replaced by `to`. */
static bool reads_changed(const char *from, const char *to)
{
    char text[8192];
    char changed[16384];
    struct conf *conf = fixture_load_fine(BASE, NULL);
    int fd = new_memfd();
    assert_int_equal(conf_write(conf, fd), 0);
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    assert_true(length > 0);
    text[length] = '\0';
    const char *at = strstr(text, from);
    assert_non_null(at);
    int made = snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_true(made > 0 && made < (int)sizeof changed);
    assert_int_equal(close(fd), 0);
    conf_free(conf);
    return reads(changed, (size_t)made);
}

static void test_read_is_strict(void **state)
{
    (void)state;
    assert_true(reads_changed("", ""));
    assert_false(reads("", 0));
    assert_false(reads("livy-ha-conf 1\n", 15));
    assert_false(reads("livy-ha-conf 1\nend\n", 19));
    assert_false(reads_changed("livy-ha-conf 1", "livy-ha-conf 2"));
    assert_false(reads_changed("end\n", ""));
    assert_false(reads_changed("end\n", "end"));
    assert_false(reads_changed("end\n", "end\nend\n"));
    assert_false(reads_changed("id\t", "bogus\t"));
    assert_false(reads_changed("id\t-\t", "id\t-\tx\t"));
    assert_false(reads_changed("id\t-\t", "id\t-"));
    assert_false(reads_changed("id\t-\t", "id\t\t"));
    assert_false(reads_changed("livy.port\t-\t18998", "livy.port\t-\t0"));
    assert_false(reads_changed("livy.port\t-\t18998", "livy.port\t-\t\\N"));
    assert_false(reads_changed("zookeeper.root\t-\t/livy_ha", "zookeeper.root\t-\t\\N"));
    assert_false(reads_changed("zookeeper.root\t-\t/livy_ha", "zookeeper.root\t-\t\\x2"));
    assert_false(reads_changed("zookeeper.root\t-\t/livy_ha", "zookeeper.root\t-\t/a\\x00"));
    assert_false(reads_changed("zookeeper.root\t-\t/livy_ha", "zookeeper.root\t-\t/a\\n"));
    assert_false(reads_changed("livy.port\t", "livy.port\t-\t1\nlivy.port\t"));
    assert_false(reads_changed("host\t", "host\t-\tx\nhost\t"));
    assert_false(reads_changed("host\t-\t" HOST "\n", ""));
    assert_false(reads_changed("id\t-\t" HOST "\n", ""));
    /* From an older livy-ha, which did not know the key yet. */
    assert_true(reads_changed("front.hold\t-\t30s\n", ""));
    assert_false(reads("livy-ha-conf 1\0\nend\n", 20));
    static char large[1024 * 1024 + 100];
    memset(large, 'x', sizeof large);
    assert_false(reads(large, sizeof large));
    struct conf_report report = {0};
    assert_null(conf_read(-1, &report));
    assert_int_equal(report.n_errors, 1);
    conf_report_clear(&report);
}

/* ---- conf_each and conf_reload ---- */

struct seen_rows {
    size_t count;
    char text[8192];
};

static void see_row(void *arg, const struct conf_row *row)
{
    struct seen_rows *seen = arg;
    size_t used = strlen(seen->text);
    assert_string_equal(row->key, conf_keys[seen->count].key);
    assert_int_equal(row->effect, conf_keys[seen->count].effect);
    assert_non_null(row->origin);
    seen->count++;
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%s=%s\n", row->key, row->value);
}

static void test_each(void **state)
{
    (void)state;
    struct conf *conf = fixture_load_fine(full_text, NULL);
    struct seen_rows seen = {0};
    conf_each(conf, see_row, &seen);
    assert_int_equal(seen.count, conf_n_keys);
    static const char *const lines[] = {
        "id=\"m:1\"\n",          "runtime_dir=\"/run/a-b\"\n",    "zookeeper.auth_digest=***\n",
        "livy.port=1\n",         "livy.recovery=false\n",         "livy.stop_grace=\"1234ms\"\n",
        "log.level=\"debug\"\n", "failover.fence_command=none\n", "zookeeper.tls_key_password=none\n",
        "front.thrift_port=6\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_non_null(strstr(seen.text, lines[i]));
    }
    assert_null(strstr(seen.text, "u:p"));
    conf_free(conf);
}

/* What "auto" comes to is said, handed over, and said there too. */
static void test_front_mode_in_force(void **state)
{
    static const char *const expected[] = {"front.mode=\"auto\"\n",
                                           "front.mode=\"auto\" (forward: livy.conf sets up no Kerberos)\n",
                                           "front.mode=\"auto\" (redirect: livy.conf sets up Kerberos)\n"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct conf_report report = {0};
        struct conf *conf = fixture_load_fine(BASE, NULL);
        if (i > 0) {
            conf_decide_front(conf, i == 2);
        }
        int fd = new_memfd();
        assert_int_equal(conf_write(conf, fd), 0);
        struct conf *copy = conf_read(fd, &report);
        close(fd);
        assert_non_null(copy);
        assert_int_equal(copy->front.mode, CONF_FRONT_AUTO);
        assert_int_equal(copy->front.mode_in_force, conf->front.mode_in_force);
        struct seen_rows seen = {0};
        conf_each(copy, see_row, &seen);
        assert_non_null(strstr(seen.text, expected[i]));
        conf_free(copy);
        conf_free(conf);
    }
    struct conf *told =
        fixture_load_fine(full_text, NULL); /* what a person has set stays, whatever livy.conf says */
    conf_decide_front(told, false);
    assert_int_equal(told->front.mode_in_force, CONF_FRONT_REDIRECT);
    conf_free(told);
}

static void see_change(void *arg, const char *key, enum conf_effect effect)
{
    char *text = arg;
    size_t used = strlen(text);
    static const char *const names[] = {"reload", "next-start", "restart"};
    (void)snprintf(text + used, 1024 - used, "%s:%s ", key, names[effect]);
}

static void test_reload(void **state)
{
    (void)state;
    char changes[1024] = "";
    struct conf *old = fixture_load_fine(BASE, NULL);
    struct conf *fresh = fixture_load_fine(
        "id = \"other\"; runtime_dir = \"/run/other\";\n" ZK(
            "auth_digest = \"a:b\"; session_timeout = \"20s\";") "livy = { home = \"/srv/livy\"; restarts = "
                                                                 "9; kill_margin = \"2s\"; port = 1; };\n"
                                                                 "log = { level = \"debug\"; }; front = { "
                                                                 "hold = \"1s\"; listen = \":1111\"; };\n"
                                                                 "failover = { on_change = \"/x\"; };",
        NULL);
    struct conf *merged = conf_reload(old, fresh, see_change, changes);
    assert_ptr_equal(merged, fresh);
    assert_string_equal(changes, "id:restart runtime_dir:restart zookeeper.session_timeout:restart "
                                 "zookeeper.auth_digest:restart livy.home:next-start livy.command:next-start "
                                 "livy.conf_dir:next-start livy.port:restart livy.kill_margin:restart "
                                 "livy.restarts:reload front.listen:restart front.advertise:restart "
                                 "front.hold:reload control.socket:restart log.level:reload "
                                 "failover.on_change:reload ");
    assert_string_equal(merged->id, HOST);
    assert_string_equal(merged->runtime_dir, "/run/livy-ha");
    assert_null(merged->zookeeper.auth_digest);
    assert_int_equal(merged->zookeeper.session_timeout, 10000);
    assert_int_equal(merged->livy.kill_margin, 1000);
    assert_int_equal(merged->livy.port, 18998);
    assert_string_equal(merged->front.advertise, "http://" HOST ":8998");
    assert_string_equal(merged->control_socket, "/run/livy-ha/control.sock");
    assert_string_equal(conf_origin(merged, "id"), "default");
    assert_string_equal(merged->livy.home, "/srv/livy");
    /* Made from the runtime_dir in force, not from the one that waits for a restart. */
    assert_string_equal(merged->livy.log_dir, "/run/livy-ha/logs");
    assert_int_equal(merged->livy.restarts, 9);
    assert_int_equal(merged->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(merged->front.hold, 1000);
    assert_string_equal(merged->failover.on_change, "/x");
    assert_non_null(strstr(conf_origin(merged, "livy.restarts"), "livy-ha.conf:3"));
    assert_string_equal(old->livy.home, "/opt/livy");

    /* And nothing changes from itself. */
    changes[0] = '\0';
    struct conf *same = conf_reload(old, fixture_load_fine(BASE, NULL), see_change, changes);
    assert_string_equal(changes, "");
    conf_free(same);
    conf_free(merged);
    conf_free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),      cmocka_unit_test(test_write_fails),
        cmocka_unit_test(test_read_is_strict),      cmocka_unit_test(test_each),
        cmocka_unit_test(test_front_mode_in_force), cmocka_unit_test(test_reload),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
