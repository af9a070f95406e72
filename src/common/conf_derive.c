/* conf_derive.c - defaults that come from the host, the environment or other keys, and the checks that look
 * at several keys at once or at what this build can do. It looks at directories but makes none.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf_internal.h"
#include "livy-ha/hostinfo.h"
#include "livy-ha/standby.h"

enum { WHERE_SIZE = 4096 + 256 };

static const struct conf_key *derive_key(const char *name)
{
    int row = conf_key_find(name);
    if (row < 0) {
        abort(); /* A name in this file that the table does not have. */
    }
    return &conf_keys[row];
}

static struct conf_place *derive_place(const struct conf *conf, const char *name)
{
    return &conf_places(conf)[derive_key(name) - conf_keys];
}

/* True where nobody gave the key a value, right or wrong. */
static bool derive_is_open(const struct conf *conf, const char *name)
{
    const struct conf_place *place = derive_place(conf, name);
    return place->origin == NULL && !place->failed;
}

static bool derive_all_fine(const struct conf *conf, const char *const names[])
{
    for (; *names != NULL; names++) {
        if (derive_place(conf, *names)->failed) {
            return false;
        }
    }
    return true;
}

/* What a message about the key opens with. */
static void derive_where(const struct conf *conf, const char *name, char *where, size_t size)
{
    const char *origin = derive_place(conf, name)->origin;
    if (origin == NULL) {
        (void)snprintf(where, size, "%s (default)", name);
    } else if (strchr(origin, ':') == NULL) {
        (void)snprintf(where, size, "%s (environment): %s", origin, name);
    } else {
        (void)snprintf(where, size, "%s: %s", origin, name);
    }
}

static const char *derive_env(char *const envp[], const char *name)
{
    size_t length = strlen(name);
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, name, length) == 0 && (*envp)[length] == '=') {
            return (*envp)[length + 1] != '\0' ? *envp + length + 1 : NULL;
        }
    }
    return NULL;
}

/* Livy's own variables. True where one gave a value, right or wrong. */
static bool derive_from_env(struct conf_loader *loader, const char *name, const char *variable)
{
    char where[64];
    const char *value = derive_env(loader->envp, variable);
    if (value == NULL) {
        return false;
    }
    (void)snprintf(where, sizeof where, "%s (environment): %s", variable, name);
    conf_take(loader, derive_key(name), value, where, variable);
    return true;
}

static void derive_join(struct conf_loader *loader, const char *name, const char *directory, const char *rest)
{
    char where[64];
    char *path = NULL;
    if (directory == NULL) {
        return; /* The directory's own error has been told. */
    }
    (void)snprintf(where, sizeof where, "%s (default)", name);
    if (asprintf(&path, "%s/%s", strcmp(directory, "/") == 0 ? "" : directory, rest) < 0) {
        conf_report_error(loader->report, "%s: out of memory", where);
        return;
    }
    conf_take(loader, derive_key(name), path, where, NULL);
    free(path);
}

bool conf_derive_log_dir(struct conf *conf)
{
    char why[CONF_WHY_SIZE];
    char *logs = NULL;
    struct stat status;
    if (asprintf(&logs, "%s/logs", conf->livy.home) < 0) {
        return false;
    }
    bool there = stat(logs, &status) == 0;
    bool usable = there ? S_ISDIR(status.st_mode) && access(logs, W_OK | X_OK) == 0
                        : access(conf->livy.home, W_OK | X_OK) == 0;
    if (!usable) {
        free(logs);
        if (asprintf(&logs, "%s/logs", conf->runtime_dir) < 0) {
            return false;
        }
    }
    bool set = conf_value_set(conf, derive_key("livy.log_dir"), logs, why);
    free(logs);
    return set;
}

