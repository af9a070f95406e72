/* fuzz_http_head.c - libFuzzer: heads of requests and answers, and paths, on any bytes.
 *
 * A head that is taken has one meaning: its spans lie in it, a naive reader of its lines finds the same body,
 * what is rendered anew from the spans is taken as the same, and none of the changes that make it ambiguous
 * (a second Host, another length, a blank before a colon, a control byte anywhere, more or less text) leaves
 * it acceptable.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_head.h"

#define TEXT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_http_head: %s\n", what);
    abort();
}

/* Memory of exactly this size: the address sanitizer sees a byte too many. */
static char *copy_of(const char *text, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);

    check(copy != NULL, "out of memory");
    memcpy(copy, text, length);
    return copy;
}

static int parse_request(const char *text, size_t length)
{
    struct http_request request;
    char *copy = copy_of(text, length);
    const int status = http_request_parse(copy, length, &request);

    free(copy);
    return status;
}

/* ---- a naive reader: the lines whose names these are
 * --------------------------------------------------------- */

struct naive {
    int hosts, lengths, codings;
    uint64_t length; /* the last Content-Length's value, however many zeros it begins with */
};

static struct naive read_naively(const char *text, size_t length)
{
    struct naive naive = {0};
    char *copy = malloc(length + 1), *rest = NULL;

    check(copy != NULL, "out of memory");
    memcpy(copy, text, length);
    copy[length] = '\0';
    for (char *line = strtok_r(copy, "\r\n", &rest); line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
        naive.hosts += strncasecmp(line, "host:", 5) == 0;
        naive.codings += strncasecmp(line, "transfer-encoding:", 18) == 0;
        if (strncasecmp(line, "content-length:", 15) != 0)
            continue;
        naive.lengths++;
        naive.length = strtoull(line + 15, NULL, 10);
    }
    free(copy);
    return naive;
}

static void check_body(const struct naive *naive, enum http_body body, uint64_t length)
{
    check(naive->lengths + naive->codings <= 1, "two fields that say where the body ends");
    check((body == HTTP_BODY_CHUNKED) == (naive->codings == 1), "chunked or not?");
    if (naive->lengths == 1)
        check(naive->length == length, "another Content-Length");
    check((body == HTTP_BODY_SIZED) == (length > 0), "sized or not?");
}

/* ---- requests
 * -------------------------------------------------------------------------------------------------- */

static bool inside(struct http_span span, const char *text, size_t length)
{
    return span.length == 0 || (span.at >= text && span.at + span.length <= text + length);
}

