/* zk.h: opening, session events, the kick, adoption, closing; against a real ZooKeeper, and one that refuses.
 */
#include "zk_fixture.h"

static void test_connect(void **state)
{
    struct client client;

    (void)state;
    client_open(&client);
    assert_int_not_equal(client.session.id, 0);
    assert_int_equal(client.session.timeout, TIMEOUT);
    assert_string_equal(client.log, "C");
    client_close(&client);
}

static void test_open_refuses(void **state)
{
    struct zk_options options = {.session_timeout = TIMEOUT};
    struct zk *zk;
    static const char *const bad[] = {"localhost:2181", "127.0.0.1", "127.0.0.1:1,127.0.0.1:2", "",
                                      "[::1]:2181"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.hosts = bad[i];
        assert_null(zk_open(base, &options, on_session, on_watch, NULL));
        assert_int_equal(errno, EINVAL);
    }
    options.hosts = "::1:9"; /* the library's way to write [::1]:9 */
    zk = zk_open(base, &options, on_session, on_watch, NULL);
    assert_non_null(zk);
    zk_close(zk, false);
    options.hosts = server.hosts;
    options.session_timeout = 0;
    assert_null(zk_open(base, &options, on_session, on_watch, NULL));
    assert_int_equal(errno, EINVAL);
    options.session_timeout = TIMEOUT;
    options.tls = "ca,cert,key,password";
    if (!zk_has_tls()) {
        assert_null(zk_open(base, &options, on_session, on_watch, NULL));
        assert_int_equal(errno, ENOTSUP);
    }
}

static void test_kick(void **state)
{
    struct client client;
    struct zk_session first;

    (void)state;
    client_open(&client);
    first = client.session;
    create(&client, "/kicked", "", ZOO_EPHEMERAL);
    assert_true(zk_kick(client.zk));
    assert_true(wait_count(&client.connected, 2));
    assert_string_equal(client.log, "CSC");
    assert_int_equal(client.session.id, first.id);
    assert_memory_equal(client.session.password, first.password, sizeof first.password);
    assert_int_equal(check(&client, "/kicked")->rc, ZOK);
    client_close(&client);
}

/* A server whose host does not even answer: the library would wait for it for T/3 and longer, all of the time
 * that is left of the lease where another server has fallen silent before. Here: a listener with a full
 * queue, which drops what comes. */
static void test_kick_while_connecting(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), queue[8], stranger, error = -1;
    struct client client;
    char hosts[64];
    int64_t end;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    (void)snprintf(hosts, sizeof hosts, "127.0.0.1:%d", ntohs(address.sin_port));
    for (size_t i = 0; i < sizeof queue / sizeof queue[0]; i++) {
        queue[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(queue[i], (struct sockaddr *)&address, sizeof address);
    }
    for (size_t i = 0; i < sizeof queue / sizeof queue[0]; i++)
        close(queue[i]); /* their places stay taken; none of them may be what is kicked */
    /* One that connects to somebody else, a probe for instance, is none of its business. */
    stranger = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)connect(stranger, (struct sockaddr *)&address, sizeof address);
    client_open(&client);
    assert_true(zk_kick(client.zk));
    assert_int_equal(getsockopt(stranger, SOL_SOCKET, SO_ERROR, &error, &length), 0);
    assert_int_equal(error, 0);
    client_close(&client);
    close(stranger);

    client_start(&client, hosts, NULL);
    end = clock_boot_ms() + LIMIT;
    while (!zk_kick(client.zk) && clock_boot_ms() < end)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_true(clock_boot_ms() < end);
    assert_int_equal(client.connected, 0);
    client_close(&client);
    close(listener);
}

/* What was under way when the connection broke is answered, after SUSPENDED was told. */
static void test_kick_outstanding(void **state)
{
    struct client client;
    struct done done = {0};

    (void)state;
    client_open(&client);
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    assert_int_equal(zk_sync(client.zk, "/", on_done, &done), ZOK);
    assert_true(zk_kick(client.zk));
    assert_true(wait_count(&done.calls, 1));
    assert_int_equal(done.rc, ZCONNECTIONLOSS);
    assert_int_equal(client.suspended, 1);
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    assert_true(wait_count(&client.connected, 2));
    client_close(&client);
}

/* Another handle takes the session over and ends it. Two living handles with one session throw each other
 * out: the first one, thrown out, comes back within milliseconds and throws the second out in its turn, whose
 * close then ends nothing. So it is done again until it was fast enough. */
