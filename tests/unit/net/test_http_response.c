/* test_http_response.c - heads of answers: where the body ends, and whether the connection goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_head.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct http_response response;

static bool parse(const char *text, bool to_head)
{
    const size_t length = strlen(text);
    char *copy = malloc(length > 0 ? length : 1); /* as long as it is: the sanitizer sees a byte too many */
    bool ok;

    assert_non_null(copy);
    memcpy(copy, text, length);
    ok = http_response_parse(copy, length, to_head, &response);
    free(copy);
    return ok;
}

static void test_bodies(void **state)
{
    static const struct {
        const char *head;
        enum http_body body;
        uint64_t length;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_SIZED, 5, true},
        {"HTTP/1.1 200 OK\nContent-Length: 5\n\n", HTTP_BODY_SIZED, 5, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", HTTP_BODY_CHUNKED, 0, true},
        {"HTTP/1.1 200 OK\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 500 \r\nContent-Length: 1\r\n\r\n", HTTP_BODY_SIZED, 1, true},
        {"HTTP/1.1 500\r\nContent-Length: 1\r\n\r\n", HTTP_BODY_SIZED, 1, true},
        {"HTTP/1.1 404 Nicht \xc3\xa4 da\r\nContent-Length: 1\r\n\r\n", HTTP_BODY_SIZED, 1, true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x\r\nConnection: y, CLOSE\r\n\r\n",
         HTTP_BODY_SIZED, 5, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_BODY_SIZED, 5, false},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n", HTTP_BODY_SIZED, 5, true},
        {"HTTP/1.0 200 OK\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 100 Continue\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_BODY_NONE, 0, true},
        {"HTTP/1.1 205 Reset\r\n\r\n", HTTP_BODY_UNTIL_CLOSE, 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nHost: a\r\nHost: b\r\nExpect: x\r\n\r\n", HTTP_BODY_SIZED,
         1, true},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        if (!parse(cases[i].head, false))
            fail_msg("refused: %s", cases[i].head);
        if (response.body != cases[i].body || response.length != cases[i].length ||
            response.keep_alive != cases[i].keep_alive)
            fail_msg("body %d of %llu, keep-alive %d: %s", (int)response.body,
                     (unsigned long long)response.length, response.keep_alive, cases[i].head);
        assert_int_equal(response.status, (int)strtol(cases[i].head + 9, NULL, 10));
        assert_int_equal(response.minor, cases[i].head[7] - '0');
    }
}

static void test_to_head(void **state)
{
    (void)state;
    assert_true(parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true));
    assert_int_equal(response.body, HTTP_BODY_NONE);
    assert_true(response.keep_alive);
    assert_true(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true));
    assert_int_equal(response.body, HTTP_BODY_NONE);
    assert_true(parse("HTTP/1.1 200 OK\r\n\r\n", true));
    assert_int_equal(response.body, HTTP_BODY_NONE);
    assert_true(response.keep_alive); /* there is no body that the end of the connection would end */
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 \r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nbody",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        if (parse(bad[i], false))
            fail_msg("taken: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_to_head),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
