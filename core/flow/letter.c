/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: their headers, and conditions on them. */
#include "flow/letter.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

static const char *const field_names[] = {
    [FG_LETTER_REASON] = "reason",     [FG_LETTER_CODE] = "code", [FG_LETTER_STAGE] = "stage",
    [FG_LETTER_PIPELINE] = "pipeline", [FG_LETTER_KEY] = "key",   [FG_LETTER_ORIGIN] = "origin",
    [FG_LETTER_ID] = "id",             [FG_LETTER_SINCE] = "since", [FG_LETTER_UNTIL] = "until",
    [_FG_LETTER_FIELD_N] = NULL,
};

/* What a letter has beside its record's own headers, and where it goes in struct fg_letter; none: nowhere. */
static const struct {
    const char *name;
    size_t offset;
} letter_headers[] = {
    {"fragua_reason", offsetof(struct fg_letter, reason)},
    {"fragua_code", offsetof(struct fg_letter, code)},
    {"fragua_stage", offsetof(struct fg_letter, stage)},
    {"fragua_pipeline", offsetof(struct fg_letter, pipeline)},
    {"fragua_attempts", offsetof(struct fg_letter, attempts)},
    {"fragua_origin", offsetof(struct fg_letter, origin)},
    {"fragua_replayed", SIZE_MAX},
};
#define N_LETTER_HEADERS (sizeof(letter_headers) / sizeof(letter_headers[0]))

static size_t header_index(const struct fg_header *h)
{
    size_t i = 0;

    while (i < N_LETTER_HEADERS && !fg_slice_ieq(h->name, fg_slice_of(letter_headers[i].name)))
        i++;
    return i;
}

void fg_letter_read(const struct fg_record_view *view, const struct fg_bus_position *at, struct fg_letter *ret)
{
    *ret = (struct fg_letter){
        .topic = at->topic,
        .partition = at->partition,
        .offset = at->offset,
        .timestamp_ms = view->timestamp_ms,
        .key = view->key,
    };
    for (size_t i = 0; i < view->n_headers; i++) {
        size_t k = header_index(&view->headers[i]);
        if (k < N_LETTER_HEADERS && letter_headers[k].offset != SIZE_MAX)
            *(struct fg_slice *)(void *)((char *)ret + letter_headers[k].offset) = view->headers[i].value;
    }
}

/* A record that had no type was given this one. */
static bool is_dead_type(const struct fg_header *h)
{
    return fg_slice_ieq(h->name, (struct fg_slice)FG_SLICE("ce_type")) && fg_slice_is(h->value, "fragua.dead.v1");
}

size_t fg_letter_own_headers(const struct fg_record_view *view, struct fg_header *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < view->n_headers; i++)
        if (header_index(&view->headers[i]) == N_LETTER_HEADERS && !is_dead_type(&view->headers[i]))
            ret[n++] = view->headers[i];
    return n;
}

/* Splits at the last slash. */
static bool cut_last(struct fg_slice s, struct fg_slice *ret_head, struct fg_slice *ret_tail)
{
    const char *slash = s.len ? memrchr(s.ptr, '/', s.len) : NULL;
    size_t at;

    if (!slash)
        return false;
    at = (size_t)(slash - s.ptr);
    *ret_tail = fg_slice_sub(s, at + 1, s.len);
    *ret_head = fg_slice_sub(s, 0, at);
    return true;
}

bool fg_letter_place(struct fg_slice text, struct fg_slice *ret_topic, int32_t *ret_partition, int64_t *ret_offset)
{
    struct fg_slice topic, partition, offset;
    int64_t p, o;

    if (!cut_last(text, &topic, &offset) || !cut_last(topic, &topic, &partition) || !topic.len ||
        !fg_parse_int(partition, &p) || !fg_parse_int(offset, &o) || p < 0 || p > INT32_MAX || o < 0)
        return false;
    *ret_topic = topic;
    *ret_partition = (int32_t)p;
    *ret_offset = o;
    return true;
}

