/* test_conf.c - right configurations: values, defaults, where they come from, the lease. */
#include <fcntl.h>

#include "conf_fixture.h"

static void test_defaults(void **state)
{
    (void)state;
    struct conf *conf = fixture_load_fine(BASE, NULL);
    assert_string_equal(conf->id, HOST);
    assert_string_equal(conf->host, HOST);
    assert_string_equal(conf->zookeeper.hosts, "h1:2181");
    assert_string_equal(conf->zookeeper.root, "/livy_ha");
    assert_int_equal(conf->zookeeper.session_timeout, 10000);
    assert_int_equal(conf->zookeeper.tick, 0);
    assert_null(conf->zookeeper.auth_digest);
    assert_string_equal(conf->livy.home, "/opt/livy");
    assert_string_equal(conf->livy.command, "/opt/livy/bin/livy-server");
    assert_string_equal(conf->livy.conf_dir, "/opt/livy/conf");
    assert_int_equal(conf->livy.port, 18998);
    assert_true(conf->livy.recovery);
    assert_null(conf->livy.state_store_url);
    assert_int_equal(conf->livy.start_timeout, 300000);
    assert_int_equal(conf->livy.stop_grace, 5000);
    assert_int_equal(conf->livy.kill_margin, 1000);
    assert_int_equal(conf->livy.orphan_grace, 60000);
    assert_int_equal(conf->livy.probe_interval, 5000);
    assert_int_equal(conf->livy.probe_timeout, 5000);
    assert_int_equal(conf->livy.probe_failures, 6);
    assert_int_equal(conf->livy.restarts, 3);
    assert_int_equal(conf->livy.restart_window, 600000);
    assert_int_equal(conf->livy.standby, CONF_STANDBY_COLD);
    assert_int_equal(conf->livy.held_max_age, 8 * 3600000);
    assert_int_equal(conf->livy.guard, CONF_GUARD_NONE);
    assert_int_equal(conf->livy.class_data_sharing, CONF_CDS_OFF);
    assert_string_equal(conf->front.listen, "0.0.0.0:8998");
    assert_int_equal(conf->front.mode, CONF_FRONT_AUTO);
    assert_string_equal(conf->front.advertise, "http://" HOST ":8998");
    assert_int_equal(conf->front.hold, 30000);
    assert_int_equal(conf->front.drain, 3000);
    assert_int_equal(conf->front.max_connections, 4096);
    assert_string_equal(conf->front.thrift_listen, "off");
    assert_int_equal(conf->front.thrift_port, 0);
    assert_string_equal(conf->admin_listen, "0.0.0.0:8997");
    assert_string_equal(conf->control_socket, "/run/livy-ha/control.sock");
    assert_string_equal(conf->runtime_dir, "/run/livy-ha");
    assert_int_equal(conf->log_level, LOG_LEVEL_INFO);
    assert_int_equal(conf->log_format, LOG_FORMAT_AUTO);
    assert_int_equal(conf->failover.takeover_delay, 0);
    assert_null(conf->failover.fence_command);
    assert_null(conf->failover.on_change);
    conf_free(conf);
}

/* A Livy that is held has the agent in it anyway, so it guards as well unless somebody says no. */
static void test_guard_of_a_hot_standby(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum conf_guard guard;
    } cases[] = {
        {ZK("") LIVY("standby = \"hot\";"), CONF_GUARD_PROCESS},
        {ZK("") LIVY("standby = \"hot\"; guard = \"none\";"), CONF_GUARD_NONE},
        {ZK("") LIVY("guard = \"process\";"), CONF_GUARD_PROCESS},
    };
    char *envp[] = {NULL};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf *conf = fixture_load_fine(cases[i].text, envp);
        assert_int_equal(conf->livy.guard, cases[i].guard);
        conf_free(conf);
    }
}

