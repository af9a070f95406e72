/* probe.h - asks the local Livy for GET /version. Never blocks; one probe at a time.
 *
 * Alive is any well-formed status line below 500 (every auth filter of Livy sits on all paths, so 401 and 403
 * are answers too); dead is refused, timed out, closed early, malformed, or 5xx. With TLS a real handshake is
 * made, without verification: it is our own host. The program must ignore SIGPIPE.
 */
#ifndef LIVY_HA_ELECTOR_PROBE_H
#define LIVY_HA_ELECTOR_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct probe;

struct probe_target {
    char address[64]; /* IP literal to connect to; 127.0.0.1 where Livy listens on all */
    int port;
    bool tls;
};

struct probe_result {
    bool alive;
    bool untold;      /* this process lacked descriptors or memory: nothing was learnt about Livy */
    int status;       /* the HTTP status, 0 where there was none */
    char reason[128]; /* "HTTP 200", "connection refused", "no answer within 5000 ms", … */
};
typedef void probe_done(void *arg, const struct probe_result *result);

struct probe *probe_new(struct event_base *base, const struct probe_target *target, probe_done *done,
                        void *arg);
void probe_free(struct probe *probe);

/* Starts one probe with an absolute limit of `timeout` ms from now for all of it. Does nothing where one is
 * under way. `done` is called later, never from within. */
void probe_start(struct probe *probe, int64_t timeout);
/* The same; with no connection within `connect` ms it is over, as nobody is there. */
void probe_start_within(struct probe *probe, int64_t connect, int64_t timeout);
void probe_cancel(struct probe *probe);

/* Whether this errno says that this process lacked descriptors or memory, which is no news of anybody else.
 */
bool probe_lacked(int error);

/* The address to probe for Livy's livy.server.host (NULL, "0.0.0.0", a name, an address of this host):
 * 127.0.0.1 where Livy listens on all, else the address itself. Names are looked up in /etc/hosts and DNS, so
 * this blocks: before the loop, or in no loop. 0, or -1 with `why`. */
int probe_target_address(const char *host, char address[static 64], char *why, size_t size);

#endif
