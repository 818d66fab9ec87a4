/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough of RFC 5322, 2045 and 2047 to turn sample mails into Graph's JSON. */
#include "mime.h"

#include <iconv.h>
#include <stdio.h>

#include <fragua/kit/str.h>
#include <fragua/kit/utf8.h>

#define ENCODED_WORD_MAX 4096u /* bytes; RFC 2047 says 75, mailers say otherwise */

/* The line at *pos without its end; moves *pos behind it. false: nothing left. */
static bool next_line(struct fg_slice s, size_t *pos, struct fg_slice *ret)
{
    const char *end;
    size_t len;

    if (*pos >= s.len)
        return false;
    end = memchr(s.ptr + *pos, '\n', s.len - *pos);
    len = end ? (size_t)(end - s.ptr) - *pos : s.len - *pos;
    *ret = (struct fg_slice){ s.ptr + *pos, len };
    *pos += len + (end ? 1 : 0);
    if (ret->len && ret->ptr[ret->len - 1] == '\r')
        ret->len--;
    return true;
}

void mime_split(struct fg_slice message, struct fg_slice *ret_head, struct fg_slice *ret_body)
{
    size_t pos = 0, start = 0;
    struct fg_slice line;

    while (next_line(message, &pos, &line)) {
        if (line.len == 0) {
            *ret_head = fg_slice_sub(message, 0, start);
            *ret_body = fg_slice_sub(message, pos, message.len);
            return;
        }
        start = pos;
    }
    *ret_head = message;
    *ret_body = FG_SLICE_NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool mime_each_header(struct fg_slice head, size_t *pos, struct fg_slice *ret_name, struct fg_slice *ret_value)
{
    struct fg_slice line, rest;

    while (next_line(head, pos, &line)) {
        size_t end = (size_t)(line.ptr - head.ptr) + line.len, ahead = *pos;
        struct fg_slice more;
        if (!line.len || is_blank(line.ptr[0]) || !fg_slice_cut(line, ':', ret_name, &rest))
            continue;
        while (ahead < head.len && is_blank(head.ptr[ahead]) && next_line(head, &ahead, &more)) {
            end = (size_t)(more.ptr - head.ptr) + more.len;
            *pos = ahead;
        }
        *ret_name = fg_slice_trim(*ret_name);
        *ret_value = fg_slice_trim((struct fg_slice){ rest.ptr, end - (size_t)(rest.ptr - head.ptr) });
        return true;
    }
    return false;
}

struct fg_slice mime_header(struct fg_slice head, const char *name)
{
    struct fg_slice key, value;
    size_t pos = 0;

    while (mime_each_header(head, &pos, &key, &value))
        if (fg_slice_ieq(key, fg_slice_of(name)))
            return value;
    return FG_SLICE_NULL;
}

/* The bytes behind a '=' at i that make a soft line break of it, blanks and line end; 0: it is none. */
static size_t soft_break(struct fg_slice s, size_t i)
{
    size_t end = i + 1;

    while (end < s.len && (is_blank(s.ptr[end]) || s.ptr[end] == '\r'))
        end++;
    return end < s.len ? (s.ptr[end] == '\n' ? end - i : 0) : end - i;
}

/* Quoted-printable, or with `q` the Q encoding of RFC 2047, where '_' is a blank. */
static void decode_quoted(struct fg_slice s, bool q, struct fg_buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '=' && i + 2 < s.len && fg_hex_digit(s.ptr[i + 1]) >= 0 && fg_hex_digit(s.ptr[i + 2]) >= 0) {
            fg_buf_add_char(out, (char)(fg_hex_digit(s.ptr[i + 1]) << 4 | fg_hex_digit(s.ptr[i + 2])));
            i += 2;
        } else if (c == '=' && !q && soft_break(s, i)) {
            i += soft_break(s, i);
        } else {
            fg_buf_add_char(out, q && c == '_' ? ' ' : c);
        }
    }
}

static void decode_base64(struct fg_slice s, struct fg_buf *out)
{
    unsigned bits = 0, n = 0;

    for (size_t i = 0; i < s.len && s.ptr[i] != '='; i++) {
        int v = fg_base64_digit(s.ptr[i], "+/");
        if (v < 0)
            continue;
        bits = bits << 6 | (unsigned)v;
        n += 6;
        if (n >= 8) {
            n -= 8;
            fg_buf_add_char(out, (char)(bits >> n & 0xffu));
        }
    }
}

