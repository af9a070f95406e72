/* gate.c - what the agent in Livy's JVM decides by itself; apart from it, so that the model checker knows it
 * too. */
#include "livy-ha/gate.h"

#include "livy-ha/clock.h"

bool gate_too_late(int64_t page, int64_t said, int64_t now)
{
    return now >= (page != CLOCK_NEVER ? page : said);
}
