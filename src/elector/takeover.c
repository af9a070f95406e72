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

    /* Not one of ours (Curator's, perhaps), or a daemon before this one: its members/<id> is ours by now. */
    if (id[0] == '\0' || strchr(id, '/') != NULL || strcmp(id, e->conf->id) == 0) {
        answer_left(call, CORE_LEFT_GONE);
        return;
    }
    path_make(path, e->conf->zookeeper.root, "members", id);
    int rc = e->zk != NULL ? zk_exists(e->zk, path, 0, 0, on_present, call) : ZINVALIDSTATE;
    if (rc != ZOK)
        act_reply(call, &(struct zk_reply){.rc = rc});
}

static void on_tenure_read(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;
    struct elector *e = call->e;

    if (reply->rc == ZOK) {
        tenure_read(call->tenure, reply->value, reply->value_length, &e->victim);
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
    } else if (call->in_order || call->node[0] == '\0') {
        answer_left(call, CORE_LEFT_IN_ORDER);
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

/* The handover names the node that was given up last in order. */
static void on_handover(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;

    call->in_order = reply->rc == ZOK && reply->value_length > 0 && strcmp(reply->value, call->node) == 0;
    one_answer(call, reply->rc);
}

/* The lowest name of another's, so that each look finds the same one. */
static void on_tenures(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;

    for (int i = 0; reply->rc == ZOK && i < reply->n_children; i++) {
        const char *name = reply->children[i];
        if (strcmp(name, call->e->tenure) == 0 || strlen(name) >= sizeof(call->tenure))
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

/* Neither would have it: each by itself, whatever is there. */
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
        act_reply(call, &(struct zk_reply){.rc = ZNONODE});
}

/* The answers come in the order of the requests; that one of them was carried out is enough. */
static void on_released(void *arg, const struct zk_reply *reply)
{
    struct elector_call *call = arg;

    if (call->rc != ZOK)
        call->rc = reply->rc;
    if (--call->waits > 0)
        return;
    if (call->rc == ZNONODE)
        release_bit_by_bit(call);
    else
        act_reply(call, &(struct zk_reply){.rc = call->rc});
}

/* The tenure goes with the node, all at once or not at all. It may be gone already when a slow server carries
 * this out: a daemon started after us takes its own away. So the same without the tenure is sent right behind
 * it, and does nothing in any other case: nobody may be left to ask again, and the node would stand for as
 * long as the session. */
static int release(struct elector *e, const struct core_action *a, struct elector_call *call)
{
    char path[PATH_SIZE], marker[PATH_SIZE], tenure[PATH_SIZE];
    const char *handover = a->in_order ? marker : NULL;
    int rc = ZOK;

    call->tenured = a->tenured;
    call->waits = 0;
    call->rc = ZNONODE;
    path_make(path, e->conf->zookeeper.root, "leader", a->node);
    path_make(marker, e->conf->zookeeper.root, NULL, "handover");
    tenure_path(e, tenure, e->tenure);
    if (a->tenured)
        rc = zk_release(e->zk, path, handover, call->node, tenure, on_released, call);
    if (rc != ZOK)
        return rc;
    call->waits = a->tenured ? 2 : 1;
    rc = zk_release(e->zk, path, handover, call->node, NULL, on_released, call);
    if (rc == ZOK || !a->tenured)
        return rc;
    call->waits = 1; /* the first one's answer ends the call */
    return ZOK;
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

static int clear(struct elector *e, const struct core_action *a, struct elector_call *call)
{
    char path[PATH_SIZE], tenure[PATH_SIZE];

    tenure_path(e, tenure, a->text[0] != '\0' ? a->text : e->tenure);
    if (a->node[0] == '\0')
        return zk_delete(e->zk, tenure, -1, act_reply, call);
    path_make(path, e->conf->zookeeper.root, "leader", a->node);
    return zk_clear(e->zk, path, tenure, act_reply, call);
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
    snprintf(msg.text, sizeof(msg.text), "%s", a->text);
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
