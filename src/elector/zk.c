/* zk.c - the handle: opening, session events, the kick, closing. Requests are in zk_request.c.
 *
 * What of libzookeeper_mt 3.8 is not used, and why: zoo_set_servers (closes without an event, use after
 * free), zoo_get_current_server (static buffer), zoo_create2 (writes past its buffer), the DEBUG log level
 * (crashes), ZOO_READONLY (a session that cannot be trusted), its chroot (see zk_request.c).
 */
#include "zk_internal.h"

#include "livy-ha/clock.h"
#include "livy-ha/log.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#ifdef LIVY_HA_ZK_TLS
/* The header hides it behind HAVE_OPENSSL_H. */
zhandle_t *zookeeper_init_ssl(const char *host, const char *cert, watcher_fn fn, int recv_timeout,
                              const clientid_t *clientid, void *context, int flags);
#endif

bool zk_has_tls(void)
{
#ifdef LIVY_HA_ZK_TLS
    return true;
#else
    return false;
#endif
}

/* Puts one change of state into the queue; any thread. LOST and AUTH_FAILED are the last of a handle. */
static void state_put(struct zk *zk, enum zk_state state, const struct zk_session *session)
{
    struct zk_item *item = NULL, *between = NULL;

    pthread_mutex_lock(&zk->lock);
    if (zk->known && (zk->state == ZK_LOST || zk->state == ZK_AUTH_FAILED)) {
        pthread_mutex_unlock(&zk->lock);
        return;
    }
    if (zk->known && zk->state == state && state != ZK_CONNECTED) {
        pthread_mutex_unlock(&zk->lock);
        return;
    }
    /* Connected again without a word about the loss: what was under way then has failed, so say it. */
    if (zk->known && zk->state == ZK_CONNECTED && state == ZK_CONNECTED) {
        between = zk_item_new(zk, ZK_ITEM_SESSION);
        between->state = ZK_SUSPENDED;
        between->at = clock_boot_ms();
        zk_queue_put_locked(zk, between);
    }
    item = zk_item_new(zk, ZK_ITEM_SESSION);
    item->state = state;
    if (session != NULL)
        item->session = *session;
    item->at = clock_boot_ms();
    zk->known = true;
    zk->state = state;
    zk_queue_put_locked(zk, item);
    pthread_mutex_unlock(&zk->lock);
}

/* The global watcher; the completion thread. It gets session events alone, as no request uses the library's
 * watch flag. */
static void on_library_event(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    struct zk *zk = context;
    struct zk_session session = {0};

    (void)path;
    if (type != ZOO_SESSION_EVENT)
        return;
    if (state == ZOO_CONNECTED_STATE) {
        const clientid_t *id = zoo_client_id(zh);

        session.id = id->client_id;
        memcpy(session.password, id->passwd, sizeof session.password);
        session.timeout = zoo_recv_timeout(zh);
        state_put(zk, ZK_CONNECTED, &session);
    } else if (state == ZOO_CONNECTING_STATE || state == ZOO_ASSOCIATING_STATE) {
        state_put(zk, ZK_SUSPENDED, NULL);
    } else if (state == ZOO_EXPIRED_SESSION_STATE) {
        state_put(zk, ZK_LOST, NULL);
    } else if (state == ZOO_AUTH_FAILED_STATE) {
        state_put(zk, ZK_AUTH_FAILED, NULL);
    }
}

/* The answer to zoo_add_auth(); the IO thread, with locks of the library held. A lost connection comes here
 * too: the library sends the credentials again by itself. */
static void on_auth(int rc, const void *data)
{
    struct zk *zk = (struct zk *)data;

    if (rc == ZAUTHFAILED) {
        log_error(
            "zk: the ZooKeeper server refused our credentials: check zookeeper.auth_digest, and that the "
            "server allows the digest scheme");
        state_put(zk, ZK_AUTH_FAILED, NULL);
    }
}

static zhandle_t *library_init(struct zk *zk, const char *hosts, const struct zk_options *options,
                               const clientid_t *adopt)
{
    int timeout = (int)options->session_timeout;

#ifdef LIVY_HA_ZK_TLS
    if (options->tls != NULL) {
        zhandle_t *zh = zookeeper_init_ssl(hosts, options->tls, on_library_event, timeout, adopt, zk,
                                           ZOO_NO_LOG_CLIENTENV);

        if (zh != NULL)
            zoo_set_log_callback(zh, zk_log_line);
        return zh;
    }
#endif
    return zookeeper_init2(hosts, on_library_event, timeout, adopt, zk, ZOO_NO_LOG_CLIENTENV, zk_log_line);
}

