/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch becomes on Kafka: results, dead letters, cursors. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"
#include "base/mutant.h"
#include "flow/pipeline-private.h"

#define CURSOR_RECORD_MAX (8u * FG_CURSOR_VALUE_MAX) /* bytes: every byte of the value may need an escape */
#define DEAD_HEADERS      7u                         /* what a dead letter has beside its own, but for its size */

/* Memory made for a message, freed with it. */
struct text {
    struct fg_list link;
    char bytes[] __attribute__((aligned(_Alignof(struct fg_header))));
};

static void *text_new(struct fg_flow_publish *out, size_t size)
{
    struct text *text = fg_calloc(1, sizeof(*text) + size);
    fg_list_append(&out->texts, &text->link);
    return text->bytes;
}

static struct fg_slice text_copy(struct fg_flow_publish *out, struct fg_slice s)
{
    char *copy = text_new(out, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return fg_slice_make(copy, s.len);
}

const char *fg_flow_publish_text(struct fg_flow_publish *out, const char *format, ...)
{
    struct fg_buf buf = FG_BUF_INIT(FG_CURSOR_KEY_MAX * 4);
    struct fg_slice s;
    va_list ap;

    va_start(ap, format);
    fg_buf_vprintf(&buf, format, ap);
    va_end(ap);
    fg_assert(!buf.failed);
    s = text_copy(out, fg_buf_slice(&buf));
    fg_buf_deinit(&buf);
    return s.ptr;
}

#define textf(...) fg_slice_of(fg_flow_publish_text(__VA_ARGS__))

void fg_flow_publish_deinit(struct fg_flow_publish *out)
{
    struct fg_list *l;
    while (out->texts.next && (l = fg_list_pop(&out->texts)))
        free(fg_container_of(l, struct text, link));
    free(out->messages);
    free(out->slots);
    free(out->offsets);
    out->messages = NULL;
    out->slots = NULL;
    out->offsets = NULL;
    out->n = out->cap = 0;
}

static struct fg_bus_outgoing *add(struct fg_flow_publish *out, struct fg_slot *slot)
{
    if (out->n == out->cap) {
        out->cap = out->cap ? out->cap * 2 : 64;
        out->messages = fg_reallocarray(out->messages, out->cap, sizeof(*out->messages));
        out->slots = fg_reallocarray(out->slots, out->cap, sizeof(*out->slots));
    }
    out->slots[out->n] = slot;
    return &out->messages[out->n++];
}

const char *fg_flow_output_topic(const struct fg_pipeline *p, struct fg_slice output)
{
    for (size_t i = 0; i < p->c.n_outputs; i++)
        if (fg_slice_is(output, p->c.outputs[i].name))
            return p->c.outputs[i].topic;
    return NULL;
}

const struct fg_header *fg_flow_header(const struct fg_record_view *v, const char *name)
{
    for (size_t i = 0; i < v->n_headers; i++)
        if (fg_slice_ieq(v->headers[i].name, fg_slice_of(name)))
            return &v->headers[i];
    return NULL;
}

/* The record's own headers with room for `more` behind them. */
static struct fg_header *headers_with(struct fg_flow_publish *out, const struct fg_record_view *v, size_t more)
{
    struct fg_header *headers = text_new(out, (v->n_headers + more) * sizeof(*headers));
    if (v->n_headers)
        memcpy(headers, v->headers, v->n_headers * sizeof(*headers));
    return headers;
}

static struct fg_bus_outgoing *add_record(struct fg_flow_publish *out, struct fg_slot *slot, const char *topic,
                                          const struct fg_record_view *v)
{
    struct fg_bus_outgoing *m = add(out, slot);
    *m = (struct fg_bus_outgoing){
        .topic = topic,
        .key = v->key,
        .value = v->value,
        .headers = v->headers,
        .n_headers = v->n_headers,
        .partition = -1,
    };
    return m;
}

/* The trace of the record that came in goes on in what became of it. */
static void add_result(struct fg_flow_publish *out, struct fg_slot *slot, const struct fg_record *result,
                       const struct fg_header *trace)
{
    const struct fg_record_view *v = fg_record_view(result);
    struct fg_bus_outgoing *m = add_record(out, slot, fg_flow_output_topic(slot->batch->p, v->output), v);

    out->n_results++;
    if (!trace || fg_flow_header(v, "traceparent"))
        return;
    struct fg_header *headers = headers_with(out, v, 1);
    headers[m->n_headers++] = *trace;
    m->headers = headers;
}

static void add_results(struct fg_flow_publish *out, struct fg_slot *slot)
{
    const struct fg_pipeline *p = slot->batch->p;
    const struct fg_header *trace = fg_flow_header(fg_record_view(slot->in), "traceparent");

    if (p->c.n_outputs == 0)
        return;
    for (size_t i = 0; i < slot->n_items; i++) {
        const struct fg_item *item = &slot->items[i];
        if (!p->c.sink)
            add_result(out, slot, item->record, trace);
        for (size_t k = 0; k < item->n_results; k++)
            add_result(out, slot, item->results[k], trace);
    }
}

static struct fg_slice origin_of(struct fg_flow_publish *out, const struct fg_slot *slot)
{
    const struct fg_bus_position *origin = fg_record_origin(slot->in);
    if (origin)
        return textf(out, "%s/%" PRId32 "/%" PRId64, origin->topic, origin->partition, origin->offset);
    return fg_slice_of(slot->cursor_key); /* lives as long as the batch */
}

static void add_dead(struct fg_flow_publish *out, struct fg_slot *slot)
{
    const struct fg_pipeline *p = slot->batch->p;
    const struct fg_record_view *v = fg_record_view(slot->in);
    const struct fg_dead *dead = slot->dead;
    struct fg_bus_outgoing *m = add_record(out, slot, p->c.dead_topic, v);
    struct fg_header *headers = headers_with(out, v, DEAD_HEADERS + 1);
    const struct fg_header more[DEAD_HEADERS] = {
        {FG_SLICE("fragua_reason"), fg_slice_of(dead->err.text)},
        {FG_SLICE("fragua_code"), fg_slice_of(fg_code_label(dead->err.code))},
        {FG_SLICE("fragua_stage"), fg_slice_of(dead->node)},
        {FG_SLICE("fragua_pipeline"), fg_slice_of(p->c.name)},
        {FG_SLICE("fragua_attempts"), textf(out, "%u", dead->attempts)},
        {FG_SLICE("fragua_origin"), origin_of(out, slot)},
        {FG_SLICE("ce_type"), FG_SLICE("fragua.dead.v1")},
    };

    /* a record that has a type keeps it: a replay must find it as it was */
    for (size_t i = 0; i < DEAD_HEADERS - (fg_flow_header(v, "ce_type") ? 1 : 0); i++)
        headers[m->n_headers++] = more[i];
    if (dead->bare) {
        headers[m->n_headers++] =
            (struct fg_header){FG_SLICE("fragua_value_bytes"), textf(out, "%zu", v->value.len)};
        m->value = FG_SLICE_NULL;
    }
    m->headers = headers;
}

static struct fg_slice cursor_value(struct fg_flow_publish *out, const struct fg_flow_move *move, int64_t generation,
                                    int64_t wall_ms)
{
    struct fg_buf buf = FG_BUF_INIT(CURSOR_RECORD_MAX);
    struct fg_json_writer w = FG_JSON_WRITER_INIT(&buf);
    char at[FG_RFC3339_MAX];
    struct fg_slice value;

    fg_rfc3339(wall_ms, at);
    fg_json_object(&w);
    fg_json_kv_string(&w, "link", move->value);
    fg_json_kv_cstr(&w, "state", "ok");
    fg_json_kv_cstr(&w, "updated_at", at);
    fg_json_kv_int(&w, "generation", generation);
    fg_json_object_end(&w);
    fg_assert(!buf.failed); /* the value's size and UTF-8 were checked on its way in */
    value = text_copy(out, fg_buf_slice(&buf));
    fg_buf_deinit(&buf);
    return value;
}

static void add_cursor(struct fg_flow_publish *out, const struct fg_pipeline *p, const struct fg_flow_move *move)
{
    const struct fg_cursor_entry *entry = fg_cursor_map_get(&p->cursors, fg_slice_of(move->key));
    struct fg_slice owner = fg_cursor_owner(fg_slice_of(move->key));
    struct fg_bus_outgoing *m = add(out, NULL);

    *m = (struct fg_bus_outgoing){
        .topic = p->c.cursors_topic,
        .key = textf(out, "%s/%s", p->c.name, move->key),
        .value = cursor_value(out, move, entry ? entry->generation + 1 : 1, fg_clock_wall_ms(p->env->clock)),
        .partition = fg_cursor_partition(p->c.name, owner, p->cursors_partitions),
    };
}

/*
 * Kafka's time is when a record was written, never the mail's own: brokers delete by it, and a mail of last year would
 * be gone as soon as it came. The mail's time is in ce_time and in the value.
 */
static void stamp(struct fg_flow_publish *out, int64_t wall_ms)
{
    for (size_t i = 0; i < out->n; i++)
        out->messages[i].timestamp_ms = wall_ms;
}

/* One past the last record of each partition: slots are in the order in which they came. */
static void add_offset(struct fg_flow_batch *batch, const struct fg_slot *slot)
{
    size_t i = 0;

    while (i < batch->n_offsets && batch->offsets[i].partition != slot->partition)
        i++;
    if (i == batch->n_offsets) {
        batch->offsets = fg_reallocarray(batch->offsets, ++batch->n_offsets, sizeof(*batch->offsets));
        batch->offsets[i].partition = slot->partition;
    }
    batch->offsets[i].next = slot->next;
}

void fg_flow_publish_build(struct fg_flow_batch *batch)
{
    struct fg_pipeline *p = batch->p;
    struct fg_flow_publish *out = &batch->out;
    const char *mark;

    fg_flow_publish_deinit(out);
    out->n_results = 0;
    batch->n_offsets = 0;
    for (struct fg_list *l = batch->slots.next; l != &batch->slots; l = l->next) {
        struct fg_slot *slot = fg_container_of(l, struct fg_slot, link);
        if (slot->state == FG_SLOT_DONE)
            add_results(out, slot);
        else if (slot->state == FG_SLOT_DEAD)
            add_dead(out, slot);
        if (slot->partition)
            add_offset(batch, slot);
    }
    out->n_records = out->n;
    for (struct fg_list *l = batch->moves.next; l != &batch->moves; l = l->next)
        add_cursor(out, p, fg_container_of(l, struct fg_flow_move, link));
    mark = fg_flow_mark_of_commit(p, out);
    out->cursors_mark = mark;
    out->offsets = fg_calloc(batch->n_offsets + 1, sizeof(*out->offsets));
    for (size_t i = 0; i < batch->n_offsets; i++) {
        const struct fg_flow_partition *of = batch->offsets[i].partition;
        out->offsets[i] = (struct fg_bus_position){of->topic, of->partition, batch->offsets[i].next, mark};
    }
    stamp(out, fg_clock_wall_ms(p->env->clock));
    if (fg_mutant("swap-records") && out->n_records > 1) {
        struct fg_bus_outgoing first = out->messages[0];
        out->messages[0] = out->messages[1];
        out->messages[1] = first;
    }
}
