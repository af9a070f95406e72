/* http_head.c - see http_head.h: request and status lines, fields, and what they say about the message's body
 * and its connection. Works on the caller's text alone; no allocation, no libevent.
 */
#include "http_head.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "livy-ha/hex.h"

#define PORT_MAX 65535

/* What the fields have said so far; request and answer alike. */
struct fields {
    struct http_span host;
    uint64_t length;
    bool has_host, has_length, chunked;
    bool close, keep_alive, upgrade; /* options of Connection */
    bool expects_continue;
    bool answer; /* Host and Expect mean nothing in it */
};

/* ---- bytes and spans ------------------------------------------------------------------------------------
 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_token(struct http_span span)
{
    for (size_t i = 0; i < span.length; i++) {
        if (!is_alnum(span.at[i]) && !is_one_of(span.at[i], "!#$%&'*+-.^_`|~"))
            return false;
    }
    return span.length > 0;
}

static bool span_is(struct http_span span, const char *text)
{
    return span.length == strlen(text) && memcmp(span.at, text, span.length) == 0;
}

/* The same without regard to case. */
static bool span_says(struct http_span span, const char *text)
{
    return span.length == strlen(text) && strncasecmp(span.at, text, span.length) == 0;
}

static struct http_span span_trim(struct http_span span)
{
    while (span.length > 0 && is_blank(span.at[0])) {
        span.at++;
        span.length--;
    }
    while (span.length > 0 && is_blank(span.at[span.length - 1]))
        span.length--;
    return span;
}

/* Cuts what stands before the first `c` off `rest`, which goes on after it. False where there is none. */
static bool span_cut(struct http_span *rest, char c, struct http_span *part)
{
    const char *found = rest->length > 0 ? memchr(rest->at, c, rest->length) : NULL;

    if (found == NULL)
        return false;
    *part = (struct http_span){rest->at, (size_t)(found - rest->at)};
    rest->length -= part->length + 1;
    rest->at = found + 1;
    return true;
}

/* The next element of a list with commas; false after the last one. */
static bool next_element(struct http_span *list, struct http_span *element)
{
    if (list->at == NULL)
        return false;
    if (!span_cut(list, ',', element)) {
        *element = *list;
        list->at = NULL;
    }
    *element = span_trim(*element);
    return true;
}

/* The next line, without its CRLF or LF. False where no line ends in what is left. */
static bool next_line(struct http_span *rest, struct http_span *line)
{
    if (!span_cut(rest, '\n', line))
        return false;
    if (line->length > 0 && line->at[line->length - 1] == '\r')
        line->length--;
    return true;
}

/* ---- the target and Host --------------------------------------------------------------------------------
 */

/* "", or a colon and a port. An empty port is the default one (RFC 3986, 3.2.3). */
static bool is_port_part(struct http_span part)
{
    long port = 0;

    if (part.length == 0)
        return true;
    if (part.at[0] != ':' || part.length > sizeof "65535")
        return false;
    for (size_t i = 1; i < part.length; i++) {
        if (!is_digit(part.at[i]))
            return false;
        port = port * 10 + (part.at[i] - '0');
    }
    return port <= PORT_MAX;
}

/* How long "[address]" at the beginning is; 0 where there is none. */
static size_t bracketed_length(struct http_span span)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *end = memchr(span.at, ']', span.length);
    const size_t length = end != NULL ? (size_t)(end - span.at) - 1 : 0;

    if (length == 0 || length >= sizeof text)
        return 0;
    memcpy(text, span.at + 1, length);
    text[length] = '\0';
    return memchr(text, '\0', length) == NULL && inet_pton(AF_INET6, text, &address) == 1 ? length + 2 : 0;
}

/* A name, an IPv4 address or an IPv6 one in brackets; with a port or without. No user, no zone, no escapes:
 * no name that can be looked up has these. */
