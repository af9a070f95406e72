/* gate.h - the agent in Livy's JVM, between its files.
 *
 * agent.c: what the JVM calls. channel.c: the thread that hears the keeper and watches the lease. list.c:
 * which classes the gate is made of. preload.c: the classes that are loaded while it is shut, and their list.
 *
 * The agent runs in a process that is not ours: it writes to stderr only right before it ends that process,
 * installs no signal handler, and leaves nothing behind that costs anything once the gate is open.
 */
#ifndef LIVY_HA_GATE_GATE_H
#define LIVY_HA_GATE_GATE_H

#include <jvmti.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "livy-ha/gate.h"

struct gate {
    JavaVM *vm;
    jvmtiEnv *jvmti;
    int channel;                  /* -1: none */
    const struct gate_page *page; /* NULL: the lease is not watched here */
    bool until_open;              /* livy.guard = "none": nor is it once the gate is open */
    char *record;                 /* the file with the classes, NULL: none */
    pthread_mutex_t lock;         /* of what follows */
    pthread_cond_t opened;
    bool shut, held; /* shut: by the option "hold", else the agent guards only. held: a thread stands there */
    atomic_bool open; /* !shut, read without the lock */
};

/* Ends the process at once: no exit handlers, no shutdown hooks of Java. */
_Noreturn void gate_end(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* channel.c. Thread-safe; what does not fit into the channel is lost (the keeper reads always). */
void gate_say(const struct gate *gate, enum gate_type type, uint32_t count, const char *text);
/* Starts the thread, with all signals blocked; it is none of Java's and takes no part in safepoints. */
void gate_watch(struct gate *gate);

/* list.c */
bool list_holds(const char *signature); /* "Lorg/apache/livy/…;" */
/* Ends the process where this Livy has not got the classes on the class path. In the live phase. */
void list_check(struct gate *gate, JNIEnv *jni);

/* preload.c */
void preload_start(struct gate *gate, JNIEnv *jni); /* once a thread is held; goes on until the gate opens */
void preload_record(struct gate *gate); /* from channel.c's thread; does the work in another one */

#endif
