/* SPDX-License-Identifier: Apache-2.0 */
/* Every metric of HTTP, both ways, declared once. What waits now is told by the depth functions: host/metrics.c. */
#include "net/client-private.h"
#include "net/server-private.h"

static const struct fg_metric_decl client_requests = {
    "fragua_http_client_requests_total", FG_METRIC_TYPE_COUNTER,
    "HTTP requests sent and answered, by host and status; code=\"error\": no whole answer.",
};
static const struct fg_metric_decl client_seconds = {
    "fragua_http_client_seconds", FG_METRIC_TYPE_HISTOGRAM,
    "Time from sending an HTTP request, waiting for a connection included, to its answer or error.",
};
static const struct fg_metric_decl server_connections = {
    "fragua_http_server_connections", FG_METRIC_TYPE_GAUGE, "Connections open to the HTTP server",
};
static const struct fg_metric_decl server_cut = {
    "fragua_http_server_streams_cut_total", FG_METRIC_TYPE_COUNTER, "Streams cut because their reader was too slow",
};
static const struct fg_metric_decl server_requests = {
    "fragua_http_server_requests_total", FG_METRIC_TYPE_COUNTER, "Requests answered, by status code",
};

void client_host_metrics(struct fg_http_client *client, struct client_host *host)
{
    const struct fg_label label = { "host", host->label };

    if (client->metrics)
        host->seconds = fg_metric_get(client->metrics, &client_seconds, &label, 1);
}

static struct fg_metric *code_metric(struct fg_http_client *client, struct client_host *host, int code)
{
    struct fg_metric *metric;
    struct fg_label labels[2] = { { "host", host->label }, { "code", "error" } };
    char text[16];

    for (size_t i = 0; i < host->n_codes; i++)
        if (host->codes[i].code == code)
            return host->codes[i].metric;
    if (code > 0) {
        (void)snprintf(text, sizeof(text), "%d", code);
        labels[1].value = text;
    }
    metric = fg_metric_get(client->metrics, &client_requests, labels, 2);
    if (host->n_codes < sizeof(host->codes) / sizeof(host->codes[0])) {
        host->codes[host->n_codes].code = code;
        host->codes[host->n_codes++].metric = metric;
    }
    return metric;
}

void client_host_count(struct fg_http_client *client, struct client_host *host, int status, uint64_t elapsed_ms)
{
    if (!client->metrics)
        return;
    fg_metric_add(code_metric(client, host, status), 1);
    fg_metric_observe(host->seconds, (double)elapsed_ms / 1000);
}

void fg_server_metrics(struct fg_http_server *server)
{
    if (!server->metrics)
        return;
    server->connections_metric = fg_metric_get(server->metrics, &server_connections, NULL, 0);
    server->cut_metric = fg_metric_get(server->metrics, &server_cut, NULL, 0);
}

void fg_server_count(struct fg_http_server *server, int status)
{
    char code[12];
    const struct fg_label label = { "code", code };

    if (!server->metrics || status < 0 || status > 599)
        return;
    if (!server->by_status[status]) {
        (void)snprintf(code, sizeof(code), "%d", status);
        server->by_status[status] = fg_metric_get(server->metrics, &server_requests, &label, 1);
    }
    fg_metric_add(server->by_status[status], 1);
}
