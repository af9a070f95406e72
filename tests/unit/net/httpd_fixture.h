/* httpd_fixture.h - a server in the test's thread, and raw clients in threads of their own. The loop runs
 * until the clients are done, so the handler needs no locks. On a Unix socket where not said otherwise.
 */
#ifndef HTTPD_FIXTURE_H
#define HTTPD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
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

#include "httpd.h"
#include "livy-ha/clock.h"

#define HEAD_MAX 8192

struct fixture {
    char dir[64];
    char path[96];
    struct event_base *base;
    struct httpd *httpd;
    struct httpd_options options;
    int handled, gone;
    struct httpd_exchange *later[64]; /* of /later: those not answered yet */
    size_t n_later;
    bool post;
    char seen_path[128];
    char seen_query[128];
};

static inline void reply(struct httpd_exchange *exchange, int status, const char *type, const char *body)
{
    httpd_answer(exchange, &(struct httpd_reply){.status = status,
                                                 .type = type,
                                                 .body = body,
                                                 .length = body != NULL ? strlen(body) : 0});
}

static inline void handler(void *arg, struct httpd_exchange *exchange, const struct httpd_request *request)
{
    static char large[1000001];
    struct fixture *fixture = arg;

    fixture->handled++;
    fixture->post = request->post;
    snprintf(fixture->seen_path, sizeof fixture->seen_path, "%s", request->path);
    snprintf(fixture->seen_query, sizeof fixture->seen_query, "%s",
             request->query != NULL ? request->query : "-");
    if (strcmp(request->path, "/none") == 0) {
        reply(exchange, 404, NULL, NULL);
    } else if (strcmp(request->path, "/empty") == 0) {
        reply(exchange, 202, NULL, NULL);
    } else if (strcmp(request->path, "/sick") == 0) {
        reply(exchange, 503, NULL, "{}");
    } else if (strcmp(request->path, "/page") == 0) {
        reply(exchange, 200, "text/html; charset=utf-8", "<p>");
    } else if (strcmp(request->path, "/large") == 0) {
        memset(large, 'x', sizeof large - 1);
        reply(exchange, 200, NULL, large);
    } else if (strcmp(request->path, "/later") == 0) {
        assert_in_range(fixture->n_later, 0, 63);
        fixture->later[fixture->n_later++] = exchange;
    } else {
        reply(exchange, 200, NULL, "{\"a\":1}");
    }
}

static inline void on_gone(void *arg, struct httpd_exchange *exchange)
{
    struct fixture *fixture = arg;

    fixture->gone++;
    for (size_t i = 0; i < fixture->n_later; i++) {
        if (fixture->later[i] == exchange) {
            fixture->later[i] = fixture->later[--fixture->n_later];
            return;
        }
    }
    fail_msg("an exchange that nobody waits for has gone");
}

static inline struct httpd *open_at(struct fixture *fixture, const char *path, char *why, size_t size)
{
    struct httpd_options options = fixture->options;

    options.path = path;
    return httpd_open(fixture->base, &options, why, size);
}

static inline int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char why[256];

    assert_non_null(fixture);
    snprintf(fixture->dir, sizeof fixture->dir, "/tmp/test-httpd-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->path, sizeof fixture->path, "%s/control.sock", fixture->dir);
    fixture->base = event_base_new();
    assert_non_null(fixture->base);
    fixture->options = (struct httpd_options){.name = "control socket",
                                              .posts = true,
                                              .connections = 64,
                                              .seconds = 10,
                                              .handler = handler,
                                              .gone = on_gone,
                                              .arg = fixture};
    fixture->httpd = open_at(fixture, fixture->path, why, sizeof why);
    assert_non_null(fixture->httpd);
    *state = fixture;
    return 0;
}

/* Another server in the place of the first: the caller has changed the options. */
static inline void reopen(struct fixture *fixture)
{
    char why[256] = "";

    httpd_close(fixture->httpd);
    if (fixture->options.listen == NULL)
        fixture->options.path = fixture->path;
    fixture->httpd = httpd_open(fixture->base, &fixture->options, why, sizeof why);
    if (fixture->httpd == NULL)
        fail_msg("%s", why);
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    httpd_close(fixture->httpd);
    event_base_free(fixture->base);
    unlink(fixture->path);
    assert_int_equal(rmdir(fixture->dir), 0);
    free(fixture);
    return 0;
}

static inline int dial(const char *path)
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

static inline void *client_run(void *arg)
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

static inline void client_start(struct client *client, const struct fixture *fixture, const char *request,
                                size_t length)
{
    *client = (struct client){.path = fixture->path, .request = request, .length = length};
    assert_int_equal(pthread_create(&client->thread, NULL, client_run, client), 0);
}

static inline void turn(struct fixture *fixture)
{
    const struct timeval step = {.tv_usec = 2000};

    event_base_loopexit(fixture->base, &step);
    event_base_dispatch(fixture->base);
}

/* Runs the loop until the client has its answer. */
static inline void client_finish(struct client *client, struct fixture *fixture)
{
    const int64_t limit = clock_boot_ms() + 30000;

    while (!client->done && clock_boot_ms() < limit)
        turn(fixture);
    assert_true(client->done);
    pthread_join(client->thread, NULL);
    assert_non_null(client->answer);
}

/* The answer to one request; the caller frees it. */
static inline char *ask(struct fixture *fixture, const char *request)
{
    struct client client;

    client_start(&client, fixture, request, strlen(request));
    client_finish(&client, fixture);
    return client.answer;
}

static inline void assert_status(struct fixture *fixture, const char *request, const char *status)
{
    char *answer = ask(fixture, request);

    if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || strncmp(answer + 9, status, 3) != 0)
        fail_msg("%.40s…: expected %s, got: %.60s", request, status, answer);
    free(answer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
