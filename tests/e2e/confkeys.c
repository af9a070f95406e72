/* confkeys.c - prints the program's own table of keys as JSON, for the tests that compare the documents with
 * it. Not installed. It links the very table that the daemon reads.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../src/common/conf_internal.h"

static const char *type_name(enum conf_type type)
{
    switch (type) {
    case CONF_TYPE_ID:
        return "name";
    case CONF_TYPE_STRING:
        return "text";
    case CONF_TYPE_PATH:
        return "path";
    case CONF_TYPE_SOCKET:
        return "socket";
    case CONF_TYPE_BOOL:
        return "boolean";
    case CONF_TYPE_INT:
        return "number";
    case CONF_TYPE_PORT:
        return "port";
    case CONF_TYPE_DURATION:
        return "duration";
    case CONF_TYPE_ENUM:
        return "word";
    case CONF_TYPE_LISTEN:
        return "address";
    case CONF_TYPE_URL:
        return "URL";
    case CONF_TYPE_HOSTS:
        return "servers";
    case CONF_TYPE_ZNODE:
        return "znode";
    case CONF_TYPE_DIGEST:
        return "user:password";
    }
    return "?";
}

static const char *effect_name(enum conf_effect effect)
{
    switch (effect) {
    case CONF_EFFECT_RELOAD:
        return "reload";
    case CONF_EFFECT_NEXT_START:
        return "next-start";
    case CONF_EFFECT_RESTART:
        return "restart";
    }
    return "?";
}

/* A bound in the unit of the key, as messages write it. */
static void print_bound(const char *name, const struct conf_key *key, int64_t bound)
{
    char text[32];
    if (key->type == CONF_TYPE_DURATION) {
        conf_duration_format(bound, text, sizeof text);
    } else {
        (void)snprintf(text, sizeof text, "%lld", (long long)bound);
    }
    printf(",\"%s\":\"%s\"", name, text);
}

int main(void)
{
    printf("[\n");
    for (size_t i = 0; i < conf_n_keys; i++) {
        const struct conf_key *key = &conf_keys[i];
        char env[CONF_ENV_SIZE];
        conf_key_env(key, env);
        printf("{\"key\":\"%s\",\"env\":\"%s\",\"type\":\"%s\",\"effect\":\"%s\"", key->key, env,
               type_name(key->type), effect_name(key->effect));
        printf(",\"secret\":%s,\"zero\":%s", key->secret ? "true" : "false", key->zero ? "true" : "false");
        if (key->fallback != NULL) {
            printf(",\"default\":\"%s\"", key->fallback);
        }
        if (key->max > 0) {
            print_bound("min", key, key->min);
            print_bound("max", key, key->max);
        }
        printf(",\"names\":[");
        for (size_t j = 0; key->names != NULL && key->names[j] != NULL; j++) {
            printf("%s\"%s\"", j > 0 ? "," : "", key->names[j]);
        }
        printf("]}%s\n", i + 1 < conf_n_keys ? "," : "");
    }
    printf("]\n");
    return 0;
}
