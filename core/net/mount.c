/* SPDX-License-Identifier: Apache-2.0 */
/* Routes come and go: mounted, unmounted at once, or retired, which lets those who are being served finish. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "net/server-private.h"

int fg_http_server_mount(struct fg_http_server *server, const struct fg_route *routes, size_t n, void *self,
                         struct fg_http_mount **ret, struct fg_error *err)
{
    struct fg_http_mount *mount = calloc(1, sizeof(*mount));
    int r;

    if (!mount)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "no memory for routes"));
    mount->server = server;
    mount->loop = server->loop;
    mount->routes = routes;
    mount->n_routes = n;
    mount->self = self;
    fg_list_init(&mount->exchanges);
    r = fg_router_add(&server->router, routes, n, mount, err);
    if (r < 0) {
        free(mount);
        return fg_pass(r);
    }
    fg_list_append(&server->mounts, &mount->link);
    *ret = mount;
    return 0;
}

static void end_exchanges(struct fg_http_mount *mount)
{
    struct fg_list *it;

    while ((it = fg_list_pop(&mount->exchanges)) != NULL)
        fg_exchange_unmount(fg_container_of(it, struct fg_exchange, link));
}

void fg_http_server_unmount(struct fg_http_mount *mount)
{
    if (!mount)
        return;
    fg_assert(!mount->retired);
    end_exchanges(mount);
    if (mount->server)
        fg_router_remove(&mount->server->router, mount);
    fg_list_remove(&mount->link);
    free(mount);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct fg_http_mount *mount = handle->data;
    fg_done_cb gone = mount->gone;
    void *arg = mount->gone_arg;

    fg_router_free(mount->entries);
    free(mount);
    if (gone)
        gone(arg);
}

static void on_timer(uv_timer_t *timer)
{
    struct fg_http_mount *mount = timer->data;
    uint64_t now = uv_now(mount->loop);

    if (!fg_list_empty(&mount->exchanges) && now < mount->deadline) {
        (void)uv_timer_start(timer, on_timer, mount->deadline - now, 0);
        return;
    }
    end_exchanges(mount);
    fg_list_remove(&mount->link);
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

/* Not from here: this runs below handlers of the instance that gone() gives free. */
static void soon(struct fg_http_mount *mount)
{
    if (!uv_is_closing((uv_handle_t *)&mount->timer))
        (void)uv_timer_start(&mount->timer, on_timer, 0, 0);
}

void fg_mount_left(struct fg_http_mount *mount)
{
    if (mount->retired && fg_list_empty(&mount->exchanges))
        soon(mount);
}

void fg_mount_server_gone(struct fg_http_mount *mount)
{
    end_exchanges(mount);
    fg_list_remove(&mount->link);
    mount->server = NULL; /* whoever mounted it unmounts it */
    if (mount->retired)
        soon(mount);
}

static void end_streams(struct fg_http_mount *mount)
{
    struct fg_list held, *it;

    /* what on_gone() of one does to others takes them out of either list */
    fg_list_init(&held);
    while ((it = fg_list_pop(&mount->exchanges)) != NULL)
        fg_list_append(&held, it);
    while ((it = fg_list_pop(&held)) != NULL) {
        struct fg_exchange *x = fg_container_of(it, struct fg_exchange, link);

        fg_list_append(&mount->exchanges, it);
        if (x->state == FG_EXCHANGE_STREAM && x->conn)
            fg_exchange_retire(x);
    }
}

void fg_http_server_retire(struct fg_http_mount *mount, uint64_t deadline_ms, fg_done_cb gone, void *arg)
{
    fg_assert(!mount->retired);
    mount->retired = true;
    mount->gone = gone;
    mount->gone_arg = arg;
    (void)uv_timer_init(mount->loop, &mount->timer);
    mount->timer.data = mount;
    uv_update_time(mount->loop); /* the loop's notion of now may be old after a long callback */
    mount->deadline = uv_now(mount->loop) + deadline_ms;
    fg_list_remove(&mount->link);
    if (mount->server) {
        fg_list_append(&mount->server->retired, &mount->link);
        mount->entries = fg_router_take(&mount->server->router, mount);
    }
    end_streams(mount);
    if (fg_list_empty(&mount->exchanges))
        soon(mount);
    else
        (void)uv_timer_start(&mount->timer, on_timer, deadline_ms, 0);
}

void fg_http_server_routes(const struct fg_http_server *server, void (*cb)(void *arg, const struct fg_route *route),
                           void *arg)
{
    for (const struct fg_list *it = server->mounts.next; it != &server->mounts; it = it->next) {
        const struct fg_http_mount *mount = fg_container_of(it, struct fg_http_mount, link);

        for (size_t i = 0; i < mount->n_routes; i++)
            cb(arg, &mount->routes[i]);
    }
}
