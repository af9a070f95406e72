/* core.h - the policy of the elector: a pure machine. Events and the time go in, actions come out.
 *
 * No input, no output, no clock, no allocation, no logging. The daemon runs it, the model checker explores
 * it, the unit tests and the fuzzer feed it; all see the very same code. Times are CLOCK_BOOTTIME ms;
 * durations are ms.
 *
 * It works as s6 does: events change what is known (state), then core_step compares what is known with what
 * is wanted and asks for the next actions (reconcile). A request (create, list, …) carries a number; a reply
 * with any other number than the one outstanding is ignored, so nothing of an older connection can be taken
 * for news.
 *
 * The safety argument is told in docs/safety.md; its rules are named where they are used:
 *   - START only with the own node lowest, owned by this session, and a proven lease that reaches far enough;
 *   - the latch node is deleted only after Livy's death, the session closed only after the keeper's LEAVE;
 *   - the lease counts from send times, and only what the quorum has confirmed on this very connection
 * counts.
 */
#ifndef LIVY_HA_ELECTOR_CORE_H
#define LIVY_HA_ELECTOR_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/ipc.h"
#include "livy-ha/livyend.h"

#define CORE_NODE_SIZE IPC_NODE_SIZE
#define CORE_UUID_SIZE 37
#define CORE_TEXT_SIZE 160
#define CORE_REASON_SIZE 320 /* of why Livy ended: its own words are in it */
#define CORE_BEATS 32
#define CORE_TENURE_SIZE 160
#define CORE_DEATHS 64
#define CORE_STANDING 64 /* members told apart in CORE_EV_DEATHS */
#define CORE_LATENCIES 40
#define CORE_MAX_ACTIONS 40

struct core_config {
    int64_t session_timeout; /* as asked for; 0: not known */
    int64_t tick;            /* the servers' tickTime; 0: half of the granted session time-out */
    int64_t kill_margin;     /* K */
    int64_t start_timeout;
    int64_t stop_grace;
    int64_t drain; /* front.drain: how long a planned stop waits for QUIET */
    int64_t probe_interval;
    int64_t probe_timeout;
    int probe_failures;
    int restarts;
    int64_t restart_window;
    int64_t takeover_delay;
    int64_t fence_timeout;
    bool fences; /* there is a fence command */
};

/* What has become of a request, as far as the core cares. */
enum core_rc {
    CORE_OK,
    CORE_NONODE,
    CORE_EXISTS,
    CORE_UNKNOWN, /* connection loss, time-out: it may or may not have been done */
    CORE_DENIED,  /* no rights: a configuration error; or a stranger's node below the one to be deleted */
};

enum core_request { /* at most one of each is outstanding */
                    CORE_REQ_REGISTER,
                    CORE_REQ_CREATE,
                    CORE_REQ_LIST,
                    CORE_REQ_OWN,
                    CORE_REQ_WATCH,
                    CORE_REQ_DELETE,
                    CORE_REQ_STRAY,
                    CORE_REQ_GHOST,
                    CORE_REQ_HANDOVER,
                    CORE_REQ_TENURE,
                    CORE_REQ_CLEAR,
                    CORE_REQUESTS
};

/* How the member before us in the queue went. */
enum core_left {
    CORE_LEFT_IN_ORDER, /* it gave its node up itself, after its Livy's death */
    CORE_LEFT_GONE,     /* its node and its members/<id> are gone: its session has ended */
    CORE_LEFT_NODE,     /* its node is gone, but not its members/<id>: somebody else has deleted the node */
    CORE_LEFT_UNSEEN,   /* nobody was before us, the last one's giving up is not on record, others are here */
};

/* A member that was active and has not left in order: its tenure stands in <root>/tenures (tenure.h). */
struct core_victim {
    char tenure[CORE_TENURE_SIZE]; /* the node's name; "": nobody */
    struct ipc_member member;
};

/* Why this member is not to be active. */
enum core_bar {
    CORE_BAR_STORE,   /* its state store is not the cluster's */
    CORE_BAR_DRAINED, /* somebody has asked for it: it steps down in an orderly way */
    CORE_BARS
};

/* What people have asked of the cluster, as <root>/control has it, in the eyes of this member; see
 * core_command.c. */
