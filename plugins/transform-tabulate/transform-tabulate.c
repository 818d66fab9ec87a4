/* SPDX-License-Identifier: Apache-2.0 */
/* transform-tabulate: turns a Graph message into a document: who, when, about what, and its text. */
#include <fragua/plugin.h>

#include <stdlib.h>

#include <fragua/kit/str.h>

#include "document.h"
#include "html-text.h"

#define KEEP_BYTES (1024u * 1024u) /* a buffer that one large mail made larger is given back after it */
#define EXPANSION_MAX 64u /* bytes of a document for one of its message, at most: an empty attachment is the worst */
#define DOCUMENT_TYPE "fragua.mail.document.v1"

struct emit_config {
    bool body_text;
};

struct config {
    int64_t html_bytes_max, text_bytes_max, depth;
    const struct emit_config *emit;
};

/* Buffers are kept from record to record: there is one instance for each worker. */
struct tabulate {
    struct fg_host *host;
    const struct config *config;
    struct fg_metric *truncated;
    struct fg_buf body, scratch, text, value;
    struct fg_buf key, id, subject, source; /* of the record that is made */
};

/* What a record says about itself in its headers. */
struct origin {
    struct fg_slice mailbox, folder, traceparent;
    enum document_change change;
};

static struct fg_slice header_of(const struct fg_record_view *view, const char *name)
{
    for (size_t i = 0; i < view->n_headers; i++)
        if (fg_slice_is(view->headers[i].name, name))
            return view->headers[i].value;
    return FG_SLICE_NULL;
}

static int read_origin(const struct fg_record_view *view, struct origin *ret, struct fg_error *err)
{
    struct fg_slice change = header_of(view, "fragua_change");
    int i = 0;

    *ret = (struct origin){ .mailbox = header_of(view, "fragua_mailbox"), .folder = header_of(view, "fragua_folder"),
                            .traceparent = header_of(view, "traceparent") };
    if (!ret->mailbox.len || !ret->folder.len)
        return fg_error_set(err, FG_E_DATA, 0, "the record has no header \"%s\"; a source of mails must set it",
                            ret->mailbox.len ? "fragua_folder" : "fragua_mailbox");
    if (!change.len)
        return 0;
    while (i < _DOCUMENT_CHANGE_N && !fg_slice_is(change, document_change_names[i]))
        i++;
    if (i == _DOCUMENT_CHANGE_N)
        return fg_error_set(err, FG_E_DATA, 0, "the header fragua_change is \"%.*s\": not created, updated or deleted",
                            change.len < 40 ? (int)change.len : 40, change.ptr);
    ret->change = (enum document_change)i;
    return 0;
}

static int make_text(struct tabulate *t, const struct message *m, bool *ret_truncated, struct fg_error *err)
{
    const struct config *c = t->config;
    struct text_limits limits = { .html_bytes_max = (size_t)c->html_bytes_max,
                                  .text_bytes_max = (size_t)c->text_bytes_max, .depth_max = (unsigned)c->depth };
    bool is_text = m->body_type.kind == FG_JSON_STRING && fg_json_string_is(m->body_type.raw, "text");
    size_t most = limits.html_bytes_max > limits.text_bytes_max ? limits.html_bytes_max : limits.text_bytes_max;
    bool done;

    fg_buf_clear(&t->body);
    t->body.max = m->body_content.raw.len;
    if (m->body_content.kind == FG_JSON_STRING) /* a byte more shows that there is more */
        (void)fg_json_decode_start(m->body_content.raw, most + 1, &t->body);
    *ret_truncated = t->body.len > most;
    done = !t->body.failed;
    if (done && is_text)
        done = plain_to_text(fg_buf_slice(&t->body), &limits, &t->text, ret_truncated);
    else if (done)
        done = html_to_text(fg_buf_slice(&t->body), &limits, &t->scratch, &t->text, ret_truncated);
    if (!done)
        return fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for the text of a body of %zu bytes",
                            m->body_content.raw.len);
    return 0;
}

/* A time that the message does not give is the record's. */
static struct message_time event_time(const struct message *m, const struct fg_record_view *view)
{
    struct message_time time = m->received_at;

