/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP server: parser over uv_tcp, TLS by OpenSSL memory BIOs. HTTP/1.1 only. Loop thread only.
 *
 * Limits, each with its answer: headers 16 KiB and 100 fields (431), body by route, 1 MiB unless it says otherwise
 * (413), whole head within 10 s (408), TLS handshake 10 s (cut), whole body within 60 s (408), idle keep-alive 60 s
 * (closed), 256 connections and 64 a peer address (503), 256 KiB waiting for a slow reader of a stream (cut, counted),
 * 64 streams (503). Refused with 400 and a closed connection, because proxies read them differently: both
 * Transfer-Encoding and Content-Length, differing lengths, space before the colon, bare LF, folded headers, missing or
 * doubled Host, any version but 1.0 and 1.1.
 */
#pragma once

#include <uv.h>

#include "base/budget.h"
#include "base/log.h"
#include "base/metric.h"
#include "fragua/http.h"

struct fg_http_server;

struct fg_http_token {
    const char *name;    /* for the log */
    uint8_t sha256[32];  /* of the token's text */
    enum fg_scope scope; /* FG_SCOPE_READ or FG_SCOPE_CONTROL */
};

struct fg_http_server_limits {
    /* 0 in any: the default above */
    size_t head_bytes_max, head_fields_max, connections_max, peer_connections_max, streams_max, stream_queue_bytes_max;
    uint32_t head_timeout_ms, handshake_timeout_ms, body_timeout_ms, idle_timeout_ms;
};

struct fg_http_server_config {
    uv_loop_t *loop;             /* borrowed */
    const char *listen;          /* "127.0.0.1:8080", "[::1]:0", "0.0.0.0:8080"; port 0: any free one */
    const char *tls_certificate; /* PEM paths, read at start; NULL: plain HTTP */
    const char *tls_key;
    const char *tls_client_ca;          /* file or folder; given: clients need a certificate of it */
    const struct fg_http_token *tokens; /* array of n_tokens, copied */
    size_t n_tokens;
    /* false on loopback without tokens and client CA: READ and CONTROL are open. Else a request needs a token or
     * certificate. */
    bool auth_required;
    struct fg_http_server_limits limits;
    /*
     * Of fg_http_server_new(): a server of this process that still listens and is to go. Both may then have one port on
     * addresses that overlap, as 127.0.0.1:8080 and 0.0.0.0:8080. NULL: none.
     */
    struct fg_http_server *replaces;
    struct fg_metrics *metrics; /* borrowed; NULL: none */
    struct fg_budget *budget;   /* borrowed; NULL: bodies are not charged. A request without room is answered 503 */
    struct fg_logger logger;    /* copied */
};

/* What is there now, for metrics. */
struct fg_http_server_depth {
    size_t connections, streams;
    size_t body_bytes;    /* charged for bodies of requests */
    size_t waiting_bytes; /* of answers, for clients to take them */
};

/* Binds and listens. The process must ignore SIGPIPE, since libuv writes without MSG_NOSIGNAL. Errors: address in use
 * or not ours, bad certificate or key, each naming the value. */
int fg_http_server_new(const struct fg_http_server_config *config, struct fg_http_server **ret, struct fg_error *err);
/*
 * Stops listening. Connections without a request are closed at once; requests that have begun to arrive and answers
 * have deadline_ms from now, then they are cut; closed(arg) when all is gone. Mounts stay their owners', who
 * unmount or retire them before or after. Streams go on until the deadline, unless their mount is retired.
 */
void fg_http_server_close(struct fg_http_server *server, uint64_t deadline_ms, fg_done_cb closed, void *arg);
void fg_http_server_depth(const struct fg_http_server *server, struct fg_http_server_depth *ret);
/* The address really bound, "127.0.0.1:43211"; lives as long as the server. */
const char *fg_http_server_address(const struct fg_http_server *server);

/*
 * What of a server can change while it listens: certificate, key, client CA (also none at all before or after), tokens,
 * auth_required, limits, logger. It is made first, with all files read and checked, and then put in place, which cannot
 * fail. The listening socket is not touched.
 */
