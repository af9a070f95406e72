/* command_ask.c - each command: why it cannot be, what is written down for it, and when it has come to its
 * end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "paths.h"
#include "record.h"

#define UPGRADE_AFTER 50 /* ms */
#define ADOPTED_TIMEOUT 60000
#define NOBODY_ELSE "no other member stands, so nobody would serve: start one, or say --force"

void command_set_by(const struct command *c, json_t *object)
{
    char at[CLOCK_UTC_SIZE];

    clock_format_utc(clock_wall_ms(), at);
    json_object_set_new(object, "by", json_string(c->e->conf->id));
    json_object_set_new(object, "at", json_string(at));
}

/* ---- what is written down
 * ------------------------------------------------------------------------------------ */

static enum orders_edit pause_edit(struct command *c, json_t *record, char why[static 256])
{
    int64_t now;
    json_t *paused = json_object();

    if (c->pause_for > 0 && !command_zk_now(c->e, &now)) {
        json_decref(paused);
        snprintf(why, 256, "ZooKeeper's time is not known yet: try again in a moment");
        return ORDERS_REFUSED;
    }
    command_set_by(c, paused);
    if (c->pause_for > 0)
        json_object_set_new(paused, "until_zk_ms", json_integer(now + c->pause_for));
    json_object_set_new(record, "paused", paused);
    return ORDERS_WRITE;
}

static enum orders_edit resume_edit(json_t *record)
{
    return json_object_del(record, "paused") == 0 ? ORDERS_WRITE : ORDERS_SO;
}

/* The member that is active writes its switchover down with it, begun already: whoever takes over is to start
 * Livy in a pause too. */
static enum orders_edit drain_edit(struct command *c, json_t *record, char why[static 256])
{
    const char *id = c->e->conf->id;
    json_t *mine;

    /* Of its own reign, which may have ended since this was asked for. */
    bool reigns = command_active_here(c->e) && c->e->core.epoch != 0;
    c->by_switchover = c->by_switchover && (reigns || switch_asked(c, record));
    if (reigns && !c->force && !switch_asked(c, record) && command_other_standing(c->e, record) == NULL) {
        snprintf(why, 256, "%s", NOBODY_ELSE); /* the last one was drained in the same moment */
        return ORDERS_REFUSED;
    }
    if (c->by_switchover) {
        enum orders_edit asked = switch_ask(c, record, why);
        if (asked != ORDERS_WRITE)
            return asked;
    }
    mine = json_object();
    command_set_by(c, mine);
    json_object_set_new(command_object(record, "drained"), id, mine);
    return ORDERS_WRITE;
}

static enum orders_edit undrain_edit(const char *id, json_t *record)
{
    return json_object_del(json_object_get(record, "drained"), id) == 0 ? ORDERS_WRITE : ORDERS_SO;
}

static enum orders_edit edit(void *arg, json_t *record, char why[static 256])
{
    struct command *c = arg;

    switch (c->kind) {
    case COMMAND_SWITCHOVER:
        return switch_ask(c, record, why);
    case COMMAND_PAUSE:
        return pause_edit(c, record, why);
    case COMMAND_RESUME:
        return resume_edit(record);
    case COMMAND_DRAIN:
        return drain_edit(c, record, why);
    case COMMAND_UNDRAIN:
        return undrain_edit(c->e->conf->id, record);
    case COMMAND_FORGET:
        return undrain_edit(c->target, record);
    case COMMAND_RESTART:
        return restart_edit(c, record, why);
    case COMMAND_RELOAD:
    case COMMAND_UPGRADE:
    case COMMAND_KINDS:
        break;
    }
    return ORDERS_SO;
}

