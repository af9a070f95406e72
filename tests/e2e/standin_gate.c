/* standin_gate.c - see the header. The protocol is written down a second time here, from
 * include/livy-ha/gate.h: the stand-in shares no code with livy-ha. */
#include "standin_gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "standin_util.h"

enum { READY = 1, REFUSED, HELD, LOADED, OPENED, RECORDED, OPEN, LEASE, RECORD };
enum { EXIT_REFUSED = 93, EXIT_LEASE = 94, EXIT_ORPHANED = 95 };

struct msg {
    uint32_t magic, type;
    int64_t kill_at; /* CLOCK_BOOTTIME ms */
    uint32_t count, reserved;
    char text[256];
};

static struct {
    const struct gate_calls *calls;
    bool found, hold, until_open;
    int channel, page_fd;
    const _Atomic int64_t *page;
    char record[PATH_MAX];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open; /* under the lock */
} gate = {
    .channel = -1, .page_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static _Noreturn void end(int status)
{
    gate.calls->end(status);
    _exit(status);
}

static void say(uint32_t type, uint32_t count, const char *text)
{
    struct msg msg = {.magic = 0x31474c48, .type = type, .count = count};
    snprintf(msg.text, sizeof msg.text, "%s", text);
    (void)!send(gate.channel, &msg, sizeof msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int64_t now_ms(void)
{
    return util_now_ns() / 1000000;
}

/* The last "-agentpath:…/liblivy-ha-gate.so=" of LIVY_CONF_DIR's livy-env.sh. */
static void options_find(void)
{
    char path[PATH_MAX], line[8192], options[8192] = "", *save = NULL;
    const char *dir = getenv("LIVY_CONF_DIR");
    snprintf(path, sizeof path, "%s/livy-env.sh", dir ? dir : ".");
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        static const char agent[] = "/liblivy-ha-gate.so=";
        char *at = strstr(line, agent);
        if (at && strstr(line, "-agentpath:")) {
            at += sizeof agent - 1;
            at[strcspn(at, " \"\n")] = '\0';
            snprintf(options, sizeof options, "%s", at);
        }
    }
    if (file) {
        fclose(file);
    }
    for (char *word = strtok_r(options, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        gate.hold = gate.hold || strcmp(word, "hold") == 0;
        gate.until_open = gate.until_open || strcmp(word, "until-open") == 0;
        if (strncmp(word, "channel=", 8) == 0) {
            gate.channel = (int)strtol(word + 8, NULL, 10);
        } else if (strncmp(word, "page=", 5) == 0) {
            gate.page_fd = (int)strtol(word + 5, NULL, 10);
        } else if (strncmp(word, "record=", 7) == 0) {
            snprintf(gate.record, sizeof gate.record, "%s", word + 7);
        }
    }
    gate.found = gate.channel >= 0;
}

static int64_t lease(void)
{
    int64_t kill_at = gate.page ? atomic_load(gate.page) : INT64_MAX;
    if (now_ms() >= kill_at) {
        end(EXIT_LEASE);
    }
    return kill_at;
}

static void let_go(int64_t kill_at)
{
    int64_t page = lease();
    if (now_ms() >= (page != INT64_MAX ? page : kill_at)) {
        end(EXIT_LEASE);
    }
    pthread_mutex_lock(&gate.lock);
    gate.open = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    if (gate.until_open) {
        gate.page = NULL;
    }
    say(OPENED, 0, "");
}

static void record(void)
{
    FILE *file = gate.record[0] ? fopen(gate.record, "we") : NULL;
    if (file) {
        fprintf(file, "org.apache.livy.server.LivyServer\n");
        fclose(file);
    }
    say(RECORDED, file ? 1 : 0, file ? "" : "no file");
}

static void hear(void)
{
    struct msg msg;
    ssize_t n = recv(gate.channel, &msg, sizeof msg, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n != (ssize_t)sizeof msg || msg.magic != 0x31474c48) {
        end(EXIT_ORPHANED);
    }
    if (msg.type == OPEN) {
        let_go(msg.kill_at);
    } else if (msg.type == RECORD) {
        record();
    }
}

static void *watch(void *arg)
{
    (void)arg;
    for (;;) {
        int64_t left = lease();
        left = left == INT64_MAX ? -1 : left - now_ms();
        struct pollfd look = {.fd = gate.channel, .events = POLLIN};
        poll(&look, 1, left < 0 || left > 60000 ? 60000 : (int)left + 1);
        lease();
        if (look.revents) {
            hear();
        }
    }
    return NULL;
}

static void listen_early(void)
{
    char port[16] = "8998";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    util_conf_value("livy.server.port", port, sizeof port);
    address.sin_port = htons((uint16_t)strtol(port, NULL, 10));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0) {
        util_fail("listening early");
    }
}

static void hold(const struct gate_behaviour *behaviour)
{
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL); /* as the agent does: gate.h */
    if (behaviour->refused) {
        say(REFUSED, 0,
            "no org/apache/livy/server/WebServer.class on the class path: this Livy is not one that can be "
            "held");
        end(EXIT_REFUSED);
    }
    say(READY, 0, "");
    if (behaviour->warm_delay > 0) {
        util_sleep_until(util_now_ns() + behaviour->warm_delay * 1000000);
    }
    if (behaviour->listens) {
        listen_early();
    }
    pthread_mutex_lock(&gate.lock);
    if (!gate.open) { /* else it comes to an open gate */
        gate.calls->held();
        say(HELD, 0, "Lorg/apache/livy/sessions/SessionManager;");
        say(LOADED, access(gate.record, R_OK) == 0 ? 1 : 0, "");
    }
    while (!gate.open) {
        pthread_cond_wait(&gate.changed, &gate.lock);
    }
    pthread_mutex_unlock(&gate.lock);
    gate.calls->opened();
}

bool gate_holds(void)
{
    options_find();
    return gate.found && gate.hold;
}

void gate_begin(const struct gate_calls *calls, const struct gate_behaviour *behaviour)
{
    pthread_t thread;
    gate.calls = calls;
    if (!gate.found) {
        return;
    }
    fcntl(gate.channel, F_SETFD, FD_CLOEXEC);
    if (gate.page_fd >= 0) {
        void *page = mmap(NULL, sizeof *gate.page, PROT_READ, MAP_SHARED, gate.page_fd, 0);
        gate.page = page != MAP_FAILED ? page : NULL;
        close(gate.page_fd);
    }
    if (pthread_create(&thread, NULL, watch, NULL) != 0) {
        util_fail("pthread_create");
    }
    if (gate.hold) {
        hold(behaviour);
    }
}
