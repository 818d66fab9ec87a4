/* SPDX-License-Identifier: Apache-2.0 */
/* Records: one block of memory each, with the bytes that no parent and no message already holds. */
#include "flow/record.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"

#define RECORD_MAGIC 0x46475245u

/* A record may be larger than any Kafka message, never so large that sums of its parts wrap. */
#define RECORD_BYTES_MAX   ((size_t)1 << 31)
#define RECORD_HEADERS_MAX 65536u

struct fg_record {
    uint32_t magic;
    atomic_uint refs;
    struct fg_budget *budget;       /* borrowed */
    size_t charged;                 /* bytes */
    size_t bytes;                   /* what it shows, its parent's bytes included */
    void *owned;                    /* malloc'ed bytes that were taken over; NULL: none */
    atomic_size_t extra;            /* charged with them for what may become of them */
    struct fg_record *parent;       /* owned reference; NULL: no byte of it is used */
    struct fg_bus_message *message; /* owned; NULL: made here */
    struct fg_bus_position origin;
    struct fg_record_view view;
    char block[] __attribute__((aligned(_Alignof(struct fg_header)))); /* headers, then bytes */
};

static bool covers(struct fg_slice whole, struct fg_slice part)
{
    uintptr_t a = (uintptr_t)whole.ptr, b = (uintptr_t)part.ptr;
    return whole.len > 0 && b >= a && part.len <= whole.len && b - a <= whole.len - part.len;
}

/* Whatever a parent shows lives as long as the parent does, so looking at its view alone is enough. */
static bool parent_holds(const struct fg_record *parent, struct fg_slice s)
{
    const struct fg_record_view *v = &parent->view;
    if (covers(v->value, s) || covers(v->key, s) || covers(v->output, s))
        return true;
    for (size_t i = 0; i < v->n_headers; i++)
        if (covers(v->headers[i].value, s) || covers(v->headers[i].name, s))
            return true;
    return false;
}

static size_t bytes_to_copy(const struct fg_record *parent, struct fg_slice s)
{
    return s.len == 0 || (parent && parent_holds(parent, s)) ? 0 : s.len;
}

static struct fg_slice place(const struct fg_record *parent, struct fg_slice s, char **at, bool *ret_lent)
{
    struct fg_slice copy;
    if (s.len == 0)
        return FG_SLICE_NULL;
    if (parent && parent_holds(parent, s)) {
        *ret_lent = true;
        return s;
    }
    memcpy(*at, s.ptr, s.len);
    copy = fg_slice_make(*at, s.len);
    *at += s.len;
    return copy;
}

static size_t spec_bytes(const struct fg_record_spec *spec)
{
    const struct fg_record_view *v = &spec->view;
    size_t bytes = bytes_to_copy(spec->parent, v->key) + bytes_to_copy(spec->parent, v->output);
    size_t value = bytes_to_copy(spec->parent, v->value);

    if (bytes > RECORD_BYTES_MAX || value > RECORD_BYTES_MAX || v->n_headers > RECORD_HEADERS_MAX)
        return SIZE_MAX;
    bytes += value;
    for (size_t i = 0; i < v->n_headers; i++) {
        bytes += sizeof(struct fg_header);
        bytes += bytes_to_copy(spec->parent, v->headers[i].name) + bytes_to_copy(spec->parent, v->headers[i].value);
        if (bytes > RECORD_BYTES_MAX)
            return SIZE_MAX;
    }
    return bytes;
}

static size_t view_bytes(const struct fg_record_view *v)
{
    size_t bytes = v->key.len + v->value.len + v->output.len;
    for (size_t i = 0; i < v->n_headers; i++)
        bytes += sizeof(struct fg_header) + v->headers[i].name.len + v->headers[i].value.len;
    return bytes;
}

static void fill(struct fg_record *r, const struct fg_record_spec *spec)
{
    const struct fg_record_view *v = &spec->view;
    struct fg_header *headers = (struct fg_header *)(void *)r->block;
    char *at = r->block + v->n_headers * sizeof(*headers);
    bool lent = false;

    r->view.timestamp_ms = v->timestamp_ms;
    r->view.key = place(spec->parent, v->key, &at, &lent);
    r->view.value = place(spec->parent, v->value, &at, &lent);
    r->view.output = place(spec->parent, v->output, &at, &lent);
    for (size_t i = 0; i < v->n_headers; i++) {
        headers[i].name = place(spec->parent, v->headers[i].name, &at, &lent);
        headers[i].value = place(spec->parent, v->headers[i].value, &at, &lent);
    }
    r->view.headers = v->n_headers ? headers : NULL;
    r->view.n_headers = v->n_headers;
    if (lent)
        r->parent = fg_record_ref(spec->parent);
}

