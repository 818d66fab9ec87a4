/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629): check, decode, repair, and count code points. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fragua/slice.h>

struct fg_buf;

/* Bytes of the well-formed sequence at s[pos], 1..4; 0: there is none. */
size_t fg_utf8_sequence(struct fg_slice s, size_t pos);
/* Decodes one code point at s[*pos] and moves *pos behind it; U+FFFD and one byte forward for each bad byte. */
uint32_t fg_utf8_next(struct fg_slice s, size_t *pos);
size_t fg_utf8_encode(uint32_t code_point, char ret[4]); /* bytes written, 1..4; U+FFFD for what is none */
bool fg_utf8_valid(struct fg_slice s);
void fg_utf8_repair(struct fg_slice s, struct fg_buf *out); /* bad bytes become U+FFFD */
size_t fg_utf8_count(struct fg_slice s); /* code points of valid UTF-8 */
/* Byte offset of code point n of valid UTF-8; s.len when n is the count; SIZE_MAX when past it. */
size_t fg_utf8_offset(struct fg_slice s, size_t n);
