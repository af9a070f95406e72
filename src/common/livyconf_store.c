/* livyconf_store.c - where Livy keeps its sessions: what the user's livy.conf says, what it lacks, and the
 * keys that the overlay adds for it. A complete set of the user's is kept as it is. Writes no file.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "livyconf_internal.h"

/* The user's settings (NULL: not set) with their lines, and what is decided. */
struct store {
    const char *mode, *type, *store_url, *zookeeper_url, *prefix;
    int mode_line, type_line, store_url_line, zookeeper_url_line;
    const char *url;    /* as Livy will see it, or NULL */
    char url_from[512]; /* where that comes from, for messages */
};

/* ---- connect strings ----------------------------------------------------------------------------------- */

static int compare_hosts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* True where a port follows: the last colon is not one of an IPv6 address. */
static bool has_port(const char *host)
{
    const char *colon = strrchr(host, ':');
    const char *bracket = strrchr(host, ']');

    if (colon == NULL)
        return false;
    if (host[0] == '[')
        return bracket != NULL && colon > bracket;
    return true;
}

/* Cuts `list` at its commas and blanks into lower-case hosts with a port; the strings are malloc'ed. */
static size_t split_hosts(char *list, char **hosts, bool *failed)
{
    size_t count = 0;
    char *rest = NULL;

    for (char *host = strtok_r(list, ", \t", &rest); host != NULL; host = strtok_r(NULL, ", \t", &rest)) {
        for (char *c = host; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        if (asprintf(&hosts[count], "%s%s", host, has_port(host) ? "" : ":2181") < 0) {
            *failed = true;
            break;
        }
        count++;
    }
    return count;
}

/* Joins the sorted hosts, each once. */
static void join_hosts(FILE *file, char **hosts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(hosts[i], hosts[i - 1]) != 0)
            (void)fprintf(file, "%s%s", i == 0 ? "" : ",", hosts[i]);
    }
}

char *livyconf_zookeeper_normal(const char *url)
{
    char *result = NULL;
    size_t size;
    size_t count = 0;
    bool failed = false;
    char *list = strdup(url);
    char **hosts = calloc(strlen(url) + 1, sizeof *hosts);
    char *slash = list != NULL ? strchr(list, '/') : NULL;
    FILE *file = open_memstream(&result, &size);

    if (list == NULL || hosts == NULL || file == NULL) {
        failed = true;
    } else {
        if (slash != NULL)
            *slash = '\0';
        count = split_hosts(list, hosts, &failed);
        qsort(hosts, count, sizeof *hosts, compare_hosts);
        join_hosts(file, hosts, count);
        if (slash != NULL && slash[1] != '\0') /* "/" alone is no chroot to ZooKeeper's clients */
            (void)fprintf(file, "/%s", slash + 1);
    }
    if (file != NULL && fclose(file) != 0)
        failed = true;
    for (size_t i = 0; i < count; i++)
        free(hosts[i]);
    free(hosts);
    free(list);
    if (!failed)
        return result;
    free(result);
    return NULL;
}

/* Two ways to write the same place are no contradiction. */
static bool same_place(const char *type, const char *a, const char *b)
{
    char *normal_a;
    char *normal_b;
    bool same;

    if (strcmp(type, "zookeeper") != 0)
        return strcmp(a, b) == 0;
    normal_a = livyconf_zookeeper_normal(a);
    normal_b = livyconf_zookeeper_normal(b);
    same = normal_a != NULL && normal_b != NULL && strcmp(normal_a, normal_b) == 0;
    free(normal_a);
    free(normal_b);
    return same;
}

/* ---- what the user has --------------------------------------------------------------------------------- */

static void store_read(const struct livyconf_input *input, struct store *store)
{
    /* An empty mode or prefix is a value to Livy; an empty store or url it refuses, so it counts as lacking.
     */
    store->mode = props_get(input->props, LIVYCONF_MODE, &store->mode_line);
    store->prefix = props_get(input->props, LIVYCONF_PREFIX, NULL);
    store->type = livyconf_get(input, LIVYCONF_STORE, &store->type_line);
    store->store_url = livyconf_get(input, LIVYCONF_STORE_URL, &store->store_url_line);
    store->zookeeper_url = livyconf_get(input, LIVYCONF_ZOOKEEPER_URL, &store->zookeeper_url_line);
}

