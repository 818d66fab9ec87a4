/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call a route: bearer tokens (RFC 6750), client certificates, and what guards an open server on loopback. */
#include <arpa/inet.h>
#include <strings.h>

#include "base/hash.h"
#include "base/str.h"
#include "net/server-private.h"

#define TOKEN_BYTES_MAX 4096

static const struct fg_refusal granted = {0};

static struct fg_refusal refuse(int status, const char *detail, const char *headers)
{
    return (struct fg_refusal){status, detail, fg_slice_of(headers)};
}

/* Every token is compared, whichever matched, so that the time taken tells nothing. */
static const struct fg_http_token *find_token(const struct fg_http_server *server, struct fg_slice text)
{
    const struct fg_http_token *found = NULL;
    uint8_t digest[FG_SHA256_SIZE];

    fg_sha256(text, digest);
    for (size_t i = 0; i < server->n_tokens; i++)
        if (fg_equal_constant_time(fg_slice_make(digest, sizeof(digest)),
                                   fg_slice_make(server->tokens[i].sha256, FG_SHA256_SIZE)))
            found = &server->tokens[i];
    return found;
}

static struct fg_refusal check_token(const struct fg_http_server *server, const struct fg_message *msg,
                                     enum fg_scope scope)
{
    struct fg_slice value = fg_head_find(&msg->head, msg->bytes.data, "Authorization");
    const struct fg_http_token *token;

    if (!value.ptr)
        return refuse(401, "a token is needed", "WWW-Authenticate: Bearer realm=\"fragua\"\r\n");
    if (value.len > 7 && value.len <= TOKEN_BYTES_MAX && strncasecmp(value.ptr, "Bearer ", 7) == 0 &&
        fg_head_count(&msg->head, msg->bytes.data, "Authorization") == 1)
        value = fg_slice_trim(fg_slice_make(value.ptr + 7, value.len - 7));
    else
        value = FG_SLICE_NULL;
    token = value.len > 0 ? find_token(server, value) : NULL;
    if (!token)
        return refuse(401, "the token is not known",
                      "WWW-Authenticate: Bearer realm=\"fragua\", error=\"invalid_token\"\r\n");
    if (scope == FG_SCOPE_CONTROL && token->scope != FG_SCOPE_CONTROL)
        return refuse(403, "the token's scope does not allow this",
                      "WWW-Authenticate: Bearer realm=\"fragua\", error=\"insufficient_scope\", scope=\"control\"\r\n");
    return granted;
}

/* An address, or localhost: not a name that somebody's DNS can point at us from a web page. */
static bool is_own_name(struct fg_slice host)
{
    char name[64];
    unsigned char address[16];
    const char *colon;

    if (host.len > 0 && host.ptr[0] == '[')
        return true;
    colon = host.len > 0 ? memchr(host.ptr, ':', host.len) : NULL;
    if (colon)
        host.len = (size_t)(colon - host.ptr);
    if (fg_slice_ieq(host, fg_slice_of("localhost")) || host.len == 0)
        return true;
    if (host.len >= sizeof(name))
        return false;
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';
    return inet_pton(AF_INET, name, address) == 1;
}

/*
 * Without credentials a web page in the user's browser could reach us: by a name of its own that resolves to loopback
 * (DNS rebinding), or by a form that posts across sites. Tools send neither such a Host nor an Origin.
 */
static struct fg_refusal check_browser(const struct fg_http_server *server, const struct fg_message *msg)
{
    struct fg_slice host = fg_head_find(&msg->head, msg->bytes.data, "Host");
    struct fg_slice origin = fg_head_find(&msg->head, msg->bytes.data, "Origin");

    if (server->loopback && !is_own_name(host))
        return refuse(421, "without tokens this is served only under an IP address or \"localhost\"", NULL);
    if (origin.ptr && fg_slice_starts(origin, fg_slice_of("http://")))
        origin = fg_slice_sub(origin, 7, origin.len);
    else if (origin.ptr && fg_slice_starts(origin, fg_slice_of("https://")))
        origin = fg_slice_sub(origin, 8, origin.len);
    if (origin.ptr && !fg_slice_ieq(origin, host))
        return refuse(403, "without tokens this is not served to pages of another origin", NULL);
    return granted;
}

struct fg_refusal fg_auth_check(const struct fg_connection *conn, const struct fg_message *msg, enum fg_scope scope)
{
    const struct fg_http_server *server = conn->server;

    if (scope == FG_SCOPE_OPEN)
        return granted;
    if (!server->auth_required)
        return check_browser(server, msg);
    if (conn->certified)
        return granted;
    return check_token(server, msg, scope);
}

struct fg_refusal fg_auth_check_again(struct fg_exchange *x)
{
    if (x->judged == x->conn->server->n_changes)
        return granted;
    x->judged = x->conn->server->n_changes;
    return fg_auth_check(x->conn, x->msg, x->entry->route->scope);
}
