/* SPDX-License-Identifier: Apache-2.0 */
/* Dates in figures and in English or Spanish words. */
#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

#include "scan.h"

static const struct {
    const char *name;
    int month;
} months[] = {
    { "january", 1 },   { "february", 2 },   { "march", 3 },      { "april", 4 },      { "may", 5 },
    { "june", 6 },      { "july", 7 },       { "august", 8 },     { "september", 9 },  { "october", 10 },
    { "november", 11 }, { "december", 12 },  { "enero", 1 },      { "febrero", 2 },    { "marzo", 3 },
    { "abril", 4 },     { "mayo", 5 },       { "junio", 6 },      { "julio", 7 },      { "agosto", 8 },
    { "septiembre", 9 }, { "setiembre", 9 }, { "octubre", 10 },   { "noviembre", 11 }, { "diciembre", 12 },
    { "jan", 1 },       { "feb", 2 },        { "mar", 3 },        { "apr", 4 },        { "jun", 6 },
    { "jul", 7 },       { "aug", 8 },        { "sep", 9 }, { "sept", 9 },        { "oct", 10 },       { "nov", 11 },
    { "dec", 12 },      { "ene", 1 },        { "abr", 4 },        { "ago", 8 },        { "dic", 12 },
};

static int days_in(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
}

static bool is_date(int year, int month, int day)
{
    return year >= 1900 && year <= 2199 && month >= 1 && month <= 12 && day >= 1 && day <= days_in(year, month);
}

static void normalize(char *ret, int year, int month, int day)
{
    (void)snprintf(ret, 64, "%04d-%02d-%02d", year, month, day);
}

static int number(struct fg_slice text, size_t at, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++)
        value = value * 10 + (text.ptr[at + i] - '0');
    return value;
}

/* Nothing of a longer number or word may follow: 1.2.2026.4 is a version. */
static size_t ended(struct fg_slice text, size_t at, size_t end)
{
    char c = byte_at(text, end);

    if (word_at(text, end) || ((c == '.' || c == '-' || c == '/') && is_digit(byte_at(text, end + 1))))
        return 0;
    return end - at;
}

/* 2026-03-16, 2026/03/16 */
static size_t year_first(struct fg_slice text, size_t at, char *ret)
{
    char sep = byte_at(text, at + 4);
    size_t m, d, day_at;
    int year, month, day;

    if (count_digits(text, at, 5) != 4 || (sep != '-' && sep != '/') || goes_on(text, at, "-/."))
        return 0;
    m = count_digits(text, at + 5, 3);
    day_at = at + 5 + m + 1;
    d = count_digits(text, day_at, 3);
    if (m < 1 || m > 2 || byte_at(text, day_at - 1) != sep || d < 1 || d > 2)
        return 0;
    year = number(text, at, 4);
    month = number(text, at + 5, m);
    day = number(text, day_at, d);
    if (!is_date(year, month, day))
        return 0;
    normalize(ret, year, month, day);
    /* "2026-03-16T08:00" still is that day */
    if (byte_at(text, day_at + d) == 'T' && is_digit(byte_at(text, day_at + d + 1)))
        return day_at + d - at;
    return ended(text, at, day_at + d);
}

/* 16/03/2026, 16.3.2026, 3-16-2026: which is the month is only known when the other cannot be one */
static size_t year_last(struct fg_slice text, size_t at, char *ret)
{
    size_t a = count_digits(text, at, 3), b, second = at + a + 1, third;
    char sep = byte_at(text, at + a);
    int x, y, year;

    if (a < 1 || a > 2 || (sep != '/' && sep != '.' && sep != '-') || goes_on(text, at, (char[]){ sep, '\0' }))
        return 0;
    b = count_digits(text, second, 3);
    third = second + b + 1;
    if (b < 1 || b > 2 || byte_at(text, third - 1) != sep || count_digits(text, third, 5) != 4)
        return 0;
    x = number(text, at, a);
    y = number(text, second, b);
    year = number(text, third, 4);
    if (!is_date(year, y, x) && !is_date(year, x, y))
        return 0;
    if (is_date(year, y, x) && (!is_date(year, x, y) || x == y))
        normalize(ret, year, y, x);
    else if (!is_date(year, y, x))
        normalize(ret, year, x, y);
    return ended(text, at, third + 4);
}