static void test_environment_alone(void **state)
{
    (void)state;
    char *envp[] = {"LIVY_HA_ZOOKEEPER_HOSTS=a,b:2182",
                    "LIVY_HOME=/usr/lib/livy/",
                    "LIVY_CONF_DIR=/etc/livy",
                    "LIVY_LOG_DIR=/var/log/livy",
                    "LIVY_HAPPY=1",
                    "LIVY_HA",
                    "LIVY_HA_LIVY_RECOVERY=FALSE",
                    "LIVY_HA_LIVY_PORT=8998",
                    "LIVY_HA_FRONT_HOLD=1min",
                    "LIVY_HA_FRONT_THRIFT_PORT=off",
                    "LIVY_HA_ADMIN_LISTEN=off",
                    NULL};
    struct conf *conf = fixture_load_fine(NULL, envp);
    assert_null(conf->path);
    assert_string_equal(conf->zookeeper.hosts, "a,b:2182");
    assert_string_equal(conf->livy.home, "/usr/lib/livy");
    assert_string_equal(conf->livy.conf_dir, "/etc/livy");
    assert_string_equal(conf->livy.log_dir, "/var/log/livy");
    assert_false(conf->livy.recovery);
    assert_int_equal(conf->livy.port, 8998);
    assert_int_equal(conf->front.hold, 60000);
    assert_string_equal(conf->admin_listen, "off");
    assert_string_equal(conf_origin(conf, "zookeeper.hosts"), "LIVY_HA_ZOOKEEPER_HOSTS");
    assert_string_equal(conf_origin(conf, "livy.home"), "LIVY_HOME");
    assert_string_equal(conf_origin(conf, "livy.conf_dir"), "LIVY_CONF_DIR");
    assert_string_equal(conf_origin(conf, "livy.command"), "default");
    assert_string_equal(conf_origin(conf, "no.such.key"), "default");
    conf_free(conf);
}

static void test_environment_over_file(void **state)
{
    (void)state;
    char *envp[] = {"LIVY_HA_LIVY_PORT=7000", "LIVY_HOME=/not/this", "LIVY_HA_ID=seven", NULL};
    struct conf *conf =
        fixture_load_fine(ZK("") LIVY("port = 6000;\n restarts = 0x10;") "id = \"six\";", envp);
    assert_int_equal(conf->livy.port, 7000);
    assert_int_equal(conf->livy.restarts, 16);
    assert_string_equal(conf->id, "seven");
    assert_string_equal(conf->livy.home, "/opt/livy");
    assert_string_equal(conf_origin(conf, "livy.port"), "LIVY_HA_LIVY_PORT");
    assert_non_null(strstr(conf_origin(conf, "livy.restarts"), "/livy-ha.conf:3"));
    assert_non_null(strstr(conf_origin(conf, "livy.home"), "/livy-ha.conf:2"));
    assert_non_null(strstr(conf->path, "/livy-ha.conf"));
    conf_free(conf);
}

/* Each of these loads as the whole of a file. */
static void test_right_files(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "zookeeper: { hosts: \"h1\" }; livy: { home: \"/opt/livy\" };",
        "zookeeper = { hosts = \"h1\" } livy = { home = \"/opt/livy\" }",
        "zookeeper = { hosts = \"h1:2181,\" \"h2:2181\"; }; livy = { home = \"/opt/livy\"; };",
        "// c\n# 10s\n/* 10s\n{{{ */ zookeeper = { hosts = \"h1\"; }; livy = { home = \"/opt/livy\"; };",
        BASE "id = \"10s\";",
        BASE "id = \"A-z_0.9:x\";",
        ZK("session_timeout = \"3600ms\";") LIVY(""),
        ZK("session_timeout = \"2300ms\"; tick = \"100ms\"; ") LIVY("kill_margin = \"900ms\";"),
        ZK("session_timeout = \"10min\"; tick = 0;") LIVY("kill_margin = \"1min\";"),
        ZK("tick = \"0s\"; root = \"/a/b.c/..d\";") LIVY(""),
        ZK("auth_digest = \"user:pass:word \\\\ \\\"\";") LIVY(""),
        ZK("") LIVY("stop_grace = 0; orphan_grace = \"1d\"; start_timeout = \"24h\"; restarts = 0;"),
        ZK("") LIVY("state_store_url = \"hdfs://ns/livy store\";"),
        BASE "front = { listen = \"off\"; }; admin = { listen = \"off\"; };",
        BASE "front = { listen = \":8998\"; }; admin = { listen = \"[::1]:8997\"; };",
        BASE "front = { listen = \"127.0.0.1:80\"; }; admin = { listen = \"127.0.0.2:80\"; };",
        ZK("") LIVY("port = 8998;") "front = { listen = \"10.0.0.1:8998\"; };",
        BASE "front = { thrift_listen = \":10000\"; thrift_port = 10001; mode = \"forward\"; };",
        BASE "front = { thrift_port = \"off\"; tls_certificate = \"/a\"; tls_key = \"/b\"; };",
        BASE "front = { thrift_port = 0; };",
        BASE "log = { level = \"debug\"; format = \"journal\"; }; control = { socket = \"/a\"; };",
        BASE
        "failover = { takeover_delay = \"0\"; fence_command = \"/bin/fence -f %h\"; on_change = \"x\"; };",
        BASE "@include \"empty.conf\"\n",
        BASE "front = { };",
    };
    (void)fixture_write("empty.conf", "");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct conf_report report = {0};
        struct conf *conf = fixture_load(texts[i], NULL, &report);
        if (conf == NULL) {
            print_message("refused: %s\n", texts[i]);
            fixture_print(&report);
        }
        assert_non_null(conf);
        conf_free(conf);
        conf_report_clear(&report);
    }
}

