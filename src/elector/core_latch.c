/* core_latch.c - the queue: the own node, its place, its predecessor. On the wire it is Curator's
 * LeaderLatch.
 *
 * Three kinds of nodes are ours without being the one we stand with: a *ghost* (of a session that is dead to
 * us; may be ahead of us), a *stray* (of this session, made by a create whose outcome was unknown), a
 * *doomed* one (a delete was asked for: it may be carried out late, so it is never used again). All are
 * deleted only once our own Livy is dead: what was taken for a stray by mistake may be what it runs under.
 *
 * All nodes of one session bear one uuid. So a create that is carried out late, even a dead elector's, is
 * seen for what it is by the next list; unseen, it would stand in the queue for as long as the session lives,
 * and in the end first.
 */
#include "core_internal.h"

#include <stdlib.h>
#include <string.h>

static const char *latch_order(const char *name)
{
    const char *order = name, *found = name;
    while ((found = strstr(found, "latch-")) != NULL) {
        found += strlen("latch-");
        order = found;
    }
    return order;
}

int core_latch_compare(const char *a, const char *b)
{
    int order = strcmp(latch_order(a), latch_order(b));
    if (order == 0)
        order = strcmp(a, b);
    return (order > 0) - (order < 0);
}

int64_t core_latch_sequence(const char *name)
{
    const char *digits = latch_order(name);
    char *end;
    if (*digits == '\0' || digits == name)
        return -1;
    long long sequence = strtoll(digits, &end, 10);
    return *end == '\0' ? (int64_t)sequence : -1;
}

bool core_latch_wanted(const struct core *c, int64_t now)
{
    return c->may_stand && !c->quitting && !c->keeper_stuck && now >= c->rejoin_at;
}

void core_latch_forget(struct core *c)
{
    c->node[0] = '\0';
    c->predecessor[0] = c->predecessor_id[0] = '\0';
    c->predecessor_epoch = 0;
    c->predecessor_ours = c->told = false;
    c->command.start = c->command.restarting = false;
    c->backoff.hung = false; /* under the next node Livy is tried anew */
    core_takeover_forget(c);
    c->doomed = c->listed = c->first = c->watching = c->own_known = c->leading = c->bereft = false;
    c->create_unknown = false;
    c->epoch = 0;
}

void core_latch_lost(struct step *s, const char *why)
{
    struct core *c = s->c;
    bool led = c->leading;

    if (c->node[0] == '\0')
        return;
    core_latch_forget(c);
    c->suspect = true; /* the news may be of a server that lags: then it still stands */
    core_say(c->reason, "%s", why);
    if (led)
        core_history(s, CORE_HIST_LOST, 0, "%s", why);
    if (core_livy_alive(c) || c->start_run != 0)
        core_livy_stop(s, 0, why);
}

static bool own_uuid(const struct core *c, const char *name)
{
    size_t length = strlen(c->uuid);
    return length > 0 && strncmp(name, "_c_", 3) == 0 && strncmp(name + 3, c->uuid, length) == 0 &&
           name[3 + length] == '-';
}

static bool set_node(char node[static CORE_NODE_SIZE], const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= CORE_NODE_SIZE)
        return false;
    memcpy(node, name, length + 1);
    return true;
}

static bool take_node(struct core *c, const char *name)
{
    if (!set_node(c->node, name))
        return false;
    c->node_tag++;
    return true;
}

static void created(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    switch (event->rc) {
    case CORE_OK:
        if (event->name == NULL || !own_uuid(c, event->name) || !take_node(c, event->name)) {
            c->create_unknown = c->suspect = true;
            return;
        }
        core_act(s, CORE_ACT_SESSION); /* a successor of ours finds the node by its name */
        core_say(c->reason, "latch node %.120s made", c->node);
        return;
    case CORE_NONODE:
        c->registered = false; /* the parents are made by registering */
        return;
    case CORE_EXISTS:
    case CORE_UNKNOWN:
        c->create_unknown = c->suspect = true;
        return;
    case CORE_DENIED:
        if (!core_livy_alive(c)) {
            struct core_action *a = core_act(s, CORE_ACT_FATAL);
            a->code = 78;
            core_say(a->text,
                     "ZooKeeper refuses to let us make a latch node: check zookeeper.auth_digest and the "
                     "ACL of zookeeper.root");
        }
        c->retry_at = s->now + 10 * (int64_t)CORE_RETRY;
        return;
    }
}

/* The lowest node with our uuid becomes ours, any further one is a stray. Not so one whose delete was asked
 * for, nor any in a dead elector's session: it may have asked, and the delete may still be on its way. */
