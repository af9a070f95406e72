/* log.c - see log.h. Takes no lock and no memory; touches nothing but stderr.
 *
 * A line is prepared on the stack and written at once or not at all. Where the kernel can say "not now"
 * (sockets, as the journal's; pipes since Linux 6.5 or so; terminals that can be opened once more) it is
 * asked to; elsewhere poll(2) alone stands between the keeper and a write that blocks, which leaves the
 * moment in which another process fills the pipe in between. A regular file on a dead network mount blocks in
 * any case: do not log to one.
 */
#include "livy-ha/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "log_repeat.h"

enum {
    LINE_SIZE = 4096, /* PIPE_BUF: what one write puts into a pipe unmixed with others */
    TAIL_SIZE = 160,  /* kept free for the end of a cut line: "...", the counts, "}" and "\n" */
    TERMINAL_FD = 64, /* and above: out of the way of what a child is given */
};
enum log_sink { SINK_OTHER, SINK_SOCKET, SINK_PIPE, SINK_TERMINAL };

struct log_line {
    char data[LINE_SIZE];
    size_t used;
    bool cut;
};

static _Atomic(const char *) log_program = "livy-ha";
static atomic_int log_level_now = LOG_LEVEL_INFO;
static atomic_int log_format_now = LOG_FORMAT_TEXT;
static atomic_int log_sink_now = SINK_OTHER;
static atomic_int log_terminal = -1;
static atomic_ulong log_lost;
static struct log_repeat log_repeats;

static bool log_is_journal(const struct stat *status)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64];
    if (stream == NULL) {
        return false;
    }
    (void)snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)status->st_dev, (uintmax_t)status->st_ino);
    return strcmp(stream, own) == 0;
}

static enum log_format log_choose(enum log_format format, const struct stat *status)
{
    if (format != LOG_FORMAT_AUTO) {
        return format;
    }
    if (status != NULL && log_is_journal(status)) {
        return LOG_FORMAT_JOURNAL;
    }
    return getpid() == 1 && isatty(STDERR_FILENO) == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
}

/* A terminal polls writable as soon as it takes one byte, and then a write waits for room for all of it.
 * O_NONBLOCK would be that of the shell as well, so it gets an opening of its own. False where that is not
 * allowed: it is another user's. */
static bool log_open_terminal(const struct stat *status)
{
    struct stat ours;
    int old = atomic_load(&log_terminal);

    if (old >= 0 && fstat(old, &ours) == 0 && ours.st_dev == status->st_dev &&
        ours.st_ino == status->st_ino) {
        return true;
    }
    int low = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int terminal = low >= 0 ? fcntl(low, F_DUPFD_CLOEXEC, TERMINAL_FD) : -1;
    if (low >= 0) {
        (void)close(low);
    }
    atomic_store(&log_terminal, terminal);
    if (old >= 0) {
        (void)close(old);
    }
    return terminal >= 0;
}

void log_open(const char *program, enum log_level level, enum log_format format)
{
    struct stat status;
    bool known = fstat(STDERR_FILENO, &status) == 0;
    enum log_sink sink = SINK_OTHER;
    if (known && S_ISSOCK(status.st_mode)) {
        sink = SINK_SOCKET;
    } else if (known && S_ISFIFO(status.st_mode)) {
        sink = SINK_PIPE;
    } else if (known && isatty(STDERR_FILENO) != 0 && log_open_terminal(&status)) {
        sink = SINK_TERMINAL;
    }
    atomic_store(&log_program, program);
    atomic_store(&log_level_now, (int)level);
    atomic_store(&log_format_now, (int)log_choose(format, known ? &status : NULL));
    atomic_store(&log_sink_now, (int)sink);
    log_repeat_clear(&log_repeats);
}

enum log_format log_format_in_use(void)
{
    return (enum log_format)atomic_load(&log_format_now);
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load(&log_level_now);
}

static void log_put(struct log_line *line, const char *text)
{
    size_t length = strlen(text);
    if (line->used + length > LINE_SIZE - 1) {
        length = LINE_SIZE - 1 - line->used; /* The last byte is the newline's. */
    }
    memcpy(line->data + line->used, text, length);
    line->used += length;
}

