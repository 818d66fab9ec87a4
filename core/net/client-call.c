/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a call: idle -> waiting -> running -> done -> idle, or broken where curl would not even begin.
 *
 * Whoever is called back may send, cancel and close. So a call is out of every list and out of curl before its done(),
 * and every loop here takes the first element anew after each callback.
 */
#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "net/client-private.h"

/* Callbacks of finished requests may take so long in one turn of the loop; at least one is called. */
#define FINISH_NS 1000000u

void client_call_free(struct fg_http_call *call)
{
    curl_easy_cleanup(call->easy);
    fg_buf_deinit(&call->head);
    fg_buf_deinit(&call->body);
    free(call);
}

struct fg_http_call *client_call_take(struct fg_http_client *client)
{
    struct fg_list *link = fg_list_pop(&client->idle);
    struct fg_http_call *call;

    if (link) {
        client->n_idle--;
        return fg_container_of(link, struct fg_http_call, link);
    }
    call = fg_calloc(1, sizeof(*call));
    fg_list_init(&call->link);
    fg_list_init(&call->due);
    fg_list_init(&call->paused);
    call->client = client;
    call->head = FG_BUF_INIT(HEAD_BYTES_MAX);
    call->easy = curl_easy_init();
    if (!call->easy) {
        free(call);
        return NULL;
    }
    return call;
}

/* Forgets the request; the easy handle keeps its TLS sessions. */
static void make_idle(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;

    curl_easy_reset(call->easy);
    if (call->bearer)
        OPENSSL_cleanse(call->bearer->data, strlen(call->bearer->data));
    curl_slist_free_all(call->headers);
    call->headers = call->bearer = NULL;
    client_tls_unref(call->tls);
    call->tls = NULL;
    call->host = NULL;
    call->state = CALL_IDLE;
    fg_buf_clear(&call->head);
    client_room_give(call);
    call->must = false;
    if (call->body.cap > IDLE_BYTES_MAX)
        fg_buf_deinit(&call->body);
    else
        fg_buf_clear(&call->body);
    call->trouble = TROUBLE_NONE;
    call->n_fields = call->opened = 0;
    call->head_status = 0;
    call->head_ended = false;
    call->refused[0] = call->reason[0] = '\0';
    if (client->closing || client->n_idle >= IDLE_CALLS_MAX) {
        client_call_free(call);
    } else {
        client->n_idle++;
        fg_list_append(&client->idle, &call->link);
    }
}

void client_call_return(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;
    struct client_host *host = call->host;

    make_idle(call);
    if (host)
        client_host_unused(client, host);
}

/* Out of the lists and of curl, its slot given back. */
static void leave(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;

    fg_list_remove(&call->link);
    fg_list_remove(&call->due);
    fg_list_remove(&call->paused);
    if (call->state == CALL_RUNNING) {
        curl_multi_remove_handle(client->multi, call->easy);
        fg_assert(call->host->running > 0);
        call->host->running--;
        client->n_running--;
    }
    call->state = CALL_DONE;
    client->n_calls--;
    if (fg_list_empty(&client->due))
        client_loop_due(client); /* an idle client must not keep the loop alive */
}

void client_call_drop(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;

    if (call->state == CALL_DONE || call->state == CALL_IDLE)
        return; /* from inside its own done(): there is nothing left to stop */
    leave(call);
    client_call_return(call);
    client_host_next(client);
}

/* Calls back, with one of res and err, and forgets the call. */
static void finish(struct fg_http_call *call, struct fg_http_response *res, const struct fg_error *err)
{
    struct fg_http_client *client = call->client;
    struct client_host *host = call->host;
    uint64_t elapsed_ms = client_now_ms() - call->sent_ms;

    leave(call);
    host->holds++; /* so that it stays while we need it */
    client_host_next(client);
    client_host_count(client, host, res ? res->status : 0, elapsed_ms);
    if (res)
        res->elapsed_ms = elapsed_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)elapsed_ms;
    call->done(call->arg, res, err);
    host->holds--;
    client_call_return(call);
}

