/* test_ipc.c - the channel between keeper and elector: whole messages, descriptors, and what is not a
 * message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/ipc.h"
#include "livy-ha/packet.h"

static int open_count(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

struct bed {
    int pair[2];
    int descriptors; /* open before */
};

static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    bed->descriptors = open_count();
    assert_int_equal(packet_pair(bed->pair), 0);
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;
    for (int i = 0; i < 2; i++)
        if (bed->pair[i] >= 0)
            close(bed->pair[i]);
    assert_int_equal(open_count(), bed->descriptors); /* nothing leaks, whatever came in */
    free(bed);
    return 0;
}

static void test_round_trip(void **state)
{
    struct bed *bed = *state;
    struct ipc_msg sent = {.type = IPC_START, .epoch = 5, .kill_at = 77, .run = 3}, got;
    int fd = 99;

    snprintf(sent.text, sizeof(sent.text), "why");
    int64_t before = clock_boot_ms();
    assert_int_equal(ipc_send(bed->pair[0], &sent, -1), 0);
    assert_int_equal(ipc_recv(bed->pair[1], &got, &fd), 1);
    assert_int_equal(fd, -1);
    assert_memory_equal(&sent, &got, sizeof(got));
    assert_true(got.sent_at >= before && got.sent_at <= clock_boot_ms());
    assert_int_equal(ipc_recv(bed->pair[1], &got, &fd), 0);
    assert_int_equal(fd, -1);
}

static void test_order_is_kept(void **state)
{
    struct bed *bed = *state;
    struct ipc_msg msg;
    int fd;

    for (uint32_t i = 0; i < 20; i++) {
        struct ipc_msg sent = {.type = IPC_LEASE, .run = i};
        assert_int_equal(ipc_send(bed->pair[0], &sent, -1), 0);
    }
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(ipc_recv(bed->pair[1], &msg, &fd), 1);
        assert_int_equal(msg.run, i);
    }
}

static void test_descriptor(void **state)
{
    struct bed *bed = *state;
    struct ipc_msg msg = {.type = IPC_LIVY};
    struct stat a, b;
    int fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(null >= 0);
    assert_int_equal(ipc_send(bed->pair[0], &msg, null), 0);
    assert_int_equal(ipc_recv(bed->pair[1], &msg, &fd), 1);
    assert_true(fd >= 0 && fd != null);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fstat(fd, &a) == 0 && fstat(null, &b) == 0);
    assert_int_equal(a.st_rdev, b.st_rdev);
    close(fd);
    close(null);
}

static void test_both_ends_are_cloexec(void **state)
{
    struct bed *bed = *state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fcntl(bed->pair[i], F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(bed->pair[i], F_GETFL) & O_NONBLOCK);
    }
}

