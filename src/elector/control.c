/* control.c - see control.h: the listening socket, the connections and their deadlines, the answers.
 *
 * It never waits and never looks at what an answer says. The head's syntax is control_http.c's.
 */
#include "control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control_http.h"
#include "livy-ha/log.h"

#define CONTROL_CONNECTIONS 64
#define CONTROL_SECONDS 10
#define CONTROL_MODE 0660
#define CONTROL_BACKLOG 128

/* A connection reads the head, reads and drops the body, is answered, and then only drops what still comes
 * until the client closes: closing with unread bytes would be a reset, and could cost the client its answer.
 */
enum control_phase { CONTROL_READ_HEAD, CONTROL_READ_BODY, CONTROL_ANSWERED };

struct control_client {
    struct control *control; /* NULL: the slot is free */
    struct bufferevent *bev;
    struct event *deadline;
    enum control_phase phase;
    bool half_closed; /* the client has shut its side and waits for the answer */
    size_t body_left;
    size_t searched; /* bytes of the head in which no end was found */
    struct control_head head;
    char text[CONTROL_HEAD_MAX]; /* what `head` points into */
};

struct control {
    struct event_base *base;
    control_handler *handler;
    void *arg;
    int fd;
    struct event *listener;
    struct event *retry; /* takes up listening again after accept(2) lacked resources */
    bool short_of;       /* … which was logged, and has not ended yet */
    dev_t dev;           /* the socket file as it was made */
    ino_t ino;
    char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
    size_t n_clients;
    struct control_client clients[CONTROL_CONNECTIONS];
};

static void control_listen(struct control *control)
{
    if (event_add(control->listener, NULL) != 0)
        log_error("control socket %s: cannot wait for connections: out of memory", control->path);
}

static void client_close(struct control_client *client)
{
    struct control *control = client->control;

    bufferevent_free(client->bev);
    event_free(client->deadline);
    client->control = NULL;
    if (control->n_clients-- == CONTROL_CONNECTIONS)
        control_listen(control);
}

/* Sends the answer. `body` may be NULL: the status' own error object, or an empty one below 400. */
static void client_answer(struct control_client *client, int status, const char *body, bool headless)
{
    struct evbuffer *output = bufferevent_get_output(client->bev);
    const char *phrase = control_http_phrase(status);
    char fallback[128];
    int rc;

    client->phase = CONTROL_ANSWERED;
    if (body == NULL) {
        if (status >= 400)
            (void)snprintf(fallback, sizeof fallback, "{\"error\":\"%s\"}", phrase);
        else
            (void)snprintf(fallback, sizeof fallback, "{}");
        body = fallback;
    }
    rc = evbuffer_add_printf(output,
                             "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                             "Cache-Control: no-store\r\n%sConnection: close\r\n\r\n",
                             status, phrase, strlen(body) + 1,
                             status == 405 ? "Allow: GET, HEAD, POST\r\n" : "");
    if (rc >= 0 && !headless)
        rc = evbuffer_add_printf(output, "%s\n", body);
    if (rc < 0)
        client_close(client);
}

static void client_handle(struct control_client *client)
{
    struct control *control = client->control;
    const struct control_request request = {
        .post = client->head.method == CONTROL_POST,
        .path = client->head.path,
        .query = client->head.query,
    };
    char *body = NULL;
    const int status = control->handler(control->arg, &request, &body);

    client_answer(client, status, body, client->head.method == CONTROL_HEAD);
    free(body);
}

