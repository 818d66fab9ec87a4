/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's complaints, said so that one who has never read the YAML specification knows what to change. */
#include "conf/conf-private.h"

#include "base/utf8.h"

enum place { STOPPED, BEGAN };

struct translation {
    const char *problem; /* libyaml's words, from its start */
    const char *context; /* the same; NULL: any */
    enum place place;
    const char *text; /* "%u": the line where the context began */
};

/* The first that fits counts: a problem with a context stands before the same without. */
static const struct translation translations[] = {
    { "could not find expected ':'", NULL, BEGAN, "a ':' is missing after this key" },
    { "did not find expected key", "while parsing a block mapping", STOPPED,
      "a key was expected here: wrong indentation, or something is missing in the map that begins on line %u" },
    { "did not find expected '-' indicator", NULL, STOPPED,
      "a '-' was expected here: wrong indentation, or something is missing in the list that begins on line %u" },
    { "did not find expected ',' or ']'", NULL, STOPPED, "a ',' or ']' is missing in the list that begins on line %u" },
    { "did not find expected ',' or '}'", NULL, STOPPED, "a ',' or '}' is missing in the map that begins on line %u" },
    { "did not find expected node content", NULL, STOPPED, "a value was expected here" },
    { "did not find expected <document start>", NULL, STOPPED,
      "this does not belong to what stands above: wrong indentation, or a bracket too many" },
    { "mapping values are not allowed", NULL, STOPPED,
      "a ':' cannot stand here: wrong indentation, or a value with ': ' in it that needs quotes" },
    { "block sequence entries are not allowed", NULL, STOPPED,
      "a '-' cannot stand here: a list begins on a line of its own" },
    { "mapping keys are not allowed", NULL, STOPPED, "a '?' cannot stand here: put the value in quotes" },
    { "found unexpected end of stream", "while scanning a quoted scalar", BEGAN, "this quote is never closed" },
    { "found unexpected document indicator", "while scanning a quoted scalar", BEGAN,
      "this quote is not closed before the line of dashes or dots that ends the document" },
    { "found unknown escape character", NULL, STOPPED,
      "unknown escape in a text in double quotes: write \\\\ for a backslash, or use single quotes" },
    { "did not find expected hexdecimal number", NULL, STOPPED,
      "an escape in double quotes lacks hexadecimal digits: \\xNN, \\uNNNN or \\UNNNNNNNN" },
    { "found invalid Unicode character escape", NULL, STOPPED, "this escape names no Unicode character" },
    { "found a tab character", NULL, STOPPED, "a tab is used for indentation: use spaces" },
    { "found unexpected ':'", NULL, STOPPED, "a ':' cannot stand here: put the value in quotes" },
    { "found an indentation indicator", NULL, STOPPED, "the indentation of a block text cannot be 0" },
    { "did not find expected comment or line break", "while scanning a block scalar", STOPPED,
      "a block text begins on the line after its '|' or '>'" },
    { "did not find expected alphabetic", "while scanning an alias", BEGAN,
      "a value cannot begin with '*': put it in quotes" },
    { "did not find expected alphabetic", "while scanning an anchor", BEGAN,
      "a value cannot begin with '&': put it in quotes" },
    { "", "while scanning a tag", BEGAN, "a value cannot begin with '!': tags are refused; put it in quotes" },
    { "", "while parsing a tag", BEGAN, "a value cannot begin with '!': tags are refused; put it in quotes" },
    { "found undefined tag handle", NULL, STOPPED,
      "a value cannot begin with '!': tags are refused; put it in quotes" },
    { "found incompatible YAML document", NULL, STOPPED, "only YAML 1.1 and 1.2 are known here" },
    { "", "while scanning a directive", BEGAN, "a line cannot begin with '%': put the value in quotes" },
    { "", "while scanning a %", BEGAN, "a line cannot begin with '%': put the value in quotes" },
};

static bool begins(const char *text, const char *with)
{
    return text && strncmp(text, with, strlen(with)) == 0;
}

/* "cannot start any token": the character itself says what to do. */
static void write_stray_character(uint32_t c, struct fg_buf *out)
{
    char bytes[4];

    if (c == '\t') {
        fg_buf_add_str(out, "a tab is used for indentation: use spaces");
        return;
    }
    fg_buf_add_str(out, "a value cannot begin with '");
    fg_buf_add(out, bytes, fg_utf8_encode(c, bytes));
    fg_buf_add_str(out, "': put it in quotes");
}

/* The one text of the table that names a line has "%u" once. */
static void write_text(const char *text, unsigned line, struct fg_buf *out)
{
    const char *hit = strstr(text, "%u");

    if (!hit) {
        fg_buf_add_str(out, text);
        return;
    }
    fg_buf_add(out, text, (size_t)(hit - text));
    fg_buf_printf(out, "%u", line);
    fg_buf_add_str(out, hit + 2);
}

bool fg_conf_complaint_write(const struct fg_conf_complaint *complaint, struct fg_buf *out)
{
    const char *problem = complaint->problem ? complaint->problem : "unknown fault";

    if (begins(problem, "found character that cannot start any token")) {
        write_stray_character(complaint->at, out);
        return false;
    }
    for (size_t i = 0; i < sizeof(translations) / sizeof(translations[0]); i++) {
        const struct translation *t = &translations[i];

        if (!begins(problem, t->problem) || (t->context && !begins(complaint->context, t->context)))
            continue;
        write_text(t->text, complaint->context_line, out);
        return t->place == BEGAN;
    }
    fg_buf_printf(out, "not valid YAML: %s", problem);
    return false;
}