/* Trouble with the store: an error where livy-ha sees to recovery, else a warning, as the user has asked to
 * be left alone. */
static void store_problem(struct livyconf_input *input, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void store_problem(struct livyconf_input *input, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        livyconf_error(input, "out of memory while checking %s", input->path);
    else if (input->conf->livy.recovery)
        livyconf_error(input, "%s", text);
    else
        conf_report_warning(input->report, "%s", text);
    free(length < 0 ? NULL : text);
}

/* Where livy-ha's own configuration has `key` from. */
static const char *origin(const struct livyconf_input *input, const char *key)
{
    return input->conf->origins != NULL ? conf_origin(input->conf, key) : "livy-ha's configuration";
}

/* ---- what is decided ----------------------------------------------------------------------------------- */

static void store_check_mode(struct livyconf_input *input, const struct store *store)
{
    if (store->mode == NULL || strcmp(store->mode, "recovery") == 0)
        return;
    livyconf_error(
        input,
        "%s:%d: %s is \"%s\", but livy.recovery is true and needs \"recovery\" (else every fail-over "
        "loses all sessions): remove this line, so that livy-ha adds what is lacking, or set "
        "livy.recovery = false in livy-ha's configuration to run without recovery",
        input->path, store->mode_line, LIVYCONF_MODE, store->mode);
}

/* The type of the store, or NULL where Livy knows none of that name. */
static const char *store_type(struct livyconf_input *input, const struct store *store)
{
    if (store->type == NULL && input->conf->livy.recovery)
        return "zookeeper";
    if (store->type == NULL) {
        store_problem(
            input,
            "%s: %s is missing while %s is \"recovery\": Livy will refuse to start; set it to zookeeper "
            "or filesystem, or set livy.recovery = true, so that livy-ha adds it",
            input->path, LIVYCONF_STORE, LIVYCONF_MODE);
        return NULL;
    }
    if (strcmp(store->type, "zookeeper") == 0 || strcmp(store->type, "filesystem") == 0)
        return store->type;
    store_problem(
        input,
        "%s:%d: %s is \"%s\", which Livy does not know: set it to zookeeper or filesystem, or remove the "
        "line and the urls for ZooKeeper at livy-ha's zookeeper.hosts",
        input->path, store->type_line, LIVYCONF_STORE, store->type);
    return NULL;
}

/* livy.state_store_url stands beside an url of the user's: they must say the same. */
static void store_check_conflict(struct livyconf_input *input, const char *type, const char *key,
                                 const char *url, int line)
{
    const char *ours = input->conf->livy.state_store_url;

    if (!input->conf->livy.recovery || ours == NULL || url == NULL || same_place(type, ours, url))
        return;
    livyconf_error(
        input,
        "%s:%d: %s is \"%s\", but %s sets livy.state_store_url = \"%s\": sessions can be kept in one "
        "place only; remove one of the two settings, or make them equal",
        input->path, line, key, url, origin(input, "livy.state_store_url"), ours);
}

/* Of the user's two urls for ZooKeeper 0.7 takes one and later Livys the other. */
static void store_check_both(struct livyconf_input *input, const struct store *store)
{
    if (store->store_url == NULL || store->zookeeper_url == NULL ||
        same_place("zookeeper", store->store_url, store->zookeeper_url))
        return;
    conf_report_warning(
        input->report,
        "%s: %s (line %d, \"%s\") and %s (line %d, \"%s\") name different places: Livy 0.7 takes "
        "the first, later ones the second, as livy-ha does; make them equal",
        input->path, LIVYCONF_STORE_URL, store->store_url_line, store->store_url, LIVYCONF_ZOOKEEPER_URL,
        store->zookeeper_url_line, store->zookeeper_url);
}

/* Takes the user's url for this type of store, else livy.state_store_url, else zookeeper.hosts. */
static void store_choose_url(struct livyconf_input *input, struct store *store, const char *type)
{
    const struct conf *conf = input->conf;
    bool zookeeper = strcmp(type, "zookeeper") == 0;
    size_t room = sizeof store->url_from;

    store_check_conflict(input, type, LIVYCONF_STORE_URL, store->store_url, store->store_url_line);
    if (zookeeper) {
        store_check_conflict(input, type, LIVYCONF_ZOOKEEPER_URL, store->zookeeper_url,
                             store->zookeeper_url_line);
        store_check_both(input, store);
    }
    if (zookeeper && store->zookeeper_url != NULL) {
        store->url = store->zookeeper_url;
        (void)snprintf(store->url_from, room, "%s:%d: %s", input->path, store->zookeeper_url_line,
                       LIVYCONF_ZOOKEEPER_URL);
    } else if (store->store_url != NULL) {
        store->url = store->store_url;
        (void)snprintf(store->url_from, room, "%s:%d: %s", input->path, store->store_url_line,
                       LIVYCONF_STORE_URL);
    } else if (conf->livy.recovery && conf->livy.state_store_url != NULL) {
        store->url = conf->livy.state_store_url;
        (void)snprintf(store->url_from, room, "%s: livy.state_store_url",
                       origin(input, "livy.state_store_url"));
    } else if (conf->livy.recovery && zookeeper) {
        store->url = conf->zookeeper.hosts;
        (void)snprintf(store->url_from, room, "%s: zookeeper.hosts", origin(input, "zookeeper.hosts"));
    }
}

/* A directory on one host's disk is not there on the others. */
static void store_check_shared(struct livyconf_input *input, const struct store *store)
{
    char where[4096];
    uint32_t type = 0;
    char *path = livyconf_fs_path(store->url);
    int shared;

    if (path == NULL) {
        if (errno != 0)
            livyconf_error(input, "out of memory while checking %s", input->path);
        return;
    }
    shared = livyconf_fs_shared(path, where, sizeof where, &type);
    if (shared == 0)
        store_problem(
            input,
            "%s is \"%s\", and %s is on a local file system (statfs type 0x%x): after a fail-over another "
            "host would not find the sessions; use hdfs://..., a shared mount (NFS, CIFS, CephFS, ...) "
            "or %s = zookeeper, or set livy.recovery = false",
            store->url_from, store->url, where, (unsigned)type, LIVYCONF_STORE);
    else if (shared < 0)
        store_problem(input,
                      "%s is \"%s\", and what file system %s is on cannot be found out: %s; mend that, use "
                      "hdfs://... or %s = zookeeper, or set livy.recovery = false",
                      store->url_from, store->url, where, strerror(errno), LIVYCONF_STORE);
    free(path);
}

static void store_check_url(struct livyconf_input *input, const struct store *store, const char *type)
{
    if (store->url == NULL) {
        store_problem(input,
                      "%s: %s is missing, and %s = %s (line %d) needs it: set it there, or set "
                      "livy.state_store_url in livy-ha's configuration",
                      input->path, LIVYCONF_STORE_URL, LIVYCONF_STORE, type, store->type_line);
    } else if (strcmp(type, "filesystem") == 0) {
        store_check_shared(input, store);
    } else if (strstr(store->url, "://") != NULL || store->url[0] == '/' ||
               strncmp(store->url, "file:/", 6) == 0) {
        store_problem(
            input,
            "%s is \"%s\", a place for files, but the state store is ZooKeeper: set %s = filesystem in "
            "%s, or give ZooKeeper's host1:2181,host2:2181,...",
            store->url_from, store->url, LIVYCONF_STORE, input->path);
    }
}

/* ---- additions ----------------------------------------------------------------------------------------- */

void livyconf_put(FILE *file, const char *key, const char *value)
{
    bool leading = true;

    (void)fprintf(file, "%s = ", key);
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        if (c != ' ')
            leading = false;
        if (c == '\\' || (c == ' ' && leading))
            (void)fprintf(file, "\\%c", c);
        else if (c < 0x20)
            (void)fprintf(file, "\\u%04x", c);
        else
            (void)fputc(c, file);
    }
    (void)fputc('\n', file);
}

