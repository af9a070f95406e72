/* test_ctl.c - the built livy-ha-ctl against a daemon that is played here: what it prints, and its exit
 * status. */
#include "fake_daemon.h"

static void test_status(void **state)
{
    struct daemon *daemon = *state;
    struct run run;

    RUN(&run, "status");
    assert_run(&run, 0,
               "livy_ha at /livy_ha: livy-a serves, epoch 7\n\n"
               "  Member  Role     Livy     Since  Lease\n"
               "* livy-a  active   serving  -      -\n"
               "  livy-b  standby  none     -      -\n");
    assert_string_equal(run.stderr_text, "");

    daemon_set(daemon, "/cluster", JSON, NOBODY);
    daemon_set(daemon, "/status", JSON, "{\"reason\":\"store differs\"}");
    RUN(&run, "status");
    assert_run(&run, 3,
               "livy_ha at /livy_ha: no Livy serves: no active member, 1 standing by\n"
               "This member: store differs\n\n"
               "  Member  Role     Livy  Since  Lease\n"
               "* livy-b  standby  none  -      -\n");
    RUN(&run, "status", "--json");
    assert_int_equal(run.status, 3);
    assert_non_null(strstr(run.stdout_text, "\"active\": null"));
}

/* Anywhere on the line, whatever the C library is told about the order. */
static void test_option_places(void **state)
{
    struct daemon *daemon = *state;
    struct run run;
    struct run other;

    RUN(&run, "--json", "status", "-s", daemon->socket);
    assert_int_equal(run.status, 0);
    assert_memory_equal(run.stdout_text, "{\n  \"v\": 1,\n", 12);
    run_variable(&other, "POSIXLY_CORRECT=1",
                 (const char *const[]){"-s", daemon->socket, "status", "--json", "--timeout", "60s", NULL});
    assert_run(&other, 0, run.stdout_text);
    run_variable(&other, NULL, (const char *const[]){"-s", daemon->socket, "--json", "--", "status", NULL});
    assert_run(&other, 0, run.stdout_text);
}

static void test_wide(void **state)
{
    struct run run;

    RUN(&run, "status", "--wide");
    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.stdout_text, "Sequence"));
    assert_non_null(strstr(run.stdout_text, "http://a:8998"));
}

static void test_active(void **state)
{
    struct daemon *daemon = *state;
    struct run run;

    RUN(&run, "active");
    assert_run(&run, 0, "http://a:18998\n");
    daemon_set(daemon, "/status", JSON, "{\"front\":{\"mode\":\"forward\"}}");
    RUN(&run, "active");
    assert_run(&run, 0, "http://a:8998\n");
    RUN(&run, "active", "--json");
    assert_run(&run, 0, "{\"active\":\"livy-a\",\"url\":\"http://a:8998\"}\n");
    daemon_set(daemon, "/cluster", JSON, NOBODY);
    RUN(&run, "active");
    assert_run(&run, 3, "");
    assert_error(&run, 3, "no active Livy serves");
    daemon_set(daemon, "/cluster", JSON, "{\"serving\":true,\"active\":\"a\",\"members\":[{\"id\":\"a\"}]}");
    RUN(&run, "active");
    assert_error(&run, 1, "does not tell the active Livy's URL");
}

