/* cmd_read.c - history, config, version: one document each. */
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"
#include "document.h"
#include "fetch.h"
#include "text.h"
#include "view.h"

typedef int view(FILE *out, const struct screen *screen, const json_t *document);

/* Fetches and prints one document, as it is with --json, else by `show`. */
static enum ctl_exit read_and_show(const struct ctl *ctl, const char *path, bool array, view *show)
{
    struct fetch fetch = fetch_document(ctl, path, array, ctl->deadline);
    int rc;

    if (fetch.document == NULL) {
        ctl_complain("%s", fetch.why);
        return fetch.exit;
    }
    if (ctl->json) {
        rc = json_dumpf(fetch.document, stdout, JSON_INDENT(2));
        (void)fputc('\n', stdout);
    } else {
        rc = show(stdout, &ctl->screen, fetch.document);
    }
    json_decref(fetch.document);
    if (rc != 0)
        ctl_complain("cannot print the answer: out of memory, or the output is closed");
    return rc == 0 ? CTL_DONE : CTL_FAILED;
}

enum ctl_exit command_history(const struct ctl *ctl)
{
    return read_and_show(ctl, "/history", true, view_history);
}

enum ctl_exit command_config(const struct ctl *ctl)
{
    return read_and_show(ctl, "/config", false, view_config);
}

static int print_version(const struct ctl *ctl, const char *daemon)
{
    char *clean;
    int rc = 0;

    if (ctl->json) {
        json_t *answer = json_pack("{s:s,s:s?}", "ctl", LIVY_HA_VERSION, "daemon", daemon);
        rc = answer == NULL ? -1 : json_dumpf(answer, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(answer);
        return rc;
    }
    clean = text_clean(daemon != NULL ? daemon : "-");
    if (clean == NULL)
        return -1;
    (void)printf("livy-ha-ctl %s\nlivy-ha %s\n", LIVY_HA_VERSION, clean);
    free(clean);
    return 0;
}

enum ctl_exit command_version(const struct ctl *ctl)
{
    /* An admin port has the version in /status alone. */
    struct fetch fetch = fetch_document(ctl, ctl->url != NULL ? "/status" : "/version", false, ctl->deadline);
    const int rc = print_version(ctl, document_string(fetch.document, "version"));

    if (fetch.exit != CTL_DONE)
        ctl_complain("%s", fetch.why);
    json_decref(fetch.document);
    return rc == 0 ? fetch.exit : CTL_FAILED;
}