void client_call_start(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;

    if (curl_multi_add_handle(client->multi, call->easy) != CURLM_OK) {
        call->state = CALL_BROKEN; /* told from the loop: send() must return before done() is called */
        fg_list_append(&client->broken, &call->link);
        client_loop_kick(client);
        return;
    }
    call->state = CALL_RUNNING;
    call->host->running++;
    client->n_running++;
    fg_list_append(&client->running, &call->link);
}

void client_call_fail(struct fg_http_call *call, int code, unsigned flags, const char *what)
{
    struct fg_error err = FG_ERROR_NULL;

    (void)fg_error_set(&err, code, flags, "%s %s: %s", call->method, call->where, what);
    finish(call, NULL, &err);
}

/* Deadlines are mostly alike, so the place is near the end. */
void client_call_insert_due(struct fg_http_call *call)
{
    struct fg_http_client *client = call->client;
    struct fg_list *before = client->due.prev;

    while (before != &client->due && fg_container_of(before, struct fg_http_call, due)->due_ms > call->due_ms)
        before = before->prev;
    fg_list_append(before->next, &call->due);
    if (client->due.next == &call->due)
        client_loop_due(client);
}

void client_call_expire(struct fg_http_client *client)
{
    while (!client->closing && !fg_list_empty(&client->due)) {
        struct fg_http_call *call = fg_container_of(client->due.next, struct fg_http_call, due);
        char what[96];

        /* freed calls have left the list, unseen by the analyzer: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        if (call->due_ms > client_now_ms())
            break;
        if (!fg_list_empty(&call->paused)) {
            (void)snprintf(what, sizeof(what), "no room for the answer in the byte budget for %llu ms (limits.memory)",
                           (unsigned long long)client->room_wait_ms);
            client_call_fail(call, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, what);
            continue;
        }
        (void)snprintf(what, sizeof(what), "no whole answer within %llu ms%s",
                       (unsigned long long)(call->due_ms - call->sent_ms),
                       call->state == CALL_WAITING ? ", all of it waiting for a connection" : "");
        client_call_fail(call, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, what);
    }
    client_loop_due(client);
}

void client_call_fail_broken(struct fg_http_client *client)
{
    while (!client->closing && !fg_list_empty(&client->broken))
        /* freed calls have left the list, unseen by the analyzer: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        client_call_fail(fg_container_of(client->broken.next, struct fg_http_call, link), FG_E_INTERNAL,
                         FG_ERROR_RETRIABLE, "cannot start: no memory");
}

void client_call_fail_running(struct fg_http_client *client, const char *what)
{
    struct fg_list failed;

    /* what done() sends anew is not to fail with them */
    fg_list_init(&failed);
    while (!fg_list_empty(&client->running))
        fg_list_append(&failed, fg_list_pop(&client->running));
    while (!fg_list_empty(&failed)) {
        if (client->closing)
            break; /* they were dropped with the rest */
        /* freed calls have left the list, unseen by the analyzer: NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        client_call_fail(fg_container_of(failed.next, struct fg_http_call, link), FG_E_INTERNAL, FG_ERROR_RETRIABLE,
                         what);
    }
}

static void finish_transfer(struct fg_http_call *call, CURLcode code)
{
    struct client_answer answer = { .call = call };
    struct fg_error err = FG_ERROR_NULL;
    long status = 0;

    if (code == CURLE_OK && call->trouble == TROUBLE_NONE && !client_response_read(call, &answer.res))
        call->trouble = TROUBLE_HEAD;
    if (code != CURLE_OK || call->trouble != TROUBLE_NONE) {
        client_error_of(call, code, &err);
        finish(call, NULL, &err);
        return;
    }
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    answer.res.status = (int)status;
    finish(call, &answer.res, NULL);
}

void client_call_drain(struct fg_http_client *client)
{
    uint64_t end_ns = uv_hrtime() + FINISH_NS;
    CURLMsg *message;
    int left = 0;

    while (!client->closing && (message = curl_multi_info_read(client->multi, &left))) {
        struct fg_http_call *call = NULL;
        CURLcode code = message->data.result; /* the message dies with the handle's removal */

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        fg_assert(call);
        finish_transfer(call, code);
        if (left > 0 && uv_hrtime() >= end_ns)
            break;
    }
    if (left > 0 && !client->closing)
        client_loop_kick(client); /* the rest after a look at the sockets */
}