static void derive_livy(struct conf_loader *loader)
{
    struct conf *conf = loader->conf;
    if (derive_is_open(conf, "livy.home") && !derive_from_env(loader, "livy.home", "LIVY_HOME") &&
        !loader->unparsed) {
        conf_report_error(loader->report,
                          "livy.home is required: set it in the file (livy = { home = \"/opt/livy\"; };), or "
                          "LIVY_HA_LIVY_HOME or LIVY_HOME in the environment");
    }
    if (derive_is_open(conf, "livy.command")) {
        derive_join(loader, "livy.command", conf->livy.home, "bin/livy-server");
    }
    if (derive_is_open(conf, "livy.conf_dir") && !derive_from_env(loader, "livy.conf_dir", "LIVY_CONF_DIR")) {
        derive_join(loader, "livy.conf_dir", conf->livy.home, "conf");
    }
    if (derive_is_open(conf, "livy.log_dir") && !derive_from_env(loader, "livy.log_dir", "LIVY_LOG_DIR") &&
        conf->livy.home != NULL && conf->runtime_dir != NULL && !conf_derive_log_dir(conf)) {
        conf_report_error(loader->report,
                          "livy.log_dir (default): %s/logs is no usable path; set livy.log_dir",
                          conf->livy.home);
    }
}

/* Hot costs the memory of a JVM, and is for Apache Livy alone: not for whatever else livy.command may be. */
static void derive_standby(struct conf_loader *loader)
{
    struct conf_livy *livy = &loader->conf->livy;
    if (livy->standby != CONF_STANDBY_AUTO) {
        return;
    }
    bool hot = livy->home != NULL && livy->command != NULL &&
               standby_can_hold(livy->home, livy->command, livy->standby_why, sizeof livy->standby_why);
    livy->standby = hot ? CONF_STANDBY_HOT : CONF_STANDBY_COLD;
}

/* A Livy that is held has the agent in it anyway. */
static void derive_guard(struct conf_loader *loader)
{
    if (derive_is_open(loader->conf, "livy.guard") && loader->conf->livy.standby == CONF_STANDBY_HOT) {
        conf_take(loader, derive_key("livy.guard"), "process", "livy.guard (default)", NULL);
    }
}

static void derive_advertise(struct conf_loader *loader)
{
    struct conf *conf = loader->conf;
    if (!derive_is_open(conf, "front.advertise") || conf->front.listen == NULL) {
        return;
    }
    /* Without a front, clients come to Livy's own port. */
    int port = conf_listen_port(conf->front.listen);
    char *url = NULL;
    bool v6 = strchr(conf->host, ':') != NULL;
    if (asprintf(&url, "http://%s%s%s:%d", v6 ? "[" : "", conf->host, v6 ? "]" : "",
                 port > 0 ? port : conf->livy.port) < 0) {
        conf_report_error(loader->report, "front.advertise (default): out of memory");
        return;
    }
    conf_take(loader, derive_key("front.advertise"), url, "front.advertise (default, from this host's name)",
              NULL);
    free(url);
}

void conf_load_defaults(struct conf_loader *loader)
{
    struct conf *conf = loader->conf;
    /* Also for a refused value, so that the checks of other keys find every field filled. */
    for (size_t i = 0; i < conf_n_keys; i++) {
        if (conf_places(conf)[i].origin == NULL && conf_keys[i].fallback != NULL) {
            conf_take(loader, &conf_keys[i], conf_keys[i].fallback, conf_keys[i].key, NULL);
        }
    }
    if (derive_is_open(conf, "zookeeper.hosts") && !loader->unparsed) {
        conf_report_error(loader->report,
                          "zookeeper.hosts is required: set it in the file (zookeeper = { hosts = "
                          "\"h1:2181,h2:2181,h3:2181\"; };), or LIVY_HA_ZOOKEEPER_HOSTS in the environment");
    }
    if (derive_is_open(conf, "id")) {
        conf_take(loader, derive_key("id"), conf->host, "id (default, this host's name)", NULL);
    }
    derive_livy(loader);
    derive_standby(loader);
    derive_guard(loader);
    derive_advertise(loader);
    if (derive_is_open(conf, "control.socket")) {
        derive_join(loader, "control.socket", conf->runtime_dir, "control.sock");
    }
}

static void check_lease(struct conf_loader *loader)
{
    static const char *const keys[] = {"zookeeper.session_timeout", "zookeeper.tick", "livy.kill_margin",
                                       NULL};
    const struct conf *conf = loader->conf;
    char where[WHERE_SIZE];
    char why[1024];
    if (!derive_all_fine(conf, keys)) {
        return;
    }
    if (2 * conf->zookeeper.tick > conf->zookeeper.session_timeout) {
        derive_where(conf, "zookeeper.tick", where, sizeof where);
        conf_report_error(
            loader->report,
            "%s: found %lldms, expected at most half of zookeeper.session_timeout (%lldms): ZooKeeper "
            "grants no session shorter than two ticks",
            where, (long long)conf->zookeeper.tick, (long long)conf->zookeeper.session_timeout);
        return;
    }
    if (!conf_lease_possible(conf, conf->zookeeper.session_timeout, why, sizeof why)) {
        derive_where(conf, "zookeeper.session_timeout", where, sizeof where);
        conf_report_error(loader->report, "%s: %s", where, why);
    }
}

