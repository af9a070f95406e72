/* channel.c - the keeper's side of the elector: its messages become events of the core. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"

void channel_send(struct elector *e, struct ipc_msg *msg, int fd)
{
    if (e->keeper_gone)
        return;
    if (ipc_send(e->channel, msg, fd) != 0 && errno != EPIPE)
        /* It is stopped, most likely: its answers stay out too, and the core draws its conclusions from that.
         */
        log_debug("the keeper does not take %s: %s", ipc_type_name(msg->type), strerror(errno));
}

static void take_pidfd(struct elector *e, int fd)
{
    if (fd < 0)
        return;
    if (e->livy_pidfd >= 0)
        close(e->livy_pidfd);
    e->livy_pidfd = fd;
}

static void reload(struct elector *e, const struct ipc_msg *msg, int fd)
{
    struct conf_report report = {0};
    struct conf *fresh = fd >= 0 ? conf_read(fd, &report) : NULL;

    if (fresh == NULL) {
        log_error("reload: %s", report.n_errors > 0 ? report.errors[0] : "no configuration came along");
        conf_report_clear(&report);
        return;
    }
    conf_report_clear(&report);
    conf_free(e->conf);
    e->conf = fresh;
    log_open("elector", fresh->log_level, fresh->log_format);
    struct core_config config;
    elector_core_config(fresh, &config);
    core_configure(&e->core, &config);
    e->pending_restart = msg->pending_restart != 0;
    act_publish(e);
}

static void livy(struct elector *e, const struct ipc_msg *msg, int *fd)
{
    struct core_event event = {.type = CORE_EV_LIVY, .op = msg->run, .livy = msg->livy, .text = msg->text};

    if (msg->code < LIVYEND_WHYS)
        event.why = (enum livyend_why)msg->code;

    take_pidfd(e, *fd);
    *fd = -1;
    metrics_livy(&e->metrics, &msg->livy);
    if (msg->livy.state == IPC_LIVY_ALIVE)
        elector_livy_at(e, msg->text);
    if (msg->livy.state == IPC_LIVY_NONE && core_livy_alive(&e->core))
        command_livy(e, false);
    if (msg->livy.state == IPC_LIVY_NONE) {
        guard_stop(e); /* its next look would be at the next Livy */
        if (e->livy_pidfd >= 0)
            close(e->livy_pidfd);
        e->livy_pidfd = -1;
        probe_cancel(e->probe); /* its answer would be taken for the next Livy's */
    }
    elector_step(e, &event);
}

static void message(struct elector *e, const struct ipc_msg *msg, int *fd)
{
    struct ipc_msg answer = {.type = IPC_PONG};

    switch ((enum ipc_type)msg->type) {
    case IPC_LIVY:
        livy(e, msg, fd);
        break;
    case IPC_LEASED:
        elector_step(e, &(struct core_event){
                            .type = CORE_EV_LEASED, .kill_at = msg->kill_at, .waits = msg->code == 1});
        break;
    case IPC_QUIT:
        elector_step(e, &(struct core_event){.type = CORE_EV_QUIT});
        break;
    case IPC_LEAVE:
        elector_step(e, &(struct core_event){.type = CORE_EV_LEAVE});
        break;
    case IPC_RELOAD:
        reload(e, msg, *fd);
        break;
    case IPC_PING:
        channel_send(e, &answer, -1);
        break;
    case IPC_FENCED:
        takeover_fenced(e, msg);
        break;
    case IPC_PEER:
        if (*fd >= 0)
            front_peer(e->front, *fd);
        *fd = -1;
        break;
    case IPC_ANSWER:
        command_answered(e, msg->run, msg->code, msg->text);
        break;
    case IPC_HELD:
        held_take(e, msg);
        break;
    case IPC_HANDOVER:
    case IPC_RETIRE:
    case IPC_WELCOME: /* was taken by be_welcomed */
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
    case IPC_REQUEST:
    case IPC_CHANGED:
    case IPC_RENEW:
    case IPC_LOOK:
        break;
    }
}

static void on_channel(evutil_socket_t fd, short what, void *arg)
{
    struct elector *e = arg;
    struct ipc_msg msg;
    int passed, rc;

    (void)fd;
    (void)what;
    while ((rc = ipc_recv(e->channel, &msg, &passed)) == 1) {
        e->keeper_heard = clock_boot_ms();
        message(e, &msg, &passed);
        if (passed >= 0)
            close(passed);
    }
    if (rc == 0)
        return;
    if (errno != EPIPE && errno != ECONNRESET)
        log_error("a message of the keeper is not one: %s", strerror(errno));
    event_del(e->on_channel);
    e->keeper_gone = true;
    guard_keeper_gone(e);
}

int channel_open(struct elector *e)
{
    e->on_channel = event_new(e->base, e->channel, EV_READ | EV_PERSIST, on_channel, e);
    if (e->on_channel == NULL)
        return -1;
    return event_add(e->on_channel, NULL);
}
