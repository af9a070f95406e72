/* test_httpd.c - the small server: requests, refusals, bounds, and its socket file. */
#include "httpd_fixture.h"

static void test_get(void **state)
{
    struct fixture *fixture = *state;
    char *answer = ask(fixture, "GET /cl%75ster?a=%20&b HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_string_equal(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n"
                                "Cache-Control: no-store\r\nConnection: close\r\n\r\n{\"a\":1}\n");
    assert_string_equal(fixture->seen_path, "/cluster");
    assert_string_equal(fixture->seen_query, "a=%20&b");
    assert_false(fixture->post);
    free(answer);
    assert_status(fixture, "GET http://localhost/status HTTP/1.0\r\n\r\n", "200");
    assert_string_equal(fixture->seen_path, "/status");
    assert_string_equal(fixture->seen_query, "-");
    assert_status(fixture, "GET /status HTTP/1.0\n\n", "200");
}

static void test_head_has_no_body(void **state)
{
    struct fixture *fixture = *state;
    char *answer = ask(fixture, "HEAD /cluster HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_non_null(strstr(answer, "Content-Length: 8\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
    answer = ask(fixture, "HEAD /none HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_memory_equal(answer, "HTTP/1.1 404", 12);
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    free(answer);
}

static void test_post_waits_for_its_body(void **state)
{
    struct fixture *fixture = *state;
    struct client client;
    char *answer;
    int fd;

    answer = ask(fixture, "POST /pause HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    assert_true(fixture->post);
    free(answer);

    /* With four of five bytes there is nothing to handle yet. */
    fixture->handled = 0;
    fd = dial(fixture->path);
    assert_int_equal(send(fd, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhell", 52, 0), 52);
    assert_status(fixture, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n",
                  "200"); /* accepted after the one above */
    assert_int_equal(fixture->handled, 1);
    close(fd);

    client_start(&client, fixture,
                 "POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab", 73);
    client_finish(&client, fixture);
    assert_memory_equal(client.answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", 37);
    free(client.answer);
}

static void test_statuses(void **state)
{
    struct fixture *fixture = *state;
    char *answer = ask(fixture, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_memory_equal(answer, "HTTP/1.1 404 Not Found\r\n", 24);
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "{\"error\":\"Not Found\"}\n");
    free(answer);
    answer = ask(fixture, "POST /empty HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_memory_equal(answer, "HTTP/1.1 202 Accepted\r\n", 23);
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "{}\n");
    free(answer);
}

static void test_refused_requests(void **state)
{
    static const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {"PUT /x HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
        {"DELETE /x HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
        {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\n\r\n", "400"},
        {"G(T /x HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET x HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET /x HTTP/2.0\r\n\r\n", "505"},
        {"GET /x HTTP/1.2\r\n\r\n", "505"},
        {"GET /x\r\n\r\n", "400"},
        {"GET /x  HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET /x#y HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nNo colon\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nHost : x\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nA: b\rc\r\n\r\n", "400"},
        {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"},
        {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", "400"},
        {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", "413"},
        {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n", "400"},
        {"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n", "501"},
        {"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!", "400"},
        {"POST /x HTTP/1.1\r\nHost: x\r\nExpect: money\r\n\r\n", "417"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_status(fixture, cases[i].request, cases[i].status);
    assert_int_equal(fixture->handled, 0);
    char *answer = ask(fixture, "PUT /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, OPTIONS, POST\r\n"));
    free(answer);
}

static void test_head_size(void **state)
{
    static const char start[] = "GET /x HTTP/1.1\r\nHost: x\r\nX: ";
    struct fixture *fixture = *state;
    struct client client;
    char *request = malloc(100000);

    assert_non_null(request);
    for (size_t size = HEAD_MAX; size <= 100000; size = size == HEAD_MAX ? size + 1 : size * 12) {
        memset(request, 'a', size);
        memcpy(request, start, sizeof start - 1);
        memcpy(request + size - 4, "\r\n\r\n", 4);
        client_start(&client, fixture, request, size);
        client_finish(&client, fixture);
        assert_memory_equal(client.answer, size == HEAD_MAX ? "HTTP/1.1 200" : "HTTP/1.1 431", 12);
        free(client.answer);
    }
    free(request);
}

static void test_large_answer_to_half_closed_client(void **state)
{
    struct fixture *fixture = *state;
    struct client client = {
        .path = fixture->path, .request = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", .half_close = true};
    const char *body;

    client.length = strlen(client.request);
    assert_int_equal(pthread_create(&client.thread, NULL, client_run, &client), 0);
    client_finish(&client, fixture);
    body = strstr(client.answer, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strlen(body + 4), 1000001);
    free(client.answer);
}

/* A hundred at once: 64 are taken, and hold their places silently; the others wait and are answered as soon
 * as there is room. */
static void test_more_connections_than_places(void **state)
{
    enum { IDLE = 64, WAITING = 36 };
    struct fixture *fixture = *state;
    static struct client waiting[WAITING];
    int idle[IDLE];

    for (int i = 0; i < IDLE; i++)
        idle[i] = dial(fixture->path);
    turn(fixture);
    for (int i = 0; i < WAITING; i++)
        client_start(&waiting[i], fixture, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 28);
    for (int i = 0; i < 20; i++)
        turn(fixture);
    assert_int_equal(fixture->handled, 0);
    for (int i = 0; i < WAITING; i++)
        assert_false(waiting[i].done);

    close(idle[7]);
    for (int i = 0; i < WAITING; i++) {
        client_finish(&waiting[i], fixture);
        assert_memory_equal(waiting[i].answer, "HTTP/1.1 200", 12);
        free(waiting[i].answer);
    }
    assert_int_equal(fixture->handled, WAITING);
    for (int i = 0; i < IDLE; i++) {
        if (i != 7)
            close(idle[i]);
    }
}

/* Ten seconds from accept, however busily the client trickles. */
static void test_slow_client_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    const int64_t start = clock_boot_ms();
    const int fd = dial(fixture->path);
    struct pollfd closed = {.fd = fd, .events = POLLRDHUP};
    int64_t sent = 0;
    int64_t took;

    assert_int_equal(send(fd, "GET /x HTTP/1.1\r\nHost: x\r\nX: ", 29, MSG_NOSIGNAL), 29);
    while (poll(&closed, 1, 0) == 0 && clock_boot_ms() < start + 20000) {
        if (clock_boot_ms() >= sent + 500) {
            sent = clock_boot_ms();
            assert_int_equal(send(fd, "y", 1, MSG_NOSIGNAL), 1);
        }
        turn(fixture);
    }
    took = clock_boot_ms() - start;
    close(fd);
    assert_in_range(took, 9900, 19999); /* later would be on a machine that stands still */
    assert_int_equal(fixture->handled, 0);
}

static void test_mode_bits(void **state)
{
    static const mode_t umasks[] = {0, 022, 077};
    struct fixture *fixture = *state;
    const mode_t before = umask(0);
    struct stat status;
    char why[256];

    for (size_t i = 0; i < 3; i++) {
        httpd_close(fixture->httpd);
        umask(umasks[i]);
        fixture->httpd = open_at(fixture, fixture->path, why, sizeof why);
        assert_non_null(fixture->httpd);
        assert_int_equal(stat(fixture->path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0660);
    }
    umask(before);
}

static void test_busy_socket_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char why[256] = "";

    assert_null(open_at(fixture, fixture->path, why, sizeof why));
    assert_non_null(strstr(why, "another livy-ha answers"));
    assert_status(fixture, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
                  "200"); /* and the one that is there is untouched */
}

static void test_stale_socket_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char why[256];
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    httpd_close(fixture->httpd);
    assert_int_equal(access(fixture->path, F_OK), -1);
    memcpy(address.sun_path, fixture->path, strlen(fixture->path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd); /* the file stays, as after a crash */
    fixture->httpd = open_at(fixture, fixture->path, why, sizeof why);
    assert_non_null(fixture->httpd);
    assert_status(fixture, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "200");
}

static void test_other_files_are_kept(void **state)
{
    struct fixture *fixture = *state;
    char why[256] = "";
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/file", fixture->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_null(open_at(fixture, path, why, sizeof why));
    assert_non_null(strstr(why, "no socket"));
    assert_int_equal(unlink(path), 0);

    snprintf(path, sizeof path, "%s/missing/control.sock", fixture->dir);
    assert_null(open_at(fixture, path, why, sizeof why));
    assert_non_null(strstr(why, "No such file or directory"));
}

/* What a successor has put in the place of the socket file is not removed. */
static void test_close_leaves_a_successor(void **state)
{
    struct fixture *fixture = *state;
    char why[256];
    struct httpd *old = fixture->httpd;

    assert_int_equal(unlink(fixture->path), 0);
    fixture->httpd = open_at(fixture, fixture->path, why, sizeof why);
    assert_non_null(fixture->httpd);
    httpd_close(old);
    assert_status(fixture, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "200");
}

/* Health checks ask with OPTIONS, too, and in HTTP/1.0. */
static void test_options(void **state)
{
    struct fixture *fixture = *state;
    char *answer = ask(fixture, "OPTIONS /x HTTP/1.0\r\n\r\n");

    assert_string_equal(answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n"
                                "Cache-Control: no-store\r\nAllow: GET, HEAD, OPTIONS, POST\r\n"
                                "Connection: close\r\n\r\n");
    assert_false(fixture->post);
    free(answer);
    assert_status(fixture, "OPTIONS /sick HTTP/1.1\r\nHost: x\r\n\r\n", "503");
    assert_status(fixture, "OPTIONS /none HTTP/1.0\r\n\r\n", "404");
}

static void test_no_posts(void **state)
{
    struct fixture *fixture = *state;
    char *answer;

    fixture->options.posts = false;
    reopen(fixture);
    answer = ask(fixture, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert_memory_equal(answer, "HTTP/1.1 405", 12);
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    free(answer);
    assert_int_equal(fixture->handled, 0);
    assert_status(fixture, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", "200");
}

static void test_content_type(void **state)
{
    struct fixture *fixture = *state;
    char *answer = ask(fixture, "GET /page HTTP/1.0\r\n\r\n");

    assert_non_null(strstr(answer, "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 3\r\n"));
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "<p>"); /* as it is: the line feed is JSON's */
    free(answer);
}

static void test_empty_lines_before_the_request(void **state)
{
    struct fixture *fixture = *state;

    assert_status(fixture, "\r\n\n\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n", "200");
    assert_status(fixture, "\r\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n", "400");
}

static void test_chunked_body(void **state)
{
    static const char head[] = "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct fixture *fixture = *state;
    char *request = malloc(100000);
    size_t length;

    assert_non_null(request);
    for (int chunks = 6; chunks <= 7; chunks++) { /* of 10,000 bytes: 60,000 are taken, 70,000 are too many */
        length = (size_t)sprintf(request, "%s", head);
        for (int i = 0; i < chunks; i++) {
            length += (size_t)sprintf(request + length, "2710\r\n");
            memset(request + length, 'x', 10000);
            length += 10000;
            length += (size_t)sprintf(request + length, "\r\n");
        }
        (void)sprintf(request + length, "0\r\n\r\n");
        assert_status(fixture, request, chunks == 6 ? "200" : "413");
    }
    assert_int_equal(fixture->handled, 1);
    free(request);
}

/* One request a connection: what is sent behind it is not looked at. */
static void test_pipelined(void **state)
{
    struct fixture *fixture = *state;
    char *answer = ask(fixture, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_int_equal(fixture->handled, 1);
    assert_string_equal(fixture->seen_path, "/a");
    assert_null(strstr(answer + 1, "HTTP/1.1 200"));
    free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_head_has_no_body),
        TEST(test_post_waits_for_its_body),
        TEST(test_statuses),
        TEST(test_refused_requests),
        TEST(test_head_size),
        TEST(test_large_answer_to_half_closed_client),
        TEST(test_more_connections_than_places),
        TEST(test_slow_client_is_cut_off),
        TEST(test_mode_bits),
        TEST(test_busy_socket_is_refused),
        TEST(test_stale_socket_is_replaced),
        TEST(test_other_files_are_kept),
        TEST(test_close_leaves_a_successor),
        TEST(test_options),
        TEST(test_no_posts),
        TEST(test_content_type),
        TEST(test_empty_lines_before_the_request),
        TEST(test_chunked_body),
        TEST(test_pipelined),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
