/* fake_daemon.h - for test_ctl.c: a daemon that is played by a thread, on a Unix socket (or a TCP port), and
 * answers each path with a text that the test sets; runs of the built livy-ha-ctl, which is looked for beside
 * the test and one folder up.
 */
#ifndef LIVY_HA_TESTS_CTL_FAKE_DAEMON_H
#define LIVY_HA_TESTS_CTL_FAKE_DAEMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "livy-ha/clock.h"

#define SERVING                                                                                              \
    "{\"v\":1,\"root\":\"/livy_ha\",\"active\":\"livy-a\",\"serving\":true,\"epoch\":7,\"members\":["        \
    "{\"id\":\"livy-a\",\"role\":\"active\",\"livy\":\"serving\",\"self\":true,\"url\":\"http://a:8998\","   \
    "\"livy_url\":\"http://a:18998\"},{\"id\":\"livy-b\",\"role\":\"standby\",\"livy\":\"none\"}]}"
#define NOBODY                                                                                               \
    "{\"v\":1,\"root\":\"/livy_ha\",\"active\":null,\"serving\":false,\"epoch\":null,\"members\":["          \
    "{\"id\":\"livy-b\",\"role\":\"standby\",\"livy\":\"none\",\"self\":true}]}"
#define OK(type) "HTTP/1.1 200 OK\r\nContent-Type: " type "\r\nConnection: close\r\n\r\n"
#define JSON OK("application/json")

struct page {
    const char *path;
    char *answer; /* the raw answer; NULL: reads the request and says nothing until the client goes */
};

struct daemon {
    char dir[64];
    char socket[96];
    int fd;
    int stop[2];
    pthread_t thread;
    pthread_mutex_t lock;
    struct page pages[8];
    int asked; /* requests for /cluster so far */
};

static char program[4096];

static void daemon_answer(struct daemon *daemon, int fd)
{
    char request[2048];
    ssize_t n = recv(fd, request, sizeof request - 1, 0);
    char *answer = NULL;
    char *end;

    if (n <= 5 || (memcmp(request, "GET ", 4) != 0 && memcmp(request, "POST ", 5) != 0))
        return;
    request[n] = '\0';
    if (request[0] == 'P') /* a page is a page */
        memmove(request, request + 1, (size_t)n);
    end = strchr(request + 4, ' ');
    if (end == NULL)
        return;
    *end = '\0';
    pthread_mutex_lock(&daemon->lock);
    if (strcmp(request + 4, "/cluster") == 0)
        daemon->asked++;
    for (size_t i = 0; i < 8; i++) {
        if (daemon->pages[i].path != NULL && strcmp(daemon->pages[i].path, request + 4) == 0) {
            answer = strdup(daemon->pages[i].answer != NULL ? daemon->pages[i].answer : "");
            break;
        }
    }
    pthread_mutex_unlock(&daemon->lock);
    if (answer == NULL)
        answer = strdup("HTTP/1.1 404 Not Found\r\n\r\n{\"error\":\"no such thing\"}");
    if (answer[0] == '\0') {
        struct pollfd gone = {.fd = fd, .events = POLLRDHUP};
        (void)poll(&gone, 1, 10000);
    } else {
        (void)send(fd, answer, strlen(answer), MSG_NOSIGNAL);
    }
    free(answer);
}

static void *daemon_run(void *arg)
{
    struct daemon *daemon = arg;
    struct pollfd polled[2] = {{.fd = daemon->fd, .events = POLLIN},
                               {.fd = daemon->stop[0], .events = POLLIN}};

    while (poll(polled, 2, -1) > 0 && polled[1].revents == 0) {
        const int fd = accept4(daemon->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        daemon_answer(daemon, fd);
        close(fd);
    }
    return NULL;
}

static void daemon_set(struct daemon *daemon, const char *path, const char *head, const char *body)
{
    char *answer = NULL;

    if (head != NULL && asprintf(&answer, "%s%s", head, body) < 0)
        fail_msg("out of memory");
    pthread_mutex_lock(&daemon->lock);
    for (size_t i = 0; i < 8; i++) {
        struct page *page = &daemon->pages[i];
        if (page->path != NULL && strcmp(page->path, path) != 0)
            continue;
        page->path = path;
        free(page->answer);
        page->answer = answer;
        break;
    }
    pthread_mutex_unlock(&daemon->lock);
}

static int daemon_asked(struct daemon *daemon)
{
    int asked;

    pthread_mutex_lock(&daemon->lock);
    asked = daemon->asked;
    pthread_mutex_unlock(&daemon->lock);
    return asked;
}

static void daemon_listen(struct daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, daemon->socket, strlen(daemon->socket));
    daemon->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(daemon->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(daemon->fd, 16), 0);
    assert_int_equal(pipe2(daemon->stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&daemon->thread, NULL, daemon_run, daemon), 0);
}

static void daemon_end(struct daemon *daemon)
{
    if (daemon->fd < 0)
        return;
    close(daemon->stop[1]);
    pthread_join(daemon->thread, NULL);
    close(daemon->stop[0]);
    close(daemon->fd);
    daemon->fd = -1;
    unlink(daemon->socket);
}

