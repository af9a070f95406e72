/* main.c - livy-ha: options, configuration, then the keeper's loop. Start reading here. */
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"
#include "livy-ha/conf.h"
#include "livy-ha/livyconf.h"
#include "livy-ha/log.h"
#include "notify.h"
#include "reload.h"
#include "startup.h"

#define EXIT_USAGE 64 /* EX_USAGE */

struct options {
    const char *path;
    bool check_config, close_session;
};

static const char usage[] =
    "usage: livy-ha [-c FILE] [--check-config] [--close-session] [--version] [--help]\n"
    "\n"
    "Runs in the foreground: elects one active Livy among the members of a cluster.\n"
    "  -c, --config FILE   configuration; by default " CONF_DEFAULT_PATH " where it exists,\n"
    "                      else the environment alone (LIVY_HA_ZOOKEEPER_HOSTS, …)\n"
    "  --check-config      read the configuration, say what is wrong, end with 0 or 78\n"
    "  --close-session     close the ZooKeeper session of a dead daemon (for ExecStopPost)\n"
    "  --version, --help\n"
    "Exit status: 0 orderly stop, 64 usage, 75 temporary (restart me), 78 configuration (do not).\n";

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
    enum { CHECK = 256, CLOSE, VERSION, HELP };
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},    {"check-config", no_argument, NULL, CHECK},
        {"close-session", no_argument, NULL, CLOSE}, {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, HELP},           {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "c:", longs, NULL)) != -1) {
        switch (option) {
        case 'c':
            options->path = optarg;
            break;
        case CHECK:
            options->check_config = true;
            break;
        case CLOSE:
            options->close_session = true;
            break;
        case VERSION:
            printf("livy-ha %s\n", LIVY_HA_VERSION);
            return EXIT_SUCCESS;
        case HELP:
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "livy-ha: unexpected argument: %s\n%s", argv[optind], usage);
    return EXIT_USAGE;
}

static void print_report(const struct conf_report *report)
{
    for (size_t i = 0; i < report->n_errors; i++)
        fprintf(stderr, "livy-ha: error: %s\n", report->errors[i]);
    for (size_t i = 0; i < report->n_warnings; i++)
        fprintf(stderr, "livy-ha: warning: %s\n", report->warnings[i]);
}

/* A daemon whose configuration does not load: as the journal or a container's collector of logs wants it.
 * What log.format says is not known then. */
static void tell_report(const struct conf_report *report)
{
    log_open("keeper", LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    if (log_format_in_use() == LOG_FORMAT_TEXT)
        print_report(report);
    else
        reload_log_report(report);
}

static int check_there(const struct conf *conf)
{
    const struct {
        const char *key, *path;
        int mode;
    } needed[] = {{"livy.home", conf->livy.home, R_OK | X_OK},
                  {"livy.command", conf->livy.command, X_OK},
                  {"livy.conf_dir", conf->livy.conf_dir, R_OK | X_OK}};
    int rc = 0;

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (access(needed[i].path, needed[i].mode) == 0)
            continue;
        fprintf(stderr, "livy-ha: error: %s: %s: %s is not there, or not readable or executable\n",
                conf_origin(conf, needed[i].key), needed[i].key, needed[i].path);
        rc = EXIT_CONFIGURATION;
    }
    return rc;
}

static int check_config(const struct conf *conf, const struct livyconf *livyconf)
{
    int rc = conf == NULL || livyconf == NULL ? EXIT_CONFIGURATION : check_there(conf);
    if (rc == 0)
        printf("livy-ha: the configuration is good (%s)\n",
               conf->path != NULL ? conf->path : "environment alone");
    return rc;
}

/* Once, so that nobody wonders; they are no settings. */
static void log_service_links(void)
{
    const char *first;
    size_t count = conf_service_links(environ, &first);

    if (count > 0)
        log_info(
            "ignored: %zu variables of the environment, %.*s the first, that Kubernetes sets for a Service "
            "(enableServiceLinks: false leaves them out)",
            count, (int)strcspn(first, "="), first);
}

static int run(struct conf *conf, struct livyconf *livyconf)
{
    int lock = -1;

    /* From here on they wait for the keeper's loop: a HUP must not end the daemon, and as PID 1 a TERM would
     * be lost. */
    keeper_block_signals(NULL);
    notify_open();
    log_info("livy-ha %s, member %s, %s", LIVY_HA_VERSION, conf->id,
             conf->path != NULL ? conf->path : "configured by the environment alone");
    log_service_links();
    conf_decide_front(conf, livyconf->kerberos);
    if (strcmp(conf->front.listen, "off") != 0)
        log_info("front at %s for %s, front.mode %s", conf->front.listen, conf->front.advertise,
                 conf->front.mode_in_force == CONF_FRONT_REDIRECT ? "redirect" : "forward");
    else
        log_info("front.listen is off: clients come to Livy's own port, %d", conf->livy.port);
    if (conf->livy.standby_why[0] != '\0')
        log_info("livy.standby is auto, which comes to %s", conf->livy.standby_why);
    int rc = startup_prepare(conf, livyconf, &lock);
    if (rc == 0)
        return keeper_run(conf, livyconf, lock); /* takes both over */
    conf_free(conf);
    livyconf_free(livyconf);
    return rc == STARTUP_STOPPED ? EXIT_SUCCESS : rc;
}

/* The daemon: takes `conf` over. What is wrong for now (a directory not mounted yet) comes before what is
 * wrong in files that may be in it. */
static int start(struct conf *conf, struct conf_report *report)
{
    log_open("keeper", conf->log_level, conf->log_format);
    int rc = startup_directories(conf);
    if (rc != 0) {
        conf_free(conf);
        return rc;
    }
    struct livyconf *livyconf = livyconf_load(conf, environ, report);
    reload_log_report(report);
    if (livyconf != NULL)
        return run(conf, livyconf);
    conf_free(conf);
    return EXIT_CONFIGURATION;
}

static int check(struct conf *conf, struct conf_report *report)
{
    struct livyconf *livyconf = conf != NULL ? livyconf_load(conf, environ, report) : NULL;

    print_report(report);
    int rc = check_config(conf, livyconf);
    livyconf_free(livyconf);
    conf_free(conf);
    return rc;
}

/* Needs no Livy: a broken livy.conf must not keep the standby waiting. */
static int close_session(struct conf *conf)
{
    log_open("keeper", conf->log_level, conf->log_format);
    int rc = startup_close_session(conf);
    conf_free(conf);
    return rc;
}

/* Started with one of 0, 1 and 2 closed, the next file that is opened (a lock) would get what is logged. */
static void fill_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct conf_report report = {0};
    fill_standard_descriptors();
    int rc = parse_options(argc, argv, &options);

    if (rc >= 0)
        return rc;
    /* The kernel drops a TERM that a PID 1 neither handles nor blocks, and looking up the host's name takes
     * its time: blocked, it waits for the loop. */
    if (getpid() == 1)
        keeper_block_signals(NULL);
    struct conf *conf = conf_load(options.path, environ, &report);
    if (conf != NULL && !options.close_session && !startup_can_keep(conf, &report)) {
        conf_free(conf);
        conf = NULL;
    }
    if (options.check_config) {
        rc = check(conf, &report);
    } else if (conf == NULL) {
        tell_report(&report);
        rc = EXIT_CONFIGURATION;
    } else {
        rc = options.close_session ? close_session(conf) : start(conf, &report);
    }
    conf_report_clear(&report);
    return rc;
}
