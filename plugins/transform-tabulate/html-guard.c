/* SPDX-License-Identifier: Apache-2.0 */
/* The linear pre-scan before the HTML parser. */
#include "html-guard.h"

#include <fragua/kit/str.h>
#include <fragua/kit/utf8.h>

#define NAME_MAX_BYTES 32u /* of an element; longer or odder ones are left out as if they were comments */

/* What the nesting rules need to know about an element. */
enum element_kind {
    KIND_OTHER,
    KIND_VOID,      /* never has contents */
    KIND_DROPPED,   /* the parser makes these itself */
    KIND_RAW,       /* its contents are not text of the mail */
    KIND_BLOCK,     /* ends an open paragraph */
    KIND_P,         /* a block too */
    KIND_LI,
    KIND_DT_DD,
    KIND_OPTION,
    KIND_CELL,
    KIND_ROW,
    KIND_ROWS,
    KIND_TABLE,
};

struct element {
    struct fg_slice name; /* as written, borrowed from the input */
    enum element_kind kind;
};

struct guard {
    struct fg_slice in;
    size_t pos;
    struct fg_buf *out;
    struct element open[HTML_DEPTH_MAX]; /* n_open of them, innermost last */
    unsigned n_open, depth_max;
    bool truncated;
};

/* One attribute as it stands in a tag. */
struct attribute {
    struct fg_slice name, value;
    bool has_value;
};

static const struct element kinds[] = {
    { FG_SLICE("td"), KIND_CELL }, { FG_SLICE("tr"), KIND_ROW }, { FG_SLICE("p"), KIND_P },
    { FG_SLICE("table"), KIND_TABLE }, { FG_SLICE("tbody"), KIND_ROWS }, { FG_SLICE("div"), KIND_BLOCK },
    { FG_SLICE("br"), KIND_VOID }, { FG_SLICE("img"), KIND_VOID }, { FG_SLICE("li"), KIND_LI },
    { FG_SLICE("th"), KIND_CELL }, { FG_SLICE("ul"), KIND_BLOCK }, { FG_SLICE("ol"), KIND_BLOCK },
    { FG_SLICE("html"), KIND_DROPPED }, { FG_SLICE("head"), KIND_DROPPED },
    { FG_SLICE("body"), KIND_DROPPED }, { FG_SLICE("script"), KIND_RAW }, { FG_SLICE("style"), KIND_RAW },
    { FG_SLICE("title"), KIND_RAW }, { FG_SLICE("iframe"), KIND_RAW }, { FG_SLICE("noembed"), KIND_RAW },
    { FG_SLICE("noframes"), KIND_RAW }, { FG_SLICE("xmp"), KIND_RAW }, { FG_SLICE("xml"), KIND_RAW },
    { FG_SLICE("template"), KIND_RAW }, { FG_SLICE("thead"), KIND_ROWS }, { FG_SLICE("tfoot"), KIND_ROWS },
    { FG_SLICE("dt"), KIND_DT_DD }, { FG_SLICE("dd"), KIND_DT_DD }, { FG_SLICE("option"), KIND_OPTION },
    { FG_SLICE("optgroup"), KIND_OPTION }, { FG_SLICE("dl"), KIND_BLOCK }, { FG_SLICE("h1"), KIND_BLOCK },
    { FG_SLICE("h2"), KIND_BLOCK }, { FG_SLICE("h3"), KIND_BLOCK }, { FG_SLICE("h4"), KIND_BLOCK },
    { FG_SLICE("h5"), KIND_BLOCK }, { FG_SLICE("h6"), KIND_BLOCK }, { FG_SLICE("blockquote"), KIND_BLOCK },
    { FG_SLICE("pre"), KIND_BLOCK }, { FG_SLICE("center"), KIND_BLOCK }, { FG_SLICE("form"), KIND_BLOCK },
    { FG_SLICE("fieldset"), KIND_BLOCK }, { FG_SLICE("address"), KIND_BLOCK },
    { FG_SLICE("section"), KIND_BLOCK }, { FG_SLICE("article"), KIND_BLOCK },
    { FG_SLICE("header"), KIND_BLOCK }, { FG_SLICE("footer"), KIND_BLOCK }, { FG_SLICE("main"), KIND_BLOCK },
    { FG_SLICE("nav"), KIND_BLOCK }, { FG_SLICE("aside"), KIND_BLOCK }, { FG_SLICE("figure"), KIND_BLOCK },
    { FG_SLICE("hr"), KIND_VOID }, { FG_SLICE("meta"), KIND_VOID }, { FG_SLICE("link"), KIND_VOID },
    { FG_SLICE("base"), KIND_VOID }, { FG_SLICE("input"), KIND_VOID }, { FG_SLICE("col"), KIND_VOID },
    { FG_SLICE("area"), KIND_VOID }, { FG_SLICE("wbr"), KIND_VOID }, { FG_SLICE("embed"), KIND_VOID },
    { FG_SLICE("param"), KIND_VOID }, { FG_SLICE("source"), KIND_VOID }, { FG_SLICE("track"), KIND_VOID },
    { FG_SLICE("keygen"), KIND_VOID }, { FG_SLICE("basefont"), KIND_VOID }, { FG_SLICE("frame"), KIND_VOID },
    { FG_SLICE("bgsound"), KIND_VOID },
};

