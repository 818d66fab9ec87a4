/* SPDX-License-Identifier: Apache-2.0 */
/* The scanners: each says how long the entity is that begins at `at`, or 0. They read at most SCAN_MAX bytes ahead. */
#pragma once

#include <stdbool.h>

#include <fragua/slice.h>

#define SCAN_MAX 2048u

/* @ret_normalized: array of 64 bytes, set to "" first. */
size_t scan_url(struct fg_slice text, size_t at, char *ret_normalized);
size_t scan_email(struct fg_slice text, size_t at, char *ret_normalized);
size_t scan_phone(struct fg_slice text, size_t at, char *ret_normalized);
size_t scan_money(struct fg_slice text, size_t at, char *ret_normalized);
size_t scan_date(struct fg_slice text, size_t at, char *ret_normalized);
size_t scan_id(struct fg_slice text, size_t at, char *ret_normalized);
/* The length of what is written like an international bank account number: no entity, and no phone number either. */
size_t scan_account(struct fg_slice text, size_t at);

/* What they share. No locale: ASCII only. */
static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static inline bool is_alpha(char c)
{
    return is_upper((char)(c & ~32)) && (unsigned char)c < 128;
}

static inline bool is_alnum(char c)
{
    return is_digit(c) || is_alpha(c);
}

/* The byte at a place; '\0' past the end. */
static inline char byte_at(struct fg_slice text, size_t at)
{
    return at < text.len ? text.ptr[at] : '\0';
}

/*
 * Whether the character that begins at `at`, or the one that ends before it, belongs to a word: a letter or digit of a
 * script that parts words by blanks, or an accent that stands alone. Quotes, dashes, blanks, CJK and emoji beyond ASCII
 * do not: an address may stand beside them.
 */
bool word_at(struct fg_slice text, size_t at);
bool word_before(struct fg_slice text, size_t at);
/* Bytes of the blank at `at`: ASCII, no-break or narrow no-break; 0: none. */
size_t blank_at(struct fg_slice text, size_t at);
/* The number at `at` goes on from digits before it, parted from them by one of `separators`. */
bool goes_on(struct fg_slice text, size_t at, const char *separators);

static inline size_t count_digits(struct fg_slice text, size_t at, size_t max)
{
    size_t n = 0;

    while (n < max && is_digit(byte_at(text, at + n)))
        n++;
    return n;
}
