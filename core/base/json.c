/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON scanner: RFC 8259 without a tree and without recursion; RFC 6901 pointers. */
#include "base/json.h"

#include "base/assert.h"
#include "base/json-plain.h"
#include "base/str.h"
#include "base/utf8.h"

#define DEPTH_MAX 64

struct scan {
    struct fg_slice doc;
    size_t pos;
};

/* Which containers are open, innermost in the lowest bit: 1 for an object. */
struct nesting {
    uint64_t is_object;
    unsigned depth;
};

static bool at(const struct scan *s, char c)
{
    return s->pos < s->doc.len && s->doc.ptr[s->pos] == c;
}

static bool take(struct scan *s, char c)
{
    if (!at(s, c))
        return false;
    s->pos++;
    return true;
}

static void skip_space(struct scan *s)
{
    while (at(s, ' ') || at(s, '\n') || at(s, '\r') || at(s, '\t'))
        s->pos++;
}

/* Most of a mail is plain text in one long string. */
static void skip_plain(struct scan *s)
{
    s->pos = fg_json_skip_plain(s->doc, s->pos);
}

/* Four hex digits at pos; -1: there are none. */
static int32_t hex4(struct fg_slice s, size_t pos)
{
    int32_t value = 0;

    if (pos > s.len || s.len - pos < 4)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        int digit = fg_hex_digit(s.ptr[pos + i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Behind the backslash. */
static bool skip_escape(struct scan *s)
{
    char c;

    if (s->pos >= s->doc.len)
        return false;
    c = s->doc.ptr[s->pos++];
    if (c == 'u') {
        if (hex4(s->doc, s->pos) < 0)
            return false;
        s->pos += 4;
        return true;
    }
    return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
}

static bool skip_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    for (;;) {
        uint8_t c;
        size_t len;
        skip_plain(s);
        if (s->pos >= s->doc.len)
            return false;
        c = (uint8_t)s->doc.ptr[s->pos];
        if (c == '"') {
            s->pos++;
            return true;
        }
        if (c == '\\') {
            s->pos++;
            if (!skip_escape(s))
                return false;
            continue;
        }
        if (c < 0x20)
            return false;
        len = fg_utf8_sequence(s->doc, s->pos);
        if (len == 0)
            return false;
        s->pos += len;
    }
}

static bool skip_digits(struct scan *s)
{
    size_t from = s->pos;

    while (s->pos < s->doc.len && s->doc.ptr[s->pos] >= '0' && s->doc.ptr[s->pos] <= '9')
        s->pos++;
    return s->pos > from;
}

static bool skip_number(struct scan *s)
{
    (void)take(s, '-');
    if (!take(s, '0') && !skip_digits(s))
        return false;
    if (take(s, '.') && !skip_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            (void)take(s, '-');
        return skip_digits(s);
    }
    return true;
}

static bool skip_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if (s->doc.len - s->pos < len || memcmp(s->doc.ptr + s->pos, word, len) != 0)
        return false;
    s->pos += len;
    return true;
}

/* A kind by the value's first byte; the rest of the value may still be wrong. */
static enum fg_json_kind kind_at(const struct scan *s)
{
    if (s->pos >= s->doc.len)
        return FG_JSON_NONE;
    switch (s->doc.ptr[s->pos]) {
    case '{': return FG_JSON_OBJECT;
    case '[': return FG_JSON_ARRAY;
    case '"': return FG_JSON_STRING;
    case 't':
    case 'f': return FG_JSON_BOOL;
    case 'n': return FG_JSON_NULL;
    case '-':
    case '0' ... '9': return FG_JSON_NUMBER;
    default: return FG_JSON_NONE;
    }
}

static bool skip_scalar(struct scan *s)
{
    switch (kind_at(s)) {
    case FG_JSON_STRING: return skip_string(s);
    case FG_JSON_NUMBER: return skip_number(s);
    case FG_JSON_BOOL: return skip_word(s, at(s, 't') ? "true" : "false");
    case FG_JSON_NULL: return skip_word(s, "null");
    default: return false;
    }
}

/* A key, its colon, and the space up to the value. @ret_key: the key as it is written; NULL: nobody wants it. */
static bool take_key(struct scan *s, struct fg_slice *ret_key)
{
    size_t from = s->pos;

    if (!skip_string(s))
        return false;
    if (ret_key)
        *ret_key = fg_slice_make(s->doc.ptr + from, s->pos - from);
    skip_space(s);
    if (!take(s, ':'))
        return false;
    skip_space(s);
    return true;
}

/*
 * At the start of a value: steps into a container, or over a scalar or an empty container.
 * *ret_whole: the value is behind us.
 */
static bool enter_value(struct scan *s, struct nesting *n, unsigned depth_max, bool *ret_whole)
{
    bool is_object = at(s, '{');

    *ret_whole = true;
    if (!is_object && !at(s, '['))
        return skip_scalar(s);
    if (n->depth >= depth_max)
        return false;
    s->pos++;
    skip_space(s);
    if (take(s, is_object ? '}' : ']'))
        return true;
    n->is_object = n->is_object << 1 | is_object;
    n->depth++;
    *ret_whole = false;
    return !is_object || take_key(s, NULL);
}

/* Behind a value: closes what ends here, and steps over the comma to the next value, if there is one. */
static bool leave_value(struct scan *s, struct nesting *n)
{
    while (n->depth > 0) {
        bool is_object = n->is_object & 1;
        skip_space(s);
        if (take(s, ',')) {
            skip_space(s);
            return !is_object || take_key(s, NULL);
        }
        if (!take(s, is_object ? '}' : ']'))
            return false;
        n->is_object >>= 1;
        n->depth--;
    }
    return true;
}

/* One whole value at the current position, at most depth_max containers deep. NONE: it is not JSON. */
static struct fg_json_value take_value(struct scan *s, unsigned depth_max)
{
    struct fg_json_value value = { .kind = kind_at(s) };
    struct nesting n = { 0 };
    size_t from = s->pos;
    bool whole;

    do {
        if (!enter_value(s, &n, depth_max, &whole))
            return (struct fg_json_value){ .kind = FG_JSON_NONE };
        if (whole && !leave_value(s, &n))
            return (struct fg_json_value){ .kind = FG_JSON_NONE };
    } while (n.depth > 0);
    value.raw = fg_slice_make(s->doc.ptr + from, s->pos - from);
    return value;
}

bool fg_json_valid(struct fg_slice doc)
{
    struct scan s = { .doc = doc };

    skip_space(&s);
    if (take_value(&s, DEPTH_MAX).kind == FG_JSON_NONE)
        return false;
    skip_space(&s);
    return s.pos == doc.len;
}

/* One code point of what is between a string's quotes, escapes resolved; what cannot be one becomes U+FFFD. */
static uint32_t next_code_point(struct fg_slice inner, size_t *pos)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *hit;
    int32_t unit, low;
    char c;

    if (inner.ptr[*pos] != '\\' || *pos + 1 >= inner.len)
        return fg_utf8_next(inner, pos);
    c = inner.ptr[*pos + 1];
    *pos += 2;
    if (c != 'u') {
        hit = memchr(from, c, sizeof(from) - 1);
        return hit ? (uint8_t)to[hit - from] : 0xFFFD;
    }
    unit = hex4(inner, *pos);
    if (unit < 0)
        return 0xFFFD;
    *pos += 4;
    if (unit < 0xD800 || unit > 0xDFFF)
        return (uint32_t)unit;
    if (unit > 0xDBFF || inner.len - *pos < 6 || inner.ptr[*pos] != '\\' || inner.ptr[*pos + 1] != 'u')
        return 0xFFFD;
    low = hex4(inner, *pos + 2);
    if (low < 0xDC00 || low > 0xDFFF)
        return 0xFFFD;
    *pos += 6;
    return 0x10000 + (((uint32_t)unit - 0xD800) << 10 | ((uint32_t)low - 0xDC00));
}

