/* hcore_internal.h - between the files of the machine: hcore.c (the life of the Livy that is held, and each
 * step's order) and hcore_renew.c (is it out of date?). */
#ifndef LIVY_HA_KEEPER_HCORE_INTERNAL_H
#define LIVY_HA_KEEPER_HCORE_INTERNAL_H

#include "hcore.h"

/* One step in progress. */
struct hstep {
    struct hcore *h;
    int64_t now;
    struct hcore_actions *out;
};

/* hcore.c */
struct hcore_action *hcore_act(struct hstep *s, enum hcore_action_type type, const char *text);
void hcore_say(char text[static IPC_TEXT_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void hcore_end(struct hstep *s, const char *why);
void hcore_failed(struct hstep *s, const char *why); /* the next one waits */
bool hcore_may_start(const struct hcore *h);

/* hcore_renew.c */
int64_t hcore_jitter(const struct hcore *h);
int64_t hcore_renew_interval(const struct hcore *h); /* between looks at the files */
int64_t hcore_renew_within(const struct hcore *h);   /* it waits so long for its turn */
void hcore_renew_look(struct hstep *s);
void hcore_renew_looked(struct hstep *s, const struct hcore_event *event);
void hcore_renew_asked(struct hstep *s); /* to look, for a take-over by plan */
void hcore_renew_taken(struct hstep *s); /* it was let go */
void hcore_renew_due(struct hstep *s);
void hcore_renew_turn(struct hstep *s);

#endif
