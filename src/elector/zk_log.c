/* zk_log.c - the client library's own log, through log.h, without its floods.
 *
 * While no server answers, the library writes several lines for each attempt, many times a second. Of each
 * place in its source one line a second is passed on, with a count of those left out. Its errors are our
 * warnings (they are about one connection, not about us), its chatter is for debugging. May not call the
 * library: it holds locks of its own here. The table is process-wide because the library's log call-back has
 * no context.
 */
#include "zk_internal.h"

#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#include <stdio.h>
#include <string.h>

#define LOG_PLACES 16
#define LOG_INTERVAL 1000 /* ms */

struct log_place {
    char name[64]; /* "check_events@2985" */
    int64_t passed;
    unsigned left_out;
};

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_place log_places[LOG_PLACES];

static _Thread_local void (*log_hook)(void *arg);
static _Thread_local void *log_hook_arg;

void zk_log_hook(void (*hook)(void *arg), void *arg)
{
    log_hook = hook;
    log_hook_arg = arg;
}

/* The slot of a place; the one unused for longest where it is new. */
static struct log_place *place_find(const char *name, int length)
{
    struct log_place *oldest = &log_places[0];

    for (int i = 0; i < LOG_PLACES; i++) {
        struct log_place *place = &log_places[i];

        if (strncmp(place->name, name, (size_t)length) == 0 && place->name[length] == '\0')
            return place;
        if (place->passed < oldest->passed)
            oldest = place;
    }
    memcpy(oldest->name, name, (size_t)length);
    oldest->name[length] = '\0';
    oldest->passed = INT64_MIN;
    oldest->left_out = 0;
    return oldest;
}

/* True where the line may pass; then with how many were left out since the last one that did. */
static bool place_pass(const char *name, int length, unsigned *left_out)
{
    int64_t now = clock_boot_ms();
    struct log_place *place;
    bool pass;

    if (length >= (int)sizeof place->name)
        length = (int)sizeof place->name - 1;
    pthread_mutex_lock(&log_lock);
    place = place_find(name, length);
    pass = place->passed == INT64_MIN || now - place->passed >= LOG_INTERVAL;
    *left_out = place->left_out;
    place->left_out = pass ? 0 : place->left_out + 1;
    if (pass)
        place->passed = now;
    pthread_mutex_unlock(&log_lock);
    return pass;
}

/* `message`: "2026-11-23 03:23:47,973:7850(0x7fe194538740):ZOO_INFO@resolve_hosts@947: text" */
void zk_log_line(const char *message)
{
    const char *level = strstr(message, ":ZOO_"), *place, *text;
    char more[48] = "";
    unsigned left_out = 0;
    bool warn;
    int length;

    if (log_hook != NULL)
        log_hook(log_hook_arg);
    place = level != NULL ? strchr(level, '@') : NULL;
    text = place != NULL ? strstr(place, ": ") : NULL;
    if (text == NULL) {
        log_debug("libzookeeper: %s", message);
        return;
    }
    warn = strncmp(level, ":ZOO_ERROR", 10) == 0 || strncmp(level, ":ZOO_WARN", 9) == 0;
    if (!log_enabled(warn ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG) ||
        !place_pass(place + 1, (int)(text - place - 1), &left_out))
        return;
    text += 2;
    length = (int)strcspn(text, "\n");
    if (left_out > 0)
        (void)snprintf(more, sizeof more, " (and %u more like it)", left_out);
    if (warn)
        log_warn("libzookeeper: %.*s%s", length, text, more);
    else
        log_debug("libzookeeper: %.*s%s", length, text, more);
}
