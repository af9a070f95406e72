/* conn.h - a client's connection and the connection to a Livy that belongs to it, one to one.
 *
 * A connection is in one state; conn_set alone changes it, and with it the lists and counts that the
 * connection is in. Ending one (conn_end) closes its sockets at once and leaves the memory to the loop, so
 * that whoever is in the middle of something with it may go on looking at its state.
 *
 *   IDLE -> HEAD -> HELD -> CONNECT -> RUN -> IDLE …          a plain request
 *           HELD -> CONNECT -> OPAQUE                         TLS, thrift; RUN -> OPAQUE after an Upgrade
 *   any  -> LINGER -> DEAD                                    the last answer is under way
 *
 * An open connection to a Livy always goes to the view's target: what goes elsewhere is closed when the view
 * changes.
 */
#ifndef LIVY_HA_RELAY_CONN_H
#define LIVY_HA_RELAY_CONN_H

#include <stdint.h>
#include <sys/queue.h>

#include "http_framing.h"
#include "quota.h"
#include "sock.h"
#include "stats.h"

#define CONN_HEAD_MAX ((size_t)128 * 1024) /* Livy's own limit */
#define CONN_HEAD_STEP ((size_t)16 * 1024) /* is read of it at a time: most are shorter than that */
#define CONN_EMPTY_MAX ((size_t)1024)      /* bytes of empty lines before a request */
#define CONN_HEAD_MS 10000                 /* for a head, from its first byte */
#define CONN_IDLE_MS 300000                /* without a byte: between requests, or of the client's in one */
#define CONN_CONNECT_MS 2000               /* for one address */
#define CONN_REPLY_MS 10000                /* for the client to take an answer of ours */
#define CONN_LINGER_MS 5000                /* for it to stop sending after that */
#define CONN_REJECT_MS 1000                /* both, for one that is too many: others wait for its place */
#define CONN_LINGER_BYTES ((size_t)16 * 1024 * 1024)
#define CONN_QUIET_MS 300 /* an opaque connection without a byte for so long is between requests */
#define CONN_TURN_BYTES ((size_t)512 * 1024) /* then it is another one's turn */
#define CONN_REPEATS 3                       /* of a request whose connection broke before an answer */

struct relay;
struct bufferevent;

enum conn_kind {
    CONN_PLAIN,    /* HTTP that is looked into */
    CONN_TLS,      /* Livy speaks TLS: bytes */
    CONN_THRIFT,   /* bytes, to thrift_port */
    CONN_REJECTED, /* one too many: gets a 503 */
};

enum conn_state {
    CONN_IDLE,
    CONN_HEAD,    /* part of a request head is there */
    CONN_HELD,    /* waits for a Livy */
    CONN_CONNECT, /* to it */
    CONN_RUN,     /* a request runs */
    CONN_OPAQUE,  /* bytes both ways */
    CONN_SECURE,  /* TLS that ends here, to be answered 307 */
    CONN_LINGER,  /* the last answer goes out; what comes in is dropped */
    CONN_DEAD,
};

/* One request and its answer. */
struct exchange {
    bool safe;         /* GET, HEAD, OPTIONS: may be sent again */
    bool is_head;      /* HEAD */
    bool keep_alive;   /* the client would keep the connection */
    bool upgrade;      /* it asks for another protocol */
    bool expects;      /* it waits for "100 Continue" … */
    bool continued;    /* … which has come */
    bool replayable;   /* safe, and still wholly in `in` */
    bool began;        /* a byte of it went to the Livy */
    bool request_done; /* all of it did */
    bool deaf;         /* the Livy takes no more of it */
    bool answered;     /* a byte of the answer came */
    bool forwarded;    /* … and went to the client */
    bool head_done;    /* the answer's head did, and `answer` is under way */
    bool answer_keep;  /* the Livy keeps the connection */
    bool extra;        /* there was more than the answer: not to be trusted with another request */
    bool counted_hold;
    size_t head;     /* length */
    size_t mine;     /* bytes of `in` that are this request's */
    size_t sent;     /* … and went out */
    size_t searched; /* for the end of the answer's head, in `back` */
    unsigned repeats;
    struct http_framing request, answer;
};

TAILQ_HEAD(conn_list, conn);

