/* held.c - see the header. Decides nothing: hcore.c does. */
#include "held.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "breach.h"
#include "keeper_internal.h"
#include "livy-ha/clock.h"
#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"
#include "stamp.h"

#define STAMP_WITHIN 10000 /* ms */
#define LOOK_WITHIN 5000   /* ms */
#define OPEN_WITHIN 2000   /* ms: the agent's thread is no Java thread and has nothing else to do */
#define LOCK_WITHIN 5      /* ms: who only looks at the lock has it for microseconds */
#define HELD_SILENT "; its agent had not said a word: does livy.command pass LIVY_SERVER_JAVA_OPTS on?"
#define AWAIT_WITHIN 50 /* ms that a START waits for what a look for it finds */

static const char *const state_names[] = {"none", "none", "warming", "held", "killed"};

static void step(struct keeper *k, struct hcore_event event);

static struct hcore_config config_of(const struct conf *conf)
{
    return (struct hcore_config){.wanted = conf->livy.standby == CONF_STANDBY_HOT,
                                 .max_age = conf->livy.held_max_age,
                                 .start_within = conf->livy.start_timeout};
}

/* ---- its descriptors ----------------------------------------------------------------------------------- */

static void close_lock(struct held *h)
{
    if (h->lock >= 0)
        close(h->lock);
    h->lock = -1;
}

void held_listen(struct keeper *k, int channel)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = channel};

    if (channel >= 0 && epoll_ctl(k->epoll, EPOLL_CTL_ADD, channel, &event) != 0)
        log_warn("Livy's agent is not heard: epoll_ctl: %s", strerror(errno));
}

static void deaf(const struct keeper *k, int channel)
{
    if (channel >= 0)
        (void)epoll_ctl(k->epoll, EPOLL_CTL_DEL, channel, NULL);
}

/* What is left of one that is dead, or was never begun. */
static void forget(struct keeper *k)
{
    struct held *h = &k->held;

    deaf(k, h->guard.channel);
    guard_close(&h->guard);
    close_lock(h);
    child_forget(&h->child);
}

/* ---- starting and ending it ---------------------------------------------------------------------------- */

static bool open_all(struct keeper *k, char *why, size_t size)
{
    struct held *h = &k->held;
    char path[PATH_MAX];

    if (guard_open(&h->guard, CLOCK_NEVER) != 0) {
        snprintf(why, size, "its gate could not be made: %s", strerror(errno));
        return false;
    }
    if (lockfile_livy_path(k->conf->runtime_dir, path, sizeof(path)) != 0 ||
        (h->lock = lockfile_open(path)) < 0) {
        snprintf(why, size, "Livy's lock file could not be opened: %s", strerror(errno));
        return false;
    }
    return true;
}

static void start(struct keeper *k)
{
    struct held *h = &k->held;
    char why[256];
    struct hcore_event event = {.type = HCORE_EV_STARTED, .text = why};
    struct child_order order = {.conf = k->conf,
                                .livyconf = k->livyconf,
                                .session_ms = k->core.session.timeout,
                                .kill_at = CLOCK_NEVER,
                                .guard = &h->guard,
                                .hold = true,
                                .after = -1,
                                .class_data = cds_starting(k),
                                .output = k->said.fd};

    if (open_all(k, why, sizeof(why))) {
        order.lock = h->lock;
        h->gated = 0;
        said_begin(&k->said); /* what it says from here on is its own: no other Livy lives beside it */
        if (child_livy(&order, &h->child, why, sizeof(why)) == 0)
            event.pid = h->child.pid;
    }
    guard_started(&h->guard);
    if (event.pid > 0)
        held_listen(k, h->guard.channel);
    else
        forget(k);
    step(k, event);
}

/* With what it has started (spark-submit --version), which is of its process group. Not reaped yet, so that
 * is surely its own. */
static void kill_it(const struct held *h)
{
    child_signal(&h->child, SIGKILL);
    if (h->child.pid > 0 && kill(-h->child.pid, SIGKILL) != 0 && errno != ESRCH)
        log_warn("what the held Livy (pid %d) has started could not be killed: %s", (int)h->child.pid,
                 strerror(errno));
}