/* The length of the valid UTF-8 sequence at `text`, which is NUL-terminated; 0 where there is none. */
static size_t log_utf8(const unsigned char *text)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    if (text[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Overlong forms, surrogates, and beyond U+10FFFF. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f)) {
        return 0;
    }
    return length;
}

/* One character for a person's terminal: nothing that could begin a line or move a cursor. */
static size_t log_escape_text(const unsigned char *text, char out[static 16])
{
    size_t length = log_utf8(text);
    bool c1 = length == 2 && text[0] == 0xc2 && text[1] < 0xa0;
    if (text[0] == '\n') {
        (void)snprintf(out, 16, "\\n");
    } else if (text[0] == '\t') {
        (void)snprintf(out, 16, "\\t");
    } else if (length == 0 || text[0] < 0x20 || text[0] == 0x7f) {
        (void)snprintf(out, 16, "\\x%02x", text[0]);
        length = 1;
    } else if (c1) {
        (void)snprintf(out, 16, "\\x%02x\\x%02x", text[0], text[1]);
    } else {
        (void)snprintf(out, 16, "%.*s", (int)length, (const char *)text);
    }
    return length;
}

static size_t log_escape_json(const unsigned char *text, char out[static 16])
{
    size_t length = log_utf8(text);
    if (length == 0) {
        (void)snprintf(out, 16, "\\ufffd");
        length = 1;
    } else if (text[0] < 0x20 || text[0] == 0x7f) {
        (void)snprintf(out, 16, "\\u%04x", text[0]);
    } else if (text[0] == '"' || text[0] == '\\') {
        (void)snprintf(out, 16, "\\%c", text[0]);
    } else {
        (void)snprintf(out, 16, "%.*s", (int)length, (const char *)text);
    }
    return length;
}

static void log_put_message(struct log_line *line, const char *message, bool json)
{
    for (const unsigned char *at = (const unsigned char *)message; *at != '\0';) {
        char unit[16];
        at += json ? log_escape_json(at, unit) : log_escape_text(at, unit);
        if (line->used + strlen(unit) > LINE_SIZE - TAIL_SIZE) {
            line->cut = true;
            break;
        }
        log_put(line, unit);
    }
    if (line->cut) {
        log_put(line, "...");
    }
}

static const char *log_level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARN:
        return "warn";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        return "debug";
    }
    return "error";
}

/* sd-daemon(3) */
static const char *log_level_priority(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "<3>";
    case LOG_LEVEL_WARN:
        return "<4>";
    case LOG_LEVEL_INFO:
        return "<6>";
    case LOG_LEVEL_DEBUG:
        return "<7>";
    }
    return "<3>";
}

/* What stands behind the message. */
struct log_counts {
    unsigned long lost;
    unsigned left_out;
};

static void log_prepare_plain(struct log_line *line, enum log_level level, const char *message,
                              const struct log_counts *counts, bool journal)
{
    const char *program = atomic_load(&log_program);
    char head[128];
    if (journal) {
        (void)snprintf(head, sizeof head, "%s%.64s: ", log_level_priority(level), program);
    } else {
        char now[CLOCK_UTC_SIZE];
        clock_format_utc(clock_wall_ms(), now);
        (void)snprintf(head, sizeof head, "%s %.64s %s: ", now, program, log_level_name(level));
    }
    log_put(line, head);
    log_put_message(line, message, false);
    if (counts->left_out > 0) {
        char tail[TAIL_SIZE];
        (void)snprintf(tail, sizeof tail, " (and %u more like it since the last one)", counts->left_out);
        log_put(line, tail);
    }
    if (counts->lost > 0) {
        char tail[TAIL_SIZE];
        (void)snprintf(tail, sizeof tail, " (%lu lines lost before this one)", counts->lost);
        log_put(line, tail);
    }
}

