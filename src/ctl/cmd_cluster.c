/* cmd_cluster.c - status, active, wait: one look at the cluster, or looks until something is so. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "document.h"
#include "fetch.h"
#include "livy-ha/clock.h"
#include "view.h"

#define POLL_MS 250
#define OWN_MS 2000 /* for /status, which only adds to what /cluster says */

enum ctl_exit command_status(const struct ctl *ctl)
{
    struct fetch cluster = fetch_document(ctl, "/cluster", false, ctl->deadline);
    const bool serving = document_true(cluster.document, "serving");
    int rc;

    if (cluster.document == NULL) {
        ctl_complain("%s", cluster.why);
        return cluster.exit;
    }
    if (ctl->json) {
        rc = json_dumpf(cluster.document, stdout, JSON_INDENT(2));
        (void)fputc('\n', stdout);
    } else {
        struct fetch own = fetch_document(ctl, "/status", false, clock_boot_ms() + OWN_MS);
        rc = view_cluster(stdout, &ctl->screen, cluster.document, own.document, ctl->wide, clock_wall_ms());
        json_decref(own.document);
    }
    json_decref(cluster.document);
    if (rc != 0) {
        ctl_complain("cannot print the status: out of memory, or the output is closed");
        return CTL_FAILED;
    }
    if (cluster.exit != CTL_DONE) {
        ctl_complain("%s", cluster.why);
        return cluster.exit;
    }
    return serving ? CTL_DONE : CTL_NO_ACTIVE;
}

/* The address for clients: the front's where the daemon has a front, else Livy's own. */
static const char *active_url(const struct ctl *ctl, const json_t *member)
{
    struct fetch own = fetch_document(ctl, "/status", false, ctl->deadline);
    bool front = json_object_get(own.document, "front") != NULL;
    const char *url = document_string(member, front ? "url" : "livy_url");

    json_decref(own.document);
    return url;
}

enum ctl_exit command_active(const struct ctl *ctl)
{
    struct fetch cluster = fetch_document(ctl, "/cluster", false, ctl->deadline);
    const json_t *member = document_active(cluster.document);
    enum ctl_exit exit = CTL_DONE;
    const char *url;

    if (cluster.exit != CTL_DONE) {
        ctl_complain("%s", cluster.why);
        json_decref(cluster.document);
        return cluster.exit;
    }
    if (!document_true(cluster.document, "serving") || member == NULL) {
        ctl_complain("no active Livy serves: `livy-ha-ctl status` says more.");
        exit = CTL_NO_ACTIVE;
    } else if ((url = active_url(ctl, member)) == NULL) {
        ctl_complain("the daemon on %s does not tell the active Livy's URL.", ctl->endpoint.shown);
        exit = CTL_FAILED;
    } else if (ctl->json) {
        json_t *answer = json_pack("{s:s?,s:s}", "active", document_string(member, "id"), "url", url);
        if (answer == NULL || json_dumpf(answer, stdout, JSON_COMPACT) != 0)
            exit = CTL_FAILED;
        (void)fputc('\n', stdout);
        json_decref(answer);
    } else {
        (void)printf("%s\n", url);
    }
    json_decref(cluster.document);
    return exit;
}

static bool string_is(const json_t *object, const char *key, const char *expected)
{
    const char *value = document_string(object, key);

    return value != NULL && strcmp(value, expected) == 0;
}

/* Whether what --for asks is so. */
static bool wait_is_over(const char *wanted, const json_t *cluster)
{
    const json_t *self = document_self(cluster);

    if (strcmp(wanted, "serving") == 0)
        return document_true(cluster, "serving");
    if (strcmp(wanted, "standby") == 0)
        return string_is(self, "role", "standby");
    return string_is(self, "role", "active") && string_is(self, "livy", "serving");
}

enum ctl_exit command_wait(const struct ctl *ctl)
{
    struct fetch cluster;

    for (;;) {
        const int64_t now = clock_boot_ms();
        bool over;

        cluster = fetch_document(ctl, "/cluster", false, ctl->deadline);
        over = cluster.exit == CTL_DONE && wait_is_over(ctl->wait_for, cluster.document);
        json_decref(cluster.document);
        if (over)
            return CTL_DONE;
        if (now + POLL_MS >= ctl->deadline)
            break;
        (void)poll(NULL, 0, POLL_MS);
    }
    if (cluster.exit != CTL_DONE) {
        ctl_complain("%s", cluster.why);
        return cluster.exit;
    }
    ctl_complain("waited %lld ms, and %s: `livy-ha-ctl status` says more.", (long long)ctl->timeout,
                 strcmp(ctl->wait_for, "serving") == 0 ? "no Livy serves"
                 : strcmp(ctl->wait_for, "standby") == 0
                     ? "this member does not stand by"
                     : "this member's Livy does not serve as the active one");
    return CTL_TIMED_OUT;
}