size_t html_guard_max(size_t bytes)
{
    /* "&" becomes "&amp;"; "<b>" brings a "</b>"; "<p" "a" an attribute's quotes */
    return bytes > (SIZE_MAX - 4096) / 5 ? SIZE_MAX - 1 : 5 * bytes + 4096;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_name_char(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == ':' || c == '-' || c == '_' || c == '.';
}

static char peek(const struct guard *g, size_t ahead)
{
    return g->in.len - g->pos > ahead ? g->in.ptr[g->pos + ahead] : '\0';
}

static enum element_kind kind_of(struct fg_slice name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (name.len == kinds[i].name.len && fg_slice_ieq(name, kinds[i].name))
            return kinds[i].kind;
    return KIND_OTHER;
}

static bool is_block(enum element_kind kind)
{
    return kind == KIND_BLOCK || kind == KIND_P || kind == KIND_LI || kind == KIND_DT_DD || kind == KIND_CELL ||
           kind == KIND_ROW || kind == KIND_ROWS || kind == KIND_TABLE;
}

/* Whether a start tag of kind `next` ends an open `top` whose end tag may be left out. */
static bool ends(enum element_kind next, enum element_kind top)
{
    switch (top) {
    case KIND_P: return is_block(next);
    case KIND_LI: return next == KIND_LI;
    case KIND_DT_DD: return next == KIND_DT_DD;
    case KIND_OPTION: return next == KIND_OPTION;
    case KIND_CELL: return next == KIND_CELL || next == KIND_ROW || next == KIND_ROWS;
    case KIND_ROW: return next == KIND_ROW || next == KIND_ROWS;
    case KIND_ROWS: return next == KIND_ROWS;
    default: return false;
    }
}

static void write_end(struct guard *g, struct fg_slice name)
{
    fg_buf_add_str(g->out, "</");
    fg_buf_add_slice(g->out, name);
    fg_buf_add_char(g->out, '>');
}

static void close_top(struct guard *g)
{
    write_end(g, g->open[--g->n_open].name);
}

/* Steps behind the next `c`, or to the end. */
static void skip_past(struct guard *g, char c)
{
    const char *hit = g->pos < g->in.len ? memchr(g->in.ptr + g->pos, c, g->in.len - g->pos) : NULL;

    g->pos = hit ? (size_t)(hit - g->in.ptr) + 1 : g->in.len;
}

static void skip_comment(struct guard *g)
{
    struct fg_slice rest;
    ptrdiff_t end;

    g->pos += 2; /* "<!", "</" or "<?" */
    if (peek(g, 0) != '-' || peek(g, 1) != '-' || g->in.ptr[g->pos - 1] != '!') {
        skip_past(g, '>');
        return;
    }
    g->pos += 2;
    if (peek(g, 0) == '>' || (peek(g, 0) == '-' && peek(g, 1) == '>')) { /* <!--> and <!---> end at once */
        skip_past(g, '>');
        return;
    }
    rest = fg_slice_sub(g->in, g->pos, g->in.len);
    end = fg_slice_find(rest, (struct fg_slice)FG_SLICE("-->"));
    g->pos = end < 0 ? g->in.len : g->pos + (size_t)end + 3;
}

/* The contents of a raw element, its end tag included. */
static void skip_raw(struct guard *g, struct fg_slice name)
{
    while (g->pos < g->in.len) {
        struct fg_slice here;
        char after;
        skip_past(g, '<');
        if (peek(g, 0) != '/')
            continue;
        here = fg_slice_sub(g->in, g->pos + 1, g->pos + 1 + name.len);
        after = peek(g, 1 + name.len);
        if (fg_slice_ieq(here, name) && (after == '>' || after == '/' || is_space(after))) {
            skip_past(g, '>');
            return;
        }
    }
}

static void skip_spaces(struct guard *g)
{
    while (g->pos < g->in.len && (is_space(g->in.ptr[g->pos]) || g->in.ptr[g->pos] == '/'))
        g->pos++;
}

static struct fg_slice take_value(struct guard *g)
{
    size_t from = g->pos;
    char quote = peek(g, 0);
    const char *end;

    if (quote == '"' || quote == '\'') {
        from = ++g->pos;
        end = memchr(g->in.ptr + from, quote, g->in.len - from);
        g->pos = end ? (size_t)(end - g->in.ptr) + 1 : g->in.len;
        return fg_slice_sub(g->in, from, end ? g->pos - 1 : g->pos);
    }
    while (g->pos < g->in.len && !is_space(g->in.ptr[g->pos]) && g->in.ptr[g->pos] != '>')
        g->pos++;
    return fg_slice_sub(g->in, from, g->pos);
}

/* The next attribute of a tag; false: at its '>' or at the end of the input. */
static bool next_attribute(struct guard *g, struct attribute *ret)
{
    size_t from, after_name;

    skip_spaces(g);
    if (g->pos >= g->in.len || g->in.ptr[g->pos] == '>')
        return false;
    from = g->pos++; /* a leading '=' is part of the name */
    while (g->pos < g->in.len && !is_space(g->in.ptr[g->pos]) && !strchr("/>=", g->in.ptr[g->pos]))
        g->pos++;
    *ret = (struct attribute){ .name = fg_slice_sub(g->in, from, g->pos) };
    after_name = g->pos;
    while (g->pos < g->in.len && is_space(g->in.ptr[g->pos]))
        g->pos++;
    if (peek(g, 0) != '=') {
        g->pos = after_name;
        return true;
    }
    g->pos++;
    while (g->pos < g->in.len && is_space(g->in.ptr[g->pos]))
        g->pos++;
    ret->has_value = true;
    ret->value = take_value(g);
    return true;
}

static bool is_sane(struct fg_slice name)
{
    if (!name.len || name.len > NAME_MAX_BYTES || !is_letter(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!is_name_char(name.ptr[i]))
            return false;
    return true;
}

/* Parts with NUL, or with both kinds of quotes, cannot be written back; no mail that means well has them. */
static void write_attribute(struct guard *g, const struct attribute *a)
{
    bool has_quote = a->value.len && memchr(a->value.ptr, '"', a->value.len);
    char quote = has_quote ? '\'' : '"';

    if (a->value.len && (memchr(a->value.ptr, '\0', a->value.len) || memchr(a->value.ptr, quote, a->value.len)))
        return;
    fg_buf_add_char(g->out, ' ');
    fg_buf_add_slice(g->out, a->name);
    if (!a->has_value)
        return;
    fg_buf_add_char(g->out, '=');
    fg_buf_add_char(g->out, quote);
    fg_buf_add_slice(g->out, a->value);
    fg_buf_add_char(g->out, quote);
}

/* From behind the name to behind the '>'. What does not fit the limits is read over. */
static void take_attributes(struct guard *g, bool write)
{
    struct attribute a;
    unsigned n = 0;
    size_t bytes = 0;

    while (next_attribute(g, &a)) {
        bytes += a.name.len + a.value.len + 4;
        if (++n > HTML_ATTRIBUTES_MAX || bytes > HTML_TAG_BYTES_MAX)
            g->truncated = true;
        else if (write && is_sane(a.name))
            write_attribute(g, &a);
    }
    if (g->pos < g->in.len)
        g->pos++;
    else
        g->truncated = true; /* the tag never ends */
}

/* A tag that is too deep, or odd, is left out; where it would break the line, the line still breaks. */
static void open_element(struct guard *g, struct element e)
{
    bool write = is_sane(e.name) && e.kind != KIND_DROPPED && e.kind != KIND_RAW;
    bool deep;

    while (g->n_open && ends(e.kind, g->open[g->n_open - 1].kind))
        close_top(g);
    deep = e.kind != KIND_VOID && g->n_open >= g->depth_max;
    if (write && deep) {
        g->truncated = true;
        write = false;
        if (is_block(e.kind))
            fg_buf_add_str(g->out, "<br>");
    }
    if (write) {
        fg_buf_add_char(g->out, '<');
        fg_buf_add_slice(g->out, e.name);
    }
    take_attributes(g, write);
    if (write)
        fg_buf_add_char(g->out, '>');
    if (write && e.kind != KIND_VOID)
        g->open[g->n_open++] = e;
    if (e.kind == KIND_RAW)
        skip_raw(g, e.name);
}

static bool is_of_table(enum element_kind kind)
{
    return kind == KIND_CELL || kind == KIND_ROW || kind == KIND_ROWS || kind == KIND_TABLE;
}

/* Which open element an end tag ends; -1: none. Inline ones don't reach out of a block, nothing out of its table. */
static int find_open(const struct guard *g, struct element e)
{
    for (unsigned i = g->n_open; i-- > 0;) {
        enum element_kind kind = g->open[i].kind;
        if (kind == e.kind && fg_slice_ieq(g->open[i].name, e.name))
            return (int)i;
        if (kind == KIND_TABLE || (kind == KIND_CELL && !is_of_table(e.kind)) || (is_block(kind) && !is_block(e.kind)))
            return -1;
    }
    return -1;
}

static void close_element(struct guard *g, struct element e)
{
    int found = find_open(g, e);

    take_attributes(g, false);
    if (found >= 0) {
        while (g->n_open > (unsigned)found)
            close_top(g);
    } else if (e.kind == KIND_P || fg_slice_ieq(e.name, (struct fg_slice)FG_SLICE("br"))) {
        fg_buf_add_str(g->out, "<br>"); /* as browsers do for </p> and </br> that end nothing */
    }
}

/* At a '<' that begins something. */
static void take_tag(struct guard *g, bool is_end)
{
    size_t from = g->pos + 1 + is_end;
    struct element e;

    g->pos = from;
    while (g->pos < g->in.len && !is_space(g->in.ptr[g->pos]) && g->in.ptr[g->pos] != '>' && g->in.ptr[g->pos] != '/')
        g->pos++;
    e.name = fg_slice_sub(g->in, from, g->pos);
    e.kind = kind_of(e.name);
    if (is_end)
        close_element(g, e);
    else
        open_element(g, e);
}

/* Character references of Windows-1252 numbers, which libxml2 would take for control characters. */
static bool take_reference(struct guard *g)
{
    static const uint16_t from_128[] = { 0x20AC, 0x81,   0x201A, 0x192,  0x201E, 0x2026, 0x2020, 0x2021,
                                         0x2C6,  0x2030, 0x160,  0x2039, 0x152,  0x8D,   0x17D,  0x8F,
                                         0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
                                         0x2DC,  0x2122, 0x161,  0x203A, 0x153,  0x9D,   0x17E,  0x178 };
    unsigned value = 0;
    size_t i = 2;
    char utf8[4];

    if (peek(g, 1) != '#')
        return false;
    while (i < 6 && peek(g, i) >= '0' && peek(g, i) <= '9')
        value = value * 10 + (unsigned)(peek(g, i++) - '0');
    if (value < 128 || value > 159)
        return false;
    fg_buf_add(g->out, utf8, fg_utf8_encode(from_128[value - 128], utf8));
    g->pos += i + (peek(g, i) == ';');
    return true;
}

/* An ampersand that begins no reference stands for itself. */
static void take_ampersand(struct guard *g)
{
    char next = peek(g, 1), after = peek(g, 2);
    bool is_number = next == '#' && ((after >= '0' && after <= '9') || after == 'x' || after == 'X');

    if (take_reference(g))
        return;
    fg_buf_add_str(g->out, is_letter(next) || is_number ? "&" : "&amp;");
    g->pos++;
}

static void take_one(struct guard *g)
{
    char c = g->in.ptr[g->pos], next = peek(g, 1);

    if (c == '<' && is_letter(next)) {
        take_tag(g, false);
    } else if (c == '<' && next == '/' && is_letter(peek(g, 2))) {
        take_tag(g, true);
    } else if (c == '<' && (next == '!' || next == '?' || next == '/')) {
        skip_comment(g);
    } else if (c == '<') {
        fg_buf_add_str(g->out, "&lt;");
        g->pos++;
    } else if (c == '\0') {
        g->pos++;
    } else {
        take_ampersand(g);
    }
}

void html_guard(struct fg_slice html, const struct html_guard_limits *limits, struct fg_buf *out, bool *ret_truncated)
{
    struct guard g = { .in = html, .out = out, .depth_max = limits->depth_max };

    if (html.len > limits->bytes_max) {
        g.in.len = limits->bytes_max;
        while (g.in.len && ((uint8_t)html.ptr[g.in.len] & 0xC0) == 0x80)
            g.in.len--;
        g.truncated = true;
    }
    if (g.depth_max > HTML_DEPTH_MAX)
        g.depth_max = HTML_DEPTH_MAX;
    while (g.pos < g.in.len) {
        size_t from = g.pos;
        while (g.pos < g.in.len && g.in.ptr[g.pos] != '<' && g.in.ptr[g.pos] != '&' && g.in.ptr[g.pos] != '\0')
            g.pos++;
        fg_buf_add(out, g.in.ptr + from, g.pos - from);
        if (g.pos < g.in.len)
            take_one(&g);
    }
    while (g.n_open)
        close_top(&g);
    if (g.truncated)
        *ret_truncated = true;
}
