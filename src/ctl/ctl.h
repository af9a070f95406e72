/* ctl.h - what every command of livy-ha-ctl is given, and how it ends.
 *
 * livy-ha-ctl reads over HTTP from one daemon and prints; it holds no state and never speaks to ZooKeeper.
 */
#ifndef LIVY_HA_CTL_H
#define LIVY_HA_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"
#include "screen.h"

/* The exit status; scripts rely on it. */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1,      /* the command failed; stderr says why */
    CTL_USAGE = 2,       /* the command line is wrong */
    CTL_NO_ACTIVE = 3,   /* no active Livy serves */
    CTL_UNREACHABLE = 4, /* no daemon answers */
    CTL_TIMED_OUT = 5,
};

struct ctl {
    const char *conf;   /* -c, or NULL */
    const char *socket; /* -s, or NULL */
    const char *url;    /* -u, or NULL */
    const char *command;
    const char *operand;  /* of forget, or NULL */
    const char *wait_for; /* --for, or NULL */
    const char *to;       /* --to, or NULL */
    int64_t pause_for;    /* --for of pause, ms; 0: none */
    bool no_wait, force, timeout_given;
    bool json;
    bool wide;
    int64_t timeout;  /* ms */
    int64_t deadline; /* CLOCK_BOOTTIME ms; of the whole command */
    struct endpoint endpoint;
    struct screen screen; /* stdout */
};

/* The commands. Each prints its result, or one line on stderr, and returns the exit status. */
enum ctl_exit command_status(const struct ctl *ctl);
enum ctl_exit command_watch(const struct ctl *ctl);
enum ctl_exit command_active(const struct ctl *ctl);
enum ctl_exit command_history(const struct ctl *ctl);
enum ctl_exit command_config(const struct ctl *ctl);
enum ctl_exit command_wait(const struct ctl *ctl);
enum ctl_exit command_version(const struct ctl *ctl);

enum ctl_exit command_order(const struct ctl *ctl); /* all that change something: ctl->command */

/* "livy-ha-ctl: " and one line on stderr. */
void ctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
