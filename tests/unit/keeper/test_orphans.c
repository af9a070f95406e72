/* test_orphans.c - what a dead Livy leaves, with real processes: this program as the subreaper that the
 * keeper is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "livy-ha/log.h"
#include "orphans.h"

#define SUBMIT "org.apache.spark.deploy.SparkSubmit"

static bool gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

static pid_t read_pid(int fd)
{
    pid_t pid = 0;
    assert_int_equal(read(fd, &pid, sizeof(pid)), sizeof(pid));
    return pid;
}

__attribute__((noreturn)) static void wait_named(const char *name)
{
    execlp("sleep", name, "100000", (char *)NULL);
    _exit(1);
}

/* A Livy with a session of its own and children with these names; it tells their pids, and is killed and
 * reaped here. */
static pid_t dead_livy(const char *const *names, size_t n, pid_t *children)
{
    int told[2];

    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    pid_t livy = fork();
    assert_true(livy >= 0);
    if (livy == 0) {
        setsid();
        for (size_t i = 0; i < n; i++) {
            pid_t child = fork();
            if (child == 0)
                wait_named(names[i]);
            if (write(told[1], &child, sizeof(child)) != sizeof(child))
                _exit(1);
        }
        for (;;)
            pause();
    }
    for (size_t i = 0; i < n; i++)
        children[i] = read_pid(told[0]);
    close(told[0]);
    close(told[1]);
    for (size_t i = 0; i < n; i++) { /* until each has exec'ed, its command line is ours */
        char path[64], line[256] = "";
        snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)children[i]);
        while (memmem(line, sizeof(line), "100000", 6) == NULL) {
            FILE *file = fopen(path, "re");
            if (file != NULL && fread(line, 1, sizeof(line), file) == 0)
                poll(NULL, 0, 1);
            if (file != NULL)
                fclose(file);
        }
    }
    assert_int_equal(kill(livy, SIGKILL), 0);
    assert_int_equal(waitpid(livy, NULL, 0), livy);
    return livy;
}

static void reap(pid_t pid, int number)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == number);
}

static void end_now(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    reap(pid, SIGKILL);
}

static void test_spark_submit_is_spared(void **state)
{
    (void)state;
    static const char *const names[] = {SUBMIT, "helper", "/opt/spark/bin/spark-submit"};
    pid_t children[3];
    bool ended = false;
    struct orphans_told told = {.next = 0};
    struct orphans orphans = {.told = &told, .marker = "LIVY_CONF_DIR=/none"};

    orphans.livy = dead_livy(names, 3, children);
    assert_int_equal(orphans_sort(&orphans, false, &ended), 2);
    assert_true(ended);
    reap(children[1], SIGKILL);
    assert_int_equal(orphans_sort(&orphans, false, &ended), 2);
    assert_false(ended);
    assert_false(gone(children[0]));
    /* Those that have been told to die count until they are dead: whoever waits for them may end then. */
    assert_int_equal(orphans_sort(&orphans, true, &ended), 2);
    reap(children[0], SIGKILL);
    reap(children[2], SIGKILL);
    assert_int_equal(orphans_sort(&orphans, true, &ended), 0);
    assert_false(ended);
}

/* The elector, the relay, or whatever else the keeper itself has started. */
static void test_elector_and_relay_are_spared(void **state)
{
    (void)state;
    bool ended;
    struct orphans_told told = {.next = 0};
    struct orphans orphans = {.told = &told, .marker = "LIVY_CONF_DIR=/none"};

    for (size_t i = 0; i < 2; i++) {
        orphans.spare[i] = fork();
        assert_true(orphans.spare[i] >= 0);
        if (orphans.spare[i] == 0)
            wait_named(i == 0 ? "elector" : "relay");
    }
    orphans.livy = dead_livy(NULL, 0, NULL);
    assert_int_equal(orphans_sort(&orphans, true, &ended), 0);
    assert_false(ended);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(waitpid(orphans.spare[i], NULL, WNOHANG), 0);
        end_now(orphans.spare[i]);
    }
}

/* Livy runs again while the first one's spark-submit is ended: its own must live. */
static void test_what_the_next_livy_has_is_let_be(void **state)
{
    (void)state;
    static const char *const names[] = {SUBMIT};
    pid_t old, fresh;
    bool ended;
    struct orphans_told told = {.next = 0};
    struct orphans orphans = {.told = &told, .marker = "LIVY_CONF_DIR=/none", .livy_alive = true};

    (void)dead_livy(names, 1, &old);
    /* Its parent is gone, so it is a child of ours, as an own daemonized one of the living Livy would be. */
    orphans.livy = dead_livy(names, 1, &fresh);
    assert_int_equal(orphans_sort(&orphans, false, &ended), 1);
    assert_int_equal(orphans_sort(&orphans, true, &ended), 1);
    reap(old, SIGKILL);
    assert_int_equal(waitpid(fresh, NULL, WNOHANG), 0);
    end_now(fresh);
}

