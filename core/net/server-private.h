/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the HTTP server share. Loop thread only.
 *
 *   server.c      listens, accepts, closes
 *   mount.c       routes come and go
 *   change.c      certificate, tokens and limits change while it listens
 *   connection.c  one client: phases, deadlines, one request after the other
 *   wire.c        bytes out, plain or through TLS, and the orderly end of a connection
 *   answer.c      heads, whole answers, problem documents
 *   exchange.c    one request and its answer, as handlers see it
 *   auth.c        who may call a route
 *
 * Glossary:
 *   connection  the socket of one client, and what is there only as long as it is
 *   message     one request's bytes as they arrived (reader.h)
 *   exchange    one request that has found its route, and the answer to it; may outlive its connection, see exchange.c
 *   stream      an exchange whose answer has begun and has no length: a handler goes on writing it
 *   mount       the routes of one instance of a plugin, and the exchanges that are open on them
 *   entry       one of these routes as the router keeps it
 *   finish      end a connection so that the client can read all that was sent; cut: end it now
 */
#pragma once

#include <openssl/ssl.h>

#include "base/list.h"
#include "net/reader.h"
#include "net/router.h"
#include "net/server.h"

#define FG_SERVER_READ_BYTES   FG_READER_PUSH_MAX
#define FG_SERVER_TARGET_MAX   8192              /* bytes of a request target: 414 */
#define FG_SERVER_BODY_MAX     ((size_t)1 << 20) /* of a route that names none: 413 */
#define FG_SERVER_PIPELINE_MAX 16384 /* bytes of later requests held while one is answered; then reading stops */
#define FG_SERVER_SURPLUS_MAX  64    /* connections over the limit that are still told 503; more are just closed */
#define FG_SERVER_LINGER_MS    1000  /* a client may go on sending after our last byte, so that it can read it */
#define FG_SERVER_LINGER_BYTES ((size_t)4 << 20)
#define FG_SERVER_HEADERS_MAX  8192  /* bytes of header lines that a handler may set */
#define FG_SERVER_JOIN_MAX     16384 /* bodies up to here leave in one buffer with their head */

#define FG_CONNECTION_MAGIC 0x66676e63u
#define FG_EXCHANGE_MAGIC   0x66676578u

struct fg_server_tls;

struct fg_http_mount {
    struct fg_list link;           /* in server->mounts or ->retired */
    struct fg_list exchanges;      /* of struct fg_exchange.link: open on its routes */
    struct fg_http_server *server; /* NULL: the server is gone */
    uv_loop_t *loop;               /* the server's */
    const struct fg_route *routes; /* borrowed */
    size_t n_routes;
    void *self;
    bool retired;
    struct fg_router_entry *entries; /* owned; retired: those that open exchanges look at */
    uv_timer_t timer;                /* retired: goes off at the deadline, or when nothing is open */
    uint64_t deadline;               /* loop ms */
    fg_done_cb gone;
    void *gone_arg;
};

struct fg_http_server {
    uv_loop_t *loop; /* borrowed */
    uv_tcp_t listener;
    uv_timer_t drain; /* runs while closing */
    uv_idle_t resume; /* runs while `resumable` is not empty */
    unsigned open_handles;
    bool closing, ending;
    fg_done_cb closed;
    void *closed_arg;

    struct fg_http_server_limits limits;
    struct fg_head_limits head_limits;
    struct fg_router router;
    struct fg_list mounts;      /* of struct fg_http_mount.link */
    struct fg_list retired;     /* the same: out of the router, with exchanges that are open */
    struct fg_list connections; /* of struct fg_connection.link */
    struct fg_list resumable;   /* of struct fg_connection.resume_link: have bytes of a next request */
    size_t n_connections;
    size_t n_streams;

    struct fg_server_tls *tls; /* owned; NULL: plain */
    bool client_certificates;  /* every new connection has to show one */
    bool loopback;             /* listens where only this machine can reach it */
    bool auth_required;
    struct fg_http_token *tokens; /* owned: array of n_tokens */
    size_t n_tokens;
    unsigned n_changes; /* of who may do what, so far */

