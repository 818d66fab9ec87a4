/* SPDX-License-Identifier: Apache-2.0 */
/* JSON on the hot path: a streaming writer into a bounded buffer, and a one-pass scanner that never builds a tree. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <fragua/kit/buf.h>

/* Writer. Commas and colons come by themselves; nesting at most 63. Strings are repaired to valid UTF-8. */
struct fg_json_writer {
    struct fg_buf *out; /* borrowed; check out->failed at the end */
    uint64_t has_member; /* bit per depth: something was written at this depth */
    unsigned depth;
    bool after_key;
};

#define FG_JSON_WRITER_INIT(buf) ((struct fg_json_writer){ .out = (buf) })

void fg_json_object(struct fg_json_writer *w);
void fg_json_object_end(struct fg_json_writer *w);
void fg_json_array(struct fg_json_writer *w);
void fg_json_array_end(struct fg_json_writer *w);
void fg_json_key(struct fg_json_writer *w, const char *key);
void fg_json_string(struct fg_json_writer *w, struct fg_slice s);
void fg_json_cstr(struct fg_json_writer *w, const char *s); /* NULL: null */
void fg_json_int(struct fg_json_writer *w, int64_t i);
void fg_json_double(struct fg_json_writer *w, double d); /* not finite: null */
void fg_json_bool(struct fg_json_writer *w, bool b);
void fg_json_null(struct fg_json_writer *w);
void fg_json_raw(struct fg_json_writer *w, struct fg_slice json); /* a whole value, trusted to be JSON */
/* key and value in one */
void fg_json_kv_string(struct fg_json_writer *w, const char *key, struct fg_slice s);
void fg_json_kv_cstr(struct fg_json_writer *w, const char *key, const char *s);
void fg_json_kv_int(struct fg_json_writer *w, const char *key, int64_t i);
void fg_json_kv_bool(struct fg_json_writer *w, const char *key, bool b);

/* Scanner. RFC 8259 strictly: valid UTF-8, no duplicates check, nesting at most 64. */
enum fg_json_kind {
    FG_JSON_NONE,
    FG_JSON_NULL,
    FG_JSON_BOOL,
    FG_JSON_NUMBER,
    FG_JSON_STRING,
    FG_JSON_ARRAY,
    FG_JSON_OBJECT
};

struct fg_json_value {
    enum fg_json_kind kind; /* NONE: not there */
    struct fg_slice raw;    /* the bytes of the value in the document, quotes included */
};

bool fg_json_valid(struct fg_slice doc); /* the whole document is one JSON value */
/* The value at an RFC 6901 pointer ("" is the whole). NONE: not there or not JSON up to there. First duplicate wins. */
struct fg_json_value fg_json_find(struct fg_slice doc, const char *pointer);
/* Walks an array or object: *pos starts at 0; false at the end. For objects *ret_key is the raw key with its quotes. */
bool fg_json_each(struct fg_json_value container, size_t *pos, struct fg_slice *ret_key, struct fg_json_value *ret);
/* Decodes a string (raw with quotes) into UTF-8; lone surrogates become U+FFFD. false: not a string, or out->failed. */
bool fg_json_decode_string(struct fg_slice raw, struct fg_buf *out);
/* The same, but of a long one no more than the first `max` bytes, and the rest of the character that these end in. */
bool fg_json_decode_start(struct fg_slice raw, size_t max, struct fg_buf *out);
/* Decoded compare, without a copy where there is no escape. */
bool fg_json_string_is(struct fg_slice raw, const char *cstr);
