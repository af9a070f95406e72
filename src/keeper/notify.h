/* notify.h - sd_notify(3) in a few lines: datagrams to $NOTIFY_SOCKET. Never blocks; does nothing outside
 * systemd. */
#ifndef LIVY_HA_KEEPER_NOTIFY_H
#define LIVY_HA_KEEPER_NOTIFY_H

#include <stdint.h>

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID from the environment, and removes them from it. */
void notify_open(void);

/* "READY=1", "STATUS=…", "STOPPING=1", "WATCHDOG=1", several joined by newlines. */
void notify_send(const char *state);

/* How often WATCHDOG=1 is to be sent, ms (half of what systemd allows); 0: not at all. */
int64_t notify_watchdog_ms(void);

#endif
