/* test_httpd_tcp.c - the small server on TCP: addresses, and how many of one are let in. */
#include "httpd_fixture.h"

/* A port that is free on 127.0.0.1 and [::1] just now. */
static int free_port(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    socklen_t length = sizeof address;
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    close(fd);
    return ntohs(address.sin6_port);
}

static void listen_at(struct fixture *fixture, const char *address, int port)
{
    static char text[64];

    (void)snprintf(text, sizeof text, "%s:%d", address, port);
    fixture->options.listen = text;
    fixture->options.name = "admin.listen";
    reopen(fixture);
}

static int dial_tcp(const char *address, int port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((in_port_t)port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    const bool is_v6 = strchr(address, ':') != NULL;
    const int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(
        inet_pton(is_v6 ? AF_INET6 : AF_INET, address, is_v6 ? (void *)&v6.sin6_addr : &v4.sin_addr), 1);
    assert_int_equal(is_v6 ? connect(fd, (struct sockaddr *)&v6, sizeof v6)
                           : connect(fd, (struct sockaddr *)&v4, sizeof v4),
                     0);
    return fd;
}

/* The first bytes that come, or "" where the connection is closed without any. */
static void ask_tcp(struct fixture *fixture, int fd, char *answer, size_t size)
{
    const int64_t limit = clock_boot_ms() + 30000;
    ssize_t n = -1;

    (void)send(fd, "GET /x HTTP/1.0\r\n\r\n", 19, MSG_NOSIGNAL);
    while ((n = recv(fd, answer, size - 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN && clock_boot_ms() < limit)
        turn(fixture);
    answer[n > 0 ? n : 0] = '\0';
}

static void test_tcp(void **state)
{
    static const struct {
        const char *listen, *dial;
    } cases[] = {{"127.0.0.1", "127.0.0.1"},
                 {"[::1]", "::1"},
                 {"0.0.0.0", "127.0.0.1"},
                 {"", "127.0.0.1"},
                 {"", "::1"}};
    struct fixture *fixture = *state;
    char answer[512];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int port = free_port();

        /* Again on the same port, while the first one's connection lingers. */
        for (int round = 0; round < 2; round++) {
            listen_at(fixture, cases[i].listen, port);
            const int fd = dial_tcp(cases[i].dial, port);
            ask_tcp(fixture, fd, answer, sizeof answer);
            assert_memory_equal(answer, "HTTP/1.1 200", 12);
            close(fd);
        }
    }
}

static void test_tcp_refusals(void **state)
{
    static const struct {
        const char *listen, *why;
    } cases[] = {
        {"203.0.113.77:8997",
         "admin.listen 203.0.113.77:8997: Cannot assign requested address: it must be an IP address of"},
        {"localhost:8997", "must be \"address:port\""},
        {"127.0.0.1", "must be \"address:port\""},
        {"127.0.0.1:", "must be \"address:port\""},
        {"127.0.0.1:65536", "must be \"address:port\""},
        {"127.0.0.1:1x", "must be \"address:port\""},
        {"::1:8997", "must be \"address:port\""},
        {"[::1:8997", "must be \"address:port\""},
        {"[127.0.0.1]:8997", "must be \"address:port\""},
        {"[]:8997", "must be \"address:port\""},
        {"", "must be \"address:port\""},
    };
    struct fixture *fixture = *state;
    struct httpd_options options = fixture->options;
    char why[256], text[64];

    options.name = "admin.listen";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        options.listen = cases[i].listen;
        assert_null(httpd_open(fixture->base, &options, why, sizeof why));
        if (strstr(why, cases[i].why) == NULL)
            fail_msg("%s", why);
    }
    const int port = free_port();
    listen_at(fixture, "127.0.0.1", port);
    (void)snprintf(text, sizeof text, "127.0.0.1:%d", port);
    options.listen = text;
    assert_null(httpd_open(fixture->base, &options, why, sizeof why));
    assert_non_null(strstr(why, "Address already in use: stop the program that listens there"));
}

/* Another address is let in while one has all that it may have. */
static void test_per_address(void **state)
{
    struct fixture *fixture = *state;
    const int port = free_port();
    char answer[512];
    int held[3], other, another;

    fixture->options.per_address = 3;
    listen_at(fixture, "", port);
    for (int i = 0; i < 3; i++)
        held[i] = dial_tcp("127.0.0.1", port);
    other = dial_tcp("127.0.0.1", port);
    ask_tcp(fixture, other, answer, sizeof answer);
    assert_string_equal(answer, "");
    assert_int_equal(fixture->handled, 0);
    another = dial_tcp("::1", port);
    ask_tcp(fixture, another, answer, sizeof answer);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    ask_tcp(fixture, held[1], answer, sizeof answer);
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    close(held[1]); /* its place is free again, as soon as the server has seen it */
    close(other);
    for (int tries = 0; tries < 1000; tries++) {
        other = dial_tcp("127.0.0.1", port);
        ask_tcp(fixture, other, answer, sizeof answer);
        close(other);
        if (answer[0] != '\0')
            break;
    }
    assert_memory_equal(answer, "HTTP/1.1 200", 12);
    close(held[0]);
    close(held[2]);
    close(another);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tcp),
        TEST(test_tcp_refusals),
        TEST(test_per_address),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
