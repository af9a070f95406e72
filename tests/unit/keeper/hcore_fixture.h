/* hcore_fixture.h - traces for the machine of the held Livy: what is said to it, and what it asks for. */
#ifndef LIVY_HA_TEST_HCORE_FIXTURE_H
#define LIVY_HA_TEST_HCORE_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hcore.h"
#include "livy-ha/clock.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define T 10000

struct bed {
    struct hcore h;
    int64_t now;
    struct hcore_actions out; /* of the last step */
};

static const struct hcore_config hot = {.wanted = true, .max_age = 8 * HOUR, .start_within = 5 * MINUTE};
static const struct hcore_config cold = {.wanted = false, .max_age = 8 * HOUR, .start_within = 5 * MINUTE};
static const struct hcore_stamp files = {.conf = 1, .jars = 2};

static inline void happen(struct bed *bed, struct hcore_event event)
{
    hcore_step(&bed->h, &event, bed->now, &bed->out);
    assert_true(hcore_next(&bed->h, bed->now) > bed->now);
}

static inline void pass(struct bed *bed, int64_t ms)
{
    bed->now += ms;
    happen(bed, (struct hcore_event){.type = HCORE_EV_TIME});
}

/* Nothing has changed. */
static inline void answer_stamp(struct bed *bed)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = files});
}

static const struct hcore_action *found(const struct bed *bed, enum hcore_action_type type)
{
    for (size_t i = 0; i < bed->out.count; i++)
        if (bed->out.list[i].type == type)
            return &bed->out.list[i];
    return NULL;
}

static inline void assert_told(const struct bed *bed, int code, const char *text)
{
    const char *told;

    assert_int_equal(hcore_held(&bed->h, &told), code);
    if (text[0] != '\0' && strstr(told, text) == NULL)
        fail_msg("\"%s\" says nothing of \"%s\"", told, text);
    assert_int_equal(bed->h.told, code); /* and the elector knows */
    assert_string_equal(bed->h.told_text, told);
}

static inline void stand(struct bed *bed, const struct hcore_config *config)
{
    *bed = (struct bed){.now = 1000};
    hcore_init(&bed->h, config, "a", bed->now);
    happen(bed, (struct hcore_event){.type = HCORE_EV_SESSION, .ms = T});
    assert_null(found(bed, HCORE_ACT_STAMP)); /* joining */
    happen(bed, (struct hcore_event){.type = HCORE_EV_ROLE, .role = IPC_ROLE_STANDBY});
}

/* From the looking at the files to the start. */
static inline void start(struct bed *bed)
{
    if (found(bed, HCORE_ACT_STAMP) == NULL)
        pass(bed, 200); /* it has become a standby just now */
    assert_non_null(found(bed, HCORE_ACT_STAMP));
    happen(bed, (struct hcore_event){.type = HCORE_EV_STAMPED, .stamp = files});
    assert_non_null(found(bed, HCORE_ACT_START));
    assert_false(hcore_current(&bed->h));
    happen(bed, (struct hcore_event){.type = HCORE_EV_STARTED, .pid = 100});
    assert_true(hcore_current(&bed->h));
    assert_told(bed, IPC_HELD_WARMING, "");
}

static inline void say(struct bed *bed, uint32_t message)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_SAID, .message = message, .text = "it says"});
}

static inline void stand_held(struct bed *bed)
{
    stand(bed, &hot);
    start(bed);
    say(bed, GATE_READY);
    say(bed, GATE_HELD);
    assert_told(bed, IPC_HELD_WARMING, "");
    say(bed, GATE_LOADED);
    assert_told(bed, IPC_HELD_READY, "");
}

static inline void exit_with(struct bed *bed, int status)
{
    happen(bed, (struct hcore_event){.type = HCORE_EV_EXITED, .status = status, .text = ""});
}

static inline void assert_ended(struct bed *bed, const char *why)
{
    assert_non_null(found(bed, HCORE_ACT_KILL));
    assert_false(hcore_current(&bed->h));
    assert_told(bed, IPC_HELD_NONE, why);
}

#endif
