/* SPDX-License-Identifier: Apache-2.0 */
/* One client: its deadlines, and its requests one after the other. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/server-private.h"

static void step_all(struct fg_connection *conn);
static void on_timer(uv_timer_t *timer);

/* One timer for all deadlines. It is moved only when it must go off earlier; when it is early, it starts again. */
void fg_connection_deadline(struct fg_connection *conn, uint64_t in_ms)
{
    uint64_t now = uv_now(conn->server->loop);

    conn->deadline = in_ms > 0 ? now + in_ms : 0;
    if (conn->phase == FG_PHASE_CLOSING || in_ms == 0 || (conn->timer_at > 0 && conn->timer_at <= conn->deadline))
        return;
    conn->timer_at = conn->deadline;
    (void)uv_timer_start(&conn->timer, on_timer, in_ms, 0);
}

static void connection_free(struct fg_connection *conn)
{
    struct fg_http_server *server = conn->server;

    fg_assert(conn->phase == FG_PHASE_CLOSING && !conn->x);
    conn->magic = 0;
    fg_list_remove(&conn->link);
    fg_exchange_free(conn->spare);
    fg_reader_deinit(&conn->reader);
    fg_buf_deinit(&conn->rest);
    SSL_free(conn->ssl);
    free(conn);
    fg_server_connection_closed(server);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct fg_connection *conn = handle->data;

    if (--conn->open_handles > 0)
        return;
    if (conn->x)
        fg_exchange_client_gone(conn->x);
    connection_free(conn);
}

