/* test_job.c - work in threads: delivered on the loop, bounded, forgotten at any moment without a wait or a
 * leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "job.h"
#include "livy-ha/clock.h"

#define THREADS 3
#define LIMIT 30000 /* ms: against hangs */

static struct event_base *base;
static atomic_int dropped;

struct work {
    int gate; /* the thread reads a byte from it first; -1: it does not wait */
    int n, square;
    bool signals_blocked;
    pthread_t thread;
};

struct result {
    int calls, square;
    bool signals_blocked;
    pthread_t thread;
};

static void do_work(void *data)
{
    struct work *work = data;
    sigset_t mask;
    char byte;

    if (work->gate >= 0 && read(work->gate, &byte, 1) < 0)
        perror("read");
    work->square = work->n * work->n;
    work->thread = pthread_self();
    work->signals_blocked = pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGTERM) == 1;
}

static void on_done(void *arg, void *data)
{
    const struct work *work = data;
    struct result *result = arg;

    result->calls++;
    result->square = work->square;
    result->signals_blocked = work->signals_blocked;
    result->thread = work->thread;
}

static void drop(void *data)
{
    atomic_fetch_add(&dropped, 1);
    free(data);
}

static struct job_bound bound = {.max = THREADS};
static const struct job_kind kind = {.bound = &bound, .work = do_work, .done = on_done, .drop = drop};

static struct work *work_new(int n, int gate)
{
    struct work *work = calloc(1, sizeof *work);

    assert_non_null(work);
    work->n = n;
    work->gate = gate;
    return work;
}

static struct job *start(int n, int gate, struct result *result)
{
    struct work *work = work_new(n, gate);
    struct job *job = job_start(base, &kind, work, result);
    const int error = errno;

    if (job == NULL)
        free(work);
    errno = error;
    return job;
}

/* The same, once a thread is free. */
static struct job *start_patiently(int n, int gate, struct result *result)
{
    const int64_t end = clock_boot_ms() + LIMIT;
    struct job *job;

    while ((job = start(n, gate, result)) == NULL && errno == EAGAIN && clock_boot_ms() < end)
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    assert_non_null(job);
    return job;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

static void turn_until(const int *value, int expected)
{
    const int64_t end = clock_boot_ms() + LIMIT;

    while (*value != expected && clock_boot_ms() < end)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(*value, expected);
}

static void wait_for_drops(int expected)
{
    const int64_t end = clock_boot_ms() + LIMIT;

    while (atomic_load(&dropped) != expected && clock_boot_ms() < end)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(atomic_load(&dropped), expected);
}

static int setup(void **state)
{
    const struct timeval tick = {0, 5000};

    base = event_base_new();
    *state = base != NULL ? event_new(base, -1, EV_PERSIST, on_tick, NULL) : NULL;
    atomic_store(&dropped, 0);
    return *state != NULL && event_add(*state, &tick) == 0 ? 0 : -1;
}

/* Whatever was done: no thread is left that has a place. */
static int teardown(void **state)
{
    const int64_t end = clock_boot_ms() + LIMIT;

    while (atomic_load(&bound.running) != 0 && clock_boot_ms() < end)
        (void)event_base_loop(base, EVLOOP_ONCE);
    event_free(*state);
    event_base_free(base);
    return atomic_load(&bound.running) == 0 ? 0 : -1;
}

static void test_delivered_on_the_loop(void **state)
{
    struct result result = {0};

    (void)state;
    assert_non_null(start(7, -1, &result));
    assert_int_equal(result.calls, 0);
    turn_until(&result.calls, 1);
    assert_int_equal(result.square, 49);
    assert_true(result.signals_blocked);
    assert_false(pthread_equal(result.thread, pthread_self()));
    assert_int_equal(atomic_load(&dropped), 1);
    for (int i = 0; i < 3; i++)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(result.calls, 1);
}

static void test_bound(void **state)
{
    struct result results[THREADS] = {0}, more = {0};
    int gate[2];

    (void)state;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < THREADS; i++)
        assert_non_null(start(i + 1, gate[0], &results[i]));
    assert_null(start(9, -1, &more));
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(write(gate[1], "x", 1), 1); /* one of them goes on */
    job_cancel(start_patiently(9, gate[0], &more));
    assert_null(start(9, -1, &more)); /* forgotten, but its thread is there */
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(write(gate[1], "xxx", THREADS), THREADS);
    for (int i = 0; i < THREADS; i++) {
        turn_until(&results[i].calls, 1);
        assert_int_equal(results[i].square, (i + 1) * (i + 1));
    }
    wait_for_drops(THREADS + 1);
    assert_int_equal(more.calls, 0);
    close(gate[0]);
    close(gate[1]);
}