static int setup(void **state)
{
    struct daemon *daemon = calloc(1, sizeof *daemon);

    assert_non_null(daemon);
    pthread_mutex_init(&daemon->lock, NULL);
    snprintf(daemon->dir, sizeof daemon->dir, "/tmp/test-ctl-XXXXXX");
    assert_non_null(mkdtemp(daemon->dir));
    snprintf(daemon->socket, sizeof daemon->socket, "%s/control.sock", daemon->dir);
    daemon_listen(daemon);
    daemon_set(daemon, "/cluster", JSON, SERVING);
    daemon_set(daemon, "/status", JSON, "{\"id\":\"livy-a\",\"alarms\":[]}");
    *state = daemon;
    return 0;
}

static int teardown(void **state)
{
    struct daemon *daemon = *state;

    daemon_end(daemon);
    for (size_t i = 0; i < 8; i++)
        free(daemon->pages[i].answer);
    rmdir(daemon->dir);
    free(daemon);
    return 0;
}

struct run {
    pid_t pid;
    int out; /* the read ends */
    int err;
    int status; /* the exit status */
    char stdout_text[16384];
    char stderr_text[4096];
};

/* The environment is a clean one: only what is passed. */
static void run_start(struct run *run, const char *const *arguments, const char *variable)
{
    const char *argv[16] = {program};
    char *environment[] = {(char *)(uintptr_t) "LC_ALL=C", (char *)(uintptr_t)variable, NULL};
    posix_spawn_file_actions_t actions;
    int out[2];
    int err[2];

    memset(run, 0, sizeof *run);
    for (size_t i = 0; arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    assert_int_equal(
        posix_spawn(&run->pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environment), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    run->out = out[0];
    run->err = err[0];
}

static void read_all(int fd, char *text, size_t size)
{
    size_t length = strlen(text);

    while (length < size - 1) {
        const ssize_t n = read(fd, text + length, size - 1 - length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    text[length] = '\0';
    close(fd);
}

/* Reads on until `text` has been printed to stdout. */
static void run_await(struct run *run, const char *text)
{
    const int64_t limit = clock_boot_ms() + 20000;

    while (strstr(run->stdout_text, text) == NULL) {
        const size_t length = strlen(run->stdout_text);
        struct pollfd polled = {.fd = run->out, .events = POLLIN};
        ssize_t n;

        if (clock_boot_ms() > limit)
            fail_msg("\"%s\" was not printed; got: %s", text, run->stdout_text);
        if (poll(&polled, 1, 100) <= 0)
            continue;
        n = read(run->out, run->stdout_text + length, sizeof run->stdout_text - 1 - length);
        if (n <= 0)
            fail_msg("ended without \"%s\"; got: %s", text, run->stdout_text);
        run->stdout_text[length + (size_t)n] = '\0';
    }
}

static void run_finish(struct run *run)
{
    int status;

    read_all(run->out, run->stdout_text, sizeof run->stdout_text);
    read_all(run->err, run->stderr_text, sizeof run->stderr_text);
    assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
    if (!WIFEXITED(status))
        fail_msg("ended by signal %d: %s", WTERMSIG(status), run->stderr_text);
    run->status = WEXITSTATUS(status);
}

static void run_variable(struct run *run, const char *variable, const char *const *arguments)
{
    run_start(run, arguments, variable);
    run_finish(run);
}

#define RUN(run, ...) run_variable(run, variable_of(*state), (const char *const[]){__VA_ARGS__, NULL})

/* How the runs find the daemon. */
static const char *variable_of(const struct daemon *daemon)
{
    static char variable[160];

    snprintf(variable, sizeof variable, "LIVY_HA_CONTROL_SOCKET=%s", daemon->socket);
    return variable;
}

static void assert_run(const struct run *run, int status, const char *out)
{
    if (run->status != status || strcmp(run->stdout_text, out) != 0)
        fail_msg("exit %d, expected %d; stdout:\n%sexpected:\n%sstderr:\n%s", run->status, status,
                 run->stdout_text, out, run->stderr_text);
}

/* One line on stderr that has `text` in it, and this exit status. */
static void assert_error(const struct run *run, int status, const char *text)
{
    const char *line = run->stderr_text;

    if (run->status != status || strncmp(line, "livy-ha-ctl: ", 13) != 0 || strstr(line, text) == NULL ||
        strchr(line, '\n') != line + strlen(line) - 1)
        fail_msg("exit %d, expected %d with \"%s\"; stderr:\n%s", run->status, status, text, line);
}

/* Beside this test, or one folder up. */
static bool find_program(void)
{
    char self[3800];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (length <= 0)
        return false;
    self[length] = '\0';
    for (int up = 0; up < 2; up++) {
        slash = strrchr(self, '/');
        if (slash == NULL)
            return false;
        *slash = '\0';
        snprintf(program, sizeof program, "%s/livy-ha-ctl", self);
        if (access(program, X_OK) == 0)
            return true;
    }
    return false;
}

#endif
