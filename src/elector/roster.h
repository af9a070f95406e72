/* roster.h - registering this member: the parents, the store's fingerprint and the cluster's id, the claim on
 * the store, known/<id>, members/<id>.
 *
 * One request after the other; each connection starts anew. Runs before the latch node is made, so that a
 * member whose id is in use elsewhere, or whose state store differs, never stands. Never blocks.
 */
#ifndef LIVY_HA_ELECTOR_ROSTER_H
#define LIVY_HA_ELECTOR_ROSTER_H

#include <jansson.h>
#include <stdint.h>

#include "claim.h"
#include "zk.h"

struct roster;

enum roster_result {
    ROSTER_OK,
    ROSTER_RETRY,    /* try again soon: the connection, or a node of ours that has yet to expire */
    ROSTER_DENIED,   /* no rights */
    ROSTER_ID_TAKEN, /* another member lives under our id */
    ROSTER_STORE,    /* the cluster uses another state store, or another cluster uses this one */
};

struct roster_options {
    const char *root, *id, *fingerprint;   /* fingerprint NULL: not known now, not checked */
    struct claim *claim;                   /* NULL: none is laid */
    const char *host, *runtime_dir, *boot; /* to know a node of our own dead predecessor */
};

typedef void roster_done(void *arg, enum roster_result result, const char *why);

/* Copies the options. */
struct roster *roster_new(const struct roster_options *options, roster_done *done, void *arg);
void roster_free(struct roster *roster);

/* Registers with `json` as the data of members/<id>. `session`: ours. Forgets what was under way. */
void roster_start(struct roster *roster, struct zk *zk, const struct zk_session *session, const json_t *json,
                  int64_t now);
/* The handle is going away, or the connection is gone. */
void roster_stop(struct roster *roster);
/* Connected again within the session in which registering was done: publishing goes on. */
void roster_resume(struct roster *roster, struct zk *zk);

/* Writes members/<id> anew; the latest text wins. Does nothing before registering was done. */
void roster_publish(struct roster *roster, const json_t *json);
/* `seen` is what members/<id> says (NULL: it is not there). Where that is not what was last published, and
 * nothing is under way, it is written anew: a request of a dead process of ours, held up in a frozen server,
 * may be carried out after our own. */
void roster_seen(struct roster *roster, const json_t *seen);

#endif