static bool inner_of(struct fg_slice raw, struct fg_slice *ret)
{
    if (raw.len < 2 || raw.ptr[0] != '"' || raw.ptr[raw.len - 1] != '"')
        return false;
    *ret = fg_slice_make(raw.ptr + 1, raw.len - 2);
    return true;
}

/* The byte of a pointer's token at *pos, with ~0 and ~1 resolved. */
static char token_byte(struct fg_slice token, size_t *pos)
{
    char c = token.ptr[(*pos)++];

    if (c != '~' || *pos >= token.len)
        return c;
    c = token.ptr[(*pos)++];
    return c == '1' ? '/' : c == '0' ? '~' : c;
}

/* Compares a raw string with plain text, or with a pointer's token, without a copy. */
static bool string_equals(struct fg_slice raw, struct fg_slice text, bool is_token)
{
    struct fg_slice inner;
    size_t i = 0, j = 0;

    if (!inner_of(raw, &inner))
        return false;
    if (!memchr(inner.ptr, '\\', inner.len) && !(is_token && text.len && memchr(text.ptr, '~', text.len)))
        return fg_slice_eq(inner, text);
    while (i < inner.len) {
        char utf8[4];
        size_t len = fg_utf8_encode(next_code_point(inner, &i), utf8);
        for (size_t k = 0; k < len; k++) {
            char c;
            if (j >= text.len)
                return false;
            c = is_token ? token_byte(text, &j) : text.ptr[j++];
            if (c != utf8[k])
                return false;
        }
    }
    return j == text.len;
}