struct core_orders {
    bool paused;
    int64_t paused_until; /* CLOCK_NEVER: until somebody ends it */
    /* The switchover that is asked for, and has not expired. */
    int64_t epoch;    /* of the latch node that is to be given up; 0: there is none */
    bool named;       /* a successor is named … */
    bool to_me;       /* … and it is this member */
    int64_t sequence; /* of the successor's latch node, by its own word; -1: it has said nothing yet */
    bool next;        /* it says that nobody stands between it and that node, and it is here */
    bool begun;       /* the active one has said that it does it: nobody takes the request back any more */
    /* Livy of this reign is stopped, or about to be, to be started again although the cluster is paused: by
     * whoever is first, should that be another one by then. 0: no. */
    int64_t restart;
};

enum core_event_type {
    CORE_EV_TIME,      /* nothing but the time */
    CORE_EV_CONNECTED, /* session, timeout */
    CORE_EV_SUSPENDED,
    CORE_EV_LOST,   /* the session is gone */
    CORE_EV_OPENED, /* the names have been looked up, a handle tries to connect */
    CORE_EV_KICKED, /* the action KICK found and shut down a connection */
    CORE_EV_REPLY,  /* request, op, rc; name (CREATE); names (LIST); owner, czxid (OWN, WATCH); text: the id
                       (WATCH);  left, victim, more (HANDOVER) */
    CORE_EV_BEAT,   /* op, rc: a heartbeat was answered */
    CORE_EV_OWN_CHANGED, /* op = the OWN action's tag: the watch on the own node fired; deleted: it is gone */
    CORE_EV_PRED_CHANGED, /* the watch on the predecessor fired */
    CORE_EV_LIVY,      /* livy, text, why: the keeper's word; op: the number of the ASK that it answers, or 0
                        */
    CORE_EV_LEASED,    /* kill_at: the deadline that the keeper enforces; waits: Livy says that it waits for
                          its ZooKeeper */
    CORE_EV_LIVY_GONE, /* seen by the elector itself: pidfd dead and the lock free */
    CORE_EV_PROBE,     /* alive, foreign, status, text; untold: nothing was learnt, it counts for nothing */
    CORE_EV_PREDECESSOR, /* alive, untold, text: an answer to PROBE_PREDECESSOR; op as there */
    CORE_EV_FENCED,      /* op: of the FENCE; failed, text: how it ended */
    CORE_EV_STAND,       /* bar, stand (does it not hold?), text: why it does */
    CORE_EV_ORDERS,      /* orders; text: who has asked for the switchover, for people */
    CORE_EV_RESTART,     /* Livy is to be stopped and started again; text: who asks */
    CORE_EV_QUIET,  /* what QUIESCE asked for is so: no request runs, and new ones are held, on all fronts */
    CORE_EV_QUIT,   /* orderly stop requested; text: why, NULL for a signal */
    CORE_EV_LEAVE,  /* the keeper has forgotten the session: it may be closed */
    CORE_EV_DEATHS, /* deaths, n_deaths, standing, heir, text: see struct core_death */
    CORE_EV_DOUBT,  /* the keeper looks stopped, or has been silent for long: it is to be asked */
};

/* One death of Livy, or one giving up of the latch because of them, on any member, as <root>/deaths has it.
 */
struct core_death {
    int64_t at; /* on this host's clock, as far as can be told (deaths.h) */
    uint8_t
        member; /* 0: this one; the others by any numbers below CORE_STANDING, as in the event's `standing` */
    bool gave_up; /* no death: this member gave the latch up after too many of them */
};

struct core_event {
    enum core_event_type type;
    enum core_request request;
    enum core_rc rc;
    uint64_t op;
    int64_t session, timeout;
    const char *uuid; /* with any event where spare_uuid is empty: a fresh one, drawn with getrandom */
    const char *name;
    const char *const *names;
    size_t n_names;
    int64_t owner, czxid;
    struct ipc_livy livy;
    int64_t kill_at;
    enum core_left left;
    const struct core_victim *victim; /* NULL: nobody who was active has left otherwise than in order */
    bool more;                        /* there are other victims than that one */
    const struct core_death *deaths;  /* all that is known, this member's own included; replaces what was */
    size_t n_deaths;
    uint64_t standing; /* bit i: member i (not this one) stands in the queue */
    const char *heir;  /* the member right behind this one, where it says that it holds a Livy at the gate,
                          ready to be let go; NULL: it does not, or nobody is there */
    enum core_bar bar;
    struct core_orders orders;
    const char *text; /* may be NULL; with DEATHS the names of those on which Livy died */
    int status;
    enum livyend_why why;
    bool deleted, alive, foreign, untold, stand, failed, waits;
};