static void test_history_and_config(void **state)
{
    struct daemon *daemon = *state;
    struct run run;

    daemon_set(daemon, "/history", JSON,
               "[{\"at\":\"t\",\"event\":\"fenced\",\"member\":\"livy-a\",\"took_ms\":12}]");
    RUN(&run, "history");
    assert_run(&run, 0,
               "At  Event   Member  Epoch  Took  Reason\n"
               "t   fenced  livy-a  -      12ms  -\n");
    RUN(&run, "history", "--json");
    assert_memory_equal(run.stdout_text, "[\n  {\n    \"at\": \"t\"", 18);
    daemon_set(daemon, "/history", JSON, "{}");
    RUN(&run, "history");
    assert_error(&run, 1, "expected a JSON array");

    daemon_set(daemon, "/trace", JSON,
               "[{\"at\":\"t\",\"phase\":\"standby\",\"event\":\"reply: list, result "
               "0\",\"then\":[\"watch\",\"publish\"],"
               "\"quiet\":3},{\"at\":\"u\",\"phase\":\"active\",\"event\":\"probe\",\"then\":[]}]");
    RUN(&run, "history", "--trace");
    assert_run(&run, 0,
               "At  Phase    Event                  Then\n"
               "t   standby  reply: list, result 0  watch, publish\n"
               "u   active   probe                  -\n");
    RUN(&run, "--trace", "history", "--json");
    assert_memory_equal(run.stdout_text, "[\n  {\n    \"at\": \"t\"", 18);

    daemon_set(
        daemon, "/config", JSON,
        "{\"path\":\"/"
        "f\",\"keys\":[{\"key\":\"id\",\"value\":\"a\",\"origin\":\"default\",\"effect\":\"reload\"}]}");
    RUN(&run, "config");
    assert_run(&run, 0,
               "Configuration file: /f\n\n"
               "Key  Value  Origin   A change counts\n"
               "id   a      default  at a reload\n");
}

static void test_version(void **state)
{
    struct daemon *daemon = *state;
    struct run run;

    daemon_set(daemon, "/version", JSON, "{\"version\":\"9.8.7\"}");
    RUN(&run, "version");
    assert_run(&run, 0, "livy-ha-ctl " LIVY_HA_VERSION "\nlivy-ha 9.8.7\n");
    RUN(&run, "version", "--json");
    assert_run(&run, 0, "{\"ctl\":\"" LIVY_HA_VERSION "\",\"daemon\":\"9.8.7\"}\n");
    daemon_end(daemon);
    RUN(&run, "version");
    assert_run(&run, 4, "livy-ha-ctl " LIVY_HA_VERSION "\nlivy-ha -\n");
    assert_error(&run, 4, "no daemon answers on ");
}

/* What the daemon says of a command, and how that ends it. */
static void test_orders(void **state)
{
    static const char done[] =
        "{\"id\":\"1\",\"command\":\"switchover\",\"state\":\"done\",\"text\":\"b took over "
        "from a\",\"active\":\"b\",\"took_ms\":3290,\"gap_ms\":280}";
    struct daemon *daemon = *state;
    struct run run;

    daemon_set(daemon, "/switchover?wait=0&to=b", "HTTP/1.1 202 Accepted\r\n\r\n",
               "{\"id\":\"1\",\"state\":\"running\"}");
    daemon_set(daemon, "/command?id=1", JSON, done);
    RUN(&run, "switchover", "--to", "b");
    assert_run(&run, 0, "b took over from a: 280ms without a Livy, 3.29s from the request to serving\n");
    RUN(&run, "switchover", "--to", "b", "--no-wait");
    assert_run(&run, 0, "switchover is under way, id 1\n");
    daemon_set(daemon, "/command?id=1", JSON,
               "{\"id\":\"1\",\"state\":\"timed-out\",\"error\":\"not begun\"}");
    RUN(&run, "switchover", "--to", "b");
    assert_error(&run, 5, "switchover: not begun");
    daemon_set(daemon, "/command?id=1", "HTTP/1.1 404 Not Found\r\n\r\n", "{\"error\":\"no such command\"}");
    RUN(&run, "switchover", "--to", "b");
    assert_error(&run, 1, "livy-ha-ctl status");
    daemon_set(daemon, "/command?id=1", JSON, "{\"id\":\"1\",\"state\":\"running\"}");
    daemon_set(daemon, "/switchover?wait=0&timeout_ms=1000&to=b", "HTTP/1.1 202 Accepted\r\n\r\n",
               "{\"id\":\"1\",\"state\":\"running\"}");
    RUN(&run, "switchover", "--to", "b", "--timeout", "1s"); /* the daemon has 5 s more to say so itself */
    assert_error(&run, 5, "switchover: not over in time");
    daemon_set(daemon, "/drain?wait=0&force=1", "HTTP/1.1 409 Conflict\r\n\r\n",
               "{\"id\":\"2\",\"state\":\"failed\",\"error\":\"no other\\u001b[2J member\"}");
    RUN(&run, "drain", "--force");
    assert_error(&run, 1, "drain: no other?[2J member");
    daemon_set(daemon, "/pause?wait=0&for_ms=600000", JSON,
               "{\"id\":\"3\",\"state\":\"done\",\"text\":\"paused\"}");
    RUN(&run, "pause", "--for", "10min");
    assert_run(&run, 0, "paused\n");
    daemon_set(daemon, "/forget?wait=0&id=a%2Fb%20c", JSON, "[]");
    RUN(&run, "forget", "a/b c");
    assert_error(&run, 1, " is no livy-ha: POST /forget?wait=0&id=a%2Fb%20c: expected a JSON object");
    daemon_end(daemon);
    RUN(&run, "resume");
    assert_error(&run, 4, "no daemon answers on ");
}

