/* standin_report.c - what livy-ha handed down to the stand-in: signals, descriptors, environment, livy.conf,
 * as the JSON that tests/e2e/livyha/oracle.py reads. */
#include "standin_report.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "standin_util.h"

static void json_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') {
            fprintf(out, "\\%c", *c);
        } else if (*c < 0x20 || *c > 0x7e) {
            fprintf(out, "\\u%04x", *c);
        } else {
            putc(*c, out);
        }
    }
    putc('"', out);
}

static void json_member(FILE *out, const char *key, const char *text)
{
    fprintf(out, ",\n ");
    json_string(out, key);
    fprintf(out, ": ");
    json_string(out, text ? text : "");
}

static void json_file(FILE *out, const char *key, const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "re");
    text[0] = '\0';
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    json_member(out, key, text);
}

static void report_signals(FILE *out)
{
    const char *comma = "";
    sigset_t mask;
    fprintf(out, ",\n \"not_default\": {");
    for (int number = 1; number <= SIGRTMAX; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL) {
            fprintf(out, "%s\"%d\": \"%s\"", comma, number,
                    action.sa_handler == SIG_IGN ? "ignored" : "handled");
            comma = ", ";
        }
    }
    fprintf(out, "},\n \"blocked\": [");
    comma = "";
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (sigismember(&mask, number) == 1) {
            fprintf(out, "%s%d", comma, number);
            comma = ", ";
        }
    }
    fprintf(out, "]");
}

static void report_descriptors(FILE *out, int own_lock)
{
    DIR *dir = opendir("/proc/self/fd");
    const char *comma = "";
    if (!dir) {
        util_fail("/proc/self/fd");
    }
    fprintf(out, ",\n \"fds\": {");
    for (struct dirent *entry; (entry = readdir(dir));) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        char link[PATH_MAX];
        ssize_t length;
        if (entry->d_name[0] == '.' || fd == dirfd(dir) || fd == fileno(out) || fd == own_lock) {
            continue;
        }
        length = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = '\0';
        fprintf(out, "%s\"%d\": ", comma, fd);
        json_string(out, link);
        comma = ", ";
    }
    fprintf(out, "}");
    closedir(dir);
}

static bool env_must_not_be(const char *variable)
{
    return strncmp(variable, "LIVY_HA_", 8) == 0 || strncmp(variable, "NOTIFY_SOCKET=", 14) == 0 ||
           strncmp(variable, "WATCHDOG_", 9) == 0;
}

static void report_environment(FILE *out)
{
    const char *comma = "";
    fprintf(out, ",\n \"env_leaked\": [");
    for (char **variable = environ; *variable; variable++) {
        if (env_must_not_be(*variable)) {
            fprintf(out, "%s", comma);
            json_string(out, *variable);
            comma = ", ";
        }
    }
    fprintf(out, "],\n \"env\": {");
    comma = "";
    for (char **variable = environ; *variable; variable++) {
        char name[256];
        const char *equals = strchr(*variable, '=');
        if (!equals || (size_t)(equals - *variable) >= sizeof name) {
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)(equals - *variable), *variable);
        fprintf(out, "%s\n  ", comma);
        json_string(out, name);
        fprintf(out, ": ");
        json_string(out, equals + 1);
        comma = ",";
    }
    fprintf(out, "}");
}

/* Written to a name of its own first and renamed: a reader never sees half of it. */
void report_write(const char *base, int own_lock, int argc, char **argv)
{
    char path[PATH_MAX], made[PATH_MAX], conf[PATH_MAX], cwd[PATH_MAX] = "";
    const char *conf_dir = getenv("LIVY_CONF_DIR");
    int pdeathsig = 0;
    FILE *out;
    snprintf(path, sizeof path, "%s.env.part", base);
    snprintf(made, sizeof made, "%s.env.json", base);
    out = fopen(path, "we");
    if (!out) {
        util_fail(path);
    }
    prctl(PR_GET_PDEATHSIG, &pdeathsig);
    fprintf(out, "{\"pid\": %d, \"ppid\": %d, \"sid\": %d, \"pgid\": %d, \"pdeathsig\": %d, \"policy\": %d",
            getpid(), getppid(), getsid(0), getpgrp(), pdeathsig, sched_getscheduler(0));
    report_signals(out);
    report_descriptors(out, own_lock);
    report_environment(out);
    json_file(out, "oom_score_adj", "/proc/self/oom_score_adj");
    json_member(out, "conf_dir", conf_dir);
    snprintf(conf, sizeof conf, "%s/livy.conf", conf_dir ? conf_dir : "");
    json_file(out, "conf_text", conf);
    snprintf(conf, sizeof conf, "%s/livy-env.sh", conf_dir ? conf_dir : "");
    json_file(out, "livy_env_text", conf);
    json_member(out, "cwd", getcwd(cwd, sizeof cwd));
    fprintf(out, ",\n \"argv\": [");
    for (int i = 0; i < argc; i++) {
        fprintf(out, "%s", i ? ", " : "");
        json_string(out, argv[i]);
    }
    fprintf(out, "]}\n");
    if (fclose(out) != 0 || rename(path, made) != 0) {
        util_fail(made);
    }
}
