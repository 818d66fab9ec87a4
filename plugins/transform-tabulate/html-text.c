/* SPDX-License-Identifier: Apache-2.0 */
/* HTML to plain text: libxml2's push parser calls, a struct text_writer lays out. There is never a tree. */
#include "html-text.h"

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>

#include <fragua/kit/utf8.h>

#include "text-writer.h"

#define PARSER_OPTIONS \
    (HTML_PARSE_NONET | HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_IGNORE_ENC)

enum layout {
    LAYOUT_LINE,      /* begins and ends a line */
    LAYOUT_PARAGRAPH, /* has a blank line before and behind */
    LAYOUT_PRE,
    LAYOUT_BR,
    LAYOUT_ITEM,
    LAYOUT_CELL,
    LAYOUT_ROW,
    LAYOUT_IMAGE,
    LAYOUT_SKIP, /* its contents are not shown */
};

static const struct tag {
    const char *name;
    enum layout layout;
} tags[] = {
    { "td", LAYOUT_CELL },          { "tr", LAYOUT_ROW },           { "p", LAYOUT_PARAGRAPH },
    { "br", LAYOUT_BR },            { "div", LAYOUT_LINE },         { "img", LAYOUT_IMAGE },
    { "table", LAYOUT_LINE },       { "th", LAYOUT_CELL },          { "li", LAYOUT_ITEM },
    { "ul", LAYOUT_LINE },          { "ol", LAYOUT_LINE },          { "h1", LAYOUT_PARAGRAPH },
    { "h2", LAYOUT_PARAGRAPH },     { "h3", LAYOUT_PARAGRAPH },     { "h4", LAYOUT_PARAGRAPH },
    { "h5", LAYOUT_PARAGRAPH },     { "h6", LAYOUT_PARAGRAPH },     { "blockquote", LAYOUT_PARAGRAPH },
    { "pre", LAYOUT_PRE },          { "hr", LAYOUT_PARAGRAPH },     { "dl", LAYOUT_LINE },
    { "dt", LAYOUT_LINE },          { "dd", LAYOUT_LINE },          { "center", LAYOUT_LINE },
    { "form", LAYOUT_LINE },        { "fieldset", LAYOUT_LINE },    { "address", LAYOUT_LINE },
    { "section", LAYOUT_LINE },     { "article", LAYOUT_LINE },     { "header", LAYOUT_LINE },
    { "footer", LAYOUT_LINE },      { "main", LAYOUT_LINE },        { "nav", LAYOUT_LINE },
    { "aside", LAYOUT_LINE },       { "figure", LAYOUT_LINE },      { "figcaption", LAYOUT_LINE },
    { "caption", LAYOUT_LINE },     { "option", LAYOUT_LINE },      { "legend", LAYOUT_LINE },
    { "script", LAYOUT_SKIP },      { "style", LAYOUT_SKIP },       { "title", LAYOUT_SKIP },
    { "head", LAYOUT_SKIP },
};

struct walk {
    struct text_writer writer;
    unsigned skip; /* open elements whose contents are not shown */
};

static const struct tag *tag_of(const xmlChar *name)
{
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
        if (strcmp((const char *)name, tags[i].name) == 0)
            return &tags[i];
    return NULL;
}

/* The text that stands for a picture, apart from its neighbours. */
static void write_alt(struct text_writer *w, const xmlChar **attributes)
{
    for (; attributes && attributes[0]; attributes += 2) {
        const char *alt = (const char *)attributes[1];
        if (strcmp((const char *)attributes[0], "alt") != 0 || !alt || !alt[0])
            continue;
        text_blank(w);
        text_write(w, fg_slice_of(alt));
        text_blank(w);
        return;
    }
}

static void start_element(void *arg, const xmlChar *name, const xmlChar **attributes)
{
    struct walk *walk = arg;
    struct text_writer *w = &walk->writer;
    const struct tag *tag = tag_of(name);

    if (!tag)
        return;
    switch (tag->layout) {
    case LAYOUT_ROW:
    case LAYOUT_LINE: text_break(w, 1); break;
    case LAYOUT_PARAGRAPH: text_break(w, 2); break;
    case LAYOUT_PRE:
        text_break(w, 2);
        w->pre++;
        w->pre_fresh = true;
        break;
    case LAYOUT_BR: text_br(w); break;
    case LAYOUT_ITEM: text_item(w); break;
    case LAYOUT_CELL: text_cell_start(w); break;
    case LAYOUT_IMAGE: write_alt(w, attributes); break;
    case LAYOUT_SKIP: walk->skip++; break;
    }
}