static size_t skip(struct fg_slice text, size_t at, const char *word)
{
    struct fg_slice w = fg_slice_of(word);

    return fg_slice_ieq(fg_slice_sub(text, at, at + w.len), w) ? w.len : 0;
}

/* The month named at `at`; returns the name's length, a full stop behind a short one included. */
static size_t month_name(struct fg_slice text, size_t at, int *ret_month)
{
    size_t n = 0;

    while (n < 12 && is_alpha(byte_at(text, at + n)))
        n++;
    for (size_t i = 0; i < sizeof(months) / sizeof(months[0]); i++) {
        if (!fg_slice_ieq(fg_slice_sub(text, at, at + n), fg_slice_of(months[i].name)))
            continue;
        *ret_month = months[i].month;
        return n + (n <= 4 && byte_at(text, at + n) == '.' ? 1 : 0);
    }
    return 0;
}

static size_t finish_words(struct fg_slice text, size_t at, size_t end, int month, int day, char *ret)
{
    int year;

    if (count_digits(text, end, 5) != 4)
        return 0;
    year = number(text, end, 4);
    if (!is_date(year, month, day))
        return 0;
    normalize(ret, year, month, day);
    return ended(text, at, end + 4);
}

/* 16 March 2026, 16th of March 2026, 16 de marzo de 2026 */
static size_t day_in_words(struct fg_slice text, size_t at, char *ret)
{
    size_t d = count_digits(text, at, 3), i = at + d, n;
    int month;

    if (d < 1 || d > 2)
        return 0;
    if (is_alpha(byte_at(text, i)) && (skip(text, i, "st") || skip(text, i, "nd") || skip(text, i, "rd") ||
                                       skip(text, i, "th")))
        i += 2;
    i += skip(text, i, "\xc2\xba"); /* 1º de marzo */
    n = skip(text, i, " ");
    n = n ? n : skip(text, i, "-");
    if (!n)
        return 0;
    i += n;
    i += skip(text, i, "of ");
    i += skip(text, i, "de ");
    n = month_name(text, i, &month);
    if (!n)
        return 0;
    i += n;
    i += skip(text, i, ",");
    n = skip(text, i, " de ");
    n = n ? n : skip(text, i, " del ");
    n = n ? n : skip(text, i, " ");
    n = n ? n : skip(text, i, "-");
    return n ? finish_words(text, at, i + n, month, number(text, at, d), ret) : 0;
}

/* March 16, 2026 */
static size_t month_in_words(struct fg_slice text, size_t at, char *ret)
{
    int month;
    size_t n = month_name(text, at, &month), d, i = at + n;

    if (!n || byte_at(text, i) != ' ')
        return 0;
    d = count_digits(text, ++i, 3);
    if (d < 1 || d > 2)
        return 0;
    n = i;
    i += d;
    if (skip(text, i, "st") || skip(text, i, "nd") || skip(text, i, "rd") || skip(text, i, "th"))
        i += 2;
    i += skip(text, i, ",");
    if (byte_at(text, i) != ' ')
        return 0;
    return finish_words(text, at, i + 1, month, number(text, n, d), ret);
}

size_t scan_date(struct fg_slice text, size_t at, char *ret)
{
    size_t n = 0;

    ret[0] = '\0';
    if (is_digit(byte_at(text, at))) {
        n = year_first(text, at, ret);
        n = n ? n : year_last(text, at, ret);
        return n ? n : day_in_words(text, at, ret);
    }
    return is_alpha(byte_at(text, at)) ? month_in_words(text, at, ret) : 0;
}
