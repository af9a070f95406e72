/* test_conf_wrong.c - wrong configurations, and what is said about each. */
#include "conf_fixture.h"

struct wrong {
    const char *text; /* the file, or NULL */
    char *env[4];
    const char *says[3]; /* parts of the errors, each of which must be found */
};

#define ENV_BASE "LIVY_HA_ZOOKEEPER_HOSTS=h1:2181", "LIVY_HA_LIVY_HOME=/opt/livy"

static const struct wrong wrongs[] = {
    /* what is required */
    {"", {0}, {"zookeeper.hosts is required", "livy.home is required"}},
    {NULL, {0}, {"zookeeper.hosts is required: set it in the file", "LIVY_HA_ZOOKEEPER_HOSTS"}},
    {ZK(""), {0}, {"livy.home is required", "LIVY_HOME in the environment"}},
    {ZK(""), {"LIVY_HOME="}, {"livy.home is required"}},
    {ZK(""),
     {"LIVY_HOME=opt/livy"},
     {"LIVY_HOME (environment): livy.home: found \"opt/livy\", expected an absolute"}},
    {BASE, {"LIVY_CONF_DIR=conf"}, {"LIVY_CONF_DIR (environment): livy.conf_dir: found \"conf\""}},
    {BASE, {"LIVY_LOG_DIR=logs"}, {"LIVY_LOG_DIR (environment): livy.log_dir: found \"logs\""}},

    /* durations */
    {ZK("") "livy = { home = \"/opt/livy\";\n kill_margin = 10s; };\n",
     {0},
     {"livy-ha.conf:3: livy.kill_margin: found 10s without quotes, expected \"10s\" in double quotes"}},
    {ZK("\nsession_timeout = 5min;") LIVY("stop_grace=250ms;"),
     {0},
     {"livy-ha.conf:2: zookeeper.session_timeout: found 5min without",
      "livy-ha.conf:3: livy.stop_grace: found 250ms"}},
    {ZK("") LIVY("stop_grace = 5;"),
     {0},
     {"livy-ha.conf:2: livy.stop_grace: found the number 5, expected a duration in quotes",
      "such as \"10s\""}},
    {ZK("") LIVY("stop_grace = 1.5;"), {0}, {"livy.stop_grace: found the number 1.5, expected a duration"}},
    {ZK("") LIVY("stop_grace = true;"), {0}, {"livy.stop_grace: found true, expected a duration"}},
    {ZK("") LIVY("stop_grace = \"5\";"),
     {0},
     {"livy.stop_grace: found \"5\", expected a number with one of the units"}},
    {ZK("") LIVY("stop_grace = \"5m\";"),
     {0},
     {"found \"5m\", expected a number with one of the units ms, s, min, h, d"}},
    {ZK("") LIVY("stop_grace = \"1.5s\";"), {0}, {"found \"1.5s\", expected"}},
    {ZK("") LIVY("stop_grace = \" 5s\";"), {0}, {"found \" 5s\", expected"}},
    {ZK("") LIVY("stop_grace = \"5 s\";"), {0}, {"found \"5 s\", expected"}},
    {ZK("") LIVY("stop_grace = \"5S\";"), {0}, {"found \"5S\", expected"}},
    {ZK("") LIVY("stop_grace = \"-1s\";"),
     {0},
     {"found \"-1s\", expected a duration in quotes from \"0\" to \"1h\""}},
    {ZK("") LIVY("stop_grace = \"3601s\";"),
     {0},
     {"found \"3601s\", expected a duration in quotes from \"0\" to \"1h\""}},
    {ZK("") LIVY("stop_grace = \"\";"), {0}, {"found \"\", expected a duration"}},
    {ZK("") LIVY("stop_grace = \"s\";"), {0}, {"found \"s\", expected a duration"}},
    {ZK("") LIVY("stop_grace = \"9999999999999999d\";"),
     {0},
     {"livy.stop_grace: found \"9999999999999999d\""}},
    {ZK("") LIVY("stop_grace = \"99999999999999999999s\";"),
     {0},
     {"livy.stop_grace: found \"99999999999999999999s\""}},
    {ZK("session_timeout = \"999ms\";") LIVY(""),
     {0},
     {"livy-ha.conf:1: zookeeper.session_timeout: found \"999ms\""}},
    {ZK("session_timeout = \"601s\";") LIVY(""),
     {0},
     {"expected a duration in quotes from \"1s\" to \"10min\""}},
    {ZK("tick = \"99ms\";") LIVY(""), {0}, {"zookeeper.tick: found \"99ms\"", "or \"0\""}},
    {ZK("tick = \"61s\";") LIVY(""), {0}, {"zookeeper.tick: found \"61s\""}},
    {ZK("") LIVY("kill_margin = \"99ms\";"),
     {0},
     {"expected a duration in quotes from \"100ms\" to \"60s\""}},
    {ZK("") LIVY("kill_margin = \"0\";"), {0}, {"livy.kill_margin: found \"0\""}},
    {ZK("") LIVY("start_timeout = \"0s\";"), {0}, {"from \"1s\" to \"1d\""}},
    {ZK("") LIVY("orphan_grace = \"25h\";"), {0}, {"livy.orphan_grace: found \"25h\""}},
    {ZK("") LIVY("probe_interval = \"50ms\"; probe_timeout = \"11min\";"),
     {0},
     {"livy.probe_interval: found \"50ms\"", "livy.probe_timeout: found \"11min\""}},
    {ZK("") LIVY("restart_window = \"500ms\";"), {0}, {"livy.restart_window: found \"500ms\""}},
    {BASE "front = { hold = \"2h\"; drain = \"601s\"; };",
     {0},
     {"livy-ha.conf:3: front.hold: found \"2h\"", "front.drain: found \"601s\""}},
    {BASE "failover = { takeover_delay = \"2h\"; };", {0}, {"failover.takeover_delay: found \"2h\""}},

    /* numbers and booleans */
    {ZK("") LIVY("port = 0;"),
     {0},
     {"livy-ha.conf:2: livy.port: found \"0\", expected a port from 1 to 65535"}},
    {ZK("") LIVY("port = 65536;"), {0}, {"livy.port: found \"65536\""}},
    {ZK("") LIVY("port = -1;"), {0}, {"livy.port: found \"-1\""}},
    {ZK("") LIVY("port = 4294976294;"), {0}, {"livy.port: found \"4294976294\", expected a port"}},
    {ZK("") LIVY("port = 0x100002328;"), {0}, {"livy.port: found \"4294976296\""}},
    {ZK("") LIVY("port = 99999999999999999999999;"), {0}, {"livy.port: found \"9223372036854775807\""}},
    {ZK("") LIVY("port = \"18998\";"), {0}, {"livy.port: found the string \"18998\", expected a port"}},
    {ZK("") LIVY("port = \"off\";"),
     {0},
     {"livy.port: found the string \"off\", expected a port from 1 to 65535"}},
    {ZK("") LIVY("port = 18998.0;"), {0}, {"livy.port: found the number 18998, expected a port"}},
    {ZK("") LIVY("port = [1,2];"), {0}, {"livy.port: found an array [ ], expected a port"}},
    {ZK("") LIVY("probe_failures = 0; restarts = 61;"),
     {0},
     {"livy.probe_failures: found \"0\", expected a whole number from 1 to 1000",
      "livy.restarts: found \"61\""}},
    {BASE "front = { max_connections = 1000001; };", {0}, {"front.max_connections: found \"1000001\""}},
    {ZK("") LIVY("recovery = 1;"),
     {0},
     {"livy-ha.conf:2: livy.recovery: found the number 1, expected true or false"}},
    {ZK("") LIVY("recovery = \"true\";"),
     {0},
     {"livy.recovery: found the string \"true\", expected true or false"}},

    /* strings */
    {"zookeeper = { hosts = [\"h1:2181\", \"h2:2181\"]; };\n" LIVY(""),
     {0},
     {"livy-ha.conf:1: zookeeper.hosts: found an array [ ], expected a string in double quotes"}},
    {"zookeeper = { hosts = (\"h1:2181\"); };\n" LIVY(""), {0}, {"zookeeper.hosts: found a list ( )"}},
    {BASE "id = 7;", {0}, {"livy-ha.conf:3: id: found the number 7, expected a string"}},
    {BASE "id = { a = 1; };", {0}, {"id: found a group { }, expected a string"}},
    {BASE "id = \"\";", {0}, {"id: found \"\", expected a name of 1 to 128"}},
    {BASE "id = \"a/b\";", {0}, {"id: found \"a/b\", expected a name of 1 to 128"}},
    {BASE "id = \"a b\";", {0}, {"id: found \"a b\""}},
    {BASE "id = \"..\";", {0}, {"id: found \"..\", expected a name other than"}},
    {BASE "id = \"n\\u00e9\";", {0}, {"id: found"}},
    {BASE "runtime_dir = \"run\";", {0}, {"runtime_dir: found \"run\", expected an absolute path"}},
    {BASE "runtime_dir = \"/run/a\\nb\";",
     {0},
     {"runtime_dir: found \"/run/a\\x0ab\", expected a path without control"}},
    {BASE "runtime_dir = \"/run/a b\";",
     {0},
     {"livy-ha.conf:3: runtime_dir: found \"/run/a b\", expected a path without blanks"}},
    {BASE "runtime_dir = \"/run/a:b\";", {0}, {"runtime_dir: found \"/run/a:b\""}},
    {BASE "runtime_dir = \"/run/a*\";", {0}, {"runtime_dir: found \"/run/a*\""}},
    {BASE "runtime_dir = \"/run/a?\";", {0}, {"runtime_dir: found \"/run/a?\""}},
    {BASE "runtime_dir = \"/run/[a\";", {0}, {"runtime_dir: found \"/run/[a\""}},
    {BASE "runtime_dir = \"/run/a\\\\b\";", {0}, {"runtime_dir: found \"/run/a", "expected a path without"}},
    {BASE "runtime_dir = \"\";", {0}, {"runtime_dir: found \"\", expected an absolute path"}},
    {ZK("") "livy = { home = \"opt/livy\"; };", {0}, {"livy-ha.conf:2: livy.home: found \"opt/livy\""}},
    {ZK("") LIVY("command = \"bin/x\"; conf_dir = \"c\"; log_dir = \"l\";"),
     {0},
     {"livy.command: found", "livy.conf_dir: found", "livy.log_dir: found"}},
    {ZK("") LIVY("state_store_url = \"\";"), {0}, {"livy.state_store_url: found \"\", expected some text"}},
    {BASE "failover = { fence_command = \"\"; on_change = \"a\\nb\"; };",
     {0},
     {"failover.fence_command: found \"\"", "failover.on_change: found \"a\\x0ab\""}},
    {BASE "control = { socket = \"control.sock\"; };", {0}, {"control.socket: found \"control.sock\""}},
    {BASE "control = { socket = \"/run/0123456789012345678901234567890123456789012345678901234567890123456789"
          "01234567890123456789012345678901234\"; };",
     {0},
     {"control.socket: found", "expected a path shorter than 108 bytes"}},
    {BASE "runtime_dir = \"/run/0123456789012345678901234567890123456789012345678901234567890123456789"
          "01234567890123456789\";",
     {0},
     {"control.socket (default): found", "a shorter runtime_dir"}},
    {ZK("auth_digest = \"secretwithoutcolon\";") LIVY(""),
     {0},
     {"zookeeper.auth_digest: found a value not shown here, expected user:password"}},
    {ZK("auth_digest = \":pw\";") LIVY(""), {0}, {"zookeeper.auth_digest: found"}},
    {ZK("auth_digest = \"user:\";") LIVY(""), {0}, {"both non-empty"}},

    /* enums */
    {BASE "log = { level = \"trace\"; };",
     {0},
     {"livy-ha.conf:3: log.level: found \"trace\", expected \"error\", \"warn\", \"info\" or \"debug\""}},
    {BASE "log = { format = \"xml\"; };", {0}, {"\"auto\", \"text\", \"json\" or \"journal\""}},
    {BASE "front = { mode = \"Redirect\"; };", {0}, {"front.mode: found \"Redirect\", expected \"auto\""}},
    {ZK("") LIVY("standby = \"warm\";"), {0}, {"livy.standby: found \"warm\", expected \"cold\", \"hot\" or \"auto\""}},

    /* what this build cannot do */
    {ZK("") LIVY("held_max_age = \"100ms\";"), {0}, {"livy.held_max_age: found \"100ms\""}},
    {ZK("") LIVY("class_data_sharing = \"auto\";"),
     {0},
     {"livy.class_data_sharing: this version does not do that yet"}},
    {ZK("sasl_mechanism = \"GSSAPI\";") LIVY(""),
     {0},
     {"livy-ha.conf:1: zookeeper.sasl_mechanism: this build has no SASL"}},
#ifndef LIVY_HA_ZK_TLS
    {ZK("tls_ca = \"/ca.pem\"; tls_key_password = \"p\";") LIVY(""),
     {0},
     {"livy-ha.conf:1: zookeeper.tls_ca: the ZooKeeper client library of this build has no TLS", "stunnel",
      "zookeeper.tls_key_password: the ZooKeeper"}},
#else
    {ZK("tls_certificate = \"/c.pem\";") LIVY(""),
     {0},
     {"of no use without zookeeper.tls_ca", "without zookeeper.tls_key"}},
#endif

    /* servers, paths in ZooKeeper */
    {"zookeeper = { hosts = \"\"; };\n" LIVY(""),
     {0},
     {"zookeeper.hosts: found \"\", expected a server on each side"}},
    {"zookeeper = { hosts = \"h1:2181,\"; };\n" LIVY(""),
     {0},
     {"expected a server on each side of every comma"}},
    {"zookeeper = { hosts = \",h1\"; };\n" LIVY(""), {0}, {"expected a server on each side of every comma"}},
    {"zookeeper = { hosts = \"h1,,h2\"; };\n" LIVY(""),
     {0},
     {"expected a server on each side of every comma"}},
    {"zookeeper = { hosts = \"h1:2181, h2:2181\"; };\n" LIVY(""),
     {0},
     {"expected no blanks between the servers"}},
    {"zookeeper = { hosts = \"h1:0\"; };\n" LIVY(""),
     {0},
     {"expected a port from 1 to 65535 after the colon"}},
    {"zookeeper = { hosts = \"h1:65536\"; };\n" LIVY(""), {0}, {"expected a port from 1 to 65535"}},
    {"zookeeper = { hosts = \"h1:\"; };\n" LIVY(""), {0}, {"expected a port from 1 to 65535"}},
    {"zookeeper = { hosts = \"h1:2181x\"; };\n" LIVY(""), {0}, {"expected a port from 1 to 65535"}},
    {"zookeeper = { hosts = \":2181\"; };\n" LIVY(""), {0}, {"expected a host name"}},
    {"zookeeper = { hosts = \"fd00::1\"; };\n" LIVY(""), {0}, {"expected an IPv6 address in brackets"}},
    {"zookeeper = { hosts = \"[fd00::1\"; };\n" LIVY(""), {0}, {"expected a ] at the end"}},
    {"zookeeper = { hosts = \"[fd00::g]:2181\"; };\n" LIVY(""),
     {0},
     {"expected an IPv6 address between [ and ]"}},
    {"zookeeper = { hosts = \"[::1]2181\"; };\n" LIVY(""), {0}, {"expected a colon and a port after the ]"}},
    {"zookeeper = { hosts = \"10.0.0.256:2181\"; };\n" LIVY(""), {0}, {"a whole IPv4 address"}},
    {"zookeeper = { hosts = \"h1/app,h2\"; };\n" LIVY(""),
     {0},
     {"expected a chroot after the last server only"}},
    {"zookeeper = { hosts = \"h1,h2/\"; };\n" LIVY(""),
     {0},
     {"expected a ZooKeeper path of at least one part"}},
    {"zookeeper = { hosts = \"h1,h2/app/\"; };\n" LIVY(""),
     {0},
     {"without an empty part or a slash at its end"}},
    {"zookeeper = { hosts = \"h_1;h2\"; };\n" LIVY(""), {0}, {"expected a host name or address"}},
    {ZK("root = \"livy_ha\";") LIVY(""),
     {0},
     {"zookeeper.root: found \"livy_ha\", expected a ZooKeeper path"}},
    {ZK("root = \"/\";") LIVY(""),
     {0},
     {"zookeeper.root: found \"/\", expected a ZooKeeper path of at least one part"}},
    {ZK("root = \"/a/\";") LIVY(""), {0}, {"without an empty part or a slash at its end"}},
    {ZK("root = \"/a//b\";") LIVY(""), {0}, {"without an empty part"}},
    {ZK("root = \"/a/../b\";") LIVY(""), {0}, {"without the parts \".\" and \"..\""}},
    {ZK("root = \"/./a\";") LIVY(""), {0}, {"without the parts \".\" and \"..\""}},
    {ZK("root = \"/a\\x01\";") LIVY(""), {0}, {"zookeeper.root: found \"/a\\x01\""}},

    /* addresses */
    {BASE "front = { listen = \"8998\"; };", {0}, {"front.listen: found \"8998\"", "as in \":8998\""}},
    {BASE "front = { listen = 8998; };", {0}, {"front.listen: found the number 8998, expected a string"}},
    {BASE "front = { listen = \"0.0.0.0\"; };",
     {0},
     {"front.listen: found \"0.0.0.0\", expected \"address:port\""}},
    {BASE "front = { listen = \"0.0.0.0:\"; };", {0}, {"expected a port from 1 to 65535"}},
    {BASE "front = { listen = \"localhost:8998\"; };", {0}, {"127.0.0.1 for localhost"}},
    {BASE "front = { listen = \"::1:8998\"; };", {0}, {"an IPv6 address in brackets"}},
    {BASE "front = { listen = \"[::1]\"; };",
     {0},
     {"front.listen: found \"[::1]\", expected \"address:port\""}},
    {BASE "admin = { listen = \"Off\"; };", {0}, {"admin.listen: found \"Off\""}},
    {BASE "admin = { listen = \":8998\"; };",
     {0},
     {"livy-ha.conf:3: admin.listen: port 8998 is also that of front.listen"}},
    {BASE "admin = { listen = \":18998\"; };", {0}, {"admin.listen: port 18998 is also livy.port"}},
    {BASE "front = { thrift_listen = \":10001\"; };",
     {0},
     {"front.thrift_listen: it needs front.thrift_port"}},
    {BASE "front = { thrift_port = 65536; };",
     {0},
     {"front.thrift_port: found \"65536\", expected a port from 1 to 65535 or"}},
    {BASE "front = { tls_certificate = \"/c.pem\"; };",
     {0},
     {"front.tls_certificate: it is of no use without front.tls_key"}},
    {BASE "front = { tls_key = \"/k.pem\"; };",
     {0},
     {"front.tls_key: it is of no use without front.tls_certificate"}},
    {BASE "front = { advertise = \"node1:8998\"; };",
     {0},
     {"expected a URL that begins with http:// or https://"}},
    {BASE "front = { advertise = \"http://\"; };", {0}, {"expected a host after the //"}},
    {BASE "front = { advertise = \"http://:8998\"; };", {0}, {"expected a host name"}},
    {BASE "front = { advertise = \"http://a.b/path\"; };", {0}, {"without path or query"}},
    {BASE "front = { advertise = \"http://a.b?x=1\"; };", {0}, {"without path or query"}},
    {BASE "front = { advertise = \"http://a.b//\"; };", {0}, {"without path or query"}},
    {BASE "front = { advertise = \"http://u:p@a.b\"; };", {0}, {"without user and password"}},
    {BASE "front = { advertise = \"http://a.b:99999\"; };", {0}, {"expected a port from 1 to 65535"}},

    /* the lease */
    {ZK("session_timeout = \"2s\";") LIVY(""),
     {0},
     {"livy-ha.conf:1: zookeeper.session_timeout: no lease is possible with T = 2s",
      "1960.0 - 500.0 - 200.0 - 200 - 1000 = 60.0 ms, needed are 800.0 ms", "at least \"3600ms\""}},
    {ZK("") LIVY("kill_margin = \"10s\";"),
     {0},
     {"zookeeper.session_timeout (default): no lease is possible", "or lower livy.kill_margin"}},
    {ZK("session_timeout = \"4s\"; tick = \"2001ms\";") LIVY(""),
     {0},
     {"zookeeper.tick: found 2001ms, expected at most half of zookeeper.session_timeout (4000ms)"}},

    /* unknown keys and groups */
    {"zookeeper = { host = \"h1\"; };\n" LIVY(""),
     {0},
     {"livy-ha.conf:1: zookeeper.host: there is no such key; did you mean zookeeper.hosts?"}},
    {"zookeper = { hosts = \"h1\"; };\n" LIVY(""),
     {0},
     {"livy-ha.conf:1: zookeper: there is no such group; did you mean zookeeper?"}},
    {BASE "hosts = \"h1\";",
     {0},
     {"livy-ha.conf:3: hosts: there is no such key; did you mean zookeeper.hosts?"}},
    {BASE "front = { port = 1; };", {0}, {"front.port: there is no such key; did you mean livy.port?"}},
    {BASE "xyzzyplugh = 1;", {0}, {"xyzzyplugh: there is no such key; the sample"}},
    {BASE "xyzzyplugh = {};", {0}, {"xyzzyplugh: there is no such group"}},
    {BASE "log = \"debug\";",
     {0},
     {"livy-ha.conf:3: log: found the string", "expected a group: log = { ... };"}},
    {BASE "log = ( { level = \"debug\"; } );", {0}, {"log: found a list ( ), expected a group"}},
    {BASE "log = { level = { a = 1; }; };", {0}, {"log.level: found a group { }"}},

    /* syntax */
    {BASE "\nfront = { listen = ;\n};", {0}, {"livy-ha.conf:4: syntax error"}},
    {"zookeeper = { hosts = h1:2181; };", {0}, {"livy-ha.conf:1: syntax error", "double quotes"}},
    {BASE "front = {\n", {0}, {"livy-ha.conf:4: syntax error"}},
    {BASE "}", {0}, {"livy-ha.conf:3: syntax error"}},
    {BASE "id = \"abc;\n\n", {0}, {"livy-ha.conf:3: the string that begins here is not closed"}},
    {BASE "/* abc\n", {0}, {"livy-ha.conf:3: the comment that begins here is not closed"}},
    {BASE "id = \"a\";\nid = \"b\";", {0}, {"livy-ha.conf:4: duplicate setting name"}},
    {BASE LIVY(""), {0}, {"livy-ha.conf:3: duplicate setting name"}},
    {BASE "id = \"a\\x00b\";", {0}, {"livy-ha.conf:3: a string holds \\x00"}},
    {BASE "id = 'a';", {0}, {"livy-ha.conf:3: syntax error"}},
    {BASE "a=((((((((((((((((((1))))))))))))))))));",
     {0},
     {"livy-ha.conf:3: groups and lists nested deeper than 16"}},
    {BASE "@include nothing\n", {0}, {"livy-ha.conf:3: @include needs a file in double quotes"}},
    {BASE "@include \"not-there.conf\"\n",
     {0},
     {"not-there.conf: cannot be read: No such file", "livy-ha.conf:3: included "}},
    {BASE "@include \"/tmp\"\n",
     {0},
     {"/tmp: cannot be read: Is a directory", "livy-ha.conf:3: included /tmp from here"}},
    {BASE "@include \"livy-ha.conf\"\n", {0}, {"livy-ha.conf:3: @include nested deeper than 10 files"}},

    /* the environment */
    {NULL,
     {ENV_BASE, "LIVY_HA_LIVY_PORT=abc"},
     {"LIVY_HA_LIVY_PORT (environment): found \"abc\", expected a port"}},
    {NULL, {ENV_BASE, "LIVY_HA_LIVY_PORT="}, {"LIVY_HA_LIVY_PORT (environment): found \"\""}},
    {NULL, {ENV_BASE, "LIVY_HA_LIVY_PORT=0x50"}, {"LIVY_HA_LIVY_PORT (environment): found \"0x50\""}},
    {NULL, {ENV_BASE, "LIVY_HA_LIVY_PORT=http://10.0.0.1:8998"}, {"LIVY_HA_LIVY_PORT (environment): found"}},
    {NULL, {ENV_BASE, "LIVY_HA_LIVY_RECOVERY=yes"}, {"LIVY_HA_LIVY_RECOVERY (environment): found \"yes\""}},
    {NULL,
     {ENV_BASE, "LIVY_HA_FRONT_HOLD=30"},
     {"LIVY_HA_FRONT_HOLD (environment): found \"30\", expected a number with"}},
    {NULL,
     {ENV_BASE, "LIVY_HA_ZOOKEEPER_HOST=h1"},
     {"no such variable; did you mean LIVY_HA_ZOOKEEPER_HOSTS?"}},
    {NULL, {ENV_BASE, "LIVY_HA_HOME=/x"}, {"LIVY_HA_HOME (environment)", "did you mean LIVY_HA_LIVY_HOME?"}},
    {NULL,
     {ENV_BASE, "LIVY_HA_FROBNICATE=1"},
     {"LIVY_HA_FROBNICATE (environment): there is no such variable; those"}},
    {NULL, {ENV_BASE, "LIVY_HA_=1"}, {"LIVY_HA_ (environment): there is no such variable"}},
    {NULL, {ENV_BASE, "LIVY_HA_livy_port=1"}, {"did you mean LIVY_HA_LIVY_PORT?"}},
    {NULL, {ENV_BASE, "LIVY_HA_PORT=8998"}, {"LIVY_HA_PORT (environment): there is no such variable"}},
    {NULL, {ENV_BASE, "LIVY_HA_PORT_8998_ICMP=x"}, {"LIVY_HA_PORT_8998_ICMP (environment): there is no"}},
    {NULL, {ENV_BASE, "LIVY_HA_PORT_X_TCP=x"}, {"LIVY_HA_PORT_X_TCP (environment): there is no"}},
    {NULL, {ENV_BASE, "LIVY_HA_X_SERVICE_PORT_=x"}, {"LIVY_HA_X_SERVICE_PORT_ (environment): there is no"}},
    {NULL,
     {ENV_BASE, "LIVY_HA_ID_FILE=/not-there"},
     {"LIVY_HA_ID_FILE (environment): /not-there cannot be read: No such"}},
    {NULL,
     {ENV_BASE, "LIVY_HA_ID_FILE=/tmp"},
     {"LIVY_HA_ID_FILE (environment): /tmp cannot be read: Is a directory"}},
    {NULL,
     {ENV_BASE, "LIVY_HA_ID_FILE=/dev/zero"},
     {"LIVY_HA_ID_FILE (environment): /dev/zero cannot be read: larger"}},
    {NULL,
     {ENV_BASE, "LIVY_HA_ID=a", "LIVY_HA_ID_FILE=/etc/hostname"},
     {"LIVY_HA_ID (environment): LIVY_HA_ID_FILE is set too"}},
};

