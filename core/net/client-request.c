/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a request and turns it into the options of an easy handle. Nothing of the request is kept but its body. */
#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/client-private.h"
#include "net/head-check.h"

static void cleanup_url(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void cleanup_text(char **text)
{
    curl_free(*text);
}

/* The client frames the message itself: a second length would let one request be read as two. */
static bool is_ours(struct fg_slice name)
{
    static const struct fg_slice ours[] = { FG_SLICE("content-length"), FG_SLICE("transfer-encoding"),
                                            FG_SLICE("connection"),     FG_SLICE("upgrade"),
                                            FG_SLICE("te"),             FG_SLICE("trailer") };
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (fg_slice_ieq(name, ours[i]))
            return true;
    return false;
}

static int check_header(const struct fg_http_call *call, const struct fg_header *h, bool has_bearer,
                        struct fg_error *err)
{
    static const struct fg_slice authorization = FG_SLICE("authorization");

    if (h->name.len > HEADER_NAME_MAX || !fg_head_is_token(h->name))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s %s: a header's name is not 1 to %d letters, digits, "
                                     "or signs as in RFC 9110 5.6.2", call->method, call->where, HEADER_NAME_MAX));
    if (!fg_head_is_value(h->value)) /* the value may be a secret: the name tells enough */
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s %s: the value of header \"%.*s\" holds a line break or "
                                     "control character", call->method, call->where, FG_SLICE_ARG(h->name)));
    if (is_ours(h->name))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s %s: header \"%.*s\" is set by the client itself: leave "
                                     "it out", call->method, call->where, FG_SLICE_ARG(h->name)));
    if (has_bearer && fg_slice_ieq(h->name, authorization))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s %s: both a bearer token and a header "
                                     "\"Authorization\": leave one out", call->method, call->where));
    return 0;
}

static int no_memory(struct fg_error *err)
{
    return fg_raise(fg_error_set(err, FG_E_INTERNAL, FG_ERROR_RETRIABLE, "cannot send a request: no memory"));
}

/* Appends "name: value", cleansing the scratch copy. */
static int append(struct fg_http_call *call, struct fg_slice name, struct fg_slice value, struct fg_error *err)
{
    size_t size = name.len + value.len + 4;
    char *line = malloc(size);
    struct curl_slist *longer = NULL;

    if (line) {
        /* "Name;" is how curl is told to send an empty value; "Name:" would leave the field out */
        (void)snprintf(line, size, value.len ? "%.*s: %.*s" : "%.*s;%.*s", FG_SLICE_ARG(name), FG_SLICE_ARG(value));
        longer = curl_slist_append(call->headers, line);
        OPENSSL_cleanse(line, size);
        free(line);
    }
    if (!longer)
        return no_memory(err);
    call->headers = longer;
    return 0;
}

/* Takes a field of curl's own out. */
static int suppress(struct fg_http_call *call, const char *name_colon, struct fg_error *err)
{
    struct curl_slist *longer = curl_slist_append(call->headers, name_colon);

    if (!longer)
        return no_memory(err);
    call->headers = longer;
    return 0;
}

static int set_bearer(struct fg_http_call *call, struct fg_slice bearer, struct fg_error *err)
{
    static const struct fg_slice name = FG_SLICE("Authorization");
    char *value;
    size_t size = sizeof("Bearer ") + bearer.len;
    int r;

    if (bearer.len == 0)
        return 0;
    if (!fg_head_is_value(bearer))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s %s: the bearer token holds a line break or control "
                                     "character: look for a stray end of line where it is kept",
                                     call->method, call->where));
    value = malloc(size);
    if (!value)
        return no_memory(err);
    (void)snprintf(value, size, "Bearer %.*s", FG_SLICE_ARG(bearer));
    r = append(call, name, fg_slice_make(value, size - 1), err);
    OPENSSL_cleanse(value, size);
    free(value);
    if (r == 0) {
        call->bearer = call->headers;
        while (call->bearer->next)
            call->bearer = call->bearer->next;
    }
    return r;
}

