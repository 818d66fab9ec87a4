/* SPDX-License-Identifier: Apache-2.0 */
/* Letters of one transaction: where each goes, what is written for it, and the account of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "flow/pipeline-private.h"
#include "flow/replay-private.h"

static bool is_there(const struct fg_replay *r, const char *topic)
{
    for (size_t i = 0; i < r->n_topics; i++)
        if (strcmp(r->topics[i], topic) == 0)
            return r->there[i];
    return false;
}

static void leave(struct replay_item *item, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void leave(struct replay_item *item, int code, const char *format, ...)
{
    char text[FG_ERROR_TEXT_MAX];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    (void)fg_error_set(&item->why, code, 0, "%s", text);
    item->fate = FG_REPLAY_LEFT;
}

/* ---- where to ---- */

static const struct fg_replay_route *route_of(const struct fg_replay *r, struct fg_slice pipeline)
{
    for (size_t i = 0; i < r->c.n_routes; i++)
        if (strlen(r->c.routes[i].pipeline) == pipeline.len &&
            memcmp(r->c.routes[i].pipeline, pipeline.ptr, pipeline.len) == 0)
            return &r->c.routes[i];
    return NULL;
}

/* The file's own text of a topic that some pipeline of it reads; NULL: none does. */
static const char *input_named(const struct fg_replay *r, struct fg_slice topic)
{
    for (size_t i = 0; i < r->c.n_routes; i++)
        for (size_t k = 0; k < r->c.routes[i].n_inputs; k++)
            if (fg_slice_is(topic, r->c.routes[i].inputs[k]))
                return r->c.routes[i].inputs[k];
    return NULL;
}

static void decide(const struct fg_replay *r, struct replay_item *item)
{
    const struct fg_replay_route *route;
    struct fg_slice topic;
    int32_t partition;
    int64_t offset;

    if (!item->about.pipeline.len || !item->about.origin.len) {
        leave(item, FG_E_DATA, "it is no dead letter: it has no headers fragua_pipeline and fragua_origin");
        return;
    }
    route = route_of(r, item->about.pipeline);
    if (route && route->source) {
        item->route = route;
        if (route->sink)
            leave(item, FG_E_CONFIG, "pipeline \"%s\" has a source and a sink: its records cannot be made again here",
                  route->pipeline);
    } else if (!fg_letter_place(item->about.origin, &topic, &partition, &offset)) {
        leave(item, FG_E_CONFIG, "the file has no pipeline \"%.*s\", which knows \"%.*s\"",
              FG_SLICE_ARG(fg_slice_sub(item->about.pipeline, 0, 80)),
              FG_SLICE_ARG(fg_slice_sub(item->about.origin, 0, 80)));
    } else if (!(item->topic = input_named(r, topic))) {
        leave(item, FG_E_CONFIG, "topic \"%.*s\" is no input of this file", FG_SLICE_ARG(fg_slice_sub(topic, 0, 200)));
    } else if (!is_there(r, item->topic)) {
        leave(item, FG_E_NOT_FOUND, "topic \"%s\" does not exist", item->topic);
    }
}

void replay_batch_add(struct fg_replay *r, struct replay_part *part, struct fg_bus_message *message)
{
    struct replay_batch *b = &r->batch;
    struct replay_item *item;
    char text[320];

    if (b->n == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 64;
        b->items = fg_reallocarray(b->items, b->cap, sizeof(*b->items));
    }
    item = &b->items[b->n++];
    *item = (struct replay_item){.part = part, .before = part->seen, .tombstone = message->tombstone};
    (void)snprintf(text, sizeof(text), "%s/%" PRId32 "/%" PRId64, r->c.dead_topic, message->partition,
                   message->offset);
    item->place_text = fg_strdup(text);
    item->place = (struct fg_header){FG_SLICE("fragua_replayed"), fg_slice_of(item->place_text)};
    item->letter = fg_record_from_message(r->c.budget, message);
    fg_letter_read(fg_record_view(item->letter), fg_record_origin(item->letter), &item->about);
    item->about.topic = r->c.dead_topic; /* the message's own text ends with the message */
    b->bytes += fg_record_bytes(item->letter);
    decide(r, item);
}

/* ---- transforms ---- */

static bool has_work(const struct replay_item *item)
{
    return item->route && item->fate == FG_REPLAY_SENT;
}

bool replay_batch_has_work(const struct fg_replay *r)
{
    for (size_t i = 0; i < r->batch.n; i++)
        if (has_work(&r->batch.items[i]))
            return true;
    return false;
}

