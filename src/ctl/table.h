/* table.h - rows and columns for people. Without memory, rows are left out and table_print says so by -1. */
#ifndef LIVY_HA_CTL_TABLE_H
#define LIVY_HA_CTL_TABLE_H

#include <stdio.h>

#include "screen.h"

#define TABLE_COLUMNS 12

enum table_style { TABLE_PLAIN, TABLE_BOLD, TABLE_GOOD, TABLE_BUSY, TABLE_BAD, TABLE_DIM };
enum table_cut {
    TABLE_WHOLE,
    TABLE_CUT_MIDDLE,
    TABLE_CUT_END
}; /* what may be done where the screen is narrow */

struct table;

struct table *table_new(void);
void table_free(struct table *table);
void table_column(struct table *table, const char *title, enum table_cut cut);

/* The next cell from left to right, from top to bottom. The text is cleaned of control characters; NULL and
 * "" are shown as "-". */
void table_cell(struct table *table, enum table_style style, const char *text);

/* Two blanks between columns, none at the end of a line. On a screen with a width the columns that may be cut
 * are cut, the widest first, down to 8. 0, or -1 without memory. */
int table_print(const struct table *table, FILE *out, const struct screen *screen);

/* `text` in the style's colour, where the screen has colours. */
void table_styled(FILE *out, const struct screen *screen, enum table_style style, const char *text);

#endif