static int set_headers(struct fg_http_call *call, const struct fg_http_request *req, struct fg_slice bearer,
                       struct fg_error *err)
{
    static const struct fg_slice content_type = FG_SLICE("content-type");
    bool typed = false;
    int r = 0;

    if (req->n_headers > HEADERS_MAX)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s %s: %zu headers, at most %d are sent", call->method,
                                     call->where, req->n_headers, HEADERS_MAX));
    for (size_t i = 0; r == 0 && i < req->n_headers; i++) {
        const struct fg_header *h = &req->headers[i];
        typed = typed || fg_slice_ieq(h->name, content_type);
        r = check_header(call, h, bearer.len > 0, err);
        if (r == 0)
            r = append(call, h->name, h->value, err);
    }
    if (r == 0 && !typed)
        r = suppress(call, "Content-Type:", err); /* curl would say that it is a form */
    if (r == 0)
        r = suppress(call, "Expect:", err); /* curl would wait 1 s for "100 Continue" before a large body */
    if (r == 0)
        r = set_bearer(call, bearer, err); /* last: the list ends with the line to cleanse */
    if (r == 0)
        (void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return r;
}

static bool has_body_always(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
}

static void set_method(struct fg_http_call *call, const struct fg_http_request *req)
{
    CURL *easy = call->easy;

    if (req->body.len > 0 || has_body_always(call->method)) {
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, req->body.len ? req->body.ptr : "");
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.len);
    } else if (strcmp(call->method, "HEAD") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

/* CURLOPT_PREREQFUNCTION: a connection kept by a request that was allowed more is judged again. */
static int on_prereq(void *arg, char *peer, char *local, int peer_port, int local_port)
{
    struct fg_http_call *call = arg;

    (void)local;
    (void)peer_port;
    (void)local_port;
    if (call->allow_private || !client_peer_private_text(peer))
        return CURL_PREREQFUNC_OK;
    (void)snprintf(call->refused, sizeof(call->refused), "%s", peer);
    call->trouble = TROUBLE_PEER;
    return CURL_PREREQFUNC_ABORT;
}

static void set_connection(struct fg_http_call *call, const struct fg_http_request *req)
{
    CURL *easy = call->easy;
    uint32_t connect_ms = req->connect_timeout_ms ? req->connect_timeout_ms : CONNECT_TIMEOUT_MS;

    if (connect_ms > req->timeout_ms)
        connect_ms = req->timeout_ms;
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* else cancelling while a name is looked up would block the loop until the system's resolver gives up */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long)CONNECTION_LIFETIME_S);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, call->client->user_agent);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->reason);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, client_loop_open);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    (void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, client_loop_close_socket);
    (void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, call->client);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prereq);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    client_response_callbacks(call);
}

/* Bytes that others chose, lent to curl: the set lives until the call is idle again. */
static void set_blob(CURL *easy, CURLoption option, const struct fg_buf *pem)
{
    struct curl_blob blob = { .data = pem->data, .len = pem->len, .flags = CURL_BLOB_NOCOPY };

    if (pem->len > 0)
        (void)curl_easy_setopt(easy, option, &blob);
}

static int set_tls(struct fg_http_call *call, const struct fg_http_request *req, struct fg_error *err)
{
    int r;

    (void)curl_easy_setopt(call->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!req->tls || (!req->tls->ca && !req->tls->certificate && !req->tls->key))
        return 0;
    r = client_tls_get(call->client, req->tls, &call->tls, err);
    if (r < 0)
        return fg_pass(r);
    set_blob(call->easy, CURLOPT_CAINFO_BLOB, &call->tls->ca_pem);
    set_blob(call->easy, CURLOPT_SSLCERT_BLOB, &call->tls->certificate_pem);
    set_blob(call->easy, CURLOPT_SSLKEY_BLOB, &call->tls->key_pem);
    return 0;
}