static void written(void *arg, enum orders_outcome outcome, const char *why)
{
    struct command *c = arg;
    struct elector *e = c->e;

    c->changing = false;
    if (outcome == ORDERS_NOT_DONE) {
        command_end(c, COMMAND_REFUSED, "%s", why);
        return;
    }
    c->written = true;
    switch (c->kind) {
    case COMMAND_SWITCHOVER:
        command_say(e, "switchover", "%s%s, asked on %s", c->target[0] != '\0' ? "to " : "to whoever is next",
                    c->target, e->conf->id);
        break;
    case COMMAND_PAUSE:
        if (c->pause_for > 0)
            command_say(e, "paused", "for %" PRId64 " s, asked on %s", c->pause_for / 1000, e->conf->id);
        else
            command_say(e, "paused", "asked on %s", e->conf->id);
        command_end(c, COMMAND_DONE, "the cluster is paused: no automatic fail-over, no restart of Livy");
        break;
    case COMMAND_RESUME:
        command_say(e, "resumed", "asked on %s", e->conf->id);
        command_end(c, COMMAND_DONE, "the cluster is not paused any more");
        break;
    case COMMAND_DRAIN:
        command_say(e, "drained", "asked on %s", e->conf->id);
        break;
    case COMMAND_UNDRAIN:
        command_say(e, "undrained", "asked on %s", e->conf->id);
        break;
    case COMMAND_FORGET:
        command_say(e, "forgotten", "%s, asked on %s", c->target, e->conf->id);
        command_end(c, COMMAND_DONE, "%s is forgotten", c->target);
        break;
    case COMMAND_RESTART:
        restart_written(c);
        break;
    case COMMAND_RELOAD:
    case COMMAND_UPGRADE:
    case COMMAND_KINDS:
        break;
    }
    if (c->state == COMMAND_RUNS)
        command_look(c);
}

void command_write_down(struct command *c)
{
    c->changing = true;
    if (!orders_change(c->e->commands->orders, edit, written, c)) {
        c->changing = false;
        command_end(c, COMMAND_FAILED, "too many orders wait to be written");
    }
}

/* ---- forget
 * ------------------------------------------------------------------------------------------------------- */

/* The command that ZooKeeper has answered is found again by its kind, of which there is one at a time: its
 * slot may have become another's. NULL: it has timed out. */
static struct command *the_forget(struct elector *e)
{
    e->commands->forgetting = false;
    return command_running(e, COMMAND_FORGET, NULL);
}

static void on_forgotten(void *arg, const struct zk_reply *reply)
{
    struct command *c = the_forget(arg);

    if (c == NULL)
        return;
    if (reply->rc == ZOK || (reply->rc == ZNONODE && command_drained(c->e, c->target)))
        command_write_down(c); /* of one that was forgotten half-way its drain is left */
    else if (reply->rc == ZNONODE)
        command_end(c, COMMAND_REFUSED, "there is no member %s", c->target);
    else
        command_end(c, COMMAND_FAILED, "known/%s could not be deleted: %s", c->target, zerror(reply->rc));
}

static void on_absent(void *arg, const struct zk_reply *reply)
{
    struct elector *e = arg;
    struct command *c = the_forget(e);
    char path[PATH_SIZE];

    if (c == NULL)
        return;
    if (reply->rc == ZOK) {
        command_end(c, COMMAND_REFUSED, "%s is there: only a member that is absent can be forgotten",
                    c->target);
        return;
    }
    path_make(path, e->conf->zookeeper.root, "known", c->target);
    e->commands->forgetting =
        reply->rc == ZNONODE && e->zk != NULL && zk_delete(e->zk, path, -1, on_forgotten, e) == ZOK;
    if (!e->commands->forgetting)
        command_end(c, COMMAND_FAILED, "members/%s could not be looked at: %s", c->target, zerror(reply->rc));
}

static void forget(struct command *c)
{
    struct elector *e = c->e;
    char path[PATH_SIZE];
    bool another = e->commands->forgetting || command_running(e, COMMAND_FORGET, c) != NULL;

    if (another || strchr(c->target, '/') != NULL || c->target[0] == '\0' || strcmp(c->target, ".") == 0 ||
        strcmp(c->target, "..") == 0) {
        command_end(c, COMMAND_REFUSED,
                    another ? "another member is being forgotten: try again in a moment"
                            : "that is no member's id");
        return;
    }
    path_make(path, e->conf->zookeeper.root, "members", c->target);
    e->commands->forgetting = e->zk != NULL && zk_exists(e->zk, path, 0, 0, on_absent, e) == ZOK;
    if (!e->commands->forgetting)
        command_end(c, COMMAND_OFFLINE, "not connected to ZooKeeper");
}

/* ---- the keeper's
 * ---------------------------------------------------------------------------------------------------- */