static void test_right_hosts(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "h1",        "h1:1",   "h1:65535",    "10.0.0.1:2181",          "[fd00::1]:2181",
        "[::1]",     "h1/app", "h1,h2:2/a/b", "zk-1.example.com.:2181", "[fd00::1],h2:2181,10.0.0.1/x",
        "1a.b:2181", "a_b",
    };
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        assert_null(conf_check_hosts(hosts[i]));
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
        const char *shown;
    } durations[] = {{"0", 0, "0"},          {"0h", 0, "0"},
                     {"1ms", 1, "1ms"},      {"1000ms", 1000, "1s"},
                     {"007s", 7000, "7s"},   {"5min", 300000, "300s"},
                     {"90s", 90000, "90s"},  {"600s", 600000, "10min"},
                     {"1h", 3600000, "1h"},  {"90min", 5400000, "90min"},
                     {"1d", 86400000, "1d"}, {"1500ms", 1500, "1500ms"},
                     {"24h", 86400000, "1d"}};
    const struct conf_key *key = &conf_keys[conf_key_find("livy.orphan_grace")];
    struct conf conf = {0};
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        char why[CONF_WHY_SIZE];
        char shown[32];
        assert_true(conf_value_set(&conf, key, durations[i].text, why));
        assert_int_equal(conf.livy.orphan_grace, durations[i].ms);
        conf_duration_format(conf.livy.orphan_grace, shown, sizeof shown);
        assert_string_equal(shown, durations[i].shown);
    }
}

static void test_values_are_made_uniform(void **state)
{
    (void)state;
    struct conf *conf =
        fixture_load_fine(ZK("") "livy = { home = \"/opt/livy///\"; };\n"
                                 "front = { listen = \":80\"; advertise = \"https://a.b:443/\"; };",
                          NULL);
    assert_string_equal(conf->livy.home, "/opt/livy");
    assert_string_equal(conf->front.listen, "0.0.0.0:80");
    assert_string_equal(conf->front.advertise, "https://a.b:443");
    assert_int_equal(conf_listen_port(conf->front.listen), 80);
    assert_int_equal(conf_listen_port("off"), -1);
    conf_free(conf);
    conf = fixture_load_fine(BASE "front = { listen = \"off\"; };", NULL);
    assert_string_equal(conf->front.advertise, "http://" HOST ":18998");
    conf_free(conf);
}

static void test_value_from_file(void **state)
{
    (void)state;
    char file[160];
    char *envp[] = {"LIVY_HA_LIVY_PORT=tcp://10.0.0.1:18998", file, "LIVY_HA_LIVY_PORT_FILE=", NULL};
    char port[160];
    (void)snprintf(port, sizeof port, "LIVY_HA_LIVY_PORT_FILE=%s", fixture_write("port", "19000"));
    (void)snprintf(file, sizeof file, "LIVY_HA_ZOOKEEPER_AUTH_DIGEST_FILE=%s",
                   fixture_write("digest", "u:p\n"));
    envp[2] = port;
    struct conf *conf = fixture_load_fine(BASE, envp);
    assert_string_equal(conf->zookeeper.auth_digest, "u:p");
    assert_string_equal(conf_origin(conf, "zookeeper.auth_digest"), "LIVY_HA_ZOOKEEPER_AUTH_DIGEST_FILE");
    assert_int_equal(conf->livy.port, 19000);
    conf_free(conf);
}

