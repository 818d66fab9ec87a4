/* SPDX-License-Identifier: Apache-2.0 */
/* One record as people or programs read it. */
#include "cli/show.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "cli/errand.h"
#include "flow/letter.h"

#define LINE_MAX_CHARS 160 /* code points of a value that are shown in one line */

#define BOLD   "\033[1m"
#define DIM    "\033[2m"
#define RED    "\033[31m"
#define CYAN   "\033[36m"
#define NORMAL "\033[0m"

/* ---- pretty ---- */

struct pretty {
    struct fg_buf *out;
    const struct fg_bus_message *m;
    bool colour;
};

static void styled(const struct pretty *p, const char *style, const char *text)
{
    fg_buf_printf(p->out, "%s%s%s", p->colour ? style : "", text, p->colour ? NORMAL : "");
}

static void plain(const struct pretty *p, struct fg_slice text)
{
    fg_errand_plain(text, LINE_MAX_CHARS, p->out);
}

static struct fg_slice header(const struct fg_bus_message *m, const char *name)
{
    for (size_t i = m->n_headers; i-- > 0;)
        if (fg_slice_ieq(m->headers[i].name, fg_slice_of(name)))
            return m->headers[i].value;
    return FG_SLICE_NULL;
}

/* A string of the value, decoded; an empty buffer: it is none. */
static void text_at(const struct fg_bus_message *m, const char *pointer, struct fg_buf *out)
{
    struct fg_json_value v = fg_json_find(m->value, pointer);

    fg_buf_clear(out);
    if (v.kind == FG_JSON_STRING)
        (void)fg_json_decode_string(v.raw, out);
}

static bool text_line(const struct pretty *p, const char *label, const char *pointer)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(p->m->value.len + 1);
    struct fg_slice first, rest;

    text_at(p->m, pointer, &text);
    (void)fg_slice_cut(fg_slice_trim(fg_buf_slice(&text)), '\n', &first, &rest);
    if (!first.len)
        return false;
    fg_buf_printf(p->out, "  %-8s ", label);
    plain(p, first);
    fg_buf_add_char(p->out, '\n');
    return true;
}

/* "from     Purchasing <purchasing@fabrikam.example>" */
static bool from_line(const struct pretty *p)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf name = FG_BUF_INIT(p->m->value.len + 1);
    FG_CLEANUP(fg_buf_deinit) struct fg_buf address = FG_BUF_INIT(p->m->value.len + 1);

    text_at(p->m, "/from/name", &name);
    text_at(p->m, "/from/address", &address);
    if (!name.len && !address.len)
        return false;
    fg_buf_add_str(p->out, "  from     ");
    plain(p, fg_buf_slice(&name));
    if (address.len) {
        fg_buf_add_str(p->out, name.len ? " <" : "");
        plain(p, fg_buf_slice(&address));
        fg_buf_add_str(p->out, name.len ? ">" : "");
    }
    fg_buf_add_char(p->out, '\n');
    return true;
}

/* "found    MONEY 2, DATE 1" */
static bool counts_line(const struct pretty *p)
{
    struct fg_json_value counts = fg_json_find(p->m->value, "/counts"), one;
    struct fg_slice key;
    size_t pos = 0, n = 0;

    if (counts.kind != FG_JSON_OBJECT)
        return false;
    fg_buf_add_str(p->out, "  found    ");
    for (; fg_json_each(counts, &pos, &key, &one); n++) {
        fg_buf_add_str(p->out, n ? ", " : "");
        plain(p, fg_slice_sub(key, 1, key.len - 1)); /* without its quotes */
        fg_buf_add_char(p->out, ' ');
        plain(p, one.raw);
    }
    fg_buf_add_str(p->out, n ? "\n" : "nothing\n");
    return true;
}

static void dead_lines(const struct pretty *p)
{
    const struct fg_record_view view = { .key = p->m->key, .headers = p->m->headers, .n_headers = p->m->n_headers };
    const struct fg_bus_position at = { .topic = p->m->topic };
    struct fg_letter letter;

    fg_letter_read(&view, &at, &letter);
    if (!letter.reason.len && !letter.stage.len)
        return;
    fg_buf_add_str(p->out, "  ");
    styled(p, RED, "dead");
    fg_buf_add_str(p->out, "     ");
    plain(p, letter.reason);
    fg_buf_add_str(p->out, "\n  at       ");
    plain(p, letter.pipeline);
    fg_buf_add_str(p->out, ", ");
    plain(p, letter.stage);
    fg_buf_add_str(p->out, " (");
    plain(p, letter.code);
    fg_buf_add_str(p->out, "), attempts ");
    plain(p, letter.attempts);
    fg_buf_add_str(p->out, "\n  origin   ");
    plain(p, letter.origin);
    fg_buf_add_char(p->out, '\n');
}

static void value_lines(const struct pretty *p)
{
    const struct fg_bus_message *m = p->m;
    struct fg_slice first, rest;
    unsigned n = 0;

    n += text_line(p, "subject", "/subject");
    n += text_line(p, "subject", "/document/subject");
    n += from_line(p);
    n += counts_line(p);
    n += text_line(p, "text", "/text");
    if (n)
        return;
    fg_buf_add_str(p->out, "  value    ");
    (void)fg_slice_cut(m->value, '\n', &first, &rest);
    if (m->tombstone)
        fg_buf_add_str(p->out, "(none: a tombstone)");
    else if (!fg_utf8_valid(m->value))
        fg_buf_printf(p->out, "(%zu bytes that are no text)", m->value.len);
    else
        plain(p, first);
    fg_buf_add_char(p->out, '\n');
}

