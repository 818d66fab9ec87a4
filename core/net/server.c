/* SPDX-License-Identifier: Apache-2.0 */
/* The server: listens, accepts, and goes away in order. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/server-private.h"

#define BACKLOG 511
#define OUT_MAX (FG_SERVER_HEADERS_MAX + FG_SERVER_JOIN_MAX + 4096)

void fg_server_set_limits(struct fg_http_server *server, const struct fg_http_server_limits *given)
{
    struct fg_http_server_limits *l = &server->limits;

    *l = *given;
    l->head_bytes_max = l->head_bytes_max ? l->head_bytes_max : 16384;
    l->head_fields_max = l->head_fields_max ? l->head_fields_max : 100;
    l->connections_max = l->connections_max ? l->connections_max : 256;
    l->peer_connections_max = l->peer_connections_max ? l->peer_connections_max : 64;
    l->streams_max = l->streams_max ? l->streams_max : 64;
    l->stream_queue_bytes_max = l->stream_queue_bytes_max ? l->stream_queue_bytes_max : 262144;
    l->head_timeout_ms = l->head_timeout_ms ? l->head_timeout_ms : 10000;
    l->handshake_timeout_ms = l->handshake_timeout_ms ? l->handshake_timeout_ms : 10000;
    l->body_timeout_ms = l->body_timeout_ms ? l->body_timeout_ms : 60000;
    l->idle_timeout_ms = l->idle_timeout_ms ? l->idle_timeout_ms : 60000;
    server->head_limits = (struct fg_head_limits){l->head_bytes_max, l->head_fields_max, FG_SERVER_TARGET_MAX};
}

static int bad_address(const char *listen, struct fg_error *err)
{
    return fg_raise(
        fg_error_set(err, FG_E_CONFIG, 0,
                     "cannot listen on \"%s\": write an address and a port, as 127.0.0.1:8080 or [::1]:8080", listen));
}

static int parse_address(const char *listen, struct sockaddr_storage *ret, struct fg_error *err)
{
    const char *colon = strrchr(listen, ':');
    char host[64];
    int64_t port = 0;
    size_t len;
    bool v6;
    int r;

    if (!colon || !fg_parse_int(fg_slice_of(colon + 1), &port) || port < 0 || port > 65535)
        return bad_address(listen, err);
    v6 = listen[0] == '[' && colon > listen + 1 && colon[-1] == ']';
    len = (size_t)(colon - listen) - (v6 ? 2 : 0);
    if (len >= sizeof(host))
        return bad_address(listen, err);
    memcpy(host, listen + (v6 ? 1 : 0), len);
    host[len] = '\0';
    r = v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)ret)
           : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)ret);
    return r < 0 ? bad_address(listen, err) : 0;
}

struct fg_http_token *fg_server_copy_tokens(const struct fg_http_server_config *config, struct fg_error *err)
{
    struct fg_http_token *tokens = calloc(config->n_tokens ? config->n_tokens : 1, sizeof(*tokens));

    if (!tokens) {
        (void)fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "no memory for tokens"));
        return NULL;
    }
    for (size_t i = 0; i < config->n_tokens; i++) {
        tokens[i] = config->tokens[i];
        tokens[i].name = NULL; /* borrowed from the caller, and not needed to compare */
    }
    return tokens;
}

static void server_free(struct fg_http_server *server)
{
    struct fg_list *it, *tmp;

    if (!server)
        return;
    fg_assert(fg_list_empty(&server->connections) && server->n_connections == 0 && server->n_streams == 0);
    fg_list_for_each_safe(it, tmp, &server->mounts)
        fg_mount_server_gone(fg_container_of(it, struct fg_http_mount, link));
    fg_list_for_each_safe(it, tmp, &server->retired)
        fg_mount_server_gone(fg_container_of(it, struct fg_http_mount, link));
    fg_router_deinit(&server->router);
    fg_server_tls_free(server->tls);
    free(server->tokens);
    free(server->listen);
    fg_buf_deinit(&server->out);
    free(server);
}

