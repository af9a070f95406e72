/* health.c - see the header. Whatever is not surely so is not so: a check that says yes from old news would
 * send clients to a Livy that has been fenced.
 */
#include "health.h"

#include <stdarg.h>
#include <stdio.h>

struct look {
    const struct snapshot *snapshot;
    const struct health_front *front;
    int64_t now;
    char *reason;
    size_t size;
};

static bool no(const struct look *look, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool no(const struct look *look, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(look->reason, look->size, format, args);
    va_end(args);
    return false;
}

static bool fresh(const struct look *look)
{
    int64_t age = snapshot_age(look->snapshot, look->now);

    if (snapshot_fresh(look->snapshot, look->now))
        return true;
    if (!snapshot_there(look->snapshot))
        return no(look, "the elector has said nothing yet, for %lld ms", (long long)age);
    return no(look, "the elector's last word is %lld ms old", (long long)age);
}

/* "standby, livy-b is active": who is, where this member is not. */
static bool not_active(const struct look *look)
{
    const char *role = snapshot_text(snapshot_status(look->snapshot), "role");
    const char *active = json_string_value(json_object_get(snapshot_cluster(look->snapshot), "active"));

    if (active != NULL)
        return no(look, "%s, %s is active", role, active);
    return no(look, "%s, no member is active", role);
}

static bool active(const struct look *look)
{
    const json_t *status = snapshot_status(look->snapshot);

    if (!fresh(look))
        return false;
    if (!snapshot_is(status, "role", "active"))
        return not_active(look);
    /* An unhealthy one was slow to answer; clients are sent to it as long as it is not given up. */
    if (!snapshot_is(status, "livy", "serving") && !snapshot_is(status, "livy", "unhealthy"))
        return no(look, "active, but Livy does not serve: %s", snapshot_text(status, "livy"));
    if (snapshot_lease_left(look->snapshot, look->now) <= 0)
        return no(look, "active, but the lease has run out");
    return true;
}

static bool standby(const struct look *look)
{
    const json_t *status = snapshot_status(look->snapshot);

    if (!fresh(look))
        return false;
    /* A standby without its keeper steps out of the queue, so that is why it is none. */
    if (json_is_false(json_object_get(status, "keeper_answers")) && !snapshot_is(status, "role", "active"))
        return no(look, "the keeper does not answer the elector: it could not start Livy");
    if (!snapshot_is(status, "role", "standby"))
        return no(look, "%s", snapshot_text(status, "role"));
    if (!json_is_true(json_object_get(status, "connected")))
        return no(look, "not connected to ZooKeeper");
    return true;
}

static bool live(const struct look *look)
{
    if (!fresh(look))
        return false;
    if (json_is_false(json_object_get(snapshot_status(look->snapshot), "keeper_answers")))
        return no(look, "the keeper does not answer the elector");
    return true;
}

static bool ready(const struct look *look)
{
    const struct health_front *front = look->front;
    const char *serves = snapshot_text(snapshot_status(look->snapshot), "livy");

    if (!fresh(look))
        return false;
    if (front->off)
        return no(look, "front.listen is off");
    if (front->ending)
        return no(look, "the daemon is ending");
    if (front->yields && front->route != FRONT_LOCAL)
        return no(look, "the front's port is livy.port, kept free for Livy, which does not serve (%s)",
                  serves);
    if (!front->yields && !front->listens)
        return no(look, "the front does not listen");
    if (front->route == FRONT_LOCAL || front->route == FRONT_REMOTE)
        return true;
    int64_t waited = look->now - front->nobody_since;
    if (waited >= front->hold)
        return no(look, "no active Livy for %lld ms, longer than front.hold (%lld ms)", (long long)waited,
                  (long long)front->hold);
    return true; /* requests are held */
}

bool health_check(enum health_check check, const struct snapshot *snapshot, const struct health_front *front,
                  int64_t now, char *reason, size_t size)
{
    struct look look = {.snapshot = snapshot, .front = front, .now = now, .reason = reason, .size = size};

    reason[0] = '\0';
    switch (check) {
    case HEALTH_ACTIVE:
        return active(&look);
    case HEALTH_STANDBY:
        return standby(&look);
    case HEALTH_LIVE:
        return live(&look);
    case HEALTH_READY:
        return ready(&look);
    case HEALTH_CHECKS:
        break;
    }
    return false;
}

const char *health_name(enum health_check check)
{
    static const char *const names[] = {"active", "standby", "live", "ready"};
    return check < HEALTH_CHECKS ? names[check] : "?";
}
