/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough of RFC 5322, 2045 and 2047 to turn sample mails into Graph's JSON. Knows nothing of the host. */
#pragma once

#include <fragua/kit/buf.h>
#include <fragua/kit/str.h>

#define MIME_DEPTH_MAX 16u

/* Splits at the first empty line; CRLF and LF are both line ends. */
void mime_split(struct fg_slice message, struct fg_slice *ret_head, struct fg_slice *ret_body);
/* The raw value of the first header of that name, folds included, ends trimmed; empty: not there. */
struct fg_slice mime_header(struct fg_slice head, const char *name);
/* Walks all headers: *pos starts at 0; false at the end. */
bool mime_each_header(struct fg_slice head, size_t *pos, struct fg_slice *ret_name, struct fg_slice *ret_value);
/* Unfolds and decodes encoded words into UTF-8. */
void mime_decode_text(struct fg_slice raw, struct fg_buf *out);
/* A parameter of Content-Type or Content-Disposition, unquoted. false: not there. */
bool mime_parameter(struct fg_slice value, const char *name, struct fg_buf *out);
/* Undoes the transfer encoding. */
void mime_decode_body(struct fg_slice head, struct fg_slice body, struct fg_buf *out);
/* The same, and the charset into UTF-8. */
void mime_decode_text_body(struct fg_slice head, struct fg_slice body, struct fg_buf *out);

typedef void (*mime_part_cb)(void *arg, struct fg_slice head, struct fg_slice body);
/* Calls back with every part that is not a multipart itself, in order. */
void mime_walk(struct fg_slice head, struct fg_slice body, unsigned depth, mime_part_cb cb, void *arg);
