/* takeover.c - what core_takeover.c asks for: how the one before us went, the tenures, fencing, and whether
 * its Livy answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/log.h"
#include "paths.h"
#include "tenure.h"

static void tenure_path(const struct elector *e, char path[PATH_SIZE], const char *tenure)
{
    path_make(path, e->conf->zookeeper.root, "tenures", tenure);
}

/* ---- how the one before us went ------------------------------------------------------------------------ */

static int ask_handover(struct elector *e, struct elector_call *call);

static void answer_left(struct elector_call *call, enum core_left left)
{
    struct core_event event = {.rc = CORE_OK, .left = left, .more = call->more};

    if (call->tenure[0] != '\0')
        event.victim = &call->e->victim;
    act_answer(call, &event);
}

static void on_present(void *arg, const struct zk_reply *reply)
{
    if (reply->rc == ZOK || reply->rc == ZNONODE)
        answer_left(arg, reply->rc == ZOK ? CORE_LEFT_NODE : CORE_LEFT_GONE);
    else
        act_reply(arg, reply);
}

/* Its node is gone: is its members/<id> there? */
static void ask_present(struct elector_call *call, const char *id)
{
    struct elector *e = call->e;
    char path[PATH_SIZE];

    if (id[0] == '\0') { /* gone before we could look whose it was */
        answer_left(call, CORE_LEFT_NODE);
        return;
    }
    /* Not one of ours (Curator's, perhaps), or a daemon before this one: its members/<id> is ours by now. */
    if (strchr(id, '/') != NULL || strcmp(id, e->conf->id) == 0) {
        answer_left(call, CORE_LEFT_GONE);
        return;
    }
    path_make(path, e->conf->zookeeper.root, "members", id);
    int rc = e->zk != NULL ? zk_exists(e->zk, path, 0, 0, on_present, call) : ZINVALIDSTATE;
    if (rc != ZOK)
        act_reply(call, &(struct zk_reply){.rc = rc});
}

/* Where others are here, one of them may be what a stranger has pushed out of the queue. */
static void on_members(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;
    bool others = reply->rc == ZSYSTEMERROR; /* too many */

    if (reply->rc != ZOK && reply->rc != ZNONODE && !others) {
        act_reply(call, reply);
        return;
    }
    for (int i = 0; i < reply->n_children && !others; i++)
        others = strcmp(reply->children[i], call->e->conf->id) != 0;
    answer_left(call, others ? CORE_LEFT_UNSEEN : CORE_LEFT_IN_ORDER);
}

/* Nobody was before us in the queue. */
static void ask_others(struct elector_call *call)
{
    struct elector *e = call->e;
    char path[PATH_SIZE];

    path_make(path, e->conf->zookeeper.root, NULL, "members");
    int rc = e->zk != NULL ? zk_children(e->zk, path, 0, 0, on_members, call) : ZINVALIDSTATE;
    if (rc != ZOK)
        act_reply(call, &(struct zk_reply){.rc = rc});
}

/* Too large, or with a stranger's rights: its name says enough, and nobody must wait for more for ever. */
static bool never_to_be_read(int rc)
{
    return rc == ZSYSTEMERROR || rc == ZNOAUTH;
}

static void on_tenure_read(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;
    struct elector *e = call->e;

    if (reply->rc == ZOK || never_to_be_read(reply->rc)) {
        tenure_read(call->tenure, reply->value, reply->rc == ZOK ? reply->value_length : -1, &e->victim);
        ask_present(call, e->victim.member.id);
    } else if (reply->rc != ZNONODE) {
        act_reply(call, reply);
    } else { /* taken away meanwhile */
        int rc = ask_handover(e, call);
        if (rc != ZOK)
            act_reply(call, &(struct zk_reply){.rc = rc});
    }
}

/* Both answers are here: what handover says, and the names of the tenures. */
static void decide(struct elector_call *call)
{
    struct elector *e = call->e;
    char path[PATH_SIZE];

    if (call->rc != ZOK) {
        act_reply(call, &(struct zk_reply){.rc = call->rc});
    } else if (call->tenure[0] != '\0') {
        tenure_path(e, path, call->tenure);
        int rc = e->zk != NULL ? zk_get(e->zk, path, 0, 0, on_tenure_read, call) : ZINVALIDSTATE;
        if (rc != ZOK)
            act_reply(call, &(struct zk_reply){.rc = rc});
    } else if (call->in_order) {
        answer_left(call, CORE_LEFT_IN_ORDER);
    } else if (call->node[0] == '\0') {
        ask_others(call);
    } else {
        ask_present(call, call->id);
    }
}

static void one_answer(struct elector_call *call, int rc)
{
    if (rc != ZOK && rc != ZNONODE)
        call->rc = rc;
    if (--call->waits == 0)
        decide(call);
}

/* The handover names the node that was given up last in order: the one before us, where that was the last one
 * made before ours too. */
static void on_handover(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;
    const char *last = reply->rc == ZOK && reply->value_length > 0 ? reply->value : "";
    int64_t number = core_latch_sequence(last);

    if (call->node[0] != '\0')
        call->in_order = strcmp(last, call->node) == 0;
    else
        call->in_order = number >= 0 && number + 1 == core_latch_sequence(call->e->core.node);
    one_answer(call, reply->rc);
}

