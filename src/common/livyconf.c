/* livyconf.c - reads the user's Livy configuration and says what is wrong with it before Livy is started:
 * Livy itself would need seconds to say so, or would run in a way that loses sessions. Writes nothing.
 */
#include "livy-ha/livyconf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "livyconf_internal.h"

void livyconf_error(struct livyconf_input *input, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    input->failed = true;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    conf_report_error(input->report, "%s",
                      text != NULL ? text : "out of memory while reading Livy's configuration");
    free(text);
}

char *livyconf_copy(struct livyconf_input *input, const char *text)
{
    char *copy = strdup(text);

    if (copy == NULL)
        livyconf_error(input, "out of memory while reading %s", input->path);
    return copy;
}

const char *livyconf_get(const struct livyconf_input *input, const char *key, int *line)
{
    const char *value = props_get(input->props, key, line);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* ---- the files ----------------------------------------------------------------------------------------- */

/* livy.conf; a missing one is as good as an empty one, to Livy too. */
static bool input_read_conf(struct livyconf_input *input)
{
    char why[LIVYCONF_WHY_SIZE];

    input->props = props_load(input->path, why, sizeof why);
    if (input->props == NULL && errno == ENOENT)
        input->props = props_parse("", 0);
    if (input->props == NULL)
        livyconf_error(input, "%s (livy.conf_dir says where Livy's configuration is)", why);
    return input->props != NULL;
}

static bool input_read_env(struct livyconf_input *input)
{
    char why[LIVYCONF_WHY_SIZE];

    input->env = props_read_file(input->env_path, &input->env_length, why, sizeof why);
    if (input->env == NULL && errno == ENOENT) {
        input->env = calloc(1, 1);
        input->env_length = 0;
    }
    if (input->env == NULL)
        livyconf_error(input, "%s (livy.conf_dir says where Livy's configuration is)", why);
    return input->env != NULL;
}

static bool input_read(struct livyconf_input *input)
{
    const char *dir = input->conf->livy.conf_dir;
    struct stat st;
    bool conf_read;

    if (stat(dir, &st) != 0) {
        livyconf_error(input, "cannot find Livy's configuration directory %s: %s; set livy.conf_dir", dir,
                       strerror(errno));
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        livyconf_error(input, "%s is not a directory; set livy.conf_dir to the one with livy.conf in it",
                       dir);
        return false;
    }
    if (asprintf(&input->path, "%s/livy.conf", dir) < 0)
        input->path = NULL;
    if (asprintf(&input->env_path, "%s/livy-env.sh", dir) < 0)
        input->env_path = NULL;
    if (input->path == NULL || input->env_path == NULL) {
        livyconf_error(input, "out of memory while reading %s", dir);
        return false;
    }
    conf_read = input_read_conf(input);
    return input_read_env(input) && conf_read;
}

static void input_clear(struct livyconf_input *input)
{
    free(input->path);
    free(input->env_path);
    free(input->env);
    props_free(input->props);
}

/* ---- checks -------------------------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Livy refuses to start with recovery on any other master; "local" is its default. */
static void check_master(struct livyconf_input *input)
{
    int line = 0;
    const char *master = props_get(input->props, "livy.spark.master", &line);

    if (master == NULL)
        livyconf_error(
            input,
            "livy.spark.master is missing from %s: Livy's default, \"local\", does not go with recovery "
            "and it would refuse to start; add livy.spark.master = yarn (or k8s://...), or set "
            "livy.recovery = false",
            input->path);
    else if (!starts_with(master, "yarn") && !starts_with(master, "k8s"))
        livyconf_error(
            input,
            "%s:%d: livy.spark.master is \"%s\", with which Livy refuses to start under recovery: set it "
            "to yarn (or k8s://...), or set livy.recovery = false",
            input->path, line, master);
}

static void check_deploy_mode(struct livyconf_input *input)
{
    int line = 0;
    const char *master = props_get(input->props, "livy.spark.master", NULL);
    const char *mode = props_get(input->props, "livy.spark.deploy-mode", &line);
    const char *what = "drivers run beside Livy and die with it at a fail-over";

    if (mode == NULL) /* the name before 0.4, which Livy still takes */
        mode = props_get(input->props, "livy.spark.deployMode", &line);
    if (mode != NULL && strcmp(mode, "cluster") == 0)
        return;
    if (mode != NULL && *mode != '\0')
        conf_report_warning(input->report, "%s:%d: livy.spark.deploy-mode is \"%s\": %s; set it to cluster",
                            input->path, line, mode, what);
    else if (master == NULL || strcmp(master, "yarn-cluster") != 0) /* which says it in the master's name */
        conf_report_warning(
            input->report,
            "%s: livy.spark.deploy-mode is missing: %s, unless Spark's own settings say otherwise; "
            "set it to cluster",
            input->path, what);
}

static void check_env(struct livyconf_input *input, char *const envp[])
{
    int line = livyconf_env_assigns(input->env, input->env_length, "LIVY_CONF_DIR");

    if (line != 0)
        livyconf_error(
            input,
            "%s:%d: this line sets LIVY_CONF_DIR, which would take Livy away from the configuration that "
            "livy-ha prepares for it: remove it, and set livy.conf_dir in livy-ha's configuration "
            "instead",
            input->env_path, line);
    if (livyconf_get(input, "livy.server.spark-home", NULL) != NULL ||
        livyconf_env_assigns(input->env, input->env_length, "SPARK_HOME") != 0)
        return;
    for (; envp != NULL && *envp != NULL; envp++) {
        if (starts_with(*envp, "SPARK_HOME=") && (*envp)[strlen("SPARK_HOME=")] != '\0')
            return;
    }
    conf_report_warning(
        input->report,
        "SPARK_HOME is neither in the environment nor set in %s: Livy refuses to start without it; "
        "add a line SPARK_HOME=/where/spark/is there",
        input->env_path);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static void begin_additions(const struct livyconf_input *input, FILE *additions)
{
    char port[16];

    /* Two newlines: the first ends a last line that has no end, or is swallowed where a backslash continues
     * that line; the second then ends it. */
    (void)fprintf(
        additions,
        "\n\n# Appended by livy-ha to its copy of livy.conf; the file to edit is in livy.conf_dir.\n");
    (void)snprintf(port, sizeof port, "%d", input->conf->livy.port);
    livyconf_put(additions, LIVYCONF_PORT, port);
}

static void decide(struct livyconf_input *input, char *const envp[], struct livyconf *out, FILE *additions)
{
    const char *auth = props_get(input->props, "livy.server.auth.type", NULL);
    const char *host = livyconf_get(input, "livy.server.host", NULL);

    out->tls = livyconf_get(input, "livy.keystore", NULL) != NULL;
    out->kerberos = auth != NULL && strcasecmp(auth, "kerberos") == 0;
    if (host != NULL)
        out->host = livyconf_copy(input, host);
    begin_additions(input, additions);
    livyconf_store_decide(input, out, additions);
    if (out->recovery)
        check_master(input);
    check_deploy_mode(input);
    check_env(input, envp);
    livyconf_front_check(input, out);
}

struct livyconf *livyconf_load(const struct conf *conf, char *const envp[], struct conf_report *report)
{
    struct livyconf_input input = {.conf = conf, .report = report};
    struct livyconf *out = calloc(1, sizeof *out);
    size_t size;
    FILE *additions = out != NULL ? open_memstream(&out->additions, &size) : NULL;

    if (additions == NULL) {
        livyconf_error(&input, "out of memory while reading %s", conf->livy.conf_dir);
    } else {
        if (input_read(&input))
            decide(&input, envp, out, additions);
        bool written = ferror(additions) == 0;
        if (fclose(additions) != 0 || !written)
            livyconf_error(&input, "out of memory while reading %s", conf->livy.conf_dir);
    }
    input_clear(&input);
    if (!input.failed)
        return out;
    livyconf_free(out);
    return NULL;
}

void livyconf_free(struct livyconf *livyconf)
{
    if (livyconf == NULL)
        return;
    free(livyconf->host);
    free(livyconf->store_type);
    free(livyconf->store_url);
    free(livyconf->store_prefix);
    free(livyconf->additions);
    free(livyconf);
}

char *livyconf_fingerprint(const struct livyconf *livyconf)
{
    char *normal;
    char *line = NULL;

    if (strcmp(livyconf->store_type, "none") == 0)
        return strdup("none");
    if (strcmp(livyconf->store_type, "zookeeper") != 0) {
        if (asprintf(&line, "%s %s", livyconf->store_type, livyconf->store_url) < 0)
            return NULL;
        return line;
    }
    normal = livyconf_zookeeper_normal(livyconf->store_url);
    if (normal == NULL)
        return NULL;
    if (asprintf(&line, "zookeeper %s %s", normal, livyconf->store_prefix) < 0)
        line = NULL;
    free(normal);
    return line;
}
