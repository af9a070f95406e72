/* conf.h - the configuration: libconfig file, LIVY_HA_* environment over it, LIVY_HA_*_FILE.
 *
 * One table in src/common/conf_table.c says of every key its type, default, bounds, whether it is a
 * secret and when a change takes effect; parsing, --check-config, `livy-ha-ctl config`, the hand-over to
 * the elector and the test that compares docs with code all read that table.
 *
 * Durations are int64_t milliseconds. Strings are owned by the struct conf and never NULL where the
 * comment does not say so. Not thread-safe; conf_load may block on files and on the resolver (FQDN).
 */
#ifndef LIVY_HA_CONF_H
#define LIVY_HA_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "livy-ha/log.h"

#define CONF_DEFAULT_PATH "/etc/livy-ha/livy-ha.conf"

enum conf_standby { CONF_STANDBY_COLD, CONF_STANDBY_HOT, CONF_STANDBY_AUTO };
enum conf_guard { CONF_GUARD_NONE, CONF_GUARD_PROCESS };
enum conf_cds { CONF_CDS_OFF, CONF_CDS_AUTO };
enum conf_front_mode { CONF_FRONT_AUTO, CONF_FRONT_REDIRECT, CONF_FRONT_FORWARD };

struct conf_zookeeper {
    char *hosts;             /* "h1:2181,h2:2181"; never empty */
    char *root;              /* "/livy_ha": absolute, no trailing slash, no empty part */
    int64_t session_timeout; /* T as asked for; what the server grants counts */
    int64_t tick;            /* the servers' tickTime; 0 = not known, take T/2 */
    char *auth_digest;       /* "user:password" or NULL; secret */
    char *tls_ca;            /* NULL or a PEM file */
    char *tls_certificate;   /* NULL or a PEM file */
    char *tls_key;           /* NULL or a PEM file */
    char *tls_key_password;  /* NULL or secret */
    char *sasl_mechanism;    /* NULL; refused where the client library has no SASL */
};

struct conf_livy {
    char *home;     /* absolute */
    char *command;  /* absolute; <home>/bin/livy-server by default */
    char *conf_dir; /* absolute; the user's, never written to */
    char *log_dir;  /* absolute */
    int port;       /* 1..65535 */
    bool recovery;
    char *state_store_url; /* NULL: the user's livy.conf, else zookeeper.hosts */
    int64_t start_timeout;
    int64_t stop_grace;
    int64_t kill_margin; /* K */
    int64_t orphan_grace;
    int64_t probe_interval;
    int64_t probe_timeout;
    int probe_failures;
    int restarts;
    int64_t restart_window;
    enum conf_standby standby; /* COLD or HOT: "auto" is decided when the file is read */
    char standby_why[200];     /* what "auto" was decided by; "": it is not "auto" */
    int64_t held_max_age;      /* of the Livy that a hot standby holds */
    enum conf_guard guard;
    enum conf_cds class_data_sharing;
};

struct conf_front {
    char *listen; /* "0.0.0.0:8998", or "off" */
    enum conf_front_mode mode;
    enum conf_front_mode mode_in_force; /* REDIRECT or FORWARD once conf_decide_front was called; no key */
    char *advertise;                    /* URL without trailing slash; filled in by conf_load */
    int64_t hold;
    int64_t drain;
    int max_connections;
    char *tls_certificate; /* NULL or a PEM file */
    char *tls_key;         /* NULL or a PEM file */
    char *thrift_listen;   /* "off" or address:port */
    int thrift_port;       /* 0: off */
};

struct conf_failover {
    int64_t takeover_delay;
    char *fence_command; /* NULL: none */
    int64_t fence_timeout;
    char *on_change; /* NULL: none */
    int64_t on_change_timeout;
};

