/* test_http_framing.c - where bodies end: whole, and byte by byte, and cut in two at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "http_framing.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define BOUND 8192 /* of extensions, and of trailer fields */

enum outcome { MORE, DONE, BAD };

static enum outcome outcome(const struct http_framing *framing)
{
    assert_false(framing->done && framing->bad);
    return framing->done ? DONE : framing->bad ? BAD : MORE;
}

/* Feeds in pieces of `step` bytes; sums up what was taken. */
static size_t feed(struct http_framing *framing, const char *text, size_t length, size_t step)
{
    size_t taken = 0;

    for (size_t at = 0; at < length; at += step) {
        const size_t n = length - at < step ? length - at : step;
        const size_t used = http_framing_feed(framing, text + at, n);

        assert_true(used <= n);
        taken += used;
        if (used < n) {
            assert_true(framing->done || framing->bad);
            break;
        }
    }
    return taken;
}

static void check_chunked(const char *text, size_t length, enum outcome expected, size_t taken)
{
    struct http_framing framing;

    for (size_t step = 1; step <= (length > 0 ? length : 1); step++) {
        http_framing_begin(&framing, HTTP_BODY_CHUNKED, 0);
        const size_t got = feed(&framing, text, length, step);
        if (outcome(&framing) != expected || (expected != MORE && got != taken))
            fail_msg("outcome %d instead of %d, %zu bytes instead of %zu, by %zu: %s", (int)outcome(&framing),
                     (int)expected, got, taken, step, text);
        if (expected != MORE) /* nothing more is taken then */
            assert_int_equal(http_framing_feed(&framing, "0\r\n\r\n", 5), 0);
    }
}

