/* state.c - see state.h. What this file does not know of (a new member of struct core, say) is taken as it
 * stands: that costs time and hides nothing.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

#include "livy-ha/clock.h"

#define LONG_AGO 60000 /* ms: no rule looks further back */

struct digest {
    uint64_t value;
};

/* Both halves of a product of 128 bits: each bit of what comes in tells on all of what comes out (as wyhash
 * does it). */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static void mix(struct digest *d, uint64_t x)
{
    d->value = fold(d->value ^ x, UINT64_C(0x9e3779b97f4a7c15));
}

static void mix_bytes(struct digest *d, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t x[2];

    for (; size >= sizeof(x); bytes += sizeof(x), size -= sizeof(x)) {
        memcpy(x, bytes, sizeof(x));
        d->value = fold(x[0] ^ UINT64_C(0xc2b2ae3d27d4eb4f), x[1] ^ d->value);
    }
    x[0] = x[1] = 0;
    memcpy(x, bytes, size);
    mix(d, x[0]);
    if (size > sizeof(x[0]))
        mix(d, x[1]);
}

/* What of a struct is not taken byte by byte: texts (nobody reads what stands behind their end), and what is
 * mixed in elsewhere or left out. */
struct part {
    size_t at, size;
    bool text;
};
#define TEXT(type, member)                                                                                   \
    {                                                                                                        \
        offsetof(struct type, member), sizeof(((struct type *)NULL)->member), true                           \
    }
#define APART(type, member)                                                                                  \
    {                                                                                                        \
        offsetof(struct type, member), sizeof(((struct type *)NULL)->member), false                          \
    }

static void mix_text(struct digest *d, const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    mix(d, length);
    if (length > 0)
        mix_bytes(d, text, length);
}

/* `parts` are in the struct's own order. */
static void mix_struct(struct digest *d, const void *data, size_t size, const struct part *parts, size_t n)
{
    const char *bytes = data;
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        if (parts[i].at < at)
            abort(); /* one would be passed over */
        if (parts[i].at > at)
            mix_bytes(d, bytes + at, parts[i].at - at);
        if (parts[i].text)
            mix_text(d, bytes + parts[i].at, parts[i].size);
        at = parts[i].at + parts[i].size;
    }
    mix_bytes(d, bytes + at, size - at);
}

/* 0 stays "none", CLOCK_NEVER stays never. */
static int64_t relative(int64_t at, int64_t now)
{
    if (at == 0 || at == CLOCK_NEVER)
        return at;
    at -= now;
    if (at < -LONG_AGO)
        at = -LONG_AGO;
    return at == 0 ? INT64_MIN : at;
}

static void relate(int64_t *at, int64_t now)
{
    *at = relative(*at, now);
}

static void relate_livy(struct ipc_livy *livy, int64_t now)
{
    relate(&livy->kill_at, now);
    relate(&livy->started_at, now);
}

/* ---- the elector ------------------------------------------------------------------------------------- */

/* Only heartbeats that can still prove something: without an answer, or sent after the proof, or the newest
 * one that the quorum has answered. In the order of the ring. */
static void mix_beats(struct digest *d, const struct core *c, int64_t now)
{
    const struct core_beat *newest = NULL;

    for (size_t i = 0; i < CORE_BEATS; i++) {
        const struct core_beat *b = &c->beats[i];
        if (b->acked != 0 && (newest == NULL || b->sent > newest->sent))
            newest = b;
    }
    for (size_t i = 0; i < CORE_BEATS; i++) {
        const struct core_beat *b = &c->beats[(c->next_beat + i) % CORE_BEATS];
        if (b->op == 0 || (b->acked != 0 && b->sent <= c->proof && b != newest))
            continue;
        mix(d, b->acked == 0 ? c->last_op - b->op : UINT64_MAX);
        mix(d, (uint64_t)relative(b->sent, now));
        mix(d, (uint64_t)relative(b->acked, now));
        mix(d, b->node);
    }
}

