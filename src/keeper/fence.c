/* fence.c - see the header. */
#include "fence.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "child.h"
#include "livy-ha/log.h"

void fence_run(struct fence *fence, const struct conf *conf, const struct kcore_fence *order,
               struct kcore_event *event, char *why, size_t size)
{
    const struct ipc_member *member = &order->order.member;
    struct child child;

    *event = (struct kcore_event){.type = KCORE_EV_FENCE_FORKED, .text = why};
    if (child_fence(conf, member, order->reason, &child, why, size) != 0) {
        log_error("failover.fence_command for %s could not be run: %s", member->id, why);
        return;
    }
    event->pid = fence->pid = fence->session = child.pid;
    log_warn("fencing %s (host %s): failover.fence_command runs as pid %d: %s", member->id, member->host,
             (int)child.pid, order->reason);
}

void fence_kill(const struct fence *fence)
{
    if (fence->pid == 0) /* reaped */
        return;
    log_error("failover.fence_command (pid %d) is killed, with all of its process group: "
              "failover.fence_timeout is over, or a second signal came",
              (int)fence->pid);
    /* Not reaped yet, so the group is surely its own; before its setsid() there is no group to signal. */
    if (kill(-fence->pid, SIGKILL) != 0 && kill(fence->pid, SIGKILL) != 0 && errno != ESRCH)
        log_error("it could not be killed: %s", strerror(errno));
}

void fence_ended(struct fence *fence, int status)
{
    if (status >= 256)
        log_error("failover.fence_command (pid %d) was killed by signal %d", (int)fence->pid, status - 256);
    else if (status != 0)
        log_error("failover.fence_command (pid %d) failed with exit status %d", (int)fence->pid, status);
    else
        log_info("failover.fence_command (pid %d) has succeeded", (int)fence->pid);
    fence->pid = 0;
}

void fence_message(const struct kcore *core, const struct kcore_action *action, struct ipc_msg *msg)
{
    if (action->type == KCORE_ACT_REFUSE_FENCE) {
        msg->type = IPC_FENCED;
        msg->fence.number = action->number;
        msg->fence.outcome = IPC_FENCE_NOT_RUN;
        snprintf(msg->text, sizeof(msg->text), "%s", action->text);
    } else {
        msg->fence = core->fence.order;
        snprintf(msg->text, sizeof(msg->text), "%s", core->fence.text);
    }
}