static void look_at_files(struct keeper *k)
{
    struct held *h = &k->held;
    char why[256];

    if (h->stamp.pid != 0) {
        step(k, (struct hcore_event){
                    .type = HCORE_EV_STAMPED,
                    .text = "the files of livy.conf_dir and livy.home are still being looked at: "
                            "does their file system answer?"});
    } else if (stamp_begin(k->conf, &h->stamp, why, sizeof(why)) == 0) {
        h->stamp_by = clock_boot_ms() + STAMP_WITHIN;
    } else {
        step(k, (struct hcore_event){.type = HCORE_EV_STAMPED, .text = why});
    }
}

/* It has ended, and was reaped. */
static void stamped(struct keeper *k)
{
    struct held *h = &k->held;
    char why[256] = "";
    struct hcore_event event = {.type = HCORE_EV_STAMPED, .text = why};

    bool owed = h->stamp_by != CLOCK_NEVER;
    (void)stamp_read(&h->stamp, &event.stamp, why, sizeof(why));
    child_forget(&h->stamp);
    h->stamp_by = CLOCK_NEVER;
    if (owed)
        step(k, event);
}

/* START has come while the look for it is under way, which takes a few milliseconds where the files' host
 * answers at all: the loop may stand still for so long, as no Livy runs whose lease could end meanwhile. */
static void await_look(struct keeper *k)
{
    struct held *h = &k->held;
    int64_t until = clock_boot_ms() + AWAIT_WITHIN, left;
    int status;

    while (h->core.looking && h->stamp.pid != 0 && (left = until - clock_boot_ms()) > 0) {
        struct pollfd look = {.fd = h->stamp.pidfd, .events = POLLIN};
        if (poll(&look, 1, (int)left) > 0 && waitpid(h->stamp.pid, &status, WNOHANG) == h->stamp.pid)
            stamped(k);
    }
}

/* ---- what it does -------------------------------------------------------------------------------------- */

/* Only a Java that is not known to have the agent is worth a look, so there are one or two. */
static void look_for_java(struct keeper *k, const struct breach_of *of)
{
    struct held *h = &k->held;
    struct breach_javas javas;
    char why[256];

    if (h->look.pid != 0)
        return;
    breach_find_java(of, &javas);
    if (javas.n == 0 || (javas.n == 1 && javas.pids[0] == h->gated))
        return;
    h->looked_at = h->child.pid;
    if (breach_look_begin(&javas, &h->look, why, sizeof(why)) == 0)
        h->look_by = clock_boot_ms() + LOOK_WITHIN;
    else
        log_warn("the held Livy (pid %d) could not be looked at: %s", (int)h->child.pid, why);
}

static void looked(struct keeper *k)
{
    struct held *h = &k->held;
    struct breach_seen seen = breach_look_read(&h->look);

    child_forget(&h->look);
    h->look_by = CLOCK_NEVER;
    if (h->child.pid == 0 || h->child.pid != h->looked_at)
        return; /* it was ended, or let go, meanwhile */
    h->gated = seen.gated;
    if (seen.ungated != 0)
        step(k, (struct hcore_event){.type = HCORE_EV_BREACH, .text = HCORE_UNGATED});
}

static void check(struct keeper *k, bool gated)
{
    const struct held *h = &k->held;
    const int ports[] = {k->conf->livy.port, k->conf->front.thrift_port};
    pid_t ours[ORPHANS_SPARE];
    const struct breach_of of = {.pid = h->child.pid, .ours = ours, .n_ours = ORPHANS_SPARE};
    char text[IPC_TEXT_SIZE];

    if (h->child.pid == 0)
        return;
    keeper_children(k, ours);
    if (!gated)
        look_for_java(k, &of);
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        if (!breach_listens(&of, ports[i]))
            continue;
        snprintf(text, sizeof(text), "it listened on port %d while it was held (pid %d, killed)%s", ports[i],
                 (int)h->child.pid, gated ? "" : HELD_SILENT);
        step(k, (struct hcore_event){.type = HCORE_EV_BREACH, .text = text});
        return;
    }
}

