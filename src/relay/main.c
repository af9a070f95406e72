/* main.c - livy-ha-relay: started by livy-ha alone, which tells it its descriptors. Start reading at
 * relay_run. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
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

static bool parse_options(int argc, char **argv, int *channel, int *conf, bool *wait)
{
    static const struct option longs[] = {{"channel", required_argument, NULL, 'k'},
                                          {"conf", required_argument, NULL, 'c'},
                                          {"wait", no_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (option == 'k')
            *channel = parse_fd(optarg);
        else if (option == 'c')
            *conf = parse_fd(optarg);
        else if (option == 'w')
            *wait = true;
        else
            return false;
    }
    return optind == argc && *conf >= 0 && *channel >= 0;
}

/* One that is only tried yet (an upgrade) says why it is no good; at any other time the exit status does. */
static void give_up(int channel, bool wait, const char *why)
{
    struct ipc_msg msg = {.type = IPC_FATAL, .code = 78};

    fprintf(stderr, "livy-ha-relay: %s\n", why);
    snprintf(msg.text, sizeof(msg.text), "%s", why);
    if (wait && ipc_send(channel, &msg, -1) != 0)
        perror("livy-ha-relay: the keeper is not told");
}

int main(int argc, char **argv)
{
    bool wait = false;
    int channel = -1, fd = -1;
    struct conf_report report = {0};

    if (!parse_options(argc, argv, &channel, &fd, &wait)) {
        fputs("livy-ha-relay is started by livy-ha, not by hand\n", stderr);
        return 64;
    }
    prctl(PR_SET_NAME, "livy-ha-relay"); /* run by its descriptor, it would bear the number of that */
    ipc_ignore_signals();
    struct conf *conf = conf_read(fd, &report);
    close(fd);
    if (conf == NULL) {
        give_up(channel, wait, report.n_errors > 0 ? report.errors[0] : "no configuration");
        conf_report_clear(&report);
        return 78;
    }
    conf_report_clear(&report);
    log_open("relay", conf->log_level, conf->log_format);
    return relay_run(conf, channel, wait);
}
