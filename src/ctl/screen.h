/* screen.h - what stdout is: how wide, and whether it takes colours. */
#ifndef LIVY_HA_CTL_SCREEN_H
#define LIVY_HA_CTL_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

struct screen {
    bool terminal;
    bool colour;   /* a terminal, and NO_COLOR is not set */
    bool utf8;     /* the locale's character set */
    size_t width;  /* 0: lines are never cut (a pipe or a file) */
    size_t height; /* 0: not known */
};

/* Looks at stdout, COLUMNS, NO_COLOR, TERM and the locale (which it sets, LC_CTYPE only). */
void screen_look(struct screen *screen);

#endif
