/* quota.c - see quota.h. */
#include "quota.h"

#include <stdlib.h>
#include <string.h>

#include "peer.h"

struct quota_address {
    struct quota_address *next;
    unsigned char key[PEER_KEY];
    size_t used;
    struct quota_slots unproved;
};

static size_t bucket_of(const unsigned char key[static PEER_KEY])
{
    uint64_t number;

    memcpy(&number, key, sizeof(number));
    return (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 52);
}

static struct quota_address *find(const struct quota *quota, const unsigned char key[static PEER_KEY])
{
    struct quota_address *address = quota->buckets[bucket_of(key)];

    while (address != NULL && memcmp(address->key, key, sizeof(address->key)) != 0)
        address = address->next;
    return address;
}

void quota_init(struct quota *quota, size_t max)
{
    *quota = (struct quota){.max = max};
    TAILQ_INIT(&quota->unproved);
}

enum quota_verdict quota_ask(const struct quota *quota, const struct sockaddr *from, int64_t now,
                             struct quota_slot **victim)
{
    unsigned char key[PEER_KEY];

    *victim = NULL;
    if (quota->used < quota->max - quota->max / 4)
        return QUOTA_ADMIT;
    peer_key(from, key);
    const struct quota_address *address = find(quota, key);
    if (address != NULL && address->used > quota->max / 2)
        *victim = TAILQ_FIRST(&address->unproved);
    /* It may be about to send its head. */
    if (*victim != NULL && now - (*victim)->since < QUOTA_GRACE)
        *victim = NULL;
    if (*victim == NULL && quota->used >= quota->max)
        *victim = TAILQ_FIRST(&quota->unproved);
    if (*victim != NULL)
        return QUOTA_EVICT;
    return quota->used < quota->max ? QUOTA_ADMIT : QUOTA_REJECT;
}

bool quota_take(struct quota *quota, struct quota_slot *slot, const struct sockaddr *from, int64_t now)
{
    unsigned char key[PEER_KEY];

    peer_key(from, key);
    struct quota_address *address = find(quota, key);
    if (address == NULL) {
        address = calloc(1, sizeof(*address));
        if (address == NULL)
            return false;
        memcpy(address->key, key, sizeof(key));
        TAILQ_INIT(&address->unproved);
        address->next = quota->buckets[bucket_of(key)];
        quota->buckets[bucket_of(key)] = address;
    }
    address->used++;
    quota->used++;
    slot->address = address;
    slot->proved = false;
    slot->since = now;
    TAILQ_INSERT_TAIL(&quota->unproved, slot, among_all);
    TAILQ_INSERT_TAIL(&address->unproved, slot, among_own);
    return true;
}

void quota_prove(struct quota *quota, struct quota_slot *slot)
{
    if (slot->address == NULL || slot->proved)
        return;
    TAILQ_REMOVE(&quota->unproved, slot, among_all);
    TAILQ_REMOVE(&slot->address->unproved, slot, among_own);
    slot->proved = true;
}

void quota_give(struct quota *quota, struct quota_slot *slot)
{
    struct quota_address *address = slot->address;

    if (address == NULL)
        return;
    quota_prove(quota, slot);
    slot->address = NULL;
    quota->used--;
    if (--address->used > 0)
        return;
    struct quota_address **link = &quota->buckets[bucket_of(address->key)];
    while (*link != address)
        link = &(*link)->next;
    *link = address->next;
    free(address);
}
