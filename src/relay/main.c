/* main.c - livy-ha-relay: started by livy-ha alone, which tells it its descriptors. Start reading at
 * relay_run. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "livy-ha/conf.h"
#include "livy-ha/ipc.h"
#include "livy-ha/log.h"
#include "relay.h"

static int parse_fd(const char *text)
{
    char *end;
    long fd = strtol(text, &end, 10);
    return *end == '\0' && fd > 2 && fd < 1024 ? (int)fd : -1;
}

static bool parse_options(int argc, char **argv, int *channel, int *conf)
{
    static const struct option longs[] = {{"channel", required_argument, NULL, 'k'},
                                          {"conf", required_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'k')
            *channel = parse_fd(optarg);
        else if (option == 'c')
            *conf = parse_fd(optarg);
        else
            return false;
    }
    return optind == argc && *conf >= 0 && *channel >= 0;
}

int main(int argc, char **argv)
{
    int channel = -1, fd = -1;
    struct conf_report report = {0};

    if (!parse_options(argc, argv, &channel, &fd)) {
        fputs("livy-ha-relay is started by livy-ha, not by hand\n", stderr);
        return 64;
    }
    ipc_ignore_signals();
    struct conf *conf = conf_read(fd, &report);
    close(fd);
    if (conf == NULL) {
        fprintf(stderr, "livy-ha-relay: %s\n", report.n_errors > 0 ? report.errors[0] : "no configuration");
        conf_report_clear(&report);
        return 78;
    }
    conf_report_clear(&report);
    log_open("relay", conf->log_level, conf->log_format);
    return relay_run(conf, channel);
}