/* The record as the source made it. */
static struct fg_record *record_of(const struct fg_replay *r, const struct replay_item *item, struct fg_error *err)
{
    const struct fg_record_view *v = fg_record_view(item->letter);
    struct fg_header *headers = fg_calloc(v->n_headers + 1, sizeof(*headers));
    struct fg_record_spec spec = {.view = *v, .parent = item->letter};
    struct fg_record *record = NULL;

    spec.view.headers = headers;
    spec.view.n_headers = fg_letter_own_headers(v, headers);
    if (fg_record_new(r->c.budget, &spec, true, &record, err) < 0)
        record = NULL;
    free(headers);
    return record;
}

static void run_chain(const struct fg_replay *r, struct replay_item *item, unsigned worker)
{
    const struct fg_replay_route *route = item->route;
    struct fg_error err = FG_ERROR_NULL;
    struct fg_record *in = record_of(r, item, &err);
    enum fg_verdict verdict = FG_DEAD;
    size_t stage = 0;

    if (in)
        verdict = fg_chain_run(route->transforms, route->n_transforms, worker, in, &item->out, &stage, &err);
    fg_record_unref(in);
    if (verdict != FG_DEAD && verdict != FG_RETRY)
        return;
    leave(item, err.code, "still at %s: %.200s", in && route->n_transforms ? route->transforms[stage].node : "source",
          err.text);
}

void replay_batch_work(struct fg_replay *r, unsigned worker)
{
    for (size_t i = 0; i < r->batch.n; i++)
        if (has_work(&r->batch.items[i]))
            run_chain(r, &r->batch.items[i], worker);
}

/* ---- messages ---- */

static void forget_messages(struct replay_batch *b)
{
    for (size_t i = 0; i < b->n_messages; i++)
        free((void *)b->messages[i].headers);
    b->n_messages = b->n_offsets = 0;
}

/* @trace: what the result lacks of the record that it was made of; NULL: nothing. */
static void add_message(struct fg_replay *r, size_t owner, const char *topic, const struct fg_record_view *v,
                        const struct fg_header *trace)
{
    struct replay_batch *b = &r->batch;
    struct fg_header *headers = fg_calloc(v->n_headers + 2, sizeof(*headers));
    size_t n;

    if (b->n_messages == b->messages_cap) {
        b->messages_cap = b->messages_cap ? b->messages_cap * 2 : 64;
        b->messages = reallocarray(b->messages, b->messages_cap, sizeof(*b->messages));
        b->owners = reallocarray(b->owners, b->messages_cap, sizeof(*b->owners));
        fg_assert(b->messages && b->owners);
    }
    n = fg_letter_own_headers(v, headers);
    if (trace)
        headers[n++] = *trace;
    headers[n++] = b->items[owner].place;
    b->owners[b->n_messages] = owner;
    b->messages[b->n_messages++] = (struct fg_bus_outgoing){
        .topic = topic,
        .key = v->key,
        .value = v->value,
        .tombstone = b->items[owner].tombstone && !b->items[owner].route,
        .headers = headers,
        .n_headers = n,
        .timestamp_ms = fg_clock_wall_ms(r->c.env->clock),
        .partition = -1,
    };
    b->items[owner].n_records++;
}

static const char *output_topic(const struct fg_replay_route *route, struct fg_slice output)
{
    for (size_t i = 0; i < route->n_outputs; i++)
        if (fg_slice_is(output, route->outputs[i].name))
            return route->outputs[i].topic;
    return NULL;
}

/* All that the transforms made of it must have a place to go: a letter is all or nothing. */
static bool outputs_are_there(const struct fg_replay *r, struct replay_item *item)
{
    for (size_t i = 0; i < item->out.n; i++) {
        struct fg_slice output = fg_record_view(item->out.records[i])->output;
        const char *topic = output_topic(item->route, output);
        if (!topic)
            leave(item, FG_E_CONFIG, "the pipeline has no output named \"%.*s\"",
                  FG_SLICE_ARG(fg_slice_sub(output, 0, 80)));
        else if (!is_there(r, topic))
            leave(item, FG_E_NOT_FOUND, "topic \"%s\" does not exist", topic);
        if (item->fate == FG_REPLAY_LEFT)
            return false;
    }
    return true;
}

static void add_messages(struct fg_replay *r, size_t i)
{
    struct replay_item *item = &r->batch.items[i];
    const struct fg_record_view *v = fg_record_view(item->letter);
    const struct fg_header *trace = fg_flow_header(v, "traceparent");

    item->n_records = 0;
    if (!item->route)
        add_message(r, i, item->topic, v, NULL);
    for (size_t k = 0; item->route && k < item->out.n; k++) {
        const struct fg_record_view *made = fg_record_view(item->out.records[k]);
        const char *topic = output_topic(item->route, made->output);
        add_message(r, i, topic, made, fg_flow_header(made, "traceparent") ? NULL : trace);
        item->topic = topic;
    }
}

