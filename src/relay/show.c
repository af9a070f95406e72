/* show.c - see the header. */
#include "show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "admin.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "relay.h"

static bool is_off(const char *listen)
{
    return strcmp(listen, "off") == 0;
}

static void front_now(void *arg, struct health_front *front)
{
    const struct relay *relay = arg;

    *front = (struct health_front){.off = is_off(relay->conf->front.listen),
                                   .ending = relay->view.ending != 0,
                                   .yields = relay->view.yield != 0,
                                   .listens = relay->front.fd >= 0,
                                   .route = relay_route(relay),
                                   .mode = relay->view.mode,
                                   .nobody_since = relay->nobody_since,
                                   .hold = relay->conf->front.hold};
    if (front->nobody_since == 0) /* the view has just run out, and its timer not fired yet */
        front->nobody_since = relay->view.valid_until;
}

int show_open(struct relay *relay, char *why, size_t size)
{
    const struct conf *conf = relay->conf;
    bool front = !is_off(conf->front.listen) || !is_off(relay->thrift.address);
    struct admin_options options = {.listen = conf->admin_listen,
                                    .id = conf->id,
                                    .root = conf->zookeeper.root,
                                    .stats = front ? &relay->stats : NULL,
                                    .front = front_now,
                                    .arg = relay};

    if (is_off(conf->admin_listen))
        return 0;
    relay->snapshot = snapshot_new();
    if (relay->snapshot == NULL) {
        snprintf(why, size, "admin.listen: out of memory");
        errno = ENOMEM;
        return -1;
    }
    options.snapshot = relay->snapshot;
    relay->admin = admin_open(relay->base, &options, why, size);
    return relay->admin != NULL ? 0 : -1;
}

void show_close(struct relay *relay)
{
    admin_close(relay->admin);
    snapshot_free(relay->snapshot);
    relay->admin = NULL;
    relay->snapshot = NULL;
}

/* The elector sends them whether there is an admin port or not. */
void relay_snapshot(struct relay *relay, const struct front_msg *msg, int fd)
{
    char why[256];

    if (relay->snapshot == NULL)
        return;
    uint64_t refused = snapshot_counts(relay->snapshot).refused;
    if (snapshot_take(relay->snapshot, fd, msg->size, msg->sent_at, why, sizeof(why)) != 0 && refused == 0)
        log_error("%s: what the admin port tells gets old", why); /* once: /metrics counts them */
}