    if (!time.text[0] && !message_time_format(view->timestamp_ms, &time))
        (void)message_time_format(0, &time);
    return time;
}

static int emit_document(struct tabulate *t, const struct fg_record_view *in, const struct message *m,
                         const struct origin *origin, struct fg_emit *emit, struct fg_error *err)
{
    struct message_time time = event_time(m, in);
    const struct fg_header headers[] = {
        { FG_SLICE("ce_specversion"), FG_SLICE("1.0") },
        { FG_SLICE("ce_id"), fg_buf_slice(&t->id) },
        { FG_SLICE("ce_source"), fg_buf_slice(&t->source) },
        { FG_SLICE("ce_type"), FG_SLICE(DOCUMENT_TYPE) },
        { FG_SLICE("ce_time"), fg_slice_of(time.text) },
        { FG_SLICE("ce_subject"), fg_buf_slice(&t->subject) },
        { FG_SLICE("content-type"), FG_SLICE("application/json") },
        { FG_SLICE("fragua_schema"), FG_SLICE(DOCUMENT_TYPE) },
        { FG_SLICE("traceparent"), origin->traceparent },
    };
    struct fg_record_spec spec = { .view = { .key = fg_buf_slice(&t->key), .value = fg_buf_slice(&t->value),
                                             .headers = headers, .n_headers = sizeof(headers) / sizeof(headers[0]),
                                             .timestamp_ms = time.ms } };
    struct fg_record *record = NULL;
    int r;

    if (!origin->traceparent.len)
        spec.view.n_headers--; /* it is the last one */
    if ((r = t->host->svc->record_new(t->host, &spec, &record, err)) != 0)
        return r;
    t->host->svc->emit(emit, record);
    return 0;
}

/* The members around the text: ids, and the key, by which all of one conversation stay in order. */
static bool make_names(struct tabulate *t, const struct fg_record_view *in, const struct message *m,
                       const struct origin *origin)
{
    struct fg_buf *all[] = { &t->key, &t->id, &t->subject, &t->source };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        fg_buf_clear(all[i]);
        all[i]->max = in->value.len + origin->mailbox.len + 64;
    }
    document_id(m, origin->change, &t->id);
    (void)fg_json_decode_string(m->id.raw, &t->subject);
    fg_buf_add_str(&t->source, "/mailboxes/");
    fg_buf_add_slice(&t->source, origin->mailbox);
    if (m->conversation_id.kind == FG_JSON_STRING)
        (void)fg_json_decode_string(m->conversation_id.raw, &t->key);
    if (!t->key.len) /* removed messages are only an id: the source may know more */
        fg_buf_add_slice(&t->key, in->key.len && in->key.len < t->key.max ? in->key : fg_buf_slice(&t->subject));
    return !t->id.failed && !t->subject.failed && !t->source.failed && !t->key.failed;
}

static int make_value(struct tabulate *t, const struct fg_record_view *in, const struct message *m,
                      const struct origin *origin, bool truncated, struct fg_error *err)
{
    struct document_input document = {
        .message = m,
        .id = fg_buf_slice(&t->id),
        .mailbox = origin->mailbox,
        .folder = origin->folder,
        .change = origin->change,
        .text = fg_buf_slice(&t->text),
        .truncated = truncated,
        .with_body_text = t->config->emit->body_text,
    };

    fg_buf_clear(&t->value);
    t->scratch.max = in->value.len;
    t->value.max = EXPANSION_MAX * (in->value.len + t->text.len) + 64 * 1024;
    document_write(&document, &t->scratch, &t->value);
    if (t->value.failed)
        return fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for the document of a message of %zu B",
                            in->value.len);
    return 0;
}

static int tabulate_record(struct tabulate *t, const struct fg_record_view *in, struct fg_emit *emit,
                           struct fg_error *err)
{
    struct message m;
    struct origin origin;
    bool truncated = false;
    int r;

