/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server with one route that answers 200 bytes of JSON: what wrk is pointed at. Ends on SIGINT or SIGTERM. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/server.h"

static const char answer[] = "{\"document\":\"0123456789abcdef0\",\"entities\":["
                             "{\"type\":\"email\",\"text\":\"someone@example.com\",\"start\":12,\"end\":31},"
                             "{\"type\":\"url\",\"text\":\"https://example.com/orders/1\",\"start\":40,\"end\":68}"
                             "],\"ms\":0.0123456}\n";

static void handle(void *self, struct fg_exchange *x)
{
    (void)self;
    fg_exchange_reply(x, 200, "application/json", fg_slice_make(answer, sizeof(answer) - 1));
}

static void on_signal(uv_signal_t *signal, int number)
{
    (void)number;
    fg_http_server_close(signal->data, 0, NULL, NULL);
    uv_close((uv_handle_t *)signal, NULL);
}

int main(int argc, char **argv)
{
    static const struct fg_route routes[] = {
        {.method = "GET", .path = "/answer", .scope = FG_SCOPE_OPEN, .summary = "200 bytes", .handle = handle},
    };
    struct fg_http_server_config config = {
        .listen = argc > 1 ? argv[1] : "127.0.0.1:0",
        .tls_certificate = argc > 3 ? argv[2] : NULL,
        .tls_key = argc > 3 ? argv[3] : NULL,
        .limits = {.peer_connections_max = 256},
    };
    struct fg_http_server *server = NULL;
    struct fg_http_mount *mount = NULL;
    struct fg_error err = FG_ERROR_NULL;
    uv_signal_t term;
    uv_loop_t loop;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_loop_init(&loop);
    config.loop = &loop;
    config.metrics = fg_metrics_new();
    if (fg_http_server_new(&config, &server, &err) < 0 ||
        fg_http_server_mount(server, routes, 1, NULL, &mount, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    (void)uv_signal_init(&loop, &term);
    term.data = server;
    (void)uv_signal_start(&term, on_signal, SIGTERM);
    (void)printf("http://%s/answer\n", fg_http_server_address(server));
    (void)fflush(stdout);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    fg_http_server_unmount(mount);
    (void)fg_metrics_free(config.metrics);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
