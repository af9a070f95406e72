/* conf_internal.h - what the files of the configuration share. Nothing outside src/common/conf*.c and its
 * unit tests may include it.
 */
#ifndef LIVY_HA_CONF_INTERNAL_H
#define LIVY_HA_CONF_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "livy-ha/conf.h"

#define CONF_WHY_SIZE 512                   /* room for one sentence about a wrong value */
#define CONF_SHOWN_SIZE 80                  /* room for a value as messages quote it */
#define CONF_ENV_SIZE 64                    /* room for LIVY_HA_GROUP_KEY; conf_table's test checks it */
#define CONF_FILE_LIMIT ((size_t)64 * 1024) /* bytes of a file with all that it includes, and of a _FILE */
#define CONF_INCLUDE_DEPTH 10               /* as in libconfig */

/* ---- conf_table.c: one row a key ---- */

enum conf_type {
    CONF_TYPE_ID,       /* a member's name */
    CONF_TYPE_STRING,   /* any text without control characters */
    CONF_TYPE_PATH,     /* an absolute path */
    CONF_TYPE_SOCKET,   /* an absolute path that fits into sun_path */
    CONF_TYPE_BOOL,     /* true, false */
    CONF_TYPE_INT,      /* a whole number */
    CONF_TYPE_PORT,     /* a port, or "off" (0 in the struct) where min is 0 */
    CONF_TYPE_DURATION, /* "250ms", "10s", "5min", "1h", "1d" */
    CONF_TYPE_ENUM,     /* one of `names` */
    CONF_TYPE_LISTEN,   /* "address:port", ":port", "[v6]:port", "off" */
    CONF_TYPE_URL,      /* http:// or https://, host, port */
    CONF_TYPE_HOSTS,    /* ZooKeeper's connect string */
    CONF_TYPE_ZNODE,    /* a ZooKeeper path */
    CONF_TYPE_DIGEST,   /* user:password */
};

struct conf_key {
    const char *key;          /* "zookeeper.hosts" */
    const char *fallback;     /* the default as text; NULL: none, or made from the host or another key */
    const char *const *names; /* CONF_TYPE_ENUM: the words in the enum's order, NULL-terminated */
    int64_t min, max;         /* numbers and durations (ms); a duration of 0 is below every min but 0 */
    size_t offset;            /* in struct conf */
    enum conf_type type;
    enum conf_effect effect;
    bool secret;
    bool zero; /* a duration that may also be 0 where min is above it */
};

extern const struct conf_key conf_keys[];
extern const size_t conf_n_keys;

/* The row's number, or -1. */
int conf_key_find(const char *key);
/* "LIVY_HA_ZOOKEEPER_HOSTS". */
void conf_key_env(const struct conf_key *key, char env[static CONF_ENV_SIZE]);
/* True where `name` is one of the groups of the file. */
bool conf_group_exists(const char *name);
/* The key, group or variable that is nearest to a mistyped one, or NULL where none is near. */
const char *conf_key_nearest(const char *key);
const char *conf_group_nearest(const char *group);
bool conf_env_nearest(const char *env, char nearest[static CONF_ENV_SIZE]);

/* ---- conf_value.c: text to field and back ---- */

/* Parses `text` into the key's field of `conf`, freeing what was there. False with `why` ("found …, expected
 * …") and the field as it was. Never repeats the text of a secret. */
bool conf_value_set(struct conf *conf, const struct conf_key *key, const char *text,
                    char why[static CONF_WHY_SIZE]);
/* The field as text that conf_value_set takes; malloc'ed. NULL with *none = true where the key has no value.
 */
char *conf_value_text(const struct conf *conf, const struct conf_key *key, bool *none);
/* The same as it would be written in the file: strings quoted and escaped. "none" for no value, "***" for a
 * secret. malloc'ed. */