static void end_element(void *arg, const xmlChar *name)
{
    struct walk *walk = arg;
    struct text_writer *w = &walk->writer;
    const struct tag *tag = tag_of(name);

    if (!tag)
        return;
    switch (tag->layout) {
    case LAYOUT_ROW:
    case LAYOUT_LINE: text_break(w, 1); break;
    case LAYOUT_PARAGRAPH: text_break(w, 2); break;
    case LAYOUT_PRE:
        w->pre -= w->pre > 0;
        text_break(w, 2);
        break;
    case LAYOUT_ITEM:
        w->bullet = false;
        text_break(w, 1);
        break;
    case LAYOUT_CELL: text_cell_end(w); break;
    case LAYOUT_SKIP: walk->skip -= walk->skip > 0; break;
    case LAYOUT_BR:
    case LAYOUT_IMAGE: break;
    }
}

static void characters(void *arg, const xmlChar *text, int len)
{
    struct walk *walk = arg;

    if (!walk->skip && len > 0)
        text_write(&walk->writer, fg_slice_make(text, (size_t)len));
}

static void swallow_error(void *arg, xmlErrorPtr error)
{
    (void)arg;
    (void)error;
}

static bool parse(struct fg_slice html, struct walk *walk)
{
    xmlSAXHandler sax = {
        .startElement = start_element,
        .endElement = end_element,
        .characters = characters,
        .ignorableWhitespace = characters,
        .cdataBlock = characters,
        .serror = (xmlStructuredErrorFunc)swallow_error,
        .initialized = XML_SAX2_MAGIC,
    };
    htmlParserCtxtPtr ctxt = htmlCreatePushParserCtxt(&sax, walk, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);

    if (!ctxt)
        return false;
    (void)htmlCtxtUseOptions(ctxt, PARSER_OPTIONS);
    (void)htmlParseChunk(ctxt, html.ptr, (int)html.len, 1);
    htmlFreeParserCtxt(ctxt);
    return true;
}

static struct fg_slice cut(struct fg_slice s, size_t max)
{
    if (s.len <= max)
        return s;
    s.len = max;
    while (s.len && ((unsigned char)s.ptr[s.len] & 0xC0) == 0x80)
        s.len--;
    return s;
}

bool html_to_text(struct fg_slice html, const struct text_limits *limits, struct fg_buf *scratch, struct fg_buf *out,
                  bool *ret_truncated)
{
    size_t bytes_max = limits->html_bytes_max < HTML_BYTES_MAX ? limits->html_bytes_max : HTML_BYTES_MAX;
    struct html_guard_limits guard = { .bytes_max = bytes_max, .depth_max = limits->depth_max };
    struct fg_slice input = cut(html, bytes_max);
    struct fg_buf repaired = FG_BUF_INIT(3 * input.len);
    struct walk walk = { .writer = TEXT_WRITER_INIT(out) };
    bool done;

    *ret_truncated = *ret_truncated || input.len < html.len;
    if (!fg_utf8_valid(input)) {
        fg_utf8_repair(input, &repaired);
        input = fg_buf_slice(&repaired);
    }
    fg_buf_clear(scratch);
    scratch->max = html_guard_max(input.len);
    fg_buf_clear(out);
    out->max = limits->text_bytes_max;
    html_guard(input, &guard, scratch, ret_truncated);
    done = !scratch->failed && !repaired.failed && parse(fg_buf_slice(scratch), &walk);
    fg_buf_deinit(&repaired);
    text_end(&walk.writer);
    *ret_truncated = *ret_truncated || walk.writer.full;
    return done && !out->failed;
}

bool plain_to_text(struct fg_slice plain, const struct text_limits *limits, struct fg_buf *out, bool *ret_truncated)
{
    struct text_writer w = TEXT_WRITER_INIT(out);

    fg_buf_clear(out);
    out->max = limits->text_bytes_max;
    for (size_t pos = 0; pos < plain.len && !w.full;) {
        size_t from = pos;
        while (pos < plain.len && plain.ptr[pos] != '\r' && plain.ptr[pos] != '\n' && plain.ptr[pos] != '\0')
            pos++;
        text_line_part(&w, fg_slice_make(plain.ptr + from, pos - from));
        if (pos == plain.len)
            break;
        if (plain.ptr[pos] != '\0')
            text_line_end(&w);
        pos += plain.ptr[pos] == '\r' && pos + 1 < plain.len && plain.ptr[pos + 1] == '\n' ? 2 : 1;
    }
    text_end(&w);
    *ret_truncated = *ret_truncated || w.full;
    return !out->failed;
}

void html_text_start(void)
{
    xmlInitParser();
}
