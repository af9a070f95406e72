/* conf_env.c - LIVY_HA_* in the environment: values, files of values, and the variables that Kubernetes
 * injects for a Service whose name begins with livy-ha, which are none of ours.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_internal.h"

#define ENV_PREFIX "LIVY_HA_"
enum { NAME_SIZE = CONF_ENV_SIZE + 8 };

static const char *env_get(char *const envp[], const char *name)
{
    size_t length = strlen(name);
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=') {
            return *envp + length + 1;
        }
    }
    return NULL;
}

static bool env_ends_with(const char *name, size_t length, const char *suffix)
{
    size_t n = strlen(suffix);
    return length >= n && memcmp(name + length - n, suffix, n) == 0;
}

/* LIVY_HA_..._PORT=tcp://10.0.0.1:8998: also where the name is a key of ours, as with a Service
 * "livy-ha-livy". */
static bool env_is_service_url(const char *name, size_t length, const char *value)
{
    return env_ends_with(name, length, "_PORT") &&
           (strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0 ||
            strncmp(value, "sctp://", 7) == 0);
}

/* What follows "_PORT_" in LIVY_HA_PORT_8998_TCP, ..._TCP_PROTO, _PORT, _ADDR. */
static bool env_is_service_port(const char *rest, const char *end)
{
    static const char *const protocols[] = {"_TCP", "_UDP", "_SCTP"};
    static const char *const parts[] = {"", "_PROTO", "_PORT", "_ADDR"};
    const char *digits = rest;
    while (rest < end && isdigit((unsigned char)*rest)) {
        rest++;
    }
    if (rest == digits) {
        return false;
    }
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) {
            char wanted[16];
            (void)snprintf(wanted, sizeof wanted, "%s%s", protocols[i], parts[j]);
            if ((size_t)(end - rest) == strlen(wanted) && memcmp(rest, wanted, strlen(wanted)) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* `name` begins with LIVY_HA_; its last underscore takes part: LIVY_HA_SERVICE_HOST is the Service "livy-ha".
 */
static bool env_is_kubernetes(const char *name, size_t length, const char *value)
{
    const char *end = name + length;
    const char *from = name + strlen(ENV_PREFIX) - 1;
    if (env_is_service_url(name, length, value) || env_ends_with(name, length, "_SERVICE_HOST") ||
        env_ends_with(name, length, "_SERVICE_PORT")) {
        return true;
    }
    static const char named[] = "_SERVICE_PORT_";
    const char *found = memmem(from, (size_t)(end - from), named, strlen(named));
    if (found != NULL && found + strlen(named) < end) {
        return true;
    }
    for (const char *at = from; (at = memmem(at, (size_t)(end - at), "_PORT_", 6)) != NULL; at++) {
        if (env_is_service_port(at + 6, end)) {
            return true;
        }
    }
    return false;
}

static void env_take_file(struct conf_loader *loader, const struct conf_key *key, const char *name,
                          const char *path)
{
    size_t length;
    char *text = conf_slurp(path, CONF_FILE_LIMIT, &length);
    if (text == NULL) {
        conf_report_error(loader->report, "%s (environment): %s cannot be read: %s", name, path,
                          errno == EFBIG ? "larger than 64 KiB" : strerror(errno));
        conf_places(loader->conf)[key - conf_keys].failed = true;
        return;
    }
    if (memchr(text, '\0', length) != NULL) {
        conf_report_error(loader->report, "%s (environment): %s holds a NUL byte, expected one line of text",
                          name, path);
        conf_places(loader->conf)[key - conf_keys].failed = true;
    } else {
        if (length > 0 && text[length - 1] == '\n') {
            text[length - 1] = '\0'; /* One, as editors and echo add it; a second one is part of the value. */
        }
        char where[NAME_SIZE + 512];
        (void)snprintf(where, sizeof where, "%s (environment): %.400s", name, path);
        conf_take(loader, key, text, where, name);
    }
    explicit_bzero(text, length);
    free(text);
}

static void env_take_key(struct conf_loader *loader, const struct conf_key *key)
{
    char name[CONF_ENV_SIZE];
    char file_name[NAME_SIZE];
    conf_key_env(key, name);
    (void)snprintf(file_name, sizeof file_name, "%s_FILE", name);
    const char *value = env_get(loader->envp, name);
    const char *path = env_get(loader->envp, file_name);
    if (value != NULL && env_is_service_url(name, strlen(name), value)) {
        value = NULL;
    }
    if (value != NULL && path != NULL) {
        conf_report_error(loader->report, "%s (environment): %s is set too: unset one of them", name,
                          file_name);
        conf_places(loader->conf)[key - conf_keys].failed = true;
    } else if (value != NULL) {
        char where[NAME_SIZE + 16];
        (void)snprintf(where, sizeof where, "%s (environment)", name);
        conf_take(loader, key, value, where, name);
    } else if (path != NULL) {
        env_take_file(loader, key, file_name, path);
    }
}

static bool env_is_key(const char *name, size_t length)
{
    static const size_t file = sizeof "_FILE" - 1;
    for (size_t i = 0; i < conf_n_keys; i++) {
        char known[CONF_ENV_SIZE];
        conf_key_env(&conf_keys[i], known);
        size_t n = strlen(known);
        if (length >= n && memcmp(name, known, n) == 0 &&
            (length == n || (length == n + file && memcmp(name + n, "_FILE", file) == 0))) {
            return true;
        }
    }
    return false;
}

static void env_unknown(struct conf_loader *loader, const char *name, size_t length)
{
    char shown[128];
    char nearest[CONF_ENV_SIZE];
    (void)snprintf(shown, sizeof shown, "%.*s", (int)(length < sizeof shown ? length : sizeof shown - 1),
                   name);
    if (conf_env_nearest(shown, nearest)) {
        conf_report_error(loader->report, "%s (environment): there is no such variable; did you mean %s?",
                          shown, nearest);
    } else {
        conf_report_error(
            loader->report,
            "%s (environment): there is no such variable; those of livy-ha are LIVY_HA_GROUP_KEY, "
            "as in LIVY_HA_ZOOKEEPER_HOSTS",
            shown);
    }
}

void conf_load_env(struct conf_loader *loader)
{
    for (size_t i = 0; i < conf_n_keys; i++) {
        env_take_key(loader, &conf_keys[i]);
    }
    for (char *const *entry = loader->envp; *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL || strncmp(*entry, ENV_PREFIX, strlen(ENV_PREFIX)) != 0) {
            continue;
        }
        size_t length = (size_t)(equals - *entry);
        if (!env_is_key(*entry, length) && !env_is_kubernetes(*entry, length, equals + 1)) {
            env_unknown(loader, *entry, length);
        }
    }
}
