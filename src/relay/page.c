/* page.c - see the header. */
#include "page.h"

#include <inttypes.h>

#define HISTORY_SHOWN 20

static const char style[] =
    ":root{color-scheme:light dark;--line:#8884;--soft:#8882;--ok:#1a7f37;--warn:#9a6700;--bad:#cf222e}"
    "@media(prefers-color-scheme:dark){:root{--ok:#3fb950;--warn:#d29922;--bad:#f85149}}"
    "body{font:16px/1.45 system-ui,sans-serif;max-width:70em;margin:0 auto;padding:1em}"
    "h1{font-size:1.3em;margin:.2em 0}h2{font-size:1.05em;margin:1.4em 0 .4em}"
    "p{margin:.3em 0}small,.dim{opacity:.7}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92em}"
    "th,td{text-align:left;padding:.35em .7em;border-bottom:1px solid var(--line);white-space:nowrap}"
    "td.text{white-space:normal;min-width:14em}tr.self{background:var(--soft)}"
    ".box{border:1px solid var(--line);border-left-width:5px;border-radius:4px;padding:.5em .9em;margin:.7em "
    "0}"
    ".ok{border-left-color:var(--ok)}.warn{border-left-color:var(--warn)}.bad{border-left-color:var(--bad)}"
    "b.ok{color:var(--ok)}b.warn{color:var(--warn)}b.bad{color:var(--bad)}";

/* ---- pieces
 * ---------------------------------------------------------------------------------------------------------
 */

static void put(FILE *out, const char *text)
{
    for (; text != NULL && *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default: /* a control character would be a fault in HTML */
            fputc((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text, out);
            break;
        }
    }
}

static void cell(FILE *out, const char *value)
{
    fputs("<td>", out);
    put(out, value[0] != '\0' ? value : "-");
    fputs("</td>", out);
}

static void number_cell(FILE *out, const json_t *value)
{
    if (json_is_integer(value))
        fprintf(out, "<td>%" JSON_INTEGER_FORMAT "</td>", json_integer_value(value));
    else
        fputs("<td>-</td>", out);
}

/* 25 ms, 1.2 s, 3 min, 5 h, 2 d. */
static void put_duration(FILE *out, int64_t ms)
{
    if (ms < 1000)
        fprintf(out, "%" PRId64 " ms", ms);
    else if (ms < 60000)
        fprintf(out, "%.1f s", (double)ms / 1e3);
    else if (ms < 7200000)
        fprintf(out, "%" PRId64 " min", ms / 60000);
    else if (ms < 172800000)
        fprintf(out, "%" PRId64 " h", ms / 3600000);
    else
        fprintf(out, "%" PRId64 " d", ms / 86400000);
}

/* ---- what stands at the top
 * ----------------------------------------------------------------------------------------- */

static void stale_box(FILE *out, const struct page_sources *s)
{
    if (snapshot_fresh(s->snapshot, s->now))
        return;
    fputs("<div class=\"box bad\"><b class=\"bad\">", out);
    fputs(snapshot_there(s->snapshot) ? "The elector's last word is " : "The elector has said nothing for ",
          out);
    put_duration(out, snapshot_age(s->snapshot, s->now));
    fputs(snapshot_there(s->snapshot) ? " old: what follows was so then.</b></div>" : ".</b></div>", out);
}

static void state_box(FILE *out, const struct page_sources *s)
{
    const json_t *cluster = snapshot_cluster(s->snapshot);
    const char *active = json_string_value(json_object_get(cluster, "active"));
    bool serving = json_is_true(json_object_get(cluster, "serving"));
    const char *class = serving ? "ok" : active != NULL ? "warn" : "bad";

    if (cluster == NULL)
        return;
    fprintf(out, "<div class=\"box %s\"><p><b class=\"%s\">", class, class);
    if (active == NULL) {
        fputs("No member is active", out);
    } else {
        put(out, active);
        fputs(serving ? " is active and its Livy serves" : " is active, its Livy does not serve yet", out);
    }
    fputs("</b></p><p class=\"dim\">", out);
    const json_t *epoch = json_object_get(cluster, "epoch");
    if (json_is_integer(epoch))
        fprintf(out, "Epoch %" JSON_INTEGER_FORMAT ". ", json_integer_value(epoch));
    if (json_is_true(json_object_get(cluster, "paused")))
        fputs("Automatic fail-over is paused. ", out);
    if (!json_is_true(json_object_get(cluster, "connected")))
        fputs("This member is not connected to ZooKeeper: it tells what it last knew. ", out);
    fputs("</p></div>", out);
}

static void alarms(FILE *out, const struct page_sources *s)
{
    const json_t *alarm;
    size_t i;

    json_array_foreach(json_object_get(snapshot_status(s->snapshot), "alarms"), i, alarm)
    {
        fputs("<div class=\"box bad\"><b class=\"bad\">Alarm:</b> ", out);
        put(out, json_string_value(alarm));
        fputs("</div>", out);
    }
}

