/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer that must be told how large it may ever become. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <fragua/slice.h>

/*
 * Embed by value. A write that would pass `max`, or finds no memory, sets `failed`, writes nothing, and every later
 * write does nothing too: write a whole message, then check once. `data` is NUL-ended whenever it is not NULL.
 */
struct fg_buf {
    char *data;   /* owned; NULL while empty */
    size_t len;   /* bytes written */
    size_t cap;   /* bytes allocated */
    size_t max;   /* bytes allowed, without the NUL */
    bool failed;
};

#define FG_BUF_INIT(max_bytes) ((struct fg_buf){ .max = (max_bytes) })

void fg_buf_deinit(struct fg_buf *buf);  /* NULL and repeated calls allowed */
void fg_buf_clear(struct fg_buf *buf);   /* empty again, memory kept, failed forgotten */
bool fg_buf_reserve(struct fg_buf *buf, size_t more); /* false: failed */
void fg_buf_add(struct fg_buf *buf, const void *bytes, size_t len);
void fg_buf_add_slice(struct fg_buf *buf, struct fg_slice s);
void fg_buf_add_str(struct fg_buf *buf, const char *cstr);
void fg_buf_add_char(struct fg_buf *buf, char c);
void fg_buf_printf(struct fg_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fg_buf_vprintf(struct fg_buf *buf, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));
void fg_buf_consume(struct fg_buf *buf, size_t len); /* drops the first len bytes; len <= buf->len */
struct fg_slice fg_buf_slice(const struct fg_buf *buf);
/*
 * Hands the bytes over to the caller, who frees them by free(); the buffer is empty after it. NULL if empty or failed:
 * then *ret_len is 0, and `failed` still tells which. @ret_len: NULL allowed.
 */
char *fg_buf_steal(struct fg_buf *buf, size_t *ret_len);
/* fg_write_cb for things that write piecewise: arg is the struct fg_buf. */
void fg_buf_write_cb(void *buf, struct fg_slice bytes);
