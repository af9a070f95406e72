/* tls.c - TLS that ends here, on a standby that redirects: just enough to read a request's head and to answer
 * it. Whatever is for a Livy passes untouched (opaque.c).
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "conn.h"
#include "http_head.h"
#include "livy-ha/log.h"
#include "relay.h"
#include "reply.h"

int tls_open(struct relay *relay)
{
    const struct conf_front *front = &relay->conf->front;

    if (front->tls_certificate == NULL || front->tls_key == NULL)
        return 0;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context != NULL && SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_use_certificate_chain_file(context, front->tls_certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, front->tls_key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(context) == 1) {
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        relay->tls = context;
        return 0;
    }
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    log_error("front.tls_certificate %s with front.tls_key %s cannot be used: %s; a standby forwards TLS "
              "instead of redirecting it",
              front->tls_certificate, front->tls_key, why != NULL ? why : "OpenSSL does not say why");
    ERR_clear_error();
    SSL_CTX_free(context);
    return -1;
}

void tls_close(struct relay *relay)
{
    SSL_CTX_free(relay->tls);
    relay->tls = NULL;
}

void tls_end(struct conn *conn)
{
    if (conn->secure == NULL)
        return;
    SSL *ssl = bufferevent_openssl_get_ssl(conn->secure);
    bufferevent_free(conn->secure);
    SSL_free(ssl);
    conn->secure = NULL;
}

/* The answer has gone out: the rest is as without TLS. */
static void on_written(struct bufferevent *secure, void *arg)
{
    struct conn *conn = arg;

    if (evbuffer_get_length(bufferevent_get_output(secure)) > 0)
        return;
    SSL *ssl = bufferevent_openssl_get_ssl(secure);
    (void)SSL_shutdown(ssl);
    ERR_clear_error();
    tls_end(conn);
    if (event_add(&conn->client.event, NULL) != 0) {
        conn_end(conn, false);
        return;
    }
    conn->client.readable = conn->client.writable = true;
    conn_linger(conn);
}

static void on_event(struct bufferevent *secure, short what, void *arg)
{
    (void)secure;
    ERR_clear_error();
    if ((what & BEV_EVENT_CONNECTED) == 0)
        conn_end(arg, false);
}

static void on_readable(struct bufferevent *secure, void *arg)
{
    struct conn *conn = arg;
    struct relay *relay = conn->relay;
    struct evbuffer *input = bufferevent_get_input(secure);
    struct buf text = {0};
    int n;

    while ((n = evbuffer_remove(input, relay->scratch, RELAY_SCRATCH)) > 0) {
        if (conn->in.length > CONN_HEAD_MAX || !buf_append(&conn->in, relay->scratch, (size_t)n)) {
            conn_end(conn, true);
            return;
        }
    }
    size_t length = http_head_end(conn->in.data, conn->in.length, &conn->searched);
    bool fine;
    if (length == 0 && conn->in.length <= CONN_HEAD_MAX)
        return;
    if (length == 0 || length > CONN_HEAD_MAX)
        fine = reply_error(&text, 431, "the request's head is longer than 128 KiB", false, false);
    else
        fine = request_answer_secure(conn, length, &text);
    bufferevent_disable(secure, EV_READ);
    bufferevent_setcb(secure, NULL, on_written, on_event, conn);
    fine = fine && bufferevent_write(secure, text.data, text.length) == 0;
    buf_clear(&text);
    if (!fine)
        conn_end(conn, true);
}

void tls_begin(struct conn *conn)
{
    struct relay *relay = conn->relay;
    SSL *ssl = SSL_new(relay->tls);

    /* A bufferevent listens in its own way: both on one descriptor do not go together. */
    event_del(&conn->client.event);
    conn_set(conn, CONN_SECURE);
    conn_timer(conn, CONN_HEAD_MS);
    if (ssl != NULL)
        conn->secure = bufferevent_openssl_socket_new(relay->base, conn->client.fd, ssl,
                                                      BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_DEFER_CALLBACKS);
    if (conn->secure == NULL) {
        SSL_free(ssl);
        conn_end(conn, true);
        return;
    }
    bufferevent_setwatermark(conn->secure, EV_READ, 0, RELAY_SCRATCH);
    bufferevent_setcb(conn->secure, on_readable, NULL, on_event, conn);
    if (bufferevent_enable(conn->secure, EV_READ | EV_WRITE) != 0)
        conn_end(conn, true);
}
