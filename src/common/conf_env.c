/* conf_env.c - LIVY_HA_* in the environment: values, files of values. What Kubernetes puts there for a
 * Service is conf_service.c's to tell.
 */
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
    if (value != NULL && conf_is_service_link(name, strlen(name), value)) {
        value = NULL; /* LIVY_HA_LIVY_PORT=tcp://… is of a Service "livy-ha-livy". */
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
        if (!env_is_key(*entry, length) && !conf_is_service_link(*entry, length, equals + 1)) {
            env_unknown(loader, *entry, length);
        }
    }
}
