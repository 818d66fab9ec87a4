/* SPDX-License-Identifier: Apache-2.0 */
/* The list of what is wrong in a file, and how values look in it. */
#include "conf/conf-private.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#define FAULT_TEXT_MAX      1024 /* bytes of one message */
#define SHOWN_CHARACTERS_MAX  60

void fg_conf_faults_deinit(struct fg_conf_faults *faults)
{
    if (!faults)
        return;
    for (size_t i = 0; i < faults->len; i++) {
        free(faults->items[i].file);
        free(faults->items[i].text);
    }
    free(faults->items);
    *faults = FG_CONF_FAULTS_NULL;
}

size_t fg_conf_faults_count(const struct fg_conf_faults *faults)
{
    return faults->len + faults->unkept;
}

void fg_conf_fault_add(struct fg_conf_faults *faults, const char *file, unsigned line, unsigned column,
                       const char *format, ...)
{
    char text[FAULT_TEXT_MAX];
    va_list ap;

    if (faults->len >= FG_CONF_FAULTS_MAX) {
        faults->unkept++;
        return;
    }
    if (!faults->items)
        faults->items = fg_calloc(FG_CONF_FAULTS_MAX, sizeof(*faults->items));
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    faults->items[faults->len++] = (struct fg_conf_fault){
        .file = fg_strdup(file),
        .line = line,
        .column = column,
        .text = fg_strdup(text),
    };
}

static int compare(const struct fg_conf_fault *a, const struct fg_conf_fault *b)
{
    int r = strcmp(a->file, b->file);

    if (r != 0)
        return r;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return 0;
}

/* By insertion: the list is short, and faults at one place keep the order in which they were found. */
void fg_conf_faults_sort(struct fg_conf_faults *faults)
{
    for (size_t i = 1; i < faults->len; i++) {
        struct fg_conf_fault moved = faults->items[i];
        size_t at = i;

        for (; at > 0 && compare(&faults->items[at - 1], &moved) > 0; at--)
            faults->items[at] = faults->items[at - 1];
        faults->items[at] = moved;
    }
}

void fg_conf_faults_print(const struct fg_conf_faults *faults, FILE *out)
{
    for (size_t i = 0; i < faults->len; i++) {
        const struct fg_conf_fault *fault = &faults->items[i];

        if (fault->line == 0)
            fprintf(out, "%s: %s\n", fault->file, fault->text);
        else
            fprintf(out, "%s:%u:%u: %s\n", fault->file, fault->line, fault->column, fault->text);
    }
    if (faults->unkept > 0)
        fprintf(out, "and %zu more\n", faults->unkept);
}

static void add_shown(struct fg_buf *out, uint32_t code_point)
{
    char bytes[4];

    if (code_point == '\n')
        fg_buf_add_str(out, "\\n");
    else if (code_point == '\t')
        fg_buf_add_str(out, "\\t");
    else if (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0))
        fg_buf_printf(out, "\\x%02x", (unsigned)code_point);
    else
        fg_buf_add(out, bytes, fg_utf8_encode(code_point, bytes));
}

const char *fg_conf_show(struct fg_slice text, char ret[FG_CONF_SHOWN_MAX])
{
    struct fg_buf out = FG_BUF_INIT(FG_CONF_SHOWN_MAX - 1);
    size_t pos = 0, characters = 0;

    fg_buf_add_char(&out, '"');
    while (pos < text.len && characters++ < SHOWN_CHARACTERS_MAX)
        add_shown(&out, fg_utf8_next(text, &pos));
    fg_buf_add_str(&out, pos < text.len ? "...\"" : "\"");
    fg_assert(!out.failed);
    memcpy(ret, out.data, out.len + 1);
    fg_buf_deinit(&out);
    return ret;
}

const char *fg_conf_show_node(const struct fg_conf_node *node, char ret[FG_CONF_SHOWN_MAX])
{
    if (node->kind != FG_CONF_SCALAR)
        return fg_conf_show(fg_slice_of(node->kind == FG_CONF_LIST ? "[...]" : "{...}"), ret);
    return fg_conf_show(node->written ? fg_slice_of(node->written) : fg_slice_make(node->text, node->text_len), ret);
}

void fg_conf_faults_write(struct fg_json_writer *w, const struct fg_conf_faults *faults)
{
    fg_json_array(w);
    for (size_t i = 0; i < faults->len; i++) {
        fg_json_object(w);
        fg_json_kv_cstr(w, "file", faults->items[i].file);
        fg_json_kv_int(w, "line", faults->items[i].line);
        fg_json_kv_int(w, "column", faults->items[i].column);
        fg_json_kv_cstr(w, "message", faults->items[i].text);
        fg_json_object_end(w);
    }
    fg_json_array_end(w);
}
