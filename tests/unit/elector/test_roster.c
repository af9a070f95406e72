/* test_roster.c - registering and the picture of the cluster, against a real ZooKeeper: parents, the store's
 * fingerprint, an id that is in use, nodes that somebody removes. */
#include "zk_fixture.h"

#include "roster.h"
#include "view.h"

#define WATCH_VIEW 3

struct member {
    struct zk *zk;
    struct zk_session session;
    struct roster *roster;
    struct view *view;
    int connected, done, changes, renewed;
    enum roster_result result;
    char why[512], root[64];
};

static void member_event(void *arg, enum zk_state zk_state, const struct zk_session *session, int64_t when)
{
    struct member *m = arg;

    (void)when;
    if (zk_state != ZK_CONNECTED)
        return;
    m->session = *session;
    m->connected++;
}

static void member_watch(void *arg, int type, uint32_t kind, uint64_t tag)
{
    struct member *m = arg;

    (void)type;
    assert_int_equal(kind, WATCH_VIEW);
    m->changes++;
    if (m->view != NULL)
        view_changed(m->view, tag);
}

static void member_done(void *arg, enum roster_result result, const char *why)
{
    struct member *m = arg;

    m->result = result;
    (void)snprintf(m->why, sizeof m->why, "%s", why);
    m->done++;
}

static void member_connect(struct member *m)
{
    struct zk_options options = {.hosts = server.hosts, .session_timeout = TIMEOUT};

    m->connected = 0;
    m->zk = zk_open(base, &options, member_event, member_watch, m);
    assert_non_null(m->zk);
    assert_true(wait_count(&m->connected, 1));
}

static void member_open(struct member *m, const char *root, const char *id, const char *host,
                        const char *boot, const char *store)
{
    struct roster_options options = {.root = root,
                                     .id = id,
                                     .fingerprint = store,
                                     .host = host,
                                     .runtime_dir = "/run/livy-ha",
                                     .boot = boot};

    memset(m, 0, sizeof *m);
    (void)snprintf(m->root, sizeof m->root, "%s", root);
    m->roster = roster_new(&options, member_done, m);
    assert_non_null(m->roster);
    member_connect(m);
}

static json_t *data_of(const char *id, const char *host, const char *boot, const char *role)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", id, "host", host, "runtime_dir", "/run/livy-ha",
                     "boot", boot, "role", role);
}

static enum roster_result register_at(struct member *m, json_t *json, int64_t now)
{
    int before = m->done;

    roster_start(m->roster, m->zk, &m->session, json, now);
    json_decref(json);
    assert_true(wait_count(&m->done, before + 1));
    return m->result;
}

static void member_leave(struct member *m)
{
    roster_stop(m->roster);
    if (m->view != NULL)
        view_connect(m->view, NULL);
    zk_close(m->zk, false);
    m->zk = NULL;
}

static void member_close(struct member *m)
{
    if (m->zk != NULL)
        member_leave(m);
    roster_free(m->roster);
    view_free(m->view);
}

static struct done *fetch(struct member *m, const char *path)
{
    static struct done done;
    char full[128];

    memset(&done, 0, sizeof done);
    (void)snprintf(full, sizeof full, "%s/%s", m->root, path);
    return finish(zk_get(m->zk, full, 0, 0, on_done, &done), &done);
}

/* Until the node's data contains `text`. */
static void wait_data(struct member *m, const char *path, const char *text)
{
    int64_t end = clock_boot_ms() + LIMIT;
    struct done *done;

    while ((done = fetch(m, path))->rc != ZOK || strstr(done->value, text) == NULL)
        assert_true(clock_boot_ms() < end);
}

static void test_registers(void **state)
{
    struct member a;

    (void)state;
    member_open(&a, "/r1/deep/root", "a", "host-a", "boot-a", "zookeeper h:2181 livy");
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    assert_ptr_equal(strstr(fetch(&a, "store")->value, "zookeeper h:2181 livy\ncluster "),
                     fetch(&a, "store")->value);
    assert_string_equal(fetch(&a, "history")->value, "[]");
    assert_int_equal(fetch(&a, "leader")->rc, ZOK);
    struct done *member = fetch(&a, "members/a");
    assert_int_equal(member->owner, a.session.id);
    assert_non_null(strstr(member->value, "\"role\":\"joining\""));
    assert_int_equal(fetch(&a, "known/a")->owner, 0);
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "standby"), 1000),
                     ROSTER_OK); /* again: fine */
    assert_non_null(strstr(fetch(&a, "members/a")->value, "\"role\":\"standby\""));
    member_close(&a);
}

