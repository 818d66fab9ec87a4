/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl's sockets and timers on the loop.
 *
 * We open and close the sockets ourselves, so that a poll handle always stops before its file descriptor goes
 * (https://github.com/curl/curl/issues/14976). The sockets that curl makes for itself, to wake up from its resolver
 * threads, are watched only until curl says it is done with them.
 *
 * Our callbacks never call curl and never fail: a -1 from one of them would end every transfer there is.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "net/client-private.h"

static void free_if_last(struct fg_http_client *client)
{
    fg_done_cb closed = client->closed;
    void *arg = client->closed_arg;

    fg_assert(client->handles > 0);
    if (--client->handles > 0)
        return;
    fg_assert(client->n_calls == 0 && client->n_running == 0 && fg_list_empty(&client->hosts));
    fg_assert(client->lent_bytes == 0 && client->body_bytes == 0 && client->input_bytes == 0);
    free(client->watches);
    free(client->user_agent);
    free(client);
    curl_global_cleanup();
    if (closed)
        closed(arg);
}

static void handle_closed(uv_handle_t *handle)
{
    free_if_last(handle->data);
}

static void watch_closed(uv_handle_t *handle)
{
    struct client_watch *watch = handle->data;
    struct fg_http_client *client = watch->client;
    free(watch);
    free_if_last(client);
}

/* One step of curl. What it finished is seen to by the kick: many sockets at once are no long turn of the loop then. */
static void step(struct fg_http_client *client, curl_socket_t fd, int events)
{
    int running;
    CURLMcode r = curl_multi_socket_action(client->multi, fd, events, &running);

    if (r != CURLM_OK && r != CURLM_BAD_SOCKET)
        client_call_fail_running(client, curl_multi_strerror(r));
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct client_watch *watch = poll->data;
    struct fg_http_client *client = watch->client;
    int flags = 0;

    if (status < 0) {
        flags = CURL_CSELECT_ERR;
        /* else the loop would report it for ever: curl asks again if it still wants the socket */
        uv_poll_stop(poll);
    }
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    step(client, watch->fd, flags); /* the watch may be gone after this */
    if (!client->closing)
        client_loop_kick(client);
}

/* Room for fd in the table; false: no memory. */
static bool table_reach(struct fg_http_client *client, curl_socket_t fd)
{
    size_t n = (size_t)fd + 1;
    struct client_watch **bigger;

    if (n <= client->n_watches)
        return true;
    n = n < 64 ? 64 : n + n / 2;
    bigger = realloc(client->watches, n * sizeof(bigger[0]));
    if (!bigger)
        return false;
    memset(bigger + client->n_watches, 0, (n - client->n_watches) * sizeof(bigger[0]));
    client->watches = bigger;
    client->n_watches = n;
    return true;
}

static struct client_watch *watch_find(const struct fg_http_client *client, curl_socket_t fd)
{
    return fd >= 0 && (size_t)fd < client->n_watches ? client->watches[fd] : NULL;
}

static void watch_drop(struct fg_http_client *client, curl_socket_t fd)
{
    struct client_watch *watch = watch_find(client, fd);

    if (!watch)
        return;
    client->watches[fd] = NULL;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, watch_closed);
}

static struct client_watch *watch_new(struct fg_http_client *client, curl_socket_t fd, bool ours)
{
    struct client_watch *watch;

    watch_drop(client, fd); /* the number of a socket that curl closed itself, used again */
    if (!table_reach(client, fd) || !(watch = calloc(1, sizeof(*watch))))
        return NULL;
    if (uv_poll_init_socket(client->loop, &watch->poll, fd) < 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->client = client;
    watch->fd = fd;
    watch->ours = ours;
    client->handles++;
    client->watches[fd] = watch;
    return watch;
}

/*
 * client_loop_open() - CURLOPT_OPENSOCKETFUNCTION: make the socket unless the peer is not allowed
 *
 * Refusing here keeps even the first packet from a private address. A refusal is the answer for this one address: curl
 * goes on to the next of the name.
 */
curl_socket_t client_loop_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fg_http_call *call = arg;
    int fd;

