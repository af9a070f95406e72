/* limits.c - see limits.h. */
#include "limits.h"

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct limits_address {
    struct limits_address *next;
    unsigned char key[8];
    size_t used;
    struct limits_slots unproved;
};

static void make_key(const struct sockaddr *from, unsigned char key[static 8])
{
    memset(key, 0, 8);
    if (from->sa_family == AF_INET) {
        memcpy(key + 4, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return;
    }
    if (from->sa_family != AF_INET6)
        return;
    const struct in6_addr *address = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(address))
        memcpy(key + 4, address->s6_addr + 12, 4);
    else
        memcpy(key, address->s6_addr, 8);
}

static size_t bucket_of(const unsigned char key[static 8])
{
    uint64_t number;

    memcpy(&number, key, sizeof(number));
    return (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 52);
}

static struct limits_address *find(const struct limits *limits, const unsigned char key[static 8])
{
    struct limits_address *address = limits->buckets[bucket_of(key)];

    while (address != NULL && memcmp(address->key, key, sizeof(address->key)) != 0)
        address = address->next;
    return address;
}

void limits_init(struct limits *limits, size_t max)
{
    *limits = (struct limits){.max = max};
    TAILQ_INIT(&limits->unproved);
}

enum limits_verdict limits_ask(const struct limits *limits, const struct sockaddr *from,
                               struct limits_slot **victim)
{
    unsigned char key[8];

    *victim = NULL;
    if (limits->used < limits->max - limits->max / 4)
        return LIMITS_ADMIT;
    make_key(from, key);
    const struct limits_address *address = find(limits, key);
    if (address != NULL && address->used > limits->max / 2)
        *victim = TAILQ_FIRST(&address->unproved);
    if (*victim == NULL && limits->used >= limits->max)
        *victim = TAILQ_FIRST(&limits->unproved);
    if (*victim != NULL)
        return LIMITS_EVICT;
    return limits->used < limits->max ? LIMITS_ADMIT : LIMITS_REJECT;
}

bool limits_take(struct limits *limits, struct limits_slot *slot, const struct sockaddr *from)
{
    unsigned char key[8];

    make_key(from, key);
    struct limits_address *address = find(limits, key);
    if (address == NULL) {
        address = calloc(1, sizeof(*address));
        if (address == NULL)
            return false;
        memcpy(address->key, key, sizeof(key));
        TAILQ_INIT(&address->unproved);
        address->next = limits->buckets[bucket_of(key)];
        limits->buckets[bucket_of(key)] = address;
    }
    address->used++;
    limits->used++;
    slot->address = address;
    slot->proved = false;
    TAILQ_INSERT_TAIL(&limits->unproved, slot, among_all);
    TAILQ_INSERT_TAIL(&address->unproved, slot, among_own);
    return true;
}

void limits_prove(struct limits *limits, struct limits_slot *slot)
{
    if (slot->address == NULL || slot->proved)
        return;
    TAILQ_REMOVE(&limits->unproved, slot, among_all);
    TAILQ_REMOVE(&slot->address->unproved, slot, among_own);
    slot->proved = true;
}

void limits_give(struct limits *limits, struct limits_slot *slot)
{
    struct limits_address *address = slot->address;

    if (address == NULL)
        return;
    limits_prove(limits, slot);
    slot->address = NULL;
    limits->used--;
    if (--address->used > 0)
        return;
    struct limits_address **link = &limits->buckets[bucket_of(address->key)];
    while (*link != address)
        link = &(*link)->next;
    *link = address->next;
    free(address);
}