    struct fg_budget *budget;         /* borrowed; NULL: none */
    struct fg_metrics *metrics;       /* borrowed; NULL: none */
    struct fg_metric *by_status[600]; /* borrowed; filled as they come up */
    struct fg_metric *connections_metric, *cut_metric;
    struct fg_logger logger;

    struct fg_buf out; /* where answers are put together */
    char date[40];     /* "Date: ...\r\n" of the second date_at */
    int64_t date_at;
    char *listen; /* owned: as it was asked for */
    char address[64];
    char read_buffer[FG_SERVER_READ_BYTES];
    char plain_buffer[FG_SERVER_READ_BYTES]; /* what TLS made of it */
};

/*
 * Where a connection stands. Each request goes from HEAD to HEAD:
 *
 *   HANDSHAKE -> HEAD -> BODY -> ANSWER -> FLUSH -> HEAD ...
 *
 * What no handler gets is answered in HEAD or BODY, and FLUSH is left out where the socket takes the answer at once.
 * fg_wire_finish() leads to LINGER instead, and fg_connection_cut() from anywhere to CLOSING, which is the end.
 */
enum fg_phase {
    FG_PHASE_HANDSHAKE,
    FG_PHASE_HEAD,    /* waits for a request or reads its head */
    FG_PHASE_BODY,    /* reads its body */
    FG_PHASE_ANSWER,  /* the handler has it */
    FG_PHASE_FLUSH,   /* answered; the client has not taken all of it */
    FG_PHASE_LINGER,  /* our side is shut; waits for the client to close */
    FG_PHASE_CLOSING, /* the handles are closing */
};

struct fg_connection {
    uint32_t magic;
    struct fg_list link;        /* in server->connections */
    struct fg_list resume_link; /* in server->resumable */
    struct fg_http_server *server;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_shutdown_t shutdown;
    unsigned open_handles;
    enum fg_phase phase;
    uint64_t deadline;     /* loop ms; 0: none */
    uint64_t timer_at;     /* when the timer will really go off; 0: not running */
    uint64_t queued;       /* bytes ever handed to uv_write */
    uint64_t flushed_seen; /* of those, sent when the stall deadline was set */
    size_t lingered;       /* bytes thrown away */
    SSL *ssl;              /* owned; NULL: plain */
    struct fg_reader reader;
    struct fg_buf rest;        /* bytes behind the request being answered */
    struct fg_exchange *x;     /* of the request being read or answered; NULL: none */
    struct fg_exchange *spare; /* owned; its memory is used again for the next request */
    uint8_t peer[16];
    bool certified;   /* has shown a certificate that the server's present client CA knows */
    bool served;      /* has had an answer */
    bool refused;     /* over a limit: told 503 and nothing else */
    bool close_after; /* the answer being made is the last one */
    bool stepping;    /* inside step loop: answers must not start it again */
    bool reading, eof, shut, head_timing;
};

enum fg_exchange_state {
    FG_EXCHANGE_FREE,
    FG_EXCHANGE_OPEN,   /* no byte of an answer yet */
    FG_EXCHANGE_STREAM, /* begun */
    FG_EXCHANGE_MUTE,   /* the client has all it will get; writes vanish until it has gone */
};

struct fg_exchange {
    uint32_t magic;
    enum fg_exchange_state state;
    struct fg_connection *conn; /* NULL: the client is gone, and the handler was not told; it ends this by answering */
    struct fg_message *msg;     /* of the connection's reader; owned once conn is NULL */
    const struct fg_router_entry *entry; /* NULL: unmounted, or over */
    unsigned judged;                     /* server->n_changes when the request was found to be allowed */
    struct fg_list link;                 /* in mount->exchanges */
    struct fg_target target;
    size_t path_at, query_at; /* offsets in msg->bytes, which moves while a body arrives */
    struct fg_buf headers;    /* header lines set by the handler */
    bool has_cache_control, has_content_type_options;
    bool handed; /* the handler knows it */
    bool chunked;
    bool leaving; /* on_gone is being called */
    char *query;  /* owned; decoded at first use */
    fg_done_cb gone;
    void *gone_arg;
};

struct fg_answer {
    int status;
    const char *content_type; /* NULL: none */
    struct fg_slice body;
    struct fg_slice headers; /* whole lines with CRLF */
    bool has_cache_control, has_content_type_options;
    bool stream; /* the length is not known; body is not looked at */
};

