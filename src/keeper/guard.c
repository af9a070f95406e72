/* guard.c - see the header. */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "livy-ha/packet.h"
#include "livy-ha/program.h"

#define HIGH 64 /* above what a start script may want for itself */

bool guard_agent(char *path, size_t size)
{
    return program_find(PROGRAM_GATE, R_OK, path, size);
}

static void drop(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* What the JVM alone needs for longer than a moment leaves no gap among the keeper's own, low numbers: under
 * a limit, what Livy's end gives back must be usable again. */
static void move_high(int *fd)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, HIGH);

    if (high < 0)
        return; /* the child tries again */
    close(*fd);
    *fd = high;
}

int guard_open(struct guard *guard, int64_t kill_at)
{
    int pair[2];

    guard_close(guard);
    guard->page_fd = memfd_create("livy-ha-lease", MFD_CLOEXEC);
    if (guard->page_fd < 0 || ftruncate(guard->page_fd, sizeof(*guard->page)) != 0)
        return -1;
    void *page = mmap(NULL, sizeof(*guard->page), PROT_READ | PROT_WRITE, MAP_SHARED, guard->page_fd, 0);
    if (page == MAP_FAILED)
        return -1;
    guard->page = page;
    move_high(&guard->page_fd);
    atomic_store_explicit(&guard->page->kill_at, kill_at, memory_order_release);
    if (packet_pair(pair) != 0)
        return -1;
    guard->channel = pair[0];
    guard->agents_end = pair[1];
    move_high(&guard->agents_end);
    return 0;
}

void guard_started(struct guard *guard)
{
    drop(&guard->page_fd);
    drop(&guard->agents_end);
}

void guard_lease(struct guard *guard, int64_t kill_at)
{
    struct gate_msg msg = {.magic = GATE_MAGIC, .type = GATE_LEASE};

    if (guard->page == NULL)
        return;
    int64_t before = atomic_load_explicit(&guard->page->kill_at, memory_order_relaxed);
    if (before == kill_at)
        return;
    atomic_store_explicit(&guard->page->kill_at, kill_at, memory_order_release);
    /* It sleeps until the instant that it knows. One that does not read has ended, or its JVM never ran. */
    if (kill_at < before)
        (void)packet_send(guard->channel, &msg, sizeof(msg), -1);
}

void guard_close(struct guard *guard)
{
    guard_started(guard);
    drop(&guard->channel);
    if (guard->page != NULL)
        munmap(guard->page, sizeof(*guard->page));
    guard->page = NULL;
}

bool guard_let_go(const struct guard *guard, int64_t kill_at)
{
    struct gate_msg msg = {.magic = GATE_MAGIC, .type = GATE_OPEN, .kill_at = kill_at};
    return packet_send(guard->channel, &msg, sizeof(msg), -1) == 0;
}

void guard_record(const struct guard *guard)
{
    struct gate_msg msg = {.magic = GATE_MAGIC, .type = GATE_RECORD};

    if (guard->channel >= 0)
        (void)packet_send(guard->channel, &msg, sizeof(msg), -1); /* as in guard_lease */
}

int guard_hear(const struct guard *guard, struct gate_msg *msg)
{
    int fd;
    int rc = packet_recv(guard->channel, msg, sizeof(*msg), &fd);

    if (rc == 1 && (fd >= 0 || msg->magic != GATE_MAGIC))
        rc = packet_refuse(&fd);
    if (rc == 1)
        msg->text[sizeof(msg->text) - 1] = '\0';
    return rc;
}

bool guard_pass(struct guard *guard, const struct conf *conf, bool hold, char *option, size_t size)
{
    char path[PATH_MAX], page[32] = "";
    bool hot = conf->livy.standby == CONF_STANDBY_HOT;

    option[0] = '\0';
    if (guard == NULL || guard->page == NULL)
        return true;
    guard->page_fd = fcntl(guard->page_fd, F_DUPFD_CLOEXEC, HIGH);
    guard->agents_end = fcntl(guard->agents_end, F_DUPFD_CLOEXEC, HIGH);
    errno = guard->page_fd < 0 || guard->agents_end < 0 ? errno : ENOENT;
    if (guard->page_fd < 0 || guard->agents_end < 0 || !guard_agent(path, sizeof(path)))
        return false;
    if (conf->livy.guard == CONF_GUARD_PROCESS)
        snprintf(page, sizeof(page), ",page=%d", guard->page_fd);
    int length = snprintf(option, size, " -agentpath:%s=%schannel=%d%s%s%s%s", path, hold ? "hold," : "",
                          guard->agents_end, page, hot ? ",record=" : "", hot ? conf->runtime_dir : "",
                          hot ? "/livy-classes" : "");
    errno = ENAMETOOLONG;
    return length > 0 && (size_t)length < size;
}

bool guard_keep(const struct guard *guard)
{
    return guard == NULL || guard->page == NULL ||
           (fcntl(guard->page_fd, F_SETFD, 0) == 0 && fcntl(guard->agents_end, F_SETFD, 0) == 0);
}