static void store_add(const struct store *store, const char *type, FILE *additions)
{
    bool zookeeper = strcmp(type, "zookeeper") == 0;

    if (store->mode == NULL)
        livyconf_put(additions, LIVYCONF_MODE, "recovery");
    if (store->type == NULL)
        livyconf_put(additions, LIVYCONF_STORE, type);
    if (store->store_url == NULL)
        livyconf_put(additions, LIVYCONF_STORE_URL, store->url);
    if (zookeeper && store->zookeeper_url == NULL)
        livyconf_put(additions, LIVYCONF_ZOOKEEPER_URL, store->url);
}

/* ZooKeeper 3.4's client, which Livy 0.7 has, takes a blank after a comma for a part of the host's name. */
static char *without_blanks(const char *text)
{
    char *copy = strdup(text);
    char *to = copy;

    if (copy == NULL)
        return NULL;
    for (; *text != '\0'; text++) {
        if (*text != ' ' && *text != '\t')
            *to++ = *text;
    }
    *to = '\0';
    return copy;
}

static void store_decide_type(struct livyconf_input *input, struct store *store, struct livyconf *out,
                              FILE *additions)
{
    const char *type = store_type(input, store);
    char *cleaned = NULL;

    out->recovery = true;
    if (type == NULL) { /* Only livy.recovery = false comes on from here: Livy itself will refuse to start. */
        out->store_type = livyconf_copy(input, store->type != NULL ? store->type : "none");
        out->store_url = livyconf_copy(input, "");
        return;
    }
    store_choose_url(input, store, type);
    store_check_url(input, store, type);
    if (store->url != NULL && strcmp(type, "zookeeper") == 0 && store->url != store->zookeeper_url &&
        store->url != store->store_url) {
        cleaned = without_blanks(store->url);
        store->url = cleaned;
        if (cleaned == NULL)
            livyconf_error(input, "out of memory while checking %s", input->path);
    }
    out->store_type = livyconf_copy(input, type);
    out->store_url = livyconf_copy(input, store->url != NULL ? store->url : "");
    if (input->conf->livy.recovery && store->url != NULL)
        store_add(store, type, additions);
    free(cleaned);
}

