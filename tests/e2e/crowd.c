/* crowd.c - clients in closed loops for the end-to-end tests: each keeps one connection as HTTP has it, asks
 * GET and POST by turns, and again a while after each answer. One thread, so that what is measured is not the
 * crowd itself. It shares no code with livy-ha on purpose.
 *
 *   crowd NAME PAUSE_MS ADDRESS:PORT=COUNT…      until its standard input ends; then what runs is waited for
 *
 * Each request that is over is one line of standard output: client, number, method, begin and duration in us
 * (CLOCK_BOOTTIME), status, who answered: the stand-in's name and pid ("- 0": none did). Status 0: refused,
 * reset, ended (without an answer, or in the middle of one), timeout in place of the name. A POST has the
 * header X-Request: NAME-client-number.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX 1024
#define BODY 1000 /* bytes of a POST */
#define TIMEOUT_US 60000000LL

enum state { PAUSES, CONNECTS, WAITS };

struct client {
    struct sockaddr_in to;
    enum state state;
    int fd; /* -1: none */
    unsigned number;
    int64_t due; /* the end of the pause */
    int64_t began;
    char in[8192];
    size_t got;
};

struct crowd {
    const char *name;
    int64_t pause;
    int epoll;
    size_t count;
    struct client clients[CLIENTS_MAX];
    bool ending;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void hang_up(struct client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
}

static void over(struct crowd *crowd, struct client *c, int status, const char *who, int pid)
{
    int64_t now = now_us();
    printf("%zu %u %s %lld %lld %d %s %d\n", (size_t)(c - crowd->clients), c->number,
           c->number % 2 ? "POST" : "GET", (long long)c->began, (long long)(now - c->began), status, who,
           pid);
    c->state = PAUSES;
    c->due = now + crowd->pause;
    c->got = 0;
}

static void failed(struct crowd *crowd, struct client *c, const char *how)
{
    hang_up(c);
    over(crowd, c, 0, how, 0);
}

static const char *word(int error)
{
    return error == ECONNREFUSED ? "refused" : error == 0 ? "ended" : "reset";
}

static void ask(struct crowd *crowd, struct client *c)
{
    static const char body[BODY] = {0};
    char text[512 + BODY];
    int length;

    if (c->number % 2) {
        length = snprintf(
            text, 512,
            "POST /batches HTTP/1.1\r\nHost: livy\r\nX-Request: %s-%zu-%u\r\nContent-Length: %d\r\n\r\n",
            crowd->name, (size_t)(c - crowd->clients), c->number, BODY);
        memcpy(text + length, body, BODY);
        length += BODY;
    } else {
        length = snprintf(text, 512, "GET /version HTTP/1.1\r\nHost: livy\r\n\r\n");
    }
    c->state = WAITS;
    /* So little always fits into a socket that has been read from. */
    if (send(c->fd, text, (size_t)length, MSG_NOSIGNAL) != length) {
        failed(crowd, c, word(errno));
    }
}

static void begin(struct crowd *crowd, struct client *c)
{
    const int on = 1;

    c->began = now_us();
    c->number++;
    if (c->fd >= 0) {
        ask(crowd, c);
        return;
    }
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        fail("socket");
    }
    c->state = CONNECTS;
    if (connect(c->fd, (const struct sockaddr *)&c->to, sizeof c->to) != 0 && errno != EINPROGRESS) {
        failed(crowd, c, word(errno));
    }
}

static void connected(struct crowd *crowd, struct client *c)
{
    int error = 0;
    socklen_t size = sizeof error;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        fail("getsockopt");
    }
    if (error != 0) {
        failed(crowd, c, word(error));
    } else {
        ask(crowd, c);
    }
}

static const char *header(const char *head, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, strlen(name)) == 0) {
            return line + 2 + strlen(name) + strspn(line + 2 + strlen(name), " ");
        }
    }
    return NULL;
}

