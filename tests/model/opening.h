/* opening.h - the situations from which schedules begin. */
#ifndef LIVY_HA_MODEL_OPENING_H
#define LIVY_HA_MODEL_OPENING_H

#include "fault.h"
#include "world.h"

struct opening {
    const char *name, *what;
    int hosts;
    int drift; /* per mille: the hosts' clocks against the leader's */
    bool unequal, quick_death;
    int64_t struck_at; /* 0: nothing happens to them */
    struct fault struck;
    int64_t from; /* the first deviation may come from here on */
    int64_t span; /* for so long */
    bool hot;     /* as struct world's */
};

size_t opening_count(void);
const struct opening *opening_get(size_t index);
const struct opening *opening_find(const char *name);
void opening_reach(const struct opening *o, struct world *w); /* the state at its `from` */

#endif