void fg_connection_cut(struct fg_connection *conn)
{
    if (conn->phase == FG_PHASE_CLOSING)
        return;
    conn->phase = FG_PHASE_CLOSING;
    fg_list_remove(&conn->resume_link);
    uv_close((uv_handle_t *)&conn->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
}

/* An answer without a handler, the last on this connection. */
static void refuse(struct fg_connection *conn, int status, const char *detail, struct fg_slice headers)
{
    if (conn->x)
        fg_exchange_drop(conn->x);
    conn->close_after = true;
    fg_answer_problem(conn, status, NULL, detail, headers);
}

/* The same, but where the request is whole the connection goes on. */
static void reject(struct fg_connection *conn, int status, const char *detail, struct fg_slice headers)
{
    if (!conn->reader.keep_alive || fg_reader_has_body(&conn->reader))
        conn->close_after = true;
    fg_answer_problem(conn, status, NULL, detail, headers);
}

static void on_timer(uv_timer_t *timer)
{
    struct fg_connection *conn = timer->data;
    uint64_t now = uv_now(conn->server->loop);

    conn->timer_at = 0;
    if (conn->deadline == 0)
        return;
    if (now < conn->deadline) {
        fg_connection_deadline(conn, conn->deadline - now);
        return;
    }
    conn->deadline = 0;
    switch (conn->phase) {
    case FG_PHASE_HEAD:
        if (fg_reader_idle(&conn->reader))
            fg_connection_cut(conn);
        else
            refuse(conn, 408, "the head of the request did not arrive in time", FG_SLICE_NULL);
        break;
    case FG_PHASE_BODY: refuse(conn, 408, "the body of the request did not arrive in time", FG_SLICE_NULL); break;
    case FG_PHASE_ANSWER:
    case FG_PHASE_FLUSH:
        if (fg_wire_waiting(conn) == 0)
            break;
        if (fg_wire_stalled(conn))
            fg_connection_cut(conn);
        else
            fg_wire_watch(conn);
        break;
    case FG_PHASE_LINGER:
        if (conn->shut || fg_wire_stalled(conn))
            fg_connection_cut(conn);
        else
            fg_wire_watch(conn);
        break;
    default: fg_connection_cut(conn); break;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct fg_connection *conn = handle->data;

    (void)suggested;
    *buf = uv_buf_init(conn->server->read_buffer, sizeof(conn->server->read_buffer));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fg_connection *conn = stream->data;
    struct fg_slice bytes;

    fg_assert(conn->magic == FG_CONNECTION_MAGIC);
    if (n == 0 || conn->phase == FG_PHASE_CLOSING)
        return;
    if (n == UV_EOF) {
        fg_connection_ended(conn);
        return;
    }
    if (n < 0) {
        fg_connection_cut(conn);
        return;
    }
    bytes = fg_slice_make(buf->base, (size_t)n);
    if (conn->ssl && conn->phase != FG_PHASE_LINGER)
        fg_server_tls_input(conn, bytes);
    else
        fg_connection_input(conn, bytes);
}

static void set_reading(struct fg_connection *conn, bool on)
{
    if (conn->reading == on || conn->eof || conn->phase == FG_PHASE_CLOSING)
        return;
    conn->reading = on;
    if (!on)
        (void)uv_read_stop((uv_stream_t *)&conn->tcp);
    else if (uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read) < 0)
        fg_connection_cut(conn);
}

/* Bytes that arrive while a request is answered. Reading goes on for a while, because only so a closed client shows. */
static void hold(struct fg_connection *conn, struct fg_slice bytes)
{
    const struct fg_message *msg = conn->reader.msg;
    size_t behind = msg ? msg->bytes.len - msg->head.len : 0;

    fg_buf_add_slice(&conn->rest, bytes);
    if (conn->rest.failed)
        fg_connection_cut(conn);
    else if (conn->rest.len + behind >= FG_SERVER_PIPELINE_MAX)
        set_reading(conn, false);
}

void fg_connection_input(struct fg_connection *conn, struct fg_slice bytes)
{
    switch (conn->phase) {
    case FG_PHASE_HEAD:
    case FG_PHASE_BODY:
        if (fg_reader_push(&conn->reader, bytes))
            step_all(conn);
        else
            fg_connection_cut(conn);
        break;
    case FG_PHASE_ANSWER:
    case FG_PHASE_FLUSH: hold(conn, bytes); break;
    case FG_PHASE_LINGER:
        conn->lingered += bytes.len;
        if (conn->lingered > FG_SERVER_LINGER_BYTES)
            fg_connection_cut(conn);
        break;
    default: break;
    }
}

/* A client that shuts its side while it waits for an answer counts as gone: it cannot be told from one that closed. */
void fg_connection_ended(struct fg_connection *conn)
{
    conn->eof = true;
    conn->reading = false;
    if (conn->phase == FG_PHASE_FLUSH || (conn->phase == FG_PHASE_LINGER && !conn->shut))
        return;
    fg_connection_cut(conn);
}

static bool expects_more_than_we_know(const struct fg_head *head)
{
    return head->has_expect && !head->expect_continue;
}

static void route_missing(struct fg_connection *conn, const struct fg_target *target)
{
    struct fg_buf allow = FG_BUF_INIT(1024);

    fg_buf_add_str(&allow, "");
    if (!fg_router_allow(&conn->server->router, target, &allow)) {
        reject(conn, 404, "there is nothing at this path", FG_SLICE_NULL);
    } else {
        struct fg_buf line = FG_BUF_INIT(1100);

        fg_buf_printf(&line, "Allow: %s\r\n", allow.failed || !allow.data ? "" : allow.data);
        reject(conn, 405, "this path does not take this method", fg_buf_slice(&line));
        fg_buf_deinit(&line);
    }
    fg_buf_deinit(&allow);
}

/* Bodies wait for nobody: the client may try again. */
static void no_room(struct fg_connection *conn)
{
    static const struct fg_slice later = FG_SLICE("Retry-After: 1\r\n");

    refuse(conn, 503, "there is no room for the body in the byte budget (limits.memory)", later);
}

static void begin_body(struct fg_connection *conn, const struct fg_route *route)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct fg_head *head = &conn->reader.msg->head;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)go_on, sizeof(go_on) - 1);

    conn->reader.body_max = route->body_max ? route->body_max : FG_SERVER_BODY_MAX;
    if (head->has_length && head->content_length <= conn->reader.body_max &&
        !fg_reader_charge(&conn->reader, (size_t)head->content_length)) {
        no_room(conn);
        return;
    }
    conn->phase = FG_PHASE_BODY;
    fg_connection_deadline(conn, fg_reader_has_body(&conn->reader) ? conn->server->limits.body_timeout_ms : 0);
    if (head->expect_continue && head->minor == 1 && head->content_length <= conn->reader.body_max &&
        fg_reader_body_absent(&conn->reader))
        fg_wire_write(conn, &buf, 1);
}

