/* test_lockfile.c - locks that end with their holder, and finding and ending who holds them. Real processes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "livy-ha/lockfile.h"

struct bed {
    char dir[64], path[128];
};

static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    assert_non_null(bed);
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/livy-ha-lock.XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    assert_int_equal(lockfile_livy_path(bed->dir, bed->path, sizeof(bed->path)), 0);
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;
    remove_all(bed->dir);
    free(bed);
    return 0;
}

/* A process that holds the file open (and inherits the lock where we have it) until it is killed. */
static pid_t start_holder(const char *path)
{
    int told[2];
    char byte;
    pid_t parent = getpid();

    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ||
            (path != NULL && open(path, O_RDWR) < 0) || write(told[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    close(told[0]);
    close(told[1]);
    return pid;
}

static void reap(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void test_take(void **state)
{
    struct bed *bed = *state;

    assert_int_equal(lockfile_free(bed->path), 1); /* not there */
    int fd = lockfile_take(bed->path);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(look(bed->dir, "livy.lock").st_mode & 0777, 0600);
    assert_int_equal(lockfile_free(bed->path), 0);
    assert_int_equal(lockfile_take(bed->path), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    close(fd);
    assert_int_equal(lockfile_free(bed->path), 1);
    fd = lockfile_take(bed->path);
    assert_true(fd >= 0);
    close(fd);
}

/* Two that look at the same time do not take each other for the holder. */
static void test_looking_is_shared(void **state)
{
    struct bed *bed = *state;

    close(lockfile_take(bed->path));
    int fd = open(bed->path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0); /* what lockfile_free does, held on to */
    assert_int_equal(lockfile_free(bed->path), 1);
    close(fd);
}

/* Who has the lock for a moment is waited for, but not for longer than was said. */
static void test_a_moment_is_waited_for(void **state)
{
    struct bed *bed = *state;
    char byte;
    int told[2], theirs = lockfile_take(bed->path), ours = lockfile_open(bed->path);

    assert_true(theirs >= 0 && ours >= 0);
    assert_int_equal(lockfile_lock_within(ours, 3), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t looker = fork(); /* inherits theirs: the lock is its own once it is closed here */
    assert_true(looker >= 0);
    if (looker == 0) {
        close(ours);
        if (read(told[0], &byte, 1) != 1)
            _exit(1);
        poll(NULL, 0, 20); /* the length of the moment */
        _exit(0);
    }
    close(theirs);
    assert_int_equal(write(told[1], "x", 1), 1);
    int again = lockfile_lock_within(ours, 10000);
    assert_true(again >= 0); /* 0: it took us as long to look as the moment was */
    assert_int_equal(lockfile_free(bed->path), 0);
    assert_int_equal(waitpid(looker, NULL, 0), looker);
    lockfile_unlock(ours);
    assert_int_equal(lockfile_lock_within(ours, 0), 0); /* free: at once */
    close(ours);
    close(told[0]);
    close(told[1]);
}

static void test_lock_is_inherited(void **state)
{
    struct bed *bed = *state;
    int fd = lockfile_take(bed->path);

    assert_true(fd >= 0);
    pid_t heir = start_holder(NULL);
    close(fd);
    assert_int_equal(lockfile_free(bed->path), 0);
    assert_int_equal(kill(heir, SIGKILL), 0);
    reap(heir);
    assert_int_equal(lockfile_free(bed->path), 1);
}

static void test_links_are_not_followed(void **state)
{
    struct bed *bed = *state;
    char other[128];

    snprintf(other, sizeof(other), "%s/other", bed->dir);
    assert_int_equal(symlink(other, bed->path), 0);
    assert_int_equal(lockfile_take(bed->path), -1);
    assert_int_equal(errno, ELOOP);
    assert_int_equal(lockfile_free(bed->path), -1);
    assert_int_equal(access(other, F_OK), -1);
}

static void test_holders(void **state)
{
    struct bed *bed = *state;
    pid_t pids[8];

    assert_int_equal(lockfile_holders(bed->path, pids, 8), 0); /* no such file */
    close(lockfile_take(bed->path));
    int own = open(bed->path, O_RDWR | O_CLOEXEC);
    assert_int_equal(lockfile_holders(bed->path, pids, 8), 0); /* ourselves do not count */
    close(own);
    pid_t a = start_holder(bed->path), b = start_holder(bed->path), c = start_holder(NULL);
    assert_int_equal(lockfile_holders(bed->path, pids, 8), 2);
    assert_true((pids[0] == a && pids[1] == b) || (pids[0] == b && pids[1] == a));
    assert_int_equal(lockfile_holders(bed->path, pids, 1), 1);
    assert_int_equal(lockfile_holders(bed->path, pids, 0), 0);
    pid_t all[] = {a, b, c};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(kill(all[i], SIGKILL), 0);
        reap(all[i]);
    }
}

/* A file of the same name elsewhere is another file, and one that was removed and made again is too. */
static void test_the_same_name_is_not_the_same_file(void **state)
{
    struct bed *bed = *state;
    char other[128];
    pid_t pids[8];

    close(lockfile_take(bed->path));
    pid_t old = start_holder(bed->path);
    assert_int_equal(unlink(bed->path), 0);
    close(lockfile_take(bed->path));
    assert_int_equal(lockfile_holders(bed->path, pids, 8), 0);
    snprintf(other, sizeof(other), "%s/sub", bed->dir);
    assert_int_equal(mkdir(other, 0700), 0);
    snprintf(other, sizeof(other), "%s/sub/livy.lock", bed->dir);
    close(lockfile_take(other));
    pid_t namesake = start_holder(other);
    assert_int_equal(lockfile_holders(bed->path, pids, 8), 0);
    pid_t first = 77;
    assert_int_equal(lockfile_end_holders(bed->path, 0, &first), 0);
    assert_int_equal(first, 0);
    assert_int_equal(kill(old, SIGKILL), 0);
    reap(old);
    assert_int_equal(kill(namesake, SIGKILL), 0);
    reap(namesake);
}

/* However many there are: Livy may have left dozens of helpers that kept the descriptor. */
static void test_end_holders(void **state)
{
    struct bed *bed = *state;
    pid_t holders[40], first;

    close(lockfile_take(bed->path));
    int own = open(bed->path, O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < 40; i++)
        holders[i] = start_holder(bed->path);
    pid_t spare = holders[7];
    assert_int_equal(lockfile_end_holders(bed->path, spare, &first), 39);
    assert_true(first > 0 && first != spare);
    for (size_t i = 0; i < 40; i++)
        if (i != 7)
            reap(holders[i]);
    assert_int_equal(waitpid(spare, NULL, WNOHANG), 0);
    assert_int_equal(lockfile_end_holders(bed->path, 0, &first), 1);
    assert_int_equal(first, spare);
    reap(spare);
    close(own);
}

static void test_paths(void **state)
{
    (void)state;
    char path[32], small[16];

    assert_int_equal(lockfile_daemon_path("/run/livy-ha", path, sizeof(path)), 0);
    assert_string_equal(path, "/run/livy-ha/daemon.lock");
    assert_int_equal(lockfile_session_path("/run/livy-ha", path, sizeof(path)), 0);
    assert_string_equal(path, "/run/livy-ha/session");
    assert_int_equal(lockfile_daemon_path("/run/livy-ha", small, sizeof(small)), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, make_bed, clear_bed)
    const struct CMUnitTest tests[] = {
        CASE(test_take),
        CASE(test_looking_is_shared),
        CASE(test_a_moment_is_waited_for),
        CASE(test_lock_is_inherited),
        CASE(test_links_are_not_followed),
        CASE(test_holders),
        CASE(test_the_same_name_is_not_the_same_file),
        CASE(test_end_holders),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