/* The overlay lies in it, and bin/livy-server puts that on Java's class path without quoting it. */
static void check_runtime_dir(struct conf_loader *loader)
{
    static const char *const keys[] = {"runtime_dir", NULL};
    const struct conf *conf = loader->conf;
    char where[WHERE_SIZE];
    char shown[CONF_SHOWN_SIZE];
    if (!derive_all_fine(conf, keys) || strpbrk(conf->runtime_dir, " :*?[\\") == NULL) {
        return;
    }
    derive_where(conf, "runtime_dir", where, sizeof where);
    conf_shown(conf->runtime_dir, shown);
    conf_report_error(loader->report,
                      "%s: found %s, expected a path without blanks and : * ? [ \\, which would break Livy's "
                      "class path",
                      where, shown);
}

static void check_gate(struct conf_loader *loader)
{
    static const char not_yet[] = "this version does not do that yet";
    const struct conf *conf = loader->conf;
    char where[WHERE_SIZE];
    if (conf->livy.class_data_sharing == CONF_CDS_AUTO) {
        derive_where(conf, "livy.class_data_sharing", where, sizeof where);
        conf_report_error(loader->report, "%s: %s; use livy.class_data_sharing = \"off\"", where, not_yet);
    }
}

/* `key` has a value, and `other` has none. */
static void check_pair(struct conf_loader *loader, const char *key, const char *value, const char *other,
                       const char *other_value)
{
    char where[WHERE_SIZE];
    if (value != NULL && other_value == NULL && derive_is_open(loader->conf, other)) {
        derive_where(loader->conf, key, where, sizeof where);
        conf_report_error(loader->report, "%s: it is of no use without %s: set both or neither", where,
                          other);
    }
}

static void check_zookeeper_library(struct conf_loader *loader)
{
    const struct conf_zookeeper *zookeeper = &loader->conf->zookeeper;
    char where[WHERE_SIZE];
#ifdef LIVY_HA_ZK_TLS
    check_pair(loader, "zookeeper.tls_certificate", zookeeper->tls_certificate, "zookeeper.tls_ca",
               zookeeper->tls_ca);
    check_pair(loader, "zookeeper.tls_certificate", zookeeper->tls_certificate, "zookeeper.tls_key",
               zookeeper->tls_key);
    check_pair(loader, "zookeeper.tls_key", zookeeper->tls_key, "zookeeper.tls_certificate",
               zookeeper->tls_certificate);
    check_pair(loader, "zookeeper.tls_key_password", zookeeper->tls_key_password, "zookeeper.tls_key",
               zookeeper->tls_key);
#else
    const struct {
        const char *key, *value;
    } tls[] = {{"zookeeper.tls_ca", zookeeper->tls_ca},
               {"zookeeper.tls_certificate", zookeeper->tls_certificate},
               {"zookeeper.tls_key", zookeeper->tls_key},
               {"zookeeper.tls_key_password", zookeeper->tls_key_password}};
    for (size_t i = 0; i < sizeof tls / sizeof tls[0]; i++) {
        if (tls[i].value != NULL) {
            derive_where(loader->conf, tls[i].key, where, sizeof where);
            conf_report_error(
                loader->report,
                "%s: the ZooKeeper client library of this build has no TLS; leave the key out and go "
                "through a local stunnel, with its address in zookeeper.hosts",
                where);
        }
    }
#endif
    if (zookeeper->sasl_mechanism != NULL) {
        derive_where(loader->conf, "zookeeper.sasl_mechanism", where, sizeof where);
        conf_report_error(loader->report,
                          "%s: this build has no SASL for ZooKeeper; leave the key out and use "
                          "zookeeper.auth_digest",
                          where);
    }
}

static bool check_is_any_address(const char *listen)
{
    return strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0;
}