int fg_record_new(struct fg_budget *budget, const struct fg_record_spec *spec, bool must, struct fg_record **ret,
                  struct fg_error *err)
{
    size_t block = spec_bytes(spec);
    struct fg_record *r;

    if (block == SIZE_MAX)
        return fg_raise(fg_error_set(err, FG_E_LIMIT, 0, "a record of more than %zu bytes or %u headers cannot be made",
                                     RECORD_BYTES_MAX, RECORD_HEADERS_MAX));
    /* parts of what was let in are no more than their heads */
    if (must || (spec->parent && spec->parent->owned))
        fg_budget_charge(budget, sizeof(*r) + block);
    else if (!fg_budget_try_charge(budget, sizeof(*r) + block))
        return fg_raise(fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no room for a record of %zu bytes",
                                     sizeof(*r) + block));
    r = calloc(1, sizeof(*r) + block);
    if (!r) {
        fg_budget_credit(budget, sizeof(*r) + block);
        return fg_raise(fg_error_set(err, FG_E_NO_ROOM, FG_ERROR_RETRIABLE, "no memory for a record of %zu bytes",
                                     sizeof(*r) + block));
    }
    r->magic = RECORD_MAGIC;
    atomic_init(&r->refs, 1);
    r->budget = budget;
    r->charged = sizeof(*r) + block;
    fill(r, spec);
    r->bytes = sizeof(*r) + view_bytes(&r->view);
    *ret = r;
    return 0;
}

struct fg_record *fg_record_adopt(struct fg_budget *budget, char *bytes, size_t len, size_t charged)
{
    struct fg_record *r = calloc(1, sizeof(*r));

    fg_assert(r); /* a few hundred bytes */
    r->magic = RECORD_MAGIC;
    atomic_init(&r->refs, 1);
    r->budget = budget;
    r->bytes = r->charged = sizeof(*r) + len;
    r->owned = bytes;
    r->view.value = fg_slice_make(bytes, len);
    if (charged < r->charged)
        fg_budget_charge(budget, r->charged - charged);
    atomic_init(&r->extra, charged > r->charged ? charged - r->charged : 0);
    return r;
}

struct fg_record *fg_record_from_message(struct fg_budget *budget, struct fg_bus_message *message)
{
    struct fg_record *r = calloc(1, sizeof(*r));

    fg_assert(r); /* nothing of it is committed: what dies here is read again */
    r->magic = RECORD_MAGIC;
    atomic_init(&r->refs, 1);
    r->budget = budget;
    r->message = message;
    r->origin = (struct fg_bus_position){message->topic, message->partition, message->offset};
    r->view = (struct fg_record_view){
        .key = message->key,
        .value = message->value,
        .headers = message->headers,
        .n_headers = message->n_headers,
        .timestamp_ms = message->timestamp_ms,
    };
    r->bytes = r->charged = sizeof(*r) + sizeof(*message) + view_bytes(&r->view);
    fg_budget_charge(budget, r->charged);
    return r;
}

struct fg_record *fg_record_ref(struct fg_record *record)
{
    fg_assert(record->magic == RECORD_MAGIC);
    atomic_fetch_add_explicit(&record->refs, 1, memory_order_relaxed);
    return record;
}

struct fg_record *fg_record_unref(struct fg_record *record)
{
    /* a chain of parents may be long: a loop, not recursion */
    while (record) {
        struct fg_record *parent = record->parent;
        unsigned before;

        fg_assert(record->magic == RECORD_MAGIC);
        /* its maker has made of it what there was to make: from here on that is charged itself */
        if (record->owned)
            fg_budget_credit(record->budget, atomic_exchange(&record->extra, 0));
        before = atomic_fetch_sub_explicit(&record->refs, 1, memory_order_acq_rel);
        fg_assert(before > 0);
        if (before > 1)
            break;
        fg_bus_message_free(record->message);
        fg_budget_credit(record->budget, record->charged);
        record->magic = 0;
        free(record->owned);
        free(record);
        record = parent;
    }
    return NULL;
}

const struct fg_record_view *fg_record_view(const struct fg_record *record)
{
    fg_assert(record->magic == RECORD_MAGIC);
    return &record->view;
}

size_t fg_record_bytes(const struct fg_record *record)
{
    return record->bytes;
}

const struct fg_bus_position *fg_record_origin(const struct fg_record *record)
{
    return record->message ? &record->origin : NULL;
}
