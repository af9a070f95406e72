/* opening.c - the openings. Clocks run 2 % slow against the leader's in all but one: that is the side on
 * which a lease is too long.
 */
#include "opening.h"

#include <string.h>

#include "host.h"
#include "livy-ha/clock.h"
#include "zk.h"

#define SLOW (-20)
#define FAST 20
#define AT 5000 /* host 0 is active, host 1 stands by */

static const struct opening openings[] = {
    {"boot", "two members start", 2, SLOW, .from = 1, .span = 900},
    {"steady", "host 0 is active, host 1 stands by", 2, SLOW, .from = AT, .span = 1100},
    {"respawn",
     "the active member's elector has died",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_KILL_ELECTOR, 0, 0},
     AT,
     .span = 500},
    {"upgrade",
     "the active member's elector is replaced while Livy serves",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_UPGRADE, 0, 0},
     AT,
     .span = 400},
    {"reconnect",
     "the active member has lost its connection",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_RESET, 0, 0},
     AT,
     .span = 400},
    {"takeover",
     "the active host is dead, its session about to end",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_POWER, 0, 0},
     8500,
     .span = 900},
    {"release",
     "the active member is drained: Livy is being stopped",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_DRAIN, 0, 3000},
     AT,
     .span = 1000},
    {"leave",
     "the active daemon was told to stop",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_QUIT, 0, 0},
     AT,
     .span = 1000},
    {"restart",
     "Livy has died and is started again",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_LIVY_DIES, 0, 0},
     AT,
     .span = 300},
    {"fenced",
     "the active host was off the network until its lease ended, its session lives",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_NETWORK, 0, 3600},
     8300,
     .span = 1000},
    {"orphaned",
     "the active member's keeper was killed",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_KILL_KEEPER, 0, 0},
     AT,
     .span = 1100},
    {"shrunk",
     "reconnected to a server that grants less, and knows it",
     2,
     SLOW,
     true,
     false,
     AT,
     {FAULT_RESET, 0, 0},
     AT + 15,
     .span = 400},
    {"outage",
     "the ensemble comes back after 22 s, old sessions with it",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_OUTAGE, 0, 22000},
     AT + 21900,
     .span = 700},
    {"thaw",
     "ZooKeeper's leader stood still when it was to ping",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_FREEZE_LEADER, 0, 560},
     AT + 550,
     .span = 200},
    {"late-ping",
     "what ZooKeeper's leader has sent to the active member's server has come late, its ping first",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_HELD, 0, 560},
     AT + 550,
     .span = 200},
    {"fast", "as steady, with clocks that run fast and a Livy that dies at once", 2, FAST, false, true,
     .from = AT, .span = 1000},
    {"alone",
     "a single member, whose keeper was killed",
     1,
     SLOW,
     false,
     false,
     AT,
     {FAULT_KILL_KEEPER, 0, 0},
     AT,
     .span = 1100},
    {"alone-release",
     "a single member, drained for a while",
     1,
     SLOW,
     false,
     false,
     AT,
     {FAULT_DRAIN, 0, 3000},
     AT,
     .span = 4000},
    {"three", "three members", 3, SLOW, .from = AT, .span = 500},
    {"switchover",
     "a switchover was asked for",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_SWITCHOVER, 0, 0},
     AT,
     .span = 600},
    {"three-to",
     "three members, a switchover to the last one was asked for",
     3,
     SLOW,
     false,
     false,
     AT,
     {FAULT_SWITCHOVER, 0, 3},
     AT,
     .span = 300},
    {"paused",
     "the cluster is paused for 3 s",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_PAUSE, 0, 3000},
     AT,
     .span = 700},
    {"paused-restart",
     "the cluster is paused for 40 s, and Livy being restarted",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_RESTART, 0, 40000},
     AT,
     .span = 300},
    {"three-release",
     "three members, the active one is drained",
     3,
     SLOW,
     false,
     false,
     AT,
     {FAULT_DRAIN, 0, 3000},
     AT,
     .span = 900},
    {"hot", "as steady, the standby says that it holds a Livy", 2, SLOW, .from = AT, .span = 400,
     .hot = true},
    {"hot-death",
     "Livy has died, the latch goes to a standby that says that it holds one",
     2,
     SLOW,
     false,
     false,
     AT,
     {FAULT_LIVY_DIES, 0, 0},
     AT,
     .span = 400,
     .hot = true},
};

size_t opening_count(void)
{
    return sizeof(openings) / sizeof(openings[0]);
}

const struct opening *opening_get(size_t index)
{
    return &openings[index];
}

const struct opening *opening_find(const char *name)
{
    for (size_t i = 0; i < opening_count(); i++)
        if (strcmp(openings[i].name, name) == 0)
            return &openings[i];
    return NULL;
}

static void run_until(struct world *w, int64_t until)
{
    for (struct event next; (next = world_next(w)).at < until && w->violation == FINE;)
        world_step(w, &next);
    w->now = until;
}

void opening_reach(const struct opening *o, struct world *w)
{
    world_begin(w, o->hosts, o->drift);
    w->unequal = o->unequal;
    w->hot = o->hot;
    if (o->quick_death)
        w->death = 5;
    if (o->struck_at != 0) {
        struct event here = {.at = o->struck_at, .m.conn = -1};
        run_until(w, o->struck_at);
        if (o->struck.kind == FAULT_RESET)
            zk_hang_up(w, w->hosts[0].client.conn);
        else
            fault_apply(w, &here, &o->struck);
    }
    run_until(w, o->from);
}
