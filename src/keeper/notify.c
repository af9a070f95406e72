/* notify.c - see the header; the protocol is sd_notify(3)'s. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "livy-ha/log.h"

static struct {
    int fd;
    struct sockaddr_un address;
    socklen_t length;
    int64_t watchdog_ms;
} notify = {.fd = -1};

static void open_watchdog(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;

    if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
        return;
    errno = 0;
    long long value = strtoll(usec, &end, 10);
    if (errno != 0 || *end != '\0' || value <= 0) {
        log_warn("WATCHDOG_USEC=%s is not a number: systemd's watchdog is not served", usec);
        return;
    }
    notify.watchdog_ms = value / 2000;
    if (notify.watchdog_ms == 0)
        notify.watchdog_ms = 1;
}

void notify_open(void)
{
    const char *path = getenv("NOTIFY_SOCKET");

    if (path != NULL && (path[0] == '/' || path[0] == '@') && path[1] != '\0' &&
        strlen(path) < sizeof(notify.address.sun_path)) {
        notify.address.sun_family = AF_UNIX;
        memcpy(notify.address.sun_path, path, strlen(path));
        notify.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        if (path[0] == '@')
            notify.address.sun_path[0] = '\0'; /* the abstract name space, unix(7) */
        notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (notify.fd < 0)
            log_warn("no socket for sd_notify: %s", strerror(errno));
        open_watchdog();
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void notify_send(const char *state)
{
    if (notify.fd < 0)
        return;
    if (sendto(notify.fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&notify.address,
               notify.length) < 0)
        log_debug("sd_notify was not taken: %s", strerror(errno));
}

int64_t notify_watchdog_ms(void)
{
    return notify.fd < 0 ? 0 : notify.watchdog_ms;
}
