/* standin_store.h - the stand-in's state store: a counter in ZooKeeper, kept the way Livy keeps its sessions.
 *
 * Livy writes there unversioned, unfenced, over a session of its own, from whatever it has in memory. So does
 * this: it reads the count once at its start, then sets count + 1 again and again. What was acknowledged is
 * written to <base>.store, one line a thing, so that tests/e2e/livyha/store.py finds every count that was
 * lost or overwritten: begin NS VALUE VERSION MZXID SESSION SERVER   what it found (of each session anew:
 * SESSION, SERVER) ack NS VALUE VERSION MZXID                    a set that was acknowledged unknown NS VALUE
 * RC                           a set whose outcome nobody knows; the same value is tried again
 */
#ifndef STANDIN_STORE_H
#define STANDIN_STORE_H

/* Connects to the store that livy.conf names, with the session time-out that livy-env.sh gives Livy, waits
 * for as long as that takes, as Livy does, reads the count, and goes on counting every `interval_ms` in a
 * thread of its own. `server` (host:port, "" for none) is asked in place of the whole ensemble. Ends the
 * process where something is wrong with the stand-in itself. */
void store_begin(const char *base, long interval_ms, const char *server);

#endif
