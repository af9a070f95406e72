/* fuzz_http_framing.c - libFuzzer: ends of bodies. The first byte chooses the kind of body, the second how
 * the bytes are split; a second reader of chunks, written on the whole text at once, says what is right.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_framing.h"

#define BOUND 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum outcome { MORE, DONE, BAD };

struct verdict {
    enum outcome outcome;
    size_t taken;
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_http_framing: %s\n", what);
    abort();
}

/* ---- the other reader
 * ------------------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *text;
    size_t n, i;
};

static struct verdict verdict(const struct reader *r, enum outcome outcome)
{
    return (struct verdict){outcome, r->i};
}

/* Goes over `c`; else tells whether it is missing or wrong. */
static bool expect(struct reader *r, char c, struct verdict *v)
{
    if (r->i == r->n || r->text[r->i] != (uint8_t)c) {
        *v = verdict(r, r->i == r->n ? MORE : BAD);
        return false;
    }
    r->i++;
    return true;
}

static bool is_text(uint8_t c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

static bool is_name(uint8_t c)
{
    return isalnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Goes over bytes that `is` likes, as many as `room` allows. False with `v` where the text or the room ends.
 */
static bool run(struct reader *r, bool (*is)(uint8_t), size_t *room, struct verdict *v)
{
    while (r->i < r->n && is(r->text[r->i])) {
        if (*room == 0) {
            *v = verdict(r, BAD);
            return false;
        }
        --*room;
        r->i++;
    }
    *v = verdict(r, MORE);
    return r->i < r->n;
}

static bool is_blank_byte(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_hex(uint8_t c)
{
    return isxdigit(c) != 0;
}

static bool chunk_line(struct reader *r, uint64_t *size, size_t *room, struct verdict *v)
{
    const size_t start = r->i;
    size_t digits = 15;
    char number[17] = "";

    if (!run(r, is_hex, &digits, v))
        return false;
    if (r->i == start) {
        *v = verdict(r, BAD);
        return false;
    }
    memcpy(number, r->text + start, r->i - start);
    *size = strtoull(number, NULL, 16);
    if (r->text[r->i] != '\r') {
        if (!run(r, is_blank_byte, room, v))
            return false;
        if (r->text[r->i] != ';') {
            *v = verdict(r, BAD);
            return false;
        }
        if (!run(r, is_text, room, v))
            return false;
    }
    return expect(r, '\r', v) && expect(r, '\n', v);
}

static bool trailer(struct reader *r, size_t *room, struct verdict *v)
{
    const size_t start = r->i;

    if (!run(r, is_name, room, v))
        return false;
    if (r->i == start || r->text[r->i] != ':' || *room == 0) {
        *v = verdict(r, BAD);
        return false;
    }
    --*room;
    r->i++;
    return run(r, is_text, room, v) && expect(r, '\r', v) && expect(r, '\n', v);
}

static struct verdict read_whole(const uint8_t *text, size_t n)
{
    struct reader r = {text, n, 0};
    struct verdict v = {MORE, 0};
    size_t extensions = BOUND, trailers = BOUND;
    uint64_t size = 1;

    while (size > 0) {
        if (!chunk_line(&r, &size, &extensions, &v))
            return v;
        if (size == 0)
            break;
        if (size > n - r.i)
            return (struct verdict){MORE, n};
        r.i += size;
        if (!expect(&r, '\r', &v) || !expect(&r, '\n', &v))
            return v;
    }
    while (r.i < n && text[r.i] != '\r') {
        if (!trailer(&r, &trailers, &v))
            return v;
    }
    return expect(&r, '\r', &v) && expect(&r, '\n', &v) ? verdict(&r, DONE) : v;
}

/* ---- the one that is tested
 * -------------------------------------------------------------------------------------- */

/* Pieces of `seed`'s choice; seed 0: all at once. */
static struct verdict feed(enum http_body body, uint64_t length, const uint8_t *text, size_t n, unsigned seed)
{
    struct http_framing framing;
    size_t at = 0;

    http_framing_begin(&framing, body, length);
    while (at < n) {
        const size_t want =
            seed == 0 || n - at < 2 ? n - at : 1 + (size_t)rand_r(&seed) % (seed % 3 == 0 ? n - at : 3);
        const size_t piece = want < n - at ? want : n - at;
        char *exact = malloc(piece);

        check(exact != NULL, "out of memory");
        memcpy(exact, text + at, piece);
        const size_t used = http_framing_feed(&framing, exact, piece);
        free(exact);
        check(used <= piece, "took more than there was");
        at += used;
        check(!(framing.done && framing.bad), "done and bad");
        if (used < piece) {
            check(framing.done || framing.bad, "left something for no reason");
            check(http_framing_feed(&framing, "0", 1) == 0, "went on after the end");
            break;
        }
    }
    return (struct verdict){framing.done ? DONE : framing.bad ? BAD : MORE, at};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct verdict right, got;
    enum http_body body;
    uint64_t length;
    unsigned seed;

    if (size < 2)
        return 0;
    length = data[0] / 4;
    seed = data[1];
    switch (data[0] % 4) {
    case 1:
        body = HTTP_BODY_NONE;
        right = (struct verdict){DONE, 0};
        break;
    case 2:
        body = HTTP_BODY_SIZED;
        right = (struct verdict){size - 2 >= length ? DONE : MORE, size - 2 >= length ? length : size - 2};
        break;
    case 3:
        body = HTTP_BODY_UNTIL_CLOSE;
        right = (struct verdict){MORE, size - 2};
        break;
    default:
        body = HTTP_BODY_CHUNKED;
        right = read_whole(data + 2, size - 2);
        break;
    }
    for (int i = 0; i < 3; i++) {
        got = feed(body, length, data + 2, size - 2, i == 0 ? 0 : seed + (unsigned)i);
        check(got.outcome == right.outcome, "another outcome than the other reader's");
        check(got.taken == right.taken, "another end than the other reader's");
    }
    return 0;
}
