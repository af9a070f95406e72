/* process.h - what /proc tells of one of our processes, for /metrics. Blocks on /proc alone. */
#ifndef LIVY_HA_RELAY_PROCESS_H
#define LIVY_HA_RELAY_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

struct process_facts {
    double started; /* s since 1970; 0: not known */
    int64_t rss;    /* bytes; -1: not known */
    int64_t fds;    /* open descriptors; -1: not known (another user's) */
};

/* 0, or -1 where there is no such process. */
int process_look(pid_t pid, struct process_facts *facts);

#endif
