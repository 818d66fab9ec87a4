/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for small objects of fixed size, and locals that clean up behind themselves.
 *
 * Small objects whose size we know abort when there is no memory: no caller could do better. Memory whose size comes
 * from input (bodies, documents, records) goes through struct fg_buf or malloc() and returns errors.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fragua/slice.h"

/* A local runs fn(&local) when it goes out of scope: FG_CLEANUP(fg_buf_deinit) struct fg_buf buf = ...; */
#define FG_CLEANUP(fn) __attribute__((cleanup(fn)))

/* A local pointer is freed by free() when it goes out of scope; set it to NULL to hand it over. */
#define _cleanup_free_ FG_CLEANUP(fg_cleanup_free_)

static inline void fg_cleanup_free_(void *pointer)
{
    free(*(void **)pointer);
}

/* Zeroed; never NULL; freed by free(). n * size > 0. */
static inline void *fg_calloc(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    fg_assert(memory);
    return memory;
}

/* Never NULL; freed by free(). size > 0. */
static inline void *fg_malloc(size_t size)
{
    void *memory = malloc(size);
    fg_assert(memory);
    return memory;
}

/* As reallocarray(), but never NULL; freed by free(). n * size > 0. */
static inline void *fg_reallocarray(void *array, size_t n, size_t size)
{
    void *grown = reallocarray(array, n, size);
    fg_assert(grown);
    return grown;
}

/* Room for one more behind the n of an array that was only ever grown by this: it has places for a power of two. */
static inline void *fg_grow(void *array, size_t n, size_t size)
{
    return (n & (n - 1)) == 0 ? fg_reallocarray(array, n ? 2 * n : 1, size) : array;
}

/* A copy, freed by free(); NULL only of NULL. */
static inline char *fg_strdup(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    fg_assert(copy || !text);
    return copy;
}

/* The same of a slice, NUL-ended; never NULL. */
static inline char *fg_slice_dup(struct fg_slice s)
{
    char *copy = fg_malloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}
