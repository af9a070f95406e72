/* fetch.c - see fetch.h. Turns what went wrong on the wire into advice. */
#include "fetch.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "http.h"
#include "text.h"

/* The group that may use the socket: that of the file, or of the nearest directory that can be seen. */
static const char *socket_group(const char *path, char *number, size_t size)
{
    char shorter[sizeof((struct endpoint *)NULL)->path];
    struct stat status;
    const struct group *group;

    (void)snprintf(shorter, sizeof shorter, "%s", path);
    while (stat(shorter, &status) != 0) {
        char *slash = strrchr(shorter, '/');
        if (slash == NULL || slash == shorter)
            return NULL;
        *slash = '\0';
    }
    group = getgrgid(status.st_gid);
    if (group != NULL)
        return group->gr_name;
    (void)snprintf(number, size, "%u", (unsigned int)status.st_gid);
    return number;
}

static void explain_unreachable(const struct endpoint *endpoint, const struct http_reply *reply, char *why,
                                size_t size)
{
    char number[16];
    const char *group;

    if (endpoint->tcp) {
        (void)snprintf(
            why, size,
            "no daemon answers on %s (%s): is livy-ha running there, and is this its admin.listen?",
            endpoint->shown, reply->why);
        return;
    }
    if (reply->error != EACCES && reply->error != EPERM) {
        (void)snprintf(
            why, size,
            "no daemon answers on %s (%s): is livy-ha running? Use -s or -c to name another socket.",
            endpoint->shown, reply->why);
        return;
    }
    group = socket_group(endpoint->path, number, sizeof number);
    (void)snprintf(why, size, "no right to use %s (%s): run this as root or as a member of the group %s.",
                   endpoint->shown, reply->why, group != NULL ? group : "of livy-ha");
}

/* What the daemon says in {"error":…}, else its status. */
static void explain_status(const struct endpoint *endpoint, const char *path, const struct http_reply *reply,
                           char *why, size_t size)
{
    json_t *body = json_loadb(reply->body, reply->length, 0, NULL);
    const char *error = json_string_value(json_object_get(body, "error"));
    char *clean = text_clean(error != NULL ? error : "no reason given");

    (void)snprintf(why, size, "the daemon on %s answered GET %s with HTTP %d: %s", endpoint->shown, path,
                   reply->status, clean != NULL ? clean : "out of memory");
    free(clean);
    json_decref(body);
}

static json_t *parse_body(const struct http_reply *reply, bool array, char *why, size_t size)
{
    json_error_t error;
    json_t *document = json_loadb(reply->body, reply->length, JSON_REJECT_DUPLICATES, &error);

    if (document == NULL) {
        (void)snprintf(why, size, "%s (line %d, column %d)", error.text, error.line, error.column);
    } else if (array ? !json_is_array(document) : !json_is_object(document)) {
        (void)snprintf(why, size, "expected a JSON %s", array ? "array" : "object");
        json_decref(document);
        document = NULL;
    }
    return document;
}

/* The wire; CTL_DONE where there is an answer, which the caller frees. */
static enum ctl_exit ask(const struct ctl *ctl, bool post, const char *path, int64_t deadline,
                         struct http_reply *reply, struct fetch *fetch)
{
    switch (http_ask(&ctl->endpoint, post, path, deadline, reply)) {
    case HTTP_UNREACHABLE:
        explain_unreachable(&ctl->endpoint, reply, fetch->why, sizeof fetch->why);
        return CTL_UNREACHABLE;
    case HTTP_TIMED_OUT:
        (void)snprintf(
            fetch->why, sizeof fetch->why,
            "%s %s on %s timed out (%s): the daemon is busy or stopped; its log says more, and --timeout "
            "waits longer.",
            post ? "POST" : "GET", path, ctl->endpoint.shown, reply->why);
        return CTL_TIMED_OUT;
    case HTTP_MALFORMED:
        (void)snprintf(fetch->why, sizeof fetch->why, "what answers on %s is no livy-ha: %s",
                       ctl->endpoint.shown, reply->why);
        return CTL_FAILED;
    case HTTP_ANSWERED:
        fetch->status = reply->status;
        return CTL_DONE;
    }
    return CTL_FAILED;
}

/* An admin port goes on answering while its daemon does not: what it tells then is no news. */
static void look_at_age(const struct endpoint *endpoint, struct fetch *fetch)
{
    const json_t *stale = json_object_get(fetch->document, "stale_ms");

    if (!json_is_integer(stale))
        return;
    fetch->exit = CTL_UNREACHABLE;
    (void)snprintf(
        fetch->why, sizeof fetch->why,
        "the daemon behind %s has said nothing for %.1f s: what it tells is not known to be so any "
        "more. Its log says more.",
        endpoint->shown, (double)json_integer_value(stale) / 1e3);
}

struct fetch fetch_document(const struct ctl *ctl, const char *path, bool array, int64_t deadline)
{
    struct fetch fetch = {.exit = CTL_FAILED};
    struct http_reply reply;
    char wrong[240] = "";

    fetch.exit = ask(ctl, false, path, deadline, &reply, &fetch);
    if (fetch.exit != CTL_DONE)
        return fetch;
    fetch.exit = CTL_FAILED;
    if (reply.status != 200) {
        explain_status(&ctl->endpoint, path, &reply, fetch.why, sizeof fetch.why);
    } else {
        fetch.document = parse_body(&reply, array, wrong, sizeof wrong);
        if (fetch.document == NULL)
            (void)snprintf(fetch.why, sizeof fetch.why, "what answers on %s is no livy-ha: GET %s: %s",
                           ctl->endpoint.shown, path, wrong);
        else
            fetch.exit = CTL_DONE;
        look_at_age(&ctl->endpoint, &fetch);
    }
    free(reply.body);
    return fetch;
}

struct fetch fetch_post(const struct ctl *ctl, const char *path, int64_t deadline)
{
    struct fetch fetch = {.exit = CTL_FAILED};
    struct http_reply reply;
    char wrong[240] = "";

    fetch.exit = ask(ctl, true, path, deadline, &reply, &fetch);
    if (fetch.exit != CTL_DONE)
        return fetch;
    fetch.document = parse_body(&reply, false, wrong, sizeof wrong);
    if (fetch.document == NULL) {
        (void)snprintf(fetch.why, sizeof fetch.why, "what answers on %s is no livy-ha: POST %s: %s",
                       ctl->endpoint.shown, path, wrong);
        fetch.exit = CTL_FAILED;
    }
    free(reply.body);
    return fetch;
}