/* True once the answer is there in full. */
static bool answered(struct crowd *crowd, struct client *c)
{
    char who[64] = "-";
    int pid = 0;

    c->in[c->got] = '\0';
    char *end = strstr(c->in, "\r\n\r\n");
    if (!end) {
        return false;
    }
    *end = '\0'; /* header() looks no further */
    const char *length = header(c->in, "Content-Length:"), *from = header(c->in, "X-Standin:"),
               *connection = header(c->in, "Connection:");
    size_t whole = (size_t)(end - c->in) + 4 + (length ? strtoul(length, NULL, 10) : 0);
    bool closes = connection && strncasecmp(connection, "close", 5) == 0;
    int status = strncmp(c->in, "HTTP/1.1 ", 9) == 0 ? (int)strtol(c->in + 9, NULL, 10) : -1;
    if (from) {
        size_t name = strcspn(from, " ");
        snprintf(who, sizeof who, "%.*s", (int)name, from);
        pid = (int)strtol(from + name, NULL, 10);
    }
    *end = '\r';
    if (c->got < whole) {
        return false;
    }
    if (c->got > whole) {
        status = -1; /* more than was asked for */
    }
    over(crowd, c, status, who, pid);
    if (closes) {
        hang_up(c);
    }
    return true;
}

static void readable(struct crowd *crowd, struct client *c)
{
    while (c->fd >= 0) {
        ssize_t n = recv(c->fd, c->in + c->got, sizeof c->in - 1 - c->got, 0);
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        if (n <= 0 && c->state == PAUSES) {
            hang_up(c); /* nobody is hurt: the next request makes a new connection */
        } else if (n <= 0) {
            failed(crowd, c, word(n < 0 ? errno : 0));
        } else {
            c->got += (size_t)n;
            if (c->state == PAUSES || (!answered(crowd, c) && c->got == sizeof c->in - 1)) {
                failed(crowd, c, "garbled");
            }
        }
    }
}

static void happened(struct crowd *crowd, struct client *c)
{
    if (c->fd >= 0 && c->state == CONNECTS) {
        connected(crowd, c);
    } else if (c->fd >= 0) {
        readable(crowd, c);
    }
}

/* How long there is nothing to do, in ms; negative: everybody has ended. */
static int turn(struct crowd *crowd)
{
    int64_t now = now_us(), next = now + 1000000;
    bool any = !crowd->ending;

    for (size_t i = 0; i < crowd->count; i++) {
        struct client *c = &crowd->clients[i];
        if (c->state == PAUSES && crowd->ending) {
            continue;
        }
        if (c->state == PAUSES && c->due <= now) {
            begin(crowd, c);
        } else if (c->state != PAUSES && now - c->began > TIMEOUT_US) {
            failed(crowd, c, "timeout");
        }
        any = any || c->state != PAUSES;
        if (c->state == PAUSES && c->due < next) {
            next = c->due;
        }
    }
    return any ? (int)((next - now) / 1000 + 1) : -1;
}

static void add(struct crowd *crowd, const char *text)
{
    char address[64], *rest = NULL;
    const char *colon = strchr(text, ':');
    struct sockaddr_in to = {.sin_family = AF_INET};

    snprintf(address, sizeof address, "%.*s", (int)strcspn(text, ":"), text);
    long port = colon ? strtol(colon + 1, &rest, 10) : 0,
         count = rest && *rest == '=' ? strtol(rest + 1, NULL, 10) : 0;
    if (port <= 0 || count <= 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        crowd->count + (size_t)count > CLIENTS_MAX) {
        errno = EINVAL;
        fail(text);
    }
    to.sin_port = htons((uint16_t)port);
    for (long i = 0; i < count; i++) {
        struct client *c = &crowd->clients[crowd->count++];
        *c = (struct client){.to = to, .fd = -1};
        c->due = now_us() + crowd->pause * i / count; /* not all at once */
    }
}

static void watch_input(struct crowd *crowd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) {
        fail("standard input");
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[64];
    static struct crowd all;
    struct crowd *crowd = &all;
    int wait;

    if (argc < 4) {
        fprintf(stderr, "usage: crowd NAME PAUSE_MS ADDRESS:PORT=COUNT...\n");
        return 64;
    }
    crowd->name = argv[1];
    crowd->pause = strtol(argv[2], NULL, 10) * 1000;
    crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (crowd->epoll < 0) {
        fail("epoll");
    }
    for (int i = 3; i < argc; i++) {
        add(crowd, argv[i]);
    }
    watch_input(crowd);
    while ((wait = turn(crowd)) >= 0) {
        int n = epoll_wait(crowd->epoll, events, 64, wait);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                happened(crowd, events[i].data.ptr);
            } else {
                crowd->ending = true;
                epoll_ctl(crowd->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            }
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
