/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink-webhook: posts each record to a URL. It shows how a sink waits for HTTP and for a worker, what it says of each
 * outcome, and how a delivery that nobody waits for any more is dropped in each of these states.
 */
#include <fragua/plugin.h>

#include <stdlib.h>

#include "message.h"

#define ANSWER_MAX 65536u /* bytes of an answer's body, which nobody reads */

struct config {
    const char *url;
    int64_t concurrency, timeout;
    const struct fg_secret *token, *secret;
    struct fg_strings headers;
    bool allow_private;
    const struct fg_tls *tls;
};

struct sink {
    struct fg_host *host;
    const struct config *config;
    struct post *posts;  /* all that are under way */
    size_t n_signing;    /* posts of which a worker has the body */
    fg_done_cb stopped;  /* waits for those, or NULL */
    void *stopped_arg;
};

/* One record on its way. */
struct post {
    struct sink *sink;
    struct post *next;
    struct fg_delivery *delivery; /* NULL: cancelled */
    struct fg_record *record;     /* owned reference: a worker may read it for longer than the delivery lasts */
    struct fg_http_call *http;    /* NULL: not sent yet */
    struct message message;
};

static void post_free(struct post *post)
{
    struct post **at = &post->sink->posts;

    while (*at != post)
        at = &(*at)->next;
    *at = post->next;
    post->sink->host->svc->record_unref(post->record);
    message_deinit(&post->message);
    free(post);
}

/* What ends a post: its answer. err NULL: delivered. */
static void answer(struct post *post, const struct fg_error *err)
{
    struct fg_delivery *delivery = post->delivery;
    struct sink *s = post->sink;

    post_free(post); /* before the call: it may deliver again */
    s->host->svc->delivery_done(delivery, 0, NULL, 0, err);
}

static void answered(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct post *post = arg;
    struct fg_error why = res ? FG_ERROR_NULL : *err;

    if (res)
        message_outcome(res, &why);
    else if (why.code == FG_E_CONFIG)
        why.fatal = true; /* wrong for every record: the pipeline stops, none is given up for it */
    answer(post, why.code ? &why : NULL);
}

static void send_it(struct post *post)
{
    struct sink *s = post->sink;
    const struct config *c = s->config;
    struct fg_http_request req = {
        .method = "POST",
        .url = c->url,
        .headers = post->message.headers,
        .n_headers = post->message.n_headers,
        .body = s->host->svc->record_view(post->record)->value,
        .bearer = c->token,
        .timeout_ms = (uint32_t)c->timeout,
        .body_max = ANSWER_MAX,
        .allow_private = c->allow_private,
        .tls = c->tls,
    };
    struct fg_error err = FG_ERROR_NULL;

    post->http = s->host->svc->http_send(s->host, &req, answered, post, &err);
    if (post->http)
        return;
    err.fatal = err.fatal || err.code == FG_E_CONFIG;
    answer(post, &err);
}

/* On a worker: the sum over a large body would hold up the loop. */
static void sign(void *arg)
{
    struct post *post = arg;
    struct sink *s = post->sink;

    message_sign(&post->message, s->host->svc->record_view(post->record), s->host->svc->wall_ms(s->host) / 1000,
                 s->host->svc->secret_get(s->host, s->config->secret));
}

static void is_signed(void *arg)
{
    struct post *post = arg;
    struct sink *s = post->sink;
    struct fg_error err = FG_ERROR_NULL;

    s->n_signing--;
    if (!post->delivery) {
        post_free(post); /* cancelled meanwhile */
    } else if (post->message.failed) {
        (void)fg_error_set(&err, FG_E_INTERNAL, FG_ERROR_RETRIABLE, "cannot sign: no memory, or no such sum");
        answer(post, &err);
    } else {
        send_it(post);
    }
    if (s->stopped && s->n_signing == 0)
        s->stopped(s->stopped_arg);
}

