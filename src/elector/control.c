/* control.c - see control.h: paths to documents. It decides nothing: what is asked of the elector goes to its
 * parts, and what they say goes back.
 */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elector.h"
#include "httpd.h"

#define CONTROL_CONNECTIONS 64
#define CONTROL_SECONDS 10

struct control {
    struct elector *e;
    struct httpd *httpd;
};

/* Takes over `document`; NULL: there is none for want of memory. */
void command_reply(struct httpd_exchange *exchange, int status, json_t *document)
{
    char *text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;
    const struct httpd_reply reply = {
        .status = text != NULL ? status : 500, .body = text, .length = text != NULL ? strlen(text) : 0};

    httpd_answer(exchange, &reply);
    free(text);
    json_decref(document);
}

static void on_read(struct elector *e, struct httpd_exchange *exchange, const char *path)
{
    static const struct {
        const char *path;
        json_t *(*document)(struct elector *e);
    } reads[] = {
        {"/status", status_member}, {"/cluster", status_cluster}, {"/history", status_history},
        {"/config", status_config}, {"/version", status_version},
    };

    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        if (strcmp(path, reads[i].path) == 0) {
            command_reply(exchange, 200, reads[i].document(e));
            return;
        }
    }
    httpd_answer(exchange, &(struct httpd_reply){.status = 404});
}

static void on_gone(void *arg, struct httpd_exchange *exchange)
{
    const struct control *control = arg;

    command_gone(control->e, exchange);
}

static void on_request(void *arg, struct httpd_exchange *exchange, const struct httpd_request *request)
{
    struct control *control = arg;

    if (request->post)
        command_post(control->e, exchange, request);
    else if (strcmp(request->path, "/command") == 0)
        command_get(control->e, exchange, request);
    else
        on_read(control->e, exchange, request->path);
}

struct control *control_open(struct elector *e, char *why, size_t size)
{
    struct control *control = calloc(1, sizeof(*control));
    const struct httpd_options options = {
        .path = e->conf->control_socket,
        .name = "control socket",
        .posts = true,
        .connections = CONTROL_CONNECTIONS,
        .seconds = CONTROL_SECONDS,
        .handler = on_request,
        .gone = on_gone,
        .arg = control,
    };

    if (control == NULL) {
        (void)snprintf(why, size, "control socket %s: out of memory", e->conf->control_socket);
        return NULL;
    }
    control->e = e;
    control->httpd = httpd_open(e->base, &options, why, size);
    if (control->httpd != NULL)
        return control;
    free(control);
    return NULL;
}

void control_close(struct control *control)
{
    if (control == NULL)
        return;
    httpd_close(control->httpd);
    free(control);
}
