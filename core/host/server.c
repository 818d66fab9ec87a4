/* SPDX-License-Identifier: Apache-2.0 */
/* From the file's `http` section to a server with the control plugins' routes on it. */
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/process-private.h"

static enum fg_scope scope_of(const struct fg_config_token *t)
{
    for (size_t i = 0; i < t->scopes.len; i++)
        if (strcmp(t->scopes.items[i], "control") == 0)
            return FG_SCOPE_CONTROL;
    return FG_SCOPE_READ;
}

/* Owned array, one for each of the file's; @config: where it belongs to. */
static struct fg_http_token *make_tokens(const struct fg_config_http *h)
{
    const struct fg_config_token *from = h->tokens.items;
    struct fg_http_token *tokens = fg_calloc(h->tokens.len ? h->tokens.len : 1, sizeof(*tokens));

    for (size_t i = 0; i < h->tokens.len; i++) {
        tokens[i].name = from[i].name;
        tokens[i].scope = scope_of(&from[i]);
        for (size_t k = 0; k < sizeof(tokens[i].sha256); k++) {
            const char *hex = &from[i].sha256[2 * k];
            tokens[i].sha256[k] = (uint8_t)(fg_hex_digit(hex[0]) * 16 + fg_hex_digit(hex[1]));
        }
    }
    return tokens;
}

static void server_config(struct fg_process *p, const struct fg_config *c, const struct fg_http_token *tokens,
                          struct fg_http_server_config *ret)
{
    const struct fg_config_http *h = &c->http;

    *ret = (struct fg_http_server_config){
        .loop = p->loop,
        .listen = h->listen,
        .tokens = tokens,
        .n_tokens = h->tokens.len,
        .replaces = p->server,
        .auth_required = h->tokens.len > 0 || (h->tls && h->tls->client_ca),
        .metrics = p->metrics,
        .budget = &p->budget,
        .logger = { .log = p->log, .node = "http" },
    };
    if (h->tls) {
        ret->tls_certificate = h->tls->certificate;
        ret->tls_key = h->tls->key;
        ret->tls_client_ca = h->tls->client_ca;
    }
}

int fg_process_open_server(struct fg_process *p, const struct fg_config *c, struct fg_http_server **ret,
                           struct fg_error *err)
{
    struct fg_http_server_config config;
    struct fg_http_token *tokens;
    int r;

    *ret = NULL;
    if (!c->http.listen)
        return 0;
    tokens = make_tokens(&c->http);
    server_config(p, c, tokens, &config);
    r = fg_http_server_new(&config, ret, err);
    free(tokens);
    if (r == 0)
        p->parts[FG_PART_SERVER]++;
    return fg_pass(r);
}

int fg_process_prepare_server(struct fg_process *p, const struct fg_config *c, struct fg_http_server_change **ret,
                              struct fg_error *err)
{
    struct fg_http_token *tokens = make_tokens(&c->http);
    struct fg_http_server_config config;
    int r;

    server_config(p, c, tokens, &config);
    r = fg_http_server_prepare(p->server, &config, ret, err);
    free(tokens);
    return fg_pass(r);
}

int fg_process_mount(struct fg_http_server *server, struct fg_node *control, struct fg_http_mount **ret,
                     struct fg_error *err)
{
    const struct fg_control_ops *ops = control->ops->control;

    return fg_pass(fg_http_server_mount(server, ops->routes, ops->n_routes, control->selves[0], ret, err));
}

static void closed(void *arg)
{
    fg_process_part_gone(arg, FG_PART_SERVER);
}

void fg_process_close_server(struct fg_process *p, struct fg_http_server *server, uint64_t within_ms)
{
    if (server)
        fg_http_server_close(server, within_ms, closed, p);
}
