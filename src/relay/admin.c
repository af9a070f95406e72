/* admin.c - see the header. */
#include "admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "httpd.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "metrics.h"
#include "page.h"
#include "prom.h"

struct admin {
    struct httpd *httpd;
    struct admin_options options;
};

/* One request. */
struct look {
    const struct admin *admin;
    struct httpd_exchange *exchange;
    struct health_front front;
    int64_t now;
};

/* ---- answers
 * ------------------------------------------------------------------------------------------------------ */

/* Each tells how old is what it is made of, also where the body has no room for that. */
static void answer(const struct look *look, int status, const char *type, const char *body, size_t length,
                   const char *policy)
{
    char headers[256];

    snprintf(headers, sizeof(headers), "X-Livy-HA-Age-Ms: %lld\r\nX-Content-Type-Options: nosniff\r\n%s",
             (long long)snapshot_age(look->admin->options.snapshot, look->now), policy);
    httpd_answer(look->exchange,
                 &(struct httpd_reply){
                     .status = status, .type = type, .body = body, .length = length, .headers = headers});
}

static void out_of_memory(const struct look *look)
{
    static const char body[] = "{\"error\":\"out of memory\"}";
    answer(look, 500, NULL, body, sizeof(body) - 1, "");
}

/* Takes over `document`. */
static void answer_json(const struct look *look, int status, json_t *document)
{
    char *text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;

    json_decref(document);
    if (text != NULL)
        answer(look, status, NULL, text, strlen(text), "");
    else
        out_of_memory(look);
    free(text);
}

static void write_metrics(const struct look *look, FILE *out)
{
    const struct admin_options *options = &look->admin->options;
    struct metrics_sources sources = {.snapshot = options->snapshot,
                                      .front = &look->front,
                                      .stats = options->stats,
                                      .id = options->id,
                                      .now = look->now};
    metrics_write(out, &sources);
}

static void write_page(const struct look *look, FILE *out)
{
    struct page_sources sources = {.snapshot = look->admin->options.snapshot,
                                   .front = &look->front,
                                   .id = look->admin->options.id,
                                   .now = look->now};
    page_write(out, &sources);
}

static void answer_text(const struct look *look, const char *type, const char *policy,
                        void (*write)(const struct look *look, FILE *out))
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    bool failed = out == NULL;

    if (out != NULL) {
        write(look, out);
        failed = ferror(out) != 0;
        failed |= fclose(out) != 0;
    }
    if (!failed)
        answer(look, 200, type, text, length, policy);
    else
        out_of_memory(look);
    free(text);
}

/* ---- health
 * -----------------------------------------------------------------------------------------------------------
 */

static void health(const struct look *look, enum health_check check)
{
    const struct snapshot *snapshot = look->admin->options.snapshot;
    char reason[256];
    bool ok = health_check(check, snapshot, &look->front, look->now, reason, sizeof(reason));
    json_t *body = json_pack("{s:b, s:s}", health_name(check), ok, "member", look->admin->options.id);

    if (!ok)
        json_object_set_new(body, "reason", json_string(reason));
    else if (check == HEALTH_ACTIVE)
        json_object_set(body, "epoch", json_object_get(snapshot_status(snapshot), "epoch"));
    else if (check == HEALTH_READY)
        json_object_set_new(body, "route", json_string(front_route_name(look->front.route)));
    answer_json(look, ok ? 200 : 503, body);
}

/* ---- documents
 * --------------------------------------------------------------------------------------------------- */

/* What was so, with what has become of it since: the lease has run on, and an old word is no connection. */
static void age(const struct look *look, json_t *document)
{
    const struct snapshot *snapshot = look->admin->options.snapshot;

    if (snapshot_fresh(snapshot, look->now))
        return;
    json_object_set_new(document, "stale_ms", json_integer(snapshot_age(snapshot, look->now)));
    json_object_set_new(document, "connected", json_false());
}

static void age_lease(const struct look *look, json_t *member)
{
    int64_t left = snapshot_lease_left(look->admin->options.snapshot, look->now);

    if (json_is_integer(json_object_get(member, "lease_left_ms")) && left >= 0)
        json_object_set_new(member, "lease_left_ms", json_integer(left));
}

static void status(const struct look *look)
{
    const struct admin_options *options = &look->admin->options;
    json_t *document;

    if (snapshot_there(options->snapshot))
        document = json_copy((json_t *)snapshot_status(options->snapshot));
    else
        document = json_pack("{s:s, s:s, s:s, s:s}", "id", options->id, "role", "joining", "livy", "none",
                             "reason", "the elector has said nothing yet");
    age(look, document);
    age_lease(look, document);
    answer_json(look, 200, document);
}

