/* job.h - work that may block for as long as it likes (getaddrinfo, a file system whose server is gone), in a
 * detached thread of its own; its result is delivered on the loop's thread. Nobody ever waits for the thread:
 * a job that was forgotten ends when it ends.
 */
#ifndef LIVY_HA_NET_JOB_H
#define LIVY_HA_NET_JOB_H

#include <stdatomic.h>

struct event_base;
struct job;

/* How many threads of one kind there may be at a time, forgotten ones included. Outlives them: static. */
struct job_bound {
    int max;
    atomic_int running;
};

/* `data` is the work's alone until it has ended; then the loop's. */
struct job_kind {
    struct job_bound *bound;
    void (*work)(void *data); /* in the thread: may block; may not log, nor use what is not in `data` */
    void (*done)(void *arg, void *data); /* on the loop, once; the struct job is gone by then */
    void (*drop)(void *data); /* frees `data`: after `done`, or at the end of a forgotten job's work */
};

/* `kind` and what it points to must outlive the thread: static. NULL with errno, and `data` stays the
 * caller's: EAGAIN, all threads of this kind are in use; ENOMEM, EMFILE, ENFILE, this process lacks what it
 * takes. `done` is never called from within. */
struct job *job_start(struct event_base *base, const struct job_kind *kind, void *data, void *arg);

/* For `data` whose result is known already: no thread, no bound; `done` is called by the loop all the same.
 */
struct job *job_deliver(struct event_base *base, const struct job_kind *kind, void *data, void *arg);

/* `done` is not called any more. NULL is allowed. */
void job_cancel(struct job *job);

#endif
