/* standin_http.c - see the header. */
#include "standin_http.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "standin_util.h"

#define HEAD_MAX 16384
#define IDLE_S 120 /* Jetty keeps an idle connection for 30 s and more */

struct client {
    const struct http *http;
    int fd;
    char head[HEAD_MAX];
    size_t got;  /* bytes in `head`: a head, and what has come behind it */
    size_t used; /* of them those of the request under way */
};

/* The value of a header, NULL where there is none; `head` ends behind its last line. */
static const char *header(const char *head, const char *name, char value[static 256])
{
    size_t length = strlen(name);
    const char *end = strstr(head, "\r\n\r\n");
    for (const char *line = strstr(head, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
            const char *text = line + 3 + length;
            text += strspn(text, " \t");
            snprintf(value, 256, "%.*s", (int)strcspn(text, "\r\n"), text);
            return value;
        }
    }
    return NULL;
}

static bool read_head(struct client *client)
{
    memmove(client->head, client->head + client->used, client->got - client->used);
    client->got -= client->used;
    client->used = 0;
    for (;;) {
        client->head[client->got] = '\0';
        char *end = strstr(client->head, "\r\n\r\n");
        if (end) {
            client->used = (size_t)(end - client->head) + 4;
            return true;
        }
        if (client->got == HEAD_MAX - 1) {
            return false;
        }
        ssize_t n = recv(client->fd, client->head + client->got, HEAD_MAX - 1 - client->got, 0);
        if (n <= 0) {
            return false;
        }
        client->got += (size_t)n;
    }
}

static bool send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, data, length, MSG_NOSIGNAL);
        if (n < 0) {
            return false;
        }
        data += n;
        length -= (size_t)n;
    }
    return true;
}

/* Reads the body, of which a part may stand behind the head already. Returns its length, -1 where it does not
 * come whole. */
static long read_body(struct client *client)
{
    char text[256], buffer[65536];
    const char *value = header(client->head, "Content-Length", text);
    long length = value ? strtol(value, NULL, 10) : 0, left = length;
    long here = (long)(client->got - client->used);
    if (here > left) {
        here = left;
    }
    client->used += (size_t)here;
    left -= here;
    value = header(client->head, "Expect", text);
    if (left > 0 && value && strcasecmp(value, "100-continue") == 0 &&
        !send_all(client->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25)) {
        return -1;
    }
    while (left > 0) {
        ssize_t n = recv(client->fd, buffer, left < (long)sizeof buffer ? (size_t)left : sizeof buffer, 0);
        if (n <= 0) {
            return -1;
        }
        left -= n;
    }
    return length;
}

/* Written before the answer: what was carried out but not answered counts as carried out. */
static void note_post(const struct client *client)
{
    char text[256], line[260];
    const char *id = header(client->head, "X-Request", text);
    int fd = id ? open(client->http->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0) {
        return;
    }
    int length = snprintf(line, sizeof line, "%s\n", id);
    if (write(fd, line, (size_t)length) != length) {
        util_fail(client->http->log);
    }
    close(fd);
}

static bool answer(struct client *client)
{
    static const char version[] =
        "{\"url\":\"https://github.com/apache/incubator-livy\",\"branch\":\"standin\","
        "\"revision\":\"0\",\"version\":\"0.0.0-standin\",\"date\":\"\",\"user\":\"\"}";
    const char *head = client->head;
    char text[256], out[1024];
    int status = 404;
    long body = read_body(client);
    const char *connection = header(head, "Connection", text);
    bool close_it = !strstr(head, " HTTP/1.1\r\n") || (connection && strcasecmp(connection, "close") == 0);
    if (body < 0) {
        return false;
    }
    if (strncmp(head, "GET /version ", 13) == 0) {
        status = client->http->status;
    } else if (strncmp(head, "GET /slow/", 10) == 0) {
        status = 200;
        util_sleep_until(util_now_ns() + strtol(head + 10, NULL, 10) * 1000000);
    } else if (strncmp(head, "POST ", 5) == 0) {
        status = 201;
        note_post(client);
    }
    while (atomic_load(client->http->hanging)) {
        pause();
    }
    int length = snprintf(out, sizeof out,
                          "HTTP/1.1 %d Standin\r\nContent-Type: application/json;charset=utf-8\r\n%s"
                          "X-Standin: %s %d\r\nX-Received: %ld\r\nContent-Length: %zu\r\n\r\n%s",
                          status, close_it ? "Connection: close\r\n" : "", client->http->name, getpid(), body,
                          sizeof version - 1, strncmp(head, "HEAD ", 5) == 0 ? "" : version);
    return send_all(client->fd, out, (size_t)length) && !close_it;
}

static void *serve_one(void *arg)
{
    struct client *client = arg;
    const struct http *http = client->http;
    struct timeval limit = {.tv_sec = IDLE_S};
    bool more = true;
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    while (more && read_head(client)) {
        more = answer(client);
        if (!more) {
            shutdown(client->fd, SHUT_WR);
        }
        http->answered();
    }
    close(client->fd);
    free(client);
    return NULL;
}

_Noreturn void http_serve(int listener, const struct http *http)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, (size_t)256 * 1024);
    for (;;) {
        if (atomic_load(http->hanging)) {
            pause();
            continue;
        }
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        struct client *client = fd >= 0 && !atomic_load(http->hanging) ? calloc(1, sizeof *client) : NULL;
        if (!client) {
            if (fd >= 0) {
                close(fd);
            }
            continue;
        }
        client->http = http;
        client->fd = fd;
        if (pthread_create(&thread, &attr, serve_one, client) != 0) {
            close(fd);
            free(client);
        }
    }
}
