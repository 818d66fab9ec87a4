/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts that are talked to: their lines of waiting calls and their slots. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/client-private.h"

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
    client_host_metrics(client, host);
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
