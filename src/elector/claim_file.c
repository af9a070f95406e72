/* claim_file.c - the claim as a file in the directory of a file: store. A mount whose server is gone lets
 * every call hang, so that the work is a job (job.h). The job may not log.
 */
#include "claim_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"
#include "livy-ha/livyconf.h"

#define NAME ".livy-ha-claim"
#define TEXT_MAX 4096

#define THREADS 4 /* at a time; one that hangs is forgotten with its claim */

/* What the thread works on. */
struct visit {
    char *directory, *path, *text;
    bool must_be_shared;
    /* written by the thread */
    int error; /* an errno, with what failed; ENODEV: the mount is missing */
    const char *failed;
    bool made;
    char found[TEXT_MAX];
    size_t length;
};

struct claim_file {
    struct job *job;
    struct claim_self self;
    claim_visited *done;
    void *arg;
};

static void visit_drop(void *data)
{
    struct visit *visit = data;

    free(visit->directory);
    free(visit->path);
    free(visit->text);
    free(visit);
}

/* ---- the thread ---- */

static void failed(struct visit *visit, const char *what)
{
    visit->error = errno;
    visit->failed = what;
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

static void read_claim(struct visit *visit)
{
    int fd = open(visit->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, visit->found, sizeof(visit->found)) : -1;

    if (n < 0)
        failed(visit, "read");
    else
        visit->length = (size_t)n;
    if (fd >= 0)
        close(fd);
}

static void write_claim(struct visit *visit, int fd)
{
    size_t length = strlen(visit->text);

    errno = EIO; /* of a short write */
    if (write(fd, visit->text, length) != (ssize_t)length || fsync(fd) != 0) {
        failed(visit, "write");
        (void)unlink(visit->path);
    }
    visit->made = visit->failed == NULL;
    if (close(fd) != 0 && visit->made) {
        failed(visit, "write");
        (void)unlink(visit->path);
    }
}

static void work(void *data)
{
    struct visit *visit = data;
    char where[TEXT_MAX];
    uint32_t type;

    if (visit->must_be_shared && livyconf_fs_shared(visit->directory, where, sizeof(where), &type) != 1) {
        errno = ENODEV;
        failed(visit, "look at");
        return;
    }
    if (make_directory(visit->directory) != 0) {
        failed(visit, "make the directory of");
        return;
    }
    int fd = open(visit->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0)
        write_claim(visit, fd);
    else if (errno == EEXIST)
        read_claim(visit);
    else
        failed(visit, "make");
}

/* ---- the loop ---- */

static enum claim_answer judge(const struct visit *visit, const struct claim_self *self, char *why,
                               size_t size)
{
    char who[CLAIM_WHY_SIZE / 2] = "";

    if (visit->failed != NULL) {
        (void)snprintf(
            why, size, "the state store cannot be claimed: %s %.200s: %s", visit->failed, visit->path,
            visit->error == ENODEV ? "no shared file system is mounted there" : strerror(visit->error));
        return CLAIM_AWAY;
    }
    switch (visit->made ? CLAIM_SAYS_US : claim_read(self, visit->found, visit->length, who, sizeof(who))) {
    case CLAIM_SAYS_US:
        (void)snprintf(why, size, "%s", visit->made ? "claimed" : "ours already");
        return CLAIM_OURS;
    case CLAIM_SAYS_NOTHING:
        (void)snprintf(why, size,
                       "the state store's claim %.200s is empty: another member is just making it, or has "
                       "died doing so: "
                       "if it stays so, delete it",
                       visit->path);
        return CLAIM_AWAY;
    case CLAIM_SAYS_ANOTHER:
        break;
    }
    (void)snprintf(why, size,
                   "the state store is held by %s; if that is gone for good, delete the file %.200s", who,
                   visit->path);
    return CLAIM_ANOTHERS;
}

static void on_done(void *arg, void *data)
{
    struct claim_file *file = arg;
    claim_visited *done = file->done;
    void *done_arg = file->arg;
    char why[CLAIM_WHY_SIZE];
    const enum claim_answer answer = judge(data, &file->self, why, sizeof(why));

    free(file);
    done(done_arg, answer, why);
}

static struct visit *visit_new(const struct claim_place *place, const struct claim_self *self,
                               bool must_be_shared)
{
    struct visit *visit = calloc(1, sizeof(*visit));

    if (visit == NULL)
        return NULL;
    visit->must_be_shared = must_be_shared;
    visit->directory = strdup(place->path);
    visit->text = claim_write(self);
    if (asprintf(&visit->path, "%s/" NAME, place->path) < 0)
        visit->path = NULL;
    if (visit->directory != NULL && visit->text != NULL && visit->path != NULL)
        return visit;
    visit_drop(visit);
    return NULL;
}

static struct job_bound bound = {.max = THREADS};
static const struct job_kind kind = {.bound = &bound, .work = work, .done = on_done, .drop = visit_drop};

struct claim_file *claim_file_start(struct event_base *base, const struct claim_place *place,
                                    const struct claim_self *self, bool must_be_shared, claim_visited *done,
                                    void *arg)
{
    struct claim_file *file = calloc(1, sizeof(*file));
    struct visit *visit = file != NULL ? visit_new(place, self, must_be_shared) : NULL;

    if (visit != NULL) {
        file->self = *self;
        file->done = done;
        file->arg = arg;
        file->job = job_start(base, &kind, visit, file);
        if (file->job != NULL)
            return file;
        visit_drop(visit);
    }
    free(file);
    return NULL;
}

void claim_file_cancel(struct claim_file *file)
{
    if (file == NULL)
        return;
    job_cancel(file->job);
    free(file);
}