enum core_action_type {
    CORE_ACT_CONNECT,  /* throw the old handle away where there is one, open one with a new session */
    CORE_ACT_KICK,     /* shut the connection down; answer KICKED where one was found */
    CORE_ACT_REGISTER, /* make parents, members/, known/, check the store; reply REGISTER */
    CORE_ACT_CREATE,   /* the latch node with node = "_c_<uuid>-latch-" */
    CORE_ACT_LIST,     /* the children of the latch; with `sync` a sync before it */
    CORE_ACT_OWN,      /* exists(node) with a watch */
    CORE_ACT_WATCH,    /* get(node) with a watch: the predecessor */
    CORE_ACT_HANDOVER, /* how did the one with `node` ("": none) and id `text` go, and whose tenures stand,
                          of those with names beyond `after`? */
    CORE_ACT_DELETE,   /* delete(node), with `in_order` saying so in <root>/handover, with `tenured` our own
                          tenure too, all at once; reply to `request` */
    CORE_ACT_TENURE,   /* our Livy runs, or is about to, under `node`, `epoch`: <root>/tenures says so */
    CORE_ACT_CLEAR,    /* delete the tenure `text` ("": our own), where `node` (unless "") is there */
    CORE_ACT_FENCE,    /* run failover.fence_command for takeover.victim: op, kill_at; text: the reason */
    CORE_ACT_PROBE_PREDECESSOR, /* does takeover.victim's Livy answer? op */
    CORE_ACT_BEAT,              /* check(node) through the quorum */
    CORE_ACT_SESSION,           /* tell the keeper the session (c->session, uuid, node) */
    CORE_ACT_START,             /* epoch, kill_at, run */
    CORE_ACT_LEASE,             /* epoch, kill_at */
    CORE_ACT_QUIESCE, /* on: a planned stop is near: the fronts are to hold new requests and let those
                         that run end; answer QUIET. Not on: it is off, requests may pass again */
    CORE_ACT_MARK,    /* say in <root>/control, where it still has the switchover of `epoch`: `mark`, with
                         NEXT and AWAY tag: the own node's sequence. Answer ORDERS, as it is then */
    CORE_ACT_STOP,    /* grace, text */
    CORE_ACT_ASK,     /* run: a number; answer LIVY with it */
    CORE_ACT_KILL,    /* the elector's own guard: SIGKILL by pidfd, now */
    CORE_ACT_PROBE,   /* probe Livy once */
    CORE_ACT_RELEASING,
    CORE_ACT_CLOSE,   /* close the session and end this process */
    CORE_ACT_PHASE,   /* old -> new phase: text; for the log */
    CORE_ACT_HISTORY, /* event, text, took: for the history */
    CORE_ACT_ALARM,   /* alarm, on, text: raised or cleared, once each */
    CORE_ACT_DEATH,   /* text, gave_up: for <root>/deaths; answer DEATHS once it is noted */
    CORE_ACT_PUBLISH, /* what others see of this member has changed */
    CORE_ACT_FATAL,   /* code, text: the daemon must end */
};

enum core_mark {
    CORE_MARK_AWAY,  /* the successor that is named stands here, behind others */
    CORE_MARK_NEXT,  /* it stands right behind the one that is to go */
    CORE_MARK_BEGUN, /* that one goes */
};

enum core_phase {
    CORE_OFFLINE,    /* no connection to ZooKeeper */
    CORE_JOINING,    /* registering, or making the latch node */
    CORE_STANDBY,    /* in the queue behind another member */
    CORE_CONFIRMING, /* first in the queue: ownership and lease are being proved */
    CORE_ACTIVE,     /* holds the latch; Livy is here or on its way */
    CORE_RELEASING,  /* giving the latch up: Livy is being stopped, or its node deleted */
    CORE_DRAINED,    /* does not stand */
    CORE_LEAVING,    /* orderly stop */
    CORE_PAUSED,     /* first in the queue without a Livy, which is not started: the cluster is paused */
};