static void ask_keeper(struct command *c)
{
    struct ipc_msg msg = {.type = IPC_REQUEST,
                          .code = c->kind == COMMAND_RELOAD ? IPC_REQUEST_RELOAD : IPC_REQUEST_UPGRADE};

    msg.run = c->number = ++c->e->commands->asked_keeper;
    snprintf(msg.text, sizeof(msg.text), "%s", c->id);
    channel_send(c->e, &msg, -1);
}

void command_answered(struct elector *e, uint32_t number, int code, const char *text)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        struct command *c = &e->commands->list[i];
        if (c->state != COMMAND_RUNS || c->number != number || number == 0)
            continue;
        if (code == IPC_ANSWER_GOES_ON)
            snprintf(c->text, sizeof(c->text), "%s", text);
        else
            command_end(c, code == IPC_ANSWER_DONE ? COMMAND_DONE : COMMAND_FAILED, "%s", text);
        return; /* the keeper is asked under a number of its own each time */
    }
}

void command_adopt(struct elector *e, const char *upgrade)
{
    char *id;
    unsigned long number = upgrade != NULL ? strtoul(upgrade, &id, 10) : 0;

    if (number == 0 || number > UINT32_MAX || *id != '/' || strlen(id + 1) >= COMMAND_ID_SIZE)
        return;
    struct command *c = command_new(e);
    if (c == NULL)
        return;
    c->kind = COMMAND_UPGRADE;
    c->number = e->commands->asked_keeper = (uint32_t)number;
    c->timeout = ADOPTED_TIMEOUT;
    c->deadline = c->began + c->timeout;
    snprintf(c->id, sizeof(c->id), "%s", id + 1);
    snprintf(c->text, sizeof(c->text), "the elector was replaced");
}

/* ---- checks
 * ------------------------------------------------------------------------------------------------------------
 */

/* A new elector adopts the latch node of an active member only with the Livy that runs under it. The keeper
 * is asked a moment later: this elector may be gone a few milliseconds after that, and its client is to have
 * the id of the command by then. */
static void upgrade(struct command *c)
{
    if (command_running(c->e, COMMAND_UPGRADE, c) != NULL)
        command_end(c, COMMAND_REFUSED, "an upgrade is under way already");
    else if (command_active_here(c->e) && c->e->core.connected && !core_livy_alive(&c->e->core))
        command_end(c, COMMAND_REFUSED, "Livy is just being started or stopped: try again once it serves");
}

static void look_upgrade(struct command *c)
{
    if (c->number == 0 && clock_boot_ms() - c->began >= UPGRADE_AFTER)
        ask_keeper(c);
}

static void refuse_drain(struct command *c)
{
    command_end(c, COMMAND_REFUSED, "%s", NOBODY_ELSE);
}

static void on_queue_to_drain(struct elector *e, bool asked, const struct command_queue *queue)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        struct command *c = &e->commands->list[i];
        if (c->state != COMMAND_RUNS || c->kind != COMMAND_DRAIN || !c->asks_queue)
            continue;
        c->asks_queue = false;
        c->by_switchover = queue->others;
        if (!asked)
            command_end(c, COMMAND_OFFLINE, "ZooKeeper did not say who stands: nothing was changed");
        else if (!queue->others && !c->force)
            refuse_drain(c);
        else
            command_write_down(c);
    }
}

static void drain(struct command *c)
{
    struct elector *e = c->e;
    char why[COMMAND_TEXT_SIZE];
    bool others = command_other_standing(e, orders_record(e->commands->orders)) != NULL;

    if (command_active_here(e) && !others && !c->force && !command_drained(e, e->conf->id)) {
        refuse_drain(c);
    } else if (!command_active_here(e) || !others || e->core.epoch == 0) {
        command_write_down(c);
    } else if (e->commands->request.there) {
        switch_refusal(c, why);
        command_end(c, COMMAND_REFUSED, "%s", why);
    } else {
        c->asks_queue = true;
        command_queue_ask(e, &e->commands->ask_to_drain, on_queue_to_drain);
    }
}