static bool is_authority(struct http_span span)
{
    size_t n = 0;

    if (span.length > 0 && span.at[0] == '[') {
        n = bracketed_length(span);
        if (n == 0)
            return false;
    } else {
        while (n < span.length && (is_alnum(span.at[n]) || is_one_of(span.at[n], "-._~!$&'()*+;=")))
            n++;
        if (n == 0)
            return false;
    }
    return is_port_part((struct http_span){span.at + n, span.length - n});
}

/* Less the port where it is the scheme's own. */
static struct http_span without_port(struct http_span authority, const char *port)
{
    const size_t length = strlen(port);

    if (authority.length > 0 && authority.at[authority.length - 1] == ':')
        authority.length--;
    else if (authority.length > length && memcmp(authority.at + authority.length - length, port, length) == 0)
        authority.length -= length;
    return authority;
}

/* Do Host and an absolute-form target's authority name the same server? */
static bool same_authority(struct http_span a, struct http_span b, bool tls)
{
    const char *port = tls ? ":443" : ":80";

    a = without_port(a, port);
    b = without_port(b, port);
    return a.length == b.length && strncasecmp(a.at, b.at, a.length) == 0;
}

/* '/', then what a path and a query may have (RFC 3986: pchar, '/', '?'), with whole escapes. Brackets,
 * braces and "|^`" should be escaped and often are not: browsers leave them in a query (brackets in a path
 * too), curl, Java's HttpURLConnection and Python's urllib everywhere. They mean nothing to anybody, and
 * Livy's Jetty takes them. Not so a backslash, which some read as '/', nor what ends a URL in a text or a
 * header. */
static bool is_path(struct http_span path)
{
    if (path.length == 0 || path.at[0] != '/' || (path.length > 1 && path.at[1] == '/'))
        return false;
    for (size_t i = 0; i < path.length; i++) {
        if (path.at[i] == '%') {
            if (i + 2 >= path.length || hex_digit(path.at[i + 1]) < 0 || hex_digit(path.at[i + 2]) < 0)
                return false;
            i += 2;
        } else if (!is_alnum(path.at[i]) && !is_one_of(path.at[i], "/?-._~!$&'()*+,;=:@[]{}|^`")) {
            return false;
        }
    }
    return true;
}

/* Finds path and, in absolute-form, authority in request->target; `tls`: its scheme is https. */
static bool parse_target(struct http_request *request, bool *tls)
{
    struct http_span rest = request->target;
    size_t scheme = 0;

    *tls = false;
    if (rest.length > 0 && rest.at[0] == '/') {
        request->path = rest;
        return is_path(rest);
    }
    if (rest.length >= 8 && strncasecmp(rest.at, "https://", 8) == 0)
        scheme = 8;
    else if (rest.length >= 7 && strncasecmp(rest.at, "http://", 7) == 0)
        scheme = 7;
    else
        return false;
    *tls = scheme == 8;
    rest.at += scheme;
    rest.length -= scheme;
    request->host = rest;
    for (size_t i = 0; i < rest.length; i++) {
        if (is_one_of(rest.at[i], "/?#")) {
            request->host.length = i;
            break;
        }
    }
    rest.at += request->host.length;
    rest.length -= request->host.length;
    /* "http://host?query" has a path that is not in the text, and cannot be pointed at: refused. */
    request->path = rest.length > 0 ? rest : (struct http_span){"/", 1};
    return is_authority(request->host) && is_path(request->path);
}

/* ---- the fields -----------------------------------------------------------------------------------------
 */

