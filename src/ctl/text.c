/* text.c - see text.h. */
#include "text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

char *text_clean(const char *utf8)
{
    char *copy = strdup(utf8);

    if (copy == NULL)
        return NULL;
    for (unsigned char *c = (unsigned char *)copy; *c != '\0'; c++) {
        if (*c < ' ' || *c == 0x7f)
            *c = '?';
        else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f) /* U+0080 to U+009F */
            c[0] = c[1] = '?';
    }
    return copy;
}

static bool starts_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

size_t text_width(const char *utf8)
{
    size_t width = 0;

    for (; *utf8 != '\0'; utf8++)
        width += starts_character(*utf8) ? 1 : 0;
    return width;
}

/* The byte at which character number `n` begins. */
static size_t offset_of(const char *utf8, size_t n)
{
    size_t i = 0;

    for (;; i++) {
        if (utf8[i] == '\0')
            return i;
        if (starts_character(utf8[i]) && n-- == 0)
            return i;
    }
}

char *text_cut(const char *utf8, size_t width, bool middle, const char *ellipsis)
{
    const size_t full = text_width(utf8);
    const size_t mark = text_width(ellipsis);
    size_t head;
    size_t tail;
    char *cut;
    size_t size;

    if (full <= width)
        return strdup(utf8);
    if (width <= mark)
        return strndup(utf8, offset_of(utf8, width));
    tail = middle ? (width - mark) / 2 : 0;
    head = width - mark - tail;
    size = strlen(utf8) + strlen(ellipsis) + 1;
    cut = malloc(size);
    if (cut != NULL)
        (void)snprintf(cut, size, "%.*s%s%s", (int)offset_of(utf8, head), utf8, ellipsis,
                       utf8 + offset_of(utf8, full - tail));
    return cut;
}

void text_age(int64_t ms, char out[static TEXT_AGE_SIZE])
{
    const int64_t s = ms > 0 ? ms / 1000 : 0;

    if (s < 60)
        (void)snprintf(out, TEXT_AGE_SIZE, "%" PRId64 "s", s);
    else if (s < 3600)
        (void)snprintf(out, TEXT_AGE_SIZE, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(out, TEXT_AGE_SIZE, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(out, TEXT_AGE_SIZE, "%" PRId64 "d%" PRId64 "h", s / 86400, s / 3600 % 24);
}

void text_took(int64_t ms, char out[static TEXT_AGE_SIZE])
{
    if (ms < 0)
        ms = 0;
    if (ms < 1000)
        (void)snprintf(out, TEXT_AGE_SIZE, "%" PRId64 "ms", ms);
    else if (ms < 10000)
        (void)snprintf(out, TEXT_AGE_SIZE, "%.2fs", (double)ms / 1000);
    else
        (void)snprintf(out, TEXT_AGE_SIZE, "%.1fs", (double)ms / 1000);
}

int64_t text_duration(const char *text)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    const int64_t most = INT64_C(100) * 86400000;
    const size_t digits = strspn(text, "0123456789");
    int64_t number;

    if (digits == 0 || digits > 12)
        return -1;
    number = strtoll(text, NULL, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + digits, units[i].unit) == 0)
            return number > 0 && number < most / units[i].ms ? number * units[i].ms : -1;
    }
    return -1;
}

bool text_parse_utc(const char *text, int64_t *wall_ms)
{
    struct tm tm = {.tm_isdst = 0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t ms = 0;
    time_t seconds;

    if (rest == NULL)
        return false;
    if (*rest == '.') {
        int64_t scale = 100;
        for (rest++; isdigit((unsigned char)*rest); rest++, scale /= 10)
            ms += (*rest - '0') * scale;
    }
    if (strcmp(rest, "Z") != 0)
        return false;
    seconds = timegm(&tm);
    *wall_ms = (int64_t)seconds * 1000 + ms;
    return true;
}
