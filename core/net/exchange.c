/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer, as a handler sees it.
 *
 * Who owns an exchange: the connection while the client is there. When the client goes first, on_gone() is told and the
 * exchange is freed; a handler that asked for no such call still holds it, so it lives on by itself, with the request's
 * memory, until the handler answers into the void.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/assert.h"
#include "net/server-private.h"

/* It holds its mount no longer. */
static void leave_mount(struct fg_exchange *x)
{
    struct fg_http_mount *mount = x->entry ? x->entry->mount : NULL;

    fg_list_remove(&x->link);
    x->entry = NULL;
    if (mount)
        fg_mount_left(mount);
}

struct fg_exchange *fg_exchange_free(struct fg_exchange *x)
{
    if (!x)
        return NULL;
    x->magic = 0;
    leave_mount(x);
    fg_buf_deinit(&x->headers);
    if (!x->conn)
        fg_message_free(x->msg);
    free(x->query);
    free(x);
    return NULL;
}

struct fg_exchange *fg_exchange_open(struct fg_connection *conn, const struct fg_router_entry *entry,
                                     const struct fg_target *target)
{
    struct fg_exchange *x = conn->spare ? conn->spare : calloc(1, sizeof(*x));
    struct fg_buf headers;
    const char *base = conn->reader.msg->bytes.data;

    if (!x)
        return NULL;
    conn->spare = NULL;
    headers = x->headers;
    fg_buf_clear(&headers);
    headers.max = FG_SERVER_HEADERS_MAX;
    *x = (struct fg_exchange){.magic = FG_EXCHANGE_MAGIC,
                              .state = FG_EXCHANGE_OPEN,
                              .conn = conn,
                              .msg = conn->reader.msg,
                              .entry = entry,
                              .judged = conn->server->n_changes,
                              .target = *target,
                              .headers = headers};
    x->path_at = (size_t)(target->path.ptr - base);
    x->query_at = target->query_raw.ptr ? (size_t)(target->query_raw.ptr - base) : 0;
    fg_list_append(&entry->mount->exchanges, &x->link);
    return x;
}

void fg_exchange_hand_over(struct fg_exchange *x)
{
    const char *base = x->msg->bytes.data;

    x->target.path.ptr = base + x->path_at;
    if (x->query_at > 0)
        x->target.query_raw.ptr = base + x->query_at;
    x->handed = true;
    x->entry->route->handle(x->entry->mount->self, x);
}

/* The handler is through with it, or never had it. */
static void release(struct fg_exchange *x)
{
    struct fg_connection *conn = x->conn;

    leave_mount(x);
    if (x->state == FG_EXCHANGE_STREAM && conn)
        conn->server->n_streams--;
    x->state = FG_EXCHANGE_FREE;
    free(x->query);
    x->query = NULL;
    if (x->leaving)
        return; /* freed by who called on_gone */
    if (!conn) {
        fg_exchange_free(x);
        return;
    }
    conn->x = NULL;
    fg_exchange_free(conn->spare);
    conn->spare = x;
}

void fg_exchange_drop(struct fg_exchange *x)
{
    release(x);
}

/* Parts it from its connection; the request's memory comes along, for slices that the handler may still hold. */
static void part(struct fg_exchange *x)
{
    if (x->state == FG_EXCHANGE_STREAM)
        x->conn->server->n_streams--;
    (void)fg_reader_steal(&x->conn->reader);
    x->conn->x = NULL;
    x->conn = NULL;
    x->state = FG_EXCHANGE_MUTE;
    if (!x->gone)
        return;
    x->leaving = true;
    x->gone(x->gone_arg);
    fg_exchange_free(x);
}

void fg_exchange_client_gone(struct fg_exchange *x)
{
    if (x->handed)
        part(x);
    else
        release(x);
}

void fg_exchange_unmount(struct fg_exchange *x)
{
    struct fg_connection *conn = x->conn;
    bool answer = conn && x->state == FG_EXCHANGE_OPEN;

    fg_list_remove(&x->link);
    x->entry = NULL;
    if (!conn)
        return;
    conn->close_after = true;
    if (!answer)
        fg_connection_cut(conn);
    if (x->handed)
        part(x);
    else
        release(x);
    if (answer)
        fg_answer_problem(conn, 503, NULL, "what served this path is being stopped", FG_SLICE_NULL);
}

