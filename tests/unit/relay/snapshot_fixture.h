/* snapshot_fixture.h - snapshots as an elector sends them, with what a test wants changed. */
#ifndef SNAPSHOT_FIXTURE_H
#define SNAPSHOT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "health.h"
#include "livy-ha/clock.h"
#include "snapshot.h"

#define SENT_AT 1000000

/* A memfd with these bytes. */
static inline int fixture_memfd(const char *text, size_t length)
{
    int fd = memfd_create("snapshot", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), length);
    return fd;
}

/* livy-a, which is active and serves, with 5000 ms of its lease left; livy-b stands by, livy-c is absent. */
static inline json_t *fixture_document(void)
{
    json_error_t error;
    json_t *document = json_loads(
        "{\"v\":1,\"pid\":1,"
        "\"status\":{\"id\":\"livy-a\",\"role\":\"active\",\"livy\":\"serving\",\"epoch\":4294967301,"
        "\"lease_left_ms\":5000,\"connected\":true,\"keeper_answers\":true,\"reason\":\"all is well\","
        "\"alarms\":[]},"
        "\"cluster\":{\"v\":1,\"root\":\"/livy_ha\",\"active\":\"livy-a\",\"serving\":true,"
        "\"epoch\":4294967301,\"paused\":false,\"connected\":true,\"members\":["
        "{\"id\":\"livy-a\",\"role\":\"active\",\"livy\":\"serving\",\"self\":true,\"lease_left_ms\":5000,"
        "\"since\":\"2026-11-22T10:00:00.123Z\",\"url\":\"http://livy-a:8998\"},"
        "{\"id\":\"livy-b\",\"role\":\"standby\",\"livy\":\"none\",\"self\":false,\"lease_left_ms\":null},"
        "{\"id\":\"livy-c\",\"role\":\"absent\",\"livy\":\"none\",\"self\":false,\"lease_left_ms\":null}]},"
        "\"history\":[{\"at\":\"2026-11-22T10:00:00.123Z\",\"event\":\"elected\",\"member\":\"livy-a\","
        "\"epoch\":4294967301,\"reason\":\"first in the queue\",\"took_ms\":0}],"
        "\"metrics\":[],\"left_out\":0}",
        0, &error);
    assert_non_null(document);
    return document;
}

static inline json_t *fixture_status(json_t *document)
{
    return json_object_get(document, "status");
}

static inline void fixture_role(json_t *document, const char *role, const char *livy)
{
    json_object_set_new(fixture_status(document), "role", json_string(role));
    json_object_set_new(fixture_status(document), "livy", json_string(livy));
}

/* Gives it to the snapshot as sent at `sent_at`; takes over the reference. */
static inline void fixture_take(struct snapshot *snapshot, json_t *document, int64_t sent_at)
{
    char why[256], *text = json_dumps(document, JSON_COMPACT);
    int fd = fixture_memfd(text, strlen(text));

    assert_int_equal(snapshot_take(snapshot, fd, strlen(text), sent_at, why, sizeof(why)), 0);
    close(fd);
    free(text);
    json_decref(document);
}

static inline struct snapshot *fixture_snapshot(json_t *document, int64_t sent_at)
{
    struct snapshot *snapshot = snapshot_new();

    assert_non_null(snapshot);
    fixture_take(snapshot, document, sent_at);
    return snapshot;
}

#endif
