/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a source's cursors, and which partition each belongs to. */
#include "flow/cursors.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/buf.h"
#include "base/assert.h"
#include "flow/pipeline-private.h"

static struct fg_cursor_entry *entry_free(struct fg_cursor_entry *e)
{
    struct fg_cursor_entry *next = e->next;
    free((char *)e->key.ptr);
    free((char *)e->value.ptr);
    free(e);
    return next;
}

void fg_cursor_map_clear(struct fg_cursor_map *map)
{
    for (size_t i = 0; i < map->n_buckets; i++)
        for (struct fg_cursor_entry *e = map->buckets[i]; e;)
            e = entry_free(e);
    free(map->buckets);
    *map = (struct fg_cursor_map){0};
}

static struct fg_cursor_entry *find(const struct fg_cursor_map *map, struct fg_slice key, uint32_t hash)
{
    struct fg_cursor_entry *e = map->n_buckets ? map->buckets[hash & (map->n_buckets - 1)] : NULL;
    while (e && !(e->hash == hash && fg_slice_eq(e->key, key)))
        e = e->next;
    return e;
}

struct fg_cursor_entry *fg_cursor_map_get(const struct fg_cursor_map *map, struct fg_slice key)
{
    return find(map, key, fg_murmur2(key));
}

static void grow(struct fg_cursor_map *map)
{
    size_t n_buckets = map->n_buckets ? map->n_buckets * 2 : 64;
    struct fg_cursor_entry **buckets = fg_calloc(n_buckets, sizeof(struct fg_cursor_entry *));

    for (size_t i = 0; i < map->n_buckets; i++) {
        for (struct fg_cursor_entry *e = map->buckets[i], *next; e; e = next) {
            struct fg_cursor_entry **bucket = &buckets[e->hash & (n_buckets - 1)];
            next = e->next;
            e->next = *bucket;
            *bucket = e;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->n_buckets = n_buckets;
}

struct fg_cursor_entry *fg_cursor_map_add(struct fg_cursor_map *map, struct fg_slice key, int32_t partition)
{
    uint32_t hash = fg_murmur2(key);
    struct fg_cursor_entry *e = find(map, key, hash);

    if (e)
        return e;
    if (map->n >= map->n_buckets)
        grow(map);
    e = fg_calloc(1, sizeof(*e));
    e->hash = hash;
    e->partition = partition;
    e->key = fg_slice_make(fg_slice_dup(key), key.len);
    e->next = map->buckets[hash & (map->n_buckets - 1)];
    map->buckets[hash & (map->n_buckets - 1)] = e;
    map->n++;
    return e;
}

void fg_cursor_entry_set(struct fg_cursor_entry *entry, struct fg_slice value, int64_t generation)
{
    char *copy = value.len ? fg_slice_dup(value) : NULL;
    free((char *)entry->value.ptr);
    entry->value = fg_slice_make(copy, value.len);
    entry->generation = generation;
}

struct fg_cursor_entry *fg_cursor_map_next(const struct fg_cursor_map *map, struct fg_cursor_entry *after)
{
    size_t i = 0;
    if (after) {
        if (after->next)
            return after->next;
        i = (after->hash & (map->n_buckets - 1)) + 1;
    }
    for (; i < map->n_buckets; i++)
        if (map->buckets[i])
            return map->buckets[i];
    return NULL;
}

struct fg_slice fg_cursor_owner(struct fg_slice key)
{
    const char *slash = key.len ? memchr(key.ptr, '/', key.len) : NULL;
    return slash ? fg_slice_make(key.ptr, (size_t)(slash - key.ptr)) : FG_SLICE_NULL;
}

int32_t fg_cursor_partition(const char *pipeline, struct fg_slice owner, int32_t partitions)
{
    struct fg_buf key = FG_BUF_INIT(FG_CURSOR_KEY_MAX * 4);
    int32_t partition;

    fg_buf_add_str(&key, pipeline);
    fg_buf_add_char(&key, '/');
    fg_buf_add_slice(&key, owner);
    fg_assert(!key.failed); /* keys were checked on their way in, names by the configuration */
    partition = fg_murmur2_partition(fg_buf_slice(&key), partitions);
    fg_buf_deinit(&key);
    return partition;
}