/* The lowest name of another's, so that each look finds the same one. */
static void on_tenures(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;

    for (int i = 0; reply->rc == ZOK && i < reply->n_children; i++) {
        const char *name = reply->children[i];
        if (strcmp(name, call->e->tenure) == 0 || !tenure_is_one(name) || strcmp(name, call->after) <= 0)
            continue;
        call->more = call->more || call->tenure[0] != '\0';
        if (call->tenure[0] == '\0' || strcmp(name, call->tenure) < 0)
            snprintf(call->tenure, sizeof(call->tenure), "%s", name);
    }
    one_answer(call, reply->rc);
}

/* Both questions at once: nothing may cost a round trip more where all is in order. */
static int ask_handover(struct elector *e, struct elector_call *call)
{
    char path[PATH_SIZE];
    int rc = ZINVALIDSTATE;

    call->in_order = call->more = false;
    call->tenure[0] = '\0';
    call->rc = ZOK;
    call->waits = 2;
    path_make(path, e->conf->zookeeper.root, NULL, "handover");
    if (e->zk != NULL)
        rc = zk_get(e->zk, path, 0, 0, on_handover, call);
    if (rc != ZOK)
        return rc;
    path_make(path, e->conf->zookeeper.root, NULL, "tenures");
    rc = zk_children(e->zk, path, 0, 0, on_tenures, call);
    if (rc != ZOK)
        one_answer(call, rc); /* the other one's answer ends the call */
    return ZOK;
}

/* ---- tenures, and giving the latch up ---------------------------------------------------------------------
 */

/* It cannot be done all at once, and never will be: something is not there, or is not ours to change, or a
 * stranger has put a node below it. */
static bool refused(int rc)
{
    return rc == ZNONODE || rc == ZNOTEMPTY || rc == ZNOAUTH;
}

/* Each by itself then, as far as it goes: the latch must not wait for what only says how it was given up. */
static void release_bit_by_bit(struct elector_call *call)
{
    struct elector *e = call->e;
    char path[PATH_SIZE], tenure[PATH_SIZE];
    int rc = ZINVALIDSTATE;

    path_make(path, e->conf->zookeeper.root, "leader", call->node);
    tenure_path(e, tenure, e->tenure);
    if (call->tenured && e->zk != NULL && zk_delete(e->zk, tenure, -1, NULL, NULL) != ZOK)
        log_debug("our tenure stays: taken away at the next registration");
    if (e->zk != NULL)
        rc = zk_delete(e->zk, path, -1, act_reply, call);
    if (rc != ZOK)
        act_reply(call, &(struct zk_reply){.rc = rc});
}

/* The answers come in the order of the requests; that one of them was carried out is enough. */
static void on_released(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;

    if (call->rc != ZOK)
        call->rc = reply->rc;
    if (--call->waits > 0)
        return;
    if (refused(call->rc))
        release_bit_by_bit(call);
    else
        act_reply(call, &(struct zk_reply){.rc = call->rc});
}

/* The tenure goes with the node, and server.uri too, all at once or not at all. The tenure may be gone
 * already when a slow server carries this out: a daemon started after us takes its own away; and so may
 * server.uri. So the same without them is sent right behind it, and does nothing in any other case: nobody
 * may be left to ask again, and the node would stand for as long as the session. */
static int release(struct elector *e, const struct core_action *a, struct elector_call *call)
{
    char path[PATH_SIZE], marker[PATH_SIZE], tenure[PATH_SIZE], uri[PATH_SIZE];
    const char *handover = a->in_order ? marker : NULL;
    bool has_uri = uri_give_up(e);
    const struct {
        bool send;
        const char *tenure, *uri;
    } tries[] = {{a->tenured && has_uri, tenure, uri},
                 {a->tenured, tenure, NULL},
                 {!a->tenured && has_uri, NULL, uri},
                 {true, NULL, NULL}};
    int rc = ZOK;

    call->tenured = a->tenured;
    call->waits = 0;
    call->rc = ZNONODE;
    path_make(path, e->conf->zookeeper.root, "leader", a->node);
    path_make(marker, e->conf->zookeeper.root, NULL, "handover");
    path_make(uri, e->conf->zookeeper.root, NULL, "server.uri");
    tenure_path(e, tenure, e->tenure);
    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]) && rc == ZOK; i++) {
        if (!tries[i].send)
            continue;
        rc = zk_release(e->zk, path, handover, call->node, tries[i].tenure, tries[i].uri, on_released, call);
        if (rc == ZOK)
            call->waits++;
    }
    return call->waits > 0 ? ZOK : rc; /* the last answer ends the call */
}

