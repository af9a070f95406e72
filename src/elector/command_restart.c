/* command_restart.c - a restart of Livy: asked of the core; and where the cluster is paused, written down
 * before that.
 *
 * The core's restart is lost with its elector. Out of a pause that costs nothing: whoever is first starts
 * Livy anyway. In a pause nobody would, so <root>/control says that a start is due, until Livy serves (or the
 * order expires). It never stops a Livy: an elector that dies before it has stopped Livy leaves it running.
 */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "record.h"

#define NOT_ACTIVE "this member is not active: ask the one that is (livy-ha-ctl status)"
#define START_MORE 600000 /* ms beyond the command's own time for which a start stays due */

static bool may_restart(const struct elector *e)
{
    return command_active_here(e) && !e->commands->request.begun;
}

static void tell_core(struct command *c)
{
    char text[CORE_TEXT_SIZE];

    snprintf(text, sizeof(text), "restart, asked on %.100s", c->e->conf->id);
    c->run = c->e->core.livy.run;
    c->written = true;
    elector_step(c->e, &(struct core_event){.type = CORE_EV_RESTART, .text = text});
}

void restart_begin(struct command *c)
{
    const struct elector *e = c->e;

    if (!may_restart(e))
        command_end(c, COMMAND_REFUSED, "%s", NOT_ACTIVE);
    else if (!e->core.command.orders.paused)
        tell_core(c);
    else if (!e->core.connected || e->zk == NULL)
        command_end(c, COMMAND_OFFLINE, "not connected to ZooKeeper: Livy could not be started again");
    else
        command_write_down(c);
}

enum orders_edit restart_edit(struct command *c, json_t *record, char why[static 256])
{
    const struct elector *e = c->e;
    json_t *restart;
    int64_t now;

    if (!may_restart(e) || e->core.epoch == 0 || !command_zk_now(e, &now)) {
        snprintf(why, 256, "%s",
                 may_restart(e) ? "ZooKeeper's time is not known yet: try again in a moment" : NOT_ACTIVE);
        return ORDERS_REFUSED;
    }
    int64_t expires = now + c->timeout + START_MORE;
    restart = json_pack("{s:s, s:I, s:I}", "id", c->id, "epoch", (json_int_t)e->core.epoch, "expires_zk_ms",
                        (json_int_t)expires);
    command_set_by(c, restart);
    json_object_set_new(record, "restart", restart);
    return ORDERS_WRITE;
}

/* By now another one may be active: then the order has no Livy to wait for, and restart_look takes it out. */
void restart_written(struct command *c)
{
    if (may_restart(c->e))
        tell_core(c);
    else
        command_end(c, COMMAND_REFUSED, "%s", NOT_ACTIVE);
}

void restart_outcome(struct command *c)
{
    const struct core *core = &c->e->core;
    const struct command_table *t = c->e->commands;

    if (!c->written)
        return;
    if (!command_active_here(c->e)) {
        command_end(c, COMMAND_FAILED, "this member is not active any more: %s", core->reason);
    } else if (core->serving && core->livy.run > c->run) {
        c->took = t->served_at - c->began;
        c->gap = t->ended_at >= c->began ? t->served_at - t->ended_at : -1;
        snprintf(c->active, sizeof(c->active), "%s", c->e->conf->id);
        command_end(c, COMMAND_DONE, "Livy was restarted on %s", c->e->conf->id);
    }
}

/* ---- the order in <root>/control ----------------------------------------------------------------------- */

void restart_read(struct elector *e)
{
    const json_t *found = json_object_get(orders_record(e->commands->orders), "restart");
    struct command_restart *restart = &e->commands->restart;

    snprintf(restart->id, sizeof(restart->id), "%.32s", record_text(found, "id"));
    restart->epoch = command_number(found, "epoch", 0);
    restart->expires_zk = command_number(found, "expires_zk_ms", 0);
    restart->there = restart->id[0] != '\0' && restart->epoch > 0;
}

void restart_orders(struct elector *e, struct core_orders *orders)
{
    const struct command_restart *restart = &e->commands->restart;
    int64_t now;

    if (restart->there && command_zk_now(e, &now) && now < restart->expires_zk)
        orders->restart = restart->epoch;
}

static enum orders_edit end_edit(void *arg, json_t *record, char why[static 256])
{
    const struct elector *e = arg;
    const json_t *there = json_object_get(record, "restart");

    why[0] = '\0';
    if (strcmp(record_text(there, "id"), e->commands->restart.id) != 0)
        return ORDERS_SO; /* another member was quicker, or it is another one */
    (void)json_object_del(record, "restart");
    return ORDERS_WRITE;
}

static void ended(void *arg, enum orders_outcome outcome, const char *why)
{
    const struct elector *e = arg;

    if (outcome != ORDERS_DONE)
        log_debug("the end of a restart is not written down: %s", why);
    e->commands->restart_ending = false;
}

void restart_look(struct elector *e)
{
    struct command_table *t = e->commands;
    const struct core *core = &e->core;
    int64_t now;

    if (!t->restart.there || t->restart_ending || !core->connected || !command_zk_now(e, &now))
        return;
    bool under_way = core->command.restarting || command_running(e, COMMAND_RESTART, NULL) != NULL;
    bool serves = core->leading && core->serving && core->epoch >= t->restart.epoch && !under_way;
    if (serves || now >= t->restart.expires_zk)
        t->restart_ending = orders_change(t->orders, end_edit, ended, e);
}
