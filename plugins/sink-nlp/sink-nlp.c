/* SPDX-License-Identifier: Apache-2.0 */
/* sink-nlp: hands each document's text to an entity service over HTTP and gives back an entities record. */
#include <fragua/plugin.h>

#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

#include "entities.h"

#define TEXT_MAX (32u * 1024u * 1024u) /* of one document: more than any mail holds */
#define KEY_MAX 1024u                  /* of an Idempotency-Key; a longer one is not sent */
#define KEEP_MAX 65536u                /* bytes of a text that is kept while the service works; others are read again */

struct config {
    int service;
    const char *url, *model;
    int64_t concurrency, timeout, answer_max;
    const struct fg_secret *token;
    bool allow_private;
    const struct fg_tls *tls;
};

/* One document on its way to the service and back. */
struct call {
    struct sink *sink;
    struct fg_delivery *delivery;
    struct fg_record *record; /* borrowed from the delivery */
    struct fg_http_call *http; /* NULL: slot is free */
    struct fg_buf request, text;
};

struct sink {
    struct fg_host *host;
    const struct config *config;
    char url_host[256];
    struct fg_metric *dropped, *asked;
    struct call *calls; /* array of config->concurrency */
};

static void call_end(struct call *c)
{
    fg_buf_deinit(&c->request);
    fg_buf_deinit(&c->text);
    c->http = NULL;
    c->delivery = NULL;
}

static struct call *free_call(struct sink *s)
{
    for (int64_t i = 0; i < s->config->concurrency; i++)
        if (!s->calls[i].delivery)
            return &s->calls[i];
    return NULL;
}

static struct fg_slice header_of(const struct fg_record_view *view, const char *name)
{
    for (size_t i = 0; i < view->n_headers; i++)
        if (fg_slice_is(view->headers[i].name, name))
            return view->headers[i].value;
    return FG_SLICE_NULL;
}

/* The document's headers say what it is; the entities record says what it is made of. Empty ones are left out. */
static int make_record(struct sink *s, const struct fg_record_view *document, struct fg_slice value,
                       struct fg_record **ret, struct fg_error *err)
{
    struct fg_slice id = header_of(document, "ce_id");
    struct fg_buf entities_id = FG_BUF_INIT(id.len + sizeof(".entities"));
    struct fg_header headers[] = {
        { FG_SLICE("ce_specversion"), FG_SLICE("1.0") },
        { FG_SLICE("ce_id"), FG_SLICE_NULL },
        { FG_SLICE("ce_source"), header_of(document, "ce_source") },
        { FG_SLICE("ce_type"), FG_SLICE("fragua.mail.entities.v1") },
        { FG_SLICE("ce_time"), header_of(document, "ce_time") },
        { FG_SLICE("ce_subject"), header_of(document, "ce_subject") },
        { FG_SLICE("content-type"), FG_SLICE("application/json") },
        { FG_SLICE("fragua_schema"), FG_SLICE("fragua.mail.entities.v1") },
        { FG_SLICE("traceparent"), header_of(document, "traceparent") },
    };
    struct fg_record_spec spec = { .view = { .key = document->key, .value = value, .headers = headers,
                                             .timestamp_ms = document->timestamp_ms } };
    int r;

    if (id.len) {
        fg_buf_add_slice(&entities_id, id);
        fg_buf_add_str(&entities_id, ".entities");
        headers[1].value = fg_buf_slice(&entities_id);
    }
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        if (headers[i].value.len)
            headers[spec.view.n_headers++] = headers[i];
    r = s->host->svc->record_new(s->host, &spec, ret, err);
    fg_buf_deinit(&entities_id);
    return r;
}

static bool read_text(struct call *c, const struct fg_record_view *view)
{
    struct fg_json_value text = fg_json_find(view->value, "/text");

    fg_buf_deinit(&c->text);
    c->text = FG_BUF_INIT(TEXT_MAX);
    return text.kind == FG_JSON_STRING && fg_json_decode_string(text.raw, &c->text);
}

