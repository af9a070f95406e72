/* screen.c - see screen.h. */
#include "screen.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void screen_look(struct screen *screen)
{
    const char *columns = getenv("COLUMNS");
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    const unsigned long wanted = columns != NULL ? strtoul(columns, NULL, 10) : 0;
    struct winsize size;

    *screen = (struct screen){.terminal = isatty(STDOUT_FILENO) == 1};
    if (screen->terminal) {
        screen->width = 80;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
            screen->width = size.ws_col;
            screen->height = size.ws_row;
        }
    }
    if (wanted > 0 && wanted < 10000)
        screen->width = wanted;
    screen->colour = screen->terminal && (no_colour == NULL || *no_colour == '\0') && term != NULL &&
                     strcmp(term, "dumb") != 0;
    /* Only for the choice of "…" or "..": without a locale it is the latter. */
    screen->utf8 = setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}