static int read_time(const char *name, const char *text, int64_t now_ms, int64_t *ret, struct fg_error *err)
{
    if (fg_rfc3339_parse(fg_slice_of(text), ret))
        return 0;
    if (fg_parse_duration_ms(fg_slice_of(text), ret)) {
        *ret = now_ms - *ret;
        return 0;
    }
    return fg_raise(fg_error_set(err, FG_E_CONFIG, 0,
                                 "%s is a time like 2026-03-01T08:00:00Z, or how long ago (90m, 2d), not \"%s\"", name,
                                 text));
}

int fg_letter_condition_read(const char *text, int64_t now_ms, struct fg_letter_condition *ret, struct fg_error *err)
{
    const char *equals = strchr(text, '=');
    struct fg_slice name = fg_slice_make(text, equals ? (size_t)(equals - text) : strlen(text)), topic;
    struct fg_letter_condition c = {.text = equals ? equals + 1 : ""};
    int32_t partition;
    int64_t offset;

    while (c.field < _FG_LETTER_FIELD_N && !fg_slice_is(name, field_names[c.field]))
        c.field++;
    if (!equals || c.field == _FG_LETTER_FIELD_N)
        return fg_raise(fg_error_set(err, FG_E_CONFIG, 0,
                                     "a filter is reason, code, stage, pipeline, key, origin, id, since or until, "
                                     "then = and a value, not \"%s\"",
                                     text));
    if (c.field == FG_LETTER_ID && !fg_letter_place(fg_slice_of(c.text), &topic, &partition, &offset))
        return fg_raise(
            fg_error_set(err, FG_E_CONFIG, 0, "id is a letter's topic/partition/offset, not \"%s\"", c.text));
    if ((c.field == FG_LETTER_SINCE || c.field == FG_LETTER_UNTIL) &&
        read_time(field_names[c.field], c.text, now_ms, &c.ms, err) < 0)
        return fg_pass(-1);
    *ret = c;
    return 0;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool contains(struct fg_slice s, const char *part)
{
    size_t n = strlen(part);

    for (size_t i = 0; i + n <= s.len; i++) {
        size_t k = 0;
        while (k < n && lower(s.ptr[i + k]) == lower(part[k]))
            k++;
        if (k == n)
            return true;
    }
    return false;
}

static bool is_or_begins(struct fg_slice s, const char *text)
{
    size_t n = strlen(text);

    return fg_slice_is(s, text) || (n > 0 && n < s.len && memcmp(s.ptr, text, n) == 0 && s.ptr[n] == '/');
}

static bool has_id(const struct fg_letter *letter, const char *text)
{
    struct fg_slice topic;
    int32_t partition;
    int64_t offset;

    return fg_letter_place(fg_slice_of(text), &topic, &partition, &offset) && fg_slice_is(topic, letter->topic) &&
           partition == letter->partition && offset == letter->offset;
}

static bool holds(const struct fg_letter *letter, const struct fg_letter_condition *c)
{
    switch (c->field) {
    case FG_LETTER_REASON: return contains(letter->reason, c->text);
    case FG_LETTER_CODE: return fg_slice_is(letter->code, c->text);
    case FG_LETTER_STAGE: return fg_slice_is(letter->stage, c->text);
    case FG_LETTER_PIPELINE: return fg_slice_is(letter->pipeline, c->text);
    case FG_LETTER_KEY: return fg_slice_is(letter->key, c->text);
    case FG_LETTER_ORIGIN: return is_or_begins(letter->origin, c->text);
    case FG_LETTER_ID: return has_id(letter, c->text);
    case FG_LETTER_SINCE: return letter->timestamp_ms >= c->ms;
    case FG_LETTER_UNTIL: return letter->timestamp_ms < c->ms;
    case _FG_LETTER_FIELD_N: break;
    }
    return false;
}

bool fg_letter_is_chosen(const struct fg_letter *letter, const struct fg_letter_condition *conditions, size_t n)
{
    unsigned asked = 0, held = 0; /* a bit for each field */

    for (size_t i = 0; i < n; i++) {
        unsigned bit = 1u << conditions[i].field;
        asked |= bit;
        if (holds(letter, &conditions[i]))
            held |= bit;
    }
    return asked == held;
}