static void test_kubernetes_is_ignored(void **state)
{
    (void)state;
    char *envp[] = {"LIVY_HA_PORT=tcp://10.0.0.1:8998",
                    "LIVY_HA_SERVICE_HOST=10.0.0.1",
                    "LIVY_HA_SERVICE_PORT=8998",
                    "LIVY_HA_SERVICE_PORT_HTTP=8998",
                    "LIVY_HA_PORT_8998_TCP=tcp://10.0.0.1:8998",
                    "LIVY_HA_PORT_8998_TCP_PROTO=tcp",
                    "LIVY_HA_PORT_8998_TCP_PORT=8998",
                    "LIVY_HA_PORT_8998_TCP_ADDR=10.0.0.1",
                    "LIVY_HA_PORT_53_UDP=udp://10.0.0.1:53",
                    "LIVY_HA_PORT_53_UDP_ADDR=10.0.0.1",
                    "LIVY_HA_PORT_9_SCTP_PROTO=sctp",
                    "LIVY_HA_ADMIN_PORT=tcp://10.0.0.1:8997",
                    "LIVY_HA_ADMIN_SERVICE_HOST=10.0.0.1",
                    "LIVY_HA_ADMIN_SERVICE_PORT=8997",
                    "LIVY_HA_ADMIN_SERVICE_PORT_ADMIN_HTTP=8997",
                    "LIVY_HA_ADMIN_PORT_8997_TCP_ADDR=10.0.0.1",
                    "LIVY_HA_LIVY_PORT=tcp://10.0.0.1:18998",
                    "LIVY_HA_FRONT_THRIFT_PORT=tcp://10.0.0.1:10000",
                    "LIVY_HA_PORTS_PORT_1_PORT_2_TCP=tcp://10.0.0.1:2",
                    "LIVY_HA_V6_SERVICE_HOST=fd00::1",
                    "LIVY_HA_V6_PORT=tcp://[fd00::1]:8998",
                    "LIVY_HA_2_SERVICE_PORT_METRICS_2=1",
                    NULL};
    const char *first;
    struct conf *conf = fixture_load_fine(BASE, envp);
    assert_int_equal(conf->livy.port, 18998);
    assert_string_equal(conf_origin(conf, "livy.port"), "default");
    conf_free(conf);
    assert_int_equal(conf_service_links(envp, &first), sizeof envp / sizeof envp[0] - 1);
    assert_string_equal(first, envp[0]);
}

/* Name and value both have to be Kubernetes': a slip in a variable of ours must not pass for one of them. */
static void test_not_kubernetes(void **state)
{
    (void)state;
    static char *const not_links[] = {
        "LIVY_HA_PORT=8998",
        "LIVY_HA_PORT=http://10.0.0.1:8998",
        "LIVY_HA_PORT=tcp://10.0.0.1",
        "LIVY_HA_PORT=tcp://10.0.0.1:0",
        "LIVY_HA_PORT=tcp://10.0.0.1:65536",
        "LIVY_HA_PORT=tcp://10.0.0.1:8998/",
        "LIVY_HA_PORT=tcp://livy:8998",
        "LIVY_HA_PORT=://10.0.0.1:8998",
        "LIVY_HA_PORT=",
        "LIVY_HA_SERVICE_HOST=livy-a.example.com",
        "LIVY_HA_SERVICE_HOST=",
        "LIVY_HA_SERVICE_PORT=http",
        "LIVY_HA_SERVICE_PORT_=8998",
        "LIVY_HA_SERVICE_PORT_HTTP=",
        "LIVY_HA_SERVICE_PORTS=8998",
        "LIVY_HA_PORT_8998=tcp://10.0.0.1:8998",
        "LIVY_HA_PORT_8998_TCP=8998",
        "LIVY_HA_PORT_8998_TCP_PROTO=udp",
        "LIVY_HA_PORT_8998_TCP_PORT=8999",
        "LIVY_HA_PORT_8998_TCP_ADDR=livy",
        "LIVY_HA_PORT_8998_ICMP=icmp://10.0.0.1:8998",
        "LIVY_HA_PORT_89980000_TCP_PROTO=tcp",
        "LIVY_HA_PORT__TCP_PROTO=tcp",
        "LIVY_HA_port_8998_TCP_PROTO=tcp",
        "LIVY_HA_ZOOKEEPER_HOST=10.0.0.1",
        "LIVY_HA_LIVY_PORTS=18998",
    };
    for (size_t i = 0; i < sizeof not_links / sizeof not_links[0]; i++) {
        char *envp[] = {not_links[i], NULL};
        const char *first;
        struct conf_report report = {0};
        assert_int_equal(conf_service_links(envp, &first), 0);
        assert_null(first);
        assert_null(conf_load_for(HOST, fixture_write("livy-ha.conf", BASE), envp, &report));
        assert_int_equal(report.n_errors, 1);
        assert_non_null(strstr(report.errors[0], "there is no such variable"));
        conf_report_clear(&report);
    }
}