static void test_publishes(void **state)
{
    struct member a;
    json_t *json;

    (void)state;
    member_open(&a, "/r2", "a", "host-a", "boot-a", "store");
    json = data_of("a", "host-a", "boot-a", "too-early");
    roster_publish(a.roster, json); /* before it has registered: nothing, and no crash */
    json_decref(json);
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    static const char *const roles[] = {"standby", "active", "drained"}; /* the latest wins */
    for (size_t i = 0; i < 3; i++) {
        json = data_of("a", "host-a", "boot-a", roles[i]);
        roster_publish(a.roster, json);
        json_decref(json);
    }
    wait_data(&a, "members/a", "drained");

    /* The connection was lost and is there again, in the same session: what it publishes must be seen. */
    roster_stop(a.roster);
    json = data_of("a", "host-a", "boot-a", "active");
    roster_publish(a.roster, json);
    roster_resume(a.roster, a.zk);
    roster_publish(a.roster, json);
    wait_data(&a, "members/a", "active");

    /* Somebody has removed it by hand. */
    struct done done = {0};
    assert_int_equal(finish(zk_delete(a.zk, "/r2/members/a", -1, on_done, &done), &done)->rc, ZOK);
    roster_publish(a.roster, json);
    json_decref(json);
    wait_data(&a, "members/a", "active");
    assert_int_equal(fetch(&a, "members/a")->owner, a.session.id);
    member_close(&a);
}

static void test_another_store(void **state)
{
    struct member a, b, c;

    (void)state;
    member_open(&a, "/r3", "a", "host-a", "boot-a", "zookeeper h:2181 livy");
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    member_open(&b, "/r3", "b", "host-b", "boot-b", "zookeeper other:2181 livy");
    assert_int_equal(register_at(&b, data_of("b", "host-b", "boot-b", "joining"), 1000), ROSTER_STORE);
    assert_non_null(strstr(b.why, "other:2181"));
    assert_non_null(strstr(b.why, "h:2181"));
    assert_int_equal(fetch(&b, "members/b")->rc, ZNONODE);
    member_open(&c, "/r3", "c", "host-c", "boot-c", "zookeeper h:2181 livy");
    assert_int_equal(register_at(&c, data_of("c", "host-c", "boot-c", "joining"), 1000), ROSTER_OK);
    member_close(&a);
    member_close(&b);
    member_close(&c);
}

/* <root>/store: the fingerprint, and an id that is drawn once. */
static void test_cluster_id(void **state)
{
    struct member a, b;
    struct client other;
    char first[256];

    (void)state;
    client_open(&other);
    assert_int_equal(create(&other, "/r9", "", 0)->rc, ZOK);
    assert_int_equal(create(&other, "/r9/store", "zookeeper h:2181 livy", 0)->rc,
                     ZOK); /* of an older version */
    member_open(&a, "/r9", "a", "host-a", "boot-a", "zookeeper h:2181 livy");
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    (void)snprintf(first, sizeof(first), "%s", fetch(&a, "store")->value);
    assert_int_equal(strlen(first), strlen("zookeeper h:2181 livy\ncluster ") + 32);

    member_open(&b, "/r9", "b", "host-b", "boot-b", "zookeeper h:2181 livy");
    assert_int_equal(register_at(&b, data_of("b", "host-b", "boot-b", "joining"), 1000), ROSTER_OK);
    assert_string_equal(fetch(&b, "store")->value, first);

    /* Removed while members run: they know the id, and the claim on the store stays theirs. */
    assert_int_equal(erase(&other, "/r9/store")->rc, ZOK);
    assert_int_equal(register_at(&b, data_of("b", "host-b", "boot-b", "joining"), 1000), ROSTER_OK);
    assert_string_equal(fetch(&b, "store")->value, first);

    /* Another cluster draws another. */
    member_close(&a);
    member_open(&a, "/r10", "a", "host-a", "boot-a", "zookeeper h:2181 livy");
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    assert_string_not_equal(fetch(&a, "store")->value, first);
    member_close(&a);
    member_close(&b);
    client_close(&other);
}