static void test_adopt_and_lose(void **state)
{
    struct client first, second;
    int64_t end = clock_boot_ms() + LIMIT;

    (void)state;
    client_open(&first);
    create(&first, "/mine", "", ZOO_EPHEMERAL);
    while (first.lost == 0 && clock_boot_ms() < end) {
        int connected = first.connected;

        client_start(&second, server.hosts, &first.session);
        second.close_armed = true;
        second.close_on = ZK_CONNECTED;
        while (second.zk != NULL && second.lost == 0 && clock_boot_ms() < end)
            (void)event_base_loop(base, EVLOOP_ONCE);
        if (second.zk != NULL)
            client_close(&second);
        while (first.lost == 0 && first.connected == connected && clock_boot_ms() < end)
            (void)event_base_loop(base, EVLOOP_ONCE);
    }
    assert_int_equal(first.lost, 1);
    assert_int_equal(first.log[strlen(first.log) - 1], 'L');
    assert_int_equal(zk_check(first.zk, "/mine", on_done, NULL), ZINVALIDSTATE);
    client_close(&first);
    client_open(&second);
    assert_int_equal(exists(&second, "/mine")->rc, ZNONODE);
    client_close(&second);
}

/* A session that is no more cannot be adopted: LOST, and nothing else. */
static void test_adopt_dead(void **state)
{
    struct client first, second;

    (void)state;
    client_open(&first);
    client_close(&first);
    client_start(&second, server.hosts, &first.session);
    assert_true(wait_count(&second.lost, 1));
    assert_string_equal(second.log, "L");
    client_close(&second);
}

static void test_keep_session(void **state)
{
    struct client first, second;

    (void)state;
    for (int i = 0; i < 10; i++) {
        client_open(&first);
        create(&first, "/kept", "", ZOO_EPHEMERAL);
        zk_close(first.zk, true);
        client_start(&second, server.hosts, &first.session);
        assert_true(wait_count(&second.connected, 1));
        /* What the first one's library had sent to reconnect may be read by the server only now: it then
         * drops the second one's connection once (ZooKeeperServer.processConnectRequest), not the session. */
        const struct done *kept;
        do
            kept = exists(&second, "/kept");
        while (kept->rc == ZCONNECTIONLOSS && second.lost == 0);
        assert_int_equal(kept->rc, ZOK);
        assert_int_equal(kept->owner, first.session.id);
        assert_int_equal(second.lost, 0);
        client_close(&second);
        client_open(&first);
        assert_int_equal(exists(&first, "/kept")->rc, ZNONODE);
        client_close(&first);
    }
}

static void test_close_outstanding(void **state)
{
    struct client client, other;
    struct done done = {0};

    (void)state;
    client_open(&client);
    client_open(&other);
    for (int i = 0; i < 200; i++)
        assert_int_equal(zk_exists(client.zk, "/x", 1, (uint64_t)i, on_done, &done), ZOK);
    client_close(&client);
    create(&other, "/x", "", ZOO_EPHEMERAL);
    exists(&other, "/x");
    assert_int_equal(done.calls, 0);
    assert_int_equal(client.watches, 0);
    client_close(&other);

    /* Before it was ever connected. */
    client_start(&client, server.hosts, NULL);
    client_close(&client);
    assert_string_equal(client.log, "");
}

static void close_in_done(void *arg, const struct zk_reply *reply)
{
    struct client *client = arg;

    assert_int_equal(reply->rc, ZOK);
    client_close(client);
}

static void test_close_inside(void **state)
{
    struct client client;
    struct done after = {0}, *done;

    (void)state;
    client_open(&client);
    assert_int_equal(zk_sync(client.zk, "/", close_in_done, &client), ZOK);
    for (int i = 0; i < 20; i++)
        assert_int_equal(zk_sync(client.zk, "/", on_done, &after), ZOK);
    while (client.zk != NULL)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(after.calls, 0);

    client_start(&client, server.hosts, NULL);
    client.close_armed = true;
    client.close_on = ZK_CONNECTED;
    while (client.zk != NULL)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_string_equal(client.log, "C");

    client_open(&client);
    done = exists(&client, "/inside");
    memset(done, 0, sizeof *done);
    finish(zk_exists(client.zk, "/inside", 1, 1, on_done, done), done);
    client.close_on_watch = true;
    assert_int_equal(zk_create(client.zk, "/inside", "", 0, ZOO_EPHEMERAL, on_done, &after), ZOK);
    while (client.zk != NULL)
        (void)event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(client.watches, 1);
}