static void checks(FILE *out, const struct page_sources *s)
{
    static const char *const paths[] = {"/active", "/standby", "/livez", "/readyz"};
    char reason[256];

    fputs("<h2>Health of this member</h2><div class=\"wide\"><table>", out);
    for (size_t i = 0; i < HEALTH_CHECKS; i++) {
        bool ok = health_check((enum health_check)i, s->snapshot, s->front, s->now, reason, sizeof(reason));
        fprintf(out, "<tr><td>%s</td><td><b class=\"%s\">%s</b></td><td class=\"text\">", paths[i],
                ok ? "ok" : "dim", ok ? "200" : "503");
        put(out, reason);
        fputs("</td></tr>", out);
    }
    fputs("</table></div>", out);
}

/* ---- tables
 * ---------------------------------------------------------------------------------------------------------
 */

/* A hot standby whose Livy is not held yet says how far it is, or why there is none. */
static void livy_cell(FILE *out, const json_t *member)
{
    bool warming = snapshot_is(member, "held", "warming");
    bool none = snapshot_is(member, "role", "standby") && snapshot_is(member, "livy", "none");

    fputs("<td>", out);
    put(out, snapshot_text(member, "livy")[0] != '\0' ? snapshot_text(member, "livy") : "-");
    if (none && (warming || snapshot_text(member, "held_reason")[0] != '\0')) {
        fputs(" <small>(", out);
        put(out, warming ? "warming" : snapshot_text(member, "held_reason"));
        fputs(")</small>", out);
    }
    fputs("</td>", out);
}

static void member_row(FILE *out, const struct page_sources *s, const json_t *member)
{
    bool self = json_is_true(json_object_get(member, "self"));
    int64_t lease = self ? snapshot_lease_left(s->snapshot, s->now) : -1;
    const char *class = snapshot_is(member, "role", "active")   ? "ok"
                        : snapshot_is(member, "role", "absent") ? "bad"
                                                                : "";

    fprintf(out, "<tr%s><td>", self ? " class=\"self\"" : "");
    put(out, snapshot_text(member, "id"));
    fprintf(out, "%s</td><td><b class=\"%s\">", self ? " <small>(this one)</small>" : "", class);
    put(out, snapshot_text(member, "role"));
    fputs("</b></td>", out);
    livy_cell(out, member);
    cell(out, snapshot_text(member, "since"));
    fputs("<td>", out);
    if (lease >= 0)
        put_duration(out, lease);
    else
        fputs("-", out);
    fputs("</td>", out);
    cell(out, snapshot_text(member, "url"));
    cell(out, snapshot_text(member, "host"));
    number_cell(out, json_object_get(member, "epoch"));
    cell(out, snapshot_text(member, "version"));
    fputs("</tr>\n", out);
}

static void members(FILE *out, const struct page_sources *s)
{
    const json_t *member;
    size_t i;

    fputs("<h2>Members</h2><div class=\"wide\"><table><tr><th>Member</th><th>Role</th><th>Livy</th>"
          "<th>Since</th><th>Lease</th><th>URL</th><th>Host</th><th>Epoch</th><th>Version</th></tr>\n",
          out);
    json_array_foreach(json_object_get(snapshot_cluster(s->snapshot), "members"), i, member)
        member_row(out, s, member);
    fputs("</table></div>", out);
}

static void history(FILE *out, const struct page_sources *s)
{
    const json_t *entries = snapshot_history(s->snapshot);
    size_t n = json_array_size(entries);

    fputs("<h2>Last transitions</h2><div class=\"wide\"><table><tr><th>At</th><th>Member</th><th>Event</th>"
          "<th>Took</th><th>Reason</th></tr>\n",
          out);
    for (size_t i = n; i > 0 && n - i < HISTORY_SHOWN; i--) {
        const json_t *entry = json_array_get(entries, i - 1);
        json_int_t took = json_integer_value(json_object_get(entry, "took_ms"));
        fputs("<tr>", out);
        cell(out, snapshot_text(entry, "at"));
        cell(out, snapshot_text(entry, "member"));
        cell(out, snapshot_text(entry, "event"));
        fputs("<td>", out);
        if (took > 0)
            put_duration(out, took);
        fputs("</td><td class=\"text\">", out);
        put(out, snapshot_text(entry, "reason"));
        fputs("</td></tr>\n", out);
    }
    fputs("</table></div>", out);
}

void page_write(FILE *out, const struct page_sources *s)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"" PAGE_POLICY "\">"
          "<meta http-equiv=\"refresh\" content=\"2\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<meta name=\"robots\" content=\"noindex\"><title>livy-ha on ",
          out);
    put(out, s->id);
    fprintf(out, "</title><style>%s</style></head><body>\n<h1>livy-ha on ", style);
    put(out, s->id);
    fputs("</h1>", out);
    stale_box(out, s);
    state_box(out, s);
    alarms(out, s);
    members(out, s);
    history(out, s);
    checks(out, s);
    fputs("<p class=\"dim\"><small>livy-ha " LIVY_HA_VERSION ". For programs: /status, /cluster, /history, "
          "/metrics. This page renews itself every two seconds.</small></p></body></html>\n",
          out);
}
