/* A request that runs, while nothing moves: how long the relay waits for a client, and that it does so for
 * the client alone; and that nothing moves once its view has run out, nor towards what is no Livy. Real
 * connections of its own, over socket pairs, with the clock left out (a timer is looked at, and fired).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "relay.h"

struct bed {
    struct relay *relay;
    struct conf conf;
    struct conn *conn;
    int client, livy; /* the other ends */
};

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void spin(const struct bed *bed)
{
    for (int i = 0; i < 5; i++)
        assert_true(event_base_loop(bed->relay->base, EVLOOP_NONBLOCK) >= 0);
}

static struct relay *new_relay(struct conf *conf)
{
    struct relay *relay = calloc(1, sizeof(*relay));

    assert_non_null(relay);
    conf->front.hold = 30000;
    relay->conf = conf;
    relay->channel = relay->peer = -1;
    relay->base = event_base_new();
    assert_non_null(relay->base);
    relay->on_turn = evtimer_new(relay->base, on_turn, relay);
    relay->on_retry = evtimer_new(relay->base, on_turn, relay);
    relay->on_drain = evtimer_new(relay->base, on_turn, relay);
    relay->timerfd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    assert_true(relay->on_turn != NULL && relay->on_retry != NULL && relay->on_drain != NULL);
    assert_true(relay->timerfd >= 0);
    listener_init(&relay->front, relay, "front.listen", "off", false);
    listener_init(&relay->thrift, relay, "front.thrift_listen", "off", true);
    struct conn_list *lists[] = {&relay->all,          &relay->idle,        &relay->turns,
                                 &relay->dead,         &relay->plains.held, &relay->plains.due,
                                 &relay->thrifts.held, &relay->thrifts.due};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        TAILQ_INIT(lists[i]);
    quota_init(&relay->quota, 10);
    relay->view = (struct front_view){.route = FRONT_LOCAL, .valid_until = CLOCK_NEVER, .epoch = 1};
    return relay;
}

/* A client's connection with one to a Livy that is kept. */
static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    const int small = 4096;
    int pair[2];

    assert_non_null(bed);
    bed->relay = new_relay(&bed->conf);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    bed->client = pair[1];
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    bed->conn = conn_new(bed->relay, pair[0], CONN_PLAIN);
    assert_non_null(bed->conn);
    conn_begin(bed->conn);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    bed->livy = pair[1];
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    assert_true(
        sock_open(&bed->conn->upstream, bed->relay->base, pair[0], true, conn_on_upstream, bed->conn));
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;
    struct relay *relay = bed->relay;

    conn_end(bed->conn, false);
    conn_free(bed->conn);
    close(bed->client);
    close(bed->livy);
    event_free(relay->on_turn);
    event_free(relay->on_retry);
    event_free(relay->on_drain);
    close(relay->timerfd);
    event_base_free(relay->base);
    free(relay);
    free(bed);
    return 0;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* In s; 0: it waits for nothing of the client's. */
static long patience(const struct bed *bed)
{
    struct timeval at, now;

    assert_int_equal(bed->conn->state, CONN_RUN);
    if (!evtimer_pending(&bed->conn->timer, &at))
        return 0;
    assert_int_equal(evutil_gettimeofday(&now, NULL), 0);
    return at.tv_sec - now.tv_sec;
}

static void assert_waits_for_client(struct bed *bed)
{
    assert_in_range(patience(bed), CONN_IDLE_MS / 1000 - 5, CONN_IDLE_MS / 1000 + 1);
    event_active(&bed->conn->timer, EV_TIMEOUT, 1);
    spin(bed);
    assert_int_equal(bed->conn->state, CONN_DEAD);
    char byte;
    assert_int_equal(recv(bed->livy, &byte, 1, MSG_PEEK) >= 0, 1);
}