struct conf {
    char *id; /* [A-Za-z0-9._:-]{1,128} */
    struct conf_zookeeper zookeeper;
    struct conf_livy livy;
    struct conf_front front;
    char *admin_listen;   /* "0.0.0.0:8997", or "off" */
    char *control_socket; /* absolute path, < 108 bytes (sun_path) */
    char *runtime_dir;    /* absolute */
    enum log_level log_level;
    enum log_format log_format;
    struct conf_failover failover;
    char *host;    /* this host's FQDN, or its node name where it has none; no key */
    char *path;    /* the file read, or NULL (environment alone); no key */
    void *origins; /* conf.c's own: where each value came from */
};

/* What is wrong, collected. Each entry is a whole sentence for a person: "file:line: key: what was
 * found, what was expected, what to do". Grown on the heap up to 256 entries; further ones are counted. */
struct conf_report {
    char **errors;
    size_t n_errors;
    char **warnings;
    size_t n_warnings;
};
void conf_report_error(struct conf_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void conf_report_warning(struct conf_report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void conf_report_clear(struct conf_report *report);

/* Reads `path` (NULL: CONF_DEFAULT_PATH where it exists, else no file) and the environment `envp`
 * ("NAME=value", NULL-terminated) over it, fills in what depends on the host, and checks each key and
 * the lease's inequality with T as asked for. Returns the configuration, to be freed with conf_free, or
 * NULL where `report` got at least one error. Every error is reported, not only the first. */
struct conf *conf_load(const char *path, char *const envp[], struct conf_report *report);
/* The same for a reload: the file that `old` came from, and this host's name as it was then, so that it
 * blocks on small files alone and never on the resolver. */
struct conf *conf_load_again(const struct conf *old, char *const envp[], struct conf_report *report);
void conf_free(struct conf *conf);

/* How many variables Kubernetes has set for Services whose names begin with livy-ha: they are not taken for
 * settings. `first` is the first one, "NAME=value", or NULL. */
size_t conf_service_links(char *const envp[], const char **first);

/* "livy-ha.conf:12", "LIVY_HA_ZOOKEEPER_HOSTS", "default": where `key` got its value; for messages.
 * The string lives as long as `conf`. */
const char *conf_origin(const struct conf *conf, const char *key);

/* The lease's inequality (docs/safety.md): T(1-2 rho) - tick/2 - 2h - eps - K >= 3h + 0.5 s. Returns true
 * where it holds for a session time-out of `timeout` ms; else false, with the inequality and its numbers
 * written to `why`. */
bool conf_lease_possible(const struct conf *conf, int64_t timeout, char *why, size_t size);

/* Hand-over to another process of livy-ha through a file descriptor (a memfd, rewound by the reader):
 * what was loaded is what the child uses, whatever happened to the file since. conf_write returns 0 or
 * -1 with errno; conf_read returns NULL with `report` filled where the text is not one that conf_write
 * made. Origins travel along. */
int conf_write(const struct conf *conf, int fd);
struct conf *conf_read(int fd, struct conf_report *report);

/* For `livy-ha-ctl config` and reloads: walks over all keys in the table's order. `value` is masked
 * ("***") where the key is a secret. */
enum conf_effect { CONF_EFFECT_RELOAD, CONF_EFFECT_NEXT_START, CONF_EFFECT_RESTART };
struct conf_row {
    const char *key;
    const char *value; /* as it would be written in the file; valid until the callback returns */
    const char *origin;
    enum conf_effect effect; /* at a reload; when Livy is started next; when the daemon is restarted */
};
void conf_each(const struct conf *conf, void (*row)(void *arg, const struct conf_row *row), void *arg);

/* Decides what front.mode comes to, where it is "auto": redirect where livy.conf sets up Kerberos, else
 * forward. conf_each says so from then on, and conf_write hands it over. */
void conf_decide_front(struct conf *conf, bool kerberos);

/* HUP: makes the configuration that is in force after a reload: `fresh` with the values of `old` for each
 * key whose effect is CONF_EFFECT_RESTART. For each key that differs `changed` is called with the key, its
 * effect. Takes over `fresh` and returns it; `old` is left as it is. */
struct conf *conf_reload(const struct conf *old, struct conf *fresh,
                         void (*changed)(void *arg, const char *key, enum conf_effect effect), void *arg);

#endif
