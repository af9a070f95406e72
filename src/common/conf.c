/* conf.c - loading, freeing, walking and reloading a configuration. The work on files, environment and values
 * is in conf_*.c; the keys are in conf_table.c.
 */
#include "livy-ha/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_internal.h"
#include "livy-ha/hostinfo.h"

struct conf_place *conf_places(const struct conf *conf)
{
    return conf->origins;
}

void conf_free(struct conf *conf)
{
    if (conf == NULL) {
        return;
    }
    for (size_t i = 0; i < conf_n_keys; i++) {
        if (conf_value_is_string(&conf_keys[i])) {
            char *text = *(char **)((char *)conf + conf_keys[i].offset);
            if (conf_keys[i].secret && text != NULL) {
                explicit_bzero(text, strlen(text));
            }
            free(text);
        }
        if (conf->origins != NULL) {
            free(conf_places(conf)[i].origin);
        }
    }
    free(conf->origins);
    free(conf->host);
    free(conf->path);
    free(conf);
}

struct conf *conf_new(const char *host)
{
    struct conf *conf = calloc(1, sizeof *conf);
    if (conf == NULL) {
        return NULL;
    }
    conf->origins = calloc(conf_n_keys, sizeof(struct conf_place));
    conf->host = strdup(host);
    if (conf->origins == NULL || conf->host == NULL) {
        conf_free(conf);
        return NULL;
    }
    return conf;
}

void conf_take(struct conf_loader *loader, const struct conf_key *key, const char *text, const char *where,
               const char *origin)
{
    struct conf_place *place = &conf_places(loader->conf)[key - conf_keys];
    char why[CONF_WHY_SIZE];
    if (!conf_value_set(loader->conf, key, text, why)) {
        conf_report_error(loader->report, "%s: %s", where, why);
        place->failed = true;
        return;
    }
    if (origin != NULL) {
        char *copy = strdup(origin);
        if (copy == NULL) {
            conf_report_error(loader->report, "%s: out of memory", where);
            return;
        }
        free(place->origin);
        place->origin = copy;
    }
}

struct conf *conf_load_for(const char *host, const char *path, char *const envp[], struct conf_report *report)
{
    struct conf_loader loader = {.conf = conf_new(host), .report = report, .envp = envp};
    size_t errors_before = report->n_errors;
    if (loader.conf == NULL) {
        conf_report_error(report, "out of memory");
        return NULL;
    }
    if (path != NULL) {
        loader.conf->path = strdup(path);
        if (loader.conf->path == NULL) {
            conf_report_error(report, "out of memory");
        }
        conf_load_file(&loader, path);
    }
    conf_load_env(&loader);
    conf_load_defaults(&loader);
    conf_load_check(&loader);
    if (report->n_errors != errors_before) {
        conf_free(loader.conf);
        return NULL;
    }
    return loader.conf;
}

/* Only a file that is not there is no file: one that may not be looked at is an error. */
static const char *conf_path(const char *path)
{
    if (path == NULL && (access(CONF_DEFAULT_PATH, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR))) {
        return CONF_DEFAULT_PATH;
    }
    return path;
}

struct conf *conf_load(const char *path, char *const envp[], struct conf_report *report)
{
    char host[HOSTINFO_SIZE];
    hostinfo_fqdn(host);
    return conf_load_for(host, conf_path(path), envp, report);
}

struct conf *conf_load_again(const struct conf *old, char *const envp[], struct conf_report *report)
{
    return conf_load_for(old->host, conf_path(old->path), envp, report);
}

const char *conf_origin(const struct conf *conf, const char *key)
{
    int row = conf_key_find(key);
    if (row < 0 || conf_places(conf)[row].origin == NULL) {
        return "default";
    }
    return conf_places(conf)[row].origin;
}

void conf_decide_front(struct conf *conf, bool kerberos)
{
    enum conf_front_mode decided = kerberos ? CONF_FRONT_REDIRECT : CONF_FRONT_FORWARD;
    conf->front.mode_in_force = conf->front.mode == CONF_FRONT_AUTO ? decided : conf->front.mode;
}

/* The value, and of front.mode what it comes to and why. */
static char *each_value(const struct conf *conf, const struct conf_key *key)
{
    char *value = conf_value_show(conf, key);
    char *whole = NULL;
    if (value == NULL || strcmp(key->key, "front.mode") != 0 || conf->front.mode != CONF_FRONT_AUTO ||
        conf->front.mode_in_force == CONF_FRONT_AUTO) {
        return value;
    }
    bool redirect = conf->front.mode_in_force == CONF_FRONT_REDIRECT;
    if (asprintf(&whole, "%s (%s: livy.conf sets up %s)", value, redirect ? "redirect" : "forward",
                 redirect ? "Kerberos" : "no Kerberos") < 0) {
        whole = NULL;
    }
    free(value);
    return whole;
}

void conf_each(const struct conf *conf, void (*row)(void *arg, const struct conf_row *row), void *arg)
{
    for (size_t i = 0; i < conf_n_keys; i++) {
        char *value = each_value(conf, &conf_keys[i]);
        struct conf_row shown = {.key = conf_keys[i].key,
                                 .value = value != NULL ? value : "(out of memory)",
                                 .origin = conf_origin(conf, conf_keys[i].key),
                                 .effect = conf_keys[i].effect};
        row(arg, &shown);
        free(value);
    }
}

/* Puts the old value back where a change needs a restart. Without memory the fresh value stays, which is what
 * the next restart makes of it anyway. */
static void reload_keep(const struct conf *old, struct conf *fresh, size_t i)
{
    const char *origin = conf_places(old)[i].origin;
    char *copy = origin != NULL ? strdup(origin) : NULL;
    if ((origin != NULL && copy == NULL) || !conf_value_copy(fresh, old, &conf_keys[i])) {
        free(copy);
        return;
    }
    free(conf_places(fresh)[i].origin);
    conf_places(fresh)[i].origin = copy;
}

static void reload_keep_host(const struct conf *old, struct conf *fresh)
{
    char *host = strdup(old->host);
    if (host != NULL) {
        free(fresh->host);
        fresh->host = host;
    }
}

struct conf *conf_reload(const struct conf *old, struct conf *fresh,
                         void (*changed)(void *arg, const char *key, enum conf_effect effect), void *arg)
{
    int log_dir = conf_key_find("livy.log_dir");
    bool *differs = calloc(conf_n_keys, sizeof *differs);
    for (size_t i = 0; i < conf_n_keys; i++) {
        if (conf_keys[i].effect == CONF_EFFECT_RESTART) {
            bool differ = !conf_value_equal(old, fresh, &conf_keys[i]);
            if (differs != NULL) {
                differs[i] = differ;
            }
            reload_keep(old, fresh, i);
        }
    }
    /* The name this host had at the start is in what other members know of it. */
    reload_keep_host(old, fresh);
    /* It may have been made from a runtime_dir that does not come into force; a failure leaves that one. */
    if (log_dir >= 0 && conf_places(fresh)[log_dir].origin == NULL) {
        (void)conf_derive_log_dir(fresh);
    }
    for (size_t i = 0; i < conf_n_keys; i++) {
        bool differ = conf_keys[i].effect == CONF_EFFECT_RESTART
                          ? differs != NULL && differs[i]
                          : !conf_value_equal(old, fresh, &conf_keys[i]);
        if (differ && changed != NULL) {
            changed(arg, conf_keys[i].key, conf_keys[i].effect);
        }
    }
    free(differs);
    return fresh;
}