char *conf_value_show(const struct conf *conf, const struct conf_key *key);
bool conf_value_equal(const struct conf *a, const struct conf *b, const struct conf_key *key);
/* Copies the field, and frees the old one. */
bool conf_value_copy(struct conf *to, const struct conf *from, const struct conf_key *key);
/* True where the field is a char *. */
bool conf_value_is_string(const struct conf_key *key);
/* "a duration in quotes, such as …": what a value of this key looks like. */
void conf_value_expected(const struct conf_key *key, char *text, size_t size);
/* `value` in quotes for a message: cut, control characters escaped. */
void conf_shown(const char *value, char shown[static CONF_SHOWN_SIZE]);
/* "10s", "250ms", "5min" */
void conf_duration_format(int64_t ms, char *text, size_t size);

/* ---- conf_check.c: the syntax of texts. Each returns NULL, or what is expected instead. ---- */

const char *conf_check_id(const char *text);
const char *conf_check_string(const char *text);
const char *conf_check_path(const char *text);
const char *conf_check_socket(const char *text);
const char *conf_check_hosts(const char *text);
const char *conf_check_znode(const char *text);
const char *conf_check_digest(const char *text);
const char *conf_check_listen(const char *text);
const char *conf_check_url(const char *text);
/* The port at the end of "address:port"; -1 for "off". The text has been checked. */
int conf_listen_port(const char *listen);
/* The host of a checked URL, without brackets. */
void conf_url_host(const char *url, char *host, size_t size);

/* ---- conf_service.c: what Kubernetes puts into the environment ---- */

#define CONF_SERVICE_SIZE 256 /* room for such a variable's name: a Service's has 63 characters at most */
/* True where this variable, of `length` characters, is one that Kubernetes sets for a Service livy-ha…. */
bool conf_is_service_link(const char *name, size_t length, const char *value);

/* ---- conf_text.c: a file with its includes as one text ---- */

struct conf_span {
    unsigned from; /* the first line of the text, from 1 */
    unsigned line; /* that line's number in its file */
    size_t file;   /* index into files */
};
struct conf_text {
    char *data; /* NUL-terminated */
    size_t length;
    struct conf_span *spans;
    size_t n_spans;
    char **files;
    size_t n_files;
};

/* False where the text must not be parsed; the report says why. To be cleared in either case. */
bool conf_text_read(struct conf_text *text, const char *path, struct conf_report *report);
void conf_text_clear(struct conf_text *text);
/* "file:line" of a line of the text. */
void conf_text_where(const struct conf_text *text, unsigned line, char *where, size_t size);
/* A small file's whole content, NUL-terminated; NULL with errno, EFBIG past `limit`. */
char *conf_slurp(const char *path, size_t limit, size_t *length);

/* ---- the steps of conf_load ---- */

struct conf_place {
    char *origin; /* "file:12", "LIVY_HA_X"; NULL: the default */
    bool failed;  /* a value was given and refused: no further complaint about this key */
};
struct conf_loader {
    struct conf *conf;
    struct conf_report *report;
    char *const *envp;
    bool unparsed; /* the file could not be read to its end: what is missing may stand there */
};

struct conf_place *conf_places(const struct conf *conf);
struct conf *conf_new(const char *host);
/* Takes `text` for the key. `where` opens the message of a refusal, `origin` is kept with an accepted value.
 */
void conf_take(struct conf_loader *loader, const struct conf_key *key, const char *text, const char *where,
               const char *origin);
void conf_load_file(struct conf_loader *loader, const char *path); /* conf_file.c */
void conf_load_env(struct conf_loader *loader);                    /* conf_env.c */
void conf_load_defaults(struct conf_loader *loader);               /* conf_derive.c */
void conf_load_check(struct conf_loader *loader);                  /* conf_derive.c */
/* Makes livy.log_dir from home and runtime_dir. */
bool conf_derive_log_dir(struct conf *conf); /* conf_derive.c */
/* conf_load for a given host name, so that tests need no resolver. */
struct conf *conf_load_for(const char *host, const char *path, char *const envp[],
                           struct conf_report *report);

#endif
