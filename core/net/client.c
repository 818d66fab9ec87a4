/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client's front: make it, send, cancel, close. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/client-private.h"

enum { CONNECTIONS_MAX = 256, HOST_CONNECTIONS_MAX = 64 };

int fg_http_client_new(const struct fg_http_client_config *config, struct fg_http_client **ret, struct fg_error *err)
{
    struct fg_http_client *client;
    int r;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot make the HTTP client: libcurl does not start"));
    client = fg_calloc(1, sizeof(*client));
    client->loop = config->loop;
    client->metrics = config->metrics;
    client->budget = config->budget;
    client->room_wait_ms = config->room_wait_ms ? config->room_wait_ms : ROOM_WAIT_MS;
    client->connections_max = config->connections_max ? config->connections_max : CONNECTIONS_MAX;
    client->host_connections_max = config->host_connections_max ? config->host_connections_max : HOST_CONNECTIONS_MAX;
    client->user_agent =
        fg_strdup_slice(fg_slice_of(config->user_agent ? config->user_agent : "fragua/" FG_VERSION));
    fg_list_init(&client->hosts);
    fg_list_init(&client->idle);
    fg_list_init(&client->running);
    fg_list_init(&client->broken);
    fg_list_init(&client->due);
    fg_list_init(&client->paused);
    fg_list_init(&client->tls_sets);
    r = client_loop_init(client, err);
    if (r < 0) {
        free(client->user_agent);
        free(client);
        curl_global_cleanup();
        return fg_pass(r);
    }
    *ret = client;
    return 0;
}

void fg_http_client_close(struct fg_http_client *client, fg_done_cb closed, void *arg)
{
    struct fg_list *it, *tmp;

    if (!client) {
        if (closed)
            closed(arg);
        return;
    }
    fg_assert(!client->closing);
    client->closing = true;
    client->closed = closed;
    client->closed_arg = arg;
    while (!fg_list_empty(&client->due)) /* every call that is not done has a deadline */
        client_call_drop(fg_container_of(client->due.next, struct fg_http_call, due));
    while (!fg_list_empty(&client->idle))
        client_call_free(fg_container_of(fg_list_pop(&client->idle), struct fg_http_call, link));
    fg_list_for_each_safe(it, tmp, &client->hosts)
        client_host_unused(client, fg_container_of(it, struct client_host, link));
    client_tls_drop_all(client);
    curl_multi_cleanup(client->multi);
    client->multi = NULL;
    client_loop_close(client);
}

struct fg_http_call *fg_http_client_send(struct fg_http_client *client, const struct fg_http_request *req,
                                         struct fg_slice bearer_text, fg_http_done_cb done, void *arg,
                                         struct fg_error *err)
{
    struct fg_http_call *call;
    struct client_host *host;

    if (client->closing) {
        (void)fg_raise(fg_error_set(err, FG_E_CANCELLED, 0, "cannot send a request: the HTTP client is closing"));
        return NULL;
    }
    if (client->n_calls >= CALLS_MAX) {
        (void)fg_raise(fg_error_set(err, FG_E_LIMIT, FG_ERROR_RETRIABLE,
                                    "cannot send a request: %d are waiting or running already", CALLS_MAX));
        return NULL;
    }
    call = client_call_take(client);
    if (!call) {
        (void)fg_raise(fg_error_set(err, FG_E_INTERNAL, FG_ERROR_RETRIABLE, "cannot send a request: no memory"));
        return NULL;
    }
    if (client_request_set(call, req, bearer_text, err) < 0) {
        client_call_return(call);
        return NULL;
    }
    host = call->host;
    call->done = done;
    call->arg = arg;
    call->sent_ms = client_now_ms();
    call->due_ms = call->sent_ms + req->timeout_ms;
    client_room_lend(call, req->body.len);
    client->n_calls++;
    client_call_insert_due(call);
    call->state = CALL_WAITING;
    fg_list_append(&host->waiting, &call->link);
    client_host_next(client); /* starts this one if there is a slot */
    return call;
}

void fg_http_client_cancel(struct fg_http_call *call)
{
    if (call)
        client_call_drop(call);
}

void fg_http_client_must(struct fg_http_call *call)
{
    call->must = true;
}

char *fg_http_client_take_body(const struct fg_http_response *res, size_t *ret_len, size_t *ret_charged)
{
    const struct client_answer *answer = fg_container_of(res, const struct client_answer, res);
    struct fg_http_call *call = answer->call;
    char *bytes = fg_buf_steal(&call->body, ret_len);

    *ret_charged = client_room_pass(call);
    return bytes;
}

void fg_http_client_depth(const struct fg_http_client *client, struct fg_http_client_depth *ret)
{
    *ret = (struct fg_http_client_depth){ .waiting = client->n_calls - client->n_running, .running = client->n_running,
                                          .request_bytes = client->lent_bytes, .body_bytes = client->body_bytes };
    for (const struct fg_list *l = client->paused.next; l != &client->paused; l = l->next)
        ret->paused++;
}
