/* SPDX-License-Identifier: Apache-2.0 */
/* The reference of a table: for terminals, for Markdown pages, for programs. */
#include "conf/conf-private.h"

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"

#define PATH_LEN_MAX 4096 /* bytes of a key with those of its groups */

struct doc {
    struct fg_buf *out;
    void (*row)(struct doc *d, const char *key, const struct fg_option *o);
};

/* "between 1s and 1h; one of a, b or c; secret": what the type alone does not say. */
static void write_notes(const struct fg_option *o, struct fg_buf *out)
{
    const char *separator = "";

    if (fg_conf_has_bounds(o)) {
        fg_conf_bounds_write(o, out);
        if (o->type == FG_OPTION_STRINGS || o->type == FG_OPTION_GROUPS)
            fg_buf_add_str(out, " entries");
        else if (o->unit && o->type != FG_OPTION_DURATION && o->type != FG_OPTION_SIZE)
            fg_buf_printf(out, " %s", o->unit);
        separator = "; ";
    }
    if (o->choices) {
        fg_buf_add_str(out, separator);
        fg_conf_choices_write(o, out);
        separator = "; ";
    }
    if (o->flags & FG_OPTION_SECRET)
        fg_buf_printf(out, "%ssecret", separator);
}

static const char *default_text(const struct fg_option *o)
{
    if (o->flags & FG_OPTION_REQUIRED)
        return "required";
    return o->fallback ? o->fallback : "";
}

static void text_row(struct doc *d, const char *key, const struct fg_option *o)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf notes = FG_BUF_INIT(4096);
    bool required = (o->flags & FG_OPTION_REQUIRED) != 0;

    fg_buf_printf(d->out, "%s  %s", key, fg_conf_type_name(o->type));
    if (required || o->fallback)
        fg_buf_printf(d->out, ", %s%s", required ? "" : "default ", default_text(o));
    write_notes(o, &notes);
    if (notes.len > 0)
        fg_buf_printf(d->out, ", %s", notes.data);
    fg_buf_printf(d->out, "\n    %s\n", o->summary ? o->summary : "");
    if (o->detail)
        fg_buf_printf(d->out, "    %s\n", o->detail);
}

/* A '|' would end the cell, a line break the row. */
static void add_cell(struct fg_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fg_buf_add_char(out, '\\');
        fg_buf_add_char(out, *text == '\n' ? ' ' : *text);
    }
}

static void markdown_row(struct doc *d, const char *key, const struct fg_option *o)
{
    FG_CLEANUP(fg_buf_deinit) struct fg_buf notes = FG_BUF_INIT(4096);
    bool code = !(o->flags & FG_OPTION_REQUIRED) && o->fallback && *o->fallback;

    fg_buf_printf(d->out, "| `%s` | %s | %s", key, fg_conf_type_name(o->type), code ? "`" : "");
    add_cell(d->out, default_text(o));
    fg_buf_printf(d->out, "%s | ", code ? "`" : "");
    add_cell(d->out, o->summary ? o->summary : "");
    write_notes(o, &notes);
    if (notes.len > 0) {
        fg_buf_add_str(d->out, " (");
        add_cell(d->out, notes.data);
        fg_buf_add_str(d->out, ")");
    }
    if (o->detail) {
        fg_buf_add_str(d->out, ". ");
        add_cell(d->out, o->detail);
    }
    fg_buf_add_str(d->out, " |\n");
}

/* Members follow their group, with its key and a dot before theirs. */
static void write_rows(struct doc *d, const char *prefix, const struct fg_option *table, unsigned depth)
{
    for (const struct fg_option *o = table; o->key; o++) {
        FG_CLEANUP(fg_buf_deinit) struct fg_buf path = FG_BUF_INIT(PATH_LEN_MAX);
        const char *key;

        fg_buf_printf(&path, "%s%s%s", prefix, *prefix ? "." : "", o->key);
        key = path.data ? path.data : o->key; /* a path too long for a page: the key alone */
        d->row(d, key, o);
        if (o->members && depth < FG_CONF_TABLE_DEPTH_MAX)
            write_rows(d, key, o->members, depth + 1);
    }
}

static void kv_bound(struct fg_json_writer *w, const char *key, const struct fg_option *o, int64_t value)
{
    fg_json_key(w, key);
    if (fg_conf_has_bounds(o) && value != INT64_MIN && value != INT64_MAX)
        fg_json_int(w, value);
    else
        fg_json_null(w);
}

static const char *unit_of(const struct fg_option *o)
{
    if (o->unit)
        return o->unit;
    if (o->type == FG_OPTION_DURATION)
        return "ms";
    return o->type == FG_OPTION_SIZE ? "bytes" : NULL;
}

static void json_array(struct fg_json_writer *w, const struct fg_option *table, unsigned depth)
{
    fg_json_array(w);
    for (const struct fg_option *o = table; o->key; o++) {
        fg_json_object(w);
        fg_json_kv_cstr(w, "key", o->key);
        fg_json_kv_cstr(w, "type", fg_conf_type_name(o->type));
        fg_json_kv_cstr(w, "unit", unit_of(o));
        kv_bound(w, "min", o, o->min);
        kv_bound(w, "max", o, o->max);
        fg_json_kv_cstr(w, "default", o->fallback);
        fg_json_kv_bool(w, "required", o->flags & FG_OPTION_REQUIRED);
        fg_json_kv_bool(w, "secret", o->flags & FG_OPTION_SECRET);
        fg_json_key(w, "choices");
        fg_json_array(w);
        for (size_t i = 0; o->choices && o->choices[i]; i++)
            fg_json_cstr(w, o->choices[i]);
        fg_json_array_end(w);
        fg_json_kv_cstr(w, "summary", o->summary);
        fg_json_kv_cstr(w, "detail", o->detail);
        if (o->members && depth < FG_CONF_TABLE_DEPTH_MAX) {
            fg_json_key(w, "members");
            json_array(w, o->members, depth + 1);
        }
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}

void fg_conf_doc_write(struct fg_buf *out, const struct fg_option *table, enum fg_conf_doc format)
{
    struct doc d = { .out = out, .row = format == FG_CONF_DOC_MARKDOWN ? markdown_row : text_row };
    struct fg_json_writer w = FG_JSON_WRITER_INIT(out);

    if (format == FG_CONF_DOC_JSON) {
        json_array(&w, table, 0);
        return;
    }
    if (format == FG_CONF_DOC_MARKDOWN)
        fg_buf_add_str(out, "| key | type | default | what |\n|---|---|---|---|\n");
    write_rows(&d, "", table, 0);
}
