/* main.c - livy-ha-ctl: the command line, and which command it names. What is done is in cmd_*.c. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "livy-ha/clock.h"
#include "text.h"

#define DEFAULT_TIMEOUT 60000

/* Options that only some commands have; each command lists its own. */
enum {
    OPTION_WIDE = 1,
    OPTION_FOR = 2,
    OPTION_TRACE = 4,
    OPTION_TO = 8,
    OPTION_NO_WAIT = 16,
    OPTION_FORCE = 32,
    TAKES_ID = 64, /* no option: a word after the command */
};

struct command {
    const char *name;
    unsigned int options;
    enum ctl_exit (*run)(const struct ctl *ctl);
};

static const struct command commands[] = {
    {"status", OPTION_WIDE, command_status},
    {"watch", OPTION_WIDE, command_watch},
    {"active", 0, command_active},
    {"history", OPTION_TRACE, command_history},
    {"config", 0, command_config},
    {"wait", OPTION_FOR, command_wait},
    {"version", 0, command_version},
    {"switchover", OPTION_TO | OPTION_NO_WAIT, command_order},
    {"pause", OPTION_FOR | OPTION_NO_WAIT, command_order},
    {"resume", OPTION_NO_WAIT, command_order},
    {"restart", OPTION_NO_WAIT, command_order},
    {"drain", OPTION_FORCE | OPTION_NO_WAIT, command_order},
    {"undrain", OPTION_NO_WAIT, command_order},
    {"forget", OPTION_NO_WAIT | TAKES_ID, command_order},
    {"reload", OPTION_NO_WAIT, command_order},
    {"upgrade", OPTION_NO_WAIT, command_order},
};

static const char help[] =
    "Usage: livy-ha-ctl [-c FILE] [-s SOCKET] [-u URL] [--json] [--timeout DUR] COMMAND\n"
    "\n"
    "Commands\n"
    "  status [--wide]    who is active, and how every member stands; exit status 3\n"
    "                     where no active Livy serves\n"
    "  watch [--wide]     the same, drawn again at each change, until Ctrl-C\n"
    "  active             the active Livy's URL\n"
    "  history            the last transitions\n"
    "  config             the daemon's settings, where each came from, and when a\n"
    "                     change of it counts\n"
    "  wait --for active|standby|serving\n"
    "                     until this member's Livy serves as the active one, this\n"
    "                     member stands by, or any active Livy serves\n"
    "  version            of livy-ha-ctl and of the daemon\n"
    "  switchover [--to ID]\n"
    "                     the active member hands over, to the next in the queue or\n"
    "                     to ID; asked on any member\n"
    "  pause [--for DUR]  no automatic fail-over, no restart of Livy, in the whole\n"
    "                     cluster; a lost lease still ends Livy\n"
    "  resume             ends the pause\n"
    "  restart            Livy, on this member, which keeps the latch\n"
    "  drain [--force]    this member steps down and does not stand until undrain\n"
    "  undrain            it stands again\n"
    "  forget ID          an absent member is not shown any more\n"
    "  reload             the daemon reads its configuration again\n"
    "  upgrade            elector and relay are replaced by the installed version\n"
    "\n"
    "Options, before or after the command\n"
    "  -c, --config FILE  the daemon's configuration, to find its control socket\n"
    "  -s, --socket PATH  the control socket itself (default: control.socket of the\n"
    "                     configuration, else /run/livy-ha/control.sock)\n"
    "  -u, --url URL      read from a member's admin port instead: http://host:8997\n"
    "      --json         JSON, for scripts\n"
    "      --timeout DUR  250ms, 10s, 5min; default 60s; for switchover, drain and\n"
    "                     restart livy.start_timeout\n"
    "      --no-wait      does not wait for the outcome of what changes something\n"
    "      --wide         more columns\n"
    "  -h, --help         this text\n"
    "\n"
    "Exit status: 0 done; 1 failed; 2 usage; 3 no active Livy; 4 no daemon answers;\n"
    "5 timed out.\n";

static enum ctl_exit usage(const char *message, const char *what)
{
    ctl_complain("%s%s%s. Try: livy-ha-ctl --help", what, what[0] != '\0' ? ": " : "", message);
    return CTL_USAGE;
}

/* What the command line says, before it is known whether it makes sense. */
struct line {
    struct ctl *ctl;
    const char *command;
    const char *surplus; /* an operand too many */
    const char *timeout;
    unsigned int options;
    bool help;
};

static bool read_option(struct line *line, int option)
{
    switch (option) {
    case 1: /* an operand, thanks to the '-' in front of the option string */
        if (line->command == NULL)
            line->command = optarg;
        else if (line->ctl->operand == NULL)
            line->ctl->operand = optarg;
        else
            line->surplus = optarg;
        return true;
    case 'c':
        line->ctl->conf = optarg;
        return true;
    case 's':
        line->ctl->socket = optarg;
        return true;
    case 'u':
        line->ctl->url = optarg;
        return true;
    case 'j':
        line->ctl->json = true;
        return true;
    case 't':
        line->timeout = optarg;
        return true;
    case 'w':
        line->ctl->wide = true;
        line->options |= OPTION_WIDE;
        return true;
    case 'f':
        line->ctl->wait_for = optarg;
        line->options |= OPTION_FOR;
        return true;
    case 'T':
        line->options |= OPTION_TRACE;
        return true;
    case 'o':
        line->ctl->to = optarg;
        line->options |= OPTION_TO;
        return true;
    case 'n':
        line->ctl->no_wait = true;
        line->options |= OPTION_NO_WAIT;
        return true;
    case 'F':
        line->ctl->force = true;
        line->options |= OPTION_FORCE;
        return true;
    case 'h':
        line->help = true;
        return true;
    default:
        return false; /* getopt has said what is wrong with it */
    }
}