static void hear_held(struct keeper *k)
{
    struct held *h = &k->held;
    struct gate_msg msg;
    int rc = 0;

    while (h->guard.channel >= 0 && (rc = guard_hear(&h->guard, &msg)) == 1) {
        if (msg.type == GATE_HELD || msg.type == GATE_LOADED)
            check(k, true); /* before it counts as held */
        step(k, (struct hcore_event){
                    .type = HCORE_EV_SAID, .message = msg.type, .count = msg.count, .text = msg.text});
    }
    if (rc >= 0)
        return;
    bool garbled = errno == EBADMSG;
    deaf(k, h->guard.channel);
    if (garbled)
        step(k, (struct hcore_event){.type = HCORE_EV_GARBLED});
}

static void recorded(struct keeper *k, const struct gate_msg *msg)
{
    if (msg->count == 0) {
        log_warn("Livy's classes could not be written down (%s): the next start is slower for it", msg->text);
        return;
    }
    log_info("Livy's %u classes are written down for the next one", msg->count);
    cds_recorded(k);
}

static void hear_livy(struct keeper *k)
{
    struct gate_msg msg;
    int rc;

    while ((rc = guard_hear(&k->guard, &msg)) == 1) {
        if (msg.type == GATE_READY)
            k->held.unproven = false;
        else if (msg.type == GATE_REFUSED)
            snprintf(k->held.refusal, sizeof(k->held.refusal), "%s", msg.text);
        else if (msg.type == GATE_OPENED)
            k->held.open_by = CLOCK_NEVER;
        else if (msg.type == GATE_RECORDED)
            recorded(k, &msg);
    }
    if (rc < 0)
        deaf(k, k->guard.channel);
}

bool held_readable(struct keeper *k, int fd)
{
    if (fd >= 0 && fd == k->held.guard.channel)
        hear_held(k);
    else if (fd >= 0 && fd == k->guard.channel)
        hear_livy(k);
    else
        return false;
    return true;
}

void held_ending(struct keeper *k, pid_t pid)
{
    if (pid <= 0 || pid != k->held.child.pid)
        return;
    hear_held(k); /* its last words */
    kill_it(&k->held);
}

bool held_reaped(struct keeper *k, pid_t pid, int status)
{
    struct held *h = &k->held;
    char text[LIVYEND_TEXT_SIZE];
    struct livyend end = {0};

    if (pid == h->stamp.pid) {
        stamped(k);
        return true;
    }
    if (pid == h->look.pid) {
        looked(k);
        return true;
    }
    if (pid != h->child.pid)
        return false;
    child_read_status(&h->child, text, sizeof(text));
    if (h->core.state == HCORE_WARMING && text[0] == '\0')
        cds_held_ended(k, &h->child, status);
    if (k->livy.pid == 0) /* else what comes out is that one's, which has been started cold and lives */
        said_ended(&k->said, clock_boot_ms(), &end);
    if (text[0] == '\0' && status < 256 && status != GATE_EXIT_REFUSED)
        livyend_text(&end, text);
    forget(k);
    step(k, (struct hcore_event){.type = HCORE_EV_EXITED, .status = status, .text = text});
    return true;
}

/* ---- letting it go ------------------------------------------------------------------------------------- */

/* From here on the lock is that process's for life: what it has open is what is locked. */
static bool lock_and_open(struct keeper *k)
{
    struct held *h = &k->held;

    int again = lockfile_lock_within(h->lock, LOCK_WITHIN);
    if (again > 0)
        log_info("Livy's lock was held by somebody for a moment (%d ms)", again);
    if (again < 0) {
        log_warn("Livy's lock is not to be had (%s): the held Livy (pid %d) is not let go", strerror(errno),
                 (int)h->child.pid);
        return false;
    }
    guard_lease(&h->guard, k->core.kill_at); /* before the word: what is open has a deadline */
    if (guard_let_go(&h->guard, k->core.kill_at))
        return true;
    log_warn("the held Livy (pid %d) does not take the word that lets it go (%s)", (int)h->child.pid,
             strerror(errno));
    lockfile_unlock(h->lock);
    return false;
}

