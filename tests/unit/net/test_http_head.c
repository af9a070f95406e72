/* test_http_head.c - heads of requests: each rule of http_head.h with the heads that keep it and break it.
 * Every head lies at the end of memory that is exactly as long, so that the address sanitizer sees a byte too
 * many.
 */
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

static struct http_request request;
static char *copy; /* what `request` points into */

static int parse_bytes(const char *text, size_t length)
{
    free(copy);
    copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    return http_request_parse(copy, length, &request);
}

static int parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static int teardown(void **state)
{
    (void)state;
    free(copy);
    copy = NULL;
    return 0;
}

#define assert_status(text, expected)                                                                        \
    do {                                                                                                     \
        const int status_ = parse(text);                                                                     \
        if (status_ != (expected))                                                                           \
            fail_msg("%d instead of %d for: %s", status_, (expected), (text));                               \
    } while (0)

static void assert_span(struct http_span span, const char *text)
{
    if (span.length != strlen(text) || memcmp(span.at, text, span.length) != 0)
        fail_msg("\"%.*s\" instead of \"%s\"", (int)span.length, span.at, text);
}

static void test_whole(void **state)
{
    (void)state;
    assert_status(
        "POST /sessions/1/statements?a=%20&b=/? HTTP/1.1\r\nHost: livy.example.com:8998\r\nAccept: */*\r\n"
        "Content-Length: 12\r\nX-Odd: \t\xc3\xa4 \"\t \r\nEmpty:\r\n\r\n",
        0);
    assert_span(request.method, "POST");
    assert_span(request.target, "/sessions/1/statements?a=%20&b=/?");
    assert_span(request.path, "/sessions/1/statements?a=%20&b=/?");
    assert_span(request.host, "livy.example.com:8998");
    assert_int_equal(request.minor, 1);
    assert_true(request.keep_alive);
    assert_false(request.expects_continue);
    assert_false(request.upgrade);
    assert_false(request.is_head);
    assert_int_equal(request.body, HTTP_BODY_SIZED);
    assert_int_equal(request.length, 12);
    assert_status("HEAD / HTTP/1.0\n\n", 0);
    assert_true(request.is_head);
    assert_int_equal(request.minor, 0);
    assert_int_equal(request.host.length, 0);
    assert_int_equal(request.body, HTTP_BODY_NONE);
    assert_false(request.keep_alive);
}

static void test_absolute_form(void **state)
{
    static const struct {
        const char *head, *host, *path;
    } good[] = {
        {"GET http://h:8998/x?y HTTP/1.1\r\nHost: h:8998\r\n\r\n", "h:8998", "/x?y"},
        {"GET HTTPS://H/x HTTP/1.1\r\nHost: h\r\n\r\n", "H", "/x"},
        {"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "h", "/"},
        {"GET http://h:80/ HTTP/1.1\r\nHost: h\r\n\r\n", "h:80", "/"},
        {"GET http://h:/ HTTP/1.1\r\nHost: h:80\r\n\r\n", "h:", "/"},
        {"GET https://h/ HTTP/1.1\r\nHost: h:443\r\n\r\n", "h", "/"},
        {"GET http://[fe80::1]:8998/ HTTP/1.1\r\nHost: [FE80::1]:8998\r\n\r\n", "[fe80::1]:8998", "/"},
        {"GET http://h/x HTTP/1.0\r\n\r\n", "h", "/x"},
    };
    static const char *const bad[] = {
        "GET http://evil@host/ HTTP/1.1\r\nHost: host\r\n\r\n",
        "GET http://user:pw@host/ HTTP/1.1\r\nHost: host\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http:// HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http:/h/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h//evil HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h?y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h#y HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h/x HTTP/1.1\r\n\r\n",
        "GET http://h/x HTTP/1.1\r\nHost:\r\n\r\n",
        "GET http://h/x HTTP/1.0\r\nHost:\r\n\r\n",
        "GET http://h/x HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET http://h:443/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET https://h:80/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h:8998/x HTTP/1.1\r\nHost: h:8997\r\n\r\n",
        "GET http://[::1/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h\\@evil/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET javascript:alert(1) HTTP/1.1\r\nHost: h\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++) {
        assert_status(good[i].head, 0);
        assert_span(request.host, good[i].host);
        assert_span(request.path, good[i].path);
    }
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_status(bad[i], 400);
}

static void test_targets(void **state)
{
    static const char *const good[] = {"/",
                                       "/a/b;c=1,2/@:!$&'()*+-._~",
                                       "/?",
                                       "/%00%fF",
                                       "/a//",
                                       "/?//x",
                                       "/..",
                                       "/%2F%2fevil",
                                       "/[1]?{a}|b^c`"};
    static const char *const bad[] = {
        "",     "x",     "*",     "host:80",   "//evil", "//",  "/\\evil", "\\\\evil", "/a\\b", "/%",
        "/%4",  "/%4g",  "/%g4",  "/%%41",     "/a#b",   "/\"", "/<a>",    "/a?\\",    "/a?<",  "/a?\"",
        "/a b", "/\x7f", "/\x01", "/\xc3\xa4", "/a\tb",  "?x",  "./x",     "/a\rb",    "%2fx"};
    char head[128];

    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++) {
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", good[i]);
        assert_status(head, 0);
        assert_span(request.path, good[i]);
    }
    for (size_t i = 0; i < LENGTH(bad); i++) {
        snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", bad[i]);
        assert_status(head, 400);
        assert_span(request.method, "GET");
    }
}

