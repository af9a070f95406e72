/* kcore_elector.c - what the elector says, and its life: spawned, welcomed, watched, respawned. Pure: see
 * kcore.h. Livy's part in it is kcore.c's, the daemon's end kcore_stop.c's.
 */
#include "kcore_internal.h"
#include "livy-ha/clock.h"

#define PING_INTERVAL 10000 /* ms; an idle keeper wakes for this and systemd's watchdog alone */
#define PONG_WITHIN 2000
#define ELECTOR_STEADY 10000 /* ms that an elector must live for its death to count as the first */
#define RESPAWN_LEASED 200   /* the longest delay while Livy runs: its lease is not renewed meanwhile */
#define MUTE_LIMIT 6         /* electors in a row that end without a word: it cannot be run here */

/* ---- what it says -------------------------------------------------------------------------------------- */

static void session(struct kstep *s, const struct ipc_msg *msg)
{
    struct kcore *k = s->k;

    if (k->left)
        return; /* rule 4: it was told to close it, so nobody may take it up again */
    if (msg->session.id != k->session.id)
        k->last_epoch = 0; /* czxids of another ensemble's life may be smaller */
    k->session = msg->session;
    k->has_session = msg->session.id != 0;
}

/* Answered also where there is nothing to do any more: a keeper that does not answer counts as stuck. Of a
 * Livy that is not there at all the end was told. */
static void order_stop(struct kstep *s, const struct ipc_msg *msg)
{
    enum kcore_livy before = s->k->livy;

    kcore_livy_stop(s, msg->grace, msg->text);
    if (s->k->livy == before && before != KCORE_NONE)
        kcore_tell(s, IPC_LIVY);
}

/* The number tells the elector that all that it had sent before has been read. */
static void answer(struct kstep *s, uint32_t number)
{
    if (!s->k->elector_said_hello)
        return;
    struct kcore_action *a = kcore_act(s, KCORE_ACT_SEND);
    a->message = IPC_LIVY;
    a->answer = number;
}

void kcore_elector_message(struct kstep *s, const struct kcore_event *event)
{
    struct kcore *k = s->k;
    const struct ipc_msg *msg = event->msg;

    k->pong_by = CLOCK_NEVER;
    switch ((enum ipc_type)msg->type) {
    case IPC_HELLO:
        k->elector_said_hello = true;
        k->elector_mute = 0;
        k->releasing = k->left = false;
        {
            struct kcore_action *a = kcore_act(s, KCORE_ACT_SEND);
            a->message = IPC_WELCOME;
            a->with_pidfd = kcore_livy_running(k) || k->livy == KCORE_KILLED;
        }
        break;
    case IPC_READY:
        if (!k->ready && !k->quitting)
            kcore_act(s, KCORE_ACT_READY);
        k->ready = true;
        break;
    case IPC_START:
        kcore_livy_start(s, event);
        break;
    case IPC_LEASE:
        kcore_livy_lease(s, msg);
        break;
    case IPC_STOP:
        order_stop(s, msg);
        break;
    case IPC_ASK:
        answer(s, msg->run);
        break;
    case IPC_SESSION:
        session(s, msg);
        break;
    case IPC_RELEASING:
        k->releasing = true;
        kcore_stop_grant_leave(s);
        break;
    case IPC_STATUS:
        kcore_say(kcore_act(s, KCORE_ACT_STATUS)->text, "%s", msg->text);
        break;
    case IPC_PONG:
    case IPC_CHANGED: /* the hook's, which is none of the machine's business */
    case IPC_RENEW:   /* these two are hcore.h's */
    case IPC_LOOK:
        break;
    case IPC_FATAL:
        kcore_stop_fatal(s, msg->code);
        break;
    case IPC_FENCE:
        kcore_fence_order(s, msg);
        break;
    case IPC_REQUEST: {
        struct kcore_action *a = kcore_act(s, KCORE_ACT_REQUEST);
        a->code = msg->code;
        a->number = msg->run;
        kcore_say(a->text, "%s", msg->text);
        break;
    }
    case IPC_WELCOME:
    case IPC_LIVY:
    case IPC_LEASED:
    case IPC_QUIT:
    case IPC_LEAVE:
    case IPC_RELOAD:
    case IPC_PING:
    case IPC_FENCED:
    case IPC_PEER:
    case IPC_ANSWER:
    case IPC_HANDOVER:
    case IPC_RETIRE:
    case IPC_HELD:
        break; /* ours to send */
    }
}

