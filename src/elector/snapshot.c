/* snapshot.c - see the header. Knows when a snapshot is due and how it gets into a memfd, not what is in it.
 */
#include "snapshot.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "livy-ha/clock.h"
#include "livy-ha/fd.h"
#include "livy-ha/front.h"
#include "livy-ha/log.h"

#define SMALL 512 /* bytes that one value may have in an item that is too large */

struct snapshot {
    snapshot_document *document;
    snapshot_send *send;
    void *arg;
    struct event *timer;
    bool listened;
    bool soon;       /* the timer is set for a change, not for FRONT_AGAIN */
    bool failed;     /* logged already */
    int64_t sent_at; /* the last one, or try */
};

/* ---- bounds
 * ------------------------------------------------------------------------------------------------------ */

static bool too_large(const json_t *item)
{
    return json_dumpb(item, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > SNAPSHOT_ITEM;
}

static size_t keep(json_t *small, const char *key, json_t *value)
{
    size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) + strlen(key);

    if (value == NULL || size > SMALL || json_object_set(small, key, value) != 0)
        return 0;
    return size + sizeof("\"\":,");
}

/* What is small of it stays, as far as there is room, so that a reader still finds who is who. */
static json_t *shrink(json_t *item)
{
    static const char *const first[] = {"id", "host", "role", "livy", "at", "event", "member"};
    json_t *value, *small = json_object();
    const char *key;
    size_t size = 0;

    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        size += keep(small, first[i], json_object_get(item, first[i]));
    json_object_foreach(item, key, value)
    {
        if (size < SNAPSHOT_ITEM / 2 && json_object_get(small, key) == NULL)
            size += keep(small, key, value);
    }
    json_object_set_new(small, "left_out", json_true());
    return small;
}

static size_t bound_array(json_t *array)
{
    size_t n = 0;

    for (size_t i = 0; i < json_array_size(array); i++) {
        if (!too_large(json_array_get(array, i)))
            continue;
        json_array_set_new(array, i, shrink(json_array_get(array, i)));
        n++;
    }
    return n;
}

size_t snapshot_bound(json_t *cluster, json_t *history)
{
    return bound_array(json_object_get(cluster, "members")) + bound_array(history);
}

/* ---- into a memfd
 * ------------------------------------------------------------------------------------------------ */

/* -1 with errno. */
static int send_text(struct snapshot *s, const char *text, size_t length)
{
    int fd = memfd_create("livy-ha-snapshot", MFD_CLOEXEC), rc = -1, why;

    if (fd < 0)
        return -1;
    if (fd_write_all(fd, text, length) == 0)
        rc = s->send(s->arg, fd, length);
    why = errno;
    close(fd);
    errno = why;
    return rc;
}

static int make_and_send(struct snapshot *s)
{
    json_t *document = s->document(s->arg);
    char *text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;
    size_t length = text != NULL ? strlen(text) : 0;
    int rc = -1;

    json_decref(document);
    errno = text == NULL ? ENOMEM : EMSGSIZE;
    if (text != NULL && length <= FRONT_SNAPSHOT_MAX)
        rc = send_text(s, text, length);
    int why = errno;
    free(text);
    errno = why;
    return rc;
}

/* ---- when
 * ------------------------------------------------------------------------------------------------------ */

static void set_timer(struct snapshot *s, int64_t ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    if (event_add(s->timer, &wait) != 0)
        abort(); /* out of memory: the keeper starts another elector */
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    struct snapshot *s = arg;

    (void)fd;
    (void)what;
    s->soon = false;
    s->sent_at = clock_boot_ms();
    /* EAGAIN, EPIPE: the relay is stopped or gone, and the keeper sees to that. */
    bool failed = make_and_send(s) != 0 && errno != EAGAIN && errno != EPIPE;
    if (failed && !s->failed)
        log_warn("what the admin port shows cannot be renewed: %s", strerror(errno));
    s->failed = failed;
    set_timer(s, FRONT_AGAIN);
}

struct snapshot *snapshot_new(struct event_base *base, snapshot_document *document, snapshot_send *send,
                              void *arg)
{
    struct snapshot *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    *s = (struct snapshot){.document = document, .send = send, .arg = arg};
    s->timer = evtimer_new(base, on_time, s);
    if (s->timer != NULL)
        return s;
    free(s);
    return NULL;
}

void snapshot_free(struct snapshot *s)
{
    if (s == NULL)
        return;
    event_free(s->timer);
    free(s);
}

void snapshot_listen(struct snapshot *s, bool listened)
{
    s->listened = listened;
    s->soon = listened;
    if (listened)
        set_timer(s, 0);
    else
        event_del(s->timer);
}

/* Never from here: whoever changed something is in the middle of it. */
void snapshot_changed(struct snapshot *s)
{
    if (!s->listened || s->soon)
        return;
    int64_t wait = s->sent_at + SNAPSHOT_GAP - clock_boot_ms();
    s->soon = true;
    set_timer(s, wait > 0 ? wait : 0);
}
