/* SPDX-License-Identifier: Apache-2.0 */
/* Small string helpers on slices: compare, find, trim, number and unit parsing. No locale. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <fragua/slice.h>

char *fg_strdup_slice(struct fg_slice s); /* NUL-ended copy, freed by free(); NULL: no memory */
bool fg_slice_ieq(struct fg_slice a, struct fg_slice b); /* ASCII case-insensitive */
bool fg_slice_starts(struct fg_slice s, struct fg_slice prefix);
bool fg_slice_ends(struct fg_slice s, struct fg_slice suffix);
struct fg_slice fg_slice_trim(struct fg_slice s); /* ASCII white space at both ends */
struct fg_slice fg_slice_sub(struct fg_slice s, size_t from, size_t to); /* cut to its bounds */
ptrdiff_t fg_slice_find(struct fg_slice s, struct fg_slice needle);      /* -1: not there */
/* Splits at the first `sep`: before it in *ret_head, after it in *ret_tail; false: no sep (head = s, tail empty). */
bool fg_slice_cut(struct fg_slice s, char sep, struct fg_slice *ret_head, struct fg_slice *ret_tail);

/* The value of a hex digit, 0..15; -1: it is none. */
static inline int fg_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The value of a base64 digit, 0..63; -1: it is none. @last: the alphabet's last two, "+/", or "-_" in URLs. */
static inline int fg_base64_digit(char c, const char last[3])
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == last[0] ? 62 : c == last[1] ? 63 : -1;
}

/* Whole slice must be the number; false: it is not, or does not fit. */
bool fg_parse_int(struct fg_slice s, int64_t *ret);
bool fg_parse_double(struct fg_slice s, double *ret);         /* finite only */
bool fg_parse_duration_ms(struct fg_slice s, int64_t *ret_ms); /* 250ms 10s 5m 1h 2d; a bare 0 */
bool fg_parse_size(struct fg_slice s, int64_t *ret_bytes);     /* 512 64KiB 4MiB 1GiB, also B */

#define FG_DOUBLE_MAX 32
/* The shortest text that reads back as the same finite double, as JSON writes it (0.1, 1e+300). Returns its length. */
size_t fg_format_double(double d, char ret[FG_DOUBLE_MAX]);

/* Edit distance of at most `max`, for "did you mean"; max + 1 when farther. Slices over 64 bytes are far. */
unsigned fg_edit_distance(struct fg_slice a, struct fg_slice b, unsigned max);
