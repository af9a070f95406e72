/* claim_file.c - the claim as a file in the directory of a file: store. A mount whose server is gone lets
 * every call hang, so a detached thread does the work; it shares a counted job with the loop and touches
 * nothing else. The thread may not log.
 */
#include "claim_internal.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "livy-ha/livyconf.h"

#define NAME ".livy-ha-claim"
#define TEXT_MAX 4096

/* Lives until both the loop and the thread have let go of it. */
struct job {
    pthread_mutex_t lock;
    int references;
    int fd; /* eventfd: the thread has ended */
    char *directory, *path, *text;
    bool must_be_shared;
    /* written by the thread before it says that it is done */
    int error; /* an errno, with what failed; ENODEV: the mount is missing */
    const char *failed;
    bool made;
    char found[TEXT_MAX];
    size_t length;
};

struct claim_file {
    struct job *job;
    struct event *event;
    struct claim_self self;
    claim_visited *done;
    void *arg;
};

static void job_release(struct job *job)
{
    int left;

    pthread_mutex_lock(&job->lock);
    left = --job->references;
    pthread_mutex_unlock(&job->lock);
    if (left > 0)
        return;
    if (job->fd >= 0)
        close(job->fd);
    free(job->directory);
    free(job->path);
    free(job->text);
    pthread_mutex_destroy(&job->lock);
    free(job);
}

/* ---- the thread ---- */

static void failed(struct job *job, const char *what)
{
    job->error = errno;
    job->failed = what;
}

/* Livy makes its directory itself, for its user alone; we may come first. */
static int make_directory(const char *directory)
{
    char part[TEXT_MAX];
    size_t length = strlen(directory);

    if (length >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 1; i <= length; i++) {
        if (directory[i] != '/' && directory[i] != '\0')
            continue;
        memcpy(part, directory, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

static void read_claim(struct job *job)
{
    int fd = open(job->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, job->found, sizeof(job->found)) : -1;

    if (n < 0)
        failed(job, "read");
    else
        job->length = (size_t)n;
    if (fd >= 0)
        close(fd);
}

static void write_claim(struct job *job, int fd)
{
    size_t length = strlen(job->text);

    errno = EIO; /* of a short write */
    if (write(fd, job->text, length) != (ssize_t)length || fsync(fd) != 0) {
        failed(job, "write");
        (void)unlink(job->path);
    }
    job->made = job->failed == NULL;
    if (close(fd) != 0 && job->made) {
        failed(job, "write");
        (void)unlink(job->path);
    }
}

static void work(struct job *job)
{
    char where[TEXT_MAX];
    uint32_t type;

    if (job->must_be_shared && livyconf_fs_shared(job->directory, where, sizeof(where), &type) != 1) {
        errno = ENODEV;
        failed(job, "look at");
        return;
    }
    if (make_directory(job->directory) != 0) {
        failed(job, "make the directory of");
        return;
    }
    int fd = open(job->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0)
        write_claim(job, fd);
    else if (errno == EEXIST)
        read_claim(job);
    else
        failed(job, "make");
}

static void *run(void *arg)
{
    struct job *job = arg;
    uint64_t one = 1;

    work(job);
    pthread_mutex_lock(&job->lock); /* what was written above is seen by whoever takes the lock after this */
    pthread_mutex_unlock(&job->lock);
    ssize_t written = write(job->fd, &one, sizeof(one)); /* cannot fail on an eventfd that is written once */
    (void)written;
    job_release(job);
    return NULL;
}

/* ---- the loop ---- */

static enum claim_answer judge(const struct job *job, const struct claim_self *self, char *why, size_t size)
{
    char who[CLAIM_WHY_SIZE / 2] = "";

    if (job->failed != NULL) {
        (void)snprintf(why, size, "the state store cannot be claimed: %s %.200s: %s", job->failed, job->path,
                       job->error == ENODEV ? "no shared file system is mounted there"
                                            : strerror(job->error));
        return CLAIM_AWAY;
    }
    switch (job->made ? CLAIM_SAYS_US : claim_read(self, job->found, job->length, who, sizeof(who))) {
    case CLAIM_SAYS_US:
        (void)snprintf(why, size, "%s", job->made ? "claimed" : "ours already");
        return CLAIM_OURS;
    case CLAIM_SAYS_NOTHING:
        (void)snprintf(why, size,
                       "the state store's claim %.200s is empty: another member is just making it, or has "
                       "died doing so: "
                       "if it stays so, delete it",
                       job->path);
        return CLAIM_AWAY;
    case CLAIM_SAYS_ANOTHER:
        break;
    }
    (void)snprintf(why, size,
                   "the state store is held by %s; if that is gone for good, delete the file %.200s", who,
                   job->path);
    return CLAIM_ANOTHERS;
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    struct claim_file *file = arg;
    claim_visited *done = file->done;
    void *done_arg = file->arg;
    char why[CLAIM_WHY_SIZE];

    (void)fd;
    (void)what;
    pthread_mutex_lock(&file->job->lock);
    pthread_mutex_unlock(&file->job->lock);
    enum claim_answer answer = judge(file->job, &file->self, why, sizeof(why));
    claim_file_cancel(file);
    done(done_arg, answer, why);
}

static bool start_thread(struct job *job)
{
    sigset_t all, before;
    pthread_t thread;

    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the loop */
    job->references++;
    bool ok = pthread_create(&thread, NULL, run, job) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ok)
        (void)pthread_detach(thread);
    else
        job->references--;
    return ok;
}

static struct job *job_new(const struct claim_place *place, const struct claim_self *self,
                           bool must_be_shared)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    pthread_mutex_init(&job->lock, NULL);
    job->references = 1;
    job->must_be_shared = must_be_shared;
    job->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    job->directory = strdup(place->path);
    job->text = claim_write(self);
    if (asprintf(&job->path, "%s/" NAME, place->path) < 0)
        job->path = NULL;
    if (job->fd >= 0 && job->directory != NULL && job->text != NULL && job->path != NULL)
        return job;
    job_release(job);
    return NULL;
}

struct claim_file *claim_file_start(struct event_base *base, const struct claim_place *place,
                                    const struct claim_self *self, bool must_be_shared, claim_visited *done,
                                    void *arg)
{
    struct claim_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return NULL;
    file->self = *self;
    file->done = done;
    file->arg = arg;
    file->job = job_new(place, self, must_be_shared);
    file->event = file->job != NULL ? event_new(base, file->job->fd, EV_READ, on_done, file) : NULL;
    if (file->event != NULL && event_add(file->event, NULL) == 0 && start_thread(file->job))
        return file;
    claim_file_cancel(file);
    return NULL;
}

void claim_file_cancel(struct claim_file *file)
{
    if (file == NULL)
        return;
    if (file->event != NULL)
        event_free(file->event);
    if (file->job != NULL)
        job_release(file->job);
    free(file);
}