static void test_chunked(void **state)
{
    static const struct {
        const char *text;
        enum outcome outcome;
        size_t taken;
    } cases[] = {
        {"0\r\n\r\n", DONE, 5},
        {"000\r\n\r\n", DONE, 7},
        {"5\r\nhello\r\n0\r\n\r\nGET /", DONE, 15},
        {"a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", DONE, 26},
        {"A\r\n0\r\n\r\n67890", MORE, 0}, /* what looks like the end is data */
        {"5;x\r\nhello\r\n0;y=\"z;\"\r\n\r\n", DONE, 24},
        {"5 \t;x\r\nhello\r\n0\r\n\r\n", DONE, 19},
        {"5;\r\nhello\r\n0\r\n\r\n", DONE, 16},
        {"0\r\nExpires: never\r\nA:\r\n\r\n!", DONE, 25},
        {"", MORE, 0},
        {"5", MORE, 0},
        {"5\r\nhell", MORE, 0},
        {"0\r\n", MORE, 0},
        {"0\r\n\r", MORE, 0},
        {"\r\n", BAD, 0},
        {";x\r\n", BAD, 0},
        {" 5\r\nhello", BAD, 0},
        {"+5\r\nhello", BAD, 0},
        {"-5\r\nhello", BAD, 0},
        {"0x5\r\nhello", BAD, 1},
        {"5\nhello", BAD, 1},
        {"5 \r\nhello", BAD, 2},
        {"5\r hello", BAD, 2},
        {"5;x\nhello", BAD, 3},
        {"5;\x01\r\nhello", BAD, 2},
        {"5;x\ry\r\n", BAD, 4},
        {"5\r\nhello0\r\n\r\n", BAD, 8},
        {"5\r\nhello\n0\r\n\r\n", BAD, 8},
        {"5\r\nhello\rx", BAD, 9},
        {"5\r\nhello\r\n\r\n", BAD, 10},
        {"0\r\n\n", BAD, 3},
        {"0\r\n\rx", BAD, 4},
        {"0\r\nA\r\n\r\n", BAD, 4},
        {"0\r\nA : b\r\n\r\n", BAD, 4},
        {"0\r\n folded\r\n\r\n", BAD, 3},
        {"0\r\n: b\r\n\r\n", BAD, 3},
        {"0\r\nA: b\n\r\n", BAD, 7},
        {"0\r\nA: b\x7f\r\n\r\n", BAD, 7},
        {"0\r\nA: b\rc\r\n\r\n", BAD, 8},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        check_chunked(cases[i].text, strlen(cases[i].text), cases[i].outcome, cases[i].taken);
    check_chunked("5\r\n\0\r\n\n\0\r\n0\r\n\r\n", 15, DONE, 15); /* data may be anything */
    check_chunked("5\0\r\n", 4, BAD, 1);
    check_chunked("0\r\nA:\0\r\n", 8, BAD, 5);
}

static void test_chunk_sizes(void **state)
{
    struct http_framing framing;

    (void)state;
    http_framing_begin(&framing, HTTP_BODY_CHUNKED, 0);
    assert_int_equal(http_framing_feed(&framing, "fffffffffffffff\r\nx", 18), 18);
    assert_int_equal(outcome(&framing), MORE);
    assert_int_equal(framing.left, 0xffffffffffffffe);
    http_framing_begin(&framing, HTTP_BODY_CHUNKED, 0);
    assert_int_equal(http_framing_feed(&framing, "1000000000000000\r\nx", 19), 15);
    assert_int_equal(outcome(&framing), BAD);
    http_framing_begin(&framing, HTTP_BODY_CHUNKED, 0); /* leading zeros are digits too */
    assert_int_equal(http_framing_feed(&framing, "0000000000000001\r\nx", 19), 15);
    assert_int_equal(outcome(&framing), BAD);
    /* each chunk's digits are counted anew, and its size begins at nothing */
    check_chunked("00000000000001\r\nx\r\n00000000000002\r\nxy\r\n0\r\n\r\n", 44, DONE, 44);
}

/* Bounds of what is passed over: extensions of all chunks together, and trailer fields. */
static void test_bounds(void **state)
{
    struct http_framing framing;
    char *text = malloc((size_t)3 * BOUND);

    (void)state;
    assert_non_null(text);
    for (int over = 0; over <= 1; over++) {
        http_framing_begin(&framing, HTTP_BODY_CHUNKED, 0);
        assert_int_equal(http_framing_feed(&framing, "1;23456789abcdef\r\nx\r\n1", 22),
                         22); /* 15 bytes of it */
        memset(text, 'e', BOUND);
        text[0] = ';';
        const size_t length = BOUND - 15 + (size_t)over;
        assert_int_equal(http_framing_feed(&framing, text, length), BOUND - 15);
        assert_int_equal(outcome(&framing), over ? BAD : MORE);
        if (over)
            continue;
        assert_int_equal(http_framing_feed(&framing, "\r\nx\r\n0\r\n", 8), 8);
        memcpy(text, "A:", 2);
        assert_int_equal(http_framing_feed(&framing, text, BOUND), BOUND); /* a bound of their own */
        assert_int_equal(http_framing_feed(&framing, "\r\nB:x\r\n\r\n", 9), 2);
        assert_int_equal(outcome(&framing), BAD);
    }
    free(text);
}

static void test_sized(void **state)
{
    struct http_framing framing;

    (void)state;
    for (size_t step = 1; step <= 8; step++) {
        http_framing_begin(&framing, HTTP_BODY_SIZED, 5);
        assert_int_equal(feed(&framing, "hellonext", 9, step), 5);
        assert_int_equal(outcome(&framing), DONE);
        assert_int_equal(http_framing_feed(&framing, "x", 1), 0);
    }
    http_framing_begin(&framing, HTTP_BODY_SIZED, INT64_MAX);
    assert_int_equal(http_framing_feed(&framing, "hello", 5), 5);
    assert_int_equal(framing.left, INT64_MAX - 5);
    assert_int_equal(outcome(&framing), MORE);
    http_framing_begin(&framing, HTTP_BODY_SIZED, 0);
    assert_int_equal(outcome(&framing), DONE);
}

static void test_none_and_until_close(void **state)
{
    struct http_framing framing;

    (void)state;
    http_framing_begin(&framing, HTTP_BODY_NONE, 7);
    assert_int_equal(outcome(&framing), DONE);
    assert_int_equal(http_framing_feed(&framing, "x", 1), 0);
    http_framing_begin(&framing, HTTP_BODY_UNTIL_CLOSE, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(http_framing_feed(&framing, "0\r\n\r\n", 5), 5);
        assert_int_equal(outcome(&framing), MORE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunked),
        cmocka_unit_test(test_chunk_sizes),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_sized),
        cmocka_unit_test(test_none_and_until_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
