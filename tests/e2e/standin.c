/* standin.c - stands in for Livy in the end-to-end tests, and is their oracle.
 *
 * It behaves to livy-ha as bin/livy-server does (port from livy.conf, GET /version, exit 143 on TERM) and
 * writes down when it lived: <STANDIN_DIR>/<STANDIN_NAME>.<pid>.<boot ms>.life, a mapped struct whose last
 * instant is renewed every millisecond, so that kill -9 leaves the truth behind. Beside it, ….env.json says
 * what livy-ha gave it: signals, descriptors, environment, livy.conf. It shares no code with livy-ha on
 * purpose.
 *
 * STANDIN_MODE, or the file <STANDIN_DIR>/<STANDIN_NAME>.mode where there is one (so that a test can change
 * it between two lives), is a comma list of: start-delay=MS hang-term slow-term=MS exit-at-once=CODE
 * exit-after=MS:CODE exit-when-asked no-answer hang-after=MS status=CODE no-listen child-outlives
 * submit-outlives=MS keep-lock store-server=HOST:PORT say=FILE (what is in it, to stderr) say-after=MS, and
 * of a held one: gate-delay=MS gate-refused gate-listens
 *
 * Where livy-ha's agent is named in livy-env.sh it plays that one too, see standin_gate.h: while it is held
 * it has written nothing, so its life for the oracle begins when it is let go, and how it behaves is read
 * once more then.
 *
 * With STANDIN_STORE=MS it also counts in Livy's state store every MS milliseconds, see standin_store.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standin_gate.h"
#include "standin_http.h"
#include "standin_report.h"
#include "standin_store.h"
#include "standin_util.h"

#define LIFE_LIMIT_MS 1800000  /* a stand-in that a broken test run has left ends by itself */
#define HELPER_LIMIT_MS 120000 /* no helper outlives a broken test run by more */
#define SUBMIT_CLASS "org.apache.spark.deploy.SparkSubmit"

#define PAUSE_NS 100000000 /* not having run for longer counts as a pause */

/* What is mapped; tests/e2e/livyha/oracle.py unpacks it as "<8siiqqqiiqqqq". */
struct life {
    char magic[8]; /* "LIVYLIFE", written last */
    int32_t pid;
    int32_t rival; /* pid of another stand-in that lived when this one began (-1: not to be told), else 0 */
    int64_t first_ns;        /* CLOCK_BOOTTIME when main() began */
    _Atomic int64_t last_ns; /* … when it was last alive */
    _Atomic int64_t serving_ns;
    _Atomic int32_t exit_kind; /* 0 running or killed, 1 by TERM, 2 of its own accord */
    int32_t exit_code;
    int64_t paused_ns, woke_ns; /* the last instant before the last pause, the first one after it; 0: none */
    int64_t held_ns;            /* when it stood at the gate; 0: it never was held */
    _Atomic int64_t able_ns;    /* from when on it could write and listen; 0: not yet */
};

struct mode {
    long start_delay, slow_term, exit_after, hang_after, submit_outlives, say_after; /* ms, -1: not given */
    int exit_at_once, exit_after_code;                                               /* -1: not given */
    int status;
    bool hang_term, exit_when_asked, no_answer, no_listen, child_outlives, keep_lock;
    char store_server[64];
    struct gate_behaviour gate;
    char say[512];
};

/* Signal handlers and the ticking thread need these. */
static struct life *life;
static struct mode mode;
static _Atomic int64_t exit_at_ns;
static _Atomic int exit_at_code;
static _Atomic bool hanging;

static _Noreturn void end_life(int kind, int code)
{
    life->exit_code = code;
    atomic_store(&life->exit_kind, kind);
    atomic_store(&life->last_ns, util_now_ns());
    _exit(code);
}

/* ---- mode ------------------------------------------------------------------------------------------------
 */