/* Also where the name is a key's: what is no URL of a Service is taken for a value, and is wrong. */
static void test_port_that_is_no_service(void **state)
{
    (void)state;
    char *envp[] = {"LIVY_HA_LIVY_PORT=tcp://livy:18998", NULL};
    struct conf_report report = {0};
    assert_null(conf_load_for(HOST, fixture_write("livy-ha.conf", BASE), envp, &report));
    assert_non_null(strstr(report.errors[0], "LIVY_HA_LIVY_PORT (environment): found \"tcp:"));
    conf_report_clear(&report);
}

static void test_log_dir(void **state)
{
    (void)state;
    char text[512];
    const char *home = fixture_path("home");
    assert_int_equal(mkdir(home, 0755), 0);
    (void)snprintf(text, sizeof text, ZK("") "livy = { home = \"%s\"; };\nruntime_dir = \"/run/x\";", home);

    struct conf *conf = fixture_load_fine(text, NULL);
    assert_non_null(strstr(conf->livy.log_dir, "/home/logs")); /* can be made */
    conf_free(conf);

    int fd = open(fixture_path("home/logs"), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    conf = fixture_load_fine(text, NULL);
    assert_string_equal(conf->livy.log_dir, "/run/x/logs"); /* in its place is a file */
    conf_free(conf);

    assert_int_equal(unlink(fixture_path("home/logs")), 0);
    assert_int_equal(mkdir(fixture_path("home/logs"), 0755), 0);
    conf = fixture_load_fine(text, NULL);
    assert_non_null(strstr(conf->livy.log_dir, "/home/logs"));
    conf_free(conf);

    assert_int_equal(rmdir(fixture_path("home/logs")), 0);
    assert_int_equal(rmdir(home), 0);
    conf = fixture_load_fine(text, NULL);
    assert_string_equal(conf->livy.log_dir, "/run/x/logs"); /* no home to make it in */
    conf_free(conf);
}

static size_t warnings_of(const char *text, const char *host, const char *part)
{
    struct conf_report report = {0};
    struct conf *conf = conf_load_for(host, fixture_write("livy-ha.conf", text), fixture_no_env, &report);
    assert_non_null(conf);
    size_t count = report.n_warnings;
    if (part != NULL) {
        assert_int_equal(count, 1);
        assert_non_null(strstr(report.warnings[0], part));
    }
    conf_free(conf);
    conf_report_clear(&report);
    return count;
}

static void test_warnings(void **state)
{
    (void)state;
    assert_int_equal(warnings_of(BASE, HOST, NULL), 0);
    (void)warnings_of(BASE, "node1", "front.advertise (default): the host in http://node1:8998 has no dot");
    (void)warnings_of(BASE, "localhost", "front.advertise (default): http://localhost:8998 is a loopback");
    (void)warnings_of(BASE "front = { advertise = \"http://127.1.2.3:1\"; };", HOST,
                      "livy-ha.conf:3: front.advertise");
    (void)warnings_of(BASE "front = { advertise = \"http://[::1]:1\"; };", HOST, "loopback");
    (void)warnings_of(BASE "front = { advertise = \"http://0.0.0.0\"; };", HOST, "wildcard");
    (void)warnings_of(BASE "front = { advertise = \"http://localhost.localdomain\"; };", HOST, "loopback");
    assert_int_equal(warnings_of(BASE "front = { advertise = \"http://[fd00::1]:1\"; };", HOST, NULL), 0);
    assert_int_equal(warnings_of(BASE "front = { advertise = \"http://10.0.0.1\"; };", "node1", NULL), 0);
    (void)warnings_of(BASE "front = { thrift_port = 1; };", HOST, "front.thrift_port: it has no effect");
    (void)warnings_of(BASE "front = { listen = \":18998\"; };", HOST, "port 18998 is also livy.port");
}

/* ---- the lease ---- */

static void test_lease(void **state)
{
    (void)state;
    char why[1024];
    struct conf conf = {.livy.kill_margin = 1000};
    /* 0.48 T >= 1.7 s, and 0.73 T >= 1.7 s + tick/2 where the tick is known. */
    assert_true(conf_lease_possible(&conf, 3542, why, sizeof why));
    assert_false(conf_lease_possible(&conf, 3541, why, sizeof why));
    assert_non_null(strstr(why, "zookeeper.tick is not set"));
    conf.zookeeper.tick = 500;
    assert_true(conf_lease_possible(&conf, 2672, why, sizeof why));
    assert_false(conf_lease_possible(&conf, 2671, why, sizeof why));
    assert_non_null(strstr(why, "T(1 - 2 rho) - tick/2 - 2h - eps - K >= 3h + 0.5 s does not hold"));
    assert_non_null(strstr(why, "at least \"2700ms\""));
    assert_null(strstr(why, "or set zookeeper.tick"));
    assert_false(conf_lease_possible(&conf, 0, why, sizeof why));
    assert_false(conf_lease_possible(&conf, -1, why, sizeof why));
    assert_false(conf_lease_possible(&conf, INT64_MAX, why, sizeof why));
    char little[8];
    assert_false(conf_lease_possible(&conf, 1000, little, sizeof little));
    assert_int_equal(strlen(little), 7);
}

static void test_load_for_this_host(void **state)
{
    (void)state;
    struct conf_report report = {0};
    /* With the names given, a host whose own name fits nothing loads as well. */
    char *envp[] = {"LIVY_HA_ID=me", "LIVY_HA_FRONT_ADVERTISE=http://me.example.com:8998", NULL};
    struct conf *conf = conf_load(fixture_write("livy-ha.conf", BASE), envp, &report);
    assert_non_null(conf);
    assert_true(conf->host[0] != '\0');
    assert_string_equal(conf->id, "me");
    conf_free(conf);
    conf_free(NULL);
    assert_null(conf_load("/not/there", envp, &report));
    assert_true(fixture_mentions(&report, "/not/there: cannot be read"));
    conf_report_clear(&report);
    if (access(CONF_DEFAULT_PATH, F_OK) != 0) {
        assert_null(conf_load(NULL, envp, &report));
        assert_true(fixture_mentions(&report, "zookeeper.hosts is required"));
        conf_report_clear(&report);
    }
}

static void test_relative_path_and_include(void **state)
{
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    (void)fixture_write("more.conf", "id = \"included\";\n");
    (void)fixture_write("livy-ha.conf", BASE "@include \"more.conf\"");
    assert_int_equal(chdir(fixture_directory), 0);
    struct conf_report report = {0};
    struct conf *conf = conf_load_for(HOST, "livy-ha.conf", fixture_no_env, &report);
    assert_int_equal(chdir(before), 0);
    assert_non_null(conf);
    assert_string_equal(conf_origin(conf, "zookeeper.hosts"), "livy-ha.conf:1");
    assert_string_equal(conf_origin(conf, "id"), "more.conf:1");
    conf_free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_guard_of_a_hot_standby),
        cmocka_unit_test(test_environment_alone),
        cmocka_unit_test(test_environment_over_file),
        cmocka_unit_test(test_right_files),
        cmocka_unit_test(test_right_hosts),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_values_are_made_uniform),
        cmocka_unit_test(test_value_from_file),
        cmocka_unit_test(test_kubernetes_is_ignored),
        cmocka_unit_test(test_not_kubernetes),
        cmocka_unit_test(test_port_that_is_no_service),
        cmocka_unit_test(test_log_dir),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_load_for_this_host),
        cmocka_unit_test(test_relative_path_and_include),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
