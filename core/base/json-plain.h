/* SPDX-License-Identifier: Apache-2.0 */
/* Over what stands in a JSON string as it is, eight bytes at a time. */
#pragma once

#include <stdint.h>
#include <string.h>

#include "fragua/slice.h"

/* A bit in each byte of the word that is a quote, a backslash, a control character or not ASCII. */
static inline uint64_t fg_json_special_bytes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, high_bits = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');

    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | (word - ones * 0x20) | word) & high_bits;
}

/* At most seven bytes before the first special one at or behind pos, or before the end. */
static inline size_t fg_json_skip_plain(struct fg_slice s, size_t pos)
{
    uint64_t word;

    while (s.len - pos >= sizeof(word)) {
        memcpy(&word, s.ptr + pos, sizeof(word));
        if (fg_json_special_bytes(word))
            break;
        pos += sizeof(word);
    }
    return pos;
}
