/* ipc.c - fixed messages over a SOCK_SEQPACKET pair (packet.h). Knows the shape of a message, nothing of its
 * meaning. */
#include "livy-ha/ipc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "livy-ha/clock.h"
#include "livy-ha/packet.h"

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool type_known(uint32_t type)
{
    return (type >= IPC_HELLO && type <= IPC_LOOK) || (type >= IPC_WELCOME && type <= IPC_HELD);
}

/* No time or duration of ours comes near this (ms; 30 years): sums of two cannot overflow. */
static bool is_time(int64_t ms)
{
    return ms >= 0 && ms <= INT64_C(1000000000000);
}

static bool valid_livy(const struct ipc_livy *livy)
{
    return livy->state <= IPC_LIVY_STOPPING && livy->killed <= 1 && livy->cause <= IPC_CAUSE_REFUSED &&
           livy->pid >= 0 && livy->epoch >= 0 && is_time(livy->kill_at) && is_time(livy->started_at) &&
           livy->status >= 0;
}

static bool valid_session(const struct ipc_session *session)
{
    return session->timeout >= 0 && session->timeout <= INT32_MAX &&
           ends(session->uuid, sizeof(session->uuid)) && ends(session->node, sizeof(session->node));
}

static bool valid_fence(const struct ipc_fence *fence)
{
    const struct ipc_member *member = &fence->member;
    return fence->outcome <= IPC_FENCE_NOT_RUN && fence->status >= 0 && fence->status <= 255 &&
           member->epoch >= 0 && ends(member->id, sizeof(member->id)) &&
           ends(member->host, sizeof(member->host)) && ends(member->url, sizeof(member->url));
}

static bool valid(const struct ipc_msg *msg)
{
    return msg->magic == IPC_MAGIC && type_known(msg->type) && is_time(msg->sent_at) && msg->epoch >= 0 &&
           is_time(msg->kill_at) && is_time(msg->grace) && msg->quitting <= 1 && msg->pending_restart <= 1 &&
           msg->code >= 0 && msg->code <= 255 && valid_livy(&msg->livy) && valid_session(&msg->session) &&
           valid_fence(&msg->fence) && ends(msg->text, sizeof(msg->text));
}

int ipc_send(int socket, struct ipc_msg *msg, int fd)
{
    msg->magic = IPC_MAGIC;
    msg->sent_at = clock_boot_ms();
    return packet_send(socket, msg, sizeof(*msg), fd);
}

int ipc_recv(int socket, struct ipc_msg *msg, int *fd)
{
    int rc = packet_recv(socket, msg, sizeof(*msg), fd);

    if (rc != 1 || valid(msg))
        return rc;
    return packet_refuse(fd);
}

const char *ipc_type_name(uint32_t type)
{
    static const char *const to_keeper[] = {"hello",     "ready",   "start", "lease", "stop",  "session",
                                            "releasing", "status",  "pong",  "fatal", "fence", "ask",
                                            "request",   "changed", "renew", "look"};
    static const char *const to_elector[] = {"welcome",  "livy",   "leased", "quit", "leave",
                                             "reload",   "ping",   "fenced", "peer", "answer",
                                             "handover", "retire", "held"};

    if (type >= IPC_HELLO && type <= IPC_LOOK)
        return to_keeper[type - IPC_HELLO];
    if (type >= IPC_WELCOME && type <= IPC_HELD)
        return to_elector[type - IPC_WELCOME];
    return "unknown";
}

const char *ipc_role_name(uint32_t role)
{
    static const char *const names[] = {"joining", "standby", "active", "drained", "stopped"};

    return role < sizeof(names) / sizeof(names[0]) ? names[role] : "unknown";
}

void ipc_livy_describe(const struct ipc_livy *livy, const char *text, char *out, unsigned long size)
{
    switch ((enum ipc_cause)livy->cause) {
    case IPC_CAUSE_NONE:
        snprintf(out, size, "not started");
        return;
    case IPC_CAUSE_EXITED:
        snprintf(out, size, "exit status %d%s%s", livy->status, text[0] != '\0' ? ": " : "", text);
        return;
    case IPC_CAUSE_SIGNALLED:
        snprintf(out, size, "killed by signal %d (%s)%s%s", livy->status, strsignal(livy->status),
                 text[0] != '\0' ? ": " : "", text);
        return;
    case IPC_CAUSE_ORDERED:
        snprintf(out, size, "stopped on command");
        return;
    case IPC_CAUSE_DEADLINE:
        snprintf(out, size, "killed at the end of its lease");
        return;
    case IPC_CAUSE_ORPHANED:
        snprintf(out, size, "died with the keeper");
        return;
    case IPC_CAUSE_NOT_STARTED:
        snprintf(out, size, "could not be started: %s", text);
        return;
    case IPC_CAUSE_REFUSED:
        snprintf(out, size, "start refused: %s", text);
        return;
    }
    snprintf(out, size, "unknown cause %u", livy->cause);
}

void ipc_fence_describe(const struct ipc_fence *fence, const char *text, char *out, unsigned long size)
{
    switch ((enum ipc_fence_outcome)fence->outcome) {
    case IPC_FENCE_EXITED:
        snprintf(out, size, "exit status %d", fence->status);
        return;
    case IPC_FENCE_SIGNALLED:
        snprintf(out, size, "killed by signal %d (%s)", fence->status, strsignal(fence->status));
        return;
    case IPC_FENCE_TIMED_OUT:
        snprintf(out, size, "killed after failover.fence_timeout");
        return;
    case IPC_FENCE_NOT_RUN:
        snprintf(out, size, "not run: %s", text);
        return;
    }
    snprintf(out, size, "unknown outcome %u", fence->outcome);
}

void ipc_ignore_signals(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}