static void test_request_lines(void **state)
{
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        {"OPTIONS / HTTP/1.1", 0},
        {"G!#$%&'*+-.^_`|~ET / HTTP/1.1", 0},
        {"OPTIONS * HTTP/1.1", 400},
        {"CONNECT h:443 HTTP/1.1", 400},
        {"CONNECT / HTTP/1.1", 400},
        {"PRI * HTTP/2.0", 505},
        {"GET / HTTP/2.0", 505},
        {"GET / HTTP/1.2", 505},
        {"GET / HTTP/0.9", 505},
        {"GET / HTTP/3.1", 505},
        {"GET /", 400},
        {"GET", 400},
        {"", 400},
        {"GET / ", 400},
        {"GET  / HTTP/1.1", 400},
        {"GET /  HTTP/1.1", 400},
        {"GET / HTTP/1.1 ", 400},
        {" GET / HTTP/1.1", 400},
        {"GET\t/ HTTP/1.1", 400},
        {"GET / HTTP/1.1\t", 400},
        {"GET / HTTP/1.1 x", 400},
        {"GET / http/1.1", 400},
        {"GET / HTTP/1", 400},
        {"GET / HTTP/11", 400},
        {"GET / HTTP/1.10", 400},
        {"GET / HTTP/ 1.1", 400},
        {"GET / HTTP/1,1", 400},
        {"GET / HTTP/x.1", 400},
        {"GET / RTSP/1.0", 400},
        {"G(T / HTTP/1.1", 400},
        {"G\xc3\xa4T / HTTP/1.1", 400},
        {"GET / HTTP/1.1\r", 400},
        {"GET\r / HTTP/1.1", 400},
    };
    char head[128];

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        snprintf(head, sizeof head, "%s\r\nHost: h\r\n\r\n", cases[i].line);
        assert_status(head, cases[i].status);
    }
    assert_status("HEAD / HTTP/2.0\r\nHost: h\r\n\r\n", 505);
    assert_true(request.is_head);
    assert_status("head / HTTP/1.1\r\nHost: h\r\n\r\n", 0); /* methods have case, and this is another one */
    assert_false(request.is_head);
}