static void mode_apply(const char *word)
{
    const char *equals = strchr(word, '=');
    size_t length = equals ? (size_t)(equals - word) : strlen(word);
    const char *value = equals ? equals + 1 : "";
    long number = strtol(value, NULL, 10);
#define IS(name) (length == strlen(name) && strncmp(word, name, length) == 0)
    if (IS("start-delay")) {
        mode.start_delay = number;
    } else if (IS("slow-term")) {
        mode.slow_term = number;
    } else if (IS("hang-after")) {
        mode.hang_after = number;
    } else if (IS("submit-outlives")) {
        mode.submit_outlives = number;
    } else if (IS("exit-at-once")) {
        mode.exit_at_once = (int)number;
    } else if (IS("status")) {
        mode.status = (int)number;
    } else if (IS("exit-after")) {
        const char *colon = strchr(value, ':');
        mode.exit_after = number;
        mode.exit_after_code = colon ? (int)strtol(colon + 1, NULL, 10) : 1;
    } else if (IS("hang-term")) {
        mode.hang_term = true;
    } else if (IS("exit-when-asked")) {
        mode.exit_when_asked = true;
    } else if (IS("no-answer")) {
        mode.no_answer = true;
    } else if (IS("no-listen")) {
        mode.no_listen = true;
    } else if (IS("child-outlives")) {
        mode.child_outlives = true;
    } else if (IS("keep-lock")) {
        mode.keep_lock = true;
    } else if (IS("gate-delay")) {
        mode.gate.warm_delay = number;
    } else if (IS("gate-refused")) {
        mode.gate.refused = true;
    } else if (IS("gate-listens")) {
        mode.gate.listens = true;
    } else if (IS("store-server")) {
        snprintf(mode.store_server, sizeof mode.store_server, "%s", value);
    } else if (IS("say-after")) {
        mode.say_after = number;
    } else if (IS("say")) {
        snprintf(mode.say, sizeof mode.say, "%s", value);
    } else {
        fprintf(stderr, "standin: unknown word in STANDIN_MODE: %s\n", word);
        exit(64);
    }
#undef IS
}

static void mode_read(const char *dir, const char *name)
{
    char text[1024] = "", path[PATH_MAX], *save = NULL;
    snprintf(path, sizeof path, "%s/%s.mode", dir, name);
    FILE *file = fopen(path, "re");
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    } else if (getenv("STANDIN_MODE")) {
        snprintf(text, sizeof text, "%s", getenv("STANDIN_MODE"));
    }
    mode = (struct mode){.start_delay = -1,
                         .slow_term = -1,
                         .exit_after = -1,
                         .hang_after = -1,
                         .submit_outlives = -1,
                         .say_after = -1,
                         .exit_at_once = -1,
                         .status = 200};
    for (char *word = strtok_r(text, ", \n", &save); word; word = strtok_r(NULL, ", \n", &save)) {
        mode_apply(word);
    }
}

static void say_file(const char *path)
{
    char text[4096];
    FILE *file = fopen(path, "re");
    if (!file) {
        util_fail(path);
    }
    for (size_t n; (n = fread(text, 1, sizeof text, file)) > 0;) {
        fwrite(text, 1, n, stderr);
    }
    fclose(file);
}

/* ---- the life file ---------------------------------------------------------------------------------------
 */

/* A record lock on one file of the cluster: the kernel frees it when the process dies and hands it to no
 * child, so that two stand-ins alive at once are seen exactly, whatever the clocks say. */
static int rival_check(const char *dir, int32_t *rival)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX];
    int fd;
    snprintf(path, sizeof path, "%s/store.lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        util_fail(path);
    }
    *rival = 0;
    if (fcntl(fd, F_SETLK, &lock) != 0) {
        *rival = -1;
        /* 0: it lives in another pid namespace, which is no less a rival. */
        if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0) {
            *rival = lock.l_pid;
        }
    }
    return fd;
}