static void check_ports(struct conf_loader *loader)
{
    static const char *const keys[] = {"front.listen", "admin.listen", "front.thrift_listen", "livy.port",
                                       NULL};
    const struct conf *conf = loader->conf;
    const char *const listen[] = {conf->front.listen, conf->admin_listen, conf->front.thrift_listen};
    char where[WHERE_SIZE];
    if (!derive_all_fine(conf, keys)) {
        return;
    }
    for (size_t i = 1; i < 3; i++) {
        int port = conf_listen_port(listen[i]);
        derive_where(conf, keys[i], where, sizeof where);
        for (size_t j = 0; j < i; j++) {
            if (port > 0 && port == conf_listen_port(listen[j]) &&
                (strcmp(listen[i], listen[j]) == 0 || check_is_any_address(listen[i]) ||
                 check_is_any_address(listen[j]))) {
                conf_report_error(loader->report, "%s: port %d is also that of %s; give each its own", where,
                                  port, keys[j]);
            }
        }
        /* front.listen may share Livy's port: the front makes room for Livy. These two do not. */
        if (port > 0 && port == conf->livy.port) {
            conf_report_error(loader->report, "%s: port %d is also livy.port, Livy's own; give each its own",
                              where, port);
        }
    }
}

static void check_front(struct conf_loader *loader)
{
    static const char *const keys[] = {"front.thrift_listen", "front.thrift_port", NULL};
    const struct conf_front *front = &loader->conf->front;
    char where[WHERE_SIZE];
    check_pair(loader, "front.tls_certificate", front->tls_certificate, "front.tls_key", front->tls_key);
    check_pair(loader, "front.tls_key", front->tls_key, "front.tls_certificate", front->tls_certificate);
    if (!derive_all_fine(loader->conf, keys)) {
        return;
    }
    if (conf_listen_port(front->thrift_listen) > 0 && front->thrift_port == 0) {
        derive_where(loader->conf, "front.thrift_listen", where, sizeof where);
        conf_report_error(loader->report, "%s: it needs front.thrift_port, the port of Livy's thrift server",
                          where);
    }
    if (conf_listen_port(front->thrift_listen) < 0 && front->thrift_port != 0) {
        derive_where(loader->conf, "front.thrift_port", where, sizeof where);
        conf_report_warning(loader->report, "%s: it has no effect while front.thrift_listen is \"off\"",
                            where);
    }
}

/* Allowed, so that a host needs no second port, but not without its price. */
static void check_shared_port(struct conf_loader *loader)
{
    static const char *const keys[] = {"front.listen", "livy.port", NULL};
    const struct conf *conf = loader->conf;
    char where[WHERE_SIZE];
    if (!derive_all_fine(conf, keys) || conf_listen_port(conf->front.listen) != conf->livy.port) {
        return;
    }
    derive_where(conf, "front.listen", where, sizeof where);
    conf_report_warning(
        loader->report,
        "%s: port %d is also livy.port: on the active member the front closes for as long as Livy runs, so "
        "that "
        "clients there come to Livy itself and see its stops and starts; give them a port each",
        where, conf->livy.port);
}

static void check_advertise(struct conf_loader *loader)
{
    const struct conf *conf = loader->conf;
    char where[WHERE_SIZE];
    char host[HOSTINFO_SIZE];
    if (conf->front.advertise == NULL || conf_listen_port(conf->front.listen) < 0) {
        return; /* without a front nobody is sent there */
    }
    derive_where(conf, "front.advertise", where, sizeof where);
    conf_url_host(conf->front.advertise, host, sizeof host);
    if (hostinfo_is_local(host)) {
        conf_report_warning(
            loader->report,
            "%s: %s is a loopback or wildcard address: clients on other hosts cannot reach this "
            "member by it; set front.advertise",
            where, conf->front.advertise);
    } else if (!hostinfo_is_ip(host) && strchr(host, '.') == NULL) {
        conf_report_warning(loader->report,
                            "%s: the host in %s has no dot: clients in other domains may not resolve it; set "
                            "front.advertise with the full name",
                            where, conf->front.advertise);
    }
}

void conf_load_check(struct conf_loader *loader)
{
    check_runtime_dir(loader);
    check_lease(loader);
    check_gate(loader);
    check_zookeeper_library(loader);
    check_ports(loader);
    check_front(loader);
    check_shared_port(loader);
    check_advertise(loader);
}