/* Another member lives under our id: waited for as long as a dead one's node could stand, then said. */
static void test_id_in_use(void **state)
{
    struct member a, b;
    int64_t now = 1000000;

    (void)state;
    member_open(&a, "/r4", "same", "host-a", "boot-a", "store");
    assert_int_equal(register_at(&a, data_of("same", "host-a", "boot-a", "active"), now), ROSTER_OK);
    member_open(&b, "/r4", "same", "host-b", "boot-b", "store");
    assert_int_equal(register_at(&b, data_of("same", "host-b", "boot-b", "joining"), now), ROSTER_RETRY);
    assert_non_null(strstr(b.why, "host-a"));
    now += TIMEOUT + TIMEOUT / 2 + 1999;
    assert_int_equal(register_at(&b, data_of("same", "host-b", "boot-b", "joining"), now), ROSTER_RETRY);
    now += 1;
    assert_int_equal(register_at(&b, data_of("same", "host-b", "boot-b", "joining"), now), ROSTER_ID_TAKEN);
    assert_non_null(strstr(b.why, "\"same\" is in use by a member on host host-a"));
    assert_int_equal(fetch(&a, "members/same")->owner, a.session.id); /* and untouched */

    /* It goes: then the id is free, and the waiting starts anew with the next one. */
    member_leave(&a);
    int64_t end = clock_boot_ms() + LIMIT;
    while (fetch(&b, "members/same")->rc != ZNONODE)
        assert_true(clock_boot_ms() < end);
    assert_int_equal(register_at(&b, data_of("same", "host-b", "boot-b", "joining"), now), ROSTER_OK);
    member_close(&a);
    member_close(&b);
}

/* The same host, boot and runtime_dir, another session: our own dead predecessor, as we hold the daemon's
 * lock. */
static void test_node_of_a_dead_predecessor(void **state)
{
    struct member dead, fresh;

    (void)state;
    member_open(&dead, "/r5", "a", "host-a", "boot-a", "store");
    assert_int_equal(register_at(&dead, data_of("a", "host-a", "boot-a", "active"), 1000), ROSTER_OK);
    member_open(&fresh, "/r5", "a", "host-a", "boot-a", "store");
    assert_int_equal(register_at(&fresh, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    assert_int_equal(fetch(&fresh, "members/a")->owner, fresh.session.id);
    member_close(&dead);
    member_close(&fresh);

    /* After a reboot it is not known to be ours: another host may have been given this one's name. */
    member_open(&dead, "/r6", "a", "host-a", "boot-a", "store");
    assert_int_equal(register_at(&dead, data_of("a", "host-a", "boot-a", "active"), 1000), ROSTER_OK);
    member_open(&fresh, "/r6", "a", "host-a", "boot-b", "store");
    assert_int_equal(register_at(&fresh, data_of("a", "host-a", "boot-b", "joining"), 1000), ROSTER_RETRY);
    member_close(&dead);
    member_close(&fresh);
}

static void test_garbage_under_our_id(void **state)
{
    struct member a;
    struct client other;

    (void)state;
    client_open(&other);
    member_open(&a, "/r7", "a", "host-a", "boot-a", "store");
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    assert_int_equal(erase(&other, "/r7/members/a")->rc, ZOK);
    assert_int_equal(create(&other, "/r7/members/a", "{\"host\": 7, not json", ZOO_EPHEMERAL)->rc, ZOK);
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_RETRY);
    assert_non_null(strstr(a.why, "host unknown"));
    member_close(&a);
    client_close(&other);
}

/* ---- the picture ---- */

static void wait_view(struct member *m, bool (*holds)(const struct member *m))
{
    int64_t end = clock_boot_ms() + LIMIT;

    while (!holds(m)) {
        assert_true(clock_boot_ms() < end);
        (void)event_base_loop(base, EVLOOP_ONCE);
    }
}

static bool sees_b(const struct member *m)
{
    return json_object_get(view_members(m->view), "b") != NULL;
}

static bool sees_no_b(const struct member *m)
{
    return json_object_get(view_members(m->view), "b") == NULL &&
           json_object_get(view_known(m->view), "b") != NULL;
}

static bool sees_b_active(const struct member *m)
{
    const char *role =
        json_string_value(json_object_get(json_object_get(view_members(m->view), "b"), "role"));
    return role != NULL && strcmp(role, "active") == 0;
}

static bool sees_b_standby(const struct member *m)
{
    const char *role =
        json_string_value(json_object_get(json_object_get(view_members(m->view), "b"), "role"));
    return role != NULL && strcmp(role, "standby") == 0;
}

static void test_view_follows(void **state)
{
    struct member a, b;

    (void)state;
    member_open(&a, "/r8", "a", "host-a", "boot-a", "store");
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "joining"), 1000), ROSTER_OK);
    a.view = view_new("/r8", WATCH_VIEW, NULL, NULL);
    assert_non_null(a.view);
    view_connect(a.view, a.zk);
    member_open(&b, "/r8", "b", "host-b", "boot-b", "store");
    assert_int_equal(register_at(&b, data_of("b", "host-b", "boot-b", "joining"), 1000), ROSTER_OK);
    wait_view(&a, sees_b);
    int watches = 0;
    for (int i = 0; i < 20; i++) {
        json_t *json = data_of("b", "host-b", "boot-b", i % 2 == 0 ? "active" : "standby");
        roster_publish(b.roster, json);
        json_decref(json);
        wait_view(&a, i % 2 == 0 ? sees_b_active : sees_b_standby);
        if (i == 0)
            watches = count_watches(a.zk);
    }
    assert_true(count_watches(a.zk) <= watches + 1); /* they do not pile up with each picture */
    member_leave(&b);
    wait_view(&a, sees_no_b);

    /* Without a connection the last picture stands. */
    view_connect(a.view, NULL);
    assert_non_null(json_object_get(view_members(a.view), "a"));
    member_close(&a);
    member_close(&b);
}

