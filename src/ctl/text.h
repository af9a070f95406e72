/* text.h - small pure functions on texts for people: widths, cuts, ages, durations. */
#ifndef LIVY_HA_CTL_TEXT_H
#define LIVY_HA_CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_AGE_SIZE 24

/* A malloc'ed copy in which control characters (C0, DEL, C1) are '?': what a daemon sends must not steer a
 * terminal. NULL without memory. */
char *text_clean(const char *utf8);

/* Columns on a terminal: one a code point. */
size_t text_width(const char *utf8);

/* Malloc'ed: `utf8` cut to `width` columns, in its middle ("livy-…com") or at its end. `ellipsis` is "…" or
 * "..". */
char *text_cut(const char *utf8, size_t width, bool middle, const char *ellipsis);

/* "12s", "3m12s", "5h03m", "12d4h"; a negative age counts as 0. */
void text_age(int64_t ms, char out[static TEXT_AGE_SIZE]);

/* "280ms", "1.23s", "61.0s". */
void text_took(int64_t ms, char out[static TEXT_AGE_SIZE]);

/* "250ms", "10s", "5min", "2h", "1d" in ms, above zero and below 100 days; -1 where it is none of these. */
int64_t text_duration(const char *text);

/* "2026-11-22T10:00:00.123Z" in ms since 1970; false where it is no such time. */
bool text_parse_utc(const char *text, int64_t *wall_ms);

#endif
