/* core_internal.h - between the core's own files: core.c (the machine), core_latch.c (the queue),
 * core_lease.c (the lease and its heartbeats), core_livy.c (Livy's policy). */
#ifndef LIVY_HA_ELECTOR_CORE_INTERNAL_H
#define LIVY_HA_ELECTOR_CORE_INTERNAL_H

#include "core.h"

/* One step in progress. */
struct step {
    struct core *c;
    int64_t now;
    struct core_actions *out;
};

#define CORE_EPSILON 200          /* ms: DESIGN's epsilon, the slack of a follower's ping */
#define CORE_KEEPER_PATIENCE 1000 /* ms that the keeper may take to answer before it counts as stuck */
#define CORE_PAUSE 100            /* ms that are waited where the one before us did not leave in order */
#define CORE_RETRY 500            /* ms between attempts that the server refuses */

/* Appends an action. Running out of room would be a bug that silently drops a kill: it aborts. */
struct core_action *core_act(struct step *s, enum core_action_type type);
void core_history(struct step *s, enum core_history event, int64_t took, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void core_say(char text[static CORE_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sends a request unless one of its kind is outstanding; returns its action or NULL. */
struct core_action *core_ask(struct step *s, enum core_request request, enum core_action_type type);
bool core_asking(const struct core *c, enum core_request request);

/* Lowers *next to `at` where that lies ahead: what is due now has been done by the step. */
void core_earliest(int64_t *next, int64_t now, int64_t at);

/* core_latch.c */
void core_latch_reply(struct step *s, const struct core_event *event);
void core_latch_reconcile(struct step *s);
void core_latch_lost(struct step *s, const char *why); /* the own node is gone, or not ours */
void core_latch_forget(struct core *c);
bool core_latch_wanted(const struct core *c, int64_t now);

/* core_lease.c */
int64_t core_lease_interval(const struct core *c); /* h */
void core_lease_disconnected(struct core *c);
void core_lease_connected(struct step *s, int64_t timeout, bool fresh);
void core_lease_beat(struct step *s, const struct core_event *event);
void core_lease_update(struct step *s);
bool core_lease_checked(const struct core *c); /* the quorum has answered on this connection */
void core_lease_reconcile(struct step *s);
int64_t core_lease_next(const struct core *c, int64_t now);

/* core_livy.c */
void core_livy_event(struct step *s, const struct core_event *event);
void core_livy_gone(struct step *s);
void core_livy_leased(struct step *s, int64_t kill_at);
void core_livy_probe(struct step *s, const struct core_event *event);
void core_livy_stop(struct step *s, int64_t grace, const char *why);
void core_livy_reconcile(struct step *s);
bool core_livy_surely_dead(const struct core *c, int64_t now);
int64_t core_livy_next(const struct core *c, int64_t now);

#endif