static bool wrong_is_said(const struct wrong *wrong, const struct conf_report *report)
{
    for (size_t i = 0; i < 3 && wrong->says[i] != NULL; i++) {
        if (!fixture_mentions(report, wrong->says[i])) {
            print_message("not said: %s\nfile:\n%s\nsaid was:\n", wrong->says[i],
                          wrong->text != NULL ? wrong->text : "none");
            fixture_print(report);
            return false;
        }
    }
    return true;
}

static void test_each_wrong(void **state)
{
    (void)state;
    size_t failed = 0;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct conf_report report = {0};
        char *envp[5] = {NULL};
        for (size_t j = 0; j < 4 && wrongs[i].env[j] != NULL; j++) {
            envp[j] = wrongs[i].env[j];
        }
        struct conf *conf = fixture_load(wrongs[i].text, envp, &report);
        if (conf != NULL) {
            print_message("loaded: %s %s\n", wrongs[i].text != NULL ? wrongs[i].text : "", wrongs[i].says[0]);
            failed++;
        }
        failed += !wrong_is_said(&wrongs[i], &report);
        conf_free(conf);
        conf_report_clear(&report);
    }
    assert_int_equal(failed, 0);
}

/* One mistake, one message: no second complaint that follows from the first. */
static void test_each_wrong_once(void **state)
{
    (void)state;
    static const char *const single[] = {
        ZK("") LIVY("kill_margin = 2s;"),
        ZK("session_timeout = \"1ms\";") LIVY(""),
        "zookeeper = { hosts = \"\"; };\n" LIVY(""),
        ZK("") "livy = { home = \"x\"; };",
        BASE "front = { listen = \"8998\"; };",
        BASE "id = \"a b\";",
        BASE "runtime_dir = \"x\";",
        BASE "front = { thrift_listen = \":1\"; thrift_port = \"x\"; };",
        BASE "front = { tls_certificate = \"/a\"; tls_key = \"b\"; };",
        "livy = { home = ; };",
    };
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        struct conf_report report = {0};
        assert_null(fixture_load(single[i], NULL, &report));
        if (report.n_errors != 1) {
            print_message("of %s:\n", single[i]);
            fixture_print(&report);
        }
        assert_int_equal(report.n_errors, 1);
        conf_report_clear(&report);
    }
}

