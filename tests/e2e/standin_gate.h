/* standin_gate.h - the agent's side of livy-ha's gate, as the stand-in plays it (the real one is src/gate):
 * where the overlay's livy-env.sh names the agent, it holds, watches the lease and ends with the keeper as
 * that does. */
#ifndef STANDIN_GATE_H
#define STANDIN_GATE_H

#include <stdbool.h>

struct gate_behaviour {
    long warm_delay; /* ms until it stands at the gate, 0: none */
    bool refused;    /* the list does not fit this one */
    bool listens;    /* it listens on Livy's port while it is held, which it must not */
};

struct gate_calls {
    void (*held)(void);
    void (*opened)(void);    /* from here on it may write; in the main thread */
    void (*end)(int status); /* before the process ends with this status; in any thread */
};

bool gate_holds(void); /* this one is to be held */

/* The guard begins to watch. One that is to be held stays in here until the keeper has let it go; the process
 * ends by _exit with the agent's statuses where it must not go on. */
void gate_begin(const struct gate_calls *calls, const struct gate_behaviour *behaviour);

#endif