static void to_utf8(struct fg_slice bytes, const char *charset, struct fg_buf *out)
{
    char chunk[4096], *in = (char *)bytes.ptr;
    size_t left = bytes.len;
    iconv_t cd = iconv_open("UTF-8", charset[0] ? charset : "UTF-8");

    if (cd == (iconv_t)-1) {
        fg_utf8_repair(bytes, out);
        return;
    }
    while (left) {
        char *to = chunk;
        size_t room = sizeof(chunk);
        size_t r = iconv(cd, &in, &left, &to, &room);
        fg_buf_add(out, chunk, sizeof(chunk) - room);
        if (r == (size_t)-1 && room == sizeof(chunk) && left) {
            fg_buf_add_str(out, "\xef\xbf\xbd"); /* U+FFFD for a byte that is none of this charset */
            in++;
            left--;
        }
    }
    (void)iconv_close(cd);
}

/* =?charset?Q?text?= at s; its length, or 0 when it is none. */
static size_t encoded_word(struct fg_slice s, struct fg_buf *out)
{
    struct fg_slice charset, encoding, text, rest = fg_slice_sub(s, 2, ENCODED_WORD_MAX);
    struct fg_buf bytes = FG_BUF_INIT(65536);
    char name[64];
    ptrdiff_t end;

    if (!fg_slice_starts(s, (struct fg_slice)FG_SLICE("=?")) || !fg_slice_cut(rest, '?', &charset, &rest) ||
        !fg_slice_cut(rest, '?', &encoding, &rest) || encoding.len != 1 || charset.len >= sizeof(name))
        return 0;
    end = fg_slice_find(rest, (struct fg_slice)FG_SLICE("?="));
    if (end < 0)
        return 0;
    text = fg_slice_sub(rest, 0, (size_t)end);
    (void)snprintf(name, sizeof(name), "%.*s", FG_SLICE_ARG(charset));
    if ((encoding.ptr[0] | 32) == 'q')
        decode_quoted(text, true, &bytes);
    else
        decode_base64(text, &bytes);
    to_utf8(fg_buf_slice(&bytes), name, out);
    fg_buf_deinit(&bytes);
    return (size_t)(text.ptr - s.ptr) + text.len + 2;
}

void mime_decode_text(struct fg_slice raw, struct fg_buf *out)
{
    bool after_word = false;

    for (size_t i = 0; i < raw.len;) {
        size_t n = encoded_word(fg_slice_sub(raw, i, raw.len), out), blank = i;
        if (n) {
            i += n;
            after_word = true;
            continue;
        }
        while (blank < raw.len && (is_blank(raw.ptr[blank]) || raw.ptr[blank] == '\r' || raw.ptr[blank] == '\n'))
            blank++;
        if (blank > i) {
            /* white space between two encoded words is not part of the text */
            if (!after_word || !fg_slice_starts(fg_slice_sub(raw, blank, raw.len), (struct fg_slice)FG_SLICE("=?")))
                fg_buf_add_char(out, ' ');
            i = blank;
        } else {
            fg_buf_add_char(out, raw.ptr[i++]);
            after_word = false;
        }
    }
}

/* The length of what stands before the next ';' outside of quotes. */
static size_t parameter_length(struct fg_slice s)
{
    bool quoted = false;
    size_t i = 0;

    for (; i < s.len && (quoted || s.ptr[i] != ';'); i++) {
        if (s.ptr[i] == '\\' && quoted)
            i++;
        else if (s.ptr[i] == '"')
            quoted = !quoted;
    }
    return i < s.len ? i : s.len;
}

static void unquote(struct fg_slice s, struct fg_buf *out)
{
    if (!s.len || s.ptr[0] != '"') {
        fg_buf_add_slice(out, s);
        return;
    }
    for (size_t i = 1; i < s.len && s.ptr[i] != '"'; i++) {
        if (s.ptr[i] == '\\' && i + 1 < s.len)
            i++;
        fg_buf_add_char(out, s.ptr[i]);
    }
}

