/* table.c - see table.h. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

#define NARROWEST 8
#define GAP 2

struct cell {
    char *text;
    enum table_style style;
};

struct table {
    struct {
        const char *title;
        enum table_cut cut;
    } columns[TABLE_COLUMNS];
    size_t n_columns;
    struct cell *cells;
    size_t n_cells;
    size_t room;
    bool failed;
};

struct table *table_new(void)
{
    return calloc(1, sizeof(struct table));
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

void table_column(struct table *table, const char *title, enum table_cut cut)
{
    if (table == NULL || table->n_columns == TABLE_COLUMNS)
        return;
    table->columns[table->n_columns].title = title;
    table->columns[table->n_columns].cut = cut;
    table->n_columns++;
}

void table_cell(struct table *table, enum table_style style, const char *text)
{
    char *clean;

    if (table == NULL || table->failed)
        return;
    if (table->n_cells == table->room) {
        const size_t room = table->room == 0 ? 64 : table->room * 2;
        struct cell *larger = realloc(table->cells, room * sizeof *larger);
        if (larger == NULL) {
            table->failed = true;
            return;
        }
        table->cells = larger;
        table->room = room;
    }
    clean = text_clean(text != NULL && text[0] != '\0' ? text : "-");
    if (clean == NULL) {
        table->failed = true;
        return;
    }
    table->cells[table->n_cells++] = (struct cell){.text = clean, .style = style};
}

void table_styled(FILE *out, const struct screen *screen, enum table_style style, const char *text)
{
    const char *code = "";

    switch (style) {
    case TABLE_PLAIN:
        break;
    case TABLE_BOLD:
        code = "\033[1m";
        break;
    case TABLE_GOOD:
        code = "\033[32m";
        break;
    case TABLE_BUSY:
        code = "\033[33m";
        break;
    case TABLE_BAD:
        code = "\033[31m";
        break;
    case TABLE_DIM:
        code = "\033[2m";
        break;
    }
    if (screen->colour && *code != '\0')
        (void)fprintf(out, "%s%s\033[0m", code, text);
    else
        (void)fputs(text, out);
}

/* Takes from the widest column that may be cut until the line fits or nothing is left to take. */
static void fit(const struct table *table, size_t width[static TABLE_COLUMNS], size_t limit)
{
    size_t total = (table->n_columns - 1) * GAP;

    for (size_t c = 0; c < table->n_columns; c++)
        total += width[c];
    while (limit > 0 && total > limit) {
        size_t widest = TABLE_COLUMNS;

        for (size_t c = 0; c < table->n_columns; c++) {
            if (table->columns[c].cut != TABLE_WHOLE && width[c] > NARROWEST &&
                (widest == TABLE_COLUMNS || width[c] > width[widest]))
                widest = c;
        }
        if (widest == TABLE_COLUMNS)
            return;
        width[widest]--;
        total--;
    }
}

static int print_cell(FILE *out, const struct screen *screen, const char *text, enum table_style style,
                      enum table_cut cut, size_t width, bool last)
{
    char *shown = cut == TABLE_WHOLE
                      ? strdup(text)
                      : text_cut(text, width, cut == TABLE_CUT_MIDDLE, screen->utf8 ? "…" : "..");

    if (shown == NULL)
        return -1;
    table_styled(out, screen, style, shown);
    if (!last)
        (void)fprintf(out, "%*s", (int)(width > text_width(shown) ? width - text_width(shown) + GAP : GAP),
                      "");
    free(shown);
    return 0;
}

int table_print(const struct table *table, FILE *out, const struct screen *screen)
{
    size_t width[TABLE_COLUMNS] = {0};

    if (table == NULL || table->failed || table->n_columns == 0)
        return -1;
    for (size_t c = 0; c < table->n_columns; c++)
        width[c] = text_width(table->columns[c].title);
    for (size_t i = 0; i < table->n_cells; i++) {
        const size_t cell = text_width(table->cells[i].text);
        if (cell > width[i % table->n_columns])
            width[i % table->n_columns] = cell;
    }
    fit(table, width, screen->width);
    for (size_t c = 0; c < table->n_columns; c++) {
        if (print_cell(out, screen, table->columns[c].title, TABLE_BOLD, TABLE_WHOLE, width[c],
                       c == table->n_columns - 1) != 0)
            return -1;
    }
    (void)fputc('\n', out);
    for (size_t i = 0; i < table->n_cells; i++) {
        const size_t c = i % table->n_columns;
        if (print_cell(out, screen, table->cells[i].text, table->cells[i].style, table->columns[c].cut,
                       width[c], c == table->n_columns - 1) != 0)
            return -1;
        if (c == table->n_columns - 1)
            (void)fputc('\n', out);
    }
    return 0;
}