static void log_prepare_json(struct log_line *line, enum log_level level, const char *message,
                             const struct log_counts *counts)
{
    char now[CLOCK_UTC_SIZE];
    char head[192];
    clock_format_utc(clock_wall_ms(), now);
    (void)snprintf(head, sizeof head, "{\"ts\":\"%s\",\"level\":\"%s\",\"program\":\"%.64s\",\"message\":\"",
                   now, log_level_name(level), atomic_load(&log_program));
    log_put(line, head);
    log_put_message(line, message, true);
    log_put(line, "\"");
    if (counts->left_out > 0) {
        char tail[TAIL_SIZE];
        (void)snprintf(tail, sizeof tail, ",\"left_out\":%u", counts->left_out);
        log_put(line, tail);
    }
    if (counts->lost > 0) {
        char tail[TAIL_SIZE];
        (void)snprintf(tail, sizeof tail, ",\"lost\":%lu", counts->lost);
        log_put(line, tail);
    }
    log_put(line, "}");
}

static ssize_t log_write_now(char *data, size_t length)
{
    int sink = atomic_load(&log_sink_now);
    if (sink == SINK_SOCKET) {
        ssize_t sent = send(STDERR_FILENO, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0 || errno != ENOTSOCK) {
            return sent;
        }
    } else if (sink == SINK_PIPE) {
        struct iovec part = {.iov_base = data, .iov_len = length};
        ssize_t written = pwritev2(STDERR_FILENO, &part, 1, -1, RWF_NOWAIT);
        if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) {
            return written;
        }
    } else if (sink == SINK_TERMINAL) {
        return write(atomic_load(&log_terminal), data, length);
    }
    return write(STDERR_FILENO, data, length);
}

ssize_t log_copy(char *data, size_t length)
{
    struct pollfd stream = {.fd = STDERR_FILENO, .events = POLLOUT};
    int ready = poll(&stream, 1, 0);
    if (ready == 1 && (stream.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        return -1;
    }
    if (ready != 1 || (stream.revents & POLLOUT) == 0) {
        return 0;
    }
    ssize_t written = log_write_now(data, length);
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return written > 0 ? written : -1;
}

/* True where stderr took the line. A reader that is gone counts as one that does not read: no SIGPIPE. */
static bool log_write(struct log_line *line)
{
    return log_copy(line->data, line->used) > 0;
}

static void log_line(enum log_level level, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void log_line(enum log_level level, const char *format, va_list arguments)
{
    int saved = errno;
    char message[LINE_SIZE];
    struct log_line line;
    if (!log_enabled(level)) {
        return;
    }
    line.used = 0;
    line.cut = false;
    /* clang-tidy 14 does not see va_start in the callers. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    int length = vsnprintf(message, sizeof message, format, arguments);
    if (length < 0) {
        (void)snprintf(message, sizeof message, "a message that cannot be formatted: %.200s", format);
    }
    line.cut = length >= (int)sizeof message;
    struct log_counts counts = {0};
    if (level <= LOG_LEVEL_WARN &&
        !log_repeat_pass(&log_repeats, message, clock_boot_ms(), &counts.left_out)) {
        errno = saved;
        return;
    }
    /* Taken out first, so that two threads do not both tell it; put back where this line is lost as well. */
    counts.lost = atomic_exchange(&log_lost, 0);
    switch ((enum log_format)atomic_load(&log_format_now)) {
    case LOG_FORMAT_JSON:
        log_prepare_json(&line, level, message, &counts);
        break;
    case LOG_FORMAT_JOURNAL:
        log_prepare_plain(&line, level, message, &counts, true);
        break;
    case LOG_FORMAT_AUTO:
    case LOG_FORMAT_TEXT:
        log_prepare_plain(&line, level, message, &counts, false);
        break;
    }
    line.data[line.used++] = '\n';
    if (!log_write(&line)) {
        (void)atomic_fetch_add(&log_lost, counts.lost + 1);
    }
    errno = saved;
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_ERROR, format, arguments);
    va_end(arguments);
}

void log_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_WARN, format, arguments);
    va_end(arguments);
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_INFO, format, arguments);
    va_end(arguments);
}

void log_debug(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(LOG_LEVEL_DEBUG, format, arguments);
    va_end(arguments);
}
