/* reload.c - see the header. */
#include "reload.h"

#include <unistd.h>

#include "livy-ha/log.h"

extern char **environ;

void reload_log_report(const struct conf_report *report)
{
    for (size_t i = 0; i < report->n_errors; i++)
        log_error("%s", report->errors[i]);
    for (size_t i = 0; i < report->n_warnings; i++)
        log_warn("%s", report->warnings[i]);
}

struct changes {
    size_t count;
    bool pending_restart;
};

static void changed(void *arg, const char *key, enum conf_effect effect)
{
    struct changes *changes = arg;

    changes->count++;
    switch (effect) {
    case CONF_EFFECT_RELOAD:
        log_info("reload: %s has changed, in force now", key);
        break;
    case CONF_EFFECT_NEXT_START:
        log_info("reload: %s has changed, in force when Livy is started next", key);
        break;
    case CONF_EFFECT_RESTART:
        log_warn("reload: %s has changed, in force only after a restart of livy-ha", key);
        changes->pending_restart = true;
        break;
    }
}

int reload_configuration(struct conf **conf, struct livyconf **livyconf, bool *pending_restart)
{
    struct conf_report report = {0};
    struct changes changes = {0};

    struct conf *fresh = conf_load((*conf)->path, environ, &report);
    if (fresh != NULL)
        fresh = conf_reload(*conf, fresh, changed, &changes);
    struct livyconf *fresh_livy = fresh != NULL ? livyconf_load(fresh, environ, &report) : NULL;
    reload_log_report(&report);
    conf_report_clear(&report);
    if (fresh == NULL || fresh_livy == NULL) {
        log_error("reload: the configuration is wrong (see above), the old one stays in force");
        conf_free(fresh);
        livyconf_free(fresh_livy);
        return -1;
    }
    conf_free(*conf);
    livyconf_free(*livyconf);
    *conf = fresh;
    *livyconf = fresh_livy;
    log_open("keeper", fresh->log_level, fresh->log_format);
    *pending_restart = changes.pending_restart;
    log_info("reload: %zu key%s changed", changes.count, changes.count == 1 ? " has" : "s have");
    return 0;
}
