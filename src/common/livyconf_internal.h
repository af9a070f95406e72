/* livyconf_internal.h - what the files of livyconf share. Nothing outside src/common/livyconf*.c and its
 * unit tests may include it.
 */
#ifndef LIVY_HA_LIVYCONF_INTERNAL_H
#define LIVY_HA_LIVYCONF_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "livy-ha/livyconf.h"
#include "livy-ha/props.h"

#define LIVYCONF_WHY_SIZE 512 /* room for a sentence of another module */

#define LIVYCONF_PORT "livy.server.port"
#define LIVYCONF_MODE "livy.server.recovery.mode"
#define LIVYCONF_STORE "livy.server.recovery.state-store"
#define LIVYCONF_STORE_URL "livy.server.recovery.state-store.url" /* the only one that 0.7 knows */
#define LIVYCONF_ZOOKEEPER_URL "livy.server.zookeeper.url"        /* 0.8 and later look here first */
#define LIVYCONF_PREFIX "livy.server.recovery.zk-state-store.key-prefix"

/* A load under way: the user's settings, and whether anything was wrong with them. */
struct livyconf_input {
    const struct conf *conf;
    struct conf_report *report;
    char *path;          /* <conf_dir>/livy.conf */
    char *env_path;      /* <conf_dir>/livy-env.sh */
    struct props *props; /* of livy.conf; empty where there is none */
    char *env;           /* the text of livy-env.sh; empty where there is none */
    size_t env_length;
    bool failed;
};

/* livyconf_front.c: after `out` has host, tls and kerberos. */
void livyconf_front_check(struct livyconf_input *input, const struct livyconf *out);

/* Like conf_report_error, and remembers that the load has failed. */
void livyconf_error(struct livyconf_input *input, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* strdup that fails the load where there is no memory. */
char *livyconf_copy(struct livyconf_input *input, const char *text);
/* The user's value of `key`, or NULL where it is missing or empty; `line` as in props_get. */
const char *livyconf_get(const struct livyconf_input *input, const char *key, int *line);

/* ---- livyconf_store.c ---------------------------------------------------------------------------------- */

/* Decides recovery and the store: sets recovery, store_* of `out` and writes the keys that are lacking. */
void livyconf_store_decide(struct livyconf_input *input, struct livyconf *out, FILE *additions);
/* Writes "key = value", the value escaped for a properties file. */
void livyconf_put(FILE *file, const char *key, const char *value);
/* The store settings as Livy takes them from `props` alone: NULL where not set. */
const char *livyconf_effective_url(const struct props *props, const char *type);

/* ---- livyconf_fs.c: is a directory one that the other members see too ---------------------------------- */

/* True for the f_type of a file system that hosts share. */
bool livyconf_fs_type_shared(uint32_t type);

/* ---- livyconf_env.c: what livy-env.sh assigns ---------------------------------------------------------- */

/* The first line, from 1, on which the shell text gives the variable `name` a value; 0 where none does. */
int livyconf_env_assigns(const char *text, size_t length, const char *name);

#endif
