/* command.h - what people ask of this member over the control socket (POST), and what all have asked of the
 * cluster (<root>/control, orders.h): checks it, writes it down, tells the core, and tells who asked how it
 * ended.
 *
 * command.c: the commands under way, their answers. command_ask.c: each command's checks and outcome.
 * command_switch.c: the switchover request from its being written down to its end. command_restart.c: a
 * restart of Livy. command_queue.c: who stands. command_choose.c: to whom a switchover goes. Decides nothing
 * about Livy or the latch: core_command.c does.
 */
#ifndef LIVY_HA_ELECTOR_COMMAND_H
#define LIVY_HA_ELECTOR_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core.h"
#include "httpd.h"
#include "orders.h"

#define COMMAND_ID_SIZE 33 /* 128 random bits in hexadecimal */
#define COMMAND_NAME_SIZE 136
#define COMMAND_TEXT_SIZE 512
#define COMMANDS 32 /* under way, or ended not long ago */

struct elector;

enum command_state {
    COMMAND_FREE,
    COMMAND_RUNS,
    COMMAND_DONE,
    COMMAND_REFUSED, /* nothing was done; `text` says why */
    COMMAND_FAILED,
    COMMAND_TIMED_OUT,
    COMMAND_OFFLINE, /* refused for want of a connection to ZooKeeper */
};

enum command_kind {
    COMMAND_SWITCHOVER,
    COMMAND_PAUSE,
    COMMAND_RESUME,
    COMMAND_RESTART,
    COMMAND_DRAIN,
    COMMAND_UNDRAIN,
    COMMAND_FORGET,
    COMMAND_RELOAD,
    COMMAND_UPGRADE,
    COMMAND_KINDS
};

struct command {
    struct elector *e;
    enum command_state state;
    enum command_kind kind;
    char id[COMMAND_ID_SIZE];
    char target[COMMAND_NAME_SIZE]; /* --to, or whom to forget; "": nobody */
    bool force, changing;           /* changing: a change of <root>/control is on its way */
    bool asks_queue;                /* waits for the word of who stands */
    bool written, by_switchover;    /* what was to be written is; it ends as its switchover does */
    int64_t timeout, began, deadline, pause_for; /* ms */
    uint32_t number, run;                        /* asked of the keeper; Livy's run when it was asked for */
    struct httpd_exchange *exchange;             /* waits for the answer; NULL: nobody does */
    char text[COMMAND_TEXT_SIZE];                /* how it ended, or why not; while it runs, how far it is */
    char active[COMMAND_NAME_SIZE];              /* whose Livy serves after it */
    int64_t took, gap;                           /* ms, -1: not known */
};

/* The switchover that <root>/control tells of. */
struct command_switch {
    bool there;
    char id[COMMAND_ID_SIZE], from[COMMAND_NAME_SIZE], to[COMMAND_NAME_SIZE], by[COMMAND_NAME_SIZE];
    int64_t epoch, sequence, asked_zk, expires_zk;
    bool next, begun;
    bool chosen; /* `to` was named by no person: any other one is as good, where that one goes */
};

/* The restart in a pause that <root>/control tells of. */
struct command_restart {
    bool there;
    char id[COMMAND_ID_SIZE];
    int64_t epoch, expires_zk;
};

/* Those who stand in the queue beside this member, by ZooKeeper's own word. */
struct command_queue {
    bool others;    /* somebody does */
    bool successor; /* so does whom the switchover names, with the node that it has told */
};

/* `asked` false: it could not be found out. */
typedef void command_queue_answer(struct elector *e, bool asked, const struct command_queue *queue);

struct command_queue_ask {
    struct elector *e;
    unsigned under_way;
    command_queue_answer *answer;
};

struct command_table {
    struct elector *e;
    struct orders *orders;
    struct command list[COMMANDS];
    bool updating, retell, registering; /* registering: the core waits for the first picture of the orders */
    struct core_orders told;
    bool drained_told;
    struct command_switch request;
    struct command_restart restart;
    bool restart_ending;           /* it is being taken out */
    char told_id[COMMAND_ID_SIZE]; /* the request's that the core knows of; "": of none */
    bool mending, mend_begun;      /* the request's end is being written; of one that was begun, or was not */
    char mend_id[COMMAND_ID_SIZE];
    json_t *result;
    enum core_mark mark; /* on its way */
    bool marking;
    char mark_id[COMMAND_ID_SIZE];
    int64_t mark_sequence;
    struct command_queue_ask ask_to_begin, ask_to_drain;
    bool forgetting; /* ZooKeeper has not answered a FORGET yet, which may have timed out by now */
    int64_t ended_zk, ended_epoch, served_zk, served_epoch; /* of our last Livys, by ZooKeeper's clock; 0 */
    int64_t ended_at, served_at;                            /* by our own */
    uint32_t asked_keeper;
    struct event *timer;
};

