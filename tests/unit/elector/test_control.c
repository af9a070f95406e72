/* test_control.c - the control socket, spoken to over real sockets by a raw client in another thread.
 *
 * The loop runs in the test's thread until the clients are done, so the handler needs no locks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "control_http.h"
#include "livy-ha/clock.h"

struct fixture {
    char dir[64];
    char path[96];
    struct event_base *base;
    struct control *control;
    int handled;
    bool post;
    char seen_path[128];
    char seen_query[128];
};

static int handler(void *arg, const struct control_request *request, char **body)
{
    struct fixture *fixture = arg;

    fixture->handled++;
    fixture->post = request->post;
    snprintf(fixture->seen_path, sizeof fixture->seen_path, "%s", request->path);
    snprintf(fixture->seen_query, sizeof fixture->seen_query, "%s",
             request->query != NULL ? request->query : "-");
    if (strcmp(request->path, "/none") == 0)
        return 404;
    if (strcmp(request->path, "/empty") == 0)
        return 202;
    if (strcmp(request->path, "/large") == 0) {
        *body = malloc(1000001);
        assert_non_null(*body);
        memset(*body, 'x', 1000000);
        (*body)[1000000] = '\0';
        return 200;
    }
    *body = strdup("{\"a\":1}");
    return 200;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char why[256];

    assert_non_null(fixture);
    snprintf(fixture->dir, sizeof fixture->dir, "/tmp/test-control-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->path, sizeof fixture->path, "%s/control.sock", fixture->dir);
    fixture->base = event_base_new();
    assert_non_null(fixture->base);
    fixture->control = control_open(fixture->base, fixture->path, handler, fixture, why, sizeof why);
    assert_non_null(fixture->control);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    control_close(fixture->control);
    event_base_free(fixture->base);
    unlink(fixture->path);
    assert_int_equal(rmdir(fixture->dir), 0);
    free(fixture);
    return 0;
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("connect");
        abort();
    }
    return fd;
}

/* One client: sends `request` and reads to the end. */
struct client {
    const char *path;
    const char *request;
    size_t length;
    bool half_close;
    char *answer;
    size_t answered;
    atomic_bool done;
    pthread_t thread;
};

static void *client_run(void *arg)
{
    struct client *client = arg;
    const size_t room = 2000000;
    const int fd = dial(client->path);

    for (size_t sent = 0; sent < client->length;) {
        const ssize_t n = send(fd, client->request + sent, client->length - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break; /* the server may refuse early: the answer says whether that was right */
        sent += (size_t)n;
    }
    if (client->half_close)
        shutdown(fd, SHUT_WR);
    client->answer = malloc(room);
    while (client->answer != NULL && client->answered < room - 1) {
        const ssize_t n = recv(fd, client->answer + client->answered, room - 1 - client->answered, 0);
        if (n <= 0)
            break;
        client->answered += (size_t)n;
    }
    if (client->answer != NULL)
        client->answer[client->answered] = '\0';
    close(fd);
    client->done = true;
    return NULL;
}

static void client_start(struct client *client, const struct fixture *fixture, const char *request,
                         size_t length)
{
    *client = (struct client){.path = fixture->path, .request = request, .length = length};
    assert_int_equal(pthread_create(&client->thread, NULL, client_run, client), 0);
}

static void turn(struct fixture *fixture)
{
    const struct timeval step = {.tv_usec = 2000};

    event_base_loopexit(fixture->base, &step);
    event_base_dispatch(fixture->base);
}

/* Runs the loop until the client has its answer. */
static void client_finish(struct client *client, struct fixture *fixture)
{
    const int64_t limit = clock_boot_ms() + 30000;

    while (!client->done && clock_boot_ms() < limit)
        turn(fixture);
    assert_true(client->done);
    pthread_join(client->thread, NULL);
    assert_non_null(client->answer);
}

/* The answer to one request; the caller frees it. */
static char *ask(struct fixture *fixture, const char *request)
{
    struct client client;

    client_start(&client, fixture, request, strlen(request));
    client_finish(&client, fixture);
    return client.answer;
}

static void assert_status(struct fixture *fixture, const char *request, const char *status)
{
    char *answer = ask(fixture, request);

    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || strncmp(answer + 9, status, 3) != 0)
        fail_msg("%.40s…: expected %s, got: %.60s", request, status, answer);
    free(answer);
}

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
    assert_int_equal(send(fd, "POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell", 43, 0), 43);
    assert_status(fixture, "GET /other HTTP/1.1\r\n\r\n", "200"); /* accepted after the one above */
    assert_int_equal(fixture->handled, 1);
    close(fd);

    client_start(&client, fixture, "POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
                 64);
    client_finish(&client, fixture);
    assert_memory_equal(client.answer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200", 37);
    free(client.answer);
}

