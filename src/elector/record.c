/* record.c - see the header. */
#include "record.h"

#include "zk.h"

json_t *record_load(const struct zk_reply *reply)
{
    return reply->value_length > 0 ? json_loadb(reply->value, (size_t)reply->value_length, 0, NULL) : NULL;
}

json_t *record_list(const struct zk_reply *reply)
{
    json_t *list = record_load(reply);

    if (json_is_array(list))
        return list;
    json_decref(list);
    return json_array();
}
