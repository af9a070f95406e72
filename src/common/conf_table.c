/* conf_table.c - the one table of all keys, and how keys are found by their name.
 *
 * A new key is a row here and a field in struct conf; parsing, the environment, --check-config, `livy-ha-ctl
 * config`, reloads and the hand-over to the elector follow from the row.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_internal.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

#define FIELD(member) .offset = offsetof(struct conf, member)
#define DEFAULT(text) .fallback = (text)
#define BETWEEN(low, high) .min = (low), .max = (high)
#define EFFECT(when) .effect = CONF_EFFECT_##when

static const char *const standby_names[] = {"cold", "hot", "auto", NULL};
static const char *const guard_names[] = {"none", "process", NULL};
static const char *const cds_names[] = {"off", "auto", NULL};
static const char *const mode_names[] = {"auto", "redirect", "forward", NULL};
static const char *const level_names[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_names[] = {"auto", "text", "json", "journal", NULL};

/* clang-format off: one row a key reads better as a table. */
#define ROW(name, kind, member, ...)                                                                         \
    {                                                                                                        \
        .key = (name), .type = CONF_TYPE_##kind, FIELD(member), __VA_ARGS__                                  \
    }
const struct conf_key conf_keys[] = {
    ROW("id", ID, id, EFFECT(RESTART)),
    ROW("runtime_dir", PATH, runtime_dir, DEFAULT("/run/livy-ha"), EFFECT(RESTART)),

    ROW("zookeeper.hosts", HOSTS, zookeeper.hosts, EFFECT(RESTART)),
    ROW("zookeeper.root", ZNODE, zookeeper.root, DEFAULT("/livy_ha"), EFFECT(RESTART)),
    ROW("zookeeper.session_timeout", DURATION, zookeeper.session_timeout, DEFAULT("10s"),
        BETWEEN(SECOND, 10 * MINUTE), EFFECT(RESTART)),
    ROW("zookeeper.tick", DURATION, zookeeper.tick, DEFAULT("0"), BETWEEN(100, 60 * SECOND), .zero = true,
        EFFECT(RESTART)),
    ROW("zookeeper.auth_digest", DIGEST, zookeeper.auth_digest, .secret = true, EFFECT(RESTART)),
    ROW("zookeeper.tls_ca", PATH, zookeeper.tls_ca, EFFECT(RESTART)),
    ROW("zookeeper.tls_certificate", PATH, zookeeper.tls_certificate, EFFECT(RESTART)),
    ROW("zookeeper.tls_key", PATH, zookeeper.tls_key, EFFECT(RESTART)),
    ROW("zookeeper.tls_key_password", STRING, zookeeper.tls_key_password, .secret = true, EFFECT(RESTART)),
    ROW("zookeeper.sasl_mechanism", STRING, zookeeper.sasl_mechanism, EFFECT(RESTART)),

    ROW("livy.home", PATH, livy.home, EFFECT(NEXT_START)),
    ROW("livy.command", PATH, livy.command, EFFECT(NEXT_START)),
    ROW("livy.conf_dir", PATH, livy.conf_dir, EFFECT(NEXT_START)),
    ROW("livy.log_dir", PATH, livy.log_dir, EFFECT(NEXT_START)),
    ROW("livy.port", PORT, livy.port, DEFAULT("18998"), BETWEEN(1, 65535), EFFECT(RESTART)),
    ROW("livy.recovery", BOOL, livy.recovery, DEFAULT("true"), EFFECT(NEXT_START)),
    ROW("livy.state_store_url", STRING, livy.state_store_url, EFFECT(NEXT_START)),
    ROW("livy.start_timeout", DURATION, livy.start_timeout, DEFAULT("300s"), BETWEEN(SECOND, 24 * HOUR),
        EFFECT(RELOAD)),
    ROW("livy.stop_grace", DURATION, livy.stop_grace, DEFAULT("5s"), BETWEEN(0, HOUR), EFFECT(RELOAD)),
    ROW("livy.kill_margin", DURATION, livy.kill_margin, DEFAULT("1s"), BETWEEN(100, 60 * SECOND),
        EFFECT(RESTART)),
    ROW("livy.orphan_grace", DURATION, livy.orphan_grace, DEFAULT("60s"), BETWEEN(0, 24 * HOUR),
        EFFECT(RELOAD)),
    ROW("livy.probe_interval", DURATION, livy.probe_interval, DEFAULT("5s"), BETWEEN(100, 10 * MINUTE),
        EFFECT(RELOAD)),
    ROW("livy.probe_timeout", DURATION, livy.probe_timeout, DEFAULT("5s"), BETWEEN(100, 10 * MINUTE),
        EFFECT(RELOAD)),
    ROW("livy.probe_failures", INT, livy.probe_failures, DEFAULT("6"), BETWEEN(1, 1000), EFFECT(RELOAD)),
    ROW("livy.restarts", INT, livy.restarts, DEFAULT("3"), BETWEEN(0, 60), EFFECT(RELOAD)),
    ROW("livy.restart_window", DURATION, livy.restart_window, DEFAULT("10min"), BETWEEN(SECOND, 24 * HOUR),
        EFFECT(RELOAD)),
    ROW("livy.standby", ENUM, livy.standby, DEFAULT("auto"), .names = standby_names, EFFECT(RELOAD)),
    ROW("livy.held_max_age", DURATION, livy.held_max_age, DEFAULT("8h"),
        BETWEEN(SECOND, INT64_C(30) * 24 * HOUR), EFFECT(RELOAD)),
    ROW("livy.guard", ENUM, livy.guard, DEFAULT("none"), .names = guard_names, EFFECT(NEXT_START)),
    ROW("livy.class_data_sharing", ENUM, livy.class_data_sharing, DEFAULT("off"), .names = cds_names,
        EFFECT(NEXT_START)),

    ROW("front.listen", LISTEN, front.listen, DEFAULT("0.0.0.0:8998"), EFFECT(RESTART)),
    ROW("front.mode", ENUM, front.mode, DEFAULT("auto"), .names = mode_names, EFFECT(RESTART)),
    ROW("front.advertise", URL, front.advertise, EFFECT(RESTART)),
    ROW("front.hold", DURATION, front.hold, DEFAULT("30s"), BETWEEN(0, HOUR), EFFECT(RELOAD)),
    ROW("front.drain", DURATION, front.drain, DEFAULT("3s"), BETWEEN(0, 10 * MINUTE), EFFECT(RELOAD)),
    ROW("front.max_connections", INT, front.max_connections, DEFAULT("4096"), BETWEEN(1, 1000000),
        EFFECT(RELOAD)),
    ROW("front.tls_certificate", PATH, front.tls_certificate, EFFECT(RESTART)),
    ROW("front.tls_key", PATH, front.tls_key, EFFECT(RESTART)),
    ROW("front.thrift_listen", LISTEN, front.thrift_listen, DEFAULT("off"), EFFECT(RESTART)),
    ROW("front.thrift_port", PORT, front.thrift_port, DEFAULT("off"), BETWEEN(0, 65535), EFFECT(RESTART)),

    ROW("admin.listen", LISTEN, admin_listen, DEFAULT("0.0.0.0:8997"), EFFECT(RESTART)),
    ROW("control.socket", SOCKET, control_socket, EFFECT(RESTART)),
    ROW("log.level", ENUM, log_level, DEFAULT("info"), .names = level_names, EFFECT(RELOAD)),
    ROW("log.format", ENUM, log_format, DEFAULT("auto"), .names = format_names, EFFECT(RELOAD)),

    ROW("failover.takeover_delay", DURATION, failover.takeover_delay, DEFAULT("0"), BETWEEN(0, HOUR),
        EFFECT(RELOAD)),
    ROW("failover.fence_command", STRING, failover.fence_command, EFFECT(RELOAD)),
    ROW("failover.fence_timeout", DURATION, failover.fence_timeout, DEFAULT("30s"), BETWEEN(SECOND, HOUR),
        EFFECT(RELOAD)),
    ROW("failover.on_change", STRING, failover.on_change, EFFECT(RELOAD)),
    ROW("failover.on_change_timeout", DURATION, failover.on_change_timeout, DEFAULT("30s"),
        BETWEEN(100, HOUR), EFFECT(RELOAD)),
};
/* clang-format on */
const size_t conf_n_keys = sizeof conf_keys / sizeof conf_keys[0];

