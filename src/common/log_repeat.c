/* log_repeat.c - see the header. */
#include "log_repeat.h"

void log_repeat_clear(struct log_repeat *repeat)
{
    for (int i = 0; i < LOG_REPEAT_SLOTS; i++)
        atomic_store(&repeat->slots[i].line, 0);
}

/* FNV-1a. Lines that differ and have the same digest do not happen by chance; nobody gains by making some. */
static uint64_t digest(const char *line)
{
    uint64_t sum = 14695981039346656037u;

    for (const unsigned char *at = (const unsigned char *)line; *at != '\0'; at++)
        sum = (sum ^ *at) * 1099511628211u;
    return sum | 1;
}

bool log_repeat_pass(struct log_repeat *repeat, const char *line, int64_t now, unsigned *left_out)
{
    uint64_t sum = digest(line);
    struct log_repeat_slot *slot = &repeat->slots[(sum >> 8) % LOG_REPEAT_SLOTS];
    bool same = atomic_load(&slot->line) == sum;

    *left_out = 0;
    if (same && now - atomic_load(&slot->since) < LOG_REPEAT_MS)
        return atomic_fetch_add(&slot->seen, 1) < LOG_REPEAT_PASS;
    unsigned seen = atomic_exchange(&slot->seen, 1);
    if (same && seen > LOG_REPEAT_PASS)
        *left_out = seen - LOG_REPEAT_PASS;
    atomic_store(&slot->since, now);
    atomic_store(&slot->line, sum);
    return true;
}
