/* SPDX-License-Identifier: Apache-2.0 */
/* The strict scan of chunked framing: RFC 9112 section 7.1. */
#include "net/chunk-check.h"

#include "base/str.h"
#include "net/head-check.h"

#define SIZE_DIGITS_MAX              15    /* 2^60 at most, so sums cannot wrap */
#define OVERHEAD_BYTES               65536 /* framing allowed before any data */
#define OVERHEAD_BYTES_PER_DATA_BYTE 8     /* one byte a chunk costs 5 */

enum state {
    S_SIZE,
    S_EXTENSION,
    S_SIZE_LF,
    S_DATA,
    S_DATA_CR,
    S_DATA_LF,
    S_TRAILER_START,
    S_TRAILER_NAME,
    S_TRAILER_VALUE,
    S_TRAILER_LF,
    S_END_LF,
    S_END,
    S_REFUSED,
};

static enum state after_size_digit(struct fg_chunks *k, unsigned char c)
{
    int d = fg_hex_digit((char)c);

    if (d >= 0) {
        if (++k->digits > SIZE_DIGITS_MAX)
            return S_REFUSED;
        k->left = k->left * 16 + (uint64_t)d;
        return S_SIZE;
    }
    if (k->digits == 0)
        return S_REFUSED;
    return c == ';' ? S_EXTENSION : c == '\r' ? S_SIZE_LF : S_REFUSED;
}

/* Everything but data, a byte at a time. */
static enum state after(struct fg_chunks *k, unsigned char c)
{
    char byte = (char)c;
    bool token = fg_head_is_token(fg_slice_make(&byte, 1)), value = fg_head_is_value(fg_slice_make(&byte, 1));

    switch ((enum state)k->state) {
    case S_SIZE: return after_size_digit(k, c);
    case S_EXTENSION: return c == '\r' ? S_SIZE_LF : value ? S_EXTENSION : S_REFUSED;
    case S_SIZE_LF: return c != '\n' ? S_REFUSED : k->left > 0 ? S_DATA : S_TRAILER_START;
    case S_DATA_CR: return c == '\r' ? S_DATA_LF : S_REFUSED;
    case S_DATA_LF: k->digits = 0; return c == '\n' ? S_SIZE : S_REFUSED;
    case S_TRAILER_START: return c == '\r' ? S_END_LF : token ? S_TRAILER_NAME : S_REFUSED;
    case S_TRAILER_NAME: return c == ':' ? S_TRAILER_VALUE : token ? S_TRAILER_NAME : S_REFUSED;
    case S_TRAILER_VALUE: return c == '\r' ? S_TRAILER_LF : value ? S_TRAILER_VALUE : S_REFUSED;
    case S_TRAILER_LF: return c == '\n' ? S_TRAILER_START : S_REFUSED;
    case S_END_LF: return c == '\n' ? S_END : S_REFUSED;
    default: return S_REFUSED;
    }
}

static size_t take_data(struct fg_chunks *k, size_t have)
{
    size_t n = have < k->left ? have : (size_t)k->left;

    k->left -= n;
    k->data += n;
    if (k->left == 0)
        k->state = S_DATA_CR;
    return n;
}

int fg_chunks_check(struct fg_chunks *chunks, struct fg_slice bytes, size_t *ret_used)
{
    size_t i = 0;

    while (i < bytes.len && chunks->state != S_END && chunks->state != S_REFUSED) {
        if (chunks->state == S_DATA) {
            i += take_data(chunks, bytes.len - i);
            continue;
        }
        chunks->state = (int)after(chunks, (unsigned char)bytes.ptr[i++]);
        if (++chunks->overhead > OVERHEAD_BYTES + OVERHEAD_BYTES_PER_DATA_BYTE * chunks->data)
            chunks->state = S_REFUSED;
    }
    if (chunks->state == S_REFUSED)
        return FG_CHUNKS_REFUSED;
    *ret_used = i;
    return chunks->state == S_END ? FG_CHUNKS_WHOLE : FG_CHUNKS_MORE;
}
