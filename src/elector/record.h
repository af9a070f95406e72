/* record.h - the JSON that members keep in ZooKeeper's nodes, as a reply brings it. */
#ifndef LIVY_HA_ELECTOR_RECORD_H
#define LIVY_HA_ELECTOR_RECORD_H

#include <jansson.h>

struct zk_reply;

/* What the node holds, for the caller to release; NULL where it holds no JSON. */
json_t *record_load(const struct zk_reply *reply);

/* The array that it holds, and an empty one where it holds anything else. NULL: out of memory. */
json_t *record_list(const struct zk_reply *reply);

#endif
