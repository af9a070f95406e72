/* front.c - see front.h: the messages of elector and relay, checked. Knows nothing of what they mean. */
#include "livy-ha/front.h"

#include <stdbool.h>
#include <string.h>

#include "livy-ha/clock.h"
#include "livy-ha/packet.h"

static bool ends(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static bool valid_view(const struct front_view *view)
{
    return view->route <= FRONT_REMOTE && view->mode <= FRONT_REDIRECT && view->tls <= 1 &&
           view->ending <= FRONT_CUT && view->yield <= 1 && view->valid_until >= 0 && view->epoch >= 0 &&
           ends(view->id, sizeof(view->id)) && ends(view->livy_url, sizeof(view->livy_url)) &&
           ends(view->front_url, sizeof(view->front_url));
}

static bool valid(const struct front_msg *msg)
{
    if (msg->magic != FRONT_MAGIC || msg->sent_at < 0 || msg->size > FRONT_SNAPSHOT_MAX)
        return false;
    switch ((enum front_type)msg->type) {
    case FRONT_VIEW:
    case FRONT_SNAPSHOT:
    case FRONT_COUNTS:
        return valid_view(&msg->view);
    }
    return false;
}

int front_send(int socket, struct front_msg *msg, int fd)
{
    msg->magic = FRONT_MAGIC;
    msg->sent_at = clock_boot_ms();
    return packet_send(socket, msg, sizeof(*msg), fd);
}

int front_recv(int socket, struct front_msg *msg, int *fd)
{
    int rc = packet_recv(socket, msg, sizeof(*msg), fd);

    if (rc != 1 || valid(msg))
        return rc;
    return packet_refuse(fd);
}

const char *front_route_name(uint32_t route)
{
    static const char *const names[] = {"nobody", "pause", "local", "remote"};
    return route <= FRONT_REMOTE ? names[route] : "unknown";
}
