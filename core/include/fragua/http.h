/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP as plugins see it: requests they send, and routes they offer. The host owns sockets, TLS, pools and limits. */
#pragma once

#include <fragua/host.h>

/* TLS towards one party. Paths are PEM files (ca: a file, or a folder whose *.crt and *.pem are all trusted). */
struct fg_tls {
    const char *ca;          /* NULL: the system's roots */
    const char *certificate; /* NULL: no client certificate */
    const char *key;
};

/* Everything is copied or read by http_send() before it returns, but `body`: that is lent until done() or cancel. */
struct fg_http_request {
    const char *method; /* "GET", "POST", ... */
    const char *url;    /* absolute; http or https; redirects are never followed */
    const struct fg_header *headers; /* array of n_headers; RFC 9110's tokens, no control characters, none of framing */
    size_t n_headers;
    struct fg_slice body;
    const struct fg_secret *bearer; /* sent as "Authorization: Bearer ..."; NULL: none */
    uint32_t timeout_ms;            /* for the whole exchange, from now; 1..600000 */
    uint32_t connect_timeout_ms;    /* 0: 10 s or the whole, whichever is less */
    size_t body_max;                /* bytes of answer taken at most; more is an error with FG_E_LIMIT */
    bool allow_private;             /* false: refuse loopback, link-local, private and unique-local peers */
    const struct fg_tls *tls;       /* NULL: the system's roots, no client certificate */
};

/* An answer, whole. Borrowed: valid until done() returns. */
struct fg_http_response {
    int status; /* 100..599 */
    const struct fg_header *headers; /* array of n_headers */
    size_t n_headers;
    struct fg_slice body;
    uint32_t retry_after_ms; /* from Retry-After, in seconds or as a date, cut at 1 h; 0: none */
    uint32_t elapsed_ms;
};

enum fg_scope {
    FG_SCOPE_OPEN,    /* no credentials asked: probes, simulators, pages without data */
    FG_SCOPE_READ,    /* a token with scope read or control, or a client certificate */
    FG_SCOPE_CONTROL, /* a token with scope control, or a client certificate */
};

/*
 * A route. `path` has literal segments and {parameters}; `{name...}` as the last one takes the rest. A literal wins
 * over a parameter. Schemas are JSON Schema texts or NULL; the OpenAPI page is made of these members and nothing else.
 */
struct fg_route {
    const char *method;
    const char *path;
    enum fg_scope scope;
    const char *summary; /* one line */
    const char *request_schema;
    const char *response_schema;
    void (*handle)(void *self, struct fg_exchange *x); /* answers now, later, or as a stream */
    size_t body_max; /* bytes of request body taken; 0: 1 MiB; more is answered 413 by the host */
};
