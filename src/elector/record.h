/* record.h - the JSON that members keep in ZooKeeper's nodes, as a reply brings it. */
#ifndef LIVY_HA_ELECTOR_RECORD_H
#define LIVY_HA_ELECTOR_RECORD_H

#include <jansson.h>
#include <stddef.h>

struct zk_reply;

/* What the node holds, for the caller to release; NULL where it holds no JSON. */
json_t *record_load(const struct zk_reply *reply);

/* The array that it holds, the last `most` entries of it, whatever a stranger has written there; an empty one
 * where it holds anything else. NULL: out of memory. */
json_t *record_list(const struct zk_reply *reply, size_t most);

/* The text of a field; "" where there is none. Lives as long as the object. */
const char *record_text(const json_t *object, const char *key);

/* What known/<id> holds, malloc'ed; NULL: out of memory. */
char *record_known(const char *id, const char *host);

#endif
