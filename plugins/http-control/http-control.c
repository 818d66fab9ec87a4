/* SPDX-License-Identifier: Apache-2.0 */
/* http-control: probes, metrics, status, switches, reloads, events, the latest documents and entities, and a page. */
#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

#include "assets.h"
#include "control.h"

#define ANSWER_MAX (16u * 1024u * 1024u)
#define VALIDATE_MAX (1024u * 1024u)
#define LIMIT_DEFAULT 50
#define LIMIT_MAX 1000

static const char json_type[] = "application/json";

static void reply_buf(struct control *c, struct fg_exchange *x, const char *type, struct fg_buf *buf)
{
    if (buf->failed)
        c->host->svc->exchange_problem(x, 500, "too large", "the answer is larger than 16 MiB: use ?limit=");
    else
        c->host->svc->exchange_reply(x, 200, type, fg_buf_slice(buf));
    fg_buf_deinit(buf);
}

void control_report(struct control *c, struct fg_exchange *x, enum fg_report what, const char *name, int status,
                    const char *type)
{
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_error err = FG_ERROR_NULL;

    if (c->host->svc->report(c->host, what, name, fg_buf_write_cb, &buf, &err) < 0)
        c->host->svc->exchange_problem(x, err.code == FG_E_NOT_FOUND ? 404 : 500,
                                       err.code == FG_E_NOT_FOUND ? "not found" : "no report", err.text);
    else if (status == 200 || buf.failed)
        reply_buf(c, x, type, &buf);
    else
        c->host->svc->exchange_reply(x, status, type, fg_buf_slice(&buf));
    fg_buf_deinit(&buf);
}

static void get_livez(void *self, struct fg_exchange *x)
{
    struct control *c = self;

    c->host->svc->exchange_reply(x, 200, "text/plain; charset=utf-8", (struct fg_slice)FG_SLICE("ok\n"));
}

static bool query_has(struct control *c, struct fg_exchange *x, const char *name)
{
    struct fg_slice raw = c->host->svc->exchange_query_raw(x);

    return fg_slice_starts(raw, fg_slice_of(name)) || c->host->svc->exchange_query(x, name).len > 0;
}

static void get_readyz(void *self, struct fg_exchange *x)
{
    struct control *c = self;
    bool ready = c->host->svc->is_ready(c->host);

    if (query_has(c, x, "verbose"))
        control_report(c, x, FG_REPORT_READY, NULL, ready ? 200 : 503, json_type);
    else
        c->host->svc->exchange_reply(x, ready ? 200 : 503, "text/plain; charset=utf-8",
                                     fg_slice_of(ready ? "ready\n" : "not ready: see /readyz?verbose\n"));
}

static void get_metrics(void *self, struct fg_exchange *x)
{
    control_report(self, x, FG_REPORT_METRICS, NULL, 200, "text/plain; version=0.0.4; charset=utf-8");
}

static void get_openapi(void *self, struct fg_exchange *x)
{
    control_report(self, x, FG_REPORT_OPENAPI, NULL, 200, json_type);
}

static void get_status(void *self, struct fg_exchange *x)
{
    control_report(self, x, FG_REPORT_STATUS, NULL, 200, json_type);
}

static void get_config(void *self, struct fg_exchange *x)
{
    control_report(self, x, FG_REPORT_CONFIG, NULL, 200, json_type);
}

static void get_pipelines(void *self, struct fg_exchange *x)
{
    control_report(self, x, FG_REPORT_PIPELINES, NULL, 200, json_type);
}

/* The path parameter as a C string; false (and a 404) when it is no name at all. */
static bool read_name(struct control *c, struct fg_exchange *x, char *ret, size_t size)
{
    struct fg_slice name = c->host->svc->exchange_param(x, "name");

    if (name.len == 0 || name.len >= size || memchr(name.ptr, '\0', name.len)) {
        c->host->svc->exchange_problem(x, 404, "not found", "there is no such pipeline");
        return false;
    }
    memcpy(ret, name.ptr, name.len);
    ret[name.len] = '\0';
    return true;
}

static void get_pipeline(void *self, struct fg_exchange *x)
{
    char name[128];

    if (read_name(self, x, name, sizeof(name)))
        control_report(self, x, FG_REPORT_PIPELINES, name, 200, json_type);
}

