/* SPDX-License-Identifier: Apache-2.0 */
/* A borrowed run of bytes: the one string type that crosses every line in fragua. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* `ptr` may be NULL only when `len` is 0. The bytes belong to someone else and need not end with NUL. */
struct fg_slice {
    const char *ptr;
    size_t len;
};

#define FG_SLICE_NULL ((struct fg_slice){ NULL, 0 })
/* A string literal as a slice, usable in static initialisers. */
#define FG_SLICE(literal) { ("" literal), sizeof(literal) - 1 }
/* printf: "%.*s", FG_SLICE_ARG(s) */
#define FG_SLICE_ARG(s) (int)(s).len, (s).len ? (s).ptr : ""

static inline struct fg_slice fg_slice_of(const char *cstr)
{
    return cstr ? (struct fg_slice){ cstr, strlen(cstr) } : FG_SLICE_NULL;
}

static inline struct fg_slice fg_slice_make(const void *ptr, size_t len)
{
    return (struct fg_slice){ (const char *)ptr, len };
}

static inline bool fg_slice_eq(struct fg_slice a, struct fg_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool fg_slice_is(struct fg_slice a, const char *cstr)
{
    return fg_slice_eq(a, fg_slice_of(cstr));
}
