/* helpers.c - the elector as a process, its channel, and the one between elector and relay. Decides nothing:
 * kcore.c does. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "keeper_internal.h"
#include "livy-ha/ipc.h"
#include "livy-ha/log.h"
#include "livy-ha/packet.h"

#define MAX_BATCH 64

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void helpers_spawn_elector(struct keeper *k)
{
    char why[256], argument[128];
    int pair[2] = {-1, -1};
    struct child_program *program = &k->program[UCORE_ELECTOR];
    bool open = program->fd >= 0 || child_program_open(program, "livy-ha-elector", why, sizeof(why)) == 0;

    k->elector_conf = k->reloads;
    if (open && packet_pair(pair) != 0) {
        snprintf(why, sizeof(why), "socketpair: %s", strerror(errno));
    } else if (open && child_elector(program, k->conf, k->livyconf, pair[1], k->lock,
                                     upgrade_argument(k, argument, sizeof(argument)), false, &k->elector, why,
                                     sizeof(why)) == 0) {
        close(pair[1]);
        k->channel = pair[0];
        struct epoll_event event = {.events = EPOLLIN, .data.fd = k->channel};
        if (epoll_ctl(k->epoll, EPOLL_CTL_ADD, k->channel, &event) == 0) {
            log_info("elector started, pid %d", (int)k->elector.pid);
            return;
        }
        snprintf(why, sizeof(why), "epoll_ctl: %s", strerror(errno));
        child_signal(&k->elector, SIGKILL); /* its end is reaped like any other */
        log_error("elector: %s", why);
        return;
    }
    close_fd(&pair[0]);
    close_fd(&pair[1]);
    log_error("the elector could not be started: %s", why);
    keeper_step(k, &(struct kcore_event){.type = KCORE_EV_ELECTOR_EXITED, .status = 1});
}

static void tell_end(const struct keeper *k, int status)
{
    if (status >= 256)
        log_warn("the elector (pid %d) was killed by signal %d", (int)k->elector.pid, status - 256);
    else if (!k->core.elector_said_hello)
        log_error("the elector (pid %d) ended with status %d before it said a word%s", (int)k->elector.pid,
                  status, status == 127 ? ": it could not be run" : "");
    else if (status != 0)
        log_warn("the elector (pid %d) exited with status %d", (int)k->elector.pid, status);
}

/* A memfd each for elector and relay: they share no position in it. */
static void reload_elector(struct keeper *k)
{
    struct ipc_msg msg = {.type = IPC_RELOAD, .pending_restart = k->pending_restart};
    int fd = child_conf_memfd(k->conf);

    k->elector_conf = k->reloads;
    if (fd < 0 || (k->channel >= 0 && ipc_send(k->channel, &msg, fd) != 0)) {
        log_error("the elector could not be given the new configuration (%s): a new one takes over",
                  strerror(errno));
        child_signal(&k->elector, SIGKILL);
    }
    close_fd(&fd);
}

void helpers_tell(struct keeper *k, struct ipc_msg *msg, int fd)
{
    if (k->channel < 0 || ipc_send(k->channel, msg, fd) == 0 || errno == EPIPE)
        return;
    /* It does not read: hung. A new one takes over. */
    log_warn("the elector does not take messages (%s): killing it", strerror(errno));
    child_signal(&k->elector, SIGKILL);
}

void helpers_send(struct keeper *k, const struct kcore_action *a)
{
    struct ipc_msg msg = {.type = a->message, .run = a->answer};
    int fd = a->with_pidfd ? k->livy.pidfd : -1;

    kcore_livy(&k->core, &msg.livy);
    msg.kill_at = k->core.kill_at;
    if (a->message == IPC_LIVY)
        msg.code = (int32_t)k->core.why;
    if (a->message == IPC_LEASED)
        msg.code = said_waits(&k->said) ? 1 : 0;
    msg.quitting = k->core.quitting;
    msg.pending_restart = k->pending_restart;
    bool alive = a->message == IPC_LIVY && msg.livy.state == IPC_LIVY_ALIVE;
    if (a->message == IPC_WELCOME && k->core.livy == KCORE_NONE)
        keeper_describe_livy(k);
    snprintf(msg.text, sizeof(msg.text), "%s",
             alive || a->message == IPC_WELCOME ? k->livy_at : k->core.text);
    if (a->message == IPC_WELCOME && k->core.has_session)
        msg.session = k->core.session;
    if (a->message == IPC_FENCED || a->type == KCORE_ACT_REFUSE_FENCE)
        fence_message(&k->core, a, &msg);
    helpers_tell(k, &msg, fd);
    if (a->message == IPC_WELCOME)
        held_welcomed(k);
    if (a->message == IPC_WELCOME && k->elector_conf != k->reloads) /* since it was started */
        reload_elector(k);
}

