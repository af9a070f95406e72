/* main.c - livy-ha-elector: started by livy-ha alone, which tells it its descriptors. Start reading at
 * elector_run. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "close.h"
#include "elector.h"
#include "livy-ha/conf.h"
#include "livy-ha/ipc.h"
#include "livy-ha/log.h"

struct options {
    int channel, conf;
    struct elector_options elector;
    bool close_session;
};

static int parse_fd(const char *text)
{
    char *end;
    long fd = strtol(text, &end, 10);
    return *end == '\0' && fd > 2 && fd < 1024 ? (int)fd : -1;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {{"channel", required_argument, NULL, 'k'},
                                          {"conf", required_argument, NULL, 'c'},
                                          {"store", required_argument, NULL, 't'},
                                          {"keeper", required_argument, NULL, 'v'},
                                          {"upgrade", required_argument, NULL, 'u'},
                                          {"close-session", no_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'k')
            options->channel = parse_fd(optarg);
        else if (option == 'c')
            options->conf = parse_fd(optarg);
        else if (option == 't')
            options->elector.store = optarg;
        else if (option == 'v')
            options->elector.keeper = optarg;
        else if (option == 'u')
            options->elector.upgrade = optarg;
        else if (option == 's')
            options->close_session = true;
        else
            return false;
    }
    bool elector = options->channel >= 0 && options->elector.store != NULL;
    return optind == argc && options->conf >= 0 && (elector || options->close_session);
}

/* One that is only tried yet (an upgrade) says why it is no good; at any other time the exit status does. */
static void give_up(const struct options *options, const char *why)
{
    struct ipc_msg msg = {.type = IPC_FATAL, .code = 78};

    fprintf(stderr, "livy-ha-elector: %s\n", why);
    snprintf(msg.text, sizeof(msg.text), "%s", why);
    if (options->elector.upgrade != NULL && options->channel >= 0 &&
        ipc_send(options->channel, &msg, -1) != 0)
        perror("livy-ha-elector: the keeper is not told");
}

int main(int argc, char **argv)
{
    struct options options = {.channel = -1, .conf = -1};
    struct conf_report report = {0};

    if (!parse_options(argc, argv, &options)) {
        fputs("livy-ha-elector is started by livy-ha, not by hand\n", stderr);
        return 64;
    }
    prctl(PR_SET_NAME, "livy-ha-elector"); /* run by its descriptor, it would bear the number of that */
    if (!options.close_session)
        ipc_ignore_signals();
    struct conf *conf = conf_read(options.conf, &report);
    close(options.conf);
    if (conf == NULL) {
        give_up(&options, report.n_errors > 0 ? report.errors[0] : "no configuration");
        conf_report_clear(&report);
        return 78;
    }
    conf_report_clear(&report);
    log_open("elector", conf->log_level, conf->log_format);
    if (!options.close_session)
        return elector_run(conf, options.channel, &options.elector);
    int rc = close_run(conf);
    conf_free(conf);
    return rc;
}
