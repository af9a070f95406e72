/* predecessor.h - asks another member's Livy whether it still answers. Never blocks; one question at a time.
 *
 * Any well-formed HTTP status line is an answer, an error's too. Silent is: refused, reset, closed, no
 * connection or no answer in time, a name that does not resolve in time. Untold is where this process lacked
 * descriptors or memory to ask at all: nothing was learnt.
 */
#ifndef LIVY_HA_ELECTOR_PREDECESSOR_H
#define LIVY_HA_ELECTOR_PREDECESSOR_H

#include <stdint.h>

struct event_base;
struct predecessor;

struct predecessor_limits {
    int64_t connect, answer; /* ms; `answer`: of the whole probe, and of the look-up of the name before it */
};
enum predecessor_verdict { PREDECESSOR_SILENT, PREDECESSOR_ANSWERS, PREDECESSOR_UNTOLD };

typedef void predecessor_done(void *arg, uint64_t op, enum predecessor_verdict verdict, const char *reason);

struct predecessor *predecessor_new(struct event_base *base, const struct predecessor_limits *limits,
                                    predecessor_done *done, void *arg);
void predecessor_free(struct predecessor *predecessor); /* NULL is allowed */

/* Asks the Livy at `url`, "http(s)://host:port"; what is under way is forgotten. `done` is called later,
 * once, with `op`. A `url` that is none, or "", counts as silent. */
void predecessor_ask(struct predecessor *predecessor, const char *url, uint64_t op);

#endif
