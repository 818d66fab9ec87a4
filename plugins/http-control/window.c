/* SPDX-License-Identifier: Apache-2.0 */
/* The latest records of the topics, in memory: a ring bounded by count and by bytes. */
#include "window.h"

#include <stdlib.h>

#include <fragua/kit/str.h>

static const char *const id_pointer[_WINDOW_KIND_N] = { "/id", "/document/id" };
static const char *const mailbox_pointer[_WINDOW_KIND_N] = { "/mailbox", "/document/mailbox" };

bool window_init(struct window *w, size_t records_max, size_t bytes_max)
{
    *w = (struct window){ .cap = records_max, .bytes_max = bytes_max, .next_number = 1 };
    w->items = calloc(records_max, sizeof(*w->items));
    return w->items != NULL;
}

static struct window_item *item_at(const struct window *w, size_t k)
{
    return &w->items[(w->first + k) % w->cap];
}

static void drop_oldest(struct window *w)
{
    struct window_item *oldest = item_at(w, 0);

    w->bytes -= oldest->len;
    free(oldest->value);
    *oldest = (struct window_item){ .value = NULL };
    w->first = (w->first + 1) % w->cap;
    w->n--;
}

void window_deinit(struct window *w)
{
    while (w->n)
        drop_oldest(w);
    free(w->items);
    w->items = NULL;
}

const struct window_item *window_add(struct window *w, enum window_kind kind, struct fg_slice value)
{
    struct window_item item = { .kind = kind, .len = value.len }, *at;
    struct fg_slice own;

    if (value.len > w->bytes_max || !fg_json_valid(value) ||
        fg_json_find(value, id_pointer[kind]).kind != FG_JSON_STRING)
        return NULL;
    item.value = fg_strdup_slice(value);
    if (!item.value)
        return NULL;
    own = fg_slice_make(item.value, value.len);
    item.id = fg_json_find(own, id_pointer[kind]).raw;
    item.mailbox = fg_json_find(own, mailbox_pointer[kind]).raw;
    while (w->n && (w->n == w->cap || w->bytes + value.len > w->bytes_max))
        drop_oldest(w);
    item.number = w->next_number++;
    w->bytes += value.len;
    at = item_at(w, w->n++);
    *at = item;
    return at;
}

/* A raw JSON string against a text: equal, or (part) holding it. */
static bool string_matches(struct fg_slice raw, struct fg_slice wanted, bool part)
{
    struct fg_buf decoded = FG_BUF_INIT(raw.len + 1);
    bool match = false;

    if (fg_json_decode_string(raw, &decoded))
        match = part ? fg_slice_find(fg_buf_slice(&decoded), wanted) >= 0 : fg_slice_eq(fg_buf_slice(&decoded), wanted);
    fg_buf_deinit(&decoded);
    return match;
}

static bool passes(struct fg_slice raw, struct fg_slice wanted, bool part)
{
    return !wanted.len || string_matches(raw, wanted, part);
}

static bool document_passes(struct fg_slice value, struct fg_slice text)
{
    return !text.len || passes(fg_json_find(value, "/subject").raw, text, true) ||
           passes(fg_json_find(value, "/text").raw, text, true);
}

/* The next older item of the kind that is wanted by number and mailbox; *k counts down from w->n. */
static const struct window_item *older(const struct window *w, const struct window_filter *f, enum window_kind kind,
                                       size_t *k)
{
    while ((*k)-- > 0) {
        const struct window_item *item = item_at(w, *k);
        if (item->kind == kind && (!f->before || item->number < f->before) && passes(item->mailbox, f->mailbox, false))
            return item;
    }
    return NULL;
}

static void write_next(struct fg_json_writer *out, bool more, uint64_t number)
{
    if (more)
        fg_json_kv_int(out, "next", (int64_t)number);
}

void window_write_documents(const struct window *w, const struct window_filter *f, struct fg_json_writer *out)
{
    const struct window_item *item;
    size_t k = w->n, written = 0;
    uint64_t last = 0;

    fg_json_object(out);
    fg_json_key(out, "documents");
    fg_json_array(out);
    while (written < f->limit && (item = older(w, f, WINDOW_DOCUMENT, &k))) {
        struct fg_slice value = { item->value, item->len };
        if (!document_passes(value, f->text))
            continue;
        fg_json_raw(out, value);
        last = item->number;
        written++;
    }
    fg_json_array_end(out);
    write_next(out, written == f->limit, last);
    fg_json_object_end(out);
}

/* One entity with all its members and the document that it stands in. */
static void write_entity(struct fg_json_writer *out, struct fg_json_value entity, struct fg_slice document)
{
    struct fg_json_value member;
    struct fg_slice key;
    size_t pos = 0;

    fg_json_object(out);
    while (fg_json_each(entity, &pos, &key, &member)) {
        struct fg_buf name = FG_BUF_INIT(256);
        if (fg_json_decode_string(key, &name) && name.len && !fg_slice_is(fg_buf_slice(&name), "document")) {
            fg_json_key(out, name.data);
            fg_json_raw(out, member.raw);
        }
        fg_buf_deinit(&name);
    }
    fg_json_key(out, "document");
    fg_json_raw(out, document);
    fg_json_object_end(out);
}

static size_t write_entities_of(struct fg_json_writer *out, const struct window_item *item,
                                const struct window_filter *f, size_t limit)
{
    struct fg_slice value = { item->value, item->len };
    struct fg_json_value entities = fg_json_find(value, "/entities"), entity;
    struct fg_slice document = fg_json_find(value, "/document").raw;
    size_t pos = 0, n = 0;

    while (n < limit && fg_json_each(entities, &pos, NULL, &entity)) {
        if (!passes(fg_json_find(entity.raw, "/type").raw, f->type, false) ||
            !passes(fg_json_find(entity.raw, "/text").raw, f->text, true))
            continue;
        write_entity(out, entity, document);
        n++;
    }
    return n;
}

void window_write_entities(const struct window *w, const struct window_filter *f, struct fg_json_writer *out)
{
    const struct window_item *item = NULL;
    size_t k = w->n, written = 0;
    uint64_t last = 0;

    fg_json_object(out);
    fg_json_key(out, "entities");
    fg_json_array(out);
    while (written < f->limit && (item = older(w, f, WINDOW_ENTITIES, &k))) {
        written += write_entities_of(out, item, f, f->limit - written);
        last = item->number;
    }
    fg_json_array_end(out);
    write_next(out, written >= f->limit, last);
    fg_json_object_end(out);
}

const struct window_item *window_find(const struct window *w, enum window_kind kind, struct fg_slice id)
{
    for (size_t k = w->n; k-- > 0;) {
        const struct window_item *item = item_at(w, k);
        if (item->kind == kind && string_matches(item->id, id, false))
            return item;
    }
    return NULL;
}
