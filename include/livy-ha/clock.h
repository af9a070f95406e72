/* clock.h - the two clocks of livy-ha. Thread-safe, never blocks, cannot fail.
 *
 * Everything that is compared with a deadline is CLOCK_BOOTTIME in milliseconds: it is the same in
 * every process of the host, it counts suspends (CLOCK_MONOTONIC does not, see clock_gettime(2)), and
 * nobody can step it. The wall clock is for people: log lines and JSON.
 */
#ifndef LIVY_HA_CLOCK_H
#define LIVY_HA_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER INT64_MAX /* a deadline that never comes */
#define CLOCK_UTC_SIZE 25     /* "2026-11-22T10:00:00.123Z" and its NUL */

int64_t clock_boot_ms(void); /* CLOCK_BOOTTIME, rounded down to a millisecond */
int64_t clock_boot_us(void); /* the same in microseconds, to measure with */
int64_t clock_wall_ms(void); /* CLOCK_REALTIME, ms since 1970 */

/* Writes `wall_ms` as ISO 8601 in UTC with milliseconds. */
void clock_format_utc(int64_t wall_ms, char out[static CLOCK_UTC_SIZE]);

#endif
