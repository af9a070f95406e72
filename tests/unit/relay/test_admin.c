/* test_admin.c - the admin port over TCP: statuses, types and bodies by path and method. */
#include "snapshot_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/socket.h>

#include "admin.h"

static struct event_base *base;
static struct snapshot *snapshot;
static struct health_front front;
static struct relay_stats stats;
static struct admin *admin;
static int port;

static char answer[200000];

static void front_now(void *arg, struct health_front *out)
{
    assert_ptr_equal(arg, &front);
    *out = front;
}

/* A port that is free now; another process may take it before we do, so it is tried again. */
static int open_somewhere(char *why, size_t size)
{
    static char listen_at[32];

    for (int i = 0; i < 20; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
        close(fd);
        port = ntohs(address.sin_port);
        snprintf(listen_at, sizeof(listen_at), "127.0.0.1:%d", port);
        struct admin_options options = {.listen = listen_at,
                                        .id = "livy-a",
                                        .root = "/livy_ha",
                                        .snapshot = snapshot,
                                        .stats = &stats,
                                        .front = front_now,
                                        .arg = &front};
        admin = admin_open(base, &options, why, size);
        if (admin != NULL)
            return 0;
    }
    return -1;
}

static int set_up(void **state)
{
    char why[256];

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    snapshot = snapshot_new();
    front = (struct health_front){.listens = true, .route = FRONT_LOCAL, .hold = 30000};
    return open_somewhere(why, sizeof(why));
}

static int tear_down(void **state)
{
    (void)state;
    admin_close(admin);
    admin_close(NULL);
    snapshot_free(snapshot);
    event_base_free(base);
    return 0;
}

/* Sends the bytes and runs the server until it has closed; the answer's status. */
static int ask(const char *request)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    size_t have = 0;
    ssize_t n;

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    for (;;) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        n = recv(fd, answer + have, sizeof(answer) - 1 - have, MSG_DONTWAIT);
        if (n == 0)
            break;
        if (n > 0)
            have += (size_t)n;
        else
            assert_int_equal(errno, EAGAIN);
    }
    close(fd);
    answer[have] = '\0';
    assert_int_equal(sscanf(answer, "HTTP/1.1 %d ", &status), 1);
    assert_non_null(strstr(answer, "\r\n\r\n"));
    assert_null(strstr(answer, "\r\nLocation:"));
    return status;
}

static int get(const char *path)
{
    char request[256];

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    return ask(request);
}

static const char *body(void)
{
    return strstr(answer, "\r\n\r\n") + 4;
}

static json_t *body_json(void)
{
    json_t *document = json_loads(body(), 0, NULL);

    assert_non_null(document);
    return document;
}

static void test_health_paths(void **state)
{
    static const char *const paths[] = {"/active", "/leader", "/livez", "/readyz"};

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(get(paths[i]), 503); /* nothing is known yet */
    fixture_take(snapshot, fixture_document(), clock_boot_ms());
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(get(paths[i]), 200);
    assert_int_equal(get("/active?x=y"), 200);
    json_t *said = body_json();
    assert_true(json_is_true(json_object_get(said, "active")));
    assert_int_equal(json_integer_value(json_object_get(said, "epoch")), 4294967301);
    json_decref(said);
    assert_int_equal(get("/standby"), 503);
    said = body_json();
    assert_true(json_is_false(json_object_get(said, "standby")));
    assert_non_null(strstr(json_string_value(json_object_get(said, "reason")), "active"));
    json_decref(said);
}