static void act(struct control *c, struct fg_exchange *x, enum fg_pipeline_action action)
{
    struct fg_error err = FG_ERROR_NULL;
    char name[128];

    if (!read_name(c, x, name, sizeof(name)))
        return;
    if (c->host->svc->pipeline_action(c->host, name, action, &err) < 0)
        c->host->svc->exchange_problem(x, err.code == FG_E_NOT_FOUND ? 404 : 409,
                                       err.code == FG_E_NOT_FOUND ? "not found" : "not possible now", err.text);
    else
        control_report(c, x, FG_REPORT_PIPELINES, name, 202, json_type);
}

static void post_start(void *self, struct fg_exchange *x)
{
    act(self, x, FG_PIPELINE_START);
}

static void post_stop(void *self, struct fg_exchange *x)
{
    act(self, x, FG_PIPELINE_STOP);
}

static void post_pause(void *self, struct fg_exchange *x)
{
    act(self, x, FG_PIPELINE_PAUSE);
}

static void post_resume(void *self, struct fg_exchange *x)
{
    act(self, x, FG_PIPELINE_RESUME);
}

/* false: a query value is no number, and a 400 has been sent. */
static bool read_filter(struct control *c, struct fg_exchange *x, struct window_filter *ret)
{
    const struct fg_services *svc = c->host->svc;
    struct fg_slice limit = svc->exchange_query(x, "limit"), before = svc->exchange_query(x, "before");
    int64_t n = LIMIT_DEFAULT, number = 0;

    if ((limit.len && (!fg_parse_int(limit, &n) || n < 1 || n > LIMIT_MAX)) ||
        (before.len && (!fg_parse_int(before, &number) || number < 1))) {
        svc->exchange_problem(x, 400, "bad query",
                              "`limit` is a number from 1 to 1000, `before` the `next` of an answer");
        return false;
    }
    *ret = (struct window_filter){ .text = svc->exchange_query(x, "text"), .type = svc->exchange_query(x, "type"),
                                   .mailbox = svc->exchange_query(x, "mailbox"), .before = (uint64_t)number,
                                   .limit = (size_t)n };
    return true;
}