static void on_never_listened(uv_handle_t *handle)
{
    server_free(handle->data);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct fg_http_server *server = handle->data;
    fg_done_cb closed = server->closed;
    void *arg = server->closed_arg;

    if (--server->open_handles > 0)
        return;
    server_free(server);
    if (closed)
        closed(arg);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct fg_http_server *server = listener->data;

    if (status < 0)
        fg_logf(&server->logger, FG_LOG_WARN, "cannot accept a connection: %s", uv_strerror(status));
    else
        fg_connection_accept(server);
}

static void on_resume(uv_idle_t *idle)
{
    struct fg_http_server *server = idle->data;
    struct fg_list batch, *it;

    /* only those that wait now: a client that always has one more request must not keep the loop here */
    fg_list_init(&batch);
    while ((it = fg_list_pop(&server->resumable)) != NULL)
        fg_list_append(&batch, it);
    while ((it = fg_list_pop(&batch)) != NULL)
        fg_connection_resume(fg_container_of(it, struct fg_connection, resume_link));
    if (fg_list_empty(&server->resumable))
        (void)uv_idle_stop(idle);
}

void fg_server_resume_later(struct fg_connection *conn)
{
    fg_list_remove(&conn->resume_link);
    fg_list_append(&conn->server->resumable, &conn->resume_link);
    (void)uv_idle_start(&conn->server->resume, on_resume);
}

