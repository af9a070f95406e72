/* test_probe.c - the probe against little servers that answer, crawl, babble, refuse or hang up; the owner of
 * a port among our own processes.
 *
 * A server is a thread that takes one connection on a port of its own choosing and plays a script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/loopback.h"
#include "livy-ha/clock.h"
#include "probe.h"

enum server_mode {
    SERVER_ANSWER,       /* reads the request, sends the answer, closes */
    SERVER_CRAWL,        /* one byte of the answer every 100 ms */
    SERVER_SILENT,       /* reads, never answers, waits for the client to go */
    SERVER_CLOSE_EARLY,  /* reads the request and closes */
    SERVER_PLAIN_TO_TLS, /* answers a TLS hello in plain HTTP */
};

struct server {
    enum server_mode mode;
    SSL_CTX *tls; /* NULL: plain */
    const char *answer;
    size_t length;
    int listener;
    int port;
    char request[1024];
    pthread_t thread;
};

static void send_all(int fd, SSL *ssl, const char *bytes, size_t length)
{
    if (length == 0)
        return;
    if (ssl != NULL)
        (void)SSL_write(ssl, bytes, (int)length);
    else
        (void)send(fd, bytes, length, MSG_NOSIGNAL);
}

/* Until the empty line, or the client's end. */
static void read_request(struct server *server, int fd, SSL *ssl)
{
    size_t length = 0;

    while (length < sizeof server->request - 1 && strstr(server->request, "\r\n\r\n") == NULL) {
        char *at = server->request + length;
        const size_t room = sizeof server->request - 1 - length;
        const ssize_t n = ssl != NULL ? SSL_read(ssl, at, (int)room) : recv(fd, at, room, 0);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
}

static bool peer_is_gone(int fd, int wait)
{
    struct pollfd gone = {.fd = fd, .events = POLLRDHUP};

    return poll(&gone, 1, wait) != 0;
}

static void serve(struct server *server, int fd, SSL *ssl)
{
    if (server->mode != SERVER_PLAIN_TO_TLS)
        read_request(server, fd, ssl);
    switch (server->mode) {
    case SERVER_ANSWER:
    case SERVER_PLAIN_TO_TLS:
        send_all(fd, ssl, server->answer, server->length);
        (void)shutdown(fd, SHUT_WR);
        (void)peer_is_gone(fd, 10000);
        break;
    case SERVER_CRAWL:
        for (size_t i = 0; i < server->length && !peer_is_gone(fd, 100); i++)
            send_all(fd, ssl, server->answer + i, 1);
        break;
    case SERVER_SILENT:
        (void)peer_is_gone(fd, 10000);
        break;
    case SERVER_CLOSE_EARLY:
        break;
    }
}

static void *server_run(void *arg)
{
    struct server *server = arg;
    const int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    SSL *ssl = NULL;

    if (fd < 0)
        return NULL;
    if (server->tls != NULL) {
        ssl = SSL_new(server->tls);
        if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_accept(ssl) != 1) {
            SSL_free(ssl);
            close(fd);
            return NULL;
        }
    }
    serve(server, fd, ssl);
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void server_start(struct server *server, enum server_mode mode, const char *answer, SSL_CTX *tls)
{
    *server = (struct server){.mode = mode, .answer = answer, .length = strlen(answer), .tls = tls};
    server->listener = listen_loopback("127.0.0.1", &server->port);
    assert_true(server->listener >= 0);
    assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
}

static void server_end(struct server *server)
{
    shutdown(server->listener, SHUT_RDWR); /* wakes an accept that nobody came for */
    pthread_join(server->thread, NULL);
    close(server->listener);
}

#define PATIENT 60000 /* ms: however slow this machine is, what is there has answered by then */

struct outcome {
    struct event_base *base;
    struct probe *probe;
    struct probe_result result;
    int calls;
    bool again; /* start the next one from within the call-back */
    bool drop;  /* free the probe from within the call-back */
};

static void on_done(void *arg, const struct probe_result *result)
{
    struct outcome *outcome = arg;

    outcome->calls++;
    outcome->result = *result;
    if (outcome->again) {
        outcome->again = false;
        probe_start(outcome->probe, PATIENT);
        return;
    }
    if (outcome->drop) {
        probe_free(outcome->probe);
        outcome->probe = NULL;
    }
    event_base_loopbreak(outcome->base);
}

static void outcome_open(struct outcome *outcome, const char *address, int port, bool tls)
{
    struct probe_target target = {.port = port, .tls = tls};

    snprintf(target.address, sizeof target.address, "%s", address);
    *outcome = (struct outcome){.base = event_base_new()};
    assert_non_null(outcome->base);
    outcome->probe = probe_new(outcome->base, &target, on_done, outcome);
    assert_non_null(outcome->probe);
}

static void outcome_close(struct outcome *outcome)
{
    probe_free(outcome->probe);
    event_base_free(outcome->base);
}

static struct probe_result probe_port(int port, bool tls, int64_t timeout)
{
    struct outcome outcome;

    outcome_open(&outcome, "127.0.0.1", port, tls);
    probe_start(outcome.probe, timeout);
    assert_int_equal(outcome.calls, 0);
    event_base_dispatch(outcome.base);
    assert_int_equal(outcome.calls, 1);
    outcome_close(&outcome);
    return outcome.result;
}

static struct probe_result probe_server(enum server_mode mode, const char *answer, SSL_CTX *tls)
{
    struct server server;
    struct probe_result result;

    server_start(&server, mode, answer, tls);
    result = probe_port(server.port, tls != NULL, PATIENT);
    server_end(&server);
    return result;
}

static void test_alive(void **state)
{
    static const struct {
        const char *answer;
        int status;
        const char *reason;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "HTTP 200"},
        {"HTTP/1.0 200 OK\n\n", 200, "HTTP 200"},
        {"HTTP/1.1 401 Unauthorized\r\n\r\n", 401, "HTTP 401"},
        {"HTTP/1.1 403\r\n", 403, "HTTP 403"},
        {"HTTP/1.1 404 \r\n", 404, "HTTP 404"},
        {"HTTP/1.1 302 Gefunden \xc3\xa4\r\n\r\n", 302, "HTTP 302"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct probe_result result = probe_server(SERVER_ANSWER, cases[i].answer, NULL);
        assert_true(result.alive);
        assert_int_equal(result.status, cases[i].status);
        assert_string_equal(result.reason, cases[i].reason);
    }
}

static void test_5xx_is_dead(void **state)
{
    struct probe_result result = probe_server(SERVER_ANSWER, "HTTP/1.1 500 Server Error\r\n\r\n", NULL);

    (void)state;
    assert_false(result.alive);
    assert_int_equal(result.status, 500);
    assert_string_equal(result.reason, "HTTP 500");
    result = probe_server(SERVER_ANSWER, "HTTP/1.1 503 Service Unavailable\r\n\r\n", NULL);
    assert_false(result.alive);
    assert_int_equal(result.status, 503);
}

static void test_malformed(void **state)
{
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/2 200 OK\r\n",
        "HTTP/1.2 200 OK\r\n",     "HTTP/1.1  200 OK\r\n",
        "HTTP/1.1 20 OK\r\n",      "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 +20 OK\r\n",     "HTTP/1.1 200OK\r\n",
        "http/1.1 200 OK\r\n",     "\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Cont\r\n",   "HTTP/1.1 101 Switch\r\n",
        "HTTP/1.1 200 O\x01K\r\n", "HTTP/1.1 600 Six\r\n",
        "HTTP/1.1 099 Less\r\n",   "\n",
        "HTTP/1.1 200 O\rK\r\n",   " HTTP/1.1 200 OK\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const struct probe_result result = probe_server(SERVER_ANSWER, answers[i], NULL);
        if (result.alive || result.status != 0 || strncmp(result.reason, "malformed answer", 16) != 0)
            fail_msg("\"%s\" was taken for: %s", answers[i], result.reason);
    }
}

