/* main.c - livy-ha-elector: started by livy-ha alone, which tells it its descriptors. Start reading at
 * elector_run. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "close.h"
#include "elector.h"
#include "livy-ha/conf.h"
#include "livy-ha/ipc.h"
#include "livy-ha/log.h"

struct options {
    int channel, conf;
    const char *store;
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
                                          {"close-session", no_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'k')
            options->channel = parse_fd(optarg);
        else if (option == 'c')
            options->conf = parse_fd(optarg);
        else if (option == 't')
            options->store = optarg;
        else if (option == 's')
            options->close_session = true;
        else
            return false;
    }
    bool elector = options->channel >= 0 && options->store != NULL;
    return optind == argc && options->conf >= 0 && (elector || options->close_session);
}

int main(int argc, char **argv)
{
    struct options options = {.channel = -1, .conf = -1};
    struct conf_report report = {0};

    if (!parse_options(argc, argv, &options)) {
        fputs("livy-ha-elector is started by livy-ha, not by hand\n", stderr);
        return 64;
    }
    if (!options.close_session)
        ipc_ignore_signals();
    struct conf *conf = conf_read(options.conf, &report);
    close(options.conf);
    if (conf == NULL) {
        fprintf(stderr, "livy-ha-elector: %s\n", report.n_errors > 0 ? report.errors[0] : "no configuration");
        conf_report_clear(&report);
        return 78;
    }
    conf_report_clear(&report);
    log_open("elector", conf->log_level, conf->log_format);
    if (!options.close_session)
        return elector_run(conf, options.channel, options.store);
    int rc = close_run(conf);
    conf_free(conf);
    return rc;
}