/* Digits alone, at most INT64_MAX: more is read differently by different programs. */
static bool parse_length(struct http_span value, uint64_t *length)
{
    *length = 0;
    for (size_t i = 0; i < value.length; i++) {
        const uint64_t digit = (uint64_t)(value.at[i] - '0');

        if (!is_digit(value.at[i]) || *length > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        *length = *length * 10 + digit;
    }
    return value.length > 0;
}

/* 0 for "chunked" alone; 501 where a coding is not known, 400 where known ones are wrong together. */
static int parse_coding(struct http_span value, struct fields *fields)
{
    struct http_span element;

    while (next_element(&value, &element)) {
        if (!span_says(element, "chunked"))
            return is_token(element) ? 501 : 400;
        if (fields->chunked)
            return 400;
        fields->chunked = true;
    }
    return 0;
}

static bool parse_connection(struct http_span value, struct fields *fields)
{
    struct http_span element;

    while (next_element(&value, &element)) {
        if (element.length == 0)
            continue; /* RFC 9110, 5.6.1 */
        if (!is_token(element))
            return false;
        fields->close = fields->close || span_says(element, "close");
        fields->keep_alive = fields->keep_alive || span_says(element, "keep-alive");
        fields->upgrade = fields->upgrade || span_says(element, "upgrade");
    }
    return true;
}

/* Takes in what this field says of the message. 0, or the status to refuse it with. */
static int take_field(struct http_span name, struct http_span value, struct fields *fields)
{
    if (span_says(name, "Content-Length")) {
        if (fields->has_length || !parse_length(value, &fields->length))
            return 400;
        fields->has_length = true;
    } else if (span_says(name, "Transfer-Encoding")) {
        return parse_coding(value, fields);
    } else if (span_says(name, "Connection")) {
        return parse_connection(value, fields) ? 0 : 400;
    } else if (span_says(name, "Host") && !fields->answer) {
        if (fields->has_host)
            return 400;
        fields->has_host = true;
        fields->host = value;
    } else if (span_says(name, "Expect") && !fields->answer) {
        if (!span_says(value, "100-continue"))
            return 417;
        fields->expects_continue = true;
    }
    return 0;
}

/* The fields and the empty line that must be all that is left. A folded line begins with a blank, and so with
 * no token. */
static int parse_fields(struct http_span rest, struct fields *fields, bool answer)
{
    struct http_span line;

    *fields = (struct fields){.answer = answer};
    while (next_line(&rest, &line)) {
        struct http_span name;
        int status;

        if (line.length == 0)
            return rest.length == 0 ? 0 : 400;
        if (!span_cut(&line, ':', &name) || !is_token(name))
            return 400;
        for (size_t i = 0; i < line.length; i++) {
            const unsigned char c = (unsigned char)line.at[i];

            if ((c < ' ' && c != '\t') || c == 0x7f)
                return 400;
        }
        status = take_field(name, span_trim(line), fields);
        if (status != 0)
            return status;
    }
    return 400;
}

/* x of "HTTP/1.x". 0, or the status to refuse it with. */
static int parse_version(struct http_span version, int *minor)
{
    if (version.length != 8 || memcmp(version.at, "HTTP/", 5) != 0 || !is_digit(version.at[5]) ||
        version.at[6] != '.' || !is_digit(version.at[7]))
        return 400;
    if (version.at[5] != '1' || version.at[7] > '1')
        return 505;
    *minor = version.at[7] - '0';
    return 0;
}

/* ---- the messages ---------------------------------------------------------------------------------------
 */

size_t http_head_end(const char *text, size_t length, size_t *searched)
{
    const char *feed;
    size_t i = *searched;

    while (i < length && (feed = memchr(text + i, '\n', length - i)) != NULL) {
        i = (size_t)(feed - text);
        if ((i >= 1 && text[i - 1] == '\n') || (i >= 2 && text[i - 1] == '\r' && text[i - 2] == '\n'))
            return i + 1;
        i++;
    }
    *searched = length;
    return 0;
}

static int parse_request_line(struct http_span line, struct http_request *request, bool *tls)
{
    struct http_span method, version;
    int status;

    if (!span_cut(&line, ' ', &method) || !is_token(method))
        return 400;
    request->method = method; /* first of all: the answer to a refused HEAD has no body either */
    request->is_head = span_is(method, "HEAD");
    if (!span_cut(&line, ' ', &request->target))
        return 400;
    version = line;
    status = parse_version(version, &request->minor);
    if (status != 0)
        return status;
    return !span_is(method, "CONNECT") && parse_target(request, tls) ? 0 : 400;
}

static int check_host(struct http_request *request, const struct fields *fields, bool tls)
{
    const bool absolute = request->host.length > 0;

    if (!fields->has_host)
        return request->minor == 0 ? 0 : 400;
    if (fields->host.length == 0 && request->minor == 0 && !absolute)
        return 0;
    if (!is_authority(fields->host))
        return 400;
    if (absolute && !same_authority(fields->host, request->host, tls))
        return 400;
    if (!absolute)
        request->host = fields->host;
    return 0;
}

int http_request_parse(const char *text, size_t length, struct http_request *request)
{
    struct http_span rest = {text, length}, line;
    struct fields fields;
    bool tls = false;
    int status;

    *request = (struct http_request){0};
    if (!next_line(&rest, &line))
        return 400;
    status = parse_request_line(line, request, &tls);
    if (status == 0)
        status = parse_fields(rest, &fields, false);
    if (status == 0)
        status = check_host(request, &fields, tls);
    if (status != 0)
        return status;
    /* HTTP/1.0 has no transfer codings: who does not know them takes the body for the next request. */
    if (fields.chunked && (fields.has_length || request->minor == 0))
        return 400;
    request->keep_alive = !fields.close && (request->minor == 1 || fields.keep_alive);
    request->expects_continue = fields.expects_continue && request->minor == 1;
    request->upgrade = fields.upgrade && request->minor == 1;
    request->length = fields.length;
    if (fields.chunked)
        request->body = HTTP_BODY_CHUNKED;
    else if (fields.length > 0)
        request->body = HTTP_BODY_SIZED;
    return 0;
}

/* "HTTP/1.1 200 OK"; the reason may be empty, and the blank before it absent with it. */
static bool parse_status_line(struct http_span line, struct http_response *response)
{
    struct http_span version;

    if (!span_cut(&line, ' ', &version) || parse_version(version, &response->minor) != 0)
        return false;
    if (line.length < 3 || !is_digit(line.at[0]) || !is_digit(line.at[1]) || !is_digit(line.at[2]) ||
        (line.length > 3 && line.at[3] != ' '))
        return false;
    for (size_t i = 4; i < line.length; i++) {
        const unsigned char c = (unsigned char)line.at[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    response->status = (line.at[0] - '0') * 100 + (line.at[1] - '0') * 10 + (line.at[2] - '0');
    return response->status >= 100 && response->status < 600;
}

bool http_response_parse(const char *text, size_t length, bool to_head, struct http_response *response)
{
    struct http_span rest = {text, length}, line;
    struct fields fields;

    *response = (struct http_response){0};
    if (!next_line(&rest, &line) || !parse_status_line(line, response))
        return false;
    if (parse_fields(rest, &fields, true) != 0)
        return false;
    if (fields.chunked && (fields.has_length || response->minor == 0))
        return false;
    response->keep_alive = !fields.close && (response->minor == 1 || fields.keep_alive);
    if (to_head || response->status < 200 || response->status == 204 || response->status == 304)
        return true;
    if (fields.chunked) {
        response->body = HTTP_BODY_CHUNKED;
    } else if (!fields.has_length) {
        response->body = HTTP_BODY_UNTIL_CLOSE;
        response->keep_alive = false;
    } else if (fields.length > 0) {
        response->body = HTTP_BODY_SIZED;
        response->length = fields.length;
    }
    return true;
}

/* ---- for those who answer -------------------------------------------------------------------------------
 */

bool http_path_decode(struct http_span path, char *out, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < path.length && path.at[i] != '?'; i++) {
        char c = path.at[i];

        if (c == '%') {
            const int high = path.length - i > 2 ? hex_digit(path.at[i + 1]) : -1;
            const int low = path.length - i > 2 ? hex_digit(path.at[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || n + 1 >= size)
            return false;
        out[n++] = c;
    }
    if (n >= size)
        return false;
    out[n] = '\0';
    return true;
}

const char *http_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Status";
}
