/* reply.c - see reply.h. */
#include "reply.h"

#include <stdio.h>
#include <string.h>

#include "http_head.h"

/* What is within a JSON string; our own sentences have nothing else to escape, but host names and errors of
 * others are in them. */
static void escape(const char *text, char *out, size_t size)
{
    size_t n = 0;

    for (; *text != '\0' && n + 7 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            n += (size_t)snprintf(out + n, size - n, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        else
            out[n++] = (char)c;
    }
    out[n] = '\0';
}

static bool add(struct buf *out, const char *text)
{
    return buf_append(out, text, strlen(text));
}

bool reply_error(struct buf *out, int status, const char *sentence, bool retry, bool head)
{
    char escaped[1024], body[1100], fields[512];

    escape(sentence, escaped, sizeof(escaped));
    int length = snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", escaped);
    snprintf(fields, sizeof(fields),
             "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s"
             "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
             status, http_phrase(status), length, retry ? "Retry-After: 1\r\n" : "");
    return add(out, fields) && (head || add(out, body));
}

bool reply_redirect(struct buf *out, const char *front_url, const char *id, const char *path, size_t length,
                    bool head)
{
    static const char before[] = "This is a standby Livy Instance. The active one is ";
    char fields[512];
    size_t body =
        sizeof(before) - 1 + strlen(id) + strlen(" at ") + strlen(front_url) + length + strlen("\n");

    snprintf(fields, sizeof(fields),
             "\r\nX-Livy-HA-Active: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n"
             "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
             id, body);
    bool fine = add(out, "HTTP/1.1 307 Temporary Redirect\r\nLocation: ") && add(out, front_url) &&
                buf_append(out, path, length) && add(out, fields);
    if (head || !fine)
        return fine;
    return add(out, before) && add(out, id) && add(out, " at ") && add(out, front_url) &&
           buf_append(out, path, length) && add(out, "\n");
}