static void test_end_of_file(void **state)
{
    struct bed *bed = *state;
    struct ipc_msg msg = {.type = IPC_READY};
    int fd;

    assert_int_equal(ipc_send(bed->pair[0], &msg, -1), 0);
    close(bed->pair[0]);
    bed->pair[0] = -1;
    assert_int_equal(ipc_recv(bed->pair[1], &msg, &fd), 1); /* its last words */
    assert_int_equal(ipc_recv(bed->pair[1], &msg, &fd), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(ipc_send(bed->pair[1], &msg, -1), -1); /* and no SIGPIPE */
    assert_int_equal(errno, EPIPE);
}

/* Whoever ends with our messages unread makes a reset of it; what it said before is heard all the same. */
static void test_last_words(void **state)
{
    const struct bed *bed = *state;
    struct ipc_msg msg = {.type = IPC_PING};
    int fd;

    assert_int_equal(ipc_send(bed->pair[0], &msg, -1), 0);
    msg = (struct ipc_msg){.type = IPC_FATAL, .code = 75};
    assert_int_equal(ipc_send(bed->pair[1], &msg, -1), 0);
    close(bed->pair[1]);
    assert_int_equal(ipc_recv(bed->pair[0], &msg, &fd), 1);
    assert_int_equal(msg.type, IPC_FATAL);
    assert_int_equal(ipc_recv(bed->pair[0], &msg, &fd), -1);
    assert_int_equal(errno, EPIPE);
    ((struct bed *)*state)->pair[1] = -1;
}

static void test_full(void **state)
{
    struct bed *bed = *state;
    struct ipc_msg msg = {.type = IPC_LEASE};
    int sent = 0, got = 0, fd;

    while (ipc_send(bed->pair[0], &msg, -1) == 0 && sent < 100000)
        sent++;
    assert_int_equal(errno, EAGAIN);
    assert_true(sent >= 32); /* room for a stopped peer's seconds */
    while (ipc_recv(bed->pair[1], &msg, &fd) == 1)
        got++;
    assert_int_equal(got, sent);
}

/* ---- what is not a message ---- */

/* As ipc_send does it, but as it is. */
static void send_raw(int socket, const void *data, size_t size, const int *fds, size_t n_fds)
{
    union {
        char space[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {.iov_base = (void *)data, .iov_len = size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n_fds > 0) {
        header.msg_control = control.space;
        header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
    }
    assert_int_equal(sendmsg(socket, &header, MSG_NOSIGNAL), size);
}

static struct ipc_msg good(void)
{
    struct ipc_msg msg = {.magic = IPC_MAGIC, .type = IPC_LIVY, .sent_at = 5};
    return msg;
}

static void refused(struct bed *bed, const void *data, size_t size)
{
    struct ipc_msg msg;
    int fd, null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(null >= 0);
    send_raw(bed->pair[0], data, size, &null, 1);
    assert_int_equal(ipc_recv(bed->pair[1], &msg, &fd), -1);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(fd, -1);
    close(null);
}

static void test_wrong_sizes(void **state)
{
    struct bed *bed = *state;
    struct {
        struct ipc_msg msg;
        char more;
    } data = {.msg = good()};

    refused(bed, &data, sizeof(data.msg) - 1);
    refused(bed, &data, 1);
    refused(bed, &data, sizeof(data.msg) + 1);
}

#define SPOILT(...)                                                                                          \
    do {                                                                                                     \
        struct ipc_msg msg = good();                                                                         \
        __VA_ARGS__;                                                                                         \
        refused(bed, &msg, sizeof(msg));                                                                     \
    } while (0)

static void test_wrong_fields(void **state)
{
    struct bed *bed = *state;

    SPOILT(msg.magic++);
    SPOILT(msg.type = 0);
    SPOILT(msg.type = IPC_LOOK + 1);
    SPOILT(msg.type = IPC_WELCOME - 1);
    SPOILT(msg.type = IPC_HELD + 1);
    SPOILT(msg.sent_at = -1);
    SPOILT(msg.epoch = -1);
    SPOILT(msg.kill_at = -1);
    SPOILT(msg.kill_at = INT64_MAX);
    SPOILT(msg.grace = -1);
    SPOILT(msg.grace = INT64_MAX);
    SPOILT(msg.code = -1);
    SPOILT(msg.code = 256);
    SPOILT(msg.quitting = 2);
    SPOILT(msg.pending_restart = 2);
    SPOILT(msg.livy.state = IPC_LIVY_STOPPING + 1);
    SPOILT(msg.livy.cause = IPC_CAUSE_REFUSED + 1);
    SPOILT(msg.livy.pid = -1);
    SPOILT(msg.livy.status = -1);
    SPOILT(msg.livy.epoch = -1);
    SPOILT(msg.livy.kill_at = -1);
    SPOILT(msg.livy.started_at = INT64_MAX);
    SPOILT(msg.session.timeout = -1);
    SPOILT(msg.session.timeout = INT64_MAX);
    SPOILT(memset(msg.session.uuid, 'a', sizeof(msg.session.uuid)));
    SPOILT(memset(msg.session.node, 'a', sizeof(msg.session.node)));
    SPOILT(msg.fence.outcome = IPC_FENCE_NOT_RUN + 1);
    SPOILT(msg.fence.status = -1);
    SPOILT(msg.fence.status = 256);
    SPOILT(msg.fence.member.epoch = -1);
    SPOILT(memset(msg.fence.member.id, 'a', sizeof(msg.fence.member.id)));
    SPOILT(memset(msg.fence.member.host, 'a', sizeof(msg.fence.member.host)));
    SPOILT(memset(msg.fence.member.url, 'a', sizeof(msg.fence.member.url)));
    SPOILT(memset(msg.text, 'a', sizeof(msg.text)));

    struct ipc_msg msg = good(), got;
    int fd;
    send_raw(bed->pair[0], &msg, sizeof(msg), NULL, 0); /* the unspoilt one passes */
    assert_int_equal(ipc_recv(bed->pair[1], &got, &fd), 1);
}

/* More than one descriptor, and more than there is room for: one is taken, none leaks. */
static void test_too_many_descriptors(void **state)
{
    struct bed *bed = *state;
    struct ipc_msg msg = good(), got;
    int nulls[8], fd;

    for (size_t i = 0; i < 8; i++)
        assert_true((nulls[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
    for (size_t n = 2; n <= 8; n++) {
        int before = open_count();
        send_raw(bed->pair[0], &msg, sizeof(msg), nulls, n);
        assert_int_equal(ipc_recv(bed->pair[1], &got, &fd), 1);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(open_count(), before);
    }
    for (size_t i = 0; i < 8; i++)
        close(nulls[i]);
}

/* Packets of any size up to a bound, and none beyond it. */
static void test_packets_of_any_size(void **state)
{
    (void)state;
    int pair[2], fd;
    char sent[300], got[200];
    size_t length = 0;

    memset(sent, 'x', sizeof(sent));
    assert_int_equal(packet_pair(pair), 0);
    for (size_t size = 1; size <= sizeof(got); size += 199) {
        assert_int_equal(packet_send(pair[0], sent, size, -1), 0);
        assert_int_equal(packet_recv_some(pair[1], got, sizeof(got), &length, &fd), 1);
        assert_int_equal(length, size);
        assert_int_equal(fd, -1);
    }
    assert_int_equal(packet_send(pair[0], sent, sizeof(got) + 1, STDIN_FILENO), 0);
    assert_int_equal(packet_recv_some(pair[1], got, sizeof(got), &length, &fd), -1);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(fd, -1);
    assert_int_equal(packet_recv_some(pair[1], got, sizeof(got), &length, &fd), 0);
    close(pair[0]);
    close(pair[1]);
}

/* ---- words ---- */

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(ipc_type_name(IPC_HELLO), "hello");
    assert_string_equal(ipc_type_name(IPC_FATAL), "fatal");
    assert_string_equal(ipc_type_name(IPC_FENCE), "fence");
    assert_string_equal(ipc_type_name(IPC_ASK), "ask");
    assert_string_equal(ipc_type_name(IPC_FENCED), "fenced");
    assert_string_equal(ipc_type_name(IPC_WELCOME), "welcome");
    assert_string_equal(ipc_type_name(IPC_PING), "ping");
    assert_string_equal(ipc_type_name(0), "unknown");
    assert_string_equal(ipc_type_name(IPC_REQUEST), "request");
    assert_string_equal(ipc_type_name(IPC_ANSWER), "answer");
    assert_string_equal(ipc_type_name(IPC_HANDOVER), "handover");
    assert_string_equal(ipc_type_name(IPC_RETIRE), "retire");
    assert_string_equal(ipc_type_name(IPC_HELD), "held");
    assert_string_equal(ipc_type_name(IPC_HELD + 1), "unknown");
    assert_string_equal(ipc_type_name(IPC_CHANGED), "changed");
    assert_string_equal(ipc_type_name(IPC_LOOK), "look");
    assert_string_equal(ipc_type_name(IPC_LOOK + 1), "unknown");
    assert_string_equal(ipc_role_name(IPC_ROLE_ACTIVE), "active");
    assert_string_equal(ipc_role_name(IPC_ROLE_STOPPED), "stopped");
    assert_string_equal(ipc_role_name(99), "unknown");
    assert_string_equal(ipc_type_name(UINT32_MAX), "unknown");
}

static void test_describe(void **state)
{
    (void)state;
    char out[128], small[8];
    struct ipc_livy livy = {.cause = IPC_CAUSE_SIGNALLED, .status = SIGSEGV};

    ipc_livy_describe(&livy, "", out, sizeof(out));
    assert_string_equal(out, "killed by signal 11 (Segmentation fault)");
    ipc_livy_describe(&livy, "", small, sizeof(small));
    assert_string_equal(small, "killed ");
    livy = (struct ipc_livy){.cause = IPC_CAUSE_NOT_STARTED};
    ipc_livy_describe(&livy, "no such file", out, sizeof(out));
    assert_string_equal(out, "could not be started: no such file");
    for (uint32_t cause = 0; cause <= IPC_CAUSE_REFUSED; cause++) {
        livy.cause = cause;
        ipc_livy_describe(&livy, "", out, sizeof(out));
        assert_null(strstr(out, "unknown"));
    }
    livy.cause = IPC_CAUSE_REFUSED + 1;
    ipc_livy_describe(&livy, "", out, sizeof(out));
    assert_non_null(strstr(out, "unknown cause"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_bed, clear_bed)
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip),
        CASE(test_order_is_kept),
        CASE(test_descriptor),
        CASE(test_end_of_file),
        CASE(test_last_words),
        CASE(test_full),
        CASE(test_both_ends_are_cloexec),
        CASE(test_wrong_sizes),
        CASE(test_wrong_fields),
        CASE(test_too_many_descriptors),
        CASE(test_packets_of_any_size),
        CASE(test_names),
        CASE(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
