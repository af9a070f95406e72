/* upgrade.c - see the header. Decides nothing: ucore.c does. */
#include "upgrade.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "keeper_internal.h"
#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "livy-ha/packet.h"

static const struct upgrade_candidate no_candidate = {
    .program = {.fd = -1}, .child = {.pidfd = -1, .status = -1}, .channel = -1};

static void step(struct keeper *k, struct ucore_event event);

/* ---- those that are tried --------------------------------------------------------------------------------
 */

static void failed(struct keeper *k, enum ucore_who who, const char *why)
{
    step(k, (struct ucore_event){.type = UCORE_EV_FAILED, .who = who, .text = why});
}

static int start_one(struct keeper *k, enum ucore_who who, char *why, size_t size)
{
    struct upgrade_candidate *c = &k->upgrade.fresh[who];
    char argument[128];
    int pair[2], rc;

    c->hello = (struct ipc_msg){0};
    c->conf = k->reloads;
    if (child_program_open(&c->program, ucore_program(who), why, size) != 0)
        return -1;
    if (packet_pair(pair) != 0) {
        snprintf(why, size, "socketpair: %s", strerror(errno));
        return -1;
    }
    if (who == UCORE_ELECTOR)
        rc = child_elector(&c->program, k->conf, k->livyconf, pair[1], k->lock,
                           upgrade_argument(k, argument, sizeof(argument)), true, &c->child, why, size);
    else
        rc = child_relay(&c->program, k->conf, pair[1], true, &c->child, why, size);
    close(pair[1]);
    c->channel = pair[0];
    struct epoll_event event = {.events = EPOLLIN, .data.fd = c->channel};
    if (rc == 0 && epoll_ctl(k->epoll, EPOLL_CTL_ADD, c->channel, &event) != 0) {
        snprintf(why, size, "epoll_ctl: %s", strerror(errno));
        return -1;
    }
    return rc;
}

static void start(struct keeper *k)
{
    char why[256], text[IPC_TEXT_SIZE];

    k->upgrade.fresh[UCORE_RELAY].hello = (struct ipc_msg){0};
    for (enum ucore_who who = UCORE_ELECTOR; who <= UCORE_RELAY; who++) {
        if (who == UCORE_RELAY && !k->upgrade.core.relay)
            continue;
        if (start_one(k, who, why, sizeof(why)) != 0) {
            snprintf(text, sizeof(text), "could not be started: %.200s", why);
            failed(k, who, text);
            return;
        }
        log_info("upgrade: %s is tried, pid %d", k->upgrade.fresh[who].program.path,
                 (int)k->upgrade.fresh[who].child.pid);
    }
}

/* Its process is reaped like any other, and known by its pid until then. */
static void drop(struct upgrade_candidate *c)
{
    child_signal(&c->child, SIGKILL);
    if (c->channel >= 0)
        close(c->channel);
    c->channel = -1;
    child_program_close(&c->program);
    child_forget(&c->child);
}

/* ---- what ucore.c asks for -------------------------------------------------------------------------------
 */

/* One end for each: what goes over it is no concern of the keeper's. */
static void hand_listeners_over(struct keeper *k)
{
    struct upgrade_candidate *c = &k->upgrade.fresh[UCORE_RELAY];
    struct ipc_msg to_old = {.type = IPC_HANDOVER}, to_new = to_old;
    int pair[2];

    if (packet_pair(pair) != 0) {
        failed(k, UCORE_RELAY, strerror(errno));
        return;
    }
    relay_send(k, &to_old, pair[0]);
    int rc = ipc_send(c->channel, &to_new, pair[1]);
    close(pair[0]);
    close(pair[1]);
    if (rc != 0)
        failed(k, UCORE_RELAY, "does not take messages");
}

