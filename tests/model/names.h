/* names.h - uuids and the names of latch nodes, which the cores have as texts and the model as numbers. */
#ifndef LIVY_HA_MODEL_NAMES_H
#define LIVY_HA_MODEL_NAMES_H

#include "core.h"

void names_uuid(int uuid, char text[static CORE_UUID_SIZE]);
int names_uuid_number(const char *uuid); /* 0: none */

/* A node of sequence `node`, which the session with that uuid has made. */
void names_node(int uuid, int node, char text[static CORE_NODE_SIZE]);
int names_node_number(const char *node); /* -1: none */

#endif
