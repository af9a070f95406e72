/* leave.c - the daemon ends, and with it this front: nobody who came before he could know may be lost. Health
 * says at once that the front is not ready, and for a while it serves all the same, until balancers have seen
 * that. Then new connections are refused, as where nobody listens, and none is kept after an answer; those
 * that the kernel is making, or that are made and have not asked yet, are given the time of a round trip
 * each. When the elector says so (FRONT_CUT), all is over.
 */
#include "livy-ha/log.h"
#include "relay.h"

#define LEAVE_TELL_MS 1000 /* two failed checks, half a second apart */
#define LEAVE_STEP_MS 200  /* more than a round trip to any client */

bool leave_awaits(const struct relay *relay)
{
    return relay->leaving != RELAY_STAYS && relay->leaving != RELAY_LEFT;
}

static void arm(struct relay *relay, enum relay_leave leaving, int64_t ms)
{
    struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    relay->leaving = leaving;
    event_add(relay->on_leave, &delay);
}

static void refuse(struct relay *relay)
{
    if (!listener_refuse(&relay->front))
        listener_last(&relay->front);
    if (!listener_refuse(&relay->thrift))
        listener_last(&relay->thrift);
    arm(relay, RELAY_TAKES, LEAVE_STEP_MS);
}

/* It may have asked by now: the event that tells so may be the next one. */
static void look(struct conn *conn)
{
    if (conn->state != CONN_IDLE && conn->state != CONN_HEAD)
        return;
    sock_note(&conn->client, EV_READ);
    conn_step(conn);
}

static void end_idle(struct relay *relay)
{
    struct conn *conn;

    relay->leaving = RELAY_LEFT;
    TAILQ_FOREACH(conn, &relay->all, all)
    {
        look(conn);
        if (conn->state == CONN_IDLE)
            conn_end(conn, false);
    }
    channels_counts(relay);
}

static void on_leave(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;

    (void)fd;
    (void)what;
    switch (relay->leaving) {
    case RELAY_TELLS:
        refuse(relay);
        break;
    case RELAY_TAKES:
        listener_last(&relay->front);
        listener_last(&relay->thrift);
        arm(relay, RELAY_AWAITS, LEAVE_STEP_MS);
        break;
    case RELAY_AWAITS:
        end_idle(relay);
        break;
    case RELAY_STAYS:
    case RELAY_LEFT:
        break;
    }
}

static void end_one(struct conn *conn)
{
    look(conn);
    if (conn->state == CONN_RUN)
        exchange_cut(conn, "this member of livy-ha ends"); /* or it waits again, if it may */
    if (conn->state == CONN_HELD || conn->state == CONN_CONNECT)
        request_unavailable(conn, "this member of livy-ha ends: try again, or another one");
    else if (conn->state == CONN_OPAQUE)
        conn_end(conn, true);
    else if (conn->state == CONN_HEAD)
        conn_end(conn, false);
}

static void cut(struct relay *relay)
{
    struct conn *conn;

    event_del(relay->on_leave);
    listener_last(&relay->front);
    listener_last(&relay->thrift);
    TAILQ_FOREACH(conn, &relay->all, all)
    end_one(conn);
    end_idle(relay);
}

/* A daemon that is to end does so; but a view is the elector's to change. */
static void stay(struct relay *relay)
{
    relay->leaving = RELAY_STAYS;
    event_del(relay->on_leave);
    listener_close(&relay->front);
}

void leave_follow(struct relay *relay)
{
    switch ((enum front_ending)relay->view.ending) {
    case FRONT_STAYS:
        if (relay->leaving != RELAY_STAYS)
            stay(relay);
        break;
    case FRONT_ENDS:
        if (relay->leaving == RELAY_STAYS)
            arm(relay, RELAY_TELLS, LEAVE_TELL_MS);
        break;
    case FRONT_CUT:
        cut(relay);
        break;
    }
}

int leave_open(struct relay *relay)
{
    relay->on_leave = evtimer_new(relay->base, on_leave, relay);
    return relay->on_leave != NULL ? 0 : -1;
}
