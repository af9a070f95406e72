/* view.c - the cluster's headline and table; see view.h. */
#include "view.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "table.h"
#include "text.h"

#define LINE_SIZE 1024
#define SHORTEST_ID 12

/* One line, cleaned, in a style; cut to the screen only where it is `cut`. */
static int print_line(FILE *out, const struct screen *screen, enum table_style style, bool cut,
                      const char *line)
{
    char *clean = text_clean(line);
    char *shown = NULL;

    if (clean != NULL)
        shown = cut && screen->width > 0 ? text_cut(clean, screen->width, true, screen->utf8 ? "…" : "..")
                                         : strdup(clean);
    if (shown != NULL) {
        table_styled(out, screen, style, shown);
        (void)fputc('\n', out);
    }
    free(clean);
    free(shown);
    return shown != NULL ? 0 : -1;
}

/* How long ago "since" was; "" where it is not told. */
static const char *member_age(const json_t *member, int64_t now, char age[static TEXT_AGE_SIZE])
{
    const char *since = document_string(member, "since");
    int64_t at;

    age[0] = '\0';
    if (since != NULL && text_parse_utc(since, &at))
        text_age(now - at, age);
    return age;
}

static size_t count_role(const json_t *cluster, const char *role)
{
    const json_t *member;
    size_t count = 0;
    size_t i;

    json_array_foreach(json_object_get(cluster, "members"), i, member)
    {
        const char *own = document_string(member, "role");
        count += own != NULL && strcmp(own, role) == 0 ? 1 : 0;
    }
    return count;
}

/* What the headline says where nobody is active. */
static void describe_none(const json_t *cluster, char *text, size_t size)
{
    const size_t standing = count_role(cluster, "standby");
    const size_t joining = count_role(cluster, "joining");

    if (document_false(cluster, "connected"))
        (void)snprintf(text, size, "no active Livy is known: not connected to ZooKeeper");
    else if (standing > 0)
        (void)snprintf(text, size, "no Livy serves: no active member, %zu standing by", standing);
    else if (joining > 0)
        (void)snprintf(text, size, "no Livy serves yet: %zu joining", joining);
    else
        (void)snprintf(text, size, "no Livy serves: no member can take over");
}

/* What the active member `id` is doing, its Livy not serving. */
static void describe_active(const json_t *member, const char *id, const char *age, char *text, size_t size)
{
    static const struct {
        const char *livy;
        const char *before;
        const char *after;
    } states[] = {
        {"none", "no Livy serves yet: ", " is elected and about to start it"},
        {"held", "no Livy serves yet: ", " is elected and about to let it go"},
        {"starting", "no Livy serves yet: ", " is starting it"},
        {"unhealthy", "no Livy serves: it fails its health checks on ", ""},
        {"stopping", "no Livy serves: ", " is stopping it"},
        {"failed", "no Livy serves: it failed on ", ""},
    };
    const char *livy = document_string(member, "livy");
    const char *before = "no Livy serves: ";
    const char *after = " is the active member";

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        if (livy != NULL && strcmp(livy, states[i].livy) == 0) {
            before = states[i].before;
            after = states[i].after;
        }
    }
    (void)snprintf(text, size, "%s%s%s%s%s", before, id, after, age[0] != '\0' ? ", since " : "", age);
}

/* "livy_ha at /livy_ha: livy-a serves since 3m12s, epoch 4294967301", with `id` as it is passed. */
static void compose_headline(const json_t *cluster, const char *id, int64_t now, char *line, size_t size)
{
    const json_t *active = document_active(cluster);
    const char *root = document_string(cluster, "root");
    char epoch[DOCUMENT_NUMBER_SIZE];
    char age[TEXT_AGE_SIZE];
    char what[LINE_SIZE];

    (void)member_age(active, now, age);
    (void)document_number(cluster, "epoch", epoch);
    if (document_true(cluster, "serving"))
        (void)snprintf(what, sizeof what, "%s serves%s%s%s%s", id, age[0] != '\0' ? " since " : "", age,
                       epoch[0] != '\0' ? ", epoch " : "", epoch);
    else if (active == NULL)
        describe_none(cluster, what, sizeof what);
    else
        describe_active(active, id, age, what, sizeof what);
    (void)snprintf(line, size, "livy_ha at %s: %s", root != NULL ? root : "-", what);
}

static int print_paused(FILE *out, const struct screen *screen, const json_t *cluster, int64_t now)
{
    const char *until = document_string(cluster, "paused_until");
    char line[LINE_SIZE], left[TEXT_AGE_SIZE] = "";
    int64_t at;

    if (until != NULL && text_parse_utc(until, &at))
        text_age(at - now, left);
    (void)snprintf(line, sizeof line,
                   "Paused%s%s: no automatic fail-over and no restart of Livy, in the whole cluster.",
                   left[0] != '\0' ? " for another " : "", left);
    return print_line(out, screen, TABLE_BUSY, false, line);
}