static bool read_line(struct line *line, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"socket", required_argument, NULL, 's'},
        {"url", required_argument, NULL, 'u'},
        {"json", no_argument, NULL, 'j'},
        {"timeout", required_argument, NULL, 't'},
        {"wide", no_argument, NULL, 'w'},
        {"for", required_argument, NULL, 'f'},
        {"trace", no_argument, NULL, 'T'},
        {"to", required_argument, NULL, 'o'},
        {"no-wait", no_argument, NULL, 'n'},
        {"force", no_argument, NULL, 'F'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    /* '-': operands are handed over in their turn, so options may stand on either side of the command
     * whatever POSIXLY_CORRECT says. */
    while ((option = getopt_long(argc, argv, "-c:s:u:h", options, NULL)) != -1) {
        if (!read_option(line, option))
            return false;
    }
    for (; optind < argc; optind++) {
        optarg = argv[optind];
        (void)read_option(line, 1);
    }
    return true;
}

static enum ctl_exit check_for(const struct line *line, bool pause)
{
    const char *wanted = line->ctl->wait_for;

    if (pause && wanted != NULL) {
        line->ctl->pause_for = text_duration(wanted);
        return line->ctl->pause_for > 0
                   ? CTL_DONE
                   : usage("expected a number and a unit after --for, as in 10min", wanted);
    }
    if (pause || (wanted != NULL && (strcmp(wanted, "active") == 0 || strcmp(wanted, "standby") == 0 ||
                                     strcmp(wanted, "serving") == 0)))
        return CTL_DONE;
    return usage("expected --for active, --for standby or --for serving", line->command);
}

/* Checks the words of the line against each other. CTL_DONE, with the command in *command. */
static enum ctl_exit check_line(const struct line *line, const struct command **command)
{
    const char *name = line->command;

    if (name == NULL)
        return usage("a command is missing", "");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            *command = &commands[i];
    }
    if (*command == NULL)
        return usage("no such command", name);
    line->ctl->command = name;
    if ((line->options & OPTION_TRACE & (*command)->options) != 0) {
        ctl_complain("%s --trace: not in this version", name);
        return CTL_USAGE;
    }
    if ((line->options & ~(*command)->options) != 0)
        return usage("it does not take this option", name);
    if (((*command)->options & TAKES_ID) != 0 && line->ctl->operand == NULL)
        return usage("a member's id is missing", name);
    if (((*command)->options & TAKES_ID) == 0 && line->ctl->operand != NULL)
        return usage("one word too many", line->ctl->operand);
    if (line->surplus != NULL)
        return usage("one word too many", line->surplus);
    if (line->ctl->socket != NULL && line->ctl->url != NULL)
        return usage("only one of -s and -u", name);
    if (((*command)->run == command_order || (*command)->run == command_config) && line->ctl->url != NULL)
        return usage("it goes to the control socket alone: run it on a member, without -u", name);
    if (((*command)->options & OPTION_FOR) != 0)
        return check_for(line, (*command)->run == command_order);
    return CTL_DONE;
}

/* The time-out and the daemon's address. */
static enum ctl_exit prepare(struct ctl *ctl, const char *timeout)
{
    char why[512];

    ctl->timeout = timeout != NULL ? text_duration(timeout) : DEFAULT_TIMEOUT;
    ctl->timeout_given = timeout != NULL;
    if (ctl->timeout < 0)
        return usage("expected a number and a unit, as in 250ms, 10s, 5min", timeout);
    if (ctl->url != NULL && endpoint_parse_url(ctl->url, &ctl->endpoint, why, sizeof why) != 0)
        return usage(why, "");
    if (ctl->url == NULL &&
        endpoint_find_socket(ctl->socket, ctl->conf, &ctl->endpoint, why, sizeof why) != 0) {
        ctl_complain("%s", why);
        return CTL_FAILED;
    }
    screen_look(&ctl->screen);
    ctl->deadline = clock_boot_ms() + ctl->timeout;
    return CTL_DONE;
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.timeout = DEFAULT_TIMEOUT};
    struct line line = {.ctl = &ctl};
    const struct command *command = NULL;
    enum ctl_exit exit = CTL_DONE;

    if (!read_line(&line, argc, argv))
        return usage("the command line is wrong", "");
    if (line.help)
        (void)fputs(help, stdout);
    else if ((exit = check_line(&line, &command)) == CTL_DONE &&
             (exit = prepare(&ctl, line.timeout)) == CTL_DONE)
        exit = command->run(&ctl);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        ctl_complain("cannot write the output: %s", strerror(errno));
        return CTL_FAILED;
    }
    return (int)exit;
}