static void commit_relay(struct keeper *k)
{
    struct upgrade *u = &k->upgrade;
    struct upgrade_candidate *c = &u->fresh[UCORE_RELAY];
    struct ipc_msg retire = {.type = IPC_RETIRE};

    relay_send(k, &retire, -1);
    epoll_ctl(k->epoll, EPOLL_CTL_DEL, k->relay.channel, NULL);
    u->retired = k->relay.child; /* its channel stays open: without a keeper it would end at once */
    u->retired_channel = k->relay.channel;
    child_program_close(&k->program[UCORE_RELAY]);
    k->program[UCORE_RELAY] = c->program;
    relay_replace(k, &c->child, c->channel);
    if (c->conf != k->reloads)
        helpers_reload_relay(k);
    *c = no_candidate;
    log_info("relay -> pid %d: upgraded; pid %d ends what runs there", (int)k->relay.child.pid,
             (int)u->retired.pid);
    if (u->retired.pid == 0) /* it has crashed since */
        step(k, (struct ucore_event){.type = UCORE_EV_GONE});
}

static void commit(struct keeper *k)
{
    struct upgrade *u = &k->upgrade;

    child_program_close(&u->before);
    u->office = false;
    if (u->core.relay)
        commit_relay(k);
    helpers_pair(k);
}

static void revert(struct keeper *k)
{
    struct upgrade *u = &k->upgrade;

    if (!u->office)
        return; /* the old one has been killed, and is followed by its own program */
    child_program_close(&k->program[UCORE_ELECTOR]);
    k->program[UCORE_ELECTOR] = u->before;
    u->before.fd = -1;
    u->office = false;
    child_signal(&k->elector, SIGKILL);
}

static void tell(struct keeper *k, const struct ucore_action *a)
{
    struct ipc_msg msg = {.type = IPC_ANSWER, .run = a->number, .code = a->code};

    if (a->code == IPC_ANSWER_FAILED)
        log_error("upgrade: %s", a->text);
    else
        log_info("upgrade: %s", a->text);
    snprintf(msg.text, sizeof(msg.text), "%s", a->text);
    if (a->number != 0 && k->core.elector_said_hello && k->channel >= 0 &&
        ipc_send(k->channel, &msg, -1) != 0)
        log_debug("the elector does not take an answer: %s", strerror(errno));
}

static void perform(struct keeper *k, const struct ucore_action *a)
{
    switch (a->type) {
    case UCORE_ACT_START:
        start(k);
        break;
    case UCORE_ACT_LISTEN:
        hand_listeners_over(k);
        break;
    case UCORE_ACT_SWAP:
        child_signal(&k->elector, SIGKILL);
        break;
    case UCORE_ACT_COMMIT:
        commit(k);
        break;
    case UCORE_ACT_REVERT:
        revert(k);
        break;
    case UCORE_ACT_DROP:
        drop(&k->upgrade.fresh[UCORE_ELECTOR]);
        drop(&k->upgrade.fresh[UCORE_RELAY]);
        break;
    case UCORE_ACT_CUT:
        log_warn("the relay that was replaced (pid %d) does not end: killing it",
                 (int)k->upgrade.retired.pid);
        child_signal(&k->upgrade.retired, SIGKILL);
        break;
    case UCORE_ACT_TELL:
        tell(k, a);
        break;
    }
}

static void step(struct keeper *k, struct ucore_event event)
{
    struct ucore_actions actions;
    struct ucore *core = &k->upgrade.core;
    enum ucore_state before = core->state;
    int64_t now = clock_boot_ms();

    event.lease_left = kcore_lease_left(&k->core, now);
    ucore_step(core, &event, now, &actions);
    if (core->state != before)
        log_debug("upgrade %s -> %s", ucore_state_name(before), ucore_state_name(core->state));
    for (size_t i = 0; i < actions.count; i++)
        perform(k, &actions.list[i]);
}

/* ---- events ----------------------------------------------------------------------------------------------
 */

void upgrade_open(struct keeper *k)
{
    struct upgrade *u = &k->upgrade;

    *u = (struct upgrade){.fresh = {no_candidate, no_candidate},
                          .before = no_candidate.program,
                          .retired = no_candidate.child,
                          .retired_channel = -1};
    ucore_init(&u->core);
}

void upgrade_close(struct keeper *k)
{
    struct upgrade *u = &k->upgrade;

    drop(&u->fresh[UCORE_ELECTOR]);
    drop(&u->fresh[UCORE_RELAY]);
    child_program_close(&u->before);
    child_signal(&u->retired, SIGKILL);
    child_forget(&u->retired);
    if (u->retired_channel >= 0)
        close(u->retired_channel);
}

