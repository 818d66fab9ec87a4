/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, e-mail addresses, phone numbers, sums of money and order-like numbers. */
#include "scan.h"

#include <stdio.h>
#include <stdlib.h>

#include <fragua/kit/str.h>
#include <fragua/kit/utf8.h>

#define LOCAL_MAX 64u   /* RFC 5321 */
#define DOMAIN_MAX 255u
#define PHONE_MAX 32u   /* bytes with separators */
#define NUMBER_MAX 24u

static bool starts(struct fg_slice text, size_t at, const char *word)
{
    struct fg_slice w = fg_slice_of(word);

    return fg_slice_ieq(fg_slice_sub(text, at, at + w.len), w);
}

/* Letters and accents from the Latin to the Greek extensions, and the few such blocks above them. */
static bool is_word_point(uint32_t c)
{
    if (c < 0x80)
        return is_alnum((char)c);
    if (c < 0xc0)
        return c == 0xaa || c == 0xb5 || c == 0xba;
    return (c < 0x2000 && c != 0xd7 && c != 0xf7) || (c >= 0x2c00 && c < 0x2e00) || (c >= 0xa640 && c < 0xac00);
}

bool word_at(struct fg_slice text, size_t at)
{
    return at < text.len && is_word_point(fg_utf8_next(text, &at));
}

bool word_before(struct fg_slice text, size_t at)
{
    size_t from = at;

    while (from > 0 && at - from < 4) {
        from--;
        if (((unsigned char)text.ptr[from] & 0xc0u) != 0x80u)
            break;
    }
    return from < at && word_at(text, from);
}

size_t blank_at(struct fg_slice text, size_t at)
{
    return byte_at(text, at) == ' ' ? 1 : starts(text, at, "\xc2\xa0") ? 2 : starts(text, at, "\xe2\x80\xaf") ? 3 : 0;
}

bool goes_on(struct fg_slice text, size_t at, const char *separators)
{
    return at >= 2 && text.ptr[at - 1] && strchr(separators, text.ptr[at - 1]) && is_digit(text.ptr[at - 2]);
}

/* Blanks, ASCII marks that no URL holds, and the quotes and blanks of Latin-1 and of general punctuation. */
static bool ends_url(struct fg_slice text, size_t at)
{
    char c = text.ptr[at];

    if ((unsigned char)c < 128)
        return (unsigned char)c <= ' ' || strchr("<>\"`{}|\\^", c) != NULL || c == 0x7f;
    return starts(text, at, "\xc2\xa0") || starts(text, at, "\xc2\xab") || starts(text, at, "\xc2\xbb") ||
           starts(text, at, "\xe2\x80") || starts(text, at, "\xe2\x81") || starts(text, at, "\xe3\x80");
}

static size_t scheme_at(struct fg_slice text, size_t at)
{
    return starts(text, at, "https://") ? 8 : starts(text, at, "http://") ? 7 : starts(text, at, "www.") ? 4 : 0;
}

size_t scan_url(struct fg_slice text, size_t at, char *ret)
{
    size_t scheme = scheme_at(text, at), n = scheme;
    int open = 0;

    ret[0] = '\0';
    if (!scheme || !word_at(text, at + n))
        return 0;
    while (n < SCAN_MAX && at + n < text.len && !ends_url(text, at + n)) {
        open += text.ptr[at + n] == '(' ? 1 : text.ptr[at + n] == ')' ? -1 : 0;
        n++;
    }
    while (n > scheme && at + n < text.len && ((unsigned char)text.ptr[at + n] & 0xc0u) == 0x80u)
        n--; /* cut at SCAN_MAX: not inside a character */
    /* what ends a sentence or a bracket round the URL is not part of it */
    while (n > scheme && (strchr(".,;:!?'*_]", text.ptr[at + n - 1]) || (text.ptr[at + n - 1] == ')' && open < 0))) {
        open += text.ptr[at + n - 1] == ')' ? 1 : 0;
        n--;
    }
    return n > scheme ? n : 0;
}

/* What addresses are made of; RFC 5322 would let in more, but "to=ana@..." and "x/ana@..." are no such names. */
static bool is_local(char c)
{
    return is_alnum(c) || (c && strchr(".%&'+-_~", c));
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
            if (dots && label >= 2 && (letters == label || starts(text, at + n - label, "xn--")))
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
    while (n <= LOCAL_MAX && is_local(byte_at(text, at + n)) && !starts(text, at + n, ".."))
        n++;
    if (n > LOCAL_MAX || byte_at(text, at + n) != '@' || byte_at(text, at + n - 1) == '.')
        return 0;
    domain = domain_length(text, at + n + 1);
    if (!domain || word_at(text, at + n + 1 + domain))
        return 0;
    n += 1 + domain;
    for (size_t i = 0; i < n && n < 64; i++) {
        ret[i] = is_upper(text.ptr[at + i]) ? (char)(text.ptr[at + i] | 32) : text.ptr[at + i];
        ret[i + 1] = '\0';
    }
    return n;
}