bool mime_parameter(struct fg_slice value, const char *name, struct fg_buf *out)
{
    struct fg_slice key, text;
    size_t n = parameter_length(value);

    while (n < value.len) {
        value = fg_slice_sub(value, n + 1, value.len);
        n = parameter_length(value);
        if (!fg_slice_cut(fg_slice_sub(value, 0, n), '=', &key, &text) ||
            !fg_slice_ieq(fg_slice_trim(key), fg_slice_of(name)))
            continue;
        unquote(fg_slice_trim(text), out);
        return true;
    }
    return false;
}

void mime_decode_body(struct fg_slice head, struct fg_slice body, struct fg_buf *out)
{
    struct fg_slice encoding = mime_header(head, "Content-Transfer-Encoding");

    if (fg_slice_ieq(encoding, (struct fg_slice)FG_SLICE("quoted-printable")))
        decode_quoted(body, false, out);
    else if (fg_slice_ieq(encoding, (struct fg_slice)FG_SLICE("base64")))
        decode_base64(body, out);
    else
        fg_buf_add_slice(out, body);
}

void mime_decode_text_body(struct fg_slice head, struct fg_slice body, struct fg_buf *out)
{
    struct fg_buf bytes = FG_BUF_INIT(out->max), charset = FG_BUF_INIT(64);

    mime_decode_body(head, body, &bytes);
    if (!mime_parameter(mime_header(head, "Content-Type"), "charset", &charset))
        fg_buf_add_str(&charset, "utf-8");
    to_utf8(fg_buf_slice(&bytes), charset.data ? charset.data : "utf-8", out);
    fg_buf_deinit(&bytes);
    fg_buf_deinit(&charset);
}

/* 0: the line is no boundary, 1: it parts, 2: it ends. */
static int boundary_kind(struct fg_slice line, struct fg_slice boundary)
{
    struct fg_slice rest;

    if (line.len < boundary.len + 2 || memcmp(line.ptr, "--", 2) != 0 ||
        memcmp(line.ptr + 2, boundary.ptr, boundary.len) != 0)
        return 0;
    rest = fg_slice_trim(fg_slice_sub(line, boundary.len + 2, line.len));
    return rest.len == 0 ? 1 : fg_slice_is(rest, "--") ? 2 : 0; /* else the boundary of another multipart */
}

/* The line end before a boundary is the boundary's. */
static void walk_part(struct fg_slice part, unsigned depth, mime_part_cb cb, void *arg)
{
    struct fg_slice head, body;

    part.len -= part.len && part.ptr[part.len - 1] == '\n';
    part.len -= part.len && part.ptr[part.len - 1] == '\r';
    mime_split(part, &head, &body);
    mime_walk(head, body, depth + 1, cb, arg);
}

/* A part that the end of the body cuts off counts as well. */
static void walk_multipart(struct fg_slice body, struct fg_slice boundary, unsigned depth, mime_part_cb cb, void *arg)
{
    struct fg_slice line;
    size_t pos = 0, start = SIZE_MAX;

    while (next_line(body, &pos, &line)) {
        int kind = boundary_kind(line, boundary);
        if (!kind)
            continue;
        if (start != SIZE_MAX)
            walk_part(fg_slice_sub(body, start, (size_t)(line.ptr - body.ptr)), depth, cb, arg);
        start = pos;
        if (kind == 2)
            return;
    }
    if (start != SIZE_MAX)
        walk_part(fg_slice_sub(body, start, body.len), depth, cb, arg);
}

void mime_walk(struct fg_slice head, struct fg_slice body, unsigned depth, mime_part_cb cb, void *arg)
{
    struct fg_slice type = mime_header(head, "Content-Type");
    struct fg_buf boundary = FG_BUF_INIT(256);

    if (fg_slice_ieq(fg_slice_sub(type, 0, 10), (struct fg_slice)FG_SLICE("multipart/"))) {
        if (depth < MIME_DEPTH_MAX && mime_parameter(type, "boundary", &boundary) && boundary.len)
            walk_multipart(body, fg_buf_slice(&boundary), depth, cb, arg);
    } else {
        cb(arg, head, body);
    }
    fg_buf_deinit(&boundary);
}