static void relate_core(struct core *c, int64_t now)
{
    struct core_takeover *t = &c->takeover;
    int64_t *const times[] = {&c->floor,
                              &c->kick_at,
                              &c->connect_touch,
                              &c->suspended_at,
                              &c->outage_end,
                              &c->retry_at,
                              &c->list_at,
                              &c->beat_sent,
                              &c->proof,
                              &c->kill_at,
                              &c->lease_sent,
                              &c->leased,
                              &c->max_sent,
                              &c->unanswered,
                              &c->probe_at,
                              &c->start_at,
                              &c->rejoin_at,
                              &c->killed_at,
                              &c->close_by,
                              &t->won_at,
                              &t->ask_at,
                              &t->fence_at,
                              &t->fence_by,
                              &t->probe_at,
                              &t->probe_by,
                              &t->answering,
                              &c->asked_at,
                              &c->ordered_at,
                              &c->opened_at,
                              &c->late_at,
                              &c->backoff.told,
                              &c->backoff.left_since,
                              &c->command.quiesce_by,
                              &c->command.orders.paused_until};

    if (c->connected)
        c->suspended_at = c->kick_at = 0; /* set anew before they are looked at again */
    c->connected_at = c->connected_at != 0;
    if (c->served) /* all that counts of it then is whether an outage excuses its death */
        c->livy.started_at = c->outage_end != 0 && c->livy.started_at > c->outage_end ? CLOCK_NEVER : 0;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        relate(times[i], now);
    for (size_t i = 0; i < CORE_REQUESTS; i++) {
        c->pending[i] = c->pending[i] != 0 ? c->last_op - c->pending[i] + 1 : 0;
        c->pending_since[i] = c->pending[i] != 0 ? relative(c->pending_since[i], now) : 0;
    }
    if (t->probe_op != 0)
        t->probe_op = c->last_op - t->probe_op + 1;
    relate_livy(&c->livy, now);
}

static void mix_deaths(struct digest *d, const struct core_backoff *b, int64_t now)
{
    for (size_t i = 0; i < b->n; i++) {
        mix(d, (uint64_t)relative(b->list[i].at, now));
        mix(d, (uint64_t)b->list[i].member << 1 | b->list[i].gave_up);
    }
}

/* The texts that are apart are for people. */
static const struct part core_parts[] = {
    APART(core, last_op), /* requests count from it */
    TEXT(core, spare_uuid),
    TEXT(core, uuid),
    TEXT(core, node),
    TEXT(core, predecessor),
    TEXT(core, predecessor_id),
    TEXT(core, takeover.victim.tenure),
    TEXT(core, takeover.victim.member.id),
    TEXT(core, takeover.victim.member.host),
    TEXT(core, takeover.victim.member.url),
    TEXT(core, takeover.clear),
    TEXT(core, takeover.after),
    TEXT(core, takeover.fence_why),
    TEXT(core, stray),
    TEXT(core, ghost),
    APART(core, beats),     /* mix_beats */
    APART(core, next_beat), /* the same */
    APART(core, elected_at),
    APART(core, backoff.list), /* mix_deaths */
    APART(core, backoff.names),
    TEXT(core, backoff.heir),
    APART(core, livy_reason),
    APART(core, bar_reasons),
    APART(core, stand_reason),
    APART(core, quit_reason),
    APART(core, command.orders_text),
    APART(core, command.restart_text),
    APART(core, latency), /* for an alarm */
    APART(core, stepped_at),
    APART(core, reason),
    APART(core, published),
};

static void mix_core(struct digest *d, const struct core *core, int64_t now)
{
    struct core c = *core;

    mix_beats(d, &c, now);
    mix_deaths(d, &c.backoff, now);
    relate_core(&c, now);
    mix_struct(d, &c, sizeof(c), core_parts, sizeof(core_parts) / sizeof(core_parts[0]));
}