/* Answers the delivery with the record made of these spans. */
static void finish(struct call *c, struct answer *answer, int64_t elapsed_ms)
{
    struct sink *s = c->sink;
    const struct fg_record_view *view = s->host->svc->record_view(c->record);
    struct entities_input in = {
        .document = view->value,
        .text = fg_buf_slice(&c->text),
        .service = service_names[s->config->service],
        .url_host = s->url_host,
        .model = s->config->model,
        .elapsed_ms = elapsed_ms,
    };
    struct fg_buf value = FG_BUF_INIT(3 * (size_t)TEXT_MAX);
    struct fg_record *record = NULL;
    struct fg_error err = FG_ERROR_NULL;
    struct fg_delivery *delivery = c->delivery;
    size_t dropped = 0;
    int r;

    entities_write(&in, answer, &value, &dropped);
    fg_buf_deinit(&c->text);
    s->host->svc->metric_add(s->dropped, (double)dropped);
    if (dropped)
        s->host->svc->log(s->host, FG_LOG_DEBUG, "%zu of the service's entities do not fit their text and are left out",
                          dropped);
    if (value.failed)
        r = fg_error_set(&err, FG_E_LIMIT, 0, "no memory, or an entities record larger than %zu bytes", value.max);
    else
        r = make_record(s, view, fg_buf_slice(&value), &record, &err);
    fg_buf_deinit(&value);
    call_end(c);
    s->host->svc->delivery_done(delivery, 0, &record, r == 0 ? 1 : 0, r == 0 ? NULL : &err);
}

/* What is wrong with the configuration is wrong for every record: the pipeline stops, no mail is given up for it. */
static void fail(struct call *c, const struct fg_error *err)
{
    struct fg_delivery *delivery = c->delivery;
    struct sink *s = c->sink;
    struct fg_error why = *err;

    why.fatal = why.fatal || why.code == FG_E_CONFIG;
    call_end(c);
    s->host->svc->delivery_done(delivery, 0, NULL, 0, &why);
}

static void answered(void *arg, const struct fg_http_response *res, const struct fg_error *err)
{
    struct call *c = arg;
    struct answer answer = { .spans = NULL };
    struct fg_error why = FG_ERROR_NULL;

    c->http = NULL;
    fg_buf_deinit(&c->request);
    if (!res) {
        fail(c, err);
        return;
    }
    if (res->status != 200)
        (void)service_refusal(res->status, res->retry_after_ms, c->sink->url_host, &why);
    else
        (void)service_answer((enum service)c->sink->config->service, res->body, &answer, &why);
    if (!why.code && !c->text.len && !read_text(c, c->sink->host->svc->record_view(c->record)))
        (void)fg_error_set(&why, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for the text of a document");
    if (why.code)
        fail(c, &why);
    else
        finish(c, &answer, res->elapsed_ms);
    free(answer.spans);
}

/* What a header may hold, percent-encoded where it must be. Empty without an id, or when it is too long to be a key. */
static struct fg_slice idempotency_key(const struct fg_record_view *view, struct fg_buf *out)
{
    struct fg_slice parts[] = { header_of(view, "ce_source"), FG_SLICE("/"), header_of(view, "ce_id") };

    for (size_t k = 0; k < 3 && parts[2].len; k++)
        for (size_t i = 0; i < parts[k].len; i++) {
            unsigned char byte = (unsigned char)parts[k].ptr[i];
            if (byte > ' ' && byte < 0x7f && byte != '%')
                fg_buf_add_char(out, (char)byte);
            else
                fg_buf_printf(out, "%%%02X", byte);
        }
    return out->failed ? FG_SLICE_NULL : fg_buf_slice(out);
}

/* W3C trace context, version 00; what is none goes to nobody. */
static bool is_traceparent(struct fg_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("0123456789abcdef-", s.ptr[i]) || !s.ptr[i])
            return false;
    return s.len == 55;
}