static void test_statuses(void **state)
{
    struct fixture *fixture = *state;
    char *answer = ask(fixture, "GET /none HTTP/1.1\r\n\r\n");

    assert_memory_equal(answer, "HTTP/1.1 404 Not Found\r\n", 24);
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "{\"error\":\"Not Found\"}\n");
    free(answer);
    answer = ask(fixture, "POST /empty HTTP/1.1\r\n\r\n");
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
        {"PUT /x HTTP/1.1\r\n\r\n", "405"},
        {"DELETE /x HTTP/1.1\r\n\r\n", "405"},
        {"OPTIONS * HTTP/1.1\r\n\r\n", "405"},
        {"G(T /x HTTP/1.1\r\n\r\n", "400"},
        {"GET x HTTP/1.1\r\n\r\n", "400"},
        {"GET /x HTTP/2.0\r\n\r\n", "505"},
        {"GET /x HTTP/1.2\r\n\r\n", "505"},
        {"GET /x\r\n\r\n", "400"},
        {"GET /x  HTTP/1.1\r\n\r\n", "400"},
        {"GET /%zz HTTP/1.1\r\n\r\n", "400"},
        {"GET /%00 HTTP/1.1\r\n\r\n", "400"},
        {"GET /x#y HTTP/1.1\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nNo colon\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nHost : x\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "400"},
        {"GET /x HTTP/1.1\r\nA: b\rc\r\n\r\n", "400"},
        {"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"},
        {"POST /x HTTP/1.1\r\nContent-Length: +1\r\n\r\na", "400"},
        {"POST /x HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", "413"},
        {"POST /x HTTP/1.1\r\nContent-Length: 99999999999999999999999999\r\n\r\n", "413"},
        {"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501"},
        {"POST /x HTTP/1.1\r\nExpect: money\r\n\r\n", "417"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_status(fixture, cases[i].request, cases[i].status);
    assert_int_equal(fixture->handled, 0);
    char *answer = ask(fixture, "PUT /x HTTP/1.1\r\n\r\n");
    assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD, POST\r\n"));
    free(answer);
}

static void test_head_size(void **state)
{
    static const char start[] = "GET /x HTTP/1.1\r\nX: ";
    struct fixture *fixture = *state;
    struct client client;
    char *request = malloc(100000);

    assert_non_null(request);
    for (size_t size = CONTROL_HEAD_MAX; size <= 100000;
         size = size == CONTROL_HEAD_MAX ? size + 1 : size * 12) {
        memset(request, 'a', size);
        memcpy(request, start, sizeof start - 1);
        memcpy(request + size - 4, "\r\n\r\n", 4);
        client_start(&client, fixture, request, size);
        client_finish(&client, fixture);
        assert_memory_equal(client.answer, size == CONTROL_HEAD_MAX ? "HTTP/1.1 200" : "HTTP/1.1 431", 12);
        free(client.answer);
    }
    free(request);
}

static void test_large_answer_to_half_closed_client(void **state)
{
    struct fixture *fixture = *state;
    struct client client = {
        .path = fixture->path, .request = "GET /large HTTP/1.1\r\n\r\n", .half_close = true};
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
        client_start(&waiting[i], fixture, "GET /x HTTP/1.1\r\n\r\n", 19);
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

    assert_int_equal(send(fd, "GET /x HTTP/1.1\r\nX: ", 20, MSG_NOSIGNAL), 20);
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
        control_close(fixture->control);
        umask(umasks[i]);
        fixture->control = control_open(fixture->base, fixture->path, handler, fixture, why, sizeof why);
        assert_non_null(fixture->control);
        assert_int_equal(stat(fixture->path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0660);
    }
    umask(before);
}

static void test_busy_socket_is_refused(void **state)
{
    struct fixture *fixture = *state;
    char why[256] = "";

    assert_null(control_open(fixture->base, fixture->path, handler, fixture, why, sizeof why));
    assert_non_null(strstr(why, "another livy-ha answers"));
    assert_status(fixture, "GET /x HTTP/1.1\r\n\r\n", "200"); /* and the one that is there is untouched */
}

static void test_stale_socket_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char why[256];
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    control_close(fixture->control);
    assert_int_equal(access(fixture->path, F_OK), -1);
    memcpy(address.sun_path, fixture->path, strlen(fixture->path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd); /* the file stays, as after a crash */
    fixture->control = control_open(fixture->base, fixture->path, handler, fixture, why, sizeof why);
    assert_non_null(fixture->control);
    assert_status(fixture, "GET /x HTTP/1.1\r\n\r\n", "200");
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
    assert_null(control_open(fixture->base, path, handler, fixture, why, sizeof why));
    assert_non_null(strstr(why, "no socket"));
    assert_int_equal(unlink(path), 0);

    snprintf(path, sizeof path, "%s/missing/control.sock", fixture->dir);
    assert_null(control_open(fixture->base, path, handler, fixture, why, sizeof why));
    assert_non_null(strstr(why, "No such file or directory"));
}

/* What a successor has put in the place of the socket file is not removed. */
static void test_close_leaves_a_successor(void **state)
{
    struct fixture *fixture = *state;
    char why[256];
    struct control *old = fixture->control;

    assert_int_equal(unlink(fixture->path), 0);
    fixture->control = control_open(fixture->base, fixture->path, handler, fixture, why, sizeof why);
    assert_non_null(fixture->control);
    control_close(old);
    assert_status(fixture, "GET /x HTTP/1.1\r\n\r\n", "200");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
