/* http.c - see http.h. Sockets are non-blocking; every wait is a poll(2) until the deadline. */
#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "livy-ha/clock.h"

static enum http_outcome fail(struct http_reply *reply, enum http_outcome outcome, int error, const char *why)
{
    reply->error = error;
    (void)snprintf(reply->why, sizeof reply->why, "%s", error != 0 ? strerror(error) : why);
    return outcome;
}

/* Waits for `events`; false at the deadline. */
static bool wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd poller = {.fd = fd, .events = events};

    for (;;) {
        const int64_t left = deadline - clock_boot_ms();
        int rc;

        if (left <= 0)
            return false;
        rc = poll(&poller, 1, left < 3600000 ? (int)left : 3600000);
        if (rc > 0)
            return true;
        if (rc < 0 && errno != EINTR)
            return false;
    }
}

/* Connects `fd`. A Unix socket's full queue (EAGAIN) leaves nothing to poll for: ask again a little later. */
static enum http_outcome dial(int fd, const struct sockaddr *address, socklen_t size, int64_t deadline,
                              struct http_reply *reply)
{
    socklen_t length = sizeof(int);
    int error = 0;

    while (connect(fd, address, size) != 0) {
        if (errno == EAGAIN) {
            if (clock_boot_ms() >= deadline)
                return fail(reply, HTTP_TIMED_OUT, 0, "its queue of connections is full");
            (void)poll(NULL, 0, 20);
            continue;
        }
        if (errno != EINPROGRESS)
            return fail(reply, HTTP_UNREACHABLE, errno, "");
        if (!wait_for(fd, POLLOUT, deadline))
            return fail(reply, HTTP_TIMED_OUT, 0, "no connection");
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
            error = errno;
        return error == 0 ? HTTP_ANSWERED : fail(reply, HTTP_UNREACHABLE, error, "");
    }
    return HTTP_ANSWERED;
}

static enum http_outcome dial_unix(const char *path, int64_t deadline, int *fd, struct http_reply *reply)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path));
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return fail(reply, HTTP_UNREACHABLE, errno, "");
    return dial(*fd, (struct sockaddr *)&address, sizeof address, deadline, reply);
}

/* A look-up in a thread of its own, because getaddrinfo(3) has no time-out. Whoever of the two is last frees
 * it. */
struct lookup {
    atomic_int users;
    int done[2]; /* a pipe: a byte comes once there is a result */
    struct endpoint endpoint;
    struct addrinfo *list;
    int rc;
};

static void lookup_leave(struct lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->users, 1) > 1)
        return;
    if (lookup->list != NULL)
        freeaddrinfo(lookup->list);
    close(lookup->done[0]);
    free(lookup);
}

static void *lookup_run(void *arg)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct lookup *lookup = arg;

    lookup->rc = getaddrinfo(lookup->endpoint.host, lookup->endpoint.port, &hints, &lookup->list);
    if (write(lookup->done[1], "", 1) != 1)
        lookup->rc = EAI_SYSTEM; /* cannot be: the pipe is empty and its other end ours */
    close(lookup->done[1]);
    lookup_leave(lookup);
    return NULL;
}

static struct lookup *lookup_start(const struct endpoint *endpoint)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    pthread_t thread;

    if (lookup == NULL)
        return NULL;
    lookup->endpoint = *endpoint;
    atomic_init(&lookup->users, 2);
    if (pipe2(lookup->done, O_CLOEXEC) != 0) {
        free(lookup);
        return NULL;
    }
    if (pthread_create(&thread, NULL, lookup_run, lookup) != 0) {
        close(lookup->done[0]);
        close(lookup->done[1]);
        free(lookup);
        return NULL;
    }
    (void)pthread_detach(thread);
    return lookup;
}

static enum http_outcome resolve(const struct endpoint *endpoint, int64_t deadline, struct addrinfo **list,
                                 struct http_reply *reply)
{
    struct lookup *lookup = lookup_start(endpoint);
    enum http_outcome outcome = HTTP_ANSWERED;
    char byte;

