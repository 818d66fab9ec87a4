/* SPDX-License-Identifier: Apache-2.0 */
/* Characters, lines and columns of a YAML file. */
#include "conf/yaml-text.h"

#include "base/str.h"
#include "base/utf8.h"
#include "conf/conf-private.h"

/* A line ends where libyaml ends it: LF, CR, CR LF, NEL, LS, PS. Return: bytes of the break at pos, 0: none. */
static size_t break_len(struct fg_slice s, size_t pos)
{
    struct fg_slice rest = fg_slice_sub(s, pos, s.len);

    if (rest.len == 0)
        return 0;
    if (rest.ptr[0] == '\n')
        return 1;
    if (rest.ptr[0] == '\r')
        return rest.len > 1 && rest.ptr[1] == '\n' ? 2 : 1;
    if (fg_slice_starts(rest, fg_slice_of("\xc2\x85")))
        return 2;
    if (fg_slice_starts(rest, fg_slice_of("\xe2\x80\xa8")) || fg_slice_starts(rest, fg_slice_of("\xe2\x80\xa9")))
        return 3;
    return 0;
}

/* What YAML calls printable; libyaml refuses the rest with a byte offset only. */
static bool is_printable(uint32_t c)
{
    if (c < 0x20)
        return c == '\t' || c == '\n' || c == '\r';
    return c != 0x7f && (c < 0x80 || c == 0x85 || c >= 0xa0) && c != 0xfeff && c != 0xfffe && c != 0xffff;
}

static void tell_character(uint32_t c, bool valid, struct fg_buf *out)
{
    if (!valid)
        fg_buf_add_str(out, "this byte is not valid UTF-8: save the file as UTF-8");
    else if (c == 0)
        fg_buf_add_str(out, "a NUL byte: this is not a text file");
    else
        fg_buf_printf(out, "the character U+%04X cannot stand in a YAML file", (unsigned)c);
}

/* Stops at the first bad character, whose place it tells. Return: true when there is one. */
static bool find_bad(struct fg_slice s, size_t *ret_line, size_t *ret_column, struct fg_buf *ret_why)
{
    size_t pos = 0, line = 0, column = 0;

    while (pos < s.len) {
        size_t len = break_len(s, pos), from = pos;
        uint32_t c;

        if (len > 0) {
            pos += len;
            line++;
            column = 0;
            continue;
        }
        c = fg_utf8_next(s, &pos);
        /* U+FFFD is what a bad byte becomes; the real one is three bytes long */
        if ((c == 0xfffd && pos - from == 1) || !is_printable(c)) {
            tell_character(c, c != 0xfffd, ret_why);
            *ret_line = line;
            *ret_column = column;
            return true;
        }
        column++;
    }
    return false;
}

bool fg_conf_text_check(struct fg_slice *text, const char *name, unsigned column, struct fg_conf_faults *faults)
{
    struct fg_buf why = FG_BUF_INIT(128);
    size_t bad_line, bad_column;
    bool bad;

    if (text->len > FG_CONF_BYTES_MAX) {
        fg_conf_fault_add(faults, name, 0, 0, "the file is larger than %u bytes", FG_CONF_BYTES_MAX);
        return false;
    }
    if (fg_slice_starts(*text, fg_slice_of("\xef\xbb\xbf")))
        *text = fg_slice_sub(*text, 3, text->len);
    bad = find_bad(*text, &bad_line, &bad_column, &why);
    if (bad)
        fg_conf_fault_add(faults, name, (unsigned)bad_line + 1,
                          (unsigned)bad_column + 1 + (bad_line == 0 ? column : 0), "%s", why.data);
    fg_buf_deinit(&why);
    return !bad;
}

/* Where a line begins. Lines are mostly asked for in order, so the last answer is where the search starts. */
static size_t seek_line(struct fg_conf_text *text, size_t line)
{
    if (line < text->line) {
        text->line = 0;
        text->offset = 0;
    }
    while (text->line < line && text->offset < text->all.len) {
        size_t len = break_len(text->all, text->offset);

        text->line += len > 0;
        text->offset += len > 0 ? len : 1;
    }
    return text->offset;
}

static size_t seek(struct fg_conf_text *text, size_t line, size_t column)
{
    size_t pos = seek_line(text, line);

    while (column-- > 0 && pos < text->all.len)
        (void)fg_utf8_next(text->all, &pos);
    return pos;
}

uint32_t fg_conf_text_at(struct fg_conf_text *text, size_t line, size_t column)
{
    size_t pos = seek(text, line, column);

    return pos < text->all.len ? fg_utf8_next(text->all, &pos) : 0;
}

void fg_conf_text_clamp(struct fg_conf_text *text, size_t *line, size_t *column)
{
    size_t start = seek_line(text, *line), last = text->line;

    if (last == *line)
        return;
    /* the line was not reached: find where the last one begins */
    while (start > 0 && break_len(text->all, start - 1) == 0)
        start--;
    *line = last;
    *column = fg_utf8_count(fg_slice_sub(text->all, start, text->all.len));
}

bool fg_conf_text_indent_tab(struct fg_conf_text *text, size_t line, size_t column, size_t *ret_tab)
{
    size_t start = seek_line(text, line), tab = 0;
    bool found = false;

    for (size_t i = 0; i < column && start + i < text->all.len; i++) {
        char c = text->all.ptr[start + i];

        if (c != ' ' && c != '\t')
            return false;
        if (c == '\t' && !found) {
            found = true;
            tab = i;
        }
    }
    *ret_tab = tab;
    return found;
}

void fg_conf_text_find_open(struct fg_conf_text *text, size_t ordinal, size_t *line, size_t *column)
{
    size_t at_line = text->node_line, at_column = text->node_column;
    size_t pos = seek(text, at_line, at_column);

    while (pos < text->all.len) {
        size_t len = break_len(text->all, pos);

        if (fg_slice_starts(fg_slice_sub(text->all, pos, text->all.len), fg_slice_of("${")) && ordinal-- == 0) {
            *line = at_line;
            *column = at_column;
            return;
        }
        if (len > 0) {
            pos += len;
            at_line++;
            at_column = 0;
        } else {
            (void)fg_utf8_next(text->all, &pos);
            at_column++;
        }
    }
}