static struct done *overwrite(struct client *client, const char *path, const char *data)
{
    static struct done done;

    memset(&done, 0, sizeof done);
    return finish(zk_set(client->zk, path, data, (int)strlen(data), -1, on_done, &done), &done);
}

static void on_renewed(void *arg)
{
    struct member *m = arg;

    m->renewed++;
    roster_seen(m->roster, json_object_get(view_members(m->view), "a"));
}

/* What somebody else has written over our node, or removed, is written anew, and then there is peace. */
static void test_own_node_is_kept_right(void **state)
{
    struct member a;
    struct client other;

    (void)state;
    client_open(&other);
    member_open(&a, "/r9", "a", "host-a", "boot-a", "store");
    assert_int_equal(register_at(&a, data_of("a", "host-a", "boot-a", "standby"), 1000), ROSTER_OK);
    a.view = view_new("/r9", WATCH_VIEW, on_renewed, &a);
    assert_non_null(a.view);
    view_connect(a.view, a.zk);
    assert_true(wait_count(&a.renewed, 1));
    assert_int_equal(overwrite(&other, "/r9/members/a", "{\"role\": \"active\"}")->rc, ZOK);
    wait_data(&a, "members/a", "standby");
    assert_int_equal(erase(&other, "/r9/members/a")->rc, ZOK);
    wait_data(&a, "members/a", "standby");
    assert_int_equal(fetch(&a, "members/a")->owner, a.session.id);
    int version = fetch(&a, "members/a")->version, pictures = a.renewed;
    json_t *json = data_of("a", "host-a", "boot-a", "active");
    roster_publish(a.roster, json);
    json_decref(json);
    wait_data(&a, "members/a", "active");
    assert_true(wait_count(&a.renewed, pictures + 1));
    assert_int_equal(fetch(&a, "members/a")->version, version + 1);
    member_close(&a);
    client_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registers),
        cmocka_unit_test(test_publishes),
        cmocka_unit_test(test_another_store),
        cmocka_unit_test(test_cluster_id),
        cmocka_unit_test(test_id_in_use),
        cmocka_unit_test(test_garbage_under_our_id),
        cmocka_unit_test(test_node_of_a_dead_predecessor),
        cmocka_unit_test(test_view_follows),
        cmocka_unit_test(test_own_node_is_kept_right),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