    if (lookup == NULL)
        return fail(reply, HTTP_UNREACHABLE, errno, "");
    if (!wait_for(lookup->done[0], POLLIN, deadline) || read(lookup->done[0], &byte, 1) != 1) {
        outcome = fail(reply, HTTP_TIMED_OUT, 0, "the name does not resolve");
    } else if (lookup->rc != 0) {
        outcome = fail(reply, HTTP_UNREACHABLE, 0, gai_strerror(lookup->rc));
    } else {
        *list = lookup->list;
        lookup->list = NULL;
    }
    lookup_leave(lookup);
    return outcome;
}

/* Each address of the name in turn; the last failure is the one told. */
static enum http_outcome dial_tcp(const struct endpoint *endpoint, int64_t deadline, int *fd,
                                  struct http_reply *reply)
{
    struct addrinfo *list = NULL;
    enum http_outcome outcome = resolve(endpoint, deadline, &list, reply);

    if (outcome != HTTP_ANSWERED)
        return outcome;
    outcome = fail(reply, HTTP_UNREACHABLE, 0, "the name has no address");
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        *fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (*fd < 0) {
            outcome = fail(reply, HTTP_UNREACHABLE, errno, "");
            continue;
        }
        outcome = dial(*fd, info->ai_addr, info->ai_addrlen, deadline, reply);
        if (outcome == HTTP_ANSWERED)
            break;
        close(*fd);
        *fd = -1;
    }
    freeaddrinfo(list);
    return outcome;
}

