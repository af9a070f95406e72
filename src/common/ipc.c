/* ipc.c - fixed messages over a SOCK_SEQPACKET pair. Knows the shape of a message, nothing of its meaning. */
#include "livy-ha/ipc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "livy-ha/clock.h"

int ipc_pair(int pair[static 2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool type_known(uint32_t type)
{
    return (type >= IPC_HELLO && type <= IPC_ASK) || (type >= IPC_WELCOME && type <= IPC_FENCED);
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
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

    msg->magic = IPC_MAGIC;
    msg->sent_at = clock_boot_ms();
    if (fd >= 0) {
        header.msg_control = control.space;
        header.msg_controllen = sizeof(control.space);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -1 : 0;
}

/* Takes the descriptor that came along, and closes any further one: nobody of ours sends two. */
static int take_descriptor(struct msghdr *header)
{
    int taken = -1;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg != NULL; cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
            if (taken < 0)
                taken = fd;
            else
                close(fd);
        }
    }
    return taken;
}

int ipc_recv(int socket, struct ipc_msg *msg, int *fd)
{
    union {
        char space[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
    struct msghdr header = {.msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof(control.space)};
    ssize_t n;

    *fd = -1;
    do {
        n = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    if (n == 0) {
        errno = EPIPE;
        return -1;
    }
    *fd = take_descriptor(&header);
    if ((size_t)n != sizeof(*msg) || (header.msg_flags & MSG_TRUNC) != 0 || !valid(msg)) {
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        errno = EBADMSG;
        return -1;
    }
    return 1;
}

const char *ipc_type_name(uint32_t type)
{
    static const char *const to_keeper[] = {"hello",     "ready",  "start", "lease", "stop",  "session",
                                            "releasing", "status", "pong",  "fatal", "fence", "ask"};
    static const char *const to_elector[] = {"welcome", "livy",   "leased", "quit",
                                             "leave",   "reload", "ping",   "fenced"};

    if (type >= IPC_HELLO && type <= IPC_ASK)
        return to_keeper[type - IPC_HELLO];
    if (type >= IPC_WELCOME && type <= IPC_FENCED)
        return to_elector[type - IPC_WELCOME];
    return "unknown";
}

void ipc_livy_describe(const struct ipc_livy *livy, const char *text, char *out, unsigned long size)
{
    switch ((enum ipc_cause)livy->cause) {
    case IPC_CAUSE_NONE:
        snprintf(out, size, "not started");
        return;
    case IPC_CAUSE_EXITED:
        snprintf(out, size, "exit status %d", livy->status);
        return;
    case IPC_CAUSE_SIGNALLED:
        snprintf(out, size, "killed by signal %d (%s)", livy->status, strsignal(livy->status));
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