void livyconf_store_decide(struct livyconf_input *input, struct livyconf *out, FILE *additions)
{
    struct store store = {0};
    bool users;

    store_read(input, &store);
    users = store.mode != NULL && strcmp(store.mode, "recovery") == 0;
    out->store_prefix = livyconf_copy(input, store.prefix != NULL ? store.prefix : "livy");
    if (input->conf->livy.recovery) {
        store_check_mode(input, &store);
    } else if (users) {
        conf_report_warning(
            input->report,
            "%s: livy.recovery is false, but %s:%d turns recovery on: livy-ha leaves the recovery "
            "settings as they are and only warns of what is wrong with them",
            origin(input, "livy.recovery"), input->path, store.mode_line);
    } else {
        conf_report_warning(
            input->report,
            "%s: livy.recovery is false: at every fail-over and every stop of Livy all its sessions "
            "are lost; set it to true (and livy.spark.master to yarn or k8s) to keep them",
            origin(input, "livy.recovery"));
        out->store_type = livyconf_copy(input, "none");
        out->store_url = livyconf_copy(input, "");
        return;
    }
    store_decide_type(input, &store, out, additions);
}

static const char *props_filled(const struct props *props, const char *key)
{
    const char *value = props_get(props, key, NULL);

    return value != NULL && *value != '\0' ? value : NULL;
}

const char *livyconf_effective_url(const struct props *props, const char *type)
{
    const char *url = strcmp(type, "zookeeper") == 0 ? props_filled(props, LIVYCONF_ZOOKEEPER_URL) : NULL;

    return url != NULL ? url : props_filled(props, LIVYCONF_STORE_URL);
}