/* ---- the keeper, the channel ------------------------------------------------------------------------- */

static const struct part kcore_parts[] = {
    TEXT(kcore, fence.order.member.id),
    TEXT(kcore, fence.order.member.host),
    TEXT(kcore, fence.order.member.url),
    TEXT(kcore, fence.reason),
    APART(kcore, fence.text), /* for people */
    APART(kcore, text),       /* the same */
    TEXT(kcore, session.uuid),
    TEXT(kcore, session.node),
};

static void mix_kcore(struct digest *d, const struct kcore *kcore, int64_t now)
{
    struct kcore k = *kcore;
    int64_t *const times[] = {&k.kill_at,   &k.term_until,    &k.started_at, &k.killed_at,
                              &k.reaped_at, &k.elector_since, &k.spawn_at,   &k.ping_at,
                              &k.pong_by,   &k.order_by,      &k.leave_by,   &k.orphans_until};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        relate(times[i], now);
    mix_struct(d, &k, sizeof(k), kcore_parts, sizeof(kcore_parts) / sizeof(kcore_parts[0]));
}

static void mix_channel(struct digest *d, const struct channel *ch, int64_t now, int64_t local)
{
    for (int i = 0; i < ch->n; i++) {
        struct packet p = ch->list[i];
        relate(&p.at, now);
        relate(&p.sent_at, local);
        relate(&p.kill_at, local);
        relate_livy(&p.livy, local);
        mix_bytes(d, &p, sizeof(p));
    }
    mix(d, (uint64_t)ch->n << 32 | (uint32_t)later(ch->last - now, 0));
}

static void mix_client(struct digest *d, const struct host *h, int64_t now)
{
    struct client c = h->client;

    for (int i = 0; i < CALLS; i++)
        c.calls[i].xid = c.calls[i].xid != 0 ? (uint32_t)h->core.last_op - c.calls[i].xid + 1 : 0;
    for (int i = 0; i < CALLS; i++) /* in which place one lies does not matter */
        for (int j = i; j > 0 && c.calls[j].xid < c.calls[j - 1].xid; j--) {
            struct call swap = c.calls[j];
            c.calls[j] = c.calls[j - 1];
            c.calls[j - 1] = swap;
        }
    for (int i = 0; i < CALLS; i++)
        if (c.calls[i].xid != 0)
            mix(d, (uint64_t)c.calls[i].xid << 16 | (unsigned)c.calls[i].request << 1 | c.calls[i].beat);
    memset(c.calls, 0, sizeof(c.calls));
    relate(&c.heard, now);
    relate(&c.sent, now);
    relate(&c.since, now);
    relate(&c.look_at, now);
    if (c.connected)
        c.since = 0;
    else
        c.heard = c.sent = 0;
    mix_bytes(d, &c, sizeof(c));
}

static void mix_host(struct digest *d, const struct world *w, int host)
{
    const struct host *h = &w->hosts[host];
    int64_t local = world_local(w, host);
    const bool flags[] = {h->keeper, h->elector,        h->welcomed,    h->keeper_gone, h->guarding,
                          h->livy,   h->elector_exited, h->livy_exited, h->reap_first,  h->hung,
                          h->killed, h->shut,           h->swapping};
    const int64_t times[] = {h->keeper_stopped, h->elector_stopped, h->keeper_alarm,
                             h->elector_alarm,  h->cut_until[0],    h->cut_until[1]};

    mix_bytes(d, flags, sizeof(flags));
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        mix(d, times[i] > w->now ? (uint64_t)(times[i] - w->now) : 0);
    mix(d, h->livy ? (uint64_t)h->livy_epoch : 0);
    mix(d, h->livy ? (uint64_t)(h->lease_end - local) : 0);
    mix(d, h->livy && h->serves_at > w->now ? (uint64_t)(h->serves_at - w->now) : 0);
    mix(d, (uint64_t)h->livy_status << 32 | (uint32_t)h->uuids);
    mix(d, (uint64_t)relative(h->closing, w->now));
    mix_bytes(d, &h->file, sizeof(h->file));
    if (h->elector && h->welcomed)
        mix_core(d, &h->core, local);
    if (h->keeper)
        mix_kcore(d, &h->kcore, local);
    mix_client(d, h, w->now);
    mix_channel(d, &h->to_keeper, w->now, local);
    mix_channel(d, &h->to_elector, w->now, local);
}

