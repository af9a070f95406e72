/* control_http.c - see control_http.h. Follows RFC 9112 (messages) and RFC 3986 (targets), less what a
 * control socket has no use for.
 */
#include "control_http.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool is_token(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return true;
}

/* Cuts the next line, ended by LF or CRLF, off `rest`. NULL at the end of the text. */
static char *next_line(char **rest, const char *end)
{
    char *line = *rest;
    char *feed = memchr(line, '\n', (size_t)(end - line));

    if (feed == NULL)
        return NULL;
    *rest = feed + 1;
    if (feed > line && feed[-1] == '\r')
        feed--;
    *feed = '\0';
    return line;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes %XX in place. False at a broken escape and at %00. */
static bool decode_percent(char *text)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++, out++) {
        int high;
        int low;

        if (*in != '%') {
            *out = *in;
            continue;
        }
        high = hex_digit(in[1]);
        low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *out = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return true;
}

/* "/path?query", or the same behind "http://host". */
static int parse_target(char *target, struct control_head *head)
{
    static const char scheme[] = "http://";
    char *query;

    for (const char *c = target; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f || *c == '#')
            return 400;
    }
    if (strncasecmp(target, scheme, sizeof scheme - 1) == 0) {
        target = strchr(target + sizeof scheme - 1, '/');
        if (target == NULL)
            return 400;
    }
    if (target[0] != '/')
        return 400;
    query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';
    head->path = target;
    head->query = query;
    return decode_percent(target) ? 0 : 400;
}

static int parse_method(const char *method, struct control_head *head)
{
    if (strcmp(method, "GET") == 0)
        head->method = CONTROL_GET;
    else if (strcmp(method, "HEAD") == 0)
        head->method = CONTROL_HEAD;
    else if (strcmp(method, "POST") == 0)
        head->method = CONTROL_POST;
    else
        return is_token(method) ? 405 : 400;
    return 0;
}

/* The status of what is wrong first from left to right; `minor` gets x of HTTP/1.x. */
static int parse_request_line(char *line, struct control_head *head, int *minor)
{
    char *target = strchr(line, ' ');
    char *version = target != NULL ? strchr(target + 1, ' ') : NULL;
    int status;

    if (version == NULL)
        return 400;
    *target++ = '\0';
    *version++ = '\0';
    status = parse_method(line, head); /* first of all: the answer to a refused HEAD has no body either */
    if (strncmp(version, "HTTP/", 5) != 0 || !isdigit((unsigned char)version[5]) || version[6] != '.' ||
        !isdigit((unsigned char)version[7]) || version[8] != '\0')
        return 400;
    if (version[5] != '1' || version[7] > '1')
        return 505;
    *minor = version[7] - '0';
    return status != 0 ? status : parse_target(target, head);
}

static int parse_length(const char *value, struct control_head *head)
{
    size_t length = 0;

    if (*value == '\0')
        return 400;
    for (; *value != '\0'; value++) {
        if (!isdigit((unsigned char)*value))
            return 400;
        if (length <= CONTROL_BODY_MAX) /* past it the value does not matter, and must not overflow */
            length = length * 10 + (size_t)(*value - '0');
    }
    head->content_length = length;
    return length > CONTROL_BODY_MAX ? 413 : 0;
}

static int parse_field(char *line, struct control_head *head, bool *has_length)
{
    char *colon = strchr(line, ':');
    char *value;
    char *end;

    if (colon == NULL)
        return 400;
    *colon = '\0';
    if (!is_token(line))
        return 400;
    value = colon + 1;
    value += strspn(value, " \t");
    for (end = value + strlen(value); end > value && (end[-1] == ' ' || end[-1] == '\t'); end--)
        end[-1] = '\0';
    for (const char *c = value; *c != '\0'; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return 400;
    }
    if (strcasecmp(line, "Content-Length") == 0) {
        if (*has_length)
            return 400;
        *has_length = true;
        return parse_length(value, head);
    }
    if (strcasecmp(line, "Transfer-Encoding") == 0)
        return 501;
    if (strcasecmp(line, "Expect") == 0) {
        head->expects_continue = strcasecmp(value, "100-continue") == 0;
        return head->expects_continue ? 0 : 417;
    }
    return 0;
}

int control_http_parse(char *text, size_t length, struct control_head *head)
{
    const char *end = text + length;
    bool has_length = false;
    char *rest = text;
    char *line;
    int minor = 0;
    int status;

    *head = (struct control_head){.method = CONTROL_GET};
    if (memchr(text, '\0', length) != NULL)
        return 400;
    line = next_line(&rest, end);
    if (line == NULL)
        return 400;
    status = parse_request_line(line, head, &minor);
    while (status == 0 && (line = next_line(&rest, end)) != NULL && *line != '\0')
        status = parse_field(line, head, &has_length);
    if (status == 0 && line == NULL)
        return 400;
    if (minor == 0)
        head->expects_continue = false; /* HTTP/1.0 knows no 1xx */
    return status;
}

const char *control_http_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {202, "Accepted"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
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