/* Takes the head out of `input` once it is all there. Returns false while more is needed. */
static bool client_read_head(struct control_client *client, struct evbuffer *input)
{
    const size_t length = evbuffer_get_length(input);
    const size_t limit = length < CONTROL_HEAD_MAX ? length : CONTROL_HEAD_MAX;
    size_t end = 0;
    int status;

    if (evbuffer_copyout(input, client->text, limit) != (ev_ssize_t)limit)
        return false;
    for (size_t i = client->searched; i < limit && end == 0; i++) {
        if (client->text[i] != '\n')
            continue;
        if ((i >= 1 && client->text[i - 1] == '\n') ||
            (i >= 2 && client->text[i - 1] == '\r' && client->text[i - 2] == '\n'))
            end = i + 1;
    }
    client->searched = limit;
    if (end == 0) {
        if (limit == CONTROL_HEAD_MAX)
            client_answer(client, 431, NULL, false);
        return limit == CONTROL_HEAD_MAX;
    }
    (void)evbuffer_drain(input, end);
    status = control_http_parse(client->text, end, &client->head);
    if (status != 0) {
        client_answer(client, status, NULL, client->head.method == CONTROL_HEAD);
        return true;
    }
    client->body_left = client->head.content_length;
    client->phase = CONTROL_READ_BODY;
    if (client->head.expects_continue && client->body_left > 0)
        (void)evbuffer_add_printf(bufferevent_get_output(client->bev), "HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

static void client_on_read(struct bufferevent *bev, void *arg)
{
    struct control_client *client = arg;
    struct evbuffer *input = bufferevent_get_input(bev);

    if (client->phase == CONTROL_READ_HEAD && !client_read_head(client, input))
        return;
    if (client->control == NULL) /* closed while answering */
        return;
    if (client->phase == CONTROL_READ_BODY) {
        const size_t length = evbuffer_get_length(input);
        const size_t dropped = length < client->body_left ? length : client->body_left;

        (void)evbuffer_drain(input, dropped);
        client->body_left -= dropped;
        if (client->body_left == 0)
            client_handle(client);
        return;
    }
    if (client->phase == CONTROL_ANSWERED)
        (void)evbuffer_drain(input, evbuffer_get_length(input));
}

/* All is written: tell the client so. It closes, and that ends the connection. */
static void client_on_write(struct bufferevent *bev, void *arg)
{
    struct control_client *client = arg;

    if (client->phase != CONTROL_ANSWERED)
        return;
    if (client->half_closed || shutdown(bufferevent_getfd(bev), SHUT_WR) != 0)
        client_close(client);
}

static void client_on_event(struct bufferevent *bev, short what, void *arg)
{
    struct control_client *client = arg;

    /* A client may shut its side once it has sent the request (nc -N does) and still read the answer. */
    if ((what & BEV_EVENT_EOF) != 0 && client->phase == CONTROL_ANSWERED &&
        evbuffer_get_length(bufferevent_get_output(bev)) > 0) {
        client->half_closed = true;
        return;
    }
    client_close(client);
}

static void client_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    client_close(arg);
}

/* Takes over `fd`. */
static void client_open(struct control *control, int fd)
{
    const struct timeval limit = {.tv_sec = CONTROL_SECONDS};
    struct control_client *client = control->clients;

    while (client->control != NULL)
        client++; /* there is a free one: nobody is accepted at the limit */
    client->bev = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (client->bev == NULL) {
        close(fd);
        return;
    }
    client->deadline = evtimer_new(control->base, client_on_deadline, client);
    if (client->deadline == NULL || evtimer_add(client->deadline, &limit) != 0) {
        if (client->deadline != NULL)
            event_free(client->deadline);
        bufferevent_free(client->bev);
        return;
    }
    client->control = control;
    client->phase = CONTROL_READ_HEAD;
    client->half_closed = false;
    client->body_left = 0;
    client->searched = 0;
    if (++control->n_clients == CONTROL_CONNECTIONS)
        (void)event_del(control->listener);
    bufferevent_setcb(client->bev, client_on_read, client_on_write, client_on_event, client);
    bufferevent_setwatermark(client->bev, EV_READ, 0, (size_t)2 * CONTROL_HEAD_MAX);
    if (bufferevent_enable(client->bev, EV_READ | EV_WRITE) != 0)
        client_close(client);
}

static void control_on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    control_listen(arg);
}

static void control_on_accept(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval pause = {.tv_usec = 100000};
    struct control *control = arg;
    const int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)what;
    if (client >= 0) {
        if (control->short_of)
            log_info("control socket %s: connections are accepted again", control->path);
        control->short_of = false;
        client_open(control, client);
        return;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        /* The connection stays queued and the descriptor readable: without a pause this would spin. */
        if (!control->short_of)
            log_warn("control socket %s: cannot accept a connection: %s; trying on", control->path,
                     strerror(errno));
        control->short_of = true;
        (void)event_del(control->listener);
        (void)evtimer_add(control->retry, &pause);
    }
}