static void test_all_are_listed(void **state)
{
    (void)state;
    struct conf_report report = {0};
    char *envp[] = {"LIVY_HA_FROB=1", "LIVY_HA_FRONT_HOLD=1", NULL};
    assert_null(fixture_load("zookeeper = { hosts = \"\"; root = \"x\"; bogus = 1; };\n"
                             "livy = { port = 0; stop_grace = 5s; };\n"
                             "nothing = { };\n",
                             envp, &report));
    assert_int_equal(report.n_errors, 9);
    static const char *const parts[] = {"livy-ha.conf:2: livy.stop_grace: found 5s",
                                        "livy-ha.conf:1: zookeeper.hosts",
                                        "livy-ha.conf:1: zookeeper.root",
                                        "livy-ha.conf:1: zookeeper.bogus",
                                        "livy-ha.conf:2: livy.port",
                                        "livy-ha.conf:3: nothing",
                                        "LIVY_HA_FROB ",
                                        "LIVY_HA_FRONT_HOLD ",
                                        "livy.home is required"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_true(fixture_mentions(&report, parts[i]));
    }
    conf_report_clear(&report);
}

/* A file that cannot be read to its end hides no error of the environment, and causes no further ones. */
static void test_syntax_error_alone(void **state)
{
    (void)state;
    struct conf_report report = {0};
    char *envp[] = {"LIVY_HA_FROB=1", NULL};
    assert_null(fixture_load("zookeeper = {", envp, &report));
    assert_int_equal(report.n_errors, 2);
    assert_true(fixture_mentions(&report, "LIVY_HA_FROB"));
    conf_report_clear(&report);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct conf_report report = {0};
    char *envp[] = {"LIVY_HA_ZOOKEEPER_HOSTS=h", "LIVY_HA_LIVY_HOME=/h", NULL};
    assert_null(conf_load_for(HOST, "/not/there.conf", envp, &report));
    assert_int_equal(report.n_errors, 1);
    assert_string_equal(report.errors[0], "/not/there.conf: cannot be read: No such file or directory");
    conf_report_clear(&report);
    assert_null(conf_load_for(HOST, "/tmp", envp, &report));
    assert_string_equal(report.errors[0], "/tmp: cannot be read: Is a directory");
    conf_report_clear(&report);
}

