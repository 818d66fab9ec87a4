/* SPDX-License-Identifier: Apache-2.0 */
/* The growable byte buffer. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define FIRST_BYTES 64

void fg_buf_deinit(struct fg_buf *buf)
{
    if (!buf)
        return;
    free(buf->data);
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
}

void fg_buf_clear(struct fg_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

bool fg_buf_reserve(struct fg_buf *buf, size_t more)
{
    size_t need, cap;
    char *data;

    if (buf->failed)
        return false;
    if (more > buf->max - buf->len || more >= SIZE_MAX - buf->len) {
        buf->failed = true;
        return false;
    }
    need = buf->len + more + 1;
    if (need <= buf->cap)
        return true;
    cap = buf->cap > SIZE_MAX / 2 ? SIZE_MAX : buf->cap * 2;
    if (cap < FIRST_BYTES)
        cap = FIRST_BYTES;
    if (buf->max < SIZE_MAX && cap > buf->max + 1)
        cap = buf->max + 1;
    if (cap < need)
        cap = need;
    data = realloc(buf->data, cap);
    if (!data) {
        buf->failed = true;
        return false;
    }
    data[buf->len] = '\0';
    buf->data = data;
    buf->cap = cap;
    return true;
}

void fg_buf_add(struct fg_buf *buf, const void *bytes, size_t len)
{
    if (len == 0 || !fg_buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void fg_buf_add_slice(struct fg_buf *buf, struct fg_slice s)
{
    fg_buf_add(buf, s.ptr, s.len);
}

void fg_buf_add_str(struct fg_buf *buf, const char *cstr)
{
    fg_buf_add(buf, cstr, strlen(cstr));
}

void fg_buf_add_char(struct fg_buf *buf, char c)
{
    fg_buf_add(buf, &c, 1);
}

void fg_buf_printf(struct fg_buf *buf, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    fg_buf_vprintf(buf, format, ap);
    va_end(ap);
}

void fg_buf_vprintf(struct fg_buf *buf, const char *format, va_list ap)
{
    char small[256];
    va_list again;
    int n;

    if (buf->failed)
        return;
    va_copy(again, ap);
    /* clang 14 loses sight of va_start in the caller: NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    n = vsnprintf(small, sizeof(small), format, ap);
    if (n < 0) {
        buf->failed = true;
    } else if ((size_t)n < sizeof(small)) {
        fg_buf_add(buf, small, (size_t)n);
    } else if (fg_buf_reserve(buf, (size_t)n)) {
        (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void fg_buf_consume(struct fg_buf *buf, size_t len)
{
    fg_assert(len <= buf->len);
    if (len == 0)
        return;
    buf->len -= len;
    memmove(buf->data, buf->data + len, buf->len + 1);
}

struct fg_slice fg_buf_slice(const struct fg_buf *buf)
{
    return fg_slice_make(buf->data, buf->len);
}

char *fg_buf_steal(struct fg_buf *buf, size_t *ret_len)
{
    char *data = NULL;

    if (!buf->failed && buf->len > 0) {
        data = buf->data;
        buf->data = NULL;
    }
    if (ret_len)
        *ret_len = data ? buf->len : 0;
    fg_buf_deinit(buf);
    return data;
}

void fg_buf_write_cb(void *buf, struct fg_slice bytes)
{
    fg_buf_add_slice(buf, bytes);
}