/* The answer is whole, which only chunks have to say. x->conn is there. */
static void end_chunks(const struct fg_exchange *x)
{
    static const char last[] = "0\r\n\r\n";
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)last, sizeof(last) - 1);

    if (x->chunked)
        fg_wire_write(x->conn, &buf, 1);
}

/* A stream of a retired mount: its last chunk, then the connection ends, and the handler learns that it is over. */
void fg_exchange_retire(struct fg_exchange *x)
{
    struct fg_connection *conn = x->conn;

    conn->close_after = true;
    end_chunks(x);
    leave_mount(x);
    part(x);
    fg_connection_answered(conn);
}

static const struct fg_exchange *checked(const struct fg_exchange *x)
{
    fg_assert(x->magic == FG_EXCHANGE_MAGIC);
    return x;
}

struct fg_slice fg_exchange_method(const struct fg_exchange *x)
{
    return fg_slice_make(checked(x)->msg->bytes.data, x->msg->head.method_len);
}

struct fg_slice fg_exchange_path(const struct fg_exchange *x)
{
    return checked(x)->target.path;
}

struct fg_slice fg_exchange_param(const struct fg_exchange *x, const char *name)
{
    return checked(x)->entry ? fg_router_param(x->entry, &x->target, name) : FG_SLICE_NULL;
}

struct fg_slice fg_exchange_query(const struct fg_exchange *x, const char *name)
{
    if (checked(x)->target.query_raw.len == 0)
        return FG_SLICE_NULL;
    if (!x->query) /* decoded once; every exchange is ours and not const */
        ((struct fg_exchange *)(uintptr_t)x)->query = fg_query_decode(x->target.query_raw);
    return x->query ? fg_query_find(x->query, name) : FG_SLICE_NULL;
}

struct fg_slice fg_exchange_query_raw(const struct fg_exchange *x)
{
    return checked(x)->target.query_raw;
}

struct fg_slice fg_exchange_header(const struct fg_exchange *x, const char *name)
{
    return fg_head_find(&checked(x)->msg->head, x->msg->bytes.data, name);
}

struct fg_slice fg_exchange_body(const struct fg_exchange *x)
{
    return fg_buf_slice(&checked(x)->msg->body);
}

/* Fields that the server writes itself: a second one would change where the message ends. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {"Connection", "Content-Length", "Content-Type", "Date", "Transfer-Encoding"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return false;
}

void fg_exchange_set_header(struct fg_exchange *x, const char *name, const char *value)
{
    size_t len;

    if (!checked(x)->conn || x->state != FG_EXCHANGE_OPEN)
        return;
    if (!fg_head_is_token(fg_slice_of(name)) || !fg_head_is_value(fg_slice_of(value)) || is_ours(name)) {
        fg_logf(&x->conn->server->logger, FG_LOG_WARN, "header \"%s\" of an answer is left out: not allowed", name);
        return;
    }
    len = strlen(name) + strlen(value) + 4;
    if (x->headers.len + len > x->headers.max) {
        fg_logf(&x->conn->server->logger, FG_LOG_WARN, "header \"%s\" of an answer is left out: over 8 KiB", name);
        return;
    }
    fg_buf_add_str(&x->headers, name);
    fg_buf_add_str(&x->headers, ": ");
    fg_buf_add_str(&x->headers, value);
    fg_buf_add_str(&x->headers, "\r\n");
    x->has_cache_control = x->has_cache_control || strcasecmp(name, "Cache-Control") == 0;
    x->has_content_type_options = x->has_content_type_options || strcasecmp(name, "X-Content-Type-Options") == 0;
}

static struct fg_answer answer_of(const struct fg_exchange *x, int status, const char *content_type)
{
    if (content_type && !fg_head_is_value(fg_slice_of(content_type)))
        content_type = NULL;
    return (struct fg_answer){.status = status >= 200 && status <= 599 ? status : 500,
                              .content_type = content_type,
                              .headers = fg_buf_slice(&x->headers),
                              .has_cache_control = x->has_cache_control,
                              .has_content_type_options = x->has_content_type_options};
}

static void close_unless_kept(struct fg_connection *conn)
{
    if (!conn->reader.keep_alive)
        conn->close_after = true;
}

void fg_exchange_reply(struct fg_exchange *x, int status, const char *content_type, struct fg_slice body)
{
    struct fg_connection *conn = checked(x)->conn;
    struct fg_answer answer = answer_of(x, status, content_type);

    if (conn && x->state == FG_EXCHANGE_OPEN) {
        close_unless_kept(conn);
        answer.body = body;
        fg_answer_send(conn, &answer);
        release(x);
        fg_connection_answered(conn);
        return;
    }
    fg_exchange_end(x);
}

void fg_exchange_problem(struct fg_exchange *x, int status, const char *title, const char *detail)
{
    struct fg_buf body = FG_BUF_INIT(65536);

    fg_problem_write(&body, status, title, detail);
    fg_exchange_reply(x, status, "application/problem+json", body.failed ? FG_SLICE_NULL : fg_buf_slice(&body));
    fg_buf_deinit(&body);
}

/* The client gets no more; the handler learns it by on_gone() when the connection has closed. */
static void mute(struct fg_exchange *x)
{
    x->conn->close_after = true;
    x->state = FG_EXCHANGE_MUTE;
}

