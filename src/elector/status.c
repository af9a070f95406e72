/* status.c - the JSON that people and programs read: /status, /cluster, /history, /config, /version
 * (CONTRACT.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "livy-ha/hostinfo.h"
#include "livy-ha/log.h"

static json_t *integer_or_null(int64_t value, bool known)
{
    return known ? json_integer(value) : json_null();
}

static void set_utc(json_t *object, const char *key, int64_t wall_ms)
{
    char text[CLOCK_UTC_SIZE];
    clock_format_utc(wall_ms, text);
    json_object_set_new(object, key, json_string(text));
}

/* The host of livy.server.host, where that is an address by which other hosts can come; else this host's
 * name. */
static const char *livy_host(const struct elector *e)
{
    const char *blank = strchr(e->livy_at, ' ');

    if (blank == NULL || strcmp(blank + 1, "*") == 0 || hostinfo_is_local(blank + 1))
        return e->conf->host;
    return blank + 1;
}

void status_livy_url(const struct elector *e, char *url, size_t size)
{
    const char *host = livy_host(e);
    bool v6 = strchr(host, ':') != NULL;

    snprintf(url, size, "%s://%s%s%s:%d", elector_livy_tls(e) ? "https" : "http", v6 ? "[" : "", host,
             v6 ? "]" : "", e->conf->livy.port);
}

json_t *status_self(struct elector *e)
{
    const struct core *c = &e->core;
    char livy_url[512], url[512];
    bool active = strcmp(core_role_name(c), "active") == 0;
    int64_t sequence = core_latch_sequence(c->node);

    status_livy_url(e, livy_url, sizeof(livy_url));
    front_url(e->front, url, sizeof(url));
    json_t *self =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:s, s:b, s:s, s:s}", "id", e->conf->id,
                  "host", e->conf->host, "role", core_role_name(c), "livy", held_livy_name(e), "livy_pid",
                  integer_or_null(c->livy.pid, core_livy_alive(c)), "url", url, "livy_url", livy_url, "epoch",
                  integer_or_null(core_livy_alive(c) ? c->livy.epoch : c->epoch, active), "sequence",
                  integer_or_null(sequence, sequence >= 0), "version", LIVY_HA_VERSION, "pending_restart",
                  e->pending_restart || strcmp(e->keeper_version, LIVY_HA_VERSION) != 0, "runtime_dir",
                  e->conf->runtime_dir, "boot", e->boot);
    if (self == NULL)
        return NULL;
    held_record(e, self);
    front_record(e->front, self);
    json_object_set_new(self, "alarms", alarm_list(e));
    command_record_self(e, self);
    set_utc(self, "since", e->since_wall);
    set_utc(self, "started", e->started_wall);
    return self;
}

/* What is not for others to know, or only makes sense here and now. */
static void add_live(struct elector *e, json_t *self)
{
    const struct core *c = &e->core;
    bool leased = core_livy_alive(c) && c->leased > 0;
    int64_t left = leased ? c->leased - clock_boot_ms() : 0;

    json_object_set_new(self, "lease_left_ms", integer_or_null(left > 0 ? left : 0, leased));
    json_object_set_new(self, "uptime_s", json_integer((clock_wall_ms() - e->started_wall) / 1000));
    json_object_set_new(self, "self", json_true());
}

static bool keeper_answers(const struct elector *e)
{
    return !e->keeper_gone && !e->core.keeper_stuck;
}

json_t *status_member(struct elector *e)
{
    const struct core *c = &e->core;
    json_t *self = status_self(e);

    if (self == NULL)
        return NULL;
    add_live(e, self);
    json_object_set_new(self, "connected", json_boolean(c->connected));
    json_object_set_new(self, "phase", json_string(core_phase_name(c->phase)));
    json_object_set_new(self, "reason", json_string(c->reason));
    json_object_set_new(self, "livy_reason", json_string(c->livy_reason));
    json_object_set_new(self, "keeper_answers", json_boolean(keeper_answers(e)));
    return self;
}

/* ---- /cluster
 * ------------------------------------------------------------------------------------------------------- */

static json_t *absent_member(const char *id, const json_t *known)
{
    const char *host = json_string_value(json_object_get(known, "host"));
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:b, s:b}", "id",
        id, "host", host != NULL ? host : "", "role", "absent", "livy", "none", "livy_pid", "held",
        "held_renewing", "held_reason", "url", "livy_url", "epoch", "sequence", "lease_left_ms", "since",
        "uptime_s", "version", "pending_restart", 0, "self", 0);
}

