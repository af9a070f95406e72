/* standin_util.c - the clock, the end in misery, and Livy's configuration as Livy would read it. */
#include "standin_util.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void util_sleep_until(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &ts, NULL) == EINTR) {
    }
}

_Noreturn void util_fail(const char *what)
{
    fprintf(stderr, "standin: %s: %s\n", what, strerror(errno));
    _exit(70);
}

void util_conf_value(const char *key, char *value, size_t size)
{
    char path[PATH_MAX], line[4096];
    const char *dir = getenv("LIVY_CONF_DIR");
    size_t length = strlen(key);
    FILE *file;
    snprintf(path, sizeof path, "%s/livy.conf", dir ? dir : ".");
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *text = line + strspn(line, " \t");
        if (strncmp(text, key, length) == 0 && strchr(" \t=:", text[length])) {
            text += length;
            text += strspn(text, " \t=:");
            text[strcspn(text, " \t\r\n")] = '\0';
            snprintf(value, size, "%s", text);
        }
    }
    if (file) {
        fclose(file);
    }
}

int util_session_timeout(void)
{
    static const char option[] = "-Dcurator-default-session-timeout=";
    const char *dir = getenv("LIVY_CONF_DIR");
    char path[PATH_MAX], line[4096];
    int found = 60000;
    FILE *file;
    snprintf(path, sizeof path, "%s/livy-env.sh", dir ? dir : ".");
    file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        const char *text = strstr(line, option);
        if (text) {
            found = (int)strtol(text + sizeof option - 1, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return found;
}