static const char *refusal(const struct keeper *k, char *text, size_t size)
{
    const char *why = kcore_not_replaceable(&k->core);

    if (why != NULL)
        return why;
    if (!k->core.elector_said_hello)
        return "the elector is just being started: try again in a moment";
    if (!k->relay.core.wanted)
        return NULL;
    if (!k->relay.core.up || !k->relay.core.said_hello)
        return "the relay is just being started: try again in a moment";
    if (k->upgrade.retired.pid == 0)
        return NULL;
    snprintf(text, size,
             "the relay of the upgrade before (pid %d) still ends what runs there: try again in a minute",
             (int)k->upgrade.retired.pid);
    return text;
}

void upgrade_begin(struct keeper *k, uint32_t number, const char *id)
{
    struct upgrade *u = &k->upgrade;
    char text[IPC_TEXT_SIZE];
    const char *why = refusal(k, text, sizeof(text));

    if (why != NULL && u->core.state == UCORE_IDLE) {
        struct ucore_action refused = {.code = IPC_ANSWER_FAILED, .number = number};
        snprintf(refused.text, sizeof(refused.text), "%s", why);
        tell(k, &refused);
        return;
    }
    if (u->core.state == UCORE_IDLE) {
        snprintf(u->id, sizeof(u->id), "%s", id);
        u->office = u->ready = u->ponged = u->leased = false;
    }
    step(k, (struct ucore_event){.type = UCORE_EV_BEGIN, .number = number, .relay = k->relay.core.wanted});
}

void upgrade_time(struct keeper *k)
{
    const char *why = kcore_not_replaceable(&k->core);

    if (k->upgrade.core.state == UCORE_IDLE && k->upgrade.retired.pid == 0)
        return;
    if (why != NULL)
        step(k, (struct ucore_event){.type = UCORE_EV_FORBID, .text = why});
    step(k, (struct ucore_event){.type = UCORE_EV_TIME});
}

/* A hello that is not one is of a version with other messages. */
static void garbled(struct keeper *k, enum ucore_who who)
{
    failed(k, who,
           "speaks another protocol than this livy-ha: restart the daemon (after a switchover, where it is "
           "active)");
}

static void heard_candidate(struct keeper *k, enum ucore_who who)
{
    struct upgrade_candidate *c = &k->upgrade.fresh[who];
    struct ipc_msg msg;
    int fd, rc = 0;

    while (c->channel >= 0 && (rc = ipc_recv(c->channel, &msg, &fd)) == 1) {
        if (fd >= 0)
            close(fd);
        if (msg.type == IPC_HELLO)
            c->hello = msg;
        const struct ipc_msg *other = &k->upgrade.fresh[1 - who].hello;
        if (msg.type == IPC_HELLO && other->type == IPC_HELLO && other->run != msg.run) {
            failed(k, who, "and the other program are of two versions that do not understand each other");
            return;
        }
        step(k,
             (struct ucore_event){.type = UCORE_EV_SAID, .who = who, .message = msg.type, .text = msg.text});
    }
    int error = errno;
    if (c->channel < 0 || rc == 0)
        return;
    epoll_ctl(k->epoll, EPOLL_CTL_DEL, c->channel,
              NULL); /* where it has ended, that is told when it is reaped */
    if (error != EPIPE && error != ECONNRESET)
        garbled(k, who);
}

bool upgrade_readable(struct keeper *k, int fd)
{
    for (enum ucore_who who = UCORE_ELECTOR; who <= UCORE_RELAY; who++) {
        if (fd < 0 || k->upgrade.fresh[who].channel != fd)
            continue;
        heard_candidate(k, who);
        return true;
    }
    return false;
}

