/* backoff.c - tells the core of Livy's deaths on any member, and of who stands in the queue, as numbers:
 * names are no business of its. Decides nothing: core_backoff.c does. */
#include <stdio.h>
#include <string.h>

#include "elector.h"
#include "livy-ha/clock.h"
#include "record.h"

struct names { /* number i is list[i]; 0 is this member */
    const char *list[CORE_STANDING];
    size_t n;
};

/* CORE_STANDING where there are too many. */
static uint8_t number_of(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->list[i], name) == 0)
            return (uint8_t)i;
    if (names->n == CORE_STANDING)
        return CORE_STANDING;
    names->list[names->n] = name;
    return (uint8_t)names->n++;
}

static uint64_t who_stands(const struct elector *e, struct names *names)
{
    uint64_t standing = 0;
    const char *id;
    json_t *member;

    json_object_foreach((json_t *)view_members(e->view), id, member)
    {
        const char *role = json_string_value(json_object_get(member, "role"));
        if (role == NULL || strcmp(role, "standby") != 0 || strcmp(id, e->conf->id) == 0)
            continue;
        uint8_t number = number_of(names, id);
        if (number < CORE_STANDING)
            standing |= UINT64_C(1) << number;
    }
    return standing;
}

/* The member right behind this one in the queue, where it stands by and its Livy is held at the gate; NULL:
 * not so, or nobody known is there. Not one that was drained a moment ago, whatever its record still says;
 * nor one whose Livy is out of date: it would not be let go, but ended and started anew. */
static const char *find_heir(const struct elector *e)
{
    int64_t own = core_latch_sequence(e->core.node), least = INT64_MAX;
    const json_t *heir = NULL;
    const char *id, *next = NULL;
    json_t *member;

    if (own < 0)
        return NULL;
    json_object_foreach((json_t *)view_members(e->view), id, member)
    {
        int64_t sequence = command_number(member, "sequence", -1);
        if (strcmp(id, e->conf->id) == 0 || sequence <= own || sequence >= least)
            continue;
        least = sequence;
        next = id;
        heir = member;
    }
    if (next == NULL || strcmp(record_text(heir, "role"), "standby") != 0 || command_drained(e, next) ||
        json_is_true(json_object_get(heir, "held_renewing")))
        return NULL;
    return strcmp(record_text(heir, "livy"), "held") == 0 ? next : NULL;
}

/* "livy-a, livy-b": on whom Livy died within the window. */
static void write_names(const struct elector *e, const struct names *names, const struct core_event *event,
                        char text[static CORE_TEXT_SIZE])
{
    uint64_t died = 0;
    size_t used = 0;

    for (size_t i = 0; i < event->n_deaths; i++) {
        const struct core_death *death = &event->deaths[i];
        if (!death->gave_up && death->member < CORE_STANDING &&
            clock_boot_ms() - death->at < e->core.config.restart_window)
            died |= UINT64_C(1) << death->member;
    }
    text[0] = '\0';
    for (size_t i = 0; i < names->n && used < CORE_TEXT_SIZE; i++)
        if ((died >> i & 1) != 0)
            used += (size_t)snprintf(text + used, CORE_TEXT_SIZE - used, "%s%s", used > 0 ? ", " : "",
                                     names->list[i]);
}

void backoff_tell(struct elector *e)
{
    struct deaths_entry entries[DEATHS_MAX];
    struct core_death list[DEATHS_MAX];
    struct names names = {.list = {e->conf->id}, .n = 1};
    char text[CORE_TEXT_SIZE];
    struct core_event event = {.type = CORE_EV_DEATHS, .deaths = list, .text = text};

    if (!e->deaths_news || e->stepping > 0)
        return;
    e->deaths_news = false;
    event.n_deaths = deaths_list(e->deaths, entries);
    for (size_t i = 0; i < event.n_deaths; i++)
        list[i] = (struct core_death){.at = entries[i].at,
                                      .member = number_of(&names, entries[i].member),
                                      .gave_up = entries[i].gave_up};
    event.standing = who_stands(e, &names);
    event.heir = find_heir(e);
    write_names(e, &names, &event, text);
    elector_step(e, &event);
}

void backoff_changed(struct elector *e)
{
    e->deaths_news = true;
    backoff_tell(e);
}

static void on_news(void *arg)
{
    backoff_changed(arg);
}

static void on_picture(void *arg)
{
    struct elector *e = arg;

    backoff_changed(e);
    front_update(e->front);
}

int backoff_open(struct elector *e)
{
    struct deaths_options options = {.root = e->conf->zookeeper.root,
                                     .id = e->conf->id,
                                     .host = e->conf->host,
                                     .watch_kind = WATCH_DEATHS,
                                     .news = on_news,
                                     .arg = e};

    e->deaths = deaths_new(&options);
    if (e->deaths == NULL)
        return -1;
    view_on_change(e->view, on_picture, e);
    return 0;
}