static void deliver(void *self, struct fg_delivery *delivery)
{
    struct sink *s = self;
    const struct fg_services *svc = s->host->svc;
    struct fg_record *record = svc->delivery_record(delivery, 0);
    struct post *post = calloc(1, sizeof(*post));
    struct fg_error err = FG_ERROR_NULL;

    if (!post) {
        (void)fg_error_set(&err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory");
        svc->delivery_done(delivery, 0, NULL, 0, &err);
        return;
    }
    *post = (struct post){ .sink = s, .next = s->posts, .delivery = delivery, .record = svc->record_ref(record) };
    s->posts = post;
    if (message_make(&post->message, svc->record_view(record), &s->config->headers, &err) < 0) {
        answer(post, &err);
    } else if (s->config->secret) {
        s->n_signing++;
        (void)svc->offload(s->host, sign, is_signed, post);
    } else {
        send_it(post);
    }
}

static void drop(struct post *post)
{
    if (post->http) {
        post->sink->host->svc->http_cancel(post->http);
        post_free(post);
    } else {
        post->delivery = NULL; /* a worker signs it: is_signed() frees it */
    }
}

static void cancel(void *self, struct fg_delivery *delivery)
{
    struct sink *s = self;
    struct post *post = s->posts;

    while (post && post->delivery != delivery)
        post = post->next;
    if (post)
        drop(post);
}

static void limits(void *self, struct fg_sink_limits *ret)
{
    const struct sink *s = self;

    ret->in_flight_max = (size_t)s->config->concurrency;
    ret->key_order = true;
}

static int open_sink(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct sink *s = calloc(1, sizeof(*s));

    if (!s)
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory");
    s->host = host;
    s->config = config;
    *ret_self = s;
    return 0;
}

static void stop(void *self, fg_done_cb done, void *arg)
{
    struct sink *s = self;

    for (struct post *post = s->posts, *next; post; post = next) {
        next = post->next;
        drop(post);
    }
    if (s->n_signing == 0) {
        done(arg);
        return;
    }
    s->stopped = done;
    s->stopped_arg = arg;
}

static int check(const void *config, struct fg_error *err)
{
    const struct config *c = config;

    if (c->tls && !c->tls->certificate != !c->tls->key)
        return fg_error_set(err, FG_E_CONFIG, 0, "`tls` needs both `certificate` and `key`, or neither");
    for (size_t i = 0; i < c->headers.len; i++)
        if (!message_may_pass(c->headers.items[i]))
            return fg_error_set(err, FG_E_CONFIG, 0, "`headers`: \"%.80s\" cannot be sent as a header of a request",
                                c->headers.items[i]);
    return 0;
}

static const struct fg_sink_ops ops = { .deliver = deliver, .cancel = cancel, .limits = limits };

static const struct fg_option tls_options[] = {
    { .key = "ca", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, ca),
      .summary = "whom to trust, PEM file or folder; default: the system's roots" },
    { .key = "certificate", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, certificate),
      .summary = "client certificate, PEM" },
    { .key = "key", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, key), .summary = "its private key, PEM" },
    FG_OPTION_END,
};

static const struct fg_option options[] = {
    { .key = "url", .type = FG_OPTION_URL, .flags = FG_OPTION_REQUIRED, .offset = offsetof(struct config, url),
      .summary = "where each record is posted to" },
    { .key = "concurrency", .type = FG_OPTION_INTEGER, .fallback = "8", .min = 1, .max = 1024, .unit = "requests",
      .offset = offsetof(struct config, concurrency), .summary = "requests at a time, never two with the same key" },
    { .key = "timeout", .type = FG_OPTION_DURATION, .fallback = "10s", .min = 100, .max = 600000, .unit = "ms",
      .offset = offsetof(struct config, timeout), .summary = "for one request, answer included" },
    { .key = "token", .type = FG_OPTION_STRING, .flags = FG_OPTION_SECRET, .offset = offsetof(struct config, token),
      .summary = "sent as a bearer token" },
    { .key = "secret", .type = FG_OPTION_STRING, .flags = FG_OPTION_SECRET, .offset = offsetof(struct config, secret),
      .summary = "signs each request, as standardwebhooks.com has it",
      .detail = "Headers webhook-id, webhook-timestamp and webhook-signature: v1,base64(HMAC-SHA256(secret, "
                "\"id.timestamp.body\")). The id is the record's `ce_id`, or a sum of it, the same when it is sent "
                "again." },
    { .key = "headers", .type = FG_OPTION_STRINGS, .min = 0, .max = 32, .offset = offsetof(struct config, headers),
      .summary = "headers of the record that are sent beside content-type, traceparent and ce_..." },
    { .key = "allow-private", .type = FG_OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct config, allow_private),
      .summary = "let the URL's host have a private or loopback address" },
    { .key = "tls", .type = FG_OPTION_GROUP, .members = tls_options, .members_size = sizeof(struct fg_tls),
      .offset = offsetof(struct config, tls), .summary = "for https: other roots, a client certificate" },
    FG_OPTION_END,
};

FG_PLUGIN(.kind = FG_KIND_SINK, .name = "sink-webhook", .version = "1.0", .summary = "posts records to a URL",
          .options = options, .config_size = sizeof(struct config), .check = check, .open = open_sink, .stop = stop,
          .close = free, .sink = &ops);
