/* test_child.c - real forks: what a Livy and an elector are given, and that a Livy dies with its keeper.
 *
 * This program plays all parts: started under the name livy-server or livy-ha-elector it writes down what it
 * finds (REPORT in its environment names the file) and waits to be killed; as livy-ha it is a keeper that
 * starts an elector.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/files.h"
#include "child.h"
#include "livy-ha/clock.h"
#include "livy-ha/ipc.h"
#include "livy-ha/lockfile.h"
#include "livy-ha/log.h"
#include "livy-ha/packet.h"

#define LIMIT 20000 /* ms that any condition may take */

/* ---- the parts ---- */

static void report_signals(FILE *out)
{
    sigset_t mask;
    struct sigaction action;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < 32; number++) {
        if (sigismember(&mask, number) == 1)
            fprintf(out, "blocked %d\n", number);
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            fprintf(out, "ignored %d\n", number);
    }
}

static void report_descriptors(FILE *out)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char link[PATH_MAX];
        int fd = atoi(entry->d_name);
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);
        if (n <= 0 || fd == dirfd(dir) || fd == fileno(out))
            continue;
        link[n] = '\0';
        fprintf(out, "fd %d %s\n", fd, link);
    }
    if (dir != NULL)
        closedir(dir);
}

__attribute__((noreturn)) static void play(int argc, char **argv)
{
    char fresh[PATH_MAX];
    int signal_of_death = 0;
    const char *path = getenv("REPORT");

    if (path == NULL)
        _exit(1);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *out = fopen(fresh, "we");
    if (out == NULL)
        _exit(1);
    prctl(PR_GET_PDEATHSIG, &signal_of_death);
    fprintf(out, "pid %d\nsession %d\npdeathsig %d\n", (int)getpid(), (int)getsid(0), signal_of_death);
    report_signals(out);
    report_descriptors(out);
    for (char **variable = environ; *variable != NULL; variable++)
        fprintf(out, "env %s\n", *variable);
    for (int i = 1; i < argc; i++)
        fprintf(out, "argument %s\n", argv[i]);
    if (fclose(out) != 0 || rename(fresh, path) != 0)
        _exit(1);
    for (;;)
        pause();
}

/* ---- the bed ---- */

struct bed {
    char dir[64], runtime[96], report[96], program[PATH_MAX];
    struct conf *conf;
    struct livyconf *livyconf;
};

static void put_settings(const struct bed *bed, const char *command)
{
    char text[2048];

    snprintf(
        text, sizeof(text),
        "id = \"m\"; runtime_dir = \"%s\";\nzookeeper = { hosts = \"127.0.0.1:1\"; };\n"
        "livy = { home = \"%s\"; command = \"%s/%s\"; conf_dir = \"%s/conf\"; log_dir = \"%s/logs\"; };\n",
        bed->runtime, bed->dir, bed->dir, command, bed->dir, bed->dir);
    write_file(bed->dir, "livy-ha.conf", text);
}

static void load(struct bed *bed, const char *command)
{
    char path[128];
    char *envp[] = {"SPARK_HOME=/opt/spark", NULL};
    struct conf_report report = {0};

    put_settings(bed, command);
    snprintf(path, sizeof(path), "%s/livy-ha.conf", bed->dir);
    bed->conf = conf_load(path, envp, &report);
    assert_non_null(bed->conf);
    bed->livyconf = livyconf_load(bed->conf, envp, &report);
    assert_non_null(bed->livyconf);
    conf_report_clear(&report);
}

static int make_bed(void **state)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    char path[PATH_MAX];

    assert_non_null(bed);
    snprintf(bed->dir, sizeof(bed->dir), "/tmp/livy-ha-child.XXXXXX");
    assert_non_null(mkdtemp(bed->dir));
    snprintf(bed->runtime, sizeof(bed->runtime), "%s/run", bed->dir);
    snprintf(bed->report, sizeof(bed->report), "%s/report", bed->dir);
    assert_int_equal(mkdir(bed->runtime, 0700), 0);
    snprintf(path, sizeof(path), "%s/conf", bed->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(path, "livy.conf", "livy.spark.master = yarn\nlivy.spark.deploy-mode = cluster\n");
    ssize_t n = readlink("/proc/self/exe", bed->program, sizeof(bed->program) - 1);
    assert_true(n > 0);
    snprintf(path, sizeof(path), "%s/livy-server", bed->dir);
    assert_int_equal(symlink(bed->program, path), 0);
    assert_int_equal(setenv("REPORT", bed->report, 1), 0);
    load(bed, "livy-server");
    *state = bed;
    return 0;
}