static json_t *other_member(const char *id, const json_t *entry)
{
    json_t *member = json_copy((json_t *)entry);

    if (member == NULL)
        return NULL;
    json_object_set_new(member, "id", json_string(id));
    json_object_set_new(member, "lease_left_ms", json_null()); /* only it knows */
    json_object_set_new(member, "uptime_s", json_null());
    json_object_set_new(member, "self", json_false());
    json_object_del(member, "runtime_dir");
    json_object_del(member, "boot");
    return member;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All ids that are here, or should be, in order. Returns their number; `ids` points into the objects. */
static size_t collect_ids(const json_t *members, const json_t *known, const char *self, const char **ids,
                          size_t max)
{
    const char *id;
    json_t *value;
    size_t n = 0;

    ids[n++] = self;
    json_object_foreach((json_t *)members, id, value) if (n < max && strcmp(id, self) != 0) ids[n++] = id;
    json_object_foreach((json_t *)known, id, value)
    {
        if (n < max && strcmp(id, self) != 0 && json_object_get(members, id) == NULL)
            ids[n++] = id;
    }
    qsort(ids, n, sizeof(ids[0]), by_id);
    return n;
}

static json_t *list_members(struct elector *e)
{
    const char *ids[130];
    const json_t *members = view_members(e->view), *known = view_known(e->view);
    size_t n = collect_ids(members, known, e->conf->id, ids, sizeof(ids) / sizeof(ids[0]));
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++) {
        const json_t *entry = json_object_get(members, ids[i]);
        json_t *member;
        if (strcmp(ids[i], e->conf->id) == 0) {
            member = status_self(e);
            if (member != NULL)
                add_live(e, member);
            json_object_del(member, "runtime_dir");
            json_object_del(member, "boot");
        } else if (entry != NULL) {
            member = other_member(ids[i], entry);
        } else {
            member = absent_member(ids[i], json_object_get(known, ids[i]));
        }
        json_array_append_new(list, member);
    }
    return list;
}

static bool is(const json_t *member, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(member, key));
    return text != NULL && strcmp(text, value) == 0;
}

/* The active one as far as can be known here: without a connection only ourselves, as long as our lease
 * lasts. */
static const json_t *find_active(const struct elector *e, const json_t *members)
{
    const json_t *active = NULL;
    size_t i;
    json_t *member;

    json_array_foreach((json_t *)members, i, member)
    {
        bool self = json_is_true(json_object_get(member, "self"));
        if (is(member, "role", "active") && (self || e->core.connected))
            if (active == NULL || self)
                active = member;
    }
    return active;
}

json_t *status_cluster(struct elector *e)
{
    json_t *members = list_members(e);
    const json_t *active = find_active(e, members);
    bool serving = active != NULL && (is(active, "livy", "serving") || is(active, "livy", "unhealthy"));

    json_t *cluster = json_pack(
        "{s:i, s:s, s:O?, s:b, s:O?, s:b, s:I, s:o}", "v", 1, "root", e->conf->zookeeper.root, "active",
        active != NULL ? json_object_get(active, "id") : json_null(), "serving", serving, "epoch",
        active != NULL ? json_object_get(active, "epoch") : json_null(), "connected", e->core.connected,
        "change", (json_int_t)e->change + (json_int_t)view_version(e->view), "members", members);
    if (cluster != NULL)
        command_record(e, cluster);
    return cluster;
}

/* ---- for the relay
 * ------------------------------------------------------------------------------------------------- */

json_t *status_snapshot(void *elector)
{
    struct elector *e = elector;
    json_t *cluster = status_cluster(e);
    json_t *history =
        json_copy((json_t *)view_history(e->view)); /* shallow: entries are replaced, not changed */
    json_t *status = status_member(e);
    size_t left_out = snapshot_bound(cluster, history);

    json_object_del(status, "runtime_dir"); /* nobody's outside of this host */
    json_object_del(status, "boot");

    if (left_out != e->left_out)
        log_warn(
            "the admin port shows %zu members' records and history entries in part: they are larger than "
            "%d bytes",
            left_out, SNAPSHOT_ITEM);
    e->left_out = left_out;
    return json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:I}", "v", 1, "pid", (int)getpid(), "status", status,
                     "cluster", cluster, "history", history, "metrics",
                     metrics_document(&e->metrics, &e->core, clock_boot_ms()), "left_out",
                     (json_int_t)left_out);
}

/* ---- /config
 * -------------------------------------------------------------------------------------------------------- */

static void add_row(void *arg, const struct conf_row *row)
{
    static const char *const effects[] = {"reload", "next-start", "restart"};
    json_array_append_new(arg, json_pack("{s:s, s:s?, s:s, s:s}", "key", row->key, "value", row->value,
                                         "origin", row->origin, "effect", effects[row->effect]));
}

json_t *status_config(struct elector *e)
{
    json_t *keys = json_array();
    conf_each(e->conf, add_row, keys);
    return json_pack("{s:s?, s:o}", "path", e->conf->path, "keys", keys);
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

json_t *status_history(struct elector *e)
{
    return json_incref((json_t *)view_history(e->view));
}

json_t *status_trace(struct elector *e)
{
    return trace_document(e->trace);
}

json_t *status_version(struct elector *e)
{
    (void)e;
    return json_pack("{s:s}", "version", LIVY_HA_VERSION);
}