static void test_deliver_takes_no_thread(void **state)
{
    struct result hung[THREADS] = {0}, result = {0};
    struct work *work = work_new(0, -1);
    int gate[2];

    (void)state;
    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < THREADS; i++)
        assert_non_null(start(1, gate[0], &hung[i]));
    work->square = 5;
    assert_non_null(job_deliver(base, &kind, work, &result));
    assert_int_equal(result.calls, 0);
    turn_until(&result.calls, 1);
    assert_int_equal(result.square, 5);
    job_cancel(job_deliver(base, &kind, work_new(0, -1), &result));
    wait_for_drops(2);
    assert_int_equal(result.calls, 1);
    close(gate[1]); /* end of file lets them go */
    for (int i = 0; i < THREADS; i++)
        turn_until(&hung[i].calls, 1);
    close(gate[0]);
}

static void test_cancel_at_any_moment(void **state)
{
    enum { ROUNDS = 200 };
    struct result result = {0};

    (void)state;
    job_cancel(NULL);
    for (int i = 0; i < ROUNDS; i++) {
        struct job *job = start_patiently(i, -1, &result);

        if (i % 2 == 1)
            usleep((useconds_t)i); /* not waiting for anything: spreads the moments */
        job_cancel(job);
    }
    wait_for_drops(ROUNDS);
    assert_int_equal(result.calls, 0);
}

static void test_cancel_does_not_wait(void **state)
{
    struct result result = {0};
    const int64_t began = clock_boot_ms();
    int gate[2];

    (void)state;
    assert_int_equal(pipe(gate), 0);
    job_cancel(start(1, gate[0], &result));
    assert_in_range(clock_boot_ms() - began, 0, LIMIT / 2); /* it would hang for ever */
    assert_int_equal(atomic_load(&dropped), 0);
    close(gate[1]);
    wait_for_drops(1);
    close(gate[0]);
    assert_int_equal(result.calls, 0);
}

struct chain {
    int calls;
};

static void on_link(void *arg, void *data);
static struct job_bound one_bound = {.max = 1};
static const struct job_kind link_kind = {
    .bound = &one_bound, .work = do_work, .done = on_link, .drop = drop};

/* The place of a job that has been delivered is free. */
static void on_link(void *arg, void *data)
{
    struct chain *chain = arg;

    (void)data;
    if (++chain->calls < 50)
        assert_non_null(job_start(base, &link_kind, work_new(chain->calls, -1), chain));
}

static void test_next_from_within(void **state)
{
    struct chain chain = {0};

    (void)state;
    assert_non_null(job_start(base, &link_kind, work_new(0, -1), &chain));
    turn_until(&chain.calls, 50);
    wait_for_drops(50);
}

static void test_without_descriptors(void **state)
{
    struct result result = {0};
    struct rlimit before, none;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3; /* those that are open stay */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 2 * THREADS; i++) { /* what fails takes no place */
        assert_null(start(1, -1, &result));
        assert_int_equal(errno, EMFILE);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_non_null(start(3, -1, &result));
    turn_until(&result.calls, 1);
    assert_int_equal(result.square, 9);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_delivered_on_the_loop),   TEST(test_bound),
        TEST(test_deliver_takes_no_thread), TEST(test_cancel_at_any_moment),
        TEST(test_cancel_does_not_wait),    TEST(test_next_from_within),
        TEST(test_without_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
