/* SPDX-License-Identifier: Apache-2.0 */
/* From a document and a service's spans to the value of an entities record. */
#include "entities.h"

#include <stdlib.h>
#include <string.h>

#include <fragua/kit/utf8.h>

#define STEP 1024 /* code points between two marks of a ruler */

/* Says at which byte a code point begins, by marks along the text: the cost of a span does not grow with its place. */
struct ruler {
    struct fg_slice text;
    size_t *marks; /* array of n: the byte where code point i * STEP begins */
    size_t n;
    int64_t points; /* of the whole text */
};

/* So many code points from pos on are single bytes, eight at a time, `max` at most. */
static size_t count_ascii(struct fg_slice text, size_t pos, size_t max)
{
    uint64_t word;
    size_t n = 0;

    for (; n + sizeof(word) <= max && text.len - pos - n >= sizeof(word); n += sizeof(word)) {
        memcpy(&word, text.ptr + pos + n, sizeof(word));
        if (word & 0x8080808080808080u)
            break;
    }
    return n;
}

static bool ruler_init(struct ruler *r, struct fg_slice text)
{
    size_t pos = 0;

    *r = (struct ruler){ .text = text, .marks = malloc((text.len / STEP + 1) * sizeof(*r->marks)) };
    if (!r->marks)
        return false;
    while (pos < text.len) {
        size_t ascii;
        if (r->points % STEP == 0)
            r->marks[r->n++] = pos;
        ascii = count_ascii(text, pos, STEP - (size_t)(r->points % STEP));
        pos += ascii;
        r->points += (int64_t)ascii;
        if (ascii)
            continue;
        (void)fg_utf8_next(text, &pos);
        r->points++;
    }
    return true;
}

static bool ruler_at(const struct ruler *r, int64_t point, size_t *ret_byte)
{
    if (point < 0 || point > r->points)
        return false;
    *ret_byte = r->text.len;
    if (point == r->points)
        return true;
    *ret_byte = r->marks[point / STEP];
    for (int64_t i = point % STEP; i > 0; i--)
        (void)fg_utf8_next(r->text, ret_byte);
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->end != y->end)
        return x->end > y->end ? -1 : 1;
    return x->type.ptr < y->type.ptr ? -1 : x->type.ptr > y->type.ptr; /* as the service gave them */
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

/* Writes the spans that hold and moves them to the front; a->n is their number after it. */
static void write_spans(struct fg_json_writer *w, const struct ruler *ruler, struct answer *a, size_t *ret_dropped)
{
    size_t kept = 0;

    fg_json_key(w, "entities");
    fg_json_array(w);
    if (a->n)
        qsort(a->spans, a->n, sizeof(a->spans[0]), by_place);
    for (size_t i = 0; i < a->n && !w->out->failed; i++) {
        struct span s = a->spans[i];
        struct fg_slice stands;
        size_t from = 0, to = 0;
        bool inside = s.end > s.start && ruler_at(ruler, s.start, &from) && ruler_at(ruler, s.end, &to);

        stands = inside ? (struct fg_slice){ ruler->text.ptr + from, to - from } : FG_SLICE_NULL;
        if (!inside || !text_agrees(s.text, stands)) {
            (*ret_dropped)++;
            continue;
        }
        write_span(w, &s, from, to, stands);
        a->spans[kept++] = s;
    }
    a->n = kept;
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
        if (v.kind == FG_JSON_STRING)
            fg_json_raw(w, v.raw);
        else
            fg_json_null(w);
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

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* How many of each type, by its decoded name: a name may be escaped in several ways. */
static void write_counts(struct fg_json_writer *w, const struct answer *a)
{
    size_t total = 0, n = 0;
    char **names = calloc(a->n + 1, sizeof(*names));
    struct fg_buf all;

    for (size_t i = 0; i < a->n; i++)
        total += 3 * a->spans[i].type.len;
    all = FG_BUF_INIT(total + 1);
    if (!names || !fg_buf_reserve(&all, total + 1)) /* names point into it: it must not move */
        w->out->failed = true;
    for (size_t i = 0; i < a->n && !w->out->failed; i++) {
        names[n] = all.data + all.len;
        if (!fg_json_decode_string(a->spans[i].type, &all))
            continue;
        fg_buf_add_char(&all, '\0');
        n++;
    }
    if (n)
        qsort(names, n, sizeof(*names), by_name);
    fg_json_key(w, "counts");
    fg_json_object(w);
    for (size_t i = 0, same; i < n; i += same) {
        for (same = 1; i + same < n && strcmp(names[i], names[i + same]) == 0;)
            same++;
        fg_json_kv_int(w, names[i], (int64_t)same);
    }
    fg_json_object_end(w);
    fg_buf_deinit(&all);
    free(names);
}

void entities_write(const struct entities_input *in, struct answer *answer, struct fg_buf *out, size_t *ret_dropped)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);
    struct ruler ruler;

    *ret_dropped = answer->malformed;
    if (!ruler_init(&ruler, in->text)) {
        out->failed = true;
        return;
    }
    fg_json_object(&w);
    write_document(&w, in->document);
    write_service(&w, in, answer);
    fg_json_kv_string(&w, "text", in->text);
    write_spans(&w, &ruler, answer, ret_dropped);
    write_counts(&w, answer);
    fg_json_kv_bool(&w, "truncated", false);
    fg_json_kv_int(&w, "elapsed_ms", in->elapsed_ms);
    fg_json_object_end(&w);
    free(ruler.marks);
}