    (void)purpose;
    if (call->client->closing)
        return CURL_SOCKET_BAD;
    if (!call->allow_private && client_peer_private(&address->addr)) {
        client_peer_text(&address->addr, call->refused);
        return CURL_SOCKET_BAD;
    }
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    if (!watch_new(call->client, fd, true)) {
        close(fd);
        errno = ENOMEM;
        return CURL_SOCKET_BAD;
    }
    call->opened++;
    return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION. A kept connection calls it long after the call that opened it: @arg is the client. */
int client_loop_close_socket(void *arg, curl_socket_t fd)
{
    watch_drop(arg, fd);
    return close(fd);
}

/* CURLMOPT_SOCKETFUNCTION */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct fg_http_client *client = arg;
    struct client_watch *watch = watch_find(client, fd);
    int events = 0;

    (void)easy;
    (void)unused;
    if (what == CURL_POLL_REMOVE) {
        if (watch && watch->ours)
            uv_poll_stop(&watch->poll); /* it may be kept alive; the next call starts it again */
        else
            watch_drop(client, fd);
        return 0;
    }
    if (client->closing)
        return 0; /* curl_multi_cleanup() asks for kept connections: https://github.com/microsoft/CCF/pull/7308 */
    if (!watch)
        watch = watch_new(client, fd, false);
    if (!watch)
        return 0; /* a resolver's: curl looks by timer too */
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    if (events == 0)
        uv_poll_stop(&watch->poll);
    else
        uv_poll_start(&watch->poll, events, on_poll);
    return 0;
}

static void on_kick(uv_idle_t *kick)
{
    struct fg_http_client *client = kick->data;

    uv_idle_stop(kick);
    client_call_fail_broken(client);
    if (!client->closing)
        step(client, CURL_SOCKET_TIMEOUT, 0);
    client_call_drain(client);
}

void client_loop_kick(struct fg_http_client *client)
{
    uv_idle_start(&client->kick, on_kick);
}

static void on_curl_timer(uv_timer_t *timer)
{
    client_loop_kick(timer->data);
}

/*
 * CURLMOPT_TIMERFUNCTION. "At once" must not mean here and now, because curl is on the stack. An idle handle does it
 * right after, with one look at the sockets between two kicks; a timer of 1 ms would do too, and cost each request
 * that 1 ms.
 */
static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    struct fg_http_client *client = arg;

    (void)multi;
    if (client->closing)
        return 0;
    uv_timer_stop(&client->curl_timer);
    if (timeout_ms == 0) {
        uv_idle_start(&client->kick, on_kick);
    } else if (timeout_ms > 0) {
        uv_update_time(client->loop); /* an old loop time would fire too early, and curl would ask again */
        uv_timer_start(&client->curl_timer, on_curl_timer, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

static void on_due(uv_timer_t *timer)
{
    client_call_expire(timer->data);
}

void client_loop_due(struct fg_http_client *client)
{
    struct fg_http_call *first;
    uint64_t now = client_now_ms();

    if (client->closing)
        return;
    if (fg_list_empty(&client->due)) {
        uv_timer_stop(&client->due_timer);
        return;
    }
    first = fg_container_of(client->due.next, struct fg_http_call, due);
    uv_update_time(client->loop);
    uv_timer_start(&client->due_timer, on_due, first->due_ms > now ? first->due_ms - now : 1, 0);
}

static void on_room(uv_timer_t *timer)
{
    client_room_look(timer->data);
}

void client_loop_room(struct fg_http_client *client, uint64_t in_ms)
{
    if (!client->closing)
        uv_timer_start(&client->room_timer, on_room, in_ms, 0);
}

int client_loop_init(struct fg_http_client *client, struct fg_error *err)
{
    client->multi = curl_multi_init();
    if (!client->multi)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "cannot make the HTTP client: no memory"));
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)client->host_connections_max);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)client->connections_max);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)client->connections_max);
    uv_timer_init(client->loop, &client->curl_timer);
    uv_timer_init(client->loop, &client->due_timer);
    uv_timer_init(client->loop, &client->room_timer);
    uv_idle_init(client->loop, &client->kick);
    client->curl_timer.data = client->due_timer.data = client->room_timer.data = client->kick.data = client;
    client->handles = 4;
    return 0;
}

void client_loop_close(struct fg_http_client *client)
{
    for (size_t fd = 0; fd < client->n_watches; fd++)
        watch_drop(client, (curl_socket_t)fd); /* only resolvers' are left */
    uv_close((uv_handle_t *)&client->curl_timer, handle_closed);
    uv_close((uv_handle_t *)&client->due_timer, handle_closed);
    uv_close((uv_handle_t *)&client->room_timer, handle_closed);
    uv_close((uv_handle_t *)&client->kick, handle_closed);
}
