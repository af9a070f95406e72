/* act_close.c - the session's end: after a last word to the history, and after those clients who came to our
 * front before they could know that it closes. The relay ends with us, and is told by us alone who the next
 * active member is. The latch is given up by then, or the session is closed at once: nobody's hand-over waits
 * here.
 */
#include "elector.h"
#include "livy-ha/clock.h"
#include "route.h"
#include "session.h"

#define LOOK_MS 20      /* whether there is still something to wait for */
#define HISTORY_MS 200  /* for its last entry */
#define CLIENTS_MS 8000 /* for a next Livy, and its answers; the keeper's patience is 10 s */
#define CUT_MS 300      /* for the relay to tell who is left that there is no more waiting */

static void finish(struct elector *e)
{
    if (e->zk != NULL)
        zk_close(e->zk, false);
    e->zk = NULL;
    session_unlink(e->conf->runtime_dir);
    event_base_loopbreak(e->base);
}

/* Without ZooKeeper, or another member, there is no next Livy for them. */
static bool hopeless(const struct elector *e)
{
    return !e->core.connected || !route_others_stand(view_members(e->view), e->conf->id);
}

static bool clients_wait(struct elector *e, int64_t now)
{
    if (front_left(e->front))
        return false;
    if (!e->close_cut && (now >= e->close_until || hopeless(e))) {
        e->close_cut = true;
        e->close_until = now + CUT_MS;
        front_cut(e->front);
    }
    return now < e->close_until;
}

static void on_close_time(evutil_socket_t fd, short what, void *arg)
{
    struct elector *e = arg;
    struct timeval again = {.tv_usec = LOOK_MS * 1000L};
    int64_t now = clock_boot_ms();
    bool writes = e->core.connected && !history_idle(e->history) && now - e->close_began < HISTORY_MS;

    (void)fd;
    (void)what;
    if ((!clients_wait(e, now) && !writes) || evtimer_add(e->on_close, &again) != 0)
        finish(e);
}

void act_close(struct elector *e)
{
    history_flush(e->history);
    e->close_began = clock_boot_ms();
    e->close_until = e->close_began + CLIENTS_MS;
    e->on_close = evtimer_new(e->base, on_close_time, e);
    /* Where the node has not been deleted, the session's end is what gives the latch up. */
    if (e->core.node[0] != '\0' || e->on_close == NULL) {
        finish(e);
        return;
    }
    front_leave(e->front);
    on_close_time(-1, 0, e);
}
