/* livyconf.h - what livy-ha must know of the user's Livy configuration, and the overlay it starts Livy with.
 *
 * Facts: livy.conf beats -D; in a properties file the last duplicate wins; livy-env.sh may overwrite
 * LIVY_SERVER_JAVA_OPTS and LIVY_CONF_DIR. So Livy gets a directory of its own: links to everything of the
 * user's, a livy.conf that is the user's with our keys appended, a livy-env.sh that sources the user's and
 * then appends our options. The user's directory is never written to.
 * May block on files: called before the keeper's loop and in the forked child, never in a loop.
 */
#ifndef LIVY_HA_LIVYCONF_H
#define LIVY_HA_LIVYCONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/conf.h"

struct livyconf {
    bool recovery;      /* Livy runs with recovery on, by the user's settings or by ours */
    bool tls;           /* livy.keystore is set: Livy speaks https */
    bool kerberos;      /* livy.server.auth.type = kerberos: clients come with SPNEGO */
    char *host;         /* livy.server.host, or NULL: where Livy listens */
    char *store_type;   /* "zookeeper", "filesystem", or "none" without recovery */
    char *store_url;    /* as Livy will see it; "" without recovery */
    char *store_prefix; /* livy.server.recovery.zk-state-store.key-prefix, "livy" by default */
    char *additions;    /* the text that the overlay's livy.conf gets appended */
};

/* Reads <conf_dir>/livy.conf and livy-env.sh and decides what the overlay adds. Problems go to `report`:
 * errors (LIVY_CONF_DIR= in livy-env.sh; recovery with a master that Livy refuses; recovery mode "off" in
 * livy.conf under livy.recovery = true; a file: store on a local disk; an unreadable file …), each with
 * file:line and what to do; warnings (deploy-mode other than cluster, no SPARK_HOME anywhere,
 * livy.recovery = false). A missing livy.conf counts as an empty one, a missing directory is an error.
 * Returns NULL where there was an error. `envp` is looked at for SPARK_HOME. */
struct livyconf *livyconf_load(const struct conf *conf, char *const envp[], struct conf_report *report);
void livyconf_free(struct livyconf *livyconf);

/* Where the state store is, in one line that two members can compare: "zookeeper a:2181,b:2181/chroot livy"
 * with the hosts sorted and lower-case, the default port added; "filesystem hdfs://…"; "none". malloc'ed. */
char *livyconf_fingerprint(const struct livyconf *livyconf);

/* A connect string with its hosts lower-case, ported, sorted, each once, and its chroot; malloc'ed or NULL.
 */
char *livyconf_zookeeper_normal(const char *url);
/* The path of a file: URL or of a bare path, malloc'ed; NULL with errno 0 where `url` is neither. */
char *livyconf_fs_path(const char *url);
/* 1 where `path`, or its nearest existing parent, is on a file system that other hosts share, 0 where on a
 * local one, -1 with errno. `where` gets the directory that was asked, `type` its f_type. */
int livyconf_fs_shared(const char *path, char *where, size_t size, uint32_t *type);

/* Makes <runtime_dir>/livy-conf anew (built beside it, then renamed) and the log directory. The user's files
 * are read as they are now; where livy.conf has come to name another recovery mode or store than `livyconf`
 * says (it was edited since), that is an error, not a start on another store. `session_ms` is
 * the lease's T: Livy's own ZooKeeper session must not outlive it by much
 * (-Dcurator-default-session-timeout, Curator's CuratorFrameworkFactory). To LIVY_SERVER_JAVA_OPTS are added
 * too: `java_first` before the user's own options, which win over these (each with a blank behind it), and
 * `java_options` after them (each with a blank before it). Returns 0, or -1 with `why` saying what failed,
 * where, and what to do. */
int livyconf_overlay(const struct conf *conf, const struct livyconf *livyconf, int64_t session_ms,
                     const char *java_first, const char *java_options, char *why, size_t size);

/* <runtime_dir>/livy-conf */
void livyconf_overlay_path(const struct conf *conf, char *path, size_t size);

#endif
