/* said.c - see the header. Touches one file in runtime_dir, and stderr by way of log_copy(). */
#include "said.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#define CHUNK 4096           /* what a pipe takes unmixed with other lines */
#define TURNS 32             /* chunks in one go */
#define TURNS_LAST 256       /* the same once Livy is dead: nobody waits for its lease then */
#define AGAIN 20             /* ms, where stderr does not take it now */
#define BACKLOG 4194304      /* what may wait for stderr … */
#define BACKLOG_KEPT 1048576 /* … and what of it is kept */
#define TAIL 32768           /* a stack trace with its causes */
#define WAITS_TAIL 8192
#define HOLE 262144 /* room is given back in pieces of this size */
#define PAGE 4096

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool limited(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
}

/* Returns what is in the way, or NULL. */
static const char *try_open(struct said *said, const char *path)
{
    if (limited())
        return "there is a limit of file sizes (ulimit -f)";
    said->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (said->fd < 0)
        return strerror(errno);
    said->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    bool watched = said->watch >= 0 && inotify_add_watch(said->watch, path, IN_MODIFY) >= 0;
    int saved = errno;
    if (unlink(path) != 0)
        return strerror(errno);
    if (!watched)
        return strerror(saved);
    return fallocate(said->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) == 0 ? NULL
                                                                                         : strerror(errno);
}

void said_open(struct said *said, const char *runtime_dir)
{
    char path[PATH_MAX];
    const char *why = "runtime_dir is too long a path";

    *said = (struct said){.fd = -1, .watch = -1, .again_at = CLOCK_NEVER, .waits_at = -1};
    if (snprintf(path, sizeof(path), "%s/livy.out", runtime_dir) < (int)sizeof(path))
        why = try_open(said, path);
    if (why == NULL)
        return;
    said_close(said);
    log_info("Livy's last words will not be known: %s", why);
}

void said_close(struct said *said)
{
    close_fd(&said->fd);
    close_fd(&said->watch);
    said->again_at = CLOCK_NEVER;
}

static int64_t size_of(const struct said *said)
{
    struct stat st;

    return fstat(said->fd, &st) == 0 ? (int64_t)st.st_size : 0;
}

void said_begin(struct said *said)
{
    if (said->fd < 0)
        return;
    said->begin = size_of(said);
    said->waits = said->whole = false;
    said->waits_at = -1;
}

/* A script that says "> /dev/stderr" truncates it. */
static int64_t look(struct said *said)
{
    int64_t size = size_of(said);

    if (size < said->copied)
        said->begin = said->copied = said->freed = 0;
    return size;
}

static void leave_out(struct said *said, int64_t size)
{
    if (size - said->copied <= BACKLOG)
        return;
    if (!said->told) /* once: the message itself needs stderr */
        log_warn("stderr takes less than Livy writes: the oldest part of what waits is left out");
    said->told = true;
    said->copied = size - BACKLOG_KEPT;
}

static void give_back(struct said *said)
{
    int64_t until = (said->copied - TAIL) / PAGE * PAGE;

    if (until - said->freed < HOLE)
        return;
    if (fallocate(said->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, said->freed, until - said->freed) !=
        0)
        log_debug("livy.out: %s", strerror(errno));
    said->freed = until;
}

/* What of the `n` bytes is to go out now: whole lines, as other programs write to the same place. 0: wait for
 * the end of the line. */
static size_t lines(const struct said *said, const char *data, size_t n)
{
    const char *newline = memrchr(data, '\n', n);

    if (newline != NULL)
        return (size_t)(newline + 1 - data);
    return n == CHUNK || said->whole ? n : 0;
}

static void copy(struct said *said, int64_t now, int turns)
{
    char data[CHUNK];
    int64_t size = look(said);

    said->again_at = CLOCK_NEVER;
    leave_out(said, size);
    while (turns-- > 0) {
        ssize_t n = pread(said->fd, data, sizeof(data), said->copied);
        size_t length = n > 0 ? lines(said, data, (size_t)n) : 0;
        if (length == 0) {
            give_back(said);
            return;
        }
        ssize_t took = log_copy(data, length);
        if (took == 0) {
            said->again_at = now + AGAIN;
            give_back(said); /* what was left out, however long nobody reads */
            return;
        }
        said->copied += took > 0 ? took : (ssize_t)length; /* nobody reads any more: as if it were written */
    }
    said->again_at = now + 1;
    give_back(said);
}

void said_copy(struct said *said, int64_t now)
{
    char events[1024];

    if (said->fd < 0)
        return;
    (void)!read(said->watch, events, sizeof(events)); /* what is left of them brings us here again */
    copy(said, now, TURNS);
}

static size_t tail(const struct said *said, char *text, size_t size)
{
    int64_t all = size_of(said);
    int64_t from = all - (int64_t)size > said->begin ? all - (int64_t)size : said->begin;
    ssize_t n = from < all ? pread(said->fd, text, size, from) : 0;

    return n > 0 ? (size_t)n : 0;
}

void said_ended(struct said *said, int64_t now, struct livyend *end)
{
    static char text[TAIL]; /* one thread; large for a stack */

    *end = (struct livyend){0};
    if (said->fd < 0)
        return;
    said->whole = true;
    copy(said, now, TURNS_LAST);
    livyend_read(text, tail(said, text, sizeof(text)), end);
}

bool said_waits(struct said *said)
{
    char text[WAITS_TAIL];

    if (said->fd < 0)
        return false;
    int64_t size = size_of(said);
    if (size != said->waits_at)
        said->waits = livyend_waits(text, tail(said, text, sizeof(text)));
    said->waits_at = size;
    return said->waits;
}
