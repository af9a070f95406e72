/* claim_internal.h - what the claim*.c files share; nobody else but their tests includes it. */
#ifndef LIVY_HA_ELECTOR_CLAIM_INTERNAL_H
#define LIVY_HA_ELECTOR_CLAIM_INTERNAL_H

#include "claim.h"

#include <stddef.h>

#include "zk_resolve.h"

#define CLAIM_WHY_SIZE 768

struct event;

/* ---- claim_text.c: pure ---- */

enum claim_where {
    CLAIM_NOWHERE,   /* nothing to claim, or nothing that we could reach */
    CLAIM_OWN,       /* in the ensemble of zookeeper.hosts */
    CLAIM_ELSEWHERE, /* in another ensemble */
    CLAIM_FILE,
};

struct claim_place {
    enum claim_where where;
    char *hosts; /* of the store's ensemble, in normal form; a file: "" */
    char *path;  /* of the node, as the server knows it, or of the directory */
};

/* What the fingerprint `store` means for a cluster at `hosts` (normal form, a chroot allowed). 0, or -1: out
 * of memory. */
int claim_place_find(struct claim_place *place, const char *store, const char *hosts);
void claim_place_clear(struct claim_place *place);

/* Who claims. */
struct claim_self {
    const char *cluster; /* the drawn id */
    const char *hosts;   /* zookeeper.hosts in normal form, without the chroot */
    const char *root;    /* with the chroot */
    const char *member;
    bool own; /* the store is in the ensemble where the root is, seen through the same handle */
};

enum claim_says { CLAIM_SAYS_NOTHING, CLAIM_SAYS_US, CLAIM_SAYS_ANOTHER };

/* The claim's text, one line of JSON, malloc'ed; NULL: out of memory. */
char *claim_write(const struct claim_self *self);
/* Whom the text of a claim names. ANOTHER: `who` tells. Text that is not ours to read is another's too. */
enum claim_says claim_read(const struct claim_self *self, const char *text, size_t length, char *who,
                           size_t size);

/* ---- claim_node.c: the steps on a connected handle ---- */

typedef void claim_visited(void *arg, enum claim_answer answer, const char *why);

/* Lives as long as the handle may answer. */
struct claim_visit {
    struct zk *zk; /* NULL: nothing is under way, and what is still answered is not for us */
    const struct claim_place *place;
    const struct claim_self *self;
    char *path, *text;
    int rounds;
    claim_visited *done;
    void *arg;
};

void claim_visit_start(struct claim_visit *visit, struct zk *zk, const struct claim_place *place,
                       const struct claim_self *self, claim_visited *done, void *arg);
/* `done` is not called any more; frees what the visit has. */
void claim_visit_stop(struct claim_visit *visit);

/* ---- claim_reach.c: the same with a handle of its own, in another ensemble ---- */

struct claim_reach {
    struct event_base *base;
    const struct claim_place *place;
    const struct claim_self *self;
    const char *tls;
    unsigned attempts;
    struct zk_resolve *resolve;
    struct zk *zk;
    struct event *limit;
    bool connected, answered;
    struct claim_visit visit;
    claim_visited *done;
    void *arg;
};

/* Fields up to `tls` are set by the caller. `done` is called once, within five seconds, on the loop. */
void claim_reach_start(struct claim_reach *reach, claim_visited *done, void *arg);
void claim_reach_stop(struct claim_reach *reach);

/* ---- claim_file.c: a file in the store's directory ---- */

struct claim_file;

/* `done` is called once, on the loop, when the file system has answered: perhaps never (a hung NFS server).
 * NULL: no memory, no thread. The strings are copied. */
struct claim_file *claim_file_start(struct event_base *base, const struct claim_place *place,
                                    const struct claim_self *self, bool must_be_shared, claim_visited *done,
                                    void *arg);
void claim_file_cancel(struct claim_file *file);

#endif