static void test_usage(void **state)
{
    static const char option[] = ": it does not take this option. ", word[] = ": one word too many. ",
                      alone[] = ": it goes to the control socket alone: run it on a member, without -u. ";
    static const struct {
        const char *why, *words[5];
    } lines[] = {
        {"livy-ha-ctl: a command is missing. ", {NULL}},
        {"no such command", {"stauts"}},
        {"twice: one word too many. ", {"status", "twice"}},
        {option, {"status", "--for", "active"}},
        {option, {"version", "--wide"}},
        {option, {"status", "--to", "x"}},
        {"wait: expected --for active, --for standby or --for serving. ", {"wait"}},
        {"wait: expected --for active, --for standby or --for serving. ", {"wait", "--for", "ever"}},
        {"10: expected a number and a unit, as in 250ms, 10s, 5min. ", {"status", "--timeout", "10"}},
        {"-u https://a:1: expected http://host:port, a member's admin.listen (which has no TLS). ",
         {"status", "-u", "https://a:1"}},
        {"-u http://a:1/x: expected http://host:port and no path. ", {"status", "-u", "http://a:1/x"}},
        {"-u http://a:0: expected http://host:port, with a port from 1 to 65535. ",
         {"status", "-u", "http://a:0"}},
        {"status: only one of -s and -u. ", {"status", "-s", "a", "-uhttp://a:1"}},
        {"livy-b: one word too many. ", {"switchover", "livy-b"}},
        {option, {"switchover", "--force"}},
        {alone, {"switchover", "-uhttp://a:1"}},
        {"ever: expected a number and a unit after --for, as in 10min. ", {"pause", "--for", "ever"}},
        {option, {"resume", "--for", "1h"}},
        {option, {"restart", "--to", "livy-b"}},
        {option, {"undrain", "--force"}},
        {"forget: a member's id is missing. ", {"forget"}},
        {word, {"forget", "a", "b"}},
        {word, {"reload", "now"}},
        {option, {"status", "--no-wait"}},
        {option, {"status", "--trace"}},
        {alone, {"history", "--trace", "-uhttp://a:1"}},
    };
    struct run run;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        run_variable(&run, variable_of(*state), lines[i].words);
        assert_error(&run, 2, "livy-ha-ctl --help");
        assert_non_null(strstr(run.stderr_text, lines[i].why));
        assert_string_equal(run.stdout_text, "");
    }
    RUN(&run, "status", "--bogus");
    assert_int_equal(run.status, 2);
    RUN(&run, "--help");
    assert_int_equal(run.status, 0);
    assert_memory_equal(run.stdout_text, "Usage: livy-ha-ctl ", 19);
    assert_non_null(strstr(run.stdout_text, "switchover"));
}

static void test_unreachable(void **state)
{
    struct daemon *daemon = *state;
    char expected[400];
    struct run run;

    daemon_end(daemon);
    RUN(&run, "status");
    snprintf(expected, sizeof expected,
             "livy-ha-ctl: no daemon answers on %s (No such file or directory): is livy-ha running? Use -s "
             "or -c to "
             "name another socket.\n",
             daemon->socket);
    assert_int_equal(run.status, 4);
    assert_string_equal(run.stderr_text, expected);
    RUN(&run, "active");
    assert_int_equal(run.status, 4);
}

