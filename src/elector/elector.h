/* elector.h - the elector's parts and how they hang together. Shared by elector.c (events in), act.c (actions
 * out), channel.c (the keeper), guard.c (Livy's death as the elector itself sees it), status.c (JSON) and
 * control.c (who asks for it). One thread, the event loop's; libzookeeper's threads stay behind zk.h.
 */
#ifndef LIVY_HA_ELECTOR_ELECTOR_H
#define LIVY_HA_ELECTOR_ELECTOR_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#include "change.h"
#include "command.h"
#include "control.h"
#include "core.h"
#include "deaths.h"
#include "front.h"
#include "held.h"
#include "history.h"
#include "livy-ha/conf.h"
#include "metrics.h"
#include "predecessor.h"
#include "probe.h"
#include "roster.h"
#include "snapshot.h"
#include "trace.h"
#include "uri.h"
#include "view.h"
#include "zk.h"
#include "zk_resolve.h"

#define ELECTOR_CALLS 64
#define ELECTOR_ALARM_SIZE 512

enum elector_watch { WATCH_OWN = 1, WATCH_PREDECESSOR, WATCH_VIEW, WATCH_DEATHS, WATCH_ORDERS, WATCH_URI };

struct elector;

/* A request of the core that is under way: what its reply needs. A slot, not heap memory: a handle that is
 * closed never answers. */
struct elector_call {
    struct elector *e;
    bool used, beat;
    int64_t sent_us; /* of a BEAT */
    enum core_request request;
    uint64_t op;
    char node[CORE_NODE_SIZE], id[CORE_TEXT_SIZE]; /* HANDOVER, DELETE; id: CLEAR's tenure too */
    bool in_order, tenured, more;                  /* takeover.c's */
    unsigned waits;
    int rc;
    char tenure[CORE_TENURE_SIZE], after[CORE_TENURE_SIZE];
};

struct elector {
    struct conf *conf;
    const char *store; /* the fingerprint of Livy's state store; of the keeper, which has read livy.conf */
    const char *keeper_version;
    char livy_at[IPC_TEXT_SIZE]; /* where Livy listens, as the keeper tells it (ipc.h) */
    char livy_address[64];       /* the address at which it is asked from here */
    struct event_base *base;
    struct core core;
    int exit_code;

    /* ZooKeeper */
    struct zk *zk;
    struct zk_resolve *resolve;
    struct event *resolve_again;
    char *literals;     /* what zookeeper.hosts were when last all of them were found; NULL: never yet */
    bool resolve_fails; /* told already */
    struct zk_session session; /* of the current handle; id 0: none yet */
    struct zk_session adopt;   /* to re-attach at the first connection; id 0: none */
    struct elector_call calls[ELECTOR_CALLS];
    struct claim *claim;
    struct roster *roster;
    uint64_t register_op;
    bool refused;           /* the state store is not ours: said to the core, which does not stand */
    char register_why[768]; /* why not, as was last logged; "" once it is done */
    struct history *history;
    struct deaths *deaths;
    bool deaths_news; /* to be told to the core once the step under way has ended */
    struct view *view;
    char boot[64];

    /* the keeper and Livy */
    int channel, timerfd, livy_pidfd;
    pid_t keeper;
    bool keeper_gone;
    unsigned guard_looks; /* since the guard began to watch Livy die */
    struct event *on_channel, *on_timer, *on_guard, *on_close, *on_tell, *on_doubt;
    int64_t close_began, close_until; /* the session's end, and how long it may wait */
    bool close_cut;    /* … for clients who have been told by now that there is no more waiting */
    unsigned stepping; /* depth: actions may be events */
    int64_t armed_for, stepped_at; /* stepped_at: up to then everything that was due has been done */
    struct held held;
    struct probe *probe;
    unsigned unseen_owner; /* answers in a row from a port whose owner is not seen */
    bool probe_untold;     /* the last probe could not be made for want of descriptors or memory */
    struct control *control;
    struct command_table *commands;
    struct front *front;
    struct uri uri;

    /* taking over */
    char tenure[CORE_TENURE_SIZE]; /* the name of our own */
    struct core_victim victim;     /* as last read */
    struct predecessor *predecessor;
    bool predecessor_untold; /* the last probe of it could not be made for want of descriptors or memory */

