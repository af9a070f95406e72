/* relay.c - see the header. Decides nothing: rcore.c does. */
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper_internal.h"
#include "livy-ha/clock.h"
#include "livy-ha/ipc.h"
#include "livy-ha/log.h"
#include "livy-ha/packet.h"

#define MAX_BATCH 16
#define END_WITHIN 1000 /* ms for a SIGKILL, at the daemon's end */

static void step(struct keeper *k, const struct rcore_event *event);

bool relay_wanted(const struct conf *conf)
{
    return strcmp(conf->front.listen, "off") != 0 || strcmp(conf->front.thrift_listen, "off") != 0 ||
           strcmp(conf->admin_listen, "off") != 0;
}

static void close_channel(struct keeper *k)
{
    if (k->relay.channel >= 0)
        close(k->relay.channel);
    k->relay.channel = -1;
    k->paired = false;
}

static void spawn(struct keeper *k)
{
    struct relay *r = &k->relay;
    char why[256];
    int pair[2] = {-1, -1};

    if (packet_pair(pair) != 0) {
        snprintf(why, sizeof(why), "socketpair: %s", strerror(errno));
    } else if (child_relay(k->conf, pair[1], &r->child, why, sizeof(why)) == 0) {
        close(pair[1]);
        r->channel = pair[0];
        struct epoll_event event = {.events = EPOLLIN, .data.fd = r->channel};
        if (epoll_ctl(k->epoll, EPOLL_CTL_ADD, r->channel, &event) == 0) {
            log_info("relay started, pid %d", (int)r->child.pid);
            return;
        }
        log_error("relay: epoll_ctl: %s", strerror(errno));
        child_signal(&r->child, SIGKILL); /* its end is reaped like any other */
        return;
    }
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    log_error("the relay could not be started: %s", why);
    step(k, &(struct rcore_event){.type = RCORE_EV_UNBORN, .text = why});
}

static void perform(struct keeper *k, const struct rcore_action *a)
{
    struct kcore_event fatal = {.type = KCORE_EV_FATAL, .status = a->code};
    struct ipc_msg ping = {.type = IPC_PING};

    switch (a->type) {
    case RCORE_ACT_SPAWN:
        spawn(k);
        break;
    case RCORE_ACT_KILL:
        log_warn("the relay (pid %d): %s: killing it", (int)k->relay.child.pid, a->text);
        child_signal(&k->relay.child, SIGKILL);
        break;
    case RCORE_ACT_PING:
        relay_send(k, &ping, -1);
        break;
    case RCORE_ACT_READY:
        if (a->text[0] != '\0')
            log_error("%s", a->text);
        keeper_tell_ready(k);
        break;
    case RCORE_ACT_FATAL:
        log_error("%s", a->text);
        keeper_step(k, &fatal);
        break;
    case RCORE_ACT_TELL:
        log_error("the relay: %s", a->text);
        break;
    }
}

static void step(struct keeper *k, const struct rcore_event *event)
{
    struct rcore_actions actions;

    rcore_step(&k->relay.core, event, clock_boot_ms(), &actions);
    for (size_t i = 0; i < actions.count; i++)
        perform(k, &actions.list[i]);
}

void relay_open(struct keeper *k, int64_t now)
{
    k->relay = (struct relay){.child = {.pidfd = -1, .status = -1}, .channel = -1};
    rcore_init(&k->relay.core, relay_wanted(k->conf), now);
}

void relay_time(struct keeper *k)
{
    step(k, &(struct rcore_event){.type = RCORE_EV_TIME});
}

void relay_send(struct keeper *k, struct ipc_msg *msg, int fd)
{
    char why[128];

    if (k->relay.channel < 0 || ipc_send(k->relay.channel, msg, fd) == 0 || errno == EPIPE)
        return;
    snprintf(why, sizeof(why), "it does not take messages (%s)", strerror(errno));
    step(k, &(struct rcore_event){.type = RCORE_EV_GARBLED, .text = why});
}

void relay_readable(struct keeper *k)
{
    struct relay *r = &k->relay;
    struct ipc_msg msg;
    int fd, rc = 0;

    for (int n = 0; r->channel >= 0 && n < MAX_BATCH && (rc = ipc_recv(r->channel, &msg, &fd)) == 1; n++) {
        if (fd >= 0)
            close(fd);
        step(k, &(struct rcore_event){
                    .type = RCORE_EV_SAID, .message = msg.type, .code = msg.code, .text = msg.text});
    }
    if (rc < 0) {
        bool ended = errno == EPIPE || errno == ECONNRESET;
        epoll_ctl(k->epoll, EPOLL_CTL_DEL, r->channel, NULL);
        if (!ended)
            step(k, &(struct rcore_event){.type = RCORE_EV_GARBLED, .text = "a message of it is not one"});
    }
    helpers_pair(k);
}

void relay_reaped(struct keeper *k, int status)
{
    struct relay *r = &k->relay;

    relay_readable(k); /* its last words */
    if (status >= 256)
        log_warn("the relay (pid %d) was killed by signal %d", (int)r->child.pid, status - 256);
    else
        log_warn("the relay (pid %d) exited with status %d%s", (int)r->child.pid, status,
                 r->core.said_hello ? "" : " before it said a word");
    close_channel(k);
    child_forget(&r->child);
    step(k, &(struct rcore_event){.type = RCORE_EV_EXITED});
}

void relay_close(struct keeper *k)
{
    struct relay *r = &k->relay;
    struct pollfd dead = {.fd = r->child.pidfd, .events = POLLIN};

    close_channel(k);
    if (r->child.pid == 0)
        return;
    child_signal(&r->child, SIGKILL);
    /* Who starts the daemon again at once finds its ports free. */
    if (poll(&dead, 1, END_WITHIN) == 1)
        waitpid(r->child.pid, NULL, WNOHANG);
    child_forget(&r->child);
}