/* Fields after "GET / HTTP/1.1" and a good Host, the empty line left to the case. */
static void test_field_syntax(void **state)
{
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {"A: b\r\n\r\n", 0},
        {"A:b\n\r\n", 0},
        {"A:b\r\n\n", 0},
        {"A: b c\td \xff\r\n\r\n", 0},
        {"A:\r\n\r\n", 0},
        {"A: : x\r\n\r\n", 0},
        {"A : b\r\n\r\n", 400},
        {"A\t: b\r\n\r\n", 400},
        {": b\r\n\r\n", 400},
        {"A\r\n\r\n", 400},
        {"A b: c\r\n\r\n", 400},
        {"A(: c\r\n\r\n", 400},
        {"\xc3\xa4: c\r\n\r\n", 400},
        {"A: b\r\n folded\r\n\r\n", 400},
        {"A: b\r\n\tfolded\r\n\r\n", 400},
        {"A: b\r\n \r\n\r\n", 400},
        {"A: b\rc\r\n\r\n", 400},
        {"A: b\r\r\n\r\n", 400},
        {"A: b\r\n\r\r\n", 400},
        {"\rA: b\r\n\r\n", 400},
        {"A: b\x01\r\n\r\n", 400},
        {"A: b\x1f\r\n\r\n", 400},
        {"A: b\x7f\r\n\r\n", 400},
        {"A: b\x0b\r\n\r\n", 400},
        {"A: b\r\n", 400},
        {"A: b", 400},
        {"A: b\r\n\r", 400},
        {"A: b\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400}, /* the next request is not this one's head */
        {"A: b\r\n\r\n\r\n", 400},
    };
    char head[256];

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n%s", cases[i].fields);
        assert_status(head, cases[i].status);
    }
    /* NUL, anywhere */
    static const char whole[] = "GET /x HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n";
    for (size_t i = 0; i < sizeof whole - 1; i++) {
        char text[sizeof whole];

        memcpy(text, whole, sizeof whole);
        text[i] = '\0';
        assert_int_equal(parse_bytes(text, sizeof whole - 1), 400);
    }
    /* every shorter one lacks its end */
    for (size_t i = 0; i < sizeof whole - 1; i++)
        assert_int_equal(parse_bytes(whole, i), 400);
}

static void test_hosts(void **state)
{
    static const char *const good[] = {"h",         "h.example.com",      "h:8998",  "h:",   "127.0.0.1:80",
                                       "[::1]",     "[::1]:65535",        "a_b-c.d", "[::]", "localhost.",
                                       "[fe80::1]", "[::ffff:10.0.0.1]:1"};
    static const char *const bad[] = {
        "",         "h h",     "h,h",    "h/x", "u@h",     "h:x", "h:65536",          "h:-1",
        "h:1:2",    "[::1",    "[::1]x", "[]",  "[::1]:x", "::1", "[fe80::1%25eth0]", "[v1.a]",
        "h\"",      "h\\",     "h%41",   "h?",  "h#",      ":80", "h:000080",         "[1.2.3.4]",
        "\xc3\xa4", "[::1::2]"};
    char head[128];

    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++) {
        for (int minor = 0; minor <= 1; minor++) {
            snprintf(head, sizeof head, "GET / HTTP/1.%d\r\nhOST: \t%s \r\n\r\n", minor, good[i]);
            assert_status(head, 0);
            assert_span(request.host, good[i]);
        }
    }
    for (size_t i = 0; i < LENGTH(bad); i++) {
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        assert_status(head, 400);
        snprintf(head, sizeof head, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", bad[i]);
        assert_status(head, bad[i][0] == '\0' ? 0 : 400);
    }
    assert_status("GET / HTTP/1.1\r\n\r\n", 400);
    assert_status("GET / HTTP/1.0\r\n\r\n", 0);
    assert_status("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400);
    assert_status("GET / HTTP/1.1\r\nHost: h\r\nHOST: other\r\n\r\n", 400);
    assert_status("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", 400);
}

static void test_lengths(void **state)
{
    static const struct {
        const char *fields;
        int status;
        enum http_body body;
        uint64_t length;
    } cases[] = {
        {"Content-Length: 0", 0, HTTP_BODY_NONE, 0},
        {"Content-Length: 5", 0, HTTP_BODY_SIZED, 5},
        {"content-LENGTH:0005\t", 0, HTTP_BODY_SIZED, 5},
        {"Content-Length: 9223372036854775807", 0, HTTP_BODY_SIZED, INT64_MAX},
        {"Content-Length: 9223372036854775808", 400, 0, 0},
        {"Content-Length: 18446744073709551616", 400, 0, 0},
        {"Content-Length: 99999999999999999999999999", 400, 0, 0},
        {"Content-Length:", 400, 0, 0},
        {"Content-Length: -1", 400, 0, 0},
        {"Content-Length: +1", 400, 0, 0},
        {"Content-Length: 0x5", 400, 0, 0},
        {"Content-Length: 5 5", 400, 0, 0},
        {"Content-Length: 5, 5", 400, 0, 0},
        {"Content-Length: 5,", 400, 0, 0},
        {"Content-Length: 5.0", 400, 0, 0},
        {"Content-Length: \xd9\xa5", 400, 0, 0},
        {"Content-Length: 5\r\nContent-Length: 5", 400, 0, 0},
        {"Content-Length: 5\r\nContent-Length: 6", 400, 0, 0},
        {"Content-Length: 0\r\nContent-Length: 0", 400, 0, 0},
        {"Content-Length : 5", 400, 0, 0},
        {"Content_Length: 5", 0, HTTP_BODY_NONE, 0},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked", 400, 0, 0},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5", 400, 0, 0},
        {"Transfer-Encoding: chunked\r\nContent-Length: 0", 400, 0, 0},
        {"Transfer-Encoding: chunked", 0, HTTP_BODY_CHUNKED, 0},
        {"transfer-encoding:\tChunKED ", 0, HTTP_BODY_CHUNKED, 0},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400, 0, 0},
        {"Transfer-Encoding: chunked, chunked", 400, 0, 0},
        {"Transfer-Encoding: chunked,", 400, 0, 0},
        {"Transfer-Encoding: ,chunked", 400, 0, 0},
        {"Transfer-Encoding:", 400, 0, 0},
        {"Transfer-Encoding: chunked, identity", 501, 0, 0},
        {"Transfer-Encoding: identity", 501, 0, 0},
        {"Transfer-Encoding: gzip, chunked", 501, 0, 0},
        {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501, 0, 0},
        {"Transfer-Encoding: xchunked", 501, 0, 0},
        {"Transfer-Encoding: chunkedx", 501, 0, 0},
        {"Transfer-Encoding: chunked;q=1", 400, 0, 0},
        {"Transfer-Encoding: \"chunked\"", 400, 0, 0},
        {"Transfer-Encoding: chunked chunked", 400, 0, 0},
        {"Transfer-Encoding: \x0b"
         "chunked",
         400, 0, 0},
        {"Transfer-Encoding : chunked", 400, 0, 0},
        {"X: y\r\n Transfer-Encoding: chunked", 400, 0, 0},
    };
    char head[256];

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", cases[i].fields);
        assert_status(head, cases[i].status);
        if (cases[i].status != 0)
            continue;
        assert_int_equal(request.body, cases[i].body);
        assert_int_equal(request.length, cases[i].length);
    }
    assert_status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    assert_status("POST / HTTP/1.0\r\nContent-Length: 7\r\n\r\n", 0);
    assert_int_equal(request.length, 7);
}

