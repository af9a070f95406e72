/* test_predecessor.c - is there an answer at another member's URL? Asked of little servers in the same loop.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "predecessor.h"

struct bed {
    struct event_base *base;
    struct evconnlistener *listener;
    struct predecessor *predecessor;
    const char *answer; /* NULL: it takes connections, and no more */
    char url[64];
    uint64_t op;
    int answered;
    enum predecessor_verdict verdict;
    char reason[128];
    int64_t took;
};

/* No verdict may hang on how fast this machine is: what is there has time to answer. Where silence is
 * awaited, the limit is short. */
static const struct predecessor_limits patient = {.connect = 60000, .answer = 60000};
static const struct predecessor_limits curt = {.connect = 80, .answer = 250};

static void on_written(struct bufferevent *bev, void *arg)
{
    (void)arg;
    bufferevent_free(bev);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int size,
                      void *arg)
{
    struct bed *bed = arg;

    (void)listener;
    (void)address;
    (void)size;
    if (bed->answer == NULL)
        return; /* the test's end closes it */
    struct bufferevent *bev = bufferevent_socket_new(bed->base, fd, BEV_OPT_CLOSE_ON_FREE);
    assert_non_null(bev);
    bufferevent_setcb(bev, NULL, on_written, NULL, bed);
    assert_int_equal(bufferevent_enable(bev, EV_WRITE), 0);
    assert_int_equal(bufferevent_write(bev, bed->answer, strlen(bed->answer)), 0);
}

static void on_done(void *arg, uint64_t op, enum predecessor_verdict verdict, const char *reason)
{
    struct bed *bed = arg;

    assert_non_null(reason);
    bed->op = op;
    bed->verdict = verdict;
    snprintf(bed->reason, sizeof(bed->reason), "%s", reason);
    bed->answered++;
    event_base_loopbreak(bed->base);
}

static void begin(struct bed *bed, const struct predecessor_limits *limits, const char *answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    *bed = (struct bed){.base = event_base_new(), .answer = answer};
    assert_non_null(bed->base);
    bed->listener = evconnlistener_new_bind(bed->base, on_accept, bed, LEV_OPT_CLOSE_ON_FREE, 8,
                                            (struct sockaddr *)&address, sizeof(address));
    assert_non_null(bed->listener);
    assert_int_equal(getsockname(evconnlistener_get_fd(bed->listener), (struct sockaddr *)&address, &size),
                     0);
    snprintf(bed->url, sizeof(bed->url), "http://localhost:%d", ntohs(address.sin_port));
    bed->predecessor = predecessor_new(bed->base, limits, on_done, bed);
    assert_non_null(bed->predecessor);
}

static void end(struct bed *bed)
{
    predecessor_free(bed->predecessor);
    if (bed->listener != NULL)
        evconnlistener_free(bed->listener);
    event_base_free(bed->base);
}

static enum predecessor_verdict ask(struct bed *bed, const char *url, uint64_t op)
{
    int64_t before = clock_boot_ms();
    int answered = bed->answered;

    predecessor_ask(bed->predecessor, url, op);
    assert_int_equal(bed->answered, answered); /* never from within */
    event_base_dispatch(bed->base);
    assert_int_equal(bed->answered, answered + 1);
    assert_int_equal(bed->op, op);
    bed->took = clock_boot_ms() - before;
    return bed->verdict;
}

static void test_answers(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed, &patient, "HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(ask(&bed, bed.url, 1), PREDECESSOR_ANSWERS);
    bed.answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n";
    assert_int_equal(ask(&bed, bed.url, 2), PREDECESSOR_ANSWERS); /* an error's too: something lives there */
    bed.answer = "220 smtp.example.com\r\n";
    assert_int_equal(ask(&bed, bed.url, 3), PREDECESSOR_SILENT);
    evconnlistener_free(bed.listener);
    bed.listener = NULL;
    assert_int_equal(ask(&bed, bed.url, 4), PREDECESSOR_SILENT); /* refused */
    end(&bed);
}

static void test_silence(void **state)
{
    static const struct predecessor_limits limits = {.connect = 60000, .answer = 250};
    struct bed bed;

    (void)state;
    begin(&bed, &limits, NULL); /* a stopped process: the kernel takes the connection */
    assert_int_equal(ask(&bed, bed.url, 1), PREDECESSOR_SILENT);
    assert_true(bed.took >= 240);
    end(&bed);
}

static int threads_at_rest; /* a sanitizer has one of its own, from our first one on */

static void *nothing(void *arg)
{
    return arg;
}

static int threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    assert_non_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static int count_threads(void **state)
{
    pthread_t first;

    (void)state;
    if (pthread_create(&first, NULL, nothing, NULL) != 0 || pthread_join(first, NULL) != 0)
        return -1;
    threads_at_rest = threads();
    return 0;
}

/* Those of earlier look-ups have ended, and with them their descriptors are free. */
static void wait_at_rest(void)
{
    for (int i = 0; i < 5000 && threads() != threads_at_rest; i++)
        poll(NULL, 0, 1);
    assert_int_equal(threads(), threads_at_rest);
}

/* Without a descriptor to ask with nothing is learnt: not where the name is looked up, not in the thread that
 * does so, not where its address is known. */
static void test_no_descriptor_left(void **state)
{
    struct bed bed;
    struct rlimit old, few;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    for (int spare = 0; spare < 2; spare++) {
        begin(&bed, &patient, "HTTP/1.1 200 OK\r\n\r\n");
        for (int known = 0; known < 2 - spare; known++) {
            wait_at_rest();
            int lowest = dup(STDERR_FILENO); /* the lowest number that is free */
            assert_true(lowest >= 0);
            close(lowest);
            few = (struct rlimit){.rlim_cur = (rlim_t)(lowest + spare), .rlim_max = old.rlim_max};
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
            enum predecessor_verdict verdict = ask(&bed, bed.url, 1);
            assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
            assert_int_equal(verdict, PREDECESSOR_UNTOLD);
            assert_string_equal(bed.reason, "Too many open files");
            assert_int_equal(ask(&bed, bed.url, 2), PREDECESSOR_ANSWERS);
        }
        end(&bed);
    }
}

static void test_no_address(void **state)
{
    static const char *const urls[] = {"", "http://", "nonsense", "http://a.invalid:1", "http://127.0.0.1:0"};
    struct bed bed;

    (void)state;
    begin(&bed, &curt, "HTTP/1.1 200 OK\r\n\r\n");
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
        assert_int_equal(ask(&bed, urls[i], i + 1), PREDECESSOR_SILENT);
    end(&bed);
    begin(&bed, &patient, "HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(ask(&bed, "nonsense", 98), PREDECESSOR_SILENT);
    assert_int_equal(ask(&bed, bed.url, 99), PREDECESSOR_ANSWERS); /* and it goes on */
    end(&bed);
}

static void test_asked_anew(void **state)
{
    struct bed bed;

    (void)state;
    begin(&bed, &curt, NULL);
    predecessor_ask(bed.predecessor, bed.url, 1);
    predecessor_ask(bed.predecessor, "http://a.invalid:1", 2);
    assert_int_equal(ask(&bed, bed.url, 3), PREDECESSOR_SILENT); /* one answer, to the last one */
    assert_int_equal(bed.answered, 1);
    predecessor_ask(bed.predecessor, bed.url, 4); /* freed under way */
    end(&bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_no_descriptor_left),
        cmocka_unit_test(test_no_address),
        cmocka_unit_test(test_asked_anew),
    };
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    return cmocka_run_group_tests(tests, count_threads, NULL);
}