bool upgrade_reaped(struct keeper *k, pid_t pid, int status)
{
    struct upgrade *u = &k->upgrade;
    char text[IPC_TEXT_SIZE];

    for (enum ucore_who who = UCORE_ELECTOR; who <= UCORE_RELAY; who++) {
        struct upgrade_candidate *c = &u->fresh[who];
        if (c->child.pid == 0 || c->child.pid != pid)
            continue;
        heard_candidate(k, who); /* its last words may say why */
        if (c->child.pid != pid)
            return true;
        child_forget(&c->child);
        if (status >= 256)
            snprintf(text, sizeof(text), "was killed by signal %d", status - 256);
        else
            snprintf(text, sizeof(text), "ended with status %d%s%s", status,
                     c->hello.type == IPC_HELLO ? "" : " before it said a word",
                     status == 127 ? ": it cannot be run here (see the log)" : "");
        failed(k, who, text);
        return true;
    }
    if (u->retired.pid == 0 || u->retired.pid != pid)
        return false;
    log_info("the relay that was replaced (pid %d) has ended", (int)pid);
    child_forget(&u->retired);
    close(u->retired_channel);
    u->retired_channel = -1;
    step(k, (struct ucore_event){.type = UCORE_EV_GONE});
    return true;
}

bool upgrade_take_office(struct keeper *k)
{
    struct upgrade *u = &k->upgrade;
    struct upgrade_candidate *c = &u->fresh[UCORE_ELECTOR];
    const char *why = kcore_not_replaceable(&k->core);
    struct ipc_msg hello;

    if (u->core.state == UCORE_SWAPPING && why != NULL)
        step(k, (struct ucore_event){.type = UCORE_EV_FORBID, .text = why});
    if (u->core.state == UCORE_PROVING)
        step(k, (struct ucore_event){.type = UCORE_EV_LOST});
    if (u->core.state != UCORE_SWAPPING)
        return false;
    k->elector = c->child;
    k->channel = c->channel;
    k->elector_conf = c->conf;
    u->before = k->program[UCORE_ELECTOR];
    k->program[UCORE_ELECTOR] = c->program;
    u->office = true;
    hello = c->hello;
    *c = no_candidate;
    c->hello = hello;
    log_info("elector -> pid %d: upgraded, it takes the session over", (int)k->elector.pid);
    keeper_step(k, &(struct kcore_event){.type = KCORE_EV_ELECTOR_REPLACED});
    keeper_step(k, &(struct kcore_event){.type = KCORE_EV_MESSAGE, .msg = &hello});
    step(k, (struct ucore_event){.type = UCORE_EV_SWAPPED});
    struct ipc_msg ping = {.type =
                               IPC_PING}; /* it comes behind WELCOME: its answer, that this was taken well */
    if (ipc_send(k->channel, &ping, -1) != 0)
        log_debug("the new elector does not take messages: %s",
                  strerror(errno)); /* nor will it prove itself */
    helpers_pair(k);
    return true;
}

/* In BACK until the old program says HELLO: until then what is read is of the one that is killed. */
bool upgrade_has_killed(const struct keeper *k)
{
    return k->upgrade.core.state == UCORE_SWAPPING || k->upgrade.core.state == UCORE_BACK;
}

bool upgrade_fatal(struct keeper *k, const struct ipc_msg *msg)
{
    if (upgrade_has_killed(k))
        return true;
    if (k->upgrade.core.state != UCORE_PROVING)
        return false;
    step(k, (struct ucore_event){
                .type = UCORE_EV_SAID, .who = UCORE_ELECTOR, .message = msg->type, .text = msg->text});
    return true;
}

void upgrade_heard(struct keeper *k, uint32_t message)
{
    struct upgrade *u = &k->upgrade;

    if (u->core.state == UCORE_BACK && message == IPC_HELLO)
        step(k, (struct ucore_event){.type = UCORE_EV_HELLO});
    if (u->core.state != UCORE_PROVING)
        return;
    u->ready = u->ready || message == IPC_READY;
    u->ponged = u->ponged || message == IPC_PONG;
    u->leased = u->leased || message == IPC_LEASE;
    if (u->ready && u->ponged && (u->leased || k->core.livy != KCORE_RUNNING))
        step(k, (struct ucore_event){.type = UCORE_EV_WORKS});
}

const char *upgrade_argument(const struct keeper *k, char *text, size_t size)
{
    const struct ucore *core = &k->upgrade.core;

    if (core->state == UCORE_IDLE)
        return NULL;
    snprintf(text, size, "%" PRIu32 "/%s", core->number, k->upgrade.id);
    return text;
}
