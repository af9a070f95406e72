/* wallclock_preload.c - steps the wall clock of one process, and nothing else, for the end-to-end tests:
 * preloaded, it adds the seconds in the file WALLCLOCK_FILE (64-bit, native order; mapped, so that a test
 * changes them while the process runs) to CLOCK_REALTIME, gettimeofday and time. libfaketime will not do: it
 * moves the deadlines of timerfd_settime as well, whatever clock they are on. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *seconds;

__attribute__((constructor)) static void wallclock_map(void)
{
    const char *path = getenv("WALLCLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd >= 0 ? mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        _exit(70); /* a test that steps no clock would show nothing */
    }
    close(fd);
    seconds = map;
}

static int64_t wallclock_offset(clockid_t clock)
{
    return seconds && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) ? *seconds : 0;
}

int clock_gettime(clockid_t clock_id, struct timespec *tp)
{
    int rc = (int)syscall(SYS_clock_gettime, clock_id, tp);
    if (rc == 0) {
        tp->tv_sec += wallclock_offset(clock_id);
    }
    return rc;
}

int gettimeofday(struct timeval *tv, void *tz)
{
    struct timespec precise;
    (void)tz;
    (void)clock_gettime(CLOCK_REALTIME, &precise);
    tv->tv_sec = precise.tv_sec;
    tv->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *timer)
{
    struct timespec precise;
    (void)clock_gettime(CLOCK_REALTIME, &precise);
    if (timer) {
        *timer = precise.tv_sec;
    }
    return precise.tv_sec;
}
