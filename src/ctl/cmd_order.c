/* cmd_order.c - the commands that change something: asked for by POST, then looked at until their end is
 * known.
 *
 * The daemon is asked with wait=0 and polled with the id that it gives, so that an elector that is replaced
 * meanwhile costs nothing but a look: a switchover stands in ZooKeeper. Progress goes to a terminal's stderr.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "document.h"
#include "fetch.h"
#include "livy-ha/clock.h"
#include "text.h"

#define POLL_MS 50
#define POLL_LATER_MS 250
#define LATER_AFTER 3000
#define REQUEST_MS 5000
#define SLACK_MS 5000 /* beyond the command's own time-out, which the daemon looks after */
#define PATH_MAX_SIZE 900

/* "&key=value", with what is special in a query escaped. */
static void add_query(char path[static PATH_MAX_SIZE], const char *key, const char *value)
{
    size_t used = strlen(path);

    used += (size_t)snprintf(path + used, PATH_MAX_SIZE - used, "&%s=", key);
    for (; *value != '\0' && used + 4 < PATH_MAX_SIZE; value++) {
        const unsigned char c = (unsigned char)*value;
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           strchr("-._:", c) != NULL;
        used += (size_t)snprintf(path + used, PATH_MAX_SIZE - used, plain ? "%c" : "%%%02X", c);
    }
}

static void add_number(char path[static PATH_MAX_SIZE], const char *key, int64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    add_query(path, key, text);
}

/* ---- progress
 * ------------------------------------------------------------------------------------------------ */

struct progress {
    bool on, drawn;
    int64_t began;
    const char *name;
};

static void progress_draw(struct progress *progress, const char *text)
{
    char age[TEXT_AGE_SIZE];
    char *clean;

    if (!progress->on)
        return;
    clean = text_clean(text);
    text_took(clock_boot_ms() - progress->began, age);
    (void)fprintf(stderr, "\r\033[K%s: %.60s (%s)", progress->name, clean != NULL ? clean : "", age);
    (void)fflush(stderr);
    progress->drawn = true;
    free(clean);
}

static void progress_end(struct progress *progress)
{
    if (progress->drawn)
        (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    progress->drawn = false;
}

/* ---- ends
 * ---------------------------------------------------------------------------------------------------- */

static bool state_is(const json_t *document, const char *state)
{
    const char *found = document_string(document, "state");

    return found != NULL && strcmp(found, state) == 0;
}

static enum ctl_exit print_json(const json_t *document, enum ctl_exit exit)
{
    (void)json_dumpf(document, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    return exit;
}

/* "livy-b took over from livy-a: 280ms without a Livy, 3.29s from the request to serving" */
static void print_done(const json_t *document)
{
    const char *text = document_string(document, "text");
    char *clean = text_clean(text != NULL ? text : "done");
    char age[TEXT_AGE_SIZE];
    int64_t gap, took;

    (void)printf("%s", clean != NULL ? clean : "done");
    free(clean);
    if (document_integer(document, "gap_ms", &gap)) {
        text_took(gap, age);
        (void)printf(": %s without a Livy", age);
    }
    if (document_integer(document, "took_ms", &took)) {
        text_took(took, age);
        (void)printf(", %s from the request %s", age,
                     document_string(document, "active") != NULL ? "to serving" : "on");
    }
    (void)fputc('\n', stdout);
}

static enum ctl_exit tell_end(const struct ctl *ctl, const char *name, const json_t *document)
{
    const char *error = document_string(document, "error");
    enum ctl_exit exit = state_is(document, "done")        ? CTL_DONE
                         : state_is(document, "timed-out") ? CTL_TIMED_OUT
                                                           : CTL_FAILED;
    char *clean;

    if (exit != CTL_DONE) {
        clean = text_clean(error != NULL ? error : "no reason given");
        ctl_complain("%s: %s", name, clean != NULL ? clean : "out of memory");
        free(clean);
    }
    if (ctl->json)
        return print_json(document, exit);
    if (exit == CTL_DONE)
        print_done(document);
    return exit;
}

/* ---- asking, and looking
 * ----------------------------------------------------------------------------------------- */

static enum ctl_exit look(const struct ctl *ctl, const char *name, const char *id, int64_t deadline)
{
    struct progress progress = {
        .on = isatty(STDERR_FILENO) == 1 && !ctl->json, .began = clock_boot_ms(), .name = name};
    char path[128];

    (void)snprintf(path, sizeof path, "/command?id=%.64s", id);
    for (;;) {
        const int64_t now = clock_boot_ms();
        struct fetch fetch = fetch_document(ctl, path, false, now + REQUEST_MS);
        const char *text = document_string(fetch.document, "text");
        enum ctl_exit exit = fetch.exit;

        if (fetch.document != NULL && !state_is(fetch.document, "running")) {
            progress_end(&progress);
            exit = tell_end(ctl, name, fetch.document);
            json_decref(fetch.document);
            return exit;
        }
        progress_draw(&progress, fetch.document == NULL ? "the daemon does not answer"
                                 : text != NULL         ? text
                                                        : "");
        json_decref(fetch.document);
        if (fetch.status == 404) {
            progress_end(&progress);
            ctl_complain("%s: the daemon's elector was replaced meanwhile, and knows nothing of it: "
                         "`livy-ha-ctl status` tells how it ended.",
                         name);
            return CTL_FAILED;
        }
        if (now >= deadline) {
            progress_end(&progress);
            ctl_complain("%s: not over in time%s%s", name, exit != CTL_DONE ? ": " : "", fetch.why);
            return exit == CTL_UNREACHABLE ? CTL_UNREACHABLE : CTL_TIMED_OUT;
        }
        (void)poll(NULL, 0, now - progress.began > LATER_AFTER ? POLL_LATER_MS : POLL_MS);
    }
}

enum ctl_exit command_order(const struct ctl *ctl)
{
    char path[PATH_MAX_SIZE], id[80] = "";
    int64_t timeout = ctl->timeout;
    enum ctl_exit exit;

    (void)snprintf(path, sizeof path, "/%s?wait=0", ctl->command);
    if (ctl->timeout_given)
        add_number(path, "timeout_ms", ctl->timeout);
    if (ctl->to != NULL)
        add_query(path, "to", ctl->to);
    if (ctl->operand != NULL)
        add_query(path, "id", ctl->operand);
    if (ctl->pause_for > 0)
        add_number(path, "for_ms", ctl->pause_for);
    if (ctl->force)
        add_query(path, "force", "1");
    struct fetch fetch =
        fetch_post(ctl, path, clock_boot_ms() + (timeout < REQUEST_MS ? timeout : REQUEST_MS));
    if (fetch.document == NULL) {
        ctl_complain("%s", fetch.why);
        return fetch.exit;
    }
    const char *given = document_string(fetch.document, "id");
    (void)snprintf(id, sizeof id, "%.64s", given != NULL ? given : "");
    if (!ctl->timeout_given)
        (void)document_integer(fetch.document, "timeout_ms", &timeout);
    if (fetch.status != 202)
        exit = tell_end(ctl, ctl->command, fetch.document);
    else if (ctl->no_wait && ctl->json)
        exit = print_json(fetch.document, CTL_DONE);
    else if (ctl->no_wait)
        exit = printf("%s is under way, id %s\n", ctl->command, id) > 0 ? CTL_DONE : CTL_FAILED;
    else
        exit = look(ctl, ctl->command, id, clock_boot_ms() + timeout + SLACK_MS);
    json_decref(fetch.document);
    return exit;
}
