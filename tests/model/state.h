/* state.h - what makes two states of the world the same one. */
#ifndef LIVY_HA_MODEL_STATE_H
#define LIVY_HA_MODEL_STATE_H

#include "world.h"

/* Two states with one digest go on in the same way (64 bits: by chance two that differ share one, which is
 * about 1 in 10^6 for some million states). Times are taken relative to now, requests' numbers relative to
 * the last one; what only people read is left out. */
uint64_t state_digest(const struct world *w);

#endif