/* A socket that this user may not open; root may open all, so there the child gives its rights up. */
static void test_no_right(void **state)
{
    struct daemon *daemon = *state;
    struct run run = {.pid = -1};
    int err[2];

    assert_int_equal(chmod(daemon->socket, 0), 0);
    assert_int_equal(chmod(daemon->dir, 0755), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    run.pid = fork();
    if (run.pid == 0) {
        if (dup2(err[1], 2) < 0 || (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)))
            _exit(99);
        execl(program, "livy-ha-ctl", "status", "-s", daemon->socket, (char *)NULL);
        _exit(98);
    }
    close(err[1]);
    run.out = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run.err = err[0];
    run_finish(&run);
    if (run.status == 98)
        skip(); /* the build folder is closed to nobody */
    assert_error(&run, 4, "(Permission denied): run this as root or as a member of the group ");
}

static void test_bad_answers(void **state)
{
    static const struct {
        const char *head;
        const char *body;
        int status;
        const char *error;
    } cases[] = {
        {JSON, "[]", 1, "expected a JSON object"},
        {JSON, "{", 1, " is no livy-ha: GET /cluster: "},
        {JSON, "{\"a\":1,\"a\":2}", 1, " is no livy-ha: GET /cluster: "},
        {JSON, "", 1, " is no livy-ha: GET /cluster: "},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "{}", 1, "cut short"},
        {"HTTP/1.1 200 OK\r\n", "", 1, "has no end"},
        {"SSH-2.0\r\n\r\n", "", 1, " is no livy-ha: the answer is not HTTP"},
        {"HTTP/1.1 100 Continue\r\n\r\n", "", 1, " is no livy-ha: the answer is not HTTP"},
        {"HTTP/1.1 500 Oh\r\n\r\n", "{\"error\":\"the\\u001breason\"}", 1,
         " answered GET /cluster with HTTP 500: the?reason"},
        {"HTTP/1.1 503 No\r\n\r\n", "<html>", 1, " answered GET /cluster with HTTP 503: no reason given"},
    };
    struct run run;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        daemon_set(*state, "/cluster", cases[i].head, cases[i].body);
        RUN(&run, "status");
        assert_run(&run, cases[i].status, "");
        assert_error(&run, cases[i].status, cases[i].error);
    }
}

static void test_size_limit(void **state)
{
    const size_t most = (size_t)1024 * 1024;
    char *body = malloc(most + 2);
    struct run run;

    assert_non_null(body);
    memset(body, ' ', most + 1);
    body[0] = '{';
    body[most - 1] = '}';
    body[most] = '\0';
    daemon_set(*state, "/cluster", JSON, body);
    RUN(&run, "status", "--json");
    assert_run(&run, 3, "{}\n");
    body[most] = ' ';
    body[most + 1] = '\0';
    daemon_set(*state, "/cluster", JSON, body);
    RUN(&run, "status", "--json");
    assert_error(&run, 1, "larger than 1 MiB");
    free(body);
}

static void test_timeout(void **state)
{
    struct run run;
    int64_t took;

    daemon_set(*state, "/cluster", NULL, NULL);
    took = clock_boot_ms();
    RUN(&run, "status", "--timeout", "300ms");
    took = clock_boot_ms() - took;
    assert_error(&run, 5, "the daemon is busy or stopped; its log says more, and --timeout waits longer.");
    assert_in_range(took, 290, 8000);
}