static enum http_outcome send_request(int fd, const struct endpoint *endpoint, bool post, const char *path,
                                      int64_t deadline, struct http_reply *reply)
{
    char text[1024];
    const bool v6 = strchr(endpoint->host, ':') != NULL;
    const int length =
        snprintf(text, sizeof text,
                 "%s %s HTTP/1.0\r\nHost: %s%s%s\r\nUser-Agent: livy-ha-ctl\r\n"
                 "Accept: application/json\r\nConnection: close\r\n%s\r\n",
                 post ? "POST" : "GET", path, v6 ? "[" : "", endpoint->tcp ? endpoint->host : "localhost",
                 v6 ? "]" : "", post ? "Content-Length: 0\r\n" : "");
    size_t sent = 0;

    if (length < 0 || (size_t)length >= sizeof text)
        return fail(reply, HTTP_MALFORMED, 0, "the request is too long");
    while (sent < (size_t)length) {
        const ssize_t n = send(fd, text + sent, (size_t)length - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (size_t)n;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return fail(reply, HTTP_UNREACHABLE, errno, "");
        if (!wait_for(fd, POLLOUT, deadline))
            return fail(reply, HTTP_TIMED_OUT, 0, "the request could not be sent");
    }
    return HTTP_ANSWERED;
}

/* Reads to the end of the connection into a malloc'ed text, NUL added. */
static enum http_outcome receive_all(int fd, int64_t deadline, char **text, size_t *length,
                                     struct http_reply *reply)
{
    const size_t most = HTTP_HEAD_MAX + HTTP_BODY_MAX;
    size_t room = 16384;

    *length = 0;
    *text = malloc(room + 1);
    while (*text != NULL) {
        const ssize_t n = recv(fd, *text + *length, room - *length, 0);
        if (n == 0) {
            (*text)[*length] = '\0';
            return HTTP_ANSWERED;
        }
        if (n < 0 && errno == EAGAIN) {
            if (!wait_for(fd, POLLIN, deadline))
                return fail(reply, HTTP_TIMED_OUT, 0, "no answer");
            continue;
        }
        if (n < 0 && errno != EINTR)
            return fail(reply, HTTP_UNREACHABLE, errno, "");
        *length += n > 0 ? (size_t)n : 0;
        if (*length == room) {
            char *larger;
            if (room > most)
                return fail(reply, HTTP_MALFORMED, 0, "the answer is larger than 1 MiB");
            room *= 2;
            larger = realloc(*text, room + 1);
            if (larger == NULL)
                break;
            *text = larger;
        }
    }
    return fail(reply, HTTP_UNREACHABLE, ENOMEM, "");
}

static int parse_status(const char *text)
{
    if (strncmp(text, "HTTP/1.", 7) != 0 || (text[7] != '0' && text[7] != '1') || text[8] != ' ')
        return 0;
    for (int i = 9; i < 12; i++) {
        if (!isdigit((unsigned char)text[i]))
            return 0;
    }
    if (text[12] != ' ' && text[12] != '\r' && text[12] != '\n')
        return 0;
    return (text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0');
}

/* The Content-Length between `head` and `end`; SIZE_MAX where there is none, or none that makes sense. */
static size_t parse_content_length(const char *head, const char *end)
{
    static const char name[] = "Content-Length:";

    for (const char *line = strchr(head, '\n'); line != NULL && line < end; line = strchr(line, '\n')) {
        char *stop;
        unsigned long value;

        line++;
        if (strncasecmp(line, name, sizeof name - 1) != 0)
            continue;
        line += sizeof name - 1;
        line += strspn(line, " \t");
        if (!isdigit((unsigned char)*line))
            return SIZE_MAX;
        errno = 0;
        value = strtoul(line, &stop, 10);
        return errno != 0 || (*stop != '\r' && *stop != '\n') ? SIZE_MAX : value;
    }
    return SIZE_MAX;
}

static enum http_outcome parse_reply(char *text, size_t length, struct http_reply *reply)
{
    const char *body = strstr(text, "\r\n\r\n");
    size_t declared;

    if (length == 0)
        return fail(reply, HTTP_UNREACHABLE, 0, "closed without an answer");
    reply->status = parse_status(text);
    if (reply->status < 200)
        return fail(reply, HTTP_MALFORMED, 0, "the answer is not HTTP");
    if (body == NULL || (size_t)(body - text) > HTTP_HEAD_MAX)
        return fail(reply, HTTP_MALFORMED, 0, "the answer's head has no end");
    declared = parse_content_length(text, body);
    body += 4;
    reply->length = length - (size_t)(body - text);
    if (declared != SIZE_MAX && declared > reply->length)
        return fail(reply, HTTP_MALFORMED, 0, "the answer was cut short");
    if (declared != SIZE_MAX)
        reply->length = declared;
    if (reply->length > HTTP_BODY_MAX)
        return fail(reply, HTTP_MALFORMED, 0, "the answer is larger than 1 MiB");
    reply->body = malloc(reply->length + 1);
    if (reply->body == NULL)
        return fail(reply, HTTP_UNREACHABLE, ENOMEM, "");
    memcpy(reply->body, body, reply->length);
    reply->body[reply->length] = '\0';
    return HTTP_ANSWERED;
}

enum http_outcome http_ask(const struct endpoint *endpoint, bool post, const char *path, int64_t deadline,
                           struct http_reply *reply)
{
    enum http_outcome outcome;
    char *text = NULL;
    size_t length = 0;
    int fd = -1;

    *reply = (struct http_reply){.status = 0};
    if (endpoint->tcp)
        outcome = dial_tcp(endpoint, deadline, &fd, reply);
    else
        outcome = dial_unix(endpoint->path, deadline, &fd, reply);
    if (outcome == HTTP_ANSWERED)
        outcome = send_request(fd, endpoint, post, path, deadline, reply);
    if (outcome == HTTP_ANSWERED)
        outcome = receive_all(fd, deadline, &text, &length, reply);
    if (outcome == HTTP_ANSWERED)
        outcome = parse_reply(text, length, reply);
    free(text);
    if (fd >= 0)
        close(fd);
    return outcome;
}