static void test_methods(void **state)
{
    (void)state;
    fixture_take(snapshot, fixture_document(), clock_boot_ms());
    assert_int_equal(ask("HEAD /active HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
    assert_string_equal(body(), "");
    assert_null(strstr(answer, "Content-Length: 0"));
    assert_int_equal(ask("OPTIONS /active HTTP/1.0\r\n\r\n"), 200);
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    assert_int_equal(ask("OPTIONS /standby HTTP/1.0\r\n\r\n"), 503);
    assert_int_equal(ask("GET /active HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(ask("POST /active HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), 405);
    assert_int_equal(get("/switchover"), 404);
    json_decref(body_json());
    assert_int_equal(get("/active/"), 404);
}

/* The lease runs on between two snapshots. */
static void test_documents(void **state)
{
    (void)state;
    fixture_take(snapshot, fixture_document(), clock_boot_ms() - 1000);
    assert_int_equal(get("/cluster"), 200);
    json_t *cluster = body_json(), *self = json_array_get(json_object_get(cluster, "members"), 0);
    assert_in_range(json_integer_value(json_object_get(self, "lease_left_ms")), 0, 4000);
    assert_true(json_is_true(json_object_get(cluster, "connected")));
    assert_null(json_object_get(cluster, "stale_ms"));
    json_decref(cluster);
    assert_int_equal(get("/status"), 200);
    json_t *status = body_json();
    assert_string_equal(json_string_value(json_object_get(status, "role")), "active");
    assert_in_range(json_integer_value(json_object_get(status, "lease_left_ms")), 0, 4000);
    json_decref(status);
    assert_int_equal(get("/history"), 200);
    json_t *history = body_json();
    assert_int_equal(json_array_size(history), 1);
    json_decref(history);
    assert_non_null(strstr(answer, "\r\nX-Livy-HA-Age-Ms: 1"));
}

static void test_old_documents(void **state)
{
    static const char *const paths[] = {"/status", "/cluster"};

    (void)state;
    for (int round = 0; round < 2; round++) { /* before the first snapshot, and with an old one */
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(get(paths[i]), 200);
            json_t *document = body_json();
            assert_true(json_is_integer(json_object_get(document, "stale_ms")));
            assert_true(json_is_false(json_object_get(document, "connected")));
            json_decref(document);
        }
        assert_int_equal(get("/history"), 200);
        assert_int_equal(get("/metrics"), 200);
        assert_int_equal(get("/"), 200);
        assert_int_equal(get("/active"), 503);
        fixture_take(snapshot, fixture_document(), clock_boot_ms() - 3500);
    }
    assert_int_equal(get("/status"), 200);
    json_t *status = body_json();
    assert_in_range(json_integer_value(json_object_get(status, "stale_ms")), 3500, 60000);
    json_decref(status);
    /* Looking does not change what was said. */
    assert_true(json_is_true(json_object_get(snapshot_status(snapshot), "connected")));
    assert_int_equal(json_integer_value(json_object_get(snapshot_status(snapshot), "lease_left_ms")), 5000);
}

static void test_types(void **state)
{
    (void)state;
    fixture_take(snapshot, fixture_document(), clock_boot_ms());
    assert_int_equal(get("/metrics"), 200);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(body(), "\n# TYPE livy_ha_role gauge\n"));
    assert_int_equal(get("/"), 200);
    assert_non_null(strstr(answer, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "\r\nContent-Security-Policy: default-src 'none';"));
    assert_int_equal(get("/status"), 200);
    assert_non_null(strstr(answer, "\r\nContent-Type: application/json\r\n"));
}

/* Whoever may write to ZooKeeper writes ids, reasons and alarms: none of it may become markup. */
static void test_page_escapes(void **state)
{
    static const char evil[] = "<script>alert('x')</script>\"&\n";
    json_t *document = fixture_document();
    json_t *cluster = json_object_get(document, "cluster");
    static const char *const keys[] = {"id", "role", "livy", "since", "url", "host", "version"};
    static const char *const entry_keys[] = {"at", "event", "member", "reason"};

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        json_object_set_new(json_array_get(json_object_get(cluster, "members"), 1), keys[i],
                            json_string(evil));
    for (size_t i = 0; i < sizeof(entry_keys) / sizeof(entry_keys[0]); i++)
        json_object_set_new(json_array_get(json_object_get(document, "history"), 0), entry_keys[i],
                            json_string(evil));
    json_object_set_new(cluster, "active", json_string(evil));
    json_array_append_new(json_object_get(fixture_status(document), "alarms"), json_string(evil));
    fixture_role(document, evil, evil);
    fixture_take(snapshot, document, clock_boot_ms());
    assert_int_equal(get("/"), 200);
    assert_null(strstr(body(), "<script"));
    assert_null(strstr(body(), "alert('x')"));
    assert_non_null(strstr(body(), "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    assert_null(strstr(body(), "http://www"));
    assert_null(strstr(body(), "src="));
    assert_null(strstr(body(), "href="));
}

static void test_page_of_hot_standbys(void **state)
{
    json_t *document = fixture_document();
    json_t *other = json_array_get(json_object_get(json_object_get(document, "cluster"), "members"), 1);

    (void)state;
    json_object_set_new(other, "held", json_string("none"));
    json_object_set_new(other, "held_reason", json_string("refused: <no fit>"));
    fixture_take(snapshot, document, clock_boot_ms());
    assert_int_equal(get("/"), 200);
    assert_non_null(strstr(body(), "<td>none <small>(refused: &lt;no fit&gt;)</small></td>"));
    document = fixture_document();
    other = json_array_get(json_object_get(json_object_get(document, "cluster"), "members"), 1);
    json_object_set_new(other, "held", json_string("warming"));
    fixture_take(snapshot, document, clock_boot_ms());
    assert_int_equal(get("/"), 200);
    assert_non_null(strstr(body(), "<td>none <small>(warming)</small></td>"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_health_paths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_methods, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_old_documents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_types, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page_escapes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_page_of_hot_standbys, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
