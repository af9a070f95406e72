/* standin_util.h - the little that all parts of the stand-in need. It shares no code with livy-ha on purpose.
 */
#ifndef STANDIN_UTIL_H
#define STANDIN_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* CLOCK_BOOTTIME; for signal handlers too. */
static inline int64_t util_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void util_sleep_until(int64_t ns);

/* Says what failed, with errno's words, and ends the process with status 70. */
_Noreturn void util_fail(const char *what);

/* The value of `key` in LIVY_CONF_DIR's livy.conf: the last line wins, as in a Java properties file. `value`
 * is left as it is where there is none. */
void util_conf_value(const char *key, char *value, size_t size);

/* Livy's own ZooKeeper session time-out in ms, out of LIVY_CONF_DIR's livy-env.sh, which bin/livy-server
 * reads; Curator's default of 60 s where there is none. */
int util_session_timeout(void);

#endif
