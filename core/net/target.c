/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: percent-decoding once, segments by the slashes that were not encoded. */
#include "net/target.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

/* The byte at text[i] == '%'; 0: malformed, or %00, which would end a C string early. */
static unsigned char decode(const char *text, size_t len, size_t i)
{
    int high, low;

    if (i + 2 >= len)
        return 0;
    high = fg_hex_digit(text[i + 1]);
    low = fg_hex_digit(text[i + 2]);
    return high < 0 || low < 0 ? 0 : (unsigned char)(high * 16 + low);
}

static bool well_encoded(const char *text, size_t len)
{
    const char *p = memchr(text, '%', len);

    while (p) {
        size_t i = (size_t)(p - text);

        if (decode(text, len, i) == 0)
            return false;
        p = memchr(p + 1, '%', len - i - 1);
    }
    return true;
}

/* "http://host/path" as a proxy would get it, and as RFC 9112 3.2.2 makes servers take it. */
static bool skip_origin(char **text, size_t *len)
{
    size_t scheme = 0;
    char *slash;

    if (*len >= 7 && strncasecmp(*text, "http://", 7) == 0)
        scheme = 7;
    else if (*len >= 8 && strncasecmp(*text, "https://", 8) == 0)
        scheme = 8;
    if (scheme == 0)
        return false;
    slash = memchr(*text + scheme, '/', *len - scheme);
    if (!slash || slash == *text + scheme || memchr(*text + scheme, '?', (size_t)(slash - *text) - scheme))
        return false;
    *len -= (size_t)(slash - *text);
    *text = slash;
    return true;
}

static void note_segment(struct fg_target *target, size_t from, size_t to)
{
    if (target->n_segments < FG_TARGET_SEGMENTS_MAX) {
        target->segment[target->n_segments] = (uint32_t)from;
        target->segment_end[target->n_segments] = (uint32_t)to;
    }
    target->n_segments++;
}

static size_t decode_path(struct fg_target *target, char *text, size_t len)
{
    size_t out = 1, begin = 1;

    for (size_t i = 1; i < len; i++) {
        if (text[i] == '/') {
            note_segment(target, begin, out);
            begin = out + 1;
        }
        if (text[i] == '%') {
            text[out++] = (char)decode(text, len, i);
            i += 2;
        } else {
            text[out++] = text[i];
        }
    }
    note_segment(target, begin, out);
    return out;
}

/* Also across encoded slashes: a handler that opens files below a folder must never see a way up. */
static bool has_dot_segment(struct fg_slice path)
{
    size_t begin = 1;

    for (size_t i = 1; i <= path.len; i++) {
        size_t n = i - begin;

        if (i < path.len && path.ptr[i] != '/')
            continue;
        if ((n == 1 || n == 2) && memcmp(path.ptr + begin, "..", n) == 0)
            return true;
        begin = i + 1;
    }
    return false;
}

bool fg_target_parse(struct fg_target *target, char *text, size_t len, const char **ret_why)
{
    char *question;
    size_t path_len;

    target->n_segments = 0;
    *ret_why = "the request target is neither a path nor an http URL";
    if (len == 0 || (text[0] != '/' && !skip_origin(&text, &len)))
        return false;
    *ret_why = "the request target is not well percent-encoded";
    if (!well_encoded(text, len))
        return false;
    question = memchr(text, '?', len);
    path_len = question ? (size_t)(question - text) : len;
    target->query_raw = question ? fg_slice_make(question + 1, len - path_len - 1) : FG_SLICE_NULL;
    target->path = fg_slice_make(text, decode_path(target, text, path_len));
    *ret_why = "the path has a segment \".\" or \"..\"";
    return !has_dot_segment(target->path);
}

struct fg_slice fg_target_segment(const struct fg_target *target, size_t i)
{
    return fg_slice_make(target->path.ptr + target->segment[i], target->segment_end[i] - target->segment[i]);
}

struct fg_slice fg_target_rest(const struct fg_target *target, size_t i)
{
    return fg_slice_make(target->path.ptr + target->segment[i], target->path.len - target->segment[i]);
}

/* One key or value, up to any of the two ends; returns where it stopped. */
static size_t decode_part(struct fg_slice raw, size_t i, bool key, char **out)
{
    while (i < raw.len && raw.ptr[i] != '&' && !(key && raw.ptr[i] == '=')) {
        char c = raw.ptr[i++];

        if (c == '%') {
            c = (char)decode(raw.ptr, raw.len, i - 1);
            i += 2;
        }
        *(*out)++ = c == '+' && raw.ptr[i - 1] == '+' ? ' ' : c;
    }
    *(*out)++ = '\0';
    return i;
}

char *fg_query_decode(struct fg_slice query_raw)
{
    /* worst case "&&&": two NULs for each byte, and the end */
    char *list = malloc(2 * query_raw.len + 3), *out = list;
    size_t i = 0;

    if (!list)
        return NULL;
    while (i < query_raw.len) {
        char *key = out;

        i = decode_part(query_raw, i, true, &out);
        if (i < query_raw.len && query_raw.ptr[i] == '=')
            i = decode_part(query_raw, i + 1, false, &out);
        else
            *out++ = '\0';
        if (*key == '\0')
            out = key; /* nameless: it would look like the end of the list */
        i++;
    }
    *out = '\0';
    return list;
}

struct fg_slice fg_query_find(const char *decoded, const char *name)
{
    while (*decoded) {
        const char *value = decoded + strlen(decoded) + 1;

        if (strcmp(decoded, name) == 0)
            return fg_slice_of(value);
        decoded = value + strlen(value) + 1;
    }
    return FG_SLICE_NULL;
}
