/* claim.h - the claim that a cluster lays on its state store, at the store's own side. Rule 7: two clusters
 * on one store are two Livys, and <root>/store cannot tell them apart, as each has a root of its own.
 *
 * ZooKeeper: a persistent node beside Livy's, "<chroot>/<key prefix>-livy-ha" (Livy reads below
 * "<chroot>/<key prefix>" alone), in zookeeper.hosts' ensemble by the elector's own handle, in another one by
 * a handle that is opened for the purpose and closed again. A file: store: <directory>/.livy-ha-claim, by a
 * thread. Elsewhere (hdfs: …): nothing; claim_new() says so once. Never blocks the loop.
 */
#ifndef LIVY_HA_ELECTOR_CLAIM_H
#define LIVY_HA_ELECTOR_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "zk.h"

#define CLAIM_CLUSTER_SIZE 33 /* 32 hexadecimal digits: drawn once for a cluster, kept in <root>/store */

struct claim;

enum claim_answer {
    CLAIM_OURS,     /* this cluster holds the store, or there is nothing to hold */
    CLAIM_ANOTHERS, /* another cluster does: no Livy may be started on it here */
    CLAIM_AWAY,     /* not known now: ask again */
};

struct claim_options {
    const char *store; /* livyconf_fingerprint() */
    const char *hosts; /* zookeeper.hosts */
    const char *root, *id;
    const char *tls;     /* as in struct zk_options, or NULL */
    bool must_be_shared; /* a file: store on a local disk is a mount that is missing */
};

/* `why` is a sentence for people: who holds the store and what to do; valid during the call. */
typedef void claim_done(void *arg, enum claim_answer answer, const char *why);

/* Copies the options. NULL: out of memory. */
struct claim *claim_new(struct event_base *base, const struct claim_options *options);
void claim_free(struct claim *claim);

/* Asks for `cluster`, laying the claim where nobody has: `done` is called once, perhaps before this returns.
 * `zk` is the connected handle of `session`; where that is not the way to the store, a store that is slow to
 * answer is CLAIM_AWAY after a fraction of a second, and the question goes on for whoever asks again.
 * CLAIM_OURS is remembered for the session, anything else for two seconds at most. */
void claim_ask(struct claim *claim, struct zk *zk, int64_t session, const char *cluster, claim_done *done,
               void *arg);

/* The handle is going away, or its connection is gone: `done` is not called any more. */
void claim_stop(struct claim *claim);

#endif
