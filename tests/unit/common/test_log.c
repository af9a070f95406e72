/* test_log.c - the log's lines: forms, escapes, bounds, and that a full or closed stderr never blocks.
 *
 * Each case gives the process another stderr for a moment and reads what came out at the other end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "livy-ha/log.h"
#include "log_repeat.h"

struct stream {
    int saved; /* the real stderr */
    int read_end;
};

static struct stream stream_take(int read_end, int write_end)
{
    struct stream stream = {.saved = dup(STDERR_FILENO), .read_end = read_end};
    assert_true(stream.saved >= 0);
    assert_true(dup2(write_end, STDERR_FILENO) == STDERR_FILENO);
    assert_int_equal(close(write_end), 0);
    return stream;
}

static struct stream stream_pipe(void)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    return stream_take(ends[0], ends[1]);
}

static struct stream stream_socket(void)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    return stream_take(ends[0], ends[1]);
}

static struct stream stream_terminal(void)
{
    char name[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    assert_int_equal(ptsname_r(master, name, sizeof name), 0);
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(slave >= 0);
    return stream_take(master, slave);
}

static void stream_give_back(struct stream *stream)
{
    assert_true(dup2(stream->saved, STDERR_FILENO) == STDERR_FILENO);
    assert_int_equal(close(stream->saved), 0);
    if (stream->read_end >= 0) {
        assert_int_equal(close(stream->read_end), 0);
    }
}

/* All that is there now. */
static size_t stream_read(const struct stream *stream, char *text, size_t size)
{
    size_t used = 0;
    struct pollfd input = {.fd = stream->read_end, .events = POLLIN};
    while (used < size - 1 && poll(&input, 1, 0) == 1 && (input.revents & POLLIN) != 0) {
        ssize_t got = read(stream->read_end, text + used, size - 1 - used);
        assert_true(got >= 0);
        if (got == 0) {
            break;
        }
        used += (size_t)got;
    }
    text[used] = '\0';
    return used;
}

static void assert_matches(const char *text, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int found = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    if (found != 0) {
        print_message("no match for %s:\n%s\n", pattern, text);
    }
    assert_int_equal(found, 0);
}

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

static void test_forms(void **state)
{
    (void)state;
    char text[8192];
    struct stream stream = stream_pipe();
    log_open("keeper", LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
    log_error("a %d", 1);
    log_warn("b");
    log_info("c");
    log_debug("d");
    (void)stream_read(&stream, text, sizeof text);
    assert_matches(text, "^" TIME " keeper error: a 1\n" TIME " keeper warn: b\n" TIME
                         " keeper info: c\n" TIME " keeper debug: d\n$");

    log_open("elector", LOG_LEVEL_DEBUG, LOG_FORMAT_JOURNAL);
    log_error("a");
    log_warn("b");
    log_info("c");
    log_debug("d");
    (void)stream_read(&stream, text, sizeof text);
    assert_string_equal(text, "<3>elector: a\n<4>elector: b\n<6>elector: c\n<7>elector: d\n");

    log_open("keeper", LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
    log_warn("say \"%s\" \\", "hi");
    (void)stream_read(&stream, text, sizeof text);
    assert_matches(text,
                   "^\\{\"ts\":\"" TIME "\",\"level\":\"warn\",\"program\":\"keeper\",\"message\":\"say "
                   "\\\\\"hi\\\\\" \\\\\\\\\"\\}\n$");
    stream_give_back(&stream);
}

static void test_levels(void **state)
{
    (void)state;
    char text[1024];
    struct stream stream = stream_pipe();
    log_open("keeper", LOG_LEVEL_WARN, LOG_FORMAT_JOURNAL);
    assert_true(log_enabled(LOG_LEVEL_ERROR));
    assert_true(log_enabled(LOG_LEVEL_WARN));
    assert_false(log_enabled(LOG_LEVEL_INFO));
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    log_info("no");
    log_debug("no");
    log_warn("yes");
    (void)stream_read(&stream, text, sizeof text);
    assert_string_equal(text, "<4>keeper: yes\n");
    stream_give_back(&stream);
}

static void test_nothing_forges_a_line(void **state)
{
    (void)state;
    char text[1024];
    struct stream stream = stream_pipe();
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    log_info(
        "%s",
        "a\n<3>keeper: forged\r\t\x1b[2J\x7f \xc2\x9b \xff\xc0\x80 \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    (void)stream_read(&stream, text, sizeof text);
    assert_string_equal(text,
                        "<6>keeper: a\\n<3>keeper: forged\\x0d\\t\\x1b[2J\\x7f \\xc2\\x9b \\xff\\xc0\\x80 "
                        "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n");
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_info("%s", "a\n\x1f\x7f\xff\xed\xa0\x80\xc3\xa9");
    (void)stream_read(&stream, text, sizeof text);
    assert_non_null(
        strstr(text, "\"message\":\"a\\u000a\\u001f\\u007f\\ufffd\\ufffd\\ufffd\\ufffd\xc3\xa9\"}\n"));
    stream_give_back(&stream);
}

/* One line, at most 4096 bytes, whole at its end, whatever the message grows to by escaping. */
static void test_long_lines_are_cut(void **state)
{
    (void)state;
    static char message[20000];
    static char text[8192];
    static const char *const fills[] = {"x", "\n", "\xc3\xa9", "\"", "\xff"};
    static const enum log_format formats[] = {LOG_FORMAT_TEXT, LOG_FORMAT_JOURNAL, LOG_FORMAT_JSON};
    struct stream stream = stream_pipe();
    for (size_t i = 0; i < sizeof fills / sizeof fills[0] * 3; i++) {
        const char *fill = fills[i / 3];
        size_t length = strlen(fill);
        for (size_t j = 0; j + length < sizeof message; j += length) {
            memcpy(message + j, fill, length);
            message[j + length] = '\0';
        }
        log_open("keeper", LOG_LEVEL_INFO, formats[i % 3]);
        log_info("%s", message);
        size_t got = stream_read(&stream, text, sizeof text);
        assert_true(got > 3900 && got <= 4096);
        assert_ptr_equal(strchr(text, '\n'), text + got - 1);
        assert_non_null(strstr(text, formats[i % 3] == LOG_FORMAT_JSON ? "...\"}\n" : "...\n"));
    }
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    memset(message, 'x', 3500);
    message[3500] = '\0';
    log_info("%s", message);
    assert_int_equal(stream_read(&stream, text, sizeof text), 3500 + sizeof "<6>keeper: \n" - 1);
    assert_null(strstr(text, "..."));
    stream_give_back(&stream);
}

/* Blocks for ever here where a write blocks: the test's time limit then ends it. */
static void check_full(struct stream stream)
{
    static char text[4 * 1024 * 1024];
    char expected[128];
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    static char message[1001];
    memset(message, 'x', sizeof message - 1);
    for (int i = 0; i < 3000; i++) {
        log_info("%s", message);
    }
    size_t got = stream_read(&stream, text, sizeof text);
    size_t line = sizeof message - 1 + sizeof "<6>keeper: \n" - 1;
    assert_true(got > 0 && got % line == 0);
    size_t lost = 3000 - got / line;
    assert_true(lost > 0);
    log_info("after");
    log_info("again");
    (void)stream_read(&stream, text, sizeof text);
    (void)snprintf(expected, sizeof expected,
                   "<6>keeper: after (%zu lines lost before this one)\n<6>keeper: again\n", lost);
    assert_string_equal(text, expected);
    stream_give_back(&stream);
}

static void test_full_pipe(void **state)
{
    (void)state;
    check_full(stream_pipe());
}

static void test_full_socket(void **state)
{
    (void)state;
    check_full(stream_socket());
}

/* Ctrl-S, or a container's terminal that nobody reads: it polls writable for as long as one byte fits. */
static void test_full_terminal(void **state)
{
    (void)state;
    static char data[4096];
    struct stream stream = stream_terminal();
    ssize_t took = 1;
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    memset(data, 'x', sizeof data);
    data[sizeof data - 1] = '\n';
    (void)alarm(20); /* a write that blocks would do so for ever */
    for (int i = 0; i < 1000 && took > 0; i++) {
        took = log_copy(data, sizeof data);
    }
    assert_int_equal(took, 0);
    for (int i = 0; i < 1000; i++) {
        log_info("%.200s", data);
    }
    (void)alarm(0);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0); /* the shell's as well */
    stream_give_back(&stream);
    stream = stream_pipe();
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    log_info("after");
    (void)stream_read(&stream, data, sizeof data);
    assert_non_null(strstr(data, "lines lost before this one"));
    stream_give_back(&stream);
}

static void test_lost_lines_in_json(void **state)
{
    (void)state;
    char text[1024];
    struct stream stream = stream_pipe();
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    int saved = dup(STDERR_FILENO);
    assert_int_equal(close(STDERR_FILENO), 0);
    log_info("gone");
    log_info("gone");
    assert_true(dup2(saved, STDERR_FILENO) == STDERR_FILENO);
    assert_int_equal(close(saved), 0);
    log_info("here");
    (void)stream_read(&stream, text, sizeof text);
    assert_non_null(strstr(text, "\"message\":\"here\",\"lost\":2}\n"));
    stream_give_back(&stream);
}

/* Neither SIGPIPE nor an error where nobody reads any more; errno is the caller's. */
static void test_reader_gone(void **state)
{
    (void)state;
    char text[256];
    struct stream streams[2] = {stream_pipe()};
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            streams[1] = stream_socket();
        }
        log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
        assert_int_equal(close(streams[i].read_end), 0);
        streams[i].read_end = -1;
        errno = EXDEV;
        log_info("nobody");
        assert_int_equal(errno, EXDEV);
        stream_give_back(&streams[i]);
    }
    struct stream stream = stream_pipe();
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    errno = ENOENT;
    log_info("%m");
    (void)stream_read(&stream, text, sizeof text);
    assert_string_equal(text, "<6>keeper: No such file or directory (2 lines lost before this one)\n");
    stream_give_back(&stream);
}

/* ---- LOG_FORMAT_AUTO ---- */

static enum log_format auto_with(const char *stream_name)
{
    if (stream_name != NULL) {
        assert_int_equal(setenv("JOURNAL_STREAM", stream_name, 1), 0);
    } else {
        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    }
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    return log_format_in_use();
}

static void test_auto(void **state)
{
    (void)state;
    char name[64];
    struct stat status;
    struct stream stream = stream_socket();
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    (void)snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    assert_int_equal(auto_with(name), LOG_FORMAT_JOURNAL);
    assert_int_equal(auto_with("1:1"), LOG_FORMAT_TEXT);
    assert_int_equal(auto_with(""), LOG_FORMAT_TEXT);
    assert_int_equal(auto_with(NULL), LOG_FORMAT_TEXT);
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    assert_int_equal(log_format_in_use(), LOG_FORMAT_JSON);
    stream_give_back(&stream);
}

/* ---- threads ---- */

enum { THREADS = 4, LINES = 200 };

static void *log_many(void *arg)
{
    for (int i = 0; i < LINES; i++) {
        log_info("%c line %03d of a thread", *(const char *)arg, i);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    static char text[256 * 1024];
    static char names[THREADS] = {'a', 'b', 'c', 'd'};
    pthread_t threads[THREADS];
    struct stream stream = stream_pipe();
    /* A page a line is what a pipe may take; all lines must fit. */
    assert_true(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 1024 * 1024) >= THREADS * LINES * 64);
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, &names[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    (void)stream_read(&stream, text, sizeof text);
    int next[THREADS] = {0};
    int lines = 0;
    for (char *line = text; *line != '\0'; lines++) {
        char expected[64];
        char *newline = strchr(line, '\n');
        assert_non_null(newline);
        *newline = '\0';
        int thread = line[sizeof "<6>keeper: " - 1] - 'a';
        assert_true(thread >= 0 && thread < THREADS);
        (void)snprintf(expected, sizeof expected, "<6>keeper: %c line %03d of a thread", 'a' + thread,
                       next[thread]++);
        assert_string_equal(line, expected);
        line = newline + 1;
    }
    assert_int_equal(lines, THREADS * LINES);
    stream_give_back(&stream);
}

static void test_regular_file(void **state)
{
    (void)state;
    char path[] = "/tmp/livy-ha-log-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    assert_true(fd >= 0);
    int reader = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(unlink(path), 0);
    char text[256];
    struct stream stream = stream_take(reader, fd);
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_JOURNAL);
    log_info("one");
    log_info("two");
    (void)stream_read(&stream, text, sizeof text);
    assert_string_equal(text, "<6>keeper: one\n<6>keeper: two\n");
    stream_give_back(&stream);
}

/* ---- what is said again and again ---- */

static void test_repeats(void **state)
{
    (void)state;
    static struct log_repeat repeat;
    unsigned left_out = 7;
    int passed = 0;

    for (int i = 0; i < 100; i++)
        passed += log_repeat_pass(&repeat, "the server refuses", 1000 + i, &left_out) ? 1 : 0;
    assert_int_equal(passed, LOG_REPEAT_PASS);
    assert_true(log_repeat_pass(&repeat, "another thing", 1100, &left_out));
    assert_int_equal(left_out, 0);
    assert_false(log_repeat_pass(&repeat, "the server refuses", 1000 + LOG_REPEAT_MS - 1, &left_out));
    assert_true(log_repeat_pass(&repeat, "the server refuses", 1000 + LOG_REPEAT_MS, &left_out));
    assert_int_equal(left_out, 98);
    assert_true(log_repeat_pass(&repeat, "the server refuses", 1000 + LOG_REPEAT_MS, &left_out));
    assert_int_equal(left_out, 0); /* told once */
    assert_true(log_repeat_pass(&repeat, "the server refuses", 1000 + 3 * LOG_REPEAT_MS, &left_out));
    assert_int_equal(left_out, 0); /* nothing was left out */
    log_repeat_clear(&repeat);
    for (int i = 0; i < LOG_REPEAT_PASS; i++)
        assert_true(log_repeat_pass(&repeat, "the server refuses", 2000, &left_out));
    assert_false(log_repeat_pass(&repeat, "the server refuses", 2000, &left_out));
}

/* Warnings and errors are, what merely goes on is not. */
static void test_repeated_lines(void **state)
{
    (void)state;
    static char text[16384];
    struct stream stream = stream_pipe();
    size_t n = 0;

    log_open("unit", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < 10; i++) {
        log_error("no answer");
        log_warn("it is slow");
        log_info("a heartbeat");
        log_error("attempt %d fails", i);
    }
    text[stream_read(&stream, text, sizeof(text) - 1)] = '\0';
    stream_give_back(&stream);
    for (const char *at = text; (at = strstr(at, "no answer")) != NULL; at++)
        n++;
    assert_int_equal(n, 3);
    for (const char *at = text; (at = strstr(at, "it is slow")) != NULL; at++)
        n++;
    assert_int_equal(n, 6);
    for (const char *at = text; (at = strstr(at, "a heartbeat")) != NULL; at++)
        n++;
    assert_int_equal(n, 16);
    for (const char *at = text; (at = strstr(at, " fails")) != NULL; at++)
        n++;
    assert_int_equal(n, 26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_nothing_forges_a_line),
        cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_full_pipe),
        cmocka_unit_test(test_full_socket),
        cmocka_unit_test(test_full_terminal),
        cmocka_unit_test(test_lost_lines_in_json),
        cmocka_unit_test(test_reader_gone),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_regular_file),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_repeated_lines),
    };
    (void)signal(SIGPIPE, SIG_DFL); /* so that a SIGPIPE would show */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
