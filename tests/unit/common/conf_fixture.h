/* conf_fixture.h - what the configuration's tests share: a directory of files, and loading from text. */
#ifndef LIVY_HA_TEST_CONF_FIXTURE_H
#define LIVY_HA_TEST_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../src/common/conf_internal.h"
#include "livy-ha/conf.h"

#define HOST "node1.example.com"
/* The smallest configuration, on two lines; both take further keys of their group. */
#define ZK(more) "zookeeper = { hosts = \"h1:2181\"; " more " };\n"
#define LIVY(more) "livy = { home = \"/opt/livy\"; " more " };\n"
#define BASE ZK("") LIVY("")

/* libconfig 1.5 loses a string that it has read when the word after it is a syntax error. Its tree is made in
 * other functions, so that a config_destroy that we forget still shows. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:strbuf_append\n";
}

static char fixture_directory[64];

static inline int fixture_open(void **state)
{
    (void)state;
    (void)snprintf(fixture_directory, sizeof fixture_directory, "/tmp/livy-ha-conf-XXXXXX");
    return mkdtemp(fixture_directory) != NULL ? 0 : -1;
}

static inline int fixture_close(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fixture_directory);
    return system(command);
}

/* The path stays valid until the eighth call after this one. */
static inline const char *fixture_path(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", fixture_directory, name);
    return path;
}

static inline const char *fixture_write_bytes(const char *name, const void *data, size_t length)
{
    const char *path = fixture_path(name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    return path;
}

static inline const char *fixture_write(const char *name, const char *text)
{
    return fixture_write_bytes(name, text, strlen(text));
}

static char *const fixture_no_env[] = {NULL};

/* From the text of a file (NULL: no file) and an environment. */
static inline struct conf *fixture_load(const char *text, char *const envp[], struct conf_report *report)
{
    const char *path = text != NULL ? fixture_write("livy-ha.conf", text) : NULL;
    return conf_load_for(HOST, path, envp != NULL ? envp : fixture_no_env, report);
}

static inline void fixture_print(const struct conf_report *report)
{
    for (size_t i = 0; i < report->n_errors; i++) {
        print_message("  error: %s\n", report->errors[i]);
    }
}

/* The same where it must load, without a warning that was not asked for. */
static inline struct conf *fixture_load_fine(const char *text, char *const envp[])
{
    struct conf_report report = {0};
    struct conf *conf = fixture_load(text, envp, &report);
    if (conf == NULL) {
        fixture_print(&report);
    }
    assert_non_null(conf);
    assert_int_equal(report.n_errors, 0);
    conf_report_clear(&report);
    return conf;
}

static inline bool fixture_mentions(const struct conf_report *report, const char *part)
{
    for (size_t i = 0; i < report->n_errors; i++) {
        if (strstr(report->errors[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

#endif