enum core_history {
    CORE_HIST_ELECTED,
    CORE_HIST_STARTED,
    CORE_HIST_SERVING,
    CORE_HIST_UNHEALTHY,
    CORE_HIST_LIVY_DIED,
    CORE_HIST_FENCED, /* Livy was killed because the lease ended or the latch was lost */
    CORE_HIST_RELEASED,
    CORE_HIST_LOST,    /* the session or the latch node is gone */
    CORE_HIST_ADOPTED, /* a new elector has taken the session over; Livy went on */
    CORE_HIST_FENCING, /* failover.fence_command is run for the member that was active before */
    CORE_HIST_FENCING_DONE,
    CORE_HIST_FENCING_FAILED,
    CORE_HIST_PREDECESSOR_ANSWERS, /* the Livy of the member that was active before still lives */
    CORE_HIST_RESTART,             /* Livy is being restarted by command */
    CORE_HIST_DELAYED,             /* the next start waits: Livy has died too often in the cluster */
};

/* What a person should look into; see core_alarm.c. To add one: a name here, core_alarm(s, NAME, on, text) at
 * the place that knows, on each step or at a change, as is handier. */
enum core_alarm {
    CORE_ALARM_KEEPER,     /* the keeper does not answer */
    CORE_ALARM_UNKILLABLE, /* Livy does not die of SIGKILL */
    CORE_ALARM_SLOW,       /* heartbeats take long */
    CORE_ALARM_TICK,       /* zookeeper.tick cannot be right */
    CORE_ALARM_LATE,       /* this process is not run in time */
    CORE_ALARM_FENCING,    /* failover.fence_command does not succeed */
    CORE_ALARM_ANSWERS,    /* the predecessor's Livy still answers */
    CORE_ALARM_WAITS,      /* Livy waits for its ZooKeeper instead of serving */
    CORE_ALARMS
};

struct core_action {
    enum core_action_type type;
    enum core_request request;
    uint64_t op;
    uint64_t tag; /* OWN: names the node in the watch's event */
    char node[CORE_NODE_SIZE];
    enum core_alarm alarm;
    enum core_mark mark;
    bool sync, in_order, tenured, gave_up, on;
    int64_t epoch, kill_at, grace, took;
    uint32_t run;
    int code;
    enum core_phase old_phase, phase;
    enum core_history history;
    char text[CORE_REASON_SIZE];
    char after[CORE_TENURE_SIZE];
};

struct core_actions {
    struct core_action list[CORE_MAX_ACTIONS];
    size_t count;
};

struct core_beat {
    uint64_t op;
    int64_t sent;
    int64_t acked; /* 0: not yet */
    uint64_t node; /* node_tag of the node that was asked for */
};

enum core_takeover_state {
    CORE_TAKEOVER_NONE,    /* not first */
    CORE_TAKEOVER_WAITING, /* first; nothing is started, nor is anything "in order" */
    CORE_TAKEOVER_PASSED,  /* nothing of an earlier active member stands in the way */
};

enum core_fencing { CORE_FENCING_DUE, CORE_FENCING_RUNS, CORE_FENCING_DONE };

/* What stands between being first in the queue and START: see core_takeover.c. */
struct core_takeover {
    enum core_takeover_state state;
    bool known;   /* how the one before went has been answered */
    bool unclean; /* it did not go in order */
    bool more;
    enum core_left left;
    int64_t won_at, ask_at;
    struct core_victim victim;
    char clear[CORE_TENURE_SIZE]; /* the tenure of one that is no danger any more, to be deleted */
    char after[CORE_TENURE_SIZE]; /* the last one of those: they are dealt with in the order of their names */

    enum core_fencing fencing;
    int64_t fence_at; /* no try before */
    int64_t fence_by; /* the keeper must have told the outcome by then */
    uint64_t fence_op;
    unsigned fence_failures;
    char fence_why[CORE_TEXT_SIZE]; /* how the last try failed */

    uint64_t probe_op; /* under way; 0: none */
    int64_t probe_at, probe_by;
    int64_t answering; /* since when it answers without a break; 0: it was silent at the last look */
    bool looked;       /* there was an answer, or silence */
    bool answers_told;
};

