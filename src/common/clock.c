/* clock.c - see clock.h. Touches nothing but clock_gettime(2). */
#include "livy-ha/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WALL_MIN (INT64_C(-62167219200) * 1000)     /* 0000-01-01: the form has four digits for a year */
#define WALL_MAX (INT64_C(253402300800) * 1000 - 1) /* 9999-12-31T23:59:59.999 */

static int64_t clock_read_ms(clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now) != 0) {
        abort(); /* Linux has both clocks since 2.6.39; a made-up time would break the lease. */
    }
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_boot_ms(void)
{
    return clock_read_ms(CLOCK_BOOTTIME);
}

int64_t clock_boot_us(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
        abort(); /* as above */
    }
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return clock_read_ms(CLOCK_REALTIME);
}

void clock_format_utc(int64_t wall_ms, char out[static CLOCK_UTC_SIZE])
{
    if (wall_ms < WALL_MIN) {
        wall_ms = WALL_MIN;
    }
    if (wall_ms > WALL_MAX) {
        wall_ms = WALL_MAX;
    }
    /* Rounded down, also before 1970, where C's division rounds towards zero. */
    int64_t fraction = wall_ms % 1000;
    if (fraction < 0) {
        fraction += 1000;
    }
    time_t seconds = (time_t)((wall_ms - fraction) / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL) {
        abort(); /* It fails only for years that do not fit into an int. */
    }
    char text[64];
    int length = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                          tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)fraction);
    if (length != CLOCK_UTC_SIZE - 1) {
        abort(); /* The clamp above leaves exactly this length. */
    }
    for (int i = 0; i < CLOCK_UTC_SIZE; i++) {
        out[i] = text[i];
    }
}
