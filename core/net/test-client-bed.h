/* SPDX-License-Identifier: Apache-2.0 */
/* What the client's tests share: a loop with a client and a server on it, and answers written down. */
#pragma once

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/client-private.h"
#include "net/test-http-peer.h"

struct bed {
    uv_loop_t loop;
    struct peer peer;
    struct fg_metrics *metrics;
    struct fg_budget budget;
    struct fg_http_client *client;
    bool closed;
};

/* What one call came to. */
struct seen {
    size_t calls; /* of done() */
    int status;   /* 0: an error */
    uint32_t retry_after_ms, elapsed_ms;
    size_t n_headers, body_len;
    char body[2048];
    struct fg_error err;
    size_t *total; /* also counted here; NULL: nowhere */
};

/* @room: bytes of budget; 0: none. @room_wait_ms: see struct fg_http_client_config */
static inline void bed_start_within(struct bed *bed, size_t host_connections_max, size_t connections_max, size_t room,
                                    uint32_t room_wait_ms)
{
    struct fg_error err = FG_ERROR_NULL;
    struct fg_http_client_config config = { .loop = &bed->loop, .room_wait_ms = room_wait_ms };

    memset(bed, 0, sizeof(*bed));
    fg_budget_init(&bed->budget, room);
    if (room)
        config.budget = &bed->budget;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)alarm(60); /* a hang ends the test */
    assert_int_equal(uv_loop_init(&bed->loop), 0);
    peer_start(&bed->peer, &bed->loop);
    config.metrics = bed->metrics = fg_metrics_new();
    config.host_connections_max = host_connections_max;
    config.connections_max = connections_max;
    assert_int_equal(fg_http_client_new(&config, &bed->client, &err), 0);
}

static inline void bed_start(struct bed *bed, size_t host_connections_max, size_t connections_max)
{
    bed_start_within(bed, host_connections_max, connections_max, 0, 0);
}

static inline void bed_closed(void *arg)
{
    ((struct bed *)arg)->closed = true;
}

/* Everything must be gone: a handle left over keeps the loop from closing. */
static inline void bed_stop(struct bed *bed)
{
    if (bed->client)
        fg_http_client_close(bed->client, bed_closed, bed);
    while (!bed->closed)
        uv_run(&bed->loop, UV_RUN_ONCE);
    peer_stop(&bed->peer);
    uv_run(&bed->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&bed->loop), 0);
    fg_metrics_free(bed->metrics);
    (void)alarm(0);
}

static inline void seen_done(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct seen *seen = arg;

    assert_true(!res != !err);
    seen->calls++;
    if (seen->total)
        ++*seen->total;
    if (err) {
        seen->err = *err;
        return;
    }
    seen->status = res->status;
    seen->retry_after_ms = res->retry_after_ms;
    seen->elapsed_ms = res->elapsed_ms;
    seen->n_headers = res->n_headers;
    seen->body_len = res->body.len;
    (void)snprintf(seen->body, sizeof(seen->body), "%.*s", FG_SLICE_ARG(res->body));
}

static inline struct fg_http_request request_to(const char *url)
{
    return (struct fg_http_request){
        .method = "GET", .url = url, .timeout_ms = 20000, .body_max = 4096, .allow_private = true
    };
}

static inline struct fg_http_call *bed_send(struct bed *bed, const struct fg_http_request *req, const char *path,
                                            struct seen *seen)
{
    struct fg_error err = FG_ERROR_NULL;
    struct fg_http_request sent = *req;
    struct fg_http_call *call;
    char url[256];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", bed->peer.port, path);
    sent.url = url;
    call = fg_http_client_send(bed->client, &sent, FG_SLICE_NULL, seen_done, seen, &err);
    if (!call)
        fail_msg("%s", err.text);
    return call;
}

static inline void bed_wait(struct bed *bed, const size_t *count, size_t until)
{
    while (*count < until)
        uv_run(&bed->loop, UV_RUN_ONCE);
}

/* One request, waited for. */
static inline struct seen bed_get(struct bed *bed, const char *path)
{
    struct seen seen = { 0 };
    struct fg_http_request req = request_to(NULL);

    bed_send(bed, &req, path, &seen);
    bed_wait(bed, &seen.calls, 1);
    return seen;
}
