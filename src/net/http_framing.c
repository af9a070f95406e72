/* http_framing.c - see http_framing.h: one state machine over the bytes of a chunked body, and two counters
 * for the other kinds. Keeps nothing of what passes; no allocation, no libevent.
 */
#include "http_framing.h"

#include "livy-ha/hex.h"

#define SIZE_DIGITS 15 /* hex: cannot overflow */
#define LINE_MAX_BYTES 8192u

enum state {
    CHUNK_START, /* the first digit of a size */
    CHUNK_SIZE,
    CHUNK_BLANK, /* blanks after the size: an extension must follow (RFC 9112, 7.1.1) */
    CHUNK_EXTENSION,
    CHUNK_LINE_END, /* the LF */
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_START,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LINE_END,
    TRAILER_LAST_LF,
};

void http_framing_begin(struct http_framing *framing, enum http_body body, uint64_t length)
{
    *framing = (struct http_framing){.body = body, .state = CHUNK_START};
    switch (body) {
    case HTTP_BODY_NONE:
        framing->done = true;
        break;
    case HTTP_BODY_SIZED:
        framing->left = length;
        framing->done = length == 0;
        break;
    case HTTP_BODY_CHUNKED:
    case HTTP_BODY_UNTIL_CLOSE:
        break;
    }
}

static bool is_text(char c)
{
    return ((unsigned char)c >= ' ' || c == '\t') && c != 0x7f;
}

static bool is_name(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    for (const char *other = "!#$%&'*+-.^_`|~"; *other != '\0'; other++) {
        if (c == *other)
            return true;
    }
    return false;
}

/* A byte of an extension or a trailer field; false where there were too many. */
static bool count(struct http_framing *framing)
{
    return ++framing->line <= LINE_MAX_BYTES;
}

/* One byte of a size's line. The state to go on in, or -1: not well-formed. */
static int step_size(struct http_framing *framing, char c)
{
    const int digit = hex_digit(c);

    if (framing->state <= CHUNK_SIZE && digit >= 0) {
        framing->left = framing->left * 16 + (uint64_t)digit;
        return ++framing->digits <= SIZE_DIGITS ? CHUNK_SIZE : -1;
    }
    if (framing->state == CHUNK_START)
        return -1;
    if (c == '\r')
        return framing->state != CHUNK_BLANK ? CHUNK_LINE_END : -1;
    if (framing->state == CHUNK_EXTENSION)
        return is_text(c) && count(framing) ? CHUNK_EXTENSION : -1;
    if (c == ';')
        return count(framing) ? CHUNK_EXTENSION : -1;
    return (c == ' ' || c == '\t') && count(framing) ? CHUNK_BLANK : -1;
}

/* One byte of what follows the last chunk. */
static int step_trailer(struct http_framing *framing, char c)
{
    switch ((enum state)framing->state) {
    case TRAILER_START:
        if (c == '\r')
            return TRAILER_LAST_LF;
        return is_name(c) && count(framing) ? TRAILER_NAME : -1;
    case TRAILER_NAME:
        if (!count(framing))
            return -1;
        return c == ':' ? TRAILER_VALUE : is_name(c) ? TRAILER_NAME : -1;
    case TRAILER_VALUE:
        if (c == '\r')
            return TRAILER_LINE_END;
        return is_text(c) && count(framing) ? TRAILER_VALUE : -1;
    case TRAILER_LINE_END:
        return c == '\n' ? TRAILER_START : -1;
    case TRAILER_LAST_LF:
        framing->done = c == '\n';
        return framing->done ? TRAILER_LAST_LF : -1;
    case CHUNK_START:
    case CHUNK_SIZE:
    case CHUNK_BLANK:
    case CHUNK_EXTENSION:
    case CHUNK_LINE_END:
    case CHUNK_DATA:
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF:
        break;
    }
    return -1;
}

/* One byte that is no data. */
static int step(struct http_framing *framing, char c)
{
    switch ((enum state)framing->state) {
    case CHUNK_START:
    case CHUNK_SIZE:
    case CHUNK_BLANK:
    case CHUNK_EXTENSION:
        return step_size(framing, c);
    case CHUNK_LINE_END:
        if (c != '\n')
            return -1;
        if (framing->left > 0)
            return CHUNK_DATA;
        framing->line = 0; /* the trailer fields have a bound of their own */
        return TRAILER_START;
    case CHUNK_DATA_CR:
        return c == '\r' ? CHUNK_DATA_LF : -1;
    case CHUNK_DATA_LF:
        framing->digits = 0;
        return c == '\n' ? CHUNK_START : -1;
    case TRAILER_START:
    case TRAILER_NAME:
    case TRAILER_VALUE:
    case TRAILER_LINE_END:
    case TRAILER_LAST_LF:
        return step_trailer(framing, c);
    case CHUNK_DATA:
        break;
    }
    return -1;
}

/* Passes over at most `n` bytes of a body or chunk. */
static size_t pass(struct http_framing *framing, size_t n)
{
    if (framing->left < n)
        n = (size_t)framing->left;
    framing->left -= n;
    return n;
}

static size_t feed_chunked(struct http_framing *framing, const char *bytes, size_t n)
{
    size_t used = 0;

    while (used < n && !framing->done) {
        int state;

        if (framing->state == CHUNK_DATA) {
            used += pass(framing, n - used);
            if (framing->left == 0)
                framing->state = CHUNK_DATA_CR;
            continue;
        }
        state = step(framing, bytes[used]);
        if (state < 0) {
            framing->bad = true;
            break;
        }
        framing->state = state;
        used++;
    }
    return used;
}

size_t http_framing_feed(struct http_framing *framing, const char *bytes, size_t n)
{
    if (framing->done || framing->bad)
        return 0;
    switch (framing->body) {
    case HTTP_BODY_NONE:
        break;
    case HTTP_BODY_SIZED:
        n = pass(framing, n);
        framing->done = framing->left == 0;
        return n;
    case HTTP_BODY_CHUNKED:
        return feed_chunked(framing, bytes, n);
    case HTTP_BODY_UNTIL_CLOSE:
        return n;
    }
    return 0;
}