/* connection.c */
void fg_connection_accept(struct fg_http_server *server);
void fg_connection_input(struct fg_connection *conn, struct fg_slice bytes); /* decrypted */
void fg_connection_ended(struct fg_connection *conn);                        /* the client will send no more */
void fg_connection_ready(struct fg_connection *conn);    /* the handshake is done, or none is needed */
void fg_connection_answered(struct fg_connection *conn); /* the answer is whole: go on, or end */
void fg_connection_drained(struct fg_connection *conn);  /* nothing waits to be sent any more */
void fg_connection_resume(struct fg_connection *conn);
void fg_connection_deadline(struct fg_connection *conn, uint64_t in_ms); /* 0: none */
void fg_connection_cut(struct fg_connection *conn);

/* wire.c */
void fg_wire_write(struct fg_connection *conn, const uv_buf_t *bufs, unsigned n);
void fg_wire_flush_tls(struct fg_connection *conn);       /* what OpenSSL wants to send */
size_t fg_wire_waiting(const struct fg_connection *conn); /* bytes */
void fg_wire_finish(struct fg_connection *conn);          /* shuts our side once all is sent, then lingers */
void fg_wire_watch(struct fg_connection *conn);           /* cut it when nothing moves for the idle time */
bool fg_wire_stalled(struct fg_connection *conn);

/* answer.c */
void fg_answer_send(struct fg_connection *conn, const struct fg_answer *answer);
void fg_answer_problem(struct fg_connection *conn, int status, const char *title, const char *detail,
                       struct fg_slice headers);
/* Writes a problem document into out. title NULL: the status's own words. */
void fg_problem_write(struct fg_buf *out, int status, const char *title, const char *detail);

/* exchange.c */
struct fg_exchange *fg_exchange_open(struct fg_connection *conn, const struct fg_router_entry *entry,
                                     const struct fg_target *target); /* NULL: no memory */
void fg_exchange_hand_over(struct fg_exchange *x);
void fg_exchange_client_gone(struct fg_exchange *x);
void fg_exchange_unmount(struct fg_exchange *x);
void fg_exchange_retire(struct fg_exchange *x); /* a stream whose client is there */
void fg_exchange_drop(struct fg_exchange *x); /* not handed over: forget it */
struct fg_exchange *fg_exchange_free(struct fg_exchange *x);

/* auth.c */
struct fg_refusal {
    int status; /* 0: come in */
    const char *detail;
    struct fg_slice headers;
};
struct fg_refusal fg_auth_check(const struct fg_connection *conn, const struct fg_message *msg, enum fg_scope scope);
/* The same once more, where the rules have changed since; x->conn is there. */
struct fg_refusal fg_auth_check_again(struct fg_exchange *x);

/* mount.c */
void fg_mount_left(struct fg_http_mount *mount);        /* one of its exchanges is over */
void fg_mount_server_gone(struct fg_http_mount *mount); /* its server is being freed */

/* server-tls.c */
int fg_server_tls_new(const struct fg_http_server_config *config, struct fg_server_tls **ret, struct fg_error *err);
struct fg_server_tls *fg_server_tls_free(struct fg_server_tls *tls);
bool fg_server_tls_same(const struct fg_server_tls *a, const struct fg_server_tls *b); /* NULL allowed: plain */
bool fg_server_tls_certified(const struct fg_connection *conn);
SSL *fg_server_tls_session(struct fg_server_tls *tls); /* NULL: no memory */
void fg_server_tls_input(struct fg_connection *conn, struct fg_slice bytes);

/* metrics.c */
void fg_server_metrics(struct fg_http_server *server); /* gets those that are always there */
void fg_server_count(struct fg_http_server *server, int status); /* an answer with this status */

/* server.c */
void fg_server_set_limits(struct fg_http_server *server, const struct fg_http_server_limits *given);
/* An array of config->n_tokens; NULL: no memory. */
struct fg_http_token *fg_server_copy_tokens(const struct fg_http_server_config *config, struct fg_error *err);
void fg_server_connection_closed(struct fg_http_server *server);
void fg_server_resume_later(struct fg_connection *conn);