/* What is known of Livy's deaths in the whole cluster (core_backoff.c). */
struct core_backoff {
    struct core_death list[CORE_DEATHS]; /* in the order in which they were told */
    size_t n;
    uint64_t standing;
    bool hung;                  /* the last Livy did not answer within livy.start_timeout */
    bool noted;                 /* `names` is of the list as it is */
    int64_t told;               /* until when a start waits, as last told */
    int left;                   /* so often the latch was left to the next one here … */
    int64_t left_since;         /* … since then */
    char names[CORE_TEXT_SIZE]; /* "livy-a, livy-b": on whom Livy died */
    char heir[CORE_TEXT_SIZE];  /* "": who is next has no Livy ready, as far as is known */
};

/* How long the last heartbeats through the quorum took, ms. */
struct core_latency {
    int32_t list[CORE_LATENCIES];
    size_t n, next;
    bool judged; /* as it is */
};

/* What the fronts have been told about a planned stop. */
enum core_quiesce { CORE_QUIESCE_OFF, CORE_QUIESCE_ASKED, CORE_QUIESCE_QUIET };

/* What people have asked for, and how far it is (core_command.c). */
struct core_command {
    struct core_orders orders;
    bool marked;     /* what the orders ask us to say has been said */
    bool restarting; /* Livy is being stopped, to be started again */
    bool start;      /* the next start is by command: a pause does not forbid it */
    enum core_quiesce quiesce;
    int64_t quiesce_by; /* from then on QUIET is not waited for */
    char orders_text[CORE_TEXT_SIZE], restart_text[CORE_TEXT_SIZE];
};

/* Private to the core_*.c files and to tests; plain data, may be copied and compared. */
struct core {
    struct core_config config;

    /* the ZooKeeper session */
    bool opened; /* a handle is there */
    bool connected;
    bool registered;
    int64_t session;       /* 0: none */
    int64_t timeout;       /* T: the smallest granted in this session */
    int64_t floor;         /* a time surely before the next connection's request was sent */
    int64_t kick_at;       /* when KICK was last asked for */
    int64_t connect_touch; /* a lower bound of when this connection touched the session at the leader */
    int64_t suspended_at, connected_at, opened_at;
    int64_t outage_end; /* when the last long outage of ZooKeeper ended; 0: none */

    /* requests */
    uint64_t last_op;
    uint64_t pending[CORE_REQUESTS];
    int64_t pending_since[CORE_REQUESTS];
    int64_t retry_at; /* no new request of the latch before this time: after a refusal by the server */

    /* the latch */
    char spare_uuid[CORE_UUID_SIZE]; /* for the next create; "": wanted */
    char uuid[CORE_UUID_SIZE]; /* of this session's nodes: all that bear it are ours, whoever made them */
    char node[CORE_NODE_SIZE]; /* "": none known */
    uint64_t node_tag;         /* grows with each own node */
    char predecessor[CORE_NODE_SIZE];
    char predecessor_id[CORE_TEXT_SIZE]; /* "": not known */
    int64_t predecessor_epoch;           /* its czxid; 0: not known */
    bool predecessor_ours;               /* a stray */
    struct core_takeover takeover;
    bool tenured;               /* a tenure of ours may stand in <root>/tenures */
    bool tenure_due;            /* it is to be written (again) */
    bool ghost_unfinished;      /* the ghost was first, but had not finished taking over */
    char stray[CORE_NODE_SIZE]; /* another node of this session: to be deleted */
    char ghost[CORE_NODE_SIZE]; /* our node of a dead session: to be deleted once Livy is dead */
    bool create_unknown;        /* a node with our uuid may exist */
    bool inherited;             /* the session is a dead elector's: what it asked for may still be done */
    bool suspect;               /* a node of ours that we do not know of may be there, or come */
    bool doomed;                /* a delete was asked for: never use this node again */
    bool listed, first, watching, own_known;
    bool told;       /* by the server itself that the queue has changed: it needs no sync to list it */
    int64_t epoch;   /* czxid of the own node, 0 not known */
    int64_t list_at; /* when to look for strays while not standing */
    bool leading;    /* has been confirmed as the active member */