static const struct {
    const char *word, *currency;
    bool before, behind;
} currencies[] = {
    { "\xe2\x82\xac", "EUR", true, true },
    { "US$", "USD", true, true },
    { "$", "USD", true, true },
    { "\xc2\xa3", "GBP", true, true },
    { "EUR", "EUR", true, true },
    { "USD", "USD", true, true },
    { "GBP", "GBP", true, true },
    { "CHF", "CHF", true, true },
    { "MXN", "MXN", true, true },
    { "euros", "EUR", false, true },
    { "dollars", "USD", false, true },
    { "pounds", "GBP", false, true },
    { "euro", "EUR", false, true },
};

/* The currency at a place; its word's length, or 0. */
static size_t currency_at(struct fg_slice text, size_t at, bool before, const char **ret)
{
    for (size_t i = 0; i < sizeof(currencies) / sizeof(currencies[0]); i++) {
        size_t n = strlen(currencies[i].word);
        if (!(before ? currencies[i].before : currencies[i].behind) || !starts(text, at, currencies[i].word))
            continue;
        if (!before && (word_at(text, at + n) || is_digit(byte_at(text, at + n))))
            continue; /* "5 $7.00": the sign belongs to the next sum */
        if (before && is_alpha(currencies[i].word[n - 1]) && word_at(text, at + n) && !is_digit(byte_at(text, at + n)))
            continue;
        *ret = currencies[i].currency;
        return n;
    }
    return 0;
}

/* What a run of digits and separators is made of. */
struct run {
    size_t end; /* behind the last digit */
    size_t digits, groups, dots, put;
    bool open;
};

/* Digits with single separators between groups, at most PHONE_MAX bytes; digits are put into ret behind a '+'. */
static struct run read_run(struct fg_slice text, size_t at, char *ret)
{
    struct run r = { .put = 0 };
    bool in_group = false;

    for (size_t n = byte_at(text, at) == '+' ? 1 : 0; n < PHONE_MAX; n++) {
        char c = byte_at(text, at + n);
        bool behind = in_group || (n > 0 && byte_at(text, at + n - 1) == ')');
        if (is_digit(c)) {
            r.groups += in_group ? 0 : 1;
            in_group = true;
            if (r.put < 32)
                ret[r.put++] = c;
            r.digits++;
            r.end = n + 1;
        } else if (c == '(' && !r.open && !in_group) {
            r.open = true;
        } else if (c == ')' && r.open) {
            r.open = in_group = false;
        } else if ((c == ' ' || c == '-' || c == '.') && behind) {
            r.dots += c == '.' && is_digit(byte_at(text, at + n + 1));
            in_group = false;
        } else {
            break;
        }
    }
    return r;
}

/* A sum, a decimal number, a time, or a number too long for a phone. */
static bool is_other_number(struct fg_slice text, size_t end)
{
    const char *currency;
    char c = byte_at(text, end);

    return word_at(text, end) || c == '%' || ((c == ',' || c == ':' || c == '/') && is_digit(byte_at(text, end + 1))) ||
           currency_at(text, end + blank_at(text, end), false, &currency);
}

/*
 * 8 to 15 digits. Without a '+', at least 9 digits in 3 groups, so that it is no plain number, and not four groups
 * parted by dots, which make an IP address.
 */
size_t scan_phone(struct fg_slice text, size_t at, char *ret)
{
    char digits[33] = { 0 };
    bool plus = byte_at(text, at) == '+';
    struct run r = read_run(text, at, digits);

    ret[0] = '\0';
    if (r.open || r.digits > 15 || r.digits < (plus ? 8u : 9u) || (!plus && r.groups < 3) ||
        (!plus && r.groups == 4 && r.dots == 3) || (!plus && goes_on(text, at, " .,-/:")) ||
        is_other_number(text, at + r.end))
        return 0;
    (void)snprintf(ret, 64, "%s%s", plus ? "+" : "", digits);
    return r.end;
}