/* Text for people that may be cut, of bytes that a terminal and a log can bear. */
__attribute__((format(printf, 3, 4))) static void describe(char *ret, size_t size, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    /* clang 14 loses sight of va_start: NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    (void)vsnprintf(ret, size, format, ap);
    va_end(ap);
    for (; *ret; ret++)
        if (*ret <= 0x20 || *ret >= 0x7f)
            *ret = '?';
}

static int bad_url(struct fg_error *err, const char *method, const char *why)
{
    return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s: the URL %s", method, why));
}

/* The parts of the URL that messages and pools need. The URL's text is not shown: it may hold a token. */
static int set_url(struct fg_http_call *call, const struct fg_http_request *req, struct fg_error *err)
{
    __attribute__((cleanup(cleanup_url))) CURLU *url = curl_url();
    __attribute__((cleanup(cleanup_text))) char *scheme = NULL, *name = NULL, *port = NULL, *path = NULL;
    char origin[512], label[256];
    bool usual;
    CURLUcode r;

    if (!url)
        return no_memory(err);
    if (!req->url || strlen(req->url) > URL_MAX)
        return bad_url(err, call->method, req->url ? "is longer than 16384 bytes" : "is missing");
    r = curl_url_set(url, CURLUPART_URL, req->url, CURLU_DISALLOW_USER);
    if (r == CURLUE_USER_NOT_ALLOWED)
        return bad_url(err, call->method, "holds a user or password: give credentials as a bearer token or header");
    if (r == CURLUE_OK)
        r = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
    if (r == CURLUE_OK && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return bad_url(err, call->method, "is neither http nor https");
    if (r == CURLUE_OK)
        r = curl_url_get(url, CURLUPART_HOST, &name, 0);
    if (r == CURLUE_OK)
        r = curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    if (r == CURLUE_OK)
        r = curl_url_get(url, CURLUPART_PATH, &path, 0);
    if (r == CURLUE_OUT_OF_MEMORY)
        return no_memory(err);
    if (r != CURLUE_OK || strlen(name) >= sizeof(call->name))
        return bad_url(err, call->method, r ? curl_url_strerror(r) : "has a host name of more than 255 bytes");
    for (char *c = name; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    usual = strcmp(port, strcmp(scheme, "https") == 0 ? "443" : "80") == 0;
    describe(call->name, sizeof(call->name), "%s", name);
    describe(label, sizeof(label), "%s%s%s", name, usual ? "" : ":", usual ? "" : port);
    (void)snprintf(origin, sizeof(origin), "%s://%s:%s", scheme, name, port);
    describe(call->where, sizeof(call->where), "%s://%s%s", scheme, label, path);
    if (curl_easy_setopt(call->easy, CURLOPT_URL, req->url) != CURLE_OK)
        return no_memory(err);
    call->host = client_host_get(call->client, origin, label);
    return 0;
}

int client_request_set(struct fg_http_call *call, const struct fg_http_request *req, struct fg_slice bearer,
                       struct fg_error *err)
{
    int r;

    if (!req->method || strlen(req->method) > METHOD_MAX || !fg_head_is_token(fg_slice_of(req->method)))
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "cannot send a request: its method is not 1 to %d letters",
                                     METHOD_MAX));
    (void)snprintf(call->method, sizeof(call->method), "%s", req->method);
    r = set_url(call, req, err);
    if (r < 0)
        return fg_pass(r);
    if (req->timeout_ms == 0 || req->timeout_ms > TIMEOUT_MS_MAX)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0, "%s %s: a timeout of %u ms, but 1 to %d are allowed",
                                     call->method, call->where, req->timeout_ms, TIMEOUT_MS_MAX));
    call->allow_private = req->allow_private;
    call->body.max = req->body_max;
    set_connection(call, req);
    r = set_headers(call, req, bearer, err);
    if (r == 0)
        r = set_tls(call, req, err);
    if (r == 0)
        set_method(call, req);
    return r < 0 ? fg_pass(r) : 0;
}