static void test_endless_line(void **state)
{
    char *answer = malloc(20001);
    struct probe_result result;

    (void)state;
    assert_non_null(answer);
    memset(answer, 'x', 20000);
    memcpy(answer, "HTTP/1.1 200 ", 13);
    answer[20000] = '\0';
    result = probe_server(SERVER_ANSWER, answer, NULL);
    assert_false(result.alive);
    assert_memory_equal(result.reason, "malformed answer", 16);
    free(answer);
}

static void test_closed_early(void **state)
{
    struct probe_result result = probe_server(SERVER_CLOSE_EARLY, "", NULL);

    (void)state;
    assert_false(result.alive);
    assert_string_equal(result.reason, "closed before an answer");
    result = probe_server(SERVER_ANSWER, "HTTP/1.1 200 OK", NULL); /* no end of the line */
    assert_false(result.alive);
    assert_string_equal(result.reason, "closed before an answer");
}

static void test_refused(void **state)
{
    struct probe_result result;
    int port;
    const int fd = listen_loopback("127.0.0.1", &port);

    (void)state;
    assert_true(fd >= 0);
    close(fd); /* the port is free again, and nobody listens */
    result = probe_port(port, false, PATIENT);
    assert_false(result.alive);
    assert_int_equal(result.status, 0);
    assert_string_equal(result.reason, "connection refused");
    result = probe_port(port, true, PATIENT);
    assert_string_equal(result.reason, "connection refused");
}