/* `dir`: NULL for one that is held, which is nobody's rival yet. */
static void life_open(const char *base, int64_t first, const char *dir, int *lock)
{
    char path[PATH_MAX];
    int fd;
    snprintf(path, sizeof path, "%s.life", base);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *life) != 0) {
        util_fail(path);
    }
    life = mmap(NULL, sizeof *life, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (life == MAP_FAILED) {
        util_fail("mmap");
    }
    close(fd);
    life->pid = getpid();
    life->first_ns = first;
    life->last_ns = util_now_ns();
    if (dir) {
        *lock = rival_check(dir, &life->rival);
        life->able_ns = first;
    }
    memcpy(life->magic, "LIVYLIFE", sizeof life->magic);
}

static void *tick(void *arg)
{
    (void)arg;
    for (int64_t next = util_now_ns();;) {
        int64_t now = util_now_ns();
        int64_t last = atomic_load(&life->last_ns);
        if (now - last > PAUSE_NS) {
            life->paused_ns = last;
            life->woke_ns = now;
        }
        atomic_store(&life->last_ns, now);
        if (now >= atomic_load(&exit_at_ns)) {
            end_life(2, atomic_load(&exit_at_code));
        }
        if (mode.hang_after >= 0 && life->serving_ns && now - life->serving_ns > mode.hang_after * 1000000) {
            hanging = true;
        }
        if (mode.say_after >= 0 && life->able_ns && now - life->able_ns > mode.say_after * 1000000) {
            mode.say_after = -1;
            say_file(mode.say);
        }
        next += 1000000;
        if (next < now) {
            next = now; /* not run for a while: no burst of catching up */
        }
        util_sleep_until(next);
    }
    return NULL;
}

static void on_end(int number)
{
    if (mode.hang_term) {
        return;
    }
    if (mode.slow_term >= 0) {
        exit_at_code = 128 + number;
        exit_at_ns = util_now_ns() + mode.slow_term * 1000000;
        return;
    }
    end_life(1, 128 + number);
}

/* ---- the gate --------------------------------------------------------------------------------------------
 */

static const char *the_dir, *the_name;

static void on_held(void)
{
    life->held_ns = util_now_ns();
}

/* The record lock is taken by who could write, not before: a held one is nobody's rival. */
static void on_able(void)
{
    int64_t able = util_now_ns();
    mode_read(the_dir, the_name); /* a test may have changed its mind while it was held */
    (void)rival_check(the_dir, &life->rival);
    life->able_ns = able;
}

static void on_gate_end(int status)
{
    life->exit_code = status;
    atomic_store(&life->exit_kind, 2);
    atomic_store(&life->last_ns, util_now_ns());
}

/* ---- helpers that outlive it -----------------------------------------------------------------------------
 */

static void close_all(void)
{
    close_range(3, ~0U, 0);
}

/* A helper must not write into its parent's life. */
static bool helper_fork(void)
{
    if (fork() != 0) {
        return false;
    }
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    return true;
}

/* What the SparkSubmit helper saw, for the tests: one line a thing. */
static void submit_note(const char *path, const char *what)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%s %lld\n", what, (long long)util_now_ns());
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, line, (size_t)length) == length) {
        close(fd);
    }
}

static int submit_main(char **argv)
{
    int64_t end = util_now_ns() + strtol(argv[2], NULL, 10) * 1000000;
    submit_note(argv[3], "start");
    util_sleep_until(end);
    submit_note(argv[3], "end");
    return 0;
}

static void helpers_start(const char *base)
{
    fflush(NULL);
    if (mode.child_outlives && helper_fork()) {
        setsid();
        close_all();
        util_sleep_until(util_now_ns() + (int64_t)HELPER_LIMIT_MS * 1000000);
        _exit(0);
    }
    if (mode.keep_lock && helper_fork()) {
        setsid();
        util_sleep_until(util_now_ns() + (int64_t)HELPER_LIMIT_MS * 1000000);
        _exit(0);
    }
    if (mode.submit_outlives >= 0) {
        char path[PATH_MAX], ms[24];
        snprintf(path, sizeof path, "%s.submit", base);
        snprintf(ms, sizeof ms, "%ld", mode.submit_outlives);
        if (helper_fork()) {
            close_all();
            execl("/proc/self/exe", "java", SUBMIT_CLASS, ms, path, (char *)NULL);
            _exit(127);
        }
    }
}