/* ---- the account ---- */

static size_t text_length(const struct fg_account *a)
{
    struct fg_buf buf = FG_BUF_INIT(FG_BUS_METADATA_MAX + 64);
    size_t n;

    fg_account_write(a, &buf);
    n = buf.failed ? SIZE_MAX : buf.len;
    fg_buf_deinit(&buf);
    return n;
}

/* false: the list of ranges would be too long for Kafka to keep. */
static bool account_for(struct fg_replay *r, struct replay_item *item)
{
    struct fg_account *a = &item->part->ahead;
    struct fg_account before = {0};
    bool fits;

    fg_account_copy(&before, a);
    fg_account_add(a, item->before, item->about.offset);
    fits = text_length(a) <= FG_BUS_METADATA_MAX;
    if (!fits) {
        fg_account_copy(a, &before);
        leave(item, FG_E_LIMIT, "too many letters of partition %" PRId32 " were replayed one by one (%zu stretches)",
              item->part->partition, before.n);
        r->full = true;
    }
    fg_account_deinit(&before);
    return fits;
}

static void add_offset(struct fg_replay *r, struct replay_part *part)
{
    struct replay_batch *b = &r->batch;
    struct fg_buf buf = FG_BUF_INIT(FG_BUS_METADATA_MAX + 64);

    fg_account_write(&part->ahead, &buf);
    free(part->text);
    part->text = fg_buf_steal(&buf, NULL);
    b->offsets[b->n_offsets++] =
        (struct fg_bus_position){r->c.dead_topic, part->partition, part->ahead.next, part->text};
}

void replay_batch_build(struct fg_replay *r)
{
    struct replay_batch *b = &r->batch;

    forget_messages(b);
    for (size_t i = 0; i < r->n_parts; i++)
        fg_account_copy(&r->parts[i].ahead, &r->parts[i].account);
    for (size_t i = 0; i < b->n; i++) {
        struct replay_item *item = &b->items[i];
        if (item->fate == FG_REPLAY_SENT && (!item->route || outputs_are_there(r, item)) && account_for(r, item))
            add_messages(r, i);
    }
    free(b->offsets);
    b->offsets = fg_calloc(r->n_parts + 1, sizeof(*b->offsets));
    for (size_t i = 0; i < r->n_parts; i++)
        if (!fg_account_is(&r->parts[i].ahead, &r->parts[i].account))
            add_offset(r, &r->parts[i]);
    b->publish = (struct fg_bus_publish){
        .messages = b->messages,
        .n_messages = b->n_messages,
        .consumer = r->consumer,
        .offsets = b->offsets,
        .n_offsets = b->n_offsets,
        .culprit = &r->culprit,
    };
}

void replay_batch_refuse(struct fg_replay *r, size_t message, const struct fg_error *why)
{
    leave(&r->batch.items[r->batch.owners[message]], why->code, "%s", why->text);
}

/* ---- the end ---- */

static void tell(struct fg_replay *r, const struct replay_item *item)
{
    bool sent = item->fate == FG_REPLAY_SENT;
    const struct fg_replay_news news = {
        .letter = &item->about,
        .fate = item->fate,
        .topic = sent ? item->topic : NULL,
        .n_records = sent ? item->n_records : 0,
        .why = sent ? NULL : &item->why,
    };

    if (sent) {
        r->counts.sent++;
        r->counts.records += item->n_records;
    } else {
        r->counts.left++;
    }
    if (r->c.told)
        r->c.told(r->c.arg, &news);
}

void replay_batch_settle(struct fg_replay *r)
{
    for (size_t i = 0; i < r->n_parts; i++)
        fg_account_copy(&r->parts[i].account, &r->parts[i].ahead);
    for (size_t i = 0; i < r->batch.n; i++)
        tell(r, &r->batch.items[i]);
    replay_batch_clear(r);
}

void replay_batch_clear(struct fg_replay *r)
{
    struct replay_batch *b = &r->batch;

    forget_messages(b);
    for (size_t i = 0; i < b->n; i++) {
        fg_emit_deinit(&b->items[i].out);
        fg_record_unref(b->items[i].letter);
        free(b->items[i].place_text);
    }
    free(b->items);
    free(b->messages);
    free(b->owners);
    free(b->offsets);
    *b = (struct replay_batch){0};
}
