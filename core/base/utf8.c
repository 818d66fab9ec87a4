/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 by the table of RFC 3629, section 4: no overlong forms, no surrogates, nothing past U+10FFFF. */
#include "base/utf8.h"

#include "base/buf.h"

#define REPLACEMENT 0xFFFDu
#define HIGH_BITS   0x8080808080808080u

static bool in_range(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

static size_t skip_ascii(struct fg_slice s, size_t pos)
{
    uint64_t word;

    while (s.len - pos >= sizeof(word)) {
        memcpy(&word, s.ptr + pos, sizeof(word));
        if (word & HIGH_BITS)
            break;
        pos += sizeof(word);
    }
    while (pos < s.len && !((uint8_t)s.ptr[pos] & 0x80))
        pos++;
    return pos;
}

size_t fg_utf8_sequence(struct fg_slice s, size_t pos)
{
    const uint8_t *p;
    size_t left = s.len - pos;
    uint8_t low = 0x80, high = 0xBF;
    size_t len;

    if (left == 0)
        return 0;
    p = (const uint8_t *)s.ptr + pos;
    if (p[0] < 0x80)
        return 1;
    if (in_range(p[0], 0xC2, 0xDF))
        len = 2;
    else if (in_range(p[0], 0xE0, 0xEF))
        len = 3;
    else if (in_range(p[0], 0xF0, 0xF4))
        len = 4;
    else
        return 0;
    if (len > left)
        return 0;
    if (p[0] == 0xE0)
        low = 0xA0;
    else if (p[0] == 0xED)
        high = 0x9F;
    else if (p[0] == 0xF0)
        low = 0x90;
    else if (p[0] == 0xF4)
        high = 0x8F;
    if (!in_range(p[1], low, high))
        return 0;
    for (size_t i = 2; i < len; i++) {
        if (!in_range(p[i], 0x80, 0xBF))
            return 0;
    }
    return len;
}

uint32_t fg_utf8_next(struct fg_slice s, size_t *pos)
{
    const uint8_t *p = (const uint8_t *)s.ptr + *pos;
    size_t len = fg_utf8_sequence(s, *pos);

    switch (len) {
    case 1: *pos += 1; return p[0];
    case 2: *pos += 2; return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    case 3: *pos += 3; return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    case 4: *pos += 4; return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
    default: *pos += 1; return REPLACEMENT;
    }
}

size_t fg_utf8_encode(uint32_t code_point, char ret[4])
{
    uint32_t c = code_point;

    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        c = REPLACEMENT;
    if (c < 0x80) {
        ret[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        ret[0] = (char)(0xC0 | c >> 6);
        ret[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        ret[0] = (char)(0xE0 | c >> 12);
        ret[1] = (char)(0x80 | (c >> 6 & 0x3F));
        ret[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    ret[0] = (char)(0xF0 | c >> 18);
    ret[1] = (char)(0x80 | (c >> 12 & 0x3F));
    ret[2] = (char)(0x80 | (c >> 6 & 0x3F));
    ret[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* The end of the longest run of valid UTF-8 that starts at pos. */
static size_t skip_valid(struct fg_slice s, size_t pos)
{
    for (;;) {
        size_t len;
        pos = skip_ascii(s, pos);
        len = fg_utf8_sequence(s, pos);
        if (len == 0)
            return pos;
        pos += len;
    }
}

bool fg_utf8_valid(struct fg_slice s)
{
    return skip_valid(s, 0) == s.len;
}

void fg_utf8_repair(struct fg_slice s, struct fg_buf *out)
{
    size_t pos = 0;

    while (pos < s.len) {
        size_t end = skip_valid(s, pos);
        fg_buf_add(out, s.ptr + pos, end - pos);
        pos = end;
        if (pos < s.len) {
            fg_buf_add(out, "\xEF\xBF\xBD", 3);
            pos++;
        }
    }
}

static bool starts_code_point(char c)
{
    return ((uint8_t)c & 0xC0) != 0x80;
}

size_t fg_utf8_count(struct fg_slice s)
{
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++)
        count += starts_code_point(s.ptr[i]);
    return count;
}

size_t fg_utf8_offset(struct fg_slice s, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (starts_code_point(s.ptr[i]) && count++ == n)
            return i;
    }
    return count == n ? s.len : SIZE_MAX;
}
