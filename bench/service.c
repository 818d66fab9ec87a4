/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entity service that costs next to nothing: service PORT [DELAY_MS [PARALLEL]]. Ends on SIGTERM.
 *
 * Each POST gets the same entities DELAY_MS (0) later; at most PARALLEL (no limit) are worked on at a time, others
 * wait. Speaks just enough HTTP/1.1: requests have a Content-Length, and the next comes after the answer.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/mem.h"

#define REQUEST_MAX (1u << 20)
#define BODY                                                                     \
    "{\"entities\":[{\"type\":\"PERSON\",\"start\":0,\"end\":5,\"score\":0.97}," \
    "{\"type\":\"ORG\",\"start\":6,\"end\":11,\"score\":0.91},"                  \
    "{\"type\":\"DATE\",\"start\":12,\"end\":17,\"score\":0.99},"                \
    "{\"type\":\"MONEY\",\"start\":18,\"end\":23,\"score\":0.88}],\"model\":\"bench\"}"

struct service {
    uv_loop_t loop;
    uv_tcp_t listener;
    uint64_t delay_ms;
    size_t working, parallel;
    struct connection *first_waiting, **last_waiting;
    char answer[1024];
    size_t answer_len;
};

struct connection {
    uv_tcp_t tcp;
    uv_timer_t timer;
    struct service *service;
    struct connection *next_waiting;
    size_t len;    /* bytes in `in` */
    size_t length; /* of the request that is worked on; 0: none */
    bool waiting, working, closing;
    int open_handles;
    char in[REQUEST_MAX + 1];
};

static void look(struct connection *c);

static void closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;

    if (--c->open_handles == 0)
        free(c);
}

static void work(struct connection *c);

static void work_ended(struct connection *c)
{
    struct service *s = c->service;
    struct connection *next = s->first_waiting;

    c->working = false;
    s->working--;
    if (!next)
        return;
    if (!(s->first_waiting = next->next_waiting))
        s->last_waiting = &s->first_waiting;
    next->waiting = false;
    work(next);
}

static void close_connection(struct connection *c)
{
    if (c->closing)
        return;
    c->closing = true;
    if (c->working)
        work_ended(c);
    for (struct connection **at = &c->service->first_waiting; c->waiting && *at; at = &(*at)->next_waiting) {
        if (*at != c)
            continue;
        if (!(*at = c->next_waiting))
            c->service->last_waiting = at;
        break;
    }
    uv_close((uv_handle_t *)&c->timer, closed);
    uv_close((uv_handle_t *)&c->tcp, closed);
}

static void answer(struct connection *c)
{
    uv_buf_t buf = uv_buf_init(c->service->answer, (unsigned)c->service->answer_len);

    c->len -= c->length;
    memmove(c->in, c->in + c->length, c->len);
    c->length = 0;
    /* the socket's buffer takes so little at once */
    if (uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) != (int)c->service->answer_len)
        close_connection(c);
}

static void on_time(uv_timer_t *timer)
{
    struct connection *c = timer->data;

    work_ended(c);
    answer(c);
    look(c);
}

static void work(struct connection *c)
{
    struct service *s = c->service;

    c->working = true;
    s->working++;
    uv_update_time(&s->loop);
    (void)uv_timer_start(&c->timer, on_time, s->delay_ms, 0);
}

static void queue(struct connection *c)
{
    struct service *s = c->service;

    if (s->working < s->parallel) {
        work(c);
        return;
    }
    c->waiting = true;
    c->next_waiting = NULL;
    *s->last_waiting = c;
    s->last_waiting = &c->next_waiting;
}

/* Answers what is complete. */
static void look(struct connection *c)
{
    while (!c->closing && c->length == 0) {
        const char *end, *field;
        c->in[c->len] = '\0';
        if (!(end = strstr(c->in, "\r\n\r\n")))
            return;
        field = strcasestr(c->in, "\r\ncontent-length:");
        c->length = (size_t)(end + 4 - c->in) + (field && field < end ? strtoul(field + 17, NULL, 10) : 0);
        if (c->length > REQUEST_MAX) {
            close_connection(c);
        } else if (c->len < c->length) {
            c->length = 0;
            return;
        } else if (c->service->delay_ms == 0) {
            answer(c);
        } else {
            queue(c);
        }
    }
}

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct connection *c = handle->data;

    *buf = uv_buf_init(c->in + c->len, (unsigned)(REQUEST_MAX - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;

    if (n < 0) {
        close_connection(c);
        return;
    }
    c->len += (size_t)n;
    look(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct service *s = listener->data;
    struct connection *c = fg_calloc(1, sizeof(*c));

    c->service = s;
    c->tcp.data = c->timer.data = c;
    c->open_handles = 2;
    (void)uv_tcp_init(&s->loop, &c->tcp);
    (void)uv_timer_init(&s->loop, &c->timer);
    if (status < 0 || uv_accept(listener, (uv_stream_t *)&c->tcp) < 0) {
        close_connection(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    (void)uv_read_start((uv_stream_t *)&c->tcp, allocate, on_read);
}

int main(int argc, char **argv)
{
    struct service *s = fg_calloc(1, sizeof(*s));
    struct sockaddr_in address;
    int r;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s PORT [DELAY_MS [PARALLEL]]\n", argv[0]);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    s->delay_ms = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    s->parallel = argc > 3 ? strtoul(argv[3], NULL, 10) : SIZE_MAX;
    s->last_waiting = &s->first_waiting;
    s->answer_len = (size_t)snprintf(s->answer, sizeof(s->answer),
                                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                                     "\r\n%s",
                                     sizeof(BODY) - 1, BODY);
    (void)uv_loop_init(&s->loop);
    (void)uv_tcp_init(&s->loop, &s->listener);
    s->listener.data = s;
    (void)uv_ip4_addr("127.0.0.1", (int)strtol(argv[1], NULL, 10), &address);
    if ((r = uv_tcp_bind(&s->listener, (struct sockaddr *)&address, 0)) < 0 ||
        (r = uv_listen((uv_stream_t *)&s->listener, 1024, on_connection)) < 0) {
        (void)fprintf(stderr, "127.0.0.1:%s: %s\n", argv[1], uv_strerror(r));
        return 1;
    }
    return uv_run(&s->loop, UV_RUN_DEFAULT);
}