/* ---- its life ------------------------------------------------------------------------------------------ */

/* One that cannot be run at all (not installed, a library that is missing) must not be tried for ever in
 * silence. */
static bool elector_hopeless(struct kstep *s, bool said_hello)
{
    struct kcore *k = s->k;

    if (said_hello)
        return false;
    if (k->elector_mute < MUTE_LIMIT)
        k->elector_mute++;
    if (k->elector_mute < MUTE_LIMIT)
        return false;
    if (kcore_livy_running(k) && !k->quitting)
        return false; /* what is lacking may come back before the lease ends; Livy serves until then */
    if (k->exit_code == 0) {
        kcore_say(
            kcore_act(s, KCORE_ACT_ALARM)->text,
            "the elector has ended %d times in a row without a word, so it cannot be run here: giving up "
            "with status 75. "
            "Run \"livy-ha-elector\" by hand to see why (not installed? a library missing? another version?)",
            MUTE_LIMIT);
        kcore_stop_fatal(s, 75);
        k->order_by = s->now; /* there is nobody to order Livy's stop */
    }
    k->spawn_at = CLOCK_NEVER;
    return true;
}

void kcore_elector_exited(struct kstep *s)
{
    static const int64_t delays[] = {0, 0, 100, 500, 1000, 2000, 5000};
    struct kcore *k = s->k;

    if (!k->elector_alive)
        return;
    bool done = k->left; /* it was let go: an orderly end, and the session is closed or expires */
    bool said_hello = k->elector_said_hello;
    k->elector_alive = k->elector_said_hello = false;
    k->releasing = k->left = false;
    k->pong_by = CLOCK_NEVER;
    if (k->quitting && (done || k->hurried || (k->livy == KCORE_NONE && !k->has_session))) {
        k->spawn_at = CLOCK_NEVER;
        return;
    }
    if (elector_hopeless(s, said_hello))
        return;
    if (said_hello && s->now - k->elector_since >= ELECTOR_STEADY)
        k->elector_failures = 0;
    else
        k->elector_failures++;
    size_t last = sizeof(delays) / sizeof(delays[0]) - 1;
    int64_t delay = delays[k->elector_failures < last ? k->elector_failures : last];
    if (kcore_livy_running(k) && delay > RESPAWN_LEASED)
        delay = RESPAWN_LEASED;
    k->spawn_at = s->now + delay;
}

/* ---- another one in its place ---------------------------------------------------------------------------
 */

const char *kcore_not_replaceable(const struct kcore *k)
{
    if (k->quitting)
        return "the daemon is stopping";
    if (k->releasing || k->left)
        return "the ZooKeeper session is just being closed: try again in a moment";
    if (k->livy != KCORE_NONE && k->livy != KCORE_RUNNING)
        return "Livy is just being stopped: try again once that is over";
    return NULL;
}

/* Rule 5 is kept by the caller: the old one has been reaped. Its last words have been read, so the session is
 * as it left it. */
void kcore_elector_replaced(struct kstep *s)
{
    struct kcore *k = s->k;

    k->elector_alive = true;
    k->elector_said_hello = k->releasing = k->left = false;
    k->elector_failures = k->elector_mute = 0;
    k->elector_since = s->now;
    k->spawn_at = CLOCK_NEVER;
    k->ping_at = s->now + PING_INTERVAL;
    k->pong_by = s->now + PING_INTERVAL;
}

void kcore_elector_watch(struct kstep *s)
{
    struct kcore *k = s->k;

    if (!k->elector_alive && s->now >= k->spawn_at) {
        kcore_act(s, KCORE_ACT_SPAWN_ELECTOR);
        k->elector_alive = true;
        k->elector_since = s->now;
        k->spawn_at = CLOCK_NEVER;
        k->ping_at = s->now + PING_INTERVAL;
        k->pong_by = s->now + PING_INTERVAL; /* for its HELLO */
    }
    if (!k->elector_alive)
        return;
    if (s->now >= k->pong_by) {
        kcore_act(s, KCORE_ACT_KILL_ELECTOR);
        k->pong_by = CLOCK_NEVER;
        k->ping_at = s->now + PING_INTERVAL;
    } else if (s->now >= k->ping_at && k->elector_said_hello) {
        kcore_tell(s, IPC_PING);
        if (k->pong_by == CLOCK_NEVER)
            k->pong_by = s->now + PONG_WITHIN;
        k->ping_at = s->now + PING_INTERVAL;
    }
}
