/* channels.c - what keeper (ipc.h) and elector (front.h) say to the relay, and its answers. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "livy-ha/ipc.h"
#include "livy-ha/log.h"
#include "livy-ha/portowner.h"
#include "relay.h"

/* ---- the keeper
 * ---------------------------------------------------------------------------------------------
 */

static void say(struct relay *relay, struct ipc_msg *msg)
{
    if (ipc_send(relay->channel, msg, -1) != 0 && errno != EPIPE)
        log_debug("the keeper does not take %s: %s", ipc_type_name(msg->type), strerror(errno));
}

void channels_say(struct relay *relay, uint32_t type)
{
    say(relay, &(struct ipc_msg){.type = type});
}

void channels_hello(struct relay *relay)
{
    say(relay, &(struct ipc_msg){.type = IPC_HELLO, .run = FRONT_MAGIC, .text = LIVY_HA_VERSION});
}

static void name_of(pid_t pid, char *name, size_t size)
{
    char path[64];

    name[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    if (fgets(name, (int)size, file) != NULL)
        name[strcspn(name, "\n")] = '\0';
    fclose(file);
}

/* Not only a port that is taken: whatever keeps us from listening. */
void channels_fatal_port(struct relay *relay, int error, long port, const char *why)
{
    struct ipc_msg msg = {.type = IPC_FATAL, .code = 75};
    char name[32];
    pid_t owner = 0;

    snprintf(msg.text, sizeof(msg.text), "%.200s", why);
    if (error == EADDRINUSE && portowner_find((int)port, getpid(), &owner) == 0 && owner > 0) {
        name_of(owner, name, sizeof(name));
        snprintf(msg.text, sizeof(msg.text), "%.180s: it is process %d%s%s%s", why, (int)owner,
                 name[0] != '\0' ? " (" : "", name, name[0] != '\0' ? ")" : "");
    }
    log_error("%s", msg.text);
    say(relay, &msg);
}

static void reload(struct relay *relay, int fd)
{
    struct conf_report report = {0};
    struct conf *fresh = fd >= 0 ? conf_read(fd, &report) : NULL;

    if (fresh == NULL) {
        log_error("reload: %s", report.n_errors > 0 ? report.errors[0] : "no configuration came along");
        conf_report_clear(&report);
        return;
    }
    conf_report_clear(&report);
    relay_configure(relay, fresh);
    log_open("relay", fresh->log_level, fresh->log_format);
}

static void told(struct relay *relay, const struct ipc_msg *msg, int *fd)
{
    switch ((enum ipc_type)msg->type) {
    case IPC_RELOAD:
        reload(relay, *fd);
        break;
    case IPC_PING:
        channels_say(relay, IPC_PONG);
        break;
    case IPC_PEER:
        if (*fd >= 0)
            channels_peer(relay, *fd);
        *fd = -1;
        break;
    case IPC_HANDOVER:
        if (*fd >= 0)
            handover_channel(relay, *fd);
        *fd = -1;
        break;
    case IPC_RETIRE:
        handover_retire(relay);
        break;
    case IPC_HELLO:
    case IPC_READY:
    case IPC_START:
    case IPC_LEASE:
    case IPC_STOP:
    case IPC_SESSION:
    case IPC_RELEASING:
    case IPC_STATUS:
    case IPC_PONG:
    case IPC_FATAL:
    case IPC_FENCE:
    case IPC_ASK:
    case IPC_WELCOME:
    case IPC_LIVY:
    case IPC_LEASED:
    case IPC_QUIT:
    case IPC_LEAVE:
    case IPC_FENCED:
    case IPC_REQUEST:
    case IPC_CHANGED:
    case IPC_RENEW:
    case IPC_LOOK:
    case IPC_ANSWER:
    case IPC_HELD:
        break;
    }
}

static void on_channel(evutil_socket_t socket, short what, void *arg)
{
    struct relay *relay = arg;
    struct ipc_msg msg;
    int fd, rc;

    (void)what;
    while ((rc = ipc_recv(socket, &msg, &fd)) == 1) {
        told(relay, &msg, &fd);
        if (fd >= 0)
            close(fd);
    }
    if (rc == 0)
        return;
    if (errno != EPIPE && errno != ECONNRESET)
        log_error("a message of the keeper is not one: %s", strerror(errno));
    event_base_loopbreak(relay->base); /* without it there is nothing to serve */
}

/* ---- the elector
 * --------------------------------------------------------------------------------------------
 */

static void hang_up(struct relay *relay)
{
    if (relay->on_peer != NULL)
        event_free(relay->on_peer);
    relay->on_peer = NULL;
    if (relay->peer >= 0)
        close(relay->peer);
    relay->peer = -1;
}

void channels_counts(struct relay *relay)
{
    struct front_msg msg = {
        .type = FRONT_COUNTS,
        .counts = {.serial = relay->view.serial,
                   .running = (uint32_t)(relay->stats.running + relay->stats.running_before),
                   .held = (uint32_t)relay->stats.held + (uint32_t)relay->connecting,
                   .connections = (uint32_t)relay->stats.open,
                   .coming = leave_awaits(relay)}};

    handover_counts(relay);
    if (!handover_counted(&relay->handover))
        return;
    /* One that does not fit is said again with the next view. */
    if (relay->peer >= 0 && front_send(relay->peer, &msg, -1) != 0)
        log_debug("the elector does not take counts: %s", strerror(errno));
}

static void on_peer(evutil_socket_t socket, short what, void *arg)
{
    struct relay *relay = arg;
    struct front_msg msg;
    int fd = -1, rc;

    (void)what;
    while ((rc = front_recv(socket, &msg, &fd)) == 1) {
        if (msg.type == FRONT_VIEW)
            relay_view(relay, &msg.view, NULL);
        else if (msg.type == FRONT_SNAPSHOT)
            relay_snapshot(relay, &msg, fd);
        if (fd >= 0)
            close(fd);
    }
    if (rc == 0)
        return;
    if (relay->handover.retiring)
        log_debug("the elector talks to the new relay");
    else if ((errno == EPIPE || errno == ECONNRESET) && relay->view.ending != 0)
        log_info("the elector is gone, as the daemon ends");
    else if (errno == EPIPE || errno == ECONNRESET)
        log_warn("the elector is gone: requests go where they went until its last view runs out");
    else
        log_error("a message of the elector is not one: %s", strerror(errno));
    hang_up(relay);
}

void channels_peer(struct relay *relay, int fd)
{
    hang_up(relay);
    relay->peer = fd;
    relay->on_peer = event_new(relay->base, fd, EV_READ | EV_PERSIST, on_peer, relay);
    if (relay->on_peer == NULL || event_priority_set(relay->on_peer, 0) != 0 ||
        event_add(relay->on_peer, NULL) != 0) {
        log_error("no memory to listen to the elector");
        hang_up(relay);
    }
    handover_begin(relay);
}

/* ---- both
 * ----------------------------------------------------------------------------------------------------
 */

int channels_open(struct relay *relay)
{
    relay->on_channel = event_new(relay->base, relay->channel, EV_READ | EV_PERSIST, on_channel, relay);
    if (relay->on_channel == NULL || event_priority_set(relay->on_channel, 0) != 0)
        return -1;
    return event_add(relay->on_channel, NULL);
}

void channels_close(struct relay *relay)
{
    hang_up(relay);
    event_free(relay->on_channel);
    close(relay->channel);
}
