/* SPDX-License-Identifier: Apache-2.0 */
/* The streaming JSON writer. */
#include "base/json.h"

#include <inttypes.h>
#include <math.h>

#include "base/assert.h"
#include "base/json-plain.h"
#include "base/str.h"
#include "base/utf8.h"

#define WRITER_DEPTH_MAX 63

/* Before each value: a comma, unless it is the first at its depth or follows its key. */
static void begin_value(struct fg_json_writer *w)
{
    uint64_t bit = UINT64_C(1) << w->depth;

    if (w->after_key)
        w->after_key = false;
    else if (w->has_member & bit)
        fg_buf_add_char(w->out, ',');
    w->has_member |= bit;
}

static void open_container(struct fg_json_writer *w, char c)
{
    fg_assert(w->depth < WRITER_DEPTH_MAX);
    begin_value(w);
    fg_buf_add_char(w->out, c);
    w->depth++;
    w->has_member &= ~(UINT64_C(1) << w->depth);
}

static void close_container(struct fg_json_writer *w, char c)
{
    fg_assert(w->depth > 0);
    fg_assert(!w->after_key);
    w->depth--;
    fg_buf_add_char(w->out, c);
}

static void write_escape(struct fg_buf *out, uint8_t c)
{
    switch (c) {
    case '"': fg_buf_add_str(out, "\\\""); break;
    case '\\': fg_buf_add_str(out, "\\\\"); break;
    case '\b': fg_buf_add_str(out, "\\b"); break;
    case '\f': fg_buf_add_str(out, "\\f"); break;
    case '\n': fg_buf_add_str(out, "\\n"); break;
    case '\r': fg_buf_add_str(out, "\\r"); break;
    case '\t': fg_buf_add_str(out, "\\t"); break;
    default: fg_buf_printf(out, "\\u%04x", c); break;
    }
}

static void write_quoted(struct fg_buf *out, struct fg_slice s)
{
    size_t from = 0, pos = 0;

    fg_buf_add_char(out, '"');
    while ((pos = fg_json_skip_plain(s, pos)) < s.len) {
        uint8_t c = (uint8_t)s.ptr[pos];
        size_t len = c < 0x20 || c == '"' || c == '\\' ? 0 : fg_utf8_sequence(s, pos);
        if (len > 0) {
            pos += len;
            continue;
        }
        fg_buf_add(out, s.ptr + from, pos - from);
        if (c < 0x80)
            write_escape(out, c);
        else
            fg_buf_add_str(out, "\xEF\xBF\xBD");
        from = ++pos;
    }
    if (pos > from)
        fg_buf_add(out, s.ptr + from, pos - from);
    fg_buf_add_char(out, '"');
}

void fg_json_object(struct fg_json_writer *w)
{
    open_container(w, '{');
}

void fg_json_object_end(struct fg_json_writer *w)
{
    close_container(w, '}');
}

void fg_json_array(struct fg_json_writer *w)
{
    open_container(w, '[');
}

void fg_json_array_end(struct fg_json_writer *w)
{
    close_container(w, ']');
}

void fg_json_key(struct fg_json_writer *w, const char *key)
{
    fg_assert(!w->after_key);
    begin_value(w);
    write_quoted(w->out, fg_slice_of(key));
    fg_buf_add_char(w->out, ':');
    w->after_key = true;
}

void fg_json_string(struct fg_json_writer *w, struct fg_slice s)
{
    begin_value(w);
    write_quoted(w->out, s);
}

void fg_json_cstr(struct fg_json_writer *w, const char *s)
{
    if (s)
        fg_json_string(w, fg_slice_of(s));
    else
        fg_json_null(w);
}

void fg_json_int(struct fg_json_writer *w, int64_t i)
{
    begin_value(w);
    fg_buf_printf(w->out, "%" PRId64, i);
}

void fg_json_double(struct fg_json_writer *w, double d)
{
    char text[FG_DOUBLE_MAX];

    begin_value(w);
    if (isfinite(d))
        fg_buf_add(w->out, text, fg_format_double(d, text));
    else
        fg_buf_add_str(w->out, "null");
}

void fg_json_bool(struct fg_json_writer *w, bool b)
{
    begin_value(w);
    fg_buf_add_str(w->out, b ? "true" : "false");
}

void fg_json_null(struct fg_json_writer *w)
{
    begin_value(w);
    fg_buf_add_str(w->out, "null");
}

void fg_json_raw(struct fg_json_writer *w, struct fg_slice json)
{
    begin_value(w);
    fg_buf_add_slice(w->out, json);
}

void fg_json_kv_string(struct fg_json_writer *w, const char *key, struct fg_slice s)
{
    fg_json_key(w, key);
    fg_json_string(w, s);
}

void fg_json_kv_cstr(struct fg_json_writer *w, const char *key, const char *s)
{
    fg_json_key(w, key);
    fg_json_cstr(w, s);
}

void fg_json_kv_int(struct fg_json_writer *w, const char *key, int64_t i)
{
    fg_json_key(w, key);
    fg_json_int(w, i);
}

void fg_json_kv_bool(struct fg_json_writer *w, const char *key, bool b)
{
    fg_json_key(w, key);
    fg_json_bool(w, b);
}
