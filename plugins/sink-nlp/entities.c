/* SPDX-License-Identifier: Apache-2.0 */
/* From a document and a service's spans to the value of an entities record. */
#include "entities.h"

#include <stdlib.h>

#include <fragua/kit/utf8.h>

#define TYPES_MAX 64u /* kinds of entities that are counted apart in one record */

/* Finds byte offsets of ascending code point offsets in one pass over the text. */
struct ruler {
    struct fg_slice text;
    size_t byte;
    int64_t point;
};

static bool ruler_to(struct ruler *r, int64_t point, size_t *ret_byte)
{
    if (point < r->point) {
        r->byte = 0;
        r->point = 0;
    }
    while (r->point < point && r->byte < r->text.len) {
        (void)fg_utf8_next(r->text, &r->byte);
        r->point++;
    }
    *ret_byte = r->byte;
    return r->point == point;
}

static int by_place(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->end == y->end ? 0 : x->end > y->end ? -1 : 1;
}

struct type_count {
    struct fg_slice type;
    int64_t n;
};

static void count_type(struct type_count *types, size_t *n, struct fg_slice type)
{
    size_t i = 0;

    while (i < *n && !fg_slice_eq(types[i].type, type))
        i++;
    if (i == TYPES_MAX)
        return;
    if (i == *n)
        types[(*n)++] = (struct type_count){ .type = type };
    types[i].n++;
}

/* A service that gives the text as well must mean the same place. */
static bool text_agrees(struct fg_slice given_raw, struct fg_slice stands)
{
    struct fg_buf given = FG_BUF_INIT(stands.len + 1);
    bool same;

    if (!given_raw.len)
        return true;
    same = fg_json_decode_string(given_raw, &given) && fg_slice_eq(fg_buf_slice(&given), stands);
    fg_buf_deinit(&given);
    return same;
}

static void write_span(struct fg_json_writer *w, const struct span *s, size_t start_byte, size_t end_byte,
                       struct fg_slice stands)
{
    fg_json_object(w);
    fg_json_key(w, "type");
    fg_json_raw(w, s->type);
    fg_json_kv_string(w, "text", stands);
    fg_json_kv_int(w, "start", s->start);
    fg_json_kv_int(w, "end", s->end);
    fg_json_kv_int(w, "start_byte", (int64_t)start_byte);
    fg_json_kv_int(w, "end_byte", (int64_t)end_byte);
    if (s->score.len) {
        fg_json_key(w, "score");
        fg_json_raw(w, s->score);
    }
    if (s->normalized.len) {
        fg_json_key(w, "normalized");
        fg_json_raw(w, s->normalized);
    }
    fg_json_kv_cstr(w, "part", "text");
    fg_json_object_end(w);
}

static void write_spans(struct fg_json_writer *w, struct fg_slice text, struct answer *a, struct type_count *types,
                        size_t *n_types, size_t *ret_dropped)
{
    struct ruler ruler = { .text = text };

    fg_json_key(w, "entities");
    fg_json_array(w);
    if (a->n)
        qsort(a->spans, a->n, sizeof(a->spans[0]), by_place);
    for (size_t i = 0; i < a->n; i++) {
        const struct span *s = &a->spans[i];
        struct ruler end;
        struct fg_slice stands;
        size_t from, to;
        bool inside = s->start >= 0 && s->end > s->start && ruler_to(&ruler, s->start, &from);

        end = ruler;
        inside = inside && ruler_to(&end, s->end, &to);
        stands = inside ? (struct fg_slice){ text.ptr + from, to - from } : FG_SLICE_NULL;
        if (!inside || !text_agrees(s->text, stands)) {
            (*ret_dropped)++;
            continue;
        }
        write_span(w, s, from, to, stands);
        count_type(types, n_types, s->type);
    }
    fg_json_array_end(w);
}

/* Members of the document that an entities record repeats. */
static void write_document(struct fg_json_writer *w, struct fg_slice document)
{
    static const char *const members[] = { "/id", "/mailbox", "/internet_message_id", "/subject", "/received_at" };

    fg_json_key(w, "document");
    fg_json_object(w);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct fg_json_value v = fg_json_find(document, members[i]);
        fg_json_key(w, members[i] + 1);
        if (v.kind == FG_JSON_NONE)
            fg_json_null(w);
        else
            fg_json_raw(w, v.raw);
    }
    fg_json_object_end(w);
}

static void write_service(struct fg_json_writer *w, const struct entities_input *in, const struct answer *answer)
{
    fg_json_key(w, "service");
    fg_json_object(w);
    fg_json_kv_cstr(w, "name", in->service);
    fg_json_kv_cstr(w, "url_host", in->url_host);
    if (answer->model.len) {
        fg_json_key(w, "model");
        fg_json_raw(w, answer->model);
    } else if (in->model) {
        fg_json_kv_cstr(w, "model", in->model);
    }
    fg_json_object_end(w);
}

static void write_counts(struct fg_json_writer *w, const struct type_count *types, size_t n)
{
    struct fg_buf name = FG_BUF_INIT(1024);

    fg_json_key(w, "counts");
    fg_json_object(w);
    for (size_t i = 0; i < n; i++) {
        fg_buf_clear(&name);
        if (fg_json_decode_string(types[i].type, &name))
            fg_json_kv_int(w, name.data, types[i].n);
    }
    fg_json_object_end(w);
    fg_buf_deinit(&name);
}

void entities_write(const struct entities_input *in, struct answer *answer, struct fg_buf *out, size_t *ret_dropped)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);
    struct type_count types[TYPES_MAX];
    size_t n_types = 0;

    *ret_dropped = answer->malformed;
    fg_json_object(&w);
    write_document(&w, in->document);
    write_service(&w, in, answer);
    fg_json_key(&w, "text");
    fg_json_raw(&w, in->text_raw);
    write_spans(&w, in->text, answer, types, &n_types, ret_dropped);
    write_counts(&w, types, n_types);
    fg_json_kv_bool(&w, "truncated", false);
    fg_json_kv_int(&w, "elapsed_ms", in->elapsed_ms);
    fg_json_object_end(&w);
}
