/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, e-mail addresses, phone numbers, sums of money and order-like numbers. */
#include "scan.h"

#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>

#define LOCAL_MAX 64u   /* RFC 5321 */
#define DOMAIN_MAX 255u
#define PHONE_MAX 32u   /* bytes with separators */
#define NUMBER_MAX 24u

static bool starts(struct fg_slice text, size_t at, const char *word)
{
    struct fg_slice w = fg_slice_of(word);

    return fg_slice_ieq(fg_slice_sub(text, at, at + w.len), w);
}

static bool ends_url(char c)
{
    return c == '\0' || (unsigned char)c <= ' ' || strchr("<>\"`{}|\\^", c) != NULL || c == 0x7f;
}

size_t scan_url(struct fg_slice text, size_t at, char *ret)
{
    size_t scheme = starts(text, at, "https://") ? 8 : starts(text, at, "http://") ? 7 : starts(text, at, "www.") ? 4 : 0;
    size_t n = scheme;
    int open = 0;

    ret[0] = '\0';
    if (!scheme || !is_alnum(byte_at(text, at + n)))
        return 0;
    while (n < SCAN_MAX && at + n < text.len && !ends_url(text.ptr[at + n])) {
        open += text.ptr[at + n] == '(' ? 1 : text.ptr[at + n] == ')' ? -1 : 0;
        n++;
    }
    /* what ends a sentence or a bracket round the URL is not part of it */
    while (n > scheme && (strchr(".,;:!?'*_]", text.ptr[at + n - 1]) || (text.ptr[at + n - 1] == ')' && open < 0))) {
        open += text.ptr[at + n - 1] == ')' ? 1 : 0;
        n--;
    }
    return n > scheme ? n : 0;
}

static bool is_local(char c)
{
    return is_alnum(c) || (c && strchr(".!#$%&'*+-/=?^_`{|}~", c));
}

/* The length of a domain with a dot and a top level of letters. */
static size_t domain_length(struct fg_slice text, size_t at)
{
    size_t n = 0, good = 0, label = 0, letters = 0, dots = 0;

    while (n < DOMAIN_MAX) {
        char c = byte_at(text, at + n);
        if (is_alnum(c) || (c == '-' && label > 0)) {
            label++;
            letters = is_alpha(c) ? letters + 1 : 0;
            n++;
            if (dots && letters == label && label >= 2)
                good = n;
            continue;
        }
        if (c != '.' || label == 0)
            break;
        dots++;
        label = letters = 0;
        n++;
    }
    return good;
}

size_t scan_email(struct fg_slice text, size_t at, char *ret)
{
    size_t n = 0, domain;

    ret[0] = '\0';
    if (!is_alnum(byte_at(text, at)))
        return 0;
    while (n <= LOCAL_MAX && is_local(byte_at(text, at + n)))
        n++;
    if (n > LOCAL_MAX || byte_at(text, at + n) != '@' || byte_at(text, at + n - 1) == '.')
        return 0;
    domain = domain_length(text, at + n + 1);
    if (!domain || is_word(byte_at(text, at + n + 1 + domain)))
        return 0;
    n += 1 + domain;
    for (size_t i = 0; i < n && n < 64; i++) {
        ret[i] = is_upper(text.ptr[at + i]) ? (char)(text.ptr[at + i] | 32) : text.ptr[at + i];
        ret[i + 1] = '\0';
    }
    return n;
}

/* 8 to 15 digits with single separators between groups; without a '+', groups must show that it is no plain number */
size_t scan_phone(struct fg_slice text, size_t at, char *ret)
{
    size_t n = 0, end = 0, digits = 0, groups = 0, put = 0;
    bool plus = byte_at(text, at) == '+', in_group = false, open = false;

    ret[0] = '\0';
    if (plus) {
        ret[put++] = '+';
        n = 1;
    }
    for (; n < PHONE_MAX; n++) {
        char c = byte_at(text, at + n);
        if (is_digit(c)) {
            groups += in_group ? 0 : 1;
            in_group = true;
            ret[put++] = c;
            if (++digits > 15)
                return 0;
            end = n + 1;
        } else if (c == '(' && !open && !in_group) {
            open = true;
        } else if (c == ')' && open) {
            open = in_group = false;
        } else if ((c == ' ' || c == '-' || c == '.') && (in_group || byte_at(text, at + n - 1) == ')')) {
            in_group = false;
        } else {
            break;
        }
    }
    ret[put] = '\0';
    if (open || is_word(byte_at(text, at + end)) || digits < (plus ? 8u : 9u) || (!plus && groups < 3)) {
        ret[0] = '\0';
        return 0;
    }
    return end;
}