static void test_wait(void **state)
{
    struct daemon *daemon = *state;
    struct run run;

    RUN(&run, "wait", "--for", "active");
    assert_run(&run, 0, "");
    RUN(&run, "wait", "--for", "serving");
    assert_run(&run, 0, "");
    RUN(&run, "wait", "--for", "standby", "--timeout", "3s"); /* time for its one answer */
    assert_error(&run, 5, " ms, and this member does not stand by: `livy-ha-ctl status` says more.");

    daemon_set(daemon, "/cluster", JSON, NOBODY);
    RUN(&run, "wait", "--for", "standby");
    assert_run(&run, 0, "");
    run_start(&run, (const char *const[]){"wait", "--for", "serving", "--timeout", "200s", NULL},
              variable_of(daemon));
    for (const int before = daemon_asked(daemon); daemon_asked(daemon) < before + 3;)
        (void)poll(NULL, 0, 5); /* it has looked more than once, and waits */
    daemon_set(daemon, "/cluster", JSON, SERVING);
    run_finish(&run);
    assert_run(&run, 0, "");
}

static void test_wait_for_a_daemon(void **state)
{
    struct daemon *daemon = *state;
    struct run run;

    daemon_end(daemon);
    RUN(&run, "wait", "--for", "serving", "--timeout", "300ms");
    assert_error(&run, 4, "no daemon answers");
    run_start(&run, (const char *const[]){"wait", "--for", "serving", "--timeout", "200s", NULL},
              variable_of(daemon));
    daemon_listen(daemon);
    run_finish(&run);
    assert_run(&run, 0, "");
}

static void test_watch(void **state)
{
    struct daemon *daemon = *state;
    struct run run;
    int asked;

    run_start(&run, (const char *const[]){"watch", "--json", NULL}, variable_of(daemon));
    run_await(&run, "]}\n");
    asked = daemon_asked(daemon);
    while (daemon_asked(daemon) < asked + 3)
        (void)poll(NULL, 0, 5);
    daemon_set(daemon, "/cluster", JSON, "{\"change\":5,\"x\":1}");
    run_await(&run, "{\"change\":5,\"x\":1}\n");
    daemon_set(daemon, "/cluster", JSON, "{\"change\":5,\"x\":2}"); /* nothing worth showing */
    asked = daemon_asked(daemon);
    while (daemon_asked(daemon) < asked + 3)
        (void)poll(NULL, 0, 5);
    daemon_set(daemon, "/cluster", JSON, "{\"change\":6}");
    run_await(&run, "{\"change\":6}\n");
    kill(run.pid, SIGTERM);
    run_finish(&run);
    assert_run(&run, 0, SERVING "\n{\"change\":5,\"x\":1}\n{\"change\":6}\n");
}

static void test_watch_survives_the_daemon(void **state)
{
    struct daemon *daemon = *state;
    struct run run;

    daemon_end(daemon);
    run_start(&run, (const char *const[]){"watch", NULL}, variable_of(daemon));
    assert_int_equal(read(run.err, run.stderr_text, 1), 1); /* the note that there is none */
    daemon_listen(daemon);
    run_await(&run, "livy-a serves");
    run_await(&run, "livy-b  standby");
    kill(run.pid, SIGINT);
    run.stderr_text[1] = '\0';
    run_finish(&run);
    assert_int_equal(run.status, 0);
    assert_error(&run, 0, "Trying again.");
    assert_null(strchr(run.stdout_text, '\033'));
}

