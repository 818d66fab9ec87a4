/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: compare, find, trim, cut; numbers and units; edit distance. */
#include "base/str.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

/* The longest text of a number that is looked at: 1074 digits are the most a double can need. */
#define NUMBER_TEXT_MAX 1100
#define EDIT_MAX        64

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

char *fg_strdup_slice(struct fg_slice s)
{
    char *copy = malloc(s.len + 1);

    if (!copy)
        return NULL;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

bool fg_slice_ieq(struct fg_slice a, struct fg_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    }
    return true;
}

bool fg_slice_starts(struct fg_slice s, struct fg_slice prefix)
{
    return s.len >= prefix.len && fg_slice_eq(fg_slice_make(s.ptr, prefix.len), prefix);
}

bool fg_slice_ends(struct fg_slice s, struct fg_slice suffix)
{
    return s.len >= suffix.len && fg_slice_eq(fg_slice_sub(s, s.len - suffix.len, s.len), suffix);
}

struct fg_slice fg_slice_trim(struct fg_slice s)
{
    size_t from = 0, to = s.len;

    while (from < to && is_space(s.ptr[from]))
        from++;
    while (to > from && is_space(s.ptr[to - 1]))
        to--;
    return fg_slice_sub(s, from, to);
}

struct fg_slice fg_slice_sub(struct fg_slice s, size_t from, size_t to)
{
    if (to > s.len)
        to = s.len;
    if (from > to)
        from = to;
    return s.ptr ? fg_slice_make(s.ptr + from, to - from) : FG_SLICE_NULL;
}

ptrdiff_t fg_slice_find(struct fg_slice s, struct fg_slice needle)
{
    const char *hit;

    if (needle.len == 0)
        return 0;
    if (needle.len > s.len)
        return -1;
    hit = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return hit ? hit - s.ptr : -1;
}

bool fg_slice_cut(struct fg_slice s, char sep, struct fg_slice *ret_head, struct fg_slice *ret_tail)
{
    const char *hit = s.len ? memchr(s.ptr, sep, s.len) : NULL;
    size_t at = hit ? (size_t)(hit - s.ptr) : s.len;

    *ret_head = fg_slice_sub(s, 0, at);
    *ret_tail = fg_slice_sub(s, hit ? at + 1 : at, s.len);
    return hit != NULL;
}

bool fg_parse_int(struct fg_slice s, int64_t *ret)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    int64_t value = 0;

    if (s.len == (negative ? 1u : 0u))
        return false;
    for (size_t i = negative ? 1 : 0; i < s.len; i++) {
        int digit = s.ptr[i] - '0';
        if (!is_digit(s.ptr[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

static size_t skip_digits(struct fg_slice s, size_t pos)
{
    while (pos < s.len && is_digit(s.ptr[pos]))
        pos++;
    return pos;
}

/* strtod() also reads "nan", "0x1p3" and leading space; a setting or a JSON number may not be any of them. */
static bool is_decimal(struct fg_slice s)
{
    size_t pos = s.len > 0 && s.ptr[0] == '-' ? 1 : 0;
    size_t end = skip_digits(s, pos);

    if (end == pos)
        return false;
    if (end < s.len && s.ptr[end] == '.') {
        pos = end + 1;
        end = skip_digits(s, pos);
        if (end == pos)
            return false;
    }
    if (end < s.len && (s.ptr[end] == 'e' || s.ptr[end] == 'E')) {
        pos = end + 1;
        if (pos < s.len && (s.ptr[pos] == '+' || s.ptr[pos] == '-'))
            pos++;
        end = skip_digits(s, pos);
        if (end == pos)
            return false;
    }
    return end == s.len;
}

/* glibc hands out its built-in "C" locale for this without allocating. */
static locale_t c_locale(void)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    fg_assert(c);
    return c;
}

bool fg_parse_double(struct fg_slice s, double *ret)
{
    char text[NUMBER_TEXT_MAX + 1];
    locale_t c;
    double value;

    if (s.len > NUMBER_TEXT_MAX || !is_decimal(s))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    c = c_locale();
    value = strtod_l(text, NULL, c);
    freelocale(c);
    if (!isfinite(value))
        return false;
    *ret = value;
    return true;
}

size_t fg_format_double(double d, char ret[FG_DOUBLE_MAX])
{
    locale_t c = c_locale();
    locale_t before = uselocale(c);
    int n = 0;

    fg_assert(isfinite(d));
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(ret, FG_DOUBLE_MAX, "%.*g", digits, d);
        if (strtod(ret, NULL) == d)
            break;
    }
    (void)uselocale(before);
    freelocale(c);
    fg_assert(n > 0);
    return (size_t)n;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* <digits><unit>; the number must be written without sign, point or space. */
static bool parse_unit(struct fg_slice s, const struct unit *units, size_t n, int64_t *ret)
{
    size_t end = skip_digits(s, 0);
    int64_t number, value;

    if (!fg_parse_int(fg_slice_sub(s, 0, end), &number))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!fg_slice_is(fg_slice_sub(s, end, s.len), units[i].name))
            continue;
        if (__builtin_mul_overflow(number, units[i].factor, &value))
            return false;
        *ret = value;
        return true;
    }
    return false;
}

bool fg_parse_duration_ms(struct fg_slice s, int64_t *ret_ms)
{
    static const struct unit units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60 * 1000 }, { "h", 60 * 60 * 1000 }, { "d", 24 * 60 * 60 * 1000 },
    };

    if (fg_slice_is(s, "0")) {
        *ret_ms = 0;
        return true;
    }
    return parse_unit(s, units, sizeof(units) / sizeof(units[0]), ret_ms);
}

bool fg_parse_size(struct fg_slice s, int64_t *ret_bytes)
{
    static const struct unit units[] = {
        { "", 1 }, { "B", 1 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 },
    };

    return parse_unit(s, units, sizeof(units) / sizeof(units[0]), ret_bytes);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

/* Wagner and Fischer's table, one row at a time. */
unsigned fg_edit_distance(struct fg_slice a, struct fg_slice b, unsigned max)
{
    unsigned row[EDIT_MAX + 1];

    if (a.len > EDIT_MAX || b.len > EDIT_MAX)
        return max + 1;
    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.ptr[i - 1] == b.ptr[j - 1] ? 0 : 1));
            diagonal = above;
        }
    }
    return row[b.len] <= max ? row[b.len] : max + 1;
}