static int write_tenure(struct elector *e, struct elector_call *call, int64_t epoch, bool there,
                        zk_done *done)
{
    struct ipc_member self = {.epoch = epoch};
    char path[PATH_SIZE], tenure[PATH_SIZE];

    snprintf(self.id, sizeof(self.id), "%s", e->conf->id);
    snprintf(self.host, sizeof(self.host), "%.255s", e->conf->host);
    status_livy_url(e, self.url, sizeof(self.url));
    char *text = tenure_write(&self, call->node);
    if (text == NULL)
        return ZSYSTEMERROR;
    path_make(path, e->conf->zookeeper.root, "leader", call->node);
    tenure_path(e, tenure, e->tenure);
    int rc = e->zk != NULL ? zk_tenure(e->zk, path, tenure, text, there, done, call) : ZINVALIDSTATE;
    free(text);
    return rc;
}

static void on_tenured(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;
    int rc = reply->rc;

    if (rc == ZNODEEXISTS) {
        rc = write_tenure(call->e, call, call->e->core.epoch, true, act_reply);
        if (rc == ZOK)
            return;
    }
    act_reply(call, &(struct zk_reply){.rc = rc});
}

static void on_cleared(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;

    if (reply->rc == ZNOTEMPTY || reply->rc == ZNOAUTH)
        log_warn("%.256s/tenures/%s cannot be deleted (%s): its member counts as one that did not leave in "
                 "order until you delete it",
                 call->e->conf->zookeeper.root, call->id[0] != '\0' ? call->id : call->e->tenure,
                 zerror(reply->rc));
    act_reply(arg, reply);
}

static int clear(struct elector *e, const struct core_action *a, struct elector_call *call)
{
    char path[PATH_SIZE], tenure[PATH_SIZE];

    tenure_path(e, tenure, a->text[0] != '\0' ? a->text : e->tenure);
    if (a->node[0] == '\0')
        return zk_delete(e->zk, tenure, -1, on_cleared, call);
    path_make(path, e->conf->zookeeper.root, "leader", a->node);
    return zk_clear(e->zk, path, tenure, on_cleared, call);
}

int takeover_request(struct elector *e, const struct core_action *a, struct elector_call *call)
{
    if (a->type == CORE_ACT_HANDOVER)
        return ask_handover(e, call);
    if (a->type == CORE_ACT_TENURE)
        return write_tenure(e, call, a->epoch, false, on_tenured);
    if (a->type == CORE_ACT_CLEAR)
        return clear(e, a, call);
    return release(e, a, call);
}

/* ---- fencing
 * ----------------------------------------------------------------------------------------------- */

void takeover_fence(struct elector *e, const struct core_action *a)
{
    struct ipc_msg msg = {.type = IPC_FENCE, .kill_at = a->kill_at};

    msg.fence.number = a->op;
    msg.fence.member = e->core.takeover.victim.member;
    snprintf(msg.text, sizeof(msg.text), "%.*s", IPC_TEXT_SIZE - 1, a->text);
    channel_send(e, &msg, -1);
}

void takeover_fenced(struct elector *e, const struct ipc_msg *msg)
{
    const struct ipc_member *victim = &e->core.takeover.victim.member, *fenced = &msg->fence.member;
    bool refused = msg->fence.outcome == IPC_FENCE_NOT_RUN;
    char how[CORE_TEXT_SIZE];

    /* An elector before us may have used the same number for another member. */
    if (!refused && (strcmp(victim->id, fenced->id) != 0 || victim->epoch != fenced->epoch))
        return;
    ipc_fence_describe(&msg->fence, msg->text, how, sizeof(how));
    elector_step(
        e, &(struct core_event){.type = CORE_EV_FENCED,
                                .op = msg->fence.number,
                                .failed = msg->fence.outcome != IPC_FENCE_EXITED || msg->fence.status != 0,
                                .text = how});
}

/* ---- does its Livy answer?
 * ------------------------------------------------------------------------------------ */

static void on_predecessor(void *arg, uint64_t op, enum predecessor_verdict verdict, const char *reason)
{
    struct elector *e = arg;
    bool untold = verdict == PREDECESSOR_UNTOLD;

    log_debug("the Livy of the member that was active before: %s", reason);
    if (untold != e->predecessor_untold)
        log_warn("the Livy of the member that was active before %s%s%s",
                 untold ? "cannot be probed, and a start here may have to wait for that: "
                        : "is probed again",
                 untold ? reason : "", untold ? "; raise LimitNOFILE=, or free memory" : "");
    e->predecessor_untold = untold;
    elector_step(e, &(struct core_event){.type = CORE_EV_PREDECESSOR,
                                         .op = op,
                                         .alive = verdict == PREDECESSOR_ANSWERS,
                                         .untold = untold,
                                         .text = reason});
}

void takeover_probe(struct elector *e, uint64_t op)
{
    /* A host that is gone costs no more than the pause that is made anyway. */
    static const struct predecessor_limits limits = {.connect = 80, .answer = 250};
    const char *url = e->core.takeover.victim.member.url;
    char own[512];

    if (e->predecessor == NULL)
        e->predecessor = predecessor_new(e->base, &limits, on_predecessor, e);
    if (e->predecessor == NULL)
        abort(); /* out of memory: the keeper starts another one */
    status_livy_url(e, own, sizeof(own));
    predecessor_ask(e->predecessor, strcmp(url, own) == 0 ? "" : url, op);
}