static void test_expect(void **state)
{
    (void)state;
    assert_status("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n", 0);
    assert_true(request.expects_continue);
    assert_status("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 0);
    assert_false(request.expects_continue);
    assert_status("POST / HTTP/1.1\r\nHost: h\r\nExpect: money\r\n\r\n", 417);
    assert_status("POST / HTTP/1.1\r\nHost: h\r\nExpect:\r\n\r\n", 417);
    assert_status("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue, money\r\n\r\n", 417);
}

static void test_connection(void **state)
{
    static const struct {
        const char *fields;
        bool on_10, on_11;
    } cases[] = {
        {"A: b", false, true},
        {"Connection: close", false, false},
        {"Connection: Close", false, false},
        {"Connection: keep-alive", true, true},
        {"Connection: Keep-Alive", true, true},
        {"connection: x, KEEP-alive ,y", true, true},
        {"Connection: keep-alive, close", false, false},
        {"Connection: close\r\nConnection: keep-alive", false, false},
        {"Connection: te\r\nConnection: close", false, false},
        {"Connection: ,, keep-alive,", true, true},
        {"Connection:", false, true},
        {"Connection: closed, keep-alives", false, true},
    };
    char head[256];

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        snprintf(head, sizeof head, "GET / HTTP/1.0\r\n%s\r\n\r\n", cases[i].fields);
        assert_status(head, 0);
        assert_int_equal(request.keep_alive, cases[i].on_10);
        snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n", cases[i].fields);
        assert_status(head, 0);
        assert_int_equal(request.keep_alive, cases[i].on_11);
        assert_false(request.upgrade);
    }
    assert_status("GET / HTTP/1.1\r\nHost: h\r\nConnection: a b\r\n\r\n", 400);
    assert_status("GET / HTTP/1.1\r\nHost: h\r\nConnection: close;\r\n\r\n", 400);
    assert_status(
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", 0);
    assert_true(request.upgrade);
    assert_true(request.keep_alive);
    assert_status("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", 0);
    assert_false(request.upgrade);
    assert_status("GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", 0);
    assert_false(request.upgrade);
}

/* The end is found for any split of the bytes, and what follows is not part of the head. */
static void test_end(void **state)
{
    static const struct {
        const char *text;
        size_t end;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", 27},
        {"GET / HTTP/1.0\n\nx", 16},
        {"GET / HTTP/1.0\r\n\nx", 17},
        {"GET / HTTP/1.0\n\r\nx", 17},
        {"GET / HTTP/1.0\r\n\r\r\n", 0},
        {"GET / HTTP/1.0\r\n", 0},
        {"GET / HTTP/1.0\n\r", 0},
        {"\r\n\r\n", 4},
        {"\n\n", 2},
        {"\n", 0},
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const size_t length = strlen(cases[i].text);
        size_t searched = 0, end = 0;

        for (size_t n = 0; n <= length && end == 0; n++) {
            end = http_head_end(cases[i].text, n, &searched);
            assert_int_equal(end, cases[i].end != 0 && n >= cases[i].end ? cases[i].end : 0);
        }
        assert_int_equal(end, cases[i].end);
        searched = 0;
        assert_int_equal(http_head_end(cases[i].text, length, &searched), cases[i].end);
    }
    /* pipelined: the second head is whole on its own */
    size_t searched = 0;
    const char *second = cases[0].text + 27;
    assert_int_equal(http_head_end(second, strlen(second), &searched), 28);
    assert_int_equal(parse_bytes(second, 28), 0);
    assert_span(request.path, "/2");
}

/* A head of a megabyte in one field, and one in very many: no bound is the parser's business. */
static void test_long(void **state)
{
    const size_t size = 1 << 20;
    char *text = malloc(size + 64);
    size_t length = 0;

    (void)state;
    assert_non_null(text);
    length = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    memset(text + length, 'x', size);
    memcpy(text + length + size, "\r\n\r\n", 4);
    assert_int_equal(parse_bytes(text, length + size + 4), 0);
    length = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
    while (length < size)
        length += (size_t)sprintf(text + length, "A:b\r\n");
    length += (size_t)sprintf(text + length, "\r\n");
    assert_int_equal(parse_bytes(text, length), 0);
    free(text);
}

static void test_path_decode(void **state)
{
    static const struct {
        const char *path, *decoded;
    } cases[] = {
        {"/cl%75ster?a=%zz", "/cluster"},
        {"/%2F%2e%c3%A4", "//.\xc3\xa4"},
        {"/a+b", "/a+b"},
        {"/?x", "/"},
        {"/%00", NULL},
        {"/a%", NULL},
        {"/a%4", NULL},
        {"/%gg", NULL},
        {"/%4?1", NULL},
        {"", ""},
    };
    char out[16];

    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char *exact = malloc(strlen(cases[i].path) + 1);
        const struct http_span span = {exact, strlen(cases[i].path)};

        assert_non_null(exact);
        memcpy(exact, cases[i].path, span.length);
        assert_int_equal(http_path_decode(span, out, sizeof out), cases[i].decoded != NULL);
        if (cases[i].decoded != NULL)
            assert_string_equal(out, cases[i].decoded);
        free(exact);
    }
    assert_true(http_path_decode((struct http_span){"/2345", 5}, out, 6));
    assert_false(http_path_decode((struct http_span){"/2345", 5}, out, 5));
    assert_true(http_path_decode((struct http_span){"/%41?", 5}, out, 3));
    assert_false(http_path_decode((struct http_span){"/", 1}, out, 1));
    assert_false(http_path_decode((struct http_span){"", 0}, out, 0));
}

static void test_phrases(void **state)
{
    (void)state;
    assert_string_equal(http_phrase(404), "Not Found");
    assert_string_equal(http_phrase(307), "Temporary Redirect");
    assert_string_equal(http_phrase(299), "Status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),        cmocka_unit_test(test_absolute_form),
        cmocka_unit_test(test_targets),      cmocka_unit_test(test_request_lines),
        cmocka_unit_test(test_field_syntax), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_lengths),      cmocka_unit_test(test_expect),
        cmocka_unit_test(test_connection),   cmocka_unit_test(test_end),
        cmocka_unit_test(test_long),         cmocka_unit_test(test_path_decode),
        cmocka_unit_test(test_phrases),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