bool held_let_go(struct keeper *k, int *after)
{
    struct held *h = &k->held;

    await_look(k);
    if (!hcore_current(&h->core) || h->child.pid == 0 || !lock_and_open(k)) {
        step(k, (struct hcore_event){.type = HCORE_EV_LIVY, .there = true}); /* ends it, where there is one */
        *after = h->child.pidfd;
        return false;
    }
    close_lock(h); /* its own from here on: one that stays with a keeper that stands still is never free */
    log_info("the held Livy (pid %d, %s) is let go", (int)h->child.pid, state_names[h->core.state]);
    if (h->core.ready) /* else it answers once its Java has come that far; livy.start_timeout limits that */
        h->open_by = clock_boot_ms() + OPEN_WITHIN;
    h->unanswered = false;
    h->unproven = !h->core.ready;
    h->refusal[0] = '\0';
    k->livy = h->child;
    k->guard = h->guard;
    h->child = (struct child){.pidfd = -1, .status = -1};
    h->guard = (struct guard)GUARD_NONE;
    step(k, (struct hcore_event){.type = HCORE_EV_TAKEN});
    return true;
}

/* Why the one that was let go could not have been held; NULL: nothing says that. */
static const char *unfit(const struct held *h, int status)
{
    if (!h->unproven)
        return NULL;
    if (h->refusal[0] != '\0')
        return h->refusal;
    if (status == 256 + SIGPROF)
        return HCORE_UNGATED;
    return status == GATE_EXIT_REFUSED ? HCORE_NO_AGENT : NULL;
}

void held_blame(struct keeper *k, int status, char *text, size_t size, struct livyend *end)
{
    struct held *h = &k->held;

    if (h->unproven)
        hear_livy(k); /* its last words */
    const char *why = text[0] == '\0' ? unfit(h, status) : NULL;
    if (h->unanswered && text[0] == '\0')
        snprintf(text, size,
                 "the Livy that was held did not answer within %d ms of being let go, and was killed",
                 OPEN_WITHIN);
    if (why != NULL) {
        end->why = LIVYEND_UNHELD;
        snprintf(end->line, sizeof(end->line), "%.*s", (int)sizeof(end->line) - 1, why);
        step(k, (struct hcore_event){.type = HCORE_EV_UNFIT, .text = why});
    }
    h->unanswered = h->unproven = false;
    h->open_by = CLOCK_NEVER;
}

/* ---- the world ----------------------------------------------------------------------------------------- */

void held_changed(struct keeper *k, const struct ipc_msg *msg)
{
    struct held *h = &k->held;

    if (msg->run > IPC_ROLE_DRAINED)
        return;
    step(k, (struct hcore_event){.type = HCORE_EV_ROLE, .role = msg->run});
    if (msg->code == 0 || k->core.livy != KCORE_RUNNING || h->recorded == k->core.run)
        return;
    cds_served(k);
    if (k->conf->livy.standby != CONF_STANDBY_HOT && k->conf->livy.class_data_sharing != CONF_CDS_AUTO)
        return;
    h->recorded = k->core.run;
    guard_record(&k->guard);
}

void held_stepped(struct keeper *k)
{
    const struct hcore *core = &k->held.core;
    int64_t session = k->core.has_session ? k->core.session.timeout : 0;
    bool there = k->core.livy != KCORE_NONE;

    if (core->session != session)
        step(k, (struct hcore_event){.type = HCORE_EV_SESSION, .ms = session});
    if (core->livy != there)
        step(k, (struct hcore_event){.type = HCORE_EV_LIVY, .there = there});
    if (k->core.quitting && !core->quitting)
        step(k, (struct hcore_event){.type = HCORE_EV_QUIT});
}

void held_reloaded(struct keeper *k)
{
    struct hcore_config config = config_of(k->conf);
    step(k, (struct hcore_event){.type = HCORE_EV_RELOADED, .config = &config});
}

void held_ordered(struct keeper *k, const struct ipc_msg *msg)
{
    if (msg->type == IPC_RENEW)
        step(k, (struct hcore_event){.type = HCORE_EV_TURN});
    else if (msg->type == IPC_LOOK)
        step(k, (struct hcore_event){.type = HCORE_EV_LOOK});
}

static void tell(struct keeper *k, int code, const char *text)
{
    struct ipc_msg msg = {.type = IPC_HELD, .code = code, .run = hcore_renewing(&k->held.core) ? 1 : 0};

    snprintf(msg.text, sizeof(msg.text), "%s", text);
    if (k->core.elector_said_hello)
        helpers_tell(k, &msg, -1);
}

