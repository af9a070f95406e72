/* view.c - see view.h. Pure: no clock, no input or output. */
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool view_routes(uint32_t route)
{
    return route == FRONT_LOCAL || route == FRONT_REMOTE;
}

bool view_redirects(const struct front_view *view, uint32_t route)
{
    return route == FRONT_REMOTE && view->mode == FRONT_REDIRECT;
}

enum view_fate view_fate(const struct front_view *old, const struct front_view *fresh)
{
    bool same_url = old->livy_url[0] != '\0' && strcmp(old->livy_url, fresh->livy_url) == 0;

    switch ((enum front_route)fresh->route) {
    case FRONT_NOBODY:
        return VIEW_CUT;
    case FRONT_PAUSE:
        return same_url ? VIEW_MAY_END : VIEW_CUT;
    case FRONT_LOCAL:
    case FRONT_REMOTE:
        return same_url && old->epoch == fresh->epoch && old->tls == fresh->tls ? VIEW_KEEP : VIEW_CUT;
    }
    return VIEW_CUT;
}

uint32_t view_route(const struct front_view *view, int64_t now)
{
    return now < view->valid_until ? view->route : FRONT_NOBODY;
}

void view_expire(struct front_view *view)
{
    view->route = FRONT_NOBODY;
    view->epoch = 0;
    view->id[0] = view->livy_url[0] = view->front_url[0] = '\0';
}

static void describe_new(const struct front_view *view, char *text, size_t size)
{
    switch ((enum front_route)view->route) {
    case FRONT_NOBODY:
        snprintf(text, size, "no active Livy is known: requests are held, for front.hold at most");
        break;
    case FRONT_PAUSE:
        snprintf(text, size, "a hand-over: what runs at %s may end, what is new is held", view->livy_url);
        break;
    case FRONT_LOCAL:
        snprintf(text, size, "Livy serves here, at %s (epoch %" PRId64 ")", view->livy_url, view->epoch);
        break;
    case FRONT_REMOTE:
        if (view->mode == FRONT_REDIRECT && view->tls == 0)
            snprintf(text, size, "%s is active (epoch %" PRId64 "): requests are redirected to %s", view->id,
                     view->epoch, view->front_url);
        else
            snprintf(text, size, "%s is active (epoch %" PRId64 "): forwarded to %s", view->id, view->epoch,
                     view->livy_url);
        break;
    }
}

bool view_describe(const struct front_view *old, const struct front_view *fresh, const char *why, char *text,
                   size_t size)
{
    char what[1024];

    if (old->route == fresh->route && old->mode == fresh->mode && old->epoch == fresh->epoch &&
        strcmp(old->livy_url, fresh->livy_url) == 0 && strcmp(old->front_url, fresh->front_url) == 0)
        return false;
    describe_new(fresh, what, sizeof(what));
    snprintf(text, size, "front %s -> %s: %s%s%s", front_route_name(old->route),
             front_route_name(fresh->route), why != NULL ? why : "", why != NULL ? ": " : "", what);
    return true;
}

bool view_parse_url(const char *url, char *host, size_t size, int *port)
{
    const char *at = strstr(url, "://"), *end;

    if (at == NULL)
        return false;
    at += 3;
    if (*at == '[')
        end = strchr(++at, ']');
    else
        end = strchr(at, ':');
    if (end == NULL || end == at || (size_t)(end - at) >= size)
        return false;
    memcpy(host, at, (size_t)(end - at));
    host[end - at] = '\0';
    if (*end == ']')
        end++;
    if (*end != ':')
        return false;
    char *rest;
    long number = strtol(end + 1, &rest, 10);
    if (rest == end + 1 || (*rest != '\0' && *rest != '/') || number < 1 || number > 65535)
        return false;
    *port = (int)number;
    return true;
}