static int clear_bed(void **state)
{
    struct bed *bed = *state;

    livyconf_free(bed->livyconf);
    conf_free(bed->conf);
    remove_all(bed->dir);
    free(bed);
    return 0;
}

/* What the child has written down, malloc'ed. */
static char *wait_report(const struct bed *bed)
{
    int64_t end = clock_boot_ms() + LIMIT;
    char *text;

    while ((text = read_file(bed->dir, "report")) == NULL && clock_boot_ms() < end)
        poll(NULL, 0, 2);
    assert_non_null(text);
    return text;
}

static bool has_line(const char *text, const char *line)
{
    size_t length = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at++)
        if ((at == text || at[-1] == '\n') && (at[length] == '\n' || at[length] == '\0'))
            return true;
    return false;
}

static long number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    assert_non_null(at);
    return strtol(at + strlen(word), NULL, 10);
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static struct child_order order_of(const struct bed *bed)
{
    return (struct child_order){.conf = bed->conf,
                                .livyconf = bed->livyconf,
                                .session_ms = 10000,
                                .kill_at = clock_boot_ms() + LIMIT};
}

static bool readable(int fd, int ms)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, ms) == 1;
}

static void end_child(struct child *child)
{
    assert_int_equal(kill(child->pid, SIGKILL), 0); /* ours and not reaped: surely it */
    assert_true(readable(child->pidfd, LIMIT));
    assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
    close(child->pidfd);
    if (child->status >= 0)
        close(child->status);
}

/* ---- Livy ---- */

static void test_livy_is_given_a_clean_place(void **state)
{
    struct bed *bed = *state;
    struct child child;
    struct child_order order = order_of(bed);
    char why[256], line[256];
    sigset_t usr1;
    int leak = open("/dev/zero", O_RDONLY); /* not CLOEXEC: of a library that did not think of it */

    assert_true(leak >= 0);
    assert_int_equal(setenv("LIVY_HA_ZOOKEEPER_AUTH_DIGEST", "user:secret", 1), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", "/run/notify", 1), 0);
    assert_int_equal(setenv("WATCHDOG_USEC", "1", 1), 0);
    assert_int_equal(setenv("LIVY_HOME", "/another/livy", 1), 0);
    assert_int_equal(setenv("LISTEN_ADDRESS", "users", 1), 0);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    assert_int_equal(sigprocmask(SIG_BLOCK, &usr1, NULL), 0);
    assert_true(signal(SIGTERM, SIG_IGN) != SIG_ERR && signal(SIGPIPE, SIG_IGN) != SIG_ERR);

    assert_int_equal(child_livy(&order, &child, why, sizeof(why)), 0);
    char *text = wait_report(bed);
    assert_int_equal(number_after(text, "pid "), child.pid);
    assert_int_equal(number_after(text, "session "), child.pid);
    assert_int_equal(number_after(text, "pdeathsig "), SIGKILL);
    assert_null(strstr(text, "blocked "));
    assert_null(strstr(text, "ignored "));

    snprintf(line, sizeof(line), "%s/livy.lock", bed->runtime);
    assert_int_equal(count_of(text, "fd "), 4); /* 0, 1, 2 and the lock */
    assert_int_equal(count_of(text, line), 1);
    assert_true(has_line(text, "fd 0 /dev/null"));

    assert_null(strstr(text, "env LIVY_HA_"));
    assert_null(strstr(text, "secret"));
    assert_null(strstr(text, "NOTIFY_SOCKET"));
    assert_null(strstr(text, "WATCHDOG_"));
    assert_true(has_line(text, "env LISTEN_ADDRESS=users"));
    snprintf(line, sizeof(line), "env LIVY_HOME=%s", bed->dir);
    assert_true(has_line(text, line));
    snprintf(line, sizeof(line), "env LIVY_CONF_DIR=%s/livy-conf", bed->runtime);
    assert_true(has_line(text, line));
    snprintf(line, sizeof(line), "env LIVY_LOG_DIR=%s/logs", bed->dir);
    assert_true(has_line(text, line));
    free(text);

    /* The keeper's own mask is back, and the pipe says that exec went well: at its end, with nothing in it.
     */
    sigset_t now;
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &now), 0);
    assert_int_equal(sigismember(&now, SIGTERM), 0);
    char byte;
    assert_int_equal(read(child.status, &byte, 1), 0);
    end_child(&child);
    close(leak);
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &usr1, NULL), 0);
    signal(SIGTERM, SIG_DFL);
}