static void find_own(struct core *c, const struct core_event *event)
{
    const char *lowest = NULL;

    for (size_t i = 0; i < event->n_names; i++) {
        const char *name = event->names[i];
        if (own_uuid(c, name) && strcmp(name, c->stray) != 0 &&
            (lowest == NULL || core_latch_compare(name, lowest) < 0))
            lowest = name;
    }
    if (c->node[0] == '\0' && c->create_unknown && lowest != NULL && !c->inherited)
        take_node(c, lowest);
    c->create_unknown = false;
    for (size_t i = 0; i < event->n_names && c->stray[0] == '\0'; i++)
        if (own_uuid(c, event->names[i]) && strcmp(event->names[i], c->node) != 0)
            set_node(c->stray, event->names[i]);
}

static void follow(struct step *s, const char *before)
{
    struct core *c = s->c;

    if (strcmp(c->predecessor, before) != 0) {
        c->predecessor_id[0] = '\0';
        c->predecessor_epoch = 0;
        c->predecessor_ours = false;
    }
    if (!set_node(c->predecessor, before)) {
        c->listed = false; /* a foreign name too long for us: look again now and then */
        c->retry_at = s->now + CORE_RETRY;
    }
    core_say(c->reason, "behind %.120s", c->predecessor);
}

static void listed(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;
    const char *before = NULL;
    bool found = false, adopted = c->node[0] == '\0' && c->create_unknown;

    if (event->rc == CORE_NONODE) {
        c->registered = false;
        c->create_unknown = false;
        core_latch_lost(s, "the latch itself is gone");
        return;
    }
    if (event->rc != CORE_OK)
        return;
    find_own(c, event);
    c->list_at = s->now + (c->timeout > 0 ? c->timeout : 1000);
    if (c->node[0] == '\0')
        return;
    if (adopted)
        core_act(s, CORE_ACT_SESSION);
    for (size_t i = 0; i < event->n_names; i++) {
        int order = core_latch_compare(event->names[i], c->node);
        if (order == 0)
            found = true;
        else if (order < 0 && (before == NULL || core_latch_compare(event->names[i], before) > 0))
            before = event->names[i];
    }
    if (!found) {
        core_latch_lost(s, "the latch node is not among the latch's children");
        return;
    }
    c->listed = true;
    c->watching = false;
    c->first = before == NULL;
    if (before == NULL)
        core_takeover_begin(s);
    else
        follow(s, before);
}

static void owned(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (event->rc == CORE_NONODE) {
        core_latch_lost(s, "the latch node is gone");
    } else if (event->rc == CORE_OK && event->owner != c->session) {
        core_latch_lost(s, "the latch node belongs to another session");
    } else if (event->rc == CORE_OK) {
        c->own_known = true;
        c->epoch = event->czxid;
        if (c->adopted && core_livy_alive(c) && c->livy.epoch == c->epoch)
            core_history(s, CORE_HIST_ADOPTED, 0, "a new elector took the session over, Livy went on");
        c->adopted = false;
    }
}

static void watched(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (event->rc == CORE_NONODE) {
        c->listed = false;
    } else if (event->rc == CORE_OK) {
        c->watching = true;
        /* Our own session stands before us: a late create of a predecessor process. */
        c->predecessor_ours = event->owner == c->session;
        if (c->predecessor_ours && c->stray[0] == '\0')
            memcpy(c->stray, c->predecessor, sizeof(c->stray));
        core_say(c->predecessor_id, "%s", event->text != NULL ? event->text : "");
        c->predecessor_epoch = event->czxid;
    }
}

static const char *released_for(const struct core *c)
{
    if (c->quitting)
        return c->quit_reason;
    if (!c->may_stand)
        return c->stand_reason;
    return c->command.orders.begun && c->command.orders.epoch == c->epoch ? c->command.orders_text
                                                                          : c->livy_reason;
}

static void deleted(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (event->rc != CORE_OK && event->rc != CORE_NONODE)
        return; /* asked again: it stays doomed */
    if (c->leading)
        core_history(s, CORE_HIST_RELEASED, 0, "%s", released_for(c));
    core_latch_forget(c);
    c->tenured = false;
    core_act(s, CORE_ACT_SESSION);
    core_say(c->reason, "latch node deleted");
}

void core_latch_reply(struct step *s, const struct core_event *event)
{
    struct core *c = s->c;

    if (event->rc == CORE_UNKNOWN || event->rc == CORE_DENIED)
        c->retry_at = s->now + CORE_RETRY; /* a lost connection makes it void: SUSPENDED, CONNECTED */
    switch (event->request) {
    case CORE_REQ_REGISTER:
        c->registered = event->rc == CORE_OK;
        break;
    case CORE_REQ_CREATE:
        created(s, event);
        break;
    case CORE_REQ_LIST:
        listed(s, event);
        break;
    case CORE_REQ_OWN:
        owned(s, event);
        break;
    case CORE_REQ_WATCH:
        watched(s, event);
        break;
    case CORE_REQ_DELETE:
        deleted(s, event);
        break;
    case CORE_REQ_STRAY:
        if (event->rc == CORE_OK || event->rc == CORE_NONODE) {
            c->stray[0] = '\0';
            c->listed = c->listed && c->first; /* is there another one? */
        }
        break;
    case CORE_REQ_GHOST:
        if (event->rc == CORE_OK || event->rc == CORE_NONODE)
            c->ghost[0] = '\0';
        break;
    case CORE_REQ_HANDOVER:
    case CORE_REQ_TENURE:
    case CORE_REQ_CLEAR:
        core_takeover_reply(s, event);
        break;
    case CORE_REQUESTS:
        break;
    }
}

