/* log.h - one line a fact, to stderr, in text, JSON, or with the journal's priorities.
 *
 * Never blocks: a line that stderr would not take at once is dropped and counted, and the count is
 * told with the next line that goes through (a stopped terminal or a full pipe must not keep the
 * keeper from its deadline). A warning or an error that is said again and again is counted: three in ten
 * seconds pass, the next one after that says how many were left out. Thread-safe: one line is one write(2) of
 * at most 4096 bytes.
 */
#ifndef LIVY_HA_LOG_H
#define LIVY_HA_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL };

/* `program` ("keeper", "elector") is kept by pointer and printed in each line. LOG_FORMAT_AUTO: journal
 * where stderr is the stream that JOURNAL_STREAM names (systemd.exec(5)), text on a terminal or a file,
 * JSON where the process is PID 1 of a container and stderr is no terminal. May be called again. */
void log_open(const char *program, enum log_level level, enum log_format format);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What LOG_FORMAT_AUTO came to in this process: for children, whose pid and parent say nothing of it. */
enum log_format log_format_in_use(void);

/* True where lines of `level` are written: to spare the work of preparing one. */
bool log_enabled(enum log_level level);

/* Puts lines of another program as they are into the log, at most 4096 bytes (PIPE_BUF). Returns how much of
 * it stderr has taken, 0 where it takes nothing just now, -1 where nobody reads it any more. */
ssize_t log_copy(char *data, size_t length);

#endif
