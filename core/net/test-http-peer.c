/* SPDX-License-Identifier: Apache-2.0 */
/* See test-http-peer.h. One answer at a time for each connection; a request of up to 64 KiB. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/test-http-peer.h"

#define HELLO "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n"

struct connection {
    struct fg_list link;
    struct peer *peer;
    uv_tcp_t tcp;
    uv_timer_t timer;
    int handles;
    size_t len, step;
    char in[65536 + 1];
};

struct sent {
    uv_write_t req;
    bool then_close;
    char bytes[];
};

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    if (--c->handles == 0)
        free(c);
}

static void drop(struct connection *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    c->peer->n_open--;
    fg_list_remove(&c->link);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void on_sent(uv_write_t *req, int status)
{
    struct sent *sent = (struct sent *)(void *)req;
    struct connection *c = req->handle->data;
    bool then_close = sent->then_close || status < 0;

    free(sent);
    if (then_close)
        drop(c);
}

static void put(struct connection *c, const char *bytes, size_t len, bool then_close)
{
    struct sent *sent = fg_malloc(sizeof(*sent) + len + 1);
    uv_buf_t buf = uv_buf_init(sent->bytes, (unsigned)len);

    memcpy(sent->bytes, bytes, len);
    sent->then_close = then_close;
    fg_assert(uv_write(&sent->req, (uv_stream_t *)&c->tcp, &buf, 1, on_sent) == 0);
}

static void puts_(struct connection *c, const char *text)
{
    put(c, text, strlen(text), false);
}

static void on_slow(uv_timer_t *timer)
{
    puts_(timer->data, HELLO "hello");
}

static void on_drip(uv_timer_t *timer)
{
    struct connection *c = timer->data;

    put(c, &"hello"[c->step], 1, false);
    if (++c->step == 5)
        uv_timer_stop(timer);
}

static void on_endless(uv_timer_t *timer)
{
    puts_(timer->data, "10\r\n0123456789abcdef\r\n");
}

static void put_body(struct connection *c, const char *body, size_t len)
{
    char head[96];

    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", len);
    puts_(c, head);
    put(c, body, len, false);
}

static void answer_oddly(struct connection *c, const char *path, size_t request_len)
{
    if (strcmp(path, "/slow") == 0) {
        uv_timer_start(&c->timer, on_slow, 30, 0);
    } else if (strcmp(path, "/drip") == 0) {
        c->step = 0;
        puts_(c, HELLO);
        uv_timer_start(&c->timer, on_drip, 5, 5);
    } else if (strcmp(path, "/endless") == 0) {
        puts_(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        uv_timer_start(&c->timer, on_endless, 1, 1);
    } else if (strcmp(path, "/big") == 0) {
        char *body = fg_calloc(1, 100000);
        put_body(c, body, 100000);
        free(body);
    } else if (strcmp(path, "/echo") == 0) {
        put_body(c, c->in, request_len);
    } else if (strcmp(path, "/raw") == 0) {
        put(c, c->peer->raw, strlen(c->peer->raw), true);
    } else {
        fg_assert(strcmp(path, "/silent") == 0);
    }
}

static void answer(struct connection *c, size_t request_len)
{
    char path[64];

    fg_assert(sscanf(c->in, "%*15s %63[^ ?]", path) == 1);
    c->peer->n_requests++;
    if (strcmp(path, "/ok") == 0)
        puts_(c, HELLO "hello");
    else if (strcmp(path, "/cut") == 0)
        put(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 42, true);
    else if (strcmp(path, "/chunked") == 0)
        puts_(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "2\r\nhe\r\n3\r\nllo\r\n0\r\nRetry-After: 9\r\n\r\n");
    else if (strcmp(path, "/close") == 0)
        drop(c);
    else
        answer_oddly(c, path, request_len);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct connection *c = handle->data;
    (void)hint;
    *buf = uv_buf_init(c->in + c->len, (unsigned)(sizeof(c->in) - 1 - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;
    const char *end, *length;
    size_t whole;

    (void)buf;
    if (n < 0) {
        drop(c);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (!end)
        return;
    length = strcasestr(c->in, "\r\nContent-Length:");
    whole = (size_t)(end - c->in) + 4 + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
    if (c->len < whole)
        return;
    answer(c, whole);
    c->len = 0; /* the client does not pipeline */
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct peer *peer = listener->data;
    struct connection *c = fg_calloc(1, sizeof(*c));

    fg_assert(status == 0);
    c->peer = peer;
    c->tcp.data = c->timer.data = c;
    c->handles = 2;
    uv_tcp_init(listener->loop, &c->tcp);
    uv_timer_init(listener->loop, &c->timer);
    fg_assert(uv_accept(listener, (uv_stream_t *)&c->tcp) == 0);
    fg_list_append(&peer->connections, &c->link);
    peer->n_accepted++;
    if (++peer->n_open > peer->n_open_max)
        peer->n_open_max = peer->n_open;
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

void peer_start(struct peer *peer, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int size = sizeof(address);

    memset(peer, 0, sizeof(*peer));
    fg_list_init(&peer->connections);
    uv_tcp_init(loop, &peer->listener);
    peer->listener.data = peer;
    uv_ip4_addr("127.0.0.1", 0, &address);
    fg_assert(uv_tcp_bind(&peer->listener, (struct sockaddr *)&address, 0) == 0);
    fg_assert(uv_listen((uv_stream_t *)&peer->listener, 128, on_connection) == 0);
    fg_assert(uv_tcp_getsockname(&peer->listener, (struct sockaddr *)&address, &size) == 0);
    peer->port = ntohs(address.sin_port);
}

void peer_stop(struct peer *peer)
{
    while (!fg_list_empty(&peer->connections))
        drop(fg_container_of(peer->connections.next, struct connection, link));
    uv_close((uv_handle_t *)&peer->listener, NULL);
}
