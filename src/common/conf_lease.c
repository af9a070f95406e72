/* conf_lease.c - the inequality that a configuration must meet so that Livy is dead before its latch is gone
 * (docs/safety.md). Pure arithmetic.
 *
 *     T (1 - 2 rho) - tick/2 - 2 h - eps - K  >=  3 h + 0.5 s        h = T/20, rho = 1 %, eps = 200 ms
 *
 * The left side is how long Livy may go on after the last good heartbeat; the right side is what a healthy
 * connection may take to deliver one. Counted in hundredths of a millisecond, where every term is whole.
 */
#include <inttypes.h>
#include <stdio.h>

#include "conf_internal.h"

enum { HUNDREDTHS = 100, EPSILON_MS = 200, SLACK_MS = 500 };

struct lease_terms {
    int64_t usable, half_tick, heartbeat, left, needed;
};

static struct lease_terms lease_terms(const struct conf *conf, int64_t timeout)
{
    struct lease_terms terms = {
        .usable = timeout * 98,
        .half_tick =
            conf->zookeeper.tick > 0 ? conf->zookeeper.tick * HUNDREDTHS / 2 : timeout * HUNDREDTHS / 4,
        .heartbeat = timeout * HUNDREDTHS / 20,
    };
    terms.left = terms.usable - terms.half_tick - 2 * terms.heartbeat -
                 (EPSILON_MS + conf->livy.kill_margin) * HUNDREDTHS;
    terms.needed = 3 * terms.heartbeat + (int64_t)SLACK_MS * HUNDREDTHS;
    return terms;
}

/* The least T that would do, in whole tenths of a second. */
static int64_t lease_least_timeout(const struct conf *conf)
{
    int64_t fixed = (EPSILON_MS + SLACK_MS + conf->livy.kill_margin) * HUNDREDTHS;
    /* Of T: 98 %, less five heartbeats of 5 %, less a quarter where the tick is not known. */
    int64_t share = conf->zookeeper.tick > 0 ? 73 : 48;
    if (conf->zookeeper.tick > 0) {
        fixed += conf->zookeeper.tick * HUNDREDTHS / 2;
    }
    int64_t least = (fixed + share - 1) / share;
    return (least + 99) / 100 * 100;
}

bool conf_lease_possible(const struct conf *conf, int64_t timeout, char *why, size_t size)
{
    /* Beyond any session that a server grants, and where the sums below would no longer fit. */
    if (timeout <= 0 || timeout > INT64_C(1000) * 86400 * 1000) {
        (void)snprintf(why, size, "a session time-out of %" PRId64 " ms gives no lease", timeout);
        return false;
    }
    struct lease_terms terms = lease_terms(conf, timeout);
    if (terms.left >= terms.needed) {
        return true;
    }
    char granted[32];
    char least[32];
    conf_duration_format(timeout, granted, sizeof granted);
    conf_duration_format(lease_least_timeout(conf), least, sizeof least);
    (void)snprintf(
        why, size,
        "no lease is possible with T = %s: T(1 - 2 rho) - tick/2 - 2h - eps - K >= 3h + 0.5 s does not hold: "
        "%.1f - %.1f - %.1f - %d - %" PRId64
        " = %.1f ms, needed are %.1f ms (h = T/20, rho = 1 %%, eps = 200 ms, "
        "tick/2 from %s, K = livy.kill_margin). Raise zookeeper.session_timeout to at least \"%s\" (and the "
        "servers' "
        "maxSessionTimeout with it)%s, or lower livy.kill_margin",
        granted, (double)terms.usable / HUNDREDTHS, (double)terms.half_tick / HUNDREDTHS,
        (double)(2 * terms.heartbeat) / HUNDREDTHS, (int)EPSILON_MS, conf->livy.kill_margin,
        (double)terms.left / HUNDREDTHS, (double)terms.needed / HUNDREDTHS,
        conf->zookeeper.tick > 0 ? "zookeeper.tick" : "T/2, as zookeeper.tick is not set", least,
        conf->zookeeper.tick > 0 ? "" : ", or set zookeeper.tick where the servers' tickTime is below T/2");
    return false;
}
