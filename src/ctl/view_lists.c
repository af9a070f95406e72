/* view_lists.c - the history and the configuration as tables; see view.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document.h"
#include "table.h"
#include "text.h"
#include "view.h"

static enum table_style event_style(const char *event)
{
    static const char *const bad[] = {"fenced", "livy-died", "unhealthy", "failed", "lost"};

    if (event == NULL)
        return TABLE_PLAIN;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (strcmp(event, bad[i]) == 0)
            return TABLE_BAD;
    }
    return strcmp(event, "serving") == 0 ? TABLE_GOOD : TABLE_PLAIN;
}

int view_history(FILE *out, const struct screen *screen, const json_t *events)
{
    struct table *table = table_new();
    const json_t *event;
    size_t i;
    int rc;

    table_column(table, "At", TABLE_WHOLE);
    table_column(table, "Event", TABLE_WHOLE);
    table_column(table, "Member", TABLE_CUT_MIDDLE);
    table_column(table, "Epoch", TABLE_WHOLE);
    table_column(table, "Took", TABLE_WHOLE);
    table_column(table, "Reason", TABLE_CUT_END);
    json_array_foreach(events, i, event)
    {
        const char *name = document_string(event, "event");
        char number[DOCUMENT_NUMBER_SIZE];
        char took[TEXT_AGE_SIZE] = "";
        int64_t ms;

        if (document_integer(event, "took_ms", &ms))
            text_took(ms, took);
        table_cell(table, TABLE_PLAIN, document_string(event, "at"));
        table_cell(table, event_style(name), name);
        table_cell(table, TABLE_PLAIN, document_string(event, "member"));
        table_cell(table, TABLE_PLAIN, document_number(event, "epoch", number));
        table_cell(table, TABLE_PLAIN, took);
        table_cell(table, TABLE_PLAIN, document_string(event, "reason"));
    }
    rc = table_print(table, out, screen);
    table_free(table);
    return rc;
}

/* "list, watch, standby -> confirming" */
static void join(const json_t *list, char *text, size_t size)
{
    const json_t *each;
    size_t i, used = 0;

    text[0] = '\0';
    json_array_foreach(list, i, each)
    {
        const char *word = json_string_value(each);
        int n = snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", word != NULL ? word : "?");
        if (n < 0 || (size_t)n >= size - used)
            return;
        used += (size_t)n;
    }
}

int view_trace(FILE *out, const struct screen *screen, const json_t *steps)
{
    struct table *table = table_new();
    const json_t *step;
    size_t i;
    int rc;

    table_column(table, "At", TABLE_WHOLE);
    table_column(table, "Phase", TABLE_WHOLE);
    table_column(table, "Event", TABLE_CUT_END);
    table_column(table, "Then", TABLE_CUT_END);
    json_array_foreach(steps, i, step)
    {
        char then[512];

        join(json_object_get(step, "then"), then, sizeof then);
        table_cell(table, TABLE_PLAIN, document_string(step, "at"));
        table_cell(table, TABLE_PLAIN, document_string(step, "phase"));
        table_cell(table, TABLE_PLAIN, document_string(step, "event"));
        table_cell(table, TABLE_PLAIN, then);
    }
    rc = table_print(table, out, screen);
    table_free(table);
    return rc;
}

/* When a change of the key is taken over, for people. */
static const char *effect_text(const char *effect)
{
    if (effect == NULL)
        return NULL;
    if (strcmp(effect, "reload") == 0)
        return "at a reload";
    if (strcmp(effect, "next-start") == 0)
        return "at Livy's next start";
    if (strcmp(effect, "restart") == 0)
        return "at a restart of livy-ha";
    return effect;
}

/* A value that is no string is shown as JSON, so that a daemon may send numbers as they are. */
static void value_cell(struct table *table, const json_t *value)
{
    char *text;

    if (value == NULL || json_is_null(value) || json_is_string(value)) {
        table_cell(table, TABLE_PLAIN, json_string_value(value));
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    table_cell(table, TABLE_PLAIN, text);
    free(text);
}

int view_config(FILE *out, const struct screen *screen, const json_t *config)
{
    const char *path = document_string(config, "path");
    char *clean = text_clean(path != NULL ? path : "none: the environment alone");
    struct table *table;
    const json_t *row;
    size_t i;
    int rc;

    if (clean == NULL)
        return -1;
    (void)fprintf(out, "Configuration file: %s\n\n", clean);
    free(clean);
    table = table_new();
    table_column(table, "Key", TABLE_WHOLE);
    table_column(table, "Value", TABLE_CUT_END);
    table_column(table, "Origin", TABLE_CUT_MIDDLE);
    table_column(table, "A change counts", TABLE_WHOLE);
    json_array_foreach(json_object_get(config, "keys"), i, row)
    {
        const char *origin = document_string(row, "origin");

        table_cell(table, TABLE_PLAIN, document_string(row, "key"));
        value_cell(table, json_object_get(row, "value"));
        table_cell(table, origin != NULL && strcmp(origin, "default") == 0 ? TABLE_DIM : TABLE_PLAIN, origin);
        table_cell(table, TABLE_PLAIN, effect_text(document_string(row, "effect")));
    }
    rc = table_print(table, out, screen);
    table_free(table);
    return rc;
}