static void test_a_body_that_does_not_come(void **state)
{
    struct bed *bed = *state;

    say(bed->client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    spin(bed);
    assert_waits_for_client(bed);
}

static void test_livy_takes_as_long_as_it_likes(void **state)
{
    struct bed *bed = *state;

    say(bed->client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    spin(bed);
    say(bed->client, "cde");
    spin(bed);
    assert_int_equal(patience(bed), 0);
}

/* It is Livy that has to say "100 Continue" first. */
static void test_a_client_that_waits_for_livy(void **state)
{
    struct bed *bed = *state;

    say(bed->client, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    spin(bed);
    assert_int_equal(patience(bed), 0);
    say(bed->livy, "HTTP/1.1 100 Continue\r\n\r\n");
    spin(bed);
    assert_waits_for_client(bed);
}

static void fill(const struct bed *bed, int fd)
{
    static const char block[4096] = {0};

    for (int i = 0; i < 1000; i++) {
        if (send(fd, block, sizeof(block), MSG_NOSIGNAL) < 0)
            i = i < 990 ? 990 : i; /* some more rounds, until nothing moves */
        spin(bed);
    }
}

static void test_a_livy_that_does_not_read(void **state)
{
    struct bed *bed = *state;

    say(bed->client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    fill(bed, bed->client);
    assert_true(bed->conn->upstream.out.length > 0);
    assert_int_equal(patience(bed), 0);
}

static void test_a_client_that_does_not_read(void **state)
{
    struct bed *bed = *state;

    say(bed->client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    spin(bed);
    assert_int_equal(patience(bed), 0);
    say(bed->livy, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    fill(bed, bed->livy);
    assert_true(bed->conn->client.out.length > 0);
    assert_waits_for_client(bed);
}

/* The host slept, or the relay was stopped, in the middle of a round of the loop: no byte goes to a Livy that
 * may be somebody else's by now, though nobody has looked at the clock yet. */
static void test_a_view_that_has_run_out_in_between(void **state)
{
    struct bed *bed = *state;
    char bytes[256];

    say(bed->client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    spin(bed);
    assert_true(recv(bed->livy, bytes, sizeof(bytes), 0) > 0);
    bed->relay->view.valid_until = clock_boot_ms();
    say(bed->client, "world");
    spin(bed);
    assert_int_equal(recv(bed->livy, bytes, sizeof(bytes), 0), -1);
    assert_int_equal(bed->conn->state, CONN_RUN); /* what becomes of it, the timer of the view decides */
    assert_true(bed->conn->on_turn);              /* or a new view, after which it goes on by itself */
    bed->relay->view.valid_until = CLOCK_NEVER;
    conn_step(bed->conn);
    assert_int_equal(recv(bed->livy, bytes, sizeof(bytes), 0), 5);
}

/* The same for one that came in between: nothing has changed but the date, and yet there is a Livy again. */
static void test_a_request_between_two_views(void **state)
{
    struct bed *bed = *state;
    struct relay *relay = bed->relay;
    struct front_view fresh = relay->view;

    upstream_close(bed->conn, false);
    relay->view.valid_until = clock_boot_ms();
    say(bed->client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    spin(bed);
    assert_int_equal(bed->conn->state, CONN_HELD);
    assert_ptr_equal(bed->conn->queued, &relay->plains.held);
    relay_view(relay, &fresh, NULL);
    assert_ptr_equal(bed->conn->queued, &relay->plains.due);
}

/* A TCP socket that is connected to itself. */
static int own_echo(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(evutil_make_socket_nonblocking(fd), 0);
    return fd;
}

/* Where nobody listens on a port of the range from which the kernel takes those of outgoing connections,
 * sooner or later one of the many attempts meets itself. */
static void test_a_connection_to_itself_is_no_livy(void **state)
{
    struct bed *bed = *state;
    struct conn *conn = bed->conn;

    upstream_close(conn, false);
    say(bed->client, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    spin(bed);
    assert_int_equal(conn->state, CONN_HELD);
    conn_set(conn, CONN_CONNECT);
    assert_true(sock_open(&conn->upstream, bed->relay->base, own_echo(), false, conn_on_upstream, conn));
    spin(bed);
    assert_int_equal(conn->state, CONN_HELD);
    assert_true(bed->relay->plains.failing);
    assert_false(conn->x.began);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_bed, clear_bed)
    const struct CMUnitTest tests[] = {
        CASE(test_a_body_that_does_not_come),    CASE(test_livy_takes_as_long_as_it_likes),
        CASE(test_a_client_that_waits_for_livy), CASE(test_a_livy_that_does_not_read),
        CASE(test_a_client_that_does_not_read),  CASE(test_a_view_that_has_run_out_in_between),
        CASE(test_a_request_between_two_views),  CASE(test_a_connection_to_itself_is_no_livy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
