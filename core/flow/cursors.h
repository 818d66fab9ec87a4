/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a source's cursors: the committed value for each key of the partitions that are ours. Loop thread
 * only; entries are the map's, and stay where they are until it is cleared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fragua/slice.h"

struct fg_cursor_entry {
    struct fg_cursor_entry *next; /* same bucket */
    uint32_t hash;
    int32_t partition;     /* of the cursors topic: its owner's */
    int64_t generation;    /* how often it was written; 0: never */
    bool assigned;         /* the source was told of it */
    struct fg_slice key;   /* owned, NUL-ended */
    struct fg_slice value; /* owned; empty: from the start */
};

/* A hash table. All zeroes is an empty one. */
struct fg_cursor_map {
    struct fg_cursor_entry **buckets; /* owned array of n_buckets, a power of two */
    size_t n_buckets, n;
};

void fg_cursor_map_clear(struct fg_cursor_map *map); /* frees all entries; repeatable */
struct fg_cursor_entry *fg_cursor_map_get(const struct fg_cursor_map *map, struct fg_slice key); /* NULL: unknown */
/* The entry for a key (copied), made where there is none. */
struct fg_cursor_entry *fg_cursor_map_add(struct fg_cursor_map *map, struct fg_slice key, int32_t partition);
void fg_cursor_entry_set(struct fg_cursor_entry *entry, struct fg_slice value, int64_t generation); /* copies value */
/* Walks all: start with NULL, which also ends it; order is that of the table. Nothing may be added meanwhile. */
struct fg_cursor_entry *fg_cursor_map_next(const struct fg_cursor_map *map, struct fg_cursor_entry *after);

/* "<owner>/<rest>" -> owner, within the key; an empty one: there is no slash, or nothing before it. */
struct fg_slice fg_cursor_owner(struct fg_slice key);
/* Which partition of the cursors topic an owner belongs to. */
int32_t fg_cursor_partition(const char *pipeline, struct fg_slice owner, int32_t partitions);