void fg_show_pretty(const struct fg_bus_message *m, bool colour, struct fg_buf *out)
{
    const struct pretty p = { out, m, colour };
    struct fg_slice type = header(m, "ce_type");
    char at[FG_RFC3339_MAX], place[320];

    fg_rfc3339(m->timestamp_ms, at);
    (void)snprintf(place, sizeof(place), "%s/%" PRId32 "/%" PRId64, m->topic, m->partition, m->offset);
    styled(&p, DIM, at);
    fg_buf_add_str(out, "  ");
    styled(&p, BOLD, place);
    if (type.len) {
        fg_buf_add_str(out, colour ? "  " CYAN : "  ");
        plain(&p, type);
        fg_buf_add_str(out, colour ? NORMAL : "");
    }
    fg_buf_add_str(out, "\n  key      ");
    plain(&p, m->key);
    fg_buf_add_char(out, '\n');
    dead_lines(&p);
    value_lines(&p);
    fg_buf_add_char(out, '\n');
}

/* ---- JSON ---- */

static void base64(struct fg_json_writer *w, struct fg_slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    FG_CLEANUP(fg_buf_deinit) struct fg_buf text = FG_BUF_INIT(bytes.len * 2 + 8);

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t v = (uint32_t)(uint8_t)bytes.ptr[i] << 16;
        v |= left > 1 ? (uint32_t)(uint8_t)bytes.ptr[i + 1] << 8 : 0;
        v |= left > 2 ? (uint32_t)(uint8_t)bytes.ptr[i + 2] : 0;
        fg_buf_add_char(&text, digits[v >> 18]);
        fg_buf_add_char(&text, digits[v >> 12 & 63]);
        fg_buf_add_char(&text, left > 1 ? digits[v >> 6 & 63] : '=');
        fg_buf_add_char(&text, left > 2 ? digits[v & 63] : '=');
    }
    fg_json_string(w, fg_buf_slice(&text));
}

static void write_bytes(struct fg_json_writer *w, const char *name, const char *name_base64, struct fg_slice bytes)
{
    if (fg_utf8_valid(bytes)) {
        fg_json_kv_string(w, name, bytes);
    } else {
        fg_json_key(w, name_base64);
        base64(w, bytes);
    }
}

/* The i-th header is the first of its name. */
static bool is_first(const struct fg_bus_message *m, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (fg_slice_eq(m->headers[k].name, m->headers[i].name))
            return false;
    return true;
}

static size_t count_of(const struct fg_bus_message *m, struct fg_slice name)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n_headers; i++)
        n += fg_slice_eq(m->headers[i].name, name);
    return n;
}

static void write_header(struct fg_json_writer *w, const struct fg_bus_message *m, size_t i)
{
    struct fg_slice name = m->headers[i].name;
    char *key = fg_strdup_slice(name);
    bool several = count_of(m, name) > 1;

    fg_assert(key);
    fg_json_key(w, key);
    free(key);
    if (several)
        fg_json_array(w);
    for (size_t k = i; k < m->n_headers; k++)
        if (fg_slice_eq(m->headers[k].name, name))
            fg_json_string(w, m->headers[k].value);
    if (several)
        fg_json_array_end(w);
}

/* JSON of several lines would end the line: it is written without them. */
static bool is_one_line(struct fg_slice json)
{
    return !memchr(json.ptr, '\n', json.len) && !memchr(json.ptr, '\r', json.len);
}

static void write_value(struct fg_json_writer *w, const struct fg_bus_message *m)
{
    if (m->tombstone) {
        fg_json_key(w, "value");
        fg_json_null(w);
    } else if (m->value.len && fg_json_valid(m->value)) {
        fg_json_key(w, "value");
        if (is_one_line(m->value)) {
            fg_json_raw(w, m->value);
            return;
        }
        /* in valid JSON a bare line end can only stand between the parts of a value */
        FG_CLEANUP(fg_buf_deinit) struct fg_buf flat = FG_BUF_INIT(m->value.len + 1);
        fg_buf_add_slice(&flat, m->value);
        for (size_t i = 0; i < flat.len; i++)
            if (flat.data[i] == '\n' || flat.data[i] == '\r')
                flat.data[i] = ' ';
        fg_json_raw(w, fg_buf_slice(&flat));
    } else {
        write_bytes(w, "value", "value_base64", m->value);
    }
}

void fg_show_json(const struct fg_bus_message *m, struct fg_buf *out)
{
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);
    char at[FG_RFC3339_MAX];

    fg_rfc3339(m->timestamp_ms, at);
    fg_json_object(&w);
    fg_json_kv_cstr(&w, "topic", m->topic);
    fg_json_kv_int(&w, "partition", m->partition);
    fg_json_kv_int(&w, "offset", m->offset);
    fg_json_kv_cstr(&w, "timestamp", at);
    write_bytes(&w, "key", "key_base64", m->key);
    fg_json_key(&w, "headers");
    fg_json_object(&w);
    for (size_t i = 0; i < m->n_headers; i++)
        if (is_first(m, i))
            write_header(&w, m, i);
    fg_json_object_end(&w);
    write_value(&w, m);
    fg_json_object_end(&w);
    fg_buf_add_char(out, '\n');
}