/* Without a descriptor to ask with nothing is learnt about Livy. */
static void test_no_descriptor_left(void **state)
{
    struct outcome outcome;
    struct rlimit old, none;
    int lowest;

    (void)state;
    outcome_open(&outcome, "127.0.0.1", 1, false);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    lowest = dup(STDERR_FILENO); /* the lowest number that is free */
    assert_true(lowest >= 0);
    close(lowest);
    none = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    probe_start(outcome.probe, PATIENT);
    event_base_dispatch(outcome.base);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(outcome.calls, 1);
    assert_true(outcome.result.untold && !outcome.result.alive);
    assert_string_equal(outcome.result.reason, "Too many open files");
    outcome_close(&outcome);
    assert_false(probe_port(1, false, PATIENT).untold); /* nobody listens there: that is Livy's */
}

/* The limit is one for all of it: bytes that trickle in do not move it. It would take them many times as
 * long. */
static void test_absolute_limit(void **state)
{
    static const char answer[] =
        "HTTP/1.1 200 OK, told by a server that nobody has the time to listen to\r\n\r\n";
    static const enum server_mode modes[] = {SERVER_SILENT, SERVER_CRAWL};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct server server;
        struct probe_result result;
        int64_t took = clock_boot_ms();

        server_start(&server, modes[i], answer, NULL);
        result = probe_port(server.port, false, 600);
        took = clock_boot_ms() - took;
        server_end(&server);
        assert_false(result.alive);
        assert_string_equal(result.reason, "no answer within 600 ms");
        assert_true(took >= 590);
    }
}

static void test_crawl_in_time(void **state)
{
    const struct probe_result result = probe_server(SERVER_CRAWL, "HTTP/1.1 200 OK\r\n\r\n", NULL);

    (void)state;
    assert_true(result.alive);
}

/* A listener whose queue nobody empties still completes the handshake: the limit covers that too. */
static void test_never_accepted(void **state)
{
    struct probe_result result;
    int port;
    const int fd = listen_loopback("127.0.0.1", &port);

    (void)state;
    assert_true(fd >= 0);
    result = probe_port(port, false, 300);
    assert_string_equal(result.reason, "no answer within 300 ms");
    result = probe_port(port, true, 300);
    assert_string_equal(result.reason, "no answer within 300 ms");
    close(fd);
}

static void test_request_text(void **state)
{
    struct server server;
    char expected[256];

    (void)state;
    server_start(&server, SERVER_ANSWER, "HTTP/1.1 200 OK\r\n\r\n", NULL);
    assert_true(probe_port(server.port, false, PATIENT).alive);
    server_end(&server);
    snprintf(expected, sizeof expected,
             "GET /version HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: livy-ha\r\nAccept: */*\r\n"
             "Connection: close\r\n\r\n",
             server.port);
    assert_string_equal(server.request, expected);
}