/* Groups of an amount: `last` and `first` are places of separators, SIZE_MAX where there is none. */
struct amount {
    size_t len, first, last;
    bool mixed;    /* the last separator differs from those before it */
    bool thousands; /* all groups between the first separator and the last, or the end, have three digits */
};

static struct amount read_amount(struct fg_slice text, size_t at)
{
    struct amount a = { .first = SIZE_MAX, .last = SIZE_MAX, .thousands = true };

    for (; a.len < NUMBER_MAX; a.len++) {
        char c = byte_at(text, at + a.len);
        if (is_digit(c))
            continue;
        if ((c != '.' && c != ',' && c != '\'') || !is_digit(byte_at(text, at + a.len + 1)))
            break;
        if (a.first == SIZE_MAX)
            a.first = a.len;
        if (a.last != SIZE_MAX) {
            a.thousands = a.thousands && !a.mixed && a.len - a.last == 4;
            a.mixed = text.ptr[at + a.last] != c;
        }
        a.last = a.len;
    }
    return a;
}

/*
 * An amount such as 1,204.00 or 1.842,75: the last separator is the decimal one if it differs from those before it, or
 * is the only one and one or two digits follow. Writes it with a point. Returns its length; 0 for what is grouped
 * otherwise, such as 1.2.3.
 */
static size_t amount_at(struct fg_slice text, size_t at, char *ret, size_t size)
{
    struct amount a = read_amount(text, at);
    size_t behind = a.last == SIZE_MAX ? 0 : a.len - a.last - 1, put = 0;
    bool decimal = a.last != SIZE_MAX && (a.mixed || (a.first == a.last && behind <= 2));

    if (!a.len || a.len == NUMBER_MAX || !a.thousands || (!decimal && behind && behind != 3) ||
        goes_on(text, at, ".,'"))
        return 0;
    if ((a.mixed || (a.last != SIZE_MAX && !decimal)) && a.first > 3)
        return 0; /* thousands after more than three digits */
    for (size_t i = 0; i < a.len && put + 1 < size; i++)
        if (is_digit(text.ptr[at + i]) || (decimal && i == a.last))
            ret[put++] = decimal && i == a.last ? '.' : text.ptr[at + i];
    ret[put] = '\0';
    return a.len;
}

size_t scan_money(struct fg_slice text, size_t at, char *ret)
{
    const char *currency;
    char amount[NUMBER_MAX + 2];
    size_t word = currency_at(text, at, true, &currency), blank, n;

    ret[0] = '\0';
    if (word) {
        blank = blank_at(text, at + word);
        n = amount_at(text, at + word + blank, amount, sizeof(amount));
        if (!n || word_at(text, at + word + blank + n))
            return 0;
        n += word + blank;
    } else {
        n = amount_at(text, at, amount, sizeof(amount));
        if (!n)
            return 0;
        blank = blank_at(text, at + n);
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
        if (at > 0 && text.ptr[at - 1] == '&')
            return 0; /* "&#8364;": a character that nobody decoded */
        digits = count_digits(text, at + 1, 16);
        return digits >= 4 && digits < 16 && !word_at(text, at + 1 + digits) ? digits + 1 : 0;
    }
    while (n < 7 && is_upper(byte_at(text, at + n)))
        n++;
    if (n < 1 || n > 6)
        return 0;
    while (n < 40 && (byte_at(text, at + n) == '-' || byte_at(text, at + n) == '/')) {
        size_t part = 0;
        char c = byte_at(text, at + n + 1);
        while (part < 16 && (is_digit(c) || is_upper(c))) {
            digits += is_digit(c);
            c = byte_at(text, at + n + 1 + ++part);
        }
        if (!part)
            break;
        n += 1 + part;
        parts++;
    }
    return parts && digits >= 2 && n < 40 && !word_at(text, at + n) ? n : 0;
}

#define ACCOUNT_MIN 15u /* ISO 13616, without blanks */
#define ACCOUNT_MAX 34u

size_t scan_account(struct fg_slice text, size_t at)
{
    size_t n = 4, group = 4, count = 4, end = 0;

    if (!is_upper(byte_at(text, at)) || !is_upper(byte_at(text, at + 1)) || count_digits(text, at + 2, 2) != 2)
        return 0;
    for (; count < ACCOUNT_MAX; n++) {
        char c = byte_at(text, at + n);
        if (is_digit(c) || is_upper(c)) {
            group = n + 1;
            if (++count >= ACCOUNT_MIN && is_digit(c))
                end = n + 1;
        } else if ((c != ' ' && c != '-') || group != n) {
            break;
        }
    }
    return end && !word_at(text, at + end) ? end : 0;
}
