/* document.c - see document.h. */
#include "document.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *document_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

bool document_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

bool document_false(const json_t *object, const char *key)
{
    return json_is_false(json_object_get(object, key));
}

bool document_integer(const json_t *object, const char *key, int64_t *value)
{
    const json_t *found = json_object_get(object, key);

    if (!json_is_integer(found))
        return false;
    *value = json_integer_value(found);
    return true;
}

const char *document_number(const json_t *object, const char *key, char out[static DOCUMENT_NUMBER_SIZE])
{
    int64_t value;

    out[0] = '\0';
    if (document_integer(object, key, &value))
        (void)snprintf(out, DOCUMENT_NUMBER_SIZE, "%" PRId64, value);
    return out;
}

static bool string_is(const json_t *object, const char *key, const char *expected)
{
    const char *value = document_string(object, key);

    return value != NULL && strcmp(value, expected) == 0;
}

const json_t *document_member(const json_t *cluster, const char *id)
{
    const json_t *member;
    size_t i;

    json_array_foreach(json_object_get(cluster, "members"), i, member)
    {
        if (string_is(member, "id", id))
            return member;
    }
    return NULL;
}

const json_t *document_active(const json_t *cluster)
{
    const char *id = document_string(cluster, "active");
    const json_t *member;
    size_t i;

    if (id != NULL)
        return document_member(cluster, id);
    json_array_foreach(json_object_get(cluster, "members"), i, member)
    {
        if (string_is(member, "role", "active"))
            return member;
    }
    return NULL;
}

const json_t *document_self(const json_t *cluster)
{
    const json_t *member;
    size_t i;

    json_array_foreach(json_object_get(cluster, "members"), i, member)
    {
        if (document_true(member, "self"))
            return member;
    }
    return NULL;
}

/* A copy without what changes all the time. */
static json_t *still_copy(const json_t *cluster)
{
    json_t *copy = json_deep_copy(cluster);
    json_t *member;
    size_t i;

    (void)json_object_del(copy, "change");
    json_array_foreach(json_object_get(copy, "members"), i, member)
    {
        (void)json_object_del(member, "lease_left_ms");
        (void)json_object_del(member, "uptime_s");
    }
    return copy;
}

bool document_changed(const json_t *before, const json_t *now)
{
    int64_t old;
    int64_t new;
    json_t *a;
    json_t *b;
    bool changed;

    if (document_integer(before, "change", &old) && document_integer(now, "change", &new))
        return old != new;
    a = still_copy(before);
    b = still_copy(now);
    changed = json_equal(a, b) == 0;
    json_decref(a);
    json_decref(b);
    return changed;
}