static int print_headline(FILE *out, const struct screen *screen, const json_t *cluster, int64_t now)
{
    const char *active = document_string(document_active(cluster), "id");
    const char *id = active != NULL ? active : document_string(cluster, "active");
    const bool serving = document_true(cluster, "serving");
    char line[2 * LINE_SIZE];
    char *shorter;
    size_t width;
    int rc;

    if (id == NULL)
        id = "a member";
    compose_headline(cluster, id, now, line, sizeof line);
    width = text_width(line);
    if (screen->width > 0 && width > screen->width && text_width(id) > SHORTEST_ID) {
        const size_t excess = width - screen->width;
        const size_t own = text_width(id);

        shorter = text_cut(id, own > excess + SHORTEST_ID ? own - excess : SHORTEST_ID, true,
                           screen->utf8 ? "…" : "..");
        if (shorter == NULL)
            return -1;
        compose_headline(cluster, shorter, now, line, sizeof line);
        free(shorter);
    }
    rc = print_line(out, screen, serving ? TABLE_GOOD : TABLE_BAD, true, line);
    if (rc == 0 && serving && document_false(cluster, "connected"))
        rc = print_line(out, screen, TABLE_BUSY, false,
                        "Not connected to ZooKeeper: what is shown of other members may be old.");
    if (rc == 0 && document_true(cluster, "paused"))
        rc = print_paused(out, screen, cluster, now);
    return rc;
}

/* What this member is about while nobody serves. */
static int print_own(FILE *out, const struct screen *screen, const json_t *cluster, const json_t *own)
{
    const char *phase = document_string(own, "phase");
    const char *reason = document_string(own, "reason");
    const char *livy = document_string(own, "livy_reason");
    bool serving = document_true(cluster, "serving");
    char line[LINE_SIZE];

    if (!serving && reason != NULL && reason[0] != '\0') {
        (void)snprintf(line, sizeof line, "This member%s%s%s: %s", phase != NULL ? " (" : "",
                       phase != NULL ? phase : "", phase != NULL ? ")" : "", reason);
        if (print_line(out, screen, TABLE_PLAIN, false, line) != 0)
            return -1;
    }
    /* The other one is cut off earlier, and goes on to what came after it. */
    if (!serving && livy != NULL && livy[0] != '\0' && (reason == NULL || strcmp(reason, livy) != 0)) {
        (void)snprintf(line, sizeof line, "Livy here, last: %s", livy);
        if (print_line(out, screen, TABLE_PLAIN, false, line) != 0)
            return -1;
    }
    return 0;
}

/* Under the table: what a member's alarms say. */
static int print_alarms_of(FILE *out, const struct screen *screen, const json_t *member, bool *first)
{
    const char *id = document_string(member, "id");
    const json_t *alarm;
    char line[LINE_SIZE];
    size_t i;

    json_array_foreach(json_object_get(member, "alarms"), i, alarm)
    {
        if (!json_is_string(alarm))
            continue;
        if (*first)
            (void)fputc('\n', out);
        *first = false;
        (void)snprintf(line, sizeof line, "Alarm on %s: %s", id != NULL ? id : "-", json_string_value(alarm));
        if (print_line(out, screen, TABLE_BAD, false, line) != 0)
            return -1;
    }
    return 0;
}

/* A hot standby that holds no Livy, or one that is out of date, and why. */
static int print_held_of(FILE *out, const struct screen *screen, const json_t *member, bool *first)
{
    const char *id = document_string(member, "id");
    const char *role = document_string(member, "role");
    const char *held = document_string(member, "held");
    const char *reason = document_string(member, "held_reason");
    char line[LINE_SIZE];

    bool none = held != NULL && strcmp(held, "none") == 0;
    bool old = held != NULL && strcmp(held, "ready") == 0 && document_true(member, "held_renewing");

    if (role == NULL || strcmp(role, "standby") != 0 || (!none && !old) || reason == NULL ||
        reason[0] == '\0')
        return 0;
    if (*first)
        (void)fputc('\n', out);
    *first = false;
    (void)snprintf(line, sizeof line, "%s%s%s", id != NULL ? id : "-",
                   none ? " holds no Livy: " : "'s Livy is to be renewed: ", reason);
    return print_line(out, screen, TABLE_BUSY, false, line);
}

