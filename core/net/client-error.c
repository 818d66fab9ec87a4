/* SPDX-License-Identifier: Apache-2.0 */
/* What a failed transfer means to the one who asked for it. */
#include "net/client-private.h"

struct meaning {
    CURLcode code;
    int error;
    unsigned flags;
    const char *what;
};

static const struct meaning meanings[] = {
    { CURLE_COULDNT_RESOLVE_HOST, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "cannot find the host" },
    { CURLE_COULDNT_CONNECT, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "cannot connect" },
    { CURLE_OPERATION_TIMEDOUT, FG_E_TIMEOUT, FG_ERROR_RETRIABLE, "cannot connect in time" },
    { CURLE_PARTIAL_FILE, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "the answer was cut" },
    { CURLE_GOT_NOTHING, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "the connection was closed without an answer" },
    { CURLE_RECV_ERROR, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "the connection broke" },
    { CURLE_SEND_ERROR, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "the connection broke" },
    { CURLE_SSL_CONNECT_ERROR, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "no TLS connection" },
    /* retriable, because certificates are renewed on both sides while we run */
    { CURLE_PEER_FAILED_VERIFICATION, FG_E_AUTH, FG_ERROR_RETRIABLE, "the server's certificate is not trusted" },
    { CURLE_SSL_CERTPROBLEM, FG_E_CONFIG, 0, "the client certificate or key cannot be used" },
    { CURLE_SSL_CACERT_BADFILE, FG_E_CONFIG, 0, "the trusted certificates cannot be used" },
    { CURLE_WEIRD_SERVER_REPLY, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "the answer makes no sense" },
    { CURLE_UNSUPPORTED_PROTOCOL, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "the answer is not HTTP/1" },
    { CURLE_BAD_CONTENT_ENCODING, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "the answer makes no sense" },
    { CURLE_OUT_OF_MEMORY, FG_E_INTERNAL, FG_ERROR_RETRIABLE, "no memory" },
};

/* curl's words, of which some are the server's: kept to what a terminal and a log can bear. */
static void plain(const char *text, char *ret, size_t size)
{
    size_t i;

    for (i = 0; i + 1 < size && text[i] != '\0'; i++)
        ret[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    ret[i] = '\0';
}

static void of_trouble(const struct fg_http_call *call, struct fg_error *ret)
{
    const char *method = call->method, *where = call->where;

    switch (call->trouble) {
    case TROUBLE_BODY_MAX:
        (void)fg_error_set(ret, FG_E_LIMIT, 0, "%s %s: the answer's body is larger than %zu bytes", method, where,
                           call->body.max);
        break;
    case TROUBLE_BUDGET:
        (void)fg_error_set(ret, FG_E_LIMIT, 0, "%s %s: the answer's body is larger than three quarters of the byte "
                           "budget, which is %zu bytes: raise limits.memory", method, where,
                           fg_budget_limit(call->client->budget));
        break;
    case TROUBLE_HEAD_MAX:
        (void)fg_error_set(ret, FG_E_LIMIT, 0, "%s %s: the answer has more than %d header fields or %d bytes of them",
                           method, where, HEADERS_MAX, HEAD_BYTES_MAX);
        break;
    case TROUBLE_MEMORY:
        (void)fg_error_set(ret, FG_E_INTERNAL, FG_ERROR_RETRIABLE, "%s %s: no memory for the answer", method, where);
        break;
    case TROUBLE_NONE:
    case TROUBLE_HEAD:
    case TROUBLE_PEER: /* has its own words, see client_error_of() */
        (void)fg_error_set(ret, FG_E_PROTOCOL, FG_ERROR_RETRIABLE, "%s %s: the answer's head is not HTTP/1", method,
                           where);
        break;
    }
}

void client_error_of(const struct fg_http_call *call, CURLcode code, struct fg_error *ret)
{
    struct meaning m = { code, FG_E_UNAVAILABLE, FG_ERROR_RETRIABLE, "the exchange failed" };
    char reason[128];

    if (call->trouble == TROUBLE_PEER || (call->refused[0] && call->opened == 0 && code == CURLE_COULDNT_CONNECT)) {
        /* host and address first: they must not be cut off */
        (void)fg_error_set(ret, FG_E_CONFIG, 0, "host \"%.80s\" has the private address %s, which this request may not "
                           "reach: %s %.80s", call->name, call->refused, call->method, call->where);
        return;
    }
    if (call->trouble != TROUBLE_NONE) {
        of_trouble(call, ret);
        return;
    }
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].code == code)
            m = meanings[i];
    plain(call->reason[0] ? call->reason : curl_easy_strerror(code), reason, sizeof(reason));
    (void)fg_error_set(ret, m.error, m.flags, "%s %s: %s (%s)", call->method, call->where, m.what, reason);
}