static void test_livy_holds_its_lock_for_life(void **state)
{
    struct bed *bed = *state;
    struct child first, second;
    struct child_order order = order_of(bed);
    char why[256], path[PATH_MAX], said[256];

    assert_int_equal(lockfile_livy_path(bed->runtime, path, sizeof(path)), 0);
    assert_int_equal(child_livy(&order, &first, why, sizeof(why)), 0);
    free(wait_report(bed));
    assert_int_equal(lockfile_free(path), 0);
    assert_int_equal(child_livy(&order, &second, why, sizeof(why)), 0);
    assert_true(readable(second.pidfd, LIMIT));
    ssize_t n = read(second.status, said, sizeof(said) - 1);
    assert_true(n > 0);
    said[n] = '\0';
    assert_non_null(strstr(said, "an earlier Livy still holds it"));
    end_child(&second);
    end_child(&first);
    assert_int_equal(lockfile_free(path), 1);
}

/* A Livy that is to be held and runs without the agent ends by itself: the keeper may be stopped. */
static void test_held_livy_without_its_agent(void **state)
{
    struct bed *bed = *state;
    struct child child;
    char why[256], path[PATH_MAX];
    int status;

    write_file(bed->dir, "busy", "#!/bin/sh\nwhile :; do :; done\n");
    snprintf(path, sizeof(path), "%s/busy", bed->dir);
    assert_int_equal(chmod(path, 0755), 0);
    livyconf_free(bed->livyconf);
    conf_free(bed->conf);
    load(bed, "busy");
    struct child_order order = order_of(bed);
    order.hold = true;
    order.lock = open("/dev/null", O_RDWR | O_CLOEXEC);
    order.output = -1;
    assert_int_equal(child_livy(&order, &child, why, sizeof(why)), 0);
    assert_true(readable(child.pidfd, LIMIT));
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF);
    child_forget(&child);
    close(order.lock);
}

/* Whoever looks at the lock just then holds it for microseconds: that must not cost a start. */
static void test_livy_waits_for_one_who_looks(void **state)
{
    struct bed *bed = *state;
    struct child child;
    struct child_order order = order_of(bed);
    char why[256], path[PATH_MAX];

    assert_int_equal(lockfile_livy_path(bed->runtime, path, sizeof(path)), 0);
    for (int i = 0; i < 5; i++) {
        unlink(bed->report);
        assert_int_equal(child_livy(&order, &child, why, sizeof(why)), 0);
        while (access(bed->report, F_OK) != 0 && !readable(child.pidfd, 0))
            assert_true(lockfile_free(path) >= 0);
        assert_int_equal(access(bed->report, F_OK), 0);
        end_child(&child);
    }
}

static void fails_with(struct bed *bed, struct child_order order, const char *expected)
{
    struct child child;
    char why[256], said[256];

    assert_int_equal(child_livy(&order, &child, why, sizeof(why)), 0);
    assert_true(readable(child.pidfd, LIMIT));
    ssize_t n = read(child.status, said, sizeof(said) - 1);
    assert_true(n > 0);
    said[n] = '\0';
    if (strstr(said, expected) == NULL)
        print_message("it said: %s\n", said);
    assert_non_null(strstr(said, expected));
    assert_int_equal(access(bed->report, F_OK), -1);
    int status;
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 127);
    close(child.pidfd);
    close(child.status);
}