struct conn {
    struct relay *relay;
    TAILQ_ENTRY(conn) all, queue, turn;
    struct conn_list *queued; /* the list that it is in by its state; NULL: none */
    bool on_turn;
    enum conn_kind kind;
    enum conn_state state;
    struct quota_slot slot;
    struct sock client, upstream;
    struct event timer;
    struct buf in;   /* from the client: the head, what came behind it */
    struct buf back; /* from the Livy: part of an answer's head */
    size_t searched; /* for the end of the head, in `in` */
    size_t skipped;  /* bytes of empty lines since the last request */
    int64_t came;    /* CLOCK_BOOTTIME ms: when the head was there in full, or the opaque connection */
    int64_t touched; /* idle: since; opaque: the last byte */
    size_t address;  /* of the target's, the one that is tried */
    size_t lingered; /* bytes that were dropped */
    bool counted_running;
    bool large; /* `in` has more than a usual head */
    struct exchange x;
    struct bufferevent *secure;
};

/* ---- conn.c: life and states */
/* Takes over `fd`. NULL for want of memory: `fd` is closed then. */
struct conn *conn_new(struct relay *relay, int fd, enum conn_kind kind);
void conn_begin(struct conn *conn); /* once it has its slot */
void conn_set(struct conn *conn, enum conn_state state);
void conn_timer(struct conn *conn, int64_t ms); /* negative: none */
void conn_step(struct conn *conn);              /* does what can be done now */
void conn_turn(struct conn *conn);              /* has more to do: after the others */
void conn_end(struct conn *conn, bool reset);
void conn_free(struct conn *conn);   /* dead ones, by the loop */
void conn_linger(struct conn *conn); /* what waits for the client goes out, then the end */
bool conn_opaque_kind(const struct conn *conn);
void conn_on_upstream(evutil_socket_t fd, short what, void *arg);

/* ---- request.c: heads; what is answered here */
bool request_step(struct conn *conn);     /* IDLE, HEAD */
void request_dispatch(struct conn *conn); /* the head is there: where does it go? */
void request_redirect(struct conn *conn); /* its head is in `in` */
void request_refuse(struct conn *conn, int status, const char *sentence, enum stats_reject why);
/* What a request over TLS that ends here is answered, its head of `length` bytes in `in`. False: no memory.
 */
bool request_answer_secure(struct conn *conn, size_t length, struct buf *text);
void request_unavailable(struct conn *conn, const char *sentence);
void request_bad_gateway(struct conn *conn, const char *sentence);

/* ---- hold.c: requests that wait for a Livy, and their turn to connect */
struct hold {
    struct conn_list held; /* wait for news */
    struct conn_list due;  /* may go, once it is their turn to connect */
    bool failing;          /* the last attempt to connect failed */
    char failure[256];     /* … how */
};
void hold_add(struct conn *conn);         /* waits from now on, or goes on soon where it can */
void hold_kick(struct relay *relay);      /* whose turn it is will connect soon */
void hold_run(struct relay *relay);       /* … now: the loop's */
void hold_release(struct relay *relay);   /* there may be a route: all have their turn */
void hold_take_back(struct relay *relay); /* there is none: they wait */
void hold_retry(struct relay *relay);     /* a few of the waiting look whether Livy is there by now */
void hold_failed(struct conn *conn, const char *why); /* no Livy was reached: waits, and tries again */
void hold_reached(struct conn *conn);                 /* one was */
void hold_over(struct conn *conn);                    /* front.hold has passed */
void hold_look(struct conn *conn);                    /* something has happened on its client's side */

/* ---- upstream.c: connecting */
void upstream_connect(struct conn *conn);
bool upstream_step(struct conn *conn);    /* CONNECT */
void upstream_timeout(struct conn *conn); /* of one address */
/* Whether the kept connection will take another request. Closes it where it won't. */
bool upstream_usable(struct conn *conn);
void upstream_close(struct conn *conn, bool reset);

/* ---- exchange.c: a request runs */
void exchange_begin(struct conn *conn);
bool exchange_step(struct conn *conn);                 /* RUN */
void exchange_cut(struct conn *conn, const char *why); /* its Livy must not be spoken to any more */
void exchange_stalled(struct conn *conn);              /* its client has neither sent nor read for too long */

/* ---- opaque.c */
void opaque_begin(struct conn *conn);
bool opaque_step(struct conn *conn);
void opaque_pause(struct conn *conn); /* a hand-over: ends once it is quiet */
void opaque_timeout(struct conn *conn);

/* ---- tls.c */
int tls_open(struct relay *relay); /* -1: told */
void tls_close(struct relay *relay);
void tls_begin(struct conn *conn);
void tls_end(struct conn *conn); /* forgets the TLS layer, not the socket */

#endif