static void on_head(struct fg_connection *conn)
{
    struct fg_http_server *server = conn->server;
    struct fg_message *msg = conn->reader.msg;
    const struct fg_router_entry *entry;
    struct fg_target target;
    struct fg_refusal refusal;
    const char *why;

    if (!fg_target_parse(&target, msg->bytes.data + msg->head.target, msg->head.target_len, &why)) {
        reject(conn, 400, why, FG_SLICE_NULL);
        return;
    }
    entry = fg_router_find(&server->router, &target, fg_slice_make(msg->bytes.data, msg->head.method_len));
    if (!entry) {
        route_missing(conn, &target);
        return;
    }
    refusal = fg_auth_check(conn, msg, entry->route->scope);
    if (refusal.status != 0) {
        reject(conn, refusal.status, refusal.detail, refusal.headers);
        return;
    }
    if (expects_more_than_we_know(&msg->head)) {
        reject(conn, 417, "the only expectation known is 100-continue", FG_SLICE_NULL);
        return;
    }
    conn->x = fg_exchange_open(conn, entry, &target);
    if (conn->x)
        begin_body(conn, entry->route);
    else
        fg_connection_cut(conn);
}

/* The whole request is there. */
static void on_whole(struct fg_connection *conn)
{
    struct fg_refusal refusal = fg_auth_check_again(conn->x);

    if (refusal.status != 0) {
        refuse(conn, refusal.status, refusal.detail, refusal.headers);
        return;
    }
    conn->phase = FG_PHASE_ANSWER;
    conn->deadline = 0;
    fg_exchange_hand_over(conn->x);
}

/* One step; false: nothing more to do now. */
static bool step(struct fg_connection *conn)
{
    enum fg_reader_step what;

    if (conn->phase != FG_PHASE_HEAD && conn->phase != FG_PHASE_BODY)
        return false;
    what = fg_reader_step(&conn->reader);
    if (conn->phase == FG_PHASE_BODY && what != FG_READER_REFUSED &&
        !fg_reader_charge(&conn->reader, conn->reader.msg->body.len)) {
        no_room(conn);
        return false;
    }
    switch (what) {
    case FG_READER_HEAD: on_head(conn); return true;
    case FG_READER_WHOLE: on_whole(conn); return true;
    case FG_READER_REFUSED: refuse(conn, conn->reader.status, conn->reader.why, FG_SLICE_NULL); return false;
    case FG_READER_MORE:
    default: return false;
    }
}

static void step_all(struct fg_connection *conn)
{
    if (conn->stepping)
        return;
    conn->stepping = true;
    while (step(conn))
        continue;
    conn->stepping = false;
    if (conn->phase != FG_PHASE_HEAD)
        return;
    if (conn->eof || (conn->server->closing && fg_reader_idle(&conn->reader))) {
        fg_connection_cut(conn);
    } else if (!fg_reader_idle(&conn->reader) && !conn->head_timing) {
        conn->head_timing = true;
        fg_connection_deadline(conn, conn->server->limits.head_timeout_ms);
    }
}

void fg_connection_ready(struct fg_connection *conn)
{
    conn->phase = FG_PHASE_HEAD;
    conn->certified = fg_server_tls_certified(conn);
    /* the first head has its deadline from here on, also where not a byte comes */
    conn->head_timing = true;
    fg_connection_deadline(conn, conn->server->limits.head_timeout_ms);
    if (conn->refused)
        refuse(conn, 503, "there are too many connections", FG_SLICE_NULL);
}

static void next_message(struct fg_connection *conn)
{
    fg_reader_next(&conn->reader);
    conn->phase = FG_PHASE_HEAD;
    conn->served = true;
    conn->head_timing = false;
    if (conn->rest.len > 0) {
        if (!fg_reader_push(&conn->reader, fg_buf_slice(&conn->rest))) {
            fg_connection_cut(conn);
            return;
        }
        fg_buf_deinit(&conn->rest);
    }
    set_reading(conn, true);
    if (conn->phase == FG_PHASE_CLOSING)
        return;
    fg_connection_deadline(conn, conn->server->limits.idle_timeout_ms);
    if (conn->stepping)
        return;
    /* not from here: this runs below a handler, and the next request's handler must not run inside the last one's */
    fg_server_resume_later(conn);
}

void fg_connection_resume(struct fg_connection *conn)
{
    if (conn->phase == FG_PHASE_HEAD)
        step_all(conn);
}

