/* names.c - see names.h. Written and read by hand: these stand in the model's busiest paths, and printf and
 * strtol took their part of its time.
 */
#include "names.h"

#include <string.h>

static const char uuid_before[] = "00000000-0000-4000-8000-";
static const char node_before[] = "_c_", node_between[] = "-latch-";

#define UUID_DIGITS 12
#define NODE_DIGITS 10
#define UUID_AT (sizeof(node_before) - 1)
#define BETWEEN_AT (UUID_AT + CORE_UUID_SIZE - 1)
#define NUMBER_AT (BETWEEN_AT + sizeof(node_between) - 1)

_Static_assert(sizeof(uuid_before) - 1 + UUID_DIGITS + 1 == CORE_UUID_SIZE, "a uuid has 36 characters");
_Static_assert(NUMBER_AT + NODE_DIGITS + 1 <= CORE_NODE_SIZE, "a node's name has room");

static void put_number(char *to, int digits, int number)
{
    to[digits] = '\0';
    for (int i = digits - 1; i >= 0; i--, number /= 10)
        to[i] = (char)('0' + number % 10);
}

static int take_number(const char *from)
{
    int number = 0;

    for (; *from >= '0' && *from <= '9'; from++)
        number = 10 * number + (*from - '0');
    return number;
}

void names_uuid(int uuid, char text[static CORE_UUID_SIZE])
{
    memcpy(text, uuid_before, sizeof(uuid_before) - 1);
    put_number(text + sizeof(uuid_before) - 1, UUID_DIGITS, uuid);
}

int names_uuid_number(const char *uuid)
{
    return uuid[0] == '\0' ? 0 : take_number(uuid + sizeof(uuid_before) - 1);
}

void names_node(int uuid, int node, char text[static CORE_NODE_SIZE])
{
    memcpy(text, node_before, sizeof(node_before) - 1);
    names_uuid(uuid, text + UUID_AT);
    memcpy(text + BETWEEN_AT, node_between, sizeof(node_between) - 1);
    put_number(text + NUMBER_AT, NODE_DIGITS, node);
}

int names_node_number(const char *node)
{
    return node[0] == '\0' ? -1 : take_number(node + NUMBER_AT);
}