void held_welcomed(struct keeper *k)
{
    const char *text;
    int code = hcore_held(&k->held.core, &text);

    if (k->held.core.told >= 0) /* nothing was told of what was never wanted */
        tell(k, code, text);
}

/* ---- actions ------------------------------------------------------------------------------------------- */

static void log_state(const struct keeper *k, const struct hcore_action *a)
{
    if (k->held.child.pid != 0)
        log_info("held Livy %s -> %s: %s (pid %d)", state_names[a->old_state], state_names[a->state], a->text,
                 (int)k->held.child.pid);
    else
        log_info("held Livy %s -> %s: %s", state_names[a->old_state], state_names[a->state], a->text);
}

static void perform(struct keeper *k, const struct hcore_action *a)
{
    switch (a->type) {
    case HCORE_ACT_STAMP:
        look_at_files(k);
        break;
    case HCORE_ACT_START:
        start(k);
        break;
    case HCORE_ACT_KILL:
        kill_it(&k->held);
        break;
    case HCORE_ACT_CHECK:
        check(k, a->gated);
        break;
    case HCORE_ACT_TELL: /* as it is by now: what came before this in the list may have told of more */
        held_welcomed(k);
        break;
    case HCORE_ACT_STATE:
        log_state(k, a);
        break;
    case HCORE_ACT_ALARM:
        log_error("%s", a->text);
        break;
    case HCORE_ACT_WARN:
        log_warn("%s", a->text);
        break;
    }
}

static void step(struct keeper *k, struct hcore_event event)
{
    struct hcore_actions actions;

    hcore_step(&k->held.core, &event, clock_boot_ms(), &actions);
    for (size_t i = 0; i < actions.count; i++)
        perform(k, &actions.list[i]);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

void held_time(struct keeper *k)
{
    struct held *h = &k->held;
    int64_t now = clock_boot_ms();

    if (now >= h->stamp_by) {
        h->stamp_by = CLOCK_NEVER;
        child_signal(&h->stamp, SIGKILL);
        step(k, (struct hcore_event){
                    .type = HCORE_EV_STAMPED,
                    .text = "the files of livy.conf_dir and livy.home could not be looked at within "
                            "10 s: does their file system answer?"});
    }
    if (now >= h->look_by) {
        h->look_by = CLOCK_NEVER;
        log_warn("the command line of the held Livy (pid %d) could not be read within %d ms",
                 (int)h->looked_at, LOOK_WITHIN);
        child_signal(&h->look, SIGKILL);
    }
    if (now >= h->open_by)
        hear_livy(k); /* the keeper may be what stood still */
    if (now >= h->open_by) {
        h->open_by = CLOCK_NEVER;
        h->unanswered = true;
        log_error(
            "the Livy that was held (pid %d) has not answered within %d ms of being let go (stopped? swapped "
            "out?): killing it",
            (int)k->livy.pid, OPEN_WITHIN);
        child_signal(&k->livy, SIGKILL);
    }
    if (h->child.pid != 0 && !h->core.ready)
        hear_held(k); /* what it has said counts before what it looks like */
    step(k, (struct hcore_event){.type = HCORE_EV_TIME});
}

int64_t held_next(const struct keeper *k, int64_t now)
{
    const struct held *h = &k->held;
    int64_t next = hcore_next(&h->core, now);

    if (h->stamp_by < next)
        next = h->stamp_by;
    if (h->look_by < next)
        next = h->look_by;
    return h->open_by < next ? h->open_by : next;
}

void held_open(struct keeper *k, int64_t now)
{
    struct hcore_config config = config_of(k->conf);

    k->held = (struct held){.child = {.pidfd = -1, .status = -1},
                            .stamp = {.pidfd = -1, .status = -1},
                            .look = {.pidfd = -1, .status = -1},
                            .guard = GUARD_NONE,
                            .lock = -1,
                            .stamp_by = CLOCK_NEVER,
                            .look_by = CLOCK_NEVER,
                            .open_by = CLOCK_NEVER};
    hcore_init(&k->held.core, &config, k->conf->id, now);
}

void held_close(struct keeper *k)
{
    kill_it(&k->held);
    child_signal(&k->held.stamp, SIGKILL);
    child_forget(&k->held.stamp);
    child_signal(&k->held.look, SIGKILL);
    child_forget(&k->held.look);
    forget(k);
}