void fg_connection_answered(struct fg_connection *conn)
{
    if (conn->phase == FG_PHASE_CLOSING)
        return;
    if (conn->close_after) {
        set_reading(conn, true); /* to see the client close */
        fg_wire_finish(conn);
    } else if (fg_wire_waiting(conn) > 0) {
        conn->phase = FG_PHASE_FLUSH;
        fg_wire_watch(conn);
    } else {
        next_message(conn);
    }
}

void fg_connection_drained(struct fg_connection *conn)
{
    if (conn->phase == FG_PHASE_ANSWER)
        conn->deadline = 0;
    else if (conn->phase == FG_PHASE_FLUSH && (conn->server->closing || conn->close_after))
        fg_wire_finish(conn);
    else if (conn->phase == FG_PHASE_FLUSH)
        next_message(conn);
}

static void note_peer(struct fg_connection *conn)
{
    struct sockaddr_storage addr = {0};
    int len = sizeof(addr);

    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&addr, &len) < 0)
        return;
    if (addr.ss_family == AF_INET6) {
        memcpy(conn->peer, &((struct sockaddr_in6 *)&addr)->sin6_addr, 16);
    } else {
        conn->peer[10] = conn->peer[11] = 0xff;
        memcpy(conn->peer + 12, &((struct sockaddr_in *)&addr)->sin_addr, 4);
    }
}

static size_t connections_of_peer(const struct fg_http_server *server, const uint8_t peer[16])
{
    size_t n = 0;

    for (const struct fg_list *it = server->connections.next; it != &server->connections; it = it->next) {
        const struct fg_connection *conn = fg_container_of(it, struct fg_connection, link);

        n += memcmp(conn->peer, peer, 16) == 0 && conn->phase != FG_PHASE_CLOSING;
    }
    return n;
}

static struct fg_connection *connection_new(struct fg_http_server *server)
{
    struct fg_connection *conn = fg_calloc(1, sizeof(*conn));

    conn->magic = FG_CONNECTION_MAGIC;
    conn->server = server;
    conn->rest = FG_BUF_INIT(FG_SERVER_PIPELINE_MAX + 2 * FG_SERVER_READ_BYTES);
    (void)uv_tcp_init(server->loop, &conn->tcp);
    (void)uv_timer_init(server->loop, &conn->timer);
    conn->tcp.data = conn->timer.data = conn;
    conn->open_handles = 2;
    fg_list_init(&conn->resume_link);
    fg_list_append(&server->connections, &conn->link);
    server->n_connections++;
    if (server->connections_metric)
        fg_metric_add(server->connections_metric, 1);
    return conn;
}

/* What it takes to serve it; false: no memory. */
static bool equip(struct fg_connection *conn)
{
    struct fg_http_server *server = conn->server;

    if (!fg_reader_init(&conn->reader, &server->head_limits))
        return false;
    conn->reader.msg->budget = server->budget;
    if (server->tls)
        conn->ssl = fg_server_tls_session(server->tls);
    return !server->tls || conn->ssl;
}

void fg_connection_accept(struct fg_http_server *server)
{
    const struct fg_http_server_limits *limits = &server->limits;
    struct fg_connection *conn = connection_new(server);

    /* also one that will not be served: libuv stops to listen until the connection that it has shown is taken */
    if (uv_accept((uv_stream_t *)&server->listener, (uv_stream_t *)&conn->tcp) < 0 ||
        server->n_connections > limits->connections_max + FG_SERVER_SURPLUS_MAX) {
        fg_connection_cut(conn);
        return;
    }
    if (!equip(conn)) {
        fg_logf(&server->logger, FG_LOG_ERROR, "no memory to serve a connection: it is closed");
        fg_connection_cut(conn);
        return;
    }
    (void)uv_tcp_nodelay(&conn->tcp, 1);
    note_peer(conn);
    conn->refused = server->n_connections > limits->connections_max ||
                    connections_of_peer(server, conn->peer) > limits->peer_connections_max;
    set_reading(conn, true);
    if (conn->phase == FG_PHASE_CLOSING)
        return;
    if (conn->ssl)
        fg_connection_deadline(conn, limits->handshake_timeout_ms);
    else
        fg_connection_ready(conn);
}