    /* what people see */
    int64_t since_wall, started_wall;
    char shown_role[16], shown_livy[16];
    uint64_t change;
    struct change told_change;                    /* to the keeper, for failover.on_change */
    bool publish_due;                             /* with the next on_tell */
    char alarms[CORE_ALARMS][ELECTOR_ALARM_SIZE]; /* "": not raised */
    bool pending_restart;
    struct metrics metrics;
    struct trace *trace;
    int64_t phase_since;
    struct snapshot *snapshot; /* what the relay is told of all that */
    int64_t shown_lease;
    enum core_phase shown_phase;
    size_t left_out;      /* of it, the last time */
    int64_t keeper_heard; /* when it last said something */
};

/* elector.c: runs the core on an event, carries its actions out, arms the timer. */
void elector_step(struct elector *e, struct core_event *event);
/* What the keeper says on the command line. */
struct elector_options {
    const char *store;
    const char *keeper;  /* its version; NULL: not told */
    const char *upgrade; /* "NUMBER/ID" of the command that is under way; NULL: none */
};
int elector_run(struct conf *conf, int channel, const struct elector_options *options);
/* Livy listens there from now on; see ipc.h. */
void elector_livy_at(struct elector *e, const char *text);
bool elector_livy_tls(const struct elector *e);
void elector_core_config(const struct conf *conf, struct core_config *config);
void elector_fatal(struct elector *e, int code, const char *why);

/* act.c */
void act_publish(struct elector *e);     /* members/<id> and systemd's STATUS, anew */
void act_publish_now(struct elector *e); /* the same, where others wait for it: not gathered with more */
/* To the history, and soon to the others. */
void act_history(struct elector *e, const char *event, int64_t epoch, const char *reason, int64_t took);
void act_perform(struct elector *e, const struct core_action *action);
void act_close(struct elector *e);   /* CORE_ACT_CLOSE: the end, once nobody waits for us any more */
void act_connect(struct elector *e); /* opens a handle (after resolving), adopting e->adopt where set */
void act_drop_handle(struct elector *e, bool keep_session);
enum core_rc act_rc(int rc);
const char *act_tls(const struct conf_zookeeper *zookeeper, char *text, size_t size);

void act_answer(struct elector_call *call, struct core_event *event); /* the call is over */
void act_reply(void *arg, const struct zk_reply *reply);              /* zk_done of a struct elector_call */

/* latch.c: the names in the queue; with `sync` as they are by now, not as the server may still have them.
 * ZOK, or why it could not be asked. There is a handle (e->zk). */
int latch_list(struct elector *e, bool sync, zk_done *done, void *arg);

/* takeover.c: what core_takeover.c asks for */
int takeover_request(struct elector *e, const struct core_action *a, struct elector_call *call);
void takeover_fence(struct elector *e, const struct core_action *a);
void takeover_fenced(struct elector *e, const struct ipc_msg *msg);
void takeover_probe(struct elector *e, uint64_t op);

/* channel.c */
int channel_open(struct elector *e);
void channel_send(struct elector *e, struct ipc_msg *msg, int fd);

/* guard.c */
void guard_kill(
    struct elector *e); /* SIGKILL, then watches until Livy is dead and its lock free: LIVY_GONE */
void guard_watch(struct elector *e); /* the same without killing */
void guard_stop(struct elector *e);  /* the keeper has said that Livy is dead: there is nothing to watch */
void guard_keeper_gone(struct elector *e);
bool guard_livy_dead(const struct elector *e); /* as its pidfd says; no pidfd: dead */

/* backoff.c: what the core needs to know of Livy's deaths, and of who stands. */
int backoff_open(struct elector *e);
void backoff_changed(struct elector *e); /* deaths or members have changed */
void backoff_tell(struct elector *e);    /* between steps: tells the core, where there is something */

/* alarm.c */
void alarm_change(struct elector *e, const struct core_action *action);
json_t *alarm_list(const struct elector *e); /* those that are raised; a new reference */
size_t alarm_count(const struct elector *e);
int alarm_process_state(int pid); /* as proc(5) has it; ' ': there is none, or it may not be looked at */

/* doubt.c: looks at the keeper now and then, and has the core ask it where it looks stopped or hung. */
int doubt_open(struct elector *e);

/* status.c: new references; NULL: out of memory. */
json_t *status_self(struct elector *e); /* as in members/<id> */
void status_livy_url(const struct elector *e, char *url, size_t size);
json_t *status_member(struct elector *e);  /* /status */
json_t *status_cluster(struct elector *e); /* /cluster, and so on */
json_t *status_history(struct elector *e);
json_t *status_config(struct elector *e);
json_t *status_version(struct elector *e);
json_t *status_trace(struct elector *e);
json_t *status_snapshot(void *elector); /* all that the relay is to show; see snapshot.h */

#endif
