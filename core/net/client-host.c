/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts that are talked to: their lines of waiting calls, their slots and their figures. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/client-private.h"

static const struct fg_metric_decl requests_decl = {
    .name = "fragua_http_client_requests_total",
    .type = FG_METRIC_TYPE_COUNTER,
    .help = "HTTP requests sent and answered, by host and status; code=\"error\": no whole answer.",
};

static const struct fg_metric_decl seconds_decl = {
    .name = "fragua_http_client_seconds",
    .type = FG_METRIC_TYPE_HISTOGRAM,
    .help = "Time from sending an HTTP request, waiting for a connection included, to its answer or error.",
};

struct client_host *client_host_get(struct fg_http_client *client, const char *origin, const char *label)
{
    struct fg_list *it, *tmp;
    struct client_host *host;
    size_t size = strlen(origin) + 1;

    fg_list_for_each_safe(it, tmp, &client->hosts) {
        host = fg_container_of(it, struct client_host, link);
        if (strcmp(host->origin, origin) == 0)
            return host;
    }
    host = fg_calloc(1, sizeof(*host) + size);
    memcpy(host->origin, origin, size);
    host->kept = client->n_kept_hosts < METRIC_HOSTS_MAX;
    client->n_kept_hosts += host->kept;
    (void)snprintf(host->label, sizeof(host->label), "%s", host->kept ? label : "other");
    if (client->metrics) {
        struct fg_label by_host = { "host", host->label };
        host->seconds = fg_metric_get(client->metrics, &seconds_decl, &by_host, 1);
    }
    fg_list_init(&host->waiting);
    fg_list_append(&client->hosts, &host->link);
    return host;
}

void client_host_unused(struct fg_http_client *client, struct client_host *host)
{
    if (host->running > 0 || host->holds > 0 || !fg_list_empty(&host->waiting) || (host->kept && !client->closing))
        return;
    fg_list_remove(&host->link);
    free(host);
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
    metric = fg_metric_get(client->metrics, &requests_decl, labels, 2);
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

/* The first call of a line that can run; its host goes to the end, so that a busy host does not starve the rest. */
static struct fg_http_call *next_waiting(struct fg_http_client *client)
{
    struct fg_list *it, *tmp;

    fg_list_for_each_safe(it, tmp, &client->hosts) {
        struct client_host *host = fg_container_of(it, struct client_host, link);
        if (fg_list_empty(&host->waiting) || host->running >= client->host_connections_max)
            continue;
        fg_list_remove(&host->link);
        fg_list_append(&client->hosts, &host->link);
        return fg_container_of(fg_list_pop(&host->waiting), struct fg_http_call, link);
    }
    return NULL;
}

void client_host_next(struct fg_http_client *client)
{
    while (!client->closing && client->n_running < client->connections_max) {
        struct fg_http_call *call = next_waiting(client);
        if (!call)
            return;
        client_call_start(call);
    }
}
