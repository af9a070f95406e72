/* fuzz_httpd.c - libFuzzer: the small server, on any bytes that a client may send before it shuts its side.
 * It answers or closes, calls the handler once at most, and forgets the connection.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "httpd.h"

#define INPUT_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bed {
    struct event_base *base;
    struct httpd *httpd;
    struct httpd_exchange *later;
    struct sockaddr_un address;
    int handled;
};

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_httpd: %s\n", what);
    abort();
}

static void handler(void *arg, struct httpd_exchange *exchange, const struct httpd_request *request)
{
    struct bed *bed = arg;

    bed->handled++;
    check(request->path[0] == '/', "a path that is none");
    if (strstr(request->path, "later") != NULL)
        bed->later = exchange;
    else
        httpd_answer(exchange, &(struct httpd_reply){.status = 200, .body = request->path, .length = 1});
}

static void on_gone(void *arg, struct httpd_exchange *exchange)
{
    struct bed *bed = arg;

    check(bed->later == exchange, "gone, but nobody waits for it");
    bed->later = NULL;
}

/* A server of its own for each input: what it forgets to free is a leak. */
static void bed_open(struct bed *bed)
{
    char why[256] = "";
    const struct httpd_options options = {.path = bed->address.sun_path,
                                          .name = "fuzz",
                                          .posts = true,
                                          .connections = 4,
                                          .seconds = 60,
                                          .handler = handler,
                                          .gone = on_gone,
                                          .arg = bed};

    check(signal(SIGPIPE, SIG_IGN) != SIG_ERR, "signal");
    bed->address.sun_family = AF_UNIX;
    (void)snprintf(bed->address.sun_path, sizeof bed->address.sun_path, "/tmp/livy-ha-fuzz-%d.sock",
                   (int)getpid());
    bed->base = event_base_new();
    check(bed->base != NULL, "event_base_new");
    bed->httpd = httpd_open(bed->base, &options, why, sizeof why);
    check(bed->httpd != NULL, why);
}

/* Runs the loop until the connection has ended; the answer's length. */
static size_t read_answer(struct bed *bed, int fd, char *answer, size_t size)
{
    size_t length = 0;
    ssize_t n;

    for (;;) {
        check(event_base_loop(bed->base, EVLOOP_NONBLOCK) >= 0, "event_base_loop");
        if (bed->later != NULL) {
            httpd_answer(bed->later, &(struct httpd_reply){.status = 202});
            bed->later = NULL;
        }
        n = recv(fd, answer + length, size - 1 - length, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        length += n > 0 ? (size_t)n : 0;
    }
    answer[length] = '\0';
    return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bed bed = {0};
    char answer[4096];
    int fd;

    if (size > INPUT_MAX)
        return 0;
    bed_open(&bed);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0 && connect(fd, (const struct sockaddr *)&bed.address, sizeof bed.address) == 0, "connect");
    check(size == 0 || send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size, "send");
    check(shutdown(fd, SHUT_WR) == 0, "shutdown");
    if (read_answer(&bed, fd, answer, sizeof answer) > 0)
        check(strncmp(answer, "HTTP/1.1 ", 9) == 0 && strstr(answer, "\r\n\r\n") != NULL,
              "no answer of HTTP");
    else
        check(bed.handled == 0, "handled, but not answered");
    check(bed.handled <= 1, "handled twice");
    close(fd);
    httpd_close(bed.httpd);
    event_base_free(bed.base);
    return 0;
}