static void send(struct call *c, const struct fg_record_view *view)
{
    struct sink *s = c->sink;
    struct fg_buf key = FG_BUF_INIT(KEY_MAX);
    struct fg_slice trace = header_of(view, "traceparent"), id = idempotency_key(view, &key);
    struct fg_header headers[3] = { { FG_SLICE("Content-Type"), FG_SLICE("application/json") } };
    struct fg_http_request req = {
        .method = "POST",
        .url = s->config->url,
        .headers = headers,
        .n_headers = 1,
        .body = fg_buf_slice(&c->request),
        .bearer = s->config->token,
        .timeout_ms = (uint32_t)s->config->timeout,
        .body_max = (size_t)s->config->answer_max,
        .allow_private = s->config->allow_private,
        .tls = s->config->tls,
    };
    struct fg_error err = FG_ERROR_NULL;

    if (id.len)
        headers[req.n_headers++] = (struct fg_header){ FG_SLICE("Idempotency-Key"), id };
    if (is_traceparent(trace))
        headers[req.n_headers++] = (struct fg_header){ FG_SLICE("traceparent"), trace };
    s->host->svc->metric_add(s->asked, 1);
    c->http = s->host->svc->http_send(s->host, &req, answered, c, &err);
    fg_buf_deinit(&key);
    if (!c->http)
        fail(c, &err);
}

/* A deleted mail has no text to look at and no entities to tell of. */
static bool is_deleted(struct fg_slice document)
{
    return fg_json_string_is(fg_json_find(document, "/change").raw, "deleted");
}

static void deliver(void *self, struct fg_delivery *delivery)
{
    struct sink *s = self;
    const struct fg_services *svc = s->host->svc;
    struct call *c = free_call(s);
    struct fg_record *record = svc->delivery_record(delivery, 0);
    const struct fg_record_view *view = svc->record_view(record);
    struct fg_error err = FG_ERROR_NULL;

    if (!c) {
        (void)fg_error_set(&err, FG_E_INTERNAL, FG_ERROR_RETRIABLE,
                           "more deliveries at a time than the %lld that `concurrency` allows",
                           (long long)s->config->concurrency);
        svc->delivery_done(delivery, 0, NULL, 0, &err);
        return;
    }
    if (is_deleted(view->value)) {
        svc->delivery_done(delivery, 0, NULL, 0, NULL);
        return;
    }
    *c = (struct call){ .sink = s, .delivery = delivery, .record = record,
                        .request = FG_BUF_INIT(6 * (size_t)TEXT_MAX) };
    if (!fg_json_valid(view->value) || !read_text(c, view)) {
        (void)fg_error_set(&err, FG_E_DATA, 0, "the record is no document: no JSON with a string \"text\" of at most "
                                               "32 MiB");
        fail(c, &err);
    } else if (c->text.len == 0) {
        finish(c, &(struct answer){ .spans = NULL }, 0);
    } else {
        struct fg_json_value language = fg_json_find(view->value, "/language");
        service_request((enum service)s->config->service, fg_buf_slice(&c->text),
                        language.kind == FG_JSON_STRING ? language.raw : FG_SLICE_NULL, s->config->model, &c->request);
        if (c->text.len > KEEP_MAX)
            fg_buf_deinit(&c->text);
        if (c->request.failed)
            (void)fg_error_set(&err, FG_E_LIMIT, 0, "no memory, or a request larger than %zu bytes", c->request.max);
        if (err.code)
            fail(c, &err);
        else
            send(c, view);
    }
}

static void cancel(void *self, struct fg_delivery *delivery)
{
    struct sink *s = self;

    for (int64_t i = 0; i < s->config->concurrency; i++) {
        struct call *c = &s->calls[i];
        if (c->delivery != delivery)
            continue;
        if (c->http)
            s->host->svc->http_cancel(c->http);
        call_end(c);
    }
}

static void limits(void *self, struct fg_sink_limits *ret)
{
    const struct sink *s = self;

    *ret = (struct fg_sink_limits){ .records_max = 1, .bytes_max = TEXT_MAX,
                                    .in_flight_max = (size_t)s->config->concurrency };
}

/* The host of an URL that the option table has checked. */
static void read_host(const char *url, char *ret, size_t size)
{
    const char *host = strstr(url, "://");

    host = host ? host + 3 : url;
    (void)snprintf(ret, size, "%.*s", (int)strcspn(host, "/?#"), host);
}