/* Starts the library with all signals blocked: its threads inherit the mask, and signals are for the loop. */
static zhandle_t *handle_init(struct zk *zk, const char *hosts, const struct zk_options *options)
{
    clientid_t id = {0};
    zhandle_t *zh;
    sigset_t all, before;
    int saved;

    if (options->adopt != NULL) {
        id.client_id = options->adopt->id;
        memcpy(id.passwd, options->adopt->password, sizeof id.passwd);
    }
    sigfillset(&all);
    errno = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (errno != 0)
        return NULL;
    zh = library_init(zk, hosts, options, options->adopt != NULL ? &id : NULL);
    saved = errno != 0 ? errno : EINVAL;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (zh == NULL)
        errno = saved;
    return zh;
}

/* Splits off the chroot and starts the library. 0, or -1 with errno. */
static int handle_open(struct zk *zk, const struct zk_options *options)
{
    char *hosts = strdup(options->hosts), *slash;

    if (hosts == NULL)
        return -1;
    slash = strchr(hosts, '/');
    zk->chroot = strdup(slash != NULL && slash[1] != '\0' ? slash : "");
    if (slash != NULL)
        *slash = '\0';
    if (zk->chroot != NULL && zk_socket_parse(zk, hosts) == 0)
        zk->zh = handle_init(zk, hosts, options);
    free(hosts);
    if (zk->zh == NULL)
        return -1;
    /* By default the library resolves its list of servers in every turn of its loop. */
    if (zoo_set_servers_resolution_delay(zk->zh, -1) != ZOK)
        log_warn("zk: the client library refuses to leave its list of servers alone");
    if (options->auth_digest != NULL && zoo_add_auth(zk->zh, "digest", options->auth_digest,
                                                     (int)strlen(options->auth_digest), on_auth, zk) != ZOK) {
        errno = EINVAL;
        return -1;
    }
    zk_socket_cloexec(zk);
    return 0;
}

struct zk *zk_open(struct event_base *base, const struct zk_options *options, zk_on_session *on_session,
                   zk_on_watch *on_watch, void *arg)
{
    struct zk *zk;

    if (options->session_timeout <= 0 || options->session_timeout > INT_MAX || options->hosts == NULL) {
        errno = EINVAL;
        return NULL;
    }
    if (options->tls != NULL && !zk_has_tls()) {
        errno = ENOTSUP;
        return NULL;
    }
    zk = calloc(1, sizeof *zk);
    if (zk == NULL)
        return NULL;
    zk->on_session = on_session;
    zk->on_watch = on_watch;
    zk->arg = arg;
    zk->auth = options->auth_digest != NULL;
    zk->wakeup_fd = -1;
    pthread_mutex_init(&zk->lock, NULL);
    TAILQ_INIT(&zk->ready);
    TAILQ_INIT(&zk->outstanding);
    if (!zk_queue_open(zk, base) || handle_open(zk, options) != 0) {
        int saved = errno;

        zk_close(zk, false);
        errno = saved;
        return NULL;
    }
    return zk;
}

void zk_free(struct zk *zk)
{
    pthread_mutex_destroy(&zk->lock);
    free(zk->addresses);
    free(zk->chroot);
    free(zk);
}

/* zookeeper_close() ends a session that is connected. It first joins both of its threads, so that nobody
 * reconnects any more, then looks whether it is connected, writes a log line ("Closing zookeeper
 * sessionId=…") and sends the request, all on this thread. In that line the connection is shut down, so that
 * the send fails: the server sees a client vanish, which leaves the session alone. */
static void hook_shutdown(void *arg)
{
    (void)zk_socket_shutdown(arg);
}

void zk_close(struct zk *zk, bool keep_session)
{
    zk->closed = true;
    if (zk->zh != NULL && keep_session) {
        /* For a library that was built without that line: usually it has not reconnected in the
         * microseconds until the threads are told to end. */
        (void)zk_socket_shutdown(zk);
        zk_log_hook(hook_shutdown, zk);
    }
    if (zk->zh != NULL)
        (void)zookeeper_close(zk->zh); /* its result proves nothing */
    zk_log_hook(NULL, NULL);
    zk->zh = NULL;
    zk_queue_close(zk);
    zk_watch_free_all(zk);
    /* Inside a delivery the queue's loop still looks at the handle and frees it at its end. */
    if (zk->depth == 0)
        zk_free(zk);
}

bool zk_kick(struct zk *zk)
{
    return zk_socket_shutdown(zk) > 0;
}