/* -u: the same over TCP. */
static void test_url(void **state)
{
    struct daemon *daemon = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char url[64];
    struct run run;

    daemon_end(daemon);
    daemon->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(daemon->fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(daemon->fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, sizeof url, "http://localhost:%d", ntohs(address.sin_port));
    RUN(&run, "active", "-u", url); /* bound, but nobody listens */
    assert_error(&run, 4, "(Connection refused): is livy-ha running there, and is this its admin.listen?");
    assert_int_equal(listen(daemon->fd, 8), 0);
    assert_int_equal(pipe2(daemon->stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&daemon->thread, NULL, daemon_run, daemon), 0);
    RUN(&run, "active", "-u", url);
    assert_run(&run, 0, "http://a:18998\n");
    RUN(&run, "active", "-u", "http://no.such.host.invalid:1", "--timeout", "20s");
    assert_int_equal(run.status, 4);
}

/* An admin port whose daemon hangs tells what it last knew, and its age: nobody may take that for news. */
static void test_old_news(void **state)
{
    static const char said[] =
        "{\"v\":1,\"active\":\"livy-a\",\"serving\":true,\"connected\":false,\"stale_ms\":4200,"
        "\"members\":[{\"id\":\"livy-a\",\"role\":\"active\",\"livy\":\"serving\",\"self\":true}]}";
    struct run run;

    daemon_set(*state, "/cluster", JSON, said);
    daemon_set(*state, "/status", JSON, said);
    RUN(&run, "status");
    assert_int_equal(run.status, 4);
    assert_non_null(strstr(run.stdout_text, "livy-a")); /* shown all the same */
    assert_non_null(strstr(
        run.stderr_text,
        " has said nothing for 4.2 s: what it tells is not known to be so any more. Its log says more."));
    RUN(&run, "active");
    assert_error(
        &run, 4,
        " has said nothing for 4.2 s: what it tells is not known to be so any more. Its log says more.");
    RUN(&run, "wait", "--for", "serving", "--timeout", "600ms");
    assert_error(
        &run, 4,
        " has said nothing for 4.2 s: what it tells is not known to be so any more. Its log says more.");
}

/* -c names a configuration: its control.socket counts, and its errors are told. */
static void test_configuration(void **state)
{
    struct daemon *daemon = *state;
    char path[128];
    struct run run;
    FILE *file;

    snprintf(path, sizeof path, "%s/livy-ha.conf", daemon->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "zookeeper: { hosts = \"127.0.0.1:2181\"; };\nlivy: { home = \"%s\"; };\ncontrol: { socket = "
            "\"%s\"; };\n",
            daemon->dir, daemon->socket);
    fclose(file);
    run_variable(&run, NULL, (const char *const[]){"active", "-c", path, NULL});
    assert_run(&run, 0, "http://a:18998\n");

    file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "nonsense = 1;\n");
    fclose(file);
    run_variable(&run, NULL, (const char *const[]){"active", "-c", path, NULL});
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.stderr_text, "nonsense"));
    assert_non_null(strstr(run.stderr_text, "the configuration does not load"));
    RUN(&run, "active", "-c", path); /* the environment is over the file */
    assert_int_equal(run.status, 0);
    unlink(path);
    run_variable(&run, NULL, (const char *const[]){"active", "-s", "", NULL});
    assert_error(&run, 1, "control socket \"\": a socket's path has 1 to 107 bytes");
}

/* An output that cannot be written is a failure. */
static void test_full_output(void **state)
{
    struct daemon *daemon = *state;
    struct run run = {.err = -1};
    int err[2];

    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    run.pid = fork();
    if (run.pid == 0) {
        const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        if (full < 0 || dup2(full, 1) < 0 || dup2(err[1], 2) < 0)
            _exit(99);
        execl(program, "livy-ha-ctl", "active", "-s", daemon->socket, (char *)NULL);
        _exit(98);
    }
    close(err[1]);
    run.out = open("/dev/null", O_RDONLY | O_CLOEXEC);
    run.err = err[0];
    run_finish(&run);
    assert_error(&run, 1, "cannot write the output: No space left on device");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_status),
        TEST(test_option_places),
        TEST(test_wide),
        TEST(test_active),
        TEST(test_history_and_config),
        TEST(test_version),
        TEST(test_orders),
        TEST(test_usage),
        TEST(test_unreachable),
        TEST(test_no_right),
        TEST(test_bad_answers),
        TEST(test_size_limit),
        TEST(test_timeout),
        TEST(test_wait),
        TEST(test_wait_for_a_daemon),
        TEST(test_watch),
        TEST(test_watch_survives_the_daemon),
        TEST(test_url),
        TEST(test_old_news),
        TEST(test_configuration),
        TEST(test_full_output),
    };

    signal(SIGPIPE, SIG_IGN);
    if (!find_program()) {
        fprintf(stderr, "livy-ha-ctl is not beside %s nor one folder up: build it first\n", "this test");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
