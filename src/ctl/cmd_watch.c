/* cmd_watch.c - the status, drawn again at each change, until INT or TERM.
 *
 * On a terminal it is drawn over the old one, line by line, in one write: nothing flickers. Elsewhere each
 * change is one more table, or with --json one more line.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "document.h"
#include "fetch.h"
#include "livy-ha/clock.h"
#include "view.h"

#define POLL_MS 250
#define REQUEST_MS 5000
#define AGES_MS 1000 /* on a terminal: how often ages and the lease move on between changes */

struct watch {
    const struct ctl *ctl;
    json_t *shown; /* the document that was last drawn, or NULL */
    json_t *own;   /* its /status, or NULL */
    size_t width;  /* of the terminal when it was drawn */
    int64_t drawn; /* CLOCK_BOOTTIME ms */
    bool away;     /* the daemon did not answer last time */
    bool cleared;  /* the terminal was cleared once */
};

/* Nothing needs to be put back: the cursor is where the shell's prompt may follow. */
static void watch_end(int signal_number)
{
    (void)signal_number;
    _exit(CTL_DONE);
}

/* `frame` over what is on the terminal: each line clears what is left of the old one, and lines below the
 * last one that fits are left out, since they would scroll the top away. */
static int draw_over(struct watch *watch, const struct screen *screen, const char *frame)
{
    size_t left = screen->height > 1 ? screen->height - 1 : SIZE_MAX;

    (void)fputs(watch->cleared ? "\033[H" : "\033[H\033[2J", stdout);
    watch->cleared = true;
    for (; *frame != '\0' && left > 0; left--) {
        const size_t length = strcspn(frame, "\n");
        (void)fwrite(frame, 1, length, stdout);
        (void)fputs("\033[K\n", stdout);
        frame += length + (frame[length] == '\n' ? 1 : 0);
    }
    (void)fputs("\033[J", stdout);
    return fflush(stdout);
}

/* The tables, with `note` above them where there is one. */
static int draw(struct watch *watch, const struct screen *screen, const char *note)
{
    char *frame = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&frame, &size);
    int rc = memory == NULL ? -1 : 0;

    if (rc == 0 && note != NULL)
        (void)fprintf(memory, "%s Trying again.\n", note);
    if (rc == 0 && watch->shown != NULL)
        rc = view_cluster(memory, screen, watch->shown, watch->own, watch->ctl->wide, clock_wall_ms());
    if (memory != NULL && fclose(memory) != 0)
        rc = -1;
    if (rc == 0 && screen->terminal)
        rc = draw_over(watch, screen, frame);
    else if (rc == 0 && fputs(frame, stdout) != EOF && fputc('\n', stdout) != EOF)
        rc = fflush(stdout);
    free(frame);
    watch->drawn = clock_boot_ms();
    watch->width = screen->width;
    return rc;
}

static int show(struct watch *watch, const struct screen *screen)
{
    if (!watch->ctl->json)
        return draw(watch, screen, NULL);
    if (json_dumpf(watch->shown, stdout, JSON_COMPACT) != 0 || fputc('\n', stdout) == EOF)
        return -1;
    return fflush(stdout);
}

/* The daemon is away: said once, and on a terminal above what was last seen. */
static int show_away(struct watch *watch, const struct screen *screen, const char *why)
{
    const bool first = !watch->away;

    watch->away = true;
    if (screen->terminal && !watch->ctl->json)
        return first || watch->width != screen->width ? draw(watch, screen, why) : 0;
    if (first)
        ctl_complain("%s Trying again.", why);
    return 0;
}

static int show_cluster(struct watch *watch, const struct screen *screen, json_t *document)
{
    const bool terminal = screen->terminal && !watch->ctl->json;
    const bool changed = watch->shown == NULL || watch->away || document_changed(watch->shown, document);
    const bool due = terminal && (watch->width != screen->width || clock_boot_ms() - watch->drawn >= AGES_MS);

    if (!changed && !due) {
        json_decref(document);
        return 0;
    }
    json_decref(watch->shown);
    watch->shown = document;
    watch->away = false;
    if (!watch->ctl->json) {
        json_decref(watch->own);
        watch->own = fetch_document(watch->ctl, "/status", false, clock_boot_ms() + REQUEST_MS).document;
    }
    return show(watch, screen);
}

enum ctl_exit command_watch(const struct ctl *ctl)
{
    const struct sigaction end = {.sa_handler = watch_end};
    const int64_t limit = ctl->timeout < REQUEST_MS ? ctl->timeout : REQUEST_MS;
    struct watch watch = {.ctl = ctl};
    int rc = 0;

    if (sigaction(SIGINT, &end, NULL) != 0 || sigaction(SIGTERM, &end, NULL) != 0) {
        ctl_complain("cannot set up signals: %s", strerror(errno));
        return CTL_FAILED;
    }
    while (rc == 0) {
        struct fetch cluster = fetch_document(ctl, "/cluster", false, clock_boot_ms() + limit);
        struct screen screen;

        screen_look(&screen); /* the window may have another size by now */
        if (cluster.document != NULL)
            rc = show_cluster(&watch, &screen, cluster.document);
        else
            rc = show_away(&watch, &screen, cluster.why);
        if (rc == 0)
            (void)poll(NULL, 0, POLL_MS);
    }
    json_decref(watch.shown);
    json_decref(watch.own);
    if (ferror(stdout) == 0) /* else main says so, once */
        ctl_complain("cannot draw the status any more: out of memory");
    return CTL_FAILED;
}