static void test_livy_that_cannot_be_run(void **state)
{
    struct bed *bed = *state;
    struct child_order order = order_of(bed);

    order.kill_at = clock_boot_ms();
    fails_with(bed, order, "its lease was over");
    livyconf_free(bed->livyconf);
    conf_free(bed->conf);
    load(bed, "not-there");
    fails_with(bed, order_of(bed), "not-there: No such file or directory (livy.command)");
}

/* PDEATHSIG is kept over exec: a keeper that is killed takes its Livy with it. */
static void test_livy_dies_with_the_keeper(void **state)
{
    struct bed *bed = *state;
    char path[PATH_MAX];

    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* so that we can see the orphan's end */
    pid_t keeper = fork();
    assert_true(keeper >= 0);
    if (keeper == 0) {
        struct child child;
        struct child_order order = order_of(bed);
        char why[256];
        if (child_livy(&order, &child, why, sizeof(why)) != 0)
            _exit(1);
        for (;;)
            pause();
    }
    char *text = wait_report(bed);
    pid_t livy = (pid_t)number_after(text, "pid ");
    free(text);
    assert_int_equal(kill(keeper, SIGKILL), 0);
    assert_int_equal(waitpid(keeper, NULL, 0), keeper);
    int status;
    assert_int_equal(waitpid(livy, &status, 0), livy);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(lockfile_livy_path(bed->runtime, path, sizeof(path)), 0);
    assert_int_equal(lockfile_free(path), 1);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

/* ---- the elector ---- */

/* Runs as <dir>/livy-ha, so that livy-ha-elector is looked for beside it. Exit status 0: started; 3: not
 * found. */
static int play_keeper(const char *dir)
{
    struct bed bed = {0};
    struct child child;
    struct child_program program;
    int pair[2];
    char why[256] = "", path[PATH_MAX];
    struct conf_report report = {0};

    log_open("test_child", LOG_LEVEL_ERROR, LOG_FORMAT_JSON);
    snprintf(path, sizeof(path), "%s/livy-ha.conf", dir);
    bed.conf = conf_load(path, environ, &report);
    bed.livyconf = bed.conf != NULL ? livyconf_load(bed.conf, environ, &report) : NULL;
    snprintf(path, sizeof(path), "%s/run/daemon.lock", dir);
    int lock = lockfile_take(path), rc = 2;
    if (bed.livyconf != NULL && lock >= 0 && packet_pair(pair) == 0)
        rc = child_program_open(&program, "livy-ha-elector", why, sizeof(why)) == 0 &&
                     child_elector(&program, bed.conf, bed.livyconf, pair[1], lock, NULL, false, &child, why,
                                   sizeof(why)) == 0
                 ? 0
                 : 3;
    if (rc == 3 && strstr(why, "livy-ha-elector is neither beside livy-ha nor in") == NULL)
        rc = 4;
    conf_report_clear(&report);
    livyconf_free(bed.livyconf);
    conf_free(bed.conf);
    return rc;
}

static int run_keeper(struct bed *bed)
{
    char path[PATH_MAX];
    int status = -1;

    snprintf(path, sizeof(path), "%s/livy-ha", bed->dir);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl(path, "livy-ha", bed->dir, (char *)NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void copy_program(const struct bed *bed)
{
    char command[2 * PATH_MAX];
    snprintf(command, sizeof(command), "cp '%s' '%s/livy-ha'", bed->program, bed->dir);
    assert_int_equal(system(command), 0);
}

static void test_elector_is_given_its_descriptors(void **state)
{
    struct bed *bed = *state;
    char path[PATH_MAX], line[PATH_MAX];

    copy_program(bed);
    snprintf(path, sizeof(path), "%s/livy-ha-elector", bed->dir);
    assert_int_equal(symlink(bed->program, path), 0);
    assert_int_equal(setenv("SPARK_HOME", "/opt/spark", 1), 0);
    unsetenv("LIVY_HA_ZOOKEEPER_AUTH_DIGEST");
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    assert_int_equal(run_keeper(bed), 0);
    char *text = wait_report(bed);
    pid_t elector = (pid_t)number_after(text, "pid ");

    assert_int_equal(number_after(text, "pdeathsig "), 0); /* it outlives the keeper, to give the latch up */
    assert_null(strstr(text, "blocked "));
    assert_int_equal(count_of(text, "ignored "), 3);
    snprintf(line, sizeof(line), "ignored %d", SIGTERM);
    assert_true(has_line(text, line));
    snprintf(line, sizeof(line), "ignored %d", SIGINT);
    assert_true(has_line(text, line));
    snprintf(line, sizeof(line), "ignored %d", SIGHUP);
    assert_true(has_line(text, line));
    assert_int_equal(count_of(text, "\nfd "), 6);
    assert_true(has_line(text, "fd 0 /dev/null"));
    assert_non_null(strstr(text, "fd 3 socket:"));
    assert_non_null(strstr(text, "fd 4 /memfd:livy-ha-conf"));
    snprintf(line, sizeof(line), "fd 5 %s/daemon.lock", bed->runtime);
    assert_true(has_line(text, line));
    assert_non_null(
        strstr(text, "argument --channel\nargument 3\nargument --conf\nargument 4\nargument --store\n"));
    char *store = livyconf_fingerprint(bed->livyconf);
    snprintf(line, sizeof(line), "argument %s", store);
    assert_true(has_line(text, line));
    free(store);
    free(text);

    /* The daemon's lock is held as long as the elector lives, though its keeper is dead. */
    snprintf(path, sizeof(path), "%s/daemon.lock", bed->runtime);
    assert_int_equal(lockfile_free(path), 0);
    assert_int_equal(kill(elector, SIGKILL), 0);
    assert_int_equal(waitpid(elector, NULL, 0), elector);
    assert_int_equal(lockfile_free(path), 1);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

static void test_elector_that_is_not_installed(void **state)
{
    struct bed *bed = *state;

    copy_program(bed);
    assert_int_equal(setenv("SPARK_HOME", "/opt/spark", 1), 0);
    unsetenv("LIVY_HA_ZOOKEEPER_AUTH_DIGEST");
    if (access(LIVY_HA_LIBEXEC "/livy-ha-elector", X_OK) == 0)
        skip(); /* it is installed on this host */
    assert_int_equal(run_keeper(bed), 3);
}

/* What "auto" came to in the keeper is what its elector logs, which is no PID 1. */
static void test_log_format_is_handed_over(void **state)
{
    struct bed *bed = *state;
    struct conf_report report = {0};

    assert_int_equal(bed->conf->log_format, LOG_FORMAT_AUTO);
    log_open("test_child", LOG_LEVEL_ERROR, LOG_FORMAT_JSON);
    int fd = child_conf_memfd(bed->conf);
    assert_true(fd >= 0);
    struct conf *read = conf_read(fd, &report);
    assert_non_null(read);
    assert_int_equal(read->log_format, LOG_FORMAT_JSON);
    assert_int_equal(bed->conf->log_format, LOG_FORMAT_AUTO); /* else each reload would find a change */
    conf_free(read);
    close(fd);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *name = slash != NULL ? slash + 1 : argv[0];

    if (strcmp(name, "livy-server") == 0 || strcmp(name, "livy-ha-elector") == 0)
        play(argc, argv);
    if (strcmp(name, "livy-ha") == 0 && argc == 2)
        return play_keeper(argv[1]);

    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_livy_is_given_a_clean_place, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_livy_holds_its_lock_for_life, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_held_livy_without_its_agent, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_livy_waits_for_one_who_looks, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_livy_that_cannot_be_run, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_livy_dies_with_the_keeper, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_elector_is_given_its_descriptors, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_elector_that_is_not_installed, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown(test_log_format_is_handed_over, make_bed, clear_bed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
