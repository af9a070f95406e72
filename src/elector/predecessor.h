/* predecessor.h - asks another member's Livy whether it still answers. Never blocks; one question at a time.
 *
 * Any well-formed HTTP status line is an answer, an error's too. Silent is: refused, reset, closed, no
 * connection within 80 ms (so that a host that is gone costs no more than the pause that is made anyway), no
 * answer within 250 ms, a name that does not resolve within 250 ms.
 */
#ifndef LIVY_HA_ELECTOR_PREDECESSOR_H
#define LIVY_HA_ELECTOR_PREDECESSOR_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct predecessor;

typedef void predecessor_done(void *arg, uint64_t op, bool answers, const char *reason);

struct predecessor *predecessor_new(struct event_base *base, predecessor_done *done, void *arg);
void predecessor_free(struct predecessor *predecessor); /* NULL is allowed */

/* Asks the Livy at `url`, "http(s)://host:port"; what is under way is forgotten. `done` is called later,
 * once, with `op`. A `url` that is none, or "", counts as silent. */
void predecessor_ask(struct predecessor *predecessor, const char *url, uint64_t op);

#endif
