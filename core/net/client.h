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

#include "base/metric.h"
#include "fragua/http.h"

struct fg_http_client;

struct fg_http_client_config {
    uv_loop_t *loop;              /* borrowed */
    struct fg_metrics *metrics;   /* borrowed; NULL: none. fragua_http_client_requests_total{host,code}, _seconds */
    size_t connections_max;       /* in all; 0: 256 */
    size_t host_connections_max;  /* to one host; 0: 64. More requests wait in line, within their deadline */
    const char *user_agent;       /* NULL: "fragua/VERSION" */
};

int fg_http_client_new(const struct fg_http_client_config *config, struct fg_http_client **ret, struct fg_error *err);
/*
 * Cancels what is in flight without calling back, then closes; closed(arg) runs once the last handle is gone. NULL: at
 * once.
 */
void fg_http_client_close(struct fg_http_client *client, fg_done_cb closed, void *arg);

/*
 * See struct fg_http_request. @bearer_text: the secret's text, read before return; empty: none (req->bearer is not
 * looked at).
 */
struct fg_http_call *fg_http_client_send(struct fg_http_client *client, const struct fg_http_request *req,
                                         struct fg_slice bearer_text, fg_http_done_cb done, void *arg,
                                         struct fg_error *err);
void fg_http_client_cancel(struct fg_http_call *call);
size_t fg_http_client_in_flight(const struct fg_http_client *client);