static struct core_action *ask_node(struct step *s, enum core_request request, enum core_action_type type,
                                    const char *node)
{
    struct core_action *a = core_ask(s, request, type);
    if (a != NULL)
        memcpy(a->node, node, CORE_NODE_SIZE);
    return a;
}

/* `in_order`: a successor waits for it, and our Livy is dead. */
static void ask_delete(struct step *s, enum core_request request, const char *node, bool in_order)
{
    struct core_action *a = ask_node(s, request, CORE_ACT_DELETE, node);
    if (a == NULL)
        return;
    a->in_order = in_order;
    a->tenured = s->c->tenured && request == CORE_REQ_DELETE;
}

/* A server that lags shows members that are gone, or misses a create of ours: hence the sync, which takes a
 * round to the leader, behind all that is being written just then. Whoever is told of a change by its own
 * server sees at least that change there. And a member that is lowest in any list stays lowest for as long
 * as its session lives (numbers only grow), so that a START never leans on the list being new. */
static void list(struct step *s)
{
    struct core_action *a = core_ask(s, CORE_REQ_LIST, CORE_ACT_LIST);
    if (a == NULL)
        return;
    a->sync = !s->c->told;
    s->c->told = false;
}

/* Stands with a node: keeps an eye on it and on the one before it. */
static void stand(struct step *s)
{
    struct core *c = s->c;

    if (!c->own_known) {
        struct core_action *a = core_ask(s, CORE_REQ_OWN, CORE_ACT_OWN);
        if (a != NULL) {
            memcpy(a->node, c->node, sizeof(a->node));
            a->tag = c->node_tag;
        }
    }
    if (!c->first && (!c->listed || (c->suspect && s->now >= c->list_at)))
        list(s);
    if (c->listed && !c->first && !c->watching)
        ask_node(s, CORE_REQ_WATCH, CORE_ACT_WATCH, c->predecessor);
}

static void join(struct step *s)
{
    struct core *c = s->c;

    if (c->create_unknown) {
        list(s);
        return;
    }
    if (core_asking(c, CORE_REQ_CREATE) || core_asking(c, CORE_REQ_LIST))
        return;
    if (c->uuid[0] == '\0') {
        if (c->spare_uuid[0] == '\0')
            return; /* the next event brings one */
        memcpy(c->uuid, c->spare_uuid, sizeof(c->uuid));
        c->spare_uuid[0] = '\0';
        core_act(s, CORE_ACT_SESSION); /* before the create: a successor must know what may be on its way */
    }
    struct core_action *a = core_ask(s, CORE_REQ_CREATE, CORE_ACT_CREATE);
    if (a != NULL)
        memcpy(a->node, c->uuid, sizeof(c->uuid));
}

void core_latch_reconcile(struct step *s)
{
    struct core *c = s->c;

    if (!c->connected || c->close_sent)
        return;
    if (s->now < c->retry_at && !c->quitting)
        return;
    if (!c->registered && !c->quitting)
        core_ask(s, CORE_REQ_REGISTER, CORE_ACT_REGISTER);
    bool dead = core_livy_surely_dead(c, s->now);
    if (c->stray[0] != '\0' && dead)
        ask_delete(s, CORE_REQ_STRAY, c->stray, false);
    if (c->ghost[0] != '\0' && dead)
        ask_delete(s, CORE_REQ_GHOST, c->ghost, !c->ghost_unfinished);

    bool wanted = core_latch_wanted(c, s->now);
    if (c->node[0] != '\0') {
        bool goes = core_command_giving(c) || core_command_yields(c);
        if (wanted && !c->doomed && !(goes && dead)) {
            stand(s);
        } else if (dead) {
            if (goes && !c->leading)
                core_say(c->reason, "stepping back in the queue: %.120s", c->command.orders_text);
            c->doomed = true;
            ask_delete(s, CORE_REQ_DELETE, c->node, core_takeover_passed(c));
        }
    } else if (wanted) {
        if (c->registered && !core_livy_alive(c) && c->start_run == 0)
            join(s);
    } else if ((c->uuid[0] != '\0' || c->create_unknown) && s->now >= c->list_at) {
        list(s); /* a create on its way must not leave a node behind */
    }
    core_takeover_ask(s);
}
