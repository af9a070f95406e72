/* child.h - the processes that the keeper starts: elector, relay, Livy, the fence command, the hook. The only
 * place in livy-ha that forks.
 *
 * The keeper is single-threaded, so fork is safe, and PDEATHSIG, which is tied to the thread that forked
 * (prctl(2)), is tied to the keeper's life. A child starts with a clean signal mask, default dispositions, no
 * descriptors that are not meant for it, and an environment without what is the daemon's own.
 */
#ifndef LIVY_HA_KEEPER_CHILD_H
#define LIVY_HA_KEEPER_CHILD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cds_trust.h"
#include "guard.h"
#include "livy-ha/conf.h"
#include "livy-ha/ipc.h"
#include "livy-ha/livyconf.h"

struct child {
    pid_t pid;
    int pidfd;  /* readable once it is dead; the caller's */
    int status; /* Livy's: a pipe that ends with nothing where exec went well, else with a sentence; else -1
                 */
    bool class_data; /* Livy, once that is looked at: it was started with an archive (cds.h) */
};

#define CHILD_CLASS_DATA '\001' /* through `status`, right before exec */

struct child_order {
    const struct conf *conf;
    const struct livyconf *livyconf;
    int64_t session_ms;      /* the lease's T */
    int64_t kill_at;         /* CLOCK_BOOTTIME ms */
    struct guard *guard;     /* NULL, or not opened: none */
    bool hold;               /* Livy stands at the gate, under no lease, until it is let go */
    int lock;                /* with `hold`: Livy's lock file, opened and not locked */
    int after;               /* a pidfd: one that was held and is just being killed; 0, -1: none */
    enum cds_use class_data; /* of an archive, where one is there */
    int output;              /* for its stdout and stderr (said.h); -1: it inherits ours */
};

/* Starts Livy in a session of its own: builds the overlay in the child (files may block; the keeper may not),
 * takes the lock that it will hold for life, then execs livy.command unless the lease is over by then. One
 * that is to be held inherits what the keeper will lock when it lets it go. 0, or -1 with `why`. */
int child_livy(const struct child_order *order, struct child *child, char *why, size_t size);

/* A program of ours, kept open: what was run once can be run again, whatever is installed by then. */
struct child_program {
    int fd; /* -1: not open */
    char path[PATH_MAX];
};

/* Opens the installed `name`: beside this program in a build tree, else in libexec. 0, or -1 with `why`. */
int child_program_open(struct child_program *program, const char *name, char *why, size_t size);
void child_program_close(struct child_program *program);

/* Starts the elector. It inherits `channel`, a memfd with the configuration, and `lock` (so that no other
 * daemon starts while it still has a session to close); it is told the state store's fingerprint, and
 * `upgrade`, the upgrade under way ("NUMBER/ID"; NULL: none). One that is only tried dies with the keeper
 * until it is welcomed; after that it has a session to close. 0, or -1 with `why`. */
int child_elector(const struct child_program *program, const struct conf *conf,
                  const struct livyconf *livyconf, int channel, int lock, const char *upgrade, bool tried,
                  struct child *child, char *why, size_t size);

/* Starts the relay, which inherits `channel` and a memfd with the configuration, and dies with the keeper.
 * `waits`: opens no port before it is told (HANDOVER). 0, or -1 with `why`. */
int child_relay(const struct child_program *program, const struct conf *conf, int channel, bool waits,
                struct child *child, char *why, size_t size);

/* Runs failover.fence_command by `/bin/sh -c`, in a session and process group of its own, with
 * LIVY_HA_FENCE_ID, _HOST, _URL, _EPOCH, _REASON of the member and LIVY_HA_FENCE_BY, this one's id. It
 * outlives the keeper: what has begun is left to end. 0, or -1 with `why`. */
int child_fence(const struct conf *conf, const struct ipc_member *member, const char *reason,
                struct child *child, char *why, size_t size);

/* What failover.on_change is told. */
struct child_change {
    const char *role, *old_role, *reason;
    bool serving;
    int64_t epoch; /* 0: none */
    int64_t at;    /* time of day, ms */
    unsigned missed;
};

/* Runs failover.on_change by `/bin/sh -c`, in a session and process group of its own, with the change in
 * LIVY_HA_CHANGE_…. 0, or -1 with `why`. */
int child_hook(const struct conf *conf, const struct child_change *change, struct child *child, char *why,
               size_t size);

/* Becomes `livy-ha-elector --close-session` (exec), which inherits `lock` too. Returns only on failure, with
 * `why`. */
void child_become_closer(const struct conf *conf, int lock, char *why, size_t size);

/* The same in a process of its own, which dies with the keeper. Returns its pid, -1 with errno. */
pid_t child_closer(const struct conf *conf, int lock);

/* What it wrote before exec, if that failed; else "". */
void child_read_status(struct child *child, char *text, size_t size);
/* Was this Livy, which is past exec, started with an archive of its classes? */
bool child_has_class_data(struct child *child);
/* A signal, by pidfd; none where there is no such child. */
void child_signal(const struct child *child, int number);
/* It was reaped: closes what is left of it. */
void child_forget(struct child *child);

/* Where a file of ours is: beside this program in a build tree, else in libexec. 0, or -1 with `why`.
 * `mode`: what it has to be to us, as for access(2). */
int child_program(const char *name, int mode, char *path, size_t path_size, char *why, size_t size);

/* A memfd with the configuration as conf_read takes it, or -1 with errno. */
int child_conf_memfd(const struct conf *conf);

#endif
