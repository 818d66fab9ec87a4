/* SPDX-License-Identifier: Apache-2.0 */
/* What changes of a server while it listens: made with everything read and checked, then put in place. */
#include <stdlib.h>

#include "base/err.h"
#include "net/server-private.h"

struct fg_http_server_change {
    struct fg_server_tls *tls; /* owned; NULL: plain */
    bool client_certificates, auth_required;
    struct fg_http_token *tokens; /* owned: array of n_tokens */
    size_t n_tokens;
    struct fg_http_server_limits limits;
    struct fg_logger logger;
};

struct fg_http_server_change *fg_http_server_change_free(struct fg_http_server_change *change)
{
    if (!change)
        return NULL;
    fg_server_tls_free(change->tls);
    free(change->tokens);
    free(change);
    return NULL;
}

int fg_http_server_prepare(struct fg_http_server *server, const struct fg_http_server_config *config,
                           struct fg_http_server_change **ret, struct fg_error *err)
{
    struct fg_http_server_change *change;
    int r;

    if (strcmp(config->listen, server->listen) != 0)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "a server that listens on \"%s\" cannot move to \"%s\"",
                                     server->listen, config->listen));
    change = calloc(1, sizeof(*change));
    if (!change)
        return fg_raise(fg_error_set(err, FG_E_INTERNAL, 0, "no memory to change the HTTP server"));
    change->client_certificates = config->tls_certificate && config->tls_client_ca;
    change->auth_required = config->auth_required;
    change->limits = config->limits;
    change->logger = config->logger;
    change->n_tokens = config->n_tokens;
    change->tokens = fg_server_copy_tokens(config, err);
    r = change->tokens ? 0 : -FG_E_INTERNAL;
    if (r == 0 && config->tls_certificate)
        r = fg_server_tls_new(config, &change->tls, err);
    if (r < 0) {
        fg_http_server_change_free(change);
        return fg_pass(r);
    }
    *ret = change;
    return 0;
}

/* New certificates: a connection that has not begun its handshake gets them, others end with their exchange. */
static void renew(struct fg_connection *conn)
{
    SSL *ssl;

    if (conn->phase == FG_PHASE_HANDSHAKE && conn->server->tls && SSL_in_before(conn->ssl) &&
        (ssl = fg_server_tls_session(conn->server->tls)) != NULL) {
        SSL_free(conn->ssl);
        conn->ssl = ssl;
        return;
    }
    conn->close_after = true;
    /* a client that is about to send its first request would take the end for a failure; later ones try again */
    if (conn->phase == FG_PHASE_HEAD && conn->served && fg_reader_idle(&conn->reader))
        fg_wire_finish(conn);
}

static void judge(struct fg_connection *conn)
{
    conn->certified = fg_server_tls_certified(conn);
    if (conn->x && conn->x->state == FG_EXCHANGE_STREAM && fg_auth_check_again(conn->x).status != 0)
        fg_connection_cut(conn);
}

void fg_http_server_apply(struct fg_http_server *server, struct fg_http_server_change *change)
{
    bool same = fg_server_tls_same(server->tls, change->tls);
    struct fg_server_tls *tls = same ? server->tls : change->tls;
    struct fg_http_token *tokens = server->tokens;
    struct fg_list *it, *tmp;

    change->tls = same ? change->tls : server->tls; /* what is not used any more goes with the change */
    server->tls = tls;
    server->tokens = change->tokens;
    change->tokens = tokens;
    server->n_tokens = change->n_tokens;
    server->client_certificates = change->client_certificates;
    server->auth_required = change->auth_required;
    server->logger = change->logger;
    server->n_changes++;
    fg_server_set_limits(server, &change->limits);
    fg_list_for_each_safe(it, tmp, &server->connections)
    {
        struct fg_connection *conn = fg_container_of(it, struct fg_connection, link);

        if (conn->phase == FG_PHASE_CLOSING || conn->phase == FG_PHASE_LINGER)
            continue;
        if (!same)
            renew(conn);
        judge(conn);
    }
    fg_http_server_change_free(change);
}