static bool same(struct http_span a, struct http_span b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

static void check_rendered(const struct http_request *request)
{
    static char text[3 * TEXT_MAX];
    struct http_request again;
    int length =
        snprintf(text, sizeof text, "%.*s %.*s HTTP/1.%d\r\n", (int)request->method.length,
                 request->method.at, (int)request->target.length, request->target.at, request->minor);

    if (request->host.length > 0)
        length += sprintf(text + length, "Host: %.*s\r\n", (int)request->host.length, request->host.at);
    if (request->body == HTTP_BODY_SIZED)
        length += sprintf(text + length, "Content-Length: %llu\r\n", (unsigned long long)request->length);
    if (request->body == HTTP_BODY_CHUNKED)
        length += sprintf(text + length, "Transfer-Encoding: chunked\r\n");
    if (request->expects_continue)
        length += sprintf(text + length, "Expect: 100-continue\r\n");
    if (request->upgrade)
        length += sprintf(text + length, "Connection: upgrade\r\n");
    length += sprintf(text + length, "Connection: %s\r\n\r\n", request->keep_alive ? "keep-alive" : "close");
    check(http_request_parse(text, (size_t)length, &again) == 0, "refused once it is rendered anew");
    check(same(again.method, request->method) && same(again.target, request->target) &&
              same(again.path, request->path) && same(again.host, request->host),
          "other spans once it is rendered anew");
    check(again.minor == request->minor && again.keep_alive == request->keep_alive &&
              again.expects_continue == request->expects_continue && again.upgrade == request->upgrade &&
              again.is_head == request->is_head && again.body == request->body &&
              again.length == request->length,
          "another meaning once it is rendered anew");
}

/* The head with `line` after its first line. */
static int with_line(const char *text, size_t length, const char *line)
{
    static char changed[TEXT_MAX + 128];
    const size_t first = (size_t)((const char *)memchr(text, '\n', length) - text) + 1, n = strlen(line);

    memcpy(changed, text, first);
    memcpy(changed + first, line, n);
    memcpy(changed + first + n, text + first, length - first);
    return parse_request(changed, length + n);
}

static void check_changes(const char *text, size_t length, const struct http_request *request)
{
    static char changed[TEXT_MAX + 8];
    static const char control[] = {'\0', '\x01', '\x0b', '\x1f', '\x7f'};
    size_t colon = (size_t)((const char *)memchr(text, '\n', length) - text);

    if (request->minor == 1)
        check(with_line(text, length, "Host: h\r\n") != 0, "taken with a second Host");
    check(with_line(text, length, "Content-Length: 1\r\nContent-Length: 1\r\n") != 0,
          "taken with two lengths");
    check(with_line(text, length, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n") != 0,
          "taken with a length and a coding");
    if (request->body != HTTP_BODY_NONE)
        check(with_line(text, length, "Transfer-Encoding: chunked\r\n") != 0, "taken with another body");
    check(with_line(text, length, " folded\r\n") != 0, "taken with a line that begins with a blank");
    check(with_line(text, length, "\r\n") != 0, "taken with an empty line before its end");
    /* at many places a control byte in place of what is there */
    for (size_t i = length % 7; i < length; i += 1 + length / 32) {
        memcpy(changed, text, length);
        changed[i] = control[i % sizeof control];
        check(parse_request(changed, length) != 0, "taken with a control byte");
    }
    while (colon < length && text[colon] != ':') /* the first field's, if there is one */
        colon++;
    if (colon < length) {
        memcpy(changed, text, colon);
        changed[colon] = ' ';
        memcpy(changed + colon + 1, text + colon, length - colon);
        check(parse_request(changed, length + 1) != 0, "taken with a blank before a colon");
    }
    memcpy(changed, text, length);
    changed[length] = '\n';
    check(parse_request(changed, length + 1) != 0, "taken with more behind its end");
    check(parse_request(text, length - 1) != 0, "taken without its end");
}

static void fuzz_request(const char *text, size_t length)
{
    struct http_request request;
    struct naive naive;
    const int status = http_request_parse(text, length, &request);

    check(inside(request.method, text, length), "the method lies outside of the text");
    if (status != 0) {
        check(status == 400 || status == 417 || status == 501 || status == 505, "an unknown status");
        return;
    }
    check(inside(request.target, text, length) && inside(request.host, text, length),
          "a span outside of the text");
    check(inside(request.path, text, length) || same(request.path, (struct http_span){"/", 1}),
          "the path lies outside of the text");
    check(request.method.length > 0 && request.path.length > 0 && request.path.at[0] == '/', "no path");
    check(request.path.length < 2 || (request.path.at[1] != '/' && request.path.at[1] != '\\'), "//evil");
    check(request.minor == 0 || request.host.length > 0, "no host");
    check(memchr(text, '\0', length) == NULL, "NUL");
    for (size_t i = 0; i < length; i++)
        check(text[i] != '\r' || (i + 1 < length && text[i + 1] == '\n'), "a bare CR");
    naive = read_naively(text, length);
    check(naive.hosts <= 1, "two Hosts");
    check_body(&naive, request.body, request.length);
    check_rendered(&request);
    check_changes(text, length, &request);
}

/* ---- the rest
 * --------------------------------------------------------------------------------------------------- */

static void fuzz_response(const char *text, size_t length, bool to_head)
{
    struct http_response response;
    struct naive naive;

    if (!http_response_parse(text, length, to_head, &response))
        return;
    check(response.status >= 100 && response.status < 600, "an impossible status");
    naive = read_naively(text, length);
    check(naive.lengths + naive.codings <= 1, "two fields that say where the answer ends");
    if (to_head || response.status < 200 || response.status == 204 || response.status == 304)
        check(response.body == HTTP_BODY_NONE && response.length == 0, "a body where none can be");
    else if (response.body == HTTP_BODY_UNTIL_CLOSE)
        check(!response.keep_alive && naive.lengths + naive.codings == 0, "until the end of what?");
    else
        check_body(&naive, response.body, response.length);
}

static void fuzz_end(const char *text, size_t length)
{
    size_t searched = 0, split = 0, whole, whole_searched = 0;

    whole = http_head_end(text, length, &whole_searched);
    check(whole <= length && (whole == 0 || text[whole - 1] == '\n'), "the head's end is none");
    for (size_t n = 0; n <= length && split == 0; n += 1 + length % 5)
        split = http_head_end(text, n, &searched);
    if (split == 0)
        split = http_head_end(text, length, &searched);
    check(split == whole, "another end by pieces");
    if (whole > 0 && whole < length)
        check(parse_request(text, length) != 0, "taken with what follows it");
}

static void fuzz_path(const char *text, size_t length)
{
    char *out = malloc(length + 1), *tight;
    size_t n;

    check(out != NULL, "out of memory");
    if (http_path_decode((struct http_span){text, length}, out, length + 1)) {
        n = strlen(out);
        check(n <= length, "a path grew");
        tight = malloc(n + 1);
        check(tight != NULL && http_path_decode((struct http_span){text, length}, tight, n + 1),
              "does not fit");
        check(strcmp(out, tight) == 0, "another path");
        check(!http_path_decode((struct http_span){text, length}, tight, n), "fits where it cannot");
        free(tight);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size > TEXT_MAX)
        return 0;
    text = copy_of((const char *)data, size);
    fuzz_request(text, size);
    fuzz_response(text, size, false);
    fuzz_response(text, size, true);
    fuzz_end(text, size);
    fuzz_path(text, size);
    free(text);
    return 0;
}