static const char *const conf_groups[] = {"zookeeper", "livy", "front",   "admin",
                                          "control",   "log",  "failover"};
enum { N_GROUPS = sizeof conf_groups / sizeof conf_groups[0] };

int conf_key_find(const char *key)
{
    for (size_t i = 0; i < conf_n_keys; i++) {
        if (strcmp(conf_keys[i].key, key) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool conf_group_exists(const char *name)
{
    for (size_t i = 0; i < N_GROUPS; i++) {
        if (strcmp(conf_groups[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void conf_key_env(const struct conf_key *key, char env[static CONF_ENV_SIZE])
{
    int length = snprintf(env, CONF_ENV_SIZE, "LIVY_HA_%s", key->key);
    if (length < 0 || length >= CONF_ENV_SIZE) {
        abort(); /* A row with too long a name: the table's unit test finds it before anybody else. */
    }
    for (char *c = env; *c != '\0'; c++) {
        *c = (char)(*c == '.' ? '_' : toupper((unsigned char)*c));
    }
}

enum { NEAR_LENGTH = 63, NEAR_NEVER = 1000 };

/* Levenshtein's distance, one row at a time; texts longer than any key are far from all of them. */
static int near_distance(const char *a, const char *b)
{
    size_t n = strlen(b);
    int row[NEAR_LENGTH + 1];
    if (strlen(a) > NEAR_LENGTH || n > NEAR_LENGTH) {
        return NEAR_NEVER;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = (int)j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int best = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best) {
                best = row[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            row[j] = best;
        }
    }
    return row[n];
}

/* A slip of the finger, not another word: up to a third of the letters. */
static bool near_enough(const char *text, int distance)
{
    int length = (int)strnlen(text, NEAR_LENGTH);
    return distance <= (length > 6 ? length / 3 : 2);
}

static const char *near_last_part(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot != NULL ? dot + 1 : key;
}

const char *conf_key_nearest(const char *key)
{
    const char *nearest = NULL;
    int least = NEAR_NEVER;
    for (size_t i = 0; i < conf_n_keys; i++) {
        int distance = near_distance(key, conf_keys[i].key);
        /* The right name in the wrong group, or in none. */
        if (strcmp(near_last_part(key), near_last_part(conf_keys[i].key)) == 0 && distance > 1) {
            distance = 1;
        }
        if (distance < least) {
            least = distance;
            nearest = conf_keys[i].key;
        }
    }
    return near_enough(key, least) ? nearest : NULL;
}

const char *conf_group_nearest(const char *group)
{
    const char *nearest = NULL;
    int least = NEAR_NEVER;
    for (size_t i = 0; i < N_GROUPS; i++) {
        int distance = near_distance(group, conf_groups[i]);
        if (distance < least) {
            least = distance;
            nearest = conf_groups[i];
        }
    }
    return near_enough(group, least) ? nearest : NULL;
}

bool conf_env_nearest(const char *env, char nearest[static CONF_ENV_SIZE])
{
    static const size_t prefix = sizeof "LIVY_HA_" - 1;
    int least = NEAR_NEVER;
    for (size_t i = 0; i < conf_n_keys; i++) {
        char candidate[CONF_ENV_SIZE];
        conf_key_env(&conf_keys[i], candidate);
        int distance = near_distance(env, candidate);
        /* LIVY_HA_HOSTS for LIVY_HA_ZOOKEEPER_HOSTS. */
        char last[CONF_ENV_SIZE];
        (void)snprintf(last, sizeof last, "LIVY_HA_%s", near_last_part(conf_keys[i].key));
        if (distance > 1 && near_distance(env, last) == 0) {
            distance = 1;
        }
        if (distance < least) {
            least = distance;
            memcpy(nearest, candidate, sizeof candidate);
        }
    }
    return least != NEAR_NEVER && near_enough(env + prefix, least);
}
