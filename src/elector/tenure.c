/* tenure.c - see the header. */
#include "tenure.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t digest, const char *text)
{
    do {
        digest = (digest ^ (unsigned char)*text) * UINT64_C(1099511628211); /* FNV-1a, the end included */
    } while (*text++ != '\0');
    return digest;
}

void tenure_name(const struct conf *conf, char name[static CORE_TENURE_SIZE])
{
    uint64_t digest = mix(mix(UINT64_C(14695981039346656037), conf->host), conf->runtime_dir);
    snprintf(name, CORE_TENURE_SIZE, "%.130s@%016" PRIx64, conf->id, digest);
}

char *tenure_write(const struct ipc_member *member, const char *node)
{
    json_t *tenure = json_pack("{s:s, s:s, s:s, s:I, s:s}", "id", member->id, "host", member->host,
                               "livy_url", member->url, "epoch", (json_int_t)member->epoch, "node", node);
    char *text = tenure != NULL ? json_dumps(tenure, JSON_COMPACT) : NULL;
    json_decref(tenure);
    return text;
}

bool tenure_is_one(const char *name)
{
    size_t id = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

    return id > 0 && id <= 128 && name[id] == '@' && strlen(name + id + 1) == 16 &&
           strspn(name + id + 1, "0123456789abcdef") == 16;
}

/* It reaches the log and the fence command's environment: what is too long, or no plain text, is left out. */
static void take_text(const json_t *tenure, const char *key, char *into, size_t size)
{
    const char *text = json_string_value(json_object_get(tenure, key));

    if (text == NULL || strlen(text) >= size)
        return;
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("\"'`$\\;&|<>", *c) != NULL)
            return;
    memcpy(into, text, strlen(text) + 1);
}

void tenure_read(const char *name, const char *data, int length, struct core_victim *victim)
{
    json_t *tenure = length > 0 ? json_loadb(data, (size_t)length, 0, NULL) : NULL;
    struct ipc_member *member = &victim->member;

    memset(victim, 0, sizeof(*victim));
    snprintf(victim->tenure, sizeof(victim->tenure), "%s", name);
    snprintf(member->id, sizeof(member->id), "%.*s", (int)strcspn(name, "@"), name);
    take_text(tenure, "host", member->host, sizeof(member->host));
    take_text(tenure, "livy_url", member->url, sizeof(member->url));
    int64_t epoch = json_integer_value(json_object_get(tenure, "epoch"));
    member->epoch = epoch > 0 ? epoch : 0;
    json_decref(tenure);
}