/* The library's own descriptors do not reach a program that is exec'ed. */
static void test_cloexec(void **state)
{
    struct client client;
    struct dirent *entry;
    DIR *dir;

    (void)state;
    client_open(&client);
    dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char link[64], target[128] = "";
        int fd = (int)strtol(entry->d_name, NULL, 10);

        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (fd > 2 && readlink(link, target, sizeof target - 1) > 0 &&
            (strncmp(target, "socket:", 7) == 0 || strncmp(target, "pipe:", 5) == 0))
            assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
    closedir(dir);
    client_close(&client);
}

static bool signals_blocked(const char *task)
{
    char path[300], line[128];
    unsigned long long blocked = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
    file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "SigBlk:", 7) == 0)
            blocked = strtoull(line + 7, NULL, 16);
    (void)fclose(file);
    return (blocked >> (SIGTERM - 1) & 1) != 0 && (blocked >> (SIGCHLD - 1) & 1) != 0;
}

/* Signals are for the loop's thread: both threads of the library block them, this one does not. */
static void test_signal_mask(void **state)
{
    struct client client;
    char self[32];
    int blocked = 0;
    struct dirent *entry;
    DIR *dir;

    (void)state;
    client_open(&client);
    (void)snprintf(self, sizeof self, "%d", (int)gettid());
    assert_false(signals_blocked(self));
    dir = opendir("/proc/self/task");
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL)
        blocked += entry->d_name[0] != '.' && signals_blocked(entry->d_name);
    closedir(dir);
    assert_true(blocked >= 2);
    client_close(&client);
}

/* Stands in for a server that refuses our credentials. */
static bool fake_read(int fd, void *buffer, size_t size)
{
    return recv(fd, buffer, size, MSG_WAITALL) == (ssize_t)size;
}

/* Grants a session, answers every packet of credentials (xid -4) with ZAUTHFAILED (-115), and ends with the
 * connection. */
static void *fake_server(void *arg)
{
    static const unsigned char granted[41] = {
        [3] = 37, [10] = TIMEOUT / 256, [11] = TIMEOUT % 256, [19] = 1, [23] = 16};
    static const unsigned char refused[20] = {[3] = 16,    [4] = 0xff,  [5] = 0xff,  [6] = 0xff, [7] = 0xfc,
                                              [16] = 0xff, [17] = 0xff, [18] = 0xff, [19] = 0x8d};
    int fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC);
    unsigned char packet[1024];
    bool first = true;
    uint32_t length;

    while (fake_read(fd, &length, sizeof length) && ntohl(length) <= sizeof packet &&
           fake_read(fd, packet, ntohl(length))) {
        if (first && send(fd, granted, sizeof granted, MSG_NOSIGNAL) < 0)
            break;
        if (!first && packet[3] == 0xfc && send(fd, refused, sizeof refused, MSG_NOSIGNAL) < 0)
            break;
        first = false;
    }
    close(fd);
    return NULL;
}

static void test_auth_failed(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct zk_options options = {.session_timeout = TIMEOUT, .auth_digest = "ha:wrong"};
    socklen_t length = sizeof address;
    struct client client = {0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;
    char hosts[64];

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(pthread_create(&thread, NULL, fake_server, &fd), 0);
    (void)snprintf(hosts, sizeof hosts, "127.0.0.1:%d", ntohs(address.sin_port));
    options.hosts = hosts;
    client.zk = zk_open(base, &options, on_session, on_watch, &client);
    assert_non_null(client.zk);
    assert_true(wait_count(&client.auth_failed, 1));
    assert_int_equal(pthread_join(thread, NULL), 0);
    client_close(&client);
    /* Told by the answer to the credentials and by a session event: passed on once. */
    assert_int_equal(client.auth_failed, 1);
    assert_int_equal(client.log[strlen(client.log) - 1], 'A');
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_kick),
        cmocka_unit_test(test_kick_outstanding),
        cmocka_unit_test(test_kick_while_connecting),
        cmocka_unit_test(test_adopt_and_lose),
        cmocka_unit_test(test_adopt_dead),
        cmocka_unit_test(test_keep_session),
        cmocka_unit_test(test_close_outstanding),
        cmocka_unit_test(test_close_inside),
        cmocka_unit_test(test_cloexec),
        cmocka_unit_test(test_signal_mask),
        cmocka_unit_test(test_auth_failed),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