bool fg_json_string_is(struct fg_slice raw, const char *cstr)
{
    return string_equals(raw, fg_slice_of(cstr), false);
}

bool fg_json_decode_string(struct fg_slice raw, struct fg_buf *out)
{
    return fg_json_decode_start(raw, SIZE_MAX, out);
}

static bool is_within_character(struct fg_slice s, size_t pos)
{
    return pos < s.len && ((unsigned char)s.ptr[pos] & 0xc0) == 0x80;
}

bool fg_json_decode_start(struct fg_slice raw, size_t max, struct fg_buf *out)
{
    struct scan s = { .doc = raw };
    struct fg_slice inner;
    size_t pos = 0, from = out->len;

    if (!skip_string(&s) || s.pos != raw.len || !inner_of(raw, &inner))
        return false;
    while (pos < inner.len && out->len - from < max && !out->failed) {
        size_t left = max - (out->len - from), window = inner.len - pos < left ? inner.len - pos : left;
        const char *escape = memchr(inner.ptr + pos, '\\', window);
        size_t end = escape ? (size_t)(escape - inner.ptr) : pos + window;
        char utf8[4];
        while (!escape && is_within_character(inner, end))
            end++;
        fg_buf_add(out, inner.ptr + pos, end - pos);
        pos = end;
        if (escape)
            fg_buf_add(out, utf8, fg_utf8_encode(next_code_point(inner, &pos), utf8));
    }
    return !out->failed;
}

/* To the next element: over what opens the container or parts its elements, and over the key. false: no more. */
static bool next_element(struct scan *s, bool is_object, struct fg_slice *ret_key)
{
    bool first = s->pos == 0;

    if (first)
        s->pos++;
    skip_space(s);
    if (!first && !take(s, ','))
        return false;
    skip_space(s);
    return !is_object || take_key(s, ret_key);
}

bool fg_json_each(struct fg_json_value container, size_t *pos, struct fg_slice *ret_key, struct fg_json_value *ret)
{
    struct scan s = { .doc = container.raw, .pos = *pos };
    struct fg_slice key = FG_SLICE_NULL;
    struct fg_json_value value;

    if (container.kind != FG_JSON_OBJECT && container.kind != FG_JSON_ARRAY)
        return false;
    if (s.pos >= s.doc.len || !next_element(&s, container.kind == FG_JSON_OBJECT, &key))
        return false;
    value = take_value(&s, DEPTH_MAX);
    if (value.kind == FG_JSON_NONE)
        return false;
    if (ret_key)
        *ret_key = key;
    *ret = value;
    *pos = s.pos;
    return true;
}

/* An index as RFC 6901 writes it: digits without leading zeros. */
static bool parse_index(struct fg_slice token, size_t *ret)
{
    size_t value = 0;

    if (token.len == 0 || token.len > 18 || (token.len > 1 && token.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] < '0' || token.ptr[i] > '9')
            return false;
        value = value * 10 + (size_t)(token.ptr[i] - '0');
    }
    *ret = value;
    return true;
}

/* From the start of a container to the start of the value the token names. */
static bool step_into(struct scan *s, struct fg_slice token, unsigned depth_max)
{
    bool is_object = at(s, '{');
    size_t index = 0;
    struct scan inner = { .doc = fg_slice_make(s->doc.ptr + s->pos, s->doc.len - s->pos) };
    struct fg_slice key = FG_SLICE_NULL;

    if (!is_object && (!at(s, '[') || !parse_index(token, &index)))
        return false;
    for (size_t i = 0; next_element(&inner, is_object, &key); i++) {
        if (is_object ? string_equals(key, token, true) : i == index) {
            s->pos += inner.pos;
            return true;
        }
        if (take_value(&inner, depth_max).kind == FG_JSON_NONE)
            return false;
    }
    return false;
}

struct fg_json_value fg_json_find(struct fg_slice doc, const char *pointer)
{
    const struct fg_json_value none = { .kind = FG_JSON_NONE };
    struct scan s = { .doc = doc };
    unsigned depth_max = DEPTH_MAX;

    if (doc.len == 0)
        return none;
    skip_space(&s);
    while (*pointer != '\0') {
        struct fg_slice token;
        if (*pointer != '/' || depth_max == 0)
            return none;
        token = fg_slice_make(pointer + 1, strcspn(pointer + 1, "/"));
        depth_max--;
        if (!step_into(&s, token, depth_max))
            return none;
        pointer += 1 + token.len;
    }
    return take_value(&s, depth_max);
}