static json_t *copy_cluster(const struct look *look)
{
    const json_t *cluster = snapshot_cluster(look->admin->options.snapshot), *member;
    json_t *copy = json_copy((json_t *)cluster), *members = json_array();
    size_t i;

    json_array_foreach(json_object_get(cluster, "members"), i, member)
    {
        json_t *row = json_copy((json_t *)member);
        if (json_is_true(json_object_get(row, "self")))
            age_lease(look, row);
        json_array_append_new(members, row);
    }
    json_object_set_new(copy, "members", members);
    return copy;
}

static void cluster(const struct look *look)
{
    const struct admin_options *options = &look->admin->options;
    json_t *document;

    if (snapshot_there(options->snapshot))
        document = copy_cluster(look);
    else
        document = json_pack("{s:i, s:s, s:n, s:b, s:n, s:b, s:b, s:[]}", "v", 1, "root", options->root,
                             "active", "serving", 0, "epoch", "paused", 0, "connected", 0, "members");
    age(look, document);
    answer_json(look, 200, document);
}

static void history(const struct look *look)
{
    const struct snapshot *snapshot = look->admin->options.snapshot;

    answer_json(look, 200,
                snapshot_there(snapshot) ? json_incref((json_t *)snapshot_history(snapshot)) : json_array());
}

/* ---- paths
 * ------------------------------------------------------------------------------------------------------- */

enum what { WHAT_HEALTH, WHAT_STATUS, WHAT_CLUSTER, WHAT_HISTORY, WHAT_METRICS, WHAT_PAGE };

static const struct path {
    const char *path;
    enum what what;
    enum health_check check; /* of HEALTH */
} paths[] = {
    {"/active", WHAT_HEALTH, HEALTH_ACTIVE},   {"/leader", WHAT_HEALTH, HEALTH_ACTIVE},
    {"/standby", WHAT_HEALTH, HEALTH_STANDBY}, {"/livez", WHAT_HEALTH, HEALTH_LIVE},
    {"/readyz", WHAT_HEALTH, HEALTH_READY},    {"/status", WHAT_STATUS, HEALTH_CHECKS},
    {"/cluster", WHAT_CLUSTER, HEALTH_CHECKS}, {"/history", WHAT_HISTORY, HEALTH_CHECKS},
    {"/metrics", WHAT_METRICS, HEALTH_CHECKS}, {"/", WHAT_PAGE, HEALTH_CHECKS},
};

static void serve(const struct look *look, const struct path *path)
{
    switch (path->what) {
    case WHAT_HEALTH:
        health(look, path->check);
        return;
    case WHAT_STATUS:
        status(look);
        return;
    case WHAT_CLUSTER:
        cluster(look);
        return;
    case WHAT_HISTORY:
        history(look);
        return;
    case WHAT_METRICS:
        answer_text(look, PROM_TYPE, "", write_metrics);
        return;
    case WHAT_PAGE:
        answer_text(look, PAGE_TYPE,
                    "Content-Security-Policy: " PAGE_POLICY "; frame-ancestors 'none'\r\n"
                    "Referrer-Policy: no-referrer\r\n",
                    write_page);
        return;
    }
}

static void on_request(void *arg, struct httpd_exchange *exchange, const struct httpd_request *request)
{
    const struct admin *admin = arg;
    struct look look = {.admin = admin, .exchange = exchange, .now = clock_boot_ms()};

    admin->options.front(admin->options.arg, &look.front);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(request->path, paths[i].path) == 0) {
            serve(&look, &paths[i]);
            return;
        }
    }
    answer_json(&look, 404, json_pack("{s:s}", "error", "no such path: / lists what there is"));
}

struct admin *admin_open(struct event_base *base, const struct admin_options *options, char *why, size_t size)
{
    struct admin *admin = calloc(1, sizeof(*admin));
    struct httpd_options httpd = {.listen = options->listen,
                                  .name = "admin.listen",
                                  .connections = ADMIN_CONNECTIONS,
                                  .per_address = ADMIN_PER_ADDRESS,
                                  .seconds = ADMIN_SECONDS,
                                  .handler = on_request,
                                  .arg = admin};

    if (admin == NULL) {
        snprintf(why, size, "admin.listen: out of memory");
        return NULL;
    }
    admin->options = *options;
    admin->options.id = strdup(options->id); /* a reload makes a new configuration */
    admin->options.root = strdup(options->root);
    if (admin->options.id != NULL && admin->options.root != NULL)
        admin->httpd = httpd_open(base, &httpd, why, size);
    else
        snprintf(why, size, "admin.listen: out of memory");
    if (admin->httpd != NULL)
        return admin;
    int error = errno;
    admin_close(admin);
    errno = error;
    return NULL;
}

void admin_close(struct admin *admin)
{
    if (admin == NULL)
        return;
    if (admin->httpd != NULL)
        httpd_close(admin->httpd);
    free((char *)admin->options.id);
    free((char *)admin->options.root);
    free(admin);
}