/* A helper's own child comes to us when the helper is reaped: `ended` says to look again. */
static void test_grandchildren(void **state)
{
    (void)state;
    int pipes[2];
    bool ended;
    struct orphans_told told = {.next = 0};
    struct orphans orphans = {.told = &told, .marker = "LIVY_CONF_DIR=/none"};

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    orphans.livy = fork();
    assert_true(orphans.livy >= 0);
    if (orphans.livy == 0) {
        setsid();
        pid_t child = fork();
        if (child == 0) {
            pid_t pids[2] = {getpid(), fork()};
            if (pids[1] == 0)
                for (;;)
                    pause();
            if (write(pipes[1], pids, sizeof(pids)) != sizeof(pids))
                _exit(1);
        }
        for (;;)
            pause();
    }
    pid_t child = read_pid(pipes[0]), grandchild = read_pid(pipes[0]);
    close(pipes[0]);
    close(pipes[1]);
    end_now(orphans.livy);
    assert_int_equal(orphans_sort(&orphans, false, &ended), 0);
    assert_true(ended);
    reap(child, SIGKILL);
    /* Ours by now; or it was so early enough to be found by the first look. */
    assert_int_equal(orphans_sort(&orphans, false, &ended), 0);
    reap(grandchild, SIGKILL);
    orphans_sort(&orphans, false, &ended);
    assert_false(ended);
}

/* What a held one has left in a session of its own is known by its marker; what is neither of its session nor
 * carries that is not its. Also where a Livy runs by now. */
static void test_what_a_held_one_has_left(void **state)
{
    (void)state;
    static const char *const names[] = {SUBMIT, "helper"};
    pid_t of_session[2], marked[1], strange[1];
    bool ended;
    struct orphans_told told = {.next = 0};
    struct orphans orphans = {.told = &told, .marker = "LIVY_CONF_DIR=/held", .livy_alive = true};

    orphans.held = dead_livy(names, 2, of_session); /* its spark-submit --version is no batch's */
    assert_int_equal(setenv("LIVY_CONF_DIR", "/held", 1), 0);
    (void)dead_livy(&names[1], 1, marked);
    assert_int_equal(unsetenv("LIVY_CONF_DIR"), 0);
    (void)dead_livy(&names[1], 1, strange);
    assert_int_equal(orphans_sort(&orphans, false, &ended), 0);
    assert_true(ended);
    for (size_t i = 0; i < 2; i++)
        reap(of_session[i], SIGKILL);
    reap(marked[0], SIGKILL);
    assert_int_equal(waitpid(strange[0], NULL, WNOHANG), 0);
    end_now(strange[0]);
}

/* The lines of the log that hold `text`. */
static int lines(FILE *log, const char *text)
{
    char line[1024];
    int n = 0;

    assert_int_equal(fflush(stderr), 0);
    rewind(log);
    while (fgets(line, sizeof(line), log) != NULL)
        n += strstr(line, text) != NULL;
    return n;
}

/* One that takes its time to die is killed again whenever another one has ended, and told of once. */
static void test_each_is_told_once(void **state)
{
    (void)state;
    static const char *const names[] = {"helper", "helper"};
    char text[2][32];
    pid_t children[2];
    bool ended;
    struct orphans_told told = {.next = 0};
    struct orphans orphans = {.told = &told, .marker = "LIVY_CONF_DIR=/none"};
    int before = dup(STDERR_FILENO);
    FILE *log = tmpfile();

    assert_non_null(log);
    orphans.livy = dead_livy(names, 2, children);
    for (size_t i = 0; i < 2; i++)
        snprintf(text[i], sizeof(text[i]), "killed pid %d,", (int)children[i]);
    told.pids[told.next++] = children[1]; /* as at a second look */
    log_open("test_orphans", LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    assert_int_equal(dup2(fileno(log), STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(orphans_sort(&orphans, false, &ended), 0);
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    log_open("test_orphans", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    assert_true(ended);
    assert_int_equal(lines(log, text[0]), 1);
    assert_int_equal(lines(log, text[1]), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_true(told.pids[0] == children[i] || told.pids[1] == children[i]);
        reap(children[i], SIGKILL);
        orphans_reaped(&told, children[i]);
    }
    assert_true(told.pids[0] == 0 && told.pids[1] == 0); /* another one of that number is told of anew */
    fclose(log);
    close(before);
}

int main(void)
{
    log_open("test_orphans", LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spark_submit_is_spared),
        cmocka_unit_test(test_elector_and_relay_are_spared),
        cmocka_unit_test(test_what_the_next_livy_has_is_let_be),
        cmocka_unit_test(test_grandchildren),
        cmocka_unit_test(test_what_a_held_one_has_left),
        cmocka_unit_test(test_each_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
