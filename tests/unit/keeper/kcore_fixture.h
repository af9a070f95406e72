/* kcore_fixture.h - traces for the keeper's machine: what is said to it, and what it asks for in answer. */
#ifndef LIVY_HA_TEST_KCORE_FIXTURE_H
#define LIVY_HA_TEST_KCORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kcore.h"
#include "livy-ha/clock.h"

#define T 10000 /* the session's time-out */
#define EPOCH 77
#define PID 4711

struct bed {
    struct kcore k;
    int64_t now;
    struct kcore_actions out; /* of the last step */
};

static inline void check(const struct bed *bed)
{
    assert_true(kcore_next(&bed->k, bed->now) > bed->now);
}

static inline void happen(struct bed *bed, struct kcore_event event)
{
    kcore_step(&bed->k, &event, bed->now, &bed->out);
    check(bed);
}

static inline const struct kcore_action *found(const struct bed *bed, enum kcore_action_type type)
{
    for (size_t i = 0; i < bed->out.count; i++)
        if (bed->out.list[i].type == type)
            return &bed->out.list[i];
    return NULL;
}

static inline bool did(const struct bed *bed, enum kcore_action_type type)
{
    return found(bed, type) != NULL;
}

/* The message of that type that was sent in the last step, or NULL. */
static inline const struct kcore_action *sent(const struct bed *bed, uint32_t message)
{
    for (size_t i = 0; i < bed->out.count; i++)
        if (bed->out.list[i].type == KCORE_ACT_SEND && bed->out.list[i].message == message)
            return &bed->out.list[i];
    return NULL;
}

static inline void at(struct bed *bed, int64_t now)
{
    assert_true(now >= bed->now);
    bed->now = now;
    happen(bed, (struct kcore_event){.type = KCORE_EV_TIME});
}

static inline void later(struct bed *bed, int64_t ms)
{
    at(bed, bed->now + ms);
}

/* A message of the elector, dated now unless it has a date. */
static inline void hear(struct bed *bed, struct ipc_msg msg)
{
    if (msg.sent_at == 0)
        msg.sent_at = bed->now;
    happen(bed, (struct kcore_event){.type = KCORE_EV_MESSAGE, .msg = &msg});
}

static inline struct ipc_msg session_of(int64_t id)
{
    return (struct ipc_msg){.type = IPC_SESSION, .session = {.id = id, .timeout = T}};
}

/* A start that is right in every respect, for the test to spoil. */
static inline struct ipc_msg good_start(const struct bed *bed)
{
    return (struct ipc_msg){
        .type = IPC_START, .epoch = EPOCH, .run = bed->k.run + 1, .kill_at = bed->now + T - 1500};
}

static inline void forks(struct bed *bed)
{
    assert_true(did(bed, KCORE_ACT_FORK_LIVY));
    happen(bed, (struct kcore_event){.type = KCORE_EV_FORKED, .pid = PID});
}

static inline void elector_ends(struct bed *bed)
{
    happen(bed, (struct kcore_event){.type = KCORE_EV_ELECTOR_EXITED, .status = 1});
}

static inline void livy_dies(struct bed *bed, int status)
{
    happen(bed, (struct kcore_event){.type = KCORE_EV_LIVY_EXITED, .status = status, .text = ""});
}

static inline void lock_is_free(struct bed *bed)
{
    happen(bed, (struct kcore_event){.type = KCORE_EV_LOCK_FREE});
}

static inline void terminate(struct bed *bed)
{
    happen(bed, (struct kcore_event){.type = KCORE_EV_QUIT});
}

static inline void begin(struct bed *bed)
{
    static const struct kcore_config config = {
        .stop_grace = 5000, .orphan_grace = 60000, .drain = 3000, .fence_timeout = 30000};

    memset(bed, 0, sizeof(*bed));
    bed->now = 1000000;
    kcore_init(&bed->k, &config, bed->now);
    happen(bed, (struct kcore_event){.type = KCORE_EV_TIME});
    assert_true(did(bed, KCORE_ACT_SPAWN_ELECTOR));
}

/* With an elector that has said HELLO and told its session. */
static inline void begin_connected(struct bed *bed)
{
    begin(bed);
    hear(bed, (struct ipc_msg){.type = IPC_HELLO});
    assert_non_null(sent(bed, IPC_WELCOME));
    hear(bed, session_of(5));
}

/* With Livy running under a lease that ends at now + T - 1500. */
static inline void begin_running(struct bed *bed)
{
    begin_connected(bed);
    hear(bed, good_start(bed));
    forks(bed);
    assert_int_equal(bed->k.livy, KCORE_RUNNING);
}

static inline uint32_t cause(const struct bed *bed)
{
    struct ipc_livy livy;
    kcore_livy(&bed->k, &livy);
    return livy.cause;
}

#endif
