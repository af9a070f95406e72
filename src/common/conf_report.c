/* conf_report.c - the list of what is wrong with a configuration. Knows nothing of keys and files. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "livy-ha/conf.h"

enum { REPORT_LIMIT = 256 };

/* Stands in for a sentence that found no memory, so that the error itself is never lost. */
static char report_no_memory[] = "out of memory while writing down what is wrong";

/* A path or a value may hold anything; a message is one line. */
static void report_clean(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            *text = '?';
        }
    }
}

static void report_free(char *text)
{
    if (text != report_no_memory) {
        free(text);
    }
}

/* The entry after the last one counts those that were left out. */
static void report_count(char **list)
{
    size_t left_out = 1;
    if (list[REPORT_LIMIT] != NULL && list[REPORT_LIMIT] != report_no_memory) {
        left_out += strtoul(list[REPORT_LIMIT], NULL, 10);
    }
    report_free(list[REPORT_LIMIT]);
    if (asprintf(&list[REPORT_LIMIT], "%zu more are not listed; mend these first", left_out) < 0) {
        list[REPORT_LIMIT] = report_no_memory;
    }
}

static void report_add(char ***list, size_t *count, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void report_add(char ***list, size_t *count, const char *format, va_list arguments)
{
    if (*list == NULL) {
        *list = calloc(REPORT_LIMIT + 1, sizeof **list);
        if (*list == NULL) {
            abort(); /* Without 2 KiB nothing can be loaded, and an error must not pass for none. */
        }
    }
    if (*count >= REPORT_LIMIT) {
        report_count(*list);
        *count = REPORT_LIMIT + 1;
        return;
    }
    char *text = NULL;
    if (vasprintf(&text, format, arguments) < 0) {
        text = report_no_memory;
    } else {
        report_clean(text);
    }
    (*list)[(*count)++] = text;
}

void conf_report_error(struct conf_report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report_add(&report->errors, &report->n_errors, format, arguments);
    va_end(arguments);
}

void conf_report_warning(struct conf_report *report, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report_add(&report->warnings, &report->n_warnings, format, arguments);
    va_end(arguments);
}

static void report_clear_list(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        report_free(list[i]);
    }
    free(list);
}

void conf_report_clear(struct conf_report *report)
{
    report_clear_list(report->errors, report->n_errors);
    report_clear_list(report->warnings, report->n_warnings);
    memset(report, 0, sizeof *report);
}
