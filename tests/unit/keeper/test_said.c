/* test_said.c - what Livy writes: whole lines go to stderr (here: a pipe that the test reads, or does not),
 * the end of it is kept, and no room is taken for what has gone. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "livy-ha/clock.h"
#include "livy-ha/log.h"
#include "said.h"

struct bed {
    struct said said;
    int stderr_was, reader;
    char dir[64];
    size_t got;
    char text[65536]; /* what has come out */
};

static int setup(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    int ends[2];

    assert_non_null(bed);
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/livy-ha-said-XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    bed->reader = ends[0];
    bed->stderr_was = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    log_open("test", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    said_open(&bed->said, bed->dir);
    assert_true(bed->said.fd >= 0);
    *state = bed;
    return 0;
}

static int teardown(void **state)
{
    struct bed *bed = *state;

    said_close(&bed->said);
    assert_true(dup2(bed->stderr_was, STDERR_FILENO) >= 0);
    close(bed->stderr_was);
    if (bed->reader >= 0)
        close(bed->reader);
    assert_int_equal(rmdir(bed->dir), 0); /* nothing was left in it */
    free(bed);
    return 0;
}

static void writes(const struct bed *bed, const char *text)
{
    assert_int_equal(write(bed->said.fd, text, strlen(text)), strlen(text));
}

/* What has come out since the last time. */
static const char *comes_out(struct bed *bed)
{
    ssize_t n = read(bed->reader, bed->text, sizeof(bed->text) - 1);

    bed->text[n > 0 ? n : 0] = '\0';
    return bed->text;
}

static void test_lines_go_out(void **state)
{
    struct bed *bed = *state;
    struct pollfd look = {.fd = bed->said.watch, .events = POLLIN};

    said_begin(&bed->said);
    writes(bed, "one\ntwo\nthr");
    assert_int_equal(poll(&look, 1, 0), 1);
    said_copy(&bed->said, 1);
    assert_string_equal(comes_out(bed), "one\ntwo\n");
    assert_int_equal(poll(&look, 1, 0), 0);
    assert_int_equal(bed->said.again_at, CLOCK_NEVER);
    writes(bed, "ee\n");
    assert_int_equal(poll(&look, 1, 0), 1); /* though the file has no name any more */
    said_copy(&bed->said, 2);
    assert_string_equal(comes_out(bed), "three\n");
}

static void test_end(void **state)
{
    struct bed *bed = *state;
    struct livyend end;

    writes(bed, "java.net.BindException: of an earlier one\n");
    said_begin(&bed->said);
    writes(bed, "no more\nException in thread \"main\" java.io.IOException: Cannot write log directory /x");
    said_ended(&bed->said, 1, &end);
    assert_non_null(strstr(comes_out(bed), "Cannot write log directory /x"));
    assert_int_equal(end.why, LIVYEND_LOG_DIR);
    said_begin(&bed->said);
    said_ended(&bed->said, 2, &end);
    assert_int_equal(end.why, LIVYEND_UNKNOWN);
    assert_string_equal(end.line, "");
}

static void test_waits(void **state)
{
    struct bed *bed = *state;

    said_begin(&bed->said);
    assert_false(said_waits(&bed->said));
    writes(bed, "INFO ClientCnxn: Opening socket connection to server a\n");
    assert_true(said_waits(&bed->said));
    writes(bed, "INFO ClientCnxn: Session establishment complete on server a\n");
    assert_false(said_waits(&bed->said));
}

/* The pipe is full: nothing blocks, nothing is lost, and it is tried again. */
static void test_reader_that_is_slow(void **state)
{
    struct bed *bed = *state;
    char line[128];
    unsigned wrote = 0, next = 0, number;

    for (; wrote < 3000; wrote++) {
        snprintf(line, sizeof(line), "%0100u\n", wrote);
        writes(bed, line);
    }
    for (int i = 0; i < 10; i++)
        said_copy(&bed->said, 1000);
    assert_int_equal(bed->said.again_at, 1020);
    for (int round = 0; next < wrote; round++) {
        assert_true(round < 1000);
        char *at = (char *)comes_out(bed);
        for (char *newline; (newline = strchr(at, '\n')) != NULL; at = newline + 1) {
            assert_int_equal(sscanf(at, "%u", &number), 1);
            assert_int_equal(number, next++);
        }
        assert_int_equal(*at, '\0'); /* whole lines */
        said_copy(&bed->said, 2000);
    }
}

static void test_too_much_is_left_out_and_no_room_is_taken(void **state)
{
    struct bed *bed = *state;
    char block[4096];
    struct stat st;

    memset(block, 'x', sizeof(block));
    block[sizeof(block) - 1] = '\n';
    for (int i = 0; i < 2048; i++) /* 8 MiB */
        assert_int_equal(write(bed->said.fd, block, sizeof(block)), sizeof(block));
    said_copy(&bed->said, 1);
    assert_in_range(bed->said.copied, 7 << 20, 8 << 20);
    for (int i = 0; i < 10000 && bed->said.again_at != CLOCK_NEVER; i++) {
        (void)comes_out(bed);
        said_copy(&bed->said, 1);
    }
    assert_int_equal(fstat(bed->said.fd, &st), 0);
    assert_int_equal(st.st_size, 8 << 20);
    assert_true(st.st_blocks * 512 < 1 << 20);
}

/* runtime_dir is memory, as a rule. */
static void test_reader_that_is_stopped_costs_no_room(void **state)
{
    struct bed *bed = *state;
    char block[4096];
    struct stat st;

    memset(block, 'x', sizeof(block));
    block[sizeof(block) - 1] = '\n';
    for (int i = 0; i < 8192; i++) { /* 32 MiB */
        assert_int_equal(write(bed->said.fd, block, sizeof(block)), sizeof(block));
        if (i % 16 == 0)
            said_copy(&bed->said, i);
    }
    assert_int_equal(bed->said.again_at, 8176 + 20); /* nothing goes out */
    assert_int_equal(fstat(bed->said.fd, &st), 0);
    assert_int_equal(st.st_size, 32 << 20);
    assert_true(st.st_blocks * 512 < 5 << 20);
}

static void test_reader_that_is_gone(void **state)
{
    struct bed *bed = *state;

    signal(SIGPIPE, SIG_IGN);
    close(bed->reader);
    bed->reader = -1;
    writes(bed, "one\n");
    said_copy(&bed->said, 1);
    assert_int_equal(bed->said.copied, 4);
    assert_int_equal(bed->said.again_at, CLOCK_NEVER);
}

/* "echo x > /dev/stderr" in a script. */
static void test_truncated_by_livy(void **state)
{
    struct bed *bed = *state;
    char path[64];

    said_begin(&bed->said);
    writes(bed, "a first line\n");
    said_copy(&bed->said, 1);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", bed->said.fd);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "two\n", 4), 4);
    close(fd);
    writes(bed, "three\n");
    said_copy(&bed->said, 2);
    assert_string_equal(comes_out(bed), "a first line\ntwo\nthree\n");
}

/* Then Livy inherits stderr, and there is nothing to copy. */
static void test_where_it_cannot_be(void **state)
{
    struct bed *bed = *state;
    struct said none;
    struct livyend end;

    said_open(&none, "/proc/nowhere");
    assert_int_equal(none.fd, -1);
    assert_non_null(strstr(comes_out(bed), "Livy's last words will not be known: "));
    said_begin(&none);
    said_copy(&none, 1);
    said_ended(&none, 2, &end);
    assert_string_equal(end.line, "");
    assert_false(said_waits(&none));
    said_close(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines_go_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_is_slow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_much_is_left_out_and_no_room_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_is_stopped_costs_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_by_livy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_it_cannot_be, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
