/* SPDX-License-Identifier: Apache-2.0 */
/* Lays text out as lines. */
#include "text-writer.h"

#define BREAKS_MAX     2u  /* one blank line between blocks */
#define BREAKS_PRE_MAX 64u /* blank lines in preformatted text */

static void put(struct text_writer *w, const char *bytes, size_t len)
{
    size_t room = w->out->max - w->out->len;

    if (w->full)
        return;
    if (len > room) {
        w->full = true;
        len = room;
        while (len && ((unsigned char)bytes[len] & 0xC0) == 0x80)
            len--;
    }
    fg_buf_add(w->out, bytes, len);
}

static void trim_line(struct text_writer *w)
{
    while (w->out->len && (w->out->data[w->out->len - 1] == ' ' || w->out->data[w->out->len - 1] == '\t'))
        w->out->data[--w->out->len] = '\0';
}

static bool at_line_start(const struct text_writer *w)
{
    return w->out->len == 0 || w->out->data[w->out->len - 1] == '\n';
}

static void put_blanks(struct text_writer *w)
{
    static const char blanks[] = "                                ";

    while (w->blanks) {
        size_t n = w->blanks < sizeof(blanks) - 1 ? w->blanks : sizeof(blanks) - 1;
        put(w, blanks, n);
        w->blanks -= n;
    }
}

/* What is due before the next text. */
static void settle(struct text_writer *w)
{
    if (w->out->len && w->breaks) {
        trim_line(w);
        for (unsigned i = 0; i < w->breaks; i++)
            put(w, "\n", 1);
        w->chars_break = w->chars;
    }
    w->breaks = 0;
    if (w->bullet) {
        if (!at_line_start(w))
            put(w, "\n", 1); /* an item never goes on in another cell's line */
        put(w, "- ", 2);
        w->blanks = 0;
    } else if (w->separator && !at_line_start(w)) {
        put(w, "\t", 1);
        w->blanks = 0;
    }
    w->bullet = false;
    w->separator = false;
    put_blanks(w);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* U+00A0 is a blank that does not collapse. */
static bool at_nbsp(struct fg_slice s, size_t pos)
{
    return s.len - pos >= 2 && s.ptr[pos] == '\xC2' && s.ptr[pos + 1] == '\xA0';
}

static bool line_has_text(const struct text_writer *w)
{
    return !w->breaks && !w->bullet && !w->separator && !at_line_start(w);
}

/* White space inside <pre> stays as it is. */
static void take_pre_blank(struct text_writer *w, char c)
{
    if (c == '\n') {
        if (!w->pre_fresh && w->breaks < BREAKS_PRE_MAX)
            w->breaks++;
        w->blanks = 0;
    } else if (c == '\t') {
        settle(w);
        put(w, "\t", 1);
    } else if (c == ' ') {
        w->blanks++;
    }
    w->pre_fresh = false;
}

static void take_blank(struct text_writer *w, char c)
{
    if (w->pre)
        take_pre_blank(w, c);
    else
        text_blank(w);
}

void text_blank(struct text_writer *w)
{
    if (!w->blanks && line_has_text(w))
        w->blanks = 1;
}

void text_write(struct text_writer *w, struct fg_slice utf8)
{
    size_t pos = 0;

    while (pos < utf8.len && !w->full) {
        size_t from = pos;
        if (is_blank(utf8.ptr[pos])) {
            take_blank(w, utf8.ptr[pos++]);
            continue;
        }
        if (at_nbsp(utf8, pos)) {
            w->blanks++;
            pos += 2;
            continue;
        }
        while (pos < utf8.len && !is_blank(utf8.ptr[pos]) && !at_nbsp(utf8, pos))
            pos++;
        settle(w);
        put(w, utf8.ptr + from, pos - from);
        w->chars++;
        w->pre_fresh = false;
    }
}

/* A cell without text has no lines to break, nor has an item that is only its "- ". */
static bool breaks_count(const struct text_writer *w)
{
    return !w->bullet && (w->n_cells == 0 || w->cells[w->n_cells - 1].chars < w->chars);
}

void text_break(struct text_writer *w, unsigned lines)
{
    if (!breaks_count(w))
        return;
    if (w->breaks < lines)
        w->breaks = lines;
    w->blanks = 0;
}

void text_br(struct text_writer *w)
{
    if (!breaks_count(w))
        return;
    if (w->breaks < BREAKS_MAX)
        w->breaks++;
    w->blanks = 0;
}

void text_item(struct text_writer *w)
{
    w->bullet = false;
    text_break(w, 1);
    w->bullet = true;
}

void text_cell_start(struct text_writer *w)
{
    if (w->n_cells == TEXT_CELLS_MAX) {
        w->n_cells_deep++;
        text_break(w, 1);
        return;
    }
    w->blanks = 0;
    w->cells[w->n_cells++] = (struct text_cell){ .chars = w->chars };
}

void text_cell_end(struct text_writer *w)
{
    struct text_cell *cell;

    w->bullet = false;
    if (w->n_cells_deep) {
        w->n_cells_deep--;
        text_break(w, 1);
        return;
    }
    if (!w->n_cells)
        return;
    cell = &w->cells[--w->n_cells];
    if (cell->chars == w->chars)
        return;
    w->breaks = w->chars_break > cell->chars ? 1 : 0; /* what stands beside several lines begins a new one */
    w->blanks = 0;
    w->separator = true;
}

void text_line_part(struct text_writer *w, struct fg_slice utf8)
{
    put(w, utf8.ptr, utf8.len);
}

/* Blank lines before all text are left out, those between are kept. */
void text_line_end(struct text_writer *w)
{
    trim_line(w);
    if (w->out->len)
        put(w, "\n", 1);
}

void text_end(struct text_writer *w)
{
    trim_line(w);
    while (w->out->len && w->out->data[w->out->len - 1] == '\n') {
        w->out->data[--w->out->len] = '\0';
        trim_line(w);
    }
}
