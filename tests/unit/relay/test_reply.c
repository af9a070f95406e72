/* The relay's own answers, read back with the parser of answers; buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "http_head.h"
#include "reply.h"

/* Checks what every answer has; returns its body's length. */
static size_t parse(const struct buf *text, bool head, int status, struct http_response *response)
{
    size_t searched = 0, end = http_head_end(text->data, text->length, &searched);

    assert_true(end > 0);
    assert_true(http_response_parse(text->data, end, head, response));
    assert_int_equal(response->status, status);
    assert_false(response->keep_alive);
    if (!head)
        assert_int_equal(response->length, text->length - end);
    return text->length - end;
}

static bool has(const struct buf *text, const char *part)
{
    return memmem(text->data, text->length, part, strlen(part)) != NULL;
}

static void errors(void **state)
{
    struct buf text = {0};
    struct http_response response;

    (void)state;
    assert_true(reply_error(&text, 503, "say \"no\"\n\\", true, false));
    assert_true(parse(&text, false, 503, &response) > 0);
    assert_true(has(&text, "{\"error\":\"say \\\"no\\\"\\u000a\\\\\"}"));
    assert_true(has(&text, "Retry-After: 1\r\n"));
    buf_clear(&text);
    assert_true(reply_error(&text, 400, "x", false, true));
    assert_int_equal(parse(&text, true, 400, &response), 0);
    assert_false(has(&text, "Retry-After"));
    assert_true(has(&text, "Content-Length: 14\r\n"));
    buf_clear(&text);
    /* A sentence of any length stays a well-formed answer. */
    char *long_one = malloc(5000);
    assert_non_null(long_one);
    memset(long_one, '"', 4999);
    long_one[4999] = '\0';
    assert_true(reply_error(&text, 502, long_one, false, false));
    assert_true(parse(&text, false, 502, &response) < 1200);
    assert_memory_equal(text.data + text.length - 3, "\"}\n", 3);
    free(long_one);
    buf_clear(&text);
}

static void redirects(void **state)
{
    struct buf text = {0};
    struct http_response response;
    const char path[] = "/a?b=%20&c";

    (void)state;
    assert_true(reply_redirect(&text, "http://b:8998", "livy-b", path, strlen(path), false));
    assert_true(parse(&text, false, 307, &response) > 0);
    assert_true(has(&text, "\r\nLocation: http://b:8998/a?b=%20&c\r\n"));
    assert_true(has(&text, "\r\nX-Livy-HA-Active: livy-b\r\n"));
    assert_true(has(&text, "\r\nCache-Control: no-store\r\n"));
    assert_true(has(&text, "\r\n\r\nThis is a standby Livy Instance."));
    buf_clear(&text);
    assert_true(reply_redirect(&text, "http://b:8998", "livy-b", path, strlen(path), true));
    assert_int_equal(parse(&text, true, 307, &response), 0);
    buf_clear(&text);
}

static void buffers(void **state)
{
    struct buf buf = {0};
    char in[3000], out[200000];
    size_t put = 0, got = 0;

    (void)state;
    for (size_t turn = 0; turn < 2000; turn++) {
        size_t n = (turn * 7919) % sizeof(in);
        for (size_t i = 0; i < n; i++)
            in[i] = (char)((put + i) % 251);
        if (put + n < sizeof(out)) {
            assert_true(buf_append(&buf, in, n));
            put += n;
        }
        n = (turn * 104729) % 2900;
        if (n > buf.length)
            n = buf.length;
        if (n > 0)
            memcpy(out + got, buf.data, n);
        buf_consume(&buf, n);
        got += n;
    }
    assert_int_equal(put - got, buf.length);
    if (buf.length > 0)
        memcpy(out + got, buf.data, buf.length);
    for (size_t i = 0; i < put; i++)
        assert_int_equal((unsigned char)out[i], i % 251);
    buf_consume(&buf, buf.length);
    assert_null(buf.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors),
        cmocka_unit_test(redirects),
        cmocka_unit_test(buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
