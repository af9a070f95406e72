/* log_repeat.h - warnings and errors that say the same again and again are counted, not repeated: of one line
 * LOG_REPEAT_PASS pass within LOG_REPEAT_MS, and the first one after that says how many were left out. Takes
 * no lock and no memory; two threads at once can at worst miscount.
 */
#ifndef LIVY_HA_LOG_REPEAT_H
#define LIVY_HA_LOG_REPEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOG_REPEAT_MS 10000
#define LOG_REPEAT_PASS 3
#define LOG_REPEAT_SLOTS 32

struct log_repeat_slot {
    atomic_uint_least64_t line; /* a digest of it; 0: none */
    atomic_int_least64_t since; /* CLOCK_BOOTTIME ms */
    atomic_uint seen;
};

struct log_repeat {
    struct log_repeat_slot slots[LOG_REPEAT_SLOTS];
};

void log_repeat_clear(struct log_repeat *repeat);
/* True where the line may pass, with how many like it have not since the last one that did. */
bool log_repeat_pass(struct log_repeat *repeat, const char *line, int64_t now, unsigned *left_out);

#endif