    /* the lease */
    struct core_beat beats[CORE_BEATS];
    size_t next_beat;
    int64_t beat_sent; /* when the last one was sent */
    bool kicked;
    unsigned kicks;     /* in a row, without an answer */
    int64_t proof;      /* the session was touched at the leader at this time or later */
    int64_t kill_at;    /* when Livy must be killed; 0: no lease */
    int64_t lease_sent; /* the deadline last sent to the keeper */
    int64_t leased;     /* what the keeper enforces, as it has confirmed */
    int64_t max_sent;   /* the furthest deadline that was ever sent to the keeper for this run */
    int64_t unanswered; /* since when the keeper owes an answer; 0: it does not */
    bool keeper_stuck;
    uint32_t asked, ordered_after; /* the last ASK; the last one before the last START or STOP */
    int64_t asked_at, ordered_at;

    /* Livy */
    struct ipc_livy livy;
    uint32_t start_run; /* START was sent for this run and not answered yet; 0: none */
    bool serving, served, unhealthy, stop_sent, kill_sent, gone_seen, failed, counted;
    bool bereft;        /* Livy has died under this node, not on command, and no other one was asked for */
    bool fence_told;    /* history has it already that this Livy was killed at its deadline */
    bool fence_untold;  /* Livy was killed at its deadline under an elector that can hardly have told it */
    int64_t stop_grace; /* of the last STOP */
    int probe_failures;
    int64_t probe_at, start_at /* no start before */, rejoin_at, elected_at;
    struct core_backoff backoff;
    bool waits;                         /* Livy says that it waits for its ZooKeeper */
    char livy_reason[CORE_REASON_SIZE]; /* why Livy was last stopped or died */

    /* what is wanted */
    unsigned barred; /* bit for bit an enum core_bar */
    char bar_reasons[CORE_BARS][CORE_TEXT_SIZE];
    bool may_stand /* none of them */, quitting, releasing_sent, may_close, close_sent;
    bool adopted; /* Livy was running when this elector began, and is not confirmed yet */
    uint32_t adopted_run;
    int64_t close_by;
    char stand_reason[CORE_TEXT_SIZE], quit_reason[CORE_TEXT_SIZE];
    struct core_command command;

    /* alarms */
    bool alarms[CORE_ALARMS]; /* raised */
    struct core_latency latency;
    int64_t tick_least; /* what the servers' tick is at least, by what they grant; 0: nothing granted yet */
    int64_t killed_at;  /* since when Livy has had a SIGKILL; 0: it has not */
    int64_t stepped_at, late_at, late_by;

    enum core_phase phase;
    char reason[CORE_TEXT_SIZE]; /* of the last change */
    uint64_t published;          /* digest of what was last published */
};

/* `session` (may be NULL) and `livy` are what the keeper's WELCOME said: a session to adopt, a Livy that
 * runs. The glue opens a handle for c->session, or where that is 0 a new one, right after this at `now`. */
void core_init(struct core *c, const struct core_config *config, const struct ipc_session *session,
               const struct ipc_livy *livy, int64_t now);

/* One step. `out` is filled from its start. The actions are to be carried out in order. */
void core_step(struct core *c, const struct core_event *event, int64_t now, struct core_actions *out);

/* After a step at `now`: when core_step wants to be called with CORE_EV_TIME at the latest; CLOCK_NEVER:
 * when something happens. Always later than `now`. */
int64_t core_next(const struct core *c, int64_t now);

/* After a reload. */
void core_configure(struct core *c, const struct core_config *config);

const char *core_phase_name(enum core_phase phase);
const char *core_history_name(enum core_history event);
const char *
core_livy_name(const struct core *c); /* "none", "starting", "serving", "unhealthy", "stopping", "failed" */
const char *core_role_name(const struct core *c); /* "active", "standby", "joining", "drained" */
bool core_livy_alive(const struct core *c);
/* One that an elector before this one has left running, and that has answered no probe yet: whether it serves
 * is not known. */
bool core_livy_unprobed(const struct core *c);

/* The order of Curator's LeaderLatch: the text after the last "latch-", compared as a string, the full
 * name where it is equal. -1, 0, 1. */
int core_latch_compare(const char *a, const char *b);
/* The sequence number for people: the digits at the end, -1 where there are none. */
int64_t core_latch_sequence(const char *name);

#endif