void fg_exchange_begin(struct fg_exchange *x, int status, const char *content_type)
{
    struct fg_connection *conn = checked(x)->conn;
    struct fg_answer answer = answer_of(x, status, content_type);
    struct fg_refusal refusal;
    bool head;

    if (!conn || x->state != FG_EXCHANGE_OPEN)
        return;
    if (conn->server->n_streams >= conn->server->limits.streams_max) {
        mute(x);
        fg_answer_problem(conn, 503, NULL, "there are too many streams", FG_SLICE_NULL);
        return;
    }
    refusal = fg_auth_check_again(x);
    if (refusal.status != 0) {
        mute(x);
        fg_answer_problem(conn, refusal.status, NULL, refusal.detail, refusal.headers);
        return;
    }
    answer.stream = true;
    head = fg_slice_is(fg_exchange_method(x), "HEAD");
    x->chunked = !head && x->msg->head.minor == 1;
    if (head || x->entry->mount->retired) {
        mute(x);
        fg_answer_send(conn, &answer);
        end_chunks(x);
        fg_connection_answered(conn);
        return;
    }
    close_unless_kept(conn);
    if (!x->chunked)
        conn->close_after = true;
    x->state = FG_EXCHANGE_STREAM;
    conn->server->n_streams++;
    fg_answer_send(conn, &answer);
}

bool fg_exchange_write(struct fg_exchange *x, struct fg_slice bytes)
{
    struct fg_connection *conn = checked(x)->conn;
    char size[20];
    uv_buf_t bufs[3];
    int n;

    if (!conn || x->state != FG_EXCHANGE_STREAM || conn->phase == FG_PHASE_CLOSING)
        return false;
    if (bytes.len == 0)
        return true; /* an empty chunk would end the answer */
    bufs[1] = uv_buf_init((char *)(uintptr_t)bytes.ptr, (unsigned)bytes.len);
    if (x->chunked) {
        n = snprintf(size, sizeof(size), "%zx\r\n", bytes.len);
        bufs[0] = uv_buf_init(size, (unsigned)n);
        bufs[2] = uv_buf_init((char *)(uintptr_t) "\r\n", 2);
        fg_wire_write(conn, bufs, 3);
    } else {
        fg_wire_write(conn, &bufs[1], 1);
    }
    if (fg_wire_waiting(conn) > conn->server->limits.stream_queue_bytes_max && conn->phase != FG_PHASE_CLOSING) {
        if (conn->server->cut_metric)
            fg_metric_add(conn->server->cut_metric, 1);
        fg_connection_cut(conn);
    }
    return conn->phase != FG_PHASE_CLOSING;
}

void fg_exchange_end(struct fg_exchange *x)
{
    struct fg_connection *conn = checked(x)->conn;
    bool stream = x->state == FG_EXCHANGE_STREAM;
    bool unanswered = x->state == FG_EXCHANGE_OPEN;

    if (conn && unanswered) {
        fg_exchange_problem(x, 500, NULL, "the handler ended without an answer");
        return;
    }
    if (conn && stream)
        end_chunks(x);
    release(x);
    if (conn && stream)
        fg_connection_answered(conn);
}

void fg_exchange_on_gone(struct fg_exchange *x, fg_done_cb cb, void *arg)
{
    ((struct fg_exchange *)(uintptr_t)checked(x))->gone = cb;
    x->gone_arg = arg;
}

void fg_exchange_abort(struct fg_exchange *x)
{
    struct fg_connection *conn = checked(x)->conn;

    release(x);
    if (conn)
        fg_connection_cut(conn);
}
