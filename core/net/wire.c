/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes out: the socket first, a queue for what it does not take, TLS in between where there is TLS. */
#include <openssl/err.h>
#include <stdlib.h>

#include "net/server-private.h"

struct wire_write {
    uv_write_t req;
    struct fg_connection *conn; /* borrowed */
    size_t len;                 /* charged */
    char bytes[];
};

size_t fg_wire_waiting(const struct fg_connection *conn)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
}

void fg_wire_watch(struct fg_connection *conn)
{
    conn->flushed_seen = conn->queued - fg_wire_waiting(conn);
    fg_connection_deadline(conn, conn->server->limits.idle_timeout_ms);
}

bool fg_wire_stalled(struct fg_connection *conn)
{
    return conn->queued - fg_wire_waiting(conn) == conn->flushed_seen;
}

static void write_free(struct wire_write *w)
{
    if (w->conn->server->budget)
        fg_budget_credit(w->conn->server->budget, w->len);
    free(w);
}

static void on_written(uv_write_t *req, int status)
{
    struct wire_write *w = fg_container_of(req, struct wire_write, req);
    struct fg_connection *conn = w->conn;

    write_free(w);
    if (conn->phase == FG_PHASE_CLOSING)
        return;
    if (status < 0)
        fg_connection_cut(conn);
    else if (fg_wire_waiting(conn) == 0)
        fg_connection_drained(conn);
}

static void queue(struct fg_connection *conn, const uv_buf_t *bufs, unsigned n, size_t skip, size_t total)
{
    struct wire_write *w = malloc(sizeof(*w) + total - skip);
    size_t at = 0;
    uv_buf_t buf;

    if (!w) {
        fg_connection_cut(conn);
        return;
    }
    w->conn = conn;
    w->len = total - skip;
    if (conn->server->budget) /* the answer is there already: it must be able to leave */
        fg_budget_charge(conn->server->budget, w->len);
    for (unsigned i = 0; i < n; i++) {
        size_t drop = skip < bufs[i].len ? skip : bufs[i].len;

        skip -= drop;
        if (bufs[i].len > drop)
            memcpy(w->bytes + at, bufs[i].base + drop, bufs[i].len - drop);
        at += bufs[i].len - drop;
    }
    buf = uv_buf_init(w->bytes, (unsigned)at);
    if (uv_write(&w->req, (uv_stream_t *)&conn->tcp, &buf, 1, on_written) < 0) {
        write_free(w);
        fg_connection_cut(conn);
        return;
    }
    conn->queued += at;
    if (conn->deadline == 0)
        fg_wire_watch(conn);
}

static void write_plain(struct fg_connection *conn, const uv_buf_t *bufs, unsigned n)
{
    size_t total = 0;
    int r = 0;

    for (unsigned i = 0; i < n; i++)
        total += bufs[i].len;
    if (total == 0)
        return;
    if (fg_wire_waiting(conn) == 0) {
        r = uv_try_write((uv_stream_t *)&conn->tcp, bufs, n);
        if (r == UV_EAGAIN)
            r = 0;
        if (r < 0) {
            fg_connection_cut(conn);
            return;
        }
    }
    if ((size_t)r < total)
        queue(conn, bufs, n, (size_t)r, total);
}

void fg_wire_flush_tls(struct fg_connection *conn)
{
    BIO *out = SSL_get_wbio(conn->ssl);
    char *data = NULL;
    long n = BIO_get_mem_data(out, &data);
    uv_buf_t buf;

    if (n <= 0)
        return;
    buf = uv_buf_init(data, (unsigned)n);
    write_plain(conn, &buf, 1);
    (void)BIO_reset(out);
}

void fg_wire_write(struct fg_connection *conn, const uv_buf_t *bufs, unsigned n)
{
    if (conn->phase == FG_PHASE_CLOSING)
        return;
    if (!conn->ssl) {
        write_plain(conn, bufs, n);
        return;
    }
    ERR_clear_error();
    for (unsigned i = 0; i < n; i++) {
        if (bufs[i].len > 0 && SSL_write(conn->ssl, bufs[i].base, (int)bufs[i].len) <= 0) {
            fg_connection_cut(conn);
            return;
        }
    }
    fg_wire_flush_tls(conn);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct fg_connection *conn = fg_container_of(req, struct fg_connection, shutdown);

    if (conn->phase == FG_PHASE_CLOSING)
        return;
    conn->shut = true;
    if (status < 0 || conn->eof)
        fg_connection_cut(conn);
    else
        fg_connection_deadline(conn, FG_SERVER_LINGER_MS);
}

/* Closing at once would make the kernel answer late bytes with a reset, and that can eat our last answer. */
void fg_wire_finish(struct fg_connection *conn)
{
    if (conn->phase == FG_PHASE_CLOSING || conn->phase == FG_PHASE_LINGER)
        return;
    if (conn->ssl) {
        (void)SSL_shutdown(conn->ssl);
        fg_wire_flush_tls(conn);
        if (conn->phase == FG_PHASE_CLOSING)
            return;
    }
    conn->phase = FG_PHASE_LINGER;
    fg_wire_watch(conn);
    if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shutdown) < 0)
        fg_connection_cut(conn);
}
