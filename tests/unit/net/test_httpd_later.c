/* test_httpd_later.c - answers that come later, and clients that do not wait for them. */
#include "httpd_fixture.h"

static void turn_until_later(struct fixture *fixture, size_t n)
{
    const int64_t limit = clock_boot_ms() + 30000;

    while (fixture->n_later != n && clock_boot_ms() < limit)
        turn(fixture);
    assert_int_equal(fixture->n_later, n);
}

/* Answers that come later: those of others come first, and no deadline runs meanwhile. */
static void test_answers_later(void **state)
{
    struct fixture *fixture = *state;
    struct client clients[2];
    int64_t start;

    fixture->options.seconds = 1;
    reopen(fixture);
    start = clock_boot_ms();
    client_start(&clients[0], fixture, "POST /later HTTP/1.1\r\nHost: x\r\n\r\n", 34);
    turn_until_later(fixture, 1);
    client_start(&clients[1], fixture, "GET /later HTTP/1.0\r\n\r\n", 23);
    turn_until_later(fixture, 2);
    assert_status(fixture, "GET /x HTTP/1.0\r\n\r\n", "200");
    while (clock_boot_ms() < start + 1500)
        turn(fixture);
    assert_false(clients[0].done);
    assert_false(clients[1].done);
    fixture->n_later = 0;
    reply(fixture->later[1], 409, NULL, "{\"error\":\"busy\"}");
    client_finish(&clients[1], fixture);
    assert_memory_equal(clients[1].answer, "HTTP/1.1 409 Conflict\r\n", 23);
    reply(fixture->later[0], 200, NULL, "{}");
    client_finish(&clients[0], fixture);
    assert_memory_equal(clients[0].answer, "HTTP/1.1 200", 12);
    assert_int_equal(fixture->gone, 0);
    free(clients[0].answer);
    free(clients[1].answer);
}

/* A client that has shut its sending side waits; one that has closed has gone. */
static void test_gone_while_pending(void **state)
{
    struct fixture *fixture = *state;
    const int64_t limit = clock_boot_ms() + 30000;
    const int half = dial(fixture->path), whole = dial(fixture->path);
    char answer[64] = "";

    assert_int_equal(send(half, "GET /later HTTP/1.0\r\n\r\n", 23, 0), 23);
    assert_int_equal(shutdown(half, SHUT_WR), 0);
    turn_until_later(fixture, 1);
    for (int i = 0; i < 10; i++)
        turn(fixture);
    assert_int_equal(fixture->gone, 0);
    assert_int_equal(send(whole, "GET /later HTTP/1.0\r\n\r\n", 23, 0), 23);
    turn_until_later(fixture, 2);
    close(whole);
    while (fixture->gone == 0 && clock_boot_ms() < limit)
        turn(fixture);
    assert_int_equal(fixture->gone, 1);
    assert_int_equal(fixture->n_later, 1);
    fixture->n_later = 0;
    reply(fixture->later[0], 200, NULL, "{}");
    while (recv(half, answer, sizeof answer - 1, MSG_DONTWAIT) <= 0 && clock_boot_ms() < limit)
        turn(fixture);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    close(half);
}

static void test_close_tells_who_waits(void **state)
{
    struct fixture *fixture = *state;
    const int fd = dial(fixture->path);

    assert_int_equal(send(fd, "GET /later HTTP/1.0\r\n\r\n", 23, 0), 23);
    turn_until_later(fixture, 1);
    reopen(fixture);
    assert_int_equal(fixture->gone, 1);
    assert_int_equal(fixture->n_later, 0);
    close(fd);
}

/* Who does not take the answer is cut off, too. */
static void test_answer_not_taken(void **state)
{
    struct fixture *fixture = *state;
    struct pollfd closed = {.events = POLLHUP};
    int64_t start;

    fixture->options.seconds = 1;
    reopen(fixture);
    start = clock_boot_ms();
    closed.fd = dial(fixture->path);
    assert_int_equal(send(closed.fd, "GET /large HTTP/1.0\r\n\r\n", 23, 0), 23);
    while (poll(&closed, 1, 0) >= 0 && (closed.revents & POLLHUP) == 0 && clock_boot_ms() < start + 20000)
        turn(fixture);
    assert_in_range(clock_boot_ms() - start, 900, 19999);
    assert_int_equal(fixture->handled, 1);
    close(closed.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers_later),
        TEST(test_gone_while_pending),
        TEST(test_close_tells_who_waits),
        TEST(test_answer_not_taken),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
