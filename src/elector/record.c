/* record.c - see the header. */
#include "record.h"

#include "zk.h"

json_t *record_load(const struct zk_reply *reply)
{
    return reply->value_length > 0 ? json_loadb(reply->value, (size_t)reply->value_length, 0, NULL) : NULL;
}

json_t *record_list(const struct zk_reply *reply, size_t most)
{
    json_t *list = record_load(reply), *kept = json_array();
    size_t n = json_array_size(list); /* 0 of what is no array */

    /* Taken away one by one, half a million entries would hold us up for longer than a lease lasts. */
    for (size_t i = n > most ? n - most : 0; i < n; i++)
        json_array_append(kept, json_array_get(list, i));
    json_decref(list);
    return kept;
}

const char *record_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

char *record_known(const char *id, const char *host)
{
    json_t *known = json_pack("{s:s, s:s}", "id", id, "host", host);
    char *text = known != NULL ? json_dumps(known, JSON_COMPACT) : NULL;

    json_decref(known);
    return text;
}