int command_open(struct elector *e, uint32_t watch_kind);
void command_close(struct elector *e);

/* The upgrade that has put this elector into its place, "NUMBER/ID", and whose outcome the keeper will tell;
 * NULL: none. */
void command_adopt(struct elector *e, const char *upgrade);

/* ---- events; all may be called at any time ---- */
void command_register(struct elector *e);   /* it begins (again): what is being read is of the last time */
void command_registered(struct elector *e); /* the root is made: the orders are read, then the core is told */
void command_connect(struct elector *e);    /* connected again, in the same session, or not at all */
void command_update(struct elector *e); /* at the end of each step, and where others have changed something */
void command_mark(struct elector *e, const struct core_action *action);
void command_answered(struct elector *e, uint32_t number, int code, const char *text); /* by the keeper */
void command_livy(struct elector *e, bool serves); /* our Livy serves, or has ended */

/* ---- the control socket ---- */
void command_post(struct elector *e, struct httpd_exchange *exchange, const struct httpd_request *request);
void command_get(struct elector *e, struct httpd_exchange *exchange, const struct httpd_request *request);
void command_gone(struct elector *e, const struct httpd_exchange *exchange);
void command_reply(struct httpd_exchange *exchange, int status, json_t *document); /* takes `document` over */

/* What /cluster and /status say of pause and drain; sets the fields. */
void command_record(const struct elector *e, json_t *cluster);
/* What members/<id> says of our last Livys. */
void command_record_self(const struct elector *e, json_t *self);

/* ---- between the command*.c files ---- */
struct command *
command_new(struct elector *e); /* a free slot, or that of the one that ended longest ago; NULL */
const char *command_name(enum command_kind kind);
/* The first command of this kind that is under way, other than `other` (or NULL); NULL: none. */
struct command *command_running(struct elector *e, enum command_kind kind, const struct command *other);
void command_end(struct command *c, enum command_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void command_begin(struct command *c);                        /* checks it, and begins it or ends it */
void command_look(struct command *c);                         /* has it come to its end? */
void command_set_by(const struct command *c, json_t *object); /* who asks, and when */
void command_write_down(struct command *c);
void command_say(struct elector *e, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));                     /* to the history */
bool command_zk_now(const struct elector *e, int64_t *ms);     /* ZooKeeper's time; false: not known yet */
int64_t command_local(const struct elector *e, int64_t zk_ms); /* CLOCK_BOOTTIME ms */
/* A standby that is not this member, nor drained in `record`; NULL. */
const char *command_other_standing(const struct elector *e, const json_t *record);
json_t *command_object(json_t *record, const char *key); /* made where it is not there */
/* `otherwise` also where it is out of all range: no sum of such numbers overflows. */
int64_t command_number(const json_t *object, const char *key, int64_t otherwise);
bool command_active_here(const struct elector *e);
bool command_drained(const struct elector *e, const char *id);

/* command_queue.c: asks; `answer` comes once, from within the call where it cannot be asked. Asked again in
 * the meantime it is answered to the last question only. */
void command_queue_ask(struct elector *e, struct command_queue_ask *ask, command_queue_answer *answer);

/* command_choose.c: the member to which a switchover from `active` had better go, "": to the next one in the
 * queue. Borrowed from the members' records. */
const char *command_choose(const struct elector *e, const json_t *record, const char *active);

/* command_restart.c */
void restart_begin(struct command *c);
enum orders_edit restart_edit(struct command *c, json_t *record, char why[static 256]);
void restart_written(struct command *c);
void restart_outcome(struct command *c); /* ends the command where it is over */
void restart_read(struct elector *e);
void restart_orders(struct elector *e, struct core_orders *orders);
void restart_look(struct elector *e); /* takes the order out where it is over */

/* command_switch.c */
void switch_read(struct elector *e);
void switch_orders(struct elector *e, struct core_orders *orders, char text[static CORE_TEXT_SIZE]);
void switch_look(struct elector *e); /* ends the request where it is to end */
/* Why it cannot be; "": it can. */
void switch_refusal(const struct command *c, char why[static COMMAND_TEXT_SIZE]);
/* Writes the request down; a second time it does nothing, also where the request has ended meanwhile. */
enum orders_edit switch_ask(struct command *c, json_t *record, char why[static 256]);
bool switch_asked(const struct command *c, const json_t *record); /* it was written down */
void switch_outcome(struct command *c); /* ends the command where its request has ended */

#endif