static void reply_window(struct control *c, struct fg_exchange *x,
                         void (*write)(const struct window *, const struct window_filter *, struct fg_json_writer *))
{
    struct fg_buf buf = FG_BUF_INIT(ANSWER_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    struct window_filter filter;

    if (!read_filter(c, x, &filter))
        return;
    write(&c->window, &filter, &w);
    reply_buf(c, x, json_type, &buf);
}

static void get_documents(void *self, struct fg_exchange *x)
{
    reply_window(self, x, window_write_documents);
}

static void get_entities(void *self, struct fg_exchange *x)
{
    reply_window(self, x, window_write_entities);
}

static void reply_item(struct control *c, struct fg_exchange *x, enum window_kind kind)
{
    const struct window_item *item = window_find(&c->window, kind, c->host->svc->exchange_param(x, "id"));

    if (item)
        c->host->svc->exchange_reply(x, 200, json_type, fg_slice_make(item->value, item->len));
    else
        c->host->svc->exchange_problem(x, 404, "not found", "not among the latest; older ones are in Kafka");
}

static void get_document(void *self, struct fg_exchange *x)
{
    reply_item(self, x, WINDOW_DOCUMENT);
}

static void get_document_entities(void *self, struct fg_exchange *x)
{
    reply_item(self, x, WINDOW_ENTITIES);
}

static void reply_asset(struct control *c, struct fg_exchange *x, const char *type, const unsigned char *bytes,
                        size_t size)
{
    c->host->svc->exchange_set_header(x, "Content-Security-Policy",
                                      "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                                      "frame-ancestors 'none'");
    c->host->svc->exchange_set_header(x, "Referrer-Policy", "no-referrer");
    c->host->svc->exchange_reply(x, 200, type, fg_slice_make(bytes, size));
}

static void get_page(void *self, struct fg_exchange *x)
{
    reply_asset(self, x, "text/html; charset=utf-8", asset_page_html, asset_page_html_size);
}

static void get_style(void *self, struct fg_exchange *x)
{
    reply_asset(self, x, "text/css; charset=utf-8", asset_page_css, asset_page_css_size);
}

static void get_script(void *self, struct fg_exchange *x)
{
    reply_asset(self, x, "text/javascript; charset=utf-8", asset_page_js, asset_page_js_size);
}

#define OBJECT "{\"type\":\"object\"}"
#define STRING "{\"type\":\"string\"}"

static const struct fg_route routes[] = {
    { "GET", "/livez", FG_SCOPE_OPEN, "the process is alive", NULL, NULL, get_livez, 0 },
    { "GET", "/readyz", FG_SCOPE_OPEN, "every pipeline is ready; ?verbose says which is not, and why", NULL, NULL,
      get_readyz, 0 },
    { "GET", "/metrics", FG_SCOPE_OPEN, "metrics for Prometheus", NULL, NULL, get_metrics, 0 },
    { "GET", "/openapi.json", FG_SCOPE_OPEN, "this description", NULL, OBJECT, get_openapi, 0 },
    { "GET", "/v1/status", FG_SCOPE_READ, "version, uptime, memory, Kafka, plugins", NULL, OBJECT, get_status, 0 },
    { "GET", "/v1/config", FG_SCOPE_READ, "the running file, secrets blanked", NULL, OBJECT, get_config, 0 },
    { "GET", "/v1/pipelines", FG_SCOPE_READ, "all pipelines with their state", NULL, OBJECT, get_pipelines, 0 },
    { "GET", "/v1/pipelines/{name}", FG_SCOPE_READ, "one pipeline", NULL, OBJECT, get_pipeline, 0 },
    { "POST", "/v1/pipelines/{name}/start", FG_SCOPE_CONTROL, "start it", NULL, OBJECT, post_start, 0 },
    { "POST", "/v1/pipelines/{name}/stop", FG_SCOPE_CONTROL, "drain and stop it", NULL, OBJECT, post_stop, 0 },
    { "POST", "/v1/pipelines/{name}/pause", FG_SCOPE_CONTROL, "take in nothing more", NULL, OBJECT, post_pause, 0 },
    { "POST", "/v1/pipelines/{name}/resume", FG_SCOPE_CONTROL, "go on", NULL, OBJECT, post_resume, 0 },
    { "POST", "/v1/reload", FG_SCOPE_CONTROL,
      "reload the file: 200 it runs or nothing had changed, 422 refused, 500 rolled back; ?wait=false: 202 at once",
      NULL, OBJECT, post_reload, 0 },
    { "GET", "/v1/reloads", FG_SCOPE_READ, "the generation and the last reloads, newest first", NULL, OBJECT,
      get_reloads, 0 },
    { "GET", "/v1/reloads/{generation}", FG_SCOPE_READ, "the reload that made a generation, or was to make it", NULL,
      OBJECT, get_reload, 0 },
    { "POST", "/v1/config/validate", FG_SCOPE_CONTROL,
      "what a reload with the body, the text of a file, would do: nothing is changed", STRING, OBJECT, post_validate,
      VALIDATE_MAX },
    { "GET", "/v1/events", FG_SCOPE_READ,
      "server-sent events; ?kinds=reload,pipeline,document,entities takes some of them", NULL, NULL, get_events, 0 },
    { "GET", "/v1/documents", FG_SCOPE_READ, "the latest documents; ?text= ?mailbox= ?before= ?limit=", NULL, OBJECT,
      get_documents, 0 },
    { "GET", "/v1/documents/{id}", FG_SCOPE_READ, "one of the latest documents", NULL, OBJECT, get_document, 0 },
    { "GET", "/v1/documents/{id}/entities", FG_SCOPE_READ, "its entities", NULL, OBJECT, get_document_entities, 0 },
    { "GET", "/v1/entities", FG_SCOPE_READ, "the latest entities; ?type= ?text= ?mailbox= ?before= ?limit=", NULL,
      OBJECT, get_entities, 0 },
    { "GET", "/", FG_SCOPE_OPEN, "the page", NULL, NULL, get_page, 0 },
    { "GET", "/page.css", FG_SCOPE_OPEN, "its style", NULL, NULL, get_style, 0 },
    { "GET", "/page.js", FG_SCOPE_OPEN, "its script", NULL, NULL, get_script, 0 },
};

static void show(struct control *c, enum window_kind kind, enum event_kind event, struct fg_slice value)
{
    const struct window_item *item = window_add(&c->window, kind, value);

    if (item)
        events_record(c, event, item->id, item->mailbox);
}

/* What a record is stands in its header, whatever its topic is called. */
static void on_record(void *arg, const struct fg_record_view *message, int32_t partition, int64_t offset)
{
    struct control *c = arg;

    (void)partition;
    (void)offset;
    for (size_t i = 0; i < message->n_headers; i++) {
        if (!fg_slice_is(message->headers[i].name, "ce_type"))
            continue;
        if (fg_slice_is(message->headers[i].value, "fragua.mail.document.v1"))
            show(c, WINDOW_DOCUMENT, EVENT_DOCUMENT, message->value);
        else if (fg_slice_is(message->headers[i].value, "fragua.mail.entities.v1"))
            show(c, WINDOW_ENTITIES, EVENT_ENTITIES, message->value);
    }
}

/* A pipeline of the file writes there; dead letters are not shown. */
static const char *output_at(struct control *c, size_t k, bool *ret_output)
{
    const char *role = "", *pipeline = NULL;
    const char *topic = c->host->svc->topic_at(c->host, k, &role, &pipeline);

    *ret_output = topic && strcmp(role, "output") == 0 && strlen(topic) < TOPIC_SIZE;
    return topic;
}

static bool is_output(struct control *c, const char *wanted)
{
    const char *topic;
    bool output;

    for (size_t k = 0; (topic = output_at(c, k, &output)); k++)
        if (output && strcmp(topic, wanted) == 0)
            return true;
    return false;
}

static void follow(struct control *c, const char *topic)
{
    struct followed *f = &c->follows[c->n_follows];
    struct fg_error why = FG_ERROR_NULL;

    for (size_t i = 0; i < c->n_follows; i++)
        if (strcmp(c->follows[i].topic, topic) == 0)
            return;
    if (c->n_follows == TOPICS_MAX) {
        c->host->svc->log(c->host, FG_LOG_WARN, "cannot show \"%s\": %u topics are shown already", topic, TOPICS_MAX);
        return;
    }
    f->follow = c->host->svc->follow(c->host, topic, c->config->window, on_record, c, &why);
    if (!f->follow) {
        c->host->svc->log(c->host, FG_LOG_WARN, "cannot show \"%s\": %s", topic, why.text);
        return;
    }
    (void)snprintf(f->topic, sizeof(f->topic), "%s", topic);
    c->n_follows++;
}

void control_follow(struct control *c)
{
    const char *topic;
    bool output;

    for (size_t i = c->n_follows; i-- > 0;) {
        if (is_output(c, c->follows[i].topic))
            continue;
        c->host->svc->follow_stop(c->follows[i].follow);
        c->follows[i] = c->follows[--c->n_follows];
    }
    for (size_t k = 0; (topic = output_at(c, k, &output)); k++)
        if (output)
            follow(c, topic);
}

static int start(void *self, struct fg_error *err)
{
    (void)err;
    events_start(self);
    control_follow(self);
    return 0;
}

static void stop(void *self, fg_done_cb done, void *arg)
{
    struct control *c = self;

    while (c->n_follows)
        c->host->svc->follow_stop(c->follows[--c->n_follows].follow);
    reloads_stop(c);
    events_stop(c);
    done(arg);
}

static void close_control(void *self)
{
    struct control *c = self;

    if (!c)
        return;
    events_deinit(c);
    window_deinit(&c->window);
    free(c);
}

static int open_control(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct control *c = calloc(1, sizeof(*c));

    if (!c)
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory");
    c->host = host;
    c->config = config;
    if (!window_init(&c->window, (size_t)c->config->window, (size_t)c->config->window_bytes) || !events_init(c)) {
        close_control(c);
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory for a window of %lld records",
                            (long long)((const struct config *)config)->window);
    }
    *ret_self = c;
    return 0;
}

static const struct fg_option options[] = {
    { .key = "window", .type = FG_OPTION_INTEGER, .fallback = "500", .min = 1, .max = 100000, .unit = "records",
      .offset = offsetof(struct config, window),
      .summary = "documents and entities records kept for the API and the page" },
    { .key = "window-bytes", .type = FG_OPTION_SIZE, .fallback = "4MiB", .min = 65536, .max = INT64_C(1) << 30,
      .unit = "bytes", .offset = offsetof(struct config, window_bytes), .summary = "bytes of them at most" },
    FG_OPTION_END,
};

static const struct fg_control_ops control_ops = { .routes = routes, .n_routes = sizeof(routes) / sizeof(routes[0]) };

FG_PLUGIN(.kind = FG_KIND_CONTROL, .name = "http-control", .version = FG_VERSION,
          .summary = "probes, metrics, status, switches, reloads, events, the latest records, and a page",
          .options = options, .config_size = sizeof(struct config), .open = open_control, .start = start, .stop = stop,
          .close = close_control, .control = &control_ops);