    if ((r = read_origin(in, &origin, err)) != 0 || (r = message_read(in->value, &m, err)) != 0)
        return r;
    if (m.removed)
        origin.change = DOCUMENT_DELETED;
    fg_buf_clear(&t->text);
    if (origin.change != DOCUMENT_DELETED && (r = make_text(t, &m, &truncated, err)) != 0)
        return r;
    if (truncated)
        t->host->svc->metric_add(t->truncated, 1);
    if (!make_names(t, in, &m, &origin))
        return fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for the names of a document");
    if ((r = make_value(t, in, &m, &origin, truncated, err)) != 0)
        return r;
    return emit_document(t, in, &m, &origin, emit, err);
}

/* A mail much larger than the others should not cost memory for ever. */
static void give_back(struct tabulate *t)
{
    struct fg_buf *all[] = { &t->body, &t->scratch, &t->text, &t->value, &t->key, &t->id, &t->subject, &t->source };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i]->cap > KEEP_BYTES)
            fg_buf_deinit(all[i]);
}

static enum fg_verdict apply(void *self, struct fg_record *in, struct fg_emit *emit, struct fg_error *err)
{
    struct tabulate *t = self;
    int r = tabulate_record(t, t->host->svc->record_view(in), emit, err);

    give_back(t);
    if (r == 0)
        return FG_KEEP;
    return err->retriable ? FG_RETRY : FG_DEAD;
}

static int open_tabulate(struct fg_host *host, const void *config, void **ret_self, struct fg_error *err)
{
    struct tabulate *t = calloc(1, sizeof(*t));

    if (!t)
        return fg_error_set(err, FG_E_NO_ROOM, 0, "no memory");
    t->host = host;
    t->config = config;
    t->truncated = host->svc->metric(host, FG_METRIC_COUNTER, "bodies_truncated_total",
                                     "Bodies of which a limit cut something off");
    html_text_start();
    *ret_self = t;
    return 0;
}

static void close_tabulate(void *self)
{
    struct tabulate *t = self;

    if (!t)
        return;
    fg_buf_deinit(&t->body);
    fg_buf_deinit(&t->scratch);
    fg_buf_deinit(&t->text);
    fg_buf_deinit(&t->value);
    fg_buf_deinit(&t->key);
    fg_buf_deinit(&t->id);
    fg_buf_deinit(&t->subject);
    fg_buf_deinit(&t->source);
    free(t);
}

static const struct fg_option emit_options[] = {
    { .key = "body_text", .type = FG_OPTION_BOOL, .fallback = "true", .offset = offsetof(struct emit_config, body_text),
      .summary = "give the document a member body_text: the whole plain text" },
    FG_OPTION_END,
};

static const struct fg_option options[] = {
    { .key = "html-bytes-max", .type = FG_OPTION_SIZE, .fallback = "4MiB", .min = 1024, .max = HTML_BYTES_MAX,
      .unit = "bytes", .offset = offsetof(struct config, html_bytes_max),
      .summary = "how much of an HTML body is read; the rest is cut off and html_truncated set" },
    { .key = "text-bytes-max", .type = FG_OPTION_SIZE, .fallback = "384KiB", .min = 1024, .max = 16 * 1024 * 1024,
      .unit = "bytes", .offset = offsetof(struct config, text_bytes_max),
      .summary = "largest text of a document; the rest is cut off and html_truncated set",
      .detail = "A document holds the text twice while emit.body_text is true; Kafka's own default for the largest "
                "message is 1 MiB." },
    { .key = "depth", .type = FG_OPTION_INTEGER, .fallback = "512", .min = 16, .max = HTML_DEPTH_MAX,
      .unit = "elements", .offset = offsetof(struct config, depth),
      .summary = "HTML elements inside each other; text deeper down is kept without its layout" },
    { .key = "emit", .type = FG_OPTION_GROUP, .flags = FG_OPTION_ABSENT_DEFAULTS, .members = emit_options,
      .members_size = sizeof(struct emit_config), .offset = offsetof(struct config, emit),
      .summary = "what goes into a document" },
    FG_OPTION_END,
};

static const struct fg_transform_ops transform_ops = { .apply = apply };

FG_PLUGIN(.kind = FG_KIND_TRANSFORM, .name = "transform-tabulate", .version = FG_VERSION,
          .summary = "turns Microsoft Graph messages into documents", .options = options,
          .config_size = sizeof(struct config), .open = open_tabulate, .close = close_tabulate,
          .transform = &transform_ops);