void helpers_drain(struct keeper *k, bool last_words)
{
    static struct ipc_msg batch[MAX_BATCH]; /* one thread; large for a stack */
    size_t n = 0;
    int fd, rc = 0;

    while (k->channel >= 0 && n < MAX_BATCH && (rc = ipc_recv(k->channel, &batch[n], &fd)) == 1) {
        close_fd(&fd);
        n++;
    }
    if (rc < 0) {
        if (errno != EPIPE && errno != ECONNRESET) {
            log_error("a message of the elector is not one (%s): killing it", strerror(errno));
            child_signal(&k->elector, SIGKILL);
        }
        epoll_ctl(k->epoll, EPOLL_CTL_DEL, k->channel, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        struct kcore_event event = {.type = KCORE_EV_MESSAGE, .msg = &batch[i], .superseded = n == MAX_BATCH};
        if ((last_words || upgrade_has_killed(k)) && batch[i].type == IPC_RELEASING)
            continue;
        for (size_t j = i + 1; j < n; j++)
            event.superseded |= batch[j].type == IPC_STOP || batch[j].type == IPC_RELEASING;
        if (batch[i].type == IPC_FATAL) {
            log_error("%s", batch[i].text);
            if (upgrade_fatal(k, &batch[i]))
                continue;
        }
        keeper_step(k, &event);
        if (batch[i].type == IPC_CHANGED) {
            hook_changed(k, &batch[i]);
            held_changed(k, &batch[i]);
        }
        held_ordered(k, &batch[i]);
        upgrade_heard(k, batch[i].type);
    }
    helpers_pair(k);
}

void helpers_elector_ended(struct keeper *k, int status)
{
    helpers_drain(k, true);
    if (k->upgrade.core.state != UCORE_SWAPPING)
        tell_end(k, status);
    close_fd(&k->channel);
    child_forget(&k->elector);
    k->paired = false;
    if (!upgrade_take_office(k))
        keeper_step(k, &(struct kcore_event){.type = KCORE_EV_ELECTOR_EXITED, .status = status});
}

/* Each of the two drops the older channel that it may have for this one. */
void helpers_pair(struct keeper *k)
{
    struct ipc_msg to_elector = {.type = IPC_PEER}, to_relay = {.type = IPC_PEER};
    int pair[2];

    if (k->paired || !k->core.elector_said_hello || k->channel < 0 || !k->relay.core.said_hello ||
        k->relay.channel < 0)
        return;
    if (packet_pair(pair) != 0) {
        log_error("elector and relay get no channel: socketpair: %s", strerror(errno));
        return; /* with the next message of either */
    }
    k->paired = true;
    helpers_tell(k, &to_elector, pair[0]);
    relay_send(k, &to_relay, pair[1]);
    close_fd(&pair[0]);
    close_fd(&pair[1]);
}

void helpers_reload_relay(struct keeper *k)
{
    struct ipc_msg msg = {.type = IPC_RELOAD, .pending_restart = k->pending_restart};
    int fd = k->relay.channel >= 0 ? child_conf_memfd(k->conf) : -1;

    if (fd >= 0) {
        relay_send(k, &msg, fd);
    } else if (k->relay.channel >= 0) {
        log_error("the relay could not be given the new configuration (%s): a new one takes over",
                  strerror(errno));
        child_signal(&k->relay.child, SIGKILL);
    }
    close_fd(&fd);
}

void helpers_reload(struct keeper *k)
{
    k->reloads++;
    if (k->core.elector_said_hello) /* else after WELCOME: what comes before it is not read */
        reload_elector(k);
    helpers_reload_relay(k);
}
