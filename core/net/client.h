/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client: curl's multi interface on the loop. Loop thread only.
 *
 * HTTP/1.1 with keep-alive pools only: libcurl 7.88 can report a cut HTTP/2 stream as success
 * (https://github.com/curl/curl/issues/10693). Redirects are never followed. Bytes are counted as they arrive,
 * deadlines are absolute, and the peer's real address is judged when connected, so a name that changes its mind gains
 * nothing.
 */
#pragma once

#include <uv.h>

#include "base/budget.h"
#include "base/metric.h"
#include "fragua/http.h"

struct fg_http_client;

struct fg_http_client_config {
    uv_loop_t *loop;              /* borrowed */
    struct fg_metrics *metrics;   /* borrowed; NULL: none. fragua_http_client_requests_total{host,code}, _seconds */
    size_t connections_max;       /* in all; 0: 256 */
    size_t host_connections_max;  /* to one host; 0: 64. More requests wait in line, within their deadline */
    const char *user_agent;       /* NULL: "fragua/VERSION" */
    struct fg_budget *budget;     /* borrowed; NULL: bodies are not charged */
    uint32_t room_wait_ms;        /* how long an answer may wait for room in it; 0: 60 s */
};

/* What is there now, for metrics. */
struct fg_http_client_depth {
    size_t waiting, running; /* requests: for a connection, and with one */
    size_t paused;           /* of the running ones: for room for their answers */
    size_t request_bytes;    /* charged for bodies that are being sent, */
    size_t body_bytes;       /* and for answers */
};

int fg_http_client_new(const struct fg_http_client_config *config, struct fg_http_client **ret, struct fg_error *err);
/*
 * Cancels what is in flight without calling back, then closes; closed(arg) runs once the last handle is gone. NULL: at
 * once.
 */
void fg_http_client_close(struct fg_http_client *client, fg_done_cb closed, void *arg);

/*
 * Files of struct fg_tls are kept for a second after they were read. Requests sent after this read them anew at once.
 * A connection made with other contents than a request has is never used for it, refreshed or not, nor is its session
 * resumed; requests sent before end as they would.
 */
void fg_http_client_refresh(struct fg_http_client *client);

/*
 * See struct fg_http_request. @bearer_text: the secret's text, read before return; empty: none (req->bearer is not
 * looked at).
 */
struct fg_http_call *fg_http_client_send(struct fg_http_client *client, const struct fg_http_request *req,
                                         struct fg_slice bearer_text, fg_http_done_cb done, void *arg,
                                         struct fg_error *err);
void fg_http_client_cancel(struct fg_http_call *call);
/*
 * Right after send: the answer makes records leave, or is little. It is let in over the budget when there is no room,
 * one at a time. Without this it waits for room: the transfer is paused, its deadline too, and at last it fails with
 * FG_E_NO_ROOM. One larger than three quarters of the budget fails at once with FG_E_LIMIT.
 */
void fg_http_client_must(struct fg_http_call *call);
/*
 * In done(): takes the body's bytes over, for free(), with what was charged for them. NULL: the body is empty, or was
 * taken already.
 */
char *fg_http_client_take_body(const struct fg_http_response *res, size_t *ret_len, size_t *ret_charged);
void fg_http_client_depth(const struct fg_http_client *client, struct fg_http_client_depth *ret);