static int open_sink(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct sink *s = calloc(1, sizeof(*s));

    if (s) {
        s->host = host;
        s->config = config;
        s->calls = calloc((size_t)s->config->concurrency, sizeof(*s->calls));
    }
    if (!s || !s->calls) {
        free(s);
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory");
    }
    read_host(s->config->url, s->url_host, sizeof(s->url_host));
    s->dropped = host->svc->metric(host, FG_METRIC_COUNTER, "entities_dropped_total",
                                   "Entities of the service that do not fit their text");
    s->asked = host->svc->metric(host, FG_METRIC_COUNTER, "service_requests_total", "Texts handed to the service");
    *ret_self = s;
    return 0;
}

static void stop_sink(void *self, fg_done_cb done, void *arg)
{
    struct sink *s = self;

    for (int64_t i = 0; i < s->config->concurrency; i++)
        if (s->calls[i].delivery)
            cancel(s, s->calls[i].delivery);
    done(arg);
}

static void close_sink(void *self)
{
    struct sink *s = self;

    if (!s)
        return;
    free(s->calls);
    free(s);
}

static const struct fg_option tls_options[] = {
    { .key = "ca", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, ca),
      .summary = "whom to trust, PEM file or folder; default: the system's roots" },
    { .key = "certificate", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, certificate),
      .summary = "client certificate, PEM" },
    { .key = "key", .type = FG_OPTION_PATH, .offset = offsetof(struct fg_tls, key), .summary = "its private key, PEM" },
    FG_OPTION_END,
};

static const struct fg_option options[] = {
    { .key = "service", .type = FG_OPTION_ENUM, .flags = FG_OPTION_REQUIRED, .choices = service_names,
      .offset = offsetof(struct config, service), .summary = "what the service speaks",
      .detail = "spacy: POST {text, model}, answer [{start, end, label}]. generic: POST {text, language}, answer "
                "{entities: [{type, text, start, end, score, normalized}], model}. Offsets are code points." },
    { .key = "url", .type = FG_OPTION_URL, .flags = FG_OPTION_REQUIRED, .offset = offsetof(struct config, url),
      .summary = "where each text is posted to" },
    { .key = "concurrency", .type = FG_OPTION_INTEGER, .fallback = "16", .min = 1, .max = 1024, .unit = "requests",
      .offset = offsetof(struct config, concurrency), .summary = "requests at a time" },
    { .key = "timeout", .type = FG_OPTION_DURATION, .fallback = "30s", .min = 100, .max = 600000, .unit = "ms",
      .offset = offsetof(struct config, timeout), .summary = "for one request, answer included" },
    { .key = "model", .type = FG_OPTION_STRING, .offset = offsetof(struct config, model),
      .summary = "the service's name of the model to use" },
    { .key = "token", .type = FG_OPTION_STRING, .flags = FG_OPTION_SECRET, .offset = offsetof(struct config, token),
      .summary = "bearer token for the service" },
    { .key = "answer-max", .type = FG_OPTION_SIZE, .fallback = "8MiB", .min = 1024, .max = 256 * 1024 * 1024,
      .unit = "bytes", .offset = offsetof(struct config, answer_max), .summary = "largest answer that is taken" },
    { .key = "allow-private", .type = FG_OPTION_BOOL, .fallback = "true",
      .offset = offsetof(struct config, allow_private),
      .summary = "let the URL's host have a private or loopback address, as services in a cluster do" },
    { .key = "tls", .type = FG_OPTION_GROUP, .members = tls_options, .members_size = sizeof(struct fg_tls),
      .offset = offsetof(struct config, tls), .summary = "for https: other roots, a client certificate" },
    FG_OPTION_END,
};

static int check(const void *config, struct fg_error *err)
{
    const struct config *c = config;

    if (c->tls && !c->tls->certificate != !c->tls->key)
        return fg_error_set(err, FG_E_CONFIG, 0, "`tls` needs both `certificate` and `key`, or neither");
    return 0;
}

static const struct fg_sink_ops sink_ops = { .deliver = deliver, .cancel = cancel, .limits = limits };

FG_PLUGIN(.kind = FG_KIND_SINK, .name = "sink-nlp", .version = FG_VERSION,
          .summary = "hands documents to an entity service over HTTP", .options = options,
          .config_size = sizeof(struct config), .check = check, .open = open_sink, .stop = stop_sink,
          .close = close_sink, .sink = &sink_ops);