/* A self-signed certificate that is made here and kept nowhere. */
static SSL_CTX *make_tls(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    X509 *certificate = X509_new();
    X509_NAME *name;

    assert_non_null(key);
    assert_non_null(tls);
    assert_non_null(certificate);
    name = X509_get_subject_name(certificate);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -86400));
    assert_non_null(
        X509_gmtime_adj(X509_getm_notAfter(certificate), -3600)); /* expired: that must not matter */
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                (const unsigned char *)"other.example.com", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(SSL_CTX_use_certificate(tls, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return tls;
}

static void test_tls(void **state)
{
    SSL_CTX *tls = make_tls();
    struct probe_result result = probe_server(SERVER_ANSWER, "HTTP/1.1 200 OK\r\n\r\n", tls);

    (void)state;
    assert_string_equal(result.reason, "HTTP 200");
    assert_true(result.alive);
    result = probe_server(SERVER_ANSWER, "HTTP/1.1 500 No\r\n\r\n", tls);
    assert_false(result.alive);
    result = probe_server(SERVER_CLOSE_EARLY, "", tls);
    assert_false(result.alive);
    assert_string_equal(result.reason, "closed before an answer");
    SSL_CTX_free(tls);
}

static void test_tls_to_plain_port(void **state)
{
    struct server server;
    struct probe_result result;

    (void)state;
    server_start(&server, SERVER_PLAIN_TO_TLS, "HTTP/1.1 400 Bad Request\r\n\r\n", NULL);
    result = probe_port(server.port, true, PATIENT);
    server_end(&server);
    assert_false(result.alive);
    assert_memory_equal(result.reason, "TLS handshake failed: ", 22);

    server_start(&server, SERVER_PLAIN_TO_TLS, "", NULL);
    result = probe_port(server.port, true, PATIENT);
    server_end(&server);
    assert_false(result.alive);
    assert_memory_equal(result.reason, "TLS handshake failed: ", 22);
}

static void test_start_and_free_within_the_call_back(void **state)
{
    struct outcome outcome;
    int port;
    const int fd = listen_loopback("127.0.0.1", &port);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    outcome_open(&outcome, "127.0.0.1", port, false);
    outcome.again = true;
    outcome.drop = true;
    probe_start(outcome.probe, PATIENT);
    event_base_dispatch(outcome.base);
    assert_int_equal(outcome.calls, 2);
    assert_null(outcome.probe);
    outcome_close(&outcome);
}

static void test_cancel(void **state)
{
    struct outcome outcome;
    int port;
    const int fd = listen_loopback("127.0.0.1", &port);

    (void)state;
    assert_true(fd >= 0);
    outcome_open(&outcome, "127.0.0.1", port, false);
    probe_start(outcome.probe, 50);
    probe_start(outcome.probe, 50); /* one is under way: nothing happens */
    probe_cancel(outcome.probe);
    assert_int_equal(event_base_dispatch(outcome.base), 1); /* nothing is left to wait for */
    assert_int_equal(outcome.calls, 0);
    probe_start(outcome.probe, 50);
    event_base_dispatch(outcome.base);
    assert_int_equal(outcome.calls, 1);
    outcome_close(&outcome);
    close(fd);
}

static void test_bad_targets(void **state)
{
    static const struct probe_target targets[] = {
        {.address = "localhost", .port = 80},
        {.address = "", .port = 80},
        {.address = "127.0.0.1", .port = 0},
        {.address = "127.0.0.1", .port = 65536},
    };
    struct event_base *base = event_base_new();

    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        errno = 0;
        assert_null(probe_new(base, &targets[i], on_done, NULL));
        assert_int_equal(errno, EINVAL);
    }
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alive),
        cmocka_unit_test(test_5xx_is_dead),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_closed_early),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_descriptor_left),
        cmocka_unit_test(test_absolute_limit),
        cmocka_unit_test(test_crawl_in_time),
        cmocka_unit_test(test_never_accepted),
        cmocka_unit_test(test_request_text),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_to_plain_port),
        cmocka_unit_test(test_start_and_free_within_the_call_back),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_bad_targets),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