/* ---- HTTP ------------------------------------------------------------------------------------------------
 */

static int http_listen(void)
{
    char port[16] = "8998", host[256] = "0.0.0.0";
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    util_conf_value("livy.server.port", port, sizeof port);
    util_conf_value("livy.server.host", host, sizeof host);
    address.sin_port = htons((uint16_t)strtol(port, NULL, 10));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        address.sin_addr.s_addr = htonl(INADDR_ANY);
    }
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0) {
        fprintf(stderr, "standin: java.net.BindException: %s:%s: %s\n", host, port, strerror(errno));
        end_life(2, 1);
    }
    return fd;
}

static void http_answered(void)
{
    if (mode.exit_when_asked) {
        end_life(2, 1);
    }
}

static _Noreturn void http_begin(const char *base, const char *name)
{
    char log[PATH_MAX];
    struct http http = {
        .status = mode.status, .name = name, .log = log, .hanging = &hanging, .answered = http_answered};
    int fd = http_listen();
    snprintf(log, sizeof log, "%s.posts", base);
    life->serving_ns = util_now_ns();
    if (mode.no_answer) {
        hanging = true;
    }
    http_serve(fd, &http);
}

/* What it does as the one that may. */
static _Noreturn void live(const char *base, const char *name)
{
    int64_t able = life->able_ns;
    const char *store = getenv("STANDIN_STORE");
    helpers_start(base);
    if (mode.say[0] != '\0' && mode.say_after < 0) {
        say_file(mode.say);
    }
    if (mode.exit_at_once >= 0) {
        end_life(2, mode.exit_at_once);
    }
    if (mode.exit_after >= 0) {
        exit_at_code = mode.exit_after_code;
        exit_at_ns = able + mode.exit_after * 1000000;
    }
    if (mode.start_delay >= 0) {
        util_sleep_until(able + mode.start_delay * 1000000);
    }
    if (store) {
        store_begin(base, strtol(store, NULL, 10), mode.store_server);
    }
    if (mode.no_listen) {
        for (;;) {
            pause();
        }
    }
    http_begin(base, name);
}

int main(int argc, char **argv)
{
    int64_t first = util_now_ns();
    const char *dir = getenv("STANDIN_DIR"), *name = getenv("STANDIN_NAME");
    char base[PATH_MAX - 32];
    pthread_t thread;
    int lock = -1;
    if (argc > 3 && strcmp(argv[1], SUBMIT_CLASS) == 0) {
        return submit_main(argv);
    }
    if (!dir || !name) {
        fprintf(stderr, "standin: set STANDIN_DIR and STANDIN_NAME\n");
        return 64;
    }
    snprintf(base, sizeof base, "%s/%s.%d.%lld", dir, name, getpid(), (long long)(first / 1000000));
    the_dir = dir;
    the_name = name;
    life_open(base, first, gate_holds() ? NULL : dir, &lock);
    report_write(base, lock, argc, argv);
    mode_read(dir, name);
    signal(SIGTERM, on_end);
    signal(SIGINT, on_end);
    signal(SIGHUP, on_end); /* Livy's JVM ends on HUP and INT as well */
    exit_at_ns = first + (int64_t)LIFE_LIMIT_MS * 1000000;
    if (pthread_create(&thread, NULL, tick, NULL) != 0) {
        util_fail("pthread_create");
    }
    gate_begin(&(const struct gate_calls){.held = on_held, .opened = on_able, .end = on_gate_end},
               &mode.gate);
    live(base, name);
}
