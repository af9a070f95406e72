/* route.c - see the header. */
#include "route.h"

#include <stdio.h>
#include <string.h>

#include "record.h"

static bool is(const json_t *record, const char *key, const char *value)
{
    return strcmp(record_text(record, key), value) == 0;
}

static bool serves(const json_t *record)
{
    return is(record, "livy", "serving") || is(record, "livy", "unhealthy");
}

static int64_t epoch_of(const json_t *record)
{
    return json_integer_value(json_object_get(record, "epoch")); /* 0 where it is none */
}

/* The other member with the highest epoch of those that call themselves active; NULL: there is none. */
static const json_t *other_active(const json_t *members, const char *self, const char **id)
{
    const json_t *found = NULL;
    const char *key;
    json_t *record;

    json_object_foreach((json_t *)members, key, record)
    {
        if (strcmp(key, self) == 0 || !is(record, "role", "active") || epoch_of(record) <= 0)
            continue;
        if (found != NULL && epoch_of(record) <= epoch_of(found))
            continue;
        found = record;
        *id = key;
    }
    return found;
}

/* False where it does not fit, so that nothing is sent to half an address. */
static bool copy(char *to, size_t size, const char *from)
{
    int n = snprintf(to, size, "%s", from);
    return n > 0 && (size_t)n < size;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool has_only(const char *text, const char *others)
{
    for (; *text != '\0'; text++) {
        if (!is_alnum(*text) && strchr(others, *text) == NULL)
            return false;
    }
    return true;
}

/* Whoever may write to ZooKeeper has written it, and it goes into what clients are answered: nothing that
 * could be more than an address there. */
static bool is_url(const char *text)
{
    size_t scheme = strncmp(text, "https://", 8) == 0 ? 8 : strncmp(text, "http://", 7) == 0 ? 7 : 0;

    return scheme > 0 && text[scheme] != '\0' && text[scheme] != '/' &&
           has_only(text + scheme, "-._~:/?#[]@!$&'()*+,;=%");
}

static bool is_id(const char *text)
{
    return has_only(text, "._:-");
}

static void point(struct front_view *view, enum front_route route, const char *id, const char *livy_url,
                  const char *front_url, int64_t epoch, int64_t valid_until)
{
    if (!is_id(id) || !is_url(livy_url) || !is_url(front_url) || !copy(view->id, sizeof(view->id), id) ||
        !copy(view->livy_url, sizeof(view->livy_url), livy_url) ||
        !copy(view->front_url, sizeof(view->front_url), front_url)) {
        view->id[0] = view->livy_url[0] = view->front_url[0] = '\0';
        return; /* stays NOBODY */
    }
    view->route = route;
    view->epoch = epoch;
    view->valid_until = valid_until;
    view->tls = strncmp(livy_url, "https:", 6) == 0;
}

void route_decide(const struct route_self *self, const json_t *members, struct front_view *view)
{
    const char *id = "";
    const json_t *other = other_active(members, self->id, &id);

    memset(view, 0, sizeof(*view));
    view->route = FRONT_NOBODY;
    view->mode = self->mode;
    view->tls = self->tls;
    view->ending = self->ending;
    view->yield = self->yield;
    view->valid_until = self->trusted > 0 ? self->trusted : 0;
    if (self->alive && (other == NULL || self->epoch >= epoch_of(other))) {
        if (self->quiescing || self->serving)
            point(view, self->quiescing ? FRONT_PAUSE : FRONT_LOCAL, self->id, self->livy_url,
                  self->front_url, self->epoch, self->leased);
        return;
    }
    if (other == NULL)
        return;
    if (json_is_true(json_object_get(other, "quiescing")))
        point(view, FRONT_PAUSE, id, record_text(other, "livy_url"), record_text(other, "url"),
              epoch_of(other), self->trusted);
    else if (serves(other))
        point(view, FRONT_REMOTE, id, record_text(other, "livy_url"), record_text(other, "url"),
              epoch_of(other), self->trusted);
}

static bool forwards(const json_t *record)
{
    return is(json_object_get(record, "front"), "mode", "forward");
}

bool route_others_forward(const json_t *members, const char *self)
{
    const char *id;
    json_t *record;

    json_object_foreach((json_t *)members, id, record)
    {
        if (strcmp(id, self) != 0 && forwards(record))
            return true;
    }
    return false;
}

bool route_others_stand(const json_t *members, const char *self)
{
    const char *id;
    json_t *record;

    json_object_foreach((json_t *)members, id, record)
    {
        if (strcmp(id, self) != 0 && (is(record, "role", "active") || is(record, "role", "standby")))
            return true;
    }
    return false;
}

bool route_others_hold(const json_t *members, const char *self, int64_t epoch)
{
    const char *id;
    json_t *record;

    json_object_foreach((json_t *)members, id, record)
    {
        const json_t *held = json_object_get(json_object_get(record, "front"), "held");
        if (strcmp(id, self) != 0 && forwards(record) && json_integer_value(held) != epoch)
            return false;
    }
    return true;
}