struct fg_http_server_change;
/* Errors: config->listen is not what the server was made with; bad certificate or key, each naming the value. */
int fg_http_server_prepare(struct fg_http_server *server, const struct fg_http_server_config *config,
                           struct fg_http_server_change **ret, struct fg_error *err);
/*
 * fg_http_server_apply() - put a change in place, and free it
 *
 * Every request whose head is read from now on is judged by the new tokens, on old connections too. Answers that are
 * being made end as they would; but streams whose token or client certificate is not good any more are cut, and no
 * such answer becomes a stream.
 *
 * Where certificate, key or client CA are others than before (by content): new connections get the new ones; old ones
 * end their exchange with "Connection: close", and those that wait for a next request are closed at once. One that has
 * not sent its first request may still send that one. Streams go on to their end.
 */
void fg_http_server_apply(struct fg_http_server *server, struct fg_http_server_change *change);
/* Of one that is not applied. NULL allowed; returns NULL. */
struct fg_http_server_change *fg_http_server_change_free(struct fg_http_server_change *change);

struct fg_http_mount;
/*
 * fg_http_server_mount() - add routes whose handlers get @self
 * @routes: array of n, borrowed until unmounted. Two routes with one method and shape: -FG_E_CONFIG with both named.
 */
int fg_http_server_mount(struct fg_http_server *server, const struct fg_route *routes, size_t n, void *self,
                         struct fg_http_mount **ret, struct fg_error *err);
/*
 * Requests still open on these routes are answered 503, streams are cut; on_gone() runs before this returns. NULL
 * allowed.
 */
void fg_http_server_unmount(struct fg_http_mount *mount);
/*
 * fg_http_server_retire() - unmount without hurting those who are being served
 * @mount: taken over; may not be used any more
 *
 * The routes are gone at once, so that they can be mounted again by another instance in the same turn. What is open on
 * them goes on: handle() can still be called for a request whose body is arriving, and answers have deadline_ms from
 * now; then they are ended as by fg_http_server_unmount(). Streams never end by themselves, so they are ended here, in
 * order (last chunk, then the connection closes): an EventSource comes back at once, to the new instance. Their
 * on_gone() runs before this returns. An answer that becomes a stream later on ends where it begins.
 *
 * gone(arg) runs once, from the loop, never from here nor below a handler: when nothing is open any more, or when the
 * server has gone. Until then @self and the routes must live.
 */
void fg_http_server_retire(struct fg_http_mount *mount, uint64_t deadline_ms, fg_done_cb gone, void *arg);
/* Walks all routes mounted, for the OpenAPI document. */
void fg_http_server_routes(const struct fg_http_server *server, void (*cb)(void *arg, const struct fg_route *route),
                           void *arg);

/* The exchange functions of struct fg_services, as they are. */
struct fg_slice fg_exchange_method(const struct fg_exchange *x);
struct fg_slice fg_exchange_path(const struct fg_exchange *x);
struct fg_slice fg_exchange_param(const struct fg_exchange *x, const char *name);
struct fg_slice fg_exchange_query(const struct fg_exchange *x, const char *name);
struct fg_slice fg_exchange_query_raw(const struct fg_exchange *x);
struct fg_slice fg_exchange_header(const struct fg_exchange *x, const char *name);
struct fg_slice fg_exchange_body(const struct fg_exchange *x);
void fg_exchange_set_header(struct fg_exchange *x, const char *name, const char *value);
void fg_exchange_reply(struct fg_exchange *x, int status, const char *content_type, struct fg_slice body);
void fg_exchange_problem(struct fg_exchange *x, int status, const char *title, const char *detail);
void fg_exchange_begin(struct fg_exchange *x, int status, const char *content_type);
bool fg_exchange_write(struct fg_exchange *x, struct fg_slice bytes);
void fg_exchange_end(struct fg_exchange *x);
void fg_exchange_on_gone(struct fg_exchange *x, fg_done_cb cb, void *arg);
void fg_exchange_abort(struct fg_exchange *x);