static int print_notes(FILE *out, const struct screen *screen, const json_t *members)
{
    const json_t *member;
    bool first = true;
    size_t i;

    json_array_foreach(members, i, member)
    {
        if (print_alarms_of(out, screen, member, &first) != 0 ||
            print_held_of(out, screen, member, &first) != 0)
            return -1;
    }
    return 0;
}

static enum table_style role_style(const char *role)
{
    if (role == NULL || strcmp(role, "standby") == 0)
        return TABLE_PLAIN;
    if (strcmp(role, "active") == 0)
        return TABLE_GOOD;
    return strcmp(role, "joining") == 0 ? TABLE_BUSY : TABLE_DIM;
}

static enum table_style livy_style(const char *livy)
{
    if (livy == NULL || strcmp(livy, "none") == 0 || strcmp(livy, "held") == 0)
        return TABLE_PLAIN;
    if (strcmp(livy, "serving") == 0)
        return TABLE_GOOD;
    return strcmp(livy, "starting") == 0 || strcmp(livy, "stopping") == 0 || strcmp(livy, "warming") == 0
               ? TABLE_BUSY
               : TABLE_BAD;
}

static void wide_cells(struct table *table, const json_t *member)
{
    const char *version = document_string(member, "version");
    char number[DOCUMENT_NUMBER_SIZE];
    char text[LINE_SIZE];

    table_cell(table, TABLE_PLAIN, document_string(member, "host"));
    table_cell(table, TABLE_PLAIN, document_number(member, "epoch", number));
    table_cell(table, TABLE_PLAIN, document_number(member, "sequence", number));
    table_cell(table, TABLE_PLAIN, document_string(member, "url"));
    (void)snprintf(text, sizeof text, "%s%s", version != NULL ? version : "-",
                   document_true(member, "pending_restart") ? ", restart pending" : "");
    table_cell(table, TABLE_PLAIN, text);
}

/* "warming" where a hot standby's Livy is on its way to the gate: of Livy as a whole it is "none" yet. */
static const char *livy_shown(const json_t *member)
{
    const char *livy = document_string(member, "livy");
    const char *held = document_string(member, "held");

    if (livy != NULL && strcmp(livy, "none") == 0 && held != NULL && strcmp(held, "warming") == 0)
        return held;
    return livy;
}

static void member_row(struct table *table, const json_t *member, bool wide, int64_t now)
{
    const char *id = document_string(member, "id");
    const char *role = document_string(member, "role");
    const char *livy = livy_shown(member);
    char text[LINE_SIZE];
    char age[TEXT_AGE_SIZE];
    int64_t lease;

    (void)snprintf(text, sizeof text, "%c %s", document_true(member, "self") ? '*' : ' ',
                   id != NULL ? id : "-");
    table_cell(table, TABLE_PLAIN, text);
    table_cell(table, role_style(role), role);
    table_cell(table, livy_style(livy), livy);
    table_cell(table, TABLE_PLAIN, wide ? document_string(member, "since") : member_age(member, now, age));
    text[0] = '\0';
    if (document_integer(member, "lease_left_ms", &lease))
        (void)snprintf(text, sizeof text, "%.1fs", (double)(lease > 0 ? lease : 0) / 1000);
    table_cell(table, TABLE_PLAIN, text);
    if (wide)
        wide_cells(table, member);
}

int view_cluster(FILE *out, const struct screen *screen, const json_t *cluster, const json_t *own, bool wide,
                 int64_t now)
{
    const json_t *members = json_object_get(cluster, "members");
    struct table *table;
    const json_t *member;
    size_t i;
    int rc;

    if (print_headline(out, screen, cluster, now) != 0 || print_own(out, screen, cluster, own) != 0)
        return -1;
    if (json_array_size(members) == 0)
        return print_line(out, screen, TABLE_PLAIN, false, "No members are known.");
    (void)fputc('\n', out);
    table = table_new();
    table_column(table, "  Member", TABLE_CUT_MIDDLE);
    table_column(table, "Role", TABLE_WHOLE);
    table_column(table, "Livy", TABLE_WHOLE);
    table_column(table, "Since", TABLE_WHOLE);
    table_column(table, "Lease", TABLE_WHOLE);
    if (wide) {
        table_column(table, "Host", TABLE_CUT_MIDDLE);
        table_column(table, "Epoch", TABLE_WHOLE);
        table_column(table, "Sequence", TABLE_WHOLE);
        table_column(table, "URL", TABLE_CUT_MIDDLE);
        table_column(table, "Version", TABLE_WHOLE);
    }
    json_array_foreach(members, i, member)
    {
        member_row(table, member, wide, now);
    }
    rc = table_print(table, out, screen);
    table_free(table);
    return rc == 0 ? print_notes(out, screen, members) : rc;
}
