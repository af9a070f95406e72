/* job.c - see job.h. Loop and thread share one counted object, and nothing else; whoever lets go of it last
 * frees it. The thread says that it has ended by an eventfd. */
#include "job.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Lives until both the loop and the thread have let go of it. */
struct shared {
    const struct job_kind *kind;
    void *data;
    int fd; /* eventfd: the work has ended */
    atomic_int references;
    atomic_bool ended; /* orders what the thread has written before what the loop reads */
};

struct job {
    struct shared *shared;
    struct event *event;
    void *arg;
};

/* `data` goes with it, unless it is still the caller's. */
static void shared_release(struct shared *shared)
{
    if (atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) > 1)
        return;
    if (shared->data != NULL)
        shared->kind->drop(shared->data);
    close(shared->fd);
    free(shared);
}

static void shared_end(struct shared *shared)
{
    const uint64_t one = 1;

    atomic_store_explicit(&shared->ended, true, memory_order_release);
    /* Cannot fail on an eventfd that is written once. */
    const ssize_t written = write(shared->fd, &one, sizeof one);
    (void)written;
}

static void *run(void *arg)
{
    struct shared *shared = arg;
    struct job_bound *bound = shared->kind->bound;

    shared->kind->work(shared->data);
    /* Before the end is told: who hears of it may start the next one at once. */
    (void)atomic_fetch_sub(&bound->running, 1);
    shared_end(shared);
    shared_release(shared);
    return NULL;
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct job *job = arg;
    struct shared *shared = job->shared;
    void *done_arg = job->arg, *data = shared->data;

    (void)fd;
    (void)what;
    if (!atomic_load_explicit(&shared->ended, memory_order_acquire))
        return;          /* cannot be: only the end makes it readable */
    shared->data = NULL; /* the thread uses it no more, and this is the only other one */
    event_free(job->event);
    free(job);
    shared->kind->done(done_arg, data);
    shared->kind->drop(data);
    shared_release(shared);
}

static struct job *job_new(struct event_base *base, const struct job_kind *kind, void *arg)
{
    struct job *job = calloc(1, sizeof *job);
    struct shared *shared = calloc(1, sizeof *shared);
    int error = ENOMEM;

    if (job != NULL && shared != NULL) {
        shared->kind = kind;
        shared->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (shared->fd >= 0) {
            atomic_init(&shared->references, 1);
            atomic_init(&shared->ended, false);
            job->shared = shared;
            job->arg = arg;
            job->event = event_new(base, shared->fd, EV_READ, on_ended, job);
            if (job->event != NULL && event_add(job->event, NULL) == 0)
                return job;
            if (job->event != NULL)
                event_free(job->event);
            close(shared->fd);
        } else {
            error = errno;
        }
    }
    free(shared);
    free(job);
    errno = error;
    return NULL;
}

/* Signals are for the loop's thread: the new one blocks them all. */
static int start_thread(struct shared *shared)
{
    sigset_t all, before;
    pthread_t thread;
    int error;

    sigfillset(&all);
    error = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (error != 0)
        return error;
    error = pthread_create(&thread, NULL, run, shared);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        (void)pthread_detach(thread);
    return error;
}

struct job *job_start(struct event_base *base, const struct job_kind *kind, void *data, void *arg)
{
    struct job_bound *bound = kind->bound;
    struct job *job;

    if (atomic_fetch_add(&bound->running, 1) >= bound->max) {
        (void)atomic_fetch_sub(&bound->running, 1);
        errno = EAGAIN;
        return NULL;
    }
    job = job_new(base, kind, arg);
    if (job != NULL) {
        job->shared->data = data;
        (void)atomic_fetch_add(&job->shared->references, 1);
        if (start_thread(job->shared) == 0)
            return job;
        (void)atomic_fetch_sub(&job->shared->references, 1);
        job->shared->data = NULL;
        job_cancel(job);
        errno = ENOMEM; /* no room for a thread: EAGAIN is said of the bound alone */
    }
    (void)atomic_fetch_sub(&bound->running, 1);
    return NULL;
}

struct job *job_deliver(struct event_base *base, const struct job_kind *kind, void *data, void *arg)
{
    struct job *job = job_new(base, kind, arg);

    if (job != NULL) {
        job->shared->data = data;
        shared_end(job->shared);
    }
    return job;
}

void job_cancel(struct job *job)
{
    if (job == NULL)
        return;
    event_free(job->event);
    shared_release(job->shared);
    free(job);
}