/* Secrets do not get into messages, whatever is wrong with them. */
static void test_secrets_stay_secret(void **state)
{
    (void)state;
    static const char *const texts[] = {
        ZK("auth_digest = \"hunter2\";") LIVY(""),
        ZK("auth_digest = \"user:hunter2\\n\";") LIVY(""),
        ZK("tls_key_password = \"hunter2\\n\";") LIVY(""),
        ZK("auth_digets = \"user:hunter2\";") LIVY(""),
        "auth_digest = \"user:hunter2\";" BASE,
        "zookeeper = \"hunter2\";" LIVY(""),
        ZK("auth_digest = \"user:hunter2\"; x = ;") LIVY(""),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct conf_report report = {0};
        assert_null(fixture_load(texts[i], NULL, &report));
        assert_true(report.n_errors > 0);
        assert_false(fixture_mentions(&report, "hunter2"));
        conf_report_clear(&report);
    }
}

/* Two newlines at the end of a _FILE are one too many. */
static void test_file_value_newlines(void **state)
{
    (void)state;
    struct conf_report report = {0};
    char file[160];
    char *envp[] = {"LIVY_HA_ZOOKEEPER_HOSTS=h", "LIVY_HA_LIVY_HOME=/h", file, NULL};
    (void)snprintf(file, sizeof file, "LIVY_HA_ID_FILE=%s", fixture_write("id", "node7\n\n"));
    assert_null(conf_load_for(HOST, NULL, envp, &report));
    assert_true(fixture_mentions(&report, "/id: found \"node7\\x0a\""));
    conf_report_clear(&report);
}

static void test_host_that_is_no_id(void **state)
{
    (void)state;
    struct conf_report report = {0};
    char *envp[] = {"LIVY_HA_ZOOKEEPER_HOSTS=h", "LIVY_HA_LIVY_HOME=/h", NULL};
    assert_null(conf_load_for("node one", NULL, envp, &report));
    assert_true(fixture_mentions(&report, "id (default, this host's name): found \"node one\""));
    assert_true(fixture_mentions(&report, "front.advertise (default, from this host's name): found"));
    conf_report_clear(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_wrong),          cmocka_unit_test(test_each_wrong_once),
        cmocka_unit_test(test_all_are_listed),      cmocka_unit_test(test_syntax_error_alone),
        cmocka_unit_test(test_missing_file),        cmocka_unit_test(test_secrets_stay_secret),
        cmocka_unit_test(test_file_value_newlines), cmocka_unit_test(test_host_that_is_no_id),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
