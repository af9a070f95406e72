/* ear.c - takes livy-ha-relay's place in tests of what keeper and elector say to it: an ear that writes down
 * each view as it comes, one line of JSON, and answers as a test wants it to. It serves nobody and opens no
 * port.
 *
 * <EAR_DIR>/<id>.views gets the lines; <EAR_DIR>/<id>.ear, where there is one, is a list of words, read again
 * every few milliseconds: running=N and held=N (what it says of requests that run, or wait), mute (no word at
 * all), no-ready, no-pong, fatal=CODE (instead of READY), exit-at-once; in an elector's place:
 * exit-when-welcomed, fatal-when-welcomed. It shares livy-ha's messages and nothing else.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "livy-ha/conf.h"
#include "livy-ha/front.h"
#include "livy-ha/ipc.h"

#define CHANNEL 3
#define CONF 4

struct ear {
    char id[160], dir[512];
    int peer;
    FILE *views;
    uint64_t serial;
    unsigned told_running, told_held;
    bool ready;
};

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* The value of a word, "" for one without; NULL where it is not there. */
static const char *word(const struct ear *ear, const char *name, char text[static 256])
{
    char path[1024], *save = NULL;
    snprintf(path, sizeof path, "%s/%s.ear", ear->dir, ear->id);
    FILE *file = fopen(path, "re");
    if (!file) {
        return NULL;
    }
    text[fread(text, 1, 255, file)] = '\0';
    fclose(file);
    for (char *at = strtok_r(text, ", \n", &save); at; at = strtok_r(NULL, ", \n", &save)) {
        size_t length = strcspn(at, "=");
        if (length == strlen(name) && strncmp(at, name, length) == 0) {
            return at[length] ? at + length + 1 : "";
        }
    }
    return NULL;
}

static void say(uint32_t type, int code)
{
    struct ipc_msg msg = {.type = type, .code = code};
    snprintf(msg.text, sizeof msg.text, "%s", type == IPC_FATAL ? "the ear was told to give up" : "");
    if (ipc_send(CHANNEL, &msg, -1) != 0) {
        exit(0);
    }
}

static unsigned number(const struct ear *ear, const char *name)
{
    char text[256];
    const char *value = word(ear, name, text);
    return value ? (unsigned)strtoul(value, NULL, 10) : 0;
}

static void tell_counts(struct ear *ear)
{
    struct front_msg msg = {
        .type = FRONT_COUNTS,
        .counts = {.serial = ear->serial, .running = number(ear, "running"), .held = number(ear, "held")}};
    ear->told_running = msg.counts.running;
    ear->told_held = msg.counts.held;
    if (ear->peer >= 0 && front_send(ear->peer, &msg, -1) != 0 && errno == EPIPE) {
        close(ear->peer);
        ear->peer = -1;
    }
}

static void hear_view(struct ear *ear, const struct front_msg *msg)
{
    const struct front_view *view = &msg->view;
    fprintf(ear->views,
            "{\"at\": %lld, \"sent\": %lld, \"pid\": %d, \"serial\": %llu, \"route\": \"%s\", \"mode\": %u, "
            "\"tls\": %u, "
            "\"ending\": %u, "
            "\"yield\": %u, \"left\": %lld, \"epoch\": %lld, \"id\": \"%s\", \"livy_url\": \"%s\", "
            "\"front_url\": "
            "\"%s\"}\n",
            now_ns(), (long long)msg->sent_at * 1000000, (int)getpid(), (unsigned long long)view->serial,
            front_route_name(view->route), view->mode, view->tls, view->ending, view->yield,
            (long long)view->valid_until - now_ns() / 1000000, (long long)view->epoch, view->id,
            view->livy_url, view->front_url);
    fflush(ear->views);
    ear->serial = view->serial;
    tell_counts(ear);
}

static void hear_elector(struct ear *ear)
{
    struct front_msg msg;
    int fd = -1, rc = 0;
    while (ear->peer >= 0 && (rc = front_recv(ear->peer, &msg, &fd)) == 1) {
        if (fd >= 0) {
            close(fd);
        }
        if (msg.type == FRONT_VIEW) {
            hear_view(ear, &msg);
        }
    }
    if (rc < 0) {
        close(ear->peer);
        ear->peer = -1;
    }
}

static void hear_keeper(struct ear *ear)
{
    struct ipc_msg msg;
    char text[256];
    int fd = -1, rc;
    while ((rc = ipc_recv(CHANNEL, &msg, &fd)) == 1) {
        if (msg.type == IPC_PING && !word(ear, "no-pong", text)) {
            say(IPC_PONG, 0);
        }
        if (msg.type == IPC_WELCOME && word(ear, "exit-when-welcomed", text)) {
            exit(1);
        }
        if (msg.type == IPC_WELCOME && word(ear, "fatal-when-welcomed", text)) {
            say(IPC_FATAL, 78);
        }
        if (msg.type == IPC_PEER && fd >= 0) {
            if (ear->peer >= 0) {
                close(ear->peer);
            }
            ear->peer = fd;
            ear->serial = 0;
        } else if (fd >= 0) {
            close(fd);
        }
    }
    if (rc < 0) {
        exit(0);
    }
}

static void begin(struct ear *ear)
{
    char path[1024], text[256];
    struct conf_report report = {0};
    struct conf *conf = conf_read(CONF, &report);
    const char *dir = getenv("EAR_DIR");
    if (!conf || !dir) {
        exit(78);
    }
    snprintf(ear->id, sizeof ear->id, "%s", conf->id);
    snprintf(ear->dir, sizeof ear->dir, "%s", dir);
    conf_free(conf);
    snprintf(path, sizeof path, "%s/%s.views", dir, ear->id);
    ear->views = fopen(path, "ae");
    if (!ear->views || word(ear, "exit-at-once", text)) {
        exit(1);
    }
    if (!word(ear, "mute", text)) {
        say(IPC_HELLO, 0);
    }
}

static void get_ready(struct ear *ear)
{
    char text[256];
    const char *code = word(ear, "fatal", text);
    if (ear->ready || word(ear, "no-ready", text) || word(ear, "mute", text)) {
        return;
    }
    ear->ready = true;
    if (code) {
        say(IPC_FATAL, (int)strtol(code, NULL, 10));
        exit((int)strtol(code, NULL, 10));
    }
    say(IPC_READY, 0);
}

int main(void)
{
    struct ear ear = {.peer = -1};
    begin(&ear);
    for (;;) {
        struct pollfd look[2] = {{.fd = CHANNEL, .events = POLLIN}, {.fd = ear.peer, .events = POLLIN}};
        get_ready(&ear);
        if (poll(look, 2, 5) < 0 && errno != EINTR) {
            return 1;
        }
        hear_keeper(&ear);
        hear_elector(&ear);
        if (ear.peer >= 0 && ear.serial > 0 &&
            (number(&ear, "running") != ear.told_running || number(&ear, "held") != ear.told_held)) {
            tell_counts(&ear);
        }
    }
}