/* ---- the ensemble ------------------------------------------------------------------------------------ */

static void mix_zk(struct digest *d, const struct zk *zk, int64_t now)
{
    mix(d, (uint64_t)later(zk->frozen_until - now, 0));
    mix(d, (uint64_t)(zk->ping_at - now));
    mix(d, (uint64_t)zk->zxid << 32 | (uint32_t)zk->n_sessions << 16 | (uint32_t)zk->n_nodes);
    mix_bytes(d, zk->tenures, sizeof(zk->tenures));
    mix_bytes(d, zk->nodes, (size_t)zk->n_nodes * sizeof(zk->nodes[0]));
    for (int i = 1; i <= zk->n_sessions; i++) {
        struct session s = zk->sessions[i];
        s.expires = s.alive ? s.expires - now : 0;
        mix_bytes(d, &s, sizeof(s));
    }
    for (int i = 0; i < SERVERS; i++) {
        struct server s = zk->servers[i];
        s.cut_until = later(s.cut_until - now, 0);
        s.frozen_until = later(s.frozen_until - now, 0);
        s.to_last = later(s.to_last - now, 0);
        s.from_last = later(s.from_last - now, 0);
        s.from_held = later(s.from_held - now, 0);
        mix_bytes(d, &s, sizeof(s));
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        struct connection c = zk->connections[i];
        if (!c.client_open && !c.server_open)
            continue;
        c.up_last = later(c.up_last - now, 0);
        c.down_last = later(c.down_last - now, 0);
        c.up_held = later(c.up_held - now, 0);
        c.down_held = later(c.down_held - now, 0);
        mix(d, (uint64_t)i);
        mix_bytes(d, &c, sizeof(c));
    }
}

static void mix_event(struct digest *d, const struct world *w, const struct event *event)
{
    struct event e = *event;

    if (e.kind == EV_ORDERS_EXPIRE && e.arg < 0 && -1 - e.arg != w->orders.restart)
        return; /* that restart has ended */
    e.at -= w->now;
    if (e.kind == EV_LOOKED)
        e.arg = (int32_t)w->hosts[e.who].core.last_op - e.arg + 1;
    if (e.m.xid != 0 && e.m.conn >= 0)
        e.m.xid = (uint32_t)w->hosts[w->zk.connections[e.m.conn].host].core.last_op - e.m.xid + 1;
    mix_bytes(d, &e, sizeof(e));
}

uint64_t state_digest(const struct world *w)
{
    struct digest d = {.value = 1};

    mix(&d, (uint64_t)w->stranger);
    struct orders o = w->orders;
    o.paused_until = later(o.paused_until - w->now, 0);
    o.expires = o.epoch != 0 && !o.begun ? o.expires - w->now : 0;
    o.restarted = o.restart != 0 && o.restarted;
    mix_bytes(&d, &o, sizeof(o));
    for (int i = 0; i < w->n_deaths; i++) {
        mix(&d, (uint64_t)relative(w->deaths[i].at, w->now));
        mix(&d, (uint64_t)w->deaths[i].host << 1 | w->deaths[i].gave_up);
    }
    mix_zk(&d, &w->zk, w->now);
    for (int i = 0; i < w->n_hosts; i++)
        mix_host(&d, w, i);
    for (int i = 0; i < w->n_events; i++)
        mix_event(&d, w, &w->events[i]);
    return d.value != 0 ? d.value : 1;
}
