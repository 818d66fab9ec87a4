/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict look at a request's head, before any parser sees it.
 *
 * Parsers forgive what proxies in front of them read differently, and that is how requests are smuggled. One linear
 * scan, a line at a time, refuses everything that RFC 9112 lets two readers take two ways, and notes where each part
 * stands, so nothing is copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragua/slice.h"

/* Offsets into the bytes of the head. The value has no white space around it. */
struct fg_head_field {
    uint32_t name, name_len;
    uint32_t value, value_len;
};

struct fg_head_limits {
    size_t bytes_max;  /* the whole head with its empty line, at most 1 MiB */
    size_t fields_max; /* header fields */
    size_t target_max; /* bytes of the request target */
};

struct fg_head {
    uint32_t method_len; /* the method stands at offset 0 */
    uint32_t target, target_len;
    unsigned minor; /* HTTP/1.minor, 0 or 1 */
    size_t len;     /* of the whole head; 0 while it is not there */
    bool chunked;
    bool has_length;
    bool has_expect, expect_continue;
    uint64_t content_length;
    struct fg_head_field *fields; /* owned: array of fields_room */
    size_t n_fields, fields_room; /* the limits may have changed since the array was made */

    size_t line;    /* where the line being looked at begins */
    size_t scanned; /* bytes searched for its end */
    unsigned n_hosts;
    int status;      /* set with FG_HEAD_REFUSED: 400, 414, 431, 501, 503 */
    const char *why; /* one sentence without a full stop, static */
};

enum fg_head_result {
    FG_HEAD_WHOLE = 0,
    FG_HEAD_MORE = 1,    /* call again with more bytes */
    FG_HEAD_REFUSED = 2, /* status and why say what to answer; the connection must be closed */
};

bool fg_head_init(struct fg_head *head, const struct fg_head_limits *limits); /* false: no memory */
void fg_head_deinit(struct fg_head *head);
void fg_head_reset(struct fg_head *head); /* for the next message; memory is kept */
/* @bytes: the same bytes as last time, and more behind them. @limits: may be others than before. */
int fg_head_check(struct fg_head *head, const struct fg_head_limits *limits, struct fg_slice bytes);
/* The value of the first field of this name (any case); an empty slice with ptr NULL: there is none. */
struct fg_slice fg_head_find(const struct fg_head *head, const char *bytes, const char *name);
size_t fg_head_count(const struct fg_head *head, const char *bytes, const char *name);

/* The bytes that names and values are made of, for requests, answers and chunks of both sides. */
bool fg_head_is_token(struct fg_slice s); /* RFC 9110 token, not empty */
bool fg_head_is_value(struct fg_slice s); /* of a field, which it cannot end: no control characters but tab */