static void note_address(struct fg_http_server *server)
{
    struct sockaddr_storage addr = {0};
    int len = sizeof(addr);
    char host[46] = "";

    if (uv_tcp_getsockname(&server->listener, (struct sockaddr *)&addr, &len) < 0)
        return;
    if (addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&addr;

        server->loopback = IN6_IS_ADDR_LOOPBACK(&a->sin6_addr);
        (void)uv_ip6_name(a, host, sizeof(host));
        (void)snprintf(server->address, sizeof(server->address), "[%s]:%u", host, (unsigned)ntohs(a->sin6_port));
    } else {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&addr;

        server->loopback = ntohl(a->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        (void)uv_ip4_name(a, host, sizeof(host));
        (void)snprintf(server->address, sizeof(server->address), "%s:%u", host, (unsigned)ntohs(a->sin_port));
    }
}

static const char *advice_for(int r)
{
    if (r == UV_EADDRINUSE)
        return "another program has this port; stop it or choose another port";
    if (r == UV_EADDRNOTAVAIL)
        return "this machine does not have this address";
    if (r == UV_EACCES)
        return "ports below 1024 need more rights; choose a higher one";
    return uv_strerror(r);
}

/* See fg_http_server_config.replaces: Linux lets two listen on one port while both have this option. */
static void share_port(const uv_tcp_t *listener, int on)
{
    uv_os_fd_t fd;

    if (uv_fileno((const uv_handle_t *)listener, &fd) == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int bind_and_listen(struct fg_http_server *server, const struct sockaddr_storage *addr,
                           const struct fg_http_server *replaces)
{
    int r;

    if (replaces) {
        share_port(&replaces->listener, 1);
        share_port(&server->listener, 1);
    }
    r = uv_tcp_bind(&server->listener, (const struct sockaddr *)addr, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&server->listener, BACKLOG, on_connection);
    if (replaces) {
        share_port(&replaces->listener, 0); /* or any other program of this user could join in */
        share_port(&server->listener, 0);
    }
    return r;
}

/* On failure the server is freed when the loop has closed its handle. */
static int start_listening(struct fg_http_server *server, const struct sockaddr_storage *addr,
                           const struct fg_http_server_config *config, struct fg_error *err)
{
    int r = uv_tcp_init_ex(server->loop, &server->listener, addr->ss_family);

    if (r < 0) {
        server_free(server);
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot make a socket: %s", uv_strerror(r)));
    }
    server->listener.data = server;
    r = bind_and_listen(server, addr, config->replaces);
    if (r < 0) {
        uv_close((uv_handle_t *)&server->listener, on_never_listened);
        return fg_raise(fg_error_set(err, r == UV_EADDRINUSE ? FG_E_UNAVAILABLE : FG_E_CONFIG, 0,
                                     "cannot listen on \"%s\": %s", config->listen, advice_for(r)));
    }
    (void)uv_timer_init(server->loop, &server->drain);
    (void)uv_idle_init(server->loop, &server->resume);
    server->drain.data = server->resume.data = server;
    server->open_handles = 3;
    note_address(server);
    return 0;
}

int fg_http_server_new(const struct fg_http_server_config *config, struct fg_http_server **ret, struct fg_error *err)
{
    struct sockaddr_storage addr = {0};
    struct fg_http_server *server;
    int r = parse_address(config->listen, &addr, err);

    if (r < 0)
        return fg_pass(r);
    server = calloc(1, sizeof(*server));
    if (!server)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "no memory for the HTTP server"));
    server->loop = config->loop;
    server->logger = config->logger;
    server->budget = config->budget;
    server->metrics = config->metrics;
    server->auth_required = config->auth_required;
    server->client_certificates = config->tls_certificate && config->tls_client_ca;
    server->out = FG_BUF_INIT(OUT_MAX);
    fg_list_init(&server->mounts);
    fg_list_init(&server->retired);
    fg_list_init(&server->connections);
    fg_list_init(&server->resumable);
    fg_server_set_limits(server, &config->limits);
    fg_server_metrics(server);
    server->n_tokens = config->n_tokens;
    server->listen = fg_strdup_slice(fg_slice_of(config->listen));
    server->tokens = fg_server_copy_tokens(config, err);
    r = server->tokens ? 0 : -FG_E_INTERNAL;
    if (r == 0 && config->tls_certificate)
        r = fg_server_tls_new(config, &server->tls, err);
    if (r < 0) {
        server_free(server);
        return fg_pass(r);
    }
    r = start_listening(server, &addr, config, err);
    if (r < 0)
        return fg_pass(r);
    *ret = server;
    return 0;
}

void fg_http_server_depth(const struct fg_http_server *server, struct fg_http_server_depth *ret)
{
    *ret = (struct fg_http_server_depth){ .connections = server->n_connections, .streams = server->n_streams };
    for (const struct fg_list *it = server->connections.next; it != &server->connections; it = it->next) {
        const struct fg_connection *conn = fg_container_of(it, struct fg_connection, link);

        ret->body_bytes += conn->reader.msg ? conn->reader.msg->charged : 0;
        ret->waiting_bytes += fg_wire_waiting(conn);
    }
}

const char *fg_http_server_address(const struct fg_http_server *server)
{
    return server->address;
}

static void end_when_empty(struct fg_http_server *server)
{
    if (!server->closing || server->ending || server->n_connections > 0)
        return;
    server->ending = true;
    uv_close((uv_handle_t *)&server->drain, on_handle_closed);
    uv_close((uv_handle_t *)&server->resume, on_handle_closed);
}

void fg_server_connection_closed(struct fg_http_server *server)
{
    server->n_connections--;
    if (server->connections_metric)
        fg_metric_add(server->connections_metric, -1); /* another server of this process counts there too */
    end_when_empty(server);
}

static void cut_all(struct fg_http_server *server)
{
    struct fg_list *it, *tmp;

    fg_list_for_each_safe(it, tmp, &server->connections)
        fg_connection_cut(fg_container_of(it, struct fg_connection, link));
}

static void on_drain_timer(uv_timer_t *timer)
{
    cut_all(timer->data);
}

void fg_http_server_close(struct fg_http_server *server, uint64_t deadline_ms, fg_done_cb closed, void *arg)
{
    struct fg_list *it, *tmp;

    if (server->closing)
        return;
    server->closing = true;
    server->closed = closed;
    server->closed_arg = arg;
    uv_close((uv_handle_t *)&server->listener, on_handle_closed);
    fg_list_for_each_safe(it, tmp, &server->connections)
    {
        struct fg_connection *conn = fg_container_of(it, struct fg_connection, link);

        if (conn->phase == FG_PHASE_HANDSHAKE || (conn->phase == FG_PHASE_HEAD && fg_reader_idle(&conn->reader)))
            fg_connection_cut(conn);
        else
            conn->close_after = true;
    }
    if (deadline_ms == 0)
        cut_all(server);
    else
        (void)uv_timer_start(&server->drain, on_drain_timer, deadline_ms, 0);
    end_when_empty(server);
}
