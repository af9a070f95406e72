/* channel.c - the thread that hears the keeper and watches the lease. */
#include "gate.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/gate.h"
#include "livy-ha/packet.h"

_Noreturn void gate_end(int status, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    length = length < 0 ? 0 : length > (int)sizeof(line) - 2 ? (int)sizeof(line) - 2 : length;
    line[length] = '\n';
    if (write(STDERR_FILENO, "livy-ha gate: ", 14) == 14)
        (void)!write(STDERR_FILENO, line, (size_t)length + 1);
    _exit(status);
}

void gate_say(const struct gate *gate, enum gate_type type, uint32_t count, const char *text)
{
    struct gate_msg msg = {.magic = GATE_MAGIC, .type = type, .count = count};

    snprintf(msg.text, sizeof(msg.text), "%s", text);
    if (gate->channel >= 0)
        (void)packet_send(gate->channel, &msg, sizeof(msg), -1); /* one that is gone is seen by the thread */
}

/* ---- the lease ---- */

/* The instant at which this process must be dead, as it is now; ends it where that is past. */
static int64_t lease(const struct gate *gate)
{
    if (gate->page == NULL)
        return CLOCK_NEVER;
    int64_t kill_at = atomic_load_explicit(&gate->page->kill_at, memory_order_acquire);
    if (clock_boot_ms() >= kill_at)
        _exit(GATE_EXIT_LEASE); /* no word first: stderr may block */
    return kill_at;
}

static void arm(const struct gate *gate, int timer)
{
    int64_t at = lease(gate);
    struct itimerspec when = {0}; /* zero disarms it */

    if (at != CLOCK_NEVER) {
        when.it_value.tv_sec = (time_t)(at / 1000);
        when.it_value.tv_nsec = (long)(at % 1000) * 1000000L;
    }
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        gate_end(GATE_EXIT_REFUSED, "timerfd_settime: %s", strerror(errno));
}

/* ---- the keeper's word ---- */

static void open_gate(struct gate *gate, int64_t kill_at)
{
    int64_t page =
        gate->page == NULL ? CLOCK_NEVER : atomic_load_explicit(&gate->page->kill_at, memory_order_acquire);

    if (gate_too_late(page, kill_at, clock_boot_ms()))
        _exit(GATE_EXIT_LEASE);
    pthread_mutex_lock(&gate->lock);
    gate->shut = false;
    atomic_store(&gate->open, true);
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
    if (gate->until_open)
        gate->page = NULL; /* this thread alone looks at it */
    gate_say(gate, GATE_OPENED, 0, "");
}

/* False where there is nothing more to read now. */
static bool hear(struct gate *gate)
{
    struct gate_msg msg;
    int fd = -1;
    int rc = packet_recv(gate->channel, &msg, sizeof(msg), &fd);

    if (fd >= 0)
        close(fd);
    if (rc == 0)
        return false;
    if (rc < 0 && errno == EPIPE)
        _exit(GATE_EXIT_ORPHANED);
    if (rc < 0 || msg.magic != GATE_MAGIC)
        gate_end(GATE_EXIT_ORPHANED, "livy-ha says what cannot be");
    switch ((enum gate_type)msg.type) {
    case GATE_OPEN:
        open_gate(gate, msg.kill_at);
        return true;
    case GATE_LEASE: /* the page is looked at in any case */
        return true;
    case GATE_RECORD:
        preload_record(gate);
        return true;
    case GATE_READY:
    case GATE_REFUSED:
    case GATE_HELD:
    case GATE_LOADED:
    case GATE_OPENED:
    case GATE_RECORDED:
        break;
    }
    gate_end(GATE_EXIT_ORPHANED, "livy-ha says what it has no business to");
}

static void *watch(void *arg)
{
    struct gate *gate = arg;
    int timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    struct pollfd fds[] = {{.fd = timer, .events = POLLIN}, {.fd = gate->channel, .events = POLLIN}};

    if (timer < 0)
        gate_end(GATE_EXIT_REFUSED, "timerfd_create: %s", strerror(errno));
    for (;;) {
        arm(gate, timer);
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            gate_end(GATE_EXIT_REFUSED, "poll: %s", strerror(errno));
        (void)lease(gate);
        while (gate->channel >= 0 && hear(gate))
            ;
    }
    return NULL;
}

void gate_watch(struct gate *gate)
{
    pthread_t thread;
    sigset_t all, old;

    sigfillset(&all);
    int rc = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (rc == 0)
        rc = pthread_create(&thread, NULL, watch, gate);
    if (rc != 0)
        gate_end(GATE_EXIT_REFUSED, "no thread for the lease: %s", strerror(rc));
    (void)pthread_setname_np(thread, "livy-ha-gate");
    (void)pthread_detach(thread);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
}