static const struct {
    const char *word, *currency;
    bool before, behind;
} currencies[] = {
    { "\xe2\x82\xac", "EUR", true, true }, { "$", "USD", true, true },     { "\xc2\xa3", "GBP", true, true },
    { "EUR", "EUR", true, true },          { "USD", "USD", true, true },   { "GBP", "GBP", true, true },
    { "CHF", "CHF", true, true },          { "MXN", "MXN", true, true },   { "euros", "EUR", false, true },
    { "dollars", "USD", false, true },     { "pounds", "GBP", false, true }, { "euro", "EUR", false, true },
};

/* The currency at a place; its word's length, or 0. */
static size_t currency_at(struct fg_slice text, size_t at, bool before, const char **ret)
{
    for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++) {
        size_t n = strlen(currencies[i].word);
        if (!(before ? currencies[i].before : currencies[i].behind) || !starts(text, at, currencies[i].word))
            continue;
        if (is_alpha(currencies[i].word[0]) && is_word(byte_at(text, at + n)) && !(before && is_digit(byte_at(text, at + n))))
            continue;
        *ret = currencies[i].currency;
        return n;
    }
    return 0;
}

/*
 * An amount such as 1,204.00 or 1.842,75: the last separator followed by one or two digits is the decimal one. Writes it
 * with a point. Returns its length.
 */
static size_t amount_at(struct fg_slice text, size_t at, char *ret, size_t size)
{
    size_t n = 0, last = SIZE_MAX, put = 0;

    if (!is_digit(byte_at(text, at)))
        return 0;
    while (n < NUMBER_MAX) {
        char c = byte_at(text, at + n);
        if (!is_digit(c) && !((c == '.' || c == ',' || c == '\'') && is_digit(byte_at(text, at + n + 1))))
            break;
        if (!is_digit(c))
            last = n;
        n++;
    }
    if (n == NUMBER_MAX)
        return 0;
    if (last != SIZE_MAX && n - last - 1 > 2)
        last = SIZE_MAX; /* it parts thousands */
    for (size_t i = 0; i < n && put + 1 < size; i++)
        if (is_digit(text.ptr[at + i]) || i == last)
            ret[put++] = i == last ? '.' : text.ptr[at + i];
    ret[put] = '\0';
    return n;
}

size_t scan_money(struct fg_slice text, size_t at, char *ret)
{
    const char *currency;
    char amount[NUMBER_MAX + 2];
    size_t word = currency_at(text, at, true, &currency), blank, n;

    ret[0] = '\0';
    if (word) {
        blank = byte_at(text, at + word) == ' ' ? 1 : 0;
        n = amount_at(text, at + word + blank, amount, sizeof(amount));
        if (!n || is_word(byte_at(text, at + word + blank + n)))
            return 0;
        n += word + blank;
    } else {
        n = amount_at(text, at, amount, sizeof(amount));
        if (!n)
            return 0;
        blank = byte_at(text, at + n) == ' ' ? 1 : starts(text, at + n, "\xc2\xa0") ? 2 : 0;
        word = currency_at(text, at + n + blank, false, &currency);
        if (!word)
            return 0;
        n += blank + word;
    }
    (void)snprintf(ret, 64, "%s %s", amount, currency);
    return n;
}

/* PO-2026-00417, INC-20931, F-2026-77, #48213 */
size_t scan_id(struct fg_slice text, size_t at, char *ret)
{
    size_t n = 0, digits = 0, parts = 0;

    ret[0] = '\0';
    if (byte_at(text, at) == '#') {
        digits = count_digits(text, at + 1, 16);
        return digits >= 4 && digits < 16 && !is_word(byte_at(text, at + 1 + digits)) ? digits + 1 : 0;
    }
    while (n < 7 && is_upper(byte_at(text, at + n)))
        n++;
    if (n < 1 || n > 6)
        return 0;
    while (n < 40 && (byte_at(text, at + n) == '-' || byte_at(text, at + n) == '/')) {
        size_t part = 0;
        while (part < 16 && (is_digit(byte_at(text, at + n + 1 + part)) || is_upper(byte_at(text, at + n + 1 + part)))) {
            digits += is_digit(byte_at(text, at + n + 1 + part));
            part++;
        }
        if (!part)
            break;
        n += 1 + part;
        parts++;
    }
    return parts && digits >= 2 && n < 40 && !is_word(byte_at(text, at + n)) ? n : 0;
}