void command_begin(struct command *c)
{
    struct elector *e = c->e;
    char why[COMMAND_TEXT_SIZE];
    bool local = c->kind == COMMAND_RESTART || c->kind == COMMAND_RELOAD || c->kind == COMMAND_UPGRADE;

    log_info("%s%s%s is asked for", command_name(c->kind), c->target[0] != '\0' ? " " : "", c->target);
    if (e->core.quitting) {
        command_end(c, COMMAND_REFUSED, "this daemon is stopping");
        return;
    }
    if (!local && (!e->core.connected || e->zk == NULL)) {
        command_end(c, COMMAND_OFFLINE, "not connected to ZooKeeper: nothing can be asked of the cluster");
        return;
    }
    if (!local && !orders_known(e->commands->orders)) { /* it has not been let in */
        command_end(c, COMMAND_OFFLINE, "%s has not joined the cluster (%s): ask another member", e->conf->id,
                    e->core.may_stand ? core_phase_name(e->core.phase) : e->core.stand_reason);
        return;
    }
    switch (c->kind) {
    case COMMAND_SWITCHOVER:
        switch_refusal(c, why);
        if (why[0] != '\0') {
            command_end(c, COMMAND_REFUSED, "%s", why);
            return;
        }
        c->by_switchover = true;
        command_write_down(c);
        return;
    case COMMAND_PAUSE:
    case COMMAND_RESUME:
    case COMMAND_UNDRAIN:
        command_write_down(c);
        return;
    case COMMAND_DRAIN:
        drain(c);
        return;
    case COMMAND_FORGET:
        forget(c);
        return;
    case COMMAND_RESTART:
        restart_begin(c);
        return;
    case COMMAND_UPGRADE:
        upgrade(c);
        return;
    case COMMAND_RELOAD:
        ask_keeper(c);
        return;
    case COMMAND_KINDS:
        return;
    }
}

/* ---- ends
 * ----------------------------------------------------------------------------------------------------------------
 */

static void look_drain(struct command *c)
{
    const struct core *core = &c->e->core;

    if (!c->written)
        return;
    if (orders_fresh(c->e->commands->orders) && !command_drained(c->e, c->e->conf->id)) {
        command_end(c, COMMAND_FAILED, "it was undrained by somebody before that was over");
    } else if (c->by_switchover) {
        switch_outcome(c);
    } else if (core->node[0] == '\0' && !core_livy_alive(core) && core->start_run == 0 && !core->may_stand) {
        c->took = clock_boot_ms() - c->began;
        command_end(c, COMMAND_DONE, "%s is drained: it does not stand until livy-ha-ctl undrain",
                    c->e->conf->id);
    }
}

static void look_undrain(struct command *c)
{
    const struct core *core = &c->e->core;

    if (!c->written)
        return;
    if (core->phase == CORE_STANDBY || core->phase == CORE_ACTIVE || core->phase == CORE_PAUSED)
        command_end(c, COMMAND_DONE, "%s stands again", c->e->conf->id);
    else if (!core->may_stand && (core->barred & 1u << CORE_BAR_DRAINED) == 0)
        command_end(c, COMMAND_DONE, "%s is not drained any more, but does not stand: %s", c->e->conf->id,
                    core->stand_reason);
}

static void time_out(struct command *c)
{
    const struct core *core = &c->e->core;

    if (c->kind == COMMAND_RELOAD || c->kind == COMMAND_UPGRADE)
        command_end(c, COMMAND_TIMED_OUT, "the keeper (livy-ha) does not answer");
    else if (!c->written)
        command_end(c, COMMAND_TIMED_OUT,
                    "ZooKeeper has not answered in time; whether it is done is not known");
    else
        command_end(c, COMMAND_TIMED_OUT, "not over in time: %s is %s, %s", c->e->conf->id,
                    core_phase_name(core->phase), core->reason);
}

void command_look(struct command *c)
{
    if (c->state != COMMAND_RUNS)
        return;
    switch (c->kind) {
    case COMMAND_SWITCHOVER:
        if (c->written)
            switch_outcome(c);
        break;
    case COMMAND_RESTART:
        restart_outcome(c);
        break;
    case COMMAND_DRAIN:
        look_drain(c);
        break;
    case COMMAND_UNDRAIN:
        look_undrain(c);
        break;
    case COMMAND_UPGRADE:
        look_upgrade(c);
        break;
    case COMMAND_PAUSE:
    case COMMAND_RESUME:
    case COMMAND_FORGET:
    case COMMAND_RELOAD:
    case COMMAND_KINDS:
        break;
    }
    /* A switchover that is over in the same moment has more to say. */
    if (c->state == COMMAND_RUNS && clock_boot_ms() >= c->deadline + (c->by_switchover ? 2500 : 0))
        time_out(c);
}
