/* reload.c - see the header. */
#include "reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "livy-ha/log.h"
#include "startup.h"

void reload_log_report(const struct conf_report *report)
{
    for (size_t i = 0; i < report->n_errors; i++)
        log_error("%s", report->errors[i]);
    for (size_t i = 0; i < report->n_warnings; i++)
        log_warn("%s", report->warnings[i]);
}

#define MAX_CHANGES 64 /* more than there are keys; further ones would only not be named */

struct changes {
    struct {
        const char *key; /* the table's own */
        enum conf_effect effect;
    } list[MAX_CHANGES];
    size_t count;
};

static void changed(void *arg, const char *key, enum conf_effect effect)
{
    struct changes *changes = arg;

    if (changes->count == MAX_CHANGES)
        return;
    changes->list[changes->count].key = key;
    changes->list[changes->count++].effect = effect;
}

/* Once it is sure that they are taken. Returns whether one of them waits for a restart. */
static bool log_changes(const struct changes *changes)
{
    bool restart = false;

    for (size_t i = 0; i < changes->count; i++) {
        const char *key = changes->list[i].key;
        switch (changes->list[i].effect) {
        case CONF_EFFECT_RELOAD:
            log_info("reload: %s has changed, in force now", key);
            break;
        case CONF_EFFECT_NEXT_START:
            log_info("reload: %s has changed, in force when Livy is started next", key);
            break;
        case CONF_EFFECT_RESTART:
            log_warn("reload: %s has changed, in force only after a restart of livy-ha", key);
            restart = true;
            break;
        }
    }
    log_info("reload: %zu key%s changed", changes->count, changes->count == 1 ? " has" : "s have");
    return restart;
}

/* Rule 7: the store is compared with the cluster's when a member registers, so it cannot change under way. */
static bool store_is_same(const struct livyconf *old, const struct livyconf *fresh)
{
    char *before = livyconf_fingerprint(old), *after = livyconf_fingerprint(fresh);
    bool same = before != NULL && after != NULL && strcmp(before, after) == 0;

    if (!same)
        log_error("reload: Livy's state store would change from \"%s\" to \"%s\": stop all members, remove "
                  "<root>/store in "
                  "ZooKeeper, and start them again",
                  before != NULL ? before : "?", after != NULL ? after : "?");
    free(before);
    free(after);
    return same;
}

int reload_configuration(struct conf **conf, struct livyconf **livyconf, bool *pending_restart, char *why,
                         size_t size)
{
    struct conf_report report = {0};
    struct changes changes = {0};

    struct conf *fresh = conf_load_again(*conf, environ, &report);
    if (fresh != NULL && !startup_can_keep(fresh, &report)) {
        conf_free(fresh);
        fresh = NULL;
    }
    if (fresh != NULL)
        fresh = conf_reload(*conf, fresh, changed, &changes);
    struct livyconf *fresh_livy = fresh != NULL ? livyconf_load(fresh, environ, &report) : NULL;
    if (fresh_livy != NULL)
        conf_decide_front(fresh, fresh_livy->kerberos);
    reload_log_report(&report);
    snprintf(why, size, "%s",
             report.n_errors > 0 ? report.errors[0] : "Livy's state store would change: see the log");
    conf_report_clear(&report);
    bool same_store = fresh_livy != NULL && store_is_same(*livyconf, fresh_livy);
    if (fresh == NULL || fresh_livy == NULL || !same_store) {
        log_error("reload: %s, the old configuration stays in force",
                  fresh_livy != NULL ? "see above" : "the configuration is wrong (see above)");
        conf_free(fresh);
        livyconf_free(fresh_livy);
        return -1;
    }
    conf_free(*conf);
    livyconf_free(*livyconf);
    *conf = fresh;
    *livyconf = fresh_livy;
    log_open("keeper", fresh->log_level, fresh->log_format);
    *pending_restart = log_changes(&changes);
    return 0;
}
