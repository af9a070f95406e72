/* core_internal.h - between the core's own files: core.c (the machine), core_latch.c (the queue),
 * core_takeover.c (what an unclean departure before us asks for), core_lease.c (the lease and its
 * heartbeats), core_livy.c (Livy's policy), core_keeper.c (orders that are not answered), core_backoff.c
 * (Livy's deaths), core_command.c (what people ask for), core_alarm.c (alarms).
 */
#ifndef LIVY_HA_ELECTOR_CORE_INTERNAL_H
#define LIVY_HA_ELECTOR_CORE_INTERNAL_H

#include "core.h"

/* One step in progress. */
struct step {
    struct core *c;
    int64_t now;
    struct core_actions *out;
};

#define CORE_EPSILON 200          /* ms: epsilon, the slack of a follower's ping */
#define CORE_KEEPER_PATIENCE 1000 /* ms that the keeper may take to answer before it counts as stuck */
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

/* core_takeover.c */
void core_takeover_begin(struct step *s); /* first in the queue; does nothing where that was told before */
void core_takeover_forget(struct core *c);
bool core_takeover_passed(const struct core *c);
void core_takeover_reply(struct step *s, const struct core_event *event); /* HANDOVER, TENURE, CLEAR */
void core_takeover_fenced(struct step *s, const struct core_event *event);
void core_takeover_predecessor(struct step *s, const struct core_event *event);
void core_takeover_reconcile(struct step *s); /* before core_livy_reconcile: it may open the way to START */
void core_takeover_ask(struct step *s);       /* the requests, once the latch's may be sent */
int64_t core_takeover_next(const struct core *c, int64_t now);

/* core_lease.c */
int64_t core_lease_interval(const struct core *c);  /* h */
int64_t core_lease_half_tick(const struct core *c); /* tick/2 */
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
bool core_livy_enough_lease(const struct core *c, int64_t now); /* for what takes a lease to begin */
int64_t core_livy_next(const struct core *c, int64_t now);

/* core_keeper.c */
void core_keeper_ordered(struct step *s); /* a START or STOP was sent */
void core_keeper_owes(struct step *s);    /* an answer */
void core_keeper_doubt(struct step *s);   /* whether it is there at all */
void core_keeper_answered(struct step *s);
bool core_keeper_knows(const struct core *c, const struct core_event *event);
void core_keeper_lost(struct step *s, const struct core_event *event);
void core_keeper_reconcile(struct step *s);
int64_t core_keeper_next(const struct core *c, int64_t now);

/* core_backoff.c */
void core_backoff_news(struct step *s, const struct core_event *event);
void core_backoff_disconnected(struct core *c);          /* what others hold is not known any more */
void core_backoff_died(struct step *s, const char *how); /* a death that counts, here and now */
void core_backoff_reconcile(struct step *s);
bool core_backoff_over(const struct core *c, int64_t now); /* a start need not wait (any longer) */
int64_t core_backoff_next(const struct core *c, int64_t now);

/* core_command.c */
void core_command_stand(struct step *s, const struct core_event *event);
void core_command_orders(struct step *s, const struct core_event *event);
void core_command_restart(struct step *s, const struct core_event *event);
void core_command_quiet(struct core *c);
void core_command_died(struct step *s);      /* Livy, of whatever */
void core_command_reconcile(struct step *s); /* stops Livy where that is planned */
void core_command_mark(struct step *s);      /* says in <root>/control what is to be said there */
bool core_command_paused(const struct core *c, int64_t now); /* nothing is to be done of our own accord */
bool core_command_giving(const struct core *c);              /* the latch node is to go, once Livy is dead */
bool core_command_yields(
    const struct core *c); /* a standby that makes room for the successor that is named */
int64_t core_command_next(const struct core *c, int64_t now);

/* core_alarm.c */
void core_alarm(struct step *s, enum core_alarm alarm, bool on, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* nothing where it is raised, or not, already */
void core_alarm_connected(struct step *s, int64_t granted);
void core_alarm_beat_took(struct core *c, int64_t ms);
void core_alarm_stepped(struct core *c, int64_t now); /* at the beginning of each step */
void core_alarm_reconcile(struct step *s);
int64_t core_alarm_next(const struct core *c, int64_t now);

#endif