static int control_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Removes a socket file that a dead daemon has left. Returns 0 where the path is free. */
static int control_clear(const struct sockaddr_un *address, char *why, unsigned long size)
{
    struct stat status;
    bool answered;
    int error;
    int fd;

    if (lstat(address->sun_path, &status) != 0) {
        if (errno == ENOENT)
            return 0;
        (void)snprintf(why, size, "control socket %s: %s: check runtime_dir and control.socket",
                       address->sun_path, strerror(errno));
        return -1;
    }
    if (!S_ISSOCK(status.st_mode)) {
        (void)snprintf(why, size,
                       "control socket %s: a file that is no socket is in its place: move it away, or set "
                       "control.socket to another path",
                       address->sun_path);
        return -1;
    }
    fd = control_socket();
    if (fd < 0) {
        (void)snprintf(why, size, "control socket %s: %s", address->sun_path, strerror(errno));
        return -1;
    }
    answered = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    error = errno;
    close(fd);
    if (answered || error == EAGAIN) { /* EAGAIN: somebody listens, with a full queue */
        (void)snprintf(why, size,
                       "control socket %s: another livy-ha answers on it: stop that one, or give this one a "
                       "runtime_dir of its own",
                       address->sun_path);
        return -1;
    }
    if (error == ENOENT)
        return 0;
    if (error != ECONNREFUSED || (unlink(address->sun_path) != 0 && errno != ENOENT)) {
        if (error == ECONNREFUSED)
            error = errno;
        (void)snprintf(why, size, "control socket %s: the old socket file is in the way: %s: remove it",
                       address->sun_path, strerror(error));
        return -1;
    }
    return 0;
}

/* The mode is set before the name exists (Linux takes it from the descriptor, less the umask), so that there
 * is no moment at which the file is wider; once more afterwards, since a narrow umask may have taken too
 * much. */
static int control_bind(struct control *control, const struct sockaddr_un *address, char *why,
                        unsigned long size)
{
    struct stat status;

    control->fd = control_socket();
    if (control->fd >= 0 && fchmod(control->fd, CONTROL_MODE) == 0 &&
        bind(control->fd, (const struct sockaddr *)address, sizeof *address) == 0) {
        if (chmod(address->sun_path, CONTROL_MODE) == 0 && lstat(address->sun_path, &status) == 0 &&
            listen(control->fd, CONTROL_BACKLOG) == 0) {
            control->dev = status.st_dev;
            control->ino = status.st_ino;
            return 0;
        }
        (void)snprintf(why, size, "control socket %s: %s", address->sun_path, strerror(errno));
        (void)unlink(address->sun_path);
    } else {
        (void)snprintf(why, size,
                       "control socket %s: %s: the directory must exist and be writable for livy-ha",
                       address->sun_path, strerror(errno));
    }
    if (control->fd >= 0)
        close(control->fd);
    control->fd = -1;
    return -1;
}

struct control *control_open(struct event_base *base, const char *path, control_handler *handler, void *arg,
                             char *why, unsigned long size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct control *control;

    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
        (void)snprintf(why, size, "control socket %s: the path must have 1 to %zu bytes: set control.socket",
                       path, sizeof address.sun_path - 1);
        return NULL;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (control_clear(&address, why, size) != 0)
        return NULL;
    control = calloc(1, sizeof *control);
    if (control == NULL) {
        (void)snprintf(why, size, "control socket %s: out of memory", path);
        return NULL;
    }
    control->base = base;
    control->handler = handler;
    control->arg = arg;
    memcpy(control->path, path, strlen(path));
    if (control_bind(control, &address, why, size) != 0) {
        free(control);
        return NULL;
    }
    control->listener = event_new(base, control->fd, EV_READ | EV_PERSIST, control_on_accept, control);
    control->retry = evtimer_new(base, control_on_retry, control);
    if (control->listener == NULL || control->retry == NULL || event_add(control->listener, NULL) != 0) {
        (void)snprintf(why, size, "control socket %s: out of memory", path);
        control_close(control);
        return NULL;
    }
    return control;
}

void control_close(struct control *control)
{
    struct stat status;

    if (control == NULL)
        return;
    for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
        if (control->clients[i].control != NULL)
            client_close(&control->clients[i]);
    }
    if (control->listener != NULL)
        event_free(control->listener);
    if (control->retry != NULL)
        event_free(control->retry);
    /* A successor may have put its own socket there. */
    if (lstat(control->path, &status) == 0 && status.st_dev == control->dev && status.st_ino == control->ino)
        (void)unlink(control->path);
    close(control->fd);
    free(control);
}
